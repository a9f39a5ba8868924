//! The bytes of the values of a batch, whatever memory they stand in.
//!
//! Sizes of files are told from it. A slice keeps the whole alive that it was cut from, so its memory says nothing of its
//! rows. Invariant: the parts a batch is cut into have, but for roundings, as many bytes as the batch.

use arrow::array::{Array, AsArray, OffsetSizeTrait, RecordBatch};
use arrow::datatypes::DataType;

/// Returns the bytes of the rows of a batch.
pub(crate) fn row_bytes(batch: &RecordBatch) -> u64 {
    batch.columns().iter().map(|column| array_bytes(column)).sum::<usize>() as u64
}

fn array_bytes(array: &dyn Array) -> usize {
    let rows = array.len();
    let validity = if array.nulls().is_some() { rows.div_ceil(8) } else { 0 };
    match array.data_type() {
        DataType::Struct(_) => {
            validity + array.as_struct().columns().iter().map(|column| array_bytes(column)).sum::<usize>()
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            validity + span(list.value_offsets(), list.values())
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            validity + span(list.value_offsets(), list.values())
        }
        DataType::Map(..) => validity + span(array.as_map().value_offsets(), array.as_map().entries()),
        DataType::Utf8View => validity + views(array.as_string_view().lengths()),
        DataType::BinaryView => validity + views(array.as_binary_view().lengths()),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            // Rows share the values; each has its part of them.
            let shared = array_bytes(dictionary.values()) as u64;
            let values = shared * rows as u64 / dictionary.values().len().max(1) as u64;
            array_bytes(dictionary.keys()) + values as usize
        }
        _ => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
    }
}

/// Returns the bytes of lists: their offsets and the values between the first and the last of them.
fn span<T: OffsetSizeTrait>(offsets: &[T], values: &dyn Array) -> usize {
    let (first, last) = (offsets[0].as_usize(), offsets[offsets.len() - 1].as_usize());
    size_of_val(offsets) + array_bytes(&values.slice(first, last - first))
}

/// Returns the bytes of texts and their views.
fn views(lengths: impl Iterator<Item = u32>) -> usize {
    lengths.map(|length| size_of::<u128>() + length as usize).sum()
}
