//! Arrow batches as IPC bytes, with checks: the only code that host and guests share.
//!
//! On the batch path it stands on both sides of the plugin boundary. Without features it is the guest's slim half: a reader of
//! one `Schema` or one `RecordBatch` message ([`Schema`], [`Batch`]) and a writer of both ([`Schema::encode`],
//! [`MessageWriter`]), with no arrow crates. The feature `arrow` adds the host's half in [`host`].
//!
//! Invariant: no bytes make a function of this crate panic, and nothing is read outside the bytes given.
//! Not here: calls between host and guest, limits and their sizes (the host), the plugin author's words (`rde-sdk`).

mod aligned;
mod build;
mod envelope;
mod error;
mod flat;
mod head;
mod read;
mod schema;
mod types;
mod write;

#[cfg(feature = "arrow")]
pub mod host;

#[cfg(feature = "arrow")]
pub use host::*;

pub use aligned::{AlignedBuffer, Native, view_as};
pub use error::IpcError;
pub use read::{Batch, BatchReader, Bits, Bytes, Column, Stored};
pub use schema::{SchemaLimits, TYPE_DEPTH_MAX};
pub use types::{DataType, Field, IntervalUnit, Schema, TimeUnit};
pub use write::{MessageWriter, TextWriter};
