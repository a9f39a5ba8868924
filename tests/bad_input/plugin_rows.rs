//! Rows whose plugin is wrong. Hostile components are stored as bytes, as a stranger would hand them over.

use std::path::Path;
use std::process::Command;

use super::{Row, run_in};
use crate::support::{root, write};

fn plugin(folder: &Path, bytes: impl AsRef<[u8]>) -> Command {
    write(&folder.join("in.csv"), "a,b\n1,x\n");
    write(&folder.join("plugin.wasm"), bytes);
    let text = "name: bad\nsources:\n  - id: rows\n    csv: { path: in.csv }\ntransforms:\n  - id: guest\n    wasm: { plugin: plugin.wasm }\nsinks:\n  - id: table\n    parquet: { path: out/table }\nedges:\n  - [rows, guest]\n  - [guest, table]\n";
    write(&folder.join("pipeline.yaml"), text);
    let mut command = run_in(folder);
    // A cache of its own, so that no row finds what another one compiled.
    command.env("XDG_CACHE_HOME", folder.join("cache")).env("XDG_STATE_HOME", folder.join("state"));
    command
}

fn refused(name: &'static str, prepare: fn(&Path) -> Command, place: &'static str) -> Row {
    Row { name, prepare, exit: 2, code: "RDE03", place, visible: 0 }
}

/// Returns the rows.
pub fn rows() -> Vec<Row> {
    vec![
        refused("plugin_that_is_not_wasm", |folder| plugin(folder, "this is text"), "plugin.wasm"),
        refused("plugin_that_is_a_core_module", |folder| plugin(folder, b"\0asm\x01\0\0\0"), "plugin.wasm"),
        refused(
            "plugin_that_is_missing",
            |folder| {
                let command = plugin(folder, "");
                std::fs::remove_file(folder.join("plugin.wasm")).expect("the file was written");
                command
            },
            "plugin.wasm",
        ),
        refused("plugin_of_another_world", |folder| plugin(folder, hostile("other_world")), "pipeline.yaml:7:"),
        refused("plugin_of_another_version", |folder| plugin(folder, hostile("other_version")), "pipeline.yaml:7:"),
        refused("plugin_that_imports_wasi", |folder| plugin(folder, hostile("wasi")), "wasi:"),
        refused("plugin_that_loops_in_describe", |folder| plugin(folder, hostile("loop_describe")), "describe"),
        refused("plugin_that_loops_in_bind", |folder| plugin(folder, hostile("loop_bind")), "bind"),
        refused("plugin_that_loops_at_start", |folder| plugin(folder, hostile("loop_start")), "start"),
        Row {
            name: "plugin_whose_output_schema_lies",
            prepare: |folder| plugin(folder, hostile("lying_schema")),
            exit: 1,
            code: "RDE03",
            place: "guest",
            visible: 0,
        },
    ]
}

/// Returns the bytes of a component of `tests/guests`; a test of the plugin host makes them.
fn hostile(name: &str) -> Vec<u8> {
    let path = root().join("tests/guests").join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
