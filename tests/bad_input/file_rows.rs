//! Rows whose data is wrong.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use super::{Row, csv_run, csv_run_with_errors, run_in};
use crate::support::{python, write};

fn file(folder: &Path, content: impl AsRef<[u8]>) -> Command {
    write(&folder.join("in.csv"), content);
    csv_run(folder, "{ path: in.csv }")
}

fn good(name: &'static str, prepare: fn(&Path) -> Command, visible: usize) -> Row {
    Row { name, prepare, exit: 0, code: "", place: "", visible }
}

fn bad_row(name: &'static str, prepare: fn(&Path) -> Command, place: &'static str) -> Row {
    Row { name, prepare, exit: 1, code: "RDE05", place, visible: 0 }
}

/// A sum over a column that should be one of numbers.
const SUM: &str = "name: bad
sources:
  - id: rows
    csv: { path: data/in.csv }
transforms:
  - id: query
    sql: { query: SELECT sum(a) AS total FROM rows }
sinks:
  - id: table
    parquet: { path: out/table }
edges:
  - [rows, query]
  - [query, table]
";

/// Returns the rows.
pub fn rows() -> Vec<Row> {
    let mut rows = shapes();
    rows.extend(values());
    rows.extend(containers());
    rows.extend(parquet_files());
    rows
}

fn shapes() -> Vec<Row> {
    vec![
        Row {
            name: "missing_file",
            prepare: |folder| csv_run(folder, "{ path: none.csv }"),
            exit: 2,
            code: "RDE05",
            place: "none.csv",
            visible: 0,
        },
        Row {
            name: "empty_file",
            prepare: |folder| file(folder, ""),
            exit: 2,
            code: "RDE05",
            place: "in.csv",
            visible: 0,
        },
        good("header_only", |folder| file(folder, "a,b\n"), 1),
        Row {
            name: "empty_glob",
            prepare: |folder| csv_run(folder, "{ path: \"*.tsv\" }"),
            exit: 2,
            code: "RDE05",
            place: "*.tsv",
            visible: 0,
        },
        bad_row("ragged_rows", |folder| file(folder, "a,b\n1,2\n3\n4,5,6\n"), "in.csv:3"),
        good(
            "ragged_rows_set_aside",
            |folder| {
                write(&folder.join("in.csv"), "a,b\n1,2\n3\n4,5,6\n7,8\n");
                csv_run_with_errors(folder, "{ path: in.csv }")
            },
            2,
        ),
        bad_row("wrong_quotes", |folder| file(folder, "a,b\n1,\"x\ny\n"), "in.csv:2"),
        good("bom_and_crlf", |folder| file(folder, "\u{feff}a,b\r\n1,x\r\n2,y\r\n"), 1),
        good("nul_bytes", |folder| file(folder, "a,b\n1,x\0y\n"), 1),
        good("duplicate_columns", |folder| file(folder, "a,a,b\n1,2,3\n"), 1),
        good(
            "five_thousand_columns",
            |folder| {
                let names: Vec<String> = (0..5000).map(|column| format!("c{column}")).collect();
                let row = vec!["1"; 5000].join(",");
                file(folder, format!("{}\n{row}\n{row}\n", names.join(",")))
            },
            1,
        ),
    ]
}

fn values() -> Vec<Row> {
    vec![
        Row {
            name: "header_that_is_not_utf8",
            prepare: |folder| file(folder, b"a,caf\xe9\n1,x\n"),
            exit: 2,
            code: "RDE0515",
            place: "in.csv",
            visible: 0,
        },
        bad_row("invalid_utf8", |folder| file(folder, b"a,b\n1,x\n2,\xff\xfe\n"), "in.csv:3"),
        bad_row(
            "number_out_of_range",
            |folder| {
                write(&folder.join("in.csv"), "a,b\n1,x\n99999999999999999999,y\n");
                csv_run(folder, "{ path: in.csv, schema: { a: int64, b: utf8 } }")
            },
            "in.csv:3",
        ),
        bad_row(
            "late_value_of_another_type",
            |folder| {
                let mut text = "a,b\n".to_owned();
                for row in 0..20_480 {
                    text.push_str(&format!("{row},x\n"));
                }
                file(folder, text + "oops,y\n")
            },
            "in.csv:20482",
        ),
        Row {
            name: "odd_value_in_a_column_of_numbers",
            prepare: |folder| {
                write(&folder.join("data/in.csv"), format!("a,b\n{}n/a,y\n4,z\n", "1,x\n".repeat(12_343)));
                write(&folder.join("pipeline.yaml"), SUM);
                run_in(folder)
            },
            exit: 2,
            code: "RDE0416",
            place: "data/in.csv:12345",
            visible: 0,
        },
        bad_row(
            "field_of_100_mb",
            |folder| {
                let mut content = b"a,b\n1,".to_vec();
                content.resize(100 << 20, b'x');
                content.extend(b"\n2,y\n");
                file(folder, content)
            },
            "in.csv:2",
        ),
    ]
}

fn containers() -> Vec<Row> {
    vec![
        Row {
            name: "truncated_gzip",
            prepare: |folder| {
                let mut rows = "a,b\n".to_owned();
                for row in 0..400_000u64 {
                    rows.push_str(&format!("{row},{}\n", row.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
                }
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(rows.as_bytes()).expect("memory can be written");
                let bytes = encoder.finish().expect("memory can be written");
                write(&folder.join("in.csv.gz"), &bytes[..bytes.len() * 3 / 4]);
                csv_run(folder, "{ path: in.csv.gz }")
            },
            exit: 1,
            code: "RDE05",
            place: "in.csv.gz",
            visible: 0,
        },
        good(
            "path_name_that_is_not_utf8",
            |folder| {
                let name = OsStr::from_bytes(b"in-\xff.csv");
                write(&folder.join("data").join(name), "a,b\n1,x\n");
                csv_run(folder, "{ path: data }")
            },
            1,
        ),
    ]
}

fn parquet_files() -> Vec<Row> {
    vec![
        Row {
            name: "corrupt_parquet_footer",
            prepare: |folder| {
                write(&folder.join("in.parquet"), b"PAR1 this is no parquet file PAR1");
                parquet_run(folder)
            },
            exit: 2,
            code: "RDE05",
            place: "in.parquet",
            visible: 0,
        },
        Row {
            name: "corrupt_parquet_page",
            prepare: |folder| {
                let path = folder.join("in.parquet");
                let query = format!(
                    "COPY (SELECT range AS a, hash(range) AS b FROM range(100000)) TO '{}' (FORMAT parquet)",
                    path.display()
                );
                python("import duckdb, sys; duckdb.sql(sys.argv[1])", &[&query]);
                let mut bytes = std::fs::read(&path).expect("DuckDB wrote the file");
                for byte in &mut bytes[200..260] {
                    *byte ^= 0xa5;
                }
                write(&path, bytes);
                parquet_run(folder)
            },
            exit: 1,
            code: "RDE05",
            place: "in.parquet",
            visible: 0,
        },
        Row {
            name: "parquet_of_another_codec",
            prepare: |folder| {
                let path = folder.join("in.parquet");
                let to = format!("TO '{}' (FORMAT parquet, COMPRESSION brotli)", path.display());
                python("import duckdb, sys; duckdb.sql(sys.argv[1])", &[&format!("COPY (SELECT 1 AS a) {to}")]);
                parquet_run(folder)
            },
            exit: 2,
            code: "RDE0534",
            place: "in.parquet`: column `a` is compressed with brotli",
            visible: 0,
        },
    ]
}

fn parquet_run(folder: &Path) -> Command {
    write(
        &folder.join("pipeline.yaml"),
        "name: bad\nsources:\n  - id: rows\n    parquet: { path: in.parquet }\nsinks:\n  - id: table\n    parquet: { path: out/table }\nedges:\n  - [rows, table]\n",
    );
    run_in(folder)
}
