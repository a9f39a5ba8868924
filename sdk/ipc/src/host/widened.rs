//! What rows of types that are cast on the way out take in their crossing form, from keys, runs and lengths.
//!
//! On the batch path: in `encode.rs`, before such a column is cast, since a small dictionary may stand for gigabytes. Columns
//! that cross as they are never come here. Invariant: nothing is allocated, and never more is answered than the cast column
//! takes, so that no batch is refused that would have been within the limit. Not here: the cast.

use std::ops::Range;

use arrow::array::{
    Array, AsArray, BinaryViewArray, DictionaryArray, GenericListViewArray, OffsetSizeTrait, PrimitiveArray, RunArray,
    StringViewArray,
};
use arrow::datatypes::{
    ArrowDictionaryKeyType, ArrowNativeType, ArrowPrimitiveType, DataType, Int16Type, Int32Type, Int64Type,
    RunEndIndexType,
};

/// Returns whether an array takes at most so many bytes once it is cast.
pub(super) fn fits(array: &dyn Array, bytes_max: usize) -> bool {
    if let DataType::Dictionary(..) = array.data_type() {
        // No row takes more than all values: enough for most dictionaries, without a look at the keys.
        let values = array.as_any_dictionary().values();
        if bytes(values, 0..values.len()).saturating_mul(array.len()) <= bytes_max {
            return true;
        }
    }
    bytes(array, 0..array.len()) <= bytes_max
}

/// Returns the bytes of rows in their crossing form, without validity and padding.
fn bytes(array: &dyn Array, rows: Range<usize>) -> usize {
    let count = rows.len();
    if count == 0 {
        return 0;
    }
    match array.data_type() {
        DataType::Boolean => count / 8,
        DataType::Decimal32(..) | DataType::Decimal64(..) => count.saturating_mul(16),
        DataType::FixedSizeBinary(width) => count.saturating_mul(usize::try_from(*width).unwrap_or(0)),
        DataType::Utf8 => texts(array.as_string::<i32>().value_offsets(), &rows),
        DataType::LargeUtf8 => texts(array.as_string::<i64>().value_offsets(), &rows),
        DataType::Binary => texts(array.as_binary::<i32>().value_offsets(), &rows),
        DataType::LargeBinary => texts(array.as_binary::<i64>().value_offsets(), &rows),
        DataType::Utf8View => {
            views(array, array.as_any().downcast_ref::<StringViewArray>().map(|a| &**a.views()), &rows)
        }
        DataType::BinaryView => {
            views(array, array.as_any().downcast_ref::<BinaryViewArray>().map(|a| &**a.views()), &rows)
        }
        DataType::List(_) => lists(array.as_list::<i32>().value_offsets(), array.as_list::<i32>().values(), &rows),
        DataType::LargeList(_) => lists(array.as_list::<i64>().value_offsets(), array.as_list::<i64>().values(), &rows),
        DataType::Map(..) => lists(array.as_map().value_offsets(), array.as_map().entries(), &rows),
        DataType::ListView(_) => list_views(array.as_list_view::<i32>(), &rows),
        DataType::LargeListView(_) => list_views(array.as_list_view::<i64>(), &rows),
        DataType::FixedSizeList(_, size) => {
            let size = usize::try_from(*size).unwrap_or(0);
            bytes(array.as_fixed_size_list().values(), rows.start * size..rows.end * size)
        }
        DataType::Struct(_) => sum(array.as_struct().columns().iter().map(|child| bytes(child, rows.clone()))),
        DataType::Dictionary(..) => dictionary(array, &rows),
        DataType::RunEndEncoded(ends, _) => match ends.data_type() {
            DataType::Int16 => runs::<Int16Type>(array, &rows),
            DataType::Int32 => runs::<Int32Type>(array, &rows),
            _ => runs::<Int64Type>(array, &rows),
        },
        other => count.saturating_mul(other.primitive_width().unwrap_or(0)),
    }
}

fn texts<O: OffsetSizeTrait>(offsets: &[O], rows: &Range<usize>) -> usize {
    let data = offsets[rows.end].as_usize() - offsets[rows.start].as_usize();
    data.saturating_add(rows.len().saturating_mul(size_of::<O>()))
}

fn views(array: &dyn Array, views: Option<&[u128]>, rows: &Range<usize>) -> usize {
    let Some(views) = views else { return 0 };
    // The low 32 bits of a view are the length of its value; the view of a null may be anything.
    let length = |row: usize| if array.is_valid(row) { (views[row] as u32) as usize } else { 0 };
    sum(rows.clone().map(|row| length(row) + 4))
}

fn lists<O: OffsetSizeTrait>(offsets: &[O], values: &dyn Array, rows: &Range<usize>) -> usize {
    let inner = bytes(values, offsets[rows.start].as_usize()..offsets[rows.end].as_usize());
    inner.saturating_add(rows.len().saturating_mul(size_of::<O>()))
}

/// Rows of a list view may share values, which are not shared any more afterwards.
fn list_views<O: OffsetSizeTrait>(lists: &GenericListViewArray<O>, rows: &Range<usize>) -> usize {
    let inner = |row: usize| {
        let from = lists.value_offset(row).as_usize();
        bytes(lists.values(), from..from + lists.value_size(row).as_usize())
    };
    sum(rows.clone().filter(|row| lists.is_valid(*row)).map(|row| inner(row).saturating_add(size_of::<O>())))
}

fn dictionary(array: &dyn Array, rows: &Range<usize>) -> usize {
    arrow::downcast_dictionary_array! {
        array => { picked(array, rows) }
        _ => 0
    }
}

fn picked<K: ArrowDictionaryKeyType>(array: &DictionaryArray<K>, rows: &Range<usize>) -> usize {
    let (keys, values) = (array.keys(), array.values());
    match values.data_type() {
        DataType::Utf8 => by_offsets(keys, values.as_string::<i32>().value_offsets(), rows),
        DataType::LargeUtf8 => by_offsets(keys, values.as_string::<i64>().value_offsets(), rows),
        DataType::Binary => by_offsets(keys, values.as_binary::<i32>().value_offsets(), rows),
        DataType::LargeBinary => by_offsets(keys, values.as_binary::<i64>().value_offsets(), rows),
        _ => by_key(keys, rows, |key| bytes(values, key..key + 1)),
    }
}

fn by_offsets<K: ArrowPrimitiveType, O: OffsetSizeTrait>(
    keys: &PrimitiveArray<K>,
    offsets: &[O],
    rows: &Range<usize>,
) -> usize {
    by_key(keys, rows, |key| offsets[key + 1].as_usize() - offsets[key].as_usize() + size_of::<O>())
}

fn by_key<K: ArrowPrimitiveType>(
    keys: &PrimitiveArray<K>,
    rows: &Range<usize>,
    size: impl Fn(usize) -> usize,
) -> usize {
    // The key of a null may be anything.
    sum(rows.clone().filter(|row| keys.is_valid(*row)).map(|row| size(keys.value(row).as_usize())))
}

fn runs<R: RunEndIndexType>(array: &dyn Array, rows: &Range<usize>) -> usize {
    let Some(runs) = array.as_any().downcast_ref::<RunArray<R>>() else { return 0 };
    let (first, last) = (runs.get_physical_index(rows.start), runs.get_physical_index(rows.end - 1));
    let (ends, offset) = (runs.run_ends().values(), runs.run_ends().offset());
    let mut from = offset + rows.start;
    let one = |run: usize| {
        let to = ends[run].as_usize().min(offset + rows.end);
        let length = to - std::mem::replace(&mut from, to);
        bytes(runs.values(), run..run + 1).saturating_mul(length)
    };
    sum((first..=last).map(one))
}

fn sum(sizes: impl Iterator<Item = usize>) -> usize {
    sizes.fold(0, usize::saturating_add)
}
