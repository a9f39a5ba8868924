//! The words operators speak: messages, the traits of sources, transforms and sinks, plans, errors, budgets, clocks.
//!
//! Every operator crate, the plugin host and the engine depend on this crate and not on each other.
//! Invariant: it depends on arrow and on no async runtime; futures are plain boxed futures, clocks and tasks come in
//! through [`Clock`] and [`Spawn`].
//! Not here: anything serialised to users; formats have structs of their own at their edge.

mod budget;
mod cancel;
mod clock;
mod codes;
mod compact;
mod error;
mod message;
mod operator;
mod output;
mod plan;
pub mod row_bytes;
mod schemas;
mod settings;
mod size;
mod stats;
mod wanted;

pub use budget::{Budget, Charge};
pub use cancel::CancelToken;
pub use clock::{Clock, Random, Runtime, Spawn, Work};
pub use codes::{Code, LATER_STAGE};
pub use compact::compact;
pub use error::{Error, ErrorKind, Faults, Place, Result};
pub use futures::future::BoxFuture;
pub use futures::stream::BoxStream;
pub use message::{Barrier, EventTime, Message, SchemaVersion};
pub use operator::{
    AsyncTransform, BatchStream, Committer, Flow, Operator, Positions, Produced, Progress, Sink, SinkWriter, Source,
    Split, State, Transform, Written,
};
pub use output::{Counted, Mark, Output, Payload, Rejected, Staged};
pub use plan::{
    Balance, Fields, Footprint, InputShape, Inputs, Joining, Kind, Lanes, OpenContext, OperatorSpec, OutputShape,
    PathPattern, Plan, Probe, ProbeMode, Reference, STDOUT, Shape, Traits, TypeNote,
};
pub use rde_checkpoint::{Commit, CommitId, CommitPermit, Epoch, Incarnation, Marker, Position, Prepared, SplitId};
pub use schemas::DynamicSchemaManager;
pub use settings::{OnError, Settings};
pub use size::{ByteSize, Period};
pub use stats::{PluginStats, PluginStatsSlot};
pub use wanted::{Columns, Comparison, Predicate, Scalar, Wanted};
