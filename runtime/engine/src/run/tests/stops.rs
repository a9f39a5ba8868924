//! The ways to stop: cancel, drain, and a reader that goes away.

use std::fmt::Debug;

use futures::StreamExt;
use futures::stream::{BoxStream, TryStreamExt, iter};
use rde_core::{AsyncTransform, BatchStream, Operator, Produced};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;

/// Keeps the texts of warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Visit for Warnings {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            crate::shared::lock(&self.0).push(format!("{value:?}"));
        }
    }
}

/// An operator over a whole input that has the run drained once it has all of it, and takes a while for its result.
struct Slow(RunControl);

impl AsyncTransform for Slow {
    fn start(
        &mut self,
        mut inputs: Vec<(arrow::datatypes::SchemaRef, BatchStream)>,
    ) -> rde_core::Result<(arrow::datatypes::SchemaRef, BoxStream<'static, rde_core::Result<Produced>>)> {
        let (schema, stream) = inputs.swap_remove(0);
        let control = self.0.clone();
        let result = async move {
            let batches = stream.try_collect::<Vec<_>>().await?;
            control.drain();
            std::thread::sleep(std::time::Duration::from_millis(100));
            Ok(iter(batches.into_iter().map(|batch| Ok(Produced::Batch(batch)))))
        };
        Ok((schema, futures::TryFutureExt::try_flatten_stream(result).boxed()))
    }
}

/// Scenario: a drain reaches an operator over a whole input before, and after, that input has ended.
/// Guarantees: a warning says of the first that nothing is committed, and nothing is said of the second, which commits.
#[test]
fn a_drain_warns_of_a_whole_input_that_had_not_ended_and_of_no_other() {
    let (settings, log) = (Settings::default(), Warnings::default());
    let run = |source: Numbers, all: Box<crate::testing::TestPlan>, control: RunControl| {
        let target = Target::default();
        let mut line = builder(settings.clone());
        line.add_source("in", "numbers", source.plan(), OperatorOptions::default());
        line.add_transform("all", "whole", all, OperatorOptions::default());
        line.add_sink("out", "target", target.plan(), OperatorOptions::default());
        line.connect("in", "all").connect("all", "out");
        let pipeline = build(line, &settings);
        let report = tracing::subscriber::with_default(log.clone(), || {
            block_on(PipelineEngine::new(runtime()).run(pipeline, control))
        });
        (report.status, target.visible().len(), std::mem::take(&mut *crate::shared::lock(&log.0)))
    };
    let control = RunControl::new();
    let warning = "drained before its input ended: its part of the pipeline commits nothing".to_owned();
    assert_eq!(run(draining(&control), whole(&["in"]), control), (Status::Drained, 0, vec![warning]));
    let control = RunControl::new();
    let (mut slow, stop) = (whole(&["in"]), control.clone());
    slow.open = Box::new(move |_| Ok(Operator::AsyncTransform(Box::new(Slow(stop)))));
    assert_eq!(run(Numbers::new(0..100), slow, control), (Status::Completed, 100, Vec::new()));
}

#[test]
fn a_cancel_abandons_and_commits_nothing() {
    let (target, control) = (Target::default(), RunControl::new());
    let stop = control.clone();
    let source = Numbers {
        before: Arc::new(move |n| {
            if n == 500 {
                stop.cancel();
            }
        }),
        endless: true,
        ..Numbers::new(0..1000)
    };
    let report = check_with(tiny_edges(), source, pass(), &target, control, |engine| engine);
    assert_eq!((report.status, report.error.expect("cancelled").code()), (Status::Failed, "RDE0711"));
    assert_eq!((target.visible().len(), target.state().abandoned), (0, 1));
}

/// Scenario: the run is cancelled when its last commit is about to begin.
/// Guarantees: the commit is finished, since it has its permit, and the report says so: a run that is said to have failed would
/// be run again.
#[test]
fn a_cancel_behind_the_last_checkpoint_does_not_deny_what_was_committed() {
    let (target, control) = (Target::default(), RunControl::new());
    let stop = control.clone();
    let hook: TraceHook = Arc::new(move |event| {
        if event.function == "commit::commit" {
            stop.cancel();
        }
    });
    let source = Numbers::new(0..1000);
    let report = check_with(Settings::default(), source, pass(), &target, control, |engine| engine.trace(hook));
    assert_eq!(report.status, Status::Completed, "{:?}", report.error);
    assert_eq!((target.visible().len(), target.state().abandoned), (1000, 0));
}

#[test]
fn a_drain_commits_what_was_read_and_says_so() {
    let (target, control) = (Target::default(), RunControl::new());
    let stop = control.clone();
    let source = Numbers {
        before: Arc::new(move |n| {
            if n == 500 {
                stop.drain();
            }
        }),
        endless: true,
        ..Numbers::new(0..1_000_000)
    };
    let report = check_with(Settings::default(), source, pass(), &target, control, |engine| engine);
    assert_eq!(report.status, Status::Drained, "{:?}", report.error);
    let visible = target.visible();
    assert!(visible.len() >= 500 && report.balanced);
    assert_eq!(visible, (0..visible.len() as i64).collect::<Vec<_>>());
}

#[test]
fn a_reader_that_goes_away_drains_the_others() {
    let (settings, target, gone) = (tiny_edges(), Target::default(), Target::default());
    gone.state().reader_gone_at = Some(42);
    let mut line = builder(settings.clone());
    let source = Numbers { endless: true, ..Numbers::new(0..100_000) };
    line.add_source("in", "numbers", source.plan(), OperatorOptions::default());
    line.add_sink("out", "target", target.plan(), OperatorOptions::default());
    line.add_sink("pipe", "target", gone.plan(), OperatorOptions::default());
    line.connect("in", "out").connect("in", "pipe");
    let report = block_on(PipelineEngine::new(runtime()).run(build(line, &settings), RunControl::new()));
    assert_eq!(report.status, Status::Drained, "{:?}", report.error);
    let sink = &report.operators[2];
    assert_eq!((sink.rows_committed, sink.rows_abandoned), (0, sink.rows_in));
    assert_eq!(target.visible().len() as u64, report.operators[1].rows_committed);
    assert!(report.operators[1].rows_committed >= 50 && report.balanced);
}
