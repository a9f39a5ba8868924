//! A Python with the packages that tests and benchmarks compare with, kept outside the checkout.

use std::path::PathBuf;
use std::process::Command;

use crate::process::{Outcome, cache, run};

/// What the tests compare with.
pub const TESTS: &[&str] = &["duckdb==1.5.5", "pytz"];
/// What the benchmarks compare with, beside the tests' packages.
pub const BENCHES: &[&str] = &["duckdb==1.5.5", "polars==2.1.0", "datafusion==55.0.0", "pyarrow"];

/// Returns a Python interpreter that can import `packages`, installing them where they are missing.
pub fn with(name: &str, packages: &[&str]) -> Outcome<PathBuf> {
    let folder = cache().join(format!("python-{name}"));
    let python = folder.join("bin/python3");
    let marker = folder.join("installed");
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) && python.exists() {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages))?;
    std::fs::write(&marker, wanted).map_err(|error| format!("cannot write `{}`: {error}", marker.display()))?;
    Ok(python)
}

/// Returns an interpreter that can import DuckDB already, without installing anything.
pub fn duckdb_if_there() -> Option<PathBuf> {
    let candidates = [cache().join("python-tests/bin/python3"), PathBuf::from("python3")];
    let can_import = |python: &PathBuf| {
        let probe = Command::new(python).args(["-c", "import duckdb"]).output();
        probe.is_ok_and(|output| output.status.success())
    };
    candidates.into_iter().find(can_import)
}
