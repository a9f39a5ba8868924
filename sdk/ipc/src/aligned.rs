//! Memory aligned to 64 bytes, and views of bytes as numbers.
//!
//! On the batch path it holds messages under construction and the host's copies of guest buffers. Invariant: a view never
//! reaches outside its bytes; unaligned bytes are copied, not read in place. Not here: who owns which block (`host/pool.rs`).

use std::borrow::Cow;

/// A line of memory.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

/// A block of bytes that starts at a multiple of 64 and only grows.
#[derive(Default)]
pub struct AlignedBuffer {
    lines: Vec<Line>,
}

/// A number with a plain byte form.
pub trait Native: Copy + Default + sealed::Sealed + 'static {}

mod sealed {
    pub trait Sealed {
        const SIZE: usize;
        fn read(bytes: &[u8]) -> Self;
    }
}

macro_rules! native {
    ($($t:ty),*) => {$(
        impl Native for $t {}
        impl sealed::Sealed for $t {
            const SIZE: usize = size_of::<$t>();
            fn read(bytes: &[u8]) -> Self {
                bytes.try_into().map(<$t>::from_le_bytes).unwrap_or_default()
            }
        }
    )*};
}
native!(i8, i16, i32, i64, i128, u8, u16, u32, u64, f32, f64);

impl AlignedBuffer {
    /// An empty block.
    pub fn new() -> Self {
        Self::default()
    }

    /// A zeroed block of at least `bytes` bytes.
    pub fn with_len(bytes: usize) -> Self {
        AlignedBuffer { lines: vec![Line([0; 64]); bytes.div_ceil(64)] }
    }

    /// Its size, a multiple of 64.
    pub fn len(&self) -> usize {
        self.lines.len() * 64
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Grows to at least `bytes` bytes; what is there stays.
    #[inline]
    pub fn ensure(&mut self, bytes: usize) {
        if bytes > self.len() {
            self.grow(bytes);
        }
    }

    #[cold]
    fn grow(&mut self, bytes: usize) {
        let lines = bytes.div_ceil(64).max(self.lines.len() + self.lines.len() / 2);
        self.lines.resize(lines, Line([0; 64]));
    }

    /// Its bytes.
    #[expect(unsafe_code, reason = "aligned memory without a copy")]
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the lines are initialised, contiguous and have no padding (64 bytes, alignment 64).
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast::<u8>(), self.len()) }
    }

    /// Its bytes, to be written.
    #[expect(unsafe_code, reason = "aligned memory without a copy")]
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = self.len();
        // SAFETY: as above; any byte is valid in a line, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast::<u8>(), len) }
    }
}

/// The bytes as numbers: in place when they are aligned, else a copy. Bytes past the last whole number are left out.
#[expect(unsafe_code, reason = "columns are read in place")]
pub fn view_as<T: Native>(bytes: &[u8]) -> Cow<'_, [T]> {
    let whole = &bytes[..bytes.len() - bytes.len() % T::SIZE];
    // SAFETY: T is one of the number types above, for which every pattern of bits is a value.
    let (before, numbers, after) = unsafe { whole.align_to::<T>() };
    if cfg!(target_endian = "little") && before.is_empty() && after.is_empty() {
        return Cow::Borrowed(numbers);
    }
    Cow::Owned(whole.chunks_exact(T::SIZE).map(T::read).collect())
}

/// The bytes, which start at a multiple of 64, as numbers to be written.
#[expect(unsafe_code, reason = "columns are written in place")]
pub(crate) fn view_as_mut<T: Native>(bytes: &mut [u8]) -> &mut [T] {
    // SAFETY: T is one of the number types above, for which every pattern of bits is a value.
    let (_, numbers, _) = unsafe { bytes.align_to_mut::<T>() };
    numbers
}
