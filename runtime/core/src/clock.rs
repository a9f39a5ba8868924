//! Time, chance and tasks as values, so that a simulation can give its own.
//!
//! Lints ban the global ones. In production `app` hands in a clock of the operating system and a tokio spawner; the
//! simulation hands in a seeded scheduler on one thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;

/// The time.
pub trait Clock: Send + Sync {
    /// Returns microseconds since the Unix epoch, UTC.
    fn now_micros(&self) -> i64;
    /// Returns time since some fixed moment; never falls.
    fn elapsed(&self) -> Duration;
    /// Completes after `period`.
    fn sleep(&self, period: Duration) -> BoxFuture<'static, ()>;
}

/// Which threads a task belongs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Uses the processor for long stretches: decoding, SQL, plugins, encoding.
    Compute,
    /// Mostly waits: network, timers, control.
    Io,
}

/// Starts tasks.
pub trait Spawn: Send + Sync {
    /// Starts `task`; its name is for logs and traces.
    fn spawn(&self, name: &str, work: Work, task: BoxFuture<'static, ()>);
    /// Runs something that blocks (standard input, a FIFO) on a thread of its own.
    fn spawn_blocking(&self, name: &str, job: Box<dyn FnOnce() + Send>);
}

/// Seeded randomness; clones share one stream.
#[derive(Clone, Debug)]
pub struct Random(Arc<Mutex<fastrand::Rng>>);

impl Random {
    /// Makes a stream from a seed; equal seeds give equal numbers.
    pub fn seeded(seed: u64) -> Random {
        Random(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// Returns the next number.
    pub fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
    }

    /// Returns a number below `end`, which is not 0.
    pub fn below(&self, end: u64) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).u64(..end)
    }

    /// Returns a stream of its own, so that its user's draws do not shift anybody else's.
    pub fn fork(&self) -> Random {
        Random::seeded(self.next_u64())
    }
}

/// Everything from outside that a run may use of time, chance and tasks.
#[derive(Clone)]
pub struct Runtime {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Starts tasks.
    pub spawn: Arc<dyn Spawn>,
    /// Chance.
    pub random: Random,
}
