//! Rows where the world around the run is wrong: folders, disks, pipes, files that change.

use std::path::Path;
use std::process::Command;

use super::{Row, csv_run, run_in};
use crate::support::write;

/// Returns the rows.
pub fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "file_grows_during_the_run",
            prepare: |folder| changing(folder, "echo 9,9 >> in.csv"),
            exit: 1,
            code: "RDE05",
            place: "in.csv",
            visible: 0,
        },
        Row {
            name: "file_vanishes_during_the_run",
            prepare: |folder| changing(folder, "rm in.csv"),
            exit: 1,
            code: "RDE05",
            place: "in.csv",
            visible: 0,
        },
        Row {
            name: "folder_that_cannot_be_written",
            prepare: unwritable,
            exit: 1,
            code: "RDE06",
            place: "out",
            visible: 0,
        },
        Row { name: "full_disk", prepare: full_disk, exit: 1, code: "RDE06", place: "No space left", visible: 0 },
        Row {
            name: "output_under_the_inputs_glob",
            prepare: under_glob,
            exit: 2,
            code: "RDE02",
            place: "pipeline.yaml:",
            visible: 0,
        },
        Row { name: "closed_pipe", prepare: closed_pipe, exit: 0, code: "", place: "", visible: 0 },
        Row {
            name: "output_is_there_already",
            prepare: |folder| {
                write(&folder.join("in.csv"), "a,b\n1,x\n");
                write(&folder.join("out/table/other.parquet"), "something");
                csv_run(folder, "{ path: in.csv }")
            },
            exit: 1,
            code: "RDE06",
            place: "out/table",
            visible: 1,
        },
    ]
}

fn shell(folder: &Path, script: &str) -> Command {
    let mut command = Command::new("bash");
    command.current_dir(folder).env("NO_COLOR", "1").args(["-c", script, env!("CARGO_BIN_EXE_rde")]);
    command
}

/// The source is a FIFO and a file: the FIFO holds the run open while `change` happens to the file.
fn changing(folder: &Path, change: &str) -> Command {
    let rows: String = (0..200_000).map(|row| format!("{row},{row}\n")).collect();
    write(&folder.join("in.csv"), format!("a,b\n{rows}"));
    let text = "name: bad
sources:
  - id: rows
    csv: { path: in.csv }
  - id: gate
    csv: { path: gate, schema: { a: int64 } }
transforms:
  - id: both
    sql: { query: \"SELECT rows.a FROM rows JOIN gate ON rows.a = gate.a\" }
sinks:
  - id: table
    parquet: { path: out/table }
settings: { memory_max: 1MiB, channel_bytes_max: 4KiB, batch_rows_max: 64 }
edges:
  - [rows, both]
  - [gate, both]
  - [both, table]
";
    write(&folder.join("pipeline.yaml"), text);
    // The gate opens when the run has discovered its files; the file changes while the run reads it, or just before.
    shell(
        folder,
        &format!(
            "mkfifo gate; \"$0\" run pipeline.yaml & exec 3>gate; {change}; echo a >&3; echo 1 >&3; sleep 0.2; exec 3>&-; wait $!"
        ),
    )
}

/// As an unprivileged user, since root may write anywhere.
fn unwritable(folder: &Path) -> Command {
    write(&folder.join("in.csv"), "a,b\n1,x\n");
    csv_run(folder, "{ path: in.csv }");
    // The binary may lie where that user cannot go; a copy in the folder can be run.
    shell(
        folder,
        "cp \"$0\" rde; chmod 755 . rde; mkdir out; chmod 555 out; exec setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/nonexistent ./rde run pipeline.yaml",
    )
}

fn full_disk(folder: &Path) -> Command {
    let rows: String =
        (0..400_000u64).map(|row| format!("{},{}\n", row, row.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    write(&folder.join("in.csv"), format!("a,b\n{rows}"));
    csv_run(folder, "{ path: in.csv }");
    shell(
        folder,
        "mkdir out; unshare --mount bash -c 'mount -t tmpfs -o size=1m tmpfs out && \"$0\" run pipeline.yaml' \"$0\"",
    )
}

fn under_glob(folder: &Path) -> Command {
    write(&folder.join("data/in.csv"), "a,b\n1,x\n");
    let text = "name: bad\nsources:\n  - id: rows\n    csv: { path: \"data/*.csv\" }\nsinks:\n  - id: copy\n    csv: { path: data }\nedges:\n  - [rows, copy]\n";
    write(&folder.join("pipeline.yaml"), text);
    run_in(folder)
}

fn closed_pipe(folder: &Path) -> Command {
    let rows: String = (0..300_000).map(|row| format!("{row},{row}\n")).collect();
    write(&folder.join("in.csv"), format!("a,b\n{rows}"));
    let text = "name: bad\nsources:\n  - id: rows\n    csv: { path: in.csv }\nsinks:\n  - id: shown\n    stdout: { format: csv }\nedges:\n  - [rows, shown]\n";
    write(&folder.join("pipeline.yaml"), text);
    shell(folder, "\"$0\" run pipeline.yaml | head -n 2 >/dev/null; exit ${PIPESTATUS[0]}")
}
