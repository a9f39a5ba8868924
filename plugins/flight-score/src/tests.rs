//! Native tests of `flight-score`.

use rde_sdk::testing::{Harness, Table, Value};
use serde_json::json;

use super::*;

fn flights() -> Table {
    Table::new()
        .text("carrier", [Some("UA"), Some("AA"), None, Some("B6"), Some("DL"), Some("US")])
        .int64("arr_delay", [Some(-4), Some(14), Some(15), Some(60), None, Some(3)])
        .int64("air_time", [Some(240), Some(120), Some(60), Some(0), None, Some(1)])
        .int64("distance", [Some(1400), Some(719), Some(184), Some(100), Some(502), Some(2000)])
}

#[test]
fn good_rows_are_scored_and_impossible_ones_set_aside() {
    let input = flights();
    let mut plugin = Harness::<FlightScore>::new(json!({}), &input).expect("it binds");
    let answer = plugin.run(&input).expect("it runs");
    assert_eq!(answer.faults, [(3, "bad-air-time".to_owned()), (5, "too-fast".to_owned())]);
    let classes = ["early", "on_time", "late", "not_arrived"];
    assert_eq!(answer.rows.column("delay_class"), classes.map(Value::from));
    let speeds = [Value::from(350.0), Value::from(359.5), Value::from(184.0), Value::Null];
    assert_eq!(answer.rows.column("speed_mph"), speeds);
    assert_eq!(answer.rows.names(), ["carrier", "arr_delay", "air_time", "distance", "delay_class", "speed_mph"]);
}

#[test]
fn the_bounds_are_the_users_own() {
    let input = flights();
    let config = json!({ "late_minutes": 10, "very_late_minutes": 15, "max_mph": 1e9 });
    let answer = Harness::<FlightScore>::new(config, &input).expect("it binds").run(&input).expect("it runs");
    let classes = ["early", "late", "very_late", "not_arrived", "on_time"];
    assert_eq!(answer.rows.column("delay_class"), classes.map(Value::from));
    assert_eq!(answer.faults, [(3, "bad-air-time".to_owned())]);
}

#[test]
fn only_the_columns_that_are_read_cross() {
    let plugin = Harness::<FlightScore>::new(json!({}), &flights()).expect("it binds");
    assert_eq!(plugin.bound().columns, [Some(vec![1, 2, 3])]);
}

#[test]
fn another_type_is_refused_at_bind() {
    let input = Table::new().text("arr_delay", [Some("2")]);
    let refused = Harness::<FlightScore>::new(json!({}), &input).err();
    let Some(Failure::Reject(text)) = refused else { panic!("it bound") };
    assert_eq!(text, "column `arr_delay` has type utf8, int64 is needed");
}
