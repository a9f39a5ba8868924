//! The names are the specification: what a run does with each state of log and targets.

use std::collections::BTreeMap;

use super::*;
use crate::{Damage, Entry, Epoch, Prepared};

const ME: Incarnation = Incarnation(9);
const BEFORE: Incarnation = Incarnation(8);

fn claim(incarnation: Incarnation) -> Result<Entry, Damage> {
    Ok(Entry { incarnation, body: Body::Claim })
}

/// A checkpoint of the incarnation before, with the chain of the sink `out`: the acknowledged commit and pending ones.
fn cut(epoch: u64, acknowledged: Option<u128>, pending: &[u128]) -> Result<Entry, Damage> {
    let mut parent = acknowledged.map(CommitId);
    let mut commits = Vec::new();
    for id in pending {
        let prepared = vec![Prepared(vec![1])];
        commits.push(Commit { id: CommitId(*id), parent, epoch: Epoch(epoch), prepared });
        parent = Some(CommitId(*id));
    }
    let checkpoint = Checkpoint {
        epoch: Epoch(epoch),
        acknowledged: acknowledged.map(|id| ("out".to_owned(), CommitId(id))).into_iter().collect(),
        pending: BTreeMap::from([("out".to_owned(), commits)]),
        ..Checkpoint::default()
    };
    Ok(Entry { incarnation: BEFORE, body: Body::Checkpoint(checkpoint) })
}

fn damaged() -> Result<Entry, Damage> {
    Err(Damage::Checksum)
}

fn marker(id: Option<u128>) -> BTreeMap<String, Option<Marker>> {
    BTreeMap::from([("out".to_owned(), id.map(|id| Marker { id: CommitId(id), epoch: Epoch(1) }))])
}

/// Numbers the entries from 1 and asks.
fn check(entries: Vec<Result<Entry, Damage>>, stored: Option<u128>) -> Decision {
    let log: Vec<Numbered> = (1..).zip(entries).collect();
    decide(ME, &log, &marker(stored))
}

fn replayed(decision: Decision) -> (u64, Vec<u128>) {
    let Decision::Resume(resume) = decision else { panic!("expected Resume, got {decision:?}") };
    (resume.from.epoch.0, resume.replay["out"].iter().map(|commit| commit.id.0).collect())
}

#[test]
fn an_empty_log_and_an_empty_target_start() {
    assert_eq!(check(vec![claim(ME)], None), Decision::Start { skipped: vec![] });
}

#[test]
fn an_earlier_claim_without_a_checkpoint_starts() {
    assert_eq!(check(vec![claim(BEFORE), claim(ME)], None), Decision::Start { skipped: vec![] });
}

#[test]
fn a_later_claim_of_another_incarnation_fences() {
    assert_eq!(check(vec![claim(ME), claim(BEFORE)], None), Decision::Fenced { by: BEFORE });
}

#[test]
fn a_later_checkpoint_of_another_incarnation_fences() {
    assert_eq!(check(vec![claim(ME), cut(4, None, &[])], None), Decision::Fenced { by: BEFORE });
}

#[test]
fn a_checkpoint_without_pending_commits_resumes_with_nothing_to_replay() {
    assert_eq!(replayed(check(vec![cut(0, None, &[]), claim(ME)], None)), (0, vec![]));
}

#[test]
fn the_newest_checkpoint_counts() {
    let log = vec![cut(1, None, &[1]), cut(2, Some(1), &[2]), claim(ME)];
    assert_eq!(replayed(check(log, Some(1))), (2, vec![2]));
}

#[test]
fn a_marker_at_the_parent_replays_every_pending_commit_in_order() {
    assert_eq!(replayed(check(vec![cut(3, Some(1), &[2, 3]), claim(ME)], Some(1))), (3, vec![2, 3]));
}

#[test]
fn a_marker_inside_the_chain_replays_the_commits_after_it() {
    assert_eq!(replayed(check(vec![cut(3, Some(1), &[2, 3]), claim(ME)], Some(2))), (3, vec![3]));
}

#[test]
fn a_marker_at_the_end_of_the_chain_replays_nothing() {
    let decision = check(vec![cut(3, Some(1), &[2, 3]), claim(ME)], Some(3));
    let Decision::Resume(resume) = &decision else { panic!("expected Resume, got {decision:?}") };
    assert_eq!(resume.committed["out"], CommitId(3));
    assert_eq!(resume.permit().epoch(), Epoch(3));
    assert_eq!(replayed(decision), (3, vec![]));
}

#[test]
fn an_empty_target_at_the_start_of_the_chain_replays_everything() {
    assert_eq!(replayed(check(vec![cut(1, None, &[5]), claim(ME)], None)), (1, vec![5]));
}

#[test]
fn a_foreign_marker_is_broken() {
    let broken = Decision::Broken(Reason::RolledBack { sink: "out".into() });
    assert_eq!(check(vec![cut(3, Some(1), &[2]), claim(ME)], Some(77)), broken);
}

#[test]
fn a_target_that_lost_its_marker_is_broken() {
    let broken = Decision::Broken(Reason::RolledBack { sink: "out".into() });
    assert_eq!(check(vec![cut(3, Some(1), &[2]), claim(ME)], None), broken);
}

#[test]
fn a_lost_store_is_broken_and_never_starts_over() {
    let broken = Decision::Broken(Reason::StoreLost { sink: "out".into(), epoch: 1 });
    assert_eq!(check(vec![claim(ME)], Some(4)), broken);
}

#[test]
fn a_damaged_newest_entry_of_which_nothing_was_committed_is_skipped() {
    let decision = check(vec![cut(3, Some(1), &[2]), damaged(), claim(ME)], Some(2));
    let Decision::Resume(resume) = &decision else { panic!("expected Resume, got {decision:?}") };
    assert_eq!(resume.skipped, vec![2]);
    assert_eq!(replayed(decision), (3, vec![]));
}

#[test]
fn a_damaged_newest_entry_of_which_something_was_committed_is_broken() {
    let broken = Decision::Broken(Reason::Damaged { object: "000000000002.json".into(), sink: "out".into() });
    assert_eq!(check(vec![cut(3, Some(1), &[2]), damaged(), claim(ME)], Some(6)), broken);
}

#[test]
fn damage_before_the_newest_checkpoint_does_not_matter() {
    assert_eq!(replayed(check(vec![damaged(), cut(3, Some(1), &[2]), claim(ME)], Some(1))), (3, vec![2]));
}

#[test]
fn only_damage_and_an_empty_target_start_and_say_what_was_skipped() {
    assert_eq!(check(vec![damaged(), claim(ME)], None), Decision::Start { skipped: vec![1] });
}

#[test]
fn only_damage_and_a_marker_are_broken() {
    let broken = Decision::Broken(Reason::Damaged { object: "000000000001.json".into(), sink: "out".into() });
    assert_eq!(check(vec![damaged(), claim(ME)], Some(1)), broken);
}

#[test]
fn uncommitted_work_of_a_removed_sink_is_broken() {
    let log: Vec<Numbered> = (1..).zip([cut(3, None, &[2]), claim(ME)]).collect();
    let broken = Decision::Broken(Reason::SinkGone { object: "000000000001.json".into(), sink: "out".into() });
    assert_eq!(decide(ME, &log, &BTreeMap::new()), broken);
}

#[test]
fn a_removed_sink_without_uncommitted_work_does_not_matter() {
    let log: Vec<Numbered> = (1..).zip([cut(3, Some(2), &[]), claim(ME)]).collect();
    assert!(matches!(decide(ME, &log, &BTreeMap::new()), Decision::Resume(_)));
}

#[test]
fn a_new_sink_has_nothing_to_replay() {
    let log: Vec<Numbered> = (1..).zip([cut(3, None, &[]), claim(ME)]).collect();
    let markers = BTreeMap::from([("new".to_owned(), None), ("out".to_owned(), None)]);
    let Decision::Resume(resume) = decide(ME, &log, &markers) else { panic!("expected Resume") };
    assert_eq!(resume.replay["new"], vec![]);
}

#[test]
fn pending_commits_that_do_not_follow_one_another_are_broken() {
    let mut entry = cut(3, Some(1), &[2, 3]).expect("made readable");
    let Body::Checkpoint(checkpoint) = &mut entry.body else { panic!("made a checkpoint") };
    checkpoint.pending.get_mut("out").expect("made with a sink")[1].parent = Some(CommitId(55));
    let broken = Decision::Broken(Reason::ChainBroken { object: "000000000001.json".into(), sink: "out".into() });
    assert_eq!(check(vec![Ok(entry), claim(ME)], Some(1)), broken);
}

/// Scenario: a zombie and its successor hold the same checkpoint and one of them has committed already.
/// Guarantees: whoever looks later finds the commit done and repeats nothing.
#[test]
fn a_commit_that_landed_without_being_acknowledged_is_not_replayed() {
    assert_eq!(replayed(check(vec![cut(1, None, &[5]), claim(ME)], Some(5))), (1, vec![]));
}

#[test]
fn every_reason_has_a_remedy() {
    let reason = Reason::RolledBack { sink: "out".into() };
    assert!(reason.help().contains("--fresh"));
}
