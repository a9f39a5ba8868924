//! What one call emitted, and how it becomes batches once the call has succeeded.
//!
//! On the batch path: `emit.rs` records while the guest runs; [`materialise`] makes the batches afterwards, without the
//! rows that failed. Nothing of a failed call is ever made.
//! Invariant: numbers of outputs and rows were checked when they were recorded; sizes are known before anything is copied.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{FilterBuilder, filter, take};
use arrow::error::ArrowError;
use rde_core::row_bytes;

use crate::bind::{BoundPlan, Origin};

/// One call of `emit`.
#[derive(Debug)]
pub(crate) enum Emitted {
    /// `message`, `parts`: the guest made all columns.
    Whole { output: usize, batch: RecordBatch },
    /// The other five: rows of the current batch, maybe with new columns.
    Rows(Selected),
}

/// Rows of the current batch for one output.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) output: usize,
    pub(crate) selection: Selection,
    /// New columns, one row for each selected one.
    pub(crate) added: Vec<ArrayRef>,
}

/// Which rows of the current batch.
#[derive(Debug)]
pub(crate) enum Selection {
    /// `forward`, `extend` of all rows.
    All,
    /// `keep`, `extend` of some.
    Mask(BooleanBuffer),
    /// `pick`, `expand`.
    Rows(UInt32Array),
}

/// Why nothing was made.
#[derive(Debug)]
pub(crate) enum Unmade {
    /// It would take more than is allowed.
    TooLarge,
    /// An arrow kernel refused.
    Arrow(ArrowError),
}

impl From<ArrowError> for Unmade {
    fn from(error: ArrowError) -> Unmade {
        Unmade::Arrow(error)
    }
}

/// Makes the batches of a call that succeeded, in call order, if `fits` says so of the bytes that must be copied. `good` has
/// the rows that did not fail, where some did; `room` the bytes at which there is no use in counting on.
pub(crate) fn materialise(
    mut emitted: Vec<Emitted>,
    plan: &BoundPlan,
    batch: Option<&RecordBatch>,
    good: Option<&BooleanBuffer>,
    room: impl FnOnce() -> usize,
    fits: impl FnOnce(usize) -> bool,
) -> Result<Vec<(usize, RecordBatch)>, Unmade> {
    let mut bytes = 0usize;
    let picks = emitted.iter().any(|one| matches!(one, Emitted::Rows(Selected { selection: Selection::Rows(_), .. })));
    let room = if picks { room() } else { usize::MAX };
    if let Some(batch) = batch {
        for one in &mut emitted {
            if let Emitted::Rows(selected) = one {
                selected.restrict(good)?;
                bytes = bytes.saturating_add(selected.bytes(plan, batch, room.saturating_sub(bytes)));
            }
        }
    }
    if !fits(bytes) {
        return Err(Unmade::TooLarge);
    }
    let make = |one: Emitted| match (one, batch) {
        (Emitted::Whole { output, batch }, _) => Ok((output, batch)),
        (Emitted::Rows(selected), Some(batch)) => Ok((selected.output, selected.make(plan, batch)?)),
        // `emit.rs` traps these without a current batch.
        (Emitted::Rows(selected), None) => {
            let schema = plan.outputs[selected.output].schema.clone();
            Ok((selected.output, RecordBatch::new_empty(schema)))
        }
    };
    emitted.into_iter().map(make).collect()
}

impl Selected {
    /// Takes the failed rows out of the selection and of the new columns.
    fn restrict(&mut self, good: Option<&BooleanBuffer>) -> Result<(), ArrowError> {
        let Some(good) = good else { return Ok(()) };
        let (selection, left): (Selection, BooleanBuffer) = match &self.selection {
            Selection::All => (Selection::Mask(good.clone()), good.clone()),
            Selection::Mask(mask) => {
                let left = mask.set_indices().map(|row| good.value(row)).collect();
                (Selection::Mask(mask & good), left)
            }
            Selection::Rows(rows) => {
                let left: BooleanBuffer = rows.values().iter().map(|row| good.value(*row as usize)).collect();
                let rows = rows.values().iter().copied().filter(|row| good.value(*row as usize));
                (Selection::Rows(UInt32Array::from_iter_values(rows)), left)
            }
        };
        self.selection = selection;
        let left = BooleanArray::new(left, None);
        for column in &mut self.added {
            *column = filter(column, &left)?;
        }
        Ok(())
    }

    /// Returns the bytes that will be copied, or some number above `room`.
    fn bytes(&self, plan: &BoundPlan, batch: &RecordBatch, room: usize) -> usize {
        let mut bytes = 0_usize;
        let add = |bytes: &mut usize, more: usize| *bytes = bytes.saturating_add(more);
        match &self.selection {
            Selection::All => {}
            Selection::Mask(mask) => {
                reused(plan, self.output, batch).for_each(|column| add(&mut bytes, row_bytes::masked(column, mask)));
            }
            Selection::Rows(rows) => {
                for column in reused(plan, self.output, batch) {
                    if bytes > room {
                        break;
                    }
                    let more = row_bytes::picked(column, rows, room - bytes);
                    add(&mut bytes, more);
                }
            }
        }
        bytes
    }

    fn make(self, plan: &BoundPlan, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let kept = reused(plan, self.output, batch);
        let (mut columns, rows) = match self.selection {
            Selection::All => (kept.cloned().collect::<Vec<_>>(), batch.num_rows()),
            Selection::Mask(mask) => masked(kept, mask)?,
            Selection::Rows(rows) => {
                (kept.map(|column| take(column, &rows, None)).collect::<Result<Vec<_>, _>>()?, rows.len())
            }
        };
        columns.extend(self.added);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(plan.outputs[self.output].schema.clone(), columns, &options)
    }
}

/// Returns the columns of the batch that an output reuses, in output order.
fn reused<'a>(plan: &'a BoundPlan, output: usize, batch: &'a RecordBatch) -> impl Iterator<Item = &'a ArrayRef> {
    let listed = match &plan.outputs[output].origin {
        Origin::Derived { reuse, .. } => Some(reuse.as_slice()),
        _ => None,
    };
    let count = listed.map_or(batch.num_columns(), <[usize]>::len);
    (0..count).map(move |at| batch.column(listed.map_or(at, |list| list[at])))
}

fn masked<'a>(
    columns: impl Iterator<Item = &'a ArrayRef>,
    mask: BooleanBuffer,
) -> Result<(Vec<ArrayRef>, usize), ArrowError> {
    let mask = BooleanArray::new(mask, None);
    let predicate = FilterBuilder::new(&mask).optimize().build();
    let columns = columns.map(|column| predicate.filter(column)).collect::<Result<Vec<_>, _>>()?;
    Ok((columns, predicate.count()))
}
