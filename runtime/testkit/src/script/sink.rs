//! A sink that keeps what it gets in memory: staged, prepared, committed or thrown away, each told apart.
//!
//! The [`SinkLog`] is its target: it outlives the run, so that a run that goes on from a checkpoint finds the marker and
//! what was prepared. Invariant: rows are in exactly one state, and only a commit makes them visible.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use rde_core::{
    Balance, BoxFuture, Clock, Commit, CommitPermit, Committer, Epoch, Error, Faults, Footprint, InputShape, Inputs,
    Joining, Lanes, Marker, OpenContext, Operator, Output, OutputShape, Payload, Plan, Prepared, Probe, Rejected,
    Result, SchemaVersion, Sink, SinkWriter, Traits, Wanted, Written,
};

use super::check::InputCheck;
use super::rows::{Row, mix};
use super::{Shared, Watch, codes, lock, scripted_failure};

/// How a sink fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It does not.
    Nothing,
    /// At its open.
    Open,
    /// At this batch of lane 0.
    Write(u64),
    /// At this prepare of lane 0.
    Prepare(u64),
    /// At this commit, before anything is visible.
    Commit(u64),
    /// At this commit, when everything is visible: the answer is lost.
    CommitAnswer(u64),
    /// The reader leaves at this batch of lane 0.
    ReaderGone(u64),
}

/// What a sink does.
#[derive(Clone, Debug)]
pub struct SinkScript {
    /// The operator's id.
    pub name: String,
    /// Draws how long it takes.
    pub seed: u64,
    /// Whether it can have several lanes.
    pub many: bool,
    /// How often of 256 calls it takes its time.
    pub slow: u8,
    /// Refuses every row whose hash this divides.
    pub reject_every: Option<u64>,
    /// Whether rows are refused at `prepare` only.
    pub reject_late: bool,
    /// How it fails.
    pub broken: Broken,
}

/// What a sink keeps of one row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kept {
    /// A row.
    Row(Row),
    /// An error row: the operator it failed in, and the message.
    Error(String, String),
}

/// What became of something prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Durable, not visible.
    Prepared,
    /// Visible.
    Committed,
    /// Thrown away.
    Aborted,
}

/// What one lane prepared at one time.
#[derive(Clone, Debug)]
pub struct Part {
    /// The lane.
    pub lane: usize,
    /// The epoch.
    pub epoch: Epoch,
    /// The rows in the order they came.
    pub rows: Vec<Kept>,
    /// Whether they are visible.
    pub state: State,
}

/// The target of a sink.
#[derive(Clone, Debug, Default)]
pub struct SinkLog {
    /// Everything ever prepared, by its number.
    pub parts: BTreeMap<u64, Part>,
    /// What was committed last.
    pub marker: Option<Marker>,
    /// Rows written and not prepared, by lane.
    pub staged: BTreeMap<usize, Vec<Kept>>,
    /// Rows thrown away before they were prepared.
    pub abandoned: usize,
    /// Rows refused.
    pub refused: usize,
    /// Commits that made something visible.
    pub commits: usize,
    /// Writers opened and writers told to abandon, in this run.
    pub writers: (usize, usize),
}

impl SinkLog {
    /// Returns the visible rows of each lane in the order they came.
    pub fn committed(&self) -> BTreeMap<usize, Vec<Kept>> {
        let mut lanes: BTreeMap<usize, Vec<Kept>> = BTreeMap::new();
        for part in self.parts.values().filter(|part| part.state == State::Committed) {
            lanes.entry(part.lane).or_default().extend(part.rows.iter().cloned());
        }
        lanes
    }

    /// Returns the number of rows in a state.
    pub fn rows(&self, state: State) -> usize {
        self.parts.values().filter(|part| part.state == state).map(|part| part.rows.len()).sum()
    }
}

impl SinkScript {
    /// Returns whether it refuses a row.
    pub fn rejects(&self, row: &Row) -> bool {
        self.reject_every.is_some_and(|every| (mix(row.id, 3) as u64).is_multiple_of(every.max(1)))
    }
}

/// The plan of a sink that collects.
pub struct CollectSink {
    script: Arc<SinkScript>,
    watch: Watch,
    log: Shared<SinkLog>,
}

impl CollectSink {
    /// Makes the plan over a target.
    pub fn new(script: SinkScript, watch: Watch, log: Shared<SinkLog>) -> CollectSink {
        CollectSink { script: Arc::new(script), watch, log }
    }
}

impl Plan for CollectSink {
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
        let lanes = if self.script.many { Lanes::Many } else { Lanes::One };
        Traits { lanes, whole: false, bounded: true, balance: Balance::Checked, joining: Joining::Indifferent }
    }

    fn wanted(&mut self, _: &[Wanted]) -> Vec<Wanted> {
        vec![Wanted::all()]
    }

    fn footprint(&self) -> Footprint {
        Footprint::default()
    }

    fn open(self: Box<Self>, ctx: OpenContext) -> BoxFuture<'static, Result<Operator>> {
        Box::pin(async move {
            if self.script.broken == Broken::Open {
                return Err(scripted_failure(&self.watch, &self.script.name));
            }
            let opened = Opened {
                script: self.script,
                watch: self.watch,
                log: self.log,
                clock: ctx.runtime.clock,
                committers: 0,
            };
            Ok(Operator::Sink(Box::new(opened)))
        })
    }
}

struct Opened {
    script: Arc<SinkScript>,
    watch: Watch,
    log: Shared<SinkLog>,
    clock: Arc<dyn Clock>,
    committers: usize,
}

impl Sink for Opened {
    fn writer(&mut self, lane: usize) -> BoxFuture<'_, Result<Box<dyn SinkWriter>>> {
        let name = format!("{}.{lane}", self.script.name);
        if self.committers != 1 || (lane > 0 && !self.script.many) {
            self.watch.violation(format!("{name}: opened with {} committers", self.committers));
        }
        lock(&self.log).writers.0 += 1;
        let writer = Writer {
            random: fastrand::Rng::with_seed(self.script.seed.wrapping_add(lane as u64)),
            script: self.script.clone(),
            watch: self.watch.clone(),
            log: self.log.clone(),
            clock: self.clock.clone(),
            check: InputCheck::new(&self.watch, name.clone()),
            name,
            lane,
            writes: 0,
            prepares: 0,
            epoch: None,
            gone: false,
            abandoned: false,
        };
        Box::pin(async move { Ok(Box::new(writer) as Box<dyn SinkWriter>) })
    }

    fn committer(&mut self) -> BoxFuture<'_, Result<Box<dyn Committer>>> {
        self.committers += 1;
        let committer = Target {
            random: fastrand::Rng::with_seed(self.script.seed ^ 0xc0),
            script: self.script.clone(),
            watch: self.watch.clone(),
            log: self.log.clone(),
            clock: self.clock.clone(),
            commits: 0,
        };
        Box::pin(async move { Ok(Box::new(committer) as Box<dyn Committer>) })
    }
}

struct Writer {
    script: Arc<SinkScript>,
    watch: Watch,
    log: Shared<SinkLog>,
    clock: Arc<dyn Clock>,
    random: fastrand::Rng,
    check: InputCheck,
    name: String,
    lane: usize,
    writes: u64,
    prepares: u64,
    epoch: Option<Epoch>,
    gone: bool,
    abandoned: bool,
}

impl Writer {
    async fn dawdle(&mut self) {
        if self.random.u8(..) < self.script.slow {
            self.clock.sleep(Duration::from_micros(self.random.u64(1..80_000))).await;
        }
    }

    fn living(&self, call: &str) {
        if self.abandoned {
            self.watch.violation(format!("{}: {call} after `abandon`", self.name));
        }
    }

    fn take(&mut self, batch: &RecordBatch, out: &mut Output) {
        let mut kept = Vec::new();
        if batch.schema().index_of("payload_format").is_ok() {
            self.check.foreign(batch);
            kept = self.error_rows(batch);
        } else {
            for (at, row) in self.check.batch(batch).into_iter().enumerate() {
                if self.script.rejects(&row) && !self.script.reject_late {
                    self.refuse(&row, Payload::Row(Arc::new(batch.clone()), at), out);
                } else {
                    kept.push(Kept::Row(row));
                }
            }
        }
        out.wrote(u64::try_from(batch.num_rows()).unwrap_or(0) * 8);
        lock(&self.log).staged.entry(self.lane).or_default().extend(kept);
    }

    fn refuse(&self, row: &Row, payload: Payload, out: &mut Output) {
        lock(&self.log).refused += 1;
        out.reject(Rejected::new(codes::REFUSED.id, format!("{}/{}", row.id, row.route), payload));
    }

    fn error_rows(&self, batch: &RecordBatch) -> Vec<Kept> {
        let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>()).cloned();
        let (Some(operators), Some(codes), Some(messages)) = (text("operator"), text("code"), text("message")) else {
            self.watch.violation(format!("{}: error rows of a foreign schema {:?}", self.name, batch.schema()));
            return Vec::new();
        };
        if codes.iter().any(|code| code != Some(codes::REFUSED.id)) || messages.null_count() > 0 {
            self.watch.violation(format!("{}: an error row with another code or no message", self.name));
        }
        let rows = operators.iter().flatten().zip(messages.iter().flatten());
        rows.map(|(operator, message)| Kept::Error(operator.to_owned(), message.to_owned())).collect()
    }

    /// Takes what is staged, without the rows that are refused only now.
    fn settle(&mut self, out: &mut Output) -> Vec<Kept> {
        let staged = lock(&self.log).staged.remove(&self.lane).unwrap_or_default();
        let (refused, kept): (Vec<Kept>, Vec<Kept>) = staged
            .into_iter()
            .partition(|kept| matches!(kept, Kept::Row(row) if self.script.reject_late && self.script.rejects(row)));
        for kept in refused {
            if let Kept::Row(row) = kept {
                self.refuse(&row, Payload::Bytes(row.id.to_string().into_bytes(), "raw"), out);
            }
        }
        kept
    }
}

impl SinkWriter for Writer {
    fn schema<'a>(&'a mut self, schema: &'a SchemaVersion) -> BoxFuture<'a, Result<()>> {
        self.living("schema");
        self.check.schema(schema);
        Box::pin(async move {
            self.dawdle().await;
            Ok(())
        })
    }

    fn write<'a>(&'a mut self, batch: RecordBatch, out: &'a mut Output) -> BoxFuture<'a, Result<Written>> {
        self.living("write");
        if self.gone {
            self.watch.violation(format!("{}: a batch after the reader left", self.name));
        }
        Box::pin(async move {
            self.dawdle().await;
            self.writes += 1;
            match self.script.broken {
                Broken::Write(at) if self.lane == 0 && at == self.writes => {
                    return Err(scripted_failure(&self.watch, &self.script.name));
                }
                Broken::ReaderGone(at) if self.lane == 0 && at == self.writes => {
                    self.watch.trace.note(format!("{} reader gone", self.name));
                    self.gone = true;
                    return Ok(Written::ReaderGone);
                }
                _ => {}
            }
            self.take(&batch, out);
            Ok(Written::Done)
        })
    }

    fn prepare<'a>(&'a mut self, epoch: Epoch, out: &'a mut Output) -> BoxFuture<'a, Result<Vec<Prepared>>> {
        self.living("prepare");
        if self.epoch.is_some_and(|before| before >= epoch) {
            self.watch.violation(format!("{}: prepare of {epoch} after {:?}", self.name, self.epoch));
        }
        self.watch.trace.note(format!("{} prepare {epoch}", self.name));
        self.epoch = Some(epoch);
        Box::pin(async move {
            self.dawdle().await;
            self.prepares += 1;
            if self.lane == 0 && self.script.broken == Broken::Prepare(self.prepares) {
                return Err(scripted_failure(&self.watch, &self.script.name));
            }
            let rows = self.settle(out);
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let mut log = lock(&self.log);
            let number = log.parts.len() as u64;
            log.parts.insert(number, Part { lane: self.lane, epoch, rows, state: State::Prepared });
            Ok(vec![Prepared(number.to_le_bytes().to_vec())])
        })
    }

    fn abandon(&mut self) -> BoxFuture<'_, Result<()>> {
        self.living("abandon");
        self.abandoned = true;
        self.watch.trace.note(format!("{} abandon", self.name));
        let mut log = lock(&self.log);
        log.writers.1 += 1;
        log.abandoned += log.staged.remove(&self.lane).unwrap_or_default().len();
        drop(log);
        Box::pin(async { Ok(()) })
    }
}

struct Target {
    script: Arc<SinkScript>,
    watch: Watch,
    log: Shared<SinkLog>,
    clock: Arc<dyn Clock>,
    random: fastrand::Rng,
    commits: u64,
}

impl Target {
    async fn dawdle(&mut self) {
        if self.random.u8(..) < self.script.slow {
            self.clock.sleep(Duration::from_micros(self.random.u64(1..500_000))).await;
        }
    }

    fn violation(&self, text: String) -> Result<()> {
        self.watch.violation(format!("{}: {text}", self.script.name));
        Err(Error::internal(&codes::SCRIPTED, text))
    }

    fn numbers(&self, prepared: &[Prepared]) -> Vec<u64> {
        let number = |token: &Prepared| token.0.as_slice().try_into().ok().map(u64::from_le_bytes);
        let numbers: Vec<u64> = prepared.iter().filter_map(number).collect();
        if numbers.len() != prepared.len() {
            self.watch.violation(format!("{}: a token that was never prepared", self.script.name));
        }
        numbers
    }

    /// Makes the parts of a commit visible, together.
    fn apply(&self, permit: &CommitPermit, commit: &Commit) -> Result<()> {
        let mut log = lock(&self.log);
        if log.marker.as_ref().is_some_and(|marker| marker.id == commit.id) {
            return Ok(());
        }
        if log.marker.as_ref().map(|marker| marker.id) != commit.parent {
            return self.violation(format!("commit {commit:?} does not follow {:?}", log.marker));
        }
        if permit.epoch() < commit.epoch || commit.prepared.is_empty() {
            return self.violation(format!("commit {commit:?} with a permit for {}", permit.epoch()));
        }
        let mut lane = 0;
        for number in self.numbers(&commit.prepared) {
            match log.parts.get_mut(&number) {
                Some(part) if part.state == State::Prepared && part.lane >= lane => {
                    lane = part.lane;
                    part.state = State::Committed;
                }
                part => return self.violation(format!("commit of part {number}: {part:?} after lane {lane}")),
            }
        }
        log.marker = Some(Marker { id: commit.id, epoch: commit.epoch });
        log.commits += 1;
        Ok(())
    }
}

impl Committer for Target {
    fn marker(&mut self) -> BoxFuture<'_, Result<Option<Marker>>> {
        Box::pin(async move { Ok(lock(&self.log).marker.clone()) })
    }

    fn commit<'a>(&'a mut self, permit: &'a CommitPermit, commit: &'a Commit) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.dawdle().await;
            self.commits += 1;
            self.watch.trace.note(format!("{} commit {}", self.script.name, commit.epoch));
            if self.script.broken == Broken::Commit(self.commits) {
                return Err(scripted_failure(&self.watch, &self.script.name));
            }
            self.apply(permit, commit)?;
            if self.script.broken == Broken::CommitAnswer(self.commits) {
                return Err(scripted_failure(&self.watch, &self.script.name));
            }
            Ok(())
        })
    }

    fn abort<'a>(&'a mut self, prepared: &'a [Prepared]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.dawdle().await;
            self.watch.trace.note(format!("{} abort of {}", self.script.name, prepared.len()));
            let mut log = lock(&self.log);
            for number in self.numbers(prepared) {
                match log.parts.get_mut(&number) {
                    Some(part) if part.state != State::Committed => part.state = State::Aborted,
                    part => self.watch.violation(format!("{}: abort of {part:?}", self.script.name)),
                }
            }
            Ok(())
        })
    }
}
