//! The words of a durable cut and of a two-phase commit, and the pure decision how to go on from them.
//!
//! Lowest crate: sources, sinks, engine and stores share these values, so it depends on nothing of ours.
//! Invariant: only this crate makes a [`CommitPermit`], and only for a checkpoint that a [`CheckpointLog`] has accepted.
//! Not here: a durable store (stage 3 adds one behind [`CheckpointLog`]), and what an operator puts into its opaque bytes.

mod decide;
mod entry;
mod log;
mod words;

pub use decide::{Decision, Reason, Resume, decide};
pub use entry::{Body, Checkpoint, Damage, Entry, FORMAT, SplitEntry, decode, encode, object_name};
pub use log::{
    Accepted, Appended, CheckpointLog, LogError, LogFuture, MemoryLog, Numbered, Put, claim, put_checkpoint, read_all,
};
pub use words::{Commit, CommitId, CommitPermit, Epoch, Incarnation, Marker, Position, Prepared, SplitId};
