//! What inference guarantees: the types of single columns as DuckDB 1.5.5 gives them (where we agree; INFERENCE.md lists
//! where we do not), names, several files, limits.

use super::*;

fn options() -> InferOptions {
    InferOptions {
        delimiter: b',',
        header: true,
        null_values: vec![String::new()],
        rows_max: Some(SAMPLE_ROWS),
        row_bytes_max: 1 << 20,
    }
}

fn sample_with(options: InferOptions, text: &[u8]) -> Result<FileSample> {
    let mut sampler = Sampler::new(options)?;
    for piece in text.chunks(7) {
        sampler.feed(piece)?;
    }
    sampler.finish()
}

fn sample(text: &str) -> FileSample {
    sample_with(options(), text.as_bytes()).expect("the sample can be read")
}

fn schema_of(text: &str) -> String {
    let schema = merge(&[sample(text)]).expect("one file has its own columns");
    let column = |column: &InferredColumn| format!("{}: {}", column.name, column.data_type);
    schema.columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// Infers the type of a column of these values.
fn type_of(values: &[&str]) -> DataType {
    let rows: String = values.iter().map(|value| format!("{value},z\n")).collect();
    let schema = merge(&[sample(&format!("x,y\n{rows}"))]).expect("one file has its own columns");
    schema.columns[0].data_type.clone()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn types_are_those_of_duckdb() {
    let stamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let cases: &[(DataType, &[&[&str]])] = &[
        (
            DataType::Int64,
            &[
                &["1", "2"],
                &["-1"],
                &[" 1"],
                &["1 "],
                &["-0"],
                &["0", "1"],
                &["9223372036854775807"],
                &["", "1"],
                &["\"1\"", "2"],
                &["\"\"", "2"],
                &["20130101"],
                &["-07"],
                &["0"],
            ],
        ),
        (
            DataType::Float64,
            &[
                &["1.5"],
                &["1."],
                &[".5"],
                &["1e5"],
                &["1E5"],
                &["nan"],
                &["NaN"],
                &["1.0", "2"],
                &["1", "2.5"],
                &[" 1.5"],
                &["0.5"],
                &["-.5"],
                &["9223372036854775808"],
                &["1", "9223372036854775808"],
                &["1e+5"],
                &["1.e3"],
                &["-nan"],
            ],
        ),
        (
            DataType::Boolean,
            &[
                &["true", "false"],
                &["TRUE"],
                &["t", "f"],
                &["T", "F"],
                &["yes", "no"],
                &["tRuE"],
                &["TRUE", "no"],
                &["true", ""],
            ],
        ),
        (
            DataType::Date32,
            &[
                &["2013-01-01"],
                &["2013-1-1"],
                &["2013/01/01"],
                &["2013.01.01"],
                &[" 2013-01-01"],
                &["\"2013-01-01\""],
                &["9999-12-31"],
                &["12013-01-01"],
            ],
        ),
        (
            stamp,
            &[
                &["2013-01-01 10:00:00"],
                &["2013-01-01T10:00:00"],
                &["2013-01-01 10:00"],
                &["2013-01-01T10:00"],
                &["2013-01-01 10:00:00.5"],
                &["2013-01-01 10:00:00.123456"],
                &["2013-01-01 24:00:00"],
                &["2013-01-01 1:02:03"],
                &["2013/01/01 10:00:00"],
                &["2013-01-01 10:00:00", "2013-01-01"],
                &["2013-01-01 10:00", "2013-01-01 10:00:00"],
            ],
        ),
        (
            zoned,
            &[
                &["2013-01-01T10:00:00Z"],
                &["2013-01-01 10:00:00Z"],
                &["2013-01-01 10:00:00+00"],
                &["2013-01-01 10:00:00+02:00"],
                &["2013-01-01 10:00:00-0530"],
                &["2013-01-01 10:00:00.5Z"],
                &["2013-01-01 10:00:00", "2013-01-01 10:00:00Z"],
                &["2013-01-01 10:00:00Z", "2013-01-01"],
            ],
        ),
        (
            DataType::Utf8,
            &[
                &[""],
                &["+1"],
                &["1_000"],
                &["007"],
                &["007", "1"],
                &["1", "007"],
                &["00"],
                &["01.5"],
                &["1e"],
                &["+1.5"],
                &["- 1"],
                &["--1"],
                &["1d"],
                &["."],
                &["-"],
                &["true", "1"],
                &["1", "true"],
                &[" true"],
                &["y", "n"],
                &["2013-02-30"],
                &["2013-13-01"],
                &["2013-01-01 10:00:00+2"],
                &["2013-01-01T10"],
                &["2013-01-01 23:59:60"],
                &["2013-01-01t10:00:00"],
                &["2013-01-01T10:00:00z"],
                &["2013-01-01  10:00:00"],
                &["1", "2013-01-01"],
                &["true", "x"],
                &["\"x\"\"y\""],
                &["1", "x"],
                &["NULL"],
                &["2013-001-01"],
                &["2013-01/01"],
                &["2013-01-01 10:60:00"],
            ],
        ),
    ];
    for (expected, columns) in cases {
        for values in *columns {
            assert_eq!(type_of(values), *expected, "{values:?}");
        }
    }
}

#[test]
fn a_type_does_not_depend_on_the_order_of_rows() {
    for values in [
        ["2013-01-01", "2013-01-01 10:00:00"],
        ["2013-01-01", "2013-01-01 10:00:00Z"],
        ["1", "1.5"],
        ["a", "1"],
        ["true", ""],
    ] {
        let [first, second] = values;
        assert_eq!(type_of(&[first, second]), type_of(&[second, first]), "{values:?}");
    }
}

#[test]
fn names_are_those_of_the_header() {
    let names = |header: &str| sample(&format!("{header}\n")).names().join("|");
    assert_eq!(names("a,b"), "a|b");
    assert_eq!(names("a,a,a"), "a|a_1|a_2");
    assert_eq!(names("a,a_1,a"), "a|a_1|a_1_1");
    assert_eq!(names("a,a,a_1"), "a|a_1|a_1_1");
    assert_eq!(names("a,,b,"), "a|column1|b|column3");
    assert_eq!(names("column1,"), "column1|column1_1");
    assert_eq!(names(" a , b"), "a|b");
    assert_eq!(names("\"a b\",\"c\"\"d\""), "a b|c\"d");
    assert_eq!(names("\u{feff}a,b\r"), "a|b");
    assert_eq!(names("\n\na,\"b\nc\""), "a|b\nc");
    let no_header =
        sample_with(InferOptions { header: false, ..options() }, b"1,x\n2,y\n").expect("the sample can be read");
    assert_eq!((no_header.names().join("|").as_str(), no_header.rows()), ("column0|column1", 2));
}

#[test]
fn files_without_rows_or_line_ends_have_columns_all_the_same() {
    assert_eq!(schema_of("a,b\n"), "a: Utf8, b: Utf8");
    assert_eq!(schema_of("a,b"), "a: Utf8, b: Utf8");
    assert_eq!(schema_of("a,b\n1,x"), "a: Int64, b: Utf8");
    assert_eq!(schema_of("a,b\r\n1,2.5\r\n"), "a: Int64, b: Float64");
    assert_eq!(sample("").names().len(), 0);
    assert_eq!(sample("\n\n").names().len(), 0);
    let returns = sample_with(options(), b"a,b\r1,2\r3,4\r").expect_err("the lines end with carriage returns");
    assert_eq!(returns.code(), "RDE0518");
}

#[test]
fn null_values_and_broken_rows_say_nothing_about_types() {
    let nulls = InferOptions { null_values: vec!["NA".into(), "-".into()], ..options() };
    let seen = sample_with(nulls, b"a,b\n1,-\nNA,2.5\n\"NA\",3\nx\ny,z,w\n4,\"5\"z\n").expect("the sample can be read");
    let schema = merge(std::slice::from_ref(&seen)).expect("one file has its own columns");
    let types: Vec<&DataType> = schema.columns.iter().map(|column| &column.data_type).collect();
    assert_eq!((types, seen.rows()), (vec![&DataType::Int64, &DataType::Float64], 3));
}

#[test]
fn rows_max_rows_are_looked_at_and_no_more() {
    let with = |row: u64| format!("a\n{}x\n", "1\n".repeat(row as usize - 1));
    assert_eq!(schema_of(&with(SAMPLE_ROWS)), "a: Utf8");
    assert_eq!(schema_of(&with(SAMPLE_ROWS + 1)), "a: Int64");
    let all = sample_with(InferOptions { rows_max: None, ..options() }, with(SAMPLE_ROWS + 1).as_bytes());
    assert_eq!(all.expect("the sample can be read").rows(), SAMPLE_ROWS + 1);
    let mut none = Sampler::new(InferOptions { rows_max: Some(0), ..options() }).expect("the options are valid");
    none.feed(b"a,b\n1").expect("the header is complete");
    assert!(!none.wants_more());
    assert_eq!(none.finish().expect("the header is complete").names(), ["a", "b"]);
}

#[test]
fn a_first_row_may_have_row_bytes_max_bytes_and_no_more() {
    let limited = |len: usize| {
        let text = format!("{}\n1\n", "a".repeat(len));
        sample_with(InferOptions { row_bytes_max: 100, ..options() }, text.as_bytes())
    };
    assert_eq!(limited(100).expect("it fits").names()[0].len(), 100);
    assert_eq!(limited(150).expect_err("it does not fit").code(), "RDE0514");
}

#[test]
fn files_are_joined_by_column_name() {
    let joined =
        merge(&[sample("a,b\n1,x\n"), sample("b,a\ny,2.5\n"), sample("a,b\n")]).expect("the columns are the same");
    let types: Vec<&DataType> = joined.columns.iter().map(|column| &column.data_type).collect();
    assert_eq!((joined.columns[0].name.as_str(), types), ("a", vec![&DataType::Float64, &DataType::Utf8]));
    let mismatch = merge(&[sample("a,b\n"), sample("b,c\n")]).expect_err("the columns are not the same");
    assert_eq!(mismatch, ColumnMismatch { file: 1, missing: vec!["a".into()], additional: vec!["c".into()] });
    assert!(merge(&[]).expect("no file has no columns").columns.is_empty());
}

/// Returns `column: narrower, file, value, line` of each column that is utf8 for a few values.
fn fallbacks(files: &[&str]) -> Vec<String> {
    let samples: Vec<FileSample> = files.iter().map(|text| sample(text)).collect();
    let schema = merge(&samples).expect("the columns are the same");
    let of = |column: &InferredColumn| {
        let Fallback { narrower, file, odd } = column.fallback.as_ref()?;
        assert_eq!(column.data_type, DataType::Utf8);
        Some(format!("{}: {narrower}, {file}, {}, {}", column.name, odd.value, odd.line))
    };
    schema.columns.iter().filter_map(of).collect()
}

#[test]
fn a_value_that_makes_a_column_utf8_is_named_with_its_line() {
    let late = format!("a,b\n{}n/a,x\n7,y\n", "1,z\n".repeat(12_343));
    assert_eq!(fallbacks(&[&late]), ["a: Int64, 0, n/a, 12345"]);
    assert_eq!(fallbacks(&["a\nn/a\n1\n2.5\n"]), ["a: Float64, 0, n/a, 2"]);
    let quoted = "\u{feff}a,b\r\n1,\"x\r\ny\"\r\n2,z\r\n\"-\",z\r\n";
    assert_eq!(fallbacks(&[quoted]), ["a: Int64, 0, -, 5"]);
    assert_eq!(fallbacks(&["a\n2013-01-01\n2013-01-02\nnever\n"]), ["a: Date32, 0, never, 4"]);
    assert_eq!(fallbacks(&["b,a\nx,1\n", "a,b\n2,x\n?,y\n"]), ["a: Int64, 1, ?, 3"]);
}

#[test]
fn a_column_of_texts_or_of_kinds_that_do_not_mix_has_no_odd_value() {
    assert_eq!(fallbacks(&["a\nx\ny\n1\n"]), [""; 0]);
    assert_eq!(fallbacks(&["a\n1\nx\n"]), [""; 0]);
    assert_eq!(fallbacks(&["a\n1\n2013-01-01\n2\n"]), [""; 0]);
    assert_eq!(fallbacks(&["a\n\n"]), [""; 0]);
    let names = format!("a\n42\n{}{}", "name\n".repeat(10), "43\n".repeat(5));
    assert_eq!(fallbacks(&[&names]), [""; 0]);
}

#[test]
fn five_thousand_columns_are_inferred() {
    let header = (0..5000).map(|idx| format!("c{idx}")).collect::<Vec<_>>().join(",");
    let row = (0..5000).map(|idx| idx.to_string()).collect::<Vec<_>>().join(",");
    let schema = merge(&[sample(&format!("{header}\n{row}\n{row}\n"))]).expect("one file has its own columns");
    assert_eq!(schema.columns.len(), 5000);
    assert!(schema.columns.iter().all(|column| column.data_type == DataType::Int64));
    assert_eq!(schema.schema().field(4999).name(), "c4999");
}
