//! Native tests of `bench-hop`.

use rde_sdk::testing::{Answer, Call, Harness, Table, Value};
use serde_json::json;

use super::*;

fn input() -> Table {
    Table::new()
        .int64("id", (0..5).map(Some))
        .float64("amount", [Some(1.0), Some(20.0), None, Some(59.5), Some(100.0)])
        .text("name", [Some("a1"), None, Some("22"), Some(""), Some("b-9ü")])
}

fn run(function: &str) -> Answer {
    let mut plugin = Harness::<Hop>::new(json!({ "function": function }), &input()).expect("it binds");
    plugin.run(&input()).expect("it runs")
}

#[test]
fn scale_and_bucket_keep_nulls() {
    let scaled =
        [Value::from(1.07), Value::from(20.0 * 1.07), Value::Null, Value::from(59.5 * 1.07), Value::from(107.0)];
    assert_eq!(run("scale").rows.column("scaled"), scaled);
    let buckets = [Value::Int(0), Value::Int(1), Value::Null, Value::Int(2), Value::Int(4)];
    assert_eq!(run("bucket").rows.column("bucket"), buckets);
}

#[test]
fn mask_changes_digits_only() {
    let masked = [Value::from("a#"), Value::Null, Value::from("##"), Value::from(""), Value::from("b-#ü")];
    assert_eq!(run("mask").rows.column("masked"), masked);
}

#[test]
fn filter_keeps_and_forward_sends_no_column() {
    assert_eq!(run("filter").rows.column("id"), [1, 3, 4].map(Value::Int));
    assert_eq!(run("forward").calls, [Call::Forward]);
    let plugin = Harness::<Hop>::new(json!({ "function": "forward" }), &input()).expect("it binds");
    assert_eq!(plugin.bound().columns, [Some(vec![])]);
}
