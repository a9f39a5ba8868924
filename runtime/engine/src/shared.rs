//! What all tasks of one run share: runtime, budget, first error, barriers to inject, the coordinator's mailbox.
//!
//! State of the run changes through [`Shared::fail`] and [`Shared::stop`] alone. Invariant: the first error wins; after a
//! stop every edge is closed, so that no task waits for another one for ever.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_listener::{Event, EventListener};
use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use rde_core::{Barrier, Budget, CancelToken, DynamicSchemaManager, Epoch, Error, ErrorKind, Runtime, Settings, Work};

use crate::coordinator::Answer;
use crate::edge::Inbox;
use crate::rejects::HideHook;
use crate::spool::SpillSpace;
use crate::trace::{TraceEvent, TraceHook};
use crate::{RunControl, codes};

/// Why a task ends before its input does.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The run stops.
    Stopped,
    /// This task found the error.
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Halt {
        Halt::Failed(error)
    }
}

/// What all tasks of a run share.
pub(crate) struct Shared {
    pub pipeline: Arc<str>,
    pub runtime: Runtime,
    pub settings: Arc<Settings>,
    pub budget: Budget,
    pub cancel: CancelToken,
    pub control: RunControl,
    pub schemas: DynamicSchemaManager,
    pub spill: SpillSpace,
    /// The run's start, microseconds since the Unix epoch.
    pub started_micros: i64,
    pub answers: Mailbox<Answer>,
    pub trace: Option<TraceHook>,
    pub hide: Option<HideHook>,
    first_error: Mutex<Option<Error>>,
    inboxes: Mutex<Vec<Arc<Inbox>>>,
    barrier: Mutex<Option<Barrier>>,
    nudge: Event,
    reader_gone: AtomicBool,
    committed: AtomicU64,
    pub lanes: Tasks,
    pub committers: Tasks,
}

/// How many tasks of a kind run.
#[derive(Default)]
pub(crate) struct Tasks {
    count: AtomicUsize,
    ended: Event,
}

impl Tasks {
    /// Waits until every one has ended.
    pub async fn all_ended(&self) {
        loop {
            let ended = self.ended.listen();
            if self.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl Shared {
    /// Makes the state of a run that has no tasks yet.
    pub fn new(
        (pipeline, settings, budget): (Arc<str>, Arc<Settings>, Budget),
        runtime: Runtime,
        control: RunControl,
        spill: SpillSpace,
        (trace, hide): (Option<TraceHook>, Option<HideHook>),
    ) -> Shared {
        let started_micros = runtime.clock.now_micros();
        Shared {
            pipeline,
            runtime,
            settings,
            budget,
            cancel: control.cancel_token().child(),
            control,
            schemas: DynamicSchemaManager::new(),
            spill,
            started_micros,
            answers: Mailbox::default(),
            trace,
            hide,
            first_error: Mutex::default(),
            inboxes: Mutex::default(),
            barrier: Mutex::default(),
            nudge: Event::new(),
            reader_gone: AtomicBool::new(false),
            committed: AtomicU64::new(0),
            lanes: Tasks::default(),
            committers: Tasks::default(),
        }
    }

    /// Keeps the error if it is the first, and stops the run.
    pub fn fail(&self, error: Error) {
        {
            let mut first = lock(&self.first_error);
            if first.is_none() {
                let operator = error.operator().unwrap_or_default();
                if error.kind() == ErrorKind::Internal {
                    tracing::error!(pipeline = &*self.pipeline, operator, code = error.code(), error = ?error, "run fails");
                } else {
                    tracing::info!(pipeline = &*self.pipeline, operator, code = error.code(), error = ?error, "run fails");
                }
                *first = Some(error);
            }
        }
        self.stop();
    }

    /// Makes every task leave: no edge takes or gives anything more.
    pub fn stop(&self) {
        self.cancel.cancel();
        for inbox in lock(&self.inboxes).iter() {
            inbox.close();
        }
        self.answers.changed.notify(usize::MAX);
        self.nudge.notify(usize::MAX);
    }

    /// Returns whether the run stops.
    pub fn stopped(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Returns the first error.
    pub fn error(&self) -> Option<Error> {
        lock(&self.first_error).clone()
    }

    /// Closes this inbox too when the run stops.
    pub fn watch(&self, inbox: &Arc<Inbox>) {
        lock(&self.inboxes).push(inbox.clone());
        if self.stopped() {
            inbox.close();
        }
    }

    /// Lets sources inject a barrier before their next call.
    pub fn inject(&self, barrier: Barrier) {
        *lock(&self.barrier) = Some(barrier);
        self.nudge.notify(usize::MAX);
    }

    /// Returns the barrier that sources are to inject, or have injected.
    pub fn barrier(&self) -> Option<Barrier> {
        *lock(&self.barrier)
    }

    /// Listens for the next barrier or stop.
    pub fn nudged(&self) -> EventListener {
        self.nudge.listen()
    }

    /// A sink's reader went away: the pipeline drains.
    pub fn reader_gone(&self) {
        self.reader_gone.store(true, Ordering::SeqCst);
        self.control.drain();
    }

    /// Returns whether a sink's reader went away.
    pub fn is_reader_gone(&self) -> bool {
        self.reader_gone.load(Ordering::SeqCst)
    }

    /// Tells sources how far everything is committed.
    pub fn announce_committed(&self, epoch: Epoch) {
        self.committed.fetch_max(epoch.0, Ordering::SeqCst);
    }

    /// Returns how far everything is committed.
    pub fn committed(&self) -> Epoch {
        Epoch(self.committed.load(Ordering::Relaxed))
    }

    /// Returns nanoseconds on the injected clock.
    pub fn nanos(&self) -> u64 {
        u64::try_from(self.runtime.clock.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sleeps; returns early, and refuses, when the run stops.
    pub async fn sleep(&self, period: Duration) -> Result<(), Halt> {
        let cancelled = std::pin::pin!(self.cancel.cancelled());
        match select(self.runtime.clock.sleep(period), cancelled).await {
            Either::Left(_) if !self.stopped() => Ok(()),
            _ => Err(Halt::Stopped),
        }
    }

    /// Hands a step to the trace, where there is one, and to the log, where operators show theirs too.
    pub fn trace(&self, function: &'static str, operator: &Arc<str>, lane: usize, what: (&'static str, usize, u64)) {
        let (message, rows, epoch) = what;
        tracing::trace!(target: "rde::path", operator = &**operator, lane, carried = message, rows, epoch, "{function}");
        if let Some(hook) = &self.trace {
            hook(&TraceEvent { function, operator: operator.clone(), lane, message, rows, epoch });
        }
    }

    /// Starts a task of the run. Its error fails the run, and so does its panic.
    pub fn spawn(
        self: &Arc<Shared>,
        kind: fn(&Shared) -> &Tasks,
        (operator, lane): (&Arc<str>, usize),
        work: Work,
        task: BoxFuture<'static, Result<(), Halt>>,
    ) {
        kind(self).count.fetch_add(1, Ordering::SeqCst);
        let shared = self.clone();
        let name = operator.clone();
        let guarded = async move {
            match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(()) | Err(Halt::Stopped)) => {}
                Ok(Err(Halt::Failed(error))) => shared.fail(error.in_operator(&name)),
                Err(panic) => shared.fail(panicked(&name, &*panic)),
            }
            let tasks = kind(&shared);
            tasks.count.fetch_sub(1, Ordering::SeqCst);
            tasks.ended.notify(usize::MAX);
        };
        self.runtime.spawn.spawn(&format!("{operator}/{lane}"), work, Box::pin(guarded));
    }
}

/// Makes the error of a panic caught at a task's border.
pub(crate) fn panicked(operator: &str, panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let message = format!("operator `{operator}` panicked: {}", text.unwrap_or("no message"));
    Error::internal(&codes::PANIC, message).help("please report this with the message").in_operator(operator)
}

/// Messages for one task. Its senders bound it: each has at most one message under way per epoch or commit.
pub(crate) struct Mailbox<T> {
    queue: Mutex<VecDeque<T>>,
    changed: Event,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Mailbox<T> {
        Mailbox { queue: Mutex::default(), changed: Event::new() }
    }
}

impl<T> Mailbox<T> {
    /// Leaves a message.
    pub fn put(&self, message: T) {
        lock(&self.queue).push_back(message);
        self.changed.notify(usize::MAX);
    }

    /// Takes the oldest message.
    pub fn take(&self) -> Option<T> {
        lock(&self.queue).pop_front()
    }

    /// Listens for the next message or the end of the run.
    pub fn changed(&self) -> EventListener {
        self.changed.listen()
    }
}

/// Locks; a panic of another task while it held the lock is reported by that task.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
