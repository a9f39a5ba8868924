//! Files, row groups, pushdown and damage of the `parquet` source, through its plan and lanes.
#![expect(clippy::disallowed_methods, reason = "the other end of a pipe is a thread of the test")]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int64Array, IntervalDayTimeArray, ListArray, RecordBatch, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, IntervalDayTime};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use rde_core::{ByteSize, Columns, Comparison, Predicate, ProbeMode, Scalar, Shape, Wanted};
use serde_json::{Value, json};

use super::ParquetSource;
use crate::testing::{Read, SourceTest};

/// Rows of a row group in the test files.
const GROUP: i64 = 1000;

fn batch(from: i64, to: i64) -> RecordBatch {
    let numbers: Int64Array = (from..to).map(|n| (n % 10 != 3).then_some(n)).collect();
    let texts: StringArray = (from..to).map(|n| Some(format!("t{}", n % 7))).collect();
    let floats: Float64Array = (from..to).map(|n| Some(if n % 100 == 50 { f64::NAN } else { n as f64 })).collect();
    let columns: Vec<(&str, ArrayRef, bool)> =
        vec![("n", Arc::new(numbers), true), ("s", Arc::new(texts), true), ("f", Arc::new(floats), true)];
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
}

fn write(path: &Path, batch: &RecordBatch) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(GROUP as usize)).build();
    let file = File::create(path).expect("the folder is writable");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("the schema fits");
    writer.write(batch).expect("writable");
    writer.close().expect("writable");
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(&folder.path().join("a.parquet"), &batch(0, 3500));
    folder
}

fn read(test: &SourceTest, value: Value) -> Read {
    test.run(&ParquetSource, value).expect("the input is sound")
}

fn greater(column: &str, scalar: Scalar) -> Option<Predicate> {
    Some(Predicate::Compare(column.to_owned(), Comparison::Greater, scalar))
}

#[test]
fn all_rows_and_columns_come_in_order() {
    let folder = folder();
    let read = read(&SourceTest::new(folder.path()), json!({ "path": "." }));
    assert_eq!(read.rows(), 3500);
    let whole =
        arrow::compute::concat_batches(&read.schema.clone().expect("announced"), &read.batches).expect("one schema");
    assert_eq!(format!("{:?}", whole.columns()), format!("{:?}", batch(0, 3500).columns()));
    assert!(read.counted.bytes > 0);
}

#[test]
fn row_groups_that_statistics_rule_out_are_not_read() {
    let folder = folder();
    let mut test = SourceTest::new(folder.path());
    test.wanted =
        Wanted { columns: Columns::Named(["n".to_owned()].into()), predicate: greater("n", Scalar::Int64(2990)) };
    let read = read(&test, json!({ "path": "a.parquet" }));
    // The third group reaches to 2999, the fourth has 500 rows; every tenth number is null.
    assert_eq!(read.counted.rows_read, 1500);
    assert_eq!(read.rows(), (2991..3500).filter(|n| n % 10 != 3).count() as u64);
    assert_eq!(read.schema.expect("announced").fields().len(), 1);
}

#[test]
fn floats_are_not_pruned_since_nan_is_in_no_statistics() {
    let folder = folder();
    let mut test = SourceTest::new(folder.path());
    test.wanted = Wanted { columns: Columns::All, predicate: greater("f", Scalar::Float64(1e9)) };
    let read = read(&test, json!({ "path": "a.parquet" }));
    assert_eq!(read.counted.rows_read, 3500);
    assert_eq!(read.rows(), 35, "NaN is greater than every number, as in SQL");
}

#[test]
fn a_pruned_answer_equals_the_one_without_statistics() {
    let folder = folder();
    let compare = |op, n| Predicate::Compare("n".to_owned(), op, Scalar::Int64(n));
    let text = |op, s: &str| Predicate::Compare("s".to_owned(), op, Scalar::Utf8(s.to_owned()));
    let predicates = [
        compare(Comparison::Equal, 1999),
        compare(Comparison::Less, 0),
        compare(Comparison::LessOrEqual, 0),
        compare(Comparison::GreaterOrEqual, 3499),
        compare(Comparison::NotEqual, 7),
        Predicate::IsNull("n".to_owned()),
        Predicate::IsNotNull("s".to_owned()),
        Predicate::Not(Box::new(compare(Comparison::Less, 3000))),
        Predicate::Or(vec![compare(Comparison::Less, 10), compare(Comparison::Greater, 3490)]),
        Predicate::And(vec![text(Comparison::Equal, "t1"), compare(Comparison::Less, 1500)]),
        text(Comparison::Greater, "t9"),
    ];
    let all = batch(0, 3500);
    for predicate in predicates {
        let kept = predicate.evaluate(3500, &|name| all.column_by_name(name).cloned()).expect("known columns");
        let expected = arrow::compute::filter_record_batch(&all, &kept).expect("one length");
        let mut test = SourceTest::new(folder.path());
        test.wanted = Wanted { columns: Columns::All, predicate: Some(predicate.clone()) };
        let read = read(&test, json!({ "path": "a.parquet" }));
        let found = arrow::compute::concat_batches(&all.schema(), &read.batches).expect("one schema");
        assert_eq!(format!("{:?}", found.columns()), format!("{:?}", expected.columns()), "{predicate:?}");
    }
}

#[test]
fn row_groups_are_divided_between_lanes() {
    let folder = folder();
    let mut test = SourceTest::new(folder.path());
    test.lanes = 8;
    let read = read(&test, json!({ "path": "a.parquet" }));
    assert_eq!(read.rows_by_lane, [1000, 1000, 1000, 500]);
}

#[test]
fn files_are_matched_by_column_name_and_type() {
    let folder = folder();
    let other = batch(0, 10).project(&[2, 0, 1]).expect("three columns");
    write(&folder.path().join("b.parquet"), &other);
    assert_eq!(read(&SourceTest::new(folder.path()), json!({ "path": "*.parquet" })).rows(), 3510);
    let wrong =
        RecordBatch::try_from_iter([("n", batch(0, 3).column(1).clone()), ("x", batch(0, 3).column(0).clone())]);
    write(&folder.path().join("b.parquet"), &wrong.expect("two columns"));
    let errors = SourceTest::new(folder.path()).run(&ParquetSource, json!({ "path": "." })).expect_err("b differs");
    assert_eq!(errors[0].code(), "RDE0532");
    let expected = "columns of `b.parquet` differ from `a.parquet`: `n` is utf8, not int64; without `s`; without `f`; with additional `x`";
    assert_eq!(errors[0].message(), expected);
    let given = json!({ "path": "a.parquet", "schema": { "n": "int64", "s": "utf8", "f": "float32" } });
    let errors = SourceTest::new(folder.path()).run(&ParquetSource, given).expect_err("f is float64");
    assert_eq!(errors[0].message(), "columns of `a.parquet` differ from `schema`: `f` is float64, not float32");
}

#[test]
fn damage_anywhere_is_an_error_that_names_the_file_or_no_damage_at_all() {
    let folder = folder();
    let path = folder.path().join("a.parquet");
    let sound = fs::read(&path).expect("it is there");
    for cut in [0, 3, 4, 12, sound.len() / 2, sound.len() - 1] {
        fs::write(&path, &sound[..cut]).expect("writable");
        let errors = SourceTest::new(folder.path()).run(&ParquetSource, json!({ "path": "." })).expect_err("cut off");
        assert_eq!(errors[0].code(), "RDE0530", "{cut} bytes");
        assert!(errors[0].message().contains("a.parquet"));
    }
    let mut rng = fastrand::Rng::with_seed(7);
    let mut damaged = 0;
    for _ in 0..60 {
        let mut bytes = sound.clone();
        for _ in 0..8 {
            let at = rng.usize(4..bytes.len());
            bytes[at] ^= rng.u8(1..);
        }
        fs::write(&path, &bytes).expect("writable");
        if let Err(errors) = SourceTest::new(folder.path()).run(&ParquetSource, json!({ "path": "." })) {
            assert!(["RDE0530", "RDE0531", "RDE0532", "RDE0507"].contains(&errors[0].code()), "{errors:?}");
            assert!(errors[0].message().contains("a.parquet"), "{errors:?}");
            damaged += 1;
        }
    }
    assert!(damaged > 10, "most damage is seen");
}

#[test]
fn a_page_that_is_damaged_is_named_with_its_row_group() {
    let folder = folder();
    let path = folder.path().join("a.parquet");
    let mut bytes = fs::read(&path).expect("it is there");
    // The first page's header begins behind the magic number.
    bytes[4..40].fill(0xff);
    fs::write(&path, &bytes).expect("writable");
    let errors = SourceTest::new(folder.path()).run(&ParquetSource, json!({ "path": "." })).expect_err("damaged");
    assert_eq!(errors[0].code(), "RDE0531");
    assert_eq!(errors[0].message(), "cannot read row group 0 of `a.parquet`");
    assert!(!errors[0].causes().is_empty());
}

/// Scenario: a file comes through a FIFO, is looked at without being read, and is larger than may be kept.
/// Guarantees: a run reads every row group of it; a look neither reads nor waits; the bound holds at the limit and one below.
#[test]
fn a_pipe_is_kept_and_read_like_a_file() {
    let folder = folder();
    let fifo = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let bytes = fs::read(folder.path().join("a.parquet")).expect("it is there");
    let mut test = SourceTest::new(folder.path());
    let plan = test.plan(&ParquetSource, json!({ "path": "pipe" }), ProbeMode::Look);
    let shapes = plan.expect("a pipe is an input").bind(&[]).expect("its columns come later");
    assert!(matches!(&shapes[0].shape, Shape::Unknown(reason) if reason.contains("`schema`")), "{:?}", shapes[0].shape);

    let mut run = |spill_max: u64, lanes| {
        test.settings.spill = folder.path().join("spill");
        test.settings.spill_max = ByteSize(spill_max);
        test.lanes = lanes;
        let (fifo, bytes) = (fifo.clone(), bytes.clone());
        // The reader may leave before the end.
        let writer = std::thread::spawn(move || drop(fs::write(fifo, bytes)));
        let read = test.run(&ParquetSource, json!({ "path": "pipe" }));
        writer.join().expect("the writer ends");
        read
    };
    let read = run(bytes.len() as u64, 8).expect("it is kept");
    assert_eq!(read.rows_by_lane, [1000, 1000, 1000, 500]);
    assert_eq!(fs::read_dir(folder.path().join("spill")).expect("it was made").count(), 0, "the file has no name");
    let errors = run(bytes.len() as u64 - 1, 1).expect_err("one byte too many");
    assert_eq!(errors[0].code(), "RDE0533");
}

/// Scenario: a file with an INTERVAL, read whole, read without that column, and read for a predicate on it.
/// Guarantees: nobody reads an interval without its months, and nobody is kept from reading the columns beside it.
#[test]
fn an_interval_is_refused_where_it_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let spans = IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, 2)]);
    let list = ListArray::new(
        Arc::new(Field::new("item", spans.data_type().clone(), true)),
        OffsetBuffer::from_lengths([1]),
        Arc::new(spans.clone()),
        None,
    );
    let columns: Vec<(&str, ArrayRef)> =
        vec![("n", Arc::new(Int64Array::from(vec![7]))), ("i", Arc::new(spans)), ("l", Arc::new(list))];
    write(&folder.path().join("a.parquet"), &RecordBatch::try_from_iter(columns).expect("columns of one row"));
    let run = |wanted| {
        let test = SourceTest { wanted, ..SourceTest::new(folder.path()) };
        test.run(&ParquetSource, json!({ "path": "a.parquet" }))
    };
    let named = || Columns::Named(["n".to_owned()].into());
    assert_eq!(run(Wanted { columns: named(), predicate: None }).expect("it is not read").rows(), 1);
    let errors = run(Wanted::all()).expect_err("its months would be lost");
    let found: Vec<_> = errors.iter().map(|error| (error.code(), error.operator())).collect();
    assert_eq!(found, [("RDE0535", Some("op")); 2]);
    assert!(errors[0].message().contains("column `i`") && errors[0].help_text().is_some(), "{errors:?}");
    let errors = run(Wanted { columns: named(), predicate: Some(Predicate::IsNull("i".to_owned())) });
    assert_eq!(errors.expect_err("the predicate reads it").len(), 1);
}
