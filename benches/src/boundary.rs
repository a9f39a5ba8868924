//! The plugin hop: from a host batch to a materialised host batch, beside native arrow-rs and memcpy.
//!
//! Each figure is the median over rounds in which plugin and native code take turns. `cargo xtask bench` starts it with the
//! folder of the plugins in `RDE_PLUGINS`. Allocations are counted by the global allocator, in steady state.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark measures real time and prints")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::buffer::MutableBuffer;
use arrow::compute::kernels::arity::unary;
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Schema};
use rde::core::{Budget, Flow, Output, Runtime, Settings};
use rde::runtime::Threads;
use rde_wasm::{Host, HostOptions, PluginRunner, RunnerOptions};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LARGE: AtomicU64 = AtomicU64::new(0);
const LARGE_BYTES: usize = 4096;

#[expect(unsafe_code, reason = "a global allocator is unsafe by its nature; this one only counts")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        if layout.size() > LARGE_BYTES {
            LARGE.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROWS: usize = 8192;
const CALLS: usize = 100;

type Native = fn(&RecordBatch) -> ArrayRef;

fn main() {
    // A name of a function measures that alone, as a profile needs it.
    let (flags, only): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let rounds = if flags.iter().any(|flag| flag == "--long") { 60 } else { 15 };
    let rounds = if only.is_empty() { rounds } else { 1000 };
    let threads = Threads::start().expect("threads start");
    let host = Host::new(HostOptions::default()).expect("the host starts");
    let bench = Bench { host, runtime: threads.runtime(), rounds };
    println!(
        "{ROWS} rows of (int64, float64, utf8 of 10 bytes), us per batch, median of {rounds} rounds of {CALLS} calls"
    );
    println!(
        "{:<8} {:>8} {:>8} {:>8} {:>10} {:>10} {:>13}",
        "function", "plugin", "native", "memcpy", "to native", "to target", "allocations"
    );
    for (name, column, native) in [("scale", 1, scale as Native), ("bucket", 1, bucket), ("mask", 2, mask)] {
        if only.is_empty() || only.iter().any(|only| only == name) {
            bench.hop(name, column, native);
        }
    }
    if only.is_empty() {
        bench.one_row();
        bench.forward();
    }
    threads.stop();
}

struct Bench {
    host: Arc<Host>,
    runtime: Runtime,
    rounds: usize,
}

impl Bench {
    fn open(&self, name: &str, rows: &RecordBatch) -> PluginRunner {
        let folder = std::env::var_os("RDE_PLUGINS").map_or_else(|| PathBuf::from("out/plugins"), PathBuf::from);
        let options = RunnerOptions {
            host: self.host.clone(),
            fields: serde_json::json!({ "plugin": folder.join("bench-hop.wasm"), "config": { "function": name } }),
            base: PathBuf::new(),
            runtime: self.runtime.clone(),
            budget: Budget::new(usize::MAX),
            settings: Arc::new(Settings::default()),
        };
        PluginRunner::open(options, &[("in".to_owned(), rows.schema())]).expect("the plugin opens")
    }

    fn hop(&self, name: &str, column: usize, native: Native) {
        let rows = batch(ROWS);
        let mut runner = self.open(name, &rows);
        let added = answer(&mut runner, &rows);
        let expected = native(&rows);
        assert_eq!(added.as_ref(), expected.as_ref(), "`{name}` and native code must agree");
        let (input, output) = (bytes(rows.column(column)), bytes(&expected));
        let (mut plugin, mut own, mut copy) = (Vec::new(), Vec::new(), Vec::new());
        let mut out = Output::new();
        for _ in 0..self.rounds {
            plugin.push(per_call(|| call(&mut runner, &rows, &mut out)));
            own.push(per_call(|| drop(black_box(native(black_box(&rows))))));
            copy.push(memcpy(input) + memcpy(output));
        }
        let (allocations, large) = counted(|| call(&mut runner, &rows, &mut out));
        let (plugin, own, copy) = (median(plugin), median(own), median(copy));
        println!(
            "{name:<8} {plugin:>8.1} {own:>8.1} {copy:>8.1} {:>9.2}x {:>9.2}x {allocations:>6} ({large} > 4 KiB)",
            plugin / own,
            plugin / (own + copy),
        );
    }

    fn one_row(&self) {
        let rows = batch(1);
        for name in ["scale", "bucket", "mask"] {
            let mut runner = self.open(name, &rows);
            let mut out = Output::new();
            let times = (0..self.rounds).map(|_| per_call(|| call(&mut runner, &rows, &mut out))).collect();
            println!("one row through `{name}`: {:.2} us (target 10)", median(times));
        }
    }

    fn forward(&self) {
        for columns in [1, 100, 1000] {
            let fields: Vec<Field> =
                (0..columns).map(|column| Field::new(format!("c{column}"), DataType::Int64, true)).collect();
            let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS as i64));
            let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![values; columns]).expect("columns fit");
            let mut runner = self.open("forward", &rows);
            let mut out = Output::new();
            // The batch is handed over and taken back, as an edge does it: a clone would count every column.
            let mut rows = Some(rows);
            let mut pass = || rows = Some(handed_on(&mut runner, rows.take().expect("it came back"), &mut out));
            let times = (0..self.rounds).map(|_| per_call(&mut pass)).collect();
            let (allocations, large) = counted(&mut pass);
            println!(
                "forward of {columns} columns: {:.2} us (target 2), {allocations} allocations ({large} > 4 KiB)",
                median(times)
            );
        }
    }
}

fn call(runner: &mut PluginRunner, rows: &RecordBatch, out: &mut Output) {
    let flow = runner.run(0, rows.clone(), out).expect("the plugin answers");
    assert_eq!(flow, Flow::Done);
    out.take().0.for_each(drop);
}

/// Hands a batch over and returns the one that comes out.
fn handed_on(runner: &mut PluginRunner, rows: RecordBatch, out: &mut Output) -> RecordBatch {
    assert_eq!(runner.run(0, rows, out).expect("the plugin answers"), Flow::Done);
    let batch = out.take().0.find_map(|staged| match staged {
        rde::core::Staged::Batch(_, batch) => Some(batch),
        _ => None,
    });
    batch.expect("the batch goes on")
}

/// Returns the last column of the plugin's answer.
fn answer(runner: &mut PluginRunner, rows: &RecordBatch) -> ArrayRef {
    let mut out = Output::new();
    runner.run(0, rows.clone(), &mut out).expect("the plugin answers");
    let column = out.take().0.find_map(|staged| match staged {
        rde::core::Staged::Batch(_, batch) => Some(batch.column(batch.num_columns() - 1).clone()),
        _ => None,
    });
    column.expect("the plugin emits one batch")
}

fn per_call(mut job: impl FnMut()) -> f64 {
    for _ in 0..10 {
        job();
    }
    let started = Instant::now();
    for _ in 0..CALLS {
        job();
    }
    started.elapsed().as_nanos() as f64 / 1000.0 / CALLS as f64
}

/// Returns allocations per call, and those above 4 KiB, rounded up.
fn counted(mut job: impl FnMut()) -> (u64, u64) {
    for _ in 0..CALLS {
        job();
    }
    let before = (ALLOCATIONS.load(Ordering::Relaxed), LARGE.load(Ordering::Relaxed));
    for _ in 0..CALLS {
        job();
    }
    let after = (ALLOCATIONS.load(Ordering::Relaxed), LARGE.load(Ordering::Relaxed));
    ((after.0 - before.0).div_ceil(CALLS as u64), (after.1 - before.1).div_ceil(CALLS as u64))
}

/// Microseconds of a copy between two blocks that are aligned as Arrow's are: at other distances some processors copy large
/// blocks twenty times slower, which would flatter everything that is held against it.
fn memcpy(bytes: usize) -> f64 {
    let from = MutableBuffer::from_len_zeroed(bytes);
    let mut to = MutableBuffer::from_len_zeroed(bytes);
    per_call(|| {
        to.as_slice_mut().copy_from_slice(black_box(from.as_slice()));
        black_box(&mut to);
    })
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn bytes(array: &ArrayRef) -> usize {
    array.to_data().buffers().iter().map(|buffer| buffer.len()).sum()
}

fn batch(rows: usize) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    let amounts: ArrayRef =
        Arc::new(Float64Array::from_iter_values((0..rows).map(|row| (row * 7919 % 1000) as f64 / 3.0)));
    let names: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("ab{:06}xy", row * 7919 % 1_000_000))));
    RecordBatch::try_from_iter([("id", ids), ("amount", amounts), ("name", names)]).expect("columns have one length")
}

fn scale(rows: &RecordBatch) -> ArrayRef {
    let factor = Float64Array::new_scalar(1.07);
    numeric::mul(rows.column(1), &factor).expect("floats multiply")
}

/// `CASE` over five ranges: a map over the values.
fn bucket(rows: &RecordBatch) -> ArrayRef {
    let amounts = rows.column(1).as_primitive::<Float64Type>();
    let buckets = unary::<_, _, Int32Type>(amounts, |amount| {
        [20.0, 40.0, 60.0, 80.0].iter().map(|bound| i32::from(amount >= *bound)).sum()
    });
    Arc::new(buckets)
}

/// Digits to `#`: a map over the bytes of the whole column, since ASCII digits keep every length.
fn mask(rows: &RecordBatch) -> ArrayRef {
    let names = rows.column(2).as_string::<i32>();
    let bytes: Vec<u8> =
        names.value_data().iter().map(|byte| if byte.is_ascii_digit() { b'#' } else { *byte }).collect();
    let masked = StringArray::try_new(names.offsets().clone(), bytes.into(), names.nulls().cloned());
    Arc::new(masked.expect("a digit and `#` have one byte"))
}
