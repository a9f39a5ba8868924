//! What is printed, when, and what happens when nobody reads.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use rde_core::{Epoch, Output, SchemaVersion, SinkWriter, Written};

use super::StdoutWriter;
use super::pipe::Pipe;
use crate::format::{CsvFormat, FileFormat};
use crate::testing::{block_on, context};

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("text")
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn batch(name: &str, numbers: &[i64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
    RecordBatch::try_from_iter([(name, column)]).expect("one column")
}

fn writer(format: FileFormat, out: impl Write + Send + 'static) -> StdoutWriter {
    StdoutWriter::new(format, Pipe::open(&context(std::path::Path::new("."), 1, 1), Box::new(out)))
}

fn csv() -> FileFormat {
    FileFormat::Csv(CsvFormat { header: true, delimiter: b',', null_value: String::new() })
}

fn version(batch: &RecordBatch) -> SchemaVersion {
    SchemaVersion { version: 1, schema: batch.schema(), cause: None }
}

#[test]
fn rows_are_printed_before_the_next_batch_and_the_header_once() {
    let paper = Paper::default();
    let mut writer = writer(csv(), paper.clone());
    let mut out = Output::new();
    block_on(writer.schema(&version(&batch("n", &[])))).expect("schema");
    assert_eq!(block_on(writer.write(batch("n", &[1]), &mut out)).expect("printed"), Written::Done);
    assert_eq!(paper.text(), "n\n1\n");
    assert_eq!(block_on(writer.prepare(Epoch(1), &mut out)).expect("prepared").len(), 1);
    block_on(writer.write(batch("n", &[2]), &mut out)).expect("printed");
    assert_eq!(paper.text(), "n\n1\n2\n");
    assert_eq!(out.take().1.bytes, 6);
}

#[test]
fn a_run_without_rows_prints_the_columns() {
    let paper = Paper::default();
    let mut writer = writer(FileFormat::Table, paper.clone());
    block_on(writer.schema(&version(&batch("n", &[])))).expect("schema");
    assert!(block_on(writer.prepare(Epoch(1), &mut Output::new())).expect("prepared").is_empty());
    assert_eq!(paper.text(), "n\n-\n");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let mut writer = writer(FileFormat::Json, Closed);
    let mut out = Output::new();
    block_on(writer.schema(&version(&batch("n", &[])))).expect("schema");
    assert_eq!(block_on(writer.write(batch("n", &[1]), &mut out)).expect("no error"), Written::ReaderGone);
    assert_eq!(block_on(writer.write(batch("n", &[2]), &mut out)).expect("no error"), Written::ReaderGone);
    block_on(writer.prepare(Epoch(1), &mut out)).expect("no error");
}

#[test]
fn rows_whose_reader_is_found_gone_at_the_end_are_not_prepared() {
    let parquet = || FileFormat::Parquet(parquet::basic::Compression::UNCOMPRESSED);
    let mut out = Output::new();
    for (mut writer, prepared) in [(writer(parquet(), Closed), 0), (writer(parquet(), Paper::default()), 1)] {
        block_on(writer.schema(&version(&batch("n", &[])))).expect("schema");
        assert_eq!(block_on(writer.write(batch("n", &[1]), &mut out)).expect("it waits"), Written::Done);
        assert_eq!(block_on(writer.prepare(Epoch(1), &mut out)).expect("no error").len(), prepared);
    }
}

#[test]
fn a_change_of_columns_needs_a_format_that_shows_it() {
    let paper = Paper::default();
    let mut table = writer(FileFormat::Table, paper.clone());
    let mut out = Output::new();
    for (name, numbers) in [("n", [1]), ("mm", [2])] {
        let batch = batch(name, &numbers);
        block_on(table.schema(&version(&batch))).expect("a table begins again");
        block_on(table.write(batch, &mut out)).expect("printed");
    }
    assert_eq!(paper.text(), "n\n-\n1\nmm\n--\n 2\n");
    let mut text = writer(csv(), Paper::default());
    block_on(text.schema(&version(&batch("n", &[])))).expect("schema");
    block_on(text.write(batch("n", &[1]), &mut out)).expect("printed");
    assert_eq!(block_on(text.schema(&version(&batch("m", &[])))).expect_err("one header").code(), "RDE0612");
}
