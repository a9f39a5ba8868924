//! From an operator's or graph's error to its place in the file.
//!
//! Last step of every phase before a run: `app` passes each error through [`Places::locate`].
//! Invariant: every error gets a place; the nearest one that the file has when it names a field that is not written.
//! Not here: drawing (`render.rs`).

use std::ops::Range;
use std::sync::Arc;

use rde_core::{Code, Error};

use crate::diagnostics::{Diagnostic, Report};
use crate::scalar::character_map;
use crate::source::{Source, Sources, Span};
use crate::tree::{Data, Node, Scalar};

/// What to do about a fault that is not described.
const SECRET_HELP: &str =
    "check what the secret file holds; the same text written out, without secrets, is described in full";

/// Where everything stands: the sources of a configuration and its tree.
#[derive(Clone, Debug)]
pub struct Places {
    pub(crate) sources: Arc<Sources>,
    pub(crate) tree: Option<Arc<Node>>,
    pub(crate) operators: Arc<[OperatorPlace]>,
    /// For each edge of the specification its number in the file.
    pub(crate) edges: Arc<[usize]>,
    /// Secrets that are written out.
    pub(crate) masks: Arc<[Span]>,
    /// Whether the whole file was read; if not, secrets are masked by the look of a line.
    pub(crate) complete: bool,
}

/// Where an operator's entry stands.
#[derive(Clone, Debug)]
pub(crate) struct OperatorPlace {
    pub(crate) id: String,
    /// For example `/sources/0`.
    pub(crate) pointer: String,
    pub(crate) kind_name: String,
}

/// What a pointer leads to.
struct Found<'n> {
    node: &'n Node,
    key: Option<Span>,
    /// Whether every key of the pointer is there.
    exact: bool,
}

impl Places {
    /// Makes the diagnostic of an error that an operator or the graph reports before a run. A fault of a text that came from
    /// a secret file says no more than what kind of fault it is: any part of the text may be secret, however short.
    pub fn locate(&self, error: &Error) -> Diagnostic {
        let pointer = error.place().map_or("", |place| place.pointer.as_str());
        let within = error.place().and_then(|place| place.within.clone());
        let found = self.find(error.operator(), pointer);
        let span = found.as_ref().map_or(Span::file_start(), |found| self.choose(found, within));
        let secret = found.is_some_and(|found| found.node.is_secret());
        let (message, help) = if secret {
            (format!("{}: the value holds a secret, so nothing of it is shown", error.title()), Some(SECRET_HELP))
        } else {
            (
                std::iter::once(error.message().to_owned()).chain(error.causes()).collect::<Vec<_>>().join(": "),
                error.help_text(),
            )
        };
        let mut report = Report::new(&self.sources);
        let fault = report.add_code(error.code(), span, message);
        fault.help = help.map(str::to_owned);
        fault.operator = error.operator().map(str::to_owned);
        fault.clone()
    }

    /// Makes a diagnostic of the whole file.
    pub fn at_file(&self, code: &'static Code, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        let mut report = Report::new(&self.sources);
        report.add(code, Span::file_start(), message).help(help).clone()
    }

    /// Finds what a pointer leads to: below an operator's kind key, or in the whole file.
    fn find(&self, operator: Option<&str>, pointer: &str) -> Option<Found<'_>> {
        let place = operator.and_then(|id| self.operators.iter().find(|place| place.id == id));
        let absolute = match place {
            Some(place) if pointer.is_empty() => format!("{}/id", place.pointer),
            Some(place) => match pointer.strip_prefix("../") {
                Some(beside) => format!("{}/{beside}", place.pointer),
                None => format!("{}/{}{pointer}", place.pointer, place.kind_name),
            },
            None => self.edge_pointer(pointer),
        };
        self.resolve(&absolute)
    }

    fn choose(&self, found: &Found<'_>, characters: Option<Range<usize>>) -> Span {
        let key = found.key.unwrap_or(found.node.span);
        match (&found.node.data, characters) {
            (Data::Scalar(scalar), Some(characters)) if found.exact => within(&self.sources, scalar, characters),
            (Data::Scalar(_), None) if found.exact => found.node.span,
            _ => key,
        }
    }

    /// Graph errors count the edges of the specification; the file may hold broken ones between them.
    fn edge_pointer(&self, pointer: &str) -> String {
        let Some(rest) = pointer.strip_prefix("/edges/") else { return pointer.to_owned() };
        let (number, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let written = number.parse::<usize>().ok().and_then(|number| self.edges.get(number));
        written.map_or_else(|| pointer.to_owned(), |number| format!("/edges/{number}{rest}"))
    }

    fn resolve(&self, pointer: &str) -> Option<Found<'_>> {
        let mut found = Found { node: self.tree.as_deref()?, key: None, exact: true };
        for segment in pointer.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            let next = match &found.node.data {
                Data::Map(entries) => entries
                    .iter()
                    .find(|entry| entry.key.text == segment)
                    .map(|entry| (&entry.value, Some(entry.key.span))),
                Data::List(items) => {
                    segment.parse::<usize>().ok().and_then(|at| items.get(at)).map(|item| (item, Some(item.span)))
                }
                Data::Scalar(_) => None,
            };
            match next {
                Some((node, key)) => found = Found { node, key, exact: true },
                None => return Some(Found { exact: false, ..found }),
            }
        }
        Some(found)
    }
}

/// Where the characters of one scalar stand; made once, asked often.
pub(crate) struct Characters<'s> {
    source: Option<&'s Source>,
    origin: Span,
    map: Option<Vec<usize>>,
}

impl<'s> Characters<'s> {
    /// Looks at a scalar whose written text is given: before variables are replaced.
    pub(crate) fn of(sources: &'s Sources, scalar: &Scalar, written: &str) -> Characters<'s> {
        let source = sources.get(scalar.origin);
        let indent = scalar.origin.column.saturating_sub(1) as usize;
        let map = source
            .and_then(|source| character_map(source.slice(scalar.origin), scalar.style, indent, written))
            .filter(|map| !map.is_empty());
        Characters { source, origin: scalar.origin, map }
    }

    /// Returns the place of some characters of the written text; the scalar's start if they cannot be told.
    pub(crate) fn span(&self, written: Range<usize>) -> Span {
        let (Some(source), Some(map)) = (self.source, &self.map) else { return self.origin };
        let end_of_text = map.last().copied().unwrap_or_default();
        let start = map.get(written.start).copied().unwrap_or(end_of_text);
        let last = written.end.checked_sub(1).filter(|last| *last >= written.start);
        let end = last.and_then(|last| map.get(last)).map_or(start, |end| end + 1).max(start);
        let base = self.origin.start as usize;
        source.span(self.origin.source, base + start..base + end)
    }
}

/// Returns the place of some characters of a scalar's value; the scalar's start for those a variable stands for.
fn within(sources: &Sources, scalar: &Scalar, characters: Range<usize>) -> Span {
    let written = scalar.written.as_ref().map_or(scalar.text.as_str(), |written| written.text.as_str());
    let Some(first) = written_character(scalar, characters.start) else { return scalar.origin };
    let last = characters.end.checked_sub(1).filter(|last| *last >= characters.start);
    let last = last.and_then(|last| written_character(scalar, last)).map_or(first, |last| last + 1);
    Characters::of(sources, scalar, written).span(first..last.max(first + 1))
}

/// Returns the character of the written text that a character of the value stands for.
fn written_character(scalar: &Scalar, character: usize) -> Option<usize> {
    let Some(written) = &scalar.written else { return Some(character) };
    let mut shift: isize = 0;
    for piece in &written.pieces {
        if character < piece.result.start {
            break;
        }
        if piece.result.contains(&character) {
            return None;
        }
        shift = isize::try_from(piece.written.end).ok()? - isize::try_from(piece.result.end).ok()?;
    }
    character.checked_add_signed(shift)
}
