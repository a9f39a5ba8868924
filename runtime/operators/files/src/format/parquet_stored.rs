//! Types that Parquet has no name for, as the ones it has: readers would take their numbers for plain integers.
//!
//! Milliseconds that count days (`date64`) become dates, seconds become milliseconds. Invariant: no value changes; one that
//! would is an error. Not here: types that cannot be written at all (`parquet.rs`).

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use super::{EncodeError, Encoder};

/// Values that do not fit are errors, not nulls.
const CHECKED: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

/// Gives batches to another encoder with the types that Parquet has.
pub(super) struct StoredEncoder<W> {
    pub(super) inner: Box<dyn Encoder<W>>,
    pub(super) schema: SchemaRef,
}

/// Returns the columns as Parquet holds them, if any has another type there.
pub(super) fn stored_schema(schema: &SchemaRef) -> Option<SchemaRef> {
    let fields = stored_fields(schema.fields())?;
    Some(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

fn stored_fields(fields: &Fields) -> Option<Fields> {
    let stored: Vec<Option<FieldRef>> = fields.iter().map(stored_field).collect();
    let changed = stored.iter().any(Option::is_some);
    changed.then(|| {
        stored.into_iter().zip(fields).map(|(stored, field)| stored.unwrap_or_else(|| field.clone())).collect()
    })
}

fn stored_field(field: &FieldRef) -> Option<FieldRef> {
    stored_type(field.data_type()).map(|stored| Arc::new(Field::clone(field).with_data_type(stored)))
}

fn stored_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        DataType::Time32(TimeUnit::Second) => DataType::Time32(TimeUnit::Millisecond),
        DataType::List(item) => DataType::List(stored_field(item)?),
        DataType::LargeList(item) => DataType::LargeList(stored_field(item)?),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(stored_field(item)?, *size),
        DataType::Map(entries, sorted) => DataType::Map(stored_field(entries)?, *sorted),
        DataType::Struct(fields) => DataType::Struct(stored_fields(fields)?),
        DataType::Dictionary(keys, values) => DataType::Dictionary(keys.clone(), Box::new(stored_type(values)?)),
        _ => return None,
    })
}

fn stored(array: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == field.data_type() {
        return Ok(array.clone());
    }
    let stored = cast_with_options(array, field.data_type(), &CHECKED)?;
    // The cast to a date leaves the time of day out in silence.
    if &cast_with_options(&stored, array.data_type(), &CHECKED)? != array {
        let message = format!("column `{}` of type date64 has a value that is no whole day", field.name());
        return Err(ArrowError::CastError(message));
    }
    Ok(stored)
}

impl<W> Encoder<W> for StoredEncoder<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        let columns = batch.columns().iter().zip(self.schema.fields()).map(|(array, field)| stored(array, field));
        let batch = RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<_, _>>()?)?;
        self.inner.write(&batch)
    }

    fn written(&self) -> u64 {
        self.inner.written()
    }

    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn reaches(&mut self, bytes: u64) -> Result<bool, EncodeError> {
        self.inner.reaches(bytes)
    }

    fn memory(&self) -> usize {
        self.inner.memory()
    }

    fn drain(&mut self) -> Result<(), EncodeError> {
        self.inner.drain()
    }

    fn finish(self: Box<Self>) -> Result<W, EncodeError> {
        self.inner.finish()
    }
}
