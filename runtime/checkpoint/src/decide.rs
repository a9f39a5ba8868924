//! Decides how a run goes on from the log and the markers in its targets. Pure: values in, a value out.
//!
//! Asked once at the start, after the claim is in the log and before anything is read. Each sink keeps a chain of commits
//! in its target: the marker is its end. Stored id is the parent: commit. Stored id is mine: done already. Anything else:
//! somebody else was there, or the target was rolled back, and the run stops.
//! Invariant: never `Start` where a target may hold rows of an earlier run.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Body, Checkpoint, Commit, CommitId, CommitPermit, Incarnation, Marker, Numbered, object_name};

/// How a run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// From the configured start: nothing was ever committed. `skipped` are damaged entries that hold nothing.
    Start {
        /// Numbers of damaged entries.
        skipped: Vec<u64>,
    },
    /// From a checkpoint.
    Resume(Resume),
    /// Another incarnation owns the pipeline.
    Fenced {
        /// Who took over.
        by: Incarnation,
    },
    /// Stop: going on could lose or repeat rows.
    Broken(Reason),
}

/// From where and with what a run resumes. Only [`decide`] makes one, from an entry that the log had accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resume {
    /// The newest readable checkpoint.
    pub from: Checkpoint,
    /// For each sink the commits that its target does not hold yet, oldest first.
    pub replay: BTreeMap<String, Vec<Commit>>,
    /// For each sink the commit its target holds now.
    pub committed: BTreeMap<String, CommitId>,
    /// Numbers of damaged entries after it, of which nothing was committed.
    pub skipped: Vec<u64>,
}

impl Resume {
    /// Returns the right to replay.
    pub fn permit(&self) -> CommitPermit {
        CommitPermit::accepted(self.from.epoch)
    }
}

/// Why a run must stop, and what a person can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A damaged entry, of which something may be committed.
    #[error("the newest checkpoint `{object}` is damaged, and sink `{sink}` may hold rows of it")]
    Damaged {
        /// Name of the object.
        object: String,
        /// The sink whose marker the readable checkpoints do not know.
        sink: String,
    },
    /// The log holds no checkpoint, a target holds a marker.
    #[error("the checkpoint store is empty, but sink `{sink}` holds rows of an earlier run (epoch {epoch})")]
    StoreLost {
        /// The sink.
        sink: String,
        /// The epoch of its marker.
        epoch: u64,
    },
    /// A target's marker is none of those the newest checkpoint knows.
    #[error(
        "the target of sink `{sink}` does not hold the commit the checkpoint says it holds; it was rolled back or replaced"
    )]
    RolledBack {
        /// The sink.
        sink: String,
    },
    /// Prepared work of a sink that the pipeline no longer has.
    #[error("checkpoint `{object}` holds uncommitted rows of sink `{sink}`, which the pipeline no longer has")]
    SinkGone {
        /// Name of the object.
        object: String,
        /// The sink.
        sink: String,
    },
    /// The pending commits do not form a chain.
    #[error("the commits of sink `{sink}` in checkpoint `{object}` do not follow one another")]
    ChainBroken {
        /// Name of the object.
        object: String,
        /// The sink.
        sink: String,
    },
}

/// Returns how the incarnation `me`, whose claim is in the log, goes on. `log` is ascending; `markers` has every sink of the
/// pipeline with what its target says.
pub fn decide(me: Incarnation, log: &[Numbered], markers: &BTreeMap<String, Option<Marker>>) -> Decision {
    if let Some(by) = fenced_by(me, log) {
        return Decision::Fenced { by };
    }
    let newest = log.iter().rev().find_map(|(number, entry)| match entry {
        Ok(entry) => match &entry.body {
            Body::Checkpoint(checkpoint) => Some((*number, checkpoint)),
            Body::Claim => None,
        },
        Err(_) => None,
    });
    let after = newest.map_or(0, |(number, _)| number);
    let skipped: Vec<u64> =
        log.iter().filter(|(number, entry)| *number > after && entry.is_err()).map(|(number, _)| *number).collect();
    let decided = match newest {
        None => start(markers, skipped),
        Some((number, checkpoint)) => resume(number, checkpoint, markers, skipped),
    };
    decided.unwrap_or_else(Decision::Broken)
}

/// Returns who took over after my claim. Without my claim in the log I cannot own it.
fn fenced_by(me: Incarnation, log: &[Numbered]) -> Option<Incarnation> {
    let readable = || log.iter().rev().filter_map(|(_, entry)| entry.as_ref().ok());
    readable().next().filter(|newest| newest.incarnation != me).map(|newest| newest.incarnation)
}

fn start(markers: &BTreeMap<String, Option<Marker>>, skipped: Vec<u64>) -> Result<Decision, Reason> {
    let Some((sink, marker)) = markers.iter().find_map(|(sink, marker)| Some((sink, marker.as_ref()?))) else {
        return Ok(Decision::Start { skipped });
    };
    Err(match skipped.last() {
        Some(number) => Reason::Damaged { object: object_name(*number), sink: sink.clone() },
        None => Reason::StoreLost { sink: sink.clone(), epoch: marker.epoch.0 },
    })
}

fn resume(
    number: u64,
    checkpoint: &Checkpoint,
    markers: &BTreeMap<String, Option<Marker>>,
    skipped: Vec<u64>,
) -> Result<Decision, Reason> {
    let mut replay = BTreeMap::new();
    let mut committed = BTreeMap::new();
    let sinks: BTreeSet<&String> = markers.keys().chain(checkpoint.pending.keys()).collect();
    for sink in sinks {
        let parent = checkpoint.acknowledged.get(sink).copied();
        let pending = checkpoint.pending.get(sink).map(Vec::as_slice).unwrap_or_default();
        check_chain(number, sink, parent, pending)?;
        let Some(marker) = markers.get(sink) else {
            if pending.is_empty() {
                continue;
            }
            return Err(Reason::SinkGone { object: object_name(number), sink: sink.clone() });
        };
        let stored = marker.as_ref().map(|marker| marker.id);
        let done = commits_done(parent, pending, stored).ok_or_else(|| match skipped.last() {
            Some(damaged) => Reason::Damaged { object: object_name(*damaged), sink: sink.clone() },
            None => Reason::RolledBack { sink: sink.clone() },
        })?;
        replay.insert(sink.clone(), pending[done..].to_vec());
        committed.extend(stored.map(|stored| (sink.clone(), stored)));
    }
    Ok(Decision::Resume(Resume { from: checkpoint.clone(), replay, committed, skipped }))
}

/// Returns how many of the pending commits the target holds; `None` if its marker is not of this chain.
fn commits_done(parent: Option<CommitId>, pending: &[Commit], stored: Option<CommitId>) -> Option<usize> {
    if stored == parent {
        return Some(0);
    }
    pending.iter().position(|commit| Some(commit.id) == stored).map(|index| index + 1)
}

fn check_chain(number: u64, sink: &str, parent: Option<CommitId>, pending: &[Commit]) -> Result<(), Reason> {
    let mut before = parent;
    for commit in pending {
        if commit.parent != before {
            return Err(Reason::ChainBroken { object: object_name(number), sink: sink.to_owned() });
        }
        before = Some(commit.id);
    }
    Ok(())
}

impl Reason {
    /// Returns the remedy.
    pub fn help(&self) -> &'static str {
        match self {
            Reason::Damaged { .. } => {
                "restore the object from a backup of the checkpoint store, or start over with `--fresh`"
            }
            Reason::StoreLost { .. } => {
                "point `checkpoint.store` at the store of that run, or start over with `--fresh`"
            }
            Reason::RolledBack { .. } => "restore the target to its newest state, or start over with `--fresh`",
            Reason::SinkGone { .. } => "put the sink back until its rows are committed, or start over with `--fresh`",
            Reason::ChainBroken { .. } => "restore the checkpoint store from a backup, or start over with `--fresh`",
        }
    }
}

#[cfg(test)]
mod tests;
