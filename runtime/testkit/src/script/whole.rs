//! Operators over whole inputs: gather all, join two, or look at a head and leave.
//!
//! The join reads its first input to the end before it takes anything of the second, so the engine must keep reading (and
//! spool) the second meanwhile. The head drops its input long before it ends, as an SQL `LIMIT` does.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::{self, StreamExt};
use rde_core::{
    AsyncTransform, Balance, BatchStream, BoxFuture, BoxStream, Faults, Footprint, InputShape, Inputs, Joining, Lanes,
    OpenContext, Operator, OutputShape, Plan, Probe, Produced, Result, Traits, Wanted,
};

use super::rows::{self, Row, mix};
use super::{FailAfter, Watch, known, scripted_failure};

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// Reads all inputs one after the other, then gives all rows.
    Gather,
    /// Inner join of two inputs by id.
    Join,
    /// Reads some rows of the first input, leaves, and gives one row if there were any.
    Head,
}

/// What a whole-input operator does.
#[derive(Clone, Debug)]
pub struct WholeScript {
    /// The operator's id.
    pub name: String,
    /// Goes into the route of its rows.
    pub salt: i64,
    /// Its work.
    pub whole: Whole,
    /// Fails at this batch of its inputs.
    pub fail_after: FailAfter,
}

/// The plan of a whole-input operator.
pub struct ScriptedWhole {
    script: WholeScript,
    watch: Watch,
    inputs: usize,
}

impl Whole {
    /// Returns what it gives for the rows of its inputs.
    pub fn apply(self, inputs: &[Vec<Row>], salt: i64) -> Vec<Row> {
        match (self, inputs) {
            (Whole::Gather, inputs) => inputs.iter().flatten().map(|row| row.passed(salt, 0)).collect(),
            (Whole::Join, [left, right]) => {
                let mut table: HashMap<i64, Vec<Row>> = HashMap::new();
                left.iter().for_each(|row| table.entry(row.id).or_default().push(*row));
                right.iter().flat_map(|row| joined(&table, row, salt)).collect()
            }
            (Whole::Join, _) => Vec::new(),
            (Whole::Head, inputs) => {
                let row = Row { id: mix(salt, 7), split: -1, order: 0, route: salt, trail: salt, time: i64::MAX };
                if inputs.iter().any(|input| !input.is_empty()) { vec![row] } else { Vec::new() }
            }
        }
    }
}

fn joined(table: &HashMap<i64, Vec<Row>>, row: &Row, salt: i64) -> Vec<Row> {
    let pair = |left: &Row| {
        Row { route: mix(left.route, row.route), trail: mix(left.trail, row.trail), ..*row }.passed(salt, 0)
    };
    table.get(&row.id).into_iter().flatten().map(pair).collect()
}

impl ScriptedWhole {
    /// Makes the plan.
    pub fn new(script: WholeScript, watch: Watch) -> ScriptedWhole {
        ScriptedWhole { script, watch, inputs: 0 }
    }
}

impl Plan for ScriptedWhole {
    fn discover<'a>(&'a mut self, _: &'a Probe) -> BoxFuture<'a, Result<(), Faults>> {
        Box::pin(async { Ok(()) })
    }

    fn inputs(&self) -> Inputs {
        Inputs::ByEdge
    }

    fn bind(&mut self, inputs: &[InputShape]) -> Result<Vec<OutputShape>, Faults> {
        self.inputs = inputs.len();
        Ok(vec![OutputShape { port: "out".to_owned(), shape: known(0) }])
    }

    fn traits(&self) -> Traits {
        Traits { lanes: Lanes::One, whole: true, bounded: true, balance: Balance::Free, joining: Joining::Indifferent }
    }

    fn wanted(&mut self, _: &[Wanted]) -> Vec<Wanted> {
        vec![Wanted::all(); self.inputs]
    }

    fn footprint(&self) -> Footprint {
        Footprint::default()
    }

    fn open(self: Box<Self>, _: OpenContext) -> BoxFuture<'static, Result<Operator>> {
        Box::pin(async move { Ok(Operator::AsyncTransform(self)) })
    }
}

impl AsyncTransform for ScriptedWhole {
    fn start(
        &mut self,
        inputs: Vec<(SchemaRef, BatchStream)>,
    ) -> Result<(SchemaRef, BoxStream<'static, Result<Produced>>)> {
        if inputs.len() != self.inputs {
            self.watch.violation(format!(
                "{}: bound with {} inputs, got {}",
                self.script.name,
                self.inputs,
                inputs.len()
            ));
        }
        for (at, (schema, _)) in inputs.iter().enumerate() {
            if rows::extras(schema).is_none() {
                self.watch.violation(format!("{}: input {at} has the foreign schema {schema:?}", self.script.name));
            }
        }
        let reader = Reader { script: self.script.clone(), watch: self.watch.clone(), batches: 0 };
        let work = stream::once(reader.work(inputs)).flat_map(|result| match result {
            Ok(batches) => stream::iter(batches).map(|batch| Ok(Produced::Batch(batch))).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        });
        Ok((rows::schema(0), work.boxed()))
    }
}

struct Reader {
    script: WholeScript,
    watch: Watch,
    batches: u64,
}

impl Reader {
    async fn work(mut self, inputs: Vec<(SchemaRef, BatchStream)>) -> Result<Vec<RecordBatch>> {
        let mut tables = Vec::new();
        for (at, (schema, mut batches)) in inputs.into_iter().enumerate() {
            let mut table = Vec::new();
            while let Some(batch) = batches.next().await {
                table.extend(self.rows(at, &schema, &batch?)?);
                if self.script.whole == Whole::Head && table.len() > 5 {
                    break;
                }
            }
            tables.push(table);
        }
        let rows = self.script.whole.apply(&tables, self.script.salt);
        Ok(rows.chunks(17).map(|rows| rows::to_batch(rows, 0)).collect())
    }

    fn rows(&mut self, at: usize, schema: &SchemaRef, batch: &RecordBatch) -> Result<Vec<Row>> {
        self.batches += 1;
        self.watch.trace.note(format!("{} input {at} batch of {} rows", self.script.name, batch.num_rows()));
        if self.script.fail_after == Some(self.batches) {
            return Err(scripted_failure(&self.watch, &self.script.name));
        }
        if batch.schema() != *schema {
            self.watch.violation(format!("{}: input {at} changed its schema", self.script.name));
        }
        Ok(rows::from_batch(batch).unwrap_or_else(|fault| {
            self.watch.violation(format!("{}: {fault}", self.script.name));
            Vec::new()
        }))
    }
}
