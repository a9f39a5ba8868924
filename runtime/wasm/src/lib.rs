//! Runs plugins: WebAssembly components of the world `transform` of `rde:plugin`, each in a sandbox with limits.
//!
//! The operator is [`Wasm`]. On the batch path a batch goes through `lane.rs` (what answers mean), `call.rs` (the crossing),
//! `instance.rs` (the one way into a guest) and `emit.rs` (what the guest calls back), and out through `emitted.rs`.
//! Before a run: `plan.rs`, `artifact.rs`, `world.rs`, `describe.rs`, `config_schema.rs`, `bind.rs`, `cache.rs`.
//!
//! Invariant: whatever a guest does ends in a typed error of the operator; the host goes on and nothing of the guest stays
//! charged.
//! Not here: the bytes of Arrow IPC (`rde-ipc`), the interface itself (wit/), building plugins (`app`, the SDK).

mod abi;
mod artifact;
mod bind;
mod cache;
mod call;
pub mod codes;
mod config;
mod config_schema;
mod describe;
mod emit;
mod emitted;
mod engines;
mod faults;
mod fuzz;
mod host;
mod imports;
mod instance;
mod lane;
mod limits;
mod log;
mod plan;
mod runner;
mod state;
mod text;
mod ticker;
mod trap;
mod world;

#[cfg(test)]
mod tests;

pub use cache::CacheDirs;
pub use config::{LimitsConfig, OnSchema, OnTrap, WasmConfig};
pub use describe::{Cardinality, Cuts, Description};
pub use fuzz::fuzz_artifact;
pub use host::{Host, HostOptions};
pub use limits::{Limits, TICK};
pub use plan::Wasm;
pub use runner::{Inspection, PluginRunner, RunnerOptions, inspect};
pub use text::shown;
pub use ticker::Ticks;
pub use world::{API, Surface};
