//! The fuzz body of the decoder: any bytes, any options, any cuts, one answer.
//!
//! Run with a seed by the tests and wrapped for cargo-fuzz in tests/fuzz. Invariant checked: no panic; rows, bad rows and
//! lines are the same however the bytes come in and whichever instructions split them; the counts balance; memory is bounded.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::array_value_to_string;
use rde_core::{Comparison, Predicate, Scalar};

use super::buffer::PAD;
use super::frame::{Framer, Opening};
use super::simd::Level;
use super::{BadRow, ColumnPlan, CutFinder, Decoder, DecoderOptions, Step};

/// Everything a decoder gave, in an order of its own.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) rows: Vec<String>,
    pub(super) bad: Vec<BadRow>,
    pub(super) filtered: u64,
}

/// How the bytes come in and the batches go out; must not matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// Bytes of one read.
    pub(super) read: usize,
    pub(super) chunk: usize,
    pub(super) level: Level,
    pub(super) rows_max: usize,
    pub(super) bytes_max: usize,
}

/// Decodes `bytes` in several ways and asserts that all give the same.
pub fn fuzz_csv(bytes: &[u8]) {
    let (head, body) = bytes.split_at(bytes.len().min(8));
    let mut seed = [0u8; 8];
    seed[..head.len()].copy_from_slice(head);
    let options = options(seed);
    let usual = Way { read: usize::MAX, chunk: 1 << 16, level: Level::best(), rows_max: 8192, bytes_max: 1 << 20 };
    let expected = decode(body, &options, usual);
    let read = 1 + usize::from(seed[6]);
    let small = Way { read, chunk: 64, level: Level::Portable, rows_max: 1, bytes_max: 1 };
    assert_eq!(decode(body, &options, small), expected, "in small pieces");
    let odd = Way { read: read * 7, chunk: 192, rows_max: 1 + read % 5, bytes_max: 200, ..usual };
    assert_eq!(decode(body, &options, odd), expected, "in odd pieces");
    #[cfg(target_arch = "x86_64")]
    {
        let sse2 = Way { level: Level::Sse2, chunk: 320, ..usual };
        assert_eq!(decode(body, &options, sse2), expected, "with SSE2");
    }
    splits(body, &options, expected, seed[7]);
}

/// Decodes `bytes` in one way.
pub(super) fn decode(bytes: &[u8], options: &DecoderOptions, way: Way) -> Answer {
    let options = DecoderOptions { rows_max: way.rows_max, bytes_max: way.bytes_max, ..options.clone() };
    let form = options.check().expect("the options were made valid");
    let opening = Opening { file_start: options.file_start, header: options.header };
    let framer = Framer::with(options.delimiter, form, opening, way.chunk, way.level);
    let memory_max = 2 * form.row_bytes_max + 4 * way.chunk + 2 * PAD;
    let mut decoder = Decoder::with(options, form, framer).expect("the options were made valid");
    let mut answer = Answer::default();
    let mut rest = bytes;
    loop {
        match decoder.step().expect("the predicate fits its columns") {
            Step::NeedsBytes => {
                assert!(decoder.framer.buffer.padded().len() <= memory_max, "the buffer is bounded");
                let space = decoder.space();
                let count = rest.len().min(space.len()).min(way.read);
                space[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                if count == 0 { decoder.end() } else { decoder.filled(count) }
            }
            Step::Batch(batch) => {
                assert!((1..=way.rows_max).contains(&batch.num_rows()), "a batch has rows, and no more than it may");
                answer.rows.extend(show_rows(&batch));
            }
            Step::BadRows => answer.bad.extend(decoder.take_bad_rows()),
            Step::Ended => break,
        }
    }
    let counts = decoder.counts();
    assert_eq!(counts.bytes, bytes.len() as u64, "every byte was taken");
    assert_eq!(counts.rows_out, answer.rows.len() as u64, "rows out are counted");
    assert_eq!(counts.rows_bad, answer.bad.len() as u64, "bad rows are counted");
    answer.filtered = counts.rows_filtered;
    answer.bad.sort_by_key(|bad| bad.line);
    answer
}

/// Cuts the bytes where the finder says and decodes each split for itself.
fn splits(bytes: &[u8], options: &DecoderOptions, expected: Answer, salt: u8) {
    let place = |of: u64| bytes.len() as u64 * of / 256;
    let targets = vec![place(u64::from(salt)), place(u64::from(salt) / 2), place(128 + u64::from(salt) / 3)];
    let mut finder = CutFinder::new(options.delimiter, targets);
    bytes.chunks(1 + usize::from(salt)).for_each(|piece| finder.feed(piece));
    let way = Way { read: usize::MAX, chunk: 1 << 16, level: Level::best(), rows_max: 8192, bytes_max: 1 << 20 };
    let mut found = Answer::default();
    let mut from = 0;
    // A header before which only empty lines stand may begin in a later split; sources cut far behind it.
    let options = DecoderOptions { header: false, ..options.clone() };
    let whole = decode(bytes, &options, way);
    assert!(whole.rows.len() >= expected.rows.len(), "without a header there is no row less");
    let cuts = finder.finish().into_iter().map(|cut| cut as usize).chain([bytes.len()]);
    for to in cuts {
        let options = DecoderOptions { file_start: options.file_start && from == 0, ..options.clone() };
        let lines = super::count_lines(&bytes[..from]);
        let part = decode(&bytes[from..to], &options, way);
        found.rows.extend(part.rows);
        found.bad.extend(part.bad.into_iter().map(|bad| BadRow { line: bad.line + lines, ..bad }));
        found.filtered += part.filtered;
        from = to;
    }
    assert_eq!(found, whole, "in splits");
}

/// Returns the rows of a batch as text, null told from the text "null".
pub(super) fn show_rows(batch: &RecordBatch) -> Vec<String> {
    let columns: Vec<ArrayRef> = batch.columns().iter().map(showable).collect();
    let cell = |array: &ArrayRef, row: usize| {
        if array.is_null(row) {
            return "null".to_owned();
        }
        // What no calendar of the printer holds is shown as it is stored.
        let shown = array_value_to_string(array, row);
        shown.map_or_else(|_| format!("{:?}", array.slice(row, 1).to_data().buffers()), |text| format!("`{text}`"))
    };
    let row = |row: usize| columns.iter().map(|array| cell(array, row)).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(row).collect()
}

/// Returns the array with a zone that can be shown without a table of zones.
fn showable(array: &ArrayRef) -> ArrayRef {
    match array.as_any().downcast_ref::<TimestampMicrosecondArray>() {
        Some(stamps) if stamps.timezone().is_some() => Arc::new(stamps.clone().with_timezone("+00:00")),
        _ => array.clone(),
    }
}

fn options(seed: [u8; 8]) -> DecoderOptions {
    let pick = |of: u8, count: usize| usize::from(of) % count;
    let types = [
        DataType::Utf8,
        DataType::Int64,
        DataType::Float64,
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Boolean,
        DataType::Date32,
        DataType::Binary,
        DataType::Int32,
        DataType::Decimal128(9, 2),
        DataType::Float32,
        DataType::UInt8,
        DataType::Timestamp(TimeUnit::Microsecond, None),
    ];
    let fields = 1 + pick(seed[0], 4);
    let columns: Vec<ColumnPlan> = (0..fields)
        .filter(|field| seed[1] >> field & 1 == 0)
        .map(|field| ColumnPlan {
            field,
            name: format!("c{field}"),
            data_type: types[pick(seed[2].wrapping_add(field as u8 * 5), types.len())].clone(),
            output: seed[1] >> (field + 4) & 1 == 0,
        })
        .collect();
    let null_values: &[&str] = [&[""][..], &["", "NA"], &[], &["7", "\""]][pick(seed[3], 4)];
    DecoderOptions {
        delimiter: *[b',', b';', b'\t', b'-'].get(pick(seed[4] >> 2, 4)).unwrap_or(&b','),
        null_values: null_values.iter().map(|text| (*text).to_owned()).collect(),
        fields,
        predicate: (seed[5] & 1 == 1).then(|| predicate(&columns, seed[5])).flatten(),
        columns,
        file_start: seed[4] & 1 == 0,
        header: seed[4] & 2 == 0,
        rows_max: 1,
        bytes_max: 1,
        row_bytes_max: if seed[3] & 0x80 == 0 { 1 << 16 } else { 50 + usize::from(seed[5]) },
    }
}

fn predicate(columns: &[ColumnPlan], salt: u8) -> Option<Predicate> {
    let one = |plan: &ColumnPlan| {
        let name = plan.name.clone();
        let constant = match plan.data_type {
            DataType::Int64 => Scalar::Int64(3),
            DataType::Utf8 => Scalar::Utf8("b".into()),
            DataType::Float64 => Scalar::Float64(1.5),
            DataType::Boolean => Scalar::Boolean(true),
            _ if salt & 2 == 0 => return Predicate::IsNull(name),
            _ => return Predicate::IsNotNull(name),
        };
        Predicate::Compare(name, if salt & 4 == 0 { Comparison::Less } else { Comparison::NotEqual }, constant)
    };
    let all: Vec<Predicate> = columns.iter().map(one).collect();
    match all.len() {
        0 => None,
        _ if salt & 8 == 0 => Some(Predicate::And(all)),
        _ if salt & 16 == 0 => Some(Predicate::Or(all)),
        _ => Some(Predicate::Not(Box::new(Predicate::And(all)))),
    }
}
