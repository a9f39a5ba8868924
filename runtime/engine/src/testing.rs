//! Small scripted operators and a runtime of threads for the tests of this crate.
//!
//! Every task has a thread; the clock jumps over each sleep. The seeded simulation with random topologies is `rde-testkit`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use futures::executor::block_on;
use futures::future::{BoxFuture, FutureExt, ready};
use rde_core::{
    AsyncTransform, Balance, Budget, Clock, Commit, CommitPermit, Committer, Epoch, EventTime, Faults, Flow, Footprint,
    InputShape, Inputs, Joining, Lanes, Marker, OpenContext, Operator, Output, OutputShape, Plan, Position, Positions,
    Prepared, Probe, ProbeMode, Progress, Random, Result, Runtime, SchemaVersion, Settings, Shape, Sink, SinkWriter,
    Source, Spawn, Split, SplitId, State, Traits, Transform, Wanted, Work, Written,
};

use crate::shared::lock;

/// A clock that jumps over each sleep.
#[derive(Debug, Default)]
pub struct JumpClock(AtomicU64);

impl Clock for JumpClock {
    fn now_micros(&self) -> i64 {
        1_700_000_000_000_000
    }
    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::SeqCst))
    }
    fn sleep(&self, period: Duration) -> BoxFuture<'static, ()> {
        self.0.fetch_add(period.as_micros() as u64, Ordering::SeqCst);
        let mut yielded = false;
        std::future::poll_fn(move |cx| {
            if std::mem::replace(&mut yielded, true) {
                return std::task::Poll::Ready(());
            }
            std::thread::yield_now();
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .boxed()
    }
}

struct Threads;

impl Spawn for Threads {
    fn spawn(&self, name: &str, _: Work, task: BoxFuture<'static, ()>) {
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || block_on(task)).expect("a thread starts");
    }
    #[expect(clippy::disallowed_methods, reason = "these are the threads that are injected")]
    fn spawn_blocking(&self, _: &str, job: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(job);
    }
}

/// A runtime of threads.
pub fn runtime() -> Runtime {
    Runtime { clock: Arc::new(JumpClock::default()), spawn: Arc::new(Threads), random: Random::seeded(1) }
}

/// A probe with the budget of the settings.
pub fn probe(settings: &Settings) -> Probe {
    let budget = Budget::new(settings.memory_max.bytes());
    Probe { base: PathBuf::from("/nowhere"), mode: ProbeMode::Run, runtime: runtime(), budget }
}

/// The schema of all rows here: one column `n`.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]))
}

/// Makes a batch of the numbers.
pub fn batch(numbers: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
    RecordBatch::try_new(schema(), vec![column]).expect("one column of the schema")
}

/// Returns the numbers of a batch.
pub fn numbers(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

fn traits(lanes: Lanes) -> Traits {
    Traits { lanes, whole: false, bounded: true, balance: Balance::Checked, joining: Joining::Indifferent }
}

/// A plan made of closures.
pub struct TestPlan {
    pub inputs: Inputs,
    pub outputs: Vec<OutputShape>,
    pub traits: Traits,
    pub faults: Vec<rde_core::Error>,
    pub footprint: Footprint,
    pub wanted: Vec<Wanted>,
    /// Sources: the outputs after `wanted`.
    pub narrowed: Option<Vec<OutputShape>>,
    pub seen: Arc<Mutex<Vec<(String, String)>>>,
    /// How many transforms of this plan were closed.
    pub closed: Arc<AtomicUsize>,
    pub open: Box<dyn FnOnce(OpenContext) -> Result<Operator> + Send>,
    asked: bool,
}

/// Returns one output `out`.
pub fn one_output(schema: SchemaRef) -> Vec<OutputShape> {
    vec![OutputShape { port: "out".into(), shape: Shape::Known(schema) }]
}

impl TestPlan {
    pub fn new(
        inputs: &[&str],
        outputs: Vec<OutputShape>,
        lanes: Lanes,
        open: impl FnOnce(OpenContext) -> Result<Operator> + Send + 'static,
    ) -> TestPlan {
        TestPlan {
            inputs: Inputs::Ports(inputs.iter().map(|port| (*port).to_owned()).collect()),
            outputs,
            traits: traits(lanes),
            faults: Vec::new(),
            footprint: Footprint::default(),
            wanted: Vec::new(),
            narrowed: None,
            seen: Arc::default(),
            closed: Arc::default(),
            open: Box::new(open),
            asked: false,
        }
    }
}

impl Plan for TestPlan {
    fn discover<'a>(&'a mut self, _: &'a Probe) -> BoxFuture<'a, Result<(), Faults>> {
        ready(Faults::check(std::mem::take(&mut self.faults))).boxed()
    }
    fn inputs(&self) -> Inputs {
        self.inputs.clone()
    }
    fn bind(&mut self, inputs: &[InputShape]) -> Result<Vec<OutputShape>, Faults> {
        let seen =
            inputs.iter().map(|input| (input.port.clone(), format!("{} {:?}", input.from, columns(&input.shape))));
        lock(&self.seen).extend(seen);
        match &self.narrowed {
            Some(narrowed) if self.asked => Ok(narrowed.clone()),
            _ => Ok(self.outputs.clone()),
        }
    }
    fn traits(&self) -> Traits {
        self.traits
    }
    fn wanted(&mut self, by_output: &[Wanted]) -> Vec<Wanted> {
        self.asked = true;
        lock(&self.seen).extend(by_output.iter().map(|wanted| ("wanted".to_owned(), format!("{:?}", wanted.columns))));
        self.wanted.clone()
    }
    fn footprint(&self) -> Footprint {
        self.footprint.clone()
    }
    fn open(self: Box<Self>, ctx: OpenContext) -> BoxFuture<'static, Result<Operator>> {
        ready((self.open)(ctx)).boxed()
    }
}

fn columns(shape: &Shape) -> Vec<String> {
    match shape {
        Shape::Known(schema) => {
            let column = |field: &Arc<Field>| match field.is_nullable() {
                true => field.name().clone(),
                false => format!("{} not null", field.name()),
            };
            schema.fields().iter().map(column).collect()
        }
        Shape::Unknown(_) => vec!["?".to_owned()],
    }
}

/// Produces numbers, one range per split.
#[derive(Clone)]
pub struct Numbers {
    pub splits: Vec<Range<i64>>,
    pub batch_rows: i64,
    /// Numbers for which it rejects the row instead.
    pub rejects: fn(i64) -> bool,
    /// Called before each batch.
    pub before: Arc<dyn Fn(i64) + Send + Sync>,
    /// Never ends: idle behind the last number.
    pub endless: bool,
    /// Whether its column may hold nulls.
    pub nullable: bool,
}

impl Numbers {
    pub fn new(numbers: Range<i64>) -> Numbers {
        let before: Arc<dyn Fn(i64) + Send + Sync> = Arc::new(|_| {});
        Numbers { splits: vec![numbers], batch_rows: 10, rejects: |_| false, before, endless: false, nullable: true }
    }

    fn schema(&self) -> SchemaRef {
        let field = schema().field(0).clone().with_nullable(self.nullable);
        Arc::new(Schema::new(vec![field]))
    }

    pub fn plan(self) -> Box<TestPlan> {
        let mut plan = TestPlan::new(&[], one_output(self.schema()), Lanes::Many, {
            let numbers = self.clone();
            move |ctx| Ok(Operator::Source((0..ctx.lanes).map(|_| numbers.lane()).collect()))
        });
        plan.traits.bounded = !self.endless;
        Box::new(plan)
    }

    fn lane(&self) -> Box<dyn Source> {
        Box::new(NumbersLane { numbers: self.clone(), left: Vec::new(), announced: false })
    }
}

struct NumbersLane {
    numbers: Numbers,
    left: Vec<(SplitId, Range<i64>)>,
    announced: bool,
}

impl Source for NumbersLane {
    fn splits(&mut self) -> BoxFuture<'_, Result<Vec<Split>>> {
        let splits = self.numbers.splits.iter().enumerate();
        let split = |(index, range): (usize, &Range<i64>)| Split {
            id: SplitId(index.to_string()),
            weight: (range.end - range.start) as u64,
        };
        ready(Ok(splits.map(split).collect())).boxed()
    }
    fn assign(&mut self, splits: Vec<(Split, Option<Position>)>) -> BoxFuture<'_, Result<()>> {
        for (split, position) in splits {
            let mut range = self.numbers.splits[split.id.0.parse::<usize>().expect("an index")].clone();
            if let Some(position) = position {
                range.start = i64::from_le_bytes(position.0.try_into().expect("eight bytes"));
            }
            self.left.push((split.id, range));
        }
        ready(Ok(())).boxed()
    }
    fn next<'a>(&'a mut self, out: &'a mut Output) -> BoxFuture<'a, Result<Progress>> {
        if !std::mem::replace(&mut self.announced, true) {
            out.schema(0, self.numbers.schema(), None);
        }
        let Some((_, range)) = self.left.iter_mut().find(|(_, range)| !range.is_empty()) else {
            let idle = Progress::Idle(Duration::from_millis(5));
            return ready(Ok(if self.numbers.endless { idle } else { Progress::Ended })).boxed();
        };
        (self.numbers.before)(range.start);
        let taken = range.start..range.end.min(range.start + self.numbers.batch_rows);
        range.start = taken.end;
        out.read(taken.end.abs_diff(taken.start), 8 * taken.end.abs_diff(taken.start));
        let (bad, good): (Vec<i64>, Vec<i64>) = taken.partition(|n| (self.numbers.rejects)(*n));
        for n in bad {
            let payload = rde_core::Payload::Bytes(n.to_string().into_bytes(), "raw");
            let position = format!(r#"{{"path":"in.txt","line":{n}}}"#);
            out.reject(rde_core::Rejected::new("RDE0599", format!("{n} is bad"), payload).positioned(position));
        }
        let columns = batch(good).columns().to_vec();
        out.batch(0, RecordBatch::try_new(self.numbers.schema(), columns).expect("no number is null"));
        ready(Ok(Progress::Produced)).boxed()
    }
    fn keep_alive(&mut self) -> BoxFuture<'_, Result<()>> {
        ready(Ok(())).boxed()
    }
    fn positions(&self) -> Positions {
        let position = |(id, range): &(SplitId, Range<i64>)| (id.clone(), Position(range.start.to_le_bytes().to_vec()));
        self.left.iter().map(position).collect()
    }
    fn committed(&mut self, _: Epoch) -> BoxFuture<'_, Result<()>> {
        ready(Ok(())).boxed()
    }
}

/// What a scripted transform does with a batch; the number counts calls for the same batch.
pub type OnBatch = Arc<dyn Fn(&RecordBatch, usize, &mut Output) -> Result<Flow> + Send + Sync>;

/// Makes a transform plan of a closure that is called for `batch` and `more`.
pub fn transform(lanes: Lanes, on_batch: OnBatch) -> Box<TestPlan> {
    let closed: Arc<AtomicUsize> = Arc::default();
    let counter = closed.clone();
    let mut plan = TestPlan::new(&["in"], one_output(schema()), lanes, move |ctx| {
        let lane = |_| -> Box<dyn Transform> {
            let (on_batch, closed) = (on_batch.clone(), counter.clone());
            Box::new(Scripted { on_batch, batch: None, calls: 0, closed })
        };
        Ok(Operator::Transform((0..ctx.lanes).map(lane).collect()))
    });
    plan.closed = closed;
    Box::new(plan)
}

/// Passes batches on.
pub fn pass() -> OnBatch {
    Arc::new(|batch, _, out| {
        out.batch(0, batch.clone());
        Ok(Flow::Done)
    })
}

struct Scripted {
    on_batch: OnBatch,
    batch: Option<RecordBatch>,
    calls: usize,
    closed: Arc<AtomicUsize>,
}

impl Scripted {
    fn call(&mut self, out: &mut Output) -> Result<Flow> {
        self.calls += 1;
        let batch = self.batch.clone().expect("a batch was given");
        (self.on_batch)(&batch, self.calls, out)
    }
}

impl Transform for Scripted {
    fn schema(&mut self, _: usize, schema: &SchemaVersion, out: &mut Output) -> Result<Flow> {
        out.schema(0, schema.schema.clone(), None);
        Ok(Flow::Done)
    }
    fn batch(&mut self, _: usize, batch: RecordBatch, out: &mut Output) -> Result<Flow> {
        if self.batch.as_ref() != Some(&batch) {
            self.calls = 0;
        }
        self.batch = Some(batch);
        self.call(out)
    }
    fn watermark(&mut self, _: EventTime, _: &mut Output) -> Result<Flow> {
        Ok(Flow::Done)
    }
    fn end(&mut self, _: usize, _: &mut Output) -> Result<Flow> {
        Ok(Flow::Done)
    }
    fn more(&mut self, out: &mut Output) -> Result<Flow> {
        self.call(out)
    }
    fn save(&mut self, _: Epoch) -> Result<State> {
        Ok(State::None)
    }
    fn close(&mut self) -> Result<()> {
        self.closed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// The target of a sink: what is staged, prepared and visible.
#[derive(Clone, Default)]
pub struct Target(Arc<Mutex<TargetState>>);

#[derive(Default)]
pub struct TargetState {
    prepared: BTreeMap<i64, Vec<i64>>,
    next: i64,
    pub visible: Vec<i64>,
    pub commits: Vec<Commit>,
    pub marker: Option<Marker>,
    pub abandoned: usize,
    pub aborted: usize,
    /// Numbers of rows of an `errors` output, by code.
    pub codes: Vec<String>,
    pub fail_commit: bool,
    /// The commit lands, and its answer is lost.
    pub lose_answer: bool,
    pub reader_gone_at: Option<i64>,
    /// The schemas that writers were told of.
    pub schemas: Vec<SchemaRef>,
    /// The schemas that batches carried, one for each change.
    pub labels: Vec<SchemaRef>,
}

impl TargetState {
    fn label(&mut self, schema: SchemaRef) {
        if self.labels.last() != Some(&schema) {
            self.labels.push(schema);
        }
    }
}

impl Target {
    pub fn state(&self) -> std::sync::MutexGuard<'_, TargetState> {
        lock(&self.0)
    }

    /// Returns what is visible, sorted.
    pub fn visible(&self) -> Vec<i64> {
        let mut visible = self.state().visible.clone();
        visible.sort_unstable();
        visible
    }

    pub fn plan(&self) -> Box<TestPlan> {
        let target = self.clone();
        Box::new(TestPlan::new(&["in"], Vec::new(), Lanes::Many, move |_| {
            Ok(Operator::Sink(Box::new(TargetSink(target))))
        }))
    }
}

struct TargetSink(Target);

struct TargetWriter(Target, Vec<i64>);

impl Sink for TargetSink {
    fn writer(&mut self, _: usize) -> BoxFuture<'_, Result<Box<dyn SinkWriter>>> {
        let writer: Box<dyn SinkWriter> = Box::new(TargetWriter(self.0.clone(), Vec::new()));
        ready(Ok(writer)).boxed()
    }
    fn committer(&mut self) -> BoxFuture<'_, Result<Box<dyn Committer>>> {
        let committer: Box<dyn Committer> = Box::new(TargetSink(self.0.clone()));
        ready(Ok(committer)).boxed()
    }
}

impl SinkWriter for TargetWriter {
    fn schema<'a>(&'a mut self, version: &'a SchemaVersion) -> BoxFuture<'a, Result<()>> {
        self.0.state().schemas.push(version.schema.clone());
        ready(Ok(())).boxed()
    }
    fn write<'a>(&'a mut self, batch: RecordBatch, _: &'a mut Output) -> BoxFuture<'a, Result<Written>> {
        self.0.state().label(batch.schema());
        if batch.schema().field(0).name() == "pipeline" {
            let codes = batch.column(2).as_string::<i32>();
            self.0.state().codes.extend((0..batch.num_rows()).map(|row| codes.value(row).to_owned()));
            self.1.extend(std::iter::repeat_n(0, batch.num_rows()));
            return ready(Ok(Written::Done)).boxed();
        }
        let numbers = numbers(&batch);
        let gone = self.0.state().reader_gone_at.is_some_and(|at| numbers.contains(&at));
        self.1.extend(numbers);
        ready(Ok(if gone { Written::ReaderGone } else { Written::Done })).boxed()
    }
    fn prepare<'a>(&'a mut self, _: Epoch, _: &'a mut Output) -> BoxFuture<'a, Result<Vec<Prepared>>> {
        let rows = std::mem::take(&mut self.1);
        if rows.is_empty() {
            return ready(Ok(Vec::new())).boxed();
        }
        let mut target = self.0.state();
        let name = target.next;
        target.next += 1;
        target.prepared.insert(name, rows);
        ready(Ok(vec![Prepared(name.to_le_bytes().to_vec())])).boxed()
    }
    fn abandon(&mut self) -> BoxFuture<'_, Result<()>> {
        self.0.state().abandoned += 1;
        self.1.clear();
        ready(Ok(())).boxed()
    }
}

impl Committer for TargetSink {
    fn marker(&mut self) -> BoxFuture<'_, Result<Option<Marker>>> {
        ready(Ok(self.0.state().marker.clone())).boxed()
    }
    fn commit<'a>(&'a mut self, permit: &'a CommitPermit, commit: &'a Commit) -> BoxFuture<'a, Result<()>> {
        let mut target = self.0.state();
        assert!(permit.epoch() >= commit.epoch);
        if target.fail_commit {
            let error = rde_core::Error::data(&crate::codes::CONTRACT, "the target refuses").caused_by(std::fmt::Error);
            return ready(Err(error)).boxed();
        }
        if target.marker.as_ref().map(|marker| marker.id) == Some(commit.id) {
            return ready(Ok(())).boxed();
        }
        assert_eq!(target.marker.as_ref().map(|marker| marker.id), commit.parent, "the chain is kept");
        for prepared in &commit.prepared {
            let name = i64::from_le_bytes(prepared.0.clone().try_into().expect("eight bytes"));
            let rows = target.prepared.remove(&name).expect("prepared and not yet committed");
            target.visible.extend(rows);
        }
        target.marker = Some(Marker { id: commit.id, epoch: commit.epoch });
        target.commits.push(commit.clone());
        if target.lose_answer {
            let error = rde_core::Error::data(&crate::codes::CONTRACT, "the answer is lost");
            return ready(Err(error)).boxed();
        }
        ready(Ok(())).boxed()
    }
    fn abort<'a>(&'a mut self, prepared: &'a [Prepared]) -> BoxFuture<'a, Result<()>> {
        let mut target = self.0.state();
        target.aborted += prepared.len();
        for one in prepared {
            let name = i64::from_le_bytes(one.0.clone().try_into().expect("eight bytes"));
            target.prepared.remove(&name);
        }
        ready(Ok(())).boxed()
    }
}

/// An operator over whole inputs that gives back every row once all inputs have ended, the last input's first: so it reads
/// one input to its end before it takes anything of another.
pub fn whole(ports: &[&str]) -> Box<TestPlan> {
    let mut plan =
        TestPlan::new(ports, one_output(schema()), Lanes::One, |_| Ok(Operator::AsyncTransform(Box::new(ReadsAll))));
    plan.traits = Traits { whole: true, balance: Balance::Free, ..plan.traits };
    Box::new(plan)
}

/// An operator over one whole input that gives back every batch as it comes, as a join does with the side it does not keep.
pub fn echo() -> Box<TestPlan> {
    let open = |_| -> Result<Operator> { Ok(Operator::AsyncTransform(Box::new(Echoes))) };
    let mut plan = TestPlan::new(&["in"], one_output(schema()), Lanes::One, open);
    plan.traits = Traits { whole: true, balance: Balance::Free, ..plan.traits };
    Box::new(plan)
}

struct Echoes;

impl AsyncTransform for Echoes {
    fn start(
        &mut self,
        mut inputs: Vec<(SchemaRef, rde_core::BatchStream)>,
    ) -> Result<(SchemaRef, futures::stream::BoxStream<'static, Result<rde_core::Produced>>)> {
        use futures::stream::{StreamExt, TryStreamExt};
        let (schema, stream) = inputs.swap_remove(0);
        Ok((schema, stream.map_ok(rde_core::Produced::Batch).boxed()))
    }
}

struct ReadsAll;

impl AsyncTransform for ReadsAll {
    fn start(
        &mut self,
        inputs: Vec<(SchemaRef, rde_core::BatchStream)>,
    ) -> Result<(SchemaRef, futures::stream::BoxStream<'static, Result<rde_core::Produced>>)> {
        use futures::future::TryFutureExt;
        use futures::stream::{StreamExt, TryStreamExt};
        let schema = inputs[0].0.clone();
        let all = async move {
            let mut batches = Vec::new();
            for (_, stream) in inputs.into_iter().rev() {
                batches.extend(stream.try_collect::<Vec<_>>().await?);
            }
            Ok(futures::stream::iter(batches.into_iter().map(|batch| Ok(rde_core::Produced::Batch(batch)))))
        };
        Ok((schema, all.try_flatten_stream().boxed()))
    }
}
