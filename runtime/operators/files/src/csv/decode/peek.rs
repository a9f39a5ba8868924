//! Rows of text without conversion, for inference.
//!
//! Beside the decoder, on the same framing, so that both see the same rows and values. Not here: what types they suggest.

use std::borrow::Cow;

use super::buffer::PAD;
use super::frame::{Frame, Framer, Opening, count_lines};
use super::nulls::Nulls;
use super::records::Form;
use super::scan::Scanner;
use super::simd::Level;
use super::text::{Text, unquote};
use super::{BYTES_LIMIT, number, text, time};

/// Gives the rows of a file one by one.
#[derive(Debug)]
pub(in super::super) struct Peek {
    framer: Framer,
    nulls: Nulls,
    form: Form,
}

/// One row with the right number of fields.
pub(in super::super) struct Row<'a> {
    text: &'a Text<'a>,
    base: usize,
    /// Lines before the chunk.
    lines: u64,
}

/// What a timestamp was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum StampKind {
    Date,
    Stamp,
    Zoned,
}

impl Peek {
    pub(in super::super) fn new(
        delimiter: u8,
        fields: usize,
        row_bytes_max: usize,
        header: bool,
        null_values: &[String],
    ) -> Peek {
        let form = Form { fields, row_bytes_max: row_bytes_max.min(BYTES_LIMIT) };
        let framer = Framer::new(delimiter, form, Opening { file_start: true, header });
        Peek { framer, nulls: Nulls::new(null_values), form }
    }

    /// Takes some of `bytes` and returns the others.
    pub(in super::super) fn feed<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let space = self.framer.buffer.space();
        let (now, later) = bytes.split_at(bytes.len().min(space.len()));
        space[..now.len()].copy_from_slice(now);
        self.framer.buffer.fill(now.len());
        later
    }

    /// Says that no more bytes come.
    pub(in super::super) fn end(&mut self) {
        self.framer.end();
    }

    /// Shows the complete rows until `look` has seen enough. What is no row is passed over.
    pub(in super::super) fn rows(&mut self, mut look: impl FnMut(Row<'_>) -> bool) {
        while let Frame::Chunk(chunk) = self.framer.next() {
            let text = text(&self.framer, &self.nulls, self.form);
            let (rows, lines) = (chunk.records.rows(), self.framer.lines_before());
            let all =
                (0..rows.len()).all(|row| look(Row { text: &text, base: rows.base(row, self.form.fields), lines }));
            self.framer.release();
            if !all {
                return;
            }
        }
    }
}

impl Row<'_> {
    /// Returns what stands in a field, unless that means null.
    pub(in super::super) fn value(&self, field: usize) -> Option<Cow<'_, [u8]>> {
        let (start, end) = self.text.range(self.base, field, field + 1 == self.text.fields);
        let content = self.text.content(start, end);
        (!self.text.nulls.is_null(&content)).then_some(content)
    }

    /// Returns the line, from 1, that the row begins on; counted anew at each call.
    pub(in super::super) fn line(&self) -> u64 {
        let (start, _) = self.text.range(self.base, 0, false);
        self.lines + count_lines(&self.text.bytes[..start]) + 1
    }
}

/// Returns the fields of the first record that is not empty, without their quotes, once it is complete.
pub(in super::super) fn first_record(bytes: &[u8], delimiter: u8, at_end: bool) -> Option<Vec<Vec<u8>>> {
    let mut text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).to_vec();
    let len = text.len();
    let mut scanner = Scanner::new(delimiter, Level::best());
    scanner.scan(&text, len);
    text.resize(len + PAD, 0);
    if at_end && text[..len].last().is_some_and(|byte| *byte != b'\n' || scanner.inside_quotes()) {
        text[len] = b'\n';
        scanner.end_record(len);
    }
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for pair in scanner.ends().windows(2) {
        let (start, end) = (pair[0].wrapping_add(1) as usize, pair[1] as usize);
        let feed = text[end] == b'\n';
        let field = &text[start..end];
        let field = if feed { field.strip_suffix(b"\r").unwrap_or(field) } else { field };
        fields.push(unquote(field).into_owned());
        if feed {
            if fields.len() > 1 || !field.is_empty() {
                return Some(fields);
            }
            fields.clear();
        }
    }
    None
}

/// Returns whether inference takes the text for an int64.
pub(in super::super) fn is_int64(content: &[u8]) -> bool {
    number::integer(content).is_some_and(|value| i64::try_from(value).is_ok())
}

/// Returns whether inference takes the text for a float64.
pub(in super::super) fn is_float(content: &[u8]) -> bool {
    number::float::<f64>(content).is_some()
}

/// Returns whether inference takes the text for a boolean.
pub(in super::super) fn is_boolean(content: &[u8]) -> bool {
    number::boolean_word(content).is_some()
}

/// Returns what inference takes the text for, if it is a date or a timestamp.
pub(in super::super) fn stamp_kind(content: &[u8]) -> Option<StampKind> {
    let stamp = time::stamp(content)?;
    Some(match (stamp.date_only, stamp.zoned) {
        (true, _) => StampKind::Date,
        (_, false) => StampKind::Stamp,
        (_, true) => StampKind::Zoned,
    })
}
