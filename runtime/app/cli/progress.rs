//! Progress on a terminal while a pipeline runs.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rde_core::Kind;
use rde_engine::RunControl;

/// Shows rows in, out and rejected twice a second until it is dropped.
pub(super) struct Progress {
    bar: ProgressBar,
    task: tokio::task::JoinHandle<()>,
}

impl Progress {
    /// Starts showing; must be called within the I/O runtime.
    pub fn start(pipeline: &str, control: RunControl) -> Progress {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        bar.set_style(style);
        bar.set_prefix(pipeline.to_owned());
        bar.enable_steady_tick(TICK);
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            loop {
                ticks.tick().await;
                shown.set_message(message(&control));
            }
        });
        Progress { bar, task }
    }
}

const TICK: Duration = Duration::from_millis(500);

impl Drop for Progress {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}

fn message(control: &RunControl) -> String {
    let counters = control.live();
    let sum = |kind: Kind, read: fn(&rde_engine::OperatorReport) -> u64| -> u64 {
        counters.operators.iter().filter(|operator| operator.kind == kind).map(read).sum()
    };
    let rejected: u64 = counters.operators.iter().map(|operator| operator.rows_rejected + operator.rows_skipped).sum();
    let read = sum(Kind::Source, |operator| operator.rows_read);
    let written = sum(Kind::Sink, |operator| operator.rows_in);
    format!("{read} rows read, {written} at sinks, {rejected} failed")
}
