//! Files in, files out: the sources `csv` and `parquet`, the sinks `parquet`, `csv`, `json` and `stdout`.
//!
//! First and last step of the batch path for the main job. Invariant: what a run shows of its output is all of it or
//! nothing, whatever the moment it was killed at; what it reads is what `discover` saw, or the run fails by name.
//! Not here: which rows are wanted (engine, `Wanted`) and when to commit (engine).

pub mod codes;
pub mod csv;
mod format;
mod input;
pub mod parquet;
pub mod sink;
pub mod stdout;
#[cfg(test)]
mod testing;
mod types;

pub use csv::CsvSource;
pub use format::{RowsFormat, rows_text};
pub use parquet::ParquetSource;
pub use sink::{CsvSink, JsonSink, ParquetSink};
pub use stdout::StdoutSink;
pub use types::{parse_type, type_name};

/// Every kind of this crate, by kind and name.
pub const OPERATORS: &[&dyn rde_core::OperatorSpec] =
    &[&CsvSource, &ParquetSource, &CsvSink, &JsonSink, &ParquetSink, &StdoutSink];
