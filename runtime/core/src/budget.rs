//! Memory as a budget with parents: every byte a batch, plugin or sort holds is charged here.
//!
//! A pipeline's budget has the process (later: the tenant) as its parent; an operator's has the pipeline's. Charging never
//! waits, since behind a source nothing may wait for the budget, only for its next edge (else two inputs of one aligner
//! dead-lock); sources ask [`Budget::room`] before they read on.
//! Invariant: what a [`Charge`] added is subtracted at all levels when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use event_listener::Event;

/// A limit on bytes, with the charges against it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Level>);

#[derive(Debug)]
struct Level {
    limit: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
    freed: Event,
    parent: Option<Budget>,
}

/// Some bytes charged to a budget and its parents, until dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// Makes a budget without parent.
    pub fn new(limit: usize) -> Budget {
        Budget(Arc::new(Level {
            limit,
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            freed: Event::new(),
            parent: None,
        }))
    }

    /// Makes a budget below this one with a limit of its own.
    pub fn child(&self, limit: usize) -> Budget {
        Budget(Arc::new(Level {
            limit,
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            freed: Event::new(),
            parent: Some(self.clone()),
        }))
    }

    /// Charges bytes if every level has room for them.
    pub fn try_charge(&self, bytes: usize) -> Option<Charge> {
        self.try_add(bytes).then(|| Charge { budget: self.clone(), bytes })
    }

    /// Charges bytes whether or not there is room.
    pub fn charge(&self, bytes: usize) -> Charge {
        self.add(bytes);
        Charge { budget: self.clone(), bytes }
    }

    /// Returns the limit of this level.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Returns the bytes charged now.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Returns the most bytes charged at one time.
    pub fn peak(&self) -> usize {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// Returns whether this level and its parents are below their limits.
    pub fn has_room(&self) -> bool {
        self.used() < self.0.limit && self.0.parent.as_ref().is_none_or(Budget::has_room)
    }

    /// Waits until there is room at every level.
    pub async fn room(&self) {
        loop {
            let mut listeners = Vec::new();
            let mut level = Some(self);
            while let Some(budget) = level {
                listeners.push(budget.0.freed.listen());
                level = budget.0.parent.as_ref();
            }
            if self.has_room() {
                return;
            }
            futures::future::select_all(listeners).await;
        }
    }

    fn try_add(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.0.limit);
        let Ok(before) = self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) else { return false };
        if self.0.parent.as_ref().is_some_and(|parent| !parent.try_add(bytes)) {
            self.0.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.0.peak.fetch_max(before + bytes, Ordering::Relaxed);
        true
    }

    fn add(&self, bytes: usize) {
        let before = self.0.used.fetch_add(bytes, Ordering::Relaxed);
        self.0.peak.fetch_max(before + bytes, Ordering::Relaxed);
        if let Some(parent) = &self.0.parent {
            parent.add(bytes);
        }
    }

    fn subtract(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::SeqCst);
        self.0.freed.notify(usize::MAX);
        if let Some(parent) = &self.0.parent {
            parent.subtract(bytes);
        }
    }
}

impl Charge {
    /// Returns the charged bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds bytes to this charge if there is room; a plugin's memory grows this way.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let grown = self.budget.try_add(bytes);
        if grown {
            self.bytes += bytes;
        }
        grown
    }

    /// Adds bytes to this charge whether or not there is room.
    pub fn grow(&mut self, bytes: usize) {
        self.budget.add(bytes);
        self.bytes += bytes;
    }

    /// Gives back a part; more than is charged gives back all.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.subtract(bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.subtract(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_counts_at_every_level_until_dropped() {
        let process = Budget::new(100);
        let pipeline = process.child(60);
        let charge = pipeline.try_charge(60).expect("the limit itself fits");
        assert!(pipeline.try_charge(1).is_none());
        assert_eq!((process.used(), pipeline.used()), (60, 60));
        drop(charge);
        assert_eq!((process.used(), pipeline.used(), pipeline.peak()), (0, 0, 60));
    }

    #[test]
    fn a_refusal_of_the_parent_leaves_nothing_charged() {
        let process = Budget::new(10);
        let pipeline = process.child(60);
        assert!(pipeline.try_charge(11).is_none());
        assert_eq!((process.used(), pipeline.used()), (0, 0));
    }
}
