//! The guest's reader: one `RecordBatch` message as columns in place.
//!
//! On the batch path it is the first thing in a guest's `process`. Invariant: nothing is copied when the bytes are aligned, and
//! no bytes make it panic: a broken offset reads as an empty value. Not here: the host's full checks (`host/decode.rs`).

use std::borrow::Cow;

use crate::aligned::{Native, view_as};
use crate::envelope::{self, BatchHeader};
use crate::error::IpcError;
use crate::head::BatchHead;
use crate::types::{DataType, Field, IntervalUnit, Schema};

/// The chosen columns of one batch.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    rows: usize,
    columns: Vec<Column<'a>>,
}

/// One column.
#[derive(Debug, Clone)]
pub struct Column<'a> {
    data_type: &'a DataType,
    rows: usize,
    nulls: usize,
    validity: Option<Bits<'a>>,
    buffers: [&'a [u8]; 2],
    children: Vec<Column<'a>>,
}

/// Bits, least significant first.
#[derive(Debug, Clone, Copy)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    len: usize,
}

/// Texts or byte strings of a column.
#[derive(Debug, Clone)]
pub struct Bytes<'a> {
    offsets: Offsets<'a>,
    data: &'a [u8],
    text: &'a str,
}

#[derive(Debug, Clone)]
enum Offsets<'a> {
    Small(Cow<'a, [i32]>),
    Large(Cow<'a, [i64]>),
}

/// Opens one message of a schema after the other.
#[derive(Debug, Default)]
pub struct BatchReader {
    schema: Schema,
    head: BatchHead,
}

impl BatchReader {
    /// A reader of messages whose columns are those of `schema`.
    pub fn new(schema: Schema) -> Self {
        let (nodes, buffers) = schema.layout();
        BatchReader { schema, head: BatchHead::new(nodes, buffers) }
    }

    /// The schema of the messages.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Opens a message.
    pub fn read<'a>(&'a self, message: &'a [u8]) -> Result<Batch<'a>, IpcError> {
        Batch::open(&self.schema, &self.head, message)
    }
}

impl<'a> Batch<'a> {
    /// Opens one message whose columns are those of `schema`; [`BatchReader`] is quicker for many.
    pub fn parse(schema: &'a Schema, message: &'a [u8]) -> Result<Self, IpcError> {
        Self::open(schema, &BatchHead::default(), message)
    }

    fn open(schema: &'a Schema, head: &BatchHead, message: &'a [u8]) -> Result<Self, IpcError> {
        let (header, body) = envelope::open_batch(message, head)?;
        let rows = usize::try_from(header.rows).map_err(|_| IpcError::Rows { expected: 0, found: header.rows })?;
        let mut walk = Walk { header, body, node: 0, buffer: 0 };
        let columns = walk.columns(&schema.fields)?;
        if walk.node != walk.header.nodes.len() {
            return Err(IpcError::Nodes { expected: walk.node, found: walk.header.nodes.len() });
        }
        if walk.buffer != walk.header.buffers.len() {
            return Err(IpcError::Buffers { expected: walk.buffer, found: walk.header.buffers.len() });
        }
        Ok(Batch { rows, columns })
    }

    /// A batch of which only the number of rows is known, as when no columns were chosen.
    pub fn without_columns(rows: usize) -> Self {
        Batch { rows, columns: Vec::new() }
    }

    /// Its number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Its columns.
    pub fn columns(&self) -> &[Column<'a>] {
        &self.columns
    }

    /// One column.
    pub fn column(&self, index: usize) -> Result<&Column<'a>, IpcError> {
        self.columns.get(index).ok_or(IpcError::Access { wanted: "any" })
    }
}

impl<'a> Column<'a> {
    /// Its type.
    pub fn data_type(&self) -> &'a DataType {
        self.data_type
    }

    /// Its number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many of them are null.
    pub fn null_count(&self) -> usize {
        self.nulls
    }

    /// Bits that are set where a row has a value; none when every row has one.
    pub fn validity(&self) -> Option<Bits<'a>> {
        self.validity
    }

    /// Whether the row has a value.
    #[inline]
    pub fn is_valid(&self, row: usize) -> bool {
        !matches!(self.data_type, DataType::Null) && self.validity.is_none_or(|bits| bits.get(row))
    }

    /// The children of a nested column.
    pub fn children(&self) -> &[Column<'a>] {
        &self.children
    }

    /// A buffer after the validity, as bytes: values or offsets at 0, the data of texts at 1.
    pub fn raw(&self, buffer: usize) -> &'a [u8] {
        self.buffers.get(buffer).copied().unwrap_or(&[])
    }

    /// Numbers, dates, times, timestamps and decimals by their stored number, one for each row. Those of null rows mean nothing.
    pub fn values<T: Native + Stored>(&self) -> Result<Cow<'a, [T]>, IpcError> {
        if !T::stores(self.data_type) {
            return Err(IpcError::Access { wanted: T::NAME });
        }
        let bytes = size_of::<T>().checked_mul(self.rows).and_then(|len| self.buffers[0].get(..len));
        bytes.map(view_as).ok_or(IpcError::Truncated { part: "body" })
    }

    /// Booleans as bits.
    pub fn bools(&self) -> Result<Bits<'a>, IpcError> {
        match self.data_type {
            DataType::Bool => Bits::new(self.buffers[0], self.rows),
            _ => Err(IpcError::Access { wanted: "bool" }),
        }
    }

    /// Texts.
    pub fn text(&self) -> Result<Bytes<'a>, IpcError> {
        match self.data_type {
            DataType::Utf8 | DataType::LargeUtf8 => self.strings(true),
            _ => Err(IpcError::Access { wanted: "utf8" }),
        }
    }

    /// Byte strings, or the bytes of texts.
    pub fn bytes(&self) -> Result<Bytes<'a>, IpcError> {
        match self.data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => self.strings(false),
            _ => Err(IpcError::Access { wanted: "binary" }),
        }
    }

    /// Offsets of a list or map column into its child, one more than there are rows.
    pub fn list_offsets(&self) -> Result<Cow<'a, [i32]>, IpcError> {
        match self.data_type {
            DataType::List(_) | DataType::Map(..) => {
                self.buffers[0].get(..4 * (self.rows + 1)).map(view_as).ok_or(IpcError::Truncated { part: "body" })
            }
            _ => Err(IpcError::Access { wanted: "list" }),
        }
    }

    fn strings(&self, text: bool) -> Result<Bytes<'a>, IpcError> {
        let large = matches!(self.data_type, DataType::LargeUtf8 | DataType::LargeBinary);
        let width = if large { 8 } else { 4 };
        let len = self.rows.checked_add(1).and_then(|count| count.checked_mul(width));
        let raw = len.and_then(|len| self.buffers[0].get(..len)).ok_or(IpcError::Truncated { part: "body" })?;
        let offsets = if large { Offsets::Large(view_as(raw)) } else { Offsets::Small(view_as(raw)) };
        let data = self.buffers[1].get(..offsets.get(self.rows)).ok_or(IpcError::Truncated { part: "body" })?;
        let text = if text { as_text(data)? } else { "" };
        Ok(Bytes { offsets, data, text })
    }
}

/// Checks that bytes are text. Most texts are ASCII, and that is seen in large steps: in a guest each turn of a loop has a price.
#[expect(unsafe_code, reason = "ASCII was checked in a way that is quick in a guest")]
fn as_text(data: &[u8]) -> Result<&str, IpcError> {
    const STEP: usize = 128;
    let none_above = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all | byte) < 128;
    let (steps, rest) = data.as_chunks::<STEP>();
    if steps.iter().all(|step| none_above(step)) && none_above(rest) {
        // SAFETY: every byte is ASCII, so the bytes are UTF-8.
        return Ok(unsafe { std::str::from_utf8_unchecked(data) });
    }
    std::str::from_utf8(data).map_err(|_| IpcError::Metadata { fault: "a text is not UTF-8" })
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8], len: usize) -> Result<Self, IpcError> {
        let bytes = bytes.get(..len.div_ceil(8)).ok_or(IpcError::Truncated { part: "body" })?;
        Ok(Bits { bytes, len })
    }

    /// One bit; not set past the end.
    #[inline]
    pub fn get(&self, index: usize) -> bool {
        self.bytes.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes that hold them.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> Bytes<'a> {
    /// The bytes of one row; none of them when the row is out of range or its offsets are broken.
    #[inline]
    pub fn get(&self, row: usize) -> &'a [u8] {
        self.data.get(self.offsets.get(row)..self.offsets.get(row + 1)).unwrap_or(&[])
    }

    /// The text of one row. Empty for columns that are no text.
    #[inline]
    pub fn str(&self, row: usize) -> &'a str {
        self.text.get(self.offsets.get(row)..self.offsets.get(row + 1)).unwrap_or("")
    }

    /// The bytes of all rows, one after the other.
    pub fn data(&self) -> &'a [u8] {
        self.data.get(self.offsets.get(0)..).unwrap_or(&[])
    }

    /// Offset of a row into all bytes that were sent.
    pub fn offset(&self, row: usize) -> usize {
        self.offsets.get(row)
    }

    /// The offsets, when they are of the 32-bit form.
    pub fn small_offsets(&self) -> Option<&[i32]> {
        match &self.offsets {
            Offsets::Small(offsets) => Some(offsets),
            Offsets::Large(_) => None,
        }
    }
}

impl Offsets<'_> {
    #[inline]
    fn get(&self, index: usize) -> usize {
        let offset = match self {
            Offsets::Small(offsets) => offsets.get(index).map(|at| usize::try_from(*at)),
            Offsets::Large(offsets) => offsets.get(index).map(|at| usize::try_from(*at)),
        };
        offset.and_then(Result::ok).unwrap_or(usize::MAX)
    }
}

/// Which types a number stores.
pub trait Stored {
    /// Its name in messages.
    const NAME: &'static str;
    /// Whether columns of the type hold such numbers.
    fn stores(data_type: &DataType) -> bool;
}

macro_rules! stored {
    ($($t:ty, $name:literal: $pattern:pat,)*) => {$(
        impl Stored for $t {
            const NAME: &'static str = $name;
            fn stores(data_type: &DataType) -> bool {
                matches!(data_type, $pattern)
            }
        }
    )*};
}
stored! {
    i8, "int8": DataType::Int8,
    i16, "int16": DataType::Int16,
    i32, "int32": DataType::Int32 | DataType::Date32 | DataType::Time32(_) | DataType::Interval(IntervalUnit::YearMonth),
    i64, "int64": DataType::Int64 | DataType::Date64 | DataType::Time64(_) | DataType::Timestamp(..) | DataType::Duration(_),
    i128, "decimal128": DataType::Decimal128(..),
    u8, "uint8": DataType::UInt8,
    u16, "uint16": DataType::UInt16 | DataType::Float16,
    u32, "uint32": DataType::UInt32,
    u64, "uint64": DataType::UInt64,
    f32, "float32": DataType::Float32,
    f64, "float64": DataType::Float64,
}

struct Walk<'a> {
    header: BatchHeader<'a>,
    body: &'a [u8],
    node: usize,
    buffer: usize,
}

impl<'a> Walk<'a> {
    fn columns(&mut self, fields: &'a [Field]) -> Result<Vec<Column<'a>>, IpcError> {
        fields.iter().map(|field| self.column(field)).collect()
    }

    fn column(&mut self, field: &'a Field) -> Result<Column<'a>, IpcError> {
        if self.node >= self.header.nodes.len() {
            return Err(IpcError::Nodes { expected: self.node + 1, found: self.header.nodes.len() });
        }
        let (rows, nulls) = self.header.nodes.pair(self.node)?;
        self.node += 1;
        let fault = |fault| IpcError::Layout { column: field.name.clone(), fault };
        let rows = usize::try_from(rows).map_err(|_| fault("its length is negative"))?;
        let nulls = usize::try_from(nulls).map_err(|_| fault("its null count is negative"))?;
        let count = field.data_type.buffers();
        let validity = if count > 0 { self.next()? } else { &[] };
        let mut buffers: [&[u8]; 2] = [&[]; 2];
        for buffer in buffers.iter_mut().take(count.saturating_sub(1)) {
            *buffer = self.next()?;
        }
        let validity = if count > 0 && nulls > 0 { Some(Bits::new(validity, rows)?) } else { None };
        let children = self.columns(field.data_type.children())?;
        Ok(Column { data_type: &field.data_type, rows, nulls, validity, buffers, children })
    }

    fn next(&mut self) -> Result<&'a [u8], IpcError> {
        if self.buffer >= self.header.buffers.len() {
            return Err(IpcError::Buffers { expected: self.buffer + 1, found: self.header.buffers.len() });
        }
        let (offset, len) = self.header.buffers.pair(self.buffer)?;
        self.buffer += 1;
        let range = usize::try_from(offset).ok().zip(usize::try_from(len).ok());
        let bytes = range.and_then(|(at, len)| self.body.get(at..at.checked_add(len)?));
        bytes.ok_or(IpcError::Truncated { part: "body" })
    }
}
