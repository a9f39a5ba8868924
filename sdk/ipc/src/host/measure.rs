//! The first look at an emitted batch: its lengths and offsets against the schema and the message, no values.
//!
//! On the batch path: in `decode.rs`, before the charge. Invariant: afterwards each span lies inside the message and holds what
//! its rows need, and the bytes of each column are known. Not here: values, which are checked in the copy (`check.rs`).

use arrow::array::OffsetSizeTrait;
use arrow::datatypes::{DataType, Field};

use crate::envelope::{ALIGNMENT, BatchHeader};
use crate::error::IpcError;

/// The most rows of a batch or of a child.
pub const ROWS_MAX: usize = i32::MAX as usize;
/// Target of a validity buffer that is counted where it lies and not copied, since all its bits must be set.
pub(super) const COUNT_ONLY: usize = usize::MAX;
/// Buffer of a span that no buffer of the message fills.
pub(super) const NO_BUFFER: usize = usize::MAX;

/// Charge for each array of a batch, children included, beside the bytes of its buffers: the array itself, its place in the
/// batch and its hold on the block take about as much, and a message may have many columns of few rows.
pub(super) const ARRAY_BYTES: usize = 256;

/// Where the bytes are.
pub(super) enum Body<'a> {
    Block(&'a [u8]),
    Parts(&'a [&'a [u8]]),
}

/// One column or child, measured. Spans are validity, then values or offsets, then data.
#[derive(Clone, Copy, Default)]
pub(super) struct Node {
    pub(super) rows: usize,
    pub(super) nulls: usize,
    pub(super) spans: [Span; 3],
}

/// The part of one buffer that is needed, where it lies in the message and where in the column's block.
#[derive(Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) buffer: usize,
    pub(super) at: usize,
    pub(super) len: usize,
    pub(super) target: usize,
}

impl<'a> Body<'a> {
    pub(super) fn get(&self, span: &Span) -> Option<&'a [u8]> {
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
pub(super) struct Measure<'m, 'h> {
    pub(super) header: &'m BatchHeader<'h>,
    pub(super) body: &'m Body<'m>,
    pub(super) nodes: &'m mut Vec<Node>,
    pub(super) buffer: usize,
    /// Bytes of the column so far.
    pub(super) target: usize,
    /// Charge for rows that take no bytes, so that they are not for nothing.
    pub(super) free: usize,
}

impl Measure<'_, '_> {
    /// Measures one field; `rows` is the only length it may have.
    pub(super) fn field(&mut self, field: &Field, rows: Option<usize>) -> Result<(), IpcError> {
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

    pub(super) fn end(&self) -> Result<(), IpcError> {
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

fn little_endian(bytes: &[u8]) -> i64 {
    match bytes.len() {
        4 => bytes.try_into().map(i32::from_le_bytes).map_or(-1, i64::from),
        _ => bytes.try_into().map_or(-1, i64::from_le_bytes),
    }
}
