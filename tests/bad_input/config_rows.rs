//! Rows whose YAML or SQL is wrong.

use std::path::Path;
use std::process::Command;

use super::{Row, run_in};
use crate::support::write;

fn yaml(folder: &Path, text: &str) -> Command {
    write(&folder.join("in.csv"), "a,b\n1,x\n");
    write(&folder.join("pipeline.yaml"), text);
    run_in(folder)
}

const TAIL: &str = "sinks:\n  - id: table\n    parquet: { path: out/table }\nedges:\n  - [rows, table]\n";

/// Returns the rows.
#[expect(clippy::too_many_lines, reason = "a table")]
pub fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "yaml_bomb",
            prepare: |folder| {
                let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
                for level in 1..9 {
                    let before = vec![format!("*a{}", level - 1); 10].join(", ");
                    text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
                }
                yaml(folder, &text)
            },
            exit: 2,
            code: "RDE0117",
            place: "pipeline.yaml:",
            visible: 0,
        },
        Row {
            name: "yaml_tab",
            prepare: |folder| yaml(folder, "name: bad\nsources:\n\t- id: rows\n"),
            exit: 2,
            code: "RDE0122",
            place: "pipeline.yaml:3:1",
            visible: 0,
        },
        Row {
            name: "yaml_duplicate_key",
            prepare: |folder| {
                yaml(
                    folder,
                    &format!("name: bad\nname: worse\nsources:\n  - id: rows\n    csv: {{ path: in.csv }}\n{TAIL}"),
                )
            },
            exit: 2,
            code: "RDE0103",
            place: "pipeline.yaml:2:1",
            visible: 0,
        },
        Row {
            name: "unknown_kind",
            prepare: |folder| {
                yaml(folder, &format!("name: bad\nsources:\n  - id: rows\n    csvv: {{ path: in.csv }}\n{TAIL}"))
            },
            exit: 2,
            code: "RDE0108",
            place: "pipeline.yaml:4:5",
            visible: 0,
        },
        Row {
            name: "unknown_field",
            prepare: |folder| {
                yaml(
                    folder,
                    &format!("name: bad\nsources:\n  - id: rows\n    csv: {{ path: in.csv, delimeter: ';' }}\n{TAIL}"),
                )
            },
            exit: 2,
            code: "RDE0104",
            place: "pipeline.yaml:4:26",
            visible: 0,
        },
        Row {
            name: "cyclic_edges",
            prepare: |folder| {
                let text = "name: bad\nsources:\n  - id: rows\n    csv: { path: in.csv }\ntransforms:\n  - id: one\n    sql: { query: \"SELECT r.a FROM rows r JOIN two t ON r.a = t.a\" }\n  - id: two\n    sql: { query: \"SELECT a FROM one\" }\nsinks:\n  - id: table\n    parquet: { path: out/table }\nedges:\n  - [rows, one]\n  - [one, two]\n  - [two, one]\n  - [two, table]\n";
                yaml(folder, text)
            },
            exit: 2,
            code: "RDE02",
            place: "pipeline.yaml:",
            visible: 0,
        },
        Row {
            name: "sql_unknown_column",
            prepare: |folder| {
                let text = "name: bad\nsources:\n  - id: rows\n    csv: { path: in.csv }\ntransforms:\n  - id: query\n    sql:\n      query: |\n        SELECT a,\n               bb\n        FROM rows\nsinks:\n  - id: table\n    parquet: { path: out/table }\nedges:\n  - [rows, query]\n  - [query, table]\n";
                yaml(folder, text)
            },
            exit: 2,
            code: "RDE04",
            place: "pipeline.yaml:10:16",
            visible: 0,
        },
        Row {
            name: "sql_without_quotes",
            prepare: |folder| {
                let text = "name: bad\nsources:\n  - id: rows\n    csv: { path: in.csv }\ntransforms:\n  - id: query\n    sql: { query: SELECT b FROM rows WHERE a IN (1, 2) }\nsinks:\n  - id: table\n    parquet: { path: out/table }\nedges:\n  - [rows, query]\n  - [query, table]\n";
                yaml(folder, text)
            },
            exit: 2,
            code: "RDE0104",
            place: "pipeline.yaml:7:53",
            visible: 0,
        },
        Row {
            name: "null_without_quotes",
            prepare: |folder| {
                yaml(
                    folder,
                    &format!(
                        "name: bad\nsources:\n  - id: rows\n    csv: {{ path: in.csv, null_values: [NULL] }}\n{TAIL}"
                    ),
                )
            },
            exit: 2,
            code: "RDE0106",
            place: "pipeline.yaml:4:40",
            visible: 0,
        },
        Row {
            name: "unknown_delimiter",
            prepare: |folder| {
                yaml(
                    folder,
                    &format!(
                        "name: bad\nsources:\n  - id: rows\n    csv: {{ path: in.csv, delimiter: comma }}\n{TAIL}"
                    ),
                )
            },
            exit: 2,
            code: "RDE0517",
            place: "pipeline.yaml:4:37",
            visible: 0,
        },
        Row {
            name: "later_kind",
            prepare: |folder| {
                yaml(folder, &format!("name: bad\nsources:\n  - id: rows\n    kafka: {{ anything: goes }}\n{TAIL}"))
            },
            exit: 2,
            code: "RDE0900",
            place: "pipeline.yaml:4:5",
            visible: 0,
        },
        Row {
            name: "missing_pipeline",
            prepare: |folder| {
                std::fs::create_dir_all(folder).expect("the folder can be made");
                run_in(folder)
            },
            exit: 2,
            code: "RDE0175",
            place: "pipeline.yaml",
            visible: 0,
        },
    ]
}
