//! Names the type of a field in words, for messages and the reference alike.
//!
//! Invariant: pure; the same schema always gives the same words.

use serde_json::Value;

use crate::view::View;

/// How deep a type is spelt out.
const SPELT_MAX: usize = 3;

/// Returns for example `text`, `list of size`, "`a` or `b`".
pub(crate) fn type_text(root: &Value, schema: &Value) -> String {
    text(root, schema, 0)
}

/// Joins words as in "a, b or c".
pub(crate) fn or_list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn text(root: &Value, schema: &Value, depth: usize) -> String {
    let view = View::of(root, schema);
    if let Some(kind) = view.text("x-rde-type") {
        return kind.to_owned();
    }
    if let Some(values) = view.values() {
        return or_list(&values.iter().map(|value| shown(value)).collect::<Vec<_>>());
    }
    if let Some(choices) = view.choices.first() {
        let mut words: Vec<String> = choices.iter().flat_map(|choice| choice_words(root, choice, depth)).collect();
        let mut seen = Vec::new();
        words.retain(|word| {
            !seen.contains(word) && {
                seen.push(word.clone());
                true
            }
        });
        return or_list(&words);
    }
    let types: Vec<&str> = view.types().unwrap_or_default().into_iter().filter(|kind| *kind != "null").collect();
    let words: Vec<String> = types.iter().map(|kind| type_word(root, &view, kind, depth)).collect();
    if words.is_empty() { "any value".to_owned() } else { or_list(&words) }
}

fn type_word(root: &Value, view: &View<'_>, kind: &str, depth: usize) -> String {
    match kind {
        "boolean" => "true or false".to_owned(),
        "integer" => "whole number".to_owned(),
        "number" => "number".to_owned(),
        "string" if view.count("maxLength") == Some(1) => "one character".to_owned(),
        "string" => "text".to_owned(),
        "array" if view.all("prefixItems").next().is_none() => {
            match view.all("items").find(|items| items.is_object()) {
                Some(items) if depth < SPELT_MAX => format!("list of {}", text(root, items, depth + 1)),
                _ => "list".to_owned(),
            }
        }
        "array" => "list".to_owned(),
        "object" => match view.rest() {
            Some(rest) if depth < SPELT_MAX => format!("map of {}", text(root, rest, depth + 1)),
            _ => "map".to_owned(),
        },
        other => other.to_owned(),
    }
}

/// A variant of an enum: its word, or the key of its map.
fn choice_words(root: &Value, choice: &Value, depth: usize) -> Vec<String> {
    let view = View::of(root, choice);
    if let Some(values) = view.values() {
        return values.iter().map(|value| shown(value)).collect();
    }
    match (view.properties().as_slice(), view.required().as_slice()) {
        ([(name, _)], [required]) if name == required && view.closed() => vec![format!("`{{ {name}: … }}`")],
        _ if depth < SPELT_MAX => vec![text(root, choice, depth + 1)],
        _ => vec!["any value".to_owned()],
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}
