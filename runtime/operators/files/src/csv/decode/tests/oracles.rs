//! The decoder beside csv-core and arrow-csv, on generated text.

use super::*;

/// Text that is made of what matters in CSV.
fn csv_text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec!["a", "b1", ",", ",", "\n", "\"", "\"", "\"\"", "\r\n", "\r", " ", "7"]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
        1 => (1usize..90).prop_map(|len| vec![b'x'; len]),
        2 => prop::sample::select(vec!["\n\"x,\ny\",", ",\"a\"\"b\"\n", "1,2,3\n"]).prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
}

/// What csv-core makes of it: the fields of each record that is not empty.
fn csv_core_records(input: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = csv_core::ReaderBuilder::new().terminator(csv_core::Terminator::Any(b'\n')).build();
    let (mut output, mut ends) = (vec![0; input.len() + 16], vec![0; input.len() + 16]);
    let mut records = Vec::new();
    let mut rest = input;
    loop {
        let (mut out_len, mut ends_len) = (0, 0);
        loop {
            let (result, read, wrote, ended) = reader.read_record(rest, &mut output[out_len..], &mut ends[ends_len..]);
            rest = &rest[read..];
            out_len += wrote;
            ends_len += ended;
            match result {
                csv_core::ReadRecordResult::InputEmpty => {}
                csv_core::ReadRecordResult::Record => break,
                csv_core::ReadRecordResult::End => return records,
                other => panic!("there is room for everything: {other:?}"),
            }
        }
        let mut from = 0;
        let fields = ends[..ends_len].iter().map(|end| output[std::mem::replace(&mut from, *end)..*end].to_vec());
        records.push(fields.collect());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_those_of_csv_core(input in csv_text(), read in 1usize..200, chunk in 1usize..8) {
        // csv-core has no rows of one empty field, so two columns; it takes text behind a closing quote as part of the value, and
        // carriage returns as text, so that they are here only before line feeds.
        let input: Vec<u8> = input.split(|byte| *byte == b'\r').enumerate().flat_map(|(idx, part)| {
            let return_before = idx > 0 && part.first() == Some(&b'\n');
            return_before.then_some(b'\r').into_iter().chain(part.iter().copied())
        }).collect();
        let options = options(&[DataType::Binary, DataType::Binary]);
        let way = Way { read, chunk: chunk * 64, ..usual() };
        let answer = decode(&input, &DecoderOptions { null_values: vec![], ..options }, way);
        let strip = |field: &[u8]| field.strip_suffix(b"\r").unwrap_or(field).to_vec();
        let hex = |field: &[u8]| format!("`{}`", field.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        let records = csv_core_records(&input);
        let expected: Vec<String> = records
            .iter()
            .filter(|record| record.len() == 2)
            .map(|record| format!("{}|{}", hex(&record[0]), hex(&strip(&record[1]))))
            .collect();
        let ours_alone = answer.bad.iter().filter(|bad| bad.code.id == "RDE0512" || bad.code.id == "RDE0513").count();
        if ours_alone == 0 {
            prop_assert_eq!(&answer.rows, &expected);
        } else {
            // Rows that we refuse are missing; all others are there, in order.
            let mut rest = expected.iter();
            prop_assert!(answer.rows.iter().all(|row| rest.any(|other| other == row)), "{:?} in {:?}", answer.rows, expected);
        }
    }

    #[test]
    fn any_text_gives_one_answer_however_it_comes_in(input in csv_text(), seed in any::<[u8; 8]>()) {
        fuzz_csv(&[seed.as_slice(), &input].concat());
    }

    #[test]
    fn typed_values_are_those_of_arrow_csv(rows in prop::collection::vec(typed_row(), 0..200), chunk in 1usize..40, read in 1usize..3000) {
        let input: String = rows.iter().map(|row| row.join(",") + "\n").collect();
        let types = typed_columns();
        let ours = options(&types);
        let answer = decode(input.as_bytes(), &ours, Way { read, chunk: chunk * 64, ..usual() });
        prop_assert!(answer.bad.is_empty(), "{:?}", answer.bad);
        let fields: Vec<Field> = types.iter().enumerate().map(|(idx, data_type)| Field::new(format!("{idx}"), data_type.clone(), true)).collect();
        let reader = arrow_csv::ReaderBuilder::new(Arc::new(Schema::new(fields))).build(input.as_bytes()).expect("a slice can be read");
        let theirs: Vec<String> = reader.flat_map(|batch| show_rows(&batch.expect("every value is valid"))).collect();
        prop_assert_eq!(answer.rows, theirs);
    }
}

fn typed_columns() -> Vec<DataType> {
    vec![
        DataType::Int64,
        DataType::Int32,
        DataType::Float64,
        DataType::Float32,
        DataType::Utf8,
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Boolean,
        DataType::UInt16,
    ]
}

fn typed_row() -> impl Strategy<Value = Vec<String>> {
    let stamp = || (1700u32..2300, 1u32..13, 1u32..29, 0u32..24, 0u32..60, 0u32..60);
    let short = prop_oneof![any::<i64>(), -2000i64..2000, -99_999_999_999i64..99_999_999_999];
    let float = prop_oneof![
        any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(|float| float.to_string()),
        (-10_000_000i64..10_000_000, 0u32..9)
            .prop_map(|(value, scale)| format!("{}", value as f64 / 10f64.powi(scale as i32))),
        (any::<i64>(), 0usize..10)
            .prop_map(|(value, digits)| format!("{value}.{}", "1234567890".get(..digits).unwrap_or("1"))),
        (any::<f64>().prop_filter("finite", |float| float.is_finite())).prop_map(|float| format!("{float:e}")),
    ];
    let row = (
        short.prop_map(|value| value.to_string()),
        any::<i32>().prop_map(|value| value.to_string()),
        float,
        any::<f32>().prop_filter("finite", |float| float.is_finite()).prop_map(|float| float.to_string()),
        "[a-zA-Zé, \"\n]{0,20}".prop_map(|text| format!("\"{}\"", text.replace('"', "\"\""))),
        stamp().prop_map(|(year, month, day, ..)| format!("{year:04}-{month:02}-{day:02}")),
        stamp().prop_map(|(year, month, day, hour, minute, second)| {
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
        }),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<u16>().prop_map(|value| value.to_string()),
    );
    (row, any::<u16>()).prop_map(|((a, b, c, d, e, f, g, h, i), nulls)| {
        let values = [a, b, c, d, e, f, g, h, i].into_iter().enumerate();
        values
            .map(|(idx, value)| if nulls >> idx & 1 == 1 && nulls >> 12 == 0 { String::new() } else { value })
            .collect()
    })
}

#[test]
fn seeds_of_the_fuzzer_give_one_answer() {
    let mut random = fastrand::Rng::with_seed(20_261_125);
    for _ in 0..1500 {
        let len = random.usize(..600);
        let alphabet = b"aab,,,\n\n\"\"\r 17-.:TZ\0\xc3\xa9\xff";
        let input: Vec<u8> = (0..len)
            .map(|idx| if idx < 8 { random.u8(..) } else { *random.choice(alphabet).expect("not empty") })
            .collect();
        fuzz_csv(&input);
    }
}

#[test]
fn cuts_are_record_starts_of_the_decoder() {
    let input = b"\xef\xbb\xbf\"a\nb\",c\nd\"\n\"e\",f\n\n\"\"\"\n\"\"\",g\n";
    let starts = [11u64, 14, 20, 21];
    for target in 0..=input.len() as u64 {
        let mut finder = CutFinder::new(b',', vec![target]);
        input.iter().for_each(|byte| finder.feed(&[*byte]));
        let mut whole = CutFinder::new(b',', vec![target]);
        whole.feed(input);
        let expected: Vec<u64> = starts.iter().copied().find(|start| *start >= target).into_iter().collect();
        assert_eq!(finder.finish(), expected, "byte by byte at {target}");
        assert_eq!(whole.finish(), expected, "whole at {target}");
    }
}
