//! Types of scalars by YAML's core schema, and where the characters of a value stand in the text.
//!
//! Invariant: pure. A map of characters is only used when decoding again gives exactly the parser's value; else the
//! caller falls back to the start of the scalar.

use serde_json::{Number, Value};

use crate::tree::Style;

/// A tag of the core schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Text,
    Int,
    Float,
    Bool,
    Null,
}

/// Types a plain scalar.
pub(crate) fn typed(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// Types a scalar with a tag; text that does not fit its tag stays text and fails the check of its field.
pub(crate) fn tagged(tag: Tag, text: &str) -> Value {
    let value = typed(text);
    let fits = match tag {
        Tag::Text => false,
        Tag::Int | Tag::Float => value.is_number(),
        Tag::Bool => value.is_boolean(),
        Tag::Null => value.is_null(),
    };
    if fits { value } else { Value::String(text.to_owned()) }
}

/// Returns, for each character of a scalar's value, the number of its character in the written text; one more entry
/// stands for the end. `written` begins with the scalar's first character (the opening quote for quoted styles, the
/// first character of the content for block styles, which is `indent` columns from the left).
pub(crate) fn character_map(written: &str, style: Style, indent: usize, value: &str) -> Option<Vec<usize>> {
    let mut decoder = Decoder { chars: written.chars().collect(), at: 0, text: String::new(), map: Vec::new() };
    match style {
        Style::Plain => decoder.flow(None),
        Style::Single => decoder.flow(Some('\'')),
        Style::Double => decoder.flow(Some('"')),
        Style::Literal | Style::Folded => decoder.block(style == Style::Folded, indent, value),
    }
    decoder.finish(value)
}

struct Decoder {
    chars: Vec<char>,
    at: usize,
    text: String,
    map: Vec<usize>,
}

impl Decoder {
    fn push(&mut self, c: char, from: usize) {
        self.text.push(c);
        self.map.push(from);
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn finish(mut self, value: &str) -> Option<Vec<usize>> {
        let kept = value.chars().count();
        if !self.text.starts_with(value) || self.map.len() < kept {
            return None;
        }
        let end = self.map.get(kept).copied().unwrap_or(self.at);
        self.map.truncate(kept);
        self.map.push(end);
        Some(self.map)
    }

    /// Plain and quoted scalars: white space around line breaks is folded.
    fn flow(&mut self, quote: Option<char>) {
        self.at = usize::from(quote.is_some());
        while let Some(c) = self.peek(0) {
            match c {
                '\'' if quote == Some('\'') => {
                    if self.peek(1) != Some('\'') {
                        break;
                    }
                    self.push('\'', self.at);
                    self.at += 2;
                }
                '"' if quote == Some('"') => break,
                '\\' if quote == Some('"') => self.escape(),
                ' ' | '\t' | '\n' | '\r' => self.white(quote),
                _ => {
                    self.push(c, self.at);
                    self.at += 1;
                }
            }
        }
    }

    fn white(&mut self, quote: Option<char>) {
        let start = self.at;
        while matches!(self.peek(0), Some(' ' | '\t')) {
            self.at += 1;
        }
        if !matches!(self.peek(0), Some('\n' | '\r')) {
            if self.peek(0).is_some() || quote.is_some() {
                for idx in start..self.at {
                    self.push(self.chars[idx], idx);
                }
            }
            return;
        }
        let mut breaks = Vec::new();
        while let Some(c @ (' ' | '\t' | '\n' | '\r')) = self.peek(0) {
            if c == '\n' || c == '\r' {
                breaks.push(self.at);
            }
            self.at += if c == '\r' && self.peek(1) == Some('\n') { 2 } else { 1 };
        }
        match breaks.as_slice() {
            [only] => self.push(' ', *only),
            [_, more @ ..] => more.iter().for_each(|at| self.push('\n', *at)),
            [] => {}
        }
    }

    fn escape(&mut self) {
        let start = self.at;
        let kind = self.peek(1);
        self.at += 2;
        let digits = match kind {
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some('\n' | '\r') => return self.escaped_break(),
            Some(other) => {
                self.push(plain_escape(other), start);
                return;
            }
            None => return,
        };
        let hex: String = self.chars.iter().skip(self.at).take(digits).collect();
        self.at += digits;
        let c = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
        self.push(c.unwrap_or(char::REPLACEMENT_CHARACTER), start);
    }

    fn escaped_break(&mut self) {
        if self.chars.get(self.at - 1) == Some(&'\r') && self.peek(0) == Some('\n') {
            self.at += 1;
        }
        while let Some(c @ (' ' | '\t' | '\n' | '\r')) = self.peek(0) {
            if c == '\n' {
                self.push('\n', self.at);
            }
            self.at += 1;
        }
    }

    /// Block scalars. Line breaks before the content are part of the value, yet not of `written`.
    fn block(&mut self, folded: bool, indent: usize, value: &str) {
        let before = value.chars().take_while(|c| *c == '\n').count();
        for _ in 0..before {
            self.push('\n', 0);
        }
        let mut more_indented = matches!(self.peek(0), Some(' ' | '\t'));
        loop {
            while let Some(c) = self.peek(0).filter(|c| *c != '\n' && *c != '\r') {
                self.push(c, self.at);
                self.at += 1;
            }
            let mut breaks = Vec::new();
            while let Some(c @ ('\n' | '\r')) = self.peek(0) {
                breaks.push(self.at);
                self.at += if c == '\r' && self.peek(1) == Some('\n') { 2 } else { 1 };
                let mut column = 0;
                while column < indent && self.peek(0) == Some(' ') {
                    self.at += 1;
                    column += 1;
                }
            }
            let next_more = matches!(self.peek(0), Some(' ' | '\t'));
            if folded && !more_indented && !next_more && self.peek(0).is_some() {
                match breaks.as_slice() {
                    [only] => self.push(' ', *only),
                    [_, more @ ..] => more.iter().for_each(|at| self.push('\n', *at)),
                    [] => {}
                }
            } else {
                breaks.iter().for_each(|at| self.push('\n', *at));
            }
            more_indented = next_more;
            if self.peek(0).is_none() {
                return;
            }
        }
    }
}

fn plain_escape(c: char) -> char {
    match c {
        '0' => '\0',
        'a' => '\x07',
        'b' => '\x08',
        't' => '\t',
        'n' => '\n',
        'v' => '\x0b',
        'f' => '\x0c',
        'r' => '\r',
        'e' => '\x1b',
        'N' => '\u{85}',
        '_' => '\u{a0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        other => other,
    }
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().filter(|_| !digits.starts_with('+')).map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+')).map(Number::from);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let plain = text.strip_prefix('+').unwrap_or(text);
        let whole = plain.parse::<u64>().map(Number::from).or_else(|_| plain.parse::<i64>().map(Number::from));
        return whole.ok().or_else(|| Number::from_f64(plain.parse().ok()?));
    }
    if is_float(unsigned) { Number::from_f64(text.parse().ok()?) } else { None }
}

/// `( . digits | digits ( . digits? )? ) ( e sign? digits )?`
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_fits && exponent_fits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_are_typed_by_the_core_schema() {
        let cases = [
            ("", json!(null)),
            ("~", json!(null)),
            ("nULL", json!("nULL")),
            ("true", json!(true)),
            ("False", json!(false)),
            ("yes", json!("yes")),
            ("12", json!(12)),
            ("+12", json!(12)),
            ("-7", json!(-7)),
            ("007", json!(7)),
            ("0o17", json!(15)),
            ("0xfF", json!(255)),
            ("0x", json!("0x")),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            (".5", json!(0.5)),
            ("5.", json!(5.0)),
            (".", json!(".")),
            ("1e", json!("1e")),
            ("-", json!("-")),
            (".inf", json!(".inf")),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("1_000", json!("1_000")),
            ("2024-01-01", json!("2024-01-01")),
        ];
        for (text, value) in cases {
            assert_eq!(typed(text), value, "{text}");
        }
        assert_eq!(tagged(Tag::Text, "5"), json!("5"));
        assert_eq!(tagged(Tag::Int, "x"), json!("x"));
    }
}
