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
    #[expect(unsafe_code, reason = "checked bounds cost a tenth of the conversion of integers")]
    pub(super) fn range(&self, base: usize, field: usize, last: bool) -> (usize, usize) {
        let at = base + field;
        debug_assert!(at + 1 < self.ends.len(), "a base belongs to a record that is listed as a whole");
        // SAFETY: `records` gives only bases of records with `fields` fields, so `fields` ends stand behind each base, and
        // `field` is less (`DecoderOptions::check`).
        let (before, end) = unsafe { (*self.ends.get_unchecked(at), *self.ends.get_unchecked(at + 1)) };
        let (start, mut end) = (before.wrapping_add(1) as usize, end as usize);
        if last && end > start && self.byte(end - 1) == b'\r' {
            end -= 1;
        }
        (start, end)
    }

    /// Returns the byte at `at`, which is not behind the text by more than one.
    #[inline(always)]
    #[expect(unsafe_code, reason = "checked bounds cost a tenth of the conversion of integers")]
    pub(super) fn byte(&self, at: usize) -> u8 {
        debug_assert!(at < self.bytes.len(), "places of the text are within it");
        // SAFETY: the splitter makes places within the text or one behind it, and `PAD` bytes follow the text.
        unsafe { *self.bytes.get_unchecked(at) }
    }

    /// Returns the eight bytes from `at` on, which is not behind the text by more than one.
    #[inline(always)]
    #[expect(unsafe_code, reason = "checked bounds cost a tenth of the conversion of integers")]
    pub(super) fn word(&self, at: usize) -> u64 {
        const { assert!(PAD > 8) };
        debug_assert!(at + 8 <= self.bytes.len(), "places of the text are within it");
        // SAFETY: as in `byte`; an unaligned load of eight of the `PAD` bytes.
        u64::from_le_bytes(unsafe { self.bytes.as_ptr().add(at).cast::<[u8; 8]>().read_unaligned() })
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

    /// Returns the sixteen bytes from `at` on, which is not behind the text by more than one.
    #[inline(always)]
    #[expect(unsafe_code, reason = "checked bounds cost a tenth of the conversion of text")]
    pub(super) fn sixteen(&self, at: usize) -> &'a [u8; 16] {
        const { assert!(PAD > 16) };
        debug_assert!(at + 16 <= self.bytes.len(), "places of the text are within it");
        // SAFETY: as in `byte`; arrays of bytes need no alignment.
        unsafe { &*self.bytes.as_ptr().add(at).cast::<[u8; 16]>() }
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
