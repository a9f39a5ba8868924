//! The transform of a query that runs per batch.
//!
//! Called by the engine inside a fused chain. The query is compiled when the columns of its inputs are announced, never
//! per batch. A batch that fails is halved until the failing rows are found; those are rejected, the others go on in order.
//! Invariant: the result does not hang on how rows were cut into batches.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use rde_core::{Epoch, Error, EventTime, Flow, Output, Payload, Rejected, Result, SchemaVersion, State, Transform};

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
    compiled: Option<Compiled>,
    announced: Option<SchemaRef>,
}

/// What a range of rows came to, in order.
#[derive(Default)]
struct Made {
    batches: Vec<RecordBatch>,
    filtered: u64,
    rejected: Vec<Rejected>,
}

impl SqlBatches {
    /// Makes a lane; `rows_max` bounds the batches that `unnest` makes.
    pub fn new(bound: Bound, values: RunValues, rows_max: usize) -> SqlBatches {
        SqlBatches { bound, values, rows_max: rows_max.max(1), compiled: None, announced: None }
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

    /// Runs some rows; an error is the engine's, never a row's.
    fn run(
        &self,
        compiled: &Compiled,
        input: usize,
        batch: &Arc<RecordBatch>,
        from: usize,
        rows: usize,
        made: &mut Made,
    ) -> Result<()> {
        let part = if rows == batch.num_rows() { RecordBatch::clone(batch) } else { batch.slice(from, rows) };
        let error = match panics::caught(|| compiled.run(input, &part)) {
            Ok(outcome) => {
                made.filtered += outcome.filtered;
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
        self.run(compiled, input, batch, from, half, made)?;
        self.run(compiled, input, batch, from + half, rows - half, made)
    }
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
        let Some(compiled) = &self.compiled else {
            let message = format!("operator `{}` got a batch before the columns of its inputs", self.bound.operator);
            return Err(Error::internal(&codes::INTERNAL, message));
        };
        if batch.num_rows() == 0 {
            return Ok(Flow::Done);
        }
        let (batch, mut made) = (Arc::new(batch), Made::default());
        self.run(compiled, input, &batch, 0, batch.num_rows(), &mut made)?;
        out.filtered(made.filtered);
        made.rejected.into_iter().for_each(|rejected| out.reject(rejected));
        if made.batches.len() > 1
            && let Ok(whole) = panics::caught(|| Ok(concat_batches(&compiled.schema, &made.batches)?))
        {
            made.batches = vec![whole];
        }
        // Only `unnest` makes more rows than came in; several parts are left where one could not hold their text.
        let most = self.rows_max.max(batch.num_rows());
        for made in made.batches {
            for from in (0..made.num_rows()).step_by(most) {
                out.batch(0, made.slice(from, most.min(made.num_rows() - from)));
            }
        }
        Ok(Flow::Done)
    }

    fn watermark(&mut self, _at: EventTime, _out: &mut Output) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn end(&mut self, _input: usize, _out: &mut Output) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn more(&mut self, _out: &mut Output) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn save(&mut self, _epoch: Epoch) -> Result<State> {
        Ok(State::None)
    }

    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
