//! CSV output: RFC 4180 with `\n`, quotes where a reader would need them.
//!
//! Invariant: a reader gets the same number of rows and, nulls and types apart, the same texts back. A null is written as
//! `null_value`, a text that equals it in quotes.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::cells::Cells;
use super::{CsvFormat, EncodeError, Encoder, TextBuffer};

/// Writes CSV.
pub(super) struct CsvEncoder<W> {
    text: TextBuffer<W>,
    format: CsvFormat,
    value: String,
}

impl<W: Write> CsvEncoder<W> {
    pub(super) fn new(out: W, schema: &SchemaRef, format: CsvFormat, continued: bool) -> CsvEncoder<W> {
        let mut text = TextBuffer::new(out);
        if format.header && !continued {
            for (index, field) in schema.fields().iter().enumerate() {
                if index > 0 {
                    text.waiting.push(format.delimiter);
                }
                push_field(&mut text.waiting, field.name(), &format);
            }
            text.waiting.push(b'\n');
        }
        CsvEncoder { text, format, value: String::new() }
    }

    fn push_row(&mut self, cells: &[Cells<'_>], row: usize) -> Result<(), EncodeError> {
        let start = self.text.waiting.len();
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                self.text.waiting.push(self.format.delimiter);
            }
            if cell.is_null(row) {
                self.text.waiting.extend_from_slice(self.format.null_value.as_bytes());
                continue;
            }
            self.value.clear();
            cell.write(row, &mut self.value)?;
            push_field(&mut self.text.waiting, &self.value, &self.format);
        }
        if self.text.waiting.len() == start {
            // Readers skip an empty line, and a row of one null would be lost.
            self.text.waiting.extend_from_slice(b"\"\"");
        }
        self.text.waiting.push(b'\n');
        Ok(())
    }
}

impl<W: Write + Send> Encoder<W> for CsvEncoder<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        let cells: Vec<Cells<'_>> = batch.columns().iter().map(|array| Cells::new(array)).collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            self.push_row(&cells, row)?;
            self.text.settle()?;
        }
        Ok(())
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

    fn finish(self: Box<Self>) -> Result<W, EncodeError> {
        self.text.finish()
    }
}

fn push_field(out: &mut Vec<u8>, value: &str, format: &CsvFormat) {
    let special = |byte: &u8| matches!(*byte, b'"' | b'\n' | b'\r') || *byte == format.delimiter;
    let quoted = value.is_empty() || value == format.null_value || value.as_bytes().iter().any(special);
    if !quoted {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in value.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
