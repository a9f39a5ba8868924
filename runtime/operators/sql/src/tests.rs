//! Tests of the operator as the engine sees it: configuration in, batches in, rows and errors out.
//!
//! `run` opens a query over inputs and feeds them whole, row by row or in random cuts; answers are compared as text.
#![expect(clippy::cloned_ref_to_slice_refs, reason = "a list of inputs reads the same for one and for many")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::future::BoxFuture;
use futures::stream::StreamExt;
use rde_core::{
    Budget, CancelToken, Clock, Error, Fields, Flow, Incarnation, InputShape, OpenContext, Operator, OperatorSpec,
    Output, Payload, Plan, PluginStatsSlot, Produced, Random, Runtime, SchemaVersion, Settings, Shape, Spawn, Staged,
    Transform, Wanted, Work,
};

use crate::Sql;

mod batches;
mod faults;
mod growth;
mod pushdown;
mod values;
mod whole;

/// 2013-01-01 12:00:00 UTC.
const STARTED: i64 = 1_357_041_600_000_000;

struct Still;

impl Clock for Still {
    fn now_micros(&self) -> i64 {
        panic!("a query asked the clock")
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
    fn sleep(&self, _period: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

impl Spawn for Still {
    fn spawn(&self, _name: &str, _work: Work, _task: BoxFuture<'static, ()>) {}
    fn spawn_blocking(&self, _name: &str, _job: Box<dyn FnOnce() + Send>) {}
}

fn context(settings: Settings) -> OpenContext {
    let budget = Budget::new(settings.memory_max.bytes());
    OpenContext {
        pipeline: "test".into(),
        operator: "query".into(),
        incarnation: Incarnation(1),
        lanes: 1,
        settings: Arc::new(settings),
        base: std::env::temp_dir(),
        runtime: Runtime { clock: Arc::new(Still), spawn: Arc::new(Still), random: Random::seeded(7) },
        started_micros: STARTED,
        budget,
        cancel: CancelToken::new(),
        plugin_stats: PluginStatsSlot::default(),
    }
}

fn parse(query: &str) -> Result<Box<dyn Plan>, Vec<Error>> {
    parse_with(query, &Settings::default())
}

fn parse_with(query: &str, settings: &Settings) -> Result<Box<dyn Plan>, Vec<Error>> {
    let value = serde_json::json!({ "query": query });
    let settings = Arc::new(settings.clone());
    let fields = Fields { id: "query".into(), value, secrets: Vec::new(), parallelism: None, settings };
    Sql.parse(&fields).map_err(rde_core::Faults::into_vec)
}

fn shape(name: &str, schema: &SchemaRef, bounded: bool) -> InputShape {
    InputShape { port: name.into(), from: format!("{name}.out"), shape: Shape::Known(Arc::clone(schema)), bounded }
}

type Table = (&'static str, RecordBatch);

fn bind(query: &str, inputs: &[Table], bounded: bool) -> Result<Box<dyn Plan>, Vec<Error>> {
    bind_with(query, inputs, bounded, &Settings::default())
}

fn bind_with(query: &str, inputs: &[Table], bounded: bool, settings: &Settings) -> Result<Box<dyn Plan>, Vec<Error>> {
    let mut plan = parse_with(query, settings)?;
    let shapes: Vec<InputShape> = inputs.iter().map(|(name, batch)| shape(name, &batch.schema(), bounded)).collect();
    plan.bind(&shapes).map_err(rde_core::Faults::into_vec)?;
    plan.wanted(&[Wanted::all()]);
    plan.bind(&shapes).map_err(rde_core::Faults::into_vec)?;
    Ok(plan)
}

/// What a query came to.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    /// One line of cells per row.
    rows: Vec<String>,
    filtered: u64,
    /// Code, message and the cells of the row.
    rejected: Vec<String>,
    columns: Vec<String>,
    error: Option<String>,
}

fn cells(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅");
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).expect("every type has a format"))
        .collect();
    let row = |row: usize| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" ");
    (0..batch.num_rows()).map(row).collect()
}

fn columns(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|field| format!("{}: {}", field.name(), field.data_type())).collect()
}

/// Cuts a batch: `None` leaves it whole.
fn cut(batch: &RecordBatch, seed: Option<u64>) -> Vec<RecordBatch> {
    let Some(seed) = seed else { return vec![batch.clone()] };
    let mut random = fastrand::Rng::with_seed(seed);
    let mut cuts = Vec::new();
    let mut from = 0;
    while from < batch.num_rows() {
        let most = if seed == 0 { 1 } else { batch.num_rows() - from };
        let rows = random.usize(1..=most);
        cuts.push(batch.slice(from, rows));
        from += rows;
    }
    cuts
}

fn open(plan: Box<dyn Plan>, settings: Settings) -> Operator {
    futures::executor::block_on(plan.open(context(settings))).expect("a bound query opens")
}

fn run_with(query: &str, inputs: &[Table], seed: Option<u64>, settings: Settings) -> Answer {
    let plan = bind_with(query, inputs, true, &settings).unwrap_or_else(|errors| panic!("{query}: {errors:?}"));
    match open(plan, settings) {
        Operator::Transform(mut lanes) => run_batches(lanes.swap_remove(0), inputs, seed),
        Operator::AsyncTransform(whole) => run_whole(whole, inputs, seed),
        _ => panic!("a query is a transform"),
    }
}

fn run(query: &str, inputs: &[Table]) -> Answer {
    run_with(query, inputs, None, Settings::default())
}

fn run_batches(mut lane: Box<dyn Transform>, inputs: &[Table], seed: Option<u64>) -> Answer {
    let mut out = Output::new();
    let mut answer = Answer::default();
    for (index, (_, batch)) in inputs.iter().enumerate() {
        let version = SchemaVersion { version: 1, schema: batch.schema(), cause: None };
        lane.schema(index, &version, &mut out).expect("the schema is as it was bound");
    }
    for (index, (_, batch)) in inputs.iter().enumerate() {
        for part in cut(batch, seed) {
            let mut flow = lane.batch(index, part, &mut out);
            while let Ok(Flow::More) = flow {
                flow = lane.more(&mut out);
            }
            if let Err(error) = flow {
                answer.error = Some(format!("{error:?}"));
            }
        }
    }
    lane.close().expect("closing cannot fail");
    let (staged, counted) = out.take();
    answer.filtered = counted.rows_filtered;
    for one in staged {
        match one {
            Staged::Schema(_, schema, _) => answer.columns = columns(&schema),
            Staged::Batch(_, batch) => answer.rows.extend(cells(&batch)),
            Staged::Rejected(rejected) => {
                let Payload::Row(batch, row) = rejected.payload else { panic!("a failed row is kept") };
                let cells = cells(&batch.slice(row, 1)).concat();
                answer.rejected.push(format!("{} {}: {cells}", rejected.code, rejected.message));
            }
            Staged::Watermark(_) => panic!("a query makes no watermark"),
        }
    }
    answer
}

fn run_whole(mut whole: Box<dyn rde_core::AsyncTransform>, inputs: &[Table], seed: Option<u64>) -> Answer {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("threads can be started");
    runtime.block_on(async move {
        let streams = inputs.iter().map(|(_, batch)| {
            let parts = cut(batch, seed).into_iter().map(Ok);
            (batch.schema(), futures::stream::iter(parts).boxed())
        });
        let (schema, mut results) = whole.start(streams.collect()).expect("the inputs are as they were bound");
        let mut answer = Answer { columns: columns(&schema), ..Answer::default() };
        while let Some(result) = results.next().await {
            match result {
                Ok(Produced::Batch(batch)) => answer.rows.extend(cells(&batch)),
                Err(error) => {
                    answer.error = Some(format!("{error:?}"));
                    break;
                }
            }
        }
        answer
    })
}

/// Runs a query whole, row by row and in random cuts; every way must give these rows, in this order.
fn check(query: &str, inputs: &[Table], expected: &[&str]) {
    for seed in [None, Some(0), Some(1), Some(2), Some(3)] {
        let answer = run_with(query, inputs, seed, Settings::default());
        assert_eq!(answer.error, None, "{query}, cut {seed:?}");
        assert_eq!(answer.rejected, Vec::<String>::new(), "{query}, cut {seed:?}");
        assert_eq!(answer.rows, expected, "{query}, cut {seed:?}");
    }
}

/// As `check`, for a query without order.
fn check_unordered(query: &str, inputs: &[Table], expected: &[&str]) {
    for seed in [None, Some(0), Some(1), Some(2)] {
        let mut answer = run_with(query, inputs, seed, Settings::default());
        answer.rows.sort_unstable();
        assert_eq!(answer.error, None, "{query}, cut {seed:?}");
        assert_eq!(answer.rows, expected, "{query}, cut {seed:?}");
    }
}

fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .expect("the columns are as long as each other")
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn maybe_ints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn bools(values: &[Option<bool>]) -> ArrayRef {
    Arc::new(BooleanArray::from(values.to_vec()))
}

fn dates(values: &[i32]) -> ArrayRef {
    Arc::new(Date32Array::from(values.to_vec()))
}

/// Five flights.
fn flights() -> Table {
    let carriers = texts(&["AA", "UA", "AA", "DL", "UA"]);
    let delays = maybe_ints(&[Some(20), Some(3), None, Some(-5), Some(90)]);
    let distances = floats(&[100.0, 250.5, 300.0, 10.0, 1000.0]);
    let columns = vec![
        ("carrier", carriers),
        ("dep_delay", delays),
        ("distance", distances),
        ("Tail", texts(&["a", "b", "c", "d", "e"])),
    ];
    ("flights", table(columns))
}

fn carriers() -> Table {
    let columns = vec![("carrier", texts(&["AA", "UA", "ZZ"])), ("name", texts(&["American", "United", "Zed"]))];
    ("carriers", table(columns))
}

fn spill_folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("spill");
    (folder, path)
}
