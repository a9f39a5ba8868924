//! What the SDK promises to authors, and that its copies of shared files are true.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::testing::{Call, Harness, Table, Value};
use crate::{
    About, Batch, BatchInfo, Column, DataType, Emit, Failure, Field, Instance, Kept, Plan, RowError, Schema, Transform,
};

#[derive(Clone, Copy, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Way {
    Keep,
    KeptColumns,
    PickedColumns,
    Faults,
    Table,
    Same,
    SameKept,
    SamePicked,
    WrongType,
    MissingColumn,
    Bytes,
    Block,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Config {
    /// Which way the plugin answers.
    way: Way,
}

struct Plugin {
    way: Way,
    n: Column,
    t: Column,
}

impl Transform for Plugin {
    type Config = Config;
    const ABOUT: About = About::new("sample", "1.2.3", "For tests.").filter();

    fn bind(config: Config, plan: &mut Plan) -> Result<Self, Failure> {
        let (t, n) = (plan.read_text("t")?, plan.read_as("n", &DataType::Int64)?);
        match config.way {
            Way::Keep | Way::Same | Way::SameKept | Way::SamePicked => {}
            Way::Table => plan.emit_table(Schema::new(vec![Field::new("only", DataType::Bool)])),
            _ => {
                plan.add(Field::new("twice", DataType::Int64));
                plan.add(Field::new("loud", DataType::Utf8).required());
            }
        }
        Ok(Plugin { way: config.way, n, t })
    }

    fn process(&mut self, batch: &Batch<'_>, emit: &mut Emit<'_>) -> Result<(), Failure> {
        let (numbers, texts) = (batch.numbers::<i64>(self.n)?, batch.texts(self.t)?);
        let odd = Kept::by(batch.rows(), |row| numbers.get(row).is_some_and(|n| n % 2 == 1));
        let rows: Vec<u32> = vec![2, 0, 0];
        let mut new = match self.way {
            Way::Keep => {
                emit.keep(&odd);
                return Ok(());
            }
            Way::Table => {
                let mut table = emit.table(2);
                table.bools(|row| (row == 1).then_some(true));
                return table.send();
            }
            Way::Same => return emit.columns().send(),
            Way::SameKept => return emit.columns_of(&odd).send(),
            Way::SamePicked => return emit.columns_for(&rows).send(),
            Way::KeptColumns => emit.columns_of(&odd),
            Way::PickedColumns => emit.columns_for(&rows),
            _ => emit.columns(),
        };
        if self.way == Way::WrongType {
            new.numbers(|_| Some(1.0_f64));
        } else {
            new.map(&numbers, |n: i64| n * 2);
        }
        let shift = |byte: u8| if byte.is_ascii() { byte ^ 1 } else { byte };
        if self.way == Way::Bytes {
            new.map_bytes(&texts, shift);
        } else if self.way == Way::Block {
            new.change_bytes(&texts, |bytes| bytes.iter_mut().for_each(|byte| *byte = shift(*byte)));
        } else if self.way != Way::MissingColumn {
            new.try_texts(|row| match texts.get(row) {
                Some(text) => Ok(Some(text.to_uppercase())),
                None => Err(RowError::new("no-text", "the text is null")),
            });
        }
        new.send()
    }
}

fn input() -> Table {
    Table::new()
        .int64("n", [Some(1), Some(2), Some(3), None])
        .bool("other", [Some(true), None, Some(false), Some(true)])
        .text("t", [Some("a"), Some("b"), Some("ç"), None])
}

fn harness(way: &str) -> Harness<Plugin> {
    Harness::new(json!({ "way": way }), &input()).expect("it binds")
}

fn ints(values: &[i64]) -> Vec<Value> {
    values.iter().copied().map(Value::Int).collect()
}

#[test]
fn only_columns_that_are_read_cross_in_rising_order() {
    assert_eq!(harness("keep").bound().columns, [Some(vec![0, 2])]);
}

#[test]
fn kept_rows_keep_all_their_columns() {
    let answer = harness("keep").run(&input()).expect("it runs");
    assert_eq!(answer.calls, [Call::Keep { bitmap: vec![0b101] }]);
    assert_eq!(answer.rows.column("other"), [true, false].map(Value::Bool));
}

#[test]
fn mapped_columns_have_every_value_at_any_length() {
    for rows in [0, 1, 15, 16, 17, 200] {
        let texts: Vec<String> =
            (0..rows).map(|row| if row % 5 == 0 { "çé".into() } else { format!("b{row}") }).collect();
        let table = Table::new()
            .int64("n", (0..rows).map(|row| (row % 3 != 0).then_some(row)))
            .bool("other", (0..rows).map(|_| None))
            .text("t", texts.iter().map(|text| Some(text.as_str())));
        let expected: Vec<Value> = texts
            .iter()
            .map(|text| text.chars().map(|c| if c.is_ascii() { (c as u8 ^ 1) as char } else { c }).collect::<String>())
            .map(|text| Value::from(text.as_str()))
            .collect();
        for way in ["bytes", "block"] {
            let mut harness = Harness::<Plugin>::new(json!({ "way": way }), &table).expect("it binds");
            let answer = harness.run(&table).expect("it runs");
            assert_eq!(answer.rows.column("loud"), expected, "{way}, {rows} rows");
            let twice: Vec<Value> =
                (0..rows).map(|row| if row % 3 == 0 { Value::Null } else { Value::Int(2 * row) }).collect();
            assert_eq!(answer.rows.column("twice"), twice, "{rows} rows");
        }
    }
}

#[test]
fn new_columns_follow_the_rows_that_are_kept() {
    let answer = harness("kept_columns").run(&input()).expect("it runs");
    assert_eq!(answer.rows.column("twice"), ints(&[2, 6]));
    assert_eq!(answer.rows.column("loud"), ["A", "Ç"].map(Value::from));
    assert_eq!(answer.rows.names(), ["n", "other", "t", "twice", "loud"]);
}

/// Scenario: a plan that adds and leaves out nothing, whose author sends columns all the same.
/// Guarantees: the rows go on as they came, since a host that was told of the same columns takes no others.
#[test]
fn without_new_columns_the_rows_go_on_as_they_came() {
    for (way, call, rows) in [
        ("same", Call::Forward, vec![0, 1, 2, 3]),
        ("same_kept", Call::Keep { bitmap: vec![0b101] }, vec![0, 2]),
        ("same_picked", Call::Pick { rows: vec![2, 0, 0] }, vec![2, 0, 0]),
    ] {
        let answer = harness(way).run(&input()).expect("it runs");
        assert_eq!((answer.calls, answer.rows), (vec![call], input().pick(&rows)), "{way}");
    }
}

#[test]
fn rows_may_come_out_more_than_once_and_in_another_order() {
    let answer = harness("picked_columns").run(&input()).expect("it runs");
    assert_eq!(answer.rows.column("n"), ints(&[3, 1, 1]));
    assert_eq!(answer.rows.column("loud"), ["Ç", "A", "A"].map(Value::from));
}

#[test]
fn a_bad_row_costs_that_row() {
    let answer = harness("faults").run(&input()).expect("it runs");
    assert_eq!(answer.faults, [(3, "no-text".to_owned())]);
    assert_eq!(answer.rows.column("twice"), ints(&[2, 4, 6]));
}

#[test]
fn a_row_that_fails_in_two_columns_is_named_once() {
    let error = RowError::new("bad-number", "not a number");
    for (other, expected) in [(error.clone(), vec![vec![0, 5, 7]]), (RowError::new("b", ""), vec![vec![0, 5], vec![7]])]
    {
        let mut faults = crate::failure::Faults::default();
        [0, 5].iter().for_each(|row| faults.add(*row, &error));
        [0, 5, 7].iter().for_each(|row| faults.add(*row, &other));
        match faults.end() {
            Err(Failure::Rows(groups)) => {
                let rows: Vec<Vec<u32>> = groups.into_iter().map(|group| group.rows).collect();
                assert_eq!(rows, expected);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_table_of_its_own_has_its_own_rows() {
    let answer = harness("table").run(&input()).expect("it runs");
    assert_eq!(answer.rows.column("only"), [Value::Null, Value::Bool(true)]);
}

#[test]
fn columns_that_do_not_match_the_plan_are_a_fatal_answer() {
    for (way, text) in [("wrong_type", "planned as int64 and is written as float64"), ("missing_column", "the plan")] {
        match harness(way).run(&input()) {
            Err(Failure::Fatal(message)) => assert!(message.contains(text), "{message}"),
            other => panic!("{way}: {other:?}"),
        }
    }
}

#[test]
fn the_same_harness_runs_batch_after_batch() {
    let mut plugin = harness("faults");
    let first = plugin.run(&input()).expect("it runs");
    assert_eq!(plugin.run(&input()).expect("it runs"), first);
    let short = Table::new().int64("n", [None]).bool("other", [None]).text("t", [Some("x")]);
    assert_eq!(plugin.run(&short).expect("it runs").rows.column("twice"), [Value::Null]);
}

#[test]
fn describe_has_the_shape_of_its_schema() {
    let answer: Json = serde_json::from_slice(&Instance::<Plugin>::describe()).expect("json");
    assert_eq!(answer["name"], "sample");
    assert_eq!(
        (&answer["version"], &answer["api"], &answer["kind"]),
        (&json!("1.2.3"), &json!("0.1.0"), &json!("transform"))
    );
    assert_eq!((&answer["cardinality"], &answer["cuts"]), (&json!("filter"), &json!("any")));
    let way = &answer["config_schema"]["properties"]["way"];
    assert_eq!(way["description"], "Which way the plugin answers.");
    assert_eq!(answer["config_schema"]["required"], json!(["way"]));
}

#[test]
fn a_configuration_that_does_not_fit_is_refused() {
    for (config, text) in [(json!({}), "missing field `way`"), (json!({ "way": "sideways" }), "sideways")] {
        match Harness::<Plugin>::new(config, &input()) {
            Err(Failure::Reject(message)) => assert!(message.contains(text), "{message}"),
            _ => panic!("it bound"),
        }
    }
}

#[test]
fn a_name_that_would_stand_twice_is_refused() {
    let input = input().int64("twice", [None; 4]);
    let refused = Harness::<Plugin>::new(json!({ "way": "faults" }), &input).err();
    assert!(matches!(refused, Some(Failure::Reject(text)) if text == "the output would have two columns `twice`"));
}

#[test]
fn a_call_before_bind_is_an_answer_and_no_panic() {
    let info = BatchInfo { input: 0, schema_id: 0, rows: 1, seq: 1, attempt: 1, time: 0 };
    let answer = Instance::<Plugin>::new().process(info, &[]);
    assert!(matches!(answer, Err(Failure::Fatal(text)) if text == "the plugin was not bound"));
}

#[test]
fn the_copy_of_the_interface_equals_the_original() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["types.wit", "guest.wit", "host.wit", "worlds.wit"] {
        let read = |folder: &str| std::fs::read_to_string(here.join(folder).join(name)).expect("the file is there");
        assert_eq!(read("wit"), read("../../wit"), "copy wit/{name} to sdk/rust/wit/{name}");
    }
}

#[test]
fn the_manifests_of_a_new_plugin_name_the_same_versions() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(here.join(path)).expect("the file is there");
    let root = read("../../Cargo.toml");
    let version = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} =")))?.to_owned();
        line.split('"').find(|part| part.starts_with(|c: char| c.is_ascii_digit() || c == '=')).map(str::to_owned)
    };
    for path in ["template/sdk/ipc/Cargo.toml", "template/sdk/rust/Cargo.toml", "template/Cargo.toml"] {
        let manifest = read(path);
        for name in ["arrow", "arrow-ipc", "schemars", "serde", "serde_json", "wit-bindgen"] {
            if let Some(found) = version(&manifest, name) {
                assert_eq!(Some(found), version(&root, name), "{name} in {path}");
            }
        }
    }
}
