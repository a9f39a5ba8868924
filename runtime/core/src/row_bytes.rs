//! Computes what a selection of rows would take once copied, from lengths and offsets, before anything is allocated.
//!
//! On the batch path: asked before a plugin's `keep`, `pick`, `extend` and `expand` are made, and before `unnest` repeats rows.
//! Invariant: never less than the values take; text behind views counts as if it were copied, since a reader will copy it.

use arrow::array::{
    Array, AsArray, BinaryViewArray, OffsetSizeTrait, RunArray, StringViewArray, UInt32Array, UnionArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{ArrowNativeType, DataType, Int16Type, Int32Type, Int64Type, RunEndIndexType, UnionMode};

/// Returns the bytes of the rows whose bit is set.
pub fn masked(array: &dyn Array, mask: &BooleanBuffer) -> usize {
    match row_bits(array.data_type()) {
        Some(bits) => fixed(array, bits, mask.count_set_bits()),
        None => sum(mask.set_slices().map(|(start, end)| range(array, start, end))),
    }
}

/// Returns the bytes of the named rows, at least one for each; past `room` some number above it, since a guest may name more
/// rows than there is time for.
pub fn picked(array: &dyn Array, rows: &UInt32Array, room: usize) -> usize {
    if let Some(bits) = row_bits(array.data_type()) {
        return fixed(array, bits, rows.len());
    }
    let mut bytes = 0_usize;
    for row in rows.values() {
        let row = *row as usize;
        bytes = bytes.saturating_add(range(array, row, row + 1).max(1));
        if bytes > room {
            break;
        }
    }
    bytes
}

/// Returns the bytes of all rows where each is repeated so many times.
pub fn repeated(array: &dyn Array, times: &[usize]) -> usize {
    match row_bits(array.data_type()) {
        Some(bits) => fixed(array, bits, sum(times.iter().copied())),
        None => sum(times.iter().enumerate().map(|(row, times)| range(array, row, row + 1).saturating_mul(*times))),
    }
}

/// Returns the bytes of the rows from `start` to before `end`.
pub fn range(array: &dyn Array, start: usize, end: usize) -> usize {
    let rows = end.saturating_sub(start);
    if let Some(bits) = row_bits(array.data_type()) {
        return fixed(array, bits, rows);
    }
    if rows == 0 {
        return 0;
    }
    let values = match array.data_type() {
        DataType::Utf8 => offsets(array.as_string::<i32>().value_offsets(), start, end, 4),
        DataType::LargeUtf8 => offsets(array.as_string::<i64>().value_offsets(), start, end, 8),
        DataType::Binary => offsets(array.as_binary::<i32>().value_offsets(), start, end, 4),
        DataType::LargeBinary => offsets(array.as_binary::<i64>().value_offsets(), start, end, 8),
        DataType::Utf8View => views(array.as_any().downcast_ref::<StringViewArray>().map(|a| &**a.views()), start, end),
        DataType::BinaryView => {
            views(array.as_any().downcast_ref::<BinaryViewArray>().map(|a| &**a.views()), start, end)
        }
        DataType::List(_) => list(array.as_list::<i32>().value_offsets(), array.as_list::<i32>().values(), start, end),
        DataType::LargeList(_) => {
            list(array.as_list::<i64>().value_offsets(), array.as_list::<i64>().values(), start, end)
        }
        DataType::Map(..) => {
            let map = array.as_map();
            list(map.value_offsets(), map.entries(), start, end)
        }
        DataType::FixedSizeList(_, length) => {
            let length = usize::try_from(*length).unwrap_or(0);
            range(array.as_fixed_size_list().values(), start.saturating_mul(length), end.saturating_mul(length))
        }
        DataType::Struct(_) => sum(array.as_struct().columns().iter().map(|child| range(child, start, end))),
        DataType::RunEndEncoded(ends, _) => match ends.data_type() {
            DataType::Int16 => runs::<Int16Type>(array, start, end),
            DataType::Int32 => runs::<Int32Type>(array, start, end),
            _ => runs::<Int64Type>(array, start, end),
        },
        DataType::Union(_, mode) => union(array.as_union(), *mode, start, end),
        DataType::ListView(_) | DataType::LargeListView(_) => list_views(array, start, end),
        // Every other type has rows of one width.
        _ => rows.saturating_mul(16),
    };
    values.saturating_add(validity(array, rows))
}

/// Returns the bits of one row where all rows take the same.
fn row_bits(data_type: &DataType) -> Option<usize> {
    if let Some(width) = data_type.primitive_width() {
        return Some(width * 8);
    }
    match data_type {
        DataType::Null => Some(0),
        DataType::Boolean => Some(1),
        DataType::FixedSizeBinary(width) => Some(usize::try_from(*width).unwrap_or(0).saturating_mul(8)),
        // Values are shared, keys are copied.
        DataType::Dictionary(key, _) => row_bits(key),
        _ => None,
    }
}

fn fixed(array: &dyn Array, bits: usize, rows: usize) -> usize {
    rows.saturating_mul(bits).div_ceil(8).saturating_add(validity(array, rows))
}

fn validity(array: &dyn Array, rows: usize) -> usize {
    if array.null_count() == 0 { 0 } else { rows.div_ceil(8) }
}

fn offsets<O: OffsetSizeTrait>(offsets: &[O], start: usize, end: usize, width: usize) -> usize {
    let bytes = offsets[end].as_usize() - offsets[start].as_usize();
    bytes.saturating_add((end - start).saturating_mul(width))
}

fn list<O: OffsetSizeTrait>(offsets: &[O], values: &dyn Array, start: usize, end: usize) -> usize {
    let inner = range(values, offsets[start].as_usize(), offsets[end].as_usize());
    inner.saturating_add((end - start).saturating_mul(size_of::<O>()))
}

fn views(views: Option<&[u128]>, start: usize, end: usize) -> usize {
    // The low 32 bits of a view are the length of its value.
    let lengths = views.unwrap_or(&[]).get(start..end).unwrap_or(&[]).iter().map(|view| 16 + (*view as u32) as usize);
    lengths.fold(0, usize::saturating_add)
}

fn list_views(array: &dyn Array, start: usize, end: usize) -> usize {
    let row = |row: usize| match array.data_type() {
        DataType::ListView(_) => {
            let lists = array.as_list_view::<i32>();
            let from = lists.value_offset(row).as_usize();
            range(lists.values(), from, from + lists.value_size(row).as_usize()) + 8
        }
        _ => {
            let lists = array.as_list_view::<i64>();
            let from = lists.value_offset(row).as_usize();
            range(lists.values(), from, from + lists.value_size(row).as_usize()) + 16
        }
    };
    sum((start..end).map(row))
}

fn runs<R: RunEndIndexType>(array: &dyn Array, start: usize, end: usize) -> usize {
    let Some(runs) = array.as_any().downcast_ref::<RunArray<R>>() else { return 0 };
    let first = runs.get_physical_index(start);
    let last = runs.get_physical_index(end - 1) + 1;
    range(runs.values(), first, last).saturating_add((last - first).saturating_mul(8))
}

fn union(union: &UnionArray, mode: UnionMode, start: usize, end: usize) -> usize {
    let row = |row: usize| {
        let child = union.child(union.type_id(row));
        let at = union.value_offset(row);
        range(child, at, at + 1) + 5
    };
    match mode {
        UnionMode::Dense => sum((start..end).map(row)),
        UnionMode::Sparse => {
            let DataType::Union(fields, _) = union.data_type() else { return 0 };
            sum(fields.iter().map(|(id, _)| range(union.child(id), start, end))).saturating_add(end - start)
        }
    }
}

fn sum(sizes: impl Iterator<Item = usize>) -> usize {
    sizes.fold(0, usize::saturating_add)
}
