//! JSON output: one object per line, nulls written out, so that every line shows every column.
//!
//! Binary is base64, a decimal a string of its digits (a JSON number is read as a float by most), NaN and the infinities
//! are the strings `NaN`, `Infinity`, `-Infinity`, since JSON has no numbers for them and null would lose them.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, AsArray, PrimitiveArray};
use arrow::array::{ArrowPrimitiveType, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::util::display::ArrayFormatter;
use arrow_json::writer::{LineDelimited, NullableEncoder, WriterBuilder};
use arrow_json::{Encoder as JsonValue, EncoderFactory, EncoderOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::EncodeError;
use super::cells::{NO_TEXT_FORM, OPTIONS, bytes_of};
use super::text::{TextBuffer, TextRows};

/// Rows as JSON lines.
pub(super) struct JsonRows;

impl TextRows for JsonRows {
    fn write<W: Write>(&mut self, batch: &RecordBatch, text: &mut TextBuffer<W>) -> Result<(), EncodeError> {
        let start = text.waiting.len();
        let lossless = Arc::new(Lossless::default());
        let mut writer = WriterBuilder::new()
            .with_explicit_nulls(true)
            .with_encoder_factory(lossless.clone())
            .build::<_, LineDelimited>(&mut text.waiting);
        writer.write(batch)?;
        writer.finish()?;
        if lossless.unshown.load(Ordering::Relaxed) {
            // Nothing of the batch may leave: its text is no JSON.
            text.waiting.truncate(start);
            return Err(EncodeError::Format(NO_TEXT_FORM.to_owned()));
        }
        text.settle()
    }
}

/// Returns whether JSON can hold values of a type.
pub(super) fn holds(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) | DataType::RunEndEncoded(..) | DataType::Interval(_) => false,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => holds(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| holds(field.data_type())),
        DataType::Dictionary(_, values) => holds(values),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                let keys = fields.first().map(|key| key.data_type());
                matches!(keys, Some(DataType::Utf8 | DataType::LargeUtf8))
                    && fields.iter().all(|field| holds(field.data_type()))
            }
            _ => false,
        },
        _ => true,
    }
}

/// Replaces the encoders that would lose something, or print an error as if it was a value.
#[derive(Debug, Default)]
struct Lossless {
    /// A value has no text form. The encoder of a value cannot fail, so it leaves word here.
    unshown: Arc<AtomicBool>,
}

impl EncoderFactory for Lossless {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn JsonValue + 'a> = match array.data_type() {
            DataType::Float16 => Box::new(Floats::<Float16Type>(array.as_primitive())),
            DataType::Float32 => Box::new(Floats::<Float32Type>(array.as_primitive())),
            DataType::Float64 => Box::new(Floats::<Float64Type>(array.as_primitive())),
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
                self.quoted(array)?
            }
            other if other.is_temporal() => self.quoted(array)?,
            other => match bytes_of(other) {
                Some(bytes) => Box::new(Base64 { array, bytes }),
                None => return Ok(None),
            },
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

impl Lossless {
    fn quoted<'a>(&self, array: &'a dyn Array) -> Result<Box<dyn JsonValue + 'a>, ArrowError> {
        let formatter = ArrayFormatter::try_new(array, &OPTIONS)?;
        Ok(Box::new(Quoted { formatter, text: String::new(), unshown: self.unshown.clone() }))
    }
}

struct Base64<'a> {
    array: &'a dyn Array,
    bytes: fn(&dyn Array, usize) -> &[u8],
}

impl JsonValue for Base64<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let text = STANDARD.encode((self.bytes)(self.array, row));
        push_quoted(out, &text);
    }
}

/// Values whose text needs no escapes: decimals, dates and times.
struct Quoted<'a> {
    formatter: ArrayFormatter<'a>,
    text: String,
    unshown: Arc<AtomicBool>,
}

impl JsonValue for Quoted<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        self.text.clear();
        if write!(self.text, "{}", self.formatter.value(row)).is_err() {
            self.unshown.store(true, Ordering::Relaxed);
        }
        push_quoted(out, &self.text);
    }
}

struct Floats<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>);

impl<T: ArrowPrimitiveType> JsonValue for Floats<'_, T>
where
    T::Native: Into<f64> + std::fmt::Debug,
{
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = self.0.value(row);
        let wide: f64 = value.into();
        if wide.is_finite() {
            // The debug form is the shortest text that reads back as the same number, always with a point or exponent.
            out.extend_from_slice(format!("{value:?}").as_bytes());
        } else if wide.is_nan() {
            out.extend_from_slice(b"\"NaN\"");
        } else {
            out.extend_from_slice(if wide > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
        }
    }
}

fn push_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}
