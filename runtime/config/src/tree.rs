//! The configuration as a tree of nodes with their places.
//!
//! Between the YAML text and every check: `parse.rs` makes it, `set.rs` and `variables.rs` change it, the grammar reads
//! it. Serde is not used here since it stops at the first fault and loses places.
//! Invariant: keys of one map are unique; a tree is at most [`crate::DEPTH_MAX`] deep, so recursion over it is safe.

use serde_json::{Map, Value};

use crate::scalar::{self, Tag};
use crate::source::Span;

/// One value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) data: Data,
    /// The text broke off inside this node: what is missing may only not have been read.
    pub(crate) partial: bool,
    /// A fault of this node is reported already.
    pub(crate) broken: bool,
    /// It is a map inside `{ }`.
    pub(crate) flow: bool,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One pair of a map.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Node,
}

/// A key, always text.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Single,
    Double,
    Literal,
    Folded,
}

/// A scalar; its text is what stands after variables are replaced.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) style: Style,
    pub(crate) tag: Option<Tag>,
    /// Where the text stands; differs from the node's span below an alias.
    pub(crate) origin: Span,
    /// What was written, where variables were replaced.
    pub(crate) written: Option<Box<Written>>,
    /// Whether a part came from a secret file.
    pub(crate) secret: bool,
}

/// The text of a scalar before its variables were replaced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) text: String,
    /// Replaced parts, in order.
    pub(crate) pieces: Vec<Piece>,
}

/// A replaced part: characters of the result, and of what was written.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) result: std::ops::Range<usize>,
    pub(crate) written: std::ops::Range<usize>,
}

impl Node {
    pub(crate) fn new(span: Span, data: Data) -> Node {
        Node { span, data, partial: false, broken: false, flow: false }
    }

    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.data {
            Data::Scalar(scalar) => Some(scalar),
            Data::List(_) | Data::Map(_) => None,
        }
    }

    /// Returns the text of a scalar that is text by its type.
    pub(crate) fn text(&self) -> Option<&str> {
        self.scalar().filter(|scalar| scalar.value().is_string()).map(|scalar| scalar.text.as_str())
    }

    /// Returns whether it is a value with a secret from a file in it.
    pub(crate) fn is_secret(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.secret)
    }

    pub(crate) fn is_null(&self) -> bool {
        self.scalar().is_some_and(|scalar| scalar.value().is_null())
    }

    /// Returns whether nothing is written where a value could be.
    pub(crate) fn is_unwritten(&self) -> bool {
        self.is_null() && self.scalar().is_some_and(|scalar| scalar.text.is_empty())
    }

    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        match &self.data {
            Data::Map(entries) => Some(entries),
            Data::Scalar(_) | Data::List(_) => None,
        }
    }

    pub(crate) fn items(&self) -> Option<&[Node]> {
        match &self.data {
            Data::List(items) => Some(items),
            Data::Scalar(_) | Data::Map(_) => None,
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key.text == key)
    }

    /// Returns whether a fault of this node or of one below it is reported already.
    pub(crate) fn any_broken(&self) -> bool {
        self.broken
            || match &self.data {
                Data::Scalar(_) => false,
                Data::List(items) => items.iter().any(Node::any_broken),
                Data::Map(entries) => entries.iter().any(|entry| entry.value.any_broken()),
            }
    }

    /// Returns the value as JSON.
    pub(crate) fn to_json(&self) -> Value {
        match &self.data {
            Data::Scalar(scalar) => scalar.value(),
            Data::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Data::Map(entries) => {
                let pairs = entries.iter().map(|entry| (entry.key.text.clone(), entry.value.to_json()));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }

    /// Names what is there, for messages; user text is quoted and cut.
    pub(crate) fn describe(&self) -> String {
        let scalar = match &self.data {
            Data::List(_) => return "a list".to_owned(),
            Data::Map(_) => return "a map".to_owned(),
            Data::Scalar(scalar) => scalar,
        };
        match scalar.value() {
            _ if scalar.secret => "a secret".to_owned(),
            Value::Null if scalar.text.is_empty() => "nothing".to_owned(),
            Value::Null => format!("`{}`, which is null", quote(&scalar.text)),
            Value::Bool(value) => format!("`{value}`"),
            Value::Number(_) => format!("the number `{}`", quote(&scalar.text)),
            _ => format!("the text `{}`", quote(&scalar.text)),
        }
    }
}

impl Scalar {
    /// Returns the value by its tag, or by the rules of YAML's core schema.
    pub(crate) fn value(&self) -> Value {
        match (self.tag, self.style) {
            (Some(tag), _) => scalar::tagged(tag, &self.text),
            (None, Style::Plain) => scalar::typed(&self.text),
            (None, _) => Value::String(self.text.clone()),
        }
    }
}

/// Cuts user text to what fits into a message and makes it one line.
pub(crate) fn quote(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(visible).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

fn visible(c: char) -> impl Iterator<Item = char> {
    let (kept, escaped) = if c.is_control() { (None, Some(c.escape_default())) } else { (Some(c), None) };
    kept.into_iter().chain(escaped.into_iter().flatten())
}

/// Joins a JSON pointer and a key.
pub(crate) fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
