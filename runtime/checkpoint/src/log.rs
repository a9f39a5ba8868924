//! The numbered log of claims and checkpoints, and how an entry is put so that two owners never both succeed.
//!
//! Every put is create-if-absent at the next number. "Exists already" is no verdict: the entry may be ours, its answer
//! lost. After a put, a higher number means that somebody else took over in the meantime.
//! Invariant: [`Accepted`] exists only for an entry that is in the log and was the newest when looked at.
//! Not here: retries (the coordinator has the clock) and what entries mean together (`decide.rs`).

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Body, Checkpoint, CommitPermit, Damage, Entry, Epoch, Incarnation, decode, encode};

/// What a [`CheckpointLog`] method returns.
pub type LogFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, LogError>> + Send + 'a>>;

/// The store of the log did not do what it was asked, or did not say whether it did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LogError(pub String);

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The entry is in the log.
    Created,
    /// The number is taken.
    Exists,
}

/// A numbered log of small objects.
pub trait CheckpointLog: Send + Sync {
    /// Puts an entry at a number if that number is free. After an error the entry may be there all the same.
    fn put(&self, number: u64, bytes: Vec<u8>) -> LogFuture<'_, Put>;
    /// Returns the bytes at a number.
    fn read(&self, number: u64) -> LogFuture<'_, Option<Vec<u8>>>;
    /// Returns all numbers, ascending.
    fn list(&self) -> LogFuture<'_, Vec<u64>>;
}

/// An entry with its number, or what is wrong with it.
pub type Numbered = (u64, Result<Entry, Damage>);

/// The proof that an entry is in the log.
#[derive(Debug)]
pub struct Accepted {
    epoch: Epoch,
}

/// What became of an entry.
#[derive(Debug)]
pub enum Appended {
    /// It is in the log, and the newest.
    Accepted(Accepted),
    /// Another incarnation took over.
    Fenced,
}

impl Accepted {
    /// Returns the right to commit the epoch of the accepted checkpoint.
    pub fn permit(&self) -> CommitPermit {
        CommitPermit::accepted(self.epoch)
    }
}

/// Takes over: puts a claim at `number`.
pub async fn claim(log: &dyn CheckpointLog, number: u64, incarnation: Incarnation) -> Result<bool, LogError> {
    append(log, number, &Entry { incarnation, body: Body::Claim }).await
}

/// Puts a checkpoint at `number`. After an error the same call may be repeated: it finds its own entry.
pub async fn put_checkpoint(
    log: &dyn CheckpointLog,
    number: u64,
    incarnation: Incarnation,
    checkpoint: &Checkpoint,
) -> Result<Appended, LogError> {
    let entry = Entry { incarnation, body: Body::Checkpoint(checkpoint.clone()) };
    let accepted = append(log, number, &entry).await?;
    Ok(if accepted { Appended::Accepted(Accepted { epoch: checkpoint.epoch }) } else { Appended::Fenced })
}

/// Reads the whole log, ascending. An entry that vanished between list and read is left out.
pub async fn read_all(log: &dyn CheckpointLog) -> Result<Vec<Numbered>, LogError> {
    let mut entries = Vec::new();
    for number in log.list().await? {
        if let Some(bytes) = log.read(number).await? {
            entries.push((number, decode(&bytes)));
        }
    }
    Ok(entries)
}

async fn append(log: &dyn CheckpointLog, number: u64, entry: &Entry) -> Result<bool, LogError> {
    let bytes = encode(entry);
    if log.put(number, bytes.clone()).await? == Put::Exists && log.read(number).await?.as_deref() != Some(&bytes[..]) {
        return Ok(false);
    }
    // Retention may have deleted our number before somebody else's put, so a success alone proves nothing.
    Ok(log.list().await?.last().is_none_or(|newest| *newest <= number))
}

/// A log in memory; clones share it. It outlives a run where a test keeps it, never the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog(Arc<Mutex<BTreeMap<u64, Vec<u8>>>>);

impl MemoryLog {
    /// Makes an empty one.
    pub fn new() -> MemoryLog {
        MemoryLog::default()
    }

    /// Overwrites an entry, so that tests can damage it.
    pub fn overwrite(&self, number: u64, bytes: Vec<u8>) {
        self.entries().insert(number, bytes);
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CheckpointLog for MemoryLog {
    fn put(&self, number: u64, bytes: Vec<u8>) -> LogFuture<'_, Put> {
        let mut entries = self.entries();
        let put = if entries.contains_key(&number) { Put::Exists } else { Put::Created };
        entries.entry(number).or_insert(bytes);
        Box::pin(std::future::ready(Ok(put)))
    }

    fn read(&self, number: u64) -> LogFuture<'_, Option<Vec<u8>>> {
        Box::pin(std::future::ready(Ok(self.entries().get(&number).cloned())))
    }

    fn list(&self) -> LogFuture<'_, Vec<u64>> {
        Box::pin(std::future::ready(Ok(self.entries().keys().copied().collect())))
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    const ME: Incarnation = Incarnation(1);
    const OTHER: Incarnation = Incarnation(2);

    /// A memory log answers at once, so one poll is enough.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("a memory log answers at once"),
        }
    }

    fn cut(epoch: u64) -> Checkpoint {
        Checkpoint { epoch: Epoch(epoch), ..Checkpoint::default() }
    }

    fn accepted(appended: Result<Appended, LogError>) -> Option<Epoch> {
        match appended.expect("a memory log does not fail") {
            Appended::Accepted(accepted) => Some(accepted.permit().epoch()),
            Appended::Fenced => None,
        }
    }

    #[test]
    fn an_accepted_checkpoint_gives_a_permit_for_its_epoch() {
        let log = MemoryLog::new();
        assert_eq!(now(claim(&log, 1, ME)), Ok(true));
        assert_eq!(accepted(now(put_checkpoint(&log, 2, ME, &cut(5)))), Some(Epoch(5)));
    }

    #[test]
    fn a_put_whose_answer_was_lost_is_found_to_be_ours() {
        let log = MemoryLog::new();
        assert_eq!(accepted(now(put_checkpoint(&log, 1, ME, &cut(1)))), Some(Epoch(1)));
        assert_eq!(accepted(now(put_checkpoint(&log, 1, ME, &cut(1)))), Some(Epoch(1)));
    }

    #[test]
    fn a_number_taken_by_another_incarnation_is_fenced() {
        let log = MemoryLog::new();
        assert_eq!(now(claim(&log, 1, OTHER)), Ok(true));
        assert_eq!(now(claim(&log, 1, ME)), Ok(false));
        assert_eq!(accepted(now(put_checkpoint(&log, 1, ME, &cut(1)))), None);
    }

    #[test]
    fn a_higher_number_is_fenced_even_if_the_put_succeeded() {
        let log = MemoryLog::new();
        assert_eq!(now(claim(&log, 7, OTHER)), Ok(true));
        assert_eq!(accepted(now(put_checkpoint(&log, 3, ME, &cut(1)))), None);
    }
}
