//! What a plugin answers for the current batch.
//!
//! On the batch path: new columns are written straight into the message that the host reads. Invariants: the answer is made of
//! rows of the current batch, so row faults can be taken out by the host; memory is used again. Not here: the plan of what is
//! reused and added (`plan.rs`).

use std::borrow::Cow;

use rde_ipc::{DataType, MessageWriter, Native, Stored, TextWriter};

use crate::batch::{Numbers, Texts};
use crate::bindings::rde::plugin::types::Failure;
use crate::failure::{Faults, RowError};
use crate::host;
use crate::plan::{Layout, SCHEMA_ID};

/// The answer to one batch.
pub struct Emit<'a> {
    layout: &'a Layout,
    scratch: &'a mut Scratch,
    rows: usize,
}

/// Rows that are kept, as bits.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    bits: Vec<u8>,
    count: usize,
    rows: usize,
}

/// New columns for rows of the current batch, written in the order of the plan.
pub struct NewColumns<'e> {
    layout: &'e Layout,
    scratch: &'e mut Scratch,
    selection: Selection<'e>,
    column: usize,
    fault: Option<String>,
}

/// Which rows come out.
enum Selection<'e> {
    All,
    Kept(&'e Kept),
    Rows(&'e [u32]),
    /// Rows of their own, for an output that is a table.
    Table,
}

impl Selection<'_> {
    /// Hands rows on as they came: where the plan changes nothing, the host takes no columns.
    fn send_same(self) {
        match self {
            Selection::All => host::forward(0),
            Selection::Kept(kept) => kept.send(kept.rows),
            Selection::Rows(rows) => host::pick(0, rows),
            // Such a plan has no table; the host says so.
            Selection::Table => host::message(0, SCHEMA_ID, &[]),
        }
    }
}

/// Memory that is used again for each batch.
#[derive(Default)]
pub(crate) struct Scratch {
    writer: MessageWriter,
    faults: Faults,
    source: Vec<u32>,
}

impl Scratch {
    pub(crate) fn new(writer: MessageWriter) -> Self {
        Scratch { writer, faults: Faults::default(), source: Vec::new() }
    }

    pub(crate) fn end_call(&mut self) -> Result<(), Failure> {
        self.faults.end()
    }
}

impl<'a> Emit<'a> {
    pub(crate) fn new(layout: &'a Layout, scratch: &'a mut Scratch, rows: usize) -> Self {
        // A call that failed may have left faults behind.
        scratch.faults = Faults::default();
        Emit { layout, scratch, rows }
    }

    /// The batch as it came.
    pub fn forward(&mut self) {
        host::forward(0);
    }

    /// The rows that are kept, as they came.
    pub fn keep(&mut self, kept: &Kept) {
        kept.send(self.rows);
    }

    /// The named rows, in this order; a row may be named more than once.
    pub fn pick(&mut self, rows: &[u32]) {
        host::pick(0, rows);
    }

    /// Marks a row as bad: it goes to `errors` and is taken out of everything else that this call emits.
    pub fn fail(&mut self, row: usize, error: &RowError) {
        self.scratch.faults.add(narrow(row), error);
    }

    /// New columns for all rows.
    pub fn columns(&mut self) -> NewColumns<'_> {
        self.begin(Selection::All, self.rows)
    }

    /// New columns for the rows that are kept.
    pub fn columns_of<'e>(&'e mut self, kept: &'e Kept) -> NewColumns<'e> {
        self.scratch.source.clear();
        self.scratch.source.extend(kept.iter().map(narrow));
        self.begin(Selection::Kept(kept), kept.count)
    }

    /// New columns for the named rows, in this order; a row may be named more than once.
    pub fn columns_for<'e>(&'e mut self, rows: &'e [u32]) -> NewColumns<'e> {
        self.scratch.source.clear();
        self.scratch.source.extend_from_slice(rows);
        self.begin(Selection::Rows(rows), rows.len())
    }

    /// A table of `rows` rows of its own, for a plan with [`crate::Plan::emit_table`]. Rows that fail must be left out.
    pub fn table(&mut self, rows: usize) -> NewColumns<'_> {
        self.begin(Selection::Table, rows)
    }

    /// A whole batch as one IPC message, for a plan with [`crate::Plan::emit_table`].
    pub fn message(&mut self, message: &[u8]) {
        host::message(0, SCHEMA_ID, message);
    }

    /// New columns as one IPC message, for all rows.
    pub fn extend_with(&mut self, message: &[u8]) {
        host::extend(0, SCHEMA_ID, None, &self.layout.reuse, message);
    }

    #[cfg(feature = "arrow")]
    pub(crate) fn new_fields(&self) -> &'a rde_ipc::Schema {
        &self.layout.added
    }

    fn begin<'e>(&'e mut self, selection: Selection<'e>, rows: usize) -> NewColumns<'e> {
        self.scratch.writer.start(rows);
        NewColumns { layout: self.layout, scratch: self.scratch, selection, column: 0, fault: None }
    }
}

impl Kept {
    /// The rows below `rows` for which the answer is true.
    pub fn by(rows: usize, mut keep: impl FnMut(usize) -> bool) -> Self {
        let mut bits = Vec::with_capacity(rows.div_ceil(8));
        let mut count = 0_u32;
        for start in (0..rows).step_by(8) {
            let mut byte = 0_u8;
            for bit in 0..8.min(rows - start) {
                byte |= u8::from(keep(start + bit)) << bit;
            }
            count += byte.count_ones();
            bits.push(byte);
        }
        let count = usize::try_from(count).unwrap_or(rows);
        Kept { bits, count, rows }
    }

    fn send(&self, rows: usize) {
        if self.count == rows {
            host::forward(0);
        } else if self.count > 0 {
            host::keep(0, &self.bits);
        }
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The rows that are kept, rising.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.rows).filter(|row| self.bits[row / 8] >> (row % 8) & 1 == 1)
    }
}

impl NewColumns<'_> {
    /// The next column: a function of the values of a column, null where that is null. For all rows it is a plain loop over two
    /// slices, so **the function also gets what lies beneath nulls**, mostly 0, and its answer is thrown away: use
    /// [`NewColumns::numbers`] for one that may panic, such as a division.
    pub fn map<I: Native, O: Native + Stored>(&mut self, input: &Numbers<'_, I>, mut function: impl FnMut(I) -> O) {
        if !matches!(self.selection, Selection::All) {
            return self.numbers(|row| input.get(row).map(&mut function));
        }
        self.next(O::NAME, O::stores);
        let target = self.scratch.writer.fixed_like::<O>(input.validity(), input.null_count());
        map_values::<I, O, NUMBERS_STEP>(target, input.values(), function);
    }

    /// The next column: a number or nothing for each row. The closure gets the row's number in the batch.
    pub fn numbers<O: Native + Stored>(&mut self, mut value: impl FnMut(usize) -> Option<O>) {
        self.next(O::NAME, O::stores);
        let Scratch { writer, source, .. } = &mut *self.scratch;
        let plain = matches!(self.selection, Selection::All | Selection::Table);
        writer.fixed_with::<O>(|target, validity| {
            let mut nulls = 0;
            for (index, target) in target.iter_mut().enumerate() {
                match value(if plain { index } else { at(source, index) }) {
                    Some(number) => *target = number,
                    None => {
                        *target = O::default();
                        validity[index / 8] &= !(1 << (index % 8));
                        nulls += 1;
                    }
                }
            }
            nulls
        });
    }

    /// The next column: a number, nothing, or a fault for each row. A row with a fault goes to `errors`.
    pub fn try_numbers<O: Native + Stored>(&mut self, mut value: impl FnMut(usize) -> Result<Option<O>, RowError>) {
        self.rows_of_the_batch();
        let mut faults = std::mem::take(&mut self.scratch.faults);
        self.numbers(|row| {
            value(row).unwrap_or_else(|error| {
                faults.add(narrow(row), &error);
                // The host takes the row out; a value that is not null suits every field.
                Some(O::default())
            })
        });
        self.scratch.faults = faults;
    }

    /// Faults name rows of the batch, and a table has rows of its own.
    fn rows_of_the_batch(&mut self) {
        if matches!(self.selection, Selection::Table) {
            let text = "the rows of a table cannot fail: leave them out, or mark the batch's row with `Emit::fail`";
            self.fault.get_or_insert_with(|| text.to_owned());
        }
    }

    /// The next column: a boolean or nothing for each row.
    pub fn bools(&mut self, mut value: impl FnMut(usize) -> Option<bool>) {
        self.next("bool", |data_type| *data_type == DataType::Bool);
        let rows = self.scratch.writer.rows();
        let Scratch { writer, source, .. } = &mut *self.scratch;
        let plain = matches!(self.selection, Selection::All | Selection::Table);
        writer.bools_with(|data, validity| {
            let mut nulls = 0;
            for index in 0..rows {
                let (byte, bit) = (index / 8, 1 << (index % 8));
                match value(if plain { index } else { at(source, index) }) {
                    Some(true) => data[byte] |= bit,
                    Some(false) => {}
                    None => {
                        validity[byte] &= !bit;
                        nulls += 1;
                    }
                }
            }
            nulls
        });
    }

    /// The next column: a text or nothing for each row.
    pub fn texts<'t, S: Into<Cow<'t, str>>>(&mut self, mut value: impl FnMut(usize) -> Option<S>) {
        self.write_texts(|row, text| match value(row) {
            Some(value) => text.push(value.into().as_bytes()),
            None => text.push_null(),
        });
    }

    /// The next column: a text, nothing, or a fault for each row. A row with a fault goes to `errors`.
    pub fn try_texts<'t, S: Into<Cow<'t, str>>>(
        &mut self,
        mut value: impl FnMut(usize) -> Result<Option<S>, RowError>,
    ) {
        self.rows_of_the_batch();
        let mut faults = std::mem::take(&mut self.scratch.faults);
        self.write_texts(|row, text| match value(row) {
            Ok(Some(value)) => text.push(value.into().as_bytes()),
            Ok(None) => text.push_null(),
            Err(error) => {
                faults.add(narrow(row), &error);
                text.push(&[]);
            }
        });
        self.scratch.faults = faults;
    }

    /// The next column, of texts or byte strings: the closure writes exactly one of each row with [`TextWriter::push`],
    /// [`TextWriter::push_null`], or parts and [`TextWriter::end_row`].
    pub fn write_texts(&mut self, mut write: impl FnMut(usize, &mut TextWriter<'_>)) {
        self.next("text", is_text);
        let rows = self.scratch.writer.rows();
        let Scratch { writer, source, .. } = &mut *self.scratch;
        let plain = matches!(self.selection, Selection::All | Selection::Table);
        let mut text = writer.text();
        for index in 0..rows {
            write(if plain { index } else { at(source, index) }, &mut text);
        }
        text.end();
    }

    /// The next column: the texts of another with each byte changed, which is the quickest way to change texts. The function
    /// must leave UTF-8: leave bytes from 128 on as they are.
    pub fn map_bytes(&mut self, input: &Texts<'_>, mut function: impl FnMut(u8) -> u8) {
        if let (Selection::All, Some(offsets)) = (&self.selection, input.values.small_offsets())
            && offsets.first() == Some(&0)
        {
            self.next("text", is_text);
            let writer = &mut self.scratch.writer;
            return writer.text_like(offsets, input.values.data(), input.validity, input.nulls, |target, source| {
                map_values::<u8, u8, BYTES_STEP>(target, source, function);
            });
        }
        self.change_bytes(input, |bytes| bytes.iter_mut().for_each(|byte| *byte = function(*byte)));
    }

    /// The next column: the texts of another with their bytes changed in place, all rows as one block. The closure must leave
    /// UTF-8 and every text as long as it was. For all rows only, and texts of the 32-bit form; else each row is a block.
    pub fn change_bytes(&mut self, input: &Texts<'_>, mut change: impl FnMut(&mut [u8])) {
        if let (Selection::All, Some(offsets)) = (&self.selection, input.values.small_offsets())
            && offsets.first() == Some(&0)
        {
            self.next("text", is_text);
            let writer = &mut self.scratch.writer;
            return writer.text_like(offsets, input.values.data(), input.validity, input.nulls, |target, source| {
                target.copy_from_slice(source);
                change(target);
            });
        }
        let mut bytes = Vec::new();
        self.write_texts(|row, text| match input.get(row) {
            Some(value) => {
                bytes.clear();
                bytes.extend_from_slice(value.as_bytes());
                change(&mut bytes);
                text.push(&bytes);
            }
            None => text.push_null(),
        });
    }

    /// The writer, for columns of any other type.
    pub fn writer(&mut self) -> &mut MessageWriter {
        &mut self.scratch.writer
    }

    /// Compares the next column of the plan with what is about to be written.
    fn next(&mut self, wanted: &str, stores: impl Fn(&DataType) -> bool) {
        match self.layout.added.fields.get(self.column) {
            Some(field) if stores(&field.data_type) => {}
            Some(field) if self.fault.is_none() => {
                let (name, planned) = (&field.name, field.data_type.name());
                self.fault = Some(format!("column `{name}` was planned as {planned} and is written as {wanted}"));
            }
            Some(_) => {}
            None => self.fault = Some("more columns are written than were planned".to_owned()),
        }
        self.column += 1;
    }

    /// Hands the rows with their new columns to the host.
    pub fn send(self) -> Result<(), Failure> {
        if let Some(fault) = self.fault {
            return Err(Failure::fatal(fault));
        }
        if self.layout.same {
            self.selection.send_same();
            return Ok(());
        }
        let data: &[u8] = if self.layout.added.fields.is_empty() {
            &[]
        } else {
            let data = self.scratch.writer.finish();
            data.map_err(|error| Failure::fatal(format!("the new columns do not match the plan: {error}")))?
        };
        let reuse = &self.layout.reuse;
        match self.selection {
            Selection::All => host::extend(0, SCHEMA_ID, None, reuse, data),
            Selection::Kept(kept) if kept.count == 0 => {}
            Selection::Kept(kept) => host::extend(0, SCHEMA_ID, Some(&kept.bits), reuse, data),
            Selection::Rows(rows) => host::expand(0, SCHEMA_ID, rows, reuse, data),
            Selection::Table => host::message(0, SCHEMA_ID, data),
        }
        Ok(())
    }
}

/// Numbers that one turn of a loop takes.
const NUMBERS_STEP: usize = 32;
/// Bytes that one turn of a loop takes.
const BYTES_STEP: usize = 128;

/// Fills `target` from `source`, `STEP` values at a turn. The host looks at its clock once a turn of every loop, which costs
/// more than a multiplication does: the inner loop has no turns, since the compiler unrolls it.
#[inline]
fn map_values<I: Copy, O: Copy, const STEP: usize>(target: &mut [O], source: &[I], mut function: impl FnMut(I) -> O) {
    let (targets, target_rest) = target.as_chunks_mut::<STEP>();
    let (sources, source_rest) = source.as_chunks::<STEP>();
    for (target, source) in targets.iter_mut().zip(sources) {
        for (target, value) in target.iter_mut().zip(source) {
            *target = function(*value);
        }
    }
    for (target, value) in target_rest.iter_mut().zip(source_rest) {
        *target = function(*value);
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary)
}

fn at(source: &[u32], index: usize) -> usize {
    source.get(index).and_then(|row| usize::try_from(*row).ok()).unwrap_or(usize::MAX)
}

fn narrow(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX)
}
