//! `rde run`: runs a pipeline, listens to signals, writes the report, shows how it went.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use rde_core::{Error, ProbeMode};
use rde_engine::{HideHook, PipelineEngine, RunControl, RunReport, Status};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::RunArgs;
use super::output::{Exit, Style, error, exit_of, later_fault, note};
use super::progress::Progress;
use crate::pipeline::{self, Prepared};
use crate::runtime::Threads;
use crate::{metrics, report};

/// Runs the command.
pub(super) fn run(args: &RunArgs, style: &Style) -> Exit {
    if let Some(flag) = args.later.first() {
        let fault = later_fault(flag);
        error(&fault);
        write_report(args.report.as_deref(), &report::of_fault(None, &fault));
        return Exit::Usage;
    }
    let threads = match Threads::start() {
        Ok(threads) => threads,
        Err(error) => {
            note(&format!("error: cannot start threads: {error}\n"));
            return Exit::Failed;
        }
    };
    let exit = threads.block_on(run_on(args, style, &threads));
    threads.stop();
    exit
}

async fn run_on(args: &RunArgs, style: &Style, threads: &Threads) -> Exit {
    // Listening begins before anything is opened, so that no signal ends the process in between.
    let control = RunControl::new();
    let (asked, mut stopping) = watch::channel(());
    let signals = tokio::spawn(listen(control.clone(), asked));
    // A sample of standard input or a FIFO may never come.
    let mut prepared = tokio::select! {
        biased;
        prepared = pipeline::prepare(&args.pipeline, &args.set, ProbeMode::Run, threads.runtime()) => prepared,
        Ok(()) = stopping.changed() => return stopped_early(args),
    };
    if !prepared.faults.is_empty() {
        note(&prepared.places.render(&prepared.faults, style.diagnostics()));
        let value = report::of_faults(prepared.name.as_deref(), &prepared.faults);
        write_report(args.report.as_deref(), &value);
        return Exit::Usage;
    }
    let Some(pipeline) = prepared.pipeline.take() else { return Exit::Usage };
    if let Some(address) = &args.metrics {
        match metrics::serve(address, pipeline.name(), control.clone()).await {
            Ok(bound) => tracing::info!(address = %bound, "serving metrics and health"),
            Err(cause) => return not_served(args, address, &cause, &prepared, pipeline.name()),
        }
    }
    let progress = style.progress.then(|| Progress::start(pipeline.name(), control.clone()));
    let redactor = prepared.redactor.clone();
    let hide: HideHook = Arc::new(move |text| match redactor.redact(text) {
        Cow::Owned(hidden) => Some(hidden),
        Cow::Borrowed(_) => None,
    });
    let engine = PipelineEngine::new(threads.runtime()).hide(hide);
    let report = engine.run(pipeline, control).await;
    drop(progress);
    signals.abort();
    finish(&report, &prepared, args.report.as_deref())
}

/// The address of `--metrics` is not free, or none: as with any fault of the command line, nothing is opened.
fn not_served(args: &RunArgs, address: &str, cause: &std::io::Error, prepared: &Prepared, pipeline: &str) -> Exit {
    let message = format!("--metrics: cannot serve metrics at `{address}`: {cause}");
    let fault = Error::config(&crate::codes::METRICS, message).help("give a free address such as 127.0.0.1:9090");
    let fault = redacted(&fault, prepared);
    error(&fault);
    write_report(args.report.as_deref(), &report::of_fault(Some(pipeline), &fault));
    Exit::Usage
}

/// A signal came while the pipeline was looked at: nothing was opened, so there is nothing to commit.
fn stopped_early(args: &RunArgs) -> Exit {
    note("stopped before anything was opened\n");
    if write_report(args.report.as_deref(), &report::of_nothing()) { Exit::Done } else { Exit::Failed }
}

fn finish(report: &RunReport, prepared: &Prepared, path: Option<&Path>) -> Exit {
    let written = write_report(path, &report::of_run(report, &prepared.redactor));
    if let Some(failure) = &report.error {
        error(&redacted(failure, prepared));
        return exit_of(failure.kind());
    }
    if report.status == Status::Fenced {
        return Exit::Fenced;
    }
    note(&summary(report));
    if report.status == Status::Drained {
        note("drained: the rest of the input was not read; sinks committed what came from the part that was\n");
    }
    if written { Exit::Done } else { Exit::Failed }
}

/// Returns the error with secrets hidden in every text of it.
fn redacted(failure: &Error, prepared: &Prepared) -> Error {
    failure.redacted(|text| prepared.redactor.redact(text).into_owned())
}

fn summary(report: &RunReport) -> String {
    let seconds = report.duration.as_secs_f64();
    let mut text = format!("{} {} in {seconds:.2} s\n", report.pipeline, report.status.as_str());
    for operator in &report.operators {
        let mut parts = Vec::new();
        let counts = [
            ("read", operator.rows_read),
            ("in", operator.rows_in),
            ("out", operator.rows_out),
            ("filtered", operator.rows_filtered),
            ("rejected", operator.rows_rejected),
            ("skipped", operator.rows_skipped),
            ("committed", operator.rows_committed),
            ("abandoned", operator.rows_abandoned),
        ];
        parts.extend(counts.iter().filter(|(_, rows)| *rows > 0).map(|(name, rows)| format!("{rows} {name}")));
        let rows = if parts.is_empty() { "no rows".to_owned() } else { parts.join(", ") };
        text.push_str(&format!("  {} ({}.{}): {rows}\n", operator.id, operator.kind.as_str(), operator.kind_name));
    }
    text
}

/// First signal: drain. Second: stop at once.
async fn listen(control: RunControl, asked: watch::Sender<()>) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return tracing::warn!("signals cannot be listened to");
    };
    for last in [false, true] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if last {
            note("stopping at once; only a commit that has begun is finished\n");
            control.cancel();
        } else {
            note("draining: sources stop, sinks commit; a second signal stops at once\n");
            control.drain();
            asked.send_replace(());
        }
    }
}

fn write_report(path: Option<&Path>, value: &Value) -> bool {
    let Some(path) = path else { return true };
    let text = serde_json::to_string_pretty(value).expect("a JSON value can be written");
    let made = path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or(Ok(()), std::fs::create_dir_all);
    match made.and_then(|()| std::fs::write(path, text + "\n")) {
        Ok(()) => true,
        Err(cause) => {
            note(&format!("error: cannot write the report `{}`: {cause}\n", path.display()));
            false
        }
    }
}
