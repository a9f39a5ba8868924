//! Whole IPC streams of trusted batches: the payload of an error row, and spill files.
//!
//! Beside the batch path: rows that failed, batches that wait on disk. Invariant: real types are kept, dictionaries and views
//! included. Not here: bytes of guests, which go through `decode.rs`.

use std::io::{Read, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;

use crate::error::IpcError;

/// Writes batches of one schema as an IPC stream.
pub struct SpoolWriter<W: Write> {
    writer: StreamWriter<W>,
}

/// Reads what [`SpoolWriter`] wrote.
pub struct SpoolReader<R: Read> {
    reader: StreamReader<R>,
}

/// One row of a batch as an IPC stream: schema, a batch of one row, end marker.
pub fn encode_row_stream(batch: &RecordBatch, row: usize) -> Result<Vec<u8>, IpcError> {
    if row >= batch.num_rows() {
        return Err(IpcError::Rows { expected: row + 1, found: i64::try_from(batch.num_rows()).unwrap_or(i64::MAX) });
    }
    let mut writer = SpoolWriter::new(Vec::new(), &batch.schema())?;
    writer.write(&batch.slice(row, 1))?;
    writer.finish()
}

impl<W: Write> SpoolWriter<W> {
    /// Starts a stream, schema first.
    pub fn new(target: W, schema: &Schema) -> Result<Self, IpcError> {
        Ok(SpoolWriter { writer: StreamWriter::try_new(target, schema).map_err(arrow_error)? })
    }

    /// Appends a batch.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), IpcError> {
        self.writer.write(batch).map_err(arrow_error)
    }

    /// What it is written to.
    pub fn target(&self) -> &W {
        self.writer.get_ref()
    }

    /// Ends the stream and answers what it was written to.
    pub fn finish(mut self) -> Result<W, IpcError> {
        self.writer.finish().map_err(arrow_error)?;
        self.writer.into_inner().map_err(arrow_error)
    }
}

impl<R: Read> SpoolReader<R> {
    /// Opens a stream.
    pub fn new(source: R) -> Result<Self, IpcError> {
        Ok(SpoolReader { reader: StreamReader::try_new(source, None).map_err(arrow_error)? })
    }

    /// The schema of its batches.
    pub fn schema(&self) -> SchemaRef {
        self.reader.schema()
    }
}

impl<R: Read> Iterator for SpoolReader<R> {
    type Item = Result<RecordBatch, IpcError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.reader.next().map(|batch| batch.map_err(arrow_error))
    }
}

fn arrow_error(error: ArrowError) -> IpcError {
    IpcError::Arrow { message: error.to_string() }
}
