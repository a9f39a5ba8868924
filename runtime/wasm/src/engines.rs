//! The two WebAssembly engines of the process: one with a pool of memories for small plugins, one that maps on demand.
//!
//! Both have the same code settings, so one compiled artifact serves both. Calls are synchronous: concurrency support is off,
//! since with it on a call costs 4.6 times as much.
//! Invariant: only the features named in [`configuration`] are on; a guest that uses another one does not compile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy, WasmBacktraceDetails, WasmFeatures,
};

use crate::limits::{Limits, POOLED_MEMORY_MAX, STACK_MAX};

/// Instances that the pool has room for; more are mapped on demand.
const POOL_INSTANCES: u32 = 1000;

/// Tables of one component: its own and those that `wit-component` adds for its imports.
const TABLES_MAX: u32 = 8;

pub(crate) struct Engines {
    /// `None` where the system refuses the address space (a low `ulimit -v`); everything is mapped on demand then.
    pub(crate) pooled: Option<Engine>,
    pub(crate) on_demand: Engine,
    /// Ticks so far, for what the host does on behalf of a guest.
    pub(crate) ticks: Arc<AtomicU64>,
}

impl Engines {
    pub(crate) fn new() -> wasmtime::Result<Engines> {
        let on_demand = Engine::new(&configuration())?;
        let mut config = configuration();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
        let pooled = Engine::new(&config)
            .inspect_err(|error| tracing::debug!(%error, "no pool of plugin memories, mapping them on demand"))
            .ok();
        Ok(Engines { pooled, on_demand, ticks: Arc::default() })
    }

    /// Raises the epoch, at which running guests compare their deadlines.
    pub(crate) fn tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
        self.on_demand.increment_epoch();
        if let Some(pooled) = &self.pooled {
            pooled.increment_epoch();
        }
    }
}

fn configuration() -> Config {
    let mut config = Config::new();
    config.strategy(Strategy::Cranelift);
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(STACK_MAX);
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    // Reference types and multiple values stay on too: current compilers emit them, and so does a component's own glue.
    config.wasm_simd(true).wasm_bulk_memory(true).wasm_tail_call(true);
    config.wasm_relaxed_simd(false).wasm_memory64(false).wasm_multi_memory(false).wasm_extended_const(false);
    config.wasm_wide_arithmetic(false).wasm_custom_page_sizes(false).wasm_gc(false);
    let off = WasmFeatures::FUNCTION_REFERENCES | WasmFeatures::EXCEPTIONS | WasmFeatures::THREADS;
    config.wasm_features(off, false);
    config
}

fn pool() -> PoolingAllocationConfig {
    let limits = Limits::default();
    let memories = u32::try_from(limits.memories_max).unwrap_or(u32::MAX);
    let instances = u32::try_from(limits.instances_max).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(POOL_INSTANCES)
        .total_core_instances(POOL_INSTANCES * 4)
        .total_memories(POOL_INSTANCES)
        .total_tables(POOL_INSTANCES * 2)
        .max_core_instances_per_component(instances)
        .max_memories_per_component(memories)
        .max_tables_per_component(TABLES_MAX)
        .max_memory_size(POOLED_MEMORY_MAX)
        .table_elements(limits.elements_max);
    pool
}
