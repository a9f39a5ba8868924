//! A runtime of plain threads, and a way to run a source or a sink without an engine, for the tests of this crate.

#![expect(clippy::disallowed_methods, reason = "plain threads stand in for the runtime that is injected elsewhere")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::future::BoxFuture;
use rde_core::{
    Budget, CancelToken, Clock, Counted, Error, Fields, Incarnation, InputShape, OpenContext, Operator, OperatorSpec,
    Output, Plan, PluginStatsSlot, Probe, ProbeMode, Progress, Random, Rejected, Result, Runtime, Settings, Shape,
    Sink, Source, Spawn, Staged, Wanted, Work,
};
use serde_json::Value;

/// Runs a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    use std::task::{Context, Poll, Wake, Waker};
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Unpark>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

struct Threads;

impl Clock for Threads {
    fn now_micros(&self) -> i64 {
        0
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
    fn sleep(&self, period: Duration) -> BoxFuture<'static, ()> {
        let (tx, rx) = futures::channel::oneshot::channel();
        std::thread::spawn(move || {
            std::thread::sleep(period);
            tx.send(()).is_ok()
        });
        Box::pin(async move {
            let _fired = rx.await;
        })
    }
}

impl Spawn for Threads {
    fn spawn(&self, _name: &str, _work: Work, task: BoxFuture<'static, ()>) {
        std::thread::spawn(move || block_on(task));
    }
    fn spawn_blocking(&self, _name: &str, job: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(job);
    }
}

pub(crate) fn runtime() -> Runtime {
    Runtime { clock: Arc::new(Threads), spawn: Arc::new(Threads), random: Random::seeded(1) }
}

pub(crate) fn probe(base: &Path, mode: ProbeMode) -> Probe {
    Probe { base: base.to_owned(), mode, runtime: runtime(), budget: Budget::new(1 << 30) }
}

pub(crate) fn fields(value: Value, settings: &Settings) -> Fields {
    Fields { id: "op".into(), value, secrets: Vec::new(), parallelism: None, settings: Arc::new(settings.clone()) }
}

pub(crate) fn context(base: &Path, incarnation: u64, lanes: usize) -> OpenContext {
    OpenContext {
        pipeline: "pipe".into(),
        operator: "op".into(),
        incarnation: Incarnation(incarnation),
        lanes,
        settings: Arc::new(Settings::default()),
        base: base.to_owned(),
        runtime: runtime(),
        started_micros: 0,
        budget: Budget::new(1 << 30),
        cancel: CancelToken::new(),
        plugin_stats: PluginStatsSlot::default(),
    }
}

/// What a source gave.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) schema: Option<SchemaRef>,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) counted: Counted,
    pub(crate) rows_by_lane: Vec<u64>,
}

impl Read {
    pub(crate) fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| batch.num_rows() as u64).sum()
    }

    /// Checks that the counts balance.
    pub(crate) fn balanced(self) -> Read {
        let sum = self.rows() + self.counted.rows_filtered + self.rejected.len() as u64;
        assert_eq!(self.counted.rows_read, sum, "rows read = out + filtered + rejected");
        self
    }

    /// Returns the values of all batches as CSV text without header.
    pub(crate) fn text(&self) -> String {
        let mut text = Vec::new();
        for batch in &self.batches {
            let mut writer = arrow_csv::WriterBuilder::new().with_header(false).build(&mut text);
            writer.write(batch).expect("test batches are flat");
        }
        String::from_utf8(text).expect("CSV of UTF-8")
    }
}

/// A source under test.
pub(crate) struct SourceTest {
    pub(crate) base: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) wanted: Wanted,
    pub(crate) lanes: usize,
}

impl SourceTest {
    pub(crate) fn new(base: &Path) -> SourceTest {
        SourceTest { base: base.to_owned(), settings: Settings::default(), wanted: Wanted::all(), lanes: 1 }
    }

    pub(crate) fn plan(
        &self,
        spec: &dyn OperatorSpec,
        value: Value,
        mode: ProbeMode,
    ) -> Result<Box<dyn Plan>, Vec<Error>> {
        let mut plan = spec.parse(&fields(value, &self.settings)).map_err(rde_core::Faults::into_vec)?;
        block_on(plan.discover(&probe(&self.base, mode))).map_err(rde_core::Faults::into_vec)?;
        plan.bind(&[]).map_err(rde_core::Faults::into_vec)?;
        plan.wanted(std::slice::from_ref(&self.wanted));
        plan.bind(&[]).map_err(rde_core::Faults::into_vec)?;
        Ok(plan)
    }

    pub(crate) fn open(&self, plan: Box<dyn Plan>) -> Result<Vec<Box<dyn Source>>> {
        let mut ctx = context(&self.base, 7, self.lanes);
        ctx.settings = Arc::new(self.settings.clone());
        let Operator::Source(mut lanes) = block_on(plan.open(ctx))? else { panic!("a source opens as a source") };
        let splits = block_on(lanes[0].splits())?;
        let count = lanes.len();
        for (index, lane) in lanes.iter_mut().enumerate() {
            let mine = splits.iter().skip(index).step_by(count).map(|split| (split.clone(), None)).collect();
            block_on(lane.assign(mine))?;
        }
        Ok(lanes)
    }

    pub(crate) fn run(&self, spec: &dyn OperatorSpec, value: Value) -> Result<Read, Vec<Error>> {
        let plan = self.plan(spec, value, ProbeMode::Run)?;
        let mut lanes = self.open(plan).map_err(|error| vec![error])?;
        let mut read = Read::default();
        for lane in &mut lanes {
            let before = read.counted.rows_read;
            drain(lane.as_mut(), &mut read).map_err(|error| vec![error])?;
            read.rows_by_lane.push(read.counted.rows_read - before);
        }
        Ok(read.balanced())
    }
}

/// Calls a lane until its end.
pub(crate) fn drain(lane: &mut dyn Source, read: &mut Read) -> Result<()> {
    let mut out = Output::new();
    loop {
        let progress = block_on(lane.next(&mut out))?;
        collect(&mut out, read);
        if progress == Progress::Ended {
            return Ok(());
        }
    }
}

/// Takes what a call staged.
pub(crate) fn collect(out: &mut Output, read: &mut Read) {
    let (staged, counted) = out.take();
    for one in staged {
        match one {
            Staged::Schema(_, schema, _) => read.schema = Some(schema),
            Staged::Batch(_, batch) => read.batches.push(batch),
            Staged::Rejected(rejected) => read.rejected.push(rejected),
            Staged::Watermark(_) => {}
        }
    }
    read.counted.rows_read += counted.rows_read;
    read.counted.rows_filtered += counted.rows_filtered;
    read.counted.bytes += counted.bytes;
}

/// Parses, binds and opens a sink.
pub(crate) fn open_sink(
    base: &Path,
    spec: &dyn OperatorSpec,
    value: Value,
    schema: &SchemaRef,
    incarnation: u64,
    lanes: usize,
) -> Result<Box<dyn Sink>, Vec<Error>> {
    let mut plan = spec.parse(&fields(value, &Settings::default())).map_err(rde_core::Faults::into_vec)?;
    let input = InputShape {
        port: "in".to_owned(),
        from: "a.out".to_owned(),
        shape: Shape::Known(schema.clone()),
        bounded: true,
    };
    plan.bind(&[input]).map_err(rde_core::Faults::into_vec)?;
    match block_on(plan.open(context(base, incarnation, lanes))) {
        Ok(Operator::Sink(sink)) => Ok(sink),
        Ok(_) => panic!("a sink opens as a sink"),
        Err(error) => Err(vec![error]),
    }
}

/// Returns the names of all files below a folder, hidden ones included, sorted.
pub(crate) fn tree(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                names.push(path.strip_prefix(folder).expect("it is below").to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    names
}
