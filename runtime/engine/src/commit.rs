//! The committer of one sink, in a task of its own: commits run beside the data path.
//!
//! Last step of the batch path. Jobs come in order from the coordinator, each with its permit. An unavailable target is
//! tried again with backoff until a deadline; a commit is idempotent, so an unknown answer is tried again too.
//! Invariant: nothing is committed without a permit; what was prepared is aborted only once nobody will commit it.

use std::sync::Arc;
use std::time::Duration;

use rde_core::{Commit, CommitPermit, Committer, Error, ErrorKind, Prepared, Result};

use crate::coordinator::Answer;
use crate::shared::{Halt, Mailbox, Shared};

/// How long an unavailable target is tried again.
const UNAVAILABLE_MAX: Duration = Duration::from_secs(60);
/// First pause before another try; it doubles.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest pause between two tries.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// What the coordinator asks of a committer.
#[derive(Debug)]
pub(crate) enum Job {
    Commit(CommitPermit, Commit),
    Abort(Vec<Prepared>),
    Finish,
}

/// The committer of one sink.
pub(crate) struct CommitLane {
    pub shared: Arc<Shared>,
    pub committer: Box<dyn Committer>,
    pub jobs: Arc<Mailbox<Job>>,
    /// Index of the sink among the operators.
    pub sink: usize,
    pub id: Arc<str>,
    /// The log outlives the run: a later one tries a failed commit again.
    pub logged: bool,
}

impl CommitLane {
    /// Works off jobs until it is told to finish; also when the run stops, since what has a permit must be committed. After a
    /// commit that failed nothing more is committed, since commits form a chain; what is to be aborted still is.
    pub async fn run(mut self) -> Result<(), Halt> {
        let mut failed = false;
        loop {
            let changed = self.jobs.changed();
            match self.jobs.take() {
                Some(Job::Commit(permit, commit)) if !failed => {
                    self.shared.trace("commit::commit", &self.id, 0, ("commit", 0, permit.epoch().0));
                    match commit_with_retries(&self.shared, &mut *self.committer, &permit, &commit).await {
                        Ok(()) => self.shared.answers.put(Answer::Committed { sink: self.sink, id: commit.id }),
                        Err(error) => {
                            failed = true;
                            self.shared.fail(error.in_operator(&self.id));
                            self.forget(&commit).await;
                        }
                    }
                }
                Some(Job::Commit(_, commit)) => self.forget(&commit).await,
                Some(Job::Abort(prepared)) => self.committer.abort(&prepared).await?,
                Some(Job::Finish) => return Ok(()),
                None => changed.await,
            }
        }
    }

    /// Throws away what a commit that nobody will try again prepared, unless the target shows it: a commit can land and its
    /// answer be lost. The run has failed already, so what goes wrong here is only logged.
    async fn forget(&mut self, commit: &Commit) {
        if self.logged {
            return;
        }
        let aborted = match self.committer.marker().await {
            Ok(Some(marker)) if marker.id == commit.id => Ok(()),
            Ok(_) => self.committer.abort(&commit.prepared).await,
            Err(error) => Err(error),
        };
        if let Err(error) = aborted {
            tracing::warn!(operator = &*self.id, error = ?error, "what a failed commit prepared stays");
        }
    }
}

/// Commits; tries again while the target is unavailable.
pub(crate) async fn commit_with_retries(
    shared: &Shared,
    committer: &mut dyn Committer,
    permit: &CommitPermit,
    commit: &Commit,
) -> Result<()> {
    let mut backoff = Backoff::new(shared);
    loop {
        match committer.commit(permit, commit).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => backoff.pause(error).await?,
            other => return other,
        }
    }
}

/// Pauses between tries.
pub(crate) struct Backoff<'a> {
    shared: &'a Shared,
    next: Duration,
    deadline: Duration,
    warned: bool,
}

impl<'a> Backoff<'a> {
    /// Starts the deadline.
    pub fn new(shared: &'a Shared) -> Backoff<'a> {
        let deadline = shared.runtime.clock.elapsed().saturating_add(UNAVAILABLE_MAX);
        Backoff { shared, next: BACKOFF_MIN, deadline, warned: false }
    }

    /// Waits before the next try; gives the error back when there is none, or when the run stops.
    pub async fn pause(&mut self, error: Error) -> Result<()> {
        if self.shared.stopped() || self.shared.runtime.clock.elapsed() >= self.deadline {
            return Err(error);
        }
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(pipeline = &*self.shared.pipeline, error = ?error, "unavailable, trying again");
        }
        let next = self.next;
        self.next = next.saturating_mul(2).min(BACKOFF_MAX);
        match self.shared.sleep(next).await {
            Ok(()) => Ok(()),
            Err(_) => Err(error),
        }
    }
}
