//! The guest's allocator: the system's, with blocks of 64 bytes and more aligned to 64, and the last large block kept.
//!
//! On the batch path it is what makes the host's message land aligned, so that columns are read in place, and what gives each
//! message the block of the one before, which spares the system's search. Invariants: size and alignment asked of the system
//! for a block are the same when it is freed; a block that is kept never stands in the way of one that is asked for. Not here:
//! native builds, which keep their own.

#[cfg(target_arch = "wasm32")]
mod aligning {
    #![expect(unsafe_code, reason = "an allocator is unsafe by its nature")]

    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    /// Raises the alignment of larger blocks, and keeps the last large one that was freed.
    struct Aligning {
        kept: Cell<Option<(*mut u8, Layout)>>,
    }

    // SAFETY: a guest has one thread.
    unsafe impl Sync for Aligning {}

    const ALIGNMENT: usize = 64;
    /// The smallest block that is kept: messages, rather than what a plugin makes of their rows.
    const KEPT_MIN: usize = 4096;

    #[global_allocator]
    static ALLOCATOR: Aligning = Aligning { kept: Cell::new(None) };

    /// What is asked of the system. Large sizes are rounded up by at most a quarter, so that batches of nearly one size get one
    /// block.
    fn raised(layout: Layout) -> Layout {
        let size = layout.size();
        if size < ALIGNMENT {
            return layout;
        }
        let step = if size < KEPT_MIN { 1 } else { (size / 8).next_power_of_two() };
        let size = size.checked_next_multiple_of(step).unwrap_or(size);
        Layout::from_size_align(size, layout.align().max(ALIGNMENT)).unwrap_or(layout)
    }

    impl Aligning {
        /// Gives the kept block back to the system, so that a new large block may use its place.
        fn give_back(&self, asked: Layout) {
            if asked.size() >= KEPT_MIN
                && let Some((block, kept)) = self.kept.take()
            {
                // SAFETY: the block was allocated with this layout, and nobody has it.
                unsafe { System.dealloc(block, kept) };
            }
        }
    }

    // SAFETY: all blocks are the system's, with a layout that is a function of the given one alone; one that is kept is given
    // out only where the same layout is asked for, and is nobody's until then.
    unsafe impl GlobalAlloc for Aligning {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let layout = raised(layout);
            if let Some((block, kept)) = self.kept.get()
                && kept == layout
            {
                self.kept.set(None);
                return block;
            }
            self.give_back(layout);
            // SAFETY: as the caller promised; the raised layout is valid.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            let layout = raised(layout);
            let (block, layout) = match layout.size() {
                KEPT_MIN.. => match self.kept.replace(Some((block, layout))) {
                    Some(before) => before,
                    None => return,
                },
                _ => (block, layout),
            };
            // SAFETY: the block was allocated with the same raised layout.
            unsafe { System.dealloc(block, layout) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            let layout = raised(layout);
            self.give_back(layout);
            // SAFETY: as in `alloc`.
            unsafe { System.alloc_zeroed(layout) }
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            let old = raised(layout);
            // SAFETY: the caller promises that the new size is valid for the layout's alignment.
            let new = raised(unsafe { Layout::from_size_align_unchecked(size, layout.align()) });
            if old == new {
                return block;
            }
            self.give_back(new);
            if old.align() == new.align() {
                // SAFETY: the block was allocated with `old`.
                return unsafe { System.realloc(block, old, new.size()) };
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
