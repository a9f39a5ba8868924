//! The texts that mean null, compared as bytes.
//!
//! Under every conversion. Invariant: a value is null exactly if its content, without quotes, equals one of the texts.

/// The texts that mean null.
#[derive(Clone, Debug)]
pub(super) struct Nulls {
    /// Bit `n` is set where a text of `n` bytes (63: or more) exists: rules out most values by one shift.
    lengths: u64,
    texts: Vec<Vec<u8>>,
    /// A text could be read as a value of a type other than utf8, so that null must be asked first.
    like_values: bool,
}

impl Nulls {
    pub(super) fn new(texts: &[String]) -> Nulls {
        let texts: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        let lengths = texts.iter().fold(0, |mask, text| mask | 1 << text.len().min(63));
        // Every value that a fast path takes has a digit in it.
        let like_values = texts.iter().any(|text| text.iter().any(u8::is_ascii_digit));
        Nulls { lengths, texts, like_values }
    }

    /// Returns whether a number or date may mean null.
    pub(super) fn like_values(&self) -> bool {
        self.like_values
    }

    /// Returns whether a text of this length may mean null.
    #[inline(always)]
    pub(super) fn may_be(&self, len: usize) -> bool {
        self.lengths >> len.min(63) & 1 != 0
    }

    /// Returns whether `content` means null.
    #[inline]
    pub(super) fn is_null(&self, content: &[u8]) -> bool {
        self.may_be(content.len()) && self.texts.iter().any(|text| equal(text, content))
    }
}

/// Compares short texts without a call.
#[inline(always)]
fn equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left == right)
}
