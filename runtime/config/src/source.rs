//! The texts a configuration comes from, and places in them.
//!
//! A configuration has one file and any number of `--set` arguments; each is a source with a name to show.
//! Invariant: lines and columns count from 1, columns in characters; a byte order mark is not counted.
//! Not here: reading files; `app` hands over bytes.

use std::ops::Range;
use std::sync::Arc;

/// A range of characters in one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Number of the source: 0 is the file, the others are `--set` arguments in order.
    pub source: u32,
    /// First character.
    pub start: u32,
    /// One past the last character.
    pub end: u32,
    /// Line of the first character.
    pub line: u32,
    /// Column of the first character.
    pub column: u32,
}

impl Span {
    /// Returns the first place of the file.
    pub fn file_start() -> Span {
        Span { source: 0, start: 0, end: 0, line: 1, column: 1 }
    }
}

/// The text of one source with an index of its lines.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: Arc<str>,
    pub(crate) text: String,
    lines: Vec<LineStart>,
}

#[derive(Clone, Copy, Debug)]
struct LineStart {
    character: usize,
    byte: usize,
}

/// All sources of one configuration.
#[derive(Debug)]
pub(crate) struct Sources(pub(crate) Vec<Source>);

impl Source {
    pub(crate) fn new(name: &str, text: String) -> Source {
        let lines = line_starts(&text);
        Source { name: name.into(), text, lines }
    }

    /// Returns the span that begins at a character and lies within its line.
    pub(crate) fn span(&self, source: u32, characters: Range<usize>) -> Span {
        let line = self.line_of(characters.start);
        let column = characters.start - self.lines[line].character + 1;
        Span {
            source,
            start: narrow(characters.start),
            end: narrow(characters.end),
            line: narrow(line + 1),
            column: narrow(column),
        }
    }

    /// Returns a line (from 1) without its break, and the number of its first character.
    pub(crate) fn line(&self, number: u32) -> Option<(&str, usize)> {
        let idx = usize::try_from(number).ok()?.checked_sub(1)?;
        let start = self.lines.get(idx)?;
        let end = self.lines.get(idx + 1).map_or(self.text.len(), |next| next.byte);
        Some((self.text[start.byte..end].trim_end_matches(['\n', '\r']), start.character))
    }

    /// Returns the text of some characters.
    pub(crate) fn slice(&self, span: Span) -> &str {
        let (start, end) = (self.byte_of(span.start as usize), self.byte_of(span.end as usize));
        self.text.get(start..end.max(start)).unwrap_or("")
    }

    pub(crate) fn line_count(&self) -> u32 {
        narrow(self.lines.len())
    }

    fn line_of(&self, character: usize) -> usize {
        self.lines.partition_point(|line| line.character <= character).saturating_sub(1)
    }

    fn byte_of(&self, character: usize) -> usize {
        let start = self.lines[self.line_of(character)];
        let rest = &self.text[start.byte..];
        let within = rest.char_indices().nth(character - start.character);
        within.map_or(self.text.len(), |(byte, _)| start.byte + byte)
    }
}

impl Sources {
    pub(crate) fn get(&self, span: Span) -> Option<&Source> {
        self.0.get(span.source as usize)
    }
}

/// Narrows a count of characters; sources are far smaller than 4 GiB.
pub(crate) fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn line_starts(text: &str) -> Vec<LineStart> {
    let mut lines = vec![LineStart { character: 0, byte: 0 }];
    let mut previous = '\0';
    for (character, (byte, c)) in text.char_indices().enumerate() {
        if previous == '\n' || (previous == '\r' && c != '\n') {
            lines.push(LineStart { character, byte });
        }
        previous = c;
    }
    if previous == '\n' || previous == '\r' {
        lines.push(LineStart { character: text.chars().count(), byte: text.len() });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_lf_crlf_and_cr_and_columns_count_characters() {
        let source = Source::new("x", "a\nöß:\r\nb\rc".to_owned());
        assert_eq!(source.line_count(), 4);
        let span = source.span(0, 3..5);
        assert_eq!((span.line, span.column), (2, 2));
        assert_eq!(source.slice(span), "ß:");
        assert_eq!(source.line(2), Some(("öß:", 2)));
        assert_eq!(source.line(3), Some(("b", 7)));
        let end = source.span(0, 99..99);
        assert_eq!((end.line, source.slice(end)), (4, ""));
        assert_eq!(source.line(5), None);
    }
}
