//! Runs a pipeline from opening its operators to its report.
//!
//! Order: open, ask the log how to go on, give sources their splits, write epoch 0, start the lanes, coordinate, let
//! everything end, count. Invariant: there is always a report, and no task of the run outlives it.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use rde_checkpoint::{CheckpointLog, MemoryLog};
use rde_core::{Budget, Epoch, Error, ErrorKind, Incarnation, Plan, Runtime, Work};

use crate::commit::{CommitLane, Job};
use crate::coordinator::{Coordinator, Outcome, SinkState, put_entry};
use crate::counters::{Counters, Resources};
use crate::epochs::Epochs;
use crate::graph::BoundGraph;
use crate::open::{Opened, Opening, assign_splits, cancelled, close_all, open_all};
use crate::recover::{Recovered, recover};
use crate::rejects::HideHook;
use crate::shared::{Mailbox, Shared, panicked};
use crate::spool::SpillSpace;
use crate::trace::TraceHook;
use crate::wire::{Layout, Wiring};
use crate::{Pipeline, RunControl, RunReport, SchemaReport, Status, balance, codes};

/// Runs pipelines.
#[derive(Clone)]
pub struct PipelineEngine {
    runtime: Runtime,
    log: Option<Arc<dyn CheckpointLog>>,
    interval: Option<Duration>,
    trace: Option<TraceHook>,
    hide: Option<HideHook>,
}

impl PipelineEngine {
    /// Makes an engine that starts every pipeline anew and commits one epoch, at its end.
    pub fn new(runtime: Runtime) -> PipelineEngine {
        PipelineEngine { runtime, log: None, interval: None, trace: None, hide: None }
    }

    /// Keeps checkpoints in this log, and goes on from what it holds.
    #[must_use]
    pub fn log(mut self, log: Arc<dyn CheckpointLog>) -> PipelineEngine {
        self.log = Some(log);
        self
    }

    /// Opens an epoch each time this much has passed.
    #[must_use]
    pub fn checkpoint_every(mut self, interval: Duration) -> PipelineEngine {
        self.interval = Some(interval);
        self
    }

    /// Hands every step of every message to a hook.
    #[must_use]
    pub fn trace(mut self, hook: TraceHook) -> PipelineEngine {
        self.trace = Some(hook);
        self
    }

    /// Passes the texts of error rows through a hook, which takes secrets out of them. Rows themselves stay as they are.
    #[must_use]
    pub fn hide(mut self, hook: HideHook) -> PipelineEngine {
        self.hide = Some(hook);
        self
    }

    /// Runs a pipeline to its end. Panics of operators are caught and reported.
    pub async fn run(&self, pipeline: Pipeline, control: RunControl) -> RunReport {
        let started = self.runtime.clock.elapsed();
        let Pipeline { name, settings, base, budget, graph, plans, runnable } = pipeline;
        let incarnation = Incarnation(self.runtime.random.next_u64());
        let spill = SpillSpace::new(base.join(&settings.spill), settings.spill_max.0);
        let resources = resources(&graph, &budget, settings.memory_max.bytes());
        let identity = (name, settings, budget.clone());
        let hooks = (self.trace.clone(), self.hide.clone());
        let shared = Arc::new(Shared::new(identity, self.runtime.clone(), control, spill, hooks));
        let run =
            Run { engine: self, shared: shared.clone(), graph, resources, incarnation, counters: OnceLock::new() };
        tracing::info!(pipeline = &*shared.pipeline, incarnation = %incarnation, "run starts");
        let guarded = AssertUnwindSafe(run.execute(plans, base, runnable)).catch_unwind().await;
        let ended = match guarded {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => {
                shared.fail(error);
                Ended::default()
            }
            Err(panic) => {
                shared.fail(panicked("engine", &*panic));
                Ended::default()
            }
        };
        shared.stop();
        shared.lanes.all_ended().await;
        let duration = self.runtime.clock.elapsed().saturating_sub(started);
        run.report(ended, duration)
    }
}

/// One run.
struct Run<'a> {
    engine: &'a PipelineEngine,
    shared: Arc<Shared>,
    graph: BoundGraph,
    resources: Vec<Resources>,
    incarnation: Incarnation,
    counters: OnceLock<Arc<Counters>>,
}

/// What a run came to, beside its error and counts.
#[derive(Default)]
struct Ended {
    outcome: Option<Outcome>,
    last_epoch: Option<Epoch>,
    resumed_from: Option<Epoch>,
}

fn resources(graph: &BoundGraph, budget: &Budget, memory_max: usize) -> Vec<Resources> {
    // An operator over whole inputs may keep half: else it could hold what the sources need to feed it.
    let limit = |whole: bool| if whole { memory_max / 2 } else { memory_max };
    let resources = |whole: bool| Resources { budget: budget.child(limit(whole).max(1)), plugin_stats: Arc::default() };
    graph.operators.iter().map(|bound| resources(bound.whole)).collect()
}

impl Run<'_> {
    async fn execute(
        &self,
        plans: Vec<Option<Box<dyn Plan>>>,
        base: std::path::PathBuf,
        runnable: bool,
    ) -> Result<Ended, Error> {
        if !runnable {
            let message = format!("pipeline `{}` has faults and cannot be run", self.shared.pipeline);
            return Err(Error::config(&codes::NOT_RUNNABLE, message));
        }
        let Run { shared, graph, resources, incarnation, .. } = self;
        let opening = Opening { shared, graph, resources, base, incarnation: *incarnation };
        let mut opened = open_all(&opening, plans).await?;
        let layout = Layout::new(shared, graph, &opened);
        let counters = Arc::new(Counters::new(graph, &layout.lanes, resources, shared.budget.clone()));
        shared.control.watch(counters.clone());
        let counters = self.counters.get_or_init(|| counters).clone();
        let prepared = self.prepare(&mut opened).await;
        let (log, recovered) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                close_all(opened.into_iter()).await;
                return Err(error);
            }
        };
        if recovered.nothing_new {
            close_all(opened.into_iter()).await;
            let outcome = Some(Outcome::Completed);
            return Ok(Ended { outcome, last_epoch: recovered.resumed_from, resumed_from: recovered.resumed_from });
        }
        let resumed_from = recovered.resumed_from;
        let mut coordinator = self.coordinator(&layout, &counters, log, recovered, &mut opened);
        let wiring = Wiring::new(shared, graph, &counters, &layout, coordinator.base.epoch);
        for task in wiring.build(opened) {
            shared.spawn(|shared| &shared.lanes, (&task.operator, task.lane), task.work, task.run);
        }
        counters.running.store(true, Ordering::SeqCst);
        let outcome = self.coordinate(&mut coordinator).await;
        counters.running.store(false, Ordering::SeqCst);
        Ok(Ended { outcome, last_epoch: coordinator.last_epoch, resumed_from })
    }

    /// Asks the log how to go on, gives sources their splits and writes epoch 0.
    async fn prepare(&self, opened: &mut [Opened]) -> Result<(Arc<dyn CheckpointLog>, Recovered), Error> {
        let (shared, graph) = (&self.shared, &self.graph);
        let log = self.engine.log.clone().unwrap_or_else(|| Arc::new(MemoryLog::new()));
        let asked = self.engine.log.is_some();
        let mut recovered = recover(shared, &*log, self.incarnation, graph, opened.iter_mut(), asked).await?;
        if shared.stopped() {
            return Err(cancelled());
        }
        assign_splits(graph, opened, &mut recovered.base).await?;
        recovered.look_for_news();
        if recovered.resumed_from.is_none() {
            put_entry(shared, &*log, recovered.number, self.incarnation, &recovered.base).await?;
            recovered.number += 1;
        }
        Ok((log, recovered))
    }

    fn coordinator(
        &self,
        layout: &Layout,
        counters: &Arc<Counters>,
        log: Arc<dyn CheckpointLog>,
        recovered: Recovered,
        opened: &mut [Opened],
    ) -> Coordinator {
        let members = layout.members();
        let withheld: Vec<Option<usize>> = members.iter().map(|member| member.withheld).collect();
        let epoch = recovered.base.epoch;
        let mut sinks = Vec::new();
        for (operator, one) in opened.iter_mut().enumerate() {
            let Opened::Sink(committer, _) = one else { continue };
            let Some(committer) = committer.take() else { continue };
            let id = self.graph.operators[operator].id.clone();
            let jobs = Arc::<Mailbox<Job>>::default();
            let lane = CommitLane {
                shared: self.shared.clone(),
                committer,
                jobs: jobs.clone(),
                sink: operator,
                id: id.clone(),
                logged: self.engine.log.is_some(),
            };
            self.shared.spawn(|shared| &shared.committers, (&id, 0), Work::Io, Box::pin(lane.run()));
            let acknowledged = recovered.committed.get(&*id).copied();
            sinks.push(SinkState { id, operator, jobs, acknowledged, pending: Vec::new(), waiting: Vec::new() });
        }
        Coordinator {
            shared: self.shared.clone(),
            counters: counters.clone(),
            log,
            incarnation: self.incarnation,
            number: recovered.number,
            interval: self.engine.interval,
            members,
            epochs: Epochs::new(&withheld, epoch),
            sinks,
            base: recovered.base,
            parts: BTreeMap::new(),
            last_epoch: recovered.resumed_from,
            decided: None,
            operators: self.graph.operators.iter().map(|bound| (bound.id.clone(), bound.whole)).collect(),
        }
    }

    /// Coordinates, then lets lanes and committers end in this order: what lanes prepared last is given up.
    async fn coordinate(&self, coordinator: &mut Coordinator) -> Option<Outcome> {
        let shared = &self.shared;
        match AssertUnwindSafe(coordinator.run()).catch_unwind().await {
            Ok(Ok(())) if coordinator.decided.is_none() && shared.error().is_none() => shared.fail(cancelled()),
            Ok(Ok(())) => {}
            Ok(Err(error)) => shared.fail(error),
            Err(panic) => shared.fail(panicked("coordinator", &*panic)),
        }
        shared.lanes.all_ended().await;
        coordinator.give_up();
        coordinator.finish();
        shared.committers.all_ended().await;
        let outcome = coordinator.settle();
        // Who stops a run whose last commit has begun gets all of it, and is told so.
        if outcome.is_none() && shared.error().is_none() {
            shared.fail(cancelled());
        }
        outcome
    }

    fn report(&self, ended: Ended, duration: Duration) -> RunReport {
        let (shared, graph) = (&self.shared, &self.graph);
        let lanes: Vec<usize> = graph.operators.iter().map(|bound| bound.lanes).collect();
        let counters = self
            .counters
            .get_or_init(|| Arc::new(Counters::new(graph, &lanes, &self.resources, shared.budget.clone())));
        let balanced = balance::check(graph, counters);
        let error = shared.error().or_else(|| self.unbalanced(&balanced.faults, ended.outcome));
        let status = status(error.as_ref(), ended.outcome, shared.is_reader_gone());
        let live = counters.live();
        let mut operators = live.operators;
        for (operator, balanced) in operators.iter_mut().zip(&balanced.operators) {
            operator.balanced = *balanced;
        }
        let rows_read: u64 = operators.iter().map(|operator| operator.rows_read).sum();
        let rows_per_second = (rows_read as f64 / duration.as_secs_f64().max(1e-6)) as u64;
        tracing::info!(pipeline = &*shared.pipeline, status = status.as_str(), rows_read, "run ends");
        RunReport {
            pipeline: shared.pipeline.to_string(),
            incarnation: self.incarnation,
            status,
            error,
            balanced: balanced.faults.is_empty(),
            duration,
            rows_per_second,
            budget_peak_bytes: live.budget_peak_bytes,
            operators,
            edges: live.edges,
            schemas: self.schemas(),
            checkpoints_completed: live.checkpoints_completed,
            last_epoch: ended.last_epoch,
            resumed_from: ended.resumed_from,
            plugins: counters.plugins(),
        }
    }

    /// Returns the error of counts that do not balance, which they must only where everything came to its end.
    fn unbalanced(&self, faults: &[String], outcome: Option<Outcome>) -> Option<Error> {
        let pipeline = &*self.shared.pipeline;
        if faults.is_empty() {
            return None;
        }
        let faults = faults.join("; ");
        if outcome != Some(Outcome::Completed) {
            tracing::warn!(pipeline, faults, "counts of a run that did not complete do not balance");
            return None;
        }
        let message = format!("the counts do not balance: {faults}");
        let unbalanced = Error::internal(&codes::UNBALANCED, message).help("please report this with the run report");
        tracing::error!(pipeline, error = ?unbalanced, "run fails");
        Some(unbalanced)
    }

    fn schemas(&self) -> Vec<SchemaReport> {
        let schema = |(operator, port, version): (String, String, Arc<rde_core::SchemaVersion>)| SchemaReport {
            operator,
            port,
            version: version.version,
            cause: version.cause.as_deref().map(str::to_owned),
        };
        self.shared.schemas.all().into_iter().map(schema).collect()
    }
}

fn status(error: Option<&Error>, outcome: Option<Outcome>, reader_gone: bool) -> Status {
    match (error, outcome) {
        (Some(error), _) if error.kind() == ErrorKind::Fenced => Status::Fenced,
        (Some(_), _) => Status::Failed,
        (None, Some(Outcome::Completed)) if !reader_gone => Status::Completed,
        (None, Some(Outcome::Completed | Outcome::Drained)) => Status::Drained,
        (None, None) => Status::Failed,
    }
}

#[cfg(test)]
mod tests;
