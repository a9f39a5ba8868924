//! Decodes CSV text into Arrow batches.
//!
//! First thing on the path of a batch from a CSV file: the source brings bytes, the decoder gives batches and the rows that
//! failed. A chunk of about 256 KiB is split into fields (`scan.rs`), grouped into records (`frame.rs`, `records.rs`), filtered by
//! the predicate (`filter.rs`), and what is left is converted column by column (`column.rs`), only the columns that somebody reads.
//! Invariant: each record becomes one row of a batch, one filtered row or one bad row, and which of them does not depend on
//! how the bytes come in or where batches end. Memory: one chunk (or one row up to `row_bytes_max`), one batch, one lot of bad rows.
//!
//! The text: RFC 4180 with any ASCII delimiter; lines end with LF or CR LF, the last one may have no end; a byte order mark is
//! passed over. A field that begins with a quote is quoted up to the next single quote, may hold delimiters and line ends, and `""` in it is
//! a quote. A quote inside any other field is text. Text after a closing quote, a wrong number of fields, a quote that is never
//! closed and a row larger than `row_bytes_max` each fail the row. An empty line is nothing, except in a file of one column, where it
//! is an empty value. A NUL byte is text. Not here: I/O, compression, where files and splits begin.

mod buffer;
mod column;
mod cuts;
mod filter;
mod frame;
mod fuzz;
mod nulls;
mod number;
mod peek;
mod records;
mod report;
mod scan;
mod simd;
mod text;
mod time;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use rde_core::{Code, Error, Predicate, Result};

use super::codes;
use super::config::{DELIMITER_HELP, is_delimiter};
use column::{Column, Failure};
use filter::Filter;
use frame::{Chunk, Frame, Framer, Opening};
use nulls::Nulls;
use records::{Broken, Form, Records};
use text::{Rows, Text};

pub use column::is_supported;
pub use cuts::CutFinder;
pub use frame::count_lines;
#[doc(hidden)]
pub use fuzz::fuzz_csv;
pub(super) use peek::{Peek, StampKind, first_record, is_boolean, is_float, is_int64, stamp_kind};
pub(super) use report::show;

/// Bad rows that wait before `step` asks to take them.
const BAD_ROWS_MAX: usize = 1024;
/// Bytes of bad rows that wait before `step` asks to take them, unless one is larger.
const BAD_BYTES_MAX: usize = 8 << 20;
/// Bytes kept of a row that is larger than `row_bytes_max`.
const LARGE_PAYLOAD: usize = 64 << 10;
/// The most that `bytes_max` and `row_bytes_max` can be: text in a batch is addressed by 31 bits.
const BYTES_LIMIT: usize = (1 << 30) - (1 << 20);

/// How to decode one split of one file.
#[derive(Clone, Debug)]
pub struct DecoderOptions {
    /// Separates fields.
    pub delimiter: u8,
    /// Texts that mean null, quoted or not.
    pub null_values: Vec<String>,
    /// How many fields each record has.
    pub fields: usize,
    /// The columns that somebody reads, the predicate included, in their order in the batches.
    pub columns: Vec<ColumnPlan>,
    /// Rows for which this is not true are left out.
    pub predicate: Option<Predicate>,
    /// The bytes begin where the file does: a byte order mark may come first.
    pub file_start: bool,
    /// The first record is a header, not a row.
    pub header: bool,
    /// Rows of a batch.
    pub rows_max: usize,
    /// Bytes of a batch, unless a single row has more.
    pub bytes_max: usize,
    /// A larger row is a failed row.
    pub row_bytes_max: usize,
}

/// One column that somebody reads.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnPlan {
    /// Its place in the records of this file, from 0.
    pub field: usize,
    /// Its name in the batches and in the predicate.
    pub name: String,
    /// Its type; see [`is_supported`].
    pub data_type: DataType,
    /// It goes into the batches; otherwise only the predicate reads it.
    pub output: bool,
}

/// What one step of a decoder came to.
#[derive(Debug)]
pub enum Step {
    /// It has nothing to decode: fill its [`Decoder::space`], or end it.
    NeedsBytes,
    /// A batch of at least one row.
    Batch(RecordBatch),
    /// Bad rows wait to be taken before it goes on.
    BadRows,
    /// Everything is out.
    Ended,
}

/// A row that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct BadRow {
    /// The line it begins on, from 1, counted from the first byte that the decoder was given.
    pub line: u64,
    /// Its bytes without the line end; of a row that is too large the first 64 KiB.
    pub payload: Vec<u8>,
    /// Why it failed.
    pub code: &'static Code,
    /// Why it failed, for a person.
    pub message: String,
    /// The column whose value is wrong, where it is one.
    pub column: Option<String>,
}

/// What a decoder has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows that were decided: the sum of the next three.
    pub rows_read: u64,
    /// Rows in batches.
    pub rows_out: u64,
    /// Rows left out by the predicate.
    pub rows_filtered: u64,
    /// Rows that failed.
    pub rows_bad: u64,
    /// Bytes it was given.
    pub bytes: u64,
}

/// Decodes one split of one file.
#[derive(Debug)]
pub struct Decoder {
    plans: Vec<ColumnPlan>,
    form: Form,
    nulls: Nulls,
    framer: Framer,
    filter: Option<Filter>,
    batch: Batch,
    /// What is left of the chunk at the front.
    current: Option<Current>,
    bad_rows: Vec<BadRow>,
    bad_bytes: usize,
    counts: Counts,
}

/// A chunk on its way into batches.
#[derive(Debug)]
struct Current {
    records: Records,
    next: usize,
    broken: std::vec::IntoIter<Broken>,
}

/// The batch that grows.
#[derive(Debug)]
struct Batch {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    /// Rows that failed in one of the columns.
    failed: Vec<usize>,
    /// The next row does not fit.
    closed: bool,
    /// Bytes of a row without text.
    row_bytes: usize,
    rows_max: usize,
    bytes_max: usize,
}

impl Decoder {
    /// Plans the decoding of one split.
    pub fn new(options: DecoderOptions) -> Result<Decoder> {
        let form = options.check()?;
        let opening = Opening { file_start: options.file_start, header: options.header };
        let framer = Framer::new(options.delimiter, form, opening);
        Decoder::with(options, form, framer)
    }

    fn with(options: DecoderOptions, form: Form, framer: Framer) -> Result<Decoder> {
        let filter = options.predicate.map(|predicate| Filter::new(predicate, &options.columns)).transpose()?;
        let batch = Batch::new(&options.columns, options.rows_max, options.bytes_max);
        Ok(Decoder {
            nulls: Nulls::new(&options.null_values),
            plans: options.columns,
            form,
            framer,
            filter,
            batch,
            current: None,
            bad_rows: Vec::new(),
            bad_bytes: 0,
            counts: Counts::default(),
        })
    }

    /// Returns the schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.batch.schema.clone()
    }

    /// Returns space to read the next bytes into; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        self.release();
        self.framer.buffer.space()
    }

    /// Takes the first `count` bytes of the space as text.
    pub fn filled(&mut self, count: usize) {
        self.framer.buffer.fill(count);
        self.counts.bytes += count as u64;
    }

    /// Says that no more bytes come.
    pub fn end(&mut self) {
        self.framer.end();
    }

    /// Decodes on until there is something to give or nothing left to decode; works on about one chunk at most.
    pub fn step(&mut self) -> Result<Step, ArrowError> {
        tracing::trace!(target: "rde::path", "csv::step");
        loop {
            if self.bad_rows.len() >= BAD_ROWS_MAX || self.bad_bytes >= BAD_BYTES_MAX {
                return Ok(Step::BadRows);
            }
            if self.report_broken() {
                continue;
            }
            if self.convert() {
                if self.batch.is_full()
                    && let Some(batch) = self.flush()?
                {
                    return Ok(Step::Batch(batch));
                }
                continue;
            }
            self.release();
            match self.framer.next() {
                Frame::Chunk(chunk) => self.enter(chunk)?,
                Frame::NeedsBytes => return Ok(Step::NeedsBytes),
                Frame::Ended => return self.last(),
            }
        }
    }

    /// Returns the rows decoded so far as a batch, if there are any, without waiting for it to be full.
    pub fn flush(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let batch = self.batch.finish()?;
        self.counts.rows_out += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        Ok(batch)
    }

    /// Returns the bad rows that wait, in no particular order.
    pub fn take_bad_rows(&mut self) -> Vec<BadRow> {
        self.bad_bytes = 0;
        std::mem::take(&mut self.bad_rows)
    }

    /// Returns what was done. Rows that are decoded but not yet in a batch are not counted.
    pub fn counts(&self) -> Counts {
        let Counts { rows_out, rows_filtered, rows_bad, .. } = self.counts;
        Counts { rows_read: rows_out + rows_filtered + rows_bad, ..self.counts }
    }

    fn last(&mut self) -> Result<Step, ArrowError> {
        if let Some(batch) = self.flush()? {
            return Ok(Step::Batch(batch));
        }
        Ok(if self.bad_rows.is_empty() { Step::Ended } else { Step::BadRows })
    }

    /// Lets go of the chunk at the front if nothing is left of it.
    fn release(&mut self) {
        if self.current.as_ref().is_some_and(Current::is_done) {
            self.current = None;
            self.framer.release();
        }
    }

    /// Takes a new chunk and leaves out the rows that the predicate refuses.
    fn enter(&mut self, chunk: Chunk) -> Result<(), ArrowError> {
        let Chunk { mut records, mut broken } = chunk;
        if let Some(filter) = &mut self.filter {
            let text = text(&self.framer, &self.nulls, self.form);
            let rows = records.rows();
            let mut refused = 0;
            let kept = filter.keep(&text, rows, |row| {
                refused += 1;
                broken.push(wrong_value(&text, row.base as usize, row.failure));
            })?;
            self.counts.rows_filtered += (rows.len() - kept.len() - refused) as u64;
            records = Records::Listed(kept);
        }
        self.current = Some(Current { records, next: 0, broken: broken.into_iter() });
        Ok(())
    }

    /// Converts as many rows of the chunk as the batch has room for; false means that none is left.
    fn convert(&mut self) -> bool {
        let Some(current) = &mut self.current else { return false };
        let text = text(&self.framer, &self.nulls, self.form);
        let rows = current.records.rows();
        if current.next == rows.len() {
            return false;
        }
        let count = self.batch.room(&text, rows.slice(current.next, rows.len()));
        let rows = rows.slice(current.next, current.next + count);
        current.next += count;
        let failures = self.batch.convert(&text, rows);
        let broken: Vec<Broken> = failures
            .into_iter()
            .map(|failure| wrong_value(&text, rows.base(failure.row, text.fields), failure))
            .collect();
        broken.into_iter().for_each(|record| self.report(record));
        true
    }

    /// Reports some broken records of the chunk; false means that none is left.
    fn report_broken(&mut self) -> bool {
        let Some(record) = self.current.as_mut().and_then(|current| current.broken.next()) else { return false };
        self.report(record);
        true
    }

    fn report(&mut self, record: Broken) {
        let line = self.framer.line(record.start);
        let text = text(&self.framer, &self.nulls, self.form);
        let bad_row = report::bad_row(&record, line, &text, &self.plans, self.form.row_bytes_max.min(LARGE_PAYLOAD));
        self.bad_bytes += bad_row.payload.len();
        self.bad_rows.push(bad_row);
        self.counts.rows_bad += 1;
    }
}

impl DecoderOptions {
    fn check(&self) -> Result<Form> {
        check_delimiter(self.delimiter)?;
        for plan in &self.columns {
            if plan.field >= self.fields {
                let message = format!("column `{}` has no field in a file of {} columns", plan.name, self.fields);
                return Err(Error::internal(&codes::BAD_PLAN, message));
            }
            if !is_supported(&plan.data_type) {
                let name = crate::type_name(&plan.data_type);
                let message = format!("column `{}`: CSV cannot hold the type {name}", plan.name);
                return Err(Error::config(&codes::UNSUPPORTED_TYPE, message)
                    .help("read the column as utf8 and convert it in a `sql` operator"));
            }
        }
        if self.fields == 0 {
            return Err(Error::internal(&codes::BAD_PLAN, "a file without columns was to be decoded"));
        }
        Ok(Form { fields: self.fields, row_bytes_max: self.row_bytes_max.min(BYTES_LIMIT) })
    }
}

/// Refuses delimiters that the splitter would take for something else.
pub(super) fn check_delimiter(delimiter: u8) -> Result<()> {
    if is_delimiter(delimiter) {
        return Ok(());
    }
    let message = format!("`{}` cannot be the delimiter", char::from(delimiter).escape_default());
    Err(Error::config(&codes::BAD_DELIMITER, message).help(DELIMITER_HELP))
}

impl Current {
    fn is_done(&self) -> bool {
        self.next == self.records.rows().len() && self.broken.len() == 0
    }
}

impl Batch {
    fn new(plans: &[ColumnPlan], rows_max: usize, bytes_max: usize) -> Batch {
        let outputs = || plans.iter().filter(|plan| plan.output);
        let columns: Vec<Column> = outputs().filter_map(|plan| Column::new(plan.field, &plan.data_type)).collect();
        let fields: Vec<Field> = outputs().map(|plan| Field::new(&plan.name, plan.data_type.clone(), true)).collect();
        Batch {
            schema: Arc::new(Schema::new(fields)),
            row_bytes: columns.iter().map(Column::row_bytes).sum(),
            columns,
            rows: 0,
            failed: Vec::new(),
            closed: false,
            rows_max: rows_max.max(1),
            bytes_max: bytes_max.clamp(1, BYTES_LIMIT),
        }
    }

    fn bytes(&self) -> usize {
        self.rows * self.row_bytes + self.columns.iter().map(Column::text_bytes).sum::<usize>()
    }

    fn is_full(&self) -> bool {
        self.closed || self.rows >= self.rows_max || self.bytes() >= self.bytes_max
    }

    /// Returns how many of `rows` fit into the batch, which is not full; one always fits into an empty batch.
    fn room(&mut self, text: &Text<'_>, rows: Rows<'_>) -> usize {
        let count = self.fit(text, rows);
        self.closed = count == 0 && self.rows > 0;
        if self.rows == 0 { count.max(1) } else { count }
    }

    fn fit(&self, text: &Text<'_>, rows: Rows<'_>) -> usize {
        let room = self.bytes_max.saturating_sub(self.bytes());
        let count = rows.len().min(self.rows_max - self.rows);
        let has_text = self.columns.iter().any(Column::holds_text);
        if !has_text {
            return count.min(room.checked_div(self.row_bytes).unwrap_or(count));
        }
        // What a record holds is at most its own length.
        let span = text.record(rows.base(count - 1, text.fields)).1 - text.record(rows.base(0, text.fields)).0;
        if span + count * self.row_bytes <= room {
            return count;
        }
        let mut used = 0;
        let fits = (0..count).take_while(|row| {
            let (start, end) = text.record(rows.base(*row, text.fields));
            used += end - start + self.row_bytes;
            used <= room
        });
        fits.count()
    }

    /// Adds rows, and returns one failure for each of them that failed.
    fn convert(&mut self, text: &Text<'_>, rows: Rows<'_>) -> Vec<Failure> {
        let mut failures = Vec::new();
        for column in &mut self.columns {
            column.convert(text, rows, &mut failures);
        }
        // The leftmost of its wrong fields speaks for a row.
        failures.sort_by_key(|failure| (failure.row, failure.field));
        failures.dedup_by_key(|failure| failure.row);
        self.failed.extend(failures.iter().map(|failure| self.rows + failure.row));
        self.rows += rows.len();
        failures
    }

    /// Takes the rows out, without those that failed.
    fn finish(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        self.closed = false;
        if rows == 0 {
            return Ok(None);
        }
        let arrays = self.columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?;
        let failed = std::mem::take(&mut self.failed);
        if failed.is_empty() {
            return Ok(Some(batch));
        }
        let mut keep = vec![true; rows];
        failed.into_iter().for_each(|row| keep[row] = false);
        let batch = filter_record_batch(&batch, &BooleanArray::from(keep))?;
        Ok((batch.num_rows() > 0).then_some(batch))
    }
}

impl Records {
    fn rows(&self) -> Rows<'_> {
        match self {
            Records::Even { count } => Rows::Even { first: 0, count: *count },
            Records::Listed(bases) => Rows::Listed(bases),
        }
    }
}

fn text<'a>(framer: &'a Framer, nulls: &'a Nulls, form: Form) -> Text<'a> {
    let scanner = &framer.scanner;
    Text {
        bytes: framer.buffer.padded(),
        ends: scanner.ends(),
        fields: form.fields,
        quotes: scanner.any_quote(),
        nulls,
    }
}

fn wrong_value(text: &Text<'_>, base: usize, failure: Failure) -> Broken {
    let (start, end) = text.record(base);
    let (fields, field) = (text.fields as u64, Some(failure.field));
    Broken { start, end, code: failure.code, fields, field }
}
