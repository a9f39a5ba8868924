//! The transform of a query that runs per batch.
//!
//! Called by the engine inside a fused chain. The query is compiled when the columns of its inputs are announced, never
//! per batch. A batch that fails is halved until the failing rows are found; those are rejected, the others go on in order.
//! Where halves were needed because the rows make too much at once, what is made goes on before more is.
//! Invariant: the result does not hang on how rows were cut into batches.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use rde_core::{
    Epoch, Error, EventTime, Flow, Output, Payload, Rejected, Result, SchemaVersion, Settings, State, Transform,
    row_bytes,
};

use crate::codes;
use crate::faults::{is_row, row_fault};
use crate::panics;
use crate::plan::Bound;
use crate::run_values::RunValues;
use crate::steps::Compiled;

/// One lane of a query that runs per batch.
pub struct SqlBatches {
    bound: Bound,
    values: RunValues,
    rows_max: usize,
    bytes_max: usize,
    compiled: Option<Compiled>,
    announced: Option<SchemaRef>,
    /// The batch that is being worked on, where it was halved.
    work: Option<Work>,
}

/// A batch and the ranges of its rows, start and number, that are not done; the next one last.
struct Work {
    input: usize,
    batch: Arc<RecordBatch>,
    left: Vec<(usize, usize)>,
}

/// What some ranges came to, in order.
#[derive(Default)]
struct Made {
    batches: Vec<RecordBatch>,
    /// Bytes of these, where more than one may come.
    bytes: usize,
    filtered: u64,
    rejected: Vec<Rejected>,
}

impl SqlBatches {
    /// Makes a lane; the settings bound the batches that `unnest` makes.
    pub fn new(bound: Bound, values: RunValues, settings: &Settings) -> SqlBatches {
        let (rows_max, bytes_max) = (settings.batch_rows_max.max(1), settings.batch_bytes_max.bytes().max(1));
        SqlBatches { bound, values, rows_max, bytes_max, compiled: None, announced: None, work: None }
    }

    fn compile(&mut self, input: usize, schema: &SchemaVersion) -> Result<()> {
        let operator = Arc::clone(&self.bound.operator);
        let fits = self.bound.accept(input, &schema.schema).map_err(|error| {
            let message = format!(
                "operator `{operator}`: version {} of its input's columns does not fit: {error}",
                schema.version
            );
            let help = error.help_text().unwrap_or("change the query or the source").to_owned();
            Error::data(&codes::SCHEMA_CHANGE, message).help(help).in_operator(&operator)
        })?;
        if fits && self.compiled.is_some() {
            return Ok(());
        }
        if !self.bound.is_complete() {
            return Ok(());
        }
        let compiled = self.bound.compile(&self.values).map_err(|error| internal(&error, &operator))?;
        self.compiled = Some(compiled);
        Ok(())
    }

    /// Works until the batch is done, or so much is made that it should go on first.
    fn work(&mut self, out: &mut Output) -> Result<Flow> {
        let (Some(compiled), Some(mut work)) = (&self.compiled, self.work.take()) else { return Ok(Flow::Done) };
        let mut made = Made::default();
        while made.bytes < self.bytes_max
            && let Some((from, rows)) = work.left.pop()
        {
            self.run(compiled, &mut work, from, rows, &mut made)?;
        }
        self.emit(compiled, made, work.batch.num_rows(), out);
        if work.left.is_empty() {
            return Ok(Flow::Done);
        }
        self.work = Some(work);
        Ok(Flow::More)
    }

    /// Runs some rows; an error is the engine's, never a row's.
    fn run(&self, compiled: &Compiled, work: &mut Work, from: usize, rows: usize, made: &mut Made) -> Result<()> {
        let Work { input, batch, left } = work;
        let part = if rows == batch.num_rows() { RecordBatch::clone(batch) } else { batch.slice(from, rows) };
        let error = match panics::caught(|| compiled.run(*input, &part)) {
            Ok(outcome) => {
                made.filtered += outcome.filtered;
                if rows < batch.num_rows() {
                    made.bytes = outcome.batches.iter().map(bytes).fold(made.bytes, usize::saturating_add);
                }
                made.batches.extend(outcome.batches);
                return Ok(());
            }
            Err(error) => error,
        };
        let (code, message) = row_fault(&error);
        if !is_row(code) {
            return Err(internal(&error, &self.bound.operator));
        }
        if rows == 1 {
            made.rejected.push(Rejected::new(code.id, message, Payload::Row(Arc::clone(batch), from)));
            return Ok(());
        }
        let half = rows / 2;
        left.extend([(from + half, rows - half), (from, half)]);
        Ok(())
    }

    fn emit(&self, compiled: &Compiled, mut made: Made, rows: usize, out: &mut Output) {
        out.filtered(made.filtered);
        made.rejected.into_iter().for_each(|rejected| out.reject(rejected));
        if made.batches.len() > 1
            && made.bytes < self.bytes_max
            && let Ok(whole) = panics::caught(|| Ok(concat_batches(&compiled.schema, &made.batches)?))
        {
            made.batches = vec![whole];
        }
        // Only `unnest` makes more rows than came in; several parts are left where they are large.
        let most = self.rows_max.max(rows);
        for made in made.batches {
            for from in (0..made.num_rows()).step_by(most) {
                out.batch(0, made.slice(from, most.min(made.num_rows() - from)));
            }
        }
    }
}

fn bytes(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    columns.map(|column| row_bytes::range(column, 0, column.len())).fold(0, usize::saturating_add)
}

fn internal(error: &DataFusionError, operator: &str) -> Error {
    let (_, message) = row_fault(error);
    let message = format!("operator `{operator}`: {message}");
    Error::internal(&codes::INTERNAL, message).help("please report this query").in_operator(operator)
}

impl Transform for SqlBatches {
    fn schema(&mut self, input: usize, schema: &SchemaVersion, out: &mut Output) -> Result<Flow> {
        self.compile(input, schema)?;
        if let Some(compiled) = &self.compiled
            && self.announced.as_ref() != Some(&compiled.schema)
        {
            self.announced = Some(Arc::clone(&compiled.schema));
            out.schema(0, Arc::clone(&compiled.schema), schema.cause.clone());
        }
        Ok(Flow::Done)
    }

    fn batch(&mut self, input: usize, batch: RecordBatch, out: &mut Output) -> Result<Flow> {
        tracing::trace!(target: "rde::path", "sql::batch");
        if self.compiled.is_none() {
            let message = format!("operator `{}` got a batch before the columns of its inputs", self.bound.operator);
            return Err(Error::internal(&codes::INTERNAL, message));
        }
        if batch.num_rows() == 0 {
            return Ok(Flow::Done);
        }
        let left = vec![(0, batch.num_rows())];
        self.work = Some(Work { input, batch: Arc::new(batch), left });
        self.work(out)
    }

    fn watermark(&mut self, _at: EventTime, _out: &mut Output) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn end(&mut self, _input: usize, _out: &mut Output) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn more(&mut self, out: &mut Output) -> Result<Flow> {
        self.work(out)
    }

    fn save(&mut self, _epoch: Epoch) -> Result<State> {
        Ok(State::None)
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
