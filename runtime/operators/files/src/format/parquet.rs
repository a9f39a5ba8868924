//! Parquet output: the Arrow writer, tuned for speed at one core and for bounded memory.
//!
//! Measured (benches/README.md): a dictionary page limit of 64 KiB costs nothing on repetitive data and saves an eighth on
//! unique values; zstd 1 is both fast and small; statistics per column chunk are cheaper than per page.
//! Invariant: what waits in memory is at most one row group of [`ROW_GROUP_BYTES_MAX`] encoded bytes.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, IntervalUnit, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::parquet_by_column::ByColumnEncoder;
use super::parquet_stored::{StoredEncoder, stored_schema};
use super::{Begin, EncodeError, Encoder};

/// Encoded bytes at which a row group ends.
const ROW_GROUP_BYTES_MAX: usize = 32 << 20;

/// Rows at which a row group ends.
const ROW_GROUP_ROWS_MAX: usize = 1 << 20;

/// Bytes of a column's dictionary above which it is written plainly.
const DICTIONARY_BYTES_MAX: usize = 64 << 10;

/// Columns above which a row group is encoded column by column: the writers of all columns would take too much memory.
const OPEN_COLUMNS_MAX: usize = 256;

/// Writes Parquet.
struct ParquetEncoder<W: Write + Send> {
    writer: ArrowWriter<W>,
}

/// Begins a file.
pub(super) fn begin<W: Write + Send + 'static>(
    out: W,
    schema: SchemaRef,
    compression: Compression,
    begin: Begin,
) -> Result<Box<dyn Encoder<W>>, EncodeError> {
    let properties = properties(compression);
    if let Some(stored) = stored_schema(&schema) {
        let inner = begin_as_it_is(out, stored.clone(), properties, begin)?;
        return Ok(Box::new(StoredEncoder { inner, schema: stored }));
    }
    begin_as_it_is(out, schema, properties, begin)
}

fn begin_as_it_is<W: Write + Send + 'static>(
    out: W,
    schema: SchemaRef,
    properties: WriterProperties,
    begin: Begin,
) -> Result<Box<dyn Encoder<W>>, EncodeError> {
    if begin.one_of_many || schema.flattened_fields().len() > OPEN_COLUMNS_MAX {
        return Ok(Box::new(ByColumnEncoder::new(out, schema, properties)?));
    }
    Ok(Box::new(ParquetEncoder { writer: ArrowWriter::try_new(out, schema, Some(properties))? }))
}

impl<W: Write + Send> Encoder<W> for ParquetEncoder<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        Ok(self.writer.write(batch)?)
    }

    fn written(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    fn size(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    fn memory(&self) -> usize {
        self.writer.memory_size()
    }

    fn drain(&mut self) -> Result<(), EncodeError> {
        Ok(self.writer.flush()?)
    }

    fn finish(self: Box<Self>) -> Result<W, EncodeError> {
        Ok(self.writer.into_inner()?)
    }
}

/// Returns the columns that Parquet, or its writer, cannot hold.
pub(super) fn refuses(schema: &SchemaRef) -> Vec<String> {
    // One at a time: the writers of very many columns take much memory.
    let single = schema.fields().iter().filter(|field| !can_write(Arc::new(Schema::new(vec![(*field).clone()]))));
    single.map(|field| field.name().clone()).collect()
}

fn can_write(schema: SchemaRef) -> bool {
    // The writer finds this one out only when it has rows.
    if schema.fields().iter().any(|field| holds_long_interval(field.data_type())) {
        return false;
    }
    let writer = ArrowWriter::try_new(io::sink(), schema, Some(properties(Compression::UNCOMPRESSED)));
    let columns = writer.and_then(ArrowWriter::into_serialized_writer);
    columns.is_ok_and(|(_, factory)| factory.create_column_writers(0).is_ok())
}

fn holds_long_interval(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(unit) => *unit == IntervalUnit::MonthDayNano,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => holds_long_interval(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| holds_long_interval(field.data_type())),
        DataType::Dictionary(_, values) => holds_long_interval(values),
        _ => false,
    }
}

fn properties(compression: Compression) -> WriterProperties {
    WriterProperties::builder()
        .set_compression(compression)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
        .set_created_by(concat!("rde version ", env!("CARGO_PKG_VERSION")).to_owned())
        .build()
}
