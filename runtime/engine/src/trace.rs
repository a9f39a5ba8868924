//! Lets a test follow messages through the engine's functions.
//!
//! Off (`None`) in production: then it costs one branch per message. Invariant: equal seeds give equal traces, so nothing
//! that differs between equal runs (addresses, times) is in an event.

use std::sync::Arc;

use rde_core::Message;

/// One step of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// The engine's function, for example `edge::send`.
    pub function: &'static str,
    /// The operator it happens for.
    pub operator: Arc<str>,
    /// Its lane.
    pub lane: usize,
    /// The kind of message: `schema`, `batch`, `watermark`, `idle`, `barrier`, `eos`; or `commit`.
    pub message: &'static str,
    /// Rows of a batch.
    pub rows: usize,
    /// Epoch of a barrier or commit.
    pub epoch: u64,
}

/// Hears of every step; called from all tasks.
pub type TraceHook = Arc<dyn Fn(&TraceEvent) + Send + Sync>;

/// Returns the word for a kind of message, its rows and its epoch.
pub(crate) fn describe(message: &Message) -> (&'static str, usize, u64) {
    match message {
        Message::Schema(_) => ("schema", 0, 0),
        Message::Batch(batch, _) => ("batch", batch.num_rows(), 0),
        Message::Watermark(_) => ("watermark", 0, 0),
        Message::Idle => ("idle", 0, 0),
        Message::Barrier(barrier) => ("barrier", 0, barrier.epoch.0),
        Message::Eos => ("eos", 0, 0),
    }
}
