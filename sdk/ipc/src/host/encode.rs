//! Arrow batches to `RecordBatch` messages for a guest.
//!
//! On the batch path: right before a guest call. [`Encoder::prepare`] walks the columns once, notes what is to be copied and
//! knows the exact length; [`Prepared::write_into`] then copies straight into guest memory. Invariants: in steady state nothing
//! is allocated for types that cross as they are; slices are re-based, so offsets and validity bits start at zero; every byte
//! of the target is written. Not here: the schema message (`schema.rs`), cutting a batch that is too large (`rde-wasm`).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, GenericByteArray, GenericListArray, MapArray,
    OffsetSizeTrait, RecordBatch, StringViewArray, StructArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{ByteArrayType, DataType, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::copy::copy;
use super::schema::crossing_column;
use super::widened;
use crate::envelope::{self, ALIGNMENT};
use crate::error::IpcError;
use crate::head::BatchHead;

/// Encodes the chosen columns of batches of one schema.
pub struct Encoder {
    /// Column of the batch, and its real type.
    columns: Vec<(usize, DataType)>,
    schema: SchemaRef,
    work: Work,
}

/// A batch that is measured and can be written once.
pub struct Prepared<'e> {
    work: &'e mut Work,
    rows: usize,
}

/// Memory that is used again for each batch.
#[derive(Default)]
struct Work {
    nodes: Vec<(i64, i64)>,
    buffers: Vec<(i64, i64)>,
    pieces: Vec<Piece>,
    head: BatchHead,
    body: usize,
    /// What the body may have; a column is not cast past it.
    body_max: usize,
}

/// One buffer to be written at its place in the body.
struct Piece {
    source: Source,
    at: usize,
    len: usize,
}

/// Where its bytes come from.
enum Source {
    Bytes(Buffer),
    /// Bits that start at an offset.
    Bits(BooleanBuffer),
    /// Offsets from which the first is to be taken away.
    Offsets32(Buffer),
    Offsets64(Buffer),
    /// Offsets of the texts that views point to.
    ViewOffsets(ArrayRef),
    /// Those texts, one after the other.
    ViewData(ArrayRef),
}

impl Encoder {
    /// An encoder for the named columns, in that order; none means all.
    pub fn new(schema: &Schema, columns: Option<&[usize]>) -> Result<Self, IpcError> {
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let chosen = columns.unwrap_or(&all);
        let field = |index: &usize| schema.fields().get(*index).ok_or(IpcError::Access { wanted: "any" });
        let fields = chosen.iter().map(field).collect::<Result<Vec<_>, _>>()?;
        let crossing: Vec<_> = fields.iter().map(|field| crossing_column(field)).collect();
        let columns = chosen.iter().zip(&fields).map(|(index, field)| (*index, field.data_type().clone())).collect();
        Ok(Encoder { columns, schema: Arc::new(Schema::new(crossing)), work: Work::default() })
    }

    /// The chosen columns with the types that cross.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Measures a batch of the schema given to [`Encoder::new`].
    pub fn prepare(&mut self, batch: &RecordBatch) -> Result<Prepared<'_>, IpcError> {
        self.prepare_within(batch, MESSAGE_MAX)
    }

    /// As [`Encoder::prepare`], but a batch whose body is longer than so many bytes is [`IpcError::TooLarge`], found before a
    /// column is cast to something so long.
    pub fn prepare_within(&mut self, batch: &RecordBatch, body_max: usize) -> Result<Prepared<'_>, IpcError> {
        self.work.clear();
        self.work.body_max = body_max.min(MESSAGE_MAX);
        for ((index, real), field) in self.columns.iter().zip(self.schema.fields()) {
            let column = batch.columns().get(*index).ok_or(IpcError::Access { wanted: "any" })?;
            if column.data_type() != real {
                return Err(IpcError::Access { wanted: "the announced one" });
            }
            self.work.array(column, field.data_type())?;
        }
        if self.work.body > self.work.body_max {
            return Err(IpcError::TooLarge);
        }
        Ok(Prepared { work: &mut self.work, rows: batch.num_rows() })
    }

    /// Measures and writes a batch. What `out` held is gone.
    pub fn encode_into(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), IpcError> {
        let prepared = self.prepare(batch)?;
        out.resize(prepared.len(), 0);
        prepared.write_into(out);
        Ok(())
    }
}

/// The largest body: what a 32-bit guest can hold at all, and what lengths in the metadata can say.
const MESSAGE_MAX: usize = (1 << 31) - 1;

impl Prepared<'_> {
    /// The exact length of the message.
    pub fn len(&self) -> usize {
        envelope::batch_head_len(self.work.nodes.len(), self.work.buffers.len()) + self.work.body
    }

    /// False: a message always has a head.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the message. The target must be exactly [`Prepared::len`] bytes; every byte is written.
    pub fn write_into(self, out: &mut [u8]) {
        let Work { nodes, buffers, pieces, head, body, .. } = &mut *self.work;
        head.ensure(nodes.len(), buffers.len());
        head.write(out, self.rows, nodes, buffers, *body);
        let target = &mut out[head.len()..];
        let mut end = 0;
        for piece in pieces.iter() {
            target[end..piece.at].fill(0);
            end = piece.at + piece.len;
            piece.write(&mut target[piece.at..end]);
        }
        target[end..].fill(0);
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        // The pieces hold the batch's memory, which others wait for.
        self.work.pieces.clear();
    }
}

impl Work {
    fn clear(&mut self) {
        self.nodes.clear();
        self.buffers.clear();
        self.pieces.clear();
        self.body = 0;
    }

    /// Notes one column or child, as the crossing type.
    fn array(&mut self, array: &ArrayRef, target: &DataType) -> Result<(), IpcError> {
        match array.data_type() {
            DataType::Union(..) => self.array(&new_null_array(&DataType::Null, array.len()), target),
            _ if target.is_null() => {
                self.node(array.len(), array.len());
                Ok(())
            }
            DataType::Dictionary(..)
            | DataType::RunEndEncoded(..)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
            | DataType::Decimal32(..)
            | DataType::Decimal64(..) => {
                if !widened::fits(array, self.body_max.saturating_sub(self.body)) {
                    return Err(IpcError::TooLarge);
                }
                self.array(&cast(array, target).map_err(arrow_error)?, target)
            }
            DataType::Utf8View | DataType::BinaryView => self.views(array),
            _ => self.plain(array, target),
        }
    }

    fn plain(&mut self, array: &ArrayRef, target: &DataType) -> Result<(), IpcError> {
        self.node(array.len(), array.null_count());
        self.validity(array.nulls());
        match array.data_type() {
            DataType::Boolean => {
                let values: &BooleanArray = array.as_boolean();
                self.bits(values.values().clone());
                Ok(())
            }
            DataType::Utf8 => self.bytes(array.as_string::<i32>()),
            DataType::LargeUtf8 => self.bytes(array.as_string::<i64>()),
            DataType::Binary => self.bytes(array.as_binary::<i32>()),
            DataType::LargeBinary => self.bytes(array.as_binary::<i64>()),
            DataType::FixedSizeBinary(_) => {
                let values = array.as_fixed_size_binary();
                self.buffer(Source::Bytes(values.values().clone()), values.values().len());
                Ok(())
            }
            DataType::List(_) => self.list::<i32>(array.as_list(), target),
            DataType::LargeList(_) => self.list::<i64>(array.as_list(), target),
            DataType::FixedSizeList(..) => self.array(array.as_fixed_size_list().values(), child(target)?),
            DataType::Struct(_) => self.structs(array.as_struct(), target),
            DataType::Map(..) => self.map(array.as_map(), target),
            _ => self.primitive(array),
        }
    }

    fn primitive(&mut self, array: &ArrayRef) -> Result<(), IpcError> {
        let array = array.as_ref();
        let values: Buffer = arrow::downcast_primitive_array! {
            array => array.values().inner().clone(),
            _ => return Err(IpcError::Type { field: array.data_type().to_string(), name: "that has no crossing form" }),
        };
        let len = values.len();
        self.buffer(Source::Bytes(values), len);
        Ok(())
    }

    fn bytes<T: ByteArrayType>(&mut self, array: &GenericByteArray<T>) -> Result<(), IpcError> {
        let (first, last) = self.offsets(array.offsets());
        self.buffer(Source::Bytes(array.values().slice_with_length(first, last - first)), last - first);
        Ok(())
    }

    fn list<O: OffsetSizeTrait>(&mut self, array: &GenericListArray<O>, target: &DataType) -> Result<(), IpcError> {
        let (first, last) = self.offsets(array.offsets());
        self.array(&range(array.values(), first, last), child(target)?)
    }

    fn map(&mut self, array: &MapArray, target: &DataType) -> Result<(), IpcError> {
        let (first, last) = self.offsets(array.offsets());
        let entries: ArrayRef = Arc::new(array.entries().slice(first, last - first));
        self.array(&entries, child(target)?)
    }

    fn structs(&mut self, array: &StructArray, target: &DataType) -> Result<(), IpcError> {
        let DataType::Struct(fields) = target else { return Err(IpcError::Access { wanted: "struct" }) };
        array.columns().iter().zip(fields).try_for_each(|(column, field)| self.array(column, field.data_type()))
    }

    /// Notes offsets and answers the first and last of them.
    fn offsets<O: OffsetSizeTrait>(&mut self, offsets: &OffsetBuffer<O>) -> (usize, usize) {
        let first = offsets.first().map_or(0, |offset| offset.as_usize());
        let last = offsets.last().map_or(0, |offset| offset.as_usize());
        let raw = offsets.inner().inner().clone();
        let len = raw.len();
        let source = match (first, O::IS_LARGE) {
            (0, _) => Source::Bytes(raw),
            (_, false) => Source::Offsets32(raw),
            (_, true) => Source::Offsets64(raw),
        };
        self.buffer(source, len);
        (first, last)
    }

    fn views(&mut self, array: &ArrayRef) -> Result<(), IpcError> {
        self.node(array.len(), array.null_count());
        self.validity(array.nulls());
        let total: usize = (0..array.len()).map(|row| view_len(array, row)).sum();
        if total > MESSAGE_MAX {
            return Err(IpcError::TooLarge);
        }
        self.buffer(Source::ViewOffsets(Arc::clone(array)), 4 * (array.len() + 1));
        self.buffer(Source::ViewData(Arc::clone(array)), total);
        Ok(())
    }

    fn node(&mut self, rows: usize, nulls: usize) {
        self.nodes.push((wide(rows), wide(nulls)));
    }

    fn validity(&mut self, nulls: Option<&NullBuffer>) {
        match nulls.filter(|nulls| nulls.null_count() > 0) {
            Some(nulls) => self.bits(nulls.inner().clone()),
            None => self.buffers.push((wide(self.body), 0)),
        }
    }

    fn bits(&mut self, bits: BooleanBuffer) {
        let len = bits.len().div_ceil(8);
        self.buffer(Source::Bits(bits), len);
    }

    fn buffer(&mut self, source: Source, len: usize) {
        self.buffers.push((wide(self.body), wide(len)));
        if len > 0 {
            self.pieces.push(Piece { source, at: self.body, len });
            self.body += len.next_multiple_of(ALIGNMENT);
        }
    }
}

impl Piece {
    fn write(&self, target: &mut [u8]) {
        match &self.source {
            Source::Bytes(buffer) => copy(target, &buffer.as_slice()[..self.len]),
            Source::Bits(bits) => write_bits(bits, target),
            Source::Offsets32(raw) => {
                let first = i32_at(raw, 0);
                for (target, raw) in target.chunks_exact_mut(4).zip(raw.chunks_exact(4)) {
                    target.copy_from_slice(&i32_at(raw, 0).wrapping_sub(first).to_le_bytes());
                }
            }
            Source::Offsets64(raw) => {
                let first = i64_at(raw, 0);
                for (target, raw) in target.chunks_exact_mut(8).zip(raw.chunks_exact(8)) {
                    target.copy_from_slice(&i64_at(raw, 0).wrapping_sub(first).to_le_bytes());
                }
            }
            Source::ViewOffsets(array) => {
                let mut offset = 0_i32;
                target[..4].copy_from_slice(&[0; 4]);
                for (row, target) in target[4..].chunks_exact_mut(4).enumerate() {
                    // The sum was measured: it is below 2^31.
                    offset = offset.saturating_add(i32::try_from(view_len(array, row)).unwrap_or(i32::MAX));
                    target.copy_from_slice(&offset.to_le_bytes());
                }
            }
            Source::ViewData(array) => {
                let mut at = 0;
                for value in (0..array.len()).map(|row| view_bytes(array, row)) {
                    target[at..at + value.len()].copy_from_slice(value);
                    at += value.len();
                }
            }
        }
    }
}

/// Writes bits from bit 0 on, and zeros past the last.
fn write_bits(bits: &BooleanBuffer, target: &mut [u8]) {
    let (start, shift) = (bits.offset() / 8, bits.offset() % 8);
    let source = &bits.inner().as_slice()[start..];
    if shift == 0 {
        target.copy_from_slice(&source[..target.len()]);
    } else {
        let whole = target.len().min(source.len() - 1);
        for ((target, low), high) in target[..whole].iter_mut().zip(source).zip(&source[1..]) {
            *target = low >> shift | high << (8 - shift);
        }
        for (target, low) in target[whole..].iter_mut().zip(&source[whole..]) {
            *target = low >> shift;
        }
    }
    if let (Some(last), false) = (target.last_mut(), bits.len().is_multiple_of(8)) {
        *last &= (1 << (bits.len() % 8)) - 1;
    }
}

fn view_len(array: &ArrayRef, row: usize) -> usize {
    if array.is_null(row) {
        return 0;
    }
    let views = match array.data_type() {
        DataType::Utf8View => array.as_any().downcast_ref::<StringViewArray>().map(|array| array.views()),
        _ => array.as_any().downcast_ref::<BinaryViewArray>().map(|array| array.views()),
    };
    // The length is the low 32 bits of a view.
    views.and_then(|views| views.get(row)).map_or(0, |view| usize::try_from(view & 0xFFFF_FFFF).unwrap_or(0))
}

fn view_bytes(array: &ArrayRef, row: usize) -> &[u8] {
    if array.is_null(row) {
        return &[];
    }
    match array.data_type() {
        DataType::Utf8View => array.as_string_view().value(row).as_bytes(),
        _ => array.as_binary_view().value(row),
    }
}

fn range(array: &ArrayRef, first: usize, last: usize) -> ArrayRef {
    if first == 0 && last == array.len() { Arc::clone(array) } else { array.slice(first, last - first) }
}

fn child(target: &DataType) -> Result<&DataType, IpcError> {
    match target {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => Ok(field.data_type()),
        _ => Err(IpcError::Access { wanted: "list" }),
    }
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    bytes[at..at + 4].try_into().map(i32::from_le_bytes).unwrap_or_default()
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    bytes[at..at + 8].try_into().map(i64::from_le_bytes).unwrap_or_default()
}

fn wide(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn arrow_error(error: ArrowError) -> IpcError {
    IpcError::Arrow { message: error.to_string() }
}
