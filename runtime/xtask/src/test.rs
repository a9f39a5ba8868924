//! `cargo xtask test`: prepares what the tests need, then runs all of them.

use std::process::Command;

use crate::process::{Outcome, build_rde, cargo_in, output, root, run as run_command};
use crate::python;

/// Prepares Python and the plugins, then runs `cargo test`.
pub fn run(args: &[String]) -> Outcome {
    let python = python::with("tests", python::TESTS)?;
    build_plugins()?;
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--workspace"]).args(args).env("RDE_PYTHON", python);
    cargo_in(&mut cargo)
}

/// Builds every example plugin into `out/plugins`, with the product's own command.
pub fn build_plugins() -> Outcome {
    ensure_wasm_target()?;
    let rde = build_rde()?;
    let folder = root().join("out/plugins");
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot create `{}`: {error}", folder.display()))?;
    for plugin in plugins()? {
        let source = root().join("plugins").join(&plugin);
        let file = folder.join(format!("{plugin}.wasm"));
        run_command(Command::new(&rde).args(["plugin", "build"]).arg(source).arg("-o").arg(&file))?;
    }
    Ok(())
}

fn plugins() -> Outcome<Vec<String>> {
    let folder = root().join("plugins");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("cannot read `{}`: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("src/lib.rs").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Adds the wasm target of the pinned toolchain where it is missing, since toolchains do not install themselves everywhere.
fn ensure_wasm_target() -> Outcome {
    let installed = output(Command::new("rustup").args(["target", "list", "--installed"]));
    match installed {
        Ok(list) if list.lines().any(|line| line == "wasm32-unknown-unknown") => Ok(()),
        Ok(_) => run_command(Command::new("rustup").args(["target", "add", "wasm32-unknown-unknown"])),
        // Without rustup the distribution's Rust must bring the target; the plugin build says so if it does not.
        Err(_) => Ok(()),
    }
}
