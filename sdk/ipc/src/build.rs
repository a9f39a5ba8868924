//! A forward writer of FlatBuffers tables, as much as IPC metadata needs.
//!
//! On the batch path it writes the metadata of each message into a buffer that is used again. Parents come before their
//! children, so positions are patched once a child is placed. Invariant: every field is aligned to its size, counted from the
//! start of the metadata, which itself starts at a multiple of 8. Not here: what the tables mean.

/// A field of a table.
#[derive(Clone, Copy)]
pub(crate) enum Value {
    I64(i64),
    I32(i32),
    I16(i16),
    U8(u8),
    /// A place to be patched with [`Builder::point`].
    Offset,
}

/// Where a table and its fields were placed.
pub(crate) struct Placed<const N: usize> {
    pub(crate) at: usize,
    pub(crate) fields: [usize; N],
}

/// The metadata written so far.
#[derive(Default)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    /// Starts anew with room for the root's position, which is the first place to patch (0).
    pub(crate) fn restart(&mut self) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&[0; 4]);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends zeros until the length plus `ahead` is a multiple of `alignment`.
    pub(crate) fn pad(&mut self, alignment: usize, ahead: usize) {
        while !(self.bytes.len() + ahead).is_multiple_of(alignment) {
            self.bytes.push(0);
        }
    }

    /// Writes vtable and table. Fields come with their numbers, larger ones first.
    pub(crate) fn table<const N: usize>(&mut self, fields: [(usize, Value); N]) -> Placed<N> {
        let slots = fields.iter().map(|(id, _)| id + 1).max().unwrap_or(0);
        let vtable_len = 4 + 2 * slots;
        // The table starts 4 past a multiple of 8, so that its first field may have 8 bytes.
        self.pad(8, vtable_len + 4);
        let vtable = self.bytes.len();
        let at = vtable + vtable_len;
        self.bytes.resize(at, 0);
        self.put(&narrow(vtable_len).to_le_bytes());
        let mut places = [0; N];
        for (place, (id, value)) in places.iter_mut().zip(fields) {
            *place = self.bytes.len();
            let entry = vtable + 4 + 2 * id;
            self.set_u16(entry, self.bytes.len() - at);
            match value {
                Value::I64(v) => self.bytes.extend_from_slice(&v.to_le_bytes()),
                Value::I32(v) => self.bytes.extend_from_slice(&v.to_le_bytes()),
                Value::I16(v) => self.bytes.extend_from_slice(&v.to_le_bytes()),
                Value::U8(v) => self.bytes.push(v),
                Value::Offset => self.bytes.extend_from_slice(&[0; 4]),
            }
        }
        self.set_u16(vtable, vtable_len);
        self.set_u16(vtable + 2, self.bytes.len() - at);
        Placed { at, fields: places }
    }

    /// Makes the offset at `from` point to `to`, which lies behind it.
    pub(crate) fn point(&mut self, from: usize, to: usize) {
        let distance = u32::try_from(to - from).unwrap_or(u32::MAX);
        self.bytes[from..from + 4].copy_from_slice(&distance.to_le_bytes());
    }

    /// Writes a text and points `from` to it.
    pub(crate) fn string(&mut self, from: usize, text: &str) {
        self.pad(4, 0);
        self.point(from, self.bytes.len());
        self.put_len(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    /// Writes a vector of `len` offsets to be patched, points `from` to it, and answers the place of the first.
    pub(crate) fn offsets(&mut self, from: usize, len: usize) -> usize {
        self.pad(4, 0);
        self.point(from, self.bytes.len());
        self.put_len(len);
        let first = self.bytes.len();
        self.bytes.resize(first + 4 * len, 0);
        first
    }

    /// Writes a vector of structs of two i64 and points `from` to it.
    pub(crate) fn pairs(&mut self, from: usize, pairs: &[(i64, i64)]) {
        self.pad(8, 4);
        self.point(from, self.bytes.len());
        self.put_len(pairs.len());
        self.bytes.reserve(16 * pairs.len());
        for (a, b) in pairs {
            self.bytes.extend_from_slice(&a.to_le_bytes());
            self.bytes.extend_from_slice(&b.to_le_bytes());
        }
    }

    /// The soffset of a table: how far back its vtable lies. It fits: a vtable has a few dozen bytes.
    fn put(&mut self, vtable_len: &[u8; 4]) {
        self.bytes.extend_from_slice(vtable_len);
    }

    fn put_len(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&len.to_le_bytes());
    }

    fn set_u16(&mut self, at: usize, value: usize) {
        let value = u16::try_from(value).unwrap_or(u16::MAX);
        self.bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
}

fn narrow(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}
