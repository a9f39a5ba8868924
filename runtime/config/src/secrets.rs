//! Which values are secret, and how they are kept out of every text.
//!
//! `app` passes whatever is shown through the [`Redactor`]: diagnostics, errors, the report, logs.
//! Invariant: a secret of at least [`SECRET_CHARS_MIN`] characters never passes, nor a line or word of it that is as long:
//! in its own form or escaped, in upper or lower case.
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
    /// What is replaced, ASCII letters in lower case; longest first, so that a secret within another leaves no remainder.
    masked: Arc<[String]>,
    /// The same of whole secrets alone.
    whole: Arc<[String]>,
}

impl Redactor {
    /// Makes one of secrets, and of texts in which one stands: of these no part is secret but the secret itself.
    pub(crate) fn new(secrets: &[String], around: &[String]) -> Redactor {
        let whole: Vec<String> = secrets.iter().chain(around).flat_map(|secret| forms(secret)).collect();
        let pieces = secrets.iter().flat_map(|secret| pieces(secret)).flat_map(forms);
        Redactor { masked: sorted(whole.iter().cloned().chain(pieces)), whole: sorted(whole) }
    }

    /// Returns whether there is anything to replace.
    pub fn is_empty(&self) -> bool {
        self.masked.is_empty()
    }

    /// Replaces every secret in a text by `***`.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut shown = Cow::Borrowed(text);
        for secret in self.masked.iter() {
            if let Some(masked) = mask(&shown, secret) {
                shown = Cow::Owned(masked);
            }
        }
        shown
    }

    /// Returns whether a whole secret, not just a word of one, stands in a text.
    pub fn holds_secret(&self, text: &str) -> bool {
        self.whole.iter().any(|secret| mask(text, secret).is_some())
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
    /// Whether a secret from a file is a part of the text, which the redactor knows by itself.
    pub(crate) around: bool,
}

/// Notes every scalar of a secret value.
pub(crate) fn note_all(node: &Node, pointer: &str, found: &mut Vec<Secret>) {
    match &node.data {
        Data::Scalar(scalar) => {
            let (text, span, around) = (scalar.text.clone(), scalar.origin, scalar.secret);
            found.push(Secret { pointer: pointer.to_owned(), text, span, around });
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

/// Replaces a text, given with its ASCII letters in lower case, wherever it stands in whatever case.
fn mask(text: &str, secret: &str) -> Option<String> {
    // Only ASCII letters change, so every place is the same in both.
    let lower = text.to_ascii_lowercase();
    let (mut shown, mut done) = (String::new(), 0);
    while let Some(at) = lower[done..].find(secret) {
        shown.push_str(&text[done..done + at]);
        shown.push_str(MASK);
        done += at + secret.len();
    }
    if done == 0 {
        return None;
    }
    shown.push_str(&text[done..]);
    Some(shown)
}

/// The parts of a secret that a message may quote alone: its lines and its words.
fn pieces(secret: &str) -> impl Iterator<Item = &str> {
    secret.lines().map(str::trim).chain(secret.split_whitespace())
}

/// The forms in which a text may be shown: as it is, with the case of its letters changed, and each of these escaped.
fn forms(text: &str) -> Vec<String> {
    let cases = [text.to_owned(), text.to_uppercase(), text.to_lowercase()];
    let escaped = |text: &String| {
        let quoted = [Value::String(text.clone()).to_string(), format!("{text:?}")];
        quoted.map(|form| form[1..form.len() - 1].to_owned())
    };
    let escaped: Vec<String> = cases.iter().flat_map(escaped).collect();
    cases.into_iter().chain(escaped).collect()
}

/// Puts forms into the order in which they are replaced; those that are too short are left out.
fn sorted(forms: impl IntoIterator<Item = String>) -> Arc<[String]> {
    let mut forms: Vec<String> = forms.into_iter().map(|form| form.to_ascii_lowercase()).collect();
    forms.retain(|form| form.chars().count() >= SECRET_CHARS_MIN);
    forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    forms.dedup();
    forms.into()
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
            Redactor::new(&["hunter2".to_owned(), "hunter22".to_owned(), "a\"b\nlong second line".to_owned()], &[]);
        assert_eq!(redactor.redact("x hunter22 y hunter2"), "x *** y ***");
        assert_eq!(redactor.redact(r#"{"p":"a\"b\nlong second line"}"#), r#"{"p":"***"}"#);
        assert_eq!(redactor.redact("only long second line"), "only ***");
        let mut value = json!({"a": ["hunter2", 1], "b": "none"});
        redactor.redact_value(&mut value);
        assert_eq!(value, json!({"a": ["***", 1], "b": "none"}));
    }

    #[test]
    fn words_of_a_secret_and_other_cases_are_replaced_too() {
        let redactor =
            Redactor::new(&["TOP two Straße".to_owned(), "a\"bcd efgh".to_owned()], &["from rows".to_owned()]);
        assert_eq!(redactor.redact("rows FROM rows"), "rows ***");
        assert_eq!(redactor.redact("top TWO straße, found: STRASSE"), "***, found: ***");
        assert_eq!(redactor.redact("Top Two Straße; two, Straße"), "***; two, ***");
        assert_eq!(redactor.redact(r#"["A\"BCD"] Efgh e"#), r#"["***"] *** e"#);
        assert!(redactor.holds_secret("x TOP TWO STRASSE") && !redactor.holds_secret("efgh"));
    }

    #[test]
    fn secrets_below_the_limit_are_left_and_those_at_it_are_replaced() {
        let redactor = Redactor::new(&["abc".to_owned(), "wxyz".to_owned()], &[]);
        assert_eq!(redactor.redact("abc wxyz"), "abc ***");
    }
}
