//! Native tests of `redact`.

use rde_sdk::testing::{Call, Harness, Table, Value};
use serde_json::json;

use super::*;

fn notes(notes: &[Option<&str>]) -> Table {
    Table::new().text("note", notes.iter().copied()).int64("id", (0..).take(notes.len()).map(Some))
}

#[test]
fn personal_data_is_masked_and_the_rest_stays() {
    let input = notes(&[
        Some("write to ada@example.org or call +41 44 123 45 67"),
        Some("paid with 4111 1111 1111 1111, thanks"),
        Some("flight 1545 at 5:15"),
        None,
    ]);
    let mut plugin = Harness::<Redact>::new(json!({ "columns": ["note"] }), &input).expect("it binds");
    let answer = plugin.run(&input).expect("it runs");
    assert_eq!(answer.rows.names(), ["id", "note"]);
    let masked = ["write to [email] or call [phone]", "paid with [card], thanks", "flight 1545 at 5:15"];
    let expected: Vec<Value> = masked.map(Value::from).into_iter().chain([Value::Null]).collect();
    assert_eq!(answer.rows.column("note"), expected);
    assert_eq!(answer.rows.column("id"), input.column("id"));
}

#[test]
fn patterns_are_the_users_own() {
    let input = notes(&[Some("order 77 and 8"), Some("")]);
    let config = json!({ "columns": ["note"], "patterns": { "$n": "[0-9]+" } });
    let answer = Harness::<Redact>::new(config, &input).expect("it binds").run(&input).expect("it runs");
    assert_eq!(answer.rows.column("note"), [Value::from("order [$n] and [$n]"), Value::from("")]);
}

#[test]
fn without_columns_everything_goes_on() {
    let input = notes(&[Some("ada@example.org")]);
    let answer = Harness::<Redact>::new(json!({ "columns": [] }), &input).expect("it binds").run(&input);
    let answer = answer.expect("it runs");
    assert_eq!((answer.calls, answer.rows), (vec![Call::Forward], input));
}

#[test]
fn what_does_not_fit_is_refused_at_bind() {
    let input = notes(&[Some("a")]);
    let refused = |config| match Harness::<Redact>::new(config, &input) {
        Err(Failure::Reject(text)) => text,
        _ => String::from("bound"),
    };
    assert!(refused(json!({ "columns": ["nope"] })).contains("no column `nope`"));
    assert!(refused(json!({ "columns": ["id"] })).contains("column `id` has type int64"));
    assert!(refused(json!({ "columns": ["note"], "patterns": { "x": "(" } })).contains("pattern `x`"));
    assert!(refused(json!({ "columns": ["note"], "colour": 1 })).contains("colour"));
}
