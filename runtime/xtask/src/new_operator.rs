//! `cargo xtask new-operator NAME KIND`: begins a native operator with a test that fails until it does something.

use crate::process::{Outcome, root};

const TEMPLATE: &str = include_str!("new_operator.rs.txt");

/// Entry of the job.
pub fn run(args: &[String]) -> Outcome {
    let [name, kind] = args else {
        return Err("usage: cargo xtask new-operator NAME source|transform|sink".to_owned());
    };
    let good = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if !good {
        return Err(format!("`{name}` is no operator name: use lower-case letters and `_`"));
    }
    let kind_name = match kind.as_str() {
        "source" => "Source",
        "transform" => "Transform",
        "sink" => "Sink",
        other => return Err(format!("`{other}` is no kind of operator: source, transform or sink")),
    };
    let folder = root().join("runtime/operators").join(name);
    if folder.exists() {
        return Err(format!("`{}` exists already", folder.display()));
    }
    let type_name: String = name.split('_').map(capitalised).collect();
    let (inputs, outputs) = match kind_name {
        "Source" => (
            "Vec::new()",
            "vec![OutputShape { port: \"out\".to_owned(), shape: Shape::Unknown(\"not built\".to_owned()) }]",
        ),
        "Transform" => (
            "vec![\"in\".to_owned()]",
            "inputs.iter().map(|input| OutputShape { port: \"out\".to_owned(), shape: input.shape.clone() }).collect()",
        ),
        _ => ("vec![\"in\".to_owned()]", "Vec::new()"),
    };
    let fill = |text: &str| {
        let text = text.replace("{inputs}", inputs).replace("{outputs}", outputs);
        let text = text.replace("{bound}", if kind_name == "Transform" { "inputs" } else { "_inputs" });
        let text = text.replace("{Shape}", if kind_name == "Source" { " Shape," } else { "" });
        text.replace("{name}", name).replace("{Name}", &type_name).replace("{Kind}", kind_name)
    };
    write(&folder.join("Cargo.toml"), &fill(MANIFEST))?;
    write(&folder.join("src/lib.rs"), &fill(TEMPLATE))?;
    println!("{}", fill(NEXT));
    Ok(())
}

const MANIFEST: &str = r#"[package]
name = "rde-{name}"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[dependencies]
rde-core.workspace = true
arrow.workspace = true
futures.workspace = true
schemars.workspace = true
serde.workspace = true

[lints]
workspace = true
"#;

const NEXT: &str = "\
Made runtime/operators/{name}. Five places to touch:
  1. runtime/operators/{name}/src/lib.rs   the operator; its test fails until `open` gives one
  2. Cargo.toml                            a workspace member and a dependency of `rde`
  3. runtime/app/registry.rs               one line in OPERATORS, in order
  4. runtime/xtask/src/tidy.rs             a line in DIRECTIONS: it names `rde-core` alone
  5. tests/pipelines/{name}_basic/         a golden case; then `cargo xtask docs`
Read runtime/operators/files/src/sink for a sink, runtime/operators/files/src/csv for a source, runtime/operators/sql for a transform.";

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

fn write(path: &std::path::Path, text: &str) -> Outcome {
    let folder = path.parent().expect("a file lies in a folder");
    std::fs::create_dir_all(folder).map_err(|error| format!("cannot create `{}`: {error}", folder.display()))?;
    std::fs::write(path, text).map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}
