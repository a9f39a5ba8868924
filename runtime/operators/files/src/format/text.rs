//! What all formats of text share: rows are written into a buffer that goes on in large pieces.
//!
//! Invariant: whole rows leave with every drain. Not here: how a row looks (`csv.rs`, `json.rs`, `table.rs`).

use std::io::Write;

use arrow::array::RecordBatch;

use super::{EncodeError, Encoder};

/// How the rows of a format look.
pub(super) trait TextRows: Send {
    /// Writes the rows of a batch, and settles the buffer between rows.
    fn write<W: Write>(&mut self, batch: &RecordBatch, text: &mut TextBuffer<W>) -> Result<(), EncodeError>;

    /// Writes what an output has even if no batch came.
    fn end<W: Write>(&mut self, _text: &mut TextBuffer<W>) {}
}

/// Writes the rows of a format.
pub(super) struct TextEncoder<W, R> {
    pub(super) text: TextBuffer<W>,
    rows: R,
}

/// Collects text and hands it to `W` in large pieces.
pub(super) struct TextBuffer<W> {
    out: W,
    pub(super) waiting: Vec<u8>,
    written: u64,
}

impl<W: Write, R> TextEncoder<W, R> {
    pub(super) fn new(out: W, rows: R) -> TextEncoder<W, R> {
        TextEncoder { text: TextBuffer::new(out), rows }
    }
}

impl<W: Write + Send, R: TextRows> Encoder<W> for TextEncoder<W, R> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        self.rows.write(batch, &mut self.text)
    }

    fn written(&self) -> u64 {
        self.text.written
    }

    fn size(&self) -> u64 {
        self.text.size()
    }

    fn memory(&self) -> usize {
        self.text.waiting.len()
    }

    fn drain(&mut self) -> Result<(), EncodeError> {
        self.text.drain()
    }

    fn finish(mut self: Box<Self>) -> Result<W, EncodeError> {
        self.rows.end(&mut self.text);
        self.text.finish()
    }
}

impl<W: Write> TextBuffer<W> {
    /// Bytes that wait before they go to `W`.
    const WAITING_MAX: usize = 128 * 1024;

    fn new(out: W) -> TextBuffer<W> {
        TextBuffer { out, waiting: Vec::new(), written: 0 }
    }

    fn size(&self) -> u64 {
        self.written + self.waiting.len() as u64
    }

    pub(super) fn settle(&mut self) -> Result<(), EncodeError> {
        if self.waiting.len() >= Self::WAITING_MAX { self.drain() } else { Ok(()) }
    }

    fn drain(&mut self) -> Result<(), EncodeError> {
        self.out.write_all(&self.waiting)?;
        self.written += self.waiting.len() as u64;
        self.waiting.clear();
        // One large batch does not keep its memory for the rest of the run.
        self.waiting.shrink_to(2 * Self::WAITING_MAX);
        Ok(())
    }

    fn finish(mut self) -> Result<W, EncodeError> {
        self.drain()?;
        Ok(self.out)
    }
}
