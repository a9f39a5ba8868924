//! Gives the Parquet reader the bytes of a file at positions, counted, and stops its panics at the border.
//!
//! The reader's own access to files moves one shared cursor; positional reads have none. Invariant: no read reaches behind
//! the length that `discover` saw, so no length in a damaged file makes us allocate more than the file has.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// Bytes a page's header is read with.
const HEADER_CHUNK: usize = 1024;

/// A Parquet file.
#[derive(Clone, Debug)]
pub(super) struct ParquetBytes {
    file: Arc<File>,
    len: u64,
    read: Arc<AtomicU64>,
}

/// Reads on from one position.
pub(super) struct Forward {
    bytes: ParquetBytes,
    next: u64,
}

impl ParquetBytes {
    /// Makes one of an open file of this length.
    pub(super) fn new(file: File, len: u64) -> ParquetBytes {
        ParquetBytes { file: Arc::new(file), len, read: Arc::default() }
    }

    /// Returns the bytes read since the last call.
    pub(super) fn take_read(&self) -> u64 {
        self.read.swap(0, Ordering::Relaxed)
    }
}

impl Length for ParquetBytes {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for ParquetBytes {
    type T = BufReader<Forward>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::with_capacity(HEADER_CHUNK, Forward { bytes: self.clone(), next: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are more than the file has")));
        }
        let mut buffer = vec![0; length];
        self.file.read_exact_at(&mut buffer, start)?;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(buffer.into())
    }
}

impl Read for Forward {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.len.saturating_sub(self.next)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let count = self.bytes.file.read_at(&mut buffer[..wanted], self.next)?;
        self.next += count as u64;
        Ok(count)
    }
}

/// Runs code that decodes foreign bytes; what it panics with becomes its error.
pub(super) fn contained<T>(decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(ParquetError::General(format!("the decoder gave up: {}", text.unwrap_or_default())))
    })
}
