//! A runtime with threads and the clock of the operating system, for tests of operators outside the simulation.
//!
//! Not what `rde` runs on in production, which has two pools and counts its threads; here one pool does for both.

#![expect(clippy::disallowed_methods, reason = "this is a clock that is injected elsewhere")]

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rde_core::{BoxFuture, Clock, Random, Runtime, Spawn, Work};

/// Threads, clock and seeded chance.
pub struct RealRuntime {
    tokio: tokio::runtime::Runtime,
    random: Random,
}

impl RealRuntime {
    /// Starts so many threads.
    pub fn new(threads: usize) -> RealRuntime {
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("rde-test")
            .enable_all()
            .build()
            .expect("the operating system gives a few threads");
        RealRuntime { tokio, random: fixed_random() }
    }

    /// Returns what a run may use of time, chance and tasks.
    pub fn runtime(&self) -> Runtime {
        Runtime {
            clock: Arc::new(RealClock { start: Instant::now(), timers: self.tokio.handle().clone() }),
            spawn: Arc::new(RealSpawn(self.tokio.handle().clone())),
            random: self.random.clone(),
        }
    }

    /// Runs a future to its end on this thread.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.tokio.block_on(future)
    }
}

impl Default for RealRuntime {
    fn default() -> RealRuntime {
        RealRuntime::new(2)
    }
}

/// Returns randomness that is the same in every run.
pub fn fixed_random() -> Random {
    Random::seeded(0x0072_6465)
}

struct RealClock {
    start: Instant,
    timers: tokio::runtime::Handle,
}

impl Clock for RealClock {
    fn now_micros(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, period: Duration) -> BoxFuture<'static, ()> {
        let _timers = self.timers.enter();
        Box::pin(tokio::time::sleep(period))
    }
}

struct RealSpawn(tokio::runtime::Handle);

impl Spawn for RealSpawn {
    fn spawn(&self, _: &str, _: Work, task: BoxFuture<'static, ()>) {
        drop(self.0.spawn(task));
    }

    fn spawn_blocking(&self, _: &str, job: Box<dyn FnOnce() + Send>) {
        drop(self.0.spawn_blocking(job));
    }
}
