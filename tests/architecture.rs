//! The path of a batch in ARCHITECTURE.md is true: each file exists, each function is in it, and a real batch passes them in
//! that order.

use serde_json::Value;

use crate::support::{rde, root, write};

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
    let mut command = rde();
    command.current_dir(temp.path()).env("RDE_LOG", "rde::path=trace");
    let ran = command.args(["run", "path.yaml", "--log-format", "json"]).output().expect("the binary starts");
    let log = String::from_utf8(ran.stderr).expect("logs are UTF-8");
    assert!(ran.status.success(), "{log}");
    let seen: Vec<String> = log.lines().filter_map(function).collect();
    let mut rest = seen.iter();
    for Step { function, .. } in steps() {
        assert!(rest.any(|name| *name == function), "`{function}` does not follow: the trace is {seen:?}");
    }
}

/// Returns the name of the function that a line of the log says a message passed.
fn function(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["target"] == "rde::path").then(|| line["message"].as_str().unwrap_or_default().to_owned())
}
