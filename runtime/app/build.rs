//! Tells the binary its commit, and puts the plugin template with the SDK sources into it: no registry has them.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let commit = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit =
        commit.ok().filter(|output| output.status.success()).and_then(|output| String::from_utf8(output.stdout).ok());
    println!("cargo::rustc-env=RDE_COMMIT={}", commit.as_deref().unwrap_or("unknown").trim());
    println!("cargo::rerun-if-changed=runtime/app/build.rs");
    println!("cargo::rerun-if-changed=.git/logs/HEAD");

    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the manifest is"));
    let mut list = "/// Path in the new folder, text, and whether the plugin's name is put into it.\npub const FILES: &[(&str, &str, bool)] = &[\n".to_owned();
    let parts = [
        ("sdk/rust/template", "", true),
        ("sdk/ipc/src", "sdk/ipc/src", false),
        ("sdk/rust/src", "sdk/rust/src", false),
        ("sdk/rust/wit", "sdk/rust/wit", false),
    ];
    for (from, to, template) in parts {
        println!("cargo::rerun-if-changed={from}");
        let mut files = Vec::new();
        walk(&root.join(from), &mut files);
        files.sort();
        for file in files {
            let relative = file.strip_prefix(root.join(from)).expect("the walk stays below its root");
            let target = visible(&Path::new(to).join(relative));
            // Not the path of this checkout: a target folder may serve several.
            let inside = format!("/{from}/{}", relative.display());
            let text = format!("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {inside:?}))");
            let entry = writeln!(list, "    ({target:?}, {text}, {template}),");
            entry.expect("a string can be written");
        }
    }
    list.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo gives a folder"));
    std::fs::write(out.join("plugin_files.rs"), list).expect("the folder can be written");
}

/// Tests of the SDK stay here; a plugin needs the library only.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the SDK is in the repository") {
        let path = entry.expect("the SDK can be read").path();
        let test = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !test {
            walk(&path, files);
        } else if path.is_file() && !test {
            files.push(path);
        }
    }
}

/// Names that begin with a dot are kept without it in the repository, so that nothing there takes them for its own.
fn visible(path: &Path) -> String {
    let path = path.display().to_string();
    match path.as_str() {
        "gitignore" => ".gitignore".to_owned(),
        "cargo/config.toml" => ".cargo/config.toml".to_owned(),
        _ => path,
    }
}
