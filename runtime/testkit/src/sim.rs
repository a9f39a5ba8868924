//! A runtime on one thread whose scheduler, clock and chance all come from one seed.
//!
//! Every wake-up puts a task among the ready ones, and the scheduler draws which one is polled next. Time is virtual: each
//! poll takes a drawn number of microseconds, and when nothing is ready it jumps to the next timer. Blocking jobs are
//! tasks like others. So a run that took a wrong turn once can be taken again, by its seed.
//! Invariant: two simulations with one seed and one program make the same decisions.
//! Not here: threads; what runs in here must not wait on one.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rde_core::{BoxFuture, Clock, Random, Runtime, Spawn, Work};

use crate::trace::{Event, Trace};

/// A run that polls more often is taken for one that never ends.
pub const POLLS_MAX: u64 = 1_000_000;
/// A run that takes more virtual time is taken for one that never ends: some timer ticks while all else is stuck.
pub const TIME_MAX: Duration = Duration::from_secs(20 * 60);
/// Where the virtual clock of the day begins: 2026-01-01 00:00 UTC.
pub const DAY_MICROS: i64 = 1_767_225_600_000_000;

/// How the next task is drawn among the ready ones.
#[derive(Clone, Copy, Debug)]
enum Policy {
    /// All alike.
    Even,
    /// Each task has a drawn priority; now and then one is drawn alike, and priorities change. Finds orders that drawing
    /// alike would take for ever to find.
    Priorities,
}

/// A seeded scheduler with its clock.
pub struct Simulation {
    seed: u64,
    shared: Arc<Shared>,
}

/// Why a simulated run did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// Nothing is ready, no timer runs, these tasks have not ended.
    Hang(Vec<String>),
    /// [`POLLS_MAX`] or [`TIME_MAX`] was passed with these tasks.
    Endless(Vec<String>),
    /// The program ended, these tasks did not.
    Outlived(Vec<String>),
    /// A task panicked.
    Panicked(String, String),
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stuck::Hang(tasks) => write!(f, "nothing is ready and no timer runs; stuck: {}", tasks.join(", ")),
            Stuck::Endless(tasks) => write!(f, "the run never ends; still there: {}", tasks.join(", ")),
            Stuck::Outlived(tasks) => write!(f, "tasks outlived the run: {}", tasks.join(", ")),
            Stuck::Panicked(task, message) => write!(f, "task {task} panicked: {message}"),
        }
    }
}

struct Shared {
    state: Mutex<State>,
    trace: Trace,
}

struct State {
    policy: Policy,
    random: fastrand::Rng,
    tasks: Vec<Task>,
    ready: Vec<usize>,
    micros: u64,
    timers: BTreeMap<(u64, u64), Waker>,
    timers_made: u64,
}

struct Task {
    name: String,
    future: Option<BoxFuture<'static, ()>>,
    waker: Waker,
    queued: bool,
    ended: bool,
    priority: u32,
}

/// The spawner of a simulation.
pub struct SimSpawn(Arc<Shared>);

/// The clock of a simulation.
pub struct SimClock(Arc<Shared>);

impl Simulation {
    /// Makes one from a seed.
    pub fn new(seed: u64) -> Simulation {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x5eed_0f5c_4ed0_1e55);
        let policy = if random.bool() { Policy::Even } else { Policy::Priorities };
        let state = State {
            policy,
            random,
            tasks: Vec::new(),
            ready: Vec::new(),
            micros: 0,
            timers: BTreeMap::new(),
            timers_made: 0,
        };
        Simulation { seed, shared: Arc::new(Shared { state: Mutex::new(state), trace: Trace::default() }) }
    }

    /// Returns what a run may use of time, chance and tasks.
    pub fn runtime(&self) -> Runtime {
        let seed = self.shared.lock().random.u64(..);
        Runtime {
            clock: Arc::new(SimClock(self.shared.clone())),
            spawn: Arc::new(SimSpawn(self.shared.clone())),
            random: Random::seeded(seed),
        }
    }

    /// Returns the trace, to be read after the run and noted in during it.
    pub fn trace(&self) -> Trace {
        self.shared.trace.clone()
    }

    /// Returns the virtual time that passed.
    pub fn elapsed(&self) -> Duration {
        Duration::from_micros(self.shared.lock().micros)
    }

    /// Runs `program` and every task it starts to their ends.
    pub fn run<T: Send + 'static>(&self, program: impl Future<Output = T> + Send + 'static) -> Result<T, Stuck> {
        let result = Arc::new(Mutex::new(None));
        let place = result.clone();
        let main = self.shared.spawn("program", async move {
            let value = program.await;
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        });
        let ended = self.drive(main);
        // The tasks hold wakers, those the shared state: without this a stuck run would never be freed.
        let left: Vec<_> = self.shared.lock().tasks.iter_mut().filter_map(|task| task.future.take()).collect();
        drop(left);
        ended?;
        let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(value.expect("the program ended, so it left its value"))
    }

    /// Runs `program`; panics with the seed where it hangs, runs for ever, leaves tasks behind or panics.
    pub fn block_on<T: Send + 'static>(&self, program: impl Future<Output = T> + Send + 'static) -> T {
        self.run(program).unwrap_or_else(|stuck| panic!("seed {}: {stuck}", self.seed))
    }

    fn drive(&self, main: usize) -> Result<(), Stuck> {
        for _ in 0..POLLS_MAX {
            for waker in self.shared.due() {
                waker.wake();
            }
            match self.shared.draw() {
                Some((id, future, waker)) => self.shared.poll(id, future, &waker)?,
                None if self.shared.jump() => {}
                None => {
                    let left = self.shared.left();
                    return match (left.is_empty(), self.shared.lock().tasks[main].ended) {
                        (true, _) => Ok(()),
                        (false, true) => Err(Stuck::Outlived(left)),
                        (false, false) => Err(Stuck::Hang(left)),
                    };
                }
            }
            if self.elapsed() > TIME_MAX {
                break;
            }
        }
        Err(Stuck::Endless(self.shared.left()))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(self: &Arc<Self>, name: &str, task: impl Future<Output = ()> + Send + 'static) -> usize {
        let mut state = self.lock();
        let id = state.tasks.len();
        let waker = Waker::from(Arc::new(TaskWaker { id, shared: self.clone() }));
        let priority = state.random.u32(..);
        let name = format!("{id} `{name}`");
        self.trace.push(Event::Spawned(id, name.clone()));
        state.tasks.push(Task { name, future: Some(Box::pin(task)), waker, queued: true, ended: false, priority });
        state.ready.push(id);
        id
    }

    /// Lets a little time pass and returns the wakers of the timers it reached.
    fn due(&self) -> Vec<Waker> {
        let mut state = self.lock();
        let step = state.random.u64(0..20);
        state.micros += step;
        let after = (state.micros + 1, 0);
        let later = state.timers.split_off(&after);
        std::mem::replace(&mut state.timers, later).into_values().collect()
    }

    /// Draws a ready task and takes its future.
    fn draw(&self) -> Option<(usize, BoxFuture<'static, ()>, Waker)> {
        let mut state = self.lock();
        let state = &mut *state;
        let ready = state.ready.len();
        if ready == 0 {
            return None;
        }
        let at = match state.policy {
            Policy::Priorities if state.random.u8(..) >= 32 => {
                (0..ready).max_by_key(|at| state.tasks[state.ready[*at]].priority).unwrap_or(0)
            }
            _ => state.random.usize(..ready),
        };
        let id = state.ready.swap_remove(at);
        let priority = state.random.u32(..);
        let task = &mut state.tasks[id];
        if priority.is_multiple_of(64) {
            task.priority = priority;
        }
        task.queued = false;
        let future = task.future.take().expect("a task that ended is never queued");
        Some((id, future, task.waker.clone()))
    }

    fn poll(&self, id: usize, mut future: BoxFuture<'static, ()>, waker: &Waker) -> Result<(), Stuck> {
        self.trace.push(Event::Polled(id));
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let polled = future.as_mut().poll(&mut Context::from_waker(waker));
            if polled.is_pending() { Some(future) } else { None }
        }));
        let mut state = self.lock();
        match polled {
            Ok(Some(future)) => state.tasks[id].future = Some(future),
            Ok(None) => {
                self.trace.push(Event::Ended(id));
                state.end(id);
            }
            Err(panic) => {
                state.end(id);
                return Err(Stuck::Panicked(state.tasks[id].name.clone(), panic_message(panic.as_ref())));
            }
        }
        Ok(())
    }

    /// Goes on to the next timer, if there is one.
    fn jump(&self) -> bool {
        let mut state = self.lock();
        let Some(((micros, _), _)) = state.timers.first_key_value() else { return false };
        state.micros = state.micros.max(*micros);
        self.trace.push(Event::Jumped(state.micros));
        true
    }

    fn left(&self) -> Vec<String> {
        self.lock().tasks.iter().filter(|task| !task.ended).map(|task| task.name.clone()).collect()
    }
}

impl State {
    fn end(&mut self, id: usize) {
        self.tasks[id].ended = true;
        if std::mem::take(&mut self.tasks[id].queued) {
            self.ready.retain(|ready| *ready != id);
        }
    }
}

impl Spawn for SimSpawn {
    fn spawn(&self, name: &str, _: Work, task: BoxFuture<'static, ()>) {
        self.0.spawn(name, task);
    }

    fn spawn_blocking(&self, name: &str, job: Box<dyn FnOnce() + Send>) {
        self.0.spawn(name, async move { job() });
    }
}

impl Clock for SimClock {
    fn now_micros(&self) -> i64 {
        DAY_MICROS + i64::try_from(self.0.lock().micros).unwrap_or(i64::MAX / 2)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.0.lock().micros)
    }

    fn sleep(&self, period: Duration) -> BoxFuture<'static, ()> {
        let period = u64::try_from(period.as_micros()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4);
        let until = self.0.lock().micros + period;
        Box::pin(Sleep { shared: self.0.clone(), until, key: None })
    }
}

struct TaskWaker {
    id: usize,
    shared: Arc<Shared>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.shared.lock();
        let task = &mut state.tasks[self.id];
        if !task.queued && !task.ended {
            task.queued = true;
            state.ready.push(self.id);
        }
    }
}

/// A timer; forgotten when dropped, so that time never jumps to one that nobody waits for.
struct Sleep {
    shared: Arc<Shared>,
    until: u64,
    key: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<()> {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        if state.micros >= self.until {
            return Poll::Ready(());
        }
        let key = match self.key {
            Some(key) => key,
            None => {
                state.timers_made += 1;
                (self.until, state.timers_made)
            }
        };
        self.key = Some(key);
        let replaced = state.timers.insert(key, ctx.waker().clone());
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let removed = self.shared.lock().timers.remove(&key);
            drop(removed);
        }
    }
}

/// Returns the text of a caught panic.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "something without text".to_owned())
}

#[cfg(test)]
mod tests;
