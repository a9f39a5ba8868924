//! What the decoder guarantees: tables of cases, limits, and csv-core and arrow-csv as oracles on random text.

mod oracles;

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use proptest::prelude::*;
use rde_core::{Comparison, Predicate, Scalar};

use super::fuzz::{Answer, Way, decode, fuzz_csv, show_rows};
use super::simd::Level;
use super::*;

fn options(types: &[DataType]) -> DecoderOptions {
    let plan = |(field, data_type): (usize, &DataType)| ColumnPlan {
        field,
        name: char::from(b'a' + field as u8).to_string(),
        data_type: data_type.clone(),
        output: true,
    };
    DecoderOptions {
        delimiter: b',',
        null_values: vec![String::new()],
        fields: types.len(),
        columns: types.iter().enumerate().map(plan).collect(),
        predicate: None,
        file_start: true,
        header: false,
        rows_max: 8192,
        bytes_max: 1 << 20,
        row_bytes_max: 1 << 20,
    }
}

fn usual() -> Way {
    Way { read: usize::MAX, chunk: 1 << 16, level: Level::best(), rows_max: 8192, bytes_max: 1 << 20 }
}

fn text_of(answer: &Answer) -> String {
    let bad = |bad: &BadRow| {
        format!("line {}: {} {} <{}>", bad.line, bad.code.id, bad.message, String::from_utf8_lossy(&bad.payload))
    };
    answer.rows.iter().cloned().chain(answer.bad.iter().map(bad)).collect::<Vec<_>>().join("\n")
}

/// Decodes text in one piece and in pieces of one byte, and compares with what is expected.
fn check(options: &DecoderOptions, input: impl AsRef<[u8]>, expected: &[&str]) {
    let input = input.as_ref();
    let answer = decode(input, options, usual());
    assert_eq!(text_of(&answer), expected.join("\n"), "{:?}", String::from_utf8_lossy(input));
    let bytewise = Way { read: 1, chunk: 64, level: Level::Portable, rows_max: 1, bytes_max: 1 };
    assert_eq!(decode(input, options, bytewise), answer, "{:?} byte by byte", String::from_utf8_lossy(input));
}

fn utf8(fields: usize) -> DecoderOptions {
    options(&vec![DataType::Utf8; fields])
}

#[test]
fn records_end_with_lf_or_crlf_or_the_input() {
    for input in ["x,y\nz,w\n", "x,y\nz,w", "x,y\r\nz,w\r\n", "x,y\r\nz,w\r", "\u{feff}x,y\nz,w", "x,y\r\nz,w"] {
        check(&utf8(2), input, &["`x`|`y`", "`z`|`w`"]);
    }
    check(&utf8(2), "", &[]);
    check(&utf8(2), "\u{feff}", &[]);
    check(&utf8(2), "x\ry,z\n", &["`x\ry`|`z`"]);
}

#[test]
fn empty_lines_are_rows_only_in_a_file_of_one_column() {
    check(&utf8(2), "\nx,y\n\n\r\nz,w\n\n", &["`x`|`y`", "`z`|`w`"]);
    check(&utf8(1), "x\n\ny\n\r\n", &["`x`", "null", "`y`", "null"]);
    check(&DecoderOptions { header: true, ..utf8(1) }, "\n\nname\nx\n\n", &["`x`", "null"]);
}

#[test]
fn quoted_fields_hold_delimiters_line_ends_and_doubled_quotes() {
    check(&utf8(2), "\"x,\ny\",\"a \"\"b\"\"\"\n\"\",z\n", &["`x,\ny`|`a \"b\"`", "null|`z`"]);
    let short = "line 1: RDE0511 the row has 1 field, the file has 2 columns <\"x\">";
    check(&utf8(2), "\"x\"\r\n,y\n", &["null|`y`", short]);
    check(&utf8(2), "x,\"y\"\r\n\"\"\"\",\"\"\"\"\"\"\n", &["`x`|`y`", "`\"`|`\"\"`"]);
    check(&DecoderOptions { null_values: vec![], ..utf8(2) }, "\"\",\n", &["``|``"]);
}

#[test]
fn a_quote_inside_an_unquoted_field_is_text() {
    check(&utf8(2), "x\"y,5\"\n \"z\",w\n", &["`x\"y`|`5\"`", "` \"z\"`|`w`"]);
    check(&utf8(2), "\"q\",a\"\n\"r,\ns\",b\n", &["`q`|`a\"`", "`r,\ns`|`b`"]);
}

#[test]
fn text_after_a_closing_quote_fails_the_row_alone() {
    let message = "text follows the closing quote of a value; a quote inside a quoted value is written twice";
    for bad in ["\"x\"y,z", "\"x\" ,z", "y,\"x\"\rz", "\"x\"\r,z", "\"x\"y\"z\",1"] {
        let failure = format!("line 2: RDE0512 {message} <{bad}>");
        check(&utf8(2), format!("1,2\n{bad}\n3,4\n"), &["`1`|`2`", "`3`|`4`", &failure]);
    }
}

#[test]
fn a_quote_that_is_never_closed_fails_what_follows_it() {
    let failure = "line 2: RDE0513 the input ends inside a quoted value that began in this row <3,\"4\n5,6\n>";
    check(&utf8(2), "1,2\n3,\"4\n5,6\n", &["`1`|`2`", failure]);
}

#[test]
fn a_wrong_number_of_fields_fails_the_row_alone() {
    check(
        &utf8(3),
        "a\nb,c\n1,2,3\n1,2,3,4\n",
        &[
            "`1`|`2`|`3`",
            "line 1: RDE0511 the row has 1 field, the file has 3 columns <a>",
            "line 2: RDE0511 the row has 2 fields, the file has 3 columns <b,c>",
            "line 4: RDE0511 the row has 4 fields, the file has 3 columns <1,2,3,4>",
        ],
    );
    // Counted even where no column is read, and where the predicate would refuse the row.
    let none = DecoderOptions { columns: vec![], ..utf8(2) };
    check(&none, "1,2\n3\n4,5\n", &["", "", "line 2: RDE0511 the row has 1 field, the file has 2 columns <3>"]);
}

#[test]
fn a_row_of_many_more_fields_than_a_chunk_holds_is_counted() {
    let many = ",".repeat(2000);
    let failure = format!("line 2: RDE0511 the row has 2001 fields, the file has 2 columns <{many}>");
    check(&utf8(2), format!("1,2\n{many}\n3,4\n"), &["`1`|`2`", "`3`|`4`", &failure]);
}

#[test]
fn nul_bytes_are_text_and_bytes_that_are_not_utf8_fail_the_row() {
    check(&utf8(1), "x\0y\n", &["`x\0y`"]);
    check(
        &utf8(2),
        b"\xff\xfe,1\nx,2\n\xc3\xa9,3\n",
        &[
            "`x`|`2`",
            "`é`|`3`",
            "line 1: RDE0515 column `a`: `\u{fffd}\u{fffd}` is not valid UTF-8 <\u{fffd}\u{fffd},1>",
        ],
    );
    // The two halves of one character in two rows are two failures, though together they are valid.
    let halves = decode(b"\xc3\n\xa9\n", &utf8(1), usual());
    assert_eq!((halves.rows.len(), halves.bad.len()), (0, 2));
    check(&options(&[DataType::Binary]), b"\xff\n", &["`ff`"]);
    let unread = DecoderOptions { columns: utf8(2).columns.split_off(1), ..utf8(2) };
    check(&unread, b"\xff,x\n", &["`x`"]);
}

#[test]
fn null_values_are_compared_as_bytes_with_or_without_quotes() {
    let nulls = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let two = options(&[DataType::Int64, DataType::Utf8]);
    let na = DecoderOptions { null_values: nulls(&["NA", ""]), ..two.clone() };
    check(
        &na,
        "NA,NA\n\"NA\",\"NA\"\n,\n\"\",\"\"\n1,na\n",
        &["null|null", "null|null", "null|null", "null|null", "`1`|`na`"],
    );
    let number = DecoderOptions { null_values: nulls(&["-999", "a\"b"]), ..two.clone() };
    check(&number, "-999,-999\n\"-999\",\"a\"\"b\"\n999,\n", &["null|null", "null|null", "`999`|``"]);
    check(
        &DecoderOptions { null_values: vec![], ..two },
        ",x\n",
        &["line 1: RDE0510 column `a`: `` cannot be read as int64 <,x>"],
    );
}

#[test]
fn only_what_somebody_reads_is_checked() {
    let all = options(&[DataType::Int64, DataType::Int64, DataType::Int64]);
    let mut read = all.clone();
    read.columns.remove(1);
    check(&read, "1,x,3\n4,5,y\n", &["`1`|`3`", "line 2: RDE0510 column `c`: `y` cannot be read as int64 <4,5,y>"]);
    // A row that the predicate refuses is looked at no further; its own column is.
    let filtered = DecoderOptions {
        predicate: Some(Predicate::Compare("a".into(), Comparison::Greater, Scalar::Int64(2))),
        ..all
    };
    check(
        &filtered,
        "1,x,3\n4,x,5\ny,6,7\n8,9,10\n,1,2\n",
        &[
            "`8`|`9`|`10`",
            "line 2: RDE0510 column `b`: `x` cannot be read as int64 <4,x,5>",
            "line 3: RDE0510 column `a`: `y` cannot be read as int64 <y,6,7>",
        ],
    );
    assert_eq!(decode(b"1,x,3\n4,5,6\n,1,2\n", &filtered, usual()).filtered, 2);
}

#[test]
fn a_predicate_asks_its_parts_in_order_and_keeps_only_what_is_true() {
    let compare = |name: &str, comparison, value| Predicate::Compare(name.into(), comparison, Scalar::Int64(value));
    let predicate = Predicate::And(vec![
        compare("a", Comparison::GreaterOrEqual, 2),
        Predicate::Or(vec![compare("b", Comparison::Equal, 1), Predicate::IsNull("b".into())]),
        compare("a", Comparison::Less, 5),
    ]);
    let mut asked = DecoderOptions { predicate: Some(predicate), ..options(&[DataType::Int64, DataType::Int64]) };
    check(
        &asked,
        "1,x\n2,1\n3,\n4,2\n5,y\n4,z\n",
        &["`2`|`1`", "`3`|null", "line 6: RDE0510 column `b`: `z` cannot be read as int64 <4,z>"],
    );
    asked.columns[0].output = false;
    check(&asked, "2,1\n", &["`1`"]);
}

#[test]
#[expect(clippy::too_many_lines, clippy::type_complexity, reason = "a table of cases")]
fn values_of_every_type_are_read_or_fail() {
    let cases: &[(DataType, &[(&str, Option<&str>)])] = &[
        (
            DataType::Int64,
            &[
                ("0", Some("0")),
                ("-0", Some("0")),
                ("12345678", Some("12345678")),
                ("123456789", Some("123456789")),
                ("-1234567890123456", Some("-1234567890123456")),
                ("007", Some("7")),
                (" 5 ", Some("5")),
                ("9223372036854775807", Some("9223372036854775807")),
                ("-9223372036854775808", Some("-9223372036854775808")),
                ("9223372036854775808", None),
                ("-9223372036854775809", None),
                ("+1", None),
                ("1.0", None),
                ("-", None),
                ("1e3", None),
                ("0x10", None),
                ("1_0", None),
                ("--1", None),
                ("1 2", None),
                ("12345678:", None),
            ],
        ),
        (
            DataType::Int32,
            &[("2147483647", Some("2147483647")), ("2147483648", None), ("-2147483648", Some("-2147483648"))],
        ),
        (DataType::Int16, &[("-32768", Some("-32768")), ("32768", None)]),
        (DataType::Int8, &[("127", Some("127")), ("128", None)]),
        (DataType::UInt8, &[("255", Some("255")), ("256", None), ("-1", None)]),
        (DataType::UInt64, &[("18446744073709551615", Some("18446744073709551615")), ("18446744073709551616", None)]),
        (
            DataType::Float64,
            &[
                ("1.5", Some("1.5")),
                ("-0.1", Some("-0.1")),
                (".5", Some("0.5")),
                ("5.", Some("5.0")),
                ("1e3", Some("1000.0")),
                ("9007199254740993", Some("9007199254740992.0")),
                ("0.1234567890123456789", Some("0.12345678901234568")),
                ("NaN", Some("NaN")),
                ("-inf", Some("-inf")),
                ("1e400", None),
                (".", None),
                ("-", None),
                ("+1", None),
                ("1,5", None),
                ("1.2.3", None),
                ("1e", None),
                ("-+1", None),
                ("4.9e-324", Some("5e-324")),
            ],
        ),
        (DataType::Float32, &[("0.1", Some("0.1")), ("16777217", Some("16777216.0")), ("1e39", None)]),
        (
            DataType::Boolean,
            &[
                ("true", Some("true")),
                ("F", Some("false")),
                ("No", Some("false")),
                ("1", Some("true")),
                ("y", None),
                (" true", None),
            ],
        ),
        (
            DataType::Date32,
            &[
                ("2013-01-31", Some("2013-01-31")),
                ("2012-02-29", Some("2012-02-29")),
                ("2013-02-29", None),
                ("2013-1-1", Some("2013-01-01")),
                ("2013/01/02", Some("2013-01-02")),
                ("0001-01-01", Some("0001-01-01")),
                ("1969-12-31", Some("1969-12-31")),
                ("2013-13-01", None),
                ("13-01-01", None),
                ("2013-01/01", None),
                ("2013-01-01 10:00", None),
                ("2013-00-01", None),
            ],
        ),
        (
            DataType::Timestamp(TimeUnit::Microsecond, None),
            &[
                ("2013-01-01 10:00:00", Some("2013-01-01T10:00:00")),
                ("2013-01-01T10:00:00.25", Some("2013-01-01T10:00:00.250")),
                ("2013-01-01", Some("2013-01-01T00:00:00")),
                ("2013-01-01 1:2", Some("2013-01-01T01:02:00")),
                ("1969-12-31 23:59:59.999999", Some("1969-12-31T23:59:59.999999")),
                ("2013-01-01 24:00:00", Some("2013-01-02T00:00:00")),
                ("2013-01-01 10:00:00Z", None),
                ("2013-01-01 10:00:00.1234567", None),
                ("2013-01-01 10:00:00.123456000", Some("2013-01-01T10:00:00.123456")),
                ("2013-01-01 10:60:00", None),
                ("2013-01-01 24:00:01", None),
                ("2013-01-01  10:00:00", None),
                ("999999-01-01", None),
            ],
        ),
        (
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            &[
                ("2013-01-01T10:00:00Z", Some("2013-01-01T10:00:00Z")),
                ("2013-01-01 10:00:00+02:00", Some("2013-01-01T08:00:00Z")),
                ("2013-01-01 10:00:00-0530", Some("2013-01-01T15:30:00Z")),
                ("2013-01-01 10:00:00+00", Some("2013-01-01T10:00:00Z")),
                ("2013-01-01 10:00:00", Some("2013-01-01T10:00:00Z")),
                ("2013-01-01T10:00:00z", None),
                ("2013-01-01T10:00:00+2", None),
                ("2013-01-01T10:00:00.5Z", Some("2013-01-01T10:00:00.500Z")),
                ("2013-01-01T10:00:00X", None),
            ],
        ),
        (
            DataType::Decimal128(5, 2),
            &[
                ("1.5", Some("1.50")),
                ("-999.99", Some("-999.99")),
                ("1000", None),
                ("1.005", None),
                ("1.500", Some("1.50")),
                (".", None),
                ("1e2", None),
            ],
        ),
    ];
    for (data_type, values) in cases {
        for (value, expected) in *values {
            let quoted = format!("\"{value}\"\n");
            let failure = format!("cannot be read as {}", crate::type_name(data_type));
            for input in [quoted.clone(), quoted.replace('"', "")] {
                if input.contains(",") && !input.contains('"') {
                    continue;
                }
                let answer = decode(input.as_bytes(), &options(std::slice::from_ref(data_type)), usual());
                match expected {
                    Some(expected) => {
                        assert_eq!(answer.rows, [format!("`{expected}`")], "{data_type:?} {input:?} {answer:?}")
                    }
                    None => {
                        assert!(answer.rows.is_empty() && answer.bad.len() == 1, "{data_type:?} {input:?} {answer:?}");
                        assert!(answer.bad[0].message.ends_with(&failure), "{}", answer.bad[0].message);
                    }
                }
            }
        }
    }
}

#[test]
fn a_failed_row_leaves_the_others_of_its_batch() {
    let two = options(&[DataType::Int64, DataType::Date32]);
    check(
        &two,
        "1,2013-01-01\nx,2013-01-02\n3,y\nz,z\n5,2013-01-05\n",
        &[
            "`1`|`2013-01-01`",
            "`5`|`2013-01-05`",
            "line 2: RDE0510 column `a`: `x` cannot be read as int64 <x,2013-01-02>",
            "line 3: RDE0510 column `b`: `y` cannot be read as date <3,y>",
            "line 4: RDE0510 column `a`: `z` cannot be read as int64 <z,z>",
        ],
    );
}

#[test]
fn lines_are_counted_through_quotes_header_and_empty_lines() {
    let header = DecoderOptions { header: true, ..options(&[DataType::Int64, DataType::Utf8]) };
    check(
        &header,
        "a,\"b\nb\"\n1,\"x\n\ny\"\r\n\nq,z\n",
        &["`1`|`x\n\ny`", "line 7: RDE0510 column `a`: `q` cannot be read as int64 <q,z>"],
    );
}

#[test]
fn a_row_may_have_row_bytes_max_bytes_and_no_more() {
    let limited = DecoderOptions { row_bytes_max: 300, ..utf8(2) };
    let row = |len: usize| format!("x,{}", "y".repeat(len - 2));
    let large = |line: usize, payload: &str| {
        format!(
            "line {line}: RDE0514 the row is larger than `row_bytes_max`; if it is not meant to be, look for a quote that is not closed <{payload}>"
        )
    };
    let (fits, over) = (row(300), row(301));
    let shown = format!("`x`|`{}`", "y".repeat(298));
    for end in ["\n", "\r\n", ""] {
        check(&limited, format!("1,2\n{fits}{end}"), &["`1`|`2`", &shown]);
    }
    for input in [format!("1,2\n{over}\n3,4\n"), format!("1,2\n{over}\r\n3,4")] {
        let answer = decode(input.as_bytes(), &limited, usual());
        assert_eq!(text_of(&answer), ["`1`|`2`", "`3`|`4`", &large(2, &over[..300])].join("\n"));
    }
    check(&limited, &over, &[&large(1, &over[..300])]);
}

#[test]
fn of_a_too_large_row_64_kib_are_kept_and_reading_goes_on_behind_it() {
    let limited = DecoderOptions { row_bytes_max: 100_000, ..utf8(2) };
    let big = format!("x,\"{}\"", "line\n,".repeat(50_000));
    let input = format!("1,2\n{big}\n3,4\n5\n");
    for (read, chunk) in [(usize::MAX, 1 << 16), (777, 256), (1 << 14, 1 << 18)] {
        let answer = decode(input.as_bytes(), &limited, Way { read, chunk, ..usual() });
        assert_eq!(answer.rows, ["`1`|`2`", "`3`|`4`"]);
        let [large, short] = answer.bad.as_slice() else { panic!("two bad rows: {:?}", answer.bad.len()) };
        assert_eq!(
            (large.line, large.code.id, large.payload.as_slice()),
            (2, "RDE0514", &big.as_bytes()[..LARGE_PAYLOAD])
        );
        assert_eq!((short.line, short.code.id), (50_004, "RDE0511"));
    }
}

#[test]
fn a_row_larger_than_many_chunks_is_read() {
    let value = "z".repeat(3 << 20);
    let options = DecoderOptions { row_bytes_max: 4 << 20, ..utf8(2) };
    let input = format!("1,2\nx,\"{value}\"\n3,4\n");
    let answer = decode(input.as_bytes(), &options, Way { read: 10_000, ..usual() });
    assert_eq!(answer.rows, ["`1`|`2`".to_owned(), format!("`x`|`{value}`"), "`3`|`4`".to_owned()]);
}

#[test]
fn batches_keep_their_bounds() {
    let input = (0..1000).map(|row| format!("{row},text {row}\n")).collect::<String>();
    let mut decoder =
        Decoder::new(DecoderOptions { rows_max: 64, bytes_max: 1000, ..options(&[DataType::Int64, DataType::Utf8]) })
            .expect("the options are valid");
    let batches = run(&mut decoder, input.as_bytes());
    let rows: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(rows.iter().sum::<usize>(), 1000);
    assert!(rows.iter().all(|rows| (30..=64).contains(rows) || *rows < 30 && rows == rows.max(&1)), "{rows:?}");
    let text: Vec<usize> =
        batches.iter().map(|batch| batch.num_rows() * 12 + batch.column(1).to_data().buffers()[1].len()).collect();
    assert!(text.iter().all(|bytes| *bytes <= 1000), "{text:?}");
}

#[test]
fn bad_rows_are_given_in_bounded_lots() {
    let mut decoder = Decoder::new(utf8(2)).expect("the options are valid");
    let input = "x\n".repeat(5000);
    let mut lots = Vec::new();
    let mut rest = input.as_bytes();
    loop {
        match decoder.step().expect("there is no predicate") {
            Step::NeedsBytes if rest.is_empty() => decoder.end(),
            Step::NeedsBytes => feed(&mut decoder, &mut rest),
            Step::BadRows => lots.push(decoder.take_bad_rows().len()),
            Step::Batch(batch) => panic!("there are no rows: {batch:?}"),
            Step::Ended => break,
        }
    }
    assert_eq!(lots, [1024, 1024, 1024, 1024, 904]);
    assert_eq!(decoder.counts().rows_read, 5000);
}

#[test]
fn flush_gives_what_is_decoded_so_far() {
    let mut decoder = Decoder::new(utf8(1)).expect("the options are valid");
    let mut rest = b"x\ny\npart".as_slice();
    feed(&mut decoder, &mut rest);
    assert!(matches!(decoder.step(), Ok(Step::NeedsBytes)));
    let batch = decoder.flush().expect("there is no predicate").expect("two rows are decoded");
    assert_eq!(show_rows(&batch), ["`x`", "`y`"]);
    assert_eq!(decoder.counts().rows_out, 2);
}

#[test]
fn plans_that_cannot_work_are_refused() {
    let code =
        |options: DecoderOptions| Decoder::new(options).expect_err("the options are not valid").code().to_owned();
    assert_eq!(code(DecoderOptions { delimiter: b'"', ..utf8(1) }), "RDE0517");
    assert_eq!(code(DecoderOptions { delimiter: b'\n', ..utf8(1) }), "RDE0517");
    assert_eq!(code(DecoderOptions { delimiter: 0xff, ..utf8(1) }), "RDE0517");
    assert_eq!(code(options(&[DataType::Utf8View])), "RDE0516");
    assert_eq!(code(DecoderOptions { fields: 0, columns: vec![], ..utf8(1) }), "RDE0519");
    assert_eq!(code(DecoderOptions { fields: 1, ..utf8(2) }), "RDE0519");
    assert_eq!(code(DecoderOptions { predicate: Some(Predicate::IsNull("z".into())), ..utf8(1) }), "RDE0519");
}

fn feed(decoder: &mut Decoder, rest: &mut &[u8]) {
    let space = decoder.space();
    let count = rest.len().min(space.len());
    space[..count].copy_from_slice(&rest[..count]);
    *rest = &rest[count..];
    decoder.filled(count);
}

fn run(decoder: &mut Decoder, mut rest: &[u8]) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    loop {
        match decoder.step().expect("the predicate fits its columns") {
            Step::NeedsBytes if rest.is_empty() => decoder.end(),
            Step::NeedsBytes => feed(decoder, &mut rest),
            Step::BadRows => drop(decoder.take_bad_rows()),
            Step::Batch(batch) => batches.push(batch),
            Step::Ended => return batches,
        }
    }
}
