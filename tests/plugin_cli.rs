//! The loop of a plugin author, from an empty folder outside the repository, with the binary copied elsewhere.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Ran, root, write};

fn rde(binary: &Path, folder: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(binary);
    command.current_dir(folder).args(args).env("NO_COLOR", "1");
    // The guests of all tests share a target folder, as a person's do not.
    command.env("CARGO_TARGET_DIR", std::env::temp_dir().join("rde-test-guests"));
    command.output().expect("the copied binary starts").into()
}

#[test]
fn a_new_plugin_builds_passes_its_cases_and_can_be_measured() {
    let temp = tempfile::tempdir().expect("there is room");
    let binary = temp.path().join("bin/rde");
    std::fs::create_dir_all(temp.path().join("bin")).expect("the folder can be made");
    std::fs::copy(env!("CARGO_BIN_EXE_rde"), &binary).expect("the binary can be copied");
    let empty = temp.path().join("empty");
    std::fs::create_dir(&empty).expect("the folder can be made");

    let made = rde(&binary, &empty, &["plugin", "new", "mask-mail", "--lang", "rust"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let again = rde(&binary, &empty, &["plugin", "new", "mask-mail", "--lang", "rust"]);
    assert_eq!(again.code, Some(2), "a second one must not overwrite the first: {}", again.stderr);

    let built = rde(&binary, &empty, &["plugin", "build", "mask-mail", "-o", "mask-mail.wasm"]);
    assert_eq!(built.code, Some(0), "{}", built.stderr);

    let inspected = rde(&binary, &empty, &["plugin", "inspect", "mask-mail.wasm", "--format", "json"]);
    assert_eq!(inspected.code, Some(0), "{}", inspected.stderr);
    let found: Value = serde_json::from_str(&inspected.stdout).expect("an inspection is JSON");
    assert_eq!((found["name"].as_str(), found["world"].as_str()), (Some("mask-mail"), Some("transform")));
    for key in ["version", "api", "imports", "wants", "size", "digest"] {
        assert!(!found[key].is_null(), "{key} is missing in {found}");
    }

    let tested = rde(&binary, &empty, &["plugin", "test", "mask-mail"]);
    assert_eq!(tested.code, Some(0), "{}\n{}", tested.stdout, tested.stderr);

    let benched = rde(&binary, &empty, &["plugin", "bench", "mask-mail.wasm", "--rows", "1000", "--format", "json"]);
    assert_eq!(benched.code, Some(0), "{}", benched.stderr);
    let figures: Value = serde_json::from_str(&benched.stdout).expect("figures are JSON");
    for key in ["us_per_batch_p50", "us_per_batch_p99", "bytes_in", "bytes_out", "memory_peak_bytes", "memcpy_us"] {
        assert!(figures[key].as_f64().is_some_and(|value| value > 0.0), "{key} in {figures}");
    }

    one_changed_cell_is_found(&binary, &empty);
    it_runs_in_a_pipeline(&binary, &empty);
}

fn one_changed_cell_is_found(binary: &Path, folder: &Path) {
    let cases = folder.join("mask-mail/cases");
    let case = std::fs::read_dir(&cases)
        .expect("a new plugin has cases")
        .next()
        .expect("at least one")
        .expect("readable")
        .path();
    let expected = case.join("expected.csv");
    let text = std::fs::read_to_string(&expected).expect("a case has expected rows");
    let (header, row) = text.split_once('\n').expect("there are rows");
    write(&expected, format!("{header}\nchanged,{}", row.split_once(',').map_or("", |(_, rest)| rest)));
    let tested = rde(binary, folder, &["plugin", "test", "mask-mail"]);
    assert_eq!(tested.code, Some(4), "{}\n{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.contains("expected.csv:2"), "{}", tested.stdout);
    let updated = rde(binary, folder, &["plugin", "test", "mask-mail", "--update"]);
    assert_eq!(updated.code, Some(0), "{}\n{}", updated.stdout, updated.stderr);
    assert_eq!(std::fs::read_to_string(&expected).expect("it was written"), text);
}

fn it_runs_in_a_pipeline(binary: &Path, folder: &Path) {
    write(&folder.join("in.csv"), "id,name\n1,Ada\n2,\n");
    let pipeline = "name: mine\nsources:\n  - id: rows\n    csv: { path: in.csv }\ntransforms:\n  - id: measure\n    wasm: { plugin: mask-mail.wasm, config: { column: name } }\nsinks:\n  - id: shown\n    stdout: { format: csv }\nedges:\n  - [rows, measure]\n  - [measure, shown]\n";
    write(&folder.join("mine.yaml"), pipeline);
    let ran = rde(binary, folder, &["run", "mine.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout, "id,name,name_length\n1,Ada,3\n2,,\n");
}

/// Scenario: a measurement over rows of which the plugin refuses some, or none.
/// Guarantees: how many, of how many, and the first reason stand beside the times.
#[test]
fn a_measurement_says_how_many_rows_the_plugin_rejected() {
    let temp = tempfile::tempdir().expect("there is room");
    let binary = Path::new(env!("CARGO_BIN_EXE_rde"));
    let plugin = root().join("out/plugins/flight-score.wasm");
    let plugin = plugin.to_str().expect("the path is text");
    let header = "arr_delay,air_time,distance\n";
    write(&temp.path().join("bad.csv"), format!("{header}1,60,400\n2,1,4000\n3,0,400\n4,60,300\n"));
    write(&temp.path().join("good.csv"), format!("{header}1,60,400\n"));
    let bench = |input: &str, more: &[&str]| {
        let args = [&["plugin", "bench", plugin, "--rows", "8", "--input", input], more].concat();
        let ran = rde(binary, temp.path(), &args);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stdout
    };
    let json =
        |input: &str| serde_json::from_str::<Value>(&bench(input, &["--format", "json"])).expect("figures are JSON");
    let (bad, good) = (json("bad.csv"), json("good.csv"));
    // Four of eight rows in each of 200 calls.
    assert_eq!((bad["rows_rejected"].as_u64(), bad["first_rejected"]["code"].as_str()), (Some(800), Some("too-fast")));
    assert_eq!((good["rows_rejected"].as_u64(), good["first_rejected"].is_null()), (Some(0), true));
    let line = "the plugin rejected 800 of 1600 rows, the first with too-fast: no flight covers ground so fast\n";
    let text = bench("bad.csv", &[]);
    assert!(text.contains(line), "{text}");
    assert!(!bench("good.csv", &[]).contains("rejected"));
}

#[test]
fn later_languages_answer_by_name_and_bad_names_are_refused() {
    let temp = tempfile::tempdir().expect("there is room");
    let binary = Path::new(env!("CARGO_BIN_EXE_rde"));
    let python = rde(binary, temp.path(), &["plugin", "new", "a", "--lang", "python"]);
    assert_eq!((python.code, python.stderr.contains("RDE0900")), (Some(2), true), "{}", python.stderr);
    for name in ["../up", "Upper", "", "a b"] {
        assert_eq!(rde(binary, temp.path(), &["plugin", "new", name]).code, Some(2), "{name}");
    }
    assert!(std::fs::read_dir(temp.path()).expect("readable").next().is_none(), "nothing was made");
}
