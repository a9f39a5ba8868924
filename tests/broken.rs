//! Every fault of a file is reported at once, each at its place, and nothing else.
//!
//! `tests/broken/<name>.yaml` has faults of several phases; `<name>.expected`, written by hand, lists them as code:line:column.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{root, run};

#[test]
fn every_fault_of_a_broken_file_is_reported_and_nothing_else() {
    let folder = root().join("tests/broken");
    let entries = std::fs::read_dir(&folder).expect("there are broken files");
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() >= 12, "{names:?}");
    let failures: Vec<String> = names.iter().filter_map(|name| check(&folder, name)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn check(folder: &std::path::Path, name: &str) -> Option<String> {
    let expected =
        std::fs::read_to_string(folder.join(format!("{name}.expected"))).expect("a list stands beside the file");
    let expected: BTreeSet<String> = expected.lines().map(str::to_owned).collect();
    assert!(expected.len() >= 3, "{name} has at least three faults");
    let ran = run(folder, &["validate", "--format", "json", &format!("{name}.yaml")]);
    assert_eq!(ran.code, Some(2), "{name}: {}", ran.stderr);
    let found: Vec<Value> = serde_json::from_str(&ran.stdout).expect("the list is JSON");
    let place =
        |fault: &Value| format!("{}:{}:{}", fault["code"].as_str().unwrap_or_default(), fault["line"], fault["column"]);
    let places: BTreeSet<String> = found.iter().map(place).collect();
    if places == expected && found.len() == expected.len() {
        return None;
    }
    let missing: Vec<_> = expected.difference(&places).collect();
    let more: Vec<_> = places.difference(&expected).collect();
    Some(format!("{name}: missing {missing:?}, too many {more:?}\n{}", ran.stdout))
}
