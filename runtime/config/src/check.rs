//! Checks the fields of an operator, or the settings, against their JSON Schema, and reports every fault with its place.
//!
//! A walker of our own over what schemars emits: a general validator finds the same faults, but knows neither places
//! nor suggestions nor how users think of a field. Values that pass are what serde accepts afterwards.
//! Invariant: recursion is bounded by the depth of the tree; a node whose fault is reported is not reported again.
//! Not here: single values (`values.rs`), the grammar around the fields (`grammar.rs`).

use rde_core::LATER_STAGE;
use serde_json::Value;

use crate::diagnostics::{Diagnostic, Report};
use crate::secrets::{Secret, is_secret_name, note_all, note_named, note_unknown};
use crate::source::Span;
use crate::tree::{Data, Entry, Node, join, quote};
use crate::types::{or_list, type_text};
use crate::view::View;
use crate::{codes, cut, later, suggest};

/// Whom the fields belong to.
pub(crate) struct Subject {
    /// Begins every message, for example "source `orders`: ".
    pub(crate) who: String,
    pub(crate) operator: Option<String>,
    /// The kind key; empty for settings.
    pub(crate) kind_name: String,
    /// Begins the list of fields, for example "a csv source takes".
    pub(crate) takes: String,
}

/// Where a value stands.
#[derive(Clone)]
pub(crate) struct At {
    /// Its key.
    pub(crate) key: Span,
    /// As shown in messages, for example `limits.memory_max`; empty at the top.
    pub(crate) name: String,
    /// Below the kind key.
    pub(crate) pointer: String,
}

/// Checks values against schemas.
pub(crate) struct Checker<'a> {
    pub(crate) report: &'a mut Report,
    pub(crate) root: &'a Value,
    pub(crate) subject: &'a Subject,
    pub(crate) secrets: Vec<Secret>,
}

impl At {
    /// Returns the place of the fields as a whole.
    pub(crate) fn top(key: Span) -> At {
        At { key, name: String::new(), pointer: String::new() }
    }

    fn field(&self, entry: &Entry) -> At {
        let name =
            if self.name.is_empty() { entry.key.text.clone() } else { format!("{}.{}", self.name, entry.key.text) };
        At { key: entry.key.span, name: quote(&name), pointer: join(&self.pointer, &entry.key.text) }
    }

    fn item(&self, number: usize, node: &Node) -> At {
        At { key: node.span, name: format!("{}[{number}]", self.name), pointer: format!("{}/{number}", self.pointer) }
    }
}

impl Checker<'_> {
    /// Checks a node and everything below it.
    pub(crate) fn check(&mut self, node: &Node, schema: &Value, at: &At) {
        if node.broken {
            return;
        }
        let root = self.root;
        let view = View::of(root, schema);
        if view.flag("writeOnly") {
            note_all(node, &at.pointer, &mut self.secrets);
        }
        if later::PLUGIN_CONFIG == at.pointer && self.subject.kind_name == "wasm" {
            self.plugin_config(node, &at.pointer);
            if !accepts(&view, node) {
                self.wrong_type(node, schema, at);
            }
            return;
        }
        if node.is_null() && view.nullable() || self.is_later_value(node, &view, at) {
            return;
        }
        if !view.choices.is_empty() {
            for choices in &view.choices {
                self.choices(node, choices, schema, at);
            }
            return;
        }
        if !accepts(&view, node) {
            return self.wrong_type(node, schema, at);
        }
        match &node.data {
            Data::Scalar(scalar) => self.value(node, scalar, &view, at),
            Data::List(items) => self.list(node, items, &view, at),
            Data::Map(entries) => self.map(node, entries, &view, at),
        }
    }

    /// Adds a fault with the subject in front.
    pub(crate) fn fault(&mut self, code: &'static rde_core::Code, span: Span, what: &str) -> &mut Diagnostic {
        let fault = self.report.add(code, span, format!("{}{what}", self.subject.who));
        fault.operator.clone_from(&self.subject.operator);
        fault
    }

    pub(crate) fn wrong_type(&mut self, node: &Node, schema: &Value, at: &At) {
        let view = View::of(self.root, schema);
        let kind = type_text(self.root, schema);
        let names: Vec<&str> = view.properties().iter().map(|(name, _)| *name).collect();
        let fields = || (at.name.is_empty() && !names.is_empty()).then(|| self.takes(&names, at));
        let found = if view.flag("writeOnly") { "another value".to_owned() } else { node.describe() };
        let help = type_help(node, &kind, view.flag("writeOnly")).or_else(fields);
        let span = if node.scalar().is_some() && !node.is_unwritten() { node.span } else { at.key };
        let what = format!("{} must be {}, found {found}", named(&at.name), with_article(&kind));
        let code = if view.text("x-rde-type").is_some() { &codes::WRONG_VALUE } else { &codes::WRONG_TYPE };
        self.fault(code, span, &what).help = help;
    }

    fn is_later_value(&mut self, node: &Node, view: &View<'_>, at: &At) -> bool {
        let Some(text) = node.text() else { return false };
        let marked = view.words("x-rde-later-values").contains(&text);
        if !marked && !later::is_later_value(&self.subject.kind_name, &at.pointer, text) {
            return false;
        }
        let shown = text.split_once("://").map_or_else(|| quote(text), |(scheme, _)| format!("{scheme}://"));
        self.fault(&LATER_STAGE, node.span, &format!("{}: `{shown}` is not in this version", named(&at.name)))
            .help("it comes with a later version; `rde docs` shows what this one has");
        true
    }

    fn list(&mut self, node: &Node, items: &[Node], view: &View<'_>, at: &At) {
        let count = items.len();
        let least = view.count("minItems").filter(|least| count < *least && !node.partial);
        let most = view.count("maxItems").filter(|most| count > *most);
        if let Some(limit) = least.or(most) {
            let bound = if least.is_some() { "at least" } else { "at most" };
            let what = format!("{} must have {bound} {limit} entries, found {count}", named(&at.name));
            self.fault(&codes::WRONG_VALUE, at.key, &what);
        }
        let first: Vec<&Value> = view.all("prefixItems").filter_map(Value::as_array).flatten().collect();
        let rest = view.all("items").find(|items| items.is_object());
        for (number, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(number).copied().or(rest) {
                self.check(item, schema, &at.item(number, item));
            }
        }
        if view.flag("uniqueItems") {
            self.unique(items, at);
        }
    }

    fn unique(&mut self, items: &[Node], at: &At) {
        let mut seen = std::collections::HashSet::new();
        for item in items {
            if !seen.insert(item.to_json().to_string()) {
                let what = format!("{} holds {} twice", named(&at.name), item.describe());
                self.fault(&codes::WRONG_VALUE, item.span, &what).help("remove one of them");
            }
        }
    }

    fn map(&mut self, node: &Node, entries: &[Entry], view: &View<'_>, at: &At) {
        if is_untyped(view, &at.name) {
            note_named(node, &at.pointer, &is_secret_name, &mut self.secrets);
        }
        let mut reported = None;
        for (entry, cut) in entries.iter().zip(cut_fields(node, view)) {
            match cut {
                Some(field) if reported == Some(field.key.span) => note_unknown(entry, &at.pointer, &mut self.secrets),
                Some(field) => {
                    self.cut(entry, field, at);
                    reported = Some(field.key.span);
                }
                None => self.entry(entry, view, at),
            }
        }
        for name in view.required() {
            if !node.partial && !entries.iter().any(|entry| entry.key.text == name) {
                self.missing(name, view, at);
            }
        }
    }

    /// Checks one pair of a map.
    pub(crate) fn entry(&mut self, entry: &Entry, view: &View<'_>, at: &At) {
        let name = entry.key.text.as_str();
        let field = at.field(entry);
        let schema = view.property(name);
        let marked = schema.is_some_and(|schema| View::of(self.root, schema).flag("x-rde-later"));
        if marked || (schema.is_none() && later::is_later_field(&self.subject.kind_name, &field.pointer)) {
            note_unknown(entry, &at.pointer, &mut self.secrets);
            self.fault(&LATER_STAGE, entry.key.span, &format!("{} is not in this version", named(&field.name)))
                .help("it comes with a later version; `rde docs` shows what this one has");
            return;
        }
        match (schema, view.rest()) {
            (Some(schema), _) => self.check(&entry.value, schema, &field),
            (None, Some(rest)) => {
                self.key_name(entry, view, at);
                self.check(&entry.value, rest, &field);
            }
            (None, None) if view.closed() => self.unknown(entry, view, at),
            (None, None) => {}
        }
    }

    fn key_name(&mut self, entry: &Entry, view: &View<'_>, at: &At) {
        let names = view.all("propertyNames").next();
        let pattern = names.and_then(|names| View::of(self.root, names).text("pattern"));
        if let Some(pattern) = pattern.filter(|pattern| !crate::values::matches(pattern, &entry.key.text)) {
            let what = format!("{}: `{}` is not allowed as a key", named(&at.name), quote(&entry.key.text));
            self.fault(&codes::WRONG_VALUE, entry.key.span, &what).help(format!("keys match `{pattern}`"));
        }
    }

    fn unknown(&mut self, entry: &Entry, view: &View<'_>, at: &At) {
        let names: Vec<&str> = view.properties().iter().map(|(name, _)| *name).collect();
        let help = self.takes(&names, at);
        let meant = suggest::nearest(&entry.key.text, names.iter().copied()).and_then(|near| view.property(near));
        if meant.is_some_and(|schema| View::of(self.root, schema).flag("writeOnly")) {
            note_all(&entry.value, &at.field(entry).pointer, &mut self.secrets);
        }
        note_unknown(entry, &at.pointer, &mut self.secrets);
        let what = format!("unknown field `{}`", at.field(entry).name);
        self.fault(&codes::UNKNOWN_FIELD, entry.key.span, &what)
            .help(help)
            .suggest(&entry.key.text, names.iter().copied());
    }

    /// Reports the first key that is the rest of a text; those after it follow from the same mistake.
    fn cut(&mut self, entry: &Entry, field: &Entry, at: &At) {
        note_unknown(entry, &at.pointer, &mut self.secrets);
        let what = format!("unknown field `{}`", at.field(entry).name);
        let fault = self.fault(&codes::UNKNOWN_FIELD, entry.key.span, &what).help(cut::remedy(field));
        fault.label = Some(format!("a part of `{}`?", quote(&field.key.text)));
    }

    fn missing(&mut self, name: &str, view: &View<'_>, at: &At) {
        let names: Vec<&str> = view.properties().iter().map(|(name, _)| *name).collect();
        let help = self.takes(&names, at);
        let full = if at.name.is_empty() { name.to_owned() } else { format!("{}.{name}", at.name) };
        self.fault(&codes::MISSING_FIELD, at.key, &format!("missing field `{full}`")).help(help);
    }

    fn takes(&self, names: &[&str], at: &At) -> String {
        match (at.name.is_empty(), names) {
            (_, []) => "there are no fields here".to_owned(),
            (true, names) => format!("{} {}", self.subject.takes, names.join(", ")),
            (false, names) => format!("`{}` takes {}", at.name, names.join(", ")),
        }
    }

    /// `oneOf` and `anyOf`: words, maps of one key, and other types.
    fn choices(&mut self, node: &Node, choices: &[&Value], schema: &Value, at: &At) {
        let root = self.root;
        let mut words: Vec<&str> = Vec::new();
        let mut tags: Vec<(&str, &Value)> = Vec::new();
        let mut others: Vec<&Value> = Vec::new();
        for choice in choices {
            let view = View::of(root, choice);
            match (view.values(), only_field(&view)) {
                (Some(values), _) if values.iter().all(|value| value.is_string()) => {
                    words.extend(values.iter().filter_map(|value| value.as_str()));
                }
                (_, Some(name)) => tags.push((name, choice)),
                _ => others.push(choice),
            }
        }
        others.retain(|choice| accepts(&View::of(root, choice), node));
        let known = node.text().is_some_and(|text| words.contains(&text));
        match (&node.data, others.as_slice()) {
            _ if known => {}
            (_, [only]) => self.check(node, only, at),
            (_, [_, _, ..]) => self.best(node, &others, at),
            (Data::Scalar(_), []) if !words.is_empty() && node.text().is_some() => {
                self.not_a_word(node, &words, schema, at);
            }
            (Data::Map(entries), []) if !tags.is_empty() => self.tagged(node, entries, &tags, at),
            _ => self.wrong_type(node, schema, at),
        }
    }

    fn not_a_word(&mut self, node: &Node, words: &[&str], schema: &Value, at: &At) {
        let kind = type_text(self.root, schema);
        let what = format!("{} must be {kind}, found {}", named(&at.name), node.describe());
        let text = node.text().unwrap_or_default();
        self.fault(&codes::WRONG_VALUE, node.span, &what).suggest(text, words.iter().copied());
    }

    fn tagged(&mut self, node: &Node, entries: &[Entry], tags: &[(&str, &Value)], at: &At) {
        let names: Vec<&str> = tags.iter().map(|(name, _)| *name).collect();
        let listed = or_list(&names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>());
        match entries {
            [only] => match tags.iter().find(|(name, _)| *name == only.key.text) {
                Some((_, schema)) => self.check(node, schema, at),
                None => {
                    let what = format!("unknown field `{}`", at.field(only).name);
                    self.fault(&codes::UNKNOWN_FIELD, only.key.span, &what)
                        .help(format!("{} takes one of {listed}", named(&at.name)))
                        .suggest(&only.key.text, names.iter().copied());
                }
            },
            [] if node.partial => {}
            _ => {
                let what = format!("{} takes exactly one of {listed}, found {}", named(&at.name), entries.len());
                self.fault(&codes::WRONG_VALUE, at.key, &what);
            }
        }
    }

    /// Reports the faults of the choice that fits best.
    fn best(&mut self, node: &Node, choices: &[&Value], at: &At) {
        let mut best: Option<(Vec<Diagnostic>, Vec<Secret>)> = None;
        for choice in choices {
            let mut aside = self.report.aside();
            let mut checker =
                Checker { report: &mut aside, root: self.root, subject: self.subject, secrets: Vec::new() };
            checker.check(node, choice, at);
            let secrets = checker.secrets;
            if best.as_ref().is_none_or(|(faults, _)| aside.faults.len() < faults.len()) {
                best = Some((aside.faults, secrets));
            }
        }
        if let Some((faults, secrets)) = best {
            self.report.faults.extend(faults);
            self.secrets.extend(secrets);
        }
    }

    /// What a plugin sees: secrets are refused. `key` alone is an ordinary word there, so that it hides nothing.
    fn plugin_config(&mut self, node: &Node, pointer: &str) {
        let is_secret = |name: &str| is_secret_name(name) && !name.eq_ignore_ascii_case("key");
        note_named(node, pointer, &is_secret, &mut self.secrets);
        self.refuse_files(node);
    }

    fn refuse_files(&mut self, node: &Node) {
        match &node.data {
            Data::Scalar(scalar) if scalar.secret => {
                self.fault(&codes::SECRET_IN_PLUGIN, node.span, "a secret file in the `config` of a plugin")
                    .help("remove it; a plugin may not see secrets, and grants for them are not in this version");
            }
            Data::Scalar(_) => {}
            Data::List(items) => items.iter().for_each(|item| self.refuse_files(item)),
            Data::Map(entries) => entries.iter().for_each(|entry| self.refuse_files(&entry.value)),
        }
    }
}

/// Returns for each entry of a map the field whose text goes on in its key, where other keys than fields are refused.
pub(crate) fn cut_fields<'n>(node: &'n Node, view: &View<'_>) -> Vec<Option<&'n Entry>> {
    let open = !view.closed() || view.rest().is_some();
    cut::fields(node, |key| open || view.property(key).is_some())
}

/// Names a field in a message.
pub(crate) fn named(name: &str) -> String {
    if name.is_empty() { "the value".to_owned() } else { format!("field `{name}`") }
}

/// Returns whether a schema's type is that of a node.
pub(crate) fn accepts(view: &View<'_>, node: &Node) -> bool {
    let Some(types) = view.types() else { return true };
    types.iter().any(|kind| match (&node.data, *kind) {
        (Data::Map(_), kind) => kind == "object",
        (Data::List(_), kind) => kind == "array",
        (Data::Scalar(scalar), kind) => match scalar.value() {
            Value::Null => kind == "null",
            Value::Bool(_) => kind == "boolean",
            Value::Number(number) => kind == "number" || (kind == "integer" && !number.is_f64()),
            _ => kind == "string",
        },
    })
}

fn only_field<'s>(view: &View<'s>) -> Option<&'s str> {
    match (view.properties().as_slice(), view.required().as_slice()) {
        ([(name, _)], [required]) if name == required && view.closed() => Some(name),
        _ => None,
    }
}

/// A map whose keys and values the operator's definition does not know.
fn is_untyped(view: &View<'_>, name: &str) -> bool {
    let open =
        view.all("additionalProperties").any(|rest| rest == &Value::Bool(true) || rest == &serde_json::json!({}));
    let says_nothing = view.all("additionalProperties").next().is_none() && view.properties().is_empty();
    open || says_nothing || view.flag("x-rde-untyped") || name == "properties" || name.ends_with(".properties")
}

fn with_article(kind: &str) -> String {
    match kind {
        "whole number" | "number" | "size" | "period" | "list" | "map" => format!("a {kind}"),
        _ if kind.starts_with("list of") || kind.starts_with("map of") => format!("a {kind}"),
        other => other.to_owned(),
    }
}

fn type_help(node: &Node, kind: &str, secret: bool) -> Option<String> {
    let scalar = node.scalar();
    let shown =
        scalar.filter(|scalar| !secret && !scalar.secret).map_or("...".to_owned(), |scalar| quote(&scalar.text));
    match kind {
        "size" => Some("write a whole number and a unit, for example `64KiB`, `16MiB` or `1GiB`".to_owned()),
        "period" => Some("write a whole number and a unit, for example `250ms`, `10s` or `5min`".to_owned()),
        "text" | "one character" if scalar.is_some() => {
            Some(scalar_word(node).map_or("write a text; an empty one is `\"\"`".to_owned(), |word| {
                format!("without quotes YAML reads it as {word}; put it in quotes: `\"{shown}\"`")
            }))
        }
        "list of text" if scalar_word(node).is_some() => Some(format!("write a list: `[\"{shown}\"]`")),
        "true or false" if ["yes", "no", "on", "off"].contains(&shown.to_lowercase().as_str()) => {
            Some("write `true` or `false`".to_owned())
        }
        "whole number" | "number" | "true or false" if node.text().is_some() => {
            Some("write it without quotes".to_owned()).filter(|_| crate::scalar::typed(&shown) != shown)
        }
        _ if kind.starts_with("list") && scalar.is_some() => Some(format!("write a list: `[{shown}]`")),
        _ => None,
    }
}

/// Names what YAML makes of a scalar that is written and is no text.
fn scalar_word(node: &Node) -> Option<&'static str> {
    match node.scalar().filter(|scalar| !scalar.text.is_empty())?.value() {
        Value::Null => Some("null"),
        Value::Bool(_) => Some("true or false"),
        Value::Number(_) => Some("a number"),
        Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
