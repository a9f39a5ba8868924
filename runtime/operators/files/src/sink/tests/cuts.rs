//! Runs and commits that are cut at any step, and what the next run makes of what they left.

use super::*;

/// Runs `second` after an uninterrupted `first`, cut off before each step in turn; then checks what is seen, and that the
/// same run again ends as if nothing had happened.
fn cut_everywhere(first: Option<Run>, second: &Run, again: &Run) {
    let clean = folder();
    if let Some(first) = &first {
        first.go(clean.path(), Disk::default()).expect("the first run is not cut");
    }
    let before = visible(clean.path());
    second.go(clean.path(), Disk::default()).expect("the second run is not cut");
    let after = visible(clean.path());
    assert_eq!(hidden(clean.path()), Vec::<String>::new());
    let mut step = 0;
    loop {
        let folder = folder();
        if let Some(first) = &first {
            first.go(folder.path(), Disk::default()).expect("the first run is not cut");
        }
        let cut = Arc::new(Cut { taken: AtomicU64::new(0), at: step, once: false });
        let result = second.go(folder.path(), Disk::with_hook(cut.clone()));
        if result.is_ok() && cut.taken.load(Ordering::SeqCst) <= step {
            assert!(step > 4, "the run has steps to be cut at");
            return;
        }
        for (name, content) in visible(folder.path()) {
            let whole = [before.get(&name), after.get(&name)].contains(&Some(&content));
            assert!(whole, "cut before step {step}: `{name}` is whole, not {content}");
        }
        // Recovery alone, as the next run does it before its first row.
        let probe = Run { if_exists: IfExists::Append, rows: vec![], ..*again };
        if second.single.is_none() {
            drop(probe.target(folder.path(), Disk::default()).expect("recovery works"));
            let seen = visible(folder.path());
            assert!(seen == before || seen == after, "cut before step {step}: all or nothing, not {seen:?}");
            assert_eq!(hidden(folder.path()), Vec::<String>::new(), "cut before step {step}");
        }
        let ended = again.go(folder.path(), Disk::default());
        if again.if_exists == IfExists::Fail {
            // All is visible only if nothing but tidying up was left to do.
            assert!(ended.is_ok() || visible(folder.path()) == after, "cut before step {step}: {ended:?}");
        } else {
            ended.expect("the same command again works");
        }
        let contents = |files: &BTreeMap<String, String>| files.values().cloned().collect::<Vec<_>>();
        assert_eq!(contents(&visible(folder.path())), contents(&after), "cut before step {step}");
        assert_eq!(hidden(folder.path()), Vec::<String>::new(), "cut before step {step}");
        step += 1;
    }
}

#[test]
fn a_first_run_cut_at_any_step_shows_all_or_nothing_and_can_be_repeated() {
    cut_everywhere(None, &run(IfExists::Fail, None, 2, &NEW), &run(IfExists::Fail, None, 3, &NEW));
}

#[test]
fn a_replacing_run_cut_at_any_step_shows_the_old_or_the_new_and_can_be_repeated() {
    let first = run(IfExists::Fail, None, 1, &OLD);
    cut_everywhere(Some(first), &run(IfExists::Replace, None, 2, &NEW), &run(IfExists::Replace, None, 3, &NEW));
}

#[test]
fn a_single_file_cut_at_any_step_is_the_old_one_or_the_new_one() {
    let file = Some("out.csv");
    cut_everywhere(None, &run(IfExists::Fail, file, 2, &NEW), &run(IfExists::Fail, file, 3, &NEW));
    let first = run(IfExists::Fail, file, 1, &OLD);
    cut_everywhere(Some(first), &run(IfExists::Replace, file, 2, &NEW), &run(IfExists::Replace, file, 3, &NEW));
}

#[test]
fn one_failing_step_leaves_the_old_files_or_can_be_put_right_by_the_next_run() {
    let first = run(IfExists::Fail, None, 1, &OLD);
    let second = run(IfExists::Replace, None, 2, &NEW);
    for step in 0.. {
        let folder = folder();
        first.go(folder.path(), Disk::default()).expect("the first run is not cut");
        let before = visible(folder.path());
        let cut = Arc::new(Cut { taken: AtomicU64::new(0), at: step, once: true });
        let result = second.go(folder.path(), Disk::with_hook(cut.clone()));
        if cut.taken.load(Ordering::SeqCst) <= step {
            return;
        }
        if result.is_err() {
            // With a manifest the next run knows what to do; without one the target shows the old files, or, where only the
            // last word about durability is missing, the new ones.
            let begun = tree(folder.path()).iter().any(|name| name.ends_with(".manifest"));
            let seen = visible(folder.path());
            assert!(
                begun || seen == before || seen.keys().all(|name| name.contains("-0000000000000002-")),
                "{step}: {seen:?}"
            );
        }
        run(IfExists::Replace, None, 3, &NEW).go(folder.path(), Disk::default()).expect("the next run works");
        assert_eq!(visible(folder.path()).len(), 3, "step {step}");
        assert_eq!(hidden(folder.path()), Vec::<String>::new(), "step {step}");
    }
}

#[test]
fn a_commit_that_failed_at_any_step_can_be_tried_again() {
    let clean = folder();
    run(IfExists::Fail, None, 1, &OLD).go(clean.path(), Disk::default()).expect("not cut");
    let replacing = run(IfExists::Replace, None, 2, &NEW);
    replacing.go(clean.path(), Disk::default()).expect("not cut");
    let mut failures = 0;
    for step in 0.. {
        let folder = folder();
        run(IfExists::Fail, None, 1, &OLD).go(folder.path(), Disk::default()).expect("not cut");
        let cut = Arc::new(Cut { taken: AtomicU64::new(0), at: step, once: true });
        let Ok(target) = replacing.target(folder.path(), Disk::with_hook(cut.clone())) else { continue };
        let Ok((_lane, prepared)) = replacing.prepare(target.clone()) else { continue };
        let committer = FileCommitter::new(target);
        let commit = commit_of(prepared);
        if committer.make_visible(&commit).is_err() {
            failures += 1;
            committer.make_visible(&commit).expect("the second try works");
        } else if cut.taken.load(Ordering::SeqCst) <= step {
            assert!(failures > 15, "{failures} steps of a commit failed");
            return;
        }
        drop(committer);
        assert_eq!(visible(folder.path()), visible(clean.path()), "step {step}");
    }
}

#[test]
fn a_recovery_cut_at_any_step_is_taken_up_by_the_next() {
    let clean = folder();
    run(IfExists::Fail, None, 1, &OLD).go(clean.path(), Disk::default()).expect("not cut");
    let before = visible(clean.path());
    let second = run(IfExists::Replace, None, 2, &NEW);
    second.go(clean.path(), Disk::default()).expect("not cut");
    let after = visible(clean.path());
    let kill = |at| Disk::with_hook(Arc::new(Cut { taken: AtomicU64::new(0), at, once: false }));
    let mut rng = fastrand::Rng::with_seed(5);
    for first_cut in 12..50 {
        let folder = folder();
        run(IfExists::Fail, None, 1, &OLD).go(folder.path(), Disk::default()).expect("not cut");
        let killed = second.go(folder.path(), kill(first_cut)).is_err();
        for _ in 0..3 {
            // Recovery happens when the target is opened, and is killed in the middle.
            let opened = run(IfExists::Append, None, 3, &[]).target(folder.path(), kill(rng.u64(0..12)));
            drop(opened);
        }
        drop(run(IfExists::Append, None, 4, &[]).target(folder.path(), Disk::default()).expect("recovery works"));
        let seen = visible(folder.path());
        assert!(seen == after || (killed && seen == before), "cut before step {first_cut}: {seen:?}");
        assert_eq!(hidden(folder.path()), Vec::<String>::new(), "cut before step {first_cut}");
    }
}

#[test]
fn a_commit_may_be_repeated_and_knows_when_files_are_gone() {
    let folder = folder();
    let run = run(IfExists::Append, None, 2, &NEW);
    let target = run.target(folder.path(), Disk::default()).expect("an empty folder");
    let options = LaneOptions {
        lane: 0,
        lanes: 1,
        format: FileFormat::Json,
        partition_by: vec![],
        file_bytes_max: u64::MAX,
        memory_max: 1 << 30,
        budget: Budget::new(1 << 30),
    };
    let mut lane = LaneWriter::new(target.clone(), options);
    let mut out = Output::new();
    block_on(lane.schema(&SchemaVersion { version: 1, schema: schema(), cause: None })).expect("schema");
    block_on(lane.write(batch(&NEW), &mut out)).expect("write");
    let commit = commit_of(block_on(lane.prepare(Epoch(1), &mut out)).expect("prepare"));
    let committer = FileCommitter::new(target);
    committer.make_visible(&commit).expect("first");
    committer.make_visible(&commit).expect("done already");
    let (name, _) = visible(folder.path()).pop_first().expect("one file");
    fs::write(folder.path().join(&name), "{}\n").expect("somebody writes to it");
    assert_eq!(committer.make_visible(&commit).expect_err("it is not what was written").code(), "RDE0610");
    fs::remove_file(folder.path().join(&name)).expect("somebody removes it");
    assert_eq!(committer.make_visible(&commit).expect_err("it is gone").code(), "RDE0610");
}
