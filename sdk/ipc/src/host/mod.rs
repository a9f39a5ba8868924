//! The host's half: arrow batches to IPC bytes and untrusted guest bytes back to arrow.
//!
//! On the batch path: `Encoder` right before a guest call, `Decoder` inside the host functions that a guest emits through.
//! Invariants: an encoded message has exactly the announced length, and nothing reaches arrow unchecked.
//! Not here: calls, limits and what to do about a refusal (`rde-wasm`).

mod check;
mod copy;
mod decode;
mod encode;
mod fuzz;
mod measure;
mod pool;
mod schema;
mod stream;
#[cfg(test)]
mod tests;
mod widened;

pub use decode::{Charge, Decoded, Decoder, Refused};
pub use encode::{Encoder, Prepared};
pub use fuzz::fuzz_guest_ipc;
pub use measure::ROWS_MAX;
pub use pool::BufferPool;
pub use schema::{SchemaRules, check_schema, crossing_schema, encode_schema};
pub use stream::{SpoolReader, SpoolWriter, encode_row_stream};
