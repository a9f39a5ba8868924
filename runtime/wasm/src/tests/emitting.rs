//! Every function of `emit`, and every way to call it wrongly.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, NullArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema};
use rde_ipc::Encoder;
use serde_json::json;

use super::guest::{Columns, Guest};
use super::{Bench, batch, call, code, int64, run};

fn doubled() -> Schema {
    Schema::new(vec![Field::new("doubled", DataType::Int64, true)])
}

fn message(values: &[i64]) -> Vec<u8> {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    let batch = RecordBatch::try_new(Arc::new(doubled()), vec![column]).expect("the column fits");
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&doubled(), None).expect("the schema crosses");
    encoder.encode_into(&batch, &mut bytes).expect("the batch encodes");
    bytes
}

fn derived(reuse: Option<Vec<u32>>) -> Columns {
    Columns::Derived { input: 0, reuse, added: Some(doubled()) }
}

/// A guest that gets no columns, with an output and data; `body` is given the addresses of the data.
fn guest(columns: Columns, data: &[&[u8]], body: impl Fn(&[u32]) -> String) -> Guest {
    let mut guest = Guest::process("").output(columns);
    let at: Vec<u32> = data.iter().map(|bytes| guest.data(bytes)).collect();
    guest.on_process = format!("{} (i32.const 0)", body(&at));
    guest
}

fn rows(rows: &[u32]) -> Vec<u8> {
    rows.iter().flat_map(|row| row.to_le_bytes()).collect()
}

fn of(function: &str, arguments: &[u32]) -> String {
    let arguments: String = arguments.iter().map(|argument| format!("(i32.const {argument}) ")).collect();
    format!("(call ${function} {arguments})")
}

fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("test data is small")
}

#[test]
fn forward_keep_and_pick_give_rows_of_the_batch() {
    let forward = guest(Columns::SameAs(0), &[], |_| of("forward", &[0]));
    assert_eq!(call(forward, json!({}), 3).expect("it forwards").ids(), [0, 1, 2]);
    let keep = guest(Columns::SameAs(0), &[&[0b0000_0101, 0b10]], |at| of("keep", &[0, at[0], 2]));
    assert_eq!(call(keep, json!({}), 10).expect("it keeps").ids(), [0, 2, 9]);
    let pick = guest(Columns::SameAs(0), &[&rows(&[2, 0, 2])], |at| of("pick", &[0, at[0], 3]));
    assert_eq!(call(pick, json!({}), 3).expect("it picks").ids(), [2, 0, 2]);
}

#[test]
fn message_gives_a_batch_of_the_guest() {
    let data = message(&[5, 6]);
    let whole = guest(Columns::Full(doubled()), &[&data], |at| of("message", &[0, 7, at[0], len(&data)]));
    let made = call(whole, json!({}), 1).expect("the message is good");
    assert_eq!(int64(&made.batches[0].1, "doubled"), [5, 6]);
}

#[test]
fn extend_and_expand_put_new_columns_beside_those_that_the_host_kept() {
    let data = message(&[10, 20, 30]);
    let all = guest(derived(Some(vec![1, 0])), &[&rows(&[1, 0]), &data], |at| {
        of("extend", &[0, 7, 0, 0, 0, at[0], 2, at[1], len(&data)])
    });
    let made = call(all, json!({}), 3).expect("it extends");
    let batch = &made.batches[0].1;
    let names: Vec<&str> = batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["name", "id", "doubled"]);
    assert_eq!((int64(batch, "id"), int64(batch, "doubled")), (vec![0, 1, 2], vec![10, 20, 30]));

    let some = guest(derived(None), &[&rows(&[0, 1]), &data, &[0b1011]], |at| {
        of("extend", &[0, 7, 1, at[2], 1, at[0], 2, at[1], len(&data)])
    });
    let made = call(some, json!({}), 4).expect("it extends some");
    assert_eq!((made.ids(), int64(&made.batches[0].1, "doubled")), (vec![0, 1, 3], vec![10, 20, 30]));

    let expand = guest(derived(None), &[&rows(&[0, 1]), &data, &rows(&[1, 1, 0])], |at| {
        of("expand", &[0, 7, at[2], 3, at[0], 2, at[1], len(&data)])
    });
    let made = call(expand, json!({}), 2).expect("it expands");
    assert_eq!((made.ids(), int64(&made.batches[0].1, "doubled")), (vec![1, 1, 0], vec![10, 20, 30]));
}

#[test]
fn a_derivation_without_new_columns_takes_no_data() {
    let columns = || Columns::Derived { input: 0, reuse: Some(vec![0]), added: None };
    let good = guest(columns(), &[&rows(&[0])], |at| of("extend", &[0, 7, 0, 0, 0, at[0], 1, 0, 0]));
    let made = call(good, json!({}), 2).expect("it projects");
    assert_eq!((made.ids(), made.batches[0].1.num_columns()), (vec![0, 1], 1));
    let data = message(&[1, 2]);
    let bad = guest(columns(), &[&rows(&[0]), &data], |at| of("extend", &[0, 7, 0, 0, 0, at[0], 1, at[1], len(&data)]));
    assert_eq!(code(call(bad, json!({}), 2)), "RDE0311");
}

#[test]
fn several_outputs_keep_call_order_each() {
    let mut two = Guest::process("");
    two.outputs = vec![("a".to_owned(), 1, Columns::SameAs(0)), ("b".to_owned(), 1, Columns::SameAs(0))];
    let mask = two.data(&[0b01]);
    two.on_process = format!(
        "(call $forward (i32.const 1)) (call $keep (i32.const 0) (i32.const {mask}) (i32.const 1))
         (call $forward (i32.const 0)) (i32.const 0)"
    );
    let made = call(two, json!({}), 2).expect("both outputs are good");
    assert_eq!(made.ids(), [0, 0, 1]);
    assert_eq!(made.batches.iter().filter(|(port, _)| *port == 1).count(), 1);
}

#[test]
fn wrong_calls_break_the_contract_and_give_nothing() {
    let data = message(&[1, 2]);
    let long = message(&[1, 2, 3]);
    let bytes = len(&data);
    let same = || Columns::SameAs(0);
    let full = || Columns::Full(doubled());
    let trailing = [data.as_slice(), &[0; 8]].concat();
    let cases: Vec<(&str, Guest)> = vec![
        ("output past the last", guest(same(), &[], |_| of("forward", &[1]))),
        ("output far past the last", guest(same(), &[], |_| of("forward", &[u32::MAX]))),
        ("forward on a full output", guest(full(), &[], |_| of("forward", &[0]))),
        ("message on a same-as output", guest(same(), &[&data], |at| of("message", &[0, 7, at[0], bytes]))),
        ("unknown schema", guest(full(), &[&data], |at| of("message", &[0, 8, at[0], bytes]))),
        ("short bitmap", guest(same(), &[&[1]], |at| of("keep", &[0, at[0], 0]))),
        ("long bitmap", guest(same(), &[&[1, 0]], |at| of("keep", &[0, at[0], 2]))),
        ("bits past the last row", guest(same(), &[&[0b100]], |at| of("keep", &[0, at[0], 1]))),
        ("row past the last", guest(same(), &[&rows(&[2])], |at| of("pick", &[0, at[0], 1]))),
        (
            "other columns in reuse",
            guest(derived(None), &[&rows(&[1, 0]), &data], |at| of("extend", &[0, 7, 0, 0, 0, at[0], 2, at[1], bytes])),
        ),
        (
            "fewer columns in reuse",
            guest(derived(None), &[&rows(&[0]), &data], |at| of("extend", &[0, 7, 0, 0, 0, at[0], 1, at[1], bytes])),
        ),
        (
            "extend on a full output",
            guest(full(), &[&rows(&[0, 1]), &data], |at| of("extend", &[0, 7, 0, 0, 0, at[0], 2, at[1], bytes])),
        ),
        (
            "more new rows than kept",
            guest(derived(None), &[&rows(&[0, 1]), &long], |at| {
                of("extend", &[0, 7, 0, 0, 0, at[0], 2, at[1], len(&long)])
            }),
        ),
        (
            "no data for new columns",
            guest(derived(None), &[&rows(&[0, 1])], |at| of("extend", &[0, 7, 0, 0, 0, at[0], 2, 0, 0])),
        ),
        ("cut data", guest(full(), &[&data], |at| of("message", &[0, 7, at[0], bytes - 8]))),
        ("trailing data", guest(full(), &[&trailing], |at| of("message", &[0, 7, at[0], len(&trailing)]))),
        ("no data", guest(full(), &[], |_| of("message", &[0, 7, 0, 0]))),
        ("data past the memory", guest(full(), &[], |_| of("message", &[0, 7, 0xffff_0000, 0x10000]))),
        ("unaligned rows", guest(same(), &[&rows(&[0])], |at| of("pick", &[0, at[0] + 1, 1]))),
        ("parts without metadata", guest(full(), &[], |_| of("parts", &[0, 7, 0, 0, 0, 0]))),
    ];
    for (name, guest) in cases {
        let error = call(guest, json!({}), 2).err().expect(name);
        assert_eq!(error.code(), "RDE0311", "{name}: {error}");
        assert!(error.message().starts_with("plugin `guest`: batch 1 "), "{name}: {error}");
    }
}

#[test]
fn emit_and_clock_answer_only_where_the_interface_says() {
    let forward = "(call $forward (i32.const 0)) (i32.const 0)";
    let mut on_describe = Guest::new();
    on_describe.on_describe = Some(forward.to_owned());
    let mut on_bind = Guest::new();
    on_bind.on_bind = Some(forward.to_owned());
    let mut on_open = Guest::new();
    on_open.on_open = forward.to_owned();
    let mut clock = Guest::new();
    clock.on_bind = Some("(drop (call $now)) (i32.const 0)".to_owned());
    for guest in [on_describe, on_bind, on_open, clock] {
        let errors = Bench::new(&guest.component()).open(json!({})).err().expect("it breaks the contract");
        assert_eq!(errors[0].code(), "RDE0311", "{errors:?}");
    }
    let mut clock = Guest::new();
    clock.on_open = "(drop (call $now)) (i32.const 0)".to_owned();
    assert!(Bench::new(&clock.component()).open(json!({})).is_ok());
}

#[test]
fn only_chosen_columns_cross_and_the_host_keeps_the_rest() {
    // The guest sees a message only when it chose a column; without columns the list is empty.
    let none = Guest::process("(if (local.get $len) (then (unreachable))) (call $forward (i32.const 0)) (i32.const 0)");
    let made = call(none, json!({}), 2).expect("nothing crosses");
    assert_eq!(made.batches[0].1, batch(2));
    let mut one = Guest::process("");
    one.columns = vec![Some(vec![1])];
    one.on_process =
        "(if (i32.eqz (local.get $len)) (then (unreachable))) (call $forward (i32.const 0)) (i32.const 0)".to_owned();
    let bench = Bench::new(&one.component());
    let mut runner = bench.open(json!({})).expect("the guest opens");
    assert_eq!(run(&mut runner, batch(2)).expect("one column crosses").batches[0].1, batch(2));
    let stats = runner.stats().expect("the operator is open");
    let one_column = stats.bytes_in.load(std::sync::atomic::Ordering::Relaxed);
    let mut all = Guest::process("(i32.const 0)");
    all.columns = vec![None];
    let bench = Bench::new(&all.component());
    let mut runner = bench.open(json!({})).expect("the guest opens");
    run(&mut runner, batch(2)).expect("all columns cross");
    let stats = runner.stats().expect("the operator is open");
    assert!(stats.bytes_in.load(std::sync::atomic::Ordering::Relaxed) > one_column);
}

#[test]
fn rows_without_bytes_cost_a_byte_each_and_go_on_in_parts() {
    let rows = 20_000;
    let message = |schema: &Schema, columns: Vec<ArrayRef>| {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(schema.clone()), columns, &options);
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(schema, None).expect("the schema crosses");
        encoder.encode_into(&batch.expect("the columns fit"), &mut bytes).expect("the batch encodes");
        bytes
    };
    let null = Schema::new(vec![Field::new("n", DataType::Null, true)]);
    let flag = Schema::new(vec![Field::new("f", DataType::Boolean, false)]);
    let flags = BooleanArray::from(vec![true; rows]);
    let cases: [(Schema, Vec<ArrayRef>, usize); 3] = [
        (Schema::empty(), Vec::new(), rows),
        (null, vec![Arc::new(NullArray::new(rows))], rows),
        (flag, vec![Arc::new(flags)], rows),
    ];
    for (schema, columns, least) in cases {
        let data = message(&schema, columns);
        let whole = |max: usize| {
            let schema = Columns::Full(schema.clone());
            let whole = guest(schema, &[&data], |at| of("message", &[0, 7, at[0], len(&data)]));
            call(whole, json!({ "limits": { "output_max": format!("{max}B") } }), 2)
        };
        let made = whole(least).expect("a byte for each row is within");
        let parts: Vec<usize> = made.batches.iter().map(|(_, batch)| batch.num_rows()).collect();
        assert_eq!(parts, [8192, 8192, 3616], "{schema}");
        assert_eq!(code(whole(least - 1)), "RDE0316", "{schema}");
    }
}
