//! What a run came to, as plain values.
//!
//! The engine fills them from its counters; whoever shows them (`app`) has serialised structs of its own, so that the
//! format of a report never hangs on the engine. Not here: the equations that decide `balanced` (`balance.rs`).

use std::time::Duration;

use rde_core::{Epoch, Error, Incarnation, Kind};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Every source ended and every sink committed.
    Completed,
    /// It was told to stop, or the reader of a sink went away; what was prepared is committed.
    Drained,
    /// It stopped with an error.
    Failed,
    /// Another runner owns the pipeline or a target.
    Fenced,
}

impl Status {
    /// Returns the word reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Completed => "completed",
            Status::Drained => "drained",
            Status::Failed => "failed",
            Status::Fenced => "fenced",
        }
    }
}

/// Everything a report says about a run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Name of the pipeline.
    pub pipeline: String,
    /// The run's random id.
    pub incarnation: Incarnation,
    /// How it ended.
    pub status: Status,
    /// The first error, with its causes.
    pub error: Option<Error>,
    /// Whether every operator's and every edge's counts agree.
    pub balanced: bool,
    /// From the call of `run` to its return.
    pub duration: Duration,
    /// Rows read by all sources in a second of that time.
    pub rows_per_second: u64,
    /// Most bytes charged to the pipeline's budget at one time. Resident memory is for `app` to measure.
    pub budget_peak_bytes: u64,
    /// In the order they were added.
    pub operators: Vec<OperatorReport>,
    /// In the order they were connected.
    pub edges: Vec<EdgeReport>,
    /// Every schema that an output announced, sorted by output and number.
    pub schemas: Vec<SchemaReport>,
    /// Checkpoints accepted by the log in this run, that of epoch 0 not counted.
    pub checkpoints_completed: u64,
    /// The newest epoch that is committed.
    pub last_epoch: Option<Epoch>,
    /// The epoch this run went on from.
    pub resumed_from: Option<Epoch>,
    /// Counters of plugins.
    pub plugins: Vec<PluginReport>,
}

/// The counts of one operator, all lanes together.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorReport {
    /// Its id.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// The kind key, for example `csv`.
    pub kind_name: String,
    /// Rows a source decoded.
    pub rows_read: u64,
    /// Rows taken from its inputs.
    pub rows_in: u64,
    /// Rows put on its outputs without `errors`, counted once however many edges leave.
    pub rows_out: u64,
    /// Rows left out on purpose.
    pub rows_filtered: u64,
    /// Rows that failed and went to `errors`, or the one that ended the run.
    pub rows_rejected: u64,
    /// Rows that failed and were dropped by `on_error: skip`.
    pub rows_skipped: u64,
    /// Sinks: rows made visible.
    pub rows_committed: u64,
    /// Sinks: rows prepared or buffered and never made visible.
    pub rows_abandoned: u64,
    /// Batches produced by a source, taken by others.
    pub batches: u64,
    /// Bytes read at sources, written at sinks, Arrow bytes in elsewhere.
    pub bytes: u64,
    /// Time inside the operator, all lanes together.
    pub busy: Duration,
    /// Time waiting for input or room, all lanes together.
    pub waiting: Duration,
    /// Most bytes charged to the operator at one time.
    pub memory_peak_bytes: u64,
    /// Lanes it ran in.
    pub lanes: usize,
    /// Rows read at sources, rows in elsewhere, by lane.
    pub rows_by_lane: Vec<u64>,
    /// Whether the equation of its kind holds; `None` where there is none.
    pub balanced: Option<bool>,
}

/// The counts of one edge, all lanes together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeReport {
    /// The sending end, `id.port`.
    pub from: String,
    /// The receiving end, `id.port`.
    pub to: String,
    /// Rows put on it.
    pub rows_sent: u64,
    /// Rows taken from it.
    pub rows_received: u64,
    /// Most bytes waiting on it at one time; 0 inside a fused chain.
    pub bytes_peak: u64,
}

/// One schema that an output announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaReport {
    /// The operator.
    pub operator: String,
    /// Its output.
    pub port: String,
    /// 1 for the first.
    pub version: u32,
    /// Why it replaced the one before.
    pub cause: Option<String>,
}

/// The counts of a plugin in one operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginReport {
    /// The operator.
    pub operator: String,
    /// `sha256:…` of the artifact.
    pub digest: String,
    /// Calls.
    pub calls: u64,
    /// Median call.
    pub micros_per_call_p50: u64,
    /// 99th percentile.
    pub micros_per_call_p99: u64,
    /// Most bytes of linear memory of one instance.
    pub memory_peak_bytes: u64,
    /// Traps.
    pub traps: u64,
    /// Reloads.
    pub reloads: u64,
}

/// The counts while a run goes on; empty before it starts.
#[derive(Clone, Debug, Default)]
pub struct LiveCounters {
    /// In the order they were added; `balanced` is not known yet and `None`.
    pub operators: Vec<OperatorReport>,
    /// In the order they were connected.
    pub edges: Vec<EdgeReport>,
    /// Bytes charged to the pipeline's budget now.
    pub budget_used_bytes: u64,
    /// Most bytes charged to it at one time.
    pub budget_peak_bytes: u64,
    /// Checkpoints accepted so far.
    pub checkpoints_completed: u64,
    /// Whether the run's operators are open and its lanes run.
    pub running: bool,
}
