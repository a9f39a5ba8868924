//! Where an operator puts what one call made: batches per port, schemas, rejected rows, counts.
//!
//! Nothing is sent while the operator runs. The engine takes what is staged after the call; on `RetryAfter` it rewinds to
//! the mark, so that a call is published as one or not at all.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::EventTime;

/// What an operator staged, in order.
#[derive(Debug)]
pub enum Staged {
    /// Announces a schema on a port.
    Schema(usize, SchemaRef, Option<Arc<str>>),
    /// Rows for a port.
    Batch(usize, RecordBatch),
    /// A row that failed; the operator's `on_error` decides.
    Rejected(Rejected),
    /// A source's watermark.
    Watermark(EventTime),
}

/// The original of a rejected row.
#[derive(Clone, Debug)]
pub enum Payload {
    /// There is none.
    None,
    /// Original bytes and their format: `csv`, `json` or `raw`.
    Bytes(Vec<u8>, &'static str),
    /// One row of a batch, kept as `arrow`. The batch is shared, since all of its rows may fail.
    Row(Arc<RecordBatch>, usize),
}

/// One row that failed.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// An RDE code when RDE refuses the row, the plugin's own when a plugin does.
    pub code: Cow<'static, str>,
    /// For a person.
    pub message: String,
    /// The row.
    pub payload: Payload,
    /// JSON: where the row was read.
    pub position: Option<String>,
    /// Digest of the plugin that refused it.
    pub plugin: Option<Arc<str>>,
    /// JSON: trap class, backtrace, log tail, batch.
    pub detail: Option<String>,
    /// 1 unless the call was repeated.
    pub attempt: i32,
}

impl Rejected {
    /// Makes a rejection with code and message.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>, payload: Payload) -> Rejected {
        Rejected {
            code: code.into(),
            message: message.into(),
            payload,
            position: None,
            plugin: None,
            detail: None,
            attempt: 1,
        }
    }

    /// Adds the place where a source read it.
    #[must_use]
    pub fn positioned(mut self, position: String) -> Rejected {
        self.position = Some(position);
        self
    }
}

/// Counts of one or more calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Rows a source decoded.
    pub rows_read: u64,
    /// Rows left out on purpose: a predicate, `drop_null`, `dedupe`.
    pub rows_filtered: u64,
    /// Bytes a source read or a sink wrote.
    pub bytes: u64,
}

/// A point to rewind to.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize, Counted);

/// Collects what one call makes.
#[derive(Debug, Default)]
pub struct Output {
    staged: Vec<Staged>,
    counted: Counted,
}

impl Output {
    /// Makes an empty one.
    pub fn new() -> Output {
        Output::default()
    }

    /// Announces the schema of the batches that follow on `port`. Must come before the first batch.
    pub fn schema(&mut self, port: usize, schema: SchemaRef, cause: Option<Arc<str>>) {
        self.staged.push(Staged::Schema(port, schema, cause));
    }

    /// Puts a batch on `port`; one without rows is dropped.
    pub fn batch(&mut self, port: usize, batch: RecordBatch) {
        if batch.num_rows() > 0 {
            self.staged.push(Staged::Batch(port, batch));
        }
    }

    /// Puts a failed row aside.
    pub fn reject(&mut self, rejected: Rejected) {
        self.staged.push(Staged::Rejected(rejected));
    }

    /// Announces that no later row of this source is expected to be older.
    pub fn watermark(&mut self, at: EventTime) {
        self.staged.push(Staged::Watermark(at));
    }

    /// Counts rows decoded and bytes read by a source.
    pub fn read(&mut self, rows: u64, bytes: u64) {
        self.counted.rows_read += rows;
        self.counted.bytes += bytes;
    }

    /// Counts rows left out on purpose.
    pub fn filtered(&mut self, rows: u64) {
        self.counted.rows_filtered += rows;
    }

    /// Counts bytes written by a sink.
    pub fn wrote(&mut self, bytes: u64) {
        self.counted.bytes += bytes;
    }

    /// Returns the point reached.
    pub fn mark(&self) -> Mark {
        Mark(self.staged.len(), self.counted)
    }

    /// Forgets everything after `mark`.
    pub fn rewind(&mut self, mark: Mark) {
        self.staged.truncate(mark.0);
        self.counted = mark.1;
    }

    /// Returns whether nothing is staged.
    pub fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    /// Returns what is staged, in order.
    pub fn staged(&self) -> &[Staged] {
        &self.staged
    }

    /// Takes everything, keeping the allocation.
    pub fn take(&mut self) -> (std::vec::Drain<'_, Staged>, Counted) {
        let counted = std::mem::take(&mut self.counted);
        (self.staged.drain(..), counted)
    }
}
