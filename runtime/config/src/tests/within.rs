//! Places within scalars: an error in SQL points into the YAML.

use rde_core::{Error, Place};

use super::{GOOD, loaded};

/// Loads a pipeline whose query is written in this way and locates the first `bad` of the value.
fn place_of_bad(written: &str) -> (u32, u32, String) {
    let text = GOOD.replace("sql: { query: \"SELECT 1\" }", &format!("sql:\n      query: {written}"));
    let loaded = loaded(&text, &[]);
    assert!(loaded.faults.is_empty(), "{written}: {:#?}", loaded.faults);
    let spec = loaded.spec.as_ref().expect("the file is good");
    let query = spec.operators[1].fields.value["query"].as_str().expect("a text").to_owned();
    let before = query.split("bad").next().expect("there is a first part").chars().count();
    let error = Error::config(&crate::codes::WRONG_VALUE, "no such column `bad`")
        .at(Place::within("/query", before..before + 3))
        .in_operator("late");
    let fault = loaded.places.locate(&error);
    let source: Vec<char> = text.chars().collect();
    let marked = source[fault.span.start as usize..fault.span.end as usize].iter().collect();
    (fault.line, fault.column, marked)
}

#[test]
fn characters_of_every_style_are_found_in_the_file() {
    let first = 11;
    let cases = [
        ("SELECT bad FROM x", 0, 21),
        ("\"SELECT bad\"", 0, 22),
        ("'it''s bad'", 0, 21),
        ("\"\\u0041\\n\\\"ü bad\"", 0, 27),
        ("SELECT a,\n        bad", 1, 9),
        ("SELECT a,\n\n\n        b, bad", 3, 12),
        ("\"SELECT a,\n        bad\"", 1, 9),
        ("\"SELECT a,\\\n        bad\"", 1, 9),
        ("|\n        SELECT a,\n          bad\n        FROM x", 2, 11),
        ("|-\n\n        SELECT ä,\n\n        bad", 4, 9),
        (">\n        SELECT a,\n        bad\n", 2, 9),
        (">\n        SELECT a,\n\n          more\n        b, bad\n", 4, 12),
        (">-\n        SELECT a,\n\n\n        b, bad\n", 4, 12),
        ("|2\n        SELECT\n          bad", 2, 11),
    ];
    for (written, line, column) in cases {
        assert_eq!(place_of_bad(written), (first + line, column, "bad".to_owned()), "{written}");
    }
}

#[test]
fn places_hold_with_carriage_returns() {
    let text = GOOD
        .replace("sql: { query: \"SELECT 1\" }", "sql:\n      query: |\n        SELECT\n        bad")
        .replace('\n', "\r\n");
    let loaded = loaded(&text, &[]);
    let error = Error::config(&crate::codes::WRONG_VALUE, "x").at(Place::within("/query", 7..10)).in_operator("late");
    let fault = loaded.places.locate(&error);
    assert_eq!((fault.line, fault.column), (13, 9), "{:?}", loaded.faults);
}

#[test]
fn characters_after_a_variable_are_found_and_those_inside_point_to_the_start() {
    assert_eq!(place_of_bad("SELECT ${WORD}, $${x} bad"), (11, 36, "bad".to_owned()));
    let (line, column, _) = place_of_bad("SELECT ${NONE:a bad one}");
    assert_eq!((line, column), (11, 14));
}

#[test]
fn errors_point_to_the_field_or_to_what_is_nearest() {
    let loaded = loaded(GOOD, &[]);
    let place = |operator: Option<&str>, pointer: &str| {
        let mut error = Error::config(&crate::codes::WRONG_VALUE, "x").at(Place::field(pointer));
        if let Some(operator) = operator {
            error = error.in_operator(operator);
        }
        let fault = loaded.places.locate(&error);
        (fault.line, fault.column)
    };
    assert_eq!(place(Some("flights"), ""), (5, 9));
    assert_eq!(place(Some("flights"), "/path"), (6, 18));
    assert_eq!(place(Some("flights"), "/schema/dep_delay"), (6, 82));
    assert_eq!(place(Some("flights"), "/schema/other"), (6, 61));
    assert_eq!(place(Some("flights"), "/missing"), (6, 5));
    assert_eq!(place(Some("late"), "../parallelism"), (11, 18));
    assert_eq!(place(Some("late"), "../on_error"), (8, 5));
    assert_eq!(place(Some("nobody"), "/path"), (1, 1));
    assert_eq!(place(None, "/edges/3/0"), (24, 6));
    assert_eq!(place(None, "/edges/2"), (23, 5));
    assert_eq!(place(None, "/edges"), (20, 1));
    assert_eq!(place(None, ""), (1, 1));
    assert_eq!(place(Some("shown"), "/json"), (19, 5));
}
