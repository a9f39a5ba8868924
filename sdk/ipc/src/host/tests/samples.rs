//! Batches of every type that crosses, with nulls, sliced and nested, from a seed.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::*;

/// Rows of the arrays that batches are cut from.
const ROWS: usize = 100;

/// A source of numbers that is the same for the same seed.
pub(super) fn rng(seed: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed)
}

fn maybe<T>(rng: &mut fastrand::Rng, nulls: bool, value: T) -> Option<T> {
    if nulls && rng.u8(0..3) == 0 { None } else { Some(value) }
}

fn numbers(rng: &mut fastrand::Rng, rows: usize, nulls: bool) -> Int64Array {
    (0..rows)
        .map(|_| {
            let v = rng.i64(0..80_000);
            maybe(rng, nulls, v)
        })
        .collect()
}

fn texts(rng: &mut fastrand::Rng, rows: usize, nulls: bool) -> StringArray {
    let words = ["", "a", "Zürich", "東京都", "a longer text than twelve bytes", "0123456789"];
    (0..rows)
        .map(|_| {
            let v = words[rng.usize(0..words.len())];
            maybe(rng, nulls, v)
        })
        .collect()
}

fn list(
    rng: &mut fastrand::Rng,
    rows: usize,
    nulls: bool,
    values: impl Fn(&mut fastrand::Rng, usize) -> ArrayRef,
) -> ListArray {
    let lengths: Vec<usize> = (0..rows).map(|_| rng.usize(0..4)).collect();
    let values = values(rng, lengths.iter().sum());
    let field = Arc::new(Field::new("item", values.data_type().clone(), true));
    let valid = nulls.then(|| NullBuffer::from((0..rows).map(|_| rng.bool()).collect::<Vec<_>>()));
    ListArray::new(field, OffsetBuffer::from_lengths(lengths), values, valid)
}

fn map(rng: &mut fastrand::Rng, rows: usize, nulls: bool) -> MapArray {
    let list = list(rng, rows, nulls, |rng, n| {
        let keys: ArrayRef = Arc::new(texts(rng, n, false));
        let values: ArrayRef = Arc::new(numbers(rng, n, true));
        let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)];
        Arc::new(StructArray::new(fields.into(), vec![keys, values], None))
    });
    let (_, offsets, values, valid) = list.into_parts();
    let field = Arc::new(Field::new("entries", values.data_type().clone(), false));
    MapArray::new(field, offsets, values.as_struct().clone(), valid, false)
}

/// Every type that a guest may emit, by a name.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
pub(super) fn crossing(rng: &mut fastrand::Rng, nulls: bool) -> Vec<(String, ArrayRef)> {
    let base: ArrayRef = Arc::new(numbers(rng, ROWS, nulls));
    let small: ArrayRef = Arc::new(
        (0..ROWS)
            .map(|_| {
                let v = rng.i8(0..100);
                maybe(rng, nulls, v)
            })
            .collect::<Int8Array>(),
    );
    let seconds = TimeUnit::Second;
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(NullArray::new(ROWS)),
        Arc::new(
            (0..ROWS)
                .map(|_| {
                    let v = rng.bool();
                    maybe(rng, nulls, v)
                })
                .collect::<BooleanArray>(),
        ),
        Arc::new(texts(rng, ROWS, nulls)),
        Arc::new(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                (0..ROWS).map(|_| {
                    let v = [rng.u8(..); 3];
                    maybe(rng, nulls, v)
                }),
                3,
            )
            .expect("three bytes each"),
        ),
        Arc::new(list(rng, ROWS, nulls, |rng, n| Arc::new(texts(rng, n, nulls)))),
        Arc::new(list(rng, ROWS, nulls, |rng, n| {
            Arc::new(list(rng, n, nulls, |rng, n| Arc::new(numbers(rng, n, nulls))))
        })),
        Arc::new(map(rng, ROWS, nulls)),
        Arc::new(IntervalDayTimeArray::from_iter_values(
            (0..ROWS).map(|_| IntervalDayTime::new(rng.i32(..), rng.i32(..))),
        )),
        Arc::new(IntervalMonthDayNanoArray::from_iter_values(
            (0..ROWS).map(|_| IntervalMonthDayNano::new(rng.i32(..), 2, 3)),
        )),
        Arc::new(IntervalYearMonthArray::from_iter_values((0..ROWS).map(|_| rng.i32(..)))),
    ];
    let wide = Arc::new(numbers(rng, ROWS * 2, nulls));
    arrays.push(Arc::new(FixedSizeListArray::new(Arc::new(Field::new("item", DataType::Int64, true)), 2, wide, None)));
    let fields = vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)];
    let columns: Vec<ArrayRef> = vec![Arc::clone(&base), Arc::new(texts(rng, ROWS, nulls))];
    let valid = nulls.then(|| NullBuffer::from((0..ROWS).map(|_| rng.bool()).collect::<Vec<_>>()));
    arrays.push(Arc::new(StructArray::new(fields.into(), columns, valid)));
    for target in [DataType::Int8, DataType::UInt8] {
        arrays.push(cast(&small, &target).expect("numbers below 100"));
    }
    for target in [
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(20, 2),
        DataType::Decimal256(40, 3),
        DataType::Date32,
        DataType::Date64,
        DataType::Time32(seconds),
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into())),
        DataType::Timestamp(seconds, None),
        DataType::Duration(TimeUnit::Millisecond),
    ] {
        let source = match target {
            DataType::Int16 | DataType::UInt16 | DataType::Float16 | DataType::Date64 => Arc::clone(&small),
            DataType::Time32(_) | DataType::Date32 => cast(&base, &DataType::Int32).expect("numbers below 80,000"),
            _ => Arc::clone(&base),
        };
        let source = if target == DataType::Date64 { cast(&source, &DataType::Int64).expect("widens") } else { source };
        arrays.push(cast(&source, &target).expect("a cast of small numbers"));
    }
    for target in [DataType::LargeUtf8, DataType::Binary, DataType::LargeBinary] {
        arrays.push(cast(&texts(rng, ROWS, nulls), &target).expect("a cast of texts"));
    }
    let large = DataType::LargeList(Arc::new(Field::new("item", DataType::Utf8, true)));
    arrays.push(cast(&list(rng, ROWS, nulls, |rng, n| Arc::new(texts(rng, n, nulls))), &large).expect("widens"));
    arrays.into_iter().enumerate().map(|(index, array)| (format!("c{index}"), array)).collect()
}

/// Types that the host casts on the way out.
pub(super) fn cast_ones(rng: &mut fastrand::Rng, nulls: bool) -> Vec<(String, ArrayRef)> {
    let text: ArrayRef = Arc::new(texts(rng, ROWS, nulls));
    let number: ArrayRef = Arc::new(numbers(rng, ROWS, nulls));
    let runs = Int32Array::from(vec![40, 60, 100]);
    let run_values = StringArray::from(vec![Some("x"), if nulls { None } else { Some("y") }, Some("z")]);
    let key = Box::new(DataType::Int8);
    let dictionary = cast(&text, &DataType::Dictionary(key, Box::new(DataType::Utf8))).expect("six words");
    let nested =
        list(rng, ROWS, nulls, |rng, n| cast(&texts(rng, n, nulls), &DataType::Utf8View).expect("texts become views"));
    let arrays: Vec<ArrayRef> = vec![
        dictionary,
        cast(&text, &DataType::Utf8View).expect("texts become views"),
        cast(&text, &DataType::BinaryView).expect("texts become views"),
        Arc::new(RunArray::try_new(&runs, &run_values).expect("three runs")),
        cast(&number, &DataType::Decimal64(12, 1)).expect("small numbers"),
        Arc::new(nested),
    ];
    arrays.into_iter().enumerate().map(|(index, array)| (format!("v{index}"), array)).collect()
}

pub(super) fn batch(columns: Vec<(String, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect())
        .expect("columns of one length")
}
