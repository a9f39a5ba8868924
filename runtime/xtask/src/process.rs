//! Starts other programs: cargo under one lock, the product, Python.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

/// What a job answers.
pub type Outcome<T = ()> = Result<T, String>;

/// Returns the root of the repository.
pub fn root() -> PathBuf {
    // Asked at run time: a target folder, and this binary in it, may serve several checkouts.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.ancestors().nth(2).expect("this crate lies two folders below the root").to_owned()
}

/// Returns the folder cargo builds into.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Returns where things that outlive a checkout are kept.
pub fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    base.or(home).unwrap_or_else(std::env::temp_dir).join("rde-dev")
}

/// Runs a command and fails if it fails.
pub fn run(command: &mut Command) -> Outcome {
    println!("$ {}", shown(command));
    let status = command.current_dir(root()).status().map_err(|error| format!("`{}`: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed: {status}", shown(command))) }
}

/// Runs a command and returns what it prints.
pub fn output(command: &mut Command) -> Outcome<String> {
    let output = command.current_dir(root()).output().map_err(|error| format!("`{}`: {error}", shown(command)))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{}` failed: {}\n{text}", shown(command), output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("`{}` printed no UTF-8", shown(command)))
}

/// Runs cargo while holding the lock.
pub fn cargo(args: &[&str]) -> Outcome {
    cargo_in(Command::new("cargo").args(args))
}

/// Runs a prepared cargo command while holding the lock.
pub fn cargo_in(command: &mut Command) -> Outcome {
    let _lock = Lock::take()?;
    run(command)
}

/// Builds the `rde` binary in the profile that the tests use, and returns its path.
pub fn build_rde() -> Outcome<PathBuf> {
    // The whole workspace, so that this build and that of the tests share every dependency with the same features.
    cargo(&["build", "--workspace", "--bins"])?;
    Ok(target().join("debug/rde"))
}

struct Lock(#[expect(dead_code, reason = "held until dropped")] File);

impl Lock {
    fn take() -> Outcome<Lock> {
        let path = target().join(".xtask-lock");
        std::fs::create_dir_all(target())
            .map_err(|error| format!("cannot create `{}`: {error}", target().display()))?;
        let file = File::create(&path).map_err(|error| format!("cannot create `{}`: {error}", path.display()))?;
        file.lock().map_err(|error| format!("cannot lock `{}`: {error}", path.display()))?;
        Ok(Lock(file))
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
