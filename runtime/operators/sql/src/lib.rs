//! The operator `sql`: one SELECT over the operators that send to it.
//!
//! Stands between edges as a transform. Projections, filters, casts, `unnest` and scalar functions run per batch, as
//! physical expressions that are compiled once per schema (`steps`, `batch`). Everything else runs over whole, bounded
//! inputs as one DataFusion plan (`whole`).
//! Invariant: SQL is right or refused. Integers are never wrapped, a failed cast is never a null, nothing that was
//! written is ignored, and no answer hangs on how rows were cut into batches.
//! Not here: files, network, environment; nothing in a query can reach them.

mod batch;
mod careful;
mod checked;
pub mod codes;
mod depth;
mod fallible;
mod faults;
mod floats;
mod functions;
mod growth;
mod input;
mod instant_order;
mod instants;
mod lazy;
mod mapped;
mod memory;
mod panics;
mod place;
mod plan;
mod planner;
mod pushdown;
mod query;
mod rewrite;
mod run_values;
mod spec;
mod spill;
mod steps;
mod sum;
mod unnest;
mod whole;

pub use spec::{QUERY_BYTES_MAX, Sql};

#[cfg(test)]
mod tests;
