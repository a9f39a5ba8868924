//! Which values are secret, and how they are kept out of every text.
//!
//! `app` passes whatever is shown through the [`Redactor`]: diagnostics, errors, the report, logs.
//! Invariant: a secret of at least [`SECRET_CHARS_MIN`] characters never passes, in its own form or escaped.
//! Not here: reading secret files.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use crate::source::Span;
use crate::tree::{Data, Entry, Node, join};

/// Shorter secrets are not looked for: they would blot out ordinary text.
pub const SECRET_CHARS_MIN: usize = 4;

const MASK: &str = "***";
const SECRET_WORDS: [&str; 4] = ["password", "secret", "token", "key"];

/// Returns whether a name in an untyped map is that of a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| {
        name.strip_suffix(word).is_some_and(|before| before.is_empty() || before.ends_with(['_', '.', '-']))
    })
}

/// Replaces the secrets of a configuration in any text.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    /// Longest first, so that a secret within another leaves no remainder.
    secrets: Arc<[String]>,
}

impl Redactor {
    pub(crate) fn new(texts: impl IntoIterator<Item = String>) -> Redactor {
        let mut secrets: Vec<String> = texts.into_iter().flat_map(forms).collect();
        secrets.retain(|secret| secret.chars().count() >= SECRET_CHARS_MIN);
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Redactor { secrets: secrets.into() }
    }

    /// Returns whether there is anything to replace.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Replaces every secret in a text by `***`.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut shown = Cow::Borrowed(text);
        for secret in self.secrets.iter() {
            if shown.contains(secret.as_str()) {
                shown = Cow::Owned(shown.replace(secret.as_str(), MASK));
            }
        }
        shown
    }

    /// Replaces every secret in the texts of a JSON value.
    pub fn redact_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(shown) = self.redact(text) {
                    *text = shown;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_value(item)),
            Value::Object(entries) => entries.values_mut().for_each(|item| self.redact_value(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// A value that must never be shown.
pub(crate) struct Secret {
    /// Below the kind key.
    pub(crate) pointer: String,
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// Notes every scalar of a secret value.
pub(crate) fn note_all(node: &Node, pointer: &str, found: &mut Vec<Secret>) {
    match &node.data {
        Data::Scalar(scalar) => {
            found.push(Secret { pointer: pointer.to_owned(), text: scalar.text.clone(), span: scalar.origin });
        }
        Data::List(items) => {
            for (number, item) in items.iter().enumerate() {
                note_all(item, &format!("{pointer}/{number}"), found);
            }
        }
        Data::Map(entries) => {
            for entry in entries {
                note_all(&entry.value, &join(pointer, &entry.key.text), found);
            }
        }
    }
}

/// Notes the values whose names are those of secrets.
pub(crate) fn note_named(node: &Node, pointer: &str, is_secret: &dyn Fn(&str) -> bool, found: &mut Vec<Secret>) {
    match &node.data {
        Data::Scalar(_) => {}
        Data::List(items) => {
            for (number, item) in items.iter().enumerate() {
                note_named(item, &format!("{pointer}/{number}"), is_secret, found);
            }
        }
        Data::Map(entries) => {
            for entry in entries {
                let below = join(pointer, &entry.key.text);
                if is_secret(&entry.key.text) {
                    note_all(&entry.value, &below, found);
                } else {
                    note_named(&entry.value, &below, is_secret, found);
                }
            }
        }
    }
}

/// Notes what is secret by its name in a value whose definition is not known.
pub(crate) fn note_unknown(entry: &Entry, pointer: &str, found: &mut Vec<Secret>) {
    let pointer = join(pointer, &entry.key.text);
    if is_secret_name(&entry.key.text) {
        note_all(&entry.value, &pointer, found);
    } else {
        note_named(&entry.value, &pointer, &is_secret_name, found);
    }
}

/// Notes the values that come from secret files.
pub(crate) fn note_files(node: &Node, pointer: &str, found: &mut Vec<Secret>) {
    match &node.data {
        Data::Scalar(scalar) if scalar.secret => note_all(node, pointer, found),
        Data::Scalar(_) => {}
        Data::List(items) => {
            for (number, item) in items.iter().enumerate() {
                note_files(item, &format!("{pointer}/{number}"), found);
            }
        }
        Data::Map(entries) => {
            for entry in entries {
                note_files(&entry.value, &join(pointer, &entry.key.text), found);
            }
        }
    }
}

/// The forms in which a secret may be shown: as it is, escaped, its lines.
fn forms(secret: String) -> Vec<String> {
    const LINE_CHARS_MIN: usize = 8;
    let escaped = Value::String(secret.clone()).to_string();
    let debug = format!("{secret:?}");
    let mut forms: Vec<String> =
        [escaped, debug].iter().map(|form| form[1..form.len() - 1].to_owned()).filter(|form| *form != secret).collect();
    if secret.contains('\n') {
        let lines = secret.lines().map(str::trim).filter(|line| line.chars().count() >= LINE_CHARS_MIN);
        forms.extend(lines.map(str::to_owned));
    }
    forms.push(secret);
    forms
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_is_secret_by_its_last_word() {
        for name in ["password", "sasl.password", "api_key", "access-token", "API_KEY", "client_secret"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["keyboard", "monkey", "tokens", "passwords", "key_id", ""] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn secrets_are_replaced_in_every_form() {
        let redactor =
            Redactor::new(["hunter2".to_owned(), "hunter22".to_owned(), "a\"b\nlong second line".to_owned()]);
        assert_eq!(redactor.redact("x hunter22 y hunter2"), "x *** y ***");
        assert_eq!(redactor.redact(r#"{"p":"a\"b\nlong second line"}"#), r#"{"p":"***"}"#);
        assert_eq!(redactor.redact("only long second line"), "only ***");
        let mut value = json!({"a": ["hunter2", 1], "b": "none"});
        redactor.redact_value(&mut value);
        assert_eq!(value, json!({"a": ["***", 1], "b": "none"}));
    }

    #[test]
    fn secrets_below_the_limit_are_left_and_those_at_it_are_replaced() {
        let redactor = Redactor::new(["abc".to_owned(), "wxyz".to_owned()]);
        assert_eq!(redactor.redact("abc wxyz"), "abc ***");
    }
}
