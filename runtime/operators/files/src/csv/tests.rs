//! Files, columns, splits, pushdown and failed rows of the `csv` source, through its plan and lanes.

#![expect(clippy::disallowed_methods, reason = "the other end of a pipe is a thread of the test")]

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use arrow::datatypes::DataType;
use rde_core::{
    Columns, Comparison, Error, OperatorSpec, Output, Predicate, ProbeMode, Progress, Scalar, Shape, Wanted,
};
use serde_json::{Value, json};

use super::CsvSource;
use super::split::SPLIT_BYTES_MIN;
use crate::testing::{Read, SourceTest, block_on, collect, context, drain};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("the folder is writable");
    }
    folder
}

fn read(folder: &Path, value: Value) -> Read {
    SourceTest::new(folder).run(&CsvSource, value).expect("the input is sound")
}

/// Returns code and message of the first error.
fn error(folder: &Path, value: Value) -> (String, String) {
    let errors = SourceTest::new(folder).run(&CsvSource, value).expect_err("the input has a fault");
    (errors[0].code().to_owned(), errors[0].message().to_owned())
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

#[test]
fn files_of_a_folder_are_matched_by_column_name() {
    let folder =
        folder(&[("a.csv", "x,y\n1,a\n"), ("b.csv", "y,x\nb,2\n"), (".hidden.csv", "z\n1\n"), ("c.txt", "z\n")]);
    let read = read(folder.path(), json!({ "path": "." }));
    assert_eq!(read.text(), "1,a\n2,b\n");
    let schema = read.schema.expect("announced");
    assert_eq!(schema.field(0).data_type(), &DataType::Int64);
}

#[test]
fn a_missing_or_additional_column_names_the_file() {
    let folder = folder(&[("a.csv", "x,y\n1,a\n"), ("b.csv", "y,z\nb,2\n")]);
    let (code, message) = error(folder.path(), json!({ "path": "*.csv" }));
    assert_eq!(code, "RDE0550");
    assert_eq!(message, "columns of `b.csv` differ from `a.csv`: without `x`; with additional `z`");
    let schema = json!({ "path": "a.csv", "schema": { "x": "int64" } });
    assert_eq!(error(folder.path(), schema).1, "columns of `a.csv` differ from `schema`: with additional `y`");
}

#[test]
fn compressed_files_are_read_and_a_cut_off_one_is_named() {
    let folder = folder(&[("a.csv", "x\n1\n")]);
    let text: String = std::iter::once("x\n".to_owned()).chain((0..5000).map(|n| format!("{n}\n"))).collect();
    let packed = gzip(text.as_bytes());
    fs::write(folder.path().join("b.csv.gz"), &packed).expect("writable");
    fs::write(folder.path().join("c.csv.zst"), zstd::encode_all(text.as_bytes(), 1).expect("zstd")).expect("writable");
    assert_eq!(read(folder.path(), json!({ "path": "." })).rows(), 10_001);
    fs::write(folder.path().join("b.csv.gz"), &packed[..packed.len() - 20]).expect("writable");
    let (code, message) = error(folder.path(), json!({ "path": "b.csv.gz", "schema": { "x": "int64" } }));
    assert_eq!((code.as_str(), message.as_str()), ("RDE0505", "`b.csv.gz` is cut off: its gzip data ends too early"));
    fs::write(folder.path().join("d.csv.gz"), "not gzip at all").expect("writable");
    assert_eq!(error(folder.path(), json!({ "path": "d.csv.gz" })).0, "RDE0505");
}

#[test]
fn paths_that_are_wrong_have_a_remedy() {
    let folder = folder(&[("a.csv", "x\n1\n"), ("empty.csv", "")]);
    for (value, expected) in [
        (json!({ "path": "b.csv" }), "RDE0501"),
        (json!({ "path": "b*.csv" }), "RDE0502"),
        (json!({ "path": "[.csv" }), "RDE0506"),
        (json!({ "path": "" }), "RDE0506"),
        (json!({ "path": "s3://bucket/a.csv" }), "RDE0900"),
        (json!({ "path": "b*.csv", "allow_empty": true }), "RDE0552"),
        (json!({ "path": "empty.csv" }), "RDE0551"),
        (json!({ "path": "a.csv", "schema": { "x": "integer" } }), "RDE0507"),
        (json!({ "path": "a.csv", "delimiter": "ab" }), "RDE0517"),
        (json!({ "path": "a.csv", "delimiter": "\"" }), "RDE0517"),
    ] {
        let errors = SourceTest::new(folder.path()).run(&CsvSource, value.clone()).expect_err("a fault");
        assert_eq!(errors[0].code(), expected, "{value}");
        assert!(errors[0].help_text().is_some(), "{value} has a help");
        assert_eq!(errors[0].operator(), Some("op"), "{value}");
    }
    let none = json!({ "path": "b*.csv", "allow_empty": true, "schema": { "x": "int64" } });
    assert_eq!(read(folder.path(), none).rows(), 0);
    let named = json!({ "path": "empty.csv", "schema": { "x": "int64" } });
    assert_eq!(read(folder.path(), named).rows(), 0);
}

#[test]
fn a_name_that_is_not_utf8_is_found_and_read() {
    let folder = folder(&[]);
    fs::write(folder.path().join(OsStr::from_bytes(b"\xff-1.csv")), "x\n1\n").expect("writable");
    fs::write(folder.path().join(OsStr::from_bytes(b"\xfe-1.csv")), "x\n2\nb\n").expect("writable");
    let value = json!({ "path": "*-1.csv", "schema": { "x": "int64" } });
    let read = read(folder.path(), value.clone());
    assert_eq!(read.text(), "2\n1\n");
    assert_eq!(read.rejected[0].position.as_deref(), Some("{\"path\":\"\u{fffd}-1.csv\",\"line\":3}"));
    let plan = SourceTest::new(folder.path()).plan(&CsvSource, value, ProbeMode::Run).expect("sound");
    let mut lanes = SourceTest::new(folder.path()).open(plan).expect("it opens");
    let splits = block_on(lanes[0].splits()).expect("splits");
    assert_ne!(splits[0].id, splits[1].id);
}

#[test]
fn a_folder_in_a_glob_and_two_stars_are_searched() {
    let folder = folder(&[]);
    for name in ["y=1/m=1/a.csv", "y=1/m=2/a.csv", "y=2/b.csv"] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs::write(path, "x\n1\n").expect("writable");
    }
    for (glob, rows) in
        [("y=1/*/a.csv", 2), ("**/*.csv", 3), ("y=?/*.csv", 1), ("./y=1/../y=2/b.csv", 1), ("y=*/**/a.csv", 2)]
    {
        assert_eq!(read(folder.path(), json!({ "path": glob })).rows(), rows, "{glob}");
    }
}

#[test]
fn failed_rows_have_their_bytes_and_their_line() {
    let folder = folder(&[("a.csv", "x,y\n1,a\nbad,b\n3\n\"4x\n\",c\n5,d\n")]);
    let value = json!({ "path": "a.csv", "schema": { "x": "int64", "y": "utf8" } });
    let read = read(folder.path(), value);
    assert_eq!(read.text(), "1,a\n5,d\n");
    let positions: Vec<_> = read.rejected.iter().map(|row| row.position.clone().expect("exact at sources")).collect();
    let line = |line: u64| format!("{{\"path\":\"a.csv\",\"line\":{line}}}");
    assert_eq!(positions, [line(3), line(4), line(5)]);
    assert_eq!((read.rejected[0].code.as_ref(), read.rejected[1].code.as_ref()), ("RDE0510", "RDE0511"));
    assert!(matches!(&read.rejected[1].payload, rde_core::Payload::Bytes(bytes, "csv") if bytes == b"3"));
}

#[test]
fn only_wanted_columns_are_checked_and_the_predicate_filters() {
    let folder = folder(&[("a.csv", "x,y,z\n1,a,1\n2,b,oops\n3,c,3\n")]);
    let mut test = SourceTest::new(folder.path());
    let value = json!({ "path": "a.csv", "schema": { "x": "int64", "y": "utf8", "z": "int64" } });
    test.wanted = Wanted {
        columns: Columns::Named(["x", "y"].map(str::to_owned).into()),
        predicate: Some(Predicate::Compare("x".to_owned(), Comparison::Greater, Scalar::Int64(1))),
    };
    let read = test.run(&CsvSource, value.clone()).expect("sound");
    assert_eq!(read.text(), "2,b\n3,c\n");
    assert_eq!((read.counted.rows_filtered, read.rejected.len()), (1, 0));
    let schema = read.schema.expect("announced");
    assert_eq!(schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["x", "y"]);
    test.wanted = Wanted { columns: Columns::Named(Default::default()), predicate: None };
    assert_eq!(test.run(&CsvSource, value).expect("sound").rows(), 3);
}

/// Text of more than four least splits, with quotes that hold line breaks and bad rows at known lines.
fn large(quotes: bool) -> String {
    let mut text = String::from("id,text,n\n");
    let mut id = 0;
    while (text.len() as u64) < 4 * SPLIT_BYTES_MIN + 12_345 {
        match id % 1000 {
            7 if quotes => text.push_str(&format!("{id},\"a\nb \"\"c\"\",\n\",{id}\n")),
            500 => text.push_str(&format!("{id},x,not a number\n")),
            _ => text.push_str(&format!("{id},some text of a row,{id}\n")),
        }
        id += 1;
    }
    text
}

#[test]
fn rows_errors_and_lines_do_not_depend_on_splits() {
    for quotes in [false, true] {
        let folder = folder(&[("a.csv", &large(quotes))]);
        let value = json!({ "path": "a.csv", "schema": { "id": "int64", "text": "utf8", "n": "int64" } });
        let one = SourceTest::new(folder.path()).run(&CsvSource, value.clone()).expect("sound");
        let mut test = SourceTest::new(folder.path());
        test.lanes = 4;
        let four = test.run(&CsvSource, value).expect("sound");
        assert_eq!(four.rows_by_lane.len(), 4);
        assert!(four.rows_by_lane.iter().all(|rows| *rows > 0), "{:?}", four.rows_by_lane);
        let rows = |read: &Read| {
            let mut rows: Vec<String> = read.text().split("\n").map(str::to_owned).collect();
            rows.sort();
            rows
        };
        assert!(rows(&one) == rows(&four), "the same rows");
        let positions = |read: &Read| {
            let mut all: Vec<_> = read.rejected.iter().map(|row| row.position.clone()).collect();
            all.sort();
            all
        };
        assert!(!one.rejected.is_empty());
        assert_eq!(positions(&one), positions(&four));
        assert_eq!(one.counted.bytes, four.counted.bytes);
    }
}

#[test]
fn a_file_that_changes_during_the_run_fails_it_by_name() {
    let change = |change: &dyn Fn(&Path)| {
        let folder = folder(&[("a.csv", "x\n1\n"), ("b.csv", "x\n2\n")]);
        let test = SourceTest::new(folder.path());
        let plan = test.plan(&CsvSource, json!({ "path": "*.csv" }), ProbeMode::Run).expect("sound");
        let mut lanes = test.open(plan).expect("it opens");
        change(&folder.path().join("b.csv"));
        let mut read = Read::default();
        let error: Error = drain(lanes[0].as_mut(), &mut read).expect_err("b.csv is another file now");
        assert_eq!(error.code(), "RDE0504");
        error.message().to_owned()
    };
    assert_eq!(change(&|file| fs::remove_file(file).expect("there")), "input `b.csv` disappeared during the run");
    let grow = |file: &Path| {
        fs::OpenOptions::new().append(true).open(file).and_then(|mut file| file.write_all(b"3\n")).expect("writable");
    };
    assert_eq!(change(&grow), "input `b.csv` changed during the run");
    let replace = |file: &Path| {
        fs::write(file.with_extension("new"), "x\n4\n").expect("writable");
        fs::rename(file.with_extension("new"), file).expect("writable");
    };
    assert_eq!(change(&replace), "input `b.csv` changed during the run");
}

#[test]
fn a_file_that_grows_while_it_is_read_fails_the_run_at_its_end() {
    let folder = folder(&[("a.csv", &large(false))]);
    let test = SourceTest::new(folder.path());
    let plan = test.plan(&CsvSource, json!({ "path": "a.csv" }), ProbeMode::Run).expect("sound");
    let mut lanes = test.open(plan).expect("it opens");
    let mut out = Output::new();
    assert_eq!(block_on(lanes[0].next(&mut out)).expect("a batch"), Progress::Produced);
    let mut file = fs::OpenOptions::new().append(true).open(folder.path().join("a.csv")).expect("there");
    file.write_all(b"1,2,3\n").expect("writable");
    let error = drain(lanes[0].as_mut(), &mut Read::default()).expect_err("it grew");
    assert_eq!(error.message(), "input `a.csv` changed during the run");
}

#[test]
fn a_lane_goes_on_from_a_position() {
    let folder = folder(&[("a.csv", &large(true))]);
    let test = SourceTest::new(folder.path());
    let value = json!({ "path": "a.csv", "schema": { "id": "int64", "text": "utf8", "n": "int64" } });
    let open = || test.open(test.plan(&CsvSource, value.clone(), ProbeMode::Run).expect("sound")).expect("it opens");
    let mut whole = Read::default();
    drain(open()[0].as_mut(), &mut whole).expect("sound");
    let mut lanes = open();
    let (mut first, mut out) = (Read::default(), Output::new());
    for _ in 0..5 {
        block_on(lanes[0].next(&mut out)).expect("a batch");
        collect(&mut out, &mut first);
    }
    let positions = lanes[0].positions();
    let mut lanes = open();
    let splits = block_on(lanes[0].splits()).expect("splits");
    let resumed = splits.into_iter().map(|split| (split.clone(), positions.get(&split.id).cloned())).collect();
    block_on(lanes[0].assign(resumed)).expect("assigned");
    let mut second = Read::default();
    drain(lanes[0].as_mut(), &mut second).expect("sound");
    assert!(first.rows() > 0 && second.rows() > 0);
    assert!(first.text() + &second.text() == whole.text(), "every row once, in order");
}

fn fifo(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("pipe.csv");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("a FIFO can be made in a temporary folder");
    path
}

#[test]
fn a_pipe_is_sampled_by_run_and_read_once() {
    let folder = folder(&[]);
    let path = fifo(folder.path());
    let writer = std::thread::spawn(move || {
        let mut pipe = fs::OpenOptions::new().write(true).open(path).expect("there");
        pipe.write_all(b"x,y\n").expect("read");
        for n in 0..30_000 {
            pipe.write_all(format!("{n},text\n").as_bytes()).expect("read");
        }
    });
    let read = read(folder.path(), json!({ "path": "pipe.csv" }));
    writer.join().expect("the writer wrote all");
    assert_eq!(read.rows(), 30_000);
    assert_eq!(read.schema.expect("announced").field(0).data_type(), &DataType::Int64);
}

#[test]
fn a_pipe_is_not_touched_by_validate_and_known_only_from_its_schema() {
    let folder = folder(&[]);
    fifo(folder.path());
    let shape = |value: Value| {
        let mut plan = SourceTest::new(folder.path()).plan(&CsvSource, value, ProbeMode::Look).expect("sound");
        plan.bind(&[]).expect("sound").remove(0).shape
    };
    assert!(
        matches!(shape(json!({ "path": "pipe.csv" })), Shape::Unknown(reason) if reason.contains("only by `rde run`"))
    );
    assert!(matches!(shape(json!({ "path": "-" })), Shape::Unknown(_)));
    let known = shape(json!({ "path": "-", "schema": { "x": "int64" } }));
    assert!(matches!(known, Shape::Known(schema) if schema.fields().len() == 1));
}

#[test]
fn a_row_of_a_silent_pipe_is_seen_before_the_next_one_comes() {
    let folder = folder(&[]);
    let path = fifo(folder.path());
    let (written, seen) = (std::sync::mpsc::channel::<()>(), std::sync::mpsc::channel::<()>());
    let writer = std::thread::spawn(move || {
        let mut pipe = fs::OpenOptions::new().write(true).open(path).expect("there");
        pipe.write_all(b"y,x\n").expect("read");
        pipe.write_all(b"a,1\n").expect("read");
        seen.1.recv().expect("the first row was seen");
        pipe.write_all(b"b,2\n").expect("read");
        drop(written.0);
    });
    let test = SourceTest::new(folder.path());
    let value = json!({ "path": "pipe.csv", "schema": { "x": "int64", "y": "utf8" } });
    let plan = test.plan(&CsvSource, value, ProbeMode::Run).expect("sound");
    let mut lanes = test.open(plan).expect("it opens");
    let (mut read, mut out) = (Read::default(), Output::new());
    while read.rows() == 0 {
        assert_ne!(block_on(lanes[0].next(&mut out)).expect("sound"), Progress::Ended);
        collect(&mut out, &mut read);
    }
    assert_eq!(read.text(), "1,a\n");
    seen.0.send(()).expect("the writer waits");
    drain(lanes[0].as_mut(), &mut read).expect("sound");
    writer.join().expect("the writer wrote all");
    assert_eq!(read.balanced().text(), "1,a\n2,b\n");
}

#[test]
fn batches_of_one_row_and_files_without_header_are_fine() {
    let folder = folder(&[("a.csv", "\u{feff}1;a\r\n2;b\r\n")]);
    let mut test = SourceTest::new(folder.path());
    test.settings.batch_rows_max = 1;
    let read = test.run(&CsvSource, json!({ "path": "a.csv", "header": false, "delimiter": ";" })).expect("sound");
    assert_eq!((read.batches.len(), read.text().as_str()), (2, "1,a\n2,b\n"));
    assert_eq!(read.schema.expect("announced").field(1).name(), "column1");
    let named = json!({ "path": "a.csv", "header": false, "delimiter": ";", "schema": { "n": "int64", "s": "utf8" } });
    assert_eq!(test.run(&CsvSource, named).expect("sound").schema.expect("announced").field(1).name(), "s");
}

#[test]
fn a_tab_has_a_name_and_other_words_are_refused_with_what_is_accepted() {
    let folder = folder(&[("a.tsv", "x\ty\n1\ta,b\n")]);
    for tab in ["tab", "\\t", "\t"] {
        assert_eq!(read(folder.path(), json!({ "path": "a.tsv", "delimiter": tab })).text(), "1,\"a,b\"\n", "{tab:?}");
    }
    for other in ["comma", "\\n", "tabs", "", "\t\t", "\0", "é"] {
        let errors = SourceTest::new(folder.path())
            .run(&CsvSource, json!({ "path": "a.tsv", "delimiter": other }))
            .expect_err("no delimiter");
        let help = errors[0].help_text().unwrap_or_default();
        assert_eq!(errors[0].code(), "RDE0517", "{other:?}");
        assert!(["one ASCII character", "`;`", "`tab`", "`\\t`"].iter().all(|word| help.contains(word)), "{help}");
    }
}

#[test]
fn five_thousand_columns_are_read_and_written() {
    let names: Vec<String> = (0..5000).map(|column| format!("c{column}")).collect();
    let row = vec!["1"; 5000].join(",");
    let folder = folder(&[("a.csv", &format!("{}\n{row}\n{row}\n", names.join(",")))]);
    let read = read(folder.path(), json!({ "path": "a.csv" }));
    assert_eq!((read.rows(), read.batches[0].num_columns()), (2, 5000));
}

#[test]
fn a_row_at_the_limit_passes_and_one_beyond_fails_alone() {
    let folder = folder(&[("a.csv", &format!("x\n{}\n{}\ny\n", "a".repeat(1000), "a".repeat(1001)))]);
    let mut test = SourceTest::new(folder.path());
    test.settings.row_bytes_max = rde_core::ByteSize(1000);
    let read = test.run(&CsvSource, json!({ "path": "a.csv" })).expect("sound");
    assert_eq!((read.rows(), read.rejected.len()), (2, 1));
    assert_eq!(read.rejected[0].code, "RDE0514");
}

#[test]
fn the_reference_example_parses_and_binds_to_its_fields() {
    let reference = CsvSource.reference();
    assert_eq!(reference.schema["additionalProperties"], json!(false));
    assert!(reference.schema["properties"].get("null_values").is_some());
    assert!(reference.notes.contains("| hexadecimal numbers: `0x10` | bigint | utf8 | |"), "inference has its table");
    assert!(context(Path::new("."), 1, 1).settings.batch_rows_max > 0);
}
