//! Rows that hold on to nothing but themselves.
//!
//! A slice of a batch shares the buffers of all of it, and of most columns only the own part counts or is written. Not so of
//! dictionaries, whose values are one array for all rows, and of views, which look into buffers of any length.
//! Invariant: types and values stay.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, RecordBatch,
    RecordBatchOptions, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;
use arrow_select::dictionary::garbage_collect_any_dictionary;

/// Cuts the values of dictionaries, and what views look into, to those of the batch's rows.
pub fn compact(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    if !batch.schema_ref().fields().iter().any(|field| shares(field.data_type())) {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().map(compact_array).collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

/// Whether rows of a type share what a slice does not cut.
fn shares(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, _) | DataType::Utf8View | DataType::BinaryView => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => shares(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| shares(field.data_type())),
        _ => false,
    }
}

fn compact_array(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if !shares(array.data_type()) {
        return Ok(Arc::clone(array));
    }
    Ok(match array.data_type() {
        DataType::Dictionary(_, _) => garbage_collect_any_dictionary(array.as_any_dictionary())?,
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        DataType::List(item) => compact_list::<i32>(array, item)?,
        DataType::LargeList(item) => compact_list::<i64>(array, item)?,
        DataType::FixedSizeList(item, length) => {
            let list = array.as_fixed_size_list();
            let (values, nulls) = (compact_array(list.values())?, list.nulls().cloned());
            Arc::new(FixedSizeListArray::try_new_with_length(item.clone(), *length, values, nulls, list.len())?)
        }
        DataType::Map(item, ordered) => {
            let map = array.as_map();
            let (offsets, values) = own_values(map.offsets(), &(Arc::new(map.entries().clone()) as ArrayRef))?;
            let entries = values.as_struct().clone();
            Arc::new(MapArray::try_new(item.clone(), offsets, entries, map.nulls().cloned(), *ordered)?)
        }
        DataType::Struct(fields) => {
            let rows = array.as_struct();
            let columns = rows.columns().iter().map(compact_array).collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, rows.nulls().cloned(), rows.len())?)
        }
        _ => Arc::clone(array),
    })
}

fn compact_list<O: OffsetSizeTrait>(array: &ArrayRef, item: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let list = array.as_list::<O>();
    let (offsets, values) = own_values(list.offsets(), list.values())?;
    Ok(Arc::new(GenericListArray::<O>::try_new(item.clone(), offsets, values, list.nulls().cloned())?))
}

/// Returns the values between the first and the last offset, compact, and offsets that begin with them.
fn own_values<O: OffsetSizeTrait>(
    offsets: &OffsetBuffer<O>,
    values: &ArrayRef,
) -> Result<(OffsetBuffer<O>, ArrayRef), ArrowError> {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let values = values.slice(first.as_usize(), (last - first).as_usize());
    let offsets = offsets.iter().map(|offset| *offset - first).collect::<Vec<O>>();
    Ok((OffsetBuffer::new(offsets.into()), compact_array(&values)?))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        DictionaryArray, ListBuilder, MapBuilder, StringBuilder, StringDictionaryBuilder, StringViewArray,
    };
    use arrow::datatypes::{Field, Int8Type};

    use super::*;

    const LONG: usize = 1_000;

    fn words() -> Vec<Option<String>> {
        let word = |n: usize| (n % 7 != 3).then(|| format!("{n}{}", "x".repeat(LONG)));
        (0..40).map(word).collect()
    }

    /// Every word, as values of dictionaries and views, alone and in lists, structs and maps.
    fn columns() -> Vec<(&'static str, ArrayRef)> {
        let dictionary: DictionaryArray<Int8Type> = words().iter().map(Option::as_deref).collect();
        let dictionary: ArrayRef = Arc::new(dictionary);
        let mut lists = ListBuilder::new(StringDictionaryBuilder::<Int8Type>::new());
        let mut maps = MapBuilder::new(None, StringBuilder::new(), StringDictionaryBuilder::<Int8Type>::new());
        for word in words() {
            if let Some(word) = &word {
                lists.values().append_value(word);
                maps.keys().append_value("k");
                maps.values().append_value(word);
            }
            lists.append(word.is_some());
            maps.append(word.is_some()).expect("a key for each value");
        }
        let field = |array: &ArrayRef| Arc::new(Field::new("item", array.data_type().clone(), true));
        let rows = StructArray::try_new(vec![field(&dictionary)].into(), vec![dictionary.clone()], None);
        let pairs = FixedSizeListArray::try_new(field(&dictionary), 2, dictionary.clone(), None);
        let all: Vec<(&str, ArrayRef)> = vec![
            ("dictionary", dictionary.clone()),
            ("view", Arc::new(words().into_iter().collect::<StringViewArray>())),
            ("list", Arc::new(lists.finish())),
            ("map", Arc::new(maps.finish())),
            ("struct", Arc::new(rows.expect("one field"))),
            ("pairs", Arc::new(pairs.expect("two each"))),
        ];
        all.into_iter().map(|(name, column)| (name, column.slice(2, 3))).collect()
    }

    #[test]
    fn rows_keep_their_values_and_let_go_of_all_others() {
        for (name, column) in columns() {
            let batch = RecordBatch::try_from_iter_with_nullable([(name, column, true)]).expect("one column");
            let compacted = compact(&batch).expect("it can be cut");
            assert_eq!(compacted, batch, "{name}");
            // Of three rows of one or two words each, and some offsets; all words take forty times as much.
            let bytes = compacted.get_array_memory_size();
            assert!(bytes < 10 * LONG, "{name}: {bytes}");
        }
    }

    #[test]
    fn columns_that_share_nothing_stay_the_same_arrays() {
        let column: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["a", "b"]));
        let batch = RecordBatch::try_from_iter([("a", column)]).expect("one column");
        let compacted = compact(&batch).expect("nothing to do");
        assert!(Arc::ptr_eq(batch.column(0), compacted.column(0)));
    }
}
