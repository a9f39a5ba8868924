//! Blocks for the host's copies of guest buffers, used again when the last array that reads them is dropped.
//!
//! On the batch path: one block for each emitted column. Invariant: a block is either free in the pool or owned by exactly one
//! lease, and a lease lives as long as any buffer cut from it. Not here: the charge for its bytes (`decode.rs`).

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::buffer::Buffer;

use crate::aligned::AlignedBuffer;

/// The smallest block.
const BLOCK_MIN: usize = 64;
/// At most so many free blocks are kept.
const FREE_MAX: usize = 256;

/// A pool of aligned blocks. Clones share it.
#[derive(Clone)]
pub struct BufferPool {
    free: Arc<Mutex<Free>>,
}

struct Free {
    blocks: Vec<AlignedBuffer>,
    retained: usize,
    retained_max: usize,
}

/// A block that is in use; it goes back when dropped.
pub(super) struct Lease {
    block: AlignedBuffer,
    free: Arc<Mutex<Free>>,
}

impl BufferPool {
    /// A pool that keeps at most `retained_max` bytes of free blocks.
    pub fn new(retained_max: usize) -> Self {
        let blocks = Vec::with_capacity(16);
        BufferPool { free: Arc::new(Mutex::new(Free { blocks, retained: 0, retained_max })) }
    }

    /// Bytes of free blocks it holds now.
    pub fn retained(&self) -> usize {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).retained
    }

    /// A block of at least `bytes` bytes. What it holds at first means nothing.
    pub(super) fn take(&self, bytes: usize) -> Lease {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        // A block up to twice too large will do; a larger one would hold memory that nobody was charged for.
        let fits = |block: &AlignedBuffer| block.len() >= bytes && block.len() <= 2 * bytes.max(BLOCK_MIN);
        let found = free.blocks.iter().rposition(fits).map(|index| free.blocks.swap_remove(index));
        free.retained -= found.as_ref().map_or(0, AlignedBuffer::len);
        drop(free);
        let block = found.unwrap_or_else(|| AlignedBuffer::with_len(rounded(bytes)));
        Lease { block, free: Arc::clone(&self.free) }
    }
}

impl Lease {
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.block.as_mut_slice()
    }

    /// The first `len` bytes as an arrow buffer that keeps the block.
    #[expect(unsafe_code, reason = "arrow reads the block in place")]
    pub(super) fn into_buffer(self, len: usize) -> Buffer {
        let lease = Arc::new(self);
        let bytes = &lease.block.as_slice()[..len];
        let pointer = NonNull::from(bytes).cast::<u8>();
        // SAFETY: the block's memory does not move while the lease lives, the buffer owns the lease, and nobody writes to a
        // block that is leased and shared.
        unsafe { Buffer::from_custom_allocation(pointer, len, lease) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.block);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.blocks.len() < FREE_MAX && free.retained + block.len() <= free.retained_max {
            free.retained += block.len();
            free.blocks.push(block);
        }
    }
}

/// Room for the next batch, which is rarely as long as this one to the byte. A quarter more at most, since what was charged are
/// the bytes: small columns get small blocks.
fn rounded(bytes: usize) -> usize {
    bytes.next_multiple_of((bytes / 8).next_power_of_two().max(BLOCK_MIN))
}
