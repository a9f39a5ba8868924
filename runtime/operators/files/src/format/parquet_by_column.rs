//! Parquet output that keeps rows as they came and encodes a row group column by column.
//!
//! A column writer keeps a dictionary and a compressor, some 200 KiB before the first value. With a thousand columns, or with
//! files open for a hundred folders, such writers take more than the rows do; here one exists at a time.
//! The size of a file is told from the bytes of the rows that wait and from what earlier rows came to; until there were some,
//! and where that turns out wrong, rows are encoded to find out.
//! Invariant: beside the rows that wait, one column is in memory.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, compute_leaves};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::{EncodeError, Encoder, row_bytes};

/// Bytes of memory of waiting rows at which a row group ends.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// A file may be this fraction smaller than it is to be. Without it the last rows would go into ever smaller row groups.
const SHORTFALL: u64 = 8;

/// Writes Parquet, one column at a time.
pub(super) struct ByColumnEncoder<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    schema: SchemaRef,
    properties: WriterProperties,
    waiting: Vec<RecordBatch>,
    /// Bytes of the waiting rows themselves.
    waiting_bytes: u64,
    /// Bytes that waiting keeps alive: of a slice the whole, and of a short batch mostly its arrays themselves.
    memory: usize,
    /// Bytes of all rows that were encoded, before they were.
    encoded: u64,
}

impl<W: Write + Send> ByColumnEncoder<W> {
    pub(super) fn new(out: W, schema: SchemaRef, properties: WriterProperties) -> Result<ByColumnEncoder<W>> {
        let (writer, _) =
            ArrowWriter::try_new(out, schema.clone(), Some(properties.clone()))?.into_serialized_writer()?;
        Ok(ByColumnEncoder { writer, schema, properties, waiting: Vec::new(), waiting_bytes: 0, memory: 0, encoded: 0 })
    }

    fn write_row_group(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut row_group = self.writer.next_row_group()?;
        for (column, field) in self.schema.fields().iter().enumerate() {
            for chunk in encode(field, column, &self.waiting, &self.properties)? {
                chunk.append_to_row_group(&mut row_group)?;
            }
        }
        row_group.close()?;
        self.waiting.clear();
        self.encoded += std::mem::take(&mut self.waiting_bytes);
        self.memory = 0;
        Ok(())
    }
}

/// Encodes one column of all waiting batches; a nested one has several chunks.
fn encode(
    field: &FieldRef,
    column: usize,
    batches: &[RecordBatch],
    properties: &WriterProperties,
) -> Result<Vec<ArrowColumnChunk>> {
    let schema = Arc::new(Schema::new(vec![field.clone()]));
    let (_, factory) = ArrowWriter::try_new(io::sink(), schema, Some(properties.clone()))?.into_serialized_writer()?;
    let mut writers = factory.create_column_writers(0)?;
    for batch in batches {
        let leaves = compute_leaves(field, batch.column(column))?;
        writers.iter_mut().zip(&leaves).try_for_each(|(writer, leaf)| writer.write(leaf))?;
    }
    writers.into_iter().map(|writer| writer.close()).collect()
}

impl<W: Write + Send> Encoder<W> for ByColumnEncoder<W> {
    fn write(&mut self, batch: &RecordBatch) -> std::result::Result<(), EncodeError> {
        self.waiting_bytes += row_bytes(batch);
        self.memory += batch.get_array_memory_size();
        self.waiting.push(batch.clone());
        if self.memory >= WAITING_BYTES_MAX { self.drain() } else { Ok(()) }
    }

    fn written(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    fn size(&self) -> u64 {
        // Until a row group was encoded, its bytes are taken for those of its rows.
        let estimate = self.waiting_bytes.saturating_mul(self.written()).checked_div(self.encoded);
        self.written() + estimate.unwrap_or(self.waiting_bytes)
    }

    fn reaches(&mut self, bytes: u64) -> std::result::Result<bool, EncodeError> {
        if self.size() < bytes {
            return Ok(false);
        }
        self.drain()?;
        Ok(self.written() >= bytes - bytes / SHORTFALL)
    }

    fn memory(&self) -> usize {
        self.memory
    }

    fn drain(&mut self) -> std::result::Result<(), EncodeError> {
        Ok(self.write_row_group()?)
    }

    fn finish(mut self: Box<Self>) -> std::result::Result<W, EncodeError> {
        self.write_row_group()?;
        Ok(self.writer.into_inner()?)
    }
}
