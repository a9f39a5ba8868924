//! Cuts a stream of bytes into chunks of complete records.
//!
//! First steps of decoding: buffer, splitter, records, and what does not fit into chunks: a byte order mark, the header, a record
//! that goes on behind the chunk, one that is too large to be held, one that never ends. Invariant: records, broken records and
//! line numbers do not depend on how the bytes come in. Not here: values.

use super::super::codes;
use super::buffer::{Buffer, CHUNK};
use super::records::{self, Broken, Form, Records};
use super::scan::Scanner;
use super::simd::Level;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Cuts bytes into chunks.
#[derive(Debug)]
pub(super) struct Framer {
    pub(super) buffer: Buffer,
    pub(super) scanner: Scanner,
    form: Form,
    /// The header is still to come.
    header: bool,
    /// A byte order mark may still come.
    bom: bool,
    /// The head of the record at the front was let go, since the record is too large.
    skipping: bool,
    ended: bool,
    lines: Lines,
    /// Bytes that the chunk at the front takes.
    taken: usize,
}

/// A chunk of complete records at the front of the buffer.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) records: Records,
    pub(super) broken: Vec<Broken>,
}

/// What [`Framer::next`] found.
#[derive(Debug)]
pub(super) enum Frame {
    /// Records; they stay in the buffer until [`Framer::release`].
    Chunk(Chunk),
    /// No record is complete yet.
    NeedsBytes,
    /// Nothing is left.
    Ended,
}

/// How the bytes begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) file_start: bool,
    pub(super) header: bool,
}

/// Counts line feeds before a place, only when asked.
#[derive(Debug, Default)]
struct Lines {
    before: u64,
    cursor: usize,
    cursor_lines: u64,
}

impl Framer {
    pub(super) fn new(delimiter: u8, form: Form, opening: Opening) -> Framer {
        Framer::with(delimiter, form, opening, CHUNK, Level::best())
    }

    /// Makes one with another chunk size and instructions, for tests.
    pub(super) fn with(delimiter: u8, form: Form, opening: Opening, chunk: usize, level: Level) -> Framer {
        Framer {
            buffer: Buffer::new(chunk),
            scanner: Scanner::new(delimiter, level),
            form,
            header: opening.header,
            bom: opening.file_start,
            skipping: false,
            ended: false,
            lines: Lines::default(),
            taken: 0,
        }
    }

    /// Says that no more bytes come.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Finds the next chunk. The one before must have been released.
    pub(super) fn next(&mut self) -> Frame {
        loop {
            if self.bom && !self.strip_bom() {
                return Frame::NeedsBytes;
            }
            if self.buffer.text().is_empty() {
                return if self.ended { Frame::Ended } else { Frame::NeedsBytes };
            }
            self.scanner.scan(self.buffer.text(), self.form.fields);
            if self.skipping {
                match (self.skip(), self.ended) {
                    (Skip::Over, _) => continue,
                    (Skip::GoesOn, true) => return Frame::Ended,
                    (Skip::GoesOn, false) => return Frame::NeedsBytes,
                }
            }
            let unclosed = self.ended && self.close();
            let to = records::complete_to(&self.scanner, self.buffer.padded());
            if to > 0 || self.ended {
                return Frame::Chunk(self.chunk(to, unclosed));
            }
            // One more may be a carriage return before the line feed to come.
            if self.buffer.text().len() < self.form.row_bytes_max.saturating_add(2) {
                return Frame::NeedsBytes;
            }
            if let Some(chunk) = self.begin_skip() {
                return Frame::Chunk(chunk);
            }
        }
    }

    /// Lets go of the chunk at the front.
    pub(super) fn release(&mut self) {
        if self.taken > 0 {
            // Outside of quotes each record is one line.
            let known = (!self.scanner.any_quote()).then(|| self.scanner.line_feeds() as u64);
            self.consume(self.taken, known);
            self.taken = 0;
        }
    }

    /// Returns the line, from 1, that byte `at` of the chunk is on.
    pub(super) fn line(&mut self, at: usize) -> u64 {
        self.lines.line(self.buffer.text(), at)
    }

    /// Returns how many lines end before the chunk.
    pub(super) fn lines_before(&self) -> u64 {
        self.lines.before
    }

    fn consume(&mut self, count: usize, line_feeds: Option<u64>) {
        let text = self.buffer.text();
        self.lines.before += line_feeds.unwrap_or_else(|| count_lines(&text[..count.min(text.len())]));
        (self.lines.cursor, self.lines.cursor_lines) = (0, 0);
        self.buffer.consume(count);
        self.scanner.restart();
    }

    /// Takes off a byte order mark; false means that it cannot be known yet.
    fn strip_bom(&mut self) -> bool {
        let text = self.buffer.text();
        if text.len() < BOM.len() && BOM.starts_with(text) && !self.ended {
            return false;
        }
        self.bom = false;
        if text.starts_with(BOM) {
            self.buffer.consume(BOM.len());
        }
        true
    }

    /// Ends the last record, which has no line end; true means that it ends inside quotes.
    fn close(&mut self) -> bool {
        let unclosed = self.scanner.inside_quotes();
        let len = self.buffer.text().len();
        if !unclosed && records::complete_to(&self.scanner, self.buffer.padded()) < len {
            self.buffer.close_line();
            self.scanner.end_record(len);
        }
        unclosed
    }

    fn chunk(&mut self, to: usize, unclosed: bool) -> Chunk {
        let text = self.buffer.padded();
        let len = self.buffer.text().len();
        let mut broken = Vec::new();
        let even = if self.header { None } else { records::even(&self.scanner, text, self.form, to) };
        let records = even.unwrap_or_else(|| {
            records::list(&self.scanner, text, self.form, &mut self.header, |record| broken.push(record))
        });
        self.taken = to.min(len);
        if unclosed {
            let large = len - to > self.form.row_bytes_max;
            let code = if large { &codes::ROW_TOO_LARGE } else { &codes::UNCLOSED_QUOTE };
            broken.push(Broken { start: to, end: len, code, fields: 0, field: None });
            self.taken = len;
        }
        Chunk { records, broken }
    }

    /// Sets aside the record at the front, which is too large, and goes on to its end. A header is none.
    fn begin_skip(&mut self) -> Option<Chunk> {
        self.skipping = true;
        let end = self.buffer.text().len();
        if std::mem::take(&mut self.header) {
            return None;
        }
        let record = Broken { start: 0, end, code: &codes::ROW_TOO_LARGE, fields: 0, field: None };
        Some(Chunk { records: Records::Listed(Vec::new()), broken: vec![record] })
    }

    /// Lets go of as much of a too large record as there is.
    fn skip(&mut self) -> Skip {
        let end = self.scanner.first_record_end(self.buffer.text());
        if let Some(end) = end {
            self.skipping = false;
            self.consume(end + 1, None);
            return Skip::Over;
        }
        let dropped = self.scanner.drop_scanned();
        self.lines.before += count_lines(&self.buffer.text()[..dropped]);
        self.buffer.consume(dropped);
        Skip::GoesOn
    }
}

enum Skip {
    Over,
    GoesOn,
}

impl Lines {
    fn line(&mut self, text: &[u8], at: usize) -> u64 {
        if at < self.cursor {
            (self.cursor, self.cursor_lines) = (0, 0);
        }
        self.cursor_lines += count_lines(&text[self.cursor..at]);
        self.cursor = at;
        self.before + self.cursor_lines + 1
    }
}

/// Counts the lines that end in `bytes`.
pub fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
