//! The `csv` source: sampled in `discover`, decoded straight into the columns somebody reads.
//!
//! `plan.rs` finds files and columns, `source.rs` reads splits, `decode` turns bytes into batches, `infer` samples into types.
//! Invariant: rows, errors and line numbers do not depend on how files are divided into splits.

pub mod codes;
mod config;
pub mod decode;
pub mod infer;
mod plan;
mod source;
mod split;

pub use config::{ColumnTypes, CsvSourceConfig, SampleRows};
pub(crate) use config::{DELIMITER_HELP, delimiter_byte};
pub use plan::CsvSource;

#[cfg(test)]
mod tests;
