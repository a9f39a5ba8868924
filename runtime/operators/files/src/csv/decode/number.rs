//! Numbers and booleans from text.
//!
//! Under the columns: short integers by word arithmetic, short decimals by one exact division, everything else by a slow path
//! that is always right. Invariant: fast and slow path give the same value wherever the fast one gives any; floats are
//! rounded correctly; a number out of range is none. Not here: nulls, quotes.

use std::str;

use super::text::Text;

const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Reads up to eight digits; `word` holds them from its lowest byte on, `len` is 1 to 8.
#[inline(always)]
pub(super) fn digits8(word: u64, len: usize) -> Option<u64> {
    debug_assert!((1..=8).contains(&len), "the caller checked the length");
    // The digits move to the high bytes, zeros come in below them: the same as leading zeros of the number.
    let digits = (word ^ ZEROS) << (64 - 8 * len);
    if (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = digits.wrapping_mul(2561) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(6_553_601) >> 16 & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(42_949_672_960_001) >> 32)
}

/// Reads an integer of up to 19 digits at `start..end`; nothing means that the slow path must look.
#[inline(always)]
pub(super) fn integer_fast(text: &Text<'_>, start: usize, end: usize) -> Option<i64> {
    let negative = usize::from(text.byte(start) == b'-');
    let start = start + negative;
    // An empty field whose delimiter is a minus wraps, and is too long.
    let len = end.wrapping_sub(start);
    let value = if len.wrapping_sub(1) < 8 {
        digits8(text.word(start), len)?
    } else if len.wrapping_sub(9) < 8 {
        digits8(text.word(start), len - 8)? * 100_000_000 + digits8(text.word(end - 8), 8)?
    } else if len.wrapping_sub(17) < 3 {
        let high = digits8(text.word(start), len - 16)? * 100_000_000 + digits8(text.word(end - 16), 8)?;
        let value = high * 100_000_000 + digits8(text.word(end - 8), 8)?;
        if value > i64::MAX as u64 {
            return None;
        }
        value
    } else {
        return None;
    };
    let sign = 0i64.wrapping_sub(negative as i64);
    Some((value.cast_signed() ^ sign) - sign)
}

/// Reads an integer; blanks around it are left out.
pub(super) fn integer(content: &[u8]) -> Option<i128> {
    let content = content.trim_ascii();
    let (negative, digits) = match content.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, content),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0i128, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { value.checked_mul(10)?.checked_add(i128::from(digit)) }
    })?;
    Some(if negative { -value } else { value })
}

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Reads `-12.34` without exponent: where digits and power of ten are both exact as floats, by one division, which then
/// rounds correctly. Nothing means that the slow path must look.
#[inline(always)]
pub(super) fn float_fast(text: &[u8], start: usize, end: usize) -> Option<f64> {
    let text = text.get(start..end)?;
    let negative = text.first() == Some(&b'-');
    let text = &text[usize::from(negative)..];
    // With at most 19 digits the value cannot wrap; most longer ones are not exact anyway.
    if text.len() > 20 {
        return None;
    }
    let mut value = 0u64;
    let mut point = text.len();
    for (idx, byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if *byte == b'.' && point == text.len() {
            point = idx;
        } else {
            return None;
        }
    }
    let has_point = usize::from(point < text.len());
    let digits = text.len() - has_point;
    if digits == 0 {
        return None;
    }
    let unsigned = if digits > 19 || value > 1 << 53 {
        str::from_utf8(text).ok()?.parse().ok()?
    } else {
        value as f64 / POWERS[text.len() - point - has_point]
    };
    Some(if negative { -unsigned } else { unsigned })
}

/// Reads a float, correctly rounded; blanks around it are left out.
pub(super) fn float<T: Float>(content: &[u8]) -> Option<T> {
    let content = content.trim_ascii();
    let unsigned = content.strip_prefix(b"-").unwrap_or(content);
    let first = *unsigned.first()?;
    if first == b'+' || first == b'-' {
        return None;
    }
    let named = first.is_ascii_alphabetic();
    let value: T = str::from_utf8(content).ok()?.parse().ok()?;
    // A number too large for the type would become infinite without a word.
    (named || value.is_finite()).then_some(value)
}

/// The two float types.
pub(super) trait Float: str::FromStr + Copy {
    fn is_finite(self) -> bool;
}

impl Float for f64 {
    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
}

impl Float for f32 {
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
}

/// Reads a boolean as inference knows them: `true`, `false`, `t`, `f`, `yes`, `no` in any case.
pub(super) fn boolean_word(content: &[u8]) -> Option<bool> {
    const WORDS: [(&[u8], bool); 6] =
        [(b"true", true), (b"false", false), (b"t", true), (b"f", false), (b"yes", true), (b"no", false)];
    WORDS.iter().find(|(word, _)| content.eq_ignore_ascii_case(word)).map(|(_, value)| *value)
}

/// Reads a boolean where the type is known: `1` and `0` too.
pub(super) fn boolean(content: &[u8]) -> Option<bool> {
    match content {
        b"1" => Some(true),
        b"0" => Some(false),
        word => boolean_word(word),
    }
}

/// Reads a decimal as a whole number of 10^-`scale`; digits behind the scale must be zeros.
pub(super) fn decimal(content: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let content = content.trim_ascii();
    let (negative, content) = match content.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, content),
    };
    let point = content.iter().position(|byte| *byte == b'.').unwrap_or(content.len());
    let (whole, part) = (&content[..point], content.get(point + 1..).unwrap_or(&[]));
    if whole.len() + part.len() == 0 || !whole.iter().chain(part).all(u8::is_ascii_digit) {
        return None;
    }
    let scale = i32::from(scale);
    let (kept, dropped) = part.split_at(part.len().min(usize::try_from(scale).unwrap_or(0)));
    if dropped.iter().any(|digit| *digit != b'0') {
        return None;
    }
    let mut digits = whole.iter().chain(kept);
    let value = digits.try_fold(0i128, |value, digit| value.checked_mul(10)?.checked_add(i128::from(digit - b'0')))?;
    let missing = u32::try_from(scale - kept.len() as i32);
    let value = match missing {
        Ok(missing) => value.checked_mul(10i128.checked_pow(missing)?)?,
        Err(_) => {
            let unit = 10i128.checked_pow(scale.unsigned_abs())?;
            (value % unit == 0).then_some(value / unit)?
        }
    };
    let bound = 10i128.checked_pow(u32::from(precision))?;
    (value < bound).then_some(if negative { -value } else { value })
}
