//! `cargo xtask bench`: ratios against baselines that run beside us; benches/README.md says how to read them.

use std::process::Command;

use crate::process::{Outcome, cargo, output, root, run as run_command, target};
use crate::{python, test};

/// Entry of the job; `--long` takes the time that figures for publishing need.
pub fn run(args: &[String]) -> Outcome {
    test::build_plugins()?;
    cargo(&["build", "--release", "--workspace", "--bins"])?;
    let python = python::with("bench", python::BENCHES)?;
    let release = target().join("release");
    println!("\n# The plugin hop");
    run_command(Command::new(release.join("boundary")).args(args).env("RDE_PLUGINS", root().join("out/plugins")))?;
    println!("\n# Start, long chains, idle");
    run_command(Command::new(&python).arg("benches/end_to_end.py").arg(release.join("rde")).args(args))?;
    println!("\n# CSV -> SQL -> Parquet");
    run_command(Command::new(&python).arg("benches/pipelines.py").arg(release.join("rde")).args(args))?;
    println!("\nmachine: {}", machine());
    Ok(())
}

fn machine() -> String {
    let model = output(Command::new("sh").args(["-c", "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2; nproc"]));
    model.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_else(|_| "unknown".to_owned())
}
