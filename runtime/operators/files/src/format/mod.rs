//! Turns batches into the bytes of a format, whatever takes the bytes: a staged file or standard output.
//!
//! The write step of the batch path; batches go to the encoder as they are, without a copy.
//! Invariant: what [`FileFormat::refuses`] lets through, the encoder can write.
//! Not here: which file is open, when it ends, and its names (`sink`).

mod cells;
mod csv;
mod json;
mod parquet;
mod parquet_by_column;
mod parquet_stored;
mod row_bytes;
mod table;
mod text;

use std::io::{self, Write};

use ::parquet::basic::Compression;
use ::parquet::errors::ParquetError;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use text::TextEncoder;

pub(crate) use cells::{Cells, bytes_of, is_flat};
pub(crate) use row_bytes::row_bytes;

/// A format with its options.
#[derive(Clone, Debug)]
pub(crate) enum FileFormat {
    /// Parquet.
    Parquet(Compression),
    /// CSV.
    Csv(CsvFormat),
    /// One JSON object per line.
    Json,
    /// Aligned columns for a person.
    Table,
}

/// Options of CSV output.
#[derive(Clone, Debug)]
pub(crate) struct CsvFormat {
    pub(crate) header: bool,
    pub(crate) delimiter: u8,
    pub(crate) null_value: String,
}

/// What an output is among others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Begin {
    /// It goes on after an earlier one, and has its header already.
    pub(crate) continued: bool,
    /// Many are open at a time, so each must hold little.
    pub(crate) one_of_many: bool,
}

/// Writes batches of one schema to `W`.
pub(crate) trait Encoder<W>: Send {
    /// Encodes a batch; its bytes may wait in memory.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError>;
    /// Returns the bytes that reached `W`.
    fn written(&self) -> u64;
    /// Returns the bytes the output would have if it ended now, roughly.
    fn size(&self) -> u64;
    /// Returns whether the output would have at least `bytes` if it ended now. One whose [`Encoder::size`] may be far off
    /// finds out first, since an output that ended too early stays small.
    fn reaches(&mut self, bytes: u64) -> Result<bool, EncodeError> {
        Ok(self.size() >= bytes)
    }
    /// Returns the bytes of memory it holds.
    fn memory(&self) -> usize;
    /// Gives what waits in memory to `W`.
    fn drain(&mut self) -> Result<(), EncodeError>;
    /// Writes what ends the output, and returns `W`.
    fn finish(self: Box<Self>) -> Result<W, EncodeError>;
}

/// Why a batch could not be encoded.
#[derive(Debug)]
pub(crate) enum EncodeError {
    /// `W` failed.
    Io(io::Error),
    /// The format's writer refused the batch.
    Format(String),
}

impl FileFormat {
    /// Returns the extension of files, without dot.
    pub(crate) fn extension(&self) -> &'static str {
        match self {
            FileFormat::Parquet(_) => "parquet",
            FileFormat::Csv(_) => "csv",
            FileFormat::Json => "json",
            FileFormat::Table => "txt",
        }
    }

    /// Returns the word users know the format by.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            FileFormat::Parquet(_) => "Parquet",
            FileFormat::Csv(_) => "CSV",
            FileFormat::Json => "JSON",
            FileFormat::Table => "a table",
        }
    }

    /// Returns whether batches of another schema may follow in one output.
    pub(crate) fn mixes_schemas(&self) -> bool {
        matches!(self, FileFormat::Json | FileFormat::Table)
    }

    /// Returns whether whole rows leave with every [`Encoder::drain`].
    pub(crate) fn is_text(&self) -> bool {
        !matches!(self, FileFormat::Parquet(_))
    }

    /// Returns the columns the format cannot hold.
    pub(crate) fn refuses(&self, schema: &SchemaRef) -> Vec<String> {
        let names = |refused: &dyn Fn(&DataType) -> bool| {
            let fields = schema.fields().iter().filter(|field| refused(field.data_type()));
            fields.map(|field| field.name().clone()).collect()
        };
        match self {
            FileFormat::Parquet(_) => parquet::refuses(schema),
            FileFormat::Csv(_) => names(&|data_type| !cells::is_flat(data_type)),
            FileFormat::Json => names(&|data_type| !json::holds(data_type)),
            FileFormat::Table => Vec::new(),
        }
    }

    /// Begins an output.
    pub(crate) fn begin<W: Write + Send + 'static>(
        &self,
        out: W,
        schema: &SchemaRef,
        begin: Begin,
    ) -> Result<Box<dyn Encoder<W>>, EncodeError> {
        Ok(match self {
            FileFormat::Parquet(compression) => parquet::begin(out, schema.clone(), *compression, begin)?,
            FileFormat::Csv(format) => Box::new(csv::begin(out, schema, format.clone(), begin.continued)),
            FileFormat::Json => Box::new(TextEncoder::new(out, json::JsonRows)),
            FileFormat::Table => {
                Box::new(TextEncoder::new(out, table::TableRows::new(schema.clone(), begin.continued)))
            }
        })
    }
}

/// A format of rows that a person can compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsFormat {
    /// CSV with a header.
    Csv,
    /// One JSON object per line.
    Json,
}

/// Returns rows as the sinks write them. The error says which columns the format cannot hold, or which value has no text.
pub fn rows_text(schema: &SchemaRef, batches: &[RecordBatch], format: RowsFormat) -> Result<String, String> {
    let format = match format {
        RowsFormat::Csv => FileFormat::Csv(CsvFormat { header: true, delimiter: b',', null_value: String::new() }),
        RowsFormat::Json => FileFormat::Json,
    };
    let refused = format.refuses(schema);
    if !refused.is_empty() {
        return Err(format!("{} cannot hold the columns {}", format.name(), refused.join(", ")));
    }
    let written = || {
        let mut encoder = format.begin(Vec::new(), schema, Begin::default())?;
        batches.iter().try_for_each(|batch| encoder.write(batch))?;
        encoder.finish()
    };
    let bytes = written().map_err(|error| match error {
        EncodeError::Io(error) => error.to_string(),
        EncodeError::Format(message) => message,
    })?;
    Ok(String::from_utf8(bytes).expect("texts are UTF-8"))
}

impl From<io::Error> for EncodeError {
    fn from(error: io::Error) -> EncodeError {
        EncodeError::Io(error)
    }
}

impl From<ArrowError> for EncodeError {
    fn from(error: ArrowError) -> EncodeError {
        match error {
            ArrowError::IoError(_, error) => EncodeError::Io(error),
            error => EncodeError::Format(error.to_string()),
        }
    }
}

impl From<ParquetError> for EncodeError {
    fn from(error: ParquetError) -> EncodeError {
        match error {
            ParquetError::External(cause) => match cause.downcast::<io::Error>() {
                Ok(error) => EncodeError::Io(*error),
                Err(cause) => EncodeError::Format(cause.to_string()),
            },
            error => EncodeError::Format(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
