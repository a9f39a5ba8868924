//! From the pipeline file to opened lanes: configuration, bind, pushdown, changed schemas.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use rde_core::{
    Columns as Wish, Fields, InputShape, Inputs, Joining, Lanes, Output, OutputShape, Plan, Probe, ProbeMode,
    SchemaVersion, Settings, Shape, Staged, Transform, Wanted,
};
use serde_json::{Value, json};

use super::guest::{Columns, Guest};
use super::{Bench, columns, runtime};
use crate::plan::WasmPlan;

fn fields(value: Value, secrets: &[&str]) -> Fields {
    Fields {
        id: "score".into(),
        value,
        secrets: secrets.iter().map(|&pointer| pointer.to_owned()).collect(),
        parallelism: None,
        settings: Arc::new(Settings::default()),
    }
}

fn discovered(bench: &Bench) -> WasmPlan {
    let mut plan = WasmPlan::parse(&fields(json!({ "plugin": "guest.wasm" }), &[]), Some(bench.host.clone()))
        .map_err(|faults| faults.into_vec())
        .expect("the fields are right");
    let probe = Probe {
        base: bench.folder.path().to_owned(),
        mode: ProbeMode::Look,
        runtime: runtime(),
        budget: bench.budget.clone(),
    };
    let found = futures::executor::block_on(plan.discover(&probe));
    found.map_err(|faults| faults.into_vec()).expect("the guest is good");
    plan
}

fn shape(port: &str, shape: Shape) -> InputShape {
    InputShape { port: port.to_owned(), from: "a.out".to_owned(), shape, bounded: true }
}

fn known() -> [InputShape; 1] {
    [shape("in", Shape::Known(columns()))]
}

fn bound(plan: &mut WasmPlan, inputs: &[InputShape]) -> Vec<OutputShape> {
    plan.bind(inputs).map_err(|faults| faults.into_vec()).expect("the guest binds")
}

#[test]
fn every_fault_of_the_fields_is_found_at_once() {
    let value = json!({
        "plugin": "", "digest": "md5:1", "config": { "key": "s" },
        "limits": { "memory_max": "5GiB", "output_max": "2GiB", "time_max": "0ms" }
    });
    let errors = WasmPlan::parse(&fields(value, &["/config/key"]), None).err().expect("it is all wrong").into_vec();
    let mut places: Vec<(&str, &str)> =
        errors.iter().map(|error| (error.code(), error.place().map_or("", |place| place.pointer.as_str()))).collect();
    places.sort_unstable();
    let expected = [
        ("RDE0321", "/config/key"),
        ("RDE0323", "/digest"),
        ("RDE0323", "/limits/memory_max"),
        ("RDE0323", "/limits/output_max"),
        ("RDE0323", "/limits/time_max"),
        ("RDE0323", "/plugin"),
    ];
    assert_eq!(places, expected);
    assert!(errors.iter().all(|error| error.operator() == Some("score")));
}

#[test]
fn limits_are_taken_up_to_their_ceilings() {
    let value =
        json!({ "plugin": "p", "limits": { "memory_max": "4GiB", "output_max": "2047MiB", "time_max": "1ms" } });
    assert!(WasmPlan::parse(&fields(value, &[]), None).is_ok());
}

#[test]
fn the_configuration_must_fit_the_plugins_schema() {
    let mut guest = Guest::new();
    guest.describe = guest.describe.replace(
        r#""config_schema":{}"#,
        r#""config_schema":{"properties":{"scale":{"type":"number"}},"additionalProperties":false}"#,
    );
    let bench = Bench::new(&guest.component());
    assert!(bench.open(json!({ "config": { "scale": 2 } })).is_ok());
    let errors = bench.open(json!({ "config": { "scale": "x", "sclae": 1 } })).err().expect("two faults");
    let mut places: Vec<&str> = errors.iter().filter_map(|error| Some(error.place()?.pointer.as_str())).collect();
    places.sort_unstable();
    assert_eq!(places, ["/config/scale", "/config/sclae"]);
}

#[test]
fn named_ports_come_from_the_plugin() {
    let mut guest = Guest::new()
        .describing(r#","inputs":[{"name":"left"},{"name":"right"}],"outputs":[{"name":"ok"},{"name":"late"}]"#);
    guest.columns = vec![None, Some(vec![0])];
    guest.outputs = vec![
        ("ok".to_owned(), 1, Columns::SameAs(0)),
        ("late".to_owned(), 2, Columns::Derived { input: 1, reuse: Some(vec![1]), added: None }),
    ];
    let bench = Bench::new(&guest.component());
    let mut plan = discovered(&bench);
    assert_eq!(plan.inputs(), Inputs::Ports(vec!["left".to_owned(), "right".to_owned()]));
    // Given in any order, found by name.
    let other: SchemaRef =
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8View, true)]));
    let outputs = bound(&mut plan, &[shape("right", Shape::Known(other)), shape("left", Shape::Known(columns()))]);
    let late: SchemaRef = Arc::new(Schema::new(vec![Field::new("b", DataType::Utf8View, true)]));
    let expected = [
        OutputShape { port: "ok".to_owned(), shape: Shape::Known(columns()) },
        OutputShape { port: "late".to_owned(), shape: Shape::Known(late) },
    ];
    assert_eq!(outputs, expected);
    let unknown = [shape("left", Shape::Known(columns())), shape("right", Shape::Unknown("a FIFO".to_owned()))];
    let outputs = bound(&mut plan, &unknown);
    assert_eq!(outputs[1], OutputShape { port: "late".to_owned(), shape: Shape::Unknown("a FIFO".to_owned()) });
}

#[test]
fn outputs_must_be_those_that_describe_names() {
    let guest = Guest::new().describing(r#","outputs":[{"name":"other"}]"#);
    let errors = Bench::new(&guest.component()).open(json!({})).err().expect("they differ");
    assert_eq!(errors[0].code(), "RDE0311");
}

#[test]
fn facts_follow_the_description() {
    let any = discovered(&Bench::new(&Guest::new().component())).traits();
    assert_eq!((any.lanes, any.joining, any.balance), (Lanes::Many, Joining::Wanted, rde_core::Balance::Free));
    let guest = Guest::new().describing(r#","cuts":"whole","cardinality":"filter""#);
    let whole = discovered(&Bench::new(&guest.component())).traits();
    assert_eq!((whole.joining, whole.balance), (Joining::Forbidden, rde_core::Balance::Checked));
}

fn wish(names: &[&str]) -> Wanted {
    Wanted { columns: Wish::Named(names.iter().map(|&name| name.to_owned()).collect()), predicate: None }
}

#[test]
fn columns_that_nobody_reads_are_not_asked_for() {
    let mut reads_first = Guest::new();
    reads_first.columns = vec![Some(vec![0])];
    let bench = Bench::new(&reads_first.component());
    let mut plan = discovered(&bench);
    bound(&mut plan, &known());
    assert_eq!(plan.wanted(&[wish(&["id"])]), [wish(&["id"])]);
    assert_eq!(plan.wanted(&[wish(&["name"])]), [wish(&["id", "name"])]);
    assert_eq!(plan.wanted(&[Wanted::all()]), [wish(&["id", "name"])]);
}

#[test]
fn a_plugin_that_reads_everything_is_sent_everything() {
    let bench = Bench::new(&Guest::new().component());
    let mut plan = discovered(&bench);
    bound(&mut plan, &known());
    assert_eq!(plan.wanted(&[wish(&["id"])]), [Wanted::all()]);
}

#[test]
fn a_plugin_that_would_read_other_columns_is_not_narrowed() {
    // It chooses column 1, which without column 0 would be another one, and there would be none.
    let mut reads_second = Guest::new();
    reads_second.columns = vec![Some(vec![1])];
    let bench = Bench::new(&reads_second.component());
    let mut plan = discovered(&bench);
    bound(&mut plan, &known());
    assert_eq!(plan.wanted(&[wish(&["name"])]), [Wanted::all()]);
}

#[test]
fn a_changed_schema_opens_a_new_guest_and_is_announced_with_its_cause() {
    let bench = Bench::new(&Guest::new().component());
    let mut plan = discovered(&bench);
    bound(&mut plan, &known());
    let options = bench.options(json!({}));
    let mut lane = plan
        .lane(rde_core::OpenContext {
            pipeline: "p".into(),
            operator: "score".into(),
            incarnation: rde_core::Incarnation(1),
            lanes: 1,
            settings: options.settings.clone(),
            base: options.base.clone(),
            runtime: runtime(),
            started_micros: 0,
            budget: bench.budget.clone(),
            cancel: rde_core::CancelToken::new(),
            plugin_stats: rde_core::PluginStatsSlot::default(),
        })
        .expect("the plan opens");
    let mut out = Output::new();
    let mut announce = |schema: SchemaRef, cause: Option<&str>| {
        let version = SchemaVersion { version: 1, schema, cause: cause.map(Into::into) };
        lane.schema(0, &version, &mut out).expect("the guest accepts it");
        let (staged, _) = out.take();
        let one = |staged: Staged| match staged {
            Staged::Schema(port, schema, cause) => (port, schema, cause.map(|cause| cause.to_string())),
            other => panic!("nothing but schemas is staged: {other:?}"),
        };
        staged.map(one).collect::<Vec<_>>()
    };
    assert_eq!(announce(columns(), None), [(0, columns(), None)]);
    assert_eq!(announce(columns(), None), []);
    let wider: SchemaRef = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    assert_eq!(announce(wider.clone(), Some("a column went")), [(0, wider, Some("a column went".to_owned()))]);
    lane.close().expect("closing is no error");
    drop(lane);
    assert_eq!(bench.budget.used(), 0);
}
