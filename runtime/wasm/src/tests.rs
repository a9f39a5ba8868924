//! Tests of the plugin host: guests in WebAssembly text, called through the lane of the operator.
//!
//! Every test makes a host of its own and ticks by hand, so none depends on the time.

mod answers;
mod caching;
mod emitting;
mod guest;
mod hostile;
mod limited;
mod materialised;
mod planning;
mod refusals;
mod stored;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use rde_core::{
    BoxFuture, Budget, Clock, Error, Flow, Output, Random, Rejected, Result, Runtime, Settings, Spawn, Staged, Work,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Host, HostOptions, PluginRunner, RunnerOptions, Ticks};
use guest::Guest;

/// A clock that moves a microsecond at each look.
#[derive(Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now_micros(&self) -> i64 {
        1_700_000_000_000_000
    }
    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Runs everything at once, on the caller's thread.
struct Inline;

impl Spawn for Inline {
    fn spawn(&self, _: &str, _: Work, task: BoxFuture<'static, ()>) {
        futures::executor::block_on(task);
    }
    fn spawn_blocking(&self, _: &str, job: Box<dyn FnOnce() + Send>) {
        job();
    }
}

fn runtime() -> Runtime {
    Runtime { clock: Arc::new(TestClock::default()), spawn: Arc::new(Inline), random: Random::seeded(1) }
}

fn host() -> Arc<Host> {
    Host::new(HostOptions { cache: None, ticks: Ticks::ByHand }).expect("the engines can be made")
}

/// A plugin's file with the host that runs it.
struct Bench {
    host: Arc<Host>,
    budget: Budget,
    folder: TempDir,
}

impl Bench {
    fn new(component: &[u8]) -> Bench {
        let folder = TempDir::new().expect("a temporary folder can be made");
        std::fs::write(folder.path().join("guest.wasm"), component).expect("the temporary folder can be written");
        Bench { host: host(), budget: Budget::new(1 << 30), folder }
    }

    fn options(&self, fields: Value) -> RunnerOptions {
        let mut all = json!({ "plugin": "guest.wasm" });
        let fields = fields.as_object().cloned().unwrap_or_default();
        all.as_object_mut().expect("an object literal is an object").extend(fields);
        RunnerOptions {
            host: self.host.clone(),
            fields: all,
            base: self.folder.path().to_owned(),
            runtime: runtime(),
            budget: self.budget.clone(),
            settings: Arc::new(Settings::default()),
        }
    }

    fn open(&self, fields: Value) -> Result<PluginRunner, Vec<Error>> {
        self.open_with(fields, &[("in".to_owned(), columns())])
    }

    fn open_with(&self, fields: Value, inputs: &[(String, SchemaRef)]) -> Result<PluginRunner, Vec<Error>> {
        PluginRunner::open(self.options(fields), inputs).map_err(rde_core::Faults::into_vec)
    }

    /// Runs something while another thread ticks, so that guests that loop are interrupted. It ticks so slowly that a guest
    /// which does not loop is always faster.
    #[expect(clippy::disallowed_methods, reason = "the ticker of a test")]
    fn ticking<T>(&self, run: impl FnOnce() -> T) -> T {
        let stop = Arc::new(AtomicBool::new(false));
        let (host, stopped) = (self.host.clone(), stop.clone());
        let ticker = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                host.tick();
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        let answer = run();
        stop.store(true, Ordering::Relaxed);
        ticker.join().expect("the ticking thread does not panic");
        answer
    }
}

/// The columns of most tests: `id int64, name utf8`.
fn columns() -> SchemaRef {
    let fields = vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)];
    Arc::new(Schema::new(fields))
}

/// Rows 0 to `rows` - 1 of those columns.
fn batch(rows: usize) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("n{row}"))));
    RecordBatch::try_new(columns(), vec![ids, names]).expect("the columns fit the schema")
}

/// What one call put out.
#[derive(Default)]
struct Made {
    batches: Vec<(usize, RecordBatch)>,
    rejected: Vec<Rejected>,
    filtered: u64,
}

impl Made {
    /// Returns the ids in output 0.
    fn ids(&self) -> Vec<i64> {
        let ids = self.batches.iter().filter(|(port, _)| *port == 0).flat_map(|(_, batch)| int64(batch, "id"));
        ids.collect()
    }

    /// Returns the ids of rejected rows with their codes.
    fn set_aside(&self) -> Vec<(i64, String)> {
        let one = |rejected: &Rejected| match &rejected.payload {
            rde_core::Payload::Row(batch, row) => (int64(batch, "id")[*row], rejected.code.to_string()),
            _ => (-1, rejected.code.to_string()),
        };
        self.rejected.iter().map(one).collect()
    }
}

fn int64(batch: &RecordBatch, name: &str) -> Vec<i64> {
    let column = batch.column_by_name(name).expect("the column is there");
    let column = column.as_any().downcast_ref::<Int64Array>().expect("the column is int64");
    column.values().to_vec()
}

fn made(out: &mut Output) -> Made {
    let mut made = Made::default();
    let (staged, counted) = out.take();
    for one in staged {
        match one {
            Staged::Batch(port, batch) => made.batches.push((port, batch)),
            Staged::Rejected(rejected) => made.rejected.push(rejected),
            Staged::Schema(..) | Staged::Watermark(_) => {}
        }
    }
    made.filtered = counted.rows_filtered;
    made
}

/// Gives a batch and everything that is left of it.
fn run(runner: &mut PluginRunner, batch: RecordBatch) -> Result<Made> {
    let mut out = Output::new();
    let mut flow = runner.run(0, batch, &mut out)?;
    while flow == Flow::More {
        flow = runner.more(&mut out)?;
    }
    assert_eq!(flow, Flow::Done);
    Ok(made(&mut out))
}

/// Opens a guest with fields, gives it rows, returns what it made.
fn call(guest: Guest, fields: Value, rows: usize) -> Result<Made> {
    let bench = Bench::new(&guest.component());
    let mut runner = bench.open(fields).map_err(|errors| errors[0].clone())?;
    run(&mut runner, batch(rows))
}

fn code<T>(result: Result<T>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(error) => error.code(),
    }
}
