//! The handle by which somebody outside stops or watches a run.
//!
//! Drain and cancel are two things: a drain commits what is prepared, a cancel stops at once. Clones share one run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use event_listener::{Event, EventListener};
use rde_core::CancelToken;

use crate::LiveCounters;
use crate::counters::Counters;

/// Stops and watches one run; make one per run.
#[derive(Clone, Default)]
pub struct RunControl(Arc<State>);

#[derive(Default)]
struct State {
    drain: AtomicBool,
    checkpoint: AtomicBool,
    cancel: CancelToken,
    changed: Event,
    counters: Mutex<Option<Arc<Counters>>>,
}

impl RunControl {
    /// Makes one.
    pub fn new() -> RunControl {
        RunControl::default()
    }

    /// Lets sources stop; what was read is committed, the status is `drained`.
    pub fn drain(&self) {
        self.0.drain.store(true, Ordering::SeqCst);
        self.0.changed.notify(usize::MAX);
    }

    /// Stops at once; nothing that is not committed stays.
    pub fn cancel(&self) {
        self.0.cancel.cancel();
        self.0.changed.notify(usize::MAX);
    }

    /// Asks for a checkpoint as soon as no other is under way.
    pub fn checkpoint(&self) {
        self.0.checkpoint.store(true, Ordering::SeqCst);
        self.0.changed.notify(usize::MAX);
    }

    /// Returns the counts as they are now; empty before the operators are open.
    pub fn live(&self) -> LiveCounters {
        let counters = self.0.counters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        counters.map(|counters| counters.live()).unwrap_or_default()
    }

    pub(crate) fn watch(&self, counters: Arc<Counters>) {
        *self.0.counters.lock().unwrap_or_else(PoisonError::into_inner) = Some(counters);
    }

    pub(crate) fn cancel_token(&self) -> CancelToken {
        self.0.cancel.clone()
    }

    pub(crate) fn wants_drain(&self) -> bool {
        self.0.drain.load(Ordering::SeqCst)
    }

    /// Takes the wish for a checkpoint.
    pub(crate) fn take_checkpoint(&self) -> bool {
        self.0.checkpoint.swap(false, Ordering::SeqCst)
    }

    /// Listens for the next change of a wish.
    pub(crate) fn changed(&self) -> EventListener {
        self.0.changed.listen()
    }
}
