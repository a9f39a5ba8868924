//! What becomes of rows that fail in one operator and lane: `on_error` decides.
//!
//! `fail` ends the run with that row's code, `skip` counts and warns, `dead_letter` collects error rows, which the lane
//! sends at the end of the call: so they come before the next barrier.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use rde_core::{Code, Error, OnError, Rejected};

use crate::codes;
use crate::counters::OperatorCounters;
use crate::error_row::{ErrorRow, Origin, ROW_JSON_MAX, error_rows};
use crate::shared::{Shared, lock};

/// Most error rows of one batch.
const ROWS_MAX: usize = 1024;
/// Most bytes of one batch of error rows, unless a single row has more.
const BYTES_MAX: usize = 1 << 20;

/// Returns a text without the secrets in it, if there are any.
pub type HideHook = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Collects rejected rows.
pub(crate) struct Rejects {
    shared: Arc<Shared>,
    counters: Arc<OperatorCounters>,
    on_error: OnError,
    rows: Vec<ErrorRow>,
    bytes: usize,
    bytes_max: usize,
}

impl Rejects {
    /// Makes an empty collection.
    pub fn new(shared: Arc<Shared>, counters: Arc<OperatorCounters>, on_error: OnError) -> Rejects {
        // A batch of error rows is a message like any other, so it must fit into the memory of small pipelines too.
        let bytes_max = BYTES_MAX.min(shared.settings.memory_max.bytes() / 2);
        Rejects { shared, counters, on_error, rows: Vec::new(), bytes: 0, bytes_max }
    }

    /// Takes a row; refuses it where the policy is to fail. Returns the error rows collected before, if they are to be sent
    /// first.
    pub fn take(&mut self, rejected: Rejected) -> Result<Option<RecordBatch>, Error> {
        match self.on_error {
            OnError::Fail => {
                self.counters.rows_rejected.add(1);
                Err(row_failed(&self.counters, rejected))
            }
            OnError::Skip => {
                if let Some(rows) = self.counters.skipped(&rejected.code) {
                    tracing::warn!(
                        pipeline = &*self.shared.pipeline,
                        operator = &*self.counters.id,
                        code = &*rejected.code,
                        rows,
                        message = rejected.message,
                        "rows skipped"
                    );
                }
                Ok(None)
            }
            OnError::DeadLetter => {
                self.counters.rows_rejected.add(1);
                let row = ErrorRow::new(self.origin(), self.without_secrets(rejected));
                let bytes = row.bytes(self.origin());
                let full = self.rows.len() >= ROWS_MAX || self.bytes.saturating_add(bytes) > self.bytes_max;
                let before = if full { self.drain()? } else { None };
                self.bytes += bytes;
                self.rows.push(row);
                Ok(before)
            }
        }
    }

    /// Returns what is collected as a batch of error rows.
    pub fn drain(&mut self) -> Result<Option<RecordBatch>, Error> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let batch = error_rows(self.origin(), &self.rows).map_err(|error| {
            Error::internal(&codes::CONTRACT, "error rows do not fit their schema").caused_by(error)
        })?;
        self.rows.clear();
        self.bytes = 0;
        Ok(Some(batch))
    }

    /// A query with a secret in it may fail with a text that quotes the secret.
    fn without_secrets(&self, mut rejected: Rejected) -> Rejected {
        if let Some(hide) = &self.shared.hide {
            let texts = [Some(&mut rejected.message), rejected.detail.as_mut(), rejected.position.as_mut()];
            for text in texts.into_iter().flatten() {
                if let Some(hidden) = hide(text) {
                    *text = hidden;
                }
            }
        }
        rejected
    }

    fn origin(&self) -> Origin<'_> {
        Origin {
            pipeline: &self.shared.pipeline,
            operator: &self.counters.id,
            now_micros: self.shared.runtime.clock.now_micros(),
            row_bytes_max: self.shared.settings.row_bytes_max.bytes(),
            // Rows as JSON do not crowd out the rows of a batch of error rows in small pipelines.
            row_json_max: ROW_JSON_MAX.min(self.bytes_max / 4),
        }
    }
}

/// Makes the error of a row under `on_error: fail`.
fn row_failed(counters: &OperatorCounters, rejected: Rejected) -> Error {
    let place = rejected.position.as_deref().map(|position| format!(" ({})", readable(position))).unwrap_or_default();
    let message = format!("{} `{}`: {}{place}", counters.kind.as_str(), counters.id, rejected.message);
    let help = format!(
        "connect `{}.errors` to a sink to set such rows aside, or write `on_error: skip` to drop and count them",
        counters.id
    );
    let error = Error::data(intern(&rejected.code), message).help(help).in_operator(&counters.id);
    match rejected.detail {
        Some(detail) => error.detail(detail),
        None => error,
    }
}

/// Shows a position (JSON) as `path:line` or `topic/partition@offset` where it is one.
fn readable(position: &str) -> String {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(position) else { return position.to_owned() };
    let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str);
    let number = |key: &str| value.get(key).and_then(serde_json::Value::as_u64);
    match (text("path"), number("line"), text("topic"), number("partition"), number("offset")) {
        (Some(path), Some(line), ..) => format!("{path}:{line}"),
        (Some(path), None, ..) => path.to_owned(),
        (_, _, Some(topic), Some(partition), Some(offset)) => format!("{topic}/{partition}@{offset}"),
        _ => position.to_owned(),
    }
}

/// Returns a code for the row's own. Each text is kept once for the life of the process; it is asked for only when a run
/// ends.
fn intern(code: &str) -> &'static Code {
    static KNOWN: Mutex<BTreeMap<String, &'static Code>> = Mutex::new(BTreeMap::new());
    let mut known = lock(&KNOWN);
    if let Some(code) = known.get(code) {
        return code;
    }
    let id: &'static str = Box::leak(code.to_owned().into_boxed_str());
    let entry: &'static Code =
        Box::leak(Box::new(Code { id, title: codes::ROW_FAILED.title, text: codes::ROW_FAILED.text }));
    known.insert(code.to_owned(), entry);
    entry
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn positions_are_shown_as_people_write_them() {
        assert_eq!(readable(r#"{"path":"a.csv","line":7}"#), "a.csv:7");
        assert_eq!(readable(r#"{"topic":"t","partition":2,"offset":9}"#), "t/2@9");
        assert_eq!(readable("elsewhere"), "elsewhere");
    }
}
