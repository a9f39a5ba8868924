//! Checks of values that a guest emitted, over memory that the host already copied.
//!
//! On the batch path: once over each emitted column. Invariant: loops without branches over good data; the slow look at single
//! values comes only when the fast one fails, since null rows may hold anything. Not here: lengths and offsets of buffers
//! against the message (`decode.rs`).

use arrow::array::OffsetSizeTrait;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowNativeType, i256};

/// Whether offsets start at or above 0 and never fall.
pub(super) fn offsets_rise<O: OffsetSizeTrait>(offsets: &[O]) -> bool {
    let Some(first) = offsets.first() else { return false };
    let rises = offsets.windows(2).fold(true, |ok, pair| ok & (pair[0] <= pair[1]));
    rises && *first >= O::zero()
}

/// Whether the data is UTF-8 and every offset lies between two characters.
pub(super) fn is_text<O: OffsetSizeTrait>(data: &[u8], offsets: &[O]) -> bool {
    if data.is_ascii() {
        return true;
    }
    match std::str::from_utf8(data) {
        Ok(text) => offsets.iter().all(|offset| text.is_char_boundary(offset.as_usize())),
        Err(_) => false,
    }
}

/// Whether every value that is not null lies in `low..high`.
pub(super) fn all_within<T: ArrowNativeType>(values: &[T], nulls: Option<&NullBuffer>, low: T, high: T) -> bool {
    if values.iter().fold(true, |ok, value| ok & (*value >= low) & (*value < high)) {
        return true;
    }
    let inside = |value: &T| *value >= low && *value < high;
    nulls.is_some_and(|nulls| values.iter().enumerate().all(|(row, value)| nulls.is_null(row) || inside(value)))
}

/// The first number that has more than `precision` digits.
pub(super) fn limit_128(precision: u8) -> i128 {
    10_i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX)
}

/// The first number that has more than `precision` digits.
pub(super) fn limit_256(precision: u8) -> i256 {
    i256::from_i128(10).checked_pow(u32::from(precision)).unwrap_or(i256::MAX)
}

/// How many of the first `len` bits are set. The bytes must hold them.
pub(super) fn ones(bytes: &[u8], len: usize) -> usize {
    let whole = &bytes[..len / 8];
    let chunks = whole.chunks_exact(8);
    let rest: u32 = chunks.remainder().iter().map(|byte| byte.count_ones()).sum();
    let words: usize = chunks
        .map(|chunk| chunk.try_into().map(u64::from_le_bytes).unwrap_or_default().count_ones())
        .map(ArrowNativeType::as_usize)
        .sum();
    let tail = if len.is_multiple_of(8) { 0 } else { (bytes[len / 8] & ((1 << (len % 8)) - 1)).count_ones() };
    words + rest.as_usize() + tail.as_usize()
}
