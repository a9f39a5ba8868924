//! One column of a batch: converts its field of many rows at once.
//!
//! Third step of decoding a chunk, after splitting and the predicate. Each type has one loop with a fast path; what it cannot
//! take goes to `slow`: quotes, null, unusual spelling, and at last a failure of that row. Invariant: a row adds exactly one
//! entry to each column, a failed one too, so that columns stay in step; the batch drops those rows.
//! Not here: which rows (`filter.rs`), what becomes of failures (`mod.rs`).

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Decimal128Array, PrimitiveArray, StringArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use rde_core::Code;

use super::super::codes;
use super::number;
use super::text::{Rows, Text};
use super::time;

/// A row that one column could not convert.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    /// Row of the lot that was converted.
    pub(super) row: usize,
    /// The field's place in the file.
    pub(super) field: usize,
    pub(super) code: &'static Code,
}

/// A column that grows.
#[derive(Debug)]
pub(super) struct Column {
    /// The field's place in the file.
    pub(super) field: usize,
    data_type: DataType,
    values: Values,
    /// Rows that are null; few enough that a bitmap is only made at the end.
    nulls: Vec<u32>,
}

#[derive(Debug)]
enum Values {
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    UInt8(Vec<u8>),
    UInt16(Vec<u16>),
    UInt32(Vec<u32>),
    UInt64(Vec<u64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Boolean(Vec<bool>),
    Date(Vec<i32>),
    Stamp(Vec<i64>),
    Decimal(Vec<i128>),
    Bytes { ends: Vec<i32>, bytes: Vec<u8> },
}

/// Returns whether a column of this type can be read from CSV.
pub fn is_supported(data_type: &DataType) -> bool {
    Values::new(data_type).is_some()
}

impl Values {
    fn new(data_type: &DataType) -> Option<Values> {
        Some(match data_type {
            DataType::Int8 => Values::Int8(Vec::new()),
            DataType::Int16 => Values::Int16(Vec::new()),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::UInt8 => Values::UInt8(Vec::new()),
            DataType::UInt16 => Values::UInt16(Vec::new()),
            DataType::UInt32 => Values::UInt32(Vec::new()),
            DataType::UInt64 => Values::UInt64(Vec::new()),
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Boolean => Values::Boolean(Vec::new()),
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Values::Stamp(Vec::new()),
            DataType::Decimal128(..) => Values::Decimal(Vec::new()),
            DataType::Utf8 | DataType::Binary => Values::Bytes { ends: vec![0], bytes: Vec::new() },
            _ => return None,
        })
    }
}

impl Column {
    /// Makes an empty column; nothing where the type is not supported.
    pub(super) fn new(field: usize, data_type: &DataType) -> Option<Column> {
        let values = Values::new(data_type)?;
        Some(Column { field, data_type: data_type.clone(), values, nulls: Vec::new() })
    }

    /// Returns the bytes that a row takes at least.
    pub(super) fn row_bytes(&self) -> usize {
        match &self.values {
            Values::Int8(_) | Values::UInt8(_) | Values::Boolean(_) => 1,
            Values::Int16(_) | Values::UInt16(_) => 2,
            Values::Int32(_) | Values::UInt32(_) | Values::Float32(_) | Values::Date(_) | Values::Bytes { .. } => 4,
            Values::Int64(_) | Values::UInt64(_) | Values::Float64(_) | Values::Stamp(_) => 8,
            Values::Decimal(_) => 16,
        }
    }

    /// Returns the bytes of text it holds.
    pub(super) fn text_bytes(&self) -> usize {
        match &self.values {
            Values::Bytes { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }

    /// Returns whether its rows take the bytes of their text as well.
    pub(super) fn holds_text(&self) -> bool {
        matches!(self.values, Values::Bytes { .. })
    }

    /// Converts its field of `rows`.
    pub(super) fn convert(&mut self, text: &Text<'_>, rows: Rows<'_>, failures: &mut Vec<Failure>) {
        let fields = text.fields;
        match rows {
            Rows::Even { first, count } => {
                self.convert_bases(text, (first..first + count).map(move |row| row * fields), failures);
            }
            Rows::Listed(bases) => self.convert_bases(text, bases.iter().map(|base| *base as usize), failures),
        }
    }

    fn convert_bases(
        &mut self,
        text: &Text<'_>,
        bases: impl ExactSizeIterator<Item = usize>,
        failures: &mut Vec<Failure>,
    ) {
        let ctx =
            &mut Ctx { text, field: self.field, last: self.field + 1 == text.fields, nulls: &mut self.nulls, failures };
        let zoned = matches!(self.data_type, DataType::Timestamp(_, Some(_)));
        match &mut self.values {
            Values::Int8(values) => ctx.integers(values, bases),
            Values::Int16(values) => ctx.integers(values, bases),
            Values::Int32(values) => ctx.integers(values, bases),
            Values::Int64(values) => ctx.integers(values, bases),
            Values::UInt8(values) => ctx.integers(values, bases),
            Values::UInt16(values) => ctx.integers(values, bases),
            Values::UInt32(values) => ctx.integers(values, bases),
            Values::UInt64(values) => ctx.integers(values, bases),
            Values::Float32(values) => ctx.each(values, bases, |_, _| None, number::float),
            Values::Float64(values) => {
                ctx.each(values, bases, |text, (start, end)| number::float_fast(text.bytes, start, end), number::float)
            }
            Values::Boolean(values) => ctx.each(values, bases, |_, _| None, number::boolean),
            Values::Date(values) => ctx.each(values, bases, fast_date, time::date),
            Values::Stamp(values) => ctx.each(
                values,
                bases,
                |text, (start, end)| time::stamp_fast(text.bytes, start, end, zoned),
                |content| stamp(content, zoned),
            ),
            Values::Decimal(values) => {
                let DataType::Decimal128(precision, scale) = self.data_type else {
                    unreachable!("decimal values belong to a decimal column")
                };
                ctx.each(values, bases, |_, _| None, |content| number::decimal(content, precision, scale));
            }
            Values::Bytes { ends, bytes } => {
                let from = ends.len() - 1;
                ctx.bytes(ends, bytes, bases);
                if self.data_type == DataType::Utf8 {
                    ctx.check_utf8(ends, bytes, from);
                }
            }
        }
    }

    /// Takes the rows out as an array. The column is empty afterwards, with room for as many rows again.
    pub(super) fn finish(&mut self) -> ArrayRef {
        let nulls = std::mem::take(&mut self.nulls);
        match &mut self.values {
            Values::Int8(values) => primitive::<Int8Type>(values, &nulls, &self.data_type),
            Values::Int16(values) => primitive::<Int16Type>(values, &nulls, &self.data_type),
            Values::Int32(values) => primitive::<Int32Type>(values, &nulls, &self.data_type),
            Values::Int64(values) => primitive::<Int64Type>(values, &nulls, &self.data_type),
            Values::UInt8(values) => primitive::<UInt8Type>(values, &nulls, &self.data_type),
            Values::UInt16(values) => primitive::<UInt16Type>(values, &nulls, &self.data_type),
            Values::UInt32(values) => primitive::<UInt32Type>(values, &nulls, &self.data_type),
            Values::UInt64(values) => primitive::<UInt64Type>(values, &nulls, &self.data_type),
            Values::Float32(values) => primitive::<Float32Type>(values, &nulls, &self.data_type),
            Values::Float64(values) => primitive::<Float64Type>(values, &nulls, &self.data_type),
            Values::Date(values) => primitive::<Date32Type>(values, &nulls, &self.data_type),
            Values::Stamp(values) => primitive::<TimestampMicrosecondType>(values, &nulls, &self.data_type),
            Values::Boolean(values) => {
                let values = take(values);
                Arc::new(BooleanArray::new(BooleanBuffer::from(values.as_slice()), null_buffer(&nulls, values.len())))
            }
            Values::Decimal(values) => {
                let values = take(values);
                let nulls = null_buffer(&nulls, values.len());
                Arc::new(Decimal128Array::new(ScalarBuffer::from(values), nulls).with_data_type(self.data_type.clone()))
            }
            Values::Bytes { ends, bytes } => finish_bytes(ends, bytes, &nulls, self.data_type == DataType::Utf8),
        }
    }
}

/// What every loop needs.
struct Ctx<'a, 't> {
    text: &'a Text<'t>,
    field: usize,
    last: bool,
    nulls: &'a mut Vec<u32>,
    failures: &'a mut Vec<Failure>,
}

impl Ctx<'_, '_> {
    fn integers<T>(&mut self, values: &mut Vec<T>, bases: impl ExactSizeIterator<Item = usize>)
    where
        T: TryFrom<i64> + TryFrom<i128> + Default,
    {
        self.each(
            values,
            bases,
            |text, (start, end)| T::try_from(number::integer_fast(text, start, end)?).ok(),
            |content| T::try_from(number::integer(content)?).ok(),
        );
    }

    /// Converts a field of each row by `fast` or, where that gives nothing, by `slow`.
    #[inline(always)]
    fn each<T: Default>(
        &mut self,
        values: &mut Vec<T>,
        bases: impl ExactSizeIterator<Item = usize>,
        fast: impl Fn(&Text<'_>, (usize, usize)) -> Option<T>,
        slow: impl Fn(&[u8]) -> Option<T>,
    ) {
        let done = values.len();
        // Copies, so that the loop finds them in registers.
        let (text, field, last) = (*self.text, self.field, self.last);
        if text.nulls.like_values() {
            values
                .extend(bases.enumerate().map(|(row, base)| self.one(done, row, text.range(base, field, last), &slow)));
            return;
        }
        values.extend(bases.enumerate().map(move |(row, base)| {
            let range = text.range(base, field, last);
            fast(&text, range).unwrap_or_else(|| self.one(done, row, range, &slow))
        }));
    }

    /// Converts one field that may be quoted, null or wrong.
    #[inline(never)]
    fn one<T: Default>(
        &mut self,
        done: usize,
        row: usize,
        (start, end): (usize, usize),
        slow: impl Fn(&[u8]) -> Option<T>,
    ) -> T {
        let content = self.text.content(start, end);
        if self.text.nulls.is_null(&content) {
            self.nulls.push((done + row) as u32);
            return T::default();
        }
        slow(&content).unwrap_or_else(|| {
            self.failures.push(Failure { row, field: self.field, code: &codes::BAD_VALUE });
            T::default()
        })
    }

    fn bytes(&mut self, ends: &mut Vec<i32>, bytes: &mut Vec<u8>, bases: impl ExactSizeIterator<Item = usize>) {
        let done = ends.len() - 1;
        let (text, field, last) = (*self.text, self.field, self.last);
        ends.extend(bases.enumerate().map(|(row, base)| {
            let (start, end) = text.range(base, field, last);
            if text.quotes && text.byte(start) == b'"' {
                let content = text.content(start, end);
                if text.nulls.is_null(&content) {
                    self.nulls.push((done + row) as u32);
                } else {
                    bytes.extend_from_slice(&content);
                }
            } else if text.nulls.may_be(end - start) && text.nulls.is_null(&text.bytes[start..end]) {
                self.nulls.push((done + row) as u32);
            } else {
                append(bytes, &text, start, end);
            }
            offset(bytes.len())
        }));
    }

    /// Checks the text of the rows from `from` on. A row that is not UTF-8 fails, and its bytes are replaced.
    fn check_utf8(&mut self, ends: &[i32], bytes: &mut [u8], from: usize) {
        let start = ends[from] as usize;
        if bytes[start..].is_ascii() {
            return;
        }
        // Valid as a whole is not enough: a character must not go on in the next row.
        let begins = |end: &i32| bytes.get(*end as usize).is_none_or(|byte| !(0x80..0xc0).contains(byte));
        if simdutf8::basic::from_utf8(&bytes[start..]).is_ok() && ends[from..].iter().all(begins) {
            return;
        }
        for (row, range) in ends[from..].windows(2).enumerate() {
            let value = &mut bytes[range[0] as usize..range[1] as usize];
            if simdutf8::basic::from_utf8(value).is_err() {
                value.fill(b'?');
                self.failures.push(Failure { row, field: self.field, code: &codes::INVALID_UTF8 });
            }
        }
    }
}

fn fast_date(text: &Text<'_>, (start, end): (usize, usize)) -> Option<i32> {
    let bytes = &text.sixteen(start)[..10];
    if end - start != 10 {
        return None;
    }
    time::date_fast(bytes.try_into().expect("ten bytes are ten bytes"))
}

/// Reads a timestamp for a column with or without a zone. Without a written zone it is UTC where the column has one; with a
/// written zone it does not fit a column without, since the zone would be lost.
fn stamp(content: &[u8], zoned: bool) -> Option<i64> {
    let stamp = time::stamp(content)?;
    (zoned || !stamp.zoned).then_some(stamp.micros)
}

/// Appends bytes of the text. Most values are short: sixteen bytes at once are faster than a call that looks at the length.
#[inline(always)]
fn append(bytes: &mut Vec<u8>, text: &Text<'_>, start: usize, end: usize) {
    let len = bytes.len();
    if end - start <= 16 {
        bytes.extend_from_slice(text.sixteen(start));
        bytes.truncate(len + end - start);
    } else {
        bytes.extend_from_slice(&text.bytes[start..end]);
    }
}

/// An end of text in a column. Batches end long before 2^31 bytes: `bytes_max` and `row_bytes_max` are at most 1 GiB less.
fn offset(len: usize) -> i32 {
    len as i32
}

/// Takes the values and leaves room for as many again.
fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = values.len();
    std::mem::replace(values, Vec::with_capacity(room))
}

fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: &[u32], data_type: &DataType) -> ArrayRef {
    let values = take(values);
    let nulls = null_buffer(nulls, values.len());
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls).with_data_type(data_type.clone()))
}

fn null_buffer(nulls: &[u32], rows: usize) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut valid = BooleanBufferBuilder::new(rows);
    valid.append_n(rows, true);
    nulls.iter().for_each(|row| valid.set_bit(*row as usize, false));
    Some(NullBuffer::new(valid.finish()))
}

#[expect(unsafe_code, reason = "checking offsets and UTF-8 a second time costs as much as copying the text")]
fn finish_bytes(ends: &mut Vec<i32>, bytes: &mut Vec<u8>, nulls: &[u32], utf8: bool) -> ArrayRef {
    let ends = {
        let full = take(ends);
        ends.push(0);
        full
    };
    let nulls = null_buffer(nulls, ends.len() - 1);
    let bytes = Buffer::from_vec(take(bytes));
    // SAFETY: `Ctx::bytes` appends lengths of a vector that only grows, after the first 0.
    let ends = unsafe { OffsetBuffer::new_unchecked(ScalarBuffer::from(ends)) };
    if utf8 {
        // SAFETY: the last end is the length of the bytes, and `check_utf8` has looked at every value.
        Arc::new(unsafe { StringArray::new_unchecked(ends, bytes, nulls) })
    } else {
        Arc::new(BinaryArray::new(ends, bytes, nulls))
    }
}
