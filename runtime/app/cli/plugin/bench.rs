//! `rde plugin bench`: time per batch through the real host, beside the same bytes through memcpy.
//!
//! Invariant: rows that the plugin refused are counted and shown, since such a call does other work than a good one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use rde_core::{Error, Output, Rejected, Result, Runtime, Staged};
use rde_wasm::PluginRunner;
use serde_json::{Value, json};

use super::{BenchArgs, drive, inspect, table};
use crate::cli::TextOrJson;
use crate::cli::output::{Exit, result};
use crate::codes;

const WARM_UP_CALLS: usize = 20;
const CALLS: usize = 200;

/// Runs the command.
pub(super) fn run(args: &BenchArgs) -> Result<Exit> {
    let threads = inspect::threads()?;
    let runtime = threads.runtime();
    let config = config(args)?;
    let rows = threads.block_on(rows(args, &runtime))?;
    let options = drive::options(&args.file, &config, &runtime)?;
    let ports = PluginRunner::inputs(&options).map_err(drive::first)?;
    let [port] = ports.as_slice() else {
        let message = format!("the plugin has {} inputs", ports.len());
        return Err(Error::config(&codes::PLUGIN_RUN, message).help("only plugins with one input can be measured"));
    };
    let mut runner = drive::open(options, &[(port.clone(), rows.clone())])?;
    let figures = measure(&mut runner, &rows, &runtime)?;
    drop(runner.close());
    threads.stop();
    Ok(match args.format {
        TextOrJson::Json => result(&format!("{figures:#}\n")),
        TextOrJson::Text => result(&text(&figures)),
    })
}

fn measure(runner: &mut PluginRunner, rows: &RecordBatch, runtime: &Runtime) -> Result<Value> {
    let mut out = Output::new();
    let mut times = Vec::with_capacity(CALLS);
    let (mut bytes_in, mut bytes_out) = (0, 0);
    let mut rejections = Rejections::default();
    for call in 0..WARM_UP_CALLS + CALLS {
        let before = runtime.clock.elapsed();
        drive::call(runner, 0, rows.clone(), &mut out)
            .map_err(|cause| drive::failed("the plugin failed".to_owned(), cause))?;
        let took = runtime.clock.elapsed() - before;
        let staged = out.take().0;
        if call >= WARM_UP_CALLS {
            times.push(took.as_nanos() as f64 / 1000.0);
            rejections.count(staged);
        }
    }
    if let Some(stats) = runner.stats() {
        let calls = stats.calls.load(Ordering::Relaxed).max(1);
        bytes_in = stats.bytes_in.load(Ordering::Relaxed) / calls;
        bytes_out = stats.bytes_out.load(Ordering::Relaxed) / calls;
    }
    let memory = runner.stats().map_or(0, |stats| stats.memory_peak.load(Ordering::Relaxed));
    times.sort_by(f64::total_cmp);
    Ok(json!({
        "rows": rows.num_rows(),
        "calls": CALLS,
        "rows_rejected": rejections.rows,
        "first_rejected": rejections.first.map(|row| json!({ "code": row.code, "message": row.message })),
        "us_per_batch_p50": rounded(times[CALLS / 2]),
        "us_per_batch_p99": rounded(times[CALLS * 99 / 100]),
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "memory_peak_bytes": memory,
        "memcpy_us": rounded(memcpy_micros(bytes_in + bytes_out, runtime)),
    }))
}

/// Rows that the plugin refused in the measured calls.
#[derive(Default)]
struct Rejections {
    rows: usize,
    first: Option<Rejected>,
}

impl Rejections {
    fn count(&mut self, staged: impl Iterator<Item = Staged>) {
        for one in staged {
            if let Staged::Rejected(rejected) = one {
                self.rows += 1;
                self.first.get_or_insert(rejected);
            }
        }
    }
}

/// The median time to copy as many bytes as cross the border.
fn memcpy_micros(bytes: u64, runtime: &Runtime) -> f64 {
    let from = vec![1u8; bytes as usize];
    let mut to = vec![0u8; bytes as usize];
    let mut times: Vec<f64> = (0..CALLS)
        .map(|_| {
            let before = runtime.clock.elapsed();
            to.copy_from_slice(std::hint::black_box(&from));
            std::hint::black_box(&mut to);
            (runtime.clock.elapsed() - before).as_nanos() as f64 / 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[CALLS / 2]
}

fn rounded(micros: f64) -> f64 {
    (micros * 100.0).round() / 100.0
}

fn text(figures: &Value) -> String {
    let refused = figures["first_rejected"].as_object().map(|first| {
        let rows = figures["rows"].as_u64().unwrap_or_default() * CALLS as u64;
        let word = |name: &str| first[name].as_str().unwrap_or_default();
        let (code, message) = (word("code"), word("message"));
        format!("  the plugin rejected {} of {rows} rows, the first with {code}: {message}\n", figures["rows_rejected"])
    });
    format!(
        "{} rows a batch, {} calls\n{}  p50 {} us, p99 {} us per batch\n  {} bytes in, {} bytes out; memcpy of as many: {} us\n  {} KiB of guest memory\n",
        figures["rows"],
        figures["calls"],
        refused.unwrap_or_default(),
        figures["us_per_batch_p50"],
        figures["us_per_batch_p99"],
        figures["bytes_in"],
        figures["bytes_out"],
        figures["memcpy_us"],
        figures["memory_peak_bytes"].as_u64().unwrap_or_default().div_ceil(1024),
    )
}

fn config(args: &BenchArgs) -> Result<Value> {
    let beside = case_folder(&args.file).map(|case| case.join("config.json")).filter(|path| path.is_file());
    let Some(path) = args.config.clone().or(beside) else { return Ok(json!({})) };
    let bytes = std::fs::read(&path)
        .map_err(|cause| Error::config(&codes::PLUGIN_FILE, format!("cannot read `{}`: {cause}", path.display())))?;
    serde_json::from_slice(&bytes).map_err(|cause| {
        Error::config(&codes::PLUGIN_FILE, format!("`{}` is no JSON", path.display())).caused_by(cause)
    })
}

/// The rows asked for: of a file, of the first case beside the component, or made up; repeated to `--rows`.
async fn rows(args: &BenchArgs, runtime: &Runtime) -> Result<RecordBatch> {
    let beside = case_folder(&args.file).and_then(|case| {
        ["csv", "parquet", "json"]
            .map(|extension| case.join(format!("input.{extension}")))
            .into_iter()
            .find(|path| path.is_file())
    });
    let batch = match args.input.clone().or(beside) {
        Some(path) => table::read(&path, runtime).await?,
        None => made_up()?,
    };
    if batch.num_rows() == 0 || args.rows == 0 {
        return Err(Error::config(&codes::PLUGIN_FILE, "there are no rows to measure with")
            .help("give `--input` a file with rows"));
    }
    let times = args.rows.div_ceil(batch.num_rows());
    let repeated = concat_batches(&batch.schema(), &vec![batch; times]);
    let repeated =
        repeated.map_err(|cause| Error::config(&codes::PLUGIN_FILE, "the rows cannot be repeated").caused_by(cause))?;
    Ok(repeated.slice(0, args.rows))
}

/// The first case of the plugin: `cases/` lies beside the component, or in the plugin's folder beside it.
fn case_folder(component: &Path) -> Option<std::path::PathBuf> {
    let beside = component.parent().unwrap_or(Path::new(""));
    let folders = [beside.join("cases"), beside.join(component.file_stem()?).join("cases")];
    let entries = folders.iter().find_map(|folder| std::fs::read_dir(folder).ok())?;
    let mut cases: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    cases.sort();
    cases.into_iter().find(|path| path.is_dir())
}

fn made_up() -> Result<RecordBatch> {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1024));
    let amounts: ArrayRef = Arc::new(Float64Array::from_iter_values((0..1024).map(|row| f64::from(row) * 0.5)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..1024).map(|row| format!("name{row:06}"))));
    RecordBatch::try_from_iter([("id", ids), ("amount", amounts), ("name", names)])
        .map_err(|cause| Error::internal(&codes::PLUGIN_RUN, "rows cannot be made up").caused_by(cause))
}
