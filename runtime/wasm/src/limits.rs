//! Every limit on a plugin as one value, from the pipeline file to the host.
//!
//! Invariant: whatever a guest can make grow is counted against a member of [`Limits`]; nothing in the host compares with a
//! number written elsewhere.
//! Not here: enforcing them (`state.rs`, `emit.rs`, `call.rs`, `describe.rs`).

use std::time::Duration;

use rde_core::{ByteSize, Period};

/// Length of an epoch tick.
pub const TICK: Duration = Duration::from_millis(10);

/// What a plugin may use. [`Limits::default`] gives the documented defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of linear memory of one instance.
    pub memory_max: usize,
    /// Time of one call.
    pub time_max: Duration,
    /// Time of each of `describe`, `bind`, `open`.
    pub open_time_max: Duration,
    /// Bytes of an encoded batch; `None`: the smaller of 64 MiB and half of `memory_max`.
    pub input_max: Option<usize>,
    /// Materialised bytes of one call; `None`: the larger of 64 MiB and 16 times the input.
    pub output_max: Option<usize>,
    /// Bytes from guest to host in one host call.
    pub transfer_max: usize,
    /// Calls of `emit` within a call.
    pub emits_max: u32,
    /// Host calls within a call.
    pub host_calls_max: u32,
    /// Rows named by one `failure.rows`.
    pub faults_max: usize,
    /// Bytes of text in one `failure.rows`; and of its copies for the rows of one call, which are cut above it.
    pub fault_text_max: usize,
    /// Attempts of one batch.
    pub retry_max: u32,
    /// Sum of the waits between them.
    pub retry_wait_max: Duration,
    /// Bytes of names of ports and codes.
    pub name_max: usize,
    /// Bytes of a column's name.
    pub column_name_max: usize,
    /// Bytes of a message; longer text is cut.
    pub text_max: usize,
    /// Levels of nested types in a schema from the guest.
    pub depth_max: usize,
    /// Fields of a schema from the guest, over the input's.
    pub fields_added_max: usize,
    /// Elements of one table.
    pub elements_max: usize,
    /// Linear memories of one instance.
    pub memories_max: usize,
    /// Core instances within one component instance.
    pub instances_max: usize,
    /// Handles to resources.
    pub handles_max: usize,
    /// Bytes of log lines a second.
    pub log_rate_max: usize,
    /// Bytes of one log line.
    pub log_line_max: usize,
    /// Bytes of log lines that go with a trap.
    pub log_tail_max: usize,
    /// Bytes of the answer of `describe`.
    pub describe_max: usize,
    /// Bytes of the artifact.
    pub artifact_max: u64,
}

/// Bytes of stack of a guest; a setting of the engine, alike for all plugins.
pub const STACK_MAX: usize = 512 << 10;

/// Bytes of free buffers that one instance keeps for the next call.
pub(crate) const POOL_RETAINED_MAX: usize = 16 << 20;

/// Instances with at most this much memory come from the pool.
pub const POOLED_MEMORY_MAX: usize = 64 << 20;

/// The largest `output_max`: offsets of Arrow's plain string type are 32 bits.
pub const OUTPUT_CEILING: usize = i32::MAX as usize;

/// The largest `memory_max`: what a 32-bit memory can have.
pub const MEMORY_CEILING: usize = 4 << 30;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_max: 64 << 20,
            time_max: Duration::from_secs(10),
            open_time_max: Duration::from_secs(5),
            input_max: None,
            output_max: None,
            transfer_max: 65 << 20,
            emits_max: 256,
            host_calls_max: 100_000,
            faults_max: 65_536,
            fault_text_max: 1 << 20,
            retry_max: 10,
            retry_wait_max: Duration::from_secs(300),
            name_max: 64,
            column_name_max: 1 << 10,
            text_max: 8 << 10,
            depth_max: 32,
            fields_added_max: 4096,
            elements_max: 100_000,
            memories_max: 4,
            instances_max: 64,
            handles_max: 10_000,
            log_rate_max: 64 << 10,
            log_line_max: 4 << 10,
            log_tail_max: 4 << 10,
            describe_max: 1 << 20,
            artifact_max: 64 << 20,
        }
    }
}

impl Limits {
    /// Returns the bytes that an encoded batch may have.
    pub fn input_bytes(&self) -> usize {
        self.input_max.unwrap_or_else(|| (64 << 20).min(self.memory_max / 2))
    }

    /// Returns the bytes that one call may materialise, given those of its input.
    pub fn output_bytes(&self, input: usize) -> usize {
        self.output_max.unwrap_or_else(|| input.saturating_mul(16).clamp(64 << 20, OUTPUT_CEILING))
    }

    /// Returns how many ticks a call may see. One tick may come right after the start, so one more is let pass: a call is
    /// never cut short, and runs at most one tick longer.
    pub fn ticks(period: Duration) -> u64 {
        let ticks = period.as_nanos().div_ceil(TICK.as_nanos());
        u64::try_from(ticks).unwrap_or(u64::MAX / 2).saturating_add(1)
    }

    /// Returns the limits as names and values, as `open` shows them to the guest.
    pub fn names(&self) -> Vec<(String, String)> {
        let list: [(&str, String); 11] = [
            ("memory_max", self.memory_max.to_string()),
            ("time_max", self.time_max.as_millis().to_string()),
            ("open_time_max", self.open_time_max.as_millis().to_string()),
            ("input_max", self.input_bytes().to_string()),
            ("output_max", self.output_bytes(0).to_string()),
            ("transfer_max", self.transfer_max.to_string()),
            ("emits_max", self.emits_max.to_string()),
            ("host_calls_max", self.host_calls_max.to_string()),
            ("faults_max", self.faults_max.to_string()),
            ("text_max", self.text_max.to_string()),
            ("log_line_max", self.log_line_max.to_string()),
        ];
        list.into_iter().map(|(name, value)| (format!("limits.{name}"), value)).collect()
    }
}

/// Shows bytes as the pipeline file writes them.
pub(crate) fn size(bytes: usize) -> String {
    ByteSize(bytes as u64).to_string()
}

/// Shows a length of time as the pipeline file writes it.
pub(crate) fn period(period: Duration) -> String {
    Period(period).to_string()
}
