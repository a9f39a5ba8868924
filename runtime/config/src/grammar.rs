//! The grammar of a pipeline file: from the tree to [`PipelineSpec`], with every fault on the way.
//!
//! The file's keys, `settings` and `edges` here; the entries of operators in `operators.rs`.
//! Invariant: every fault is reported once, and what follows from it is not; an entry that is left out is counted, so
//! that later phases do not report its absence.
//! Not here: whether edges fit together, which the engine checks.

use std::sync::Arc;

use rde_core::{Fields, Kind, LATER_STAGE, OperatorSpec, Settings};
use serde_json::{Map, Value};

use crate::check::{At, Checker, Subject};
use crate::diagnostics::Report;
use crate::operators::{Reader, is_id};
use crate::places::OperatorPlace;
use crate::secrets::{Secret, note_unknown};
use crate::source::Span;
use crate::spec::{EdgeEntry, PipelineSpec, section};
use crate::tree::{Data, Entry, Node, quote};
use crate::{codes, later};

/// The keys of a file, with what each is, in their order.
pub(crate) const KEYS: [(&str, &str); 6] = [
    ("name", "Identity of the pipeline: 1 to 63 characters of a-z, 0-9 and `-`."),
    ("settings", "Settings of the pipeline; all have defaults."),
    ("sources", "Operators that read."),
    ("transforms", "Operators that turn batches into batches."),
    ("sinks", "Operators that write."),
    ("edges", "Pairs `[from, to]`; an end is `id` or `id.port`."),
];

/// The keys that every operator may have beside its kind.
pub(crate) const COMMON_KEYS: [(&str, &str); 4] = [
    ("id", "Name of the operator, unique in the file: a-z first, then a-z, 0-9 and `_`. It is the table name in SQL."),
    (
        "on_error",
        "What happens to rows that fail. Default: `dead_letter` when the `errors` output has an edge, else `fail`.",
    ),
    ("parallelism", "Upper bound of this operator's lanes. Default: `settings.parallelism`."),
    ("description", "What it is for; shown by `rde graph`."),
];

pub(crate) const NAME_PATTERN: &str = "^[a-z0-9-]{1,63}$";
pub(crate) const ID_PATTERN: &str = "^[a-z][a-z0-9_]*$";

const REQUIRED_KEYS: [&str; 4] = ["name", "sources", "sinks", "edges"];
const NAME_CHARS_MAX: usize = 63;
const EDGE_HELP: &str = "an edge is `[from, to]`; an end is an id, or `id.port`";

/// What the grammar makes of a tree.
pub(crate) struct Read<'r> {
    pub(crate) spec: PipelineSpec<'r>,
    pub(crate) operators: Vec<OperatorPlace>,
    /// For each edge of the specification its number in the file.
    pub(crate) edges: Vec<usize>,
    pub(crate) secrets: Vec<Secret>,
    /// The good fields of broken operators.
    pub(crate) remainders: Vec<(&'r dyn OperatorSpec, Fields)>,
}

/// Reads a whole file. Returns nothing when it is no map.
pub(crate) fn read<'r>(root: &Node, registry: &[&'r dyn OperatorSpec], report: &mut Report) -> Option<Read<'r>> {
    if root.is_null() && !root.broken {
        report
            .add(&codes::EMPTY, Span::file_start(), "the file holds no pipeline")
            .help("write at least `name`, `sources`, `sinks` and `edges`; `rde docs` and configs/ show examples");
        return None;
    }
    let Some(entries) = root.entries() else {
        let message = format!("a pipeline is a map of keys, found {}", root.describe());
        report.add(&codes::WRONG_TYPE, root.span, message).help(keys_help());
        return None;
    };
    file_keys(root, entries, report);
    let name = root.get("name").and_then(|entry| name(entry, report));
    let mut secrets = Vec::new();
    let unknown = entries.iter().filter(|entry| !is_key(&entry.key.text));
    let settings_entries = root.get("settings").and_then(|entry| entry.value.entries()).unwrap_or_default();
    unknown.chain(settings_entries).for_each(|entry| note_unknown(entry, "", &mut secrets));
    let settings = Arc::new(settings(root.get("settings"), report, &mut secrets));
    let mut reader = Reader::new(registry, report, Arc::clone(&settings), root);
    for kind in [Kind::Source, Kind::Transform, Kind::Sink] {
        match root.get(section(kind)) {
            Some(entry) => reader.section(kind, entry),
            None if kind == Kind::Transform => {}
            None => reader.incomplete(),
        }
    }
    let strangers = || entries.iter().filter(|entry| !is_key(&entry.key.text)).map(|entry| &entry.value);
    if strangers().any(holds_operators) {
        reader.incomplete();
    }
    let read = reader.finish();
    secrets.extend(read.secrets);
    let (edges, numbers, edges_complete) = edges(root.get("edges"), report);
    let spec = PipelineSpec {
        name,
        settings,
        operators: read.operators,
        edges,
        operators_complete: read.complete,
        edges_complete: edges_complete && !root.partial && !strangers().any(holds_edges),
    };
    Some(Read { spec, operators: read.places, edges: numbers, secrets, remainders: read.remainders })
}

fn file_keys(root: &Node, entries: &[Entry], report: &mut Report) {
    let names = KEYS.map(|(name, _)| name);
    for entry in entries.iter().filter(|entry| !is_key(&entry.key.text)) {
        report
            .add(&codes::UNKNOWN_FIELD, entry.key.span, format!("unknown key `{}`", quote(&entry.key.text)))
            .help(keys_help())
            .suggest(&entry.key.text, names);
    }
    for name in REQUIRED_KEYS {
        if root.get(name).is_none() && !root.partial {
            let span = entries.first().map_or(root.span, |entry| entry.key.span);
            report.add(&codes::MISSING_FIELD, span, format!("missing key `{name}`")).help(keys_help());
        }
    }
}

fn is_key(name: &str) -> bool {
    KEYS.iter().any(|(key, _)| *key == name)
}

/// A misspelt section: what it holds is not in the graph.
fn holds_operators(value: &Node) -> bool {
    value.items().is_some_and(|items| items.iter().any(|item| item.get("id").is_some()))
}

fn holds_edges(value: &Node) -> bool {
    value.items().is_some_and(|items| items.iter().any(|item| item.items().is_some()))
}

fn keys_help() -> String {
    format!("a pipeline has the keys {}", KEYS.map(|(name, _)| name).join(", "))
}

fn name(entry: &Entry, report: &mut Report) -> Option<String> {
    if entry.value.broken {
        return None;
    }
    if refuse_secret(&entry.value, report) {
        return None;
    }
    let help = "write 1 to 63 characters of a-z, 0-9 and `-`";
    let Some(text) = entry.value.text() else {
        let span = if entry.value.is_null() { entry.key.span } else { entry.value.span };
        let message = format!("`name` must be text, found {}", entry.value.describe());
        report.add(&codes::WRONG_TYPE, span, message).help(help);
        return None;
    };
    let fits = !text.is_empty()
        && text.len() <= NAME_CHARS_MAX
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits {
        let message = format!("the name `{}` is not allowed", quote(text));
        report.add(&codes::BAD_NAME, entry.value.span, message).help(help);
        return None;
    }
    Some(text.to_owned())
}

/// Refuses a secret as a name, which stands in file names, metrics and on the terminal. Returns whether it is one.
pub(crate) fn refuse_secret(node: &Node, report: &mut Report) -> bool {
    if node.is_secret() {
        report
            .add(&codes::BAD_VARIABLE, node.span, "a secret cannot be a name")
            .help("write the name itself; names are shown in file names, metrics and messages");
    }
    node.is_secret()
}

fn settings(entry: Option<&Entry>, report: &mut Report, secrets: &mut Vec<Secret>) -> Settings {
    let Some(entry) = entry.filter(|entry| !entry.value.is_null() || entry.value.broken) else {
        return Settings::default();
    };
    let mut value = entry.value.clone();
    if let Data::Map(entries) = &mut value.data {
        entries.retain(|entry| !later_setting(entry, report));
    }
    let schema = schemars::schema_for!(Settings).to_value();
    let subject = Subject {
        who: "settings: ".to_owned(),
        operator: None,
        kind_name: String::new(),
        takes: "`settings` takes".to_owned(),
    };
    let before = report.faults.len();
    let mut checker = Checker { report, root: &schema, subject: &subject, secrets: Vec::new() };
    checker.check(&value, &schema, &At::top(entry.key.span));
    secrets.append(&mut checker.secrets);
    sizes_above_zero(&value, report);
    let faultless = report.faults.len() == before && !value.any_broken();
    let good = if faultless { value.to_json() } else { good_settings(&value) };
    serde_json::from_value(good).unwrap_or_default()
}

fn later_setting(entry: &Entry, report: &mut Report) -> bool {
    let later = later::is_later_setting(&entry.key.text);
    if later {
        let message = format!("settings: `{}` is not in this version", quote(&entry.key.text));
        report
            .add(&LATER_STAGE, entry.key.span, message)
            .help("it comes with a later version; configs/REFERENCE.md lists the settings of this one");
    }
    later
}

fn sizes_above_zero(settings: &Node, report: &mut Report) {
    for entry in settings.entries().unwrap_or_default() {
        let size = entry.value.text().and_then(|text| text.parse::<rde_core::ByteSize>().ok());
        if size.is_some_and(|size| size.0 == 0) {
            let message = format!("settings: field `{}` must be above 0", quote(&entry.key.text));
            report.add(&codes::WRONG_VALUE, entry.value.span, message).help("write a size such as `8MiB`");
        }
    }
}

/// Keeps the settings that are good by themselves.
fn good_settings(settings: &Node) -> Value {
    let entries = settings.entries().unwrap_or_default();
    let good = entries.iter().filter(|entry| !entry.value.any_broken()).filter_map(|entry| {
        let pair = Map::from_iter([(entry.key.text.clone(), entry.value.to_json())]);
        serde_json::from_value::<Settings>(Value::Object(pair.clone())).ok().map(|_| pair)
    });
    Value::Object(good.flatten().collect())
}

/// Returns the edges, their numbers in the file, and whether none was left out.
fn edges(entry: Option<&Entry>, report: &mut Report) -> (Vec<EdgeEntry>, Vec<usize>, bool) {
    let Some(entry) = entry else { return (Vec::new(), Vec::new(), false) };
    let Some(items) = entry.value.items() else {
        if !entry.value.broken {
            let span = if entry.value.is_null() { entry.key.span } else { entry.value.span };
            let message = format!("`edges` must be a list, found {}", entry.value.describe());
            report.add(&codes::WRONG_TYPE, span, message).help(EDGE_HELP);
        }
        return (Vec::new(), Vec::new(), false);
    };
    let mut edges = Vec::new();
    let mut numbers = Vec::new();
    for (number, item) in items.iter().enumerate() {
        if let Some(edge) = edge(item, report) {
            edges.push(edge);
            numbers.push(number);
        }
    }
    let complete = edges.len() == items.len() && !entry.value.partial;
    (edges, numbers, complete)
}

fn edge(item: &Node, report: &mut Report) -> Option<EdgeEntry> {
    let ends = item.items().unwrap_or_default();
    let [from, to] = ends else {
        if !item.broken && !item.partial {
            let found = match item.items() {
                Some(ends) => format!("a list of {}", ends.len()),
                None => item.describe(),
            };
            let help = if ends.len() > 2 { "write one edge for each receiver: `[from, to]`" } else { EDGE_HELP };
            report.add(&codes::BAD_EDGE, item.span, format!("an edge has two ends, found {found}")).help(help);
        }
        return None;
    };
    let from = end(from, report);
    let to = end(to, report);
    Some(EdgeEntry { from: from?, to: to? })
}

fn end(node: &Node, report: &mut Report) -> Option<String> {
    if node.broken {
        return None;
    }
    if refuse_secret(node, report) {
        return None;
    }
    let Some(text) = node.text() else {
        let message = format!("the end of an edge must be text, found {}", node.describe());
        report.add(&codes::BAD_EDGE, node.span, message).help(EDGE_HELP);
        return None;
    };
    let (id, port) = text.split_once('.').map_or((text, None), |(id, port)| (id, Some(port)));
    if !is_id(id) || port.is_some_and(|port| !is_port(port)) {
        report.add(&codes::BAD_EDGE, node.span, format!("`{}` is not the end of an edge", quote(text))).help(EDGE_HELP);
        return None;
    }
    Some(text.to_owned())
}

/// Ports of plugins have names of their own choice.
fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
