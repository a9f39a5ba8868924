//! Untrusted `RecordBatch` bytes of a guest to arrow arrays.
//!
//! On the batch path: inside the host functions that a guest emits through, while its memory is borrowed. First the layout is
//! measured against the schema without touching values, then the bytes are charged, then each buffer is copied into aligned
//! memory, and only the copy is checked and shown to arrow. Invariants: no bytes panic; nothing is allocated before it was
//! charged; what is answered passes arrow's full validation. Not here: what a refusal does to the call (`rde-wasm`).

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, FixedSizeListArray, GenericByteArray, GenericListArray,
    LargeBinaryArray, LargeStringArray, MapArray, NullArray, OffsetSizeTrait, PrimitiveArray, RecordBatch,
    RecordBatchOptions, StringArray, StructArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, ByteArrayType, DataType, Decimal128Type, Decimal256Type, Field, Fields, SchemaRef, TimeUnit,
    i256,
};
use arrow::error::ArrowError;

use super::check;
use super::pool::{BufferPool, Lease};
use crate::envelope::{self, ALIGNMENT, BatchHeader, Kind};
use crate::error::IpcError;

/// The most rows of a batch or of a child.
pub const ROWS_MAX: usize = i32::MAX as usize;

/// The answer of a charge that is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// Target of a validity buffer that is counted where it lies and not copied, since all its bits must be set.
const COUNT_ONLY: usize = usize::MAX;
/// Buffer of a span that no buffer of the message fills.
const NO_BUFFER: usize = usize::MAX;

/// Asked once for each batch, with its bytes, before any of them is allocated.
pub type Charge<'c> = &'c mut dyn FnMut(usize) -> Result<(), Refused>;

/// Decodes batches of one schema.
pub struct Decoder {
    schema: SchemaRef,
    pool: BufferPool,
    nodes: Vec<Node>,
    columns: Vec<usize>,
}

/// What was decoded.
#[derive(Debug)]
pub struct Decoded {
    /// Rows of each column.
    pub rows: usize,
    /// In the order of the schema.
    pub columns: Vec<ArrayRef>,
    /// What was charged.
    pub bytes: usize,
}

/// Where the bytes are.
enum Body<'a> {
    Block(&'a [u8]),
    Parts(&'a [&'a [u8]]),
}

/// One column or child, measured. Spans are validity, then values or offsets, then data.
#[derive(Clone, Copy, Default)]
struct Node {
    rows: usize,
    nulls: usize,
    spans: [Span; 3],
}

/// The part of one buffer that is needed, where it lies in the message and where in the column's block.
#[derive(Clone, Copy, Default)]
struct Span {
    buffer: usize,
    at: usize,
    len: usize,
    target: usize,
}

impl Decoder {
    /// A decoder for a schema that [`super::check_schema`] gave.
    pub fn new(schema: SchemaRef, pool: BufferPool) -> Result<Self, IpcError> {
        let depth = schema.fields().iter().map(|field| depth(field)).max().unwrap_or(0);
        if depth > crate::schema::TYPE_DEPTH_MAX {
            return Err(IpcError::Depth { limit: crate::schema::TYPE_DEPTH_MAX });
        }
        Ok(Decoder { schema, pool, nodes: Vec::new(), columns: Vec::new() })
    }

    /// The schema of its batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Decodes one whole message. With `rows`, the batch must have exactly so many.
    pub fn decode(&mut self, message: &[u8], rows: Option<usize>, charge: Charge<'_>) -> Result<Decoded, IpcError> {
        let envelope = envelope::open(message, Kind::RecordBatch)?;
        let header = BatchHeader::read(envelope.header)?;
        self.decode_body(&header, &Body::Block(envelope.body), rows, charge)
    }

    /// Decodes metadata without prefix, and the body's buffers one by one.
    pub fn decode_parts(
        &mut self,
        metadata: &[u8],
        buffers: &[&[u8]],
        rows: Option<usize>,
        charge: Charge<'_>,
    ) -> Result<Decoded, IpcError> {
        let (header, _) = envelope::open_metadata(metadata, Kind::RecordBatch)?;
        let header = BatchHeader::read(header)?;
        if header.buffers.len() != buffers.len() {
            return Err(IpcError::Buffers { expected: header.buffers.len(), found: buffers.len() });
        }
        self.decode_body(&header, &Body::Parts(buffers), rows, charge)
    }

    fn decode_body(
        &mut self,
        header: &BatchHeader<'_>,
        body: &Body<'_>,
        expected: Option<usize>,
        charge: Charge<'_>,
    ) -> Result<Decoded, IpcError> {
        let rows = usize::try_from(header.rows).ok().filter(|rows| *rows <= ROWS_MAX);
        let wrong = || IpcError::Rows { expected: expected.unwrap_or(ROWS_MAX), found: header.rows };
        let rows = rows.filter(|rows| expected.is_none_or(|expected| expected == *rows)).ok_or_else(wrong)?;
        self.nodes.clear();
        self.columns.clear();
        let mut measure = Measure { header, body, nodes: &mut self.nodes, buffer: 0, target: 0, free: 0 };
        let mut bytes = 0_usize;
        for field in self.schema.fields() {
            measure.target = 0;
            measure.field(field, Some(rows))?;
            self.columns.push(measure.target);
            bytes = bytes.checked_add(measure.target).ok_or(IpcError::TooLarge)?;
        }
        bytes = bytes.checked_add(measure.free).ok_or(IpcError::TooLarge)?;
        measure.end()?;
        charge(bytes).map_err(|Refused| IpcError::Refused)?;
        let columns = self.build(body)?;
        Ok(Decoded { rows, columns, bytes })
    }

    fn build(&self, body: &Body<'_>) -> Result<Vec<ArrayRef>, IpcError> {
        let mut columns = Vec::with_capacity(self.columns.len());
        let mut next = 0;
        for (field, size) in self.schema.fields().iter().zip(&self.columns) {
            let end = next + nodes_of(field.data_type());
            self.count(body, &self.nodes[next..end], field)?;
            let block = if *size == 0 { Buffer::default() } else { self.copy(body, &self.nodes[next..end], *size) };
            let mut build = Build { column: field.name(), block, nodes: &self.nodes[next..end] };
            let array = build.array(field.data_type())?;
            if !field.is_nullable() && array.null_count() > 0 {
                return Err(build.data("it has nulls, which its field forbids"));
            }
            columns.push(array);
            next = end;
        }
        Ok(columns)
    }

    /// A column that states no nulls may have a validity buffer, which must say so too.
    fn count(&self, body: &Body<'_>, nodes: &[Node], field: &Field) -> Result<(), IpcError> {
        let stated = nodes.iter().filter(|node| node.spans[0].target == COUNT_ONLY);
        for node in stated {
            if body.get(&node.spans[0]).is_none_or(|bits| check::ones(bits, node.rows) != node.rows) {
                let fault = "its null count is not that of its validity buffer";
                return Err(IpcError::Data { column: field.name().clone(), fault });
            }
        }
        Ok(())
    }

    /// Copies the needed part of each buffer of one column into one block.
    fn copy(&self, body: &Body<'_>, nodes: &[Node], size: usize) -> Buffer {
        let mut lease: Lease = self.pool.take(size);
        let block = lease.bytes_mut();
        for span in nodes.iter().flat_map(|node| &node.spans).filter(|span| span.len > 0 && span.target != COUNT_ONLY) {
            let target = &mut block[span.target..span.target + span.len];
            match body.get(span) {
                Some(source) => target.copy_from_slice(source),
                // The offsets of a column without rows, which a writer may leave out.
                None => target.fill(0),
            }
        }
        lease.into_buffer(size)
    }
}

impl Decoded {
    /// The columns as a batch of the decoder's schema.
    pub fn into_batch(self, schema: &SchemaRef) -> Result<RecordBatch, IpcError> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(Arc::clone(schema), self.columns, &options).map_err(arrow_error)
    }
}

impl<'a> Body<'a> {
    fn get(&self, span: &Span) -> Option<&'a [u8]> {
        if span.buffer == NO_BUFFER {
            return None;
        }
        let source = match self {
            Body::Block(block) => *block,
            Body::Parts(parts) => parts.get(span.buffer)?,
        };
        source.get(span.at..span.at.checked_add(span.len)?)
    }
}

/// The first pass: lengths only.
struct Measure<'m, 'h> {
    header: &'m BatchHeader<'h>,
    body: &'m Body<'m>,
    nodes: &'m mut Vec<Node>,
    buffer: usize,
    /// Bytes of the column so far.
    target: usize,
    /// Charge for rows that take no bytes, so that they are not for nothing.
    free: usize,
}

impl Measure<'_, '_> {
    /// Measures one field; `rows` is the only length it may have.
    fn field(&mut self, field: &Field, rows: Option<usize>) -> Result<(), IpcError> {
        let fault = |fault| IpcError::Layout { column: field.name().clone(), fault };
        let index = self.nodes.len();
        if index >= self.header.nodes.len() {
            return Err(IpcError::Nodes { expected: index + 1, found: self.header.nodes.len() });
        }
        let (length, nulls) = self.header.nodes.pair(index)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= ROWS_MAX);
        let length = length.ok_or_else(|| fault("its length is negative or above 2^31 - 1"))?;
        if rows.is_some_and(|rows| rows != length) {
            return Err(fault("its length is not the number of rows"));
        }
        let nulls = usize::try_from(nulls).ok().filter(|nulls| *nulls <= length);
        let nulls = nulls.ok_or_else(|| fault("its null count is negative or above its length"))?;
        self.nodes.push(Node { rows: length, nulls, spans: [Span::default(); 3] });
        self.free = self.free.checked_add(length.div_ceil(8)).ok_or(IpcError::TooLarge)?;
        if field.data_type().is_null() {
            return if nulls == 0 || nulls == length { Ok(()) } else { Err(fault("its null count is not its length")) };
        }
        let validity = self.validity(field, length, nulls)?;
        self.nodes[index].spans[0] = validity;
        self.values(field, index, length)
    }

    /// The validity is copied only when there are nulls, but always counted.
    fn validity(&mut self, field: &Field, rows: usize, nulls: usize) -> Result<Span, IpcError> {
        let fault = |fault| IpcError::Layout { column: field.name().clone(), fault };
        let (mut span, len) = self.next_buffer(field)?;
        if len == 0 {
            return if nulls == 0 { Ok(Span::default()) } else { Err(fault("it has nulls and no validity buffer")) };
        }
        span.len = rows.div_ceil(8);
        if len < span.len {
            return Err(fault("its validity buffer is too short"));
        }
        if nulls == 0 {
            span.target = COUNT_ONLY;
            return Ok(span);
        }
        self.place(span)
    }

    fn values(&mut self, field: &Field, index: usize, rows: usize) -> Result<(), IpcError> {
        match field.data_type() {
            DataType::Boolean => self.fixed(field, index, rows.div_ceil(8)),
            DataType::FixedSizeBinary(width) => self.fixed(field, index, self.times(rows, *width)?),
            DataType::Utf8 | DataType::Binary => self.bytes::<i32>(field, index, rows),
            DataType::LargeUtf8 | DataType::LargeBinary => self.bytes::<i64>(field, index, rows),
            DataType::List(child) | DataType::Map(child, _) => {
                self.offsets::<i32>(field, index, rows)?;
                self.field(child, None)
            }
            DataType::LargeList(child) => {
                self.offsets::<i64>(field, index, rows)?;
                self.field(child, None)
            }
            DataType::FixedSizeList(child, size) => {
                let rows = self.times(rows, *size)?;
                self.field(child, Some(rows))
            }
            DataType::Struct(fields) => fields.iter().try_for_each(|child| self.field(child, Some(rows))),
            other => match other.primitive_width() {
                Some(width) => self.fixed(field, index, rows.checked_mul(width).ok_or(IpcError::TooLarge)?),
                None => Err(IpcError::Type { field: field.name().clone(), name: "that has no crossing form" }),
            },
        }
    }

    fn times(&self, rows: usize, size: i32) -> Result<usize, IpcError> {
        usize::try_from(size).ok().and_then(|size| rows.checked_mul(size)).ok_or(IpcError::TooLarge)
    }

    fn fixed(&mut self, field: &Field, index: usize, needed: usize) -> Result<(), IpcError> {
        let (mut span, len) = self.next_buffer(field)?;
        if len < needed {
            return Err(IpcError::Layout {
                column: field.name().clone(),
                fault: "its values are shorter than its rows",
            });
        }
        span.len = needed;
        self.nodes[index].spans[1] = self.place(span)?;
        Ok(())
    }

    /// Answers the last offset.
    fn offsets<O: OffsetSizeTrait>(&mut self, field: &Field, index: usize, rows: usize) -> Result<usize, IpcError> {
        let fault = |fault| IpcError::Layout { column: field.name().clone(), fault };
        let (mut span, len) = self.next_buffer(field)?;
        let width = size_of::<O>();
        span.len = (rows + 1).checked_mul(width).ok_or(IpcError::TooLarge)?;
        if len == 0 && rows == 0 {
            span.buffer = NO_BUFFER;
            self.nodes[index].spans[1] = self.place(span)?;
            return Ok(0);
        }
        if len < span.len {
            return Err(fault("its offsets are fewer than its rows"));
        }
        let raw = self.body.get(&span).ok_or_else(|| fault("its offsets lie outside the body"))?;
        let last = usize::try_from(little_endian(&raw[rows * width..])).ok();
        self.nodes[index].spans[1] = self.place(span)?;
        last.ok_or_else(|| fault("its last offset is negative"))
    }

    fn bytes<O: OffsetSizeTrait>(&mut self, field: &Field, index: usize, rows: usize) -> Result<(), IpcError> {
        let needed = self.offsets::<O>(field, index, rows)?;
        let (mut span, len) = self.next_buffer(field)?;
        if needed > len {
            return Err(IpcError::Layout { column: field.name().clone(), fault: "its last offset lies past its data" });
        }
        span.len = needed;
        self.nodes[index].spans[2] = self.place(span)?;
        Ok(())
    }

    /// The next buffer by the metadata, within the body, and its stated length.
    fn next_buffer(&mut self, field: &Field) -> Result<(Span, usize), IpcError> {
        let fault = |fault| IpcError::Layout { column: field.name().clone(), fault };
        let index = self.buffer;
        if index >= self.header.buffers.len() {
            return Err(IpcError::Buffers { expected: index + 1, found: self.header.buffers.len() });
        }
        let (offset, length) = self.header.buffers.pair(index)?;
        self.buffer += 1;
        let len = usize::try_from(length).map_err(|_| fault("a buffer has a negative length"))?;
        match self.body {
            Body::Block(block) => {
                let at = usize::try_from(offset).map_err(|_| fault("a buffer has a negative offset"))?;
                if at.checked_add(len).is_none_or(|end| end > block.len()) {
                    return Err(fault("a buffer lies outside the body"));
                }
                Ok((Span { buffer: index, at, len, target: 0 }, len))
            }
            Body::Parts(parts) => {
                if parts.get(index).is_none_or(|part| part.len() != len) {
                    return Err(fault("the stated length of a buffer is not the length of its list"));
                }
                Ok((Span { buffer: index, at: 0, len, target: 0 }, len))
            }
        }
    }

    /// Gives the span its place in the column's block.
    fn place(&mut self, mut span: Span) -> Result<Span, IpcError> {
        span.target = self.target;
        let end = self.target.checked_add(span.len).and_then(|end| end.checked_next_multiple_of(ALIGNMENT));
        self.target = end.ok_or(IpcError::TooLarge)?;
        Ok(span)
    }

    fn end(&self) -> Result<(), IpcError> {
        let (nodes, buffers) = (self.header.nodes.len(), self.header.buffers.len());
        if self.nodes.len() != nodes {
            return Err(IpcError::Nodes { expected: self.nodes.len(), found: nodes });
        }
        if self.buffer != buffers {
            return Err(IpcError::Buffers { expected: self.buffer, found: buffers });
        }
        Ok(())
    }
}

/// The second pass over one column: from its block to an array.
struct Build<'b> {
    column: &'b str,
    block: Buffer,
    nodes: &'b [Node],
}

macro_rules! primitive {
    ($t:ty, $build:ident, $node:ident, $nulls:ident, $data_type:ident) => {
        $build.primitive::<$t>(&$node, $nulls, $data_type)
    };
}

impl Build<'_> {
    fn array(&mut self, data_type: &DataType) -> Result<ArrayRef, IpcError> {
        let Some((node, rest)) = self.nodes.split_first() else { return Err(self.data("it has too few nodes")) };
        let node = *node;
        self.nodes = rest;
        let nulls = if data_type.is_null() { None } else { self.nulls(&node)? };
        arrow::array::downcast_primitive! {
            data_type => (primitive, self, node, nulls, data_type),
            DataType::Null => Ok(Arc::new(NullArray::new(node.rows))),
            DataType::Boolean => {
                let bits = BooleanBuffer::new(self.slice(&node.spans[1]), 0, node.rows);
                Ok(Arc::new(BooleanArray::new(bits, nulls)))
            }
            DataType::FixedSizeBinary(width) => {
                let array = FixedSizeBinaryArray::try_new(*width, self.slice(&node.spans[1]), nulls);
                Ok(Arc::new(array.map_err(arrow_error)?))
            }
            DataType::Utf8 => Ok(Arc::new(self.bytes::<<StringArray as Kinded>::Kind>(&node, nulls, true)?)),
            DataType::LargeUtf8 => Ok(Arc::new(self.bytes::<<LargeStringArray as Kinded>::Kind>(&node, nulls, true)?)),
            DataType::Binary => Ok(Arc::new(self.bytes::<<BinaryArray as Kinded>::Kind>(&node, nulls, false)?)),
            DataType::LargeBinary => Ok(Arc::new(self.bytes::<<LargeBinaryArray as Kinded>::Kind>(&node, nulls, false)?)),
            DataType::List(child) => self.list::<i32>(&node, nulls, child),
            DataType::LargeList(child) => self.list::<i64>(&node, nulls, child),
            DataType::FixedSizeList(child, size) => {
                let values = self.array(child.data_type())?;
                let array = FixedSizeListArray::try_new(Arc::clone(child), *size, values, nulls);
                Ok(Arc::new(array.map_err(arrow_error)?))
            }
            DataType::Struct(fields) => Ok(Arc::new(self.structs(&node, nulls, fields)?)),
            DataType::Map(entries, sorted) => self.map(&node, nulls, entries, *sorted),
            _ => Err(self.data("its type has no crossing form")),
        }
    }

    fn primitive<T: ArrowPrimitiveType>(
        &self,
        node: &Node,
        nulls: Option<NullBuffer>,
        data_type: &DataType,
    ) -> Result<ArrayRef, IpcError> {
        self.in_range(node, nulls.as_ref(), data_type)?;
        let array = PrimitiveArray::<T>::new(self.numbers::<T>(node), nulls);
        Ok(Arc::new(array.with_data_type(data_type.clone())))
    }

    /// Types whose numbers have bounds.
    fn in_range(&self, node: &Node, nulls: Option<&NullBuffer>, data_type: &DataType) -> Result<(), IpcError> {
        match data_type {
            DataType::Decimal128(precision, _) => {
                let limit = check::limit_128(*precision);
                let values = self.numbers::<Decimal128Type>(node);
                self.within(&values, nulls, 1 - limit, limit, "a decimal has more digits than its precision")?;
            }
            DataType::Decimal256(precision, _) => {
                let limit = check::limit_256(*precision);
                let values = self.numbers::<Decimal256Type>(node);
                let low = i256::ONE.wrapping_sub(limit);
                self.within(&values, nulls, low, limit, "a decimal has more digits than its precision")?;
            }
            DataType::Time32(unit) => {
                let day = if *unit == TimeUnit::Second { 86_400 } else { 86_400_000 };
                let values = self.numbers::<arrow::datatypes::Int32Type>(node);
                self.within(&values, nulls, 0, day, "a time of day lies outside the day")?;
            }
            DataType::Time64(unit) => {
                let day = if *unit == TimeUnit::Microsecond { 86_400_000_000 } else { 86_400_000_000_000 };
                let values = self.numbers::<arrow::datatypes::Int64Type>(node);
                self.within(&values, nulls, 0, day, "a time of day lies outside the day")?;
            }
            _ => {}
        }
        Ok(())
    }

    fn within<T: arrow::datatypes::ArrowNativeType>(
        &self,
        values: &[T],
        nulls: Option<&NullBuffer>,
        low: T,
        high: T,
        fault: &'static str,
    ) -> Result<(), IpcError> {
        if check::all_within(values, nulls, low, high) { Ok(()) } else { Err(self.data(fault)) }
    }

    fn numbers<T: ArrowPrimitiveType>(&self, node: &Node) -> ScalarBuffer<T::Native> {
        ScalarBuffer::new(self.slice(&node.spans[1]), 0, node.rows)
    }

    #[expect(unsafe_code, reason = "arrow would check offsets and text a second time")]
    fn bytes<T: ByteArrayType>(
        &self,
        node: &Node,
        nulls: Option<NullBuffer>,
        text: bool,
    ) -> Result<GenericByteArray<T>, IpcError> {
        let offsets = self.offsets::<T::Offset>(node)?;
        let data = self.slice(&node.spans[2]);
        if text && !check::is_text(data.as_slice(), &offsets) {
            return Err(self.data("it holds bytes that are not UTF-8"));
        }
        // SAFETY: offsets rise from 0 or above, the last is the length of `data` (measured, and copied so), text is UTF-8 with
        // every offset between characters, and `nulls` has one bit for each row.
        Ok(unsafe { GenericByteArray::new_unchecked(offsets, data, nulls) })
    }

    #[expect(unsafe_code, reason = "arrow would check the offsets a second time, by a panic")]
    fn offsets<O: OffsetSizeTrait>(&self, node: &Node) -> Result<OffsetBuffer<O>, IpcError> {
        let offsets = ScalarBuffer::<O>::new(self.slice(&node.spans[1]), 0, node.rows + 1);
        if !check::offsets_rise(&offsets) {
            return Err(self.data("its offsets fall or are negative"));
        }
        // SAFETY: not empty, at or above 0, never falling: just checked.
        Ok(unsafe { OffsetBuffer::new_unchecked(offsets) })
    }

    fn list<O: OffsetSizeTrait>(
        &mut self,
        node: &Node,
        nulls: Option<NullBuffer>,
        child: &Arc<Field>,
    ) -> Result<ArrayRef, IpcError> {
        let offsets = self.offsets::<O>(node)?;
        let values = self.array(child.data_type())?;
        let array = GenericListArray::<O>::try_new(Arc::clone(child), offsets, values, nulls);
        Ok(Arc::new(array.map_err(arrow_error)?))
    }

    fn structs(&mut self, node: &Node, nulls: Option<NullBuffer>, fields: &Fields) -> Result<StructArray, IpcError> {
        let children = fields.iter().map(|child| self.array(child.data_type())).collect::<Result<Vec<_>, _>>()?;
        StructArray::try_new_with_length(fields.clone(), children, nulls, node.rows).map_err(arrow_error)
    }

    fn map(
        &mut self,
        node: &Node,
        nulls: Option<NullBuffer>,
        entries: &Arc<Field>,
        sorted: bool,
    ) -> Result<ArrayRef, IpcError> {
        let offsets = self.offsets::<i32>(node)?;
        let DataType::Struct(fields) = entries.data_type() else { return Err(self.data("its entries are no struct")) };
        let Some((inner, rest)) = self.nodes.split_first() else { return Err(self.data("it has too few nodes")) };
        let inner = *inner;
        self.nodes = rest;
        let inner_nulls = self.nulls(&inner)?;
        let pairs = self.structs(&inner, inner_nulls, fields)?;
        if pairs.columns().first().is_none_or(|keys| keys.null_count() > 0) {
            return Err(self.data("a key of a map is null"));
        }
        let array = MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, sorted);
        Ok(Arc::new(array.map_err(arrow_error)?))
    }

    fn nulls(&self, node: &Node) -> Result<Option<NullBuffer>, IpcError> {
        if node.nulls == 0 {
            return Ok(None);
        }
        let nulls = NullBuffer::new(BooleanBuffer::new(self.slice(&node.spans[0]), 0, node.rows));
        if nulls.null_count() == node.nulls {
            return Ok(Some(nulls));
        }
        Err(self.data("its null count is not that of its validity buffer"))
    }

    fn slice(&self, span: &Span) -> Buffer {
        self.block.slice_with_length(span.target.min(self.block.len()), span.len)
    }

    fn data(&self, fault: &'static str) -> IpcError {
        IpcError::Data { column: self.column.to_owned(), fault }
    }
}

/// The kind of a byte array type alias.
trait Kinded {
    type Kind: ByteArrayType;
}

impl<T: ByteArrayType> Kinded for GenericByteArray<T> {
    type Kind = T;
}

fn nodes_of(data_type: &DataType) -> usize {
    1 + match data_type {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::FixedSizeList(child, _)
        | DataType::Map(child, _) => nodes_of(child.data_type()),
        DataType::Struct(fields) => fields.iter().map(|child| nodes_of(child.data_type())).sum(),
        _ => 0,
    }
}

fn depth(field: &Field) -> usize {
    1 + match field.data_type() {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::FixedSizeList(child, _)
        | DataType::Map(child, _) => depth(child),
        DataType::Struct(fields) => fields.iter().map(|child| depth(child)).max().unwrap_or(0),
        _ => 0,
    }
}

fn little_endian(bytes: &[u8]) -> i64 {
    match bytes.len() {
        4 => bytes.try_into().map(i32::from_le_bytes).map_or(-1, i64::from),
        _ => bytes.try_into().map_or(-1, i64::from_le_bytes),
    }
}

fn arrow_error(error: ArrowError) -> IpcError {
    IpcError::Arrow { message: error.to_string() }
}
