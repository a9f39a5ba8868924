//! CSV output: RFC 4180 with `\n`, quotes where a reader would need them.
//!
//! Invariant: a reader gets the same number of rows and, nulls and types apart, the same texts back. A null is written as
//! `null_value`, a text that equals it in quotes.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::cells::Cells;
use super::text::{TextBuffer, TextEncoder, TextRows};
use super::{CsvFormat, EncodeError};

/// Rows as CSV.
pub(super) struct CsvRows {
    format: CsvFormat,
    value: String,
}

/// Begins an output; a continued one has its header already.
pub(super) fn begin<W: Write>(
    out: W,
    schema: &SchemaRef,
    format: CsvFormat,
    continued: bool,
) -> TextEncoder<W, CsvRows> {
    let mut encoder = TextEncoder::new(out, CsvRows { format: format.clone(), value: String::new() });
    if format.header && !continued {
        let header = &mut encoder.text.waiting;
        for (index, field) in schema.fields().iter().enumerate() {
            if index > 0 {
                header.push(format.delimiter);
            }
            push_field(header, field.name(), &format);
        }
        header.push(b'\n');
    }
    encoder
}

impl CsvRows {
    fn push_row(&mut self, cells: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                out.push(self.format.delimiter);
            }
            if cell.is_null(row) {
                out.extend_from_slice(self.format.null_value.as_bytes());
                continue;
            }
            self.value.clear();
            cell.write(row, &mut self.value)?;
            push_field(out, &self.value, &self.format);
        }
        if out.len() == start {
            // Readers skip an empty line, and a row of one null would be lost.
            out.extend_from_slice(b"\"\"");
        }
        out.push(b'\n');
        Ok(())
    }
}

impl TextRows for CsvRows {
    fn write<W: Write>(&mut self, batch: &RecordBatch, text: &mut TextBuffer<W>) -> Result<(), EncodeError> {
        let cells: Vec<Cells<'_>> = batch.columns().iter().map(|array| Cells::new(array)).collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            self.push_row(&cells, row, &mut text.waiting)?;
            text.settle()?;
        }
        Ok(())
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
