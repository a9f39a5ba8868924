//! Bad input: every row of one table ends in a clear error that names the place and the remedy, with nothing lost.
//!
//! A row says how its folder is made, how the product is started, the exit code, the error code, the place, and what may be
//! visible afterwards. The text is a snapshot in `tests/bad_input/<name>.txt` (`UPDATE=1` writes it; read the diff).
//! Guarantees of every row: no panic, resident memory below 500 MiB, under 10 s.

mod config_rows;
mod file_rows;
mod plugin_rows;
mod world_rows;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Ran, files_below, rde, root, write};

/// What must be true of a row.
pub struct Row {
    /// Name, and name of the snapshot.
    pub name: &'static str,
    /// Makes the folder; returns the command to run in it.
    pub prepare: fn(&Path) -> Command,
    /// Exit code.
    pub exit: i32,
    /// Code in the text; empty where the run is good.
    pub code: &'static str,
    /// Text that names the place: `file:line:column`, or a file, row or column.
    pub place: &'static str,
    /// Number of files visible below `out` afterwards.
    pub visible: usize,
}

const MEMORY_MAX: u64 = 500 << 20;
/// A row that hangs is stopped; one that takes longer than the guarantee fails.
const TIME_MAX: Duration = Duration::from_secs(10);

#[test]
fn bad_input_is_a_clear_error_with_a_place_and_a_remedy() {
    let mut failures = Vec::new();
    let rows: Vec<Row> = [config_rows::rows(), file_rows::rows(), plugin_rows::rows(), world_rows::rows()]
        .into_iter()
        .flatten()
        .collect();
    for row in &rows {
        failures.extend(check(row).into_iter().map(|failure| format!("{}: {failure}", row.name)));
    }
    assert!(failures.is_empty(), "{} of {} rows\n{}", failures.len(), rows.len(), failures.join("\n"));
}

fn check(row: &Row) -> Vec<String> {
    let temp = tempfile::tempdir().expect("there is room for a row");
    let folder = temp.path();
    let mut command = (row.prepare)(folder);
    let started = Instant::now();
    let (ran, peak) = run_measured(&mut command);
    let took = started.elapsed();
    let text = normalised(&ran.stderr, folder);
    let mut failures = Vec::new();
    let mut expect = |holds: bool, what: String| {
        if !holds {
            failures.push(what);
        }
    };
    expect(ran.code == Some(row.exit), format!("exit {:?}, expected {}\n{text}", ran.code, row.exit));
    expect(row.code.is_empty() || text.contains(&format!("[{}", row.code)), format!("no {} in\n{text}", row.code));
    expect(text.contains(row.place), format!("no place `{}` in\n{text}", row.place));
    expect(row.exit == 0 || text.contains("help:"), format!("no help in\n{text}"));
    expect(!text.contains("panicked"), format!("a panic\n{text}"));
    expect(peak < MEMORY_MAX, format!("{} MiB resident", peak >> 20));
    expect(took < TIME_MAX, format!("took {took:?}"));
    let visible: Vec<String> = files_below(&folder.join("out"))
        .into_iter()
        .filter(|path| !path.split('/').any(|part| part.starts_with('.')))
        .collect();
    expect(visible.len() == row.visible, format!("visible: {visible:?}, expected {}", row.visible));
    let staged: Vec<String> = files_below(folder).into_iter().filter(|path| path.ends_with(".staged")).collect();
    expect(staged.is_empty(), format!("left: {staged:?}"));
    failures.extend(snapshot(row.name, &text));
    failures
}

/// Runs a command to its end; returns the peak of its resident memory, read while it runs.
fn run_measured(command: &mut Command) -> (Ran, u64) {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let (mut stdout, mut stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let out = std::thread::spawn(move || read_all(&mut stdout));
    let err = std::thread::spawn(move || read_all(&mut stderr));
    let started = Instant::now();
    let code = loop {
        peak = peak.max(resident_peak(&status));
        if let Some(status) = child.try_wait().expect("the child can be asked") {
            break status.code();
        }
        if started.elapsed() > TIME_MAX * 4 {
            drop(child.kill());
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let stdout = out.join().expect("the reader ends");
    let stderr = err.join().expect("the reader ends");
    (Ran { code, stdout, stderr }, peak)
}

fn read_all(from: &mut impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).expect("the pipe can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn resident_peak(status: &str) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default()
        << 10
}

/// Takes out what differs from run to run: the folder, random names, addresses.
fn normalised(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.display().to_string(), "FOLDER").replace(&root().display().to_string(), "ROOT");
    let mut shown = String::with_capacity(text.len());
    let mut word = String::new();
    let close = |word: &mut String, shown: &mut String| {
        let hex = word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        shown.push_str(if hex { "INCARNATION" } else { word });
        word.clear();
    };
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            word.push(letter);
        } else {
            close(&mut word, &mut shown);
            shown.push(letter);
        }
    }
    close(&mut word, &mut shown);
    shown
}

fn snapshot(name: &str, text: &str) -> Option<String> {
    let path = root().join("tests/bad_input").join(format!("{name}.txt"));
    // Summaries of good runs name their duration, and how far a run came that was told to stop.
    let summary = [" completed in ", " drained in ", " (source.", " (sink.", " (transform."];
    let kept = text.lines().filter(|line| !summary.iter().any(|part| line.contains(part)));
    let text: String = kept.fold(String::new(), |all, line| all + line + "\n");
    if std::env::var_os("UPDATE").is_some() {
        write(&path, &text);
        return None;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    (kept != text).then(|| format!("the text changed (UPDATE=1 writes it):\n--- kept\n{kept}\n--- now\n{text}"))
}

/// Returns `rde run pipeline.yaml` in a folder.
pub fn run_in(folder: &Path) -> Command {
    let mut command = rde();
    command.current_dir(folder).args(["run", "pipeline.yaml"]);
    command
}

/// Writes a pipeline that reads `source` (the value below `csv:`) into `out/` as Parquet, and returns its run.
pub fn csv_run(folder: &Path, source: &str) -> Command {
    let text = format!(
        "name: bad\nsources:\n  - id: rows\n    csv: {source}\nsinks:\n  - id: table\n    parquet: {{ path: out/table }}\nedges:\n  - [rows, table]\n"
    );
    write(&folder.join("pipeline.yaml"), text);
    run_in(folder)
}

/// As [`csv_run`], with bad rows sent to `out/errors` as JSON.
pub fn csv_run_with_errors(folder: &Path, source: &str) -> Command {
    let text = format!(
        "name: bad\nsources:\n  - id: rows\n    csv: {source}\nsinks:\n  - id: table\n    parquet: {{ path: out/table }}\n  - id: errors\n    json: {{ path: out/errors }}\nedges:\n  - [rows, table]\n  - [rows.errors, errors]\n"
    );
    write(&folder.join("pipeline.yaml"), text);
    run_in(folder)
}
