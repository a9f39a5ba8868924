//! The entries of `sources`, `transforms` and `sinks`.
//!
//! Part of the grammar: one entry becomes one [`OperatorEntry`], with its fields checked against its definition.
//! Invariant: an entry with a fault of its id, kind or fields is `broken` and keeps its id, so that edges to it are
//! known; what stands beside the kind does not make it so.

use std::collections::HashMap;
use std::sync::Arc;

use rde_core::{Fields, Kind, LATER_STAGE, OnError, OperatorSpec, Settings};
use serde_json::Value;

use crate::check::{At, Checker, Subject, cut_fields};
use crate::diagnostics::{Diagnostic, Report};
use crate::grammar::{COMMON_KEYS, refuse_secret};
use crate::places::OperatorPlace;
use crate::secrets::{Secret, is_secret_name, note_files, note_named, note_unknown};
use crate::source::Span;
use crate::spec::{OperatorEntry, section};
use crate::tree::{Data, Entry, Node, quote};
use crate::types::or_list;
use crate::view::View;
use crate::{codes, later, suggest};

/// Most lanes an operator may ask for.
pub(crate) const PARALLELISM_MAX: usize = 256;

const ID_HELP: &str = "an id begins with a-z and goes on with a-z, 0-9 and `_`; it is a table name in SQL";

/// Reads entries.
pub(crate) struct Reader<'a, 'r> {
    registry: &'a [&'r dyn OperatorSpec],
    report: &'a mut Report,
    settings: Arc<Settings>,
    ids: HashMap<String, Span>,
    /// Where an id is in the list of operators.
    numbers: HashMap<String, usize>,
    schemas: HashMap<(Kind, &'static str), Arc<Value>>,
    done: Entries<'r>,
}

/// All entries of a file.
pub(crate) struct Entries<'r> {
    pub(crate) operators: Vec<OperatorEntry<'r>>,
    pub(crate) places: Vec<OperatorPlace>,
    pub(crate) secrets: Vec<Secret>,
    /// The good fields of broken operators: their definitions may have more to say about those.
    pub(crate) remainders: Vec<(&'r dyn OperatorSpec, Fields)>,
    /// Whether no entry was left out.
    pub(crate) complete: bool,
}

/// What kind an entry is of.
struct Chosen<'n, 'r> {
    entry: &'n Entry,
    spec: Option<&'r dyn OperatorSpec>,
    /// Whether it is not sure what the entry means.
    doubtful: bool,
}

/// The fields of an entry after their check.
#[derive(Default)]
struct Checked {
    value: Value,
    secrets: Vec<String>,
    faulty: bool,
    /// The good fields of a faulty entry, if those that must be there are.
    remainder: Option<Value>,
}

/// What stands beside the kind key.
#[derive(Default)]
struct Common {
    on_error: Option<OnError>,
    parallelism: Option<usize>,
    description: Option<String>,
}

impl<'a, 'r> Reader<'a, 'r> {
    pub(crate) fn new(
        registry: &'a [&'r dyn OperatorSpec],
        report: &'a mut Report,
        settings: Arc<Settings>,
        root: &Node,
    ) -> Reader<'a, 'r> {
        let done = Entries {
            operators: Vec::new(),
            places: Vec::new(),
            secrets: Vec::new(),
            remainders: Vec::new(),
            complete: !root.partial,
        };
        Reader {
            registry,
            report,
            settings,
            ids: HashMap::new(),
            numbers: HashMap::new(),
            schemas: HashMap::new(),
            done,
        }
    }

    pub(crate) fn finish(self) -> Entries<'r> {
        self.done
    }

    /// Notes that entries may stand under a key that is not known, or not at all.
    pub(crate) fn incomplete(&mut self) {
        self.done.complete = false;
    }

    /// Reads one section.
    pub(crate) fn section(&mut self, kind: Kind, entry: &Entry) {
        let name = section(kind);
        let optional = kind == Kind::Transform && entry.value.is_null();
        if entry.value.broken || optional {
            self.done.complete &= !entry.value.broken;
            return;
        }
        let Some(items) = entry.value.items() else {
            let span = if entry.value.is_null() { entry.key.span } else { entry.value.span };
            self.done.complete = false;
            self.report
                .add(&codes::WRONG_TYPE, span, format!("`{name}` must be a list, found {}", entry.value.describe()))
                .help(format!("write entries such as `- {{ id: {}_1, ... }}` below `{name}:`", kind.as_str()));
            return;
        };
        if items.is_empty() && kind != Kind::Transform && !entry.value.partial {
            self.done.complete = false;
            self.report
                .add(&codes::MISSING_FIELD, entry.key.span, format!("`{name}` is empty"))
                .help(format!("a pipeline has at least one {}", kind.as_str()));
        }
        for (number, item) in items.iter().enumerate() {
            self.operator(kind, item, &format!("/{name}/{number}"));
        }
    }

    fn operator(&mut self, kind: Kind, item: &Node, pointer: &str) {
        if item.broken {
            self.done.complete = false;
            return;
        }
        let Some(entries) = item.entries() else {
            self.done.complete = false;
            let message = format!("an entry of `{}` is a map, found {}", section(kind), item.describe());
            self.report
                .add(&codes::WRONG_TYPE, item.span, message)
                .help("write `id:` and one kind, for example `csv:`");
            return;
        };
        let before = self.report.faults.len();
        let id = self.id(kind, item, entries);
        let id_fault = self.report.faults.len() > before;
        let who = match id {
            Some(id) => format!("{} `{}`: ", kind.as_str(), quote(id)),
            None => format!("{}: ", kind.as_str()),
        };
        let common = self.common(item, &who, id);
        let chosen = self.chosen(kind, entries, &who, id, item);
        let checked = match &chosen {
            Some(Chosen { entry, spec: Some(spec), .. }) => self.fields(*spec, entry, &who, id),
            _ => Checked { faulty: true, ..Checked::default() },
        };
        if chosen.as_ref().is_none_or(|chosen| chosen.spec.is_none()) {
            // What is not known cannot say what is secret in it; the names can.
            note_named(item, "", &is_secret_name, &mut self.done.secrets);
        }
        let Some(id) = id else {
            self.done.complete = false;
            return;
        };
        let kind_name = chosen.as_ref().map_or("", |chosen| chosen.entry.key.text.as_str()).to_owned();
        self.done.places.push(OperatorPlace {
            id: id.to_owned(),
            pointer: pointer.to_owned(),
            kind_name: kind_name.clone(),
        });
        let doubtful = id_fault || item.partial || chosen.as_ref().is_none_or(|chosen| chosen.doubtful);
        self.push(kind, id, kind_name, chosen.and_then(|chosen| chosen.spec), common, checked, doubtful);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one value, put together in one place")]
    fn push(
        &mut self,
        kind: Kind,
        id: &str,
        kind_name: String,
        spec: Option<&'r dyn OperatorSpec>,
        common: Common,
        checked: Checked,
        doubtful: bool,
    ) {
        if let Some(first) = self.numbers.get(id).and_then(|number| self.done.operators.get_mut(*number)) {
            first.broken = true;
            first.spec = None;
            self.done.places.pop();
            return;
        }
        self.numbers.insert(id.to_owned(), self.done.operators.len());
        let id: Arc<str> = id.into();
        let fields = Fields {
            id: Arc::clone(&id),
            value: checked.value,
            secrets: checked.secrets,
            parallelism: common.parallelism,
            settings: Arc::clone(&self.settings),
        };
        let broken = doubtful || checked.faulty;
        if let (Some(spec), Some(value), false) = (spec, checked.remainder, doubtful) {
            self.done.remainders.push((spec, Fields { value, ..fields.clone() }));
        }
        self.done.operators.push(OperatorEntry {
            id,
            kind,
            kind_name,
            spec: spec.filter(|_| !broken),
            fields,
            on_error: common.on_error,
            parallelism: common.parallelism,
            description: common.description,
            broken,
        });
    }

    fn fault(
        &mut self,
        code: &'static rde_core::Code,
        span: Span,
        message: String,
        id: Option<&str>,
    ) -> &mut Diagnostic {
        let fault = self.report.add(code, span, message);
        fault.operator = id.map(str::to_owned);
        fault
    }

    fn id<'n>(&mut self, kind: Kind, item: &'n Node, entries: &[Entry]) -> Option<&'n str> {
        let Some(entry) = item.get("id") else {
            if !item.partial {
                let span = entries.first().map_or(item.span, |entry| entry.key.span);
                let message = format!("{}: missing `id`", kind.as_str());
                self.report.add(&codes::MISSING_FIELD, span, message).help(ID_HELP);
            }
            return None;
        };
        if entry.value.broken {
            return None;
        }
        if refuse_secret(&entry.value, self.report) {
            return None;
        }
        let Some(text) = entry.value.text() else {
            let span = if entry.value.is_null() { entry.key.span } else { entry.value.span };
            let message = format!("{}: `id` must be text, found {}", kind.as_str(), entry.value.describe());
            self.report.add(&codes::WRONG_TYPE, span, message).help(ID_HELP);
            return None;
        };
        if !is_id(text) {
            let message = format!("{}: the id `{}` is not allowed", kind.as_str(), quote(text));
            self.fault(&codes::BAD_NAME, entry.value.span, message, Some(text)).help(ID_HELP);
        }
        let first = self.ids.get(text).copied();
        if let Some(first) = first {
            let message = format!(
                "{}: the id `{}` is used twice; the first one is in line {}",
                kind.as_str(),
                quote(text),
                first.line
            );
            self.fault(&codes::DUPLICATE_ID, entry.value.span, message, Some(text))
                .help(format!("rename one of them: lines {} and {}", first.line, entry.value.span.line));
        } else {
            self.ids.insert(text.to_owned(), entry.value.span);
        }
        Some(text)
    }

    fn common(&mut self, item: &Node, who: &str, id: Option<&str>) -> Common {
        let schema = common_schema();
        let subject = Subject {
            who: who.to_owned(),
            operator: id.map(str::to_owned),
            kind_name: String::new(),
            takes: String::new(),
        };
        let mut common = Common::default();
        for entry in item.entries().unwrap_or_default() {
            let name = entry.key.text.as_str();
            let Some(schema) = schema.get(name) else { continue };
            let before = self.report.faults.len();
            let mut checker = Checker { report: self.report, root: schema, subject: &subject, secrets: Vec::new() };
            let at = At { key: entry.key.span, name: name.to_owned(), pointer: String::new() };
            checker.check(&entry.value, schema, &at);
            if self.report.faults.len() > before || entry.value.broken {
                continue;
            }
            let value = entry.value.to_json();
            match name {
                "on_error" => common.on_error = serde_json::from_value(value).ok(),
                "parallelism" => common.parallelism = serde_json::from_value(value).ok(),
                _ => common.description = value.as_str().map(str::to_owned),
            }
        }
        common
    }

    /// Finds the one kind key and reports all other keys.
    fn chosen<'n>(
        &mut self,
        kind: Kind,
        entries: &'n [Entry],
        who: &str,
        id: Option<&str>,
        item: &Node,
    ) -> Option<Chosen<'n, 'r>> {
        let common = COMMON_KEYS.map(|(name, _)| name);
        let others: Vec<&Entry> = entries.iter().filter(|entry| !common.contains(&entry.key.text.as_str())).collect();
        let is_kind = |name: &str| self.find(kind, name).is_some() || later::is_later_kind(kind, name);
        let mut kinds = others.iter().copied().filter(|entry| is_kind(&entry.key.text));
        let (first, second) = (kinds.next(), kinds.next());
        match (first, others.as_slice()) {
            (None, []) => {
                if !item.partial {
                    let span = entries.first().map_or(item.span, |entry| entry.key.span);
                    let help = format!("write one of {}", self.kind_names(kind));
                    self.fault(&codes::KIND_COUNT, span, format!("{who}no kind"), id).help(help);
                }
                None
            }
            (None, others) if let Some((entry, meant)) = self.as_value(kind, others) => {
                self.kind_as_value(kind, entry, meant, who, id);
                Some(Chosen { entry, spec: None, doubtful: true })
            }
            (None, [only]) => {
                self.unknown_kind(kind, only, who, id);
                Some(Chosen { entry: only, spec: None, doubtful: true })
            }
            (None, several) => {
                for entry in several {
                    self.unknown_key(kind, entry, None, who, id);
                }
                None
            }
            (Some(first), others) => {
                if let Some(second) = second {
                    let message = format!("{who}two kinds, `{}` and `{}`", first.key.text, second.key.text);
                    self.fault(&codes::KIND_COUNT, second.key.span, message, id)
                        .help("an operator has exactly one kind; make two entries with ids of their own");
                }
                let strangers: Vec<&Entry> =
                    others.iter().copied().filter(|entry| !self.is_kind_name(kind, &entry.key.text)).collect();
                let mut doubtful = second.is_some();
                for entry in strangers {
                    doubtful |= self.unknown_key(kind, entry, Some(first), who, id);
                }
                Some(Chosen { entry: first, spec: self.later_or_found(kind, first, who, id), doubtful })
            }
        }
    }

    fn later_or_found(
        &mut self,
        kind: Kind,
        entry: &Entry,
        who: &str,
        id: Option<&str>,
    ) -> Option<&'r dyn OperatorSpec> {
        let found = self.find(kind, &entry.key.text);
        if found.is_none() {
            let message = format!("{who}the kind `{}` is not in this version", entry.key.text);
            let help = format!("{} of this version: {}", section(kind), self.kind_names(kind));
            self.fault(&LATER_STAGE, entry.key.span, message, id).help(help);
        }
        found
    }

    /// Returns the key that holds a kind as its value, as in `type: csv`, and the kind that is meant.
    fn as_value<'n>(&self, kind: Kind, entries: &[&'n Entry]) -> Option<(&'n Entry, &'static str)> {
        let meant = |text: &str| {
            let names = self.registry.iter().filter(|spec| spec.kind() == kind).map(|spec| spec.name());
            self.find(kind, text).map(|spec| spec.name()).or_else(|| suggest::nearest(text, names))
        };
        let entry = entries.iter().find(|entry| ["type", "kind"].contains(&entry.key.text.as_str()))?;
        Some((entry, meant(entry.value.text()?)?))
    }

    /// Reports it once: the keys beside it are fields of that kind, and stand in the wrong place for the same reason.
    fn kind_as_value(&mut self, kind: Kind, entry: &Entry, meant: &str, who: &str, id: Option<&str>) {
        let message = format!("{who}unknown key `{}`", entry.key.text);
        let names = self.kind_names(kind);
        let help = format!("a kind is a key, with its fields indented below it; {} are {names}", section(kind));
        let fault = self.fault(&codes::UNKNOWN_FIELD, entry.key.span, message, id).help(help);
        fault.label = Some(format!("did you mean `{meant}:`?"));
    }

    fn unknown_kind(&mut self, kind: Kind, entry: &Entry, who: &str, id: Option<&str>) {
        let name = entry.key.text.as_str();
        let elsewhere: Vec<String> = [Kind::Source, Kind::Transform, Kind::Sink]
            .into_iter()
            .filter(|other| self.is_kind_name(*other, name))
            .map(|other| format!("a {}", other.as_str()))
            .collect();
        let names = self.kind_names(kind);
        let help = if elsewhere.is_empty() {
            format!("{} are {names}", section(kind))
        } else {
            format!(
                "`{}` is {}; {} are {names}",
                quote(name),
                or_list(&elsewhere).replace(" or ", " and "),
                section(kind)
            )
        };
        let words: Vec<&str> =
            self.registry.iter().filter(|spec| spec.kind() == kind).map(|spec| spec.name()).collect();
        self.fault(&codes::UNKNOWN_KIND, entry.key.span, format!("{who}unknown kind `{}`", quote(name)), id)
            .help(help)
            .suggest(name, words);
    }

    /// Returns whether it is a field that stands in the wrong place.
    fn unknown_key(&mut self, kind: Kind, entry: &Entry, chosen: Option<&Entry>, who: &str, id: Option<&str>) -> bool {
        let name = entry.key.text.as_str();
        let common = COMMON_KEYS.map(|(name, _)| name);
        let spec = chosen.and_then(|chosen| self.find(kind, &chosen.key.text));
        let below = spec.is_some_and(|spec| {
            let schema = self.schema(spec);
            View::of(&schema, &schema).property(name).is_some()
        });
        let kind_name = chosen.map_or("", |chosen| chosen.key.text.as_str());
        let help = match (below, chosen) {
            (true, _) => format!("`{}` is a field of `{kind_name}`: indent it below `{kind_name}:`", quote(name)),
            (false, Some(_)) => format!("beside `{kind_name}` only {} may stand", common.join(", ")),
            (false, None) => format!("an operator has {}, and one kind: {}", common.join(", "), self.kind_names(kind)),
        };
        let mut words = common.to_vec();
        if chosen.is_none() {
            words.extend(self.registry.iter().filter(|spec| spec.kind() == kind).map(|spec| spec.name()));
        }
        note_unknown(entry, "", &mut self.done.secrets);
        let message = format!("{who}unknown key `{}`", quote(name));
        let fault = self.fault(&codes::UNKNOWN_FIELD, entry.key.span, message, id).help(help);
        if !below {
            fault.suggest(name, words);
        }
        below
    }

    fn fields(&mut self, spec: &'r dyn OperatorSpec, entry: &Entry, who: &str, id: Option<&str>) -> Checked {
        let schema = self.schema(spec);
        let name = spec.name();
        let article = if name.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
        let subject = Subject {
            who: who.to_owned(),
            operator: id.map(str::to_owned),
            kind_name: name.to_owned(),
            takes: format!("{article} {name} {} takes", spec.kind().as_str()),
        };
        let mut node = entry.value.clone();
        if node.is_null() && !node.broken {
            node.data = Data::Map(Vec::new());
        }
        let before = self.report.faults.len();
        let mut checker = Checker { report: self.report, root: &schema, subject: &subject, secrets: Vec::new() };
        checker.check(&node, &schema, &At::top(entry.key.span));
        let mut found = checker.secrets;
        note_files(&node, "", &mut found);
        let mut pointers: Vec<String> = found.iter().map(|secret| secret.pointer.clone()).collect();
        pointers.sort();
        pointers.dedup();
        self.done.secrets.extend(found);
        let faulty = self.report.faults.len() > before || node.any_broken();
        let remainder = if faulty { self.good_fields(&node, &schema, &subject, entry.key.span) } else { None };
        Checked { value: node.to_json(), secrets: pointers, faulty, remainder }
    }

    fn good_fields(&self, node: &Node, schema: &Value, subject: &Subject, key: Span) -> Option<Value> {
        let view = View::of(schema, schema);
        let mut good = serde_json::Map::new();
        // What is left of a text that was cut would be found at fault once more.
        let mut cut: Vec<&Entry> = cut_fields(node, &view).into_iter().flatten().collect();
        cut.dedup_by_key(|field| field.key.span);
        let is_cut = |entry: &Entry| cut.iter().any(|field| field.key.span == entry.key.span);
        let is_whole = |entry: &&Entry| !entry.value.any_broken() && !entry.value.partial && !is_cut(entry);
        for entry in node.entries()?.iter().filter(is_whole) {
            let mut aside = self.report.aside();
            let mut checker = Checker { report: &mut aside, root: schema, subject, secrets: Vec::new() };
            checker.entry(entry, &view, &At::top(key));
            if aside.faults.is_empty() {
                good.insert(entry.key.text.clone(), entry.value.to_json());
            }
        }
        let whole = view.required().iter().all(|name| good.contains_key(*name));
        whole.then_some(Value::Object(good))
    }

    fn schema(&mut self, spec: &'r dyn OperatorSpec) -> Arc<Value> {
        let key = (spec.kind(), spec.name());
        Arc::clone(self.schemas.entry(key).or_insert_with(|| Arc::new(spec.reference().schema)))
    }

    fn find(&self, kind: Kind, name: &str) -> Option<&'r dyn OperatorSpec> {
        self.registry.iter().copied().find(|spec| spec.kind() == kind && spec.name() == name)
    }

    fn is_kind_name(&self, kind: Kind, name: &str) -> bool {
        self.find(kind, name).is_some() || later::is_later_kind(kind, name)
    }

    fn kind_names(&self, kind: Kind) -> String {
        let names: Vec<&str> =
            self.registry.iter().filter(|spec| spec.kind() == kind).map(|spec| spec.name()).collect();
        names.join(", ")
    }
}

/// Returns the schemas of the keys beside the kind.
pub(crate) fn common_schema() -> serde_json::Map<String, Value> {
    let on_error = schemars::schema_for!(OnError).to_value();
    let parallelism = serde_json::json!({ "type": "integer", "minimum": 1, "maximum": PARALLELISM_MAX });
    let description = serde_json::json!({ "type": "string" });
    let pairs = [("on_error", on_error), ("parallelism", parallelism), ("description", description)];
    pairs.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// Returns whether a text may be an id.
pub(crate) fn is_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
