//! What travels on an edge, in order.
//!
//! Order is the protocol: a barrier behind a batch means that the batch belongs to that barrier's epoch. There is no
//! acknowledgement per batch.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::{Charge, Epoch};

/// A schema with the number it has at the output that announced it, and why it came.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaVersion {
    /// 1 for the first schema of an output.
    pub version: u32,
    /// The columns.
    pub schema: SchemaRef,
    /// Why it replaced the one before; `None` for the first.
    pub cause: Option<Arc<str>>,
}

/// A point in event time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub i64);

/// The border between two epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The epoch that ends here.
    pub epoch: Epoch,
    /// A drain: nothing follows, though no input has ended.
    pub last: bool,
}

/// What travels on an edge.
#[derive(Clone, Debug)]
pub enum Message {
    /// Announces the schema of the batches behind it.
    Schema(Arc<SchemaVersion>),
    /// Rows. The charge, where there is one, is shared by every edge that carries the batch.
    Batch(RecordBatch, Option<Arc<Charge>>),
    /// No later row is expected to be older; rows that are, are late.
    Watermark(EventTime),
    /// This input has nothing for now and does not hold back watermarks.
    Idle,
    /// Ends an epoch.
    Barrier(Barrier),
    /// The input is complete.
    Eos,
}
