//! What the engine calls: sources, transforms, sinks.
//!
//! The engine owns the loop; operators are called, since barriers, watermarks, budgets and cancellation must be right once
//! and not in every operator (decision 0001). No method that correctness hangs on has a default body.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::{
    Commit, CommitPermit, Epoch, EventTime, Marker, Output, Position, Prepared, Result, SchemaVersion, SplitId,
};

/// The unit of a source that can move between lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Stable across runs over the same input.
    pub id: SplitId,
    /// Its length in bytes where known, so that lanes can be given like amounts.
    pub weight: u64,
}

/// Where reading resumes in each split.
pub type Positions = BTreeMap<SplitId, Position>;

/// What a call of [`Source::next`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Call again at once; something may have been produced.
    Produced,
    /// Nothing now; ask again after this long.
    Idle(Duration),
    /// Every assigned split is at its end.
    Ended,
}

/// Reads. One value per lane; the first is also asked for the splits.
pub trait Source: Send {
    /// Returns all splits that exist now. Asked of the first lane, again from time to time.
    fn splits(&mut self) -> BoxFuture<'_, Result<Vec<Split>>>;
    /// Replaces the splits this lane reads; `None` starts at the beginning as configured.
    fn assign(&mut self, splits: Vec<(Split, Option<Position>)>) -> BoxFuture<'_, Result<()>>;
    /// Produces about one batch on output 0, its schema first. Returns within 100 ms and never waits on an edge; it is never
    /// dropped while pending, and barriers are taken between two calls.
    fn next<'a>(&'a mut self, out: &'a mut Output) -> BoxFuture<'a, Result<Progress>>;
    /// Called while backpressure keeps `next` from being called.
    fn keep_alive(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
    /// Returns where reading resumes if the process dies after what was produced.
    fn positions(&self) -> Positions;
    /// Hears that an epoch was committed; for display outside only.
    fn committed(&mut self, _epoch: Epoch) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What a call of a transform came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The input was used up.
    Done,
    /// There is more to come from this input: the engine sends what is staged, waits for room and calls `more`.
    More,
    /// What is staged by this call is forgotten, and the same call comes again after this long.
    RetryAfter(Duration),
}

/// State of an operator at a barrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The operator keeps nothing between batches.
    None,
    /// Opaque bytes of the operator.
    Bytes(Vec<u8>),
}

/// Turns batches into batches: plain calls, so a fused chain is function calls. Runs on a compute thread.
pub trait Transform: Send {
    /// Takes the schema of an input, before its first batch and at every change; announces its outputs' schemas.
    fn schema(&mut self, input: usize, schema: &SchemaVersion, out: &mut Output) -> Result<Flow>;
    /// Takes a batch with the schema announced last on this input.
    fn batch(&mut self, input: usize, batch: RecordBatch, out: &mut Output) -> Result<Flow>;
    /// Hears that the operator's watermark rose; the engine sends it on afterwards.
    fn watermark(&mut self, at: EventTime, out: &mut Output) -> Result<Flow>;
    /// Hears that this input truly ended; never called on a drain.
    fn end(&mut self, input: usize, out: &mut Output) -> Result<Flow>;
    /// Goes on after [`Flow::More`].
    fn more(&mut self, out: &mut Output) -> Result<Flow>;
    /// Returns the state at a barrier.
    fn save(&mut self, epoch: Epoch) -> Result<State>;
    /// Closes what it opened; called once, last, also on cancel.
    fn close(&mut self) -> Result<()>;
}

/// The batches of one whole input, in order.
pub type BatchStream = BoxStream<'static, Result<RecordBatch>>;

/// What an [`AsyncTransform`] gives.
#[derive(Debug)]
pub enum Produced {
    /// Rows for output 0.
    Batch(RecordBatch),
}

/// Work over whole inputs that must await, for example a sort or a join. Never fused. The engine reads every input all the
/// time and spools to disk what the operator does not take yet, so a source that feeds both sides of a join cannot
/// dead-lock. It completes no epoch before its inputs' real end.
pub trait AsyncTransform: Send {
    /// Starts the work; called once, when the schema of every input is known. Returns the schema of output 0 and the results.
    fn start(
        &mut self,
        inputs: Vec<(SchemaRef, BatchStream)>,
    ) -> Result<(SchemaRef, BoxStream<'static, Result<Produced>>)>;
}

/// What became of a batch in a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It will be in the next `prepare`.
    Done,
    /// The target's reader went away (a closed pipe): nothing more can be written, which is no error.
    ReaderGone,
}

/// One lane of a sink.
pub trait SinkWriter: Send {
    /// Takes the schema, before the first batch and at every change.
    fn schema<'a>(&'a mut self, schema: &'a SchemaVersion) -> BoxFuture<'a, Result<()>>;
    /// Takes a batch; rows it must refuse go to `out` as rejections, written bytes are counted there.
    fn write<'a>(&'a mut self, batch: RecordBatch, out: &'a mut Output) -> BoxFuture<'a, Result<Written>>;
    /// Makes everything since the last `prepare` durable, not visible. Empty when there is nothing; after rows were taken that
    /// says that their reader went away, and they count as abandoned.
    fn prepare<'a>(&'a mut self, epoch: Epoch, out: &'a mut Output) -> BoxFuture<'a, Result<Vec<Prepared>>>;
    /// Removes what was staged and not prepared; called once when a run fails or is cancelled.
    fn abandon(&mut self) -> BoxFuture<'_, Result<()>>;
}

/// Makes prepared work visible; one per sink, a task of its own, so that commits run beside the data path.
pub trait Committer: Send {
    /// Returns what the target says was committed last.
    fn marker(&mut self) -> BoxFuture<'_, Result<Option<Marker>>>;
    /// Makes the work of all lanes visible; idempotent.
    fn commit<'a>(&'a mut self, permit: &'a CommitPermit, commit: &'a Commit) -> BoxFuture<'a, Result<()>>;
    /// Throws prepared work away; may be repeated. What a commit that failed had made visible already stays.
    fn abort<'a>(&'a mut self, prepared: &'a [Prepared]) -> BoxFuture<'a, Result<()>>;
}

/// Opens the writers (one per lane) and the committer (one per sink).
pub trait Sink: Send {
    /// Opens the writer of a lane.
    fn writer(&mut self, lane: usize) -> BoxFuture<'_, Result<Box<dyn SinkWriter>>>;
    /// Opens the committer; called once, before the writers.
    fn committer(&mut self) -> BoxFuture<'_, Result<Box<dyn Committer>>>;
}

/// An opened operator.
pub enum Operator {
    /// One source per lane.
    Source(Vec<Box<dyn Source>>),
    /// One transform per lane.
    Transform(Vec<Box<dyn Transform>>),
    /// Works over whole inputs, in one lane.
    AsyncTransform(Box<dyn AsyncTransform>),
    /// Opens its own lanes.
    Sink(Box<dyn Sink>),
}
