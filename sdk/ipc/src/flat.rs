//! A checked reader of FlatBuffers tables, as much as IPC metadata needs.
//!
//! On the batch path it reads the few dozen bytes before each body. Invariant: every position is checked against the bytes;
//! cycles cannot be followed without end, since callers bound depth and number of tables. Not here: what the tables mean.

use crate::error::IpcError;

const BROKEN: IpcError = IpcError::Metadata { fault: "a position lies outside it" };

/// One table, with its vtable found and bounded.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
    vtable: usize,
    vtable_len: usize,
    table_len: usize,
}

/// A vector whose elements are known to lie inside the bytes.
#[derive(Clone, Copy)]
pub(crate) struct Vector<'a> {
    bytes: &'a [u8],
    at: usize,
    len: usize,
}

impl<'a> Table<'a> {
    /// The root table.
    pub(crate) fn root(bytes: &'a [u8]) -> Result<Self, IpcError> {
        let at = u32::from_le_bytes(read(bytes, 0)?);
        Self::at(bytes, to_usize(at))
    }

    fn at(bytes: &'a [u8], at: usize) -> Result<Self, IpcError> {
        let back = i64::from(i32::from_le_bytes(read(bytes, at)?));
        let here = i64::try_from(at).map_err(|_| BROKEN)?;
        let vtable = usize::try_from(here - back).map_err(|_| BROKEN)?;
        let vtable_len = usize::from(u16::from_le_bytes(read(bytes, vtable)?));
        let table_len = usize::from(u16::from_le_bytes(read(bytes, add(vtable, 2)?)?));
        if vtable_len < 4 || !vtable_len.is_multiple_of(2) || table_len < 4 {
            return Err(IpcError::Metadata { fault: "a vtable is malformed" });
        }
        if add(vtable, vtable_len)? > bytes.len() || add(at, table_len)? > bytes.len() {
            return Err(BROKEN);
        }
        Ok(Table { bytes, at, vtable, vtable_len, table_len })
    }

    /// Position of a field of `size` bytes, if the table has it.
    fn slot(&self, id: usize, size: usize) -> Result<Option<usize>, IpcError> {
        let entry = 4 + 2 * id;
        if entry + 2 > self.vtable_len {
            return Ok(None);
        }
        let offset = usize::from(u16::from_le_bytes(read(self.bytes, self.vtable + entry)?));
        if offset == 0 {
            return Ok(None);
        }
        if offset < 4 || offset + size > self.table_len {
            return Err(BROKEN);
        }
        Ok(Some(self.at + offset))
    }

    pub(crate) fn has(&self, id: usize) -> Result<bool, IpcError> {
        Ok(self.slot(id, 1)?.is_some())
    }

    pub(crate) fn u8(&self, id: usize, default: u8) -> Result<u8, IpcError> {
        self.slot(id, 1)?.map_or(Ok(default), |at| read(self.bytes, at).map(u8::from_le_bytes))
    }

    pub(crate) fn bool(&self, id: usize) -> Result<bool, IpcError> {
        Ok(self.u8(id, 0)? != 0)
    }

    pub(crate) fn i16(&self, id: usize, default: i16) -> Result<i16, IpcError> {
        self.slot(id, 2)?.map_or(Ok(default), |at| read(self.bytes, at).map(i16::from_le_bytes))
    }

    pub(crate) fn i32(&self, id: usize, default: i32) -> Result<i32, IpcError> {
        self.slot(id, 4)?.map_or(Ok(default), |at| read(self.bytes, at).map(i32::from_le_bytes))
    }

    pub(crate) fn i64(&self, id: usize) -> Result<i64, IpcError> {
        self.slot(id, 8)?.map_or(Ok(0), |at| read(self.bytes, at).map(i64::from_le_bytes))
    }

    fn target(&self, id: usize) -> Result<Option<usize>, IpcError> {
        let Some(at) = self.slot(id, 4)? else { return Ok(None) };
        follow(self.bytes, at).map(Some)
    }

    pub(crate) fn table(&self, id: usize) -> Result<Option<Table<'a>>, IpcError> {
        self.target(id)?.map(|at| Table::at(self.bytes, at)).transpose()
    }

    pub(crate) fn string(&self, id: usize) -> Result<Option<&'a str>, IpcError> {
        let Some(vector) = self.vector(id, 1)? else { return Ok(None) };
        let bytes = vector.bytes.get(vector.at..vector.at + vector.len).ok_or(BROKEN)?;
        let text = std::str::from_utf8(bytes).map_err(|_| IpcError::Metadata { fault: "a text is not UTF-8" })?;
        Ok(Some(text))
    }

    /// A vector of elements of `stride` bytes.
    pub(crate) fn vector(&self, id: usize, stride: usize) -> Result<Option<Vector<'a>>, IpcError> {
        let Some(at) = self.target(id)? else { return Ok(None) };
        let len = to_usize(u32::from_le_bytes(read(self.bytes, at)?));
        let start = add(at, 4)?;
        let size = len.checked_mul(stride).ok_or(BROKEN)?;
        if add(start, size)? > self.bytes.len() {
            return Err(BROKEN);
        }
        Ok(Some(Vector { bytes: self.bytes, at: start, len }))
    }
}

impl<'a> Vector<'a> {
    pub(crate) const EMPTY: Vector<'static> = Vector { bytes: &[], at: 0, len: 0 };

    /// `len` structs of two i64 that start at `at`; none where they would not lie inside the bytes.
    pub(crate) fn pairs(bytes: &'a [u8], at: usize, len: usize) -> Option<Self> {
        let end = len.checked_mul(16).and_then(|size| size.checked_add(at))?;
        (end <= bytes.len()).then_some(Vector { bytes, at, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Element `index` of a vector of offsets to tables.
    pub(crate) fn table(&self, index: usize) -> Result<Table<'a>, IpcError> {
        let at = self.element(index, 4)?;
        Table::at(self.bytes, follow(self.bytes, at)?)
    }

    /// Element `index` of a vector of structs of two i64.
    pub(crate) fn pair(&self, index: usize) -> Result<(i64, i64), IpcError> {
        let at = self.element(index, 16)?;
        Ok((i64::from_le_bytes(read(self.bytes, at)?), i64::from_le_bytes(read(self.bytes, at + 8)?)))
    }

    fn element(&self, index: usize, stride: usize) -> Result<usize, IpcError> {
        if index >= self.len {
            return Err(BROKEN);
        }
        add(self.at, index.checked_mul(stride).ok_or(BROKEN)?)
    }
}

fn follow(bytes: &[u8], at: usize) -> Result<usize, IpcError> {
    add(at, to_usize(u32::from_le_bytes(read(bytes, at)?)))
}

fn read<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], IpcError> {
    let end = add(at, N)?;
    // Not `ok_or`: an error that is made and dropped at each number costs a tenth of a call.
    match bytes.get(at..end).and_then(|part| part.try_into().ok()) {
        Some(part) => Ok(part),
        None => Err(BROKEN),
    }
}

fn add(a: usize, b: usize) -> Result<usize, IpcError> {
    match a.checked_add(b) {
        Some(sum) => Ok(sum),
        None => Err(BROKEN),
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
