//! Log lines of a guest: escaped, limited in length and rate, the last of a call kept for its trap.
//!
//! Invariant: a line never has a line end or a control character in it, and the rate limit drops lines, never an error.

use std::sync::Arc;
use std::time::Duration;

use rde_core::Clock;
use tracing::Level;

use crate::limits::Limits;
use crate::text::shown;

/// Where guests' lines go; `RDE_LOG` filters by it.
const TARGET: &str = "rde::plugin";

/// Bytes that a record takes beside its line.
const RECORD_BYTES: usize = 128;

/// The lines of one instance.
pub(crate) struct CallLog {
    clock: Arc<dyn Clock>,
    limits: Arc<Limits>,
    pipeline: Arc<str>,
    operator: Arc<str>,
    plugin: Arc<str>,
    /// Lines of the running call, each with its line end.
    tail: String,
    bucket: Bucket,
    dropped: u64,
}

/// Lets so many bytes a second pass, with one second's worth at once.
struct Bucket {
    left: usize,
    filled: Duration,
}

impl CallLog {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        limits: Arc<Limits>,
        pipeline: Arc<str>,
        operator: Arc<str>,
        plugin: Arc<str>,
    ) -> CallLog {
        let bucket = Bucket { left: limits.log_rate_max, filled: clock.elapsed() };
        CallLog { clock, limits, pipeline, operator, plugin, tail: String::new(), bucket, dropped: 0 }
    }

    /// Forgets the lines of the call before.
    pub(crate) fn begin(&mut self) {
        self.tail.clear();
    }

    /// Returns the last lines of the running call.
    pub(crate) fn tail(&self) -> String {
        self.tail.clone()
    }

    /// Returns whether a line of this level would be shown.
    pub(crate) fn enabled(level: Level) -> bool {
        match level {
            Level::TRACE => tracing::enabled!(target: TARGET, Level::TRACE),
            Level::DEBUG => tracing::enabled!(target: TARGET, Level::DEBUG),
            Level::INFO => tracing::enabled!(target: TARGET, Level::INFO),
            Level::WARN => tracing::enabled!(target: TARGET, Level::WARN),
            Level::ERROR => tracing::enabled!(target: TARGET, Level::ERROR),
        }
    }

    /// Takes one line.
    pub(crate) fn write(&mut self, level: Level, line: &str) {
        let line = shown(line, self.limits.log_line_max);
        self.keep(&line);
        if !CallLog::enabled(level) {
            return;
        }
        if !self.bucket.take(line.len() + RECORD_BYTES, self.limits.log_rate_max, self.clock.elapsed()) {
            self.dropped += 1;
            return;
        }
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            self.event(Level::WARN, &format!("{dropped} log lines dropped (`log_rate_max`)"));
        }
        self.event(level, &line);
    }

    fn keep(&mut self, line: &str) {
        self.tail.push_str(line);
        self.tail.push('\n');
        let surplus = self.tail.len().saturating_sub(self.limits.log_tail_max);
        if surplus > 0 {
            let cut = (surplus..=self.tail.len()).find(|at| self.tail.is_char_boundary(*at)).unwrap_or(0);
            self.tail.drain(..cut);
        }
    }

    fn event(&self, level: Level, line: &str) {
        let (pipeline, operator, plugin) = (&*self.pipeline, &*self.operator, &*self.plugin);
        match level {
            Level::TRACE => tracing::trace!(target: TARGET, pipeline, operator, plugin, "{line}"),
            Level::DEBUG => tracing::debug!(target: TARGET, pipeline, operator, plugin, "{line}"),
            Level::INFO => tracing::info!(target: TARGET, pipeline, operator, plugin, "{line}"),
            Level::WARN => tracing::warn!(target: TARGET, pipeline, operator, plugin, "{line}"),
            Level::ERROR => tracing::error!(target: TARGET, pipeline, operator, plugin, "{line}"),
        }
    }
}

impl Bucket {
    fn take(&mut self, bytes: usize, rate: usize, now: Duration) -> bool {
        let since = now.saturating_sub(self.filled).as_millis();
        let refill = usize::try_from(since.saturating_mul(rate as u128) / 1000).unwrap_or(rate);
        if refill > 0 {
            self.left = self.left.saturating_add(refill).min(rate);
            self.filled = now;
        }
        let fits = bytes <= self.left;
        if fits {
            self.left -= bytes;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_passes_its_rate_and_refuses_one_byte_more() {
        let mut bucket = Bucket { left: 100, filled: Duration::ZERO };
        assert!(bucket.take(100, 100, Duration::ZERO));
        assert!(!bucket.take(1, 100, Duration::ZERO));
        assert!(bucket.take(50, 100, Duration::from_millis(500)));
        assert!(!bucket.take(1, 100, Duration::from_millis(500)));
        assert!(bucket.take(100, 100, Duration::from_secs(1000)));
        assert!(!bucket.take(1, 100, Duration::from_secs(1000)));
    }
}
