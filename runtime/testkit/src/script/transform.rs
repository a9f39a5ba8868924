//! A transform whose effect on each row is a pure function of its script, and whose calls are as awkward as allowed.
//!
//! It gives a batch's results in parts (`More`), asks for the same call again after it staged rubbish (`RetryAfter`), and
//! checks that the engine answers both as the traits say.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use rde_core::{
    Balance, BoxFuture, Epoch, EventTime, Faults, Flow, Footprint, InputShape, Inputs, Joining, Lanes, OpenContext,
    Operator, Output, OutputShape, Payload, Plan, Probe, Rejected, Result, SchemaVersion, Shape, State, Traits,
    Transform, Wanted,
};

use super::check::InputCheck;
use super::rows::{self, Row, mix};
use super::{FailAfter, Shared, Watch, codes, lock, scripted_failure};

/// Most rows of a batch that it makes: below every `memory_max` of a topology.
const ROWS_MAX: usize = 128;

/// What becomes of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on.
    Pass,
    /// It goes on whatever it is; error rows too.
    Raw,
    /// Every row whose hash this divides is left out.
    Filter(u64),
    /// It becomes so many, fewer than eight.
    Expand(i64),
    /// Every row whose hash this divides is refused.
    Reject(u64),
    /// It gets an extra column.
    Widen,
    /// It goes on, and the end of the input makes one more.
    Tail,
}

/// What a transform does.
#[derive(Clone, Debug)]
pub struct TransformScript {
    /// The operator's id.
    pub name: String,
    /// Goes into the route of the rows that pass.
    pub salt: i64,
    /// Draws repeats and parts.
    pub seed: u64,
    /// What becomes of rows.
    pub action: Action,
    /// How often of 256 calls it asks for the same again.
    pub retry: u8,
    /// How often of 256 batches the results come in parts.
    pub parts: u8,
    /// Fails at this batch of its lane 0.
    pub fail_after: FailAfter,
    /// Whether that failure is a panic.
    pub panics: bool,
}

/// The plan of a scripted transform.
pub struct ScriptedTransform {
    script: Arc<TransformScript>,
    watch: Watch,
    closed: Shared<Closed>,
}

/// What became of the lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// Opened.
    pub opened: usize,
    /// Closed.
    pub closed: usize,
    /// Told that their input ended.
    pub ended: usize,
    /// The newest watermark that one of them heard.
    pub watermark: Option<EventTime>,
}

impl Action {
    /// Returns whether it leaves out or refuses a row that came by this route.
    fn hits(every: u64, row: &Row) -> bool {
        (row.id as u64 ^ 0x5bd1).is_multiple_of(every.max(1))
    }

    /// Returns what a row becomes, or whether it is refused.
    pub fn apply(self, row: Row, salt: i64, lane: usize) -> Result<Vec<Row>, Row> {
        match self {
            Action::Filter(every) if Action::hits(every, &row) => Ok(Vec::new()),
            Action::Reject(every) if Action::hits(every, &row) => Err(row),
            Action::Expand(copies) => Ok((0..copies).map(|copy| row.copied(copy).passed(salt, lane)).collect()),
            _ => Ok(vec![row.passed(salt, lane)]),
        }
    }

    /// Returns the row that the end of the input makes.
    pub fn tail(self, salt: i64) -> Option<Row> {
        let row = Row { id: mix(salt, 99), split: -1, order: i64::MAX, route: salt, trail: salt, time: i64::MAX };
        (self == Action::Tail).then_some(row)
    }
}

impl ScriptedTransform {
    /// Makes the plan.
    pub fn new(script: TransformScript, watch: Watch) -> ScriptedTransform {
        ScriptedTransform { script: Arc::new(script), watch, closed: Shared::default() }
    }

    /// Returns where it counts opened and closed lanes.
    pub fn closed(&self) -> Shared<Closed> {
        self.closed.clone()
    }
}

impl Plan for ScriptedTransform {
    fn discover<'a>(&'a mut self, _: &'a Probe) -> BoxFuture<'a, Result<(), Faults>> {
        Box::pin(async { Ok(()) })
    }

    fn inputs(&self) -> Inputs {
        Inputs::Ports(vec!["in".to_owned()])
    }

    fn bind(&mut self, inputs: &[InputShape]) -> Result<Vec<OutputShape>, Faults> {
        let shape = match inputs.first().map(|input| &input.shape) {
            Some(Shape::Known(schema)) => match rows::extras(schema) {
                Some(extras) if self.script.action == Action::Widen => super::known(extras + 1),
                _ => Shape::Known(schema.clone()),
            },
            Some(unknown) => unknown.clone(),
            None => Shape::Unknown("no input".to_owned()),
        };
        Ok(vec![OutputShape { port: "out".to_owned(), shape }])
    }

    fn traits(&self) -> Traits {
        let one_to_one = !matches!(self.script.action, Action::Expand(_) | Action::Tail);
        Traits {
            lanes: if self.script.action == Action::Tail { Lanes::One } else { Lanes::Many },
            whole: false,
            bounded: true,
            balance: if one_to_one { Balance::Checked } else { Balance::Free },
            joining: if self.script.seed.is_multiple_of(3) { Joining::Wanted } else { Joining::Indifferent },
        }
    }

    fn wanted(&mut self, _: &[Wanted]) -> Vec<Wanted> {
        vec![Wanted::all()]
    }

    fn footprint(&self) -> Footprint {
        Footprint::default()
    }

    fn open(self: Box<Self>, ctx: OpenContext) -> BoxFuture<'static, Result<Operator>> {
        let lane = |lane: usize| -> Box<dyn Transform> {
            let name = format!("{}.{lane}", self.script.name);
            Box::new(Lane {
                random: fastrand::Rng::with_seed(self.script.seed.wrapping_add(lane as u64)),
                script: self.script.clone(),
                watch: self.watch.clone(),
                check: InputCheck::new(&self.watch, name.clone()),
                closed: self.closed.clone(),
                lane,
                name,
                extras: 0,
                batches: 0,
                rest: VecDeque::new(),
                retrying: None,
                saved: None,
                is_closed: false,
            })
        };
        let lanes: Vec<_> = (0..ctx.lanes.max(1)).map(lane).collect();
        lock(&self.closed).opened = lanes.len();
        Box::pin(async move { Ok(Operator::Transform(lanes)) })
    }
}

/// A call that can be asked for again.
#[derive(Clone, Debug, PartialEq)]
enum Call {
    Schema(u32),
    Batch(RecordBatch),
    Watermark(EventTime),
    End,
    More,
}

struct Lane {
    script: Arc<TransformScript>,
    watch: Watch,
    check: InputCheck,
    closed: Shared<Closed>,
    random: fastrand::Rng,
    lane: usize,
    name: String,
    extras: usize,
    batches: u64,
    rest: VecDeque<Row>,
    retrying: Option<Call>,
    saved: Option<Epoch>,
    is_closed: bool,
}

impl Lane {
    /// Asks now and then for the same call again, with rubbish staged that nobody may ever see; checks that it comes.
    fn again(&mut self, call: Call, out: &mut Output) -> Option<Flow> {
        if let Some(expected) = self.retrying.take().filter(|expected| *expected != call) {
            self.watch.violation(format!("{}: asked for {expected:?} again, got {call:?}", self.name));
        }
        if call != Call::More && !self.rest.is_empty() {
            self.watch.violation(format!("{}: {call:?} came while there was more to come", self.name));
        }
        if self.is_closed {
            self.watch.violation(format!("{}: {call:?} came after `close`", self.name));
        }
        if self.random.u8(..) >= self.script.retry {
            return None;
        }
        let rubbish = Row::read(-77, self.random.i64(0..1000));
        out.batch(0, rows::to_batch(&[rubbish], self.extras));
        out.reject(Rejected::new(codes::REFUSED.id, "rubbish", Payload::None));
        out.filtered(1000);
        self.retrying = Some(call);
        Some(Flow::RetryAfter(Duration::from_micros(self.random.u64(0..5_000))))
    }

    /// Stages a part of the results, or all.
    fn stage(&mut self, out: &mut Output) -> Flow {
        let in_parts = self.random.u8(..) < self.script.parts && self.rest.len() > 1;
        let part = if in_parts { self.random.usize(1..self.rest.len()) } else { self.rest.len() };
        let rows: Vec<Row> = self.rest.drain(..part).collect();
        for rows in rows.chunks(ROWS_MAX) {
            out.batch(0, rows::to_batch(rows, self.extras));
        }
        if in_parts { Flow::More } else { Flow::Done }
    }

    fn fail(&mut self) -> Result<()> {
        self.batches += 1;
        if self.lane == 0 && self.script.fail_after == Some(self.batches) {
            let failure = scripted_failure(&self.watch, &self.script.name);
            assert!(!self.script.panics, "`{}` panics by its script", self.script.name);
            return Err(failure);
        }
        Ok(())
    }
}

impl Transform for Lane {
    fn schema(&mut self, _: usize, schema: &SchemaVersion, out: &mut Output) -> Result<Flow> {
        if let Some(flow) = self.again(Call::Schema(schema.version), out) {
            return Ok(flow);
        }
        self.check.schema(schema);
        let announced = match rows::extras(&schema.schema) {
            Some(extras) => {
                self.extras = extras + usize::from(self.script.action == Action::Widen);
                rows::schema(self.extras)
            }
            None => schema.schema.clone(),
        };
        out.schema(0, announced, schema.cause.clone());
        Ok(Flow::Done)
    }

    fn batch(&mut self, _: usize, batch: RecordBatch, out: &mut Output) -> Result<Flow> {
        if self.script.action == Action::Raw {
            self.check.foreign(&batch);
            self.fail()?;
            out.batch(0, batch);
            return Ok(Flow::Done);
        }
        if let Some(flow) = self.again(Call::Batch(batch.clone()), out) {
            return Ok(flow);
        }
        self.fail()?;
        for (at, row) in self.check.batch(&batch).into_iter().enumerate() {
            match self.script.action.apply(row, self.script.salt, self.lane) {
                Ok(made) if made.is_empty() => out.filtered(1),
                Ok(made) => self.rest.extend(made),
                Err(row) => {
                    let message = format!("{}/{}", row.id, row.route);
                    out.reject(Rejected::new(codes::REFUSED.id, message, Payload::Row(Arc::new(batch.clone()), at)));
                }
            }
        }
        Ok(self.stage(out))
    }

    fn watermark(&mut self, at: EventTime, out: &mut Output) -> Result<Flow> {
        if self.script.action != Action::Raw
            && let Some(flow) = self.again(Call::Watermark(at), out)
        {
            return Ok(flow);
        }
        self.check.watermark(at);
        let mut closed = lock(&self.closed);
        closed.watermark = closed.watermark.max(Some(at));
        Ok(Flow::Done)
    }

    fn end(&mut self, _: usize, out: &mut Output) -> Result<Flow> {
        if self.script.action != Action::Raw
            && let Some(flow) = self.again(Call::End, out)
        {
            return Ok(flow);
        }
        self.check.end();
        lock(&self.closed).ended += 1;
        if let Some(row) = self.script.action.tail(self.script.salt) {
            out.batch(0, rows::to_batch(&[row], self.extras));
        }
        Ok(Flow::Done)
    }

    fn more(&mut self, out: &mut Output) -> Result<Flow> {
        if let Some(flow) = self.again(Call::More, out) {
            return Ok(flow);
        }
        if self.rest.is_empty() {
            self.watch.violation(format!("{}: `more` came though there was no more", self.name));
        }
        Ok(self.stage(out))
    }

    fn save(&mut self, epoch: Epoch) -> Result<State> {
        if !self.rest.is_empty() || self.retrying.is_some() {
            self.watch.violation(format!("{}: a barrier came inside a call", self.name));
        }
        if self.saved.is_some_and(|before| before >= epoch) {
            self.watch.violation(format!("{}: saved {epoch} after {:?}", self.name, self.saved));
        }
        self.watch.trace.note(format!("{} save {epoch}", self.name));
        self.saved = Some(epoch);
        Ok(State::None)
    }

    fn close(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.is_closed, true) {
            self.watch.violation(format!("{}: closed twice", self.name));
        }
        self.watch.trace.note(format!("{} close", self.name));
        lock(&self.closed).closed += 1;
        Ok(())
    }
}
