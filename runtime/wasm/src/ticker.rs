//! Makes epoch ticks, by which running guests notice that their time is over.
//!
//! One ticker serves the process. In production it is a task on the I/O threads that sleeps 10 ms by the injected clock
//! and runs only while somebody holds it, so an idle process has no timer. Tests tick by hand.
//! Invariant: at most one task ticks, and while a [`Held`] exists one does (or a test ticks).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rde_core::{Runtime, Work};

use crate::limits::TICK;

/// Where ticks come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ticks {
    /// A task on the run's I/O threads.
    #[default]
    Runtime,
    /// Calls of [`crate::Host::tick`].
    ByHand,
}

/// What one tick does: it raises the epoch of the engines.
type OnTick = Arc<dyn Fn() + Send + Sync>;

pub(crate) struct Ticker {
    ticks: Ticks,
    shared: Arc<Shared>,
}

struct Shared {
    on_tick: OnTick,
    holders: AtomicUsize,
    /// Number of the task that ticks; 0: none does.
    current: AtomicU64,
    /// Numbers given to tasks so far.
    tasks: AtomicU64,
}

/// Keeps the ticker running.
pub(crate) struct Held {
    ticks: Ticks,
    shared: Arc<Shared>,
    runtime: Runtime,
}

/// Says that a task has ended, also when its runtime drops it.
struct Task {
    shared: Arc<Shared>,
    number: u64,
}

impl Ticker {
    pub(crate) fn new(ticks: Ticks, on_tick: OnTick) -> Ticker {
        let shared =
            Shared { on_tick, holders: AtomicUsize::new(0), current: AtomicU64::new(0), tasks: AtomicU64::new(0) };
        Ticker { ticks, shared: Arc::new(shared) }
    }

    /// Ticks once, by hand.
    pub(crate) fn tick(&self) {
        (self.shared.on_tick)();
    }

    /// Keeps ticks coming until the answer is dropped.
    pub(crate) fn hold(&self, runtime: &Runtime) -> Held {
        self.shared.holders.fetch_add(1, Ordering::SeqCst);
        let held = Held { ticks: self.ticks, shared: self.shared.clone(), runtime: runtime.clone() };
        held.ensure();
        held
    }
}

impl Held {
    /// Starts the task again if the runtime that ran it is gone.
    pub(crate) fn ensure(&self) {
        if self.ticks == Ticks::ByHand || self.shared.current.load(Ordering::SeqCst) != 0 {
            return;
        }
        let number = self.shared.tasks.fetch_add(1, Ordering::SeqCst) + 1;
        let task = Task { shared: self.shared.clone(), number };
        if task.take() {
            let clock = self.runtime.clock.clone();
            let ticking = async move {
                loop {
                    clock.sleep(TICK).await;
                    (task.shared.on_tick)();
                    if task.idle() {
                        return;
                    }
                }
            };
            self.runtime.spawn.spawn("plugin ticker", Work::Io, Box::pin(ticking));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.holders.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Task {
    fn take(&self) -> bool {
        self.shared.current.compare_exchange(0, self.number, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Returns whether the task should end: nobody holds the ticker, and nobody took hold while it stepped back.
    fn idle(&self) -> bool {
        let unused = || self.shared.holders.load(Ordering::SeqCst) == 0;
        if !unused() {
            return false;
        }
        self.shared.current.store(0, Ordering::SeqCst);
        unused() || !self.take()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // Fails when another task has taken over, which is then left alone.
        let _unchanged = self.shared.current.compare_exchange(self.number, 0, Ordering::SeqCst, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use rde_core::{BoxFuture, Clock, Random, Spawn};

    use super::*;

    /// Sleeps until it is polled a second time.
    struct Once(bool);

    impl Future for Once {
        type Output = ();
        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    /// A runtime whose tasks run when the test polls them.
    #[derive(Default)]
    struct Steps(Mutex<Vec<BoxFuture<'static, ()>>>);

    impl Clock for Steps {
        fn now_micros(&self) -> i64 {
            0
        }
        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }
        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(Once(false))
        }
    }

    impl Spawn for Steps {
        fn spawn(&self, _: &str, work: Work, task: BoxFuture<'static, ()>) {
            assert_eq!(work, Work::Io);
            self.0.lock().expect("no test panics while it holds the lock").push(task);
        }
        fn spawn_blocking(&self, _: &str, _: Box<dyn FnOnce() + Send>) {}
    }

    impl Steps {
        /// Polls every task once and returns how many are left.
        fn step(&self) -> usize {
            let mut tasks = self.0.lock().expect("no test panics while it holds the lock");
            let mut context = Context::from_waker(std::task::Waker::noop());
            tasks.retain_mut(|task| task.as_mut().poll(&mut context).is_pending());
            tasks.len()
        }
    }

    #[test]
    fn one_task_ticks_while_somebody_holds_it_and_ends_with_the_last() {
        let steps = Arc::new(Steps::default());
        let runtime = Runtime { clock: steps.clone(), spawn: steps.clone(), random: Random::seeded(1) };
        let ticks = Arc::new(AtomicU64::new(0));
        let counted = ticks.clone();
        let count: OnTick = Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let ticker = Ticker::new(Ticks::Runtime, count);
        let (one, two) = (ticker.hold(&runtime), ticker.hold(&runtime));
        assert_eq!([steps.step(), steps.step(), steps.step()], [1, 1, 1]);
        assert_eq!(ticks.load(Ordering::SeqCst), 2);
        drop(one);
        assert_eq!(steps.step(), 1);
        drop(two);
        assert_eq!(steps.step(), 0);
        let again = ticker.hold(&runtime);
        assert_eq!(steps.step(), 1);
        // The runtime drops its tasks; the next call starts another one.
        steps.0.lock().expect("no test panics while it holds the lock").clear();
        assert_eq!(steps.step(), 0);
        again.ensure();
        again.ensure();
        assert_eq!(steps.step(), 1);
    }
}
