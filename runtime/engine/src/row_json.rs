//! A row as a JSON object, for whoever reads an error row by eye.
//!
//! Beside the payload, which loses nothing: so what is too long, or has no JSON form, is left out here, and counted.
//! Invariant: the object is never longer than its bound, whatever the row holds.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_json::EncoderOptions;
use arrow_json::writer::make_encoder;

/// Returns a row as an object of at most `bytes_max` bytes, and the number of columns that are left out of it.
pub(crate) fn row_json(batch: &RecordBatch, row: usize, bytes_max: usize) -> (String, usize) {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut object = b"{".to_vec();
    let mut left_out = 0;
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let before = object.len();
        let room = bytes_max.saturating_sub(before);
        // A byte is kept for the bracket that closes the object.
        let written = least_bytes(column, row, room) < room
            && has_text(column, row)
            && write_member(field, column, row, &options, &mut object).is_ok()
            && object.len() < bytes_max;
        if !written {
            object.truncate(before);
            left_out += 1;
        }
    }
    object.push(b'}');
    (String::from_utf8_lossy(&object).into_owned(), left_out)
}

fn write_member(
    field: &FieldRef,
    column: &dyn Array,
    row: usize,
    options: &EncoderOptions,
    object: &mut Vec<u8>,
) -> Result<(), ArrowError> {
    let mut encoder = make_encoder(field, column, options)?;
    if object.len() > 1 {
        object.push(b',');
    }
    object.extend_from_slice(serde_json::Value::from(field.name().as_str()).to_string().as_bytes());
    object.push(b':');
    match endless(column, row) {
        _ if encoder.is_null(row) => object.extend_from_slice(b"null"),
        Some(name) => object.extend_from_slice(name.as_bytes()),
        None => encoder.encode(row, object),
    }
    Ok(())
}

/// Returns whether a value can be shown. Of a date or time past what a calendar holds, also inside a list, the encoder would
/// write the text of an error, and not even escaped.
fn has_text(column: &dyn Array, row: usize) -> bool {
    let formatter = ArrayFormatter::try_new(column, &FormatOptions::new().with_display_error(false));
    formatter.is_ok_and(|formatter| formatter.value(row).try_to_string().is_ok())
}

/// Returns a number of bytes that a value's text has at least: one that is far too long is not written only to be cut off again.
/// Of lists, whose elements may be many, no more are looked at than it takes to fill the room.
fn least_bytes(column: &dyn Array, row: usize, room: usize) -> usize {
    if column.is_null(row) {
        return 0;
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).len(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).len(),
        DataType::Utf8View => column.as_string_view().value(row).len(),
        DataType::Binary => column.as_binary::<i32>().value(row).len(),
        DataType::LargeBinary => column.as_binary::<i64>().value(row).len(),
        DataType::BinaryView => column.as_binary_view().value(row).len(),
        DataType::List(_) => all_bytes(&column.as_list::<i32>().value(row), room),
        DataType::LargeList(_) => all_bytes(&column.as_list::<i64>().value(row), room),
        DataType::FixedSizeList(_, _) => all_bytes(&column.as_fixed_size_list().value(row), room),
        DataType::Map(_, _) => all_bytes(&column.as_map().value(row), room),
        DataType::Struct(_) => column.as_struct().columns().iter().map(|field| least_bytes(field, row, room)).sum(),
        DataType::Dictionary(_, _) => {
            let one = column.slice(row, 1);
            let dictionary = one.as_any_dictionary();
            least_bytes(dictionary.values(), dictionary.normalized_keys()[0], room)
        }
        _ => 0,
    }
}

/// An element takes at least itself and a comma.
fn all_bytes(values: &dyn Array, room: usize) -> usize {
    let mut bytes = 2 * values.len();
    for row in 0..values.len() {
        if bytes > room {
            break;
        }
        bytes += least_bytes(values, row, room);
    }
    bytes
}

/// Returns the text of a number that JSON has no form for; its null would hide why such a row was refused.
fn endless(column: &dyn Array, row: usize) -> Option<&'static str> {
    let value: f64 = match column.data_type() {
        DataType::Float16 => column.as_primitive::<Float16Type>().value(row).into(),
        DataType::Float32 => column.as_primitive::<Float32Type>().value(row).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row),
        _ => return None,
    };
    match value {
        _ if value.is_finite() => None,
        _ if value.is_nan() => Some("\"NaN\""),
        _ => Some(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, Float64Array, Int64Array, ListArray, NullArray, StringArray, TimestampMicrosecondArray,
        UnionArray,
    };
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Field, Int64Type, UnionFields};

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
    }

    fn texts(values: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn every_column_of_the_row_stands_under_its_name() {
        let rows = batch(vec![
            ("n", Arc::new(Int64Array::from(vec![Some(1), Some(-2), None]))),
            ("say \"x\"", texts(&["a", "b\n\"c\"", "d"])),
            ("f", Arc::new(Float64Array::from(vec![f64::NAN, 0.5, f64::NEG_INFINITY]))),
            ("l", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([None, Some([Some(7), None]), None]))),
            ("b", Arc::new(BinaryArray::from(vec![&b"\x00"[..], b"\xff\x01", b""]))),
            ("none", Arc::new(NullArray::new(3))),
        ]);
        let check = |row, expected: &str| assert_eq!(row_json(&rows, row, 1000), (expected.to_owned(), 0));
        check(0, r#"{"n":1,"say \"x\"":"a","f":"NaN","l":null,"b":"00","none":null}"#);
        check(1, r#"{"n":-2,"say \"x\"":"b\n\"c\"","f":0.5,"l":[7,null],"b":"ff01","none":null}"#);
        check(2, r#"{"n":null,"say \"x\"":"d","f":"-Infinity","l":null,"b":"","none":null}"#);
    }

    #[test]
    fn a_time_past_every_calendar_is_left_out_and_no_error_text_stands_for_it() {
        let far = TimestampMicrosecondArray::from(vec![i64::MAX]).with_timezone("UTC");
        let listed = ListArray::new(
            Arc::new(Field::new_list_field(far.data_type().clone(), true)),
            OffsetBuffer::from_lengths([1]),
            Arc::new(far.clone()),
            None,
        );
        let rows = batch(vec![("far", Arc::new(far)), ("listed", Arc::new(listed)), ("id", texts(&["7"]))]);
        assert_eq!(row_json(&rows, 0, 1000), (r#"{"id":"7"}"#.to_owned(), 2));
    }

    #[test]
    fn a_row_at_the_bound_is_whole_and_one_byte_less_leaves_a_column_out() {
        let rows = batch(vec![("a", texts(&["xyz"])), ("b", texts(&["é"])), ("c", texts(&["z"]))]);
        let whole = r#"{"a":"xyz","b":"é","c":"z"}"#;
        assert_eq!(row_json(&rows, 0, whole.len()), (whole.to_owned(), 0));
        assert_eq!(row_json(&rows, 0, whole.len() - 1), (r#"{"a":"xyz","b":"é"}"#.to_owned(), 1));
        for bytes_max in 2..whole.len() {
            let (text, left_out) = row_json(&rows, 0, bytes_max);
            let object: serde_json::Map<_, _> = serde_json::from_str(&text).expect("it is JSON");
            assert!(text.len() <= bytes_max && object.len() + left_out == 3, "{bytes_max}: {text}");
        }
    }

    #[test]
    fn a_long_value_and_one_without_a_json_form_hide_no_other_column() {
        let long = "x".repeat(5000);
        let fields: UnionFields = [(0, Arc::new(Field::new("n", DataType::Int64, true)))].into_iter().collect();
        let values: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1]))];
        let union = UnionArray::try_new(fields, vec![0].into(), None, values).expect("one value of the one kind");
        let listed = ListArray::from_iter_primitive::<Int64Type, _, _>([Some((0..5000).map(Some))]);
        let nested = ListArray::new(
            Arc::new(Field::new_list_field(DataType::Utf8, true)),
            OffsetBuffer::from_lengths([3]),
            texts(&["a", &long, "b"]),
            None,
        );
        for value in [texts(&[&long]), Arc::new(listed), Arc::new(nested) as ArrayRef] {
            assert!(least_bytes(&value, 0, 4096) > 4096, "{}", value.data_type());
        }
        let rows = batch(vec![("long", texts(&[&long])), ("union", Arc::new(union)), ("id", texts(&["7"]))]);
        assert_eq!(row_json(&rows, 0, 4096), (r#"{"id":"7"}"#.to_owned(), 2));
    }
}
