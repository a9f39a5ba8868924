//! The guest's allocator: the system's, with blocks of 64 bytes and more aligned to 64.
//!
//! On the batch path it is what makes the host's message land aligned, so that columns are read in place. Invariant: size and
//! alignment asked of the system for a block are the same when it is freed. Not here: native builds, which keep their own.

#[cfg(target_arch = "wasm32")]
mod aligning {
    #![expect(unsafe_code, reason = "an allocator is unsafe by its nature")]

    use std::alloc::{GlobalAlloc, Layout, System};

    /// Raises the alignment of larger blocks.
    struct Aligning;

    const ALIGNMENT: usize = 64;

    #[global_allocator]
    static ALLOCATOR: Aligning = Aligning;

    fn raised(layout: Layout) -> Layout {
        if layout.size() < ALIGNMENT { layout } else { layout.align_to(ALIGNMENT).unwrap_or(layout) }
    }

    // SAFETY: all calls go to the system's allocator, with a layout that is a function of the given one alone.
    unsafe impl GlobalAlloc for Aligning {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: as the caller promised; the raised layout is valid.
            unsafe { System.alloc(raised(layout)) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the block was allocated with the same raised layout.
            unsafe { System.dealloc(block, raised(layout)) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            // SAFETY: as in `alloc`.
            unsafe { System.alloc_zeroed(raised(layout)) }
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            let old = raised(layout);
            // SAFETY: the caller promises that the new size is valid for the layout's alignment.
            let new = raised(unsafe { Layout::from_size_align_unchecked(size, layout.align()) });
            if old.align() == new.align() {
                // SAFETY: the block was allocated with `old`.
                return unsafe { System.realloc(block, old, size) };
            }
            // SAFETY: both blocks are valid for the shorter of the two lengths and do not overlap.
            unsafe {
                let moved = System.alloc(new);
                if !moved.is_null() {
                    std::ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                    System.dealloc(block, old);
                }
                moved
            }
        }
    }
}
