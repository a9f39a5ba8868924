//! `rde plugin build`: cargo makes a core module, `wit-component` makes a component of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rde_core::{Error, Result};
use serde_json::Value;
use wit_component::ComponentEncoder;

use super::BuildArgs;
use crate::cli::output::{Exit, note};
use crate::codes;

const TARGET: &str = "wasm32-unknown-unknown";
/// Flags of the author's own take the place of ours, as they would for cargo.
const RUSTFLAGS: &str = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS";
/// Vectors of 128 bits are on in the host; loops over columns gain most.
const SIMD: &str = "-Ctarget-feature=+simd128";

/// Runs the command.
pub(super) fn run(args: &BuildArgs) -> Result<Exit> {
    let size = build(&args.dir, &args.output)?;
    note(&format!("built {} ({} KiB)\n", args.output.display(), size.div_ceil(1024)));
    Ok(Exit::Done)
}

/// Compiles the plugin in `dir` to the component `output` and returns its size.
pub(super) fn build(dir: &Path, output: &Path) -> Result<usize> {
    if !dir.join("Cargo.toml").is_file() {
        let message = format!("`{}` is no Rust plugin: it has no Cargo.toml", dir.display());
        return Err(
            Error::config(&codes::PLUGIN_BUILD, message).help("begin one with `rde plugin new NAME --lang rust`")
        );
    }
    let module = core_module(dir)?;
    let bytes =
        std::fs::read(&module).map_err(|cause| failed(&format!("cannot read `{}`", module.display()), cause))?;
    let component = ComponentEncoder::default().validate(true).module(&bytes).and_then(|mut encoder| encoder.encode());
    let component = component.map_err(|cause| {
        let message = format!("`{}` could not be made a component: {cause:#}", module.display());
        Error::config(&codes::PLUGIN_BUILD, message).help("does the crate export a plugin with `rde_sdk::export!`?")
    })?;
    if let Some(folder) = output.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|cause| failed(&format!("cannot create `{}`", folder.display()), cause))?;
    }
    std::fs::write(output, &component)
        .map_err(|cause| failed(&format!("cannot write `{}`", output.display()), cause))?;
    Ok(component.len())
}

/// Lets cargo compile, and returns the path of the module it made.
fn core_module(dir: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    cargo.current_dir(dir).stdout(Stdio::piped());
    // Encoded flags win over every other source of flags, and may hold blanks.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(dir).join("\u{1f}")).env("CARGO_TERM_PROGRESS_WHEN", "never");
    let output = cargo.spawn().and_then(std::process::Child::wait_with_output).map_err(|cause| {
        failed("cannot start `cargo`", cause).help("install Rust with rustup; `cargo` must be on the PATH")
    })?;
    if !output.status.success() {
        let message = format!("the plugin in `{}` does not compile", dir.display());
        let help = format!("read cargo's messages above; if the target is missing: `rustup target add {TARGET}`");
        return Err(Error::config(&codes::PLUGIN_BUILD, message).help(help));
    }
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let mut artifacts =
        lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok()).filter_map(|line| wasm_of(&line));
    artifacts.next_back().ok_or_else(|| {
        let message = format!("cargo made no wasm module in `{}`", dir.display());
        Error::config(&codes::PLUGIN_BUILD, message).help("Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\"]`")
    })
}

/// Flags for rustc: the author's or ours, and maps that make every path relative to the folder above the plugin, so that an
/// artifact neither tells the folders of its author nor depends on them.
#[expect(clippy::disallowed_methods, reason = "only app reads the environment, and this is where")]
fn flags(dir: &Path) -> Vec<String> {
    let own = std::env::var(RUSTFLAGS).unwrap_or_else(|_| SIMD.to_owned());
    let mut flags: Vec<String> = own.split_whitespace().map(str::to_owned).collect();
    let mut map = |from: &Path, to: &str| {
        if let Some(from) = from.to_str() {
            flags.push(format!("--remap-path-prefix={from}={to}"));
        }
    };
    if let Ok(dir) = dir.canonicalize() {
        // From the folder above on: plugins that lie side by side have the same flags, and so share what is compiled.
        let folders: Vec<&Path> = dir.ancestors().skip(1).take_while(|folder| folder.parent().is_some()).collect();
        // Of several maps that fit, rustc takes the last.
        for (up, folder) in folders.iter().enumerate().rev() {
            map(folder, &vec![".."; up].join("/"));
        }
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| home.map(|home| home.join(".cargo")));
    if let Some(cargo) = cargo {
        map(&cargo.join("registry/src"), "registry");
        map(&cargo.join("git/checkouts"), "git");
    }
    flags
}

fn wasm_of(line: &Value) -> Option<PathBuf> {
    let files = line.get("filenames")?.as_array()?;
    let mut paths = files.iter().filter_map(Value::as_str).map(PathBuf::from);
    paths.rfind(|path| path.extension() == Some(&OsString::from("wasm")))
}

fn failed(what: &str, cause: std::io::Error) -> Error {
    Error::config(&codes::PLUGIN_BUILD, format!("{what}: {cause}"))
}
