//! Commits: one after the other, from the log, and those that fail.

use super::*;

#[test]
#[expect(clippy::disallowed_methods, reason = "a test asks from outside the run")]
fn epochs_commit_one_after_the_other_while_rows_flow() {
    let (target, control) = (Target::default(), RunControl::new());
    let asking = control.clone();
    let asker = std::thread::spawn(move || {
        while asking.live().checkpoints_completed < 4 {
            asking.checkpoint();
            std::thread::yield_now();
        }
        asking.drain();
    });
    let source = Numbers { endless: true, ..Numbers::new(0..1_000_000) };
    let report = check_with(Settings::default(), source, pass(), &target, control, |engine| engine);
    asker.join().expect("the asker ends");
    assert_eq!(report.status, Status::Drained, "{:?}", report.error);
    let visible = target.state().visible.clone();
    assert_eq!(visible, (0..visible.len() as i64).collect::<Vec<_>>());
    let epochs: Vec<u64> = target.state().commits.iter().map(|commit| commit.epoch.0).collect();
    assert!(epochs.is_sorted() && report.checkpoints_completed >= 5, "{epochs:?}");
    assert_eq!(report.checkpoints_completed, report.last_epoch.expect("an epoch").0);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test asks from outside the run")]
fn the_interval_opens_epochs_by_the_clock() {
    let target = Target::default();
    let source = Numbers { endless: true, ..Numbers::new(0..50) };
    let control = RunControl::new();
    let watched = control.clone();
    let watcher = std::thread::spawn(move || {
        while watched.live().checkpoints_completed < 3 {
            std::thread::yield_now();
        }
        watched.drain();
    });
    let interval = Duration::from_secs(10);
    let report =
        check_with(Settings::default(), source, pass(), &target, control, |engine| engine.checkpoint_every(interval));
    watcher.join().expect("the watcher ends");
    assert_eq!(report.status, Status::Drained, "{:?}", report.error);
    assert_eq!(target.visible(), (0..50).collect::<Vec<_>>());
}

/// Scenario: a first run is cut off by an error after some epochs; a second one goes on with the same log and target.
/// Guarantees: every row is visible once.
#[test]
fn a_run_goes_on_from_the_log_and_repeats_nothing() {
    let (target, log, control) = (Target::default(), MemoryLog::new(), RunControl::new());
    let ask = control.clone();
    let failing: OnBatch = Arc::new(|rows, _, out| {
        out.batch(0, rows.clone());
        let fails = numbers(rows).contains(&1500);
        if fails { Err(Error::data(&codes::CONTRACT, "broken off")) } else { Ok(Flow::Done) }
    });
    let asks = Numbers { before: Arc::new(move |_| ask.checkpoint()), ..Numbers::new(0..2000) };
    let with_log = |engine: PipelineEngine| engine.log(Arc::new(log.clone()));
    let first = check_with(tiny_edges(), asks, failing, &target, control, with_log);
    assert_eq!(first.status, Status::Failed);
    assert!(target.visible().len() < 1510);
    let second = check_with(tiny_edges(), Numbers::new(0..2000), pass(), &target, RunControl::new(), with_log);
    assert_eq!(second.status, Status::Completed, "{:?}", second.error);
    assert_eq!(target.visible(), (0..2000).collect::<Vec<_>>());
    assert_eq!(
        second.operators[0].rows_read + target.state().visible.len() as u64,
        2000 + second.operators[0].rows_read
    );
    let third = check_with(tiny_edges(), Numbers::new(0..2000), pass(), &target, RunControl::new(), with_log);
    assert_eq!((third.status, third.operators[0].rows_read), (Status::Completed, 0), "{:?}", third.error);
    assert_eq!(target.visible().len(), 2000);
}

#[test]
fn a_commit_that_fails_fails_the_run_with_its_cause() {
    let target = Target::default();
    target.state().fail_commit = true;
    let report = check(Settings::default(), Numbers::new(0..20), pass(), &target);
    let error = report.error.expect("the run fails");
    assert_eq!((error.message(), error.operator(), error.causes().len()), ("the target refuses", Some("out"), 1));
    assert_eq!(report.operators[2].rows_abandoned, 20);
}

/// Guarantees: what a failed commit prepared is thrown away where nobody will commit it any more, and nowhere else: not where
/// the commit had landed, not where a log lets the next run try again.
#[test]
fn what_a_failed_commit_prepared_does_not_stay() {
    let aborted = |lands: bool, log: Option<MemoryLog>| {
        let target = Target::default();
        target.state().fail_commit = !lands;
        target.state().lose_answer = lands;
        let configure = |engine: PipelineEngine| match log {
            Some(log) => engine.log(Arc::new(log)),
            None => engine,
        };
        let source = Numbers::new(0..20);
        let report = check_with(Settings::default(), source, pass(), &target, RunControl::new(), configure);
        assert_eq!(report.status, Status::Failed);
        target.state().aborted
    };
    assert_eq!(aborted(false, None), 1);
    assert_eq!(aborted(true, None), 0);
    assert_eq!(aborted(false, Some(MemoryLog::new())), 0);
}
