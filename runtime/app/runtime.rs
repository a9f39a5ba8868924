//! The runtime of a real process: the operating system's clock, tokio's tasks, a random seed.
//!
//! Two pools of threads: one for compute work, as many as there are processors, and one for what mostly waits, so that a
//! long decode never delays a commit, a signal or `/health`.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use rde_core::{BoxFuture, Clock, Random, Runtime, Spawn, Work};

/// Owns the threads of a process; dropping it stops them.
pub struct Threads {
    compute: tokio::runtime::Runtime,
    io: tokio::runtime::Runtime,
    runtime: Runtime,
}

impl Threads {
    /// Starts the threads with a seed from the operating system.
    pub fn start() -> io::Result<Threads> {
        let seed =
            std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), std::process::id());
        Threads::seeded(seed)
    }

    /// Starts the threads with a given seed.
    pub fn seeded(seed: u64) -> io::Result<Threads> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let compute = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(processors)
            .thread_name("rde-compute")
            .thread_stack_size(STACK_BYTES)
            .enable_time()
            .build()?;
        let io =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("rde-io").enable_all().build()?;
        let runtime = Runtime {
            clock: Arc::new(SystemClock { start: start(), timers: io.handle().clone() }),
            spawn: Arc::new(Tasks { compute: compute.handle().clone(), io: io.handle().clone() }),
            random: Random::seeded(seed),
        };
        Ok(Threads { compute, io, runtime })
    }

    /// Returns what a run may use of time, chance and tasks.
    pub fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    /// Runs a future on the calling thread, with timers and network.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.io.block_on(future)
    }

    /// Stops without waiting for work that blocks (a silent FIFO).
    pub fn stop(self) {
        self.compute.shutdown_background();
        self.io.shutdown_background();
    }
}

/// Planning a deeply nested query recurses; 2 MiB is too little for a debug build.
const STACK_BYTES: usize = 8 << 20;

#[expect(clippy::disallowed_methods, reason = "this is the clock that is injected everywhere else")]
fn start() -> Instant {
    Instant::now()
}

struct SystemClock {
    start: Instant,
    timers: tokio::runtime::Handle,
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that is injected everywhere else")]
    fn now_micros(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock that is injected everywhere else")]
    fn sleep(&self, period: Duration) -> BoxFuture<'static, ()> {
        let _timers = self.timers.enter();
        tokio::time::sleep(period).boxed()
    }
}

struct Tasks {
    compute: tokio::runtime::Handle,
    io: tokio::runtime::Handle,
}

impl Spawn for Tasks {
    fn spawn(&self, _name: &str, work: Work, task: BoxFuture<'static, ()>) {
        let threads = match work {
            Work::Compute => &self.compute,
            Work::Io => &self.io,
        };
        drop(threads.spawn(task));
    }

    fn spawn_blocking(&self, name: &str, job: Box<dyn FnOnce() + Send>) {
        let thread = std::thread::Builder::new().name(format!("rde-{name}"));
        if let Err(error) = thread.spawn(job) {
            tracing::error!(%error, name, "no thread could be started");
        }
    }
}
