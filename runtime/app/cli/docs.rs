//! `rde schema`, `rde docs`, `rde explain`: printed from the same definitions as the parser.

use rde_core::{Kind, LATER_STAGE};

use super::DocsArgs;
use super::output::{Exit, Style, note, result};
use crate::registry::{OPERATORS, codes};

/// Prints the JSON Schema of the configuration.
pub(super) fn schema() -> Exit {
    let schema = rde_config::pipeline_schema(OPERATORS);
    let text = serde_json::to_string_pretty(&schema).expect("a JSON value can be written");
    result(&format!("{text}\n"))
}

/// Prints the reference: all, one kind, or one operator.
pub(super) fn docs(args: &DocsArgs, _style: &Style) -> Exit {
    if args.markdown {
        return result(&rde_config::reference_markdown(OPERATORS, &codes()));
    }
    let kind = match args.kind.as_deref() {
        None => return result(&rde_config::kinds_text(OPERATORS, None)),
        Some("source" | "sources") => Kind::Source,
        Some("transform" | "transforms") => Kind::Transform,
        Some("sink" | "sinks") => Kind::Sink,
        Some(other) => return unknown("kind of operator", other, &["source", "transform", "sink"]),
    };
    let Some(name) = args.name.as_deref() else { return result(&rde_config::kinds_text(OPERATORS, Some(kind))) };
    match OPERATORS.iter().find(|spec| spec.kind() == kind && spec.name() == name) {
        Some(spec) => result(&rde_config::operator_text(*spec)),
        None if rde_config::is_later_kind(kind, name) => {
            note(&format!(
                "error[{}]: {}: the {} `{name}`\n  help: `rde docs` lists what this version has\n",
                LATER_STAGE.id,
                LATER_STAGE.title,
                kind.as_str()
            ));
            Exit::Usage
        }
        None => {
            let names: Vec<_> = OPERATORS.iter().filter(|spec| spec.kind() == kind).map(|spec| spec.name()).collect();
            unknown(kind.as_str(), name, &names)
        }
    }
}

/// Prints the long text of a code.
pub(super) fn explain(code: &str, _style: &Style) -> Exit {
    let wanted = code.to_ascii_uppercase();
    let wanted = if wanted.starts_with("RDE") { wanted } else { format!("RDE{wanted}") };
    match codes().into_iter().find(|code| code.id == wanted) {
        Some(code) => result(&format!("{}: {}\n\n{}\n", code.id, code.title, code.text)),
        None => {
            note(&format!(
                "error: there is no code `{code}`\n  help: codes look like RDE0104; they stand in brackets behind `error`\n"
            ));
            Exit::Usage
        }
    }
}

fn unknown(what: &str, word: &str, known: &[&str]) -> Exit {
    note(&format!("error: unknown {what} `{word}`\n  help: known: {}\n", known.join(", ")));
    Exit::Usage
}
