//! Allocations for each batch in steady state: few, small, and no more for more rows.
#![cfg(feature = "arrow")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use rde_ipc::{BufferPool, Decoder, Encoder};

/// Counts what this thread asks for.
struct Counting;

thread_local! {
    static COUNT: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn note(size: usize) {
    COUNT.with(|count| count.set((count.get().0 + 1, count.get().1.max(size))));
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its nature")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(block, layout, size) }
    }
}

fn batch(rows: usize) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values((0..).take(rows)));
    let amounts: ArrayRef = Arc::new(Float64Array::from_iter((0..rows).map(|row| (row % 7 > 0).then_some(1.5))));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("name{row:06}"))));
    RecordBatch::try_from_iter([("id", ids), ("amount", amounts), ("name", names)]).expect("columns of one length")
}

/// Number and largest size of the allocations of the second half of many batches, per batch.
fn measure(rows: usize) -> (usize, usize) {
    let batch = batch(rows);
    let mut encoder = Encoder::new(&batch.schema(), None).expect("all columns");
    let mut decoder = Decoder::new(Arc::clone(encoder.schema()), BufferPool::new(64 << 20)).expect("a shallow schema");
    let mut message = Vec::new();
    let mut once = || {
        encoder.encode_into(&batch, &mut message).expect("they cross");
        let decoded = decoder.decode(&message, Some(rows), &mut |_| Ok(())).expect("accepted");
        assert_eq!(decoded.columns.len(), 3);
    };
    (0..20).for_each(|_| once());
    COUNT.set((0, 0));
    (0..10).for_each(|_| once());
    let (count, largest) = COUNT.get();
    (count / 10, largest)
}

#[test]
fn a_batch_costs_few_small_allocations_whatever_its_rows() {
    let small = measure(100);
    for rows in [1, 1024, 8192, 65_536] {
        let (count, largest) = measure(rows);
        assert!(count <= 8 + 4 * 3, "{count} allocations for {rows} rows");
        assert!(largest <= 4096, "an allocation of {largest} bytes for {rows} rows");
        assert_eq!(count, small.0, "the number grows with rows");
    }
}
