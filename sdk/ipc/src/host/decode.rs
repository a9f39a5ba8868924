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
use super::copy::copy;
use super::measure::{ARRAY_BYTES, Body, COUNT_ONLY, Measure, Node, ROWS_MAX, Span};
use super::pool::{BufferPool, Lease};
use crate::envelope::{self, BatchHeader, Kind};
use crate::error::IpcError;
use crate::head::BatchHead;

/// The answer of a charge that is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// Asked once for each batch, with its bytes, before any of them is allocated.
pub type Charge<'c> = &'c mut dyn FnMut(usize) -> Result<(), Refused>;

/// Decodes batches of one schema.
pub struct Decoder {
    schema: SchemaRef,
    pool: BufferPool,
    nodes: Vec<Node>,
    columns: Vec<usize>,
    /// The head of the last message, which the next one is likely to have.
    head: BatchHead,
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

impl Decoder {
    /// A decoder for a schema that [`super::check_schema`] gave.
    pub fn new(schema: SchemaRef, pool: BufferPool) -> Result<Self, IpcError> {
        let depth = schema.fields().iter().map(|field| depth(field)).max().unwrap_or(0);
        if depth > crate::schema::TYPE_DEPTH_MAX {
            return Err(IpcError::Depth { limit: crate::schema::TYPE_DEPTH_MAX });
        }
        Ok(Decoder { schema, pool, nodes: Vec::new(), columns: Vec::new(), head: BatchHead::default() })
    }

    /// The schema of its batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Decodes one whole message. With `rows`, the batch must have exactly so many.
    pub fn decode(&mut self, message: &[u8], rows: Option<usize>, charge: Charge<'_>) -> Result<Decoded, IpcError> {
        let (header, body) = envelope::open_batch(message, &self.head)?;
        let decoded = self.decode_body(&header, &Body::Block(body), rows, charge)?;
        self.head.ensure(header.nodes.len(), header.buffers.len());
        Ok(decoded)
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
        let arrays = measure.nodes.len().saturating_mul(ARRAY_BYTES);
        bytes = bytes.checked_add(measure.free.saturating_add(arrays)).ok_or(IpcError::TooLarge)?;
        measure.end()?;
        if expected.is_none() {
            // The rows may have no bytes at all, and whoever reads them will make some for each.
            bytes = bytes.max(rows);
        }
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
                Some(source) => copy(target, source),
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

fn arrow_error(error: ArrowError) -> IpcError {
    IpcError::Arrow { message: error.to_string() }
}
