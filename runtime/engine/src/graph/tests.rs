//! Faults of graphs: operators and edges in, code, place and message out.

use std::sync::Mutex;

use arrow::datatypes::{DataType, Field, Schema};
use futures::executor::block_on;
use rde_core::{ByteSize, Columns, Error, Inputs, Lanes, PathPattern, STDOUT, Wanted};

use super::*;
use crate::testing::{Numbers, Target, TestPlan, one_output, pass, probe, schema, transform};

/// Collects a graph in a few words.
struct Graph(PipelineBuilder);

type Seen = Arc<Mutex<Vec<(String, String)>>>;

impl Graph {
    fn new() -> Graph {
        Graph(PipelineBuilder::new("p", Arc::new(Settings::default())))
    }
    fn source(mut self, id: &str) -> Graph {
        self.0.add_source(id, "numbers", Numbers::new(0..1).plan(), OperatorOptions::default());
        self
    }
    fn source_of(mut self, id: &str, names: &[(&str, DataType)]) -> Graph {
        let mut plan = Numbers::new(0..1).plan();
        let fields: Vec<Field> = names.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
        plan.outputs = one_output(Arc::new(Schema::new(fields)));
        self.0.add_source(id, "numbers", plan, OperatorOptions::default());
        self
    }
    fn transform(mut self, id: &str) -> Graph {
        self.0.add_transform(id, "scripted", transform(Lanes::One, pass()), OperatorOptions::default());
        self
    }
    fn sql(mut self, id: &str) -> (Graph, Seen) {
        let mut plan = transform(Lanes::One, pass());
        plan.inputs = Inputs::ByEdge;
        let seen = plan.seen.clone();
        self.0.add_transform(id, "sql", plan, OperatorOptions::default());
        (self, seen)
    }
    fn with(mut self, id: &str, change: impl FnOnce(&mut TestPlan), options: OperatorOptions) -> Graph {
        let mut plan = transform(Lanes::One, pass());
        change(&mut plan);
        self.0.add_transform(id, "scripted", plan, options);
        self
    }
    fn sink(mut self, id: &str) -> Graph {
        self.0.add_sink(id, "target", Target::default().plan(), OperatorOptions::default());
        self
    }
    fn edge(mut self, from: &str, to: &str) -> Graph {
        self.0.connect(from, to);
        self
    }
    fn build(self) -> (Pipeline, Vec<Error>) {
        block_on(self.0.build(&probe(&Settings::default())))
    }
    /// Returns `code place: message | help` of each fault.
    fn faults(self) -> Vec<String> {
        self.build().1.iter().map(show).collect()
    }
}

fn show(fault: &Error) -> String {
    let place = fault.place().cloned().unwrap_or_default();
    let within = place.within.map(|range| format!("[{}..{}]", range.start, range.end)).unwrap_or_default();
    let operator = fault.operator().map(|operator| format!("{operator}:")).unwrap_or_default();
    let help = fault.help_text().unwrap_or_default();
    format!("{} {operator}{}{within}: {} | {help}", fault.code(), place.pointer, fault.message())
}

fn options(on_error: Option<OnError>, parallelism: Option<usize>) -> OperatorOptions {
    OperatorOptions { on_error, parallelism, description: None }
}

#[test]
fn a_graph_without_faults_is_bound_from_sources_to_sinks() {
    let (pipeline, faults) =
        Graph::new().sink("out").transform("t").source("in").edge("t", "out").edge("in", "t.in").build();
    assert!(faults.is_empty(), "{faults:?}");
    let graph = pipeline.graph();
    let ends: Vec<_> = graph.edges.iter().map(|edge| (graph.end(&edge.from), graph.end(&edge.to))).collect();
    assert_eq!(ends, [("t.out".into(), "out.in".into()), ("in.out".into(), "t.in".into())]);
    assert_eq!(graph.edges[0].shape, Shape::Known(schema()));
    assert!(graph.operators.iter().all(|operator| !operator.broken && operator.bounded));
}

#[test]
fn bad_and_double_ids_are_reported_at_their_place() {
    let faults = Graph::new().source("In").sink("out").transform("out").edge("In", "out").edge("out", "out").faults();
    assert!(faults[0].starts_with("RDE0201 /sources/0/id: `In` is no id of an operator"), "{faults:?}");
    assert!(faults[1].starts_with("RDE0202 /transforms/0/id: the id `out` is taken by a sink"), "{faults:?}");
}

#[test]
fn unknown_operators_and_ports_are_reported_with_the_nearest_name() {
    let faults = Graph::new()
        .source("flights")
        .transform("tidy")
        .sink("lake")
        .sink("rejects")
        .edge("flihgts", "tidy")
        .edge("flights", "tidy")
        .edge("tidy", "lake")
        .edge("tidy.error", "rejects")
        .edge("flights", "tidy.left")
        .faults();
    assert_eq!(
        faults,
        [
            "RDE0203 /edges/0/0[0..7]: an edge names `flihgts`, but there is no operator of this id | did you mean `flights`?",
            "RDE0204 /edges/4/1[5..9]: `tidy` has no input `left` | its inputs are `in`",
            "RDE0204 /edges/3/0[5..10]: `tidy` has no output `error` | did you mean `errors`?",
        ]
    );
}

#[test]
fn open_outputs_and_inputs_are_reported_once() {
    let faults = Graph::new().source("in").transform("t").sink("out").edge("t", "out").faults();
    assert_eq!(
        faults,
        [
            "RDE0207 in:: source `in`: output `out` has no edge | connect it: `- [in.out, …]`",
            "RDE0208 t:: transform `t`: input `in` has no edge | connect an operator's output to it: `- […, t]`",
        ]
    );
}

#[test]
fn cycles_are_named_and_do_not_hide_other_faults() {
    let faults = Graph::new()
        .source("in")
        .transform("a")
        .transform("b")
        .with(
            "c",
            |plan| plan.faults.push(Error::config(&crate::codes::SETTING, "c is bad")),
            OperatorOptions::default(),
        )
        .sink("out")
        .edge("in", "a")
        .edge("a", "b")
        .edge("b", "a")
        .edge("b", "c")
        .edge("c", "out")
        .faults();
    assert_eq!(
        faults,
        [
            "RDE0214 c:: c is bad | ",
            "RDE0209 /edges/2: operators form a cycle: `a` → `b` → `a` | remove one of its edges",
        ]
    );
}

#[test]
fn a_self_loop_is_a_cycle() {
    let faults =
        Graph::new().source("in").transform("a").sink("out").edge("in", "a").edge("a", "a").edge("a", "out").faults();
    assert_eq!(faults, ["RDE0209 /edges/1: operators form a cycle: `a` → `a` | remove one of its edges"]);
}

#[test]
fn edges_on_the_wrong_side_are_reported() {
    let faults = Graph::new().source("in").sink("out").edge("in", "out").edge("out", "in").faults();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("RDE0205 /edges/1/1[0..2]: an edge leads to source `in`"), "{faults:?}");
    assert!(faults[1].starts_with("RDE0205 /edges/1/0[0..3]: an edge leaves sink `out`"), "{faults:?}");
}

#[test]
fn the_same_edge_twice_is_reported_at_the_second() {
    let faults = Graph::new().source("in").sink("out").edge("in", "out").edge("in.out", "out.in").faults();
    assert_eq!(
        faults,
        ["RDE0206 /edges/1: the edge from `in.out` to `out.in` is written twice | remove it here; edge 1 is the same"]
    );
}

#[test]
fn merging_edges_must_agree_and_the_columns_are_named() {
    let faults = Graph::new()
        .source_of("a", &[("x", DataType::Int64), ("y", DataType::Utf8)])
        .source_of("b", &[("x", DataType::Utf8), ("z", DataType::Utf8)])
        .sink("out")
        .edge("a", "out")
        .edge("b", "out")
        .faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    let expected = "RDE0211 /edges/1: `a.out` and `b.out` merge in `out.in`, but their columns differ: `x` is int64 in \
                    `a.out` and utf8 in `b.out`; `y` is missing in `b.out`; `z` is missing in `a.out` | ";
    assert!(faults[0].starts_with(expected), "{faults:?}");
}

#[test]
fn edges_that_merge_are_bound_as_one_schema_that_holds_the_rows_of_both() {
    let mut graph = Graph::new();
    for (id, nullable) in [("a", false), ("b", true)] {
        let source = Numbers { nullable, ..Numbers::new(0..1) };
        graph.0.add_source(id, "numbers", source.plan(), OperatorOptions::default());
    }
    let sink = Target::default().plan();
    let seen = sink.seen.clone();
    graph.0.add_sink("out", "target", sink, OperatorOptions::default());
    let (pipeline, faults) = graph.edge("a", "out").edge("b", "out").build();
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(crate::shared::lock(&seen)[0], ("in".to_owned(), r#"a.out ["n"]"#.to_owned()));
    assert_eq!(pipeline.graph().run_schema(2, 0), Some(schema()));
    assert_ne!(pipeline.graph().edges[0].shape, Shape::Known(schema()));
}

/// Scenario: behind an operator that sorts, two operators in a chain, one of which asks for lanes; beside it a merge.
/// Guarantees: the chain runs in one lane and that is no fault; a merge, which mixes rows, has its lanes.
#[test]
fn an_order_that_was_asked_for_is_kept_in_one_lane() {
    let lanes = |sorts: Lanes| {
        let settings = Settings { parallelism: 3, ..Settings::default() };
        let mut graph = Graph(PipelineBuilder::new("p", Arc::new(settings))).source("in").source("other");
        let many = || transform(Lanes::Many, pass());
        let mut sort = transform(sorts, pass());
        sort.traits.whole = true;
        graph.0.add_transform("sort", "scripted", sort, OperatorOptions::default());
        graph.0.add_transform("a", "scripted", many(), options(None, Some(2)));
        graph.0.add_transform("b", "scripted", many(), OperatorOptions::default());
        graph.0.add_transform("merge", "scripted", many(), OperatorOptions::default());
        let graph = graph.sink("out").sink("rejects").edge("in", "sort").edge("sort", "a").edge("a", "b");
        let graph = graph.edge("b", "out").edge("b", "merge").edge("other", "merge").edge("merge", "rejects");
        let (pipeline, faults) = graph.build();
        assert!(faults.is_empty(), "{faults:?}");
        pipeline.graph().operators[2..].iter().map(|operator| operator.lanes).collect::<Vec<_>>()
    };
    assert_eq!(lanes(Lanes::InOrder), [1, 1, 1, 3, 1, 3]);
    assert_eq!(lanes(Lanes::One), [1, 2, 3, 3, 3, 3]);
}

#[test]
fn sql_inputs_are_tables_named_by_the_sender() {
    let second =
        |plan: &mut TestPlan| plan.outputs.push(OutputShape { port: "late".into(), ..plan.outputs[0].clone() });
    let (graph, seen) = Graph::new().source("a").with("b", second, OperatorOptions::default()).sql("s");
    let faults = graph
        .sink("out")
        .edge("a", "b")
        .edge("a", "s")
        .edge("b", "s")
        .edge("b.late", "s")
        .edge("b.errors", "s")
        .edge("s", "out")
        .faults();
    assert!(faults.is_empty(), "{faults:?}");
    let tables: Vec<String> = crate::shared::lock(&seen).iter().map(|(table, _)| table.clone()).take(4).collect();
    assert_eq!(tables, ["a", "b", "b_late", "b_errors"]);
}

#[test]
fn sql_refuses_port_names_and_equal_tables() {
    let (graph, _) = Graph::new().source("a").sql("s");
    let faults = graph.sink("out").edge("a", "s.left").edge("a.out", "s").edge("s", "out").faults();
    assert!(faults[0].starts_with("RDE0205 /edges/0/1[2..6]: transform `s` has an input for each edge"), "{faults:?}");
    assert!(faults[1].starts_with("RDE0216 /edges/1: transform `s`: two inputs are the table `a`"), "{faults:?}");
    assert_eq!(faults.len(), 2);
}

#[test]
fn on_error_and_edges_from_errors_must_fit() {
    let faults = Graph::new()
        .source("in")
        .with("a", |_| {}, options(Some(OnError::DeadLetter), None))
        .with("b", |_| {}, options(Some(OnError::Skip), None))
        .with("c", |_| {}, options(Some(OnError::DeadLetter), None))
        .sink("out")
        .sink("rejects")
        .edge("in", "a")
        .edge("a", "b")
        .edge("b", "c")
        .edge("c", "out")
        .edge("b.errors", "rejects")
        .edge("c.errors", "rejects")
        .faults();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("RDE0212 a:../on_error: transform `a`: `on_error: dead_letter` needs an edge"));
    assert!(faults[1].starts_with("RDE0212 b:../on_error: transform `b`: no row goes to the output `errors`"));
}

#[test]
fn dead_letter_is_the_default_where_errors_has_an_edge() {
    let graph = Graph::new().source("in").sink("out").sink("rejects").edge("in", "out").edge("in.errors", "rejects");
    let (pipeline, faults) = graph.build();
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(pipeline.graph().operators[0].on_error, OnError::DeadLetter);
    assert_eq!(pipeline.graph().operators[1].on_error, OnError::Fail);
    assert_eq!(pipeline.graph().edges[1].shape, Shape::Known(crate::error_row::schema()));
}

#[test]
fn lanes_are_bounded_by_operator_and_settings() {
    let faults = |parallelism| {
        let graph = Graph::new().source("in").with("t", |_| {}, options(None, Some(parallelism))).sink("out");
        graph.edge("in", "t").edge("t", "out").faults()
    };
    assert!(faults(1).is_empty());
    assert_eq!(
        faults(2),
        [
            "RDE0213 t:../parallelism: transform `t`: it runs in one lane, so `parallelism: 2` cannot be kept | remove `parallelism`"
        ]
    );
    assert!(faults(0)[0].contains("which is not in 1 to 256"));
}

#[test]
fn settings_hold_their_bounds_and_one_beyond() {
    for (rows, lanes, count) in [(1_048_576, 256, 0), (1_048_577, 257, 2), (0, 0, 2), (1, 1, 0)] {
        let settings = Settings { batch_rows_max: rows, parallelism: lanes, ..Settings::default() };
        assert_eq!(check::settings(&settings).len(), count, "{rows} {lanes}");
    }
    let settings = Settings { memory_max: ByteSize(0), ..Settings::default() };
    assert_eq!(
        show(&check::settings(&settings)[0]),
        "RDE0214 /settings/memory_max: setting `memory_max` is 0, but needs at least one byte | "
    );
}

#[test]
fn what_follows_from_a_broken_operator_is_not_reported() {
    let mut graph = Graph::new().source("in").sink("out").edge("in", "t.left").edge("t.right", "out");
    graph.0.add_broken("t", Kind::Transform, "sql");
    assert_eq!(graph.faults(), Vec::<String>::new());
}

#[test]
fn a_pipeline_without_source_has_no_way() {
    let faults = Graph::new().sink("out").faults();
    assert!(faults[0].starts_with("RDE0210"), "{faults:?}");
}

#[test]
fn a_source_whose_way_ends_in_an_operator_without_outputs_has_no_way() {
    let graph = Graph::new().source("in").with("t", |plan| plan.outputs.clear(), OperatorOptions::default());
    let faults = graph.edge("in", "t").faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("RDE0210 in:: source `in` has no way to a sink"), "{faults:?}");
}

#[test]
fn an_output_under_an_inputs_path_is_reported() {
    let clash = |reads: PathPattern, write: &str| {
        let mut graph = Graph::new();
        let mut plan = Numbers::new(0..1).plan();
        plan.footprint.reads = vec![reads];
        graph.0.add_source("in", "numbers", plan, OperatorOptions::default());
        let mut plan = Target::default().plan();
        plan.footprint.writes = vec![write.into()];
        graph.0.add_sink("out", "target", plan, OperatorOptions::default());
        let faults = graph.edge("in", "out").faults();
        assert!(faults.iter().all(|fault| fault.starts_with("RDE0215 out:/path: sink `out` writes where `in` reads")));
        !faults.is_empty()
    };
    let folder = || PathPattern::Folder("data".into(), vec!["csv".into()]);
    let glob = || PathPattern::Glob("data/*.csv".into());
    assert!(clash(PathPattern::File("a/../data/x.csv".into()), "data/x.csv"));
    assert!(!clash(PathPattern::File("data/x.csv".into()), "data/y.csv"));
    assert!(clash(folder(), "data/deep/p-1.csv"));
    assert!(!clash(folder(), "data/p-1.parquet"));
    assert!(!clash(folder(), "database/p-1.csv"));
    assert!(clash(glob(), "/nowhere/data/p-1.csv"));
    assert!(!clash(glob(), "data/deep/p-1.csv"));
    let divided = "data/k=*/p-1.csv";
    for covers in ["data/*/*.csv", "data/k=1/*.csv", "data/k=*/*.csv", "data/[jk]=1/*.csv", "data/**/*.csv", "d*/k*/*"]
    {
        assert!(clash(PathPattern::Glob(covers.into()), divided), "{covers}");
    }
    for misses in ["data/*.csv", "data/j=1/*.csv", "data/j*/*.csv", "data/*/*/*.csv", "data/*/*.parquet"] {
        assert!(!clash(PathPattern::Glob(misses.into()), divided), "{misses}");
    }
    assert!(clash(PathPattern::Folder("data/k=1".into(), vec!["csv".into()]), divided));
    assert!(!clash(PathPattern::Folder("data/j=1".into(), vec!["csv".into()]), divided));
}

#[test]
fn two_outputs_on_one_target_are_reported_at_the_second() {
    let faults = |first: &str, second: &str| {
        let mut graph = Graph::new().source("in");
        for (id, path) in [("a", first), ("b", second)] {
            let mut plan = Target::default().plan();
            plan.footprint.writes = vec![path.into(), path.replace('*', &format!("p-{id}-1")).into()];
            graph.0.add_sink(id, "target", plan, OperatorOptions::default());
        }
        graph.edge("in", "a").edge("in", "b").faults()
    };
    let fault = |what: &str| {
        let help = "give each a `path` of its own, not in the folder of the other, or lead both edges into one sink";
        format!("RDE0218 b:/path: sink `b` writes to the target of `a`{what} | {help}")
    };
    for (first, second) in [("out/*.csv", "x/../out/*.csv"), ("out/a.csv", "out/a.csv"), (STDOUT, STDOUT)] {
        assert_eq!(faults(first, second), [fault("")], "{first} {second}");
    }
    for (first, second) in
        [("/o/*.csv", "/o/x.csv"), ("/o/x.csv", "/o/*.csv"), ("/o/*.csv", "/o/s/*.csv"), ("/o/s/*.csv", "/o/*.csv")]
    {
        assert_eq!(faults(first, second), [fault(&format!(": `{second}` and `{first}` overlap"))]);
    }
    for (first, second) in [
        ("/o/*.csv", "/o/*.json"),
        ("/o/a.csv", "/o/b.csv"),
        ("/o/*.csv", "/o2/*.csv"),
        ("/o/*.csv", "/o/s/x.json"),
        ("/-", STDOUT),
    ] {
        assert_eq!(faults(first, second), Vec::<String>::new(), "{first} {second}");
    }
}

#[test]
fn what_can_be_read_once_is_read_by_one_source() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (pipe, file) = (folder.path().join("pipe"), folder.path().join("file"));
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there");
    assert!(made.success());
    std::fs::write(&file, "").expect("writable");
    let faults = |reads: PathPattern| {
        let mut graph = Graph::new();
        for id in ["a", "b"] {
            let mut plan = Numbers::new(0..1).plan();
            plan.footprint.reads = vec![reads.clone()];
            graph.0.add_source(id, "numbers", plan, OperatorOptions::default());
        }
        graph.sink("out").edge("a", "out").edge("b", "out").faults()
    };
    let help = "read it once, and connect `a` with everything that takes its rows";
    let expected = format!("RDE0217 b:/path: source `b` reads standard input, which `a` reads already | {help}");
    assert_eq!(faults(PathPattern::Stdin), [expected]);
    let shown = pipe.display();
    let expected = format!("RDE0217 b:/path: source `b` reads the pipe `{shown}`, which `a` reads already | {help}");
    assert_eq!(faults(PathPattern::File(pipe.clone())), [expected]);
    assert_eq!(faults(PathPattern::File(file)), Vec::<String>::new());
}

#[test]
fn wishes_go_upstream_and_a_fan_out_passes_their_union() {
    let named = |names: &[&str]| Wanted {
        columns: Columns::Named(names.iter().map(|name| (*name).to_owned()).collect()),
        predicate: None,
    };
    let mut graph = Graph::new();
    let mut plan = Numbers::new(0..1).plan();
    let seen = plan.seen.clone();
    let narrow = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)]));
    plan.narrowed = Some(one_output(narrow.clone()));
    graph.0.add_source("in", "numbers", plan, OperatorOptions::default());
    let wide = graph.with("a", |plan| plan.wanted = vec![named(&["x"])], OperatorOptions::default());
    let graph = wide.with("b", |plan| plan.wanted = vec![named(&["y"])], OperatorOptions::default());
    let graph = graph.sink("out").edge("in", "a").edge("in", "b").edge("a", "out").edge("b", "out");
    let (pipeline, faults) = graph.build();
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(crate::shared::lock(&seen)[0].1, r#"Named({"x", "y"})"#);
    let edge = &pipeline.graph().edges[0];
    assert_eq!((edge.shape.clone(), edge.run_shape.clone()), (Shape::Known(schema()), Shape::Known(narrow)));
}

#[test]
fn an_operator_whose_failed_rows_are_kept_gets_them_whole() {
    let wanted = |errors: bool| {
        let names = ["x".to_owned()].into();
        let wish = Wanted { columns: Columns::Named(names), predicate: None };
        let plan = Numbers::new(0..1).plan();
        let seen = plan.seen.clone();
        let mut graph = Graph::new();
        graph.0.add_source("in", "numbers", plan, OperatorOptions::default());
        let mut graph = graph.with("a", |plan| plan.wanted = vec![wish.clone()], OperatorOptions::default());
        graph = graph.sink("out").edge("in", "a").edge("a", "out");
        if errors {
            graph = graph.sink("rejects").edge("a.errors", "rejects");
        }
        let (_pipeline, faults) = graph.build();
        assert!(faults.is_empty(), "{faults:?}");
        crate::shared::lock(&seen)[0].1.clone()
    };
    assert_eq!((wanted(false).as_str(), wanted(true).as_str()), (r#"Named({"x"})"#, "All"));
}

#[test]
fn a_thousand_operators_in_a_chain_are_bound_in_no_time() {
    let mut graph = Graph::new().source("in");
    let mut last = "in".to_owned();
    for index in 0..1000 {
        let id = format!("t{index}");
        graph = graph.transform(&id).edge(&last, &id);
        last = id;
    }
    assert_eq!(graph.sink("out").edge(&last, "out").faults(), Vec::<String>::new());
}
