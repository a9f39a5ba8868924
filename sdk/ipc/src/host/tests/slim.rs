//! The guest's reader and writer against the host's.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

use super::samples;
use crate::host::*;
use crate::{Batch, BatchReader, DataType, Field, IpcError, MessageWriter, Schema};

fn input() -> (Vec<u8>, Vec<u8>) {
    let columns: Vec<(String, ArrayRef)> = vec![
        ("id".to_owned(), Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))),
        ("amount".to_owned(), Arc::new(Float64Array::from(vec![1.5, 2.5, 3.5]))),
        ("name".to_owned(), Arc::new(StringArray::from(vec![Some("a"), Some("Zürich"), None]))),
    ];
    let batch = samples::batch(columns);
    let mut message = Vec::new();
    Encoder::new(&batch.schema(), None).expect("all").encode_into(&batch, &mut message).expect("they cross");
    (encode_schema(&batch.schema()).expect("they cross"), message)
}

#[test]
fn the_guest_reads_what_the_host_sends() {
    let (schema, message) = input();
    let schema = Schema::parse(&schema).expect("the host's schema");
    assert_eq!(schema.fields[2], Field::new("name", DataType::Utf8));
    let reader = BatchReader::new(schema);
    let batch = reader.read(&message).expect("the host's batch");
    assert_eq!(batch.rows(), 3);
    let id = batch.column(0).expect("id");
    assert_eq!((id.values::<i64>().expect("int64")[2], id.is_valid(1), id.null_count()), (3, false, 1));
    assert_eq!(*batch.column(1).expect("amount").values::<f64>().expect("float64"), [1.5, 2.5, 3.5]);
    let name = batch.column(2).expect("name").text().expect("utf8");
    assert_eq!((name.str(0), name.str(1), name.str(2), name.str(3)), ("a", "Zürich", "", ""));
    assert_eq!(id.values::<f64>().expect_err("another type"), IpcError::Access { wanted: "float64" });
}

#[test]
fn the_guest_reads_messages_at_any_place_in_memory() {
    let (schema, message) = input();
    let schema = Schema::parse(&schema).expect("the host's schema");
    for shift in 0..16 {
        let moved = [vec![0; shift], message.clone()].concat();
        let batch = Batch::parse(&schema, &moved[shift..]).expect("the host's batch");
        assert_eq!(*batch.column(1).expect("amount").values::<f64>().expect("float64"), [1.5, 2.5, 3.5]);
    }
}

#[test]
fn the_host_reads_what_the_guest_writes_message_after_message() {
    let schema = Schema::new(vec![
        Field::new("n", DataType::Int64),
        Field::new("t", DataType::Utf8),
        Field::new("b", DataType::Bool),
        Field::new("l", DataType::LargeUtf8),
        Field::new("f", DataType::Float64).required(),
    ]);
    let checked = check_schema(&schema.encode(), &SchemaRules::default()).expect("the guest's schema");
    let mut decoder = Decoder::new(Arc::clone(&checked), BufferPool::new(0)).expect("a shallow schema");
    let mut writer = MessageWriter::new(&schema);
    for rows in [1000, 0, 1, 9, 64] {
        writer.start(rows);
        writer.fixed_with::<i64>(|values, validity| {
            values.iter_mut().zip(0..).for_each(|(value, row)| *value = row);
            if values.is_empty() {
                return 0;
            }
            validity[0] &= !1;
            1
        });
        write_texts(&mut writer);
        writer.bools_with(|data, _| {
            data.iter_mut().for_each(|byte| *byte = 0);
            0
        });
        write_texts(&mut writer);
        writer.fixed::<f64>().fill(1.25);
        let message = writer.finish().expect("all columns are written");
        let batch = decoder.decode(message, Some(rows), &mut |_| Ok(())).expect("accepted").into_batch(&checked);
        let batch = batch.expect("a batch");
        assert_eq!(batch.num_rows(), rows);
        let texts: Vec<_> = (0..rows).map(|row| (row % 3 != 2).then(|| row.to_string())).collect();
        assert_eq!(batch.column(1).as_ref(), &StringArray::from(texts.clone()) as &dyn arrow::array::Array);
        assert_eq!(batch.column(3).as_ref(), &arrow::array::LargeStringArray::from(texts) as &dyn arrow::array::Array);
        assert_eq!(batch.column(0).null_count(), usize::from(rows > 0));
    }
}

/// The number of each row, but null at each third.
fn write_texts(writer: &mut MessageWriter) {
    let rows = writer.rows();
    let mut text = writer.text();
    for row in 0..rows {
        if row % 3 == 2 { text.push_null() } else { text.push(row.to_string().as_bytes()) }
    }
    text.end();
}

#[test]
fn a_message_that_lacks_a_column_is_not_finished() {
    let schema = Schema::new(vec![Field::new("a", DataType::Int64), Field::new("b", DataType::Int64)]);
    let mut writer = MessageWriter::new(&schema);
    writer.start(2);
    writer.fixed::<i64>().fill(1);
    assert_eq!(writer.finish().expect_err("one column is missing").kind(), "nodes");
}
