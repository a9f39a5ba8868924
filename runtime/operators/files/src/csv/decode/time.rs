//! Dates and timestamps from text.
//!
//! Under the columns: ISO 8601 at fixed places first, then a reader that knows more ways to write it. Invariant: both give the
//! same value wherever the first gives any; a date that the calendar does not have is none; nothing is cut off: a fraction
//! finer than a microsecond is none unless it is zeros. Not here: other orders of day, month and year, which would be guesses.

const DAY_MICROS: i64 = 86_400_000_000;

/// A timestamp as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Microseconds since the Unix epoch, in UTC where a zone is written.
    pub(super) micros: i64,
    /// A zone is written.
    pub(super) zoned: bool,
    /// Only a date is written.
    pub(super) date_only: bool,
}

/// Reads `2013-01-31` at fixed places; nothing means that the slow path must look.
#[inline(always)]
pub(super) fn date_fast(text: &[u8; 10]) -> Option<i32> {
    let digit = |at: usize| u32::from(text[at].wrapping_sub(b'0'));
    let mut wrong = u32::from(text[4] != b'-') | u32::from(text[7] != b'-');
    for at in [0, 1, 2, 3, 5, 6, 8, 9] {
        wrong |= u32::from(digit(at) > 9);
    }
    if wrong != 0 {
        return None;
    }
    let year = digit(0) * 1000 + digit(1) * 100 + digit(2) * 10 + digit(3);
    days(year, digit(5) * 10 + digit(6), digit(8) * 10 + digit(9))
}

/// Reads `2013-01-31T10:00:00` or with a blank, at fixed places, as microseconds.
#[inline(always)]
pub(super) fn seconds_fast(text: &[u8; 19]) -> Option<i64> {
    let date = date_fast(text[..10].try_into().expect("ten bytes are ten bytes"))?;
    let digit = |at: usize| u32::from(text[at].wrapping_sub(b'0'));
    let mut wrong = u32::from(text[10] != b'T' && text[10] != b' ') | u32::from(text[13] != b':' || text[16] != b':');
    for at in [11, 12, 14, 15, 17, 18] {
        wrong |= u32::from(digit(at) > 9);
    }
    let (hour, minute, second) = (digit(11) * 10 + digit(12), digit(14) * 10 + digit(15), digit(17) * 10 + digit(18));
    if wrong != 0 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(i64::from(date) * DAY_MICROS + i64::from(hour * 3600 + minute * 60 + second) * 1_000_000)
}

/// Reads a timestamp at `start..end` of text with room behind it: seconds and, if `zoned`, a `Z`.
#[inline(always)]
pub(super) fn stamp_fast(text: &[u8], start: usize, end: usize, zoned: bool) -> Option<i64> {
    let len = 19 + usize::from(zoned);
    if end - start != len || (zoned && text[start + 19] != b'Z') {
        return None;
    }
    seconds_fast(text[start..start + 19].try_into().expect("nineteen bytes are nineteen bytes"))
}

/// Reads a date: year of 4 to 6 digits, month and day of 1 or 2, between them twice `-`, `/` or `.`.
pub(super) fn date(content: &[u8]) -> Option<i32> {
    let mut rest = content.trim_ascii();
    let days = take_date(&mut rest)?;
    rest.is_empty().then_some(days)
}

/// Reads a timestamp: a date, then perhaps `T` or a blank and hours, minutes, perhaps seconds with up to 9 digits of fraction,
/// perhaps a zone: `Z`, `+02`, `+0200`, `+02:00`.
pub(super) fn stamp(content: &[u8]) -> Option<Stamp> {
    let mut rest = content.trim_ascii();
    let date = i64::from(take_date(&mut rest)?).checked_mul(DAY_MICROS)?;
    if rest.is_empty() {
        return Some(Stamp { micros: date, zoned: false, date_only: true });
    }
    if !matches!(rest[0], b'T' | b' ') {
        return None;
    }
    rest = &rest[1..];
    let time = take_time(&mut rest)?;
    let zone = take_zone(rest)?;
    let micros = date.checked_add(time)?.checked_sub(zone.unwrap_or(0))?;
    Some(Stamp { micros, zoned: zone.is_some(), date_only: false })
}

fn take_number(rest: &mut &[u8], digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let len = rest.iter().take(*digits.end() + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if !digits.contains(&len) {
        return None;
    }
    let (number, after) = rest.split_at(len);
    *rest = after;
    Some(number.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
}

/// Takes exactly two digits, whatever follows.
fn take_pair(rest: &mut &[u8]) -> Option<u32> {
    let (mut pair, after) = rest.split_at_checked(2)?;
    *rest = after;
    take_number(&mut pair, 2..=2)
}

fn take_byte(rest: &mut &[u8], byte: u8) -> Option<()> {
    *rest = rest.strip_prefix(&[byte])?;
    Some(())
}

fn take_date(rest: &mut &[u8]) -> Option<i32> {
    let year = take_number(rest, 4..=6)?;
    let between = *rest.first().filter(|byte| matches!(byte, b'-' | b'/' | b'.'))?;
    take_byte(rest, between)?;
    let month = take_number(rest, 1..=2)?;
    take_byte(rest, between)?;
    let day = take_number(rest, 1..=2)?;
    days(year, month, day)
}

/// Returns microseconds since midnight; 24:00:00 is the midnight that ends the day.
fn take_time(rest: &mut &[u8]) -> Option<i64> {
    let hour = i64::from(take_number(rest, 1..=2)?);
    take_byte(rest, b':')?;
    let minute = i64::from(take_number(rest, 1..=2)?);
    let mut second = 0;
    let mut micros = 0;
    if take_byte(rest, b':').is_some() {
        second = i64::from(take_number(rest, 1..=2)?);
        if take_byte(rest, b'.').is_some() {
            micros = take_fraction(rest)?;
        }
    }
    let past_midnight = minute + second + micros;
    if hour > 24 || (hour == 24 && past_midnight > 0) || minute > 59 || second > 59 {
        return None;
    }
    Some((hour * 3600 + minute * 60 + second) * 1_000_000 + micros)
}

fn take_fraction(rest: &mut &[u8]) -> Option<i64> {
    let len = rest.iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
    let nanos = i64::from(take_number(rest, 1..=9)?) * 10i64.pow(9 - len as u32);
    (nanos % 1000 == 0).then_some(nanos / 1000)
}

/// Returns the offset from UTC in microseconds, or nothing inside for no zone.
fn take_zone(mut rest: &[u8]) -> Option<Option<i64>> {
    let sign = match rest {
        [] => return Some(None),
        b"Z" => return Some(Some(0)),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    rest = &rest[1..];
    let hours = i64::from(take_pair(&mut rest)?);
    let minutes = if rest.is_empty() {
        0
    } else {
        rest = rest.strip_prefix(b":").unwrap_or(rest);
        i64::from(take_pair(&mut rest)?)
    };
    (rest.is_empty() && hours <= 24 && minutes <= 59).then_some(Some(sign * (hours * 60 + minutes) * 60_000_000))
}

/// Returns the days since 1970-01-01 in the proleptic Gregorian calendar.
#[inline(always)]
fn days(year: u32, month: u32, day: u32) -> Option<i32> {
    let leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let length = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if day == 0 || day > length {
        return None;
    }
    // Years that begin in March put the leap day last.
    let (year, month) = if month > 2 { (year + 400, month - 3) } else { (year + 399, month + 9) };
    let before = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some(before.cast_signed() - 719_468 - 146_097)
}
