//! `rde schema`, `rde docs`, `rde explain`: printed from the same definitions as the parser.

use rde_core::{Kind, LATER_STAGE};

use super::DocsArgs;
use super::output::{Exit, Style, note, result};
use crate::registry::{OPERATORS, codes};

/// How a kind of operator is named on the command line; the plural is understood too.
const KINDS: [&str; 3] = ["source", "transform", "sink"];

/// Prints the JSON Schema of the configuration.
pub(super) fn schema() -> Exit {
    let schema = rde_config::pipeline_schema(OPERATORS);
    let text = serde_json::to_string_pretty(&schema).expect("a JSON value can be written");
    result(&format!("{text}\n"))
}

/// Prints the reference: all, one kind, one operator, or every operator of a name.
pub(super) fn docs(args: &DocsArgs, _style: &Style) -> Exit {
    if args.markdown {
        return result(&rde_config::reference_markdown(OPERATORS, &codes()));
    }
    let Some(first) = args.kind.as_deref() else { return result(&rde_config::kinds_text(OPERATORS, None)) };
    match (kind_of(first), args.name.as_deref()) {
        (Some(kind), None) => result(&rde_config::kinds_text(OPERATORS, Some(kind))),
        (Some(kind), Some(name)) => operators(&[kind], name, kind.as_str()),
        (None, None) => operators(&[Kind::Source, Kind::Transform, Kind::Sink], first, "kind or operator"),
        (None, Some(_)) => unknown("kind of operator", first, &KINDS),
    }
}

/// Prints the pages of a name: a source and a sink may share one.
fn operators(kinds: &[Kind], name: &str, what: &str) -> Exit {
    let known = || OPERATORS.iter().filter(|spec| kinds.contains(&spec.kind()));
    let pages: Vec<_> =
        known().filter(|spec| spec.name() == name).map(|spec| rde_config::operator_text(*spec)).collect();
    if !pages.is_empty() {
        return result(&pages.join("\n"));
    }
    if let Some(kind) = kinds.iter().find(|kind| rde_config::is_later_kind(**kind, name)) {
        note(&format!(
            "error[{}]: {}: the {} `{name}`\n  help: `rde docs` lists what this version has\n",
            LATER_STAGE.id,
            LATER_STAGE.title,
            kind.as_str()
        ));
        return Exit::Usage;
    }
    let mut words: Vec<_> = known().map(|spec| spec.name()).collect();
    if kinds.len() > 1 {
        words.extend(KINDS);
        words.sort_unstable();
        words.dedup();
    }
    unknown(what, name, &words)
}

fn kind_of(word: &str) -> Option<Kind> {
    match word {
        "source" | "sources" => Some(Kind::Source),
        "transform" | "transforms" => Some(Kind::Transform),
        "sink" | "sinks" => Some(Kind::Sink),
        _ => None,
    }
}

/// Prints the long text of a code.
pub(super) fn explain(code: &str, _style: &Style) -> Exit {
    let upper = code.to_ascii_uppercase();
    let wanted = format!("RDE{:0>4}", upper.strip_prefix("RDE").unwrap_or(&upper));
    match codes().into_iter().find(|code| code.id == wanted) {
        Some(code) => result(&format!("{}: {}\n\n{}\n", code.id, code.title, code.text)),
        None => {
            note(&format!(
                "error: there is no code `{code}`\n  help: codes look like RDE0104, or 104 for short; they stand in brackets behind `error`\n"
            ));
            Exit::Usage
        }
    }
}

fn unknown(what: &str, word: &str, known: &[&str]) -> Exit {
    let near = rde_config::nearest(word, known.iter().copied());
    let meant = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    note(&format!("error: unknown {what} `{word}`\n  help: {meant}known: {}\n", known.join(", ")));
    Exit::Usage
}
