//! Turns lines and columns of the SQL parser into characters of the query's text, and finds the nearest of some names.
//!
//! Invariant: every place lies within the text, whatever the parser says.

use std::ops::Range;

use datafusion::common::Span as PlanSpan;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};
use rde_core::Place;

use crate::depth::depth;

/// Most names that a message lists.
const NAMES_MAX: usize = 12;

/// Finds places in one text.
#[derive(Clone, Debug)]
pub struct Text {
    text: String,
    /// Offset in characters of the start of each line.
    lines: Vec<usize>,
    length: usize,
}

impl Text {
    /// Prepares a text.
    pub fn new(text: &str) -> Text {
        let mut lines = vec![0];
        let mut length = 0;
        for character in text.chars() {
            length += 1;
            if character == '\n' {
                lines.push(length);
            }
        }
        Text { text: text.to_owned(), lines, length }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the place of the whole field.
    pub fn whole(&self) -> Place {
        Place::field("/query")
    }

    /// Returns the place of some characters.
    pub fn place(&self, range: Range<usize>) -> Place {
        Place::within("/query", range)
    }

    /// Returns the characters of a span of the parser; `None` for the empty span of what was not written.
    pub fn span(&self, span: Span) -> Option<Range<usize>> {
        self.range(span.start, span.end)
    }

    /// Returns the characters of a span of the planner.
    pub fn plan_span(&self, span: PlanSpan) -> Option<Range<usize>> {
        let location = |at: datafusion::common::Location| Location { line: at.line, column: at.column };
        self.range(location(span.start), location(span.end))
    }

    /// Returns the written characters.
    pub fn slice(&self, range: &Range<usize>) -> String {
        self.text.chars().skip(range.start).take(range.len()).collect()
    }

    /// Returns the token that begins at or after a location, or the end of the text.
    pub fn token_at(&self, at: Location) -> Range<usize> {
        let start = self.offset(at).unwrap_or(self.length);
        let found = self.tokens().into_iter().find_map(|token| {
            let range = self.span(token.span)?;
            (range.start >= start && !matches!(token.token, Token::Whitespace(_))).then_some(range)
        });
        found.unwrap_or_else(|| self.length.saturating_sub(1)..self.length)
    }

    /// Returns the first word that is `name`, whatever its case, quoted or not.
    pub fn word(&self, name: &str) -> Option<Range<usize>> {
        self.tokens().into_iter().find_map(|token| match &token.token {
            Token::Word(word) if word.value.eq_ignore_ascii_case(name) => self.span(token.span),
            _ => None,
        })
    }

    /// Returns the first alias `AS name`, whatever its case, quoted or not.
    pub fn alias(&self, name: &str) -> Option<Range<usize>> {
        let tokens = self.tokens();
        let written: Vec<_> = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
        written.windows(2).find_map(|pair| match (&pair[0].token, &pair[1].token) {
            (Token::Word(keyword), Token::Word(word))
                if keyword.value.eq_ignore_ascii_case("as") && word.value.eq_ignore_ascii_case(name) =>
            {
                self.span(pair[1].span)
            }
            _ => None,
        })
    }

    /// Returns the first text in single quotes that is `value`, its quotes included.
    pub fn quoted(&self, value: &str) -> Option<Range<usize>> {
        self.tokens().into_iter().find_map(|token| match &token.token {
            Token::SingleQuotedString(text) if text == value => self.span(token.span),
            _ => None,
        })
    }

    /// Returns the second word that is `name`, or the first where there is no second.
    pub fn second_word(&self, name: &str) -> Option<Range<usize>> {
        let words = self.tokens().into_iter().filter_map(|token| match &token.token {
            Token::Word(word) if word.value.eq_ignore_ascii_case(name) => self.span(token.span),
            _ => None,
        });
        words.take(2).last()
    }

    /// Returns a bound of the depth of the text's tree.
    pub fn depth(&self) -> usize {
        depth(self.tokens().into_iter().map(|token| token.token))
    }

    /// Returns the first word of the text.
    pub fn first_word(&self) -> Option<String> {
        self.tokens().into_iter().find_map(|token| match token.token {
            Token::Word(word) => Some(word.value),
            _ => None,
        })
    }

    /// Returns the first token behind a semicolon.
    pub fn after_semicolon(&self) -> Option<Range<usize>> {
        let mut tokens = self.tokens().into_iter().skip_while(|token| token.token != Token::SemiColon).skip(1);
        let found = tokens.find(|token| !matches!(token.token, Token::Whitespace(_) | Token::SemiColon))?;
        self.span(found.span)
    }

    fn tokens(&self) -> Vec<TokenWithSpan> {
        let mut tokens = Vec::new();
        // An error ends the list; the tokens before it are what is looked for.
        let _ended = Tokenizer::new(&GenericDialect {}, &self.text).tokenize_with_location_into_buf(&mut tokens);
        tokens
    }

    fn range(&self, start: Location, end: Location) -> Option<Range<usize>> {
        let start = self.offset(start)?;
        let end = self.offset(end)?.max(start + 1).min(self.length);
        (start < end).then_some(start..end)
    }

    fn offset(&self, at: Location) -> Option<usize> {
        let line = usize::try_from(at.line).ok()?.checked_sub(1)?;
        let column = usize::try_from(at.column).ok()?.checked_sub(1)?;
        Some(self.lines.get(line)?.saturating_add(column).min(self.length))
    }
}

/// Returns the location that an error message of the parser ends with.
pub fn location_in(message: &str) -> Option<Location> {
    let (_, tail) = message.rsplit_once("Line: ")?;
    let (line, column) = tail.split_once(", Column: ")?;
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some(Location { line: line.trim().parse().ok()?, column: digits.parse().ok()? })
}

/// Returns the name nearest to `name`, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let far = name.chars().count().div_ceil(3).max(1);
    let near = names.into_iter().map(|other| (strsim::damerau_levenshtein(&name, &other.to_lowercase()), other));
    near.filter(|(distance, _)| *distance <= far).min().map(|(_, other)| other)
}

/// Lists names for a help text, each in backticks.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.len().checked_sub(NAMES_MAX) {
        Some(more @ 1..) => format!("{} and {more} more", names[..NAMES_MAX].join(", ")),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_across_lines() {
        let text = Text::new("SELECT 'é',\n  b FROM t");
        assert_eq!(text.token_at(Location { line: 2, column: 3 }), 14..15);
        assert_eq!(text.slice(&(14..15)), "b");
        assert_eq!(text.word("FROM"), Some(16..20));
    }

    #[test]
    fn a_place_beyond_the_end_is_the_last_character() {
        let text = Text::new("SELECT");
        assert_eq!(text.token_at(Location { line: 9, column: 9 }), 5..6);
        assert_eq!(Text::new("").token_at(Location { line: 1, column: 1 }), 0..0);
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        assert_eq!(nearest("dep_dely", ["arr_delay", "dep_delay"]), Some("dep_delay"));
        assert_eq!(nearest("x", ["carrier", "origin"]), None);
    }
}
