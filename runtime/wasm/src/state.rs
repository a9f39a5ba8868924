//! What the host keeps beside one guest instance: its counters, its memory charge, and what the running call has emitted.
//!
//! On the batch path: `imports.rs` and `emit.rs` write here while the guest runs; `call.rs` takes the result.
//! Invariant: everything a call did is in [`Call`], so forgetting a call is emptying that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rde_core::{Budget, Charge};
use rde_ipc::{BufferPool, Decoder};
use wasmtime::{ResourceLimiter, Trap as WasmTrap};

use crate::bind::BoundPlan;
use crate::emitted::Emitted;
use crate::limits::{Limits, POOL_RETAINED_MAX, size};
use crate::log::CallLog;
use crate::trap::{Class, Stop};

/// Bytes of an element of a table.
const ELEMENT_BYTES: usize = size_of::<usize>();
/// Bytes of tables that are not charged: what every guest has for its functions.
const TABLES_FREE: usize = 64 << 10;

/// Which export runs; imports answer by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Start,
    Describe,
    Bind,
    Open,
    Process,
    EndOfInput,
    Close,
}

impl Phase {
    /// Returns the export as the WIT names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Start => "start",
            Phase::Describe => "describe",
            Phase::Bind => "bind",
            Phase::Open => "open",
            Phase::Process => "process",
            Phase::EndOfInput => "end-of-input",
            Phase::Close => "close",
        }
    }
}

/// The data of a guest's store.
pub(crate) struct HostState {
    pub(crate) limits: Arc<Limits>,
    pub(crate) memory: Memory,
    pub(crate) log: CallLog,
    pub(crate) call: Call,
    /// What `bind` settled; `None` before.
    pub(crate) plan: Option<Arc<BoundPlan>>,
    /// One for each output that takes bytes from the guest.
    pub(crate) decoders: Vec<Option<Decoder>>,
    /// Where decoded buffers come from and go back to.
    pub(crate) pool: BufferPool,
    pub(crate) budget: Budget,
    /// Ticks of the process so far.
    ticks: Arc<AtomicU64>,
}

/// The running call.
pub(crate) struct Call {
    pub(crate) phase: Phase,
    /// The host's clock, constant during the call.
    pub(crate) millis: i64,
    /// The tick at which its time is over.
    pub(crate) deadline: u64,
    pub(crate) host_calls: u32,
    pub(crate) emits: u32,
    /// Input and rows of the current batch.
    pub(crate) batch: Option<(usize, usize)>,
    pub(crate) emitted: Vec<Emitted>,
    /// Bytes that what was emitted holds already.
    pub(crate) bytes: usize,
    pub(crate) output_max: usize,
    pub(crate) charges: Vec<Charge>,
    /// Why the host ended the call.
    pub(crate) stop: Option<Stop>,
}

/// Counts linear memory and tables against the limits and the budget.
pub(crate) struct Memory {
    limits: Arc<Limits>,
    charge: Charge,
    /// Bytes of the growth that was permitted last.
    growing: usize,
    /// Bytes of all tables.
    tables: usize,
    /// Why growth was refused last, since the guest only shows `unreachable`.
    pub(crate) refused: Option<(Class, String)>,
}

impl HostState {
    pub(crate) fn new(limits: Arc<Limits>, budget: Budget, log: CallLog, ticks: Arc<AtomicU64>) -> HostState {
        HostState {
            memory: Memory { limits: limits.clone(), charge: budget.charge(0), growing: 0, tables: 0, refused: None },
            log,
            call: Call::new(),
            plan: None,
            decoders: Vec::new(),
            pool: BufferPool::new(POOL_RETAINED_MAX),
            limits,
            budget,
            ticks,
        }
    }

    /// Sets the time of the call that begins.
    pub(crate) fn set_deadline(&mut self, ticks: u64) {
        self.call.deadline = self.ticks.load(Ordering::Relaxed).saturating_add(ticks);
    }

    /// Counts a host call; past the limit or the call's time the guest is stopped.
    pub(crate) fn host_call(&mut self) -> wasmtime::Result<()> {
        if self.ticks.load(Ordering::Relaxed) >= self.call.deadline {
            return Err(WasmTrap::Interrupt.into());
        }
        self.call.host_calls += 1;
        let max = self.limits.host_calls_max;
        if self.call.host_calls > max {
            return Err(self.stop(Class::Quota, format!("made more than {max} host calls (`host_calls_max`)")));
        }
        Ok(())
    }

    /// Notes why the host ends the call, and returns the error that ends it.
    pub(crate) fn stop(&mut self, class: Class, text: impl Into<String>) -> wasmtime::Error {
        self.call.stop.get_or_insert_with(|| Stop { class, text: text.into() });
        wasmtime::Error::msg("the host ended the call")
    }

    /// Returns the bytes of linear memory now.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.charge.bytes()
    }
}

impl Call {
    fn new() -> Call {
        Call {
            phase: Phase::Start,
            millis: 0,
            deadline: u64::MAX,
            host_calls: 0,
            emits: 0,
            batch: None,
            emitted: Vec::new(),
            bytes: 0,
            output_max: 0,
            charges: Vec::new(),
            stop: None,
        }
    }

    /// Begins a call, forgetting the one before and keeping its allocations.
    pub(crate) fn begin(&mut self, phase: Phase, millis: i64, batch: Option<(usize, usize)>, output_max: usize) {
        self.phase = phase;
        self.millis = millis;
        self.host_calls = 0;
        self.emits = 0;
        self.batch = batch;
        self.emitted.clear();
        self.bytes = 0;
        self.output_max = output_max;
        self.charges.clear();
        self.stop = None;
    }
}

impl Memory {
    /// Charges a growth, if limit and budget have room for it.
    fn grow(&mut self, more: usize) -> bool {
        let max = self.limits.memory_max;
        if self.charge.bytes().saturating_add(more) > max {
            self.refused = Some((Class::Memory, format!("used more than {}", size(max))));
            return false;
        }
        if !self.charge.try_grow(more) {
            let text = "needed more memory than the pipeline's `memory_max` has left";
            self.refused = Some((Class::Memory, text.to_owned()));
            return false;
        }
        self.growing = more;
        true
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, own_max: Option<usize>) -> wasmtime::Result<bool> {
        self.growing = 0;
        // Growth past the guest's own maximum fails whatever is answered, so it costs nothing and is no refusal of ours.
        if own_max.is_some_and(|own_max| desired > own_max && own_max <= self.limits.memory_max) {
            return Ok(false);
        }
        Ok(self.grow(desired.saturating_sub(current)))
    }

    /// Gives back what was permitted and then could not be had. Wasmtime calls this only after such a permission, except for
    /// pages of one byte, which are off.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        tracing::debug!(%error, "plugin memory could not grow");
        self.charge.shrink(std::mem::take(&mut self.growing));
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, own_max: Option<usize>) -> wasmtime::Result<bool> {
        self.growing = 0;
        let max = self.limits.elements_max;
        if own_max.is_some_and(|own_max| desired > own_max && own_max <= max) {
            return Ok(false);
        }
        if desired > max {
            self.refused = Some((Class::Quota, format!("used a table of more than {max} elements (`elements_max`)")));
            return Ok(false);
        }
        let tables = self.tables.saturating_add(desired.saturating_sub(current).saturating_mul(ELEMENT_BYTES));
        let charged = |tables: usize| tables.saturating_sub(TABLES_FREE);
        let grown = self.grow(charged(tables) - charged(self.tables));
        if grown {
            self.tables = tables;
        }
        Ok(grown)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        tracing::debug!(%error, "plugin table could not grow");
        self.charge.shrink(std::mem::take(&mut self.growing));
        Ok(())
    }

    fn instances(&self) -> usize {
        self.limits.instances_max
    }

    fn tables(&self) -> usize {
        self.limits.instances_max
    }

    fn memories(&self) -> usize {
        self.limits.memories_max
    }
}
