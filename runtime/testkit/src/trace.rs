//! What happened in a simulated run, in order: scheduling decisions and what operators noted.
//!
//! Two runs of one seed must give equal traces; [`Trace::difference`] shows the first place where they part.
//! Invariant: nothing that differs between processes (addresses, real time, hash seeds) is put in.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use rde_engine::TraceEvent;

/// One thing that happened.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// A task was started.
    Spawned(usize, String),
    /// A task was polled.
    Polled(usize),
    /// A task ended.
    Ended(usize),
    /// Nothing was ready, and time went on to this microsecond.
    Jumped(u64),
    /// An operator or the script said something.
    Note(String),
    /// The engine did something with a message.
    Engine(TraceEvent),
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Spawned(task, name) => write!(f, "spawn {task} `{name}`"),
            Event::Polled(task) => write!(f, "poll {task}"),
            Event::Ended(task) => write!(f, "end {task}"),
            Event::Jumped(micros) => write!(f, "jump to {micros} us"),
            Event::Note(text) => f.write_str(text),
            Event::Engine(event) => write!(
                f,
                "{} `{}`.{} {} rows {} epoch {}",
                event.function, event.operator, event.lane, event.message, event.rows, event.epoch
            ),
        }
    }
}

impl Hash for Event {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Event::Spawned(task, name) => (task, name).hash(state),
            Event::Polled(task) | Event::Ended(task) => task.hash(state),
            Event::Jumped(micros) => micros.hash(state),
            Event::Note(text) => text.hash(state),
            Event::Engine(event) => {
                (event.function, &event.operator, event.lane, event.message, event.rows, event.epoch).hash(state);
            }
        }
    }
}

/// Collects events; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Mutex<Vec<Event>>>);

impl Trace {
    /// Adds an event.
    pub fn push(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// Adds a note.
    pub fn note(&self, text: impl Into<String>) {
        self.push(Event::Note(text.into()));
    }

    /// Adds a step of the engine.
    pub fn engine(&self, event: TraceEvent) {
        self.push(Event::Engine(event));
    }

    /// Returns everything so far.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns a hash over all events, the same in every process.
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).hash(&mut hasher);
        hasher.finish()
    }

    /// Returns where this trace and another part, with the events before it.
    pub fn difference(&self, other: &Trace) -> Option<String> {
        let (left, right) = (self.events(), other.events());
        let at = left.iter().zip(&right).position(|(left, right)| left != right);
        let at = at.or((left.len() != right.len()).then_some(left.len().min(right.len())))?;
        let before = &left[at.saturating_sub(10)..at];
        Some(format!("event {at}: {:?} against {:?}, after {before:#?}", left.get(at), right.get(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_stops_early_differs() {
        let (left, right) = (Trace::default(), Trace::default());
        left.note("one");
        right.note("one");
        assert_eq!((left.difference(&right), left.hash()), (None, right.hash()));
        right.push(Event::Polled(1));
        assert!(left.difference(&right).is_some_and(|text| text.starts_with("event 1: None against Some(poll 1)")));
        assert_ne!(left.hash(), right.hash());
    }
}
