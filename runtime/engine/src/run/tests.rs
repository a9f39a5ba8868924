//! Whole runs over scripted operators: what reaches the targets, what the report says.

mod epochs;
mod stops;

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize};

use futures::executor::block_on;
use rde_core::{ByteSize, Flow, Joining, Lanes, OnError, Settings};

use super::*;
use crate::testing::{Numbers, OnBatch, Target, echo, numbers, pass, probe, runtime, schema, transform, whole};
use crate::{OperatorOptions, PipelineBuilder};

fn builder(settings: Settings) -> PipelineBuilder {
    PipelineBuilder::new("p", Arc::new(settings))
}

fn build(builder: PipelineBuilder, settings: &Settings) -> Pipeline {
    let (pipeline, faults) = block_on(builder.build(&probe(settings)));
    assert!(faults.is_empty(), "{faults:?}");
    pipeline
}

fn options(on_error: OnError) -> OperatorOptions {
    OperatorOptions { on_error: Some(on_error), ..OperatorOptions::default() }
}

/// Runs source `in`, transform `t` and sink `out` in a row.
fn check(settings: Settings, source: Numbers, on_batch: OnBatch, target: &Target) -> RunReport {
    check_with(settings, source, on_batch, target, RunControl::new(), |engine| engine)
}

fn check_with(
    settings: Settings,
    source: Numbers,
    on_batch: OnBatch,
    target: &Target,
    control: RunControl,
    configure: impl FnOnce(PipelineEngine) -> PipelineEngine,
) -> RunReport {
    let mut line = builder(settings.clone());
    line.add_source("in", "numbers", source.plan(), OperatorOptions::default());
    line.add_transform("t", "scripted", transform(Lanes::Many, on_batch), OperatorOptions::default());
    line.add_sink("out", "target", target.plan(), OperatorOptions::default());
    line.connect("in", "t").connect("t", "out");
    let pipeline = build(line, &settings);
    block_on(configure(PipelineEngine::new(runtime())).run(pipeline, control))
}

fn tiny_edges() -> Settings {
    Settings { channel_bytes_max: ByteSize(1), ..Settings::default() }
}

/// A source that has the run drained at its 300th number, and never ends.
fn draining(control: &RunControl) -> Numbers {
    let stop = control.clone();
    let before = move |n: i64| {
        if n == 300 {
            stop.drain();
        }
    };
    Numbers { before: Arc::new(before), endless: true, ..Numbers::new(0..1000) }
}

#[test]
fn every_row_arrives_once_and_the_counts_balance() {
    for settings in [Settings::default(), tiny_edges(), Settings { parallelism: 3, ..Settings::default() }] {
        let target = Target::default();
        let source = Numbers { splits: vec![0..95, 95..100, 100..250], ..Numbers::new(0..0) };
        let report = check(settings.clone(), source, pass(), &target);
        assert_eq!(report.status, Status::Completed, "{:?}", report.error);
        assert_eq!(target.visible(), (0..250).collect::<Vec<_>>());
        assert!(report.balanced);
        assert_eq!(target.state().commits.len(), 1, "a run without interval has one epoch");
        let [source, middle, sink] = &report.operators[..] else { panic!("three operators") };
        assert_eq!((source.rows_read, source.rows_out, source.batches), (250, 250, 26));
        assert_eq!((middle.rows_in, middle.rows_out, sink.rows_in, sink.rows_committed), (250, 250, 250, 250));
        assert_eq!(source.lanes, settings.parallelism);
        assert_eq!(source.rows_by_lane.iter().sum::<u64>(), 250);
        assert!(source.rows_by_lane.iter().all(|rows| *rows > 0));
        assert!(report.operators.iter().all(|operator| operator.balanced == Some(true)));
        assert!(report.edges.iter().all(|edge| edge.rows_sent == 250 && edge.rows_received == 250));
        assert_eq!(report.edges[0].from, "in.out");
        assert_eq!(report.edges[1].to, "out.in");
    }
}

#[test]
fn order_is_kept_within_a_lane() {
    let target = Target::default();
    check(tiny_edges(), Numbers::new(0..500), pass(), &target);
    assert_eq!(target.state().visible, (0..500).collect::<Vec<_>>());
}

/// Scenario: a middle operator sends each batch row by row, asking for more; then the next one repeats each call once.
/// Guarantees: nothing of a repeated call is published, and the operator before it is not called again.
#[test]
fn more_and_retry_publish_each_row_once() {
    let settings = tiny_edges();
    let target = Target::default();
    let calls = Arc::new(AtomicUsize::new(0));
    let by_row: OnBatch = Arc::new({
        let calls = calls.clone();
        move |rows, call, out| {
            calls.fetch_add(1, Ordering::SeqCst);
            out.batch(0, rows.slice(call - 1, 1));
            Ok(if call < rows.num_rows() { Flow::More } else { Flow::Done })
        }
    });
    let second_time: OnBatch = Arc::new(|rows, call, out| {
        out.batch(0, rows.clone());
        out.filtered(7 * u64::from(call % 2 == 1));
        Ok(if call % 2 == 1 { Flow::RetryAfter(Duration::from_secs(1)) } else { Flow::Done })
    });
    let mut line = builder(settings.clone());
    line.add_source("in", "numbers", Numbers::new(0..40).plan(), OperatorOptions::default());
    line.add_transform("rows", "scripted", transform(Lanes::One, by_row), OperatorOptions::default());
    line.add_transform("twice", "scripted", transform(Lanes::One, second_time), OperatorOptions::default());
    line.add_sink("out", "target", target.plan(), OperatorOptions::default());
    line.connect("in", "rows").connect("rows", "twice").connect("twice", "out");
    let pipeline = build(line, &settings);
    let report = block_on(PipelineEngine::new(runtime()).run(pipeline, RunControl::new()));
    assert_eq!(report.status, Status::Completed, "{:?}", report.error);
    assert_eq!(target.state().visible, (0..40).collect::<Vec<_>>());
    assert_eq!(calls.load(Ordering::SeqCst), 40);
    assert_eq!(report.operators[2].rows_filtered, 0);
}

fn reject_tens() -> Numbers {
    Numbers { rejects: |n| n % 10 == 3, ..Numbers::new(0..100) }
}

#[test]
fn fail_ends_the_run_with_the_rows_own_code_and_place() {
    let target = Target::default();
    let report = check(Settings::default(), reject_tens(), pass(), &target);
    let error = report.error.expect("the run fails");
    assert_eq!((report.status, error.code(), error.kind()), (Status::Failed, "RDE0599", ErrorKind::Data));
    assert_eq!(error.message(), "source `in`: 3 is bad (in.txt:3)");
    assert_eq!(error.operator(), Some("in"));
    assert_eq!(target.visible(), Vec::<i64>::new());
}

#[test]
fn skip_counts_and_drops() {
    let (settings, target) = (Settings::default(), Target::default());
    let mut line = builder(settings.clone());
    line.add_source("in", "numbers", reject_tens().plan(), options(OnError::Skip));
    line.add_sink("out", "target", target.plan(), OperatorOptions::default());
    line.connect("in", "out");
    let report = block_on(PipelineEngine::new(runtime()).run(build(line, &settings), RunControl::new()));
    assert_eq!((report.status, report.operators[0].rows_skipped), (Status::Completed, 10), "{:?}", report.error);
    assert_eq!(target.visible().len(), 90);
}

#[test]
fn dead_letters_arrive_at_their_own_sink_and_balance() {
    let (settings, target, rejects) = (tiny_edges(), Target::default(), Target::default());
    let mut line = builder(settings.clone());
    line.add_source("in", "numbers", reject_tens().plan(), OperatorOptions::default());
    line.add_sink("out", "target", target.plan(), OperatorOptions::default());
    line.add_sink("rejects", "target", rejects.plan(), OperatorOptions::default());
    line.connect("in", "out").connect("in.errors", "rejects");
    let report = block_on(PipelineEngine::new(runtime()).run(build(line, &settings), RunControl::new()));
    assert_eq!(report.status, Status::Completed, "{:?}", report.error);
    assert_eq!((report.operators[0].rows_rejected, report.operators[0].rows_out), (10, 90));
    assert_eq!(rejects.state().codes, vec!["RDE0599"; 10]);
    assert_eq!((target.visible().len(), rejects.visible().len()), (90, 10));
}

/// Scenario: every row fails and is dead-lettered in a pipeline whose memory holds only a few error rows.
/// Guarantees: the error rows come in batches that fit.
#[test]
fn error_rows_fit_into_a_small_memory() {
    let settings = Settings { memory_max: ByteSize(2048), ..Settings::default() };
    let (target, rejects) = (Target::default(), Target::default());
    let mut line = builder(settings.clone());
    let source = Numbers { rejects: |_| true, batch_rows: 100, ..Numbers::new(0..100) };
    line.add_source("in", "numbers", source.plan(), OperatorOptions::default());
    line.add_sink("out", "target", target.plan(), OperatorOptions::default());
    line.add_sink("rejects", "target", rejects.plan(), OperatorOptions::default());
    line.connect("in", "out").connect("in.errors", "rejects");
    let report = block_on(PipelineEngine::new(runtime()).run(build(line, &settings), RunControl::new()));
    assert_eq!(report.status, Status::Completed, "{:?}", report.error);
    assert_eq!(rejects.state().codes.len(), 100);
}

#[test]
fn an_operators_error_fails_the_run_and_nothing_is_committed() {
    let target = Target::default();
    let failing: OnBatch = Arc::new(|rows, _, out| {
        out.batch(0, rows.clone());
        if numbers(rows).contains(&55) {
            return Err(Error::plugin(&codes::CONTRACT, "guest broke").caused_by(std::fmt::Error));
        }
        Ok(Flow::Done)
    });
    let report = check(tiny_edges(), Numbers::new(0..1000), failing, &target);
    let error = report.error.expect("the run fails");
    assert_eq!((report.status, error.message(), error.operator()), (Status::Failed, "guest broke", Some("t")));
    assert_eq!(error.causes().len(), 1);
    assert_eq!((target.visible().len(), target.state().abandoned), (0, 1));
}

#[test]
fn a_panic_fails_the_run_and_never_hangs() {
    let target = Target::default();
    let panicking: OnBatch = Arc::new(|rows, _, _| panic!("boom at {}", rows.num_rows()));
    let report = check(tiny_edges(), Numbers::new(0..1000), panicking, &target);
    let error = report.error.expect("the run fails");
    assert_eq!((error.code(), error.kind()), ("RDE0701", ErrorKind::Internal));
    assert_eq!(error.message(), "operator `t` panicked: boom at 10");
    assert_eq!(target.state().abandoned, 1);
}

/// Scenario: the second of two fused operators panics.
/// Guarantees: the error names it, and both are closed.
#[test]
fn a_panic_in_a_chain_closes_every_operator() {
    let (settings, target) = (Settings::default(), Target::default());
    let panicking: OnBatch = Arc::new(|_, _, _| panic!("boom"));
    let (first, second) = (transform(Lanes::One, pass()), transform(Lanes::One, panicking));
    let closed = [first.closed.clone(), second.closed.clone()];
    let mut line = builder(settings.clone());
    line.add_source("in", "numbers", Numbers::new(0..10).plan(), OperatorOptions::default());
    line.add_transform("first", "scripted", first, OperatorOptions::default());
    line.add_transform("second", "scripted", second, OperatorOptions::default());
    line.add_sink("out", "target", target.plan(), OperatorOptions::default());
    line.connect("in", "first").connect("first", "second").connect("second", "out");
    let report = block_on(PipelineEngine::new(runtime()).run(build(line, &settings), RunControl::new()));
    assert_eq!(report.error.expect("it panicked").operator(), Some("second"));
    assert_eq!(closed.map(|count| count.load(Ordering::SeqCst)), [1, 1]);
}

#[test]
fn counts_that_do_not_balance_fail_a_run_that_seemed_complete() {
    let target = Target::default();
    let losing: OnBatch = Arc::new(|rows, _, out| {
        out.batch(0, rows.slice(1, rows.num_rows() - 1));
        Ok(Flow::Done)
    });
    let report = check(Settings::default(), Numbers::new(0..20), losing, &target);
    assert_eq!((report.status, report.balanced), (Status::Failed, false));
    assert_eq!(report.error.expect("unbalanced").code(), "RDE0703");
    assert_eq!(report.operators[1].balanced, Some(false));
}

/// Guarantees: counts are held against each other only where everything came to its end.
#[test]
fn counts_that_do_not_balance_do_not_fail_a_drained_run() {
    let (target, control) = (Target::default(), RunControl::new());
    let losing: OnBatch = Arc::new(|rows, _, out| {
        out.batch(0, rows.slice(1, rows.num_rows() - 1));
        Ok(Flow::Done)
    });
    let report = check_with(Settings::default(), draining(&control), losing, &target, control, |engine| engine);
    assert_eq!((report.status, report.balanced, report.error.is_none()), (Status::Drained, false, true));
}

#[test]
fn two_sources_merge_and_their_schema_is_heard_once() {
    let (settings, target) = (tiny_edges(), Target::default());
    let mut line = builder(settings.clone());
    line.add_source("a", "numbers", Numbers::new(0..100).plan(), OperatorOptions::default());
    line.add_source("b", "numbers", Numbers::new(100..300).plan(), OperatorOptions::default());
    line.add_transform("t", "scripted", transform(Lanes::One, pass()), OperatorOptions::default());
    line.add_sink("out", "target", target.plan(), OperatorOptions::default());
    line.connect("a", "t").connect("b", "t").connect("t", "out");
    let report = block_on(PipelineEngine::new(runtime()).run(build(line, &settings), RunControl::new()));
    assert_eq!(report.status, Status::Completed, "{:?}", report.error);
    assert_eq!(target.visible(), (0..300).collect::<Vec<_>>());
    assert_eq!(report.schemas.iter().filter(|schema| schema.operator == "t").count(), 1);
}

/// Scenario: two sources merge in a sink, and only the rows of one may be null.
#[test]
fn edges_that_differ_in_nullability_reach_a_sink_under_one_schema() {
    let (settings, target) = (tiny_edges(), Target::default());
    let mut line = builder(settings.clone());
    let never_null = Numbers { nullable: false, ..Numbers::new(0..100) };
    line.add_source("a", "numbers", never_null.plan(), OperatorOptions::default());
    line.add_source("b", "numbers", Numbers::new(100..200).plan(), OperatorOptions::default());
    line.add_sink("out", "target", target.plan(), OperatorOptions::default());
    line.connect("a", "out").connect("b", "out");
    let report = block_on(PipelineEngine::new(runtime()).run(build(line, &settings), RunControl::new()));
    assert_eq!(report.status, Status::Completed, "{:?}", report.error);
    assert_eq!(target.visible(), (0..200).collect::<Vec<_>>());
    let state = target.state();
    assert_eq!((&state.schemas, &state.labels), (&vec![schema()], &vec![schema()]));
}

/// Scenario: a sorted table passes an operator and a sink that could both have three lanes.
#[test]
fn lanes_do_not_mix_rows_that_were_sorted() {
    for (lanes, expected) in [(Lanes::InOrder, [1, 1, 1, 1]), (Lanes::One, [1, 1, 3, 3])] {
        let settings = Settings { parallelism: 3, ..Settings::default() };
        let target = Target::default();
        let mut sort = whole(&["in"]);
        sort.traits.lanes = lanes;
        let mut line = builder(settings.clone());
        line.add_source("in", "numbers", Numbers::new(0..500).plan(), OperatorOptions::default());
        line.add_transform("sort", "reads_all", sort, OperatorOptions::default());
        line.add_transform("t", "scripted", transform(Lanes::Many, pass()), OperatorOptions::default());
        line.add_sink("out", "target", target.plan(), OperatorOptions::default());
        line.connect("in", "sort").connect("sort", "t").connect("t", "out");
        let report = block_on(PipelineEngine::new(runtime()).run(build(line, &settings), RunControl::new()));
        assert_eq!(report.status, Status::Completed, "{:?}", report.error);
        assert_eq!(report.operators.iter().map(|operator| operator.lanes).collect::<Vec<_>>(), expected);
        if lanes == Lanes::InOrder {
            assert_eq!(target.state().visible, (0..500).collect::<Vec<_>>());
        }
    }
}

/// Scenario: one source feeds both inputs of an operator that reads the second to its end first, over 1-byte edges.
/// Guarantees: no dead-lock, every row on both ways.
#[test]
fn a_diamond_into_a_whole_input_operator_does_not_dead_lock() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings { spill: folder.path().to_owned(), memory_max: ByteSize(4096), ..tiny_edges() };
    let target = Target::default();
    let mut line = builder(settings.clone());
    line.add_source("in", "numbers", Numbers::new(0..3000).plan(), OperatorOptions::default());
    line.add_transform("t", "scripted", transform(Lanes::One, pass()), OperatorOptions::default());
    line.add_transform("join", "reads_all", whole(&["left", "right"]), OperatorOptions::default());
    line.add_sink("out", "target", target.plan(), OperatorOptions::default());
    line.connect("in", "t").connect("t", "join.left").connect("in", "join.right").connect("join", "out");
    let report = block_on(PipelineEngine::new(runtime()).run(build(line, &settings), RunControl::new()));
    assert_eq!(report.status, Status::Completed, "{:?}", report.error);
    let mut expected: Vec<i64> = (0..3000).chain(0..3000).collect();
    expected.sort_unstable();
    assert_eq!(target.visible(), expected);
    assert_eq!(report.operators[2].balanced, None);
}

#[test]
fn a_drain_over_a_whole_input_operator_commits_nothing() {
    let (settings, target, control) = (Settings::default(), Target::default(), RunControl::new());
    let stop = control.clone();
    let source = Numbers {
        before: Arc::new(move |n| {
            if n == 300 {
                stop.drain();
            }
        }),
        endless: true,
        ..Numbers::new(0..1000)
    };
    let mut line = builder(settings.clone());
    line.add_source("in", "numbers", source.plan(), OperatorOptions::default());
    line.add_transform("all", "reads_all", whole(&["in"]), OperatorOptions::default());
    line.add_sink("out", "target", target.plan(), OperatorOptions::default());
    line.connect("in", "all").connect("all", "out");
    let report = block_on(PipelineEngine::new(runtime()).run(build(line, &settings), control));
    assert_eq!(report.status, Status::Drained, "{:?}", report.error);
    assert_eq!((target.visible().len(), target.state().commits.len()), (0, 0));
}

/// Scenario: an operator over a whole input sends results while its input is open, and waits for room on its edge when the
/// drain reaches it: the next operator stands still until the barrier has left the source, and a while longer.
/// Guarantees: the batch that was being sent arrives, so the counts balance; the run is drained and shows nothing.
#[test]
fn a_drain_ends_a_whole_input_operator_between_two_batches() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = Settings { spill: folder.path().to_owned(), ..tiny_edges() };
    let (target, control) = (Target::default(), RunControl::new());
    let drained = Arc::new(AtomicUsize::new(0));
    let waits: OnBatch = Arc::new({
        let drained = drained.clone();
        move |rows, _, out| {
            while drained.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            if drained.swap(2, Ordering::SeqCst) == 1 {
                std::thread::sleep(Duration::from_millis(200));
            }
            out.batch(0, rows.clone());
            Ok(Flow::Done)
        }
    });
    let hook: TraceHook = Arc::new(move |event| {
        if &*event.operator == "in" && event.message == "barrier" {
            drained.fetch_max(1, Ordering::SeqCst);
        }
    });
    let mut line = builder(settings.clone());
    line.add_source("in", "numbers", draining(&control).plan(), OperatorOptions::default());
    line.add_transform("echo", "echoes", echo(), OperatorOptions::default());
    line.add_transform("t", "scripted", transform(Lanes::One, waits), OperatorOptions::default());
    line.add_sink("out", "target", target.plan(), OperatorOptions::default());
    line.connect("in", "echo").connect("echo", "t").connect("t", "out");
    let engine = PipelineEngine::new(runtime()).trace(hook);
    let report = block_on(engine.run(build(line, &settings), control));
    assert_eq!((report.status, report.balanced), (Status::Drained, true), "{:?}", report.error);
    assert_eq!((target.visible().len(), target.state().commits.len()), (0, 0));
    assert!(report.operators[1].rows_out < report.operators[1].rows_in, "results were left when the drain came");
}

#[test]
fn a_batch_on_two_edges_is_charged_once() {
    let peak = |sinks: usize| {
        let settings = Settings::default();
        let mut line = builder(settings.clone());
        let source = Numbers { batch_rows: 1000, ..Numbers::new(0..1000) };
        line.add_source("in", "numbers", source.plan(), OperatorOptions::default());
        for sink in 0..sinks {
            let id = format!("out{sink}");
            line.add_sink(&id, "target", Target::default().plan(), OperatorOptions::default());
            line.connect("in", &id);
        }
        let report = block_on(PipelineEngine::new(runtime()).run(build(line, &settings), RunControl::new()));
        assert_eq!(report.operators[0].rows_out, 1000);
        report.budget_peak_bytes
    };
    assert_eq!(peak(1), 8000);
    assert_eq!(peak(3), 8000);
}

#[test]
fn a_batch_of_memory_max_passes_and_one_byte_more_is_refused() {
    for (memory, code) in [(800, None), (799, Some("RDE0702"))] {
        let settings = Settings { memory_max: ByteSize(memory), ..Settings::default() };
        let source = Numbers { batch_rows: 100, ..Numbers::new(0..100) };
        let report = check(settings, source, pass(), &Target::default());
        assert_eq!(report.error.as_ref().map(Error::code), code, "{:?}", report.error);
    }
}

/// Runs batches of one row, all of which wait before the first of some operators in one chain. Returns the rows of the batches
/// that it is called with.
fn first_sees(chain: &[Joining]) -> Vec<usize> {
    let (settings, target) = (Settings::default(), Target::default());
    let (sizes, gate) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicI64::new(0)));
    let slow: OnBatch = Arc::new({
        let (sizes, gate) = (sizes.clone(), gate.clone());
        move |rows, _, out| {
            // The first call waits until the source has ended, so everything else waits on the edge.
            while gate.load(Ordering::SeqCst) < 99 {
                std::thread::yield_now();
            }
            sizes.lock().expect("no panic").push(rows.num_rows());
            out.batch(0, rows.clone());
            Ok(Flow::Done)
        }
    });
    let before: Arc<dyn Fn(i64) + Send + Sync> = Arc::new(move |n| gate.store(n, Ordering::SeqCst));
    let source = Numbers { batch_rows: 1, before, ..Numbers::new(0..100) };
    let mut line = builder(settings.clone());
    line.add_source("in", "numbers", source.plan(), OperatorOptions::default());
    let mut from = "in".to_owned();
    for (index, joining) in chain.iter().enumerate() {
        let mut plan = transform(Lanes::One, if index == 0 { slow.clone() } else { pass() });
        plan.traits.joining = *joining;
        let id = format!("t{index}");
        line.add_transform(&id, "scripted", plan, OperatorOptions::default());
        line.connect(&from, &id);
        from = id;
    }
    line.add_sink("out", "target", target.plan(), OperatorOptions::default());
    line.connect(&from, "out");
    let report = block_on(PipelineEngine::new(runtime()).run(build(line, &settings), RunControl::new()));
    assert_eq!(report.status, Status::Completed, "{:?}", report.error);
    assert_eq!(target.state().visible, (0..100).collect::<Vec<_>>());
    let sizes = sizes.lock().expect("no panic");
    sizes.clone()
}

#[test]
fn small_batches_are_joined_before_operators_that_wish_it() {
    let sizes = first_sees(&[Joining::Wanted]);
    assert!(sizes.len() < 10, "{sizes:?}");
}

/// Scenario: two operators in one chain, of which the second wants small batches joined.
/// Guarantees: they are joined before the first, unless its answer may hang on the cuts.
#[test]
fn no_batches_are_joined_before_an_operator_that_forbids_it() {
    assert!(first_sees(&[Joining::Indifferent, Joining::Wanted]).len() < 10);
    assert_eq!(first_sees(&[Joining::Forbidden, Joining::Wanted]), [1; 100]);
}

#[test]
fn one_batch_passes_the_functions_of_the_path_in_order() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook: TraceHook = Arc::new({
        let seen = seen.clone();
        move |event| seen.lock().expect("no panic").push((event.function, event.operator.to_string(), event.message))
    });
    let source = Numbers::new(0..5);
    check_with(Settings::default(), source, pass(), &Target::default(), RunControl::new(), |engine| engine.trace(hook));
    let seen = seen.lock().expect("no panic");
    let batches: Vec<(&str, &str)> = seen
        .iter()
        .filter(|(function, _, message)| {
            *message == "batch"
                || function.contains("prepare")
                || *message == "commit"
                || function.contains("checkpoint")
        })
        .map(|(function, operator, _)| (*function, operator.as_str()))
        .collect();
    let expected = [
        ("source::produce", "in"),
        ("edge::try_send", "in"),
        ("lane::step", "t"),
        ("edge::try_send", "t"),
        ("sink::write", "out"),
        ("sink::prepare", "out"),
        ("coordinator::checkpoint", "p"),
        ("commit::commit", "out"),
    ];
    assert_eq!(batches, expected);
}

#[test]
fn the_live_counts_are_empty_before_a_run_and_the_reports_after_it() {
    let (target, control) = (Target::default(), RunControl::new());
    assert!(control.live().operators.is_empty());
    let report =
        check_with(Settings::default(), Numbers::new(0..30), pass(), &target, control.clone(), |engine| engine);
    let live = control.live();
    assert_eq!(live.operators[0].rows_read, report.operators[0].rows_read);
    assert!(!live.running);
}

#[test]
fn a_pipeline_with_faults_is_not_run() {
    let mut line = builder(Settings::default());
    line.add_source("in", "numbers", Numbers::new(0..1).plan(), OperatorOptions::default());
    let (pipeline, faults) = block_on(line.build(&probe(&Settings::default())));
    assert!(!faults.is_empty());
    let report = block_on(PipelineEngine::new(runtime()).run(pipeline, RunControl::new()));
    assert_eq!((report.status, report.error.expect("refused").code()), (Status::Failed, "RDE0712"));
}

#[test]
fn lanes_of_different_number_are_joined_by_spreading_batches() {
    let settings = Settings { parallelism: 4, ..tiny_edges() };
    let target = Target::default();
    let mut line = builder(settings.clone());
    let source = Numbers { splits: vec![0..200, 200..400], ..Numbers::new(0..0) };
    line.add_source("in", "numbers", source.plan(), OperatorOptions::default());
    line.add_transform("t", "scripted", transform(Lanes::Many, pass()), OperatorOptions::default());
    line.add_transform("one", "scripted", transform(Lanes::One, pass()), OperatorOptions::default());
    line.add_sink("out", "target", target.plan(), OperatorOptions::default());
    line.connect("in", "t").connect("t", "one").connect("one", "out");
    let report = block_on(PipelineEngine::new(runtime()).run(build(line, &settings), RunControl::new()));
    assert_eq!(report.status, Status::Completed, "{:?}", report.error);
    assert_eq!(target.visible(), (0..400).collect::<Vec<_>>());
    let lanes: Vec<usize> = report.operators.iter().map(|operator| operator.lanes).collect();
    assert_eq!(lanes, [2, 4, 1, 4]);
    assert!(report.operators[1].rows_by_lane.iter().all(|rows| *rows == 100));
}
