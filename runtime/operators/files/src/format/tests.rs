//! The bytes of each format, and that readers get the values back.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal128Array, DictionaryArray, Float64Array,
    Int64Array, ListArray, NullArray, RecordBatch, StringArray, StringViewArray, StructArray, Time32SecondArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, TimestampSecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::{Begin, CsvFormat, FileFormat, row_bytes};

fn encode(format: &FileFormat, batches: &[RecordBatch]) -> Vec<u8> {
    let mut encoder = format.begin(Vec::new(), batches[0].schema_ref(), Begin::default()).expect("the schema fits");
    for batch in batches {
        encoder.write(batch).expect("the batch fits");
    }
    encoder.finish().expect("memory does not fail")
}

fn text(format: &FileFormat, batches: &[RecordBatch]) -> String {
    String::from_utf8(encode(format, batches)).expect("text")
}

fn csv() -> FileFormat {
    FileFormat::Csv(CsvFormat { header: true, delimiter: b',', null_value: String::new() })
}

fn column(name: &str, array: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([(name, array, true)]).expect("one column")
}

fn every_type() -> RecordBatch {
    let stamps = TimestampMicrosecondArray::from(vec![Some(1_356_998_400_123_456), None]).with_timezone("UTC");
    let decimals = Decimal128Array::from(vec![Some(-12_345), None]).with_precision_and_scale(10, 2).expect("it fits");
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("i", Arc::new(Int64Array::from(vec![Some(-7), None])), true),
        ("f", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN)])), true),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None])), true),
        ("d", Arc::new(Date32Array::from(vec![Some(15_706), None])), true),
        ("t", Arc::new(stamps), true),
        ("m", Arc::new(decimals), true),
        ("x", Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None])), true),
        ("s", Arc::new(StringArray::from(vec![Some("a,\"b\"\n"), None])), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of two rows")
}

#[test]
fn csv_has_a_text_for_every_type() {
    let expected = "i,f,b,d,t,m,x,s\n\
                    -7,0.1,true,2013-01-01,2013-01-01T00:00:00.123456Z,-123.45,AP8=,\"a,\"\"b\"\"\n\"\n\
                    ,NaN,,,,,,\n";
    assert_eq!(text(&csv(), &[every_type()]), expected);
}

#[test]
fn json_loses_nothing() {
    let expected = concat!(
        r#"{"i":-7,"f":0.1,"b":true,"d":"2013-01-01","t":"2013-01-01T00:00:00.123456Z","m":"-123.45","x":"AP8=","s":"a,\"b\"\n"}"#,
        "\n",
        r#"{"i":null,"f":"NaN","b":null,"d":null,"t":null,"m":null,"x":null,"s":null}"#,
        "\n"
    );
    assert_eq!(text(&FileFormat::Json, &[every_type()]), expected);
}

#[test]
fn a_value_without_a_text_form_is_an_error_in_every_text_format() {
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![Some(15_706), Some(i32::MAX)]));
    let list = ListArray::new(
        Arc::new(Field::new("item", DataType::Date32, true)),
        arrow::buffer::OffsetBuffer::from_lengths([1, 1]),
        dates.clone(),
        None,
    );
    let nested: ArrayRef = Arc::new(StructArray::from(column("d", dates.clone())));
    let stamps: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX, 0]).with_timezone("UTC"));
    let times: ArrayRef = Arc::new(Time64MicrosecondArray::from(vec![86_400_000_000, 0]));
    let many = [dates, Arc::new(list), nested, stamps, times];
    for batch in many.into_iter().map(|array| column("x", array)) {
        for format in [FileFormat::Json, csv(), FileFormat::Table] {
            if !format.refuses(batch.schema_ref()).is_empty() {
                continue;
            }
            let mut encoder = format.begin(Vec::new(), batch.schema_ref(), Begin::default()).expect("the schema fits");
            let error = encoder.write(&batch).expect_err("a value cannot be shown");
            assert!(format!("{error:?}").contains("no text form"), "{format:?}: {error:?}");
            let left = String::from_utf8(encoder.finish().expect("memory does not fail")).expect("text");
            assert!(!left.contains("ERROR") && !matches!(format, FileFormat::Json) || left.is_empty(), "{left}");
        }
    }
}

#[test]
fn a_column_of_nulls_alone_and_nulls_of_a_dictionary_are_nulls_in_text() {
    let na = FileFormat::Csv(CsvFormat { header: false, delimiter: b',', null_value: "NA".to_owned() });
    let keys = arrow::array::Int32Array::from(vec![0, 1]);
    let values: ArrayRef = Arc::new(StringArray::from(vec![None, Some("a")]));
    let dictionary: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, values));
    let nulls: ArrayRef = Arc::new(NullArray::new(2));
    let batch = RecordBatch::try_from_iter_with_nullable([("n", nulls, true), ("d", dictionary, true)]).expect("two");
    assert_eq!(text(&na, std::slice::from_ref(&batch)), "NA,NA\nNA,a\n");
    assert_eq!(text(&FileFormat::Table, &[batch]), "n     d\n----  ----\nnull  null\nnull  a\n");
}

#[test]
fn csv_keeps_nulls_empty_texts_and_rows_apart() {
    let texts = StringArray::from(vec![Some(""), None, Some("NA"), Some("a b")]);
    assert_eq!(text(&csv(), &[column("s", Arc::new(texts.clone()))]), "s\n\"\"\n\"\"\nNA\na b\n");
    let na = FileFormat::Csv(CsvFormat { header: false, delimiter: b';', null_value: "NA".to_owned() });
    assert_eq!(text(&na, &[column("s", Arc::new(texts))]), "\"\"\nNA\n\"NA\"\na b\n");
}

#[test]
fn a_table_takes_its_widths_from_the_first_batch_and_never_cuts() {
    let first = column("n", Arc::new(Int64Array::from(vec![Some(1), None])));
    let second = column("n", Arc::new(Int64Array::from(vec![1_000_000])));
    assert_eq!(text(&FileFormat::Table, &[first, second]), "   n\n----\n   1\nnull\n1000000\n");
    let nasty = column("s", Arc::new(StringArray::from(vec!["a\nb\u{1b}[2J"])));
    assert_eq!(text(&FileFormat::Table, &[nasty]), "s\n-------------\na\\nb\\u{1b}[2J\n");
}

#[test]
fn an_output_without_rows_has_its_columns() {
    let schema = Arc::new(Schema::new(vec![Field::new("a b", DataType::Int64, true)]));
    let begin = |format: &FileFormat, continued| {
        let encoder =
            format.begin(Vec::new(), &schema, Begin { continued, one_of_many: false }).expect("the schema fits");
        encoder.finish().expect("memory does not fail")
    };
    assert_eq!(begin(&csv(), false), b"a b\n");
    assert_eq!(begin(&csv(), true), b"");
    assert_eq!(begin(&FileFormat::Table, false), b"a b\n---\n");
    let parquet = begin(&FileFormat::Parquet(parquet::basic::Compression::UNCOMPRESSED), false);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(parquet)).expect("a parquet file");
    assert_eq!(reader.schema().field(0).name(), "a b");
    assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
}

#[test]
fn parquet_reads_back_as_written() {
    let format = FileFormat::Parquet(parquet::basic::Compression::ZSTD(parquet::basic::ZstdLevel::default()));
    let batch = every_type();
    let bytes = bytes::Bytes::from(encode(&format, &[batch.clone(), batch.clone()]));
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("a parquet file");
    assert_eq!(reader.metadata().file_metadata().created_by().map(|by| by.starts_with("rde ")), Some(true));
    let rows: Vec<RecordBatch> = reader.build().expect("it opens").collect::<Result<_, _>>().expect("it reads");
    let expected = arrow::compute::concat_batches(&batch.schema(), [&batch, &batch]).expect("one schema");
    assert_eq!(format!("{:?}", rows[0].columns()), format!("{:?}", expected.columns()));
}

#[test]
fn parquet_has_dates_and_times_for_what_it_has_no_type() {
    let format = FileFormat::Parquet(parquet::basic::Compression::UNCOMPRESSED);
    let days: ArrayRef = Arc::new(Date64Array::from(vec![Some(86_400_000 * 15_706), Some(-86_400_000), None]));
    let list: ArrayRef = Arc::new(ListArray::new(
        Arc::new(Field::new("item", DataType::Date64, true)),
        arrow::buffer::OffsetBuffer::from_lengths([1, 2, 0]),
        days.clone(),
        None,
    ));
    let stamps = TimestampSecondArray::from(vec![Some(1_700_000_000), Some(-1), None]).with_timezone("UTC");
    let times: ArrayRef = Arc::new(Time32SecondArray::from(vec![Some(86_399), Some(0), None]));
    let columns = [("d", days.clone()), ("l", list), ("t", Arc::new(stamps) as ArrayRef), ("o", times)];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)));
    let batch = batch.expect("columns of three rows");
    for one_of_many in [false, true] {
        let begin = Begin { continued: false, one_of_many };
        let mut encoder = format.begin(Vec::new(), batch.schema_ref(), begin).expect("the schema fits");
        encoder.write(&batch).expect("every value fits");
        let bytes = bytes::Bytes::from(encoder.finish().expect("memory does not fail"));
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).expect("a parquet file");
        let types: Vec<String> =
            reader.schema().fields().iter().map(|field| crate::type_name(field.data_type())).collect();
        assert_eq!(types, ["date", "list<date>", "timestamp(ms, UTC)", "time32(ms)"]);
        let rows = reader.build().expect("it opens").next().expect("one batch").expect("it reads");
        let shown = text(&FileFormat::Json, &[rows]);
        let first = r#"{"d":"2013-01-01","l":["2013-01-01"],"t":"2023-11-14T22:13:20Z","o":"23:59:59"}"#;
        assert_eq!(shown.lines().next(), Some(first));
        assert_eq!(shown.lines().last(), Some(r#"{"d":null,"l":[],"t":null,"o":null}"#));
    }
}

#[test]
fn parquet_refuses_a_date64_that_is_no_whole_day_and_seconds_that_are_too_many() {
    let format = FileFormat::Parquet(parquet::basic::Compression::UNCOMPRESSED);
    let days: ArrayRef = Arc::new(Date64Array::from(vec![86_400_001]));
    let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
    for (array, word) in [(days, "no whole day"), (seconds, "verflow")] {
        let batch = column("x", array);
        let mut encoder = format.begin(Vec::new(), batch.schema_ref(), Begin::default()).expect("the schema fits");
        let error = encoder.write(&batch).expect_err("the value would change");
        assert!(format!("{error:?}").contains(word), "{error:?}");
    }
}

#[test]
fn a_very_wide_file_reads_back_as_written() {
    let format = FileFormat::Parquet(parquet::basic::Compression::ZSTD(parquet::basic::ZstdLevel::default()));
    let narrow = every_type();
    let nested: ArrayRef = Arc::new(StructArray::from(narrow.slice(0, 2)));
    let mut columns = vec![("nested".to_owned(), nested)];
    for copy in 0..60 {
        columns.extend(narrow.columns().iter().enumerate().map(|(n, column)| (format!("c{copy}_{n}"), column.clone())));
    }
    let batch = RecordBatch::try_from_iter(columns).expect("columns of two rows");
    let mut encoder = format.begin(Vec::new(), batch.schema_ref(), Begin::default()).expect("the schema fits");
    for drained in [false, true, false] {
        encoder.write(&batch).expect("the batch fits");
        if drained {
            encoder.drain().expect("memory does not fail");
            assert_eq!(encoder.memory(), 0);
        }
    }
    assert!(encoder.size() > encoder.written() && encoder.memory() > 0);
    let bytes = bytes::Bytes::from(encoder.finish().expect("memory does not fail"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("a parquet file");
    assert_eq!(reader.metadata().num_row_groups(), 2);
    let rows: Vec<RecordBatch> = reader.build().expect("it opens").collect::<Result<_, _>>().expect("it reads");
    let expected = arrow::compute::concat_batches(&batch.schema(), [&batch, &batch, &batch]).expect("one schema");
    assert_eq!(format!("{:?}", rows[0].columns()), format!("{:?}", expected.columns()));
}

#[test]
fn bytes_of_rows_are_those_of_their_part_of_the_memory() {
    let lists = (0..1000).map(|n| Some(vec![Some(n); 10]));
    let long = "a text that is too long to be in its view";
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from_iter_values(0..1000))),
        ("s", Arc::new(StringArray::from(vec!["ten bytes "; 1000]))),
        ("v", Arc::new(StringViewArray::from(vec![long; 1000]))),
        ("l", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))),
        ("d", Arc::new(vec!["x"; 1000].into_iter().collect::<DictionaryArray<Int32Type>>())),
    ];
    let nested: ArrayRef = Arc::new(StructArray::from(RecordBatch::try_from_iter(columns.clone()).expect("columns")));
    for (name, array) in columns.into_iter().chain([("nested", nested)]) {
        let whole = row_bytes(&column(name, array.clone()));
        let part = row_bytes(&column(name, array.slice(300, 100)));
        assert!(whole >= 4000, "{name}: {whole}");
        assert!((whole / 11..whole / 9).contains(&part), "{name}: {part} of {whole}");
    }
}

#[test]
fn a_file_in_a_folder_of_many_is_as_large_as_its_rows_come_to() {
    let format = FileFormat::Parquet(parquet::basic::Compression::ZSTD(parquet::basic::ZstdLevel::default()));
    let numbers = column("n", Arc::new(Int64Array::from_iter_values((0..8192).map(|n| n * 0x0123_4567_89AB))));
    let begin = Begin { continued: false, one_of_many: true };
    let mut encoder = format.begin(Vec::new(), numbers.schema_ref(), begin).expect("the schema fits");
    encoder.write(&numbers.slice(64, 64)).expect("the batch fits");
    assert!(encoder.size() < 1 << 10, "a slice has the size of its rows, not {}", encoder.size());
    assert!(encoder.memory() >= 8192 * 8, "a slice keeps the whole in memory");
    // Rows that come to almost nothing reach no size by the bytes they had.
    let same = column("n", Arc::new(Int64Array::from_value(7, 8192)));
    encoder.write(&same).expect("the batch fits");
    assert!(encoder.size() > 50_000 && !encoder.reaches(50_000).expect("memory does not fail"));
    assert!(encoder.memory() == 0 && encoder.size() < 5_000, "{} is the real size", encoder.size());
    encoder.write(&same).expect("the batch fits");
    assert!(encoder.size() < 10_000, "{} is told from the rows before", encoder.size());
    let size = encoder.size();
    assert!(encoder.reaches(size / 2).expect("memory does not fail"), "most of the estimate is written already");
}

#[test]
fn a_row_group_ends_before_it_holds_too_much_memory() {
    let format = FileFormat::Parquet(parquet::basic::Compression::UNCOMPRESSED);
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let mut encoder = format.begin(std::io::sink(), &schema, Begin::default()).expect("the schema fits");
    let mut peak = 0;
    for base in 0..40i64 {
        let numbers: Int64Array =
            (0..131_072).map(|n| (base * 131_072 + n).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64)).collect();
        encoder.write(&column("n", Arc::new(numbers))).expect("a sink takes all");
        peak = peak.max(encoder.memory());
    }
    assert!(peak > 4 << 20 && peak < 48 << 20, "{peak}");
}

#[test]
fn types_that_a_format_cannot_hold_are_refused_by_name() {
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let schema = Arc::new(Schema::new(vec![
        Field::new("ok", DataType::Utf8, true),
        Field::new("list", DataType::List(item), true),
        Field::new("span", DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano), true),
    ]));
    assert_eq!(csv().refuses(&schema), ["list"]);
    assert_eq!(FileFormat::Json.refuses(&schema), ["span"]);
    assert_eq!(FileFormat::Parquet(parquet::basic::Compression::SNAPPY).refuses(&schema), ["span"]);
    assert!(FileFormat::Table.refuses(&schema).is_empty());
}
