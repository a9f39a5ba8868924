//! What every scripted operator checks about the calls it gets, and where it says that one was wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use rde_core::{EventTime, SchemaVersion};

use super::lock;
use super::rows::{self, Row};
use crate::trace::Trace;

/// Collects violations and notes of all operators of a run.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The trace of the run.
    pub trace: Trace,
    /// Whether rows older than the watermark may come: some input was idle.
    pub late: bool,
    violations: Arc<Mutex<Vec<String>>>,
    failed: Arc<Mutex<Vec<String>>>,
}

impl Watch {
    /// Makes one that notes in `trace`.
    pub fn new(trace: Trace, late: bool) -> Watch {
        Watch { trace, late, violations: Arc::default(), failed: Arc::default() }
    }

    /// Says that an operator fails now by its script.
    pub fn fails(&self, operator: &str) {
        self.trace.note(format!("`{operator}` fails"));
        lock(&self.failed).push(operator.to_owned());
    }

    /// Returns the operators that failed by their scripts.
    pub fn failed(&self) -> Vec<String> {
        lock(&self.failed).clone()
    }

    /// Says that a call was wrong.
    pub fn violation(&self, text: impl Into<String>) {
        let text = text.into();
        self.trace.note(format!("violation: {text}"));
        lock(&self.violations).push(text);
    }

    /// Returns all violations so far.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }
}

/// Checks one input of one lane.
#[derive(Debug)]
pub(super) struct InputCheck {
    watch: Watch,
    name: String,
    schema: Option<SchemaRef>,
    watermark: Option<EventTime>,
    ended: bool,
    orders: HashMap<(i64, i64), i64>,
}

impl InputCheck {
    pub(super) fn new(watch: &Watch, name: String) -> InputCheck {
        InputCheck { watch: watch.clone(), name, schema: None, watermark: None, ended: false, orders: HashMap::new() }
    }

    pub(super) fn schema(&mut self, schema: &SchemaVersion) {
        self.open("schema");
        self.watch.trace.note(format!("{} schema of {} columns", self.name, schema.schema.fields().len()));
        self.schema = Some(schema.schema.clone());
    }

    /// Checks a batch and reads its rows.
    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Vec<Row> {
        self.foreign(batch);
        let rows = rows::from_batch(batch).unwrap_or_else(|fault| {
            self.watch.violation(format!("{}: {fault}", self.name));
            Vec::new()
        });
        if let Some(at) = self.watermark.filter(|_| !self.watch.late)
            && let Some(row) = rows.iter().find(|row| row.time < at.0)
        {
            self.watch.violation(format!("{}: {row:?} is older than the watermark {at:?}, no input idle", self.name));
        }
        self.order(&rows);
        rows
    }

    /// Checks that rows which came the same way kept their order.
    fn order(&mut self, rows: &[Row]) {
        for row in rows {
            let before = self.orders.insert((row.split, row.trail), row.order);
            if before.is_some_and(|before| before > row.order) {
                self.watch.violation(format!("{}: {row:?} came after row {before:?} of its split", self.name));
            }
        }
    }

    /// Checks a batch whose rows are not ours.
    pub(super) fn foreign(&mut self, batch: &RecordBatch) {
        self.open("batch");
        self.watch.trace.note(format!("{} batch of {} rows", self.name, batch.num_rows()));
        if batch.num_rows() == 0 {
            self.watch.violation(format!("{}: a batch without rows", self.name));
        }
        match &self.schema {
            None => self.watch.violation(format!("{}: a batch before its schema", self.name)),
            Some(schema) if *schema != batch.schema() => {
                self.watch.violation(format!("{}: a batch of another schema than announced", self.name));
            }
            Some(_) => {}
        }
    }

    pub(super) fn watermark(&mut self, at: EventTime) {
        self.watch.trace.note(format!("{} watermark {}", self.name, at.0));
        if self.watermark.is_some_and(|before| before >= at) {
            self.watch.violation(format!("{}: the watermark went from {:?} to {at:?}", self.name, self.watermark));
        }
        self.watermark = Some(at);
    }

    pub(super) fn end(&mut self) {
        self.open("end");
        self.watch.trace.note(format!("{} end", self.name));
        self.ended = true;
    }

    fn open(&self, call: &str) {
        if self.ended {
            self.watch.violation(format!("{}: {call} after the end of the input", self.name));
        }
    }
}
