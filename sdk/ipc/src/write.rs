//! The guest's writer: columns straight into the body of one `RecordBatch` message.
//!
//! On the batch path it is the last thing in a guest's `process`: what it wrote goes to the host as it lies. Invariant: its
//! memory is used again for each batch and grows to the largest; each buffer starts at a multiple of 64. Not here: what the
//! columns mean, and checks that the host makes.

use crate::aligned::{AlignedBuffer, Native, view_as_mut};
use crate::envelope::ALIGNMENT;
use crate::error::IpcError;
use crate::head::BatchHead;
use crate::read::Bits;
use crate::types::{DataType, Field, Schema};

/// Writes one message of a schema after the other. Columns are written in the order of the schema.
pub struct MessageWriter {
    buffer: AlignedBuffer,
    head: BatchHead,
    nodes: Vec<(i64, i64)>,
    buffers: Vec<(i64, i64)>,
    layout: (usize, usize),
    rows: usize,
    body: usize,
    at: usize,
    too_large: bool,
    /// By node: whether its offsets have 64 bits.
    large: Vec<bool>,
}

/// Writes the texts or byte strings of one column, row by row.
pub struct TextWriter<'w> {
    writer: &'w mut MessageWriter,
    validity: usize,
    offsets: usize,
    large: bool,
    data: usize,
    row: usize,
    nulls: usize,
}

impl MessageWriter {
    /// A writer of messages of one schema, without memory yet.
    pub fn new(schema: &Schema) -> Self {
        let layout = schema.layout();
        let mut large = Vec::with_capacity(layout.0);
        note_large(&schema.fields, &mut large);
        MessageWriter {
            buffer: AlignedBuffer::new(),
            head: BatchHead::new(layout.0, layout.1),
            nodes: Vec::with_capacity(layout.0),
            buffers: Vec::with_capacity(layout.1),
            layout,
            rows: 0,
            body: 0,
            at: 0,
            too_large: false,
            large,
        }
    }

    /// Begins a message of `rows` rows.
    pub fn start(&mut self, rows: usize) {
        self.rows = rows;
        self.nodes.clear();
        self.buffers.clear();
        self.body = self.head.len();
        self.at = self.body;
        self.too_large = false;
        self.buffer.ensure(self.body);
    }

    /// The number of rows that each column has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A column of numbers without nulls. What the slice holds at first means nothing; every value is to be written.
    pub fn fixed<T: Native>(&mut self) -> &mut [T] {
        self.node(self.rows, 0);
        self.buffers.push((self.offset(), 0));
        self.values()
    }

    /// A column of numbers that is null where another column is.
    pub fn fixed_like<T: Native>(&mut self, validity: Option<Bits<'_>>, nulls: usize) -> &mut [T] {
        self.node(self.rows, nulls);
        self.validity_like(validity);
        self.values()
    }

    /// A column of numbers whose nulls are found on the way: the closure gets the values and the validity bits, all set, clears
    /// the bits of null rows and answers how many it cleared.
    pub fn fixed_with<T: Native>(&mut self, fill: impl FnOnce(&mut [T], &mut [u8]) -> usize) {
        let bits_len = self.rows.div_ceil(8);
        let bits = self.reserve(bits_len);
        let len = self.rows * size_of::<T>();
        let values = self.reserve(len);
        let (front, back) = self.buffer.as_mut_slice().split_at_mut(values);
        let validity = &mut front[bits..bits + bits_len];
        set_all(validity, self.rows);
        let nulls = fill(view_as_mut(&mut back[..len]), validity);
        self.node(self.rows, nulls);
        self.push(bits, if nulls > 0 { bits_len } else { 0 });
        self.push(values, len);
    }

    /// A column of booleans: as `fixed_with`, with the values as bits, all clear at first.
    pub fn bools_with(&mut self, fill: impl FnOnce(&mut [u8], &mut [u8]) -> usize) {
        let len = self.rows.div_ceil(8);
        let bits = self.reserve(len);
        let values = self.reserve(len);
        let (front, back) = self.buffer.as_mut_slice().split_at_mut(values);
        let (validity, data) = (&mut front[bits..bits + len], &mut back[..len]);
        set_all(validity, self.rows);
        data.fill(0);
        let nulls = fill(data, validity);
        self.node(self.rows, nulls);
        self.push(bits, if nulls > 0 { len } else { 0 });
        self.push(values, len);
    }

    /// A column of texts or byte strings, written row by row.
    pub fn text(&mut self) -> TextWriter<'_> {
        let bits_len = self.rows.div_ceil(8);
        let validity = self.reserve(bits_len);
        set_all(&mut self.buffer.as_mut_slice()[validity..validity + bits_len], self.rows);
        let large = self.next_is_large();
        let offsets = self.reserve(width(large) * (self.rows + 1));
        let data = self.reserve(0);
        self.buffer.ensure(data);
        self.buffer.as_mut_slice()[offsets..offsets + width(large)].fill(0);
        TextWriter { writer: self, validity, offsets, large, data, row: 0, nulls: 0 }
    }

    /// A column of texts with the offsets and nulls of another one: the closure gets room for all bytes of all rows, and the
    /// other's bytes. Offsets must be of the 32-bit form and start at 0, as the host sends them.
    pub fn text_like(
        &mut self,
        offsets: &[i32],
        data: &[u8],
        validity: Option<Bits<'_>>,
        nulls: usize,
        fill: impl FnOnce(&mut [u8], &[u8]),
    ) {
        let large = self.next_is_large();
        self.node(self.rows, nulls);
        self.validity_like(validity);
        let len = width(large) * offsets.len();
        let at = self.reserve(len);
        let target = &mut self.buffer.as_mut_slice()[at..at + len];
        if large {
            view_as_mut::<i64>(target).iter_mut().zip(offsets).for_each(|(to, from)| *to = i64::from(*from));
        } else {
            view_as_mut::<i32>(target).copy_from_slice(offsets);
        }
        self.push(at, len);
        let at = self.reserve(data.len());
        let target = &mut self.buffer.as_mut_slice()[at..at + data.len()];
        fill(target, data);
        self.push(at, data.len());
    }

    /// Adds a node by hand, for types that the other functions do not write. Its buffers follow, validity first.
    pub fn node(&mut self, rows: usize, nulls: usize) {
        self.nodes.push((wide(rows), wide(nulls)));
    }

    /// Adds a buffer by hand.
    pub fn raw(&mut self, bytes: &[u8]) {
        let at = self.reserve(bytes.len());
        self.buffer.as_mut_slice()[at..at + bytes.len()].copy_from_slice(bytes);
        self.push(at, bytes.len());
    }

    /// Ends the message and answers its bytes.
    pub fn finish(&mut self) -> Result<&[u8], IpcError> {
        if self.too_large {
            return Err(IpcError::TooLarge);
        }
        if self.nodes.len() != self.layout.0 {
            return Err(IpcError::Nodes { expected: self.layout.0, found: self.nodes.len() });
        }
        if self.buffers.len() != self.layout.1 {
            return Err(IpcError::Buffers { expected: self.layout.1, found: self.buffers.len() });
        }
        let end = self.at.next_multiple_of(ALIGNMENT);
        self.buffer.ensure(end);
        self.head.write(self.buffer.as_mut_slice(), self.rows, &self.nodes, &self.buffers, end - self.body);
        Ok(&self.buffer.as_slice()[..end])
    }

    fn next_is_large(&self) -> bool {
        self.large.get(self.nodes.len()).copied().unwrap_or(false)
    }

    fn values<T: Native>(&mut self) -> &mut [T] {
        let len = self.rows * size_of::<T>();
        let at = self.reserve(len);
        self.push(at, len);
        view_as_mut(&mut self.buffer.as_mut_slice()[at..at + len])
    }

    fn validity_like(&mut self, validity: Option<Bits<'_>>) {
        match validity {
            None => self.buffers.push((self.offset(), 0)),
            Some(bits) => self.raw(bits.as_bytes()),
        }
    }

    /// Place of the next buffer, of `len` bytes.
    fn reserve(&mut self, len: usize) -> usize {
        let at = self.at.next_multiple_of(ALIGNMENT);
        self.at = at + len;
        self.buffer.ensure(self.at);
        at
    }

    fn push(&mut self, at: usize, len: usize) {
        self.buffers.push((wide(at - self.body), wide(len)));
    }

    fn offset(&self) -> i64 {
        wide(self.at.next_multiple_of(ALIGNMENT) - self.body)
    }
}

impl Default for MessageWriter {
    fn default() -> Self {
        Self::new(&Schema::default())
    }
}

impl TextWriter<'_> {
    /// The next row.
    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        let at = self.writer.at;
        let end = at + value.len();
        if self.row >= self.writer.rows {
            return;
        }
        self.writer.buffer.ensure(end);
        self.writer.buffer.as_mut_slice()[at..end].copy_from_slice(value);
        self.writer.at = end;
        self.end_row();
    }

    /// Adds to the row that [`TextWriter::end_row`] will end.
    #[inline]
    pub fn extend(&mut self, part: &[u8]) {
        let end = self.writer.at + part.len();
        self.writer.buffer.ensure(end);
        let at = self.writer.at;
        self.writer.buffer.as_mut_slice()[at..end].copy_from_slice(part);
        self.writer.at = end;
    }

    /// Ends the row.
    #[inline]
    pub fn end_row(&mut self) {
        if self.row >= self.writer.rows {
            return;
        }
        self.row += 1;
        let place = self.offsets + width(self.large) * self.row;
        let len = self.writer.at - self.data;
        let offset = i32::try_from(len).unwrap_or_else(|_| {
            self.writer.too_large = true;
            i32::MAX
        });
        let target = self.writer.buffer.as_mut_slice();
        if self.large {
            target[place..place + 8].copy_from_slice(&i64::from(offset).to_le_bytes());
        } else {
            target[place..place + 4].copy_from_slice(&offset.to_le_bytes());
        }
    }

    /// A row that is null.
    pub fn push_null(&mut self) {
        if self.row < self.writer.rows {
            let place = self.validity + self.row / 8;
            self.writer.buffer.as_mut_slice()[place] &= !(1 << (self.row % 8));
            self.nulls += 1;
            self.end_row();
        }
    }

    /// Ends the column. Rows that were not written are empty.
    pub fn end(mut self) {
        while self.row < self.writer.rows {
            self.end_row();
        }
        let (rows, nulls, len) = (self.writer.rows, self.nulls, self.writer.at - self.data);
        self.writer.node(rows, nulls);
        self.writer.push(self.validity, if nulls > 0 { rows.div_ceil(8) } else { 0 });
        self.writer.push(self.offsets, width(self.large) * (rows + 1));
        self.writer.push(self.data, len);
    }
}

fn note_large(fields: &[Field], large: &mut Vec<bool>) {
    for field in fields {
        large.push(matches!(field.data_type, DataType::LargeUtf8 | DataType::LargeBinary));
        note_large(field.data_type.children(), large);
    }
}

fn width(large: bool) -> usize {
    if large { 8 } else { 4 }
}

/// Sets the first `rows` bits and clears those past them.
fn set_all(bits: &mut [u8], rows: usize) {
    bits.fill(0xFF);
    if let (Some(last), false) = (bits.last_mut(), rows.is_multiple_of(8)) {
        *last = (1 << (rows % 8)) - 1;
    }
}

fn wide(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
