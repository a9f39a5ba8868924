//! `rde validate`: every fault of every file, at once.

use rde_config::Diagnostic;
use rde_core::ProbeMode;

use super::output::{Exit, Style, later, note, result};
use super::{TextOrJson, ValidateArgs};
use crate::pipeline;
use crate::runtime::Threads;

/// Runs the command.
pub(super) fn run(args: &ValidateArgs, style: &Style) -> Exit {
    if args.online {
        return later("--online");
    }
    let threads = match Threads::start() {
        Ok(threads) => threads,
        Err(error) => {
            note(&format!("error: cannot start threads: {error}\n"));
            return Exit::Failed;
        }
    };
    let mut all: Vec<Diagnostic> = Vec::new();
    for path in &args.pipelines {
        let prepared = threads.block_on(pipeline::prepare(path, &args.set, ProbeMode::Look, threads.runtime()));
        if args.format == TextOrJson::Text {
            note(&prepared.places.render(&prepared.faults, style.diagnostics()));
            if prepared.faults.is_empty() {
                let unchecked = prepared.pipeline.as_ref().map(super::graph::unchecked).unwrap_or_default();
                let printed = result(&format!("{}: valid\n{unchecked}", path.display()));
                if printed != Exit::Done {
                    return printed;
                }
            }
        }
        all.extend(prepared.faults);
    }
    threads.stop();
    if args.format == TextOrJson::Json {
        let text = serde_json::to_string_pretty(&all).expect("diagnostics can be written as JSON");
        let printed = result(&format!("{text}\n"));
        if printed != Exit::Done {
            return printed;
        }
    }
    if all.is_empty() { Exit::Done } else { Exit::Usage }
}
