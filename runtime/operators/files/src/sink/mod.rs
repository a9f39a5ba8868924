//! The sinks `parquet`, `csv` and `json`: staged files, a commit that shows all of them or none.
//!
//! `plan.rs` checks and opens; `target.rs` owns the output folder; `lane.rs` writes and prepares; `commit.rs` makes visible
//! and recovers. Invariant: nothing with a final name exists before the commit of its run.
//! Not here: standard output (`stdout`).

mod commit;
mod config;
mod disk;
mod lane;
mod lock;
mod names;
mod parked;
mod partition;
mod plan;
mod staged;
mod target;
mod token;

pub use config::{CsvSinkConfig, IfExists, JsonSinkConfig, ParquetSinkConfig};
pub(crate) use lane::{encode_error, schema_changed};
pub use plan::{CsvSink, JsonSink, ParquetSink};
pub(crate) use plan::{bind_faults, single_input};

#[cfg(test)]
mod tests;
