//! Values that name a cut: epochs, positions, prepared work, permits.
//!
//! Positions and prepared tokens are opaque bytes of their operator; they survive the process, so nothing in them may
//! point into memory. Not here: how a log orders them (`log.rs`) and what follows from them (`decide.rs`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a checkpoint; a barrier carries it. Epoch 0 is written before the first row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Returns the epoch after this one.
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One process that runs a pipeline, named by a random id; shown as 16 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Names a split of a source, stable across runs over the same input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SplitId(pub String);

/// Where a source would resume in one split. Opaque to all but its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position(pub Vec<u8>);

/// What one lane of a sink made durable, not yet visible. Opaque to all but its sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared(pub Vec<u8>);

/// Names one commit of one sink: random, made when its epoch is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CommitId(pub u128);

/// What a sink's target says was committed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The commit that landed last.
    pub id: CommitId,
    /// Its epoch.
    pub epoch: Epoch,
}

/// Everything all lanes of one sink prepared for one epoch, to be made visible together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// This commit.
    pub id: CommitId,
    /// The commit before it in the chain of this sink.
    pub parent: Option<CommitId>,
    /// The epoch whose barrier closed it.
    pub epoch: Epoch,
    /// In lane order.
    pub prepared: Vec<Prepared>,
}

/// The right to make the work of one epoch visible. Only an accepted checkpoint gives one.
#[derive(Debug)]
pub struct CommitPermit {
    epoch: Epoch,
}

impl CommitPermit {
    /// Makes a permit; called where a log accepted the checkpoint of `epoch`.
    pub(crate) fn accepted(epoch: Epoch) -> CommitPermit {
        CommitPermit { epoch }
    }

    /// Returns the epoch this permit is good for.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}
