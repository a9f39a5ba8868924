//! Infers the columns of CSV files from a sample of their rows.
//!
//! Before a run (`discover`), on the first rows of the first files. Types: int64, float64, boolean, date, timestamp(us),
//! timestamp(us, UTC) where a zone is written, utf8. Invariant: a value that the sample showed fits the type that is inferred
//! from it, since both ask the same readers; the order of rows and of files does not matter. Differences from DuckDB stand in
//! INFERENCE.md, beside this file. Not here: which files are sampled, I/O.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rde_core::{Error, Result};

use super::codes;
use super::decode::{self, Peek};

/// Rows of one file that are looked at.
pub const SAMPLE_ROWS: u64 = 20_480;
/// Files that are looked at.
pub const SAMPLE_FILES: usize = 16;

/// Rows in which texts are looked at too, to tell a column of texts from one with a few that are odd.
const TEXT_ROWS: u64 = 1024;

/// How to read a sample.
#[derive(Clone, Debug)]
pub struct InferOptions {
    /// Separates fields.
    pub delimiter: u8,
    /// The first record gives the names.
    pub header: bool,
    /// Texts that mean null, quoted or not.
    pub null_values: Vec<String>,
    /// Rows to look at; 0 for the names alone, none for all.
    pub rows_max: Option<u64>,
    /// A larger row is passed over.
    pub row_bytes_max: usize,
}

/// Looks at the first rows of one file.
#[derive(Debug)]
pub struct Sampler {
    options: InferOptions,
    stage: Stage,
    sample: FileSample,
    /// A carriage return was seen before any line feed.
    returns: bool,
}

#[derive(Debug)]
enum Stage {
    /// The bytes so far, which hold no complete record.
    First(Vec<u8>),
    Rows(Box<Peek>),
}

/// What the first rows of one file showed.
#[derive(Clone, Debug, Default)]
pub struct FileSample {
    names: Vec<String>,
    columns: Vec<Look>,
    rows: u64,
}

/// What one column of a file showed.
#[derive(Clone, Debug, Default)]
struct Look {
    seen: Seen,
    /// The first value that nothing narrower than utf8 holds, beside those before it.
    odd: Option<Odd>,
    /// Of the values that were looked at, how many were text, and how many were anything else.
    texts: u64,
    others: u64,
}

/// A value, and the line its row begins on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Odd {
    /// As a message shows it.
    pub value: String,
    /// From 1.
    pub line: u64,
}

/// What the files together showed.
#[derive(Clone, Debug, PartialEq)]
pub struct InferredSchema {
    /// Names and types, in the order of the first file.
    pub columns: Vec<InferredColumn>,
}

/// One inferred column.
#[derive(Clone, Debug, PartialEq)]
pub struct InferredColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Why it is utf8, where most of its values are something narrower.
    pub fallback: Option<Fallback>,
}

/// Why a column is utf8.
#[derive(Clone, Debug, PartialEq)]
pub struct Fallback {
    /// The type of its other values.
    pub narrower: DataType,
    /// Which of the samples shows the odd value, from 0.
    pub file: usize,
    /// The value.
    pub odd: Odd,
}

/// A file whose columns are not those of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnMismatch {
    /// Which of the samples, from 0.
    pub file: usize,
    /// Columns of the first file that it does not have.
    pub missing: Vec<String>,
    /// Columns that only it has.
    pub additional: Vec<String>,
}

/// Kinds of values that a column showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen(u8);

impl Seen {
    const INTEGER: Seen = Seen(1);
    const FLOAT: Seen = Seen(2);
    const BOOLEAN: Seen = Seen(4);
    const DATE: Seen = Seen(8);
    const STAMP: Seen = Seen(16);
    const ZONED: Seen = Seen(32);
    const TEXT: Seen = Seen(64);

    fn add(&mut self, other: Seen) {
        self.0 |= other.0;
    }

    fn is_text(self) -> bool {
        self.0 & Seen::TEXT.0 != 0
    }

    /// Returns the narrowest type that holds all that was seen and is no text.
    fn narrower(self) -> DataType {
        Seen(self.0 & !Seen::TEXT.0).data_type()
    }

    /// Returns the narrowest type that holds all that was seen; nothing seen is utf8.
    fn data_type(self) -> DataType {
        let only = |kinds: &[Seen]| self.0 & !kinds.iter().fold(0, |mask, kind| mask | kind.0) == 0;
        match self {
            Seen(0) => DataType::Utf8,
            _ if only(&[Seen::INTEGER]) => DataType::Int64,
            _ if only(&[Seen::INTEGER, Seen::FLOAT]) => DataType::Float64,
            _ if only(&[Seen::BOOLEAN]) => DataType::Boolean,
            _ if only(&[Seen::DATE]) => DataType::Date32,
            _ if only(&[Seen::DATE, Seen::STAMP]) => DataType::Timestamp(TimeUnit::Microsecond, None),
            _ if only(&[Seen::DATE, Seen::STAMP, Seen::ZONED]) => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            _ => DataType::Utf8,
        }
    }

    /// Returns the kind of a value that is not null.
    fn of(content: &[u8]) -> Seen {
        // Most text does not begin like anything else.
        match content.trim_ascii().first() {
            Some(b'0'..=b'9' | b'-' | b'.') => Seen::number(content),
            Some(b'i' | b'I' | b'n' | b'N') if decode::is_float(content) => Seen::FLOAT,
            Some(_) if decode::is_boolean(content) => Seen::BOOLEAN,
            _ => Seen::TEXT,
        }
    }

    fn number(content: &[u8]) -> Seen {
        if has_leading_zeros(content) {
            // A number with zeros in front is a code (a postal code, an account), whose zeros matter.
            return Seen::TEXT;
        }
        if decode::is_int64(content) {
            return Seen::INTEGER;
        }
        if decode::is_float(content) {
            return Seen::FLOAT;
        }
        match decode::stamp_kind(content) {
            Some(decode::StampKind::Date) => Seen::DATE,
            Some(decode::StampKind::Stamp) => Seen::STAMP,
            Some(decode::StampKind::Zoned) => Seen::ZONED,
            None => Seen::TEXT,
        }
    }
}

impl Look {
    fn add(&mut self, content: &[u8], line: impl FnOnce() -> u64) {
        let kind = Seen::of(content);
        let held = self.seen == Seen::default() || self.seen.data_type() != DataType::Utf8;
        self.seen.add(kind);
        *(if kind.is_text() { &mut self.texts } else { &mut self.others }) += 1;
        if held && self.seen.data_type() == DataType::Utf8 {
            self.odd = Some(Odd { value: decode::show(content), line: line() });
        }
    }
}

/// `007` and `01.5`, but not `0`, `0.5` or `0000-01-01`.
fn has_leading_zeros(content: &[u8]) -> bool {
    let content = content.trim_ascii();
    let numeric = content.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E'));
    numeric && matches!(content, [b'0', b'0'..=b'9', ..])
}

impl Sampler {
    /// Makes a sampler for one file.
    pub fn new(options: InferOptions) -> Result<Sampler> {
        decode::check_delimiter(options.delimiter)?;
        Ok(Sampler { options, stage: Stage::First(Vec::new()), sample: FileSample::default(), returns: false })
    }

    /// Returns whether more bytes could change the answer.
    pub fn wants_more(&self) -> bool {
        match self.stage {
            Stage::First(_) => true,
            Stage::Rows(_) => self.options.rows_max.is_none_or(|max| self.sample.rows < max),
        }
    }

    /// Looks at the next bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        if let Stage::First(text) = &mut self.stage {
            text.extend_from_slice(bytes);
            // Looked at again only when a record may have ended.
            if memchr::memchr(b'\n', bytes).is_some() || text.len() > self.options.row_bytes_max {
                self.begin(false)?;
            }
            return Ok(());
        }
        self.rows(bytes);
        Ok(())
    }

    /// Says that no more bytes come or are wanted, and returns what was seen.
    pub fn finish(mut self) -> Result<FileSample> {
        if matches!(self.stage, Stage::First(_)) {
            self.begin(true)?;
        }
        if let Stage::Rows(peek) = &mut self.stage
            && self.options.rows_max != Some(0)
        {
            peek.end();
            self.look();
        }
        if self.sample.rows == 0 && self.returns {
            return Err(Error::config(&codes::LINE_END, "the file has carriage returns and no line feed")
                .help("convert its line ends, for example with `tr '\\r' '\\n'`"));
        }
        Ok(self.sample)
    }

    /// Takes the names from the first record, if it is complete.
    fn begin(&mut self, at_end: bool) -> Result<()> {
        let Stage::First(text) = &mut self.stage else { return Ok(()) };
        let Some(first) = decode::first_record(text, self.options.delimiter, at_end) else {
            if text.len() > self.options.row_bytes_max {
                let message = format!("the first row is larger than {} bytes", self.options.row_bytes_max);
                return Err(Error::config(&codes::ROW_TOO_LARGE, message)
                    .help("look for a quote that is not closed, or raise `settings.row_bytes_max`"));
            }
            return Ok(());
        };
        self.returns = memchr::memchr(b'\n', text).is_none() && first.iter().any(|field| field.contains(&b'\r'));
        self.sample.names = names(&first, self.options.header)?;
        self.sample.columns = vec![Look::default(); first.len()];
        let text = std::mem::take(text);
        let (delimiter, row_bytes_max) = (self.options.delimiter, self.options.row_bytes_max);
        let peek = Peek::new(delimiter, first.len(), row_bytes_max, self.options.header, &self.options.null_values);
        self.stage = Stage::Rows(Box::new(peek));
        self.rows(&text);
        Ok(())
    }

    fn rows(&mut self, mut bytes: &[u8]) {
        while self.wants_more() && !bytes.is_empty() {
            let Stage::Rows(peek) = &mut self.stage else { return };
            bytes = peek.feed(bytes);
            self.look();
        }
    }

    /// Looks at the complete rows.
    fn look(&mut self) {
        let Stage::Rows(peek) = &mut self.stage else { return };
        let (sample, rows_max) = (&mut self.sample, self.options.rows_max.unwrap_or(u64::MAX));
        peek.rows(|row| {
            if sample.rows >= rows_max {
                return false;
            }
            sample.rows += 1;
            for (field, column) in sample.columns.iter_mut().enumerate() {
                // Nothing more can be learned of a text column.
                if (sample.rows <= TEXT_ROWS || !column.seen.is_text())
                    && let Some(content) = row.value(field)
                {
                    column.add(&content, || row.line());
                }
            }
            true
        });
    }
}

impl FileSample {
    /// Returns the names of the columns; none for an empty file.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns how many rows were looked at.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl InferredSchema {
    /// Returns it as an Arrow schema; every column may be null.
    pub fn schema(&self) -> SchemaRef {
        let field = |column: &InferredColumn| Field::new(&column.name, column.data_type.clone(), true);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }
}

/// Joins what the files showed, by column name.
pub fn merge(samples: &[FileSample]) -> Result<InferredSchema, ColumnMismatch> {
    let Some(first) = samples.first() else { return Ok(InferredSchema { columns: Vec::new() }) };
    let places: HashMap<&str, usize> = first.names.iter().enumerate().map(|(idx, name)| (name.as_str(), idx)).collect();
    let mut merged = vec![Merged::default(); first.names.len()];
    for (file, sample) in samples.iter().enumerate() {
        compare_names(file, &first.names, &sample.names)?;
        for (name, column) in sample.names.iter().zip(&sample.columns) {
            merged[places[name.as_str()]].add(file, column);
        }
    }
    let columns = first.names.iter().zip(merged).map(|(name, merged)| merged.column(name));
    Ok(InferredSchema { columns: columns.collect() })
}

/// What a column showed in several files.
#[derive(Clone, Debug, Default)]
struct Merged {
    seen: Seen,
    odd: Option<(usize, Odd)>,
    texts: u64,
    others: u64,
}

impl Merged {
    fn add(&mut self, file: usize, column: &Look) {
        self.seen.add(column.seen);
        self.texts += column.texts;
        self.others += column.others;
        if self.odd.is_none() {
            self.odd = column.odd.clone().map(|odd| (file, odd));
        }
    }

    fn column(self, name: &str) -> InferredColumn {
        let narrower = self.seen.narrower();
        let odd = self.odd.filter(|_| self.others > self.texts && narrower != DataType::Utf8);
        let fallback = odd.map(|(file, odd)| Fallback { narrower, file, odd });
        InferredColumn { name: name.to_owned(), data_type: self.seen.data_type(), fallback }
    }
}

/// Compares the columns of a file with those that are expected, in any order.
pub fn compare_names(file: usize, expected: &[String], names: &[String]) -> Result<(), ColumnMismatch> {
    let without = |names: &[String], others: &[String]| -> Vec<String> {
        let others: BTreeSet<&String> = others.iter().collect();
        names.iter().filter(|name| !others.contains(name)).cloned().collect()
    };
    let (missing, additional) = (without(expected, names), without(names, expected));
    if missing.is_empty() && additional.is_empty() { Ok(()) } else { Err(ColumnMismatch { file, missing, additional }) }
}

/// Names the columns: as in the header without blanks around, an empty one `column<N>`, a repeated one with `_1`, `_2` behind it.
fn names(first: &[Vec<u8>], header: bool) -> Result<Vec<String>> {
    let mut used: HashMap<String, u64> = HashMap::new();
    let mut names = Vec::with_capacity(first.len());
    for (idx, field) in first.iter().enumerate() {
        let mut name = match std::str::from_utf8(field.trim_ascii()) {
            Ok(name) if header && !name.is_empty() => name.to_owned(),
            Err(_) if header => return Err(header_encoding(idx, field)),
            _ => format!("column{idx}"),
        };
        while let Some(count) = used.get_mut(&name) {
            *count += 1;
            name = format!("{name}_{count}");
        }
        used.insert(name.clone(), 0);
        names.push(name);
    }
    Ok(names)
}

/// Bytes of a name that an error shows.
const NAME_SHOWN_MAX: usize = 40;

fn header_encoding(idx: usize, name: &[u8]) -> Error {
    let (what, help) = match name {
        [0x1f, 0x8b, ..] if idx == 0 => ("compressed with gzip", "name the file `….gz`, or pipe it through `gunzip`"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] if idx == 0 => {
            ("compressed with zstd", "name the file `….zst`, or pipe it through `unzstd`")
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] if idx == 0 => ("UTF-16", "convert it with `iconv -f utf16 -t utf8`"),
        _ => {
            let shown = name[..name.len().min(NAME_SHOWN_MAX)].escape_ascii();
            let message = format!("line 1: the name of column {} is not UTF-8: {shown}", idx + 1);
            let help = "convert the file, for example with `iconv -f latin1 -t utf8`";
            return Error::config(&codes::INVALID_UTF8, message).help(help);
        }
    };
    Error::config(&codes::INVALID_UTF8, format!("the input is {what}, not CSV")).help(help)
}

#[cfg(test)]
mod tests;
