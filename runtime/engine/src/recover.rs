//! Goes on from a log: claims the pipeline, reads log and markers, asks `decide`, replays commits.
//!
//! Runs before any source is given its splits. Invariant: nothing is read before every pending commit is replayed.
//! Not here: the decision (`checkpoint::decide`).

use std::collections::{BTreeMap, BTreeSet};

use rde_checkpoint::{Checkpoint, CheckpointLog, Decision, LogError, Resume, claim, decide, read_all};
use rde_core::{CommitId, Committer, Epoch, Error, Incarnation, Marker, Result, SplitId};

use crate::codes;
use crate::commit::commit_with_retries;
use crate::graph::BoundGraph;
use crate::open::Opened;
use crate::shared::Shared;

/// From where a run goes on.
pub(crate) struct Recovered {
    /// The checkpoint it starts from: epoch 0 of a new run, or the newest one.
    pub base: Checkpoint,
    /// The number of the next entry of the log.
    pub number: u64,
    /// What each sink's target holds.
    pub committed: BTreeMap<String, CommitId>,
    /// The epoch it goes on from.
    pub resumed_from: Option<Epoch>,
    /// The pipeline had completed, and no source has a split that it did not have then.
    pub nothing_new: bool,
    splits_before: BTreeSet<(String, SplitId)>,
}

impl Recovered {
    /// Finds out whether a completed pipeline has anything new, once the splits are known.
    pub fn look_for_news(&mut self) {
        let mut now = all_splits(&self.base);
        self.nothing_new = self.base.completed && now.all(|split| self.splits_before.contains(&split));
    }
}

/// Claims the pipeline and decides. A log that nobody handed in is empty, and its markers are not asked: a run without
/// durable checkpoints starts anew, whatever an earlier one left in its targets.
pub(crate) async fn recover(
    shared: &Shared,
    log: &dyn CheckpointLog,
    incarnation: Incarnation,
    graph: &BoundGraph,
    opened: impl Iterator<Item = &mut Opened>,
    asked: bool,
) -> Result<Recovered> {
    let unavailable = |error: LogError| {
        let message = format!("the checkpoint store of pipeline `{}` does not answer", shared.pipeline);
        Error::unavailable(&codes::LOG_UNAVAILABLE, message).caused_by(error)
    };
    let number = log.list().await.map_err(unavailable)?.last().map_or(1, |newest| newest + 1);
    if !claim(log, number, incarnation).await.map_err(unavailable)? {
        return Err(fenced(shared));
    }
    let mut sinks: Vec<(&str, &mut Box<dyn Committer>)> = Vec::new();
    for (bound, one) in graph.operators.iter().zip(opened) {
        if let Opened::Sink(Some(committer), _) = one {
            sinks.push((&bound.id, committer));
        }
    }
    let mut markers: BTreeMap<String, Option<Marker>> = BTreeMap::new();
    if asked {
        for (id, committer) in &mut sinks {
            let marker = committer.marker().await.map_err(|error| error.in_operator(id))?;
            markers.insert((*id).to_owned(), marker);
        }
    }
    let entries = read_all(log).await.map_err(unavailable)?;
    match decide(incarnation, &entries, &markers) {
        Decision::Start { skipped } => {
            warn_skipped(shared, &skipped);
            Ok(Recovered::new(Checkpoint::default(), number + 1))
        }
        Decision::Resume(resume) => {
            warn_skipped(shared, &resume.skipped);
            replay(shared, &resume, &mut sinks).await?;
            resumed(resume, number + 1)
        }
        Decision::Fenced { .. } => Err(fenced(shared)),
        Decision::Broken(reason) => {
            let message = format!("pipeline `{}` cannot go on: {reason}", shared.pipeline);
            Err(Error::config(&codes::BROKEN, message).help(reason.help()))
        }
    }
}

impl Recovered {
    fn new(base: Checkpoint, number: u64) -> Recovered {
        let splits_before = all_splits(&base).collect();
        let (committed, resumed_from) = (BTreeMap::new(), None);
        Recovered { base, number, committed, resumed_from, nothing_new: false, splits_before }
    }
}

fn resumed(resume: Resume, number: u64) -> Result<Recovered> {
    if let Some(operator) = resume.from.states.keys().next() {
        let message = format!("the state of operator `{operator}` cannot be restored by this version");
        return Err(Error::config(&codes::BROKEN, message).help("start over"));
    }
    let mut committed = resume.committed;
    for (sink, commits) in &resume.replay {
        committed.extend(commits.last().map(|commit| (sink.clone(), commit.id)));
    }
    let epoch = resume.from.epoch;
    Ok(Recovered { committed, resumed_from: Some(epoch), ..Recovered::new(resume.from, number) })
}

/// Commits what the targets do not hold yet, oldest first.
async fn replay(shared: &Shared, resume: &Resume, sinks: &mut [(&str, &mut Box<dyn Committer>)]) -> Result<()> {
    for (id, committer) in sinks {
        for commit in resume.replay.get(*id).into_iter().flatten() {
            tracing::info!(pipeline = &*shared.pipeline, operator = *id, epoch = commit.epoch.0, "commit replayed");
            let permit = resume.permit();
            commit_with_retries(shared, &mut ***committer, &permit, commit)
                .await
                .map_err(|error| error.in_operator(id))?;
        }
    }
    Ok(())
}

fn all_splits(checkpoint: &Checkpoint) -> impl Iterator<Item = (String, SplitId)> + '_ {
    let splits = checkpoint.splits.iter();
    splits.flat_map(|(source, splits)| splits.iter().map(move |split| (source.clone(), split.id.clone())))
}

fn warn_skipped(shared: &Shared, skipped: &[u64]) {
    for number in skipped {
        let object = rde_checkpoint::object_name(*number);
        tracing::warn!(pipeline = &*shared.pipeline, object, "damaged checkpoint skipped: nothing of it was committed");
    }
}

fn fenced(shared: &Shared) -> Error {
    Error::fenced(&codes::FENCED, format!("another runner took over pipeline `{}`", shared.pipeline))
}
