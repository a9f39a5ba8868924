//! The path of a batch in ARCHITECTURE.md is true: each file exists, each function is in it, and a real batch passes them in
//! that order.

use std::sync::{Arc, Mutex};

use rde::core::ProbeMode;
use rde::runtime::Threads;
use rde::{PipelineEngine, RunControl};

use crate::support::{root, write};

/// A step of the path: `` `file` `function` ``.
struct Step {
    file: String,
    function: String,
}

fn steps() -> Vec<Step> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md can be read");
    let section = text.split("## The path of a batch").nth(1).expect("ARCHITECTURE.md has the path of a batch");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut steps = Vec::new();
    for line in section.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit())) {
        let ticks: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        assert!(ticks.len() >= 2, "a step names a file and a function: {line}");
        steps.push(Step { file: ticks[0].to_owned(), function: ticks[1].trim_end_matches("()").to_owned() });
    }
    steps
}

#[test]
fn the_path_of_a_batch_names_files_and_functions_that_exist() {
    let steps = steps();
    assert!(steps.len() >= 8, "the path has {} steps", steps.len());
    for Step { file, function } in steps {
        let text = std::fs::read_to_string(root().join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let name = function.rsplit("::").next().unwrap_or(&function);
        assert!(text.contains(&format!("fn {name}")), "`{function}` is not in {file}");
    }
}

#[test]
fn a_batch_passes_the_functions_of_the_path_in_their_order() {
    let temp = tempfile::tempdir().expect("there is room");
    write(&temp.path().join("in.csv"), "a,b\n1,x\n2,y\n3,z\n");
    let pipeline = "
name: path
sources: [{ id: rows, csv: { path: in.csv } }]
transforms: [{ id: query, sql: { query: \"SELECT a * 2 AS twice, b FROM rows WHERE a > 1\" } }]
sinks: [{ id: table, parquet: { path: out } }]
edges: [[rows, query], [query, table]]
";
    write(&temp.path().join("path.yaml"), pipeline);
    let seen = traced(&temp.path().join("path.yaml"));
    // Steps that the engine takes carry a trace; those of operators lie between them and are covered by the file check.
    let documented: Vec<String> =
        steps().into_iter().map(|step| step.function).filter(|name| seen.contains(name)).collect();
    assert!(documented.len() >= 5, "the trace has {seen:?}");
    let mut rest = seen.iter();
    for function in &documented {
        assert!(rest.any(|name| name == function), "`{function}` comes out of order: the trace is {seen:?}");
    }
}

/// Returns the names of the functions that a batch passed, in order of first passing.
fn traced(path: &std::path::Path) -> Vec<String> {
    let threads = Threads::seeded(1).expect("threads start");
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let hook = seen.clone();
    let report = threads.block_on(async {
        let prepared = rde::pipeline::prepare(path, &[], ProbeMode::Run, threads.runtime()).await;
        assert!(
            prepared.faults.is_empty(),
            "{:?}",
            prepared.faults.iter().map(|fault| &fault.message).collect::<Vec<_>>()
        );
        let engine = PipelineEngine::new(threads.runtime()).trace(Arc::new(move |event: &rde::TraceEvent| {
            let mut seen = hook.lock().expect("no test panics while it holds the lock");
            seen.push(event.function.to_owned());
        }));
        engine.run(prepared.pipeline.expect("the pipeline binds"), RunControl::new()).await
    });
    assert!(report.error.is_none(), "{:?}", report.error);
    threads.stop();
    let seen = seen.lock().expect("the run is over");
    seen.clone()
}
