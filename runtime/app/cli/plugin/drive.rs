//! Gives batches to a plugin as the engine would, and collects rows and rejections by port.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use rde_core::{Budget, Error, Faults, Flow, Output, Rejected, Result, Runtime, Settings, Shape, Staged};
use rde_files::RowsFormat;
use rde_wasm::{Host, PluginRunner, RunnerOptions};
use serde_json::{Value, json};

use crate::codes;

/// What a plugin made of a case.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Rows by output port.
    pub rows: BTreeMap<String, Vec<RecordBatch>>,
    /// Columns by output port.
    pub schemas: BTreeMap<String, SchemaRef>,
    /// Rejected rows in order: code, message, and the row of the case's first input.
    pub rejected: Vec<Value>,
}

/// Returns how a component is run outside a pipeline.
pub(super) fn options(component: &Path, config: &Value, runtime: &Runtime) -> Result<RunnerOptions> {
    Ok(RunnerOptions {
        host: Host::shared()?,
        fields: json!({ "plugin": component, "config": config }),
        base: std::path::PathBuf::new(),
        runtime: runtime.clone(),
        budget: Budget::new(usize::MAX),
        settings: Arc::new(Settings::default()),
    })
}

/// Opens a plugin.
pub(super) fn open(options: RunnerOptions, inputs: &[(String, RecordBatch)]) -> Result<PluginRunner> {
    let schemas: Vec<(String, SchemaRef)> = inputs.iter().map(|(port, rows)| (port.clone(), rows.schema())).collect();
    PluginRunner::open(options, &schemas).map_err(first)
}

/// Returns the first of some faults.
pub(super) fn first(faults: Faults) -> Error {
    faults.into_vec().swap_remove(0)
}

/// How the rows of an input are cut into batches: lengths until the rows are used up, the last one repeated.
pub(super) type Cuts<'a> = &'a mut dyn FnMut() -> usize;

/// Runs all rows of all inputs, cut as told; `renew` replaces the guest before every call.
pub(super) fn run(
    runner: &mut PluginRunner,
    inputs: &[(String, RecordBatch)],
    cuts: Cuts<'_>,
    renew: bool,
) -> Result<Answer> {
    let ports: Vec<String> = runner.outputs().iter().map(|output| output.port.clone()).collect();
    let mut answer = Answer::default();
    for output in runner.outputs() {
        let schema = if let Shape::Known(schema) = &output.shape { schema.clone() } else { Arc::new(Schema::empty()) };
        answer.schemas.insert(output.port.clone(), schema);
        answer.rows.insert(output.port.clone(), Vec::new());
    }
    let mut out = Output::new();
    for (input, (_, rows)) in inputs.iter().enumerate() {
        let mut start = 0;
        while start < rows.num_rows() {
            let length = cuts().clamp(1, rows.num_rows() - start);
            if renew {
                runner.renew();
            }
            call(runner, input, rows.slice(start, length), &mut out)?;
            start += length;
            take(&mut out, &ports, &mut answer);
        }
    }
    for input in 0..inputs.len() {
        to_the_end(runner, &mut out, |runner, out| runner.end(input, out), PluginRunner::more)?;
        take(&mut out, &ports, &mut answer);
    }
    Ok(answer)
}

/// One batch, repeated as often as the plugin asks.
pub(super) fn call(runner: &mut PluginRunner, input: usize, rows: RecordBatch, out: &mut Output) -> Result<()> {
    to_the_end(runner, out, |runner, out| runner.run(input, rows.clone(), out), PluginRunner::more)
}

/// Makes a call and goes on with it until it is done; begins anew when the plugin asks for that.
fn to_the_end<R>(
    runner: &mut R,
    out: &mut Output,
    begin: impl Fn(&mut R, &mut Output) -> Result<Flow>,
    more: impl Fn(&mut R, &mut Output) -> Result<Flow>,
) -> Result<()> {
    let mark = out.mark();
    let mut flow = begin(runner, out)?;
    loop {
        match flow {
            Flow::Done => return Ok(()),
            Flow::More => flow = more(runner, out)?,
            // The host counts the attempts and gives up; the wait itself is of no use to a test.
            Flow::RetryAfter(_) => {
                out.rewind(mark);
                flow = begin(runner, out)?;
            }
        }
    }
}

fn take(out: &mut Output, ports: &[String], answer: &mut Answer) {
    for staged in out.take().0 {
        match staged {
            Staged::Batch(port, rows) => answer.rows.entry(ports[port].clone()).or_default().push(rows),
            Staged::Rejected(rejected) => answer.rejected.push(shown(&rejected)),
            Staged::Schema(..) | Staged::Watermark(_) => {}
        }
    }
}

fn shown(rejected: &Rejected) -> Value {
    let row = match &rejected.payload {
        rde_core::Payload::Row(batch, row) => {
            let rows = [batch.slice(*row, 1)];
            let text = super::table::text(&rows, &batch.schema(), RowsFormat::Json).ok();
            text.and_then(|text| serde_json::from_str(text.trim()).ok()).unwrap_or(Value::Null)
        }
        _ => Value::Null,
    };
    json!({ "code": rejected.code, "message": rejected.message, "row": row })
}

/// Makes the error of a failed tool run.
pub(super) fn failed(what: String, cause: Error) -> Error {
    let help = cause.help_text().unwrap_or("its log lines and backtrace stand in the detail").to_owned();
    Error::plugin(&codes::PLUGIN_RUN, what).help(help).caused_by(cause)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_call_that_asks_to_be_repeated_is_and_what_it_staged_before_is_forgotten() {
        let mut out = Output::new();
        out.filtered(10);
        // Asks for a repetition twice, and the third time has one more part; it counts one row each time.
        let mut begun = 0;
        let begin = |begun: &mut u32, out: &mut Output| {
            *begun += 1;
            out.filtered(1);
            Ok(if *begun < 3 { Flow::RetryAfter(Duration::ZERO) } else { Flow::More })
        };
        let more = |_: &mut u32, out: &mut Output| {
            out.filtered(5);
            Ok(Flow::Done)
        };
        to_the_end(&mut begun, &mut out, begin, more).expect("the third attempt succeeds");
        assert_eq!((begun, out.take().1.rows_filtered), (3, 10 + 1 + 5));
    }
}
