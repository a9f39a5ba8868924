//! One batch through a plugin: encoded into the guest's memory, one call of `process`, what it emitted taken out.
//!
//! On the batch path: the fourth step of ARCHITECTURE.md, "the path of a batch". [`Live::process`] crosses into the guest and
//! [`Live::publish`] stages what came back; between them lies only the decision what the answer means (`lane.rs`).
//! Invariant: nothing of a call is staged unless the whole call succeeded, and then all of it, in call order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use rde_core::{Output, PluginStats, row_bytes};
use rde_ipc::{Encoder, IpcError};

use crate::abi::{BatchInfo, Sent};
use crate::bind::{BoundPlan, Origin};
use crate::describe::Cardinality;
use crate::emitted::{Emitted, Selected, Selection, Unmade, materialise};
use crate::faults::RowFaults;
use crate::instance::{Answered, Instance};
use crate::limits;
use crate::state::Phase;
use crate::text::shown;
use crate::trap::{Class, Trap};

/// An opened guest with what it takes to send batches to it.
pub(crate) struct Live {
    pub(crate) instance: Instance,
    pub(crate) plan: Arc<BoundPlan>,
    /// One for each input of which columns are sent.
    encoders: Vec<Option<Encoder>>,
}

/// What sending a batch came to.
pub(crate) enum Crossed {
    /// The guest answered, or trapped.
    Answered(Answered),
    /// The encoded batch is over `input_max`; the guest was not called.
    TooLarge,
}

/// What bounds one call.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) input_max: usize,
    /// The most that one call may materialise, whatever its input: the pipeline's `memory_max`.
    pub(crate) ceiling: usize,
    /// Rows above which a batch whose rows take no bytes is published in parts.
    pub(crate) rows_max: usize,
}

impl Live {
    pub(crate) fn new(mut instance: Instance, plan: Arc<BoundPlan>, inputs: &[SchemaRef]) -> Result<Live, IpcError> {
        instance.bound(plan.clone())?;
        let encoder = |(index, schema): (usize, &SchemaRef)| {
            plan.sends_columns(index, schema).then(|| Encoder::new(schema, plan.columns[index].as_deref())).transpose()
        };
        let encoders = inputs.iter().enumerate().map(encoder).collect::<Result<_, _>>()?;
        Ok(Live { instance, plan, encoders })
    }

    /// Sends a batch and calls `process`. The batch is encoded once, into the guest's own memory.
    pub(crate) fn process(
        &mut self,
        info: BatchInfo,
        batch: &RecordBatch,
        bounds: Bounds,
        stats: &PluginStats,
    ) -> Result<Crossed, IpcError> {
        let limits = self.instance.state().limits.clone();
        let prepared = match &mut self.encoders[info.input as usize] {
            Some(encoder) => match encoder.prepare_within(batch, bounds.input_max) {
                Err(IpcError::TooLarge) => return Ok(Crossed::TooLarge),
                prepared => Some(prepared?),
            },
            None => None,
        };
        let len = prepared.as_ref().map_or(0, |prepared| prepared.len());
        if len > bounds.input_max {
            return Ok(Crossed::TooLarge);
        }
        let output_max = limits.output_bytes(len).min(bounds.ceiling);
        // Taken by the one write; a lock because a value that crosses must be shareable.
        let prepared = Mutex::new(prepared);
        let write = |memory: &mut [u8]| {
            if let Some(prepared) = prepared.lock().unwrap_or_else(PoisonError::into_inner).take() {
                prepared.write_into(memory);
            }
        };
        let answered = self.instance.process(info, Sent { len, write: &write }, output_max);
        add(&stats.bytes_in, len);
        add(&stats.bytes_out, self.instance.state().call.bytes);
        peak(&stats.memory_peak, self.instance.state().memory_bytes());
        Ok(Crossed::Answered(answered))
    }

    /// Calls `end-of-input`.
    pub(crate) fn end_of_input(&mut self, input: u32, millis: i64, bounds: Bounds) -> Answered {
        let output_max = self.instance.state().limits.output_bytes(0).min(bounds.ceiling);
        self.instance.end_of_input(input, millis, output_max)
    }

    /// Stages what the call emitted, without the rows that failed. Takes the batch only if it goes on as it is.
    pub(crate) fn publish(
        &mut self,
        phase: Phase,
        batch: &mut Option<RecordBatch>,
        faults: Option<&RowFaults>,
        cardinality: Cardinality,
        bounds: Bounds,
        out: &mut Output,
    ) -> Result<(), Trap> {
        let emitted = std::mem::take(&mut self.instance.state_mut().call.emitted);
        let rows = batch.as_ref().map_or(0, RecordBatch::num_rows);
        let failed = faults.map_or(0, RowFaults::count);
        let forwarded = match emitted.as_slice() {
            [Emitted::Rows(only)] if faults.is_none() && forwards(only, &self.plan) => Some(only.output),
            _ => None,
        };
        if let Some(output) = forwarded
            && let Some(batch) = batch.take()
        {
            // The whole batch goes on as it is, at any width.
            out.batch(output, batch);
            return Ok(());
        }
        let call = &self.instance.state().call;
        let good = faults.map(|faults| &faults.good);
        let fits = |copied: usize| {
            let bytes = call.bytes.saturating_add(copied);
            // Columns that were not sent are input too; their size is asked only when it matters.
            bytes <= call.output_max || bytes <= self.whole_output_max(batch.as_ref(), bounds)
        };
        let room = || call.output_max.max(self.whole_output_max(batch.as_ref(), bounds)).saturating_sub(call.bytes);
        let made = materialise(emitted, &self.plan, batch.as_ref(), good, room, fits);
        let made = made.map_err(|unmade| self.unmade(unmade, phase))?;
        let emitted_rows: usize = made.iter().map(|(_, batch)| batch.num_rows()).sum();
        let filtered = self.balance(phase, cardinality, rows, failed, emitted_rows)?;
        for (output, batch) in made {
            stage(output, batch, bounds.rows_max, out);
        }
        out.filtered(filtered as u64);
        self.forget();
        Ok(())
    }

    /// Forgets what the call emitted and gives back its charges.
    pub(crate) fn forget(&mut self) {
        let call = &mut self.instance.state_mut().call;
        call.emitted.clear();
        call.charges.clear();
    }

    fn whole_output_max(&self, batch: Option<&RecordBatch>, bounds: Bounds) -> usize {
        let columns = batch.map_or(&[][..], RecordBatch::columns);
        let input =
            columns.iter().map(|column| row_bytes::range(column, 0, column.len())).fold(0, usize::saturating_add);
        self.instance.state().limits.output_bytes(input).min(bounds.ceiling)
    }

    /// Holds the rows against what the plugin promised; answers how many it filtered.
    fn balance(
        &self,
        phase: Phase,
        cardinality: Cardinality,
        rows: usize,
        failed: usize,
        emitted: usize,
    ) -> Result<usize, Trap> {
        let left = rows.saturating_sub(failed);
        let wrong = match cardinality {
            Cardinality::Any => return Ok(0),
            Cardinality::OneToOne => emitted != left,
            Cardinality::Filter => emitted > left,
        };
        if !wrong {
            return Ok(left - emitted);
        }
        let promise = if cardinality == Cardinality::OneToOne { "one-to-one" } else { "filter" };
        let text =
            format!("emitted {emitted} rows for {rows} of which {failed} failed, and its `cardinality` is `{promise}`");
        Err(Trap::found(Class::Contract, phase, text, self.instance.state()))
    }

    fn unmade(&self, unmade: Unmade, phase: Phase) -> Trap {
        let state = self.instance.state();
        match unmade {
            Unmade::TooLarge => {
                let text = format!("emitted more than {} (`output_max`)", limits::size(state.call.output_max));
                Trap::found(Class::Output, phase, text, state)
            }
            Unmade::Arrow(error) => {
                let text = format!("emitted what cannot be made: {}", shown(&error.to_string(), state.limits.text_max));
                Trap::found(Class::Host, phase, text, state)
            }
        }
    }
}

/// Returns whether a selection is the current batch, unchanged.
fn forwards(selected: &Selected, plan: &BoundPlan) -> bool {
    matches!(selected.selection, Selection::All) && matches!(plan.outputs[selected.output].origin, Origin::SameAs(_))
}

/// Stages a batch. One whose rows take no bytes may have very many, and whoever gives them a column takes memory for all of
/// them at once, so it goes on in parts.
fn stage(output: usize, batch: RecordBatch, rows_max: usize, out: &mut Output) {
    let rows = batch.num_rows();
    if rows <= rows_max || !batch.columns().iter().all(|column| weightless(column.data_type())) {
        return out.batch(output, batch);
    }
    for start in (0..rows).step_by(rows_max.max(1)) {
        out.batch(output, batch.slice(start, rows_max.max(1).min(rows - start)));
    }
}

/// Returns whether a row of this type takes less than a byte.
fn weightless(data_type: &DataType) -> bool {
    match data_type {
        DataType::Null | DataType::Boolean | DataType::RunEndEncoded(..) => true,
        DataType::FixedSizeList(child, _) => weightless(child.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| weightless(field.data_type())),
        _ => false,
    }
}

fn add(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(bytes as u64, Ordering::Relaxed);
}

fn peak(counter: &AtomicU64, bytes: usize) {
    counter.fetch_max(bytes as u64, Ordering::Relaxed);
}
