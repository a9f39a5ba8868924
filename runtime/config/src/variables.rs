//! Replaces `${NAME}`, `${NAME:default}` and `${file:PATH}` in the scalars of the tree.
//!
//! After parsing and `--set`, before every check. Invariants: a replaced text never makes structure; a plain scalar is
//! typed after it is replaced, a quoted one stays text; what a secret file holds is known to the redactor.
//! Not here: the environment and files; [`Resolver`] is implemented by `app`.

use std::collections::HashMap;
use std::ops::Range;

use crate::diagnostics::Report;
use crate::places::Characters;
use crate::secrets::SECRET_CHARS_MIN;
use crate::source::{Sources, Span};
use crate::tree::{Data, Entry, Node, Piece, Scalar, Written, quote};
use crate::{TEXT_BYTES_MAX, codes, suggest};

const PROVIDERS: [&str; 1] = ["file"];

/// Gives the values that a configuration takes from outside.
pub trait Resolver {
    /// Returns the value of an environment variable, if it is set. The error says why it cannot be used, for a message.
    fn variable(&self, name: &str) -> Result<Option<String>, String>;
    /// Reads a secret file; the path is as written, relative to the pipeline file. The error says why, for a message.
    fn secret_file(&self, path: &str) -> Result<String, String>;
}

/// Replaces every variable below a node and returns the secrets that were read.
pub(crate) fn replace(root: &mut Node, resolver: &dyn Resolver, sources: &Sources, report: &mut Report) -> Vec<String> {
    let mut replacer = Replacer { resolver, sources, report, secrets: Vec::new(), bytes: 0 };
    replacer.node(root);
    replacer.secrets
}

struct Replacer<'a> {
    resolver: &'a dyn Resolver,
    sources: &'a Sources,
    report: &'a mut Report,
    secrets: Vec<String>,
    bytes: usize,
}

/// A part of a scalar's text; the range counts characters.
#[derive(Debug, PartialEq)]
enum Part<'t> {
    Text(&'t str),
    /// `$${`: its first character is dropped.
    Escape,
    Reference(&'t str),
    /// `${` without `}`.
    Open,
}

struct Replaced {
    text: String,
    pieces: Vec<Piece>,
    secret: bool,
    failed: bool,
}

impl Replacer<'_> {
    fn node(&mut self, node: &mut Node) {
        match &mut node.data {
            Data::Scalar(scalar) => {
                if scalar.text.contains("${") {
                    node.broken |= !self.scalar(scalar);
                }
            }
            Data::List(items) => items.iter_mut().for_each(|item| self.node(item)),
            Data::Map(entries) => self.map(entries),
        }
    }

    fn scalar(&mut self, scalar: &mut Scalar) -> bool {
        let text = scalar.text.clone();
        let characters = Characters::of(self.sources, scalar, &text);
        let replaced = self.text(&text, &|range| characters.span(range));
        if replaced.failed {
            return false;
        }
        let text = std::mem::replace(&mut scalar.text, replaced.text);
        scalar.written = Some(Box::new(Written { text, pieces: replaced.pieces }));
        scalar.secret |= replaced.secret;
        true
    }

    fn map(&mut self, entries: &mut Vec<Entry>) {
        let changed = entries.iter().any(|entry| entry.key.text.contains("${"));
        for entry in entries.iter_mut() {
            if entry.key.text.contains("${") {
                let span = entry.key.span;
                let replaced = self.text(&entry.key.text.clone(), &|_| span);
                if replaced.secret {
                    self.report
                        .add(&codes::BAD_VARIABLE, span, "a secret cannot be a key")
                        .help("write the key itself; only values may come from a secret file");
                }
                entry.value.broken |= replaced.failed || replaced.secret;
                entry.key.text = if replaced.failed { std::mem::take(&mut entry.key.text) } else { replaced.text };
            }
            self.node(&mut entry.value);
        }
        if changed {
            self.drop_duplicates(entries);
        }
    }

    fn drop_duplicates(&mut self, entries: &mut Vec<Entry>) {
        let mut seen: HashMap<String, Span> = HashMap::new();
        let report = &mut *self.report;
        entries.retain(|entry| {
            let first = seen.get(&entry.key.text).copied();
            if let Some(first) = first {
                let key = quote(&entry.key.text);
                let message = format!("key `{key}` is written twice; the first one is in line {}", first.line);
                report.add(&codes::DUPLICATE_KEY, entry.key.span, message).help(format!(
                    "after variables are replaced, lines {} and {} agree",
                    first.line, entry.key.span.line
                ));
                return false;
            }
            seen.insert(entry.key.text.clone(), entry.key.span);
            true
        });
    }

    fn text(&mut self, text: &str, place: &dyn Fn(Range<usize>) -> Span) -> Replaced {
        let mut done = Replaced { text: String::new(), pieces: Vec::new(), secret: false, failed: false };
        let mut result = 0;
        for (part, written) in parts(text) {
            let start = result;
            match part {
                Part::Text(text) => {
                    done.text.push_str(text);
                    result += text.chars().count();
                    continue;
                }
                Part::Escape => {}
                Part::Open => {
                    self.report
                        .add(&codes::BAD_VARIABLE, place(written.clone()), "`${` without its `}`")
                        .help("write `${NAME}`, or `$${` for a literal `${`");
                    done.failed = true;
                }
                Part::Reference(inside) => match self.reference(inside, place(written.clone()), &mut done.secret) {
                    Some(value) => {
                        result += value.chars().count();
                        done.text.push_str(&value);
                    }
                    None => done.failed = true,
                },
            }
            done.pieces.push(Piece { result: start..result, written });
        }
        self.bytes = self.bytes.saturating_add(done.text.len());
        if self.bytes > TEXT_BYTES_MAX && !done.failed {
            let message = format!("variables stand for more than {TEXT_BYTES_MAX} bytes of text");
            self.report.add(&codes::TOO_LARGE, place(0..1), message).help("shorten their values");
            done.failed = true;
        }
        done
    }

    fn reference(&mut self, inside: &str, span: Span, secret: &mut bool) -> Option<String> {
        let (name, rest) = match inside.split_once(':') {
            Some((name, rest)) => (name, Some(rest)),
            None => (inside, None),
        };
        if is_variable(name) {
            return self.variable(name, rest, span);
        }
        let shown = quote(inside);
        match rest {
            Some(path) if name == "file" => {
                *secret = true;
                self.secret(path, span)
            }
            Some(_) if is_word(name) => {
                let label = suggest::nearest(name, PROVIDERS).map(|near| format!("did you mean `{near}`?"));
                let fault = self.report.add(&codes::BAD_VARIABLE, span, format!("unknown provider `{}`", quote(name)));
                fault.help("the only provider is `file`, as in `${file:secrets/password}`; a variable is `${NAME}`");
                fault.label = label;
                None
            }
            _ => {
                self.report
                    .add(&codes::BAD_VARIABLE, span, format!("`${{{shown}}}` is not a variable"))
                    .help("a name is of A-Z, 0-9 and `_` and begins with no digit; `$${` is a literal `${`");
                None
            }
        }
    }

    fn variable(&mut self, name: &str, default: Option<&str>, span: Span) -> Option<String> {
        match self.resolver.variable(name) {
            Ok(Some(value)) => return Some(value),
            Ok(None) => {}
            Err(why) => {
                let message = format!("variable `{}` cannot be used: {why}", quote(name));
                self.report.add(&codes::BAD_VARIABLE, span, message).help("set it to UTF-8 text, or unset it");
                return None;
            }
        }
        if default.is_none() {
            self.report
                .add(&codes::MISSING_VARIABLE, span, format!("variable `{}` is not set", quote(name)))
                .help(format!("set it in the environment, or give a default: `${{{}:default}}`", quote(name)));
        }
        default.map(str::to_owned)
    }

    fn secret(&mut self, path: &str, span: Span) -> Option<String> {
        match self.resolver.secret_file(path) {
            Ok(mut text) => {
                let end = text.strip_suffix('\n').map(|rest| rest.strip_suffix('\r').unwrap_or(rest).len());
                text.truncate(end.unwrap_or(text.len()));
                if !text.is_empty() && text.chars().count() < SECRET_CHARS_MIN {
                    let message = format!(
                        "the secret of `{}` has fewer than {SECRET_CHARS_MIN} characters, too few to be hidden",
                        quote(path)
                    );
                    self.report
                        .add(&codes::SECRET_FILE, span, message)
                        .help("use a longer secret; what is no secret comes from a variable `${NAME}`");
                    return None;
                }
                self.secrets.push(text.clone());
                Some(text)
            }
            Err(why) => {
                let message = format!("cannot read the secret file `{}`: {why}", quote(path));
                self.report
                    .add(&codes::SECRET_FILE, span, message)
                    .help("check the path, relative to the pipeline file, and its permissions");
                None
            }
        }
    }
}

/// Splits a text into its parts, each with its characters.
fn parts(text: &str) -> Vec<(Part<'_>, Range<usize>)> {
    let mut parts = Vec::new();
    let (mut rest, mut at) = (text, 0);
    while !rest.is_empty() {
        let (part, length) = if rest.starts_with("$${") {
            (Part::Escape, 1)
        } else if let Some(inside) = rest.strip_prefix("${") {
            match inside.find('}') {
                Some(end) => (Part::Reference(&inside[..end]), end + 3),
                None => (Part::Open, rest.len()),
            }
        } else {
            let end = next_special(rest);
            (Part::Text(&rest[..end]), end)
        };
        // The `${` that an escape leaves is text and not looked at again.
        let escaped = part == Part::Escape;
        let taken = &rest[..length];
        let count = taken.chars().count();
        parts.push((part, at..at + count));
        (rest, at) = (&rest[length..], at + count);
        if escaped {
            parts.push((Part::Text(&rest[..2]), at..at + 2));
            (rest, at) = (&rest[2..], at + 2);
        }
    }
    parts
}

fn next_special(text: &str) -> usize {
    let special = |(at, _): &(usize, char)| text[*at..].starts_with("${") || text[*at..].starts_with("$${");
    text.char_indices().find(special).map_or(text.len(), |(at, _)| at)
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_into_references_escapes_and_text() {
        let split = |text| parts(text).into_iter().map(|(part, _)| part).collect::<Vec<_>>();
        assert_eq!(split("a${B}c"), [Part::Text("a"), Part::Reference("B"), Part::Text("c")]);
        assert_eq!(split("$${B}"), [Part::Escape, Part::Text("${"), Part::Text("B}")]);
        assert_eq!(split("$$${B}"), [Part::Text("$"), Part::Escape, Part::Text("${"), Part::Text("B}")]);
        assert_eq!(split("$B $"), [Part::Text("$B $")]);
        assert_eq!(split("${A"), [Part::Open]);
        assert_eq!(split("${A:}${B:x y}"), [Part::Reference("A:"), Part::Reference("B:x y")]);
    }
}
