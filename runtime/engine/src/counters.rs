//! What is counted while a run goes on: atomics per operator and edge, read by the report, `/metrics` and progress.
//!
//! Lanes add per batch, never per row, and take no lock. Invariant: a number only grows.
//! Not here: the equations between them (`balance.rs`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rde_core::{Budget, Counted, Kind, PluginStatsSlot};

use crate::graph::{BoundGraph, BoundOperator};
use crate::report::{EdgeReport, LiveCounters, OperatorReport, PluginReport};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// Raises it to `value` where it is lower.
    pub fn raise(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    /// Returns it.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What each operator has from before it is opened.
#[derive(Clone, Debug)]
pub(crate) struct Resources {
    pub budget: Budget,
    pub plugin_stats: PluginStatsSlot,
}

/// The counts of one operator, all lanes together.
#[derive(Debug)]
pub(crate) struct OperatorCounters {
    pub id: Arc<str>,
    pub kind: Kind,
    pub kind_name: Arc<str>,
    pub rows_read: Count,
    pub rows_in: Count,
    pub rows_out: Count,
    pub rows_filtered: Count,
    pub rows_rejected: Count,
    pub rows_skipped: Count,
    pub rows_committed: Count,
    pub rows_abandoned: Count,
    pub batches: Count,
    pub bytes: Count,
    pub busy_nanos: Count,
    pub waiting_nanos: Count,
    pub rows_by_lane: Vec<Count>,
    /// Rows put on each output, `errors` last.
    pub rows_by_output: Vec<Count>,
    pub budget: Budget,
    pub plugin_stats: PluginStatsSlot,
    /// Skipped rows by code, so that each is warned about seldom.
    skipped_codes: Mutex<BTreeMap<String, u64>>,
}

/// Codes of skipped rows that are told apart; further ones count as one.
const SKIPPED_CODES_MAX: usize = 64;

impl OperatorCounters {
    /// Makes counters at zero.
    pub fn new(bound: &BoundOperator, lanes: usize, resources: &Resources) -> OperatorCounters {
        let (id, kind, kind_name) = (bound.id.clone(), bound.kind, bound.kind_name.clone());
        let Resources { budget, plugin_stats } = resources.clone();
        let outputs = bound.outputs.len();
        let counts = |n: usize| std::iter::repeat_with(Count::default).take(n).collect::<Vec<_>>();
        OperatorCounters {
            id,
            kind,
            kind_name,
            rows_read: Count::default(),
            rows_in: Count::default(),
            rows_out: Count::default(),
            rows_filtered: Count::default(),
            rows_rejected: Count::default(),
            rows_skipped: Count::default(),
            rows_committed: Count::default(),
            rows_abandoned: Count::default(),
            batches: Count::default(),
            bytes: Count::default(),
            busy_nanos: Count::default(),
            waiting_nanos: Count::default(),
            rows_by_lane: counts(lanes),
            rows_by_output: counts(outputs + 1),
            budget,
            plugin_stats,
            skipped_codes: Mutex::default(),
        }
    }

    /// Adds what an operator counted itself.
    pub fn counted(&self, lane: usize, counted: Counted) {
        if counted.rows_read > 0 {
            self.rows_read.add(counted.rows_read);
            self.rows_by_lane[lane].add(counted.rows_read);
        }
        self.rows_filtered.add(counted.rows_filtered);
        if self.kind != Kind::Transform {
            self.bytes.add(counted.bytes);
        }
    }

    /// Counts a batch taken from an input.
    pub fn taken(&self, lane: usize, rows: u64, bytes: u64) {
        self.rows_in.add(rows);
        self.rows_by_lane[lane].add(rows);
        self.batches.add(1);
        if self.kind == Kind::Transform {
            self.bytes.add(bytes);
        }
    }

    /// Counts a row that is skipped; returns how many of its code there are if a warning is due: at 1, 10, 100, …
    pub fn skipped(&self, code: &str) -> Option<u64> {
        self.rows_skipped.add(1);
        let mut codes = self.skipped_codes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = codes.contains_key(code) || codes.len() < SKIPPED_CODES_MAX;
        let count = codes.entry(if known { code } else { "other codes" }.to_owned()).or_default();
        *count += 1;
        (10u64.pow(count.ilog10()) == *count).then_some(*count)
    }

    fn report(&self) -> OperatorReport {
        OperatorReport {
            id: self.id.to_string(),
            kind: self.kind,
            kind_name: self.kind_name.to_string(),
            rows_read: self.rows_read.get(),
            rows_in: self.rows_in.get(),
            rows_out: self.rows_out.get(),
            rows_filtered: self.rows_filtered.get(),
            rows_rejected: self.rows_rejected.get(),
            rows_skipped: self.rows_skipped.get(),
            rows_committed: self.rows_committed.get(),
            rows_abandoned: self.rows_abandoned.get(),
            batches: self.batches.get(),
            bytes: self.bytes.get(),
            busy: Duration::from_nanos(self.busy_nanos.get()),
            waiting: Duration::from_nanos(self.waiting_nanos.get()),
            memory_peak_bytes: self.budget.peak() as u64,
            lanes: self.rows_by_lane.len(),
            rows_by_lane: self.rows_by_lane.iter().map(Count::get).collect(),
            balanced: None,
        }
    }

    fn plugin(&self) -> Option<PluginReport> {
        let stats = self.plugin_stats.get()?;
        Some(PluginReport {
            operator: self.id.to_string(),
            digest: stats.digest.clone(),
            calls: stats.calls.load(Ordering::Relaxed),
            micros_per_call_p50: stats.quantile_micros(0.5),
            micros_per_call_p99: stats.quantile_micros(0.99),
            memory_peak_bytes: stats.memory_peak.load(Ordering::Relaxed),
            traps: stats.traps.load(Ordering::Relaxed),
            reloads: stats.reloads.load(Ordering::Relaxed),
        })
    }
}

/// The counts of one edge, all lanes together.
#[derive(Debug)]
pub(crate) struct EdgeCounters {
    pub from: String,
    pub to: String,
    pub rows_sent: Count,
    pub rows_received: Count,
    pub bytes_peak: Count,
    bytes: AtomicU64,
}

impl EdgeCounters {
    /// Makes counters at zero.
    pub fn new(from: String, to: String) -> EdgeCounters {
        let (rows_sent, rows_received, bytes_peak) = Default::default();
        EdgeCounters { from, to, rows_sent, rows_received, bytes_peak, bytes: AtomicU64::new(0) }
    }

    /// Counts a message put on the edge.
    pub fn sent(&self, rows: usize, bytes: usize) {
        self.rows_sent.add(rows as u64);
        let before = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.bytes_peak.raise(before + bytes as u64);
    }

    /// Counts a message taken from it.
    pub fn received(&self, rows: usize, bytes: usize) {
        self.rows_received.add(rows as u64);
        self.bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// Counts rows handed on inside a fused chain, where nothing waits.
    pub fn fused(&self, rows: usize) {
        self.rows_sent.add(rows as u64);
        self.rows_received.add(rows as u64);
    }
}

/// All counts of a run.
#[derive(Debug)]
pub(crate) struct Counters {
    pub operators: Vec<Arc<OperatorCounters>>,
    pub edges: Vec<Arc<EdgeCounters>>,
    pub budget: Budget,
    pub checkpoints_completed: Count,
    pub running: AtomicBool,
}

impl Counters {
    /// Makes counters at zero; `lanes` has the number of lanes of each operator.
    pub fn new(graph: &BoundGraph, lanes: &[usize], resources: &[Resources], budget: Budget) -> Counters {
        let operators = graph.operators.iter().zip(lanes).zip(resources);
        let edges = graph.edges.iter().map(|edge| EdgeCounters::new(graph.end(&edge.from), graph.end(&edge.to)));
        Counters {
            operators: operators
                .map(|((bound, lanes), resources)| Arc::new(OperatorCounters::new(bound, *lanes, resources)))
                .collect(),
            edges: edges.map(Arc::new).collect(),
            budget,
            checkpoints_completed: Count::default(),
            running: AtomicBool::new(false),
        }
    }

    /// Returns the counts as they are now.
    pub fn live(&self) -> LiveCounters {
        LiveCounters {
            operators: self.operators.iter().map(|operator| operator.report()).collect(),
            edges: self.edges.iter().map(|edge| self.edge(edge)).collect(),
            budget_used_bytes: self.budget.used() as u64,
            budget_peak_bytes: self.budget.peak() as u64,
            checkpoints_completed: self.checkpoints_completed.get(),
            running: self.running.load(Ordering::Relaxed),
        }
    }

    /// Returns the counts of plugins.
    pub fn plugins(&self) -> Vec<PluginReport> {
        self.operators.iter().filter_map(|operator| operator.plugin()).collect()
    }

    fn edge(&self, edge: &EdgeCounters) -> EdgeReport {
        EdgeReport {
            from: edge.from.clone(),
            to: edge.to.clone(),
            rows_sent: edge.rows_sent.get(),
            rows_received: edge.rows_received.get(),
            bytes_peak: edge.bytes_peak.get(),
        }
    }
}
