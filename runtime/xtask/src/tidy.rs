//! What no compiler checks: headers, sizes, TODOs, and which crate may depend on which.
//!
//! The same checks run as tests of this crate, so `cargo test` finds what `cargo xtask tidy` would.

use std::process::Command;

use serde_json::Value;

use crate::process::{Outcome, output, root};

const LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// For each of our crates, those of ours it may name.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("rde-checkpoint", &[]),
    ("rde-core", &["rde-checkpoint"]),
    ("rde-config", &["rde-core"]),
    ("rde-engine", &["rde-checkpoint", "rde-core", "rde-ipc"]),
    ("rde-files", &["rde-core"]),
    ("rde-sql", &["rde-core"]),
    ("rde-wasm", &["rde-core", "rde-ipc"]),
    ("rde-ipc", &[]),
    ("rde-sdk", &["rde-ipc"]),
    ("rde-testkit", &["rde-checkpoint", "rde-core", "rde-engine"]),
    ("rde-embedding-test", &["rde"]),
    ("rde", &["rde-checkpoint", "rde-core", "rde-config", "rde-engine", "rde-files", "rde-ipc", "rde-sql", "rde-wasm"]),
];

/// Tools and guests, which may name whatever they need.
const FREE: &[&str] = &["xtask", "rde-benches"];

/// A heavy dependency is named by one crate only.
const HEAVY: &[(&str, &str)] = &[("datafusion", "rde-sql"), ("wasmtime", "rde-wasm"), ("arrow-ipc", "rde-ipc")];

/// Entry of the job.
pub fn run() -> Outcome {
    let mut faults = Vec::new();
    for path in sources()? {
        let text =
            std::fs::read_to_string(root().join(&path)).map_err(|error| format!("cannot read `{path}`: {error}"))?;
        check_file(&path, &text, &mut faults);
    }
    let metadata = output(Command::new("cargo").args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata = serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata gave no JSON: {error}"))?;
    check_directions(&metadata, &mut faults);
    if faults.is_empty() { Ok(()) } else { Err(format!("not tidy:\n  {}", faults.join("\n  "))) }
}

fn sources() -> Outcome<Vec<String>> {
    let list = output(Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"]))?;
    Ok(list.lines().filter(|path| root().join(path).exists()).map(str::to_owned).collect())
}

fn check_file(path: &str, text: &str, faults: &mut Vec<String>) {
    if !text.starts_with("//!") {
        faults.push(format!("{path}:1: a file opens with `//!`: what it does, where it stands, its invariant"));
    }
    let is_test = path.ends_with("tests.rs") || path.starts_with("tests/") || path.contains("/tests/");
    let production = text.lines().take_while(|line| *line != "#[cfg(test)]" || is_test).count();
    if production > LINES_MAX && !is_test {
        faults.push(format!("{path}: {production} production lines, at most {LINES_MAX}"));
    }
    for (index, line) in text.lines().enumerate() {
        for word in ["TODO", "FIXME"] {
            let bare = format!("{word}(#");
            if line.contains(&format!("// {word}")) && !line.contains(&bare) {
                faults.push(format!("{path}:{}: a {word} carries an issue number: `{word}(#12)`", index + 1));
            }
        }
    }
    // Tables of cases are long; clippy holds the rest of the tests to the same bound.
    if !is_test {
        check_functions(path, text, faults);
    }
}

/// Measures functions of rustfmt'ed code: from the line with `fn` to the closing brace at the same indentation.
fn check_functions(path: &str, text: &str, faults: &mut Vec<String>) {
    let mut open: Option<(usize, usize)> = None;
    for (index, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let starts = line.trim_start().split("fn ").next().is_some_and(is_function_prefix) && line.contains("fn ");
        if open.is_none() && starts && !line.trim_end().ends_with(';') {
            open = Some((index, indent));
        }
        let Some((start, at)) = open else { continue };
        if indent == at
            && (line.trim() == "}" || line.trim_end().ends_with(");") || line.trim_end().ends_with("}"))
            && index > start
        {
            let length = index - start + 1;
            if length > FUNCTION_LINES_MAX {
                faults
                    .push(format!("{path}:{}: a function of {length} lines, at most {FUNCTION_LINES_MAX}", start + 1));
            }
            open = None;
        } else if index == start && line.trim_end().ends_with('}') {
            open = None;
        }
    }
}

fn is_function_prefix(prefix: &str) -> bool {
    prefix
        .split_whitespace()
        .all(|word| ["pub", "const", "async", "unsafe", "extern", "\"C\""].contains(&word) || word.starts_with("pub("))
}

fn check_directions(metadata: &Value, faults: &mut Vec<String>) {
    let packages = metadata["packages"].as_array().expect("cargo metadata lists packages");
    let ours: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in packages {
        let name = package["name"].as_str().expect("a package has a name");
        let dependencies = package["dependencies"].as_array().expect("a package lists its dependencies");
        if !FREE.contains(&name) && !DIRECTIONS.iter().any(|(known, _)| *known == name) {
            faults.push(format!(
                "`{name}` has no line in DIRECTIONS (runtime/xtask/src/tidy.rs), which says what it may name"
            ));
        }
        let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
        for dependency in normal.filter_map(|dependency| dependency["name"].as_str()) {
            let allowed = DIRECTIONS.iter().find(|(crate_name, _)| *crate_name == name);
            if let Some((_, allowed)) = allowed
                && ours.contains(&dependency)
                && !allowed.contains(&dependency)
            {
                faults.push(format!(
                    "`{name}` must not depend on `{dependency}` (DIRECTIONS in runtime/xtask/src/tidy.rs)"
                ));
            }
            if let Some((heavy, owner)) = HEAVY.iter().find(|(heavy, owner)| *heavy == dependency && *owner != name) {
                faults.push(format!("`{heavy}` is named by `{name}`; only `{owner}` may"));
            }
        }
    }
}

/// Returns whether a path is inside the repository; used by tests that read documents.
#[cfg(test)]
fn exists(path: &str) -> bool {
    root().join(path).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        run().expect("the tree is tidy");
    }

    #[test]
    fn a_file_without_header_and_with_a_bare_todo_is_refused() {
        let mut faults = Vec::new();
        check_file("x.rs", &format!("fn a() {{}}\n// TO{} later\n", "DO"), &mut faults);
        assert_eq!(faults.len(), 2, "{faults:?}");
    }

    #[test]
    fn long_functions_and_files_are_refused() {
        let long = format!("//! x\nfn a() {{\n{}}}\n", "    b();\n".repeat(69));
        let mut faults = Vec::new();
        check_file("x.rs", &long, &mut faults);
        assert_eq!(faults.len(), 1, "{faults:?}");
        let mut faults = Vec::new();
        check_file("x.rs", &format!("//! x\n{}", "const A: u8 = 1;\n".repeat(600)), &mut faults);
        assert_eq!(faults.len(), 1, "{faults:?}");
    }

    #[test]
    fn a_second_owner_a_wrong_direction_and_an_unknown_crate_are_refused() {
        let metadata = serde_json::json!({ "packages": [
            { "name": "rde-core", "dependencies": [{ "name": "datafusion", "kind": null }, { "name": "rde-engine", "kind": null }] },
            { "name": "rde-engine", "dependencies": [] },
            { "name": "rde-new", "dependencies": [] },
        ] });
        let mut faults = Vec::new();
        check_directions(&metadata, &mut faults);
        assert_eq!(faults.len(), 3, "{faults:?}");
    }

    #[test]
    fn the_top_level_holds_what_the_layout_names() {
        for name in ["runtime", "wit", "plugins", "sdk", "configs", "tests", "benches", "README.md", "ARCHITECTURE.md"]
        {
            assert!(exists(name), "{name} is missing");
        }
    }
}
