//! Finds texts without quotes that YAML ended at a comma, as in `{ query: SELECT a, b FROM rows }`.
//!
//! Inside `{ }` what follows the comma is read as more keys, so the faults name keys that nobody wrote. The parser and
//! the checker ask here whether a key is the rest of a text, and say then what was meant to happen.
//! Invariants: pure; one pass over the entries of a map, however many there are.

use crate::tree::{Entry, Node, Style, quote};

/// Pieces of a text that are looked at behind it while a map is read.
const PIECES_MAX: usize = 64;

/// Returns for each entry of a map the field whose text goes on in its key; `is_field` tells the keys that are known.
pub(crate) fn fields<'n>(node: &'n Node, is_field: impl Fn(&str) -> bool) -> Vec<Option<&'n Entry>> {
    let mut text = None;
    let entries = node.entries().unwrap_or_default();
    let part = |entry: &'n Entry| {
        let known = is_field(&entry.key.text);
        if !known && is_rest(entry) {
            return text;
        }
        text = Some(entry).filter(|entry| known && node.flow && may_go_on(&entry.value));
        None
    };
    entries.iter().map(part).collect()
}

/// Returns the field that may have been cut, by the entries that were read of a map inside `{ }`.
pub(crate) fn last_field(entries: &[Entry]) -> Option<&Entry> {
    entries.iter().rev().take(PIECES_MAX).find(|entry| !is_rest(entry)).filter(|entry| may_go_on(&entry.value))
}

/// Says how the text of a field is kept whole. The text itself is not shown: it may be a secret, and is cut.
pub(crate) fn remedy(field: &Entry) -> String {
    let name = quote(&field.key.text);
    format!(
        "inside `{{ }}` a text without quotes ends at a comma: put all of it in quotes, `{name}: \"...\"`, or write it as a \
         block, `{name}: |` with the text indented below"
    )
}

/// A key without value, or one with a space, which no field has.
fn is_rest(entry: &Entry) -> bool {
    entry.value.is_unwritten() || entry.key.text.contains(char::is_whitespace)
}

/// One word is rarely the beginning of a longer text; `SELECT a` is.
fn may_go_on(value: &Node) -> bool {
    value.scalar().is_some_and(|scalar| scalar.style == Style::Plain && scalar.text.contains(char::is_whitespace))
}
