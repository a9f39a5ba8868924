//! `cargo xtask quickstart`: the main job on real flights, from nothing to a result one can look at.

use std::path::Path;
use std::process::Command;

use crate::process::{Outcome, build_rde, root, run as run_command};
use crate::{python, test};

const PIPELINE: &str = "configs/quickstart.yaml";
const ANSWER: &str = "out/quickstart/delays";

/// Reads the plugin's and the query's rules from the CSV files alone, in another engine, and compares every row.
const CHECK: &str = include_str!("quickstart_check.py");

/// Entry of the job.
pub fn run() -> Outcome {
    test::build_plugins()?;
    let rde = build_rde()?;
    println!(
        "\nA year of flights (CSV) -> plugin `flight-score` -> SQL -> Parquet; rows that fail go to out/quickstart/rejects.\n"
    );
    run_command(Command::new(&rde).args(["run", PIPELINE, "--report", "out/quickstart/report.json"]))?;
    show()?;
    println!("\nThe pipeline is {PIPELINE}; change it and run `{} run {PIPELINE}` again.", rde.display());
    println!(
        "Read the table with another tool, for example: duckdb -c \"SELECT * FROM '{ANSWER}/*/*.parquet' LIMIT 5\""
    );
    Ok(())
}

fn show() -> Outcome {
    let Some(python) = python::duckdb_if_there() else {
        println!("DuckDB cannot be imported here, so the answer was not compared (`cargo xtask test` installs it).");
        return list(&root().join(ANSWER));
    };
    run_command(Command::new(python).args(["-c", CHECK]))
}

fn list(folder: &Path) -> Outcome {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("cannot read `{}`: {error}", folder.display()))?;
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            list(&path)?;
            continue;
        }
        let length = entry.metadata().map(|metadata| metadata.len()).unwrap_or_default();
        println!("{length:>10} bytes  {}", path.display());
    }
    Ok(())
}
