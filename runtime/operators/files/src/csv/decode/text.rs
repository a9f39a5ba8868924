//! One split chunk as the columns see it: where each field is, and what stands in it without its quotes.
//!
//! Between the records and the conversions. Invariant: a row is named by its base, the place in the list of ends from which its
//! fields are counted; every base here belongs to a record with the right number of fields.
//! Not here: null, types.

use std::borrow::Cow;

use super::buffer::PAD;
use super::nulls::Nulls;

/// A chunk after it was split.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    /// The chunk with [`PAD`] bytes behind it.
    pub(super) bytes: &'a [u8],
    /// Ends of fields, with the byte before the first one in front.
    pub(super) ends: &'a [u32],
    /// How many fields a record has.
    pub(super) fields: usize,
    /// A field may be quoted.
    pub(super) quotes: bool,
    pub(super) nulls: &'a Nulls,
}

/// Rows of a chunk by their bases.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rows<'a> {
    /// Rows follow each other.
    Even { first: usize, count: usize },
    /// These rows.
    Listed(&'a [u32]),
}

impl<'a> Rows<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Rows::Even { count, .. } => *count,
            Rows::Listed(bases) => bases.len(),
        }
    }

    /// Returns the base of row `idx`.
    pub(super) fn base(&self, idx: usize, fields: usize) -> usize {
        match self {
            Rows::Even { first, .. } => (first + idx) * fields,
            Rows::Listed(bases) => bases[idx] as usize,
        }
    }

    /// Returns rows `from..to`.
    pub(super) fn slice(&self, from: usize, to: usize) -> Rows<'a> {
        match self {
            Rows::Even { first, .. } => Rows::Even { first: first + from, count: to - from },
            Rows::Listed(bases) => Rows::Listed(&bases[from..to]),
        }
    }
}

impl<'a> Text<'a> {
    /// Returns where a field is; `last` says that it is the last of its record, which a carriage return may follow.
    #[inline(always)]
    pub(super) fn range(&self, base: usize, field: usize, last: bool) -> (usize, usize) {
        let at = base + field;
        let (before, end) = (self.ends[at], self.ends[at + 1]);
        let (start, mut end) = (before.wrapping_add(1) as usize, end as usize);
        if last && end > start && self.bytes[end - 1] == b'\r' {
            end -= 1;
        }
        (start, end)
    }

    /// Returns where a record is, without its line end.
    pub(super) fn record(&self, base: usize) -> (usize, usize) {
        let (start, _) = self.range(base, 0, self.fields == 1);
        let (_, end) = self.range(base, self.fields - 1, true);
        (start, end)
    }

    /// Returns what stands in a field.
    #[inline]
    pub(super) fn content(&self, start: usize, end: usize) -> Cow<'a, [u8]> {
        unquote(&self.bytes[start..end])
    }

    /// Returns the sixteen bytes from `at` on, which is not behind the text.
    #[inline(always)]
    pub(super) fn sixteen(&self, at: usize) -> &'a [u8; 16] {
        const { assert!(PAD >= 16) };
        self.bytes[at..at + 16].try_into().expect("sixteen bytes are sixteen bytes")
    }
}

/// Returns the field without its quotes, if it has any. Only a field that begins with a quote is quoted; one that is ends with
/// a quote, else its record was set aside.
pub(super) fn unquote(field: &[u8]) -> Cow<'_, [u8]> {
    let [b'"', inner @ .., b'"'] = field else {
        return Cow::Borrowed(field);
    };
    if memchr::memchr(b'"', inner).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut content = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'"', rest) {
        content.extend_from_slice(&rest[..=at]);
        // The second quote of the pair; a single one cannot be here.
        rest = rest.get(at + 2..).unwrap_or(&[]);
    }
    content.extend_from_slice(rest);
    Cow::Owned(content)
}
