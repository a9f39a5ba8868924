//! `cargo xtask check`: what must hold beside the tests, each step one that a person can repeat.

use std::process::Command;

use crate::process::{Outcome, build_rde, cargo, output, root, run as run_command};
use crate::tidy;

/// Files that the product prints itself, with the arguments that print them. A test compares them too.
const GENERATED: &[(&str, &[&str])] =
    &[("configs/schema.json", &["schema"]), ("configs/REFERENCE.md", &["docs", "--markdown"])];

/// Entry of the job.
pub fn run() -> Outcome {
    cargo(&["fmt", "--all", "--check"])?;
    tidy::run()?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    dependencies()
}

/// Writes the generated files.
pub fn write_docs() -> Outcome {
    let rde = build_rde()?;
    for (path, args) in GENERATED {
        let text = output(Command::new(&rde).args(*args))?;
        std::fs::write(root().join(path), text).map_err(|error| format!("cannot write `{path}`: {error}"))?;
        println!("wrote {path}");
    }
    Ok(())
}

/// Licences, bans and sources of the dependencies, where cargo-deny is installed; the log says whether it ran.
fn dependencies() -> Outcome {
    let there = Command::new("cargo").args(["deny", "--version"]).output().is_ok_and(|output| output.status.success());
    if !there {
        println!(
            "cargo-deny is not installed: bans, licenses and sources were not checked (`cargo install cargo-deny`)"
        );
        return Ok(());
    }
    run_command(Command::new("cargo").args(["deny", "check", "bans", "licenses", "sources"]))
}
