//! The `parquet` source: footers in `discover`, row groups as splits, columns and predicates pushed down.
//!
//! `plan.rs` finds files and columns, `source.rs` reads row groups, `prune.rs` leaves out those whose statistics rule out
//! every row. Invariant: foreign bytes, however damaged, are an error that names the file and row group.

mod bytes;
mod config;
mod plan;
mod prune;
mod source;

pub use config::ParquetSourceConfig;
pub use plan::ParquetSource;

#[cfg(test)]
mod tests;
