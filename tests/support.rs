//! What the tests of the whole product share: temporary folders, the binary, DuckDB.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Returns the root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns a command that starts the product, with an environment of its own.
pub fn rde() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rde"));
    command.env_remove("RDE_LOG").env("NO_COLOR", "1").env("RDE_PLUGINS", root().join("out/plugins"));
    command
}

/// A finished process.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs the product to its end.
pub fn run(folder: &Path, args: &[&str]) -> Ran {
    rde().current_dir(folder).args(args).output().expect("the binary starts").into()
}

/// Runs a pipeline file in its folder, expects success, and returns the report.
pub fn run_pipeline(folder: &Path, file: &str, sets: &[&str]) -> Value {
    let mut args = vec!["run", file, "--report", "report.json"];
    for set in sets {
        args.extend(["--set", set]);
    }
    let ran = run(folder, &args);
    assert_eq!(ran.code, Some(0), "{file} {sets:?}\n{}\n{}", ran.stdout, ran.stderr);
    report(folder)
}

/// Reads the report a run wrote.
pub fn report(folder: &Path) -> Value {
    let text = std::fs::read_to_string(folder.join("report.json")).expect("the run wrote a report");
    serde_json::from_str(&text).expect("a report is JSON")
}

/// Runs a Python script that can import DuckDB; arguments follow as `sys.argv[1:]`. Returns what it printed.
pub fn python(script: &str, args: &[&str]) -> String {
    let python = std::env::var_os("RDE_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let output = Command::new(&python).arg("-c").arg(script).args(args).output().expect("python starts");
    let ran = Ran::from(output);
    assert_eq!(
        ran.code,
        Some(0),
        "{} failed (run `cargo xtask test`, which installs DuckDB):\n{}",
        python.display(),
        ran.stderr
    );
    ran.stdout
}

/// Returns the rows of a DuckDB query as sorted lines of JSON.
pub fn duckdb(query: &str) -> Vec<String> {
    const SCRIPT: &str = "
import duckdb, json, sys
duckdb.sql(\"SET enable_progress_bar = false; SET TimeZone = 'UTC'\")
for row in duckdb.sql(sys.argv[1]).fetchall():
    print(json.dumps([value if isinstance(value, (int, float, str, bool, type(None))) else str(value) for value in row]))
";
    let mut lines: Vec<String> = python(SCRIPT, &[query]).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Writes a file, with its folder.
pub fn write(path: &Path, content: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder can be made");
    std::fs::write(path, content).expect("the file can be written");
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the folder can be made");
    for entry in std::fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("the file can be copied");
        }
    }
}

/// Returns every file below a folder, hidden ones too, sorted, relative to it.
pub fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else { continue };
        for entry in entries.filter_map(Result::ok) {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                let relative = path.strip_prefix(folder).expect("the walk stays below its root");
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
