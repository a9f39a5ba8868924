//! Golden pipelines: each folder of `tests/pipelines` runs whole, in 1-row batches and in random cuts, with the same answer.
//!
//! A case has `pipeline.yaml`, its inputs, and `expected.txt`: for every output of the pipeline a heading and its rows,
//! sorted unless the case is named `ordered_…`. `UPDATE=1` writes the expected text; it is reviewed like code.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{copy_folder, duckdb, files_below, root, run_pipeline};

#[test]
fn every_golden_pipeline_gives_its_answer_however_batches_are_cut() {
    let mut failures = Vec::new();
    for case in cases() {
        let name = case.file_name().expect("a case has a name").to_string_lossy().into_owned();
        let expected = std::fs::read_to_string(case.join("expected.txt")).unwrap_or_default();
        for (cut, sets) in cuts(&name) {
            let answer = answer(&case, &name, &sets);
            if std::env::var_os("UPDATE").is_some() && cut == "whole" {
                std::fs::write(case.join("expected.txt"), &answer).expect("the case can be written");
            } else if answer != expected {
                failures.push(format!("{name}, {cut} {sets:?}:\n--- expected\n{expected}\n--- got\n{answer}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} differ\n{}", failures.len(), failures.join("\n"));
}

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("tests/pipelines")).expect("there are cases");
    let mut cases: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    cases.retain(|path| path.join("pipeline.yaml").exists());
    cases.sort();
    assert!(cases.len() >= 12, "only {} cases", cases.len());
    cases
}

/// Whole, one row at a time, and cuts drawn from a seed that the name of the case gives.
fn cuts(name: &str) -> Vec<(&'static str, Vec<String>)> {
    let seed = name.bytes().fold(7u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut cuts = vec![
        ("whole", Vec::new()),
        ("one row", vec!["settings.batch_rows_max=1".to_owned(), "settings.coalesce=false".to_owned()]),
    ];
    for _ in 0..2 {
        let sets = vec![
            format!("settings.batch_rows_max={}", random.usize(2..40)),
            format!("settings.batch_bytes_max={}B", random.usize(64..4096)),
            format!("settings.channel_bytes_max={}B", random.usize(256..8192)),
            format!("settings.coalesce={}", random.bool()),
        ];
        cuts.push(("random", sets));
    }
    cuts
}

fn answer(case: &Path, name: &str, sets: &[String]) -> String {
    let temp = tempfile::tempdir().expect("there is room for a case");
    copy_folder(case, temp.path());
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    let report = run_pipeline(temp.path(), "pipeline.yaml", &sets);
    let mut text = counts(&report);
    let mut outputs: Vec<String> =
        files_below(&temp.path().join("out")).into_iter().filter(|path| !path.contains("/.")).collect();
    // Names of files carry the run; what counts is the folder and the format.
    for path in &mut outputs {
        let extension = path.rsplit('.').next().unwrap_or_default().to_owned();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        *path = if folder.is_empty() { path.clone() } else { format!("{folder}/*.{extension}") };
    }
    outputs.dedup();
    for output in outputs {
        let _infallible = writeln!(text, "== {output}");
        for row in rows(&temp.path().join("out").join(&output), name) {
            let _infallible = writeln!(text, "{row}");
        }
    }
    text
}

/// Rows through every operator; batches and times differ from cut to cut, rows must not.
fn counts(report: &Value) -> String {
    let mut text = String::new();
    for operator in report["operators"].as_array().expect("a report lists operators") {
        let fields =
            ["rows_read", "rows_in", "rows_out", "rows_filtered", "rows_rejected", "rows_skipped", "rows_committed"];
        let counts: Vec<String> = fields
            .iter()
            .filter(|field| operator[**field].as_u64().unwrap_or_default() > 0)
            .map(|field| format!("{field}={}", operator[*field]))
            .collect();
        let _infallible = writeln!(text, "{} {}", operator["id"].as_str().unwrap_or_default(), counts.join(" "));
    }
    text
}

fn rows(pattern: &Path, name: &str) -> Vec<String> {
    let shown = pattern.display().to_string();
    if shown.ends_with(".parquet") {
        // Times of error rows differ from run to run.
        let query = format!(
            "SELECT COLUMNS(c -> c NOT IN ('time', 'filename')) FROM read_parquet('{shown}', hive_partitioning = false)"
        );
        let mut lines = vec![format!("-- {}", columns(&shown))];
        lines.extend(duckdb(&query));
        return lines;
    }
    let folder = pattern.parent().expect("an output lies in a folder");
    let extension = pattern.extension().map(|extension| extension.to_string_lossy().into_owned()).unwrap_or_default();
    let mut lines = Vec::new();
    for file in files_below(folder).into_iter().filter(|file| !file.contains('/') && file.ends_with(&extension)) {
        let text = std::fs::read_to_string(folder.join(file)).expect("an output is UTF-8");
        lines.extend(text.lines().map(comparable));
    }
    if extension == "csv" {
        // One header for all files.
        let header = lines.first().cloned().unwrap_or_default();
        let mut seen = false;
        lines.retain(|line| *line != header || !std::mem::replace(&mut seen, true));
    }
    if !name.starts_with("ordered_") {
        let start = usize::from(extension == "csv" && !lines.is_empty());
        lines[start..].sort();
    }
    lines
}

fn columns(pattern: &str) -> String {
    let query = format!(
        "SELECT string_agg(column_name || ' ' || column_type, ', ') FROM (DESCRIBE SELECT * FROM read_parquet('{pattern}', hive_partitioning = false))"
    );
    duckdb(&query).join(" ")
}

/// The row in the detail of an error row.
fn failed_row(detail: &Value) -> Option<Value> {
    let mut detail: Value = serde_json::from_str(detail.as_str()?).expect("a detail is JSON");
    detail.get_mut("row").map(Value::take)
}

/// Cuts out of an error row in JSON what differs from run to run (its time), from cut to cut (the number of the batch) and
/// from compiler to compiler (the plugin's hash).
fn comparable(line: &str) -> String {
    match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut row)) if row.contains_key("attempt") => {
            row.remove("time");
            let failed = row.remove("detail").and_then(|detail| failed_row(&detail));
            row.extend(failed.map(|failed| ("row".to_owned(), failed)));
            if let Some(Value::String(plugin)) = row.get_mut("plugin") {
                plugin.truncate("sha256:".len());
            }
            Value::Object(row).to_string()
        }
        _ => line.to_owned(),
    }
}
