//! The operators of the embedding program: each is a plan and what it opens to.

use std::sync::{Arc, Mutex};

use rde::arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use rde::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use rde::core::{
    Balance, BoxFuture, Commit, CommitPermit, Committer, Epoch, EventTime, Faults, Flow, Footprint, InputShape, Inputs,
    Joining, Lanes, Marker, OpenContext, Operator, Output, OutputShape, Payload, Plan, Position, Positions, Prepared,
    Probe, Progress, Rejected, Result, SchemaVersion, Shape, Sink, SinkWriter, Source, Split, SplitId, State, Traits,
    Transform, Wanted, Written,
};

/// The number that the sink refuses.
pub const REFUSED: i64 = 1_000_000;
/// Rows of a batch of the source.
const BATCH_ROWS: i64 = 1000;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("number", DataType::Int64, false)]))
}

fn batch(numbers: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column = Arc::new(Int64Array::from_iter_values(numbers));
    RecordBatch::try_new(schema(), vec![column]).expect("the column was made for this schema")
}

fn numbers(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

fn traits(lanes: Lanes) -> Traits {
    Traits { lanes, whole: false, bounded: true, balance: Balance::Checked, joining: Joining::Indifferent }
}

/// Reads the numbers below `end`.
pub struct Counting {
    pub end: i64,
}

impl Plan for Counting {
    fn discover<'a>(&'a mut self, _: &'a Probe) -> BoxFuture<'a, Result<(), Faults>> {
        Box::pin(async { Ok(()) })
    }

    fn inputs(&self) -> Inputs {
        Inputs::Ports(Vec::new())
    }

    fn bind(&mut self, _: &[InputShape]) -> Result<Vec<OutputShape>, Faults> {
        Ok(vec![OutputShape { port: "out".to_owned(), shape: Shape::Known(schema()) }])
    }

    fn traits(&self) -> Traits {
        traits(Lanes::One)
    }

    fn wanted(&mut self, _: &[Wanted]) -> Vec<Wanted> {
        Vec::new()
    }

    fn footprint(&self) -> Footprint {
        Footprint::default()
    }

    fn open(self: Box<Self>, _: OpenContext) -> BoxFuture<'static, Result<Operator>> {
        let source = Counter { next: 0, end: self.end, announced: false };
        Box::pin(async move { Ok(Operator::Source(vec![Box::new(source)])) })
    }
}

struct Counter {
    next: i64,
    end: i64,
    announced: bool,
}

fn split() -> SplitId {
    SplitId("all".to_owned())
}

impl Source for Counter {
    fn splits(&mut self) -> BoxFuture<'_, Result<Vec<Split>>> {
        Box::pin(async { Ok(vec![Split { id: split(), weight: 0 }]) })
    }

    fn assign(&mut self, splits: Vec<(Split, Option<Position>)>) -> BoxFuture<'_, Result<()>> {
        let position = splits.into_iter().find_map(|(_, position)| position);
        let bytes = position.and_then(|position| position.0.try_into().ok());
        self.next = bytes.map_or(0, i64::from_le_bytes);
        Box::pin(async { Ok(()) })
    }

    fn next<'a>(&'a mut self, out: &'a mut Output) -> BoxFuture<'a, Result<Progress>> {
        Box::pin(async move {
            if !std::mem::replace(&mut self.announced, true) {
                out.schema(0, schema(), None);
            }
            if self.next == self.end {
                return Ok(Progress::Ended);
            }
            let end = self.end.min(self.next + BATCH_ROWS);
            let made = batch(self.next..end);
            out.read(made.num_rows() as u64, 8 * made.num_rows() as u64);
            out.batch(0, made);
            self.next = end;
            Ok(Progress::Produced)
        })
    }

    fn positions(&self) -> Positions {
        Positions::from([(split(), Position(self.next.to_le_bytes().to_vec()))])
    }
}

/// Keeps even numbers.
pub struct Evens;

impl Plan for Evens {
    fn discover<'a>(&'a mut self, _: &'a Probe) -> BoxFuture<'a, Result<(), Faults>> {
        Box::pin(async { Ok(()) })
    }

    fn inputs(&self) -> Inputs {
        Inputs::Ports(vec!["in".to_owned()])
    }

    fn bind(&mut self, inputs: &[InputShape]) -> Result<Vec<OutputShape>, Faults> {
        let shape = inputs.first().map_or_else(|| Shape::Unknown("no input".to_owned()), |input| input.shape.clone());
        Ok(vec![OutputShape { port: "out".to_owned(), shape }])
    }

    fn traits(&self) -> Traits {
        traits(Lanes::Many)
    }

    fn wanted(&mut self, _: &[Wanted]) -> Vec<Wanted> {
        vec![Wanted::all()]
    }

    fn footprint(&self) -> Footprint {
        Footprint::default()
    }

    fn open(self: Box<Self>, ctx: OpenContext) -> BoxFuture<'static, Result<Operator>> {
        let lane = |_| -> Box<dyn Transform> { Box::new(Evens) };
        Box::pin(async move { Ok(Operator::Transform((0..ctx.lanes).map(lane).collect())) })
    }
}

impl Transform for Evens {
    fn schema(&mut self, _: usize, schema: &SchemaVersion, out: &mut Output) -> Result<Flow> {
        out.schema(0, schema.schema.clone(), schema.cause.clone());
        Ok(Flow::Done)
    }

    fn batch(&mut self, _: usize, rows: RecordBatch, out: &mut Output) -> Result<Flow> {
        let kept = batch(numbers(&rows).into_iter().filter(|number| number % 2 == 0));
        out.filtered((rows.num_rows() - kept.num_rows()) as u64);
        out.batch(0, kept);
        Ok(Flow::Done)
    }

    fn watermark(&mut self, _: EventTime, _: &mut Output) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn end(&mut self, _: usize, _: &mut Output) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn more(&mut self, _: &mut Output) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn save(&mut self, _: Epoch) -> Result<State> {
        Ok(State::None)
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What was committed.
#[derive(Clone, Debug, Default)]
pub struct Target(pub Arc<Mutex<Vec<i64>>>);

/// Keeps numbers in memory, shown when they are committed; refuses [`REFUSED`].
pub struct Keeping {
    pub target: Target,
}

impl Plan for Keeping {
    fn discover<'a>(&'a mut self, _: &'a Probe) -> BoxFuture<'a, Result<(), Faults>> {
        Box::pin(async { Ok(()) })
    }

    fn inputs(&self) -> Inputs {
        Inputs::Ports(vec!["in".to_owned()])
    }

    fn bind(&mut self, _: &[InputShape]) -> Result<Vec<OutputShape>, Faults> {
        Ok(Vec::new())
    }

    fn traits(&self) -> Traits {
        traits(Lanes::One)
    }

    fn wanted(&mut self, _: &[Wanted]) -> Vec<Wanted> {
        vec![Wanted::all()]
    }

    fn footprint(&self) -> Footprint {
        Footprint::default()
    }

    fn open(self: Box<Self>, _: OpenContext) -> BoxFuture<'static, Result<Operator>> {
        Box::pin(async move { Ok(Operator::Sink(self)) })
    }
}

impl Sink for Keeping {
    fn writer(&mut self, _: usize) -> BoxFuture<'_, Result<Box<dyn SinkWriter>>> {
        Box::pin(async { Ok(Box::new(Writer(Vec::new())) as Box<dyn SinkWriter>) })
    }

    fn committer(&mut self) -> BoxFuture<'_, Result<Box<dyn Committer>>> {
        let committer = Shown { target: self.target.clone(), marker: None };
        Box::pin(async move { Ok(Box::new(committer) as Box<dyn Committer>) })
    }
}

struct Writer(Vec<i64>);

impl SinkWriter for Writer {
    fn schema<'a>(&'a mut self, _: &'a SchemaVersion) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn write<'a>(&'a mut self, batch: RecordBatch, out: &'a mut Output) -> BoxFuture<'a, Result<Written>> {
        for (row, number) in numbers(&batch).into_iter().enumerate() {
            if number == REFUSED {
                out.reject(Rejected::new("MINE01", "a number too large", Payload::Row(Arc::new(batch.clone()), row)));
            } else {
                self.0.push(number);
            }
        }
        out.wrote(8 * batch.column(0).len() as u64);
        Box::pin(async { Ok(Written::Done) })
    }

    fn prepare<'a>(&'a mut self, _: Epoch, _: &'a mut Output) -> BoxFuture<'a, Result<Vec<Prepared>>> {
        let bytes: Vec<u8> = self.0.drain(..).flat_map(i64::to_le_bytes).collect();
        let prepared = if bytes.is_empty() { Vec::new() } else { vec![Prepared(bytes)] };
        Box::pin(async { Ok(prepared) })
    }

    fn abandon(&mut self) -> BoxFuture<'_, Result<()>> {
        self.0.clear();
        Box::pin(async { Ok(()) })
    }
}

struct Shown {
    target: Target,
    marker: Option<Marker>,
}

impl Committer for Shown {
    fn marker(&mut self) -> BoxFuture<'_, Result<Option<Marker>>> {
        let marker = self.marker.clone();
        Box::pin(async { Ok(marker) })
    }

    fn commit<'a>(&'a mut self, _: &'a CommitPermit, commit: &'a Commit) -> BoxFuture<'a, Result<()>> {
        if self.marker.as_ref().is_none_or(|marker| marker.id != commit.id) {
            let mut shown = self.target.0.lock().expect("nobody panics");
            for prepared in &commit.prepared {
                let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("chunks of eight bytes"));
                shown.extend(prepared.0.chunks_exact(8).map(number));
            }
            self.marker = Some(Marker { id: commit.id, epoch: commit.epoch });
        }
        Box::pin(async { Ok(()) })
    }

    fn abort<'a>(&'a mut self, _: &'a [Prepared]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
