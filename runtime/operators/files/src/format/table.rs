//! A table for a person: columns aligned by the widths of the first batch, rows shown as they come.
//!
//! A later value that is wider shifts its row and is never cut. Line breaks and other control characters are escaped, so a
//! row is one line and no value can send commands to a terminal.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::EncodeError;
use super::cells::Cells;
use super::text::{TextBuffer, TextRows};

/// Widest column the first batch may ask for.
const WIDTH_MAX: usize = 40;

/// Rows of the first batch that widths are taken from.
const WIDTH_ROWS: usize = 1000;

/// Text of a null.
const NULL: &str = "null";

/// Rows of a table.
pub(super) struct TableRows {
    schema: SchemaRef,
    widths: Vec<usize>,
    titled: bool,
}

impl TableRows {
    pub(super) fn new(schema: SchemaRef, continued: bool) -> TableRows {
        let widths = schema.fields().iter().map(|field| width(&escape(field.name()))).collect();
        TableRows { schema, widths, titled: continued }
    }

    fn title(&mut self, out: &mut Vec<u8>) {
        if self.titled {
            return;
        }
        self.titled = true;
        let names: Vec<String> = self.schema.fields().iter().map(|field| escape(field.name())).collect();
        self.line(&names, out);
        let rules: Vec<String> = self.widths.iter().map(|width| "-".repeat(*width)).collect();
        self.line(&rules, out);
    }

    fn line(&self, cells: &[String], out: &mut Vec<u8>) {
        let mut line = String::new();
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                line.push_str("  ");
            }
            let padding = " ".repeat(self.widths[index].saturating_sub(width(cell)));
            if self.schema.field(index).data_type().is_numeric() {
                line.push_str(&padding);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&padding);
            }
        }
        out.extend_from_slice(line.trim_end().as_bytes());
        out.push(b'\n');
    }
}

impl TextRows for TableRows {
    fn write<W: Write>(&mut self, batch: &RecordBatch, out: &mut TextBuffer<W>) -> Result<(), EncodeError> {
        let columns: Vec<Cells<'_>> =
            batch.columns().iter().map(|array| Cells::new(array)).collect::<Result<_, _>>()?;
        let texts = |row: usize| columns.iter().map(|cells| text(cells, row)).collect::<Result<Vec<String>, _>>();
        if !self.titled {
            for row in 0..batch.num_rows().min(WIDTH_ROWS) {
                for (index, cell) in texts(row)?.iter().enumerate() {
                    self.widths[index] = self.widths[index].max(width(cell).min(WIDTH_MAX));
                }
            }
        }
        self.title(&mut out.waiting);
        for row in 0..batch.num_rows() {
            self.line(&texts(row)?, &mut out.waiting);
            out.settle()?;
        }
        Ok(())
    }

    fn end<W: Write>(&mut self, out: &mut TextBuffer<W>) {
        self.title(&mut out.waiting);
    }
}

fn text(cells: &Cells<'_>, row: usize) -> Result<String, EncodeError> {
    if cells.is_null(row) {
        return Ok(NULL.to_owned());
    }
    let mut text = String::new();
    cells.write(row, &mut text)?;
    Ok(escape(&text))
}

fn escape(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

fn width(text: &str) -> usize {
    text.chars().count()
}
