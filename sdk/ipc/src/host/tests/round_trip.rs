//! What is encoded and decoded again is what was there.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int8Array, Int32Array, Int64Array, RecordBatch, RecordBatchOptions,
    StringArray, UnionArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow_ipc::reader::StreamReader;
use proptest::prelude::*;

use super::samples;
use crate::IpcError;
use crate::host::*;

fn decode(encoder: &Encoder, message: &[u8]) -> Decoded {
    let mut decoder = Decoder::new(Arc::clone(encoder.schema()), BufferPool::new(1 << 20)).expect("a shallow schema");
    decoder.decode(message, None, &mut |_| Ok(())).expect("our own message is accepted")
}

fn round_trip(batch: &RecordBatch) -> Decoded {
    let mut encoder = Encoder::new(&batch.schema(), None).expect("all columns");
    let mut message = Vec::new();
    encoder.encode_into(batch, &mut message).expect("every type crosses");
    assert!(message.len().is_multiple_of(64));
    decode(&encoder, &message)
}

fn assert_same(batch: &RecordBatch, decoded: &Decoded) {
    assert_eq!(decoded.rows, batch.num_rows());
    for (field, (before, after)) in batch.schema().fields().iter().zip(batch.columns().iter().zip(&decoded.columns)) {
        after.to_data().validate_full().expect("arrow finds it sound");
        let before = if before.data_type() == after.data_type() {
            Arc::clone(before)
        } else {
            cast(before, after.data_type()).expect("the crossing type is a cast away")
        };
        assert_eq!(&before, after, "column {field:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_type_comes_back_whole_sliced_and_empty(seed: u64, nulls: bool, from in 0_usize..100, rows in 0_usize..100) {
        let mut rng = samples::rng(seed);
        for columns in [samples::crossing(&mut rng, nulls), samples::cast_ones(&mut rng, nulls)] {
            let batch = samples::batch(columns);
            let part = batch.slice(from, rows.min(100 - from));
            assert_same(&part, &round_trip(&part));
        }
    }
}

#[test]
fn the_schema_that_a_guest_sees_comes_back() {
    let batch = samples::batch(samples::crossing(&mut samples::rng(1), true));
    let message = encode_schema(&batch.schema()).expect("every type crosses");
    let back = check_schema(&message, &SchemaRules::default()).expect("our own schema is accepted");
    assert_eq!(back.fields(), batch.schema().fields());
}

#[test]
fn arrows_own_reader_reads_what_we_write() {
    let batch = samples::batch(samples::crossing(&mut samples::rng(2), true)).slice(3, 50);
    let mut encoder = Encoder::new(&batch.schema(), None).expect("all columns");
    let mut stream = encode_schema(&batch.schema()).expect("every type crosses");
    let mut message = Vec::new();
    encoder.encode_into(&batch, &mut message).expect("every type crosses");
    stream.extend_from_slice(&message);
    stream.extend_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
    let mut reader = StreamReader::try_new(stream.as_slice(), None).expect("arrow reads our schema");
    let read = reader.next().expect("one batch").expect("arrow reads our batch");
    assert_eq!(read.columns(), batch.columns());
    assert!(reader.next().is_none());
}

#[test]
fn we_read_what_arrows_writer_writes() {
    let batch = samples::batch(samples::crossing(&mut samples::rng(3), true));
    let mut writer = SpoolWriter::new(Vec::new(), &batch.schema()).expect("a schema");
    writer.write(&batch).expect("a batch");
    let stream = writer.finish().expect("an end");
    let schema_end = message_end(&stream, 0);
    let batch_end = message_end(&stream, schema_end);
    let schema = check_schema(&stream[..schema_end], &SchemaRules::default()).expect("arrow's schema is accepted");
    let mut decoder = Decoder::new(Arc::clone(&schema), BufferPool::new(0)).expect("a shallow schema");
    let decoded = decoder.decode(&stream[schema_end..batch_end], Some(100), &mut |_| Ok(())).expect("accepted");
    assert_same(&batch, &decoded);
}

/// Where the message that starts at `start` ends.
fn message_end(stream: &[u8], start: usize) -> usize {
    let length = i32::from_le_bytes(stream[start + 4..start + 8].try_into().expect("four bytes"));
    let metadata = start + 8 + usize::try_from(length).expect("not negative");
    let message = arrow_ipc::root_as_message(&stream[start + 8..metadata]).expect("a message");
    metadata + usize::try_from(message.bodyLength()).expect("not negative")
}

#[test]
fn only_chosen_columns_are_sent() {
    let batch = samples::batch(samples::crossing(&mut samples::rng(4), true));
    let mut encoder = Encoder::new(&batch.schema(), Some(&[2, 5])).expect("two columns");
    let mut message = Vec::new();
    encoder.encode_into(&batch, &mut message).expect("every type crosses");
    let decoded = decode(&encoder, &message);
    assert_eq!(decoded.columns, [Arc::clone(batch.column(2)), Arc::clone(batch.column(5))]);
    assert!(Encoder::new(&batch.schema(), Some(&[999])).is_err());
}

#[test]
fn the_length_is_exact_and_every_byte_is_written() {
    let batch = samples::batch(samples::crossing(&mut samples::rng(5), true)).slice(1, 77);
    let mut encoder = Encoder::new(&batch.schema(), None).expect("all columns");
    let write = |encoder: &mut Encoder, fill: u8| {
        let prepared = encoder.prepare(&batch).expect("every type crosses");
        let mut out = vec![fill; prepared.len()];
        prepared.write_into(&mut out);
        out
    };
    assert_eq!(write(&mut encoder, 0x00), write(&mut encoder, 0xFF));
}

#[test]
fn a_union_is_shown_as_a_null_column() {
    let children: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(StringArray::from(vec!["a", "b"]))];
    let fields =
        [(0, Arc::new(Field::new("n", DataType::Int64, true))), (1, Arc::new(Field::new("t", DataType::Utf8, true)))];
    let union = UnionArray::try_new(fields.into_iter().collect(), vec![0, 1].into(), None, children).expect("a union");
    let field = Field::new("u", union.data_type().clone(), false);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(union)]).expect("a batch");
    assert_eq!(crossing_schema(&batch.schema()).field(0).data_type(), &DataType::Null);
    assert_eq!(round_trip(&batch).columns[0].data_type(), &DataType::Null);
}

#[test]
fn blocks_are_used_again_when_arrays_are_dropped() {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
    let batch = samples::batch(vec![("n".to_owned(), column)]);
    let mut encoder = Encoder::new(&batch.schema(), None).expect("one column");
    let mut message = Vec::new();
    encoder.encode_into(&batch, &mut message).expect("int64 crosses");
    let pool = BufferPool::new(1 << 20);
    let mut decoder = Decoder::new(batch.schema(), pool.clone()).expect("a shallow schema");
    let mut once = || decoder.decode(&message, None, &mut |_| Ok(())).expect("accepted").columns.remove(0);
    let first = once();
    let place = first.as_primitive::<Int64Type>().values().as_ptr();
    let second = once();
    assert_ne!(place, second.as_primitive::<Int64Type>().values().as_ptr(), "a block in use is not given away");
    assert_eq!(pool.retained(), 0);
    drop(first);
    assert!(pool.retained() >= 8000);
    assert_eq!(place, once().as_primitive::<Int64Type>().values().as_ptr());
    drop(second);
}

#[test]
fn many_small_columns_take_about_what_they_are_charged() {
    let column: ArrayRef = Arc::new(Int8Array::from(vec![1]));
    let batch = samples::batch((0..1000).map(|index| (format!("c{index}"), Arc::clone(&column))).collect());
    let mut encoder = Encoder::new(&batch.schema(), None).expect("all columns");
    let mut message = Vec::new();
    encoder.encode_into(&batch, &mut message).expect("int8 crosses");
    let pool = BufferPool::new(1 << 30);
    let mut decoder = Decoder::new(batch.schema(), pool.clone()).expect("a shallow schema");
    let decoded = decoder.decode(&message, None, &mut |_| Ok(())).expect("accepted");
    let charged = decoded.bytes;
    assert_eq!(charged, 1000 * (64 + 1 + 256));
    drop(decoded);
    // The pool keeps 256 of the blocks, each of the smallest size.
    assert_eq!(pool.retained(), 256 * 64);
}

#[test]
fn rows_without_bytes_are_charged_where_their_number_is_free() {
    let options = RecordBatchOptions::new().with_row_count(Some(5000));
    let schema = Arc::new(Schema::empty());
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), Vec::new(), &options).expect("no columns");
    let mut encoder = Encoder::new(&schema, None).expect("no columns");
    let mut message = Vec::new();
    encoder.encode_into(&batch, &mut message).expect("it has nothing to cross");
    let mut decoder = Decoder::new(schema, BufferPool::new(0)).expect("a shallow schema");
    let mut charged = |rows: Option<usize>| decoder.decode(&message, rows, &mut |_| Ok(())).expect("accepted").bytes;
    assert_eq!((charged(None), charged(Some(5000))), (5000, 0));
}

#[test]
fn a_small_dictionary_of_much_is_too_large_before_it_is_cast() {
    let keys = Int32Array::from(vec![Some(0); 8192]);
    let values = StringArray::from(vec!["x".repeat(300_000)]);
    let column: ArrayRef = Arc::new(DictionaryArray::new(keys, Arc::new(values)));
    let batch = samples::batch(vec![("d".to_owned(), column)]);
    let mut encoder = Encoder::new(&batch.schema(), None).expect("all columns");
    // 2.4 GB, more than offsets of the 32-bit form can say.
    assert_eq!(encoder.prepare(&batch).err(), Some(IpcError::TooLarge));
    assert_eq!(encoder.prepare_within(&batch, 32 << 20).err(), Some(IpcError::TooLarge));
    let two = batch.slice(17, 2);
    let body = (4 * 3_usize).next_multiple_of(64) + 600_000;
    assert_eq!(encoder.prepare_within(&two, body - 64).err(), Some(IpcError::TooLarge));
    assert!(encoder.prepare_within(&two, body).is_ok());
}

#[test]
fn no_batch_is_too_large_for_the_length_that_it_has() {
    for seed in 0..50 {
        let mut rng = samples::rng(seed);
        let batch = samples::batch(samples::cast_ones(&mut rng, seed % 2 == 0));
        let batch = batch.slice(rng.usize(0..50), rng.usize(0..50));
        let mut encoder = Encoder::new(&batch.schema(), None).expect("all columns");
        let len = encoder.prepare(&batch).expect("every type crosses").len();
        assert!(encoder.prepare_within(&batch, len).is_ok(), "seed {seed}");
    }
}

#[test]
fn a_refused_charge_stops_before_anything_is_allocated() {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
    let batch = samples::batch(vec![("n".to_owned(), column)]);
    let mut encoder = Encoder::new(&batch.schema(), None).expect("one column");
    let mut message = Vec::new();
    encoder.encode_into(&batch, &mut message).expect("int64 crosses");
    let mut decoder = Decoder::new(batch.schema(), BufferPool::new(0)).expect("a shallow schema");
    let mut asked = Vec::new();
    let answer = decoder.decode(&message, None, &mut |bytes| {
        asked.push(bytes);
        Err(Refused)
    });
    assert_eq!(answer.expect_err("refused"), IpcError::Refused);
    assert_eq!(asked, [8000 + 125 + 256], "the values, an eighth of a byte for each row, and the array");
}

#[test]
fn a_row_stream_holds_the_real_types_of_one_row() {
    let batch = samples::batch(samples::cast_ones(&mut samples::rng(6), true));
    let stream = encode_row_stream(&batch, 7).expect("row 7 is there");
    let mut reader = SpoolReader::new(stream.as_slice()).expect("a stream");
    assert_eq!(reader.schema().fields(), batch.schema().fields());
    let row = reader.next().expect("one batch").expect("sound");
    assert_eq!(row.num_rows(), 1);
    let text = |batch: &RecordBatch| cast(batch.column(0), &DataType::Utf8).expect("a dictionary of texts");
    assert_eq!(text(&row).as_string::<i32>().iter().next(), text(&batch.slice(7, 1)).as_string::<i32>().iter().next());
    assert!(reader.next().is_none());
    assert!(encode_row_stream(&batch, 100).is_err());
}
