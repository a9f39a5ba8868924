//! Opens epochs, collects the answers of all lanes, puts checkpoints and hands out permits.
//!
//! It acts; what a complete epoch is stands in `epochs.rs`, how a run goes on after a restart in `checkpoint::decide`.
//! Answers are the only backward message: one per operator, lane and epoch.
//! Invariant: a committer gets a commit only after the log accepted the checkpoint that lists it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, select_all};
use rde_checkpoint::{Accepted, Appended, Checkpoint, CheckpointLog, put_checkpoint};
use rde_core::{Commit, CommitId, Epoch, Error, Incarnation, Positions, Prepared, Result};

use crate::codes;
use crate::commit::{Backoff, Job};
use crate::counters::Counters;
use crate::epochs::{Cut, Epochs};
use crate::shared::{Mailbox, Shared};

/// Epochs of one sink that may wait for their commit; beyond it barriers pause and intake goes on.
const UNCOMMITTED_MAX: usize = 8;

/// What lanes and committers tell the coordinator.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A lane passed a barrier, or its inputs ended.
    Reached { member: usize, epoch: Epoch, ended: bool, part: Part },
    /// A sink's target holds the commit.
    Committed { sink: usize, id: CommitId },
}

/// What a lane adds to a checkpoint.
#[derive(Debug)]
pub(crate) enum Part {
    Nothing,
    Positions(Positions),
    State(Vec<u8>),
    /// Prepared work and its rows.
    Prepared(Vec<Prepared>, u64),
}

/// An operator in one lane, as the coordinator knows it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub operator: usize,
    pub lane: usize,
    /// The part of the graph that completes no epoch before its end, by number.
    pub withheld: Option<usize>,
}

/// What the coordinator needs of one sink.
pub(crate) struct SinkState {
    pub id: Arc<str>,
    pub operator: usize,
    pub jobs: Arc<Mailbox<Job>>,
    /// The newest commit its target holds.
    pub acknowledged: Option<CommitId>,
    /// Commits handed out or to be handed out, oldest first, with their rows.
    pub pending: Vec<(Commit, u64)>,
    /// Prepared by lanes, in no checkpoint yet.
    pub waiting: Vec<Waiting>,
}

/// What one lane of a sink prepared for one epoch.
pub(crate) struct Waiting {
    member: usize,
    epoch: Epoch,
    prepared: Vec<Prepared>,
    rows: u64,
}

/// How coordination ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Completed,
    Drained,
}

/// Coordinates one run.
pub(crate) struct Coordinator {
    pub shared: Arc<Shared>,
    pub counters: Arc<Counters>,
    pub log: Arc<dyn CheckpointLog>,
    pub incarnation: Incarnation,
    /// The number of the next entry.
    pub number: u64,
    pub interval: Option<Duration>,
    pub members: Vec<Member>,
    pub epochs: Epochs,
    pub sinks: Vec<SinkState>,
    /// What every checkpoint repeats until it changes: splits, positions, states.
    pub base: Checkpoint,
    /// Answers that are in no checkpoint yet, by member and epoch: a lane may run ahead of the open epoch to its end.
    pub parts: BTreeMap<(usize, Epoch), Part>,
    pub last_epoch: Option<Epoch>,
    /// What the run comes to when every commit that was handed out is acknowledged: its last checkpoint is accepted.
    pub decided: Option<Outcome>,
    /// Id of each operator, and whether it reads whole inputs.
    pub operators: Vec<(Arc<str>, bool)>,
}

impl Coordinator {
    /// Runs until everything is committed, or the run stops; `decided` says which.
    pub async fn run(&mut self) -> Result<()> {
        let mut opened = self.shared.runtime.clock.elapsed();
        loop {
            let waiters = [self.shared.answers.changed(), self.shared.control.changed()];
            while let Some(answer) = self.shared.answers.take() {
                self.hear(answer);
            }
            if self.shared.stopped() || (self.decided.is_some() && self.all_acknowledged()) {
                return Ok(());
            }
            if let Some(cut) = self.epochs.take_complete() {
                self.checkpoint(cut).await?;
                if cut.last {
                    self.warn_withheld();
                    self.decided = Some(if cut.completed { Outcome::Completed } else { Outcome::Drained });
                }
                continue;
            }
            if self.open_if_wanted(opened) {
                opened = self.shared.runtime.clock.elapsed();
                continue;
            }
            self.wait(waiters, opened).await;
        }
    }

    fn all_acknowledged(&self) -> bool {
        self.sinks.iter().all(|sink| sink.pending.is_empty())
    }

    /// Gives up what was prepared and is in no checkpoint; to be called once all lanes have ended.
    pub fn give_up(&mut self) {
        while let Some(answer) = self.shared.answers.take() {
            self.hear(answer);
        }
        for sink in &mut self.sinks {
            let rows = sink.waiting.iter().map(|waiting| waiting.rows).sum();
            let prepared: Vec<Prepared> = sink.waiting.drain(..).flat_map(|waiting| waiting.prepared).collect();
            self.counters.operators[sink.operator].rows_abandoned.add(rows);
            if !prepared.is_empty() {
                sink.jobs.put(Job::Abort(prepared));
            }
        }
    }

    /// Lets the committers end after the jobs they have.
    pub fn finish(&self) {
        for sink in &self.sinks {
            sink.jobs.put(Job::Finish);
        }
    }

    /// Counts commits that were acknowledged after coordination ended, and the rows of those that never were. Returns what
    /// the run came to if there are none of these.
    pub fn settle(&mut self) -> Option<Outcome> {
        while let Some(answer) = self.shared.answers.take() {
            self.hear(answer);
        }
        let outcome = self.decided.filter(|_| self.all_acknowledged());
        for sink in &mut self.sinks {
            let rows = sink.pending.drain(..).map(|(_, rows)| rows).sum();
            self.counters.operators[sink.operator].rows_abandoned.add(rows);
        }
        outcome
    }

    /// Puts a checkpoint of an epoch and hands out its commits.
    async fn checkpoint(&mut self, cut: Cut) -> Result<()> {
        self.collect(cut);
        let first_new: Vec<usize> = self.sinks.iter().map(|sink| sink.pending.len()).collect();
        let shown: Vec<u64> = (0..self.sinks.len()).map(|index| self.make_commit(index, cut.epoch)).collect();
        let accepted = self.put().await?;
        self.counters.checkpoints_completed.add(1);
        self.last_epoch = Some(cut.epoch);
        self.shared.trace("coordinator::checkpoint", &self.shared.pipeline, 0, ("barrier", 0, cut.epoch.0));
        tracing::info!(
            pipeline = &*self.shared.pipeline,
            epoch = cut.epoch.0,
            completed = cut.completed,
            "checkpoint accepted"
        );
        for ((sink, first_new), rows) in self.sinks.iter().zip(first_new).zip(shown) {
            // Rows for which a sink had nothing to prepare need no commit.
            self.counters.operators[sink.operator].rows_committed.add(rows);
            for (commit, _) in &sink.pending[first_new..] {
                sink.jobs.put(Job::Commit(accepted.permit(), commit.clone()));
            }
        }
        self.announce_committed();
        Ok(())
    }

    /// Takes into the base what members answered that count now.
    fn collect(&mut self, cut: Cut) {
        self.base.epoch = cut.epoch;
        self.base.completed = cut.completed;
        let counts = |(member, epoch): &(usize, Epoch)| *epoch <= cut.epoch && self.epochs.counts(*member);
        let counted: Vec<(usize, Epoch)> = self.parts.keys().copied().filter(counts).collect();
        for key in counted {
            let Some(part) = self.parts.remove(&key) else { continue };
            let Member { operator, lane, .. } = self.members[key.0];
            let id = self.operators[operator].0.to_string();
            match part {
                Part::Positions(positions) => self.base.positions.entry(id).or_default().extend(positions),
                Part::State(state) => {
                    let lanes = self.base.states.entry(id).or_default();
                    if lanes.len() <= lane {
                        lanes.resize(lane + 1, None);
                    }
                    lanes[lane] = Some(state);
                }
                Part::Nothing | Part::Prepared(..) => {}
            }
        }
    }

    /// Joins what the lanes of a sink prepared into its next commit. Returns the rows that need none.
    fn make_commit(&mut self, index: usize, epoch: Epoch) -> u64 {
        let (members, epochs) = (&self.members, &self.epochs);
        let sink = &mut self.sinks[index];
        let (mut taken, kept): (Vec<_>, Vec<_>) =
            sink.waiting.drain(..).partition(|one| one.epoch <= epoch && epochs.counts(one.member));
        sink.waiting = kept;
        taken.sort_by_key(|one| (members[one.member].lane, one.epoch));
        let rows = taken.iter().map(|one| one.rows).sum();
        let prepared: Vec<Prepared> = taken.into_iter().flat_map(|one| one.prepared).collect();
        if prepared.is_empty() {
            return rows;
        }
        let random = &self.shared.runtime.random;
        let id = CommitId(u128::from(random.next_u64()) << 64 | u128::from(random.next_u64()));
        let parent = sink.pending.last().map(|(commit, _)| commit.id).or(sink.acknowledged);
        sink.pending.push((Commit { id, parent, epoch, prepared }, rows));
        0
    }

    /// Puts the checkpoint into the log, trying again while the log is unavailable.
    async fn put(&mut self) -> Result<Accepted> {
        self.base.pending = self
            .sinks
            .iter()
            .filter(|sink| !sink.pending.is_empty())
            .map(|sink| (sink.id.to_string(), sink.pending.iter().map(|(commit, _)| commit.clone()).collect()))
            .collect();
        let acknowledged = self.sinks.iter().filter_map(|sink| Some((sink.id.to_string(), sink.acknowledged?)));
        self.base.acknowledged = acknowledged.collect();
        let accepted = put_entry(&self.shared, &*self.log, self.number, self.incarnation, &self.base).await?;
        self.number += 1;
        Ok(accepted)
    }

    fn hear(&mut self, answer: Answer) {
        match answer {
            Answer::Reached { member, epoch, ended, part } => {
                self.epochs.reached(member, epoch, ended);
                let Part::Prepared(prepared, rows) = part else {
                    self.parts.insert((member, epoch), part);
                    return;
                };
                let operator = self.members[member].operator;
                if let Some(sink) = self.sinks.iter_mut().find(|sink| sink.operator == operator) {
                    sink.waiting.push(Waiting { member, epoch, prepared, rows });
                }
            }
            Answer::Committed { sink, id } => {
                let Some(sink) = self.sinks.iter_mut().find(|state| state.operator == sink) else { return };
                sink.acknowledged = Some(id);
                let rows =
                    sink.pending.iter().position(|(commit, _)| commit.id == id).map(|at| sink.pending.remove(at).1);
                self.counters.operators[sink.operator].rows_committed.add(rows.unwrap_or(0));
                tracing::info!(pipeline = &*self.shared.pipeline, operator = &*sink.id, "commit acknowledged");
                self.announce_committed();
            }
        }
    }

    /// Tells sources, for display, how far everything is committed.
    fn announce_committed(&self) {
        let oldest = self.sinks.iter().filter_map(|sink| sink.pending.first().map(|(commit, _)| commit.epoch.0)).min();
        let committed = oldest.map_or(self.last_epoch.unwrap_or_default().0, |oldest| oldest.saturating_sub(1));
        self.shared.announce_committed(Epoch(committed));
    }

    /// Opens an epoch if a drain, a wish or the interval asks for one. Returns whether it did.
    fn open_if_wanted(&mut self, opened: Duration) -> bool {
        if !self.epochs.can_open() {
            return false;
        }
        let last = self.shared.control.wants_drain();
        let due = self.due_in(opened) == Some(Duration::ZERO);
        if !last && (self.backed_up() || !(due || self.shared.control.take_checkpoint())) {
            return false;
        }
        let barrier = self.epochs.open(last);
        tracing::debug!(pipeline = &*self.shared.pipeline, epoch = barrier.epoch.0, last, "epoch opened");
        self.shared.inject(barrier);
        true
    }

    fn backed_up(&self) -> bool {
        self.sinks.iter().any(|sink| sink.pending.len() >= UNCOMMITTED_MAX)
    }

    /// Returns how long it is until the interval asks for the next epoch.
    fn due_in(&self, opened: Duration) -> Option<Duration> {
        let now = self.shared.runtime.clock.elapsed();
        self.interval.map(|interval| opened.saturating_add(interval).saturating_sub(now))
    }

    /// Names the operators over whole inputs whose inputs had not ended when the run did: asked at its end, since one that
    /// had all of its input when the drain came still answers.
    fn warn_withheld(&self) {
        let whole = self.members.iter().enumerate().filter(|(_, member)| self.operators[member.operator].1);
        for (_, member) in whole.filter(|(index, _)| !self.epochs.counts(*index)) {
            tracing::warn!(
                pipeline = &*self.shared.pipeline,
                operator = &*self.operators[member.operator].0,
                "drained before its input ended: its part of the pipeline commits nothing"
            );
        }
    }

    async fn wait(&self, waiters: [event_listener::EventListener; 2], opened: Duration) {
        let mut all: Vec<BoxFuture<'_, ()>> = vec![self.shared.cancel.cancelled().boxed()];
        all.extend(waiters.map(FutureExt::boxed));
        if self.epochs.can_open() && !self.backed_up() {
            all.extend(self.due_in(opened).map(|left| self.shared.runtime.clock.sleep(left)));
        }
        select_all(all).await;
        if self.shared.stopped() {
            // A cancel from outside: the edges do not know of it yet.
            self.shared.stop();
        }
    }
}

/// Puts a checkpoint at a number, trying again while the log is unavailable.
pub(crate) async fn put_entry(
    shared: &Shared,
    log: &dyn CheckpointLog,
    number: u64,
    incarnation: Incarnation,
    checkpoint: &Checkpoint,
) -> Result<Accepted> {
    let mut backoff = Backoff::new(shared);
    loop {
        match put_checkpoint(log, number, incarnation, checkpoint).await {
            Ok(Appended::Accepted(accepted)) => return Ok(accepted),
            Ok(Appended::Fenced) => {
                let message = format!("another runner took over pipeline `{}`", shared.pipeline);
                return Err(Error::fenced(&codes::FENCED, message));
            }
            Err(error) => {
                let message = format!("the checkpoint store of pipeline `{}` does not answer", shared.pipeline);
                backoff.pause(Error::unavailable(&codes::LOG_UNAVAILABLE, message).caused_by(error)).await?;
            }
        }
    }
}
