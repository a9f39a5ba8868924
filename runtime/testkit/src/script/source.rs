//! A source of numbered rows, in splits, that dawdles, rests, fails and changes its schema as its script says.
//!
//! Each lane draws its own batch cuts. A position is the number of the next row of its split.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rde_core::{
    Balance, BoxFuture, Clock, Epoch, EventTime, Faults, Footprint, InputShape, Inputs, Joining, Lanes, OpenContext,
    Operator, Output, OutputShape, Payload, Plan, Position, Positions, Probe, Progress, Rejected, Result, Shape,
    Source, Split, SplitId, Traits, Wanted,
};

use super::rows::{self, Row, mix};
use super::{FailAfter, Shared, Watch, codes, known, lock, scripted_failure};

/// A part of a source's rows.
#[derive(Clone, Debug)]
pub struct SplitScript {
    /// Its number, over all sources of a run.
    pub number: i64,
    /// Its rows.
    pub rows: i64,
    /// From this row on there is one extra column more.
    pub change_at: Option<i64>,
}

/// What a source does.
#[derive(Clone, Debug)]
pub struct SourceScript {
    /// The operator's id.
    pub name: String,
    /// Draws batch cuts and rests.
    pub seed: u64,
    /// What it reads.
    pub splits: Vec<SplitScript>,
    /// Most rows of a batch.
    pub rows_max: i64,
    /// Extra columns of its first schema.
    pub extras: usize,
    /// Whether its schema is known before the run.
    pub known: bool,
    /// Whether it says how far event time went.
    pub watermarks: bool,
    /// How often of 256 calls it has nothing.
    pub idle: u8,
    /// How often of 256 calls it takes its time.
    pub slow: u8,
    /// Refuses every row whose number this divides.
    pub reject_every: Option<i64>,
    /// Fails at this call of `next` of its first lane.
    pub fail_after: FailAfter,
    /// Never ends: rests when all is read.
    pub endless: bool,
}

/// What a source saw, over all lanes.
#[derive(Clone, Debug, Default)]
pub struct SourceLog {
    /// Splits given to lanes.
    pub assigned: Vec<SplitId>,
    /// Where reading has come to.
    pub reached: Positions,
    /// Rows read.
    pub rows_read: u64,
    /// Epochs it heard were committed, by the lane.
    pub committed: Vec<(usize, Epoch)>,
}

/// The plan of a scripted source.
pub struct ScriptedSource {
    script: Arc<SourceScript>,
    watch: Watch,
    log: Shared<SourceLog>,
}

/// Returns the number of the next row.
pub fn decode_position(position: &Position) -> Option<i64> {
    position.0.as_slice().try_into().ok().map(i64::from_le_bytes)
}

/// Returns the position before a row.
pub fn encode_position(seq: i64) -> Position {
    Position(seq.to_le_bytes().to_vec())
}

impl SplitScript {
    /// Returns its name.
    pub fn id(&self) -> SplitId {
        SplitId(format!("split-{}", self.number))
    }
}

impl SourceScript {
    /// Returns whether it refuses a row.
    pub fn rejects(&self, seq: i64) -> bool {
        self.reject_every.is_some_and(|every| seq % every == 0)
    }
}

impl ScriptedSource {
    /// Makes the plan.
    pub fn new(script: SourceScript, watch: Watch) -> ScriptedSource {
        ScriptedSource { script: Arc::new(script), watch, log: Shared::default() }
    }

    /// Returns where it keeps what it saw.
    pub fn log(&self) -> Shared<SourceLog> {
        self.log.clone()
    }
}

impl Plan for ScriptedSource {
    fn discover<'a>(&'a mut self, _: &'a Probe) -> BoxFuture<'a, Result<(), Faults>> {
        Box::pin(async { Ok(()) })
    }

    fn inputs(&self) -> Inputs {
        Inputs::Ports(Vec::new())
    }

    fn bind(&mut self, _: &[InputShape]) -> Result<Vec<OutputShape>, Faults> {
        let shape = if self.script.known {
            known(self.script.extras)
        } else {
            Shape::Unknown("the script does not tell its schema".to_owned())
        };
        Ok(vec![OutputShape { port: "out".to_owned(), shape }])
    }

    fn traits(&self) -> Traits {
        Traits {
            lanes: if self.script.splits.len() > 1 { Lanes::Many } else { Lanes::One },
            whole: false,
            bounded: !self.script.endless,
            balance: Balance::Checked,
            joining: Joining::Indifferent,
        }
    }

    fn wanted(&mut self, _: &[Wanted]) -> Vec<Wanted> {
        Vec::new()
    }

    fn footprint(&self) -> Footprint {
        Footprint::default()
    }

    fn open(self: Box<Self>, ctx: OpenContext) -> BoxFuture<'static, Result<Operator>> {
        let lanes = ctx.lanes.min(self.script.splits.len()).max(1);
        let lane = |lane: usize| -> Box<dyn Source> {
            Box::new(Lane {
                script: self.script.clone(),
                watch: self.watch.clone(),
                log: self.log.clone(),
                clock: ctx.runtime.clock.clone(),
                random: fastrand::Rng::with_seed(self.script.seed.wrapping_add(lane as u64)),
                lane,
                splits: BTreeMap::new(),
                announced: None,
                watermark: i64::MIN,
                calls: 0,
                inside: false,
                committed: None,
            })
        };
        let sources = (0..lanes).map(lane).collect();
        Box::pin(async move { Ok(Operator::Source(sources)) })
    }
}

struct Lane {
    script: Arc<SourceScript>,
    watch: Watch,
    log: Shared<SourceLog>,
    clock: Arc<dyn Clock>,
    random: fastrand::Rng,
    lane: usize,
    splits: BTreeMap<i64, (SplitScript, i64)>,
    announced: Option<usize>,
    watermark: i64,
    calls: u64,
    inside: bool,
    committed: Option<Epoch>,
}

impl Lane {
    fn name(&self) -> String {
        format!("{}.{}", self.script.name, self.lane)
    }

    fn announce(&mut self, extras: usize, out: &mut Output) {
        if self.announced != Some(extras) {
            let cause = self.announced.map(|before| Arc::from(format!("{before} extra columns became {extras}")));
            out.schema(0, rows::schema(extras), cause);
            self.announced = Some(extras);
        }
    }

    async fn produce(&mut self, out: &mut Output) -> Result<Progress> {
        self.calls += 1;
        if self.lane == 0 && self.script.fail_after == Some(self.calls) {
            return Err(scripted_failure(&self.watch, &self.script.name));
        }
        if self.random.u8(..) < self.script.slow {
            self.clock.sleep(Duration::from_micros(self.random.u64(1..50_000))).await;
        }
        if self.announced.is_none() {
            self.announce(self.script.extras, out);
        }
        let open: Vec<i64> =
            self.splits.values().filter(|(split, next)| *next < split.rows).map(|s| s.0.number).collect();
        if open.is_empty() {
            let rest = Progress::Idle(Duration::from_millis(200));
            return Ok(if self.script.endless { rest } else { Progress::Ended });
        }
        if self.random.u8(..) < self.script.idle {
            return Ok(Progress::Idle(Duration::from_micros(self.random.u64(1..100_000))));
        }
        let number = open[self.random.usize(..open.len())];
        self.read(number, out);
        self.tell_time(out);
        Ok(Progress::Produced)
    }

    fn read(&mut self, number: i64, out: &mut Output) {
        let (split, next) = self.splits[&number].clone();
        let mut end = split.rows.min(next + self.random.i64(1..=self.script.rows_max));
        let mut extras = self.script.extras;
        match split.change_at {
            Some(at) if at <= next => extras += 1,
            Some(at) => end = end.min(at),
            None => {}
        }
        self.announce(extras, out);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for seq in next..end {
            if self.script.rejects(seq) {
                let message = format!("{}/0", mix(number, seq));
                let payload = Payload::Bytes(seq.to_string().into_bytes(), "json");
                let position = format!("{{\"split\":{number},\"seq\":{seq}}}");
                out.reject(Rejected::new(codes::REFUSED.id, message, payload).positioned(position));
            } else {
                rows.push(Row::read(number, seq));
            }
            bytes += 50;
        }
        let read = u64::try_from(end - next).unwrap_or(0);
        out.read(read, bytes);
        if !rows.is_empty() {
            out.batch(0, rows::to_batch(&rows, extras));
        }
        self.splits.insert(number, (split.clone(), end));
        let mut log = lock(&self.log);
        log.rows_read += read;
        log.reached.insert(split.id(), encode_position(end));
    }

    /// Says that no split of this lane has older rows to come.
    fn tell_time(&mut self, out: &mut Output) {
        let open = self.splits.values().filter(|(split, next)| *next < split.rows);
        let Some(at) = open.map(|(split, next)| rows::time(split.number, *next)).min() else { return };
        if self.script.watermarks && at > self.watermark && self.random.u8(..) < 128 {
            self.watermark = at;
            out.watermark(EventTime(at));
        }
    }
}

impl Source for Lane {
    fn splits(&mut self) -> BoxFuture<'_, Result<Vec<Split>>> {
        if self.lane != 0 {
            self.watch.violation(format!("{}: asked for splits, though not the first lane", self.name()));
        }
        let splits = self.script.splits.iter();
        let splits = splits.map(|split| Split { id: split.id(), weight: u64::try_from(split.rows).unwrap_or(0) });
        let splits = splits.collect();
        Box::pin(async move { Ok(splits) })
    }

    fn assign(&mut self, splits: Vec<(Split, Option<Position>)>) -> BoxFuture<'_, Result<()>> {
        self.watch.trace.note(format!("{} assigned {} splits", self.name(), splits.len()));
        self.splits.clear();
        for (split, position) in splits {
            let known = self.script.splits.iter().find(|known| known.id() == split.id);
            let next = position.as_ref().map_or(Some(0), decode_position);
            match (known, next) {
                (Some(known), Some(next)) => {
                    lock(&self.log).assigned.push(split.id);
                    self.splits.insert(known.number, (known.clone(), next));
                }
                _ => self.watch.violation(format!("{}: given {split:?} at {position:?}", self.name())),
            }
        }
        Box::pin(async { Ok(()) })
    }

    fn next<'a>(&'a mut self, out: &'a mut Output) -> BoxFuture<'a, Result<Progress>> {
        if std::mem::replace(&mut self.inside, true) {
            self.watch.violation(format!("{}: `next` was dropped while pending", self.name()));
        }
        Box::pin(async move {
            let progress = self.produce(out).await;
            self.inside = false;
            progress
        })
    }

    fn keep_alive(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn positions(&self) -> Positions {
        if self.inside {
            self.watch.violation(format!("{}: asked for positions inside a call of `next`", self.name()));
        }
        self.watch.trace.note(format!("{} positions", self.name()));
        self.splits.values().map(|(split, next)| (split.id(), encode_position(*next))).collect()
    }

    fn committed(&mut self, epoch: Epoch) -> BoxFuture<'_, Result<()>> {
        if self.committed.is_some_and(|before| before >= epoch) {
            self.watch.violation(format!("{}: heard of {epoch} after {:?}", self.name(), self.committed));
        }
        self.committed = Some(epoch);
        lock(&self.log).committed.push((self.lane, epoch));
        Box::pin(async { Ok(()) })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if self.inside {
            self.watch.violation(format!("{}: dropped inside a call of `next`", self.name()));
        }
    }
}
