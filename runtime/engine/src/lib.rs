//! Runs a bound pipeline: graph, edges, lanes, barriers, watermarks, memory budget, shutdown, coordinator.
//!
//! [`PipelineBuilder`] takes plans and edges and makes a [`Pipeline`]; [`PipelineEngine`] runs it and always answers with a
//! [`RunReport`]. The engine owns every loop; operators are called.
//! Invariant: it names no operator, and takes time, chance and tasks from the injected `Runtime` alone.
//! Not here: what operators do, how the report is serialised, how the coordinator's log is made durable (stage 3).

mod balance;
pub mod codes;
mod commit;
mod control;
mod coordinator;
mod counters;
mod edge;
mod epochs;
mod error_row;
mod graph;
mod inputs;
mod lane;
mod open;
mod outputs;
mod recover;
mod rejects;
mod report;
mod row_json;
mod run;
mod shared;
mod sink;
mod source;
mod spool;
#[cfg(test)]
mod testing;
mod trace;
mod whole;
mod wire;

pub use control::RunControl;
pub use graph::{BoundEdge, BoundGraph, BoundOperator, OperatorOptions, Pipeline, PipelineBuilder, PortEnd};
pub use rejects::HideHook;
pub use report::{EdgeReport, LiveCounters, OperatorReport, PluginReport, RunReport, SchemaReport, Status};
pub use run::PipelineEngine;
pub use trace::{TraceEvent, TraceHook};
