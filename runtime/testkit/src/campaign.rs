//! Runs drawn topologies on the engine, one seed after the other, and holds each against the oracle.
//!
//! A run that did not complete is healed and run again over the same targets and checkpoint log: what is shown at the end
//! must be every row once. [`campaign`] is what tests call; [`seed_from_env`] replays one seed (the crate's page says how).

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{Either, select};
use rde_checkpoint::MemoryLog;
use rde_core::{Budget, OnError, Probe, ProbeMode, Runtime};
use rde_engine::{OperatorOptions, PipelineBuilder, PipelineEngine, RunControl, RunReport, Status};

use crate::oracle::{self, Expected};
use crate::real::RealRuntime;
use crate::script::{
    Broken, Closed, CollectSink, Kept, ScriptedSource, ScriptedTransform, ScriptedWhole, Shared, SinkLog, SourceLog,
    SplitScript, State, Watch, decode_position,
};
use crate::sim::Simulation;
use crate::topology::{End, Node, Topology};
use crate::trace::Trace;

/// The variable that names a seed to replay instead of a campaign.
pub const SEED_VARIABLE: &str = "RDE_SIM_SEED";
/// Every so many seeds are run twice, and their traces compared.
const TWICE_EVERY: u64 = 16;
/// A run in real time that takes longer is taken for one that hangs.
const HANGS_AFTER: Duration = Duration::from_secs(120);
/// Events of a replayed seed's trace that are shown.
const EVENTS_SHOWN: usize = 400;

/// How the runs of a campaign ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Status `completed` at the first run.
    pub completed: u64,
    /// Status `drained`.
    pub drained: u64,
    /// Status `failed` by script or policy.
    pub failed: u64,
    /// Status `failed` by cancel.
    pub cancelled: u64,
    /// Runs that went on from a checkpoint.
    pub resumed: u64,
    /// Epochs committed.
    pub epochs: u64,
    /// Rows shown at the end by all sinks.
    pub rows: u64,
    /// Hash over the traces of all runs.
    pub hash: u64,
}

/// A seed whose run is not as it must be.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.text)?;
        write!(f, "replay it with `{SEED_VARIABLE}={} cargo test -p rde-testkit campaign`", self.seed)
    }
}

impl std::error::Error for Failure {}

/// Returns the seed that the environment asks to replay.
#[expect(clippy::disallowed_methods, reason = "a person replays a seed without changing code")]
pub fn seed_from_env() -> Option<u64> {
    std::env::var(SEED_VARIABLE).ok()?.parse().ok()
}

/// Runs `count` seeds from `first` on, or the one of [`SEED_VARIABLE`], with its trace in the failure.
pub fn campaign(first: u64, count: u64) -> Result<Summary, Failure> {
    let replayed = seed_from_env();
    let (first, count) = replayed.map_or((first, count), |seed| (seed, 1));
    let spill = tempfile::tempdir().map_err(|error| Failure { seed: first, text: error.to_string() })?;
    let mut summary = Summary::default();
    for seed in first..first.saturating_add(count) {
        let ran = run_seed(seed, spill.path());
        let failed =
            |text: String| Failure { seed, text: describe(text, &ran.trace, replayed.is_some(), seed, spill.path()) };
        let ended = ran.result.clone().map_err(failed)?;
        summary.add(&ended, ran.trace.hash());
        if seed.is_multiple_of(TWICE_EVERY) || replayed.is_some() {
            let again = run_seed(seed, spill.path());
            if let Some(difference) = ran.trace.difference(&again.trace) {
                return Err(Failure { seed, text: format!("two runs differ: {difference}") });
            }
        }
    }
    Ok(summary)
}

/// What became of one seed.
pub struct Ran {
    /// How the runs ended, or what is wrong.
    pub result: Result<Summary, String>,
    /// The traces of its runs, one after the other.
    pub trace: Trace,
}

/// Runs one seed.
pub fn run_seed(seed: u64, spill: &Path) -> Ran {
    let topology = Topology::draw(seed, spill);
    let simulation = Simulation::new(seed);
    let trace = simulation.trace();
    let world = World::new(&topology, trace.clone());
    let result = world.play(&topology, &Stage::Simulated(&simulation), spill);
    Ran { result, trace }
}

/// Runs the topology of a seed on threads and in real time, where no two runs are alike.
pub fn run_seed_on_threads(seed: u64, runtime: &RealRuntime, spill: &Path) -> Result<Summary, Failure> {
    let topology = Topology::draw(seed, spill);
    let world = World::new(&topology, Trace::default());
    world.play(&topology, &Stage::Threads(runtime), spill).map_err(|text| Failure { seed, text })
}

/// Runs one topology once and returns the newest watermark each transform heard.
#[cfg(test)]
pub(crate) fn watermarks(topology: &Topology, spill: &Path) -> Result<BTreeMap<String, Option<i64>>, String> {
    let simulation = Simulation::new(topology.seed);
    let world = World::new(topology, simulation.trace());
    let outcome = world.run(topology, &Stage::Simulated(&simulation), spill)?;
    let newest = |lanes: &Shared<Closed>| lock(lanes).watermark.map(|at| at.0);
    Ok(outcome.lanes.iter().map(|(name, lanes)| (name.clone(), newest(lanes))).collect())
}

/// What a topology runs on.
enum Stage<'a> {
    Simulated(&'a Simulation),
    Threads(&'a RealRuntime),
}

impl Stage<'_> {
    fn runtime(&self) -> Runtime {
        match self {
            Stage::Simulated(simulation) => simulation.runtime(),
            Stage::Threads(threads) => threads.runtime(),
        }
    }

    fn run<T: Send + 'static>(&self, program: impl Future<Output = T> + Send + 'static) -> Result<T, String> {
        match self {
            Stage::Simulated(simulation) => simulation.run(program).map_err(|stuck| stuck.to_string()),
            Stage::Threads(threads) => {
                let hangs = threads.runtime().clock.sleep(HANGS_AFTER);
                match threads.block_on(select(Box::pin(program), hangs)) {
                    Either::Left((value, _)) => Ok(value),
                    Either::Right(_) => Err(format!("the run hangs, or takes longer than {HANGS_AFTER:?}")),
                }
            }
        }
    }
}

fn describe(text: String, trace: &Trace, with_trace: bool, seed: u64, spill: &Path) -> String {
    if !with_trace {
        return text;
    }
    let events = trace.events();
    let shown = events.iter().skip(events.len().saturating_sub(EVENTS_SHOWN)).map(|event| format!("{event:?}"));
    let shown = shown.collect::<Vec<_>>().join("\n");
    format!("{text}\ntopology {:#?}\nlast events:\n{shown}\n{text}", Topology::draw(seed, spill))
}

impl Summary {
    fn add(&mut self, other: &Summary, hash: u64) {
        self.completed += other.completed;
        self.drained += other.drained;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.resumed += other.resumed;
        self.epochs += other.epochs;
        self.rows += other.rows;
        self.hash = self.hash.rotate_left(7) ^ hash;
    }
}

/// What outlives a run: targets, the log of checkpoints, what was seen.
struct World {
    watch: Watch,
    log: MemoryLog,
    targets: BTreeMap<String, Shared<SinkLog>>,
}

/// What a run left behind.
struct Outcome {
    report: RunReport,
    sources: BTreeMap<String, Shared<SourceLog>>,
    lanes: BTreeMap<String, Shared<Closed>>,
    budget_used: usize,
}

impl World {
    fn new(topology: &Topology, trace: Trace) -> World {
        let idles = |node: &Node| matches!(node, Node::Source(script) if script.idle > 0 || script.endless);
        let late = topology.nodes.iter().any(idles);
        let sinks = topology.nodes.iter().filter(|node| matches!(node, Node::Sink(_)));
        let targets = sinks.map(|node| (node.name().to_owned(), Shared::default())).collect();
        World { watch: Watch::new(trace, late), log: MemoryLog::new(), targets }
    }

    fn play(&self, topology: &Topology, stage: &Stage<'_>, spill: &Path) -> Result<Summary, String> {
        let mut summary = Summary::default();
        let outcome = self.run(topology, stage, spill)?;
        self.check_ending(topology, &outcome)?;
        summary.epochs += outcome.report.checkpoints_completed;
        let completed = outcome.report.status == Status::Completed;
        match outcome.report.status {
            Status::Completed => summary.completed += 1,
            Status::Drained => summary.drained += 1,
            _ if outcome.report.error.is_some() && !self.watch.failed().is_empty() => summary.failed += 1,
            _ => summary.cancelled += 1,
        }
        if !completed {
            let healed = topology.healed();
            let outcome = self.run(&healed, stage, spill).map_err(|text| format!("going on: {text}"))?;
            self.check_resumed(&healed, topology, &outcome).map_err(|text| format!("going on: {text}"))?;
            summary.resumed += u64::from(outcome.report.resumed_from.is_some());
            summary.epochs += outcome.report.checkpoints_completed;
        }
        summary.rows = self.targets.values().map(shown).sum();
        Ok(summary)
    }

    /// Runs to the end and checks what holds however a run ends.
    fn run(&self, topology: &Topology, stage: &Stage<'_>, spill: &Path) -> Result<Outcome, String> {
        self.targets.values().for_each(|target| lock(target).writers = (0, 0));
        let program = program(topology.clone(), stage.runtime(), self, spill);
        let outcome = stage.run(program)??;
        if let Some(violation) = self.watch.violations().first() {
            return Err(violation.clone());
        }
        if outcome.budget_used != 0 {
            return Err(format!("{} bytes of the budget are still charged", outcome.budget_used));
        }
        for (name, lanes) in &outcome.lanes {
            let lanes = *lock(lanes);
            if lanes.opened != lanes.closed {
                return Err(format!("transform `{name}` was left open: {lanes:?}"));
            }
        }
        for (sink, target) in &self.targets {
            let staged: usize = lock(target).staged.values().map(Vec::len).sum();
            if staged > 0 {
                return Err(format!("sink `{sink}` was left with {staged} staged rows"));
            }
            oracle::order(sink, &lock(target).committed())?;
        }
        Ok(outcome)
    }

    fn check_ending(&self, topology: &Topology, outcome: &Outcome) -> Result<(), String> {
        let report = &outcome.report;
        match report.status {
            Status::Completed => self.check_completed(topology, report),
            Status::Drained => self.check_drained(topology, outcome),
            Status::Failed => self.check_failed(topology, report),
            Status::Fenced => Err(format!("nobody else runs this, yet it was fenced: {:?}", report.error)),
        }
    }

    fn check_completed(&self, topology: &Topology, report: &RunReport) -> Result<(), String> {
        if let Some(failed) = self.watch.failed().first() {
            return Err(format!("completed, though `{failed}` failed"));
        }
        if report.error.is_some() {
            return Err(format!("completed with the error {:?}", report.error));
        }
        let expected = oracle::expect(topology, &|split| split.rows, true);
        oracle::counts(topology, report, &expected)?;
        self.check_settled()?;
        self.compare(&expected, &[])
    }

    /// A drained run shows exactly what follows from the positions it reached, where no whole input was open.
    fn check_drained(&self, topology: &Topology, outcome: &Outcome) -> Result<(), String> {
        let gone = gone(topology);
        if topology.end == End::Eos && gone.is_empty() {
            return Err("drained, though nobody asked for it".to_owned());
        }
        if let Some(failed) = self.watch.failed().first() {
            return Err(format!("drained, though `{failed}` failed"));
        }
        let reached = |split: &SplitScript| {
            let logs = outcome.sources.values();
            logs.filter_map(|log| decode_position(lock(log).reached.get(&split.id())?)).max().unwrap_or(0)
        };
        for (name, lanes) in &outcome.lanes {
            let unread = |split: &&SplitScript| reached(split) < split.rows;
            let from = topology.above(name);
            let splits = topology.nodes.iter().filter(|node| from.contains(&node.name())).flat_map(splits);
            let lanes = *lock(lanes);
            if let Some(split) = splits.clone().find(unread).filter(|_| lanes.ended == lanes.opened) {
                return Err(format!("transform `{name}` was told that its input ended, though {split:?} has not"));
            }
        }
        self.check_settled()?;
        let held = topology.held();
        let mut expected = oracle::expect(topology, &reached, false);
        if held.is_empty() && gone.is_empty() {
            oracle::counts(topology, &outcome.report, &expected)?;
        }
        let ended = oracle::expect(topology, &reached, true);
        for part in held {
            let shows = |name: &&str| self.targets.get(*name).is_some_and(|target| shown(target) > 0);
            // Where something is shown the part had come to its end before the drain came.
            let at_its_end = part.iter().any(shows);
            for (sink, due) in expected.sinks.iter_mut().filter(|(sink, _)| part.contains(&sink.as_str())) {
                *due = if at_its_end { ended.sinks[sink].clone() } else { Vec::new() };
            }
        }
        self.compare(&expected, &gone)
    }

    fn check_failed(&self, topology: &Topology, report: &RunReport) -> Result<(), String> {
        let failed = self.watch.failed();
        let Some(error) = &report.error else {
            let cancelled = matches!(topology.end, End::Cancel(_));
            return if cancelled { self.check_whole_epochs() } else { Err("failed without an error".to_owned()) };
        };
        let operator = error.operator().unwrap_or("none").to_owned();
        let policy = topology.beside.get(&operator).map(|beside| beside.on_error);
        let refused = matches!(policy, Some(Some(OnError::Fail)));
        let cancelled = matches!(topology.end, End::Cancel(_)) && failed.is_empty() && error.operator().is_none();
        if !(failed.contains(&operator) || refused || cancelled) {
            return Err(format!("failed with {error:?} of `{operator}`, though {failed:?} failed"));
        }
        // What has its permit is committed even when a cancel comes in between.
        let cancellable = matches!(topology.end, End::Cancel(_));
        if topology.checkpoints.is_empty() && topology.every.is_none() && !commit_broken(topology) && !cancellable {
            for (sink, target) in &self.targets {
                let shown = shown(target);
                if shown > 0 && failed.iter().all(|name| name != sink) {
                    return Err(format!("the run failed before its only commit, yet sink `{sink}` shows {shown} rows"));
                }
            }
        }
        self.check_whole_epochs()
    }

    /// After the run that goes on, everything is shown once.
    fn check_resumed(&self, healed: &Topology, broken: &Topology, outcome: &Outcome) -> Result<(), String> {
        if outcome.report.status != Status::Completed {
            return Err(format!("{:?} with {:?}", outcome.report.status, outcome.report.error));
        }
        self.check_settled()?;
        let expected = oracle::expect(healed, &|split| split.rows, true);
        self.compare(&expected, &gone(broken))
    }

    /// Nothing is half done after a run that ended well.
    fn check_settled(&self) -> Result<(), String> {
        for (sink, target) in &self.targets {
            let left = lock(target).rows(State::Prepared);
            if left > 0 {
                return Err(format!("sink `{sink}` was left with {left} rows prepared and not committed"));
            }
        }
        Ok(())
    }

    /// All parts of one epoch of a sink share one fate.
    fn check_whole_epochs(&self) -> Result<(), String> {
        for (sink, target) in &self.targets {
            let target = lock(target);
            let mut fates = BTreeMap::new();
            for part in target.parts.values() {
                let shown = part.state == State::Committed;
                if *fates.entry(part.epoch).or_insert(shown) != shown {
                    return Err(format!("sink `{sink}` shows a part of epoch {}", part.epoch));
                }
            }
        }
        Ok(())
    }

    fn compare(&self, expected: &Expected, gone: &[String]) -> Result<(), String> {
        for (sink, target) in &self.targets {
            if gone.contains(sink) {
                continue;
            }
            let due = expected.sinks.get(sink).map(Vec::as_slice).unwrap_or_default();
            let shown: BTreeMap<usize, Vec<Kept>> = lock(target).committed();
            oracle::compare(sink, due, &shown)?;
        }
        Ok(())
    }
}

/// Builds the pipeline of a topology and runs it.
async fn run_pipeline(topology: Topology, runtime: Runtime, parts: Parts) -> Result<Outcome, String> {
    let process = Budget::new(usize::MAX / 4);
    let probe = Probe {
        base: parts.spill.clone(),
        mode: ProbeMode::Run,
        runtime: runtime.clone(),
        budget: process.child(topology.settings.memory_max.bytes()),
    };
    let mut builder = PipelineBuilder::new("simulated", Arc::new(topology.settings.clone()));
    let mut sources = BTreeMap::new();
    let mut lanes = BTreeMap::new();
    for node in &topology.nodes {
        let beside = topology.beside.get(node.name()).copied().unwrap_or_default();
        let options = OperatorOptions {
            on_error: beside.on_error,
            parallelism: beside.parallelism,
            ..OperatorOptions::default()
        };
        let (name, watch) = (node.name(), parts.watch.clone());
        match node.clone() {
            Node::Source(script) => {
                let plan = ScriptedSource::new(script, watch);
                sources.insert(name.to_owned(), plan.log());
                builder.add_source(name, "scripted", Box::new(plan), options);
            }
            Node::Transform(script) => {
                let plan = ScriptedTransform::new(script, watch);
                lanes.insert(name.to_owned(), plan.closed());
                builder.add_transform(name, "scripted", Box::new(plan), options);
            }
            Node::Whole(script) => {
                builder.add_transform(name, "whole", Box::new(ScriptedWhole::new(script, watch)), options);
            }
            Node::Sink(script) => {
                let plan = CollectSink::new(script, watch, parts.targets[name].clone());
                builder.add_sink(name, "collect", Box::new(plan), options);
            }
        }
    }
    for (from, to) in &topology.edges {
        builder.connect(from, to);
    }
    let (pipeline, faults) = builder.build(&probe).await;
    if !faults.is_empty() {
        return Err(format!("the pipeline was refused: {faults:?}"));
    }
    let report = drive(&topology, &runtime, pipeline, &parts).await;
    Ok(Outcome { report, sources, lanes, budget_used: process.used().max(probe.budget.used()) })
}

/// Runs the pipeline, opens epochs, drains or cancels as the topology says.
async fn drive(topology: &Topology, runtime: &Runtime, pipeline: rde_engine::Pipeline, parts: &Parts) -> RunReport {
    let trace = parts.watch.trace.clone();
    let hook = move |event: &rde_engine::TraceEvent| trace.engine(event.clone());
    let mut engine = PipelineEngine::new(runtime.clone()).log(Arc::new(parts.log.clone())).trace(Arc::new(hook));
    if let Some(every) = topology.every {
        engine = engine.checkpoint_every(every);
    }
    let control = RunControl::new();
    let (clock, script) = (runtime.clock.clone(), topology.clone());
    let stop = control.clone();
    let from_outside = async move {
        let started = clock.elapsed();
        let until = |at: Duration| clock.sleep((started + at).saturating_sub(clock.elapsed()));
        let end = match script.end {
            End::Eos => None,
            End::Drain(at) | End::Cancel(at) => Some(at),
        };
        for at in script.checkpoints.iter().filter(|at| end.is_none_or(|end| **at < end)) {
            until(*at).await;
            stop.checkpoint();
        }
        let Some(at) = end else { return futures::future::pending::<()>().await };
        until(at).await;
        if matches!(script.end, End::Drain(_)) {
            stop.drain()
        } else {
            stop.cancel()
        }
        futures::future::pending::<()>().await;
    };
    let run = Box::pin(engine.run(pipeline, control));
    match select(run, Box::pin(from_outside)).await {
        Either::Left((report, _)) => report,
        Either::Right(((), run)) => run.await,
    }
}

/// What of a world a run takes along.
struct Parts {
    watch: Watch,
    log: MemoryLog,
    targets: BTreeMap<String, Shared<SinkLog>>,
    spill: std::path::PathBuf,
}

fn program(
    topology: Topology,
    runtime: Runtime,
    world: &World,
    spill: &Path,
) -> impl Future<Output = Result<Outcome, String>> + Send + 'static {
    let parts = Parts {
        watch: world.watch.clone(),
        log: world.log.clone(),
        targets: world.targets.clone(),
        spill: spill.to_owned(),
    };
    run_pipeline(topology, runtime, parts)
}

/// Returns the operators that get less than is due because the reader of a sink leaves: it, and what its refused rows reach.
fn gone(topology: &Topology) -> Vec<String> {
    let leaves = |node: &&Node| matches!(node, Node::Sink(script) if matches!(script.broken, Broken::ReaderGone(_)));
    let gone = topology.nodes.iter().filter(leaves).flat_map(|node| topology.below(node.name()));
    gone.map(str::to_owned).collect()
}

fn splits(node: &Node) -> &[SplitScript] {
    match node {
        Node::Source(script) => &script.splits,
        _ => &[],
    }
}

/// Returns how many rows a target shows.
fn shown(target: &Shared<SinkLog>) -> u64 {
    lock(target).rows(State::Committed) as u64
}

fn commit_broken(topology: &Topology) -> bool {
    let broken = |node: &Node| matches!(node, Node::Sink(script) if matches!(script.broken, Broken::Commit(_) | Broken::CommitAnswer(_)));
    topology.nodes.iter().any(broken)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
