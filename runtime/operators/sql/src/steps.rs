//! The steps of a query that runs per batch: filters, projections and `unnest`, compiled once per schema.
//!
//! A plan becomes one branch per table scan (`UNION ALL` has several). Steps are evaluated with arrow kernels, without
//! DataFusion's streams.
//! Invariant: a step computes only columns that a later one or the output needs, and a projection sees only rows that
//! the filters before it keep.
//! Not here: what happens to rows that fail (`batch`).

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::FilterBuilder;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use rde_core::row_bytes;

use crate::functions::Registry;
use crate::growth::too_much;
use crate::unnest::Unnest;

/// A query compiled for batches of known columns.
#[derive(Clone, Debug)]
pub struct Compiled {
    branches: Vec<Branch>,
    /// Most bytes that one constant or one `unnest` may make of a batch.
    made_max: usize,
    /// Columns of the output.
    pub schema: SchemaRef,
}

/// What one table scan feeds.
#[derive(Clone, Debug)]
struct Branch {
    input: usize,
    /// Columns of the input batch that are read.
    pick: Vec<usize>,
    schema: SchemaRef,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Filter { predicate: Arc<dyn PhysicalExpr>, keep: Vec<usize>, schema: SchemaRef },
    Project { expressions: Vec<Arc<dyn PhysicalExpr>>, schema: SchemaRef },
    Unnest(Arc<Unnest>),
}

/// What became of some rows.
pub struct Outcome {
    /// Output rows, one batch for each branch that the input feeds.
    pub batches: Vec<RecordBatch>,
    /// Rows that filters left out.
    pub filtered: u64,
}

/// Returns what makes a plan need whole inputs; `None` if it can run per batch.
pub fn needs_whole(plan: &LogicalPlan) -> Option<String> {
    let own = match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) => {
            let expressions = plan.expressions();
            let subquery = |expr: &Expr| {
                let inner = |part: &Expr| {
                    matches!(
                        part,
                        Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_)
                    )
                };
                expr.exists(|part| Ok(inner(part))).unwrap_or(true)
            };
            expressions.iter().any(subquery).then(|| "a subquery".to_owned())
        }
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::TableScan(_) | LogicalPlan::Union(_) => None,
        LogicalPlan::Unnest(unnest) => (!Unnest::supports(unnest)).then(|| "a nested `unnest`".to_owned()),
        LogicalPlan::Aggregate(_) => Some("an aggregate".to_owned()),
        LogicalPlan::Sort(_) => Some("`ORDER BY`".to_owned()),
        LogicalPlan::Limit(_) => Some("`LIMIT`".to_owned()),
        LogicalPlan::Window(_) => Some("a window function".to_owned()),
        LogicalPlan::Join(_) => Some("a join".to_owned()),
        LogicalPlan::Distinct(_) => Some("`DISTINCT`".to_owned()),
        other => Some(format!("`{}`", other.display().to_string().split([':', ' ']).next().unwrap_or_default())),
    };
    own.or_else(|| plan.inputs().into_iter().find_map(needs_whole))
}

/// Returns whether each input row gives at most one output row.
pub fn is_one_to_one(plan: &LogicalPlan) -> bool {
    let mut scans = BTreeSet::new();
    let mut once = true;
    let walked = plan.apply(|node| {
        match node {
            LogicalPlan::Unnest(_) => once = false,
            LogicalPlan::TableScan(scan) => once &= scans.insert(scan.table_name.to_string()),
            _ => {}
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    walked.is_ok() && once
}

impl Compiled {
    /// Compiles a plan; `inputs` are the columns that each input's batches have.
    pub fn new(plan: &LogicalPlan, inputs: &[(String, SchemaRef)], made_max: usize) -> Result<Compiled> {
        let schema = Arc::new(plan.schema().as_arrow().clone());
        let mut branches = lower(plan, inputs)?;
        branches.iter_mut().try_for_each(|branch| branch.prune(schema.fields().len()))?;
        Ok(Compiled { branches, made_max, schema })
    }

    /// Runs a batch of one input.
    pub fn run(&self, input: usize, batch: &RecordBatch) -> Result<Outcome> {
        let mut outcome = Outcome { batches: Vec::new(), filtered: 0 };
        for branch in self.branches.iter().filter(|branch| branch.input == input) {
            let (rows, filtered) = branch.run(batch, self.made_max)?;
            outcome.filtered += filtered;
            if rows.num_rows() > 0 {
                outcome.batches.push(with_columns(&self.schema, rows.columns().to_vec(), rows.num_rows())?);
            }
        }
        Ok(outcome)
    }
}

fn with_columns(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Between steps nothing hangs on whether a column may be null.
fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| Field::new(field.name(), field.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn project(schema: &Schema, columns: &[usize]) -> Result<SchemaRef> {
    Ok(Arc::new(schema.project(columns)?))
}

fn lower(plan: &LogicalPlan, inputs: &[(String, SchemaRef)]) -> Result<Vec<Branch>> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let name = scan.table_name.table();
            let found = inputs.iter().position(|(table, _)| table == name);
            let input = found.ok_or_else(|| internal_datafusion_err!("table {name} is no input"))?;
            let schema = nullable(scan.projected_schema.as_arrow());
            let pick: Result<Vec<usize>, _> =
                schema.fields().iter().map(|field| inputs[input].1.index_of(field.name())).collect();
            Ok(vec![Branch { input, pick: pick?, schema, steps: Vec::new() }])
        }
        LogicalPlan::SubqueryAlias(alias) => lower(&alias.input, inputs),
        LogicalPlan::Union(union) => {
            let branches: Result<Vec<Vec<Branch>>> = union.inputs.iter().map(|input| lower(input, inputs)).collect();
            Ok(branches?.into_iter().flatten().collect())
        }
        LogicalPlan::Filter(filter) => {
            let predicate = physical(&filter.predicate, &filter.input)?;
            let schema = nullable(filter.input.schema().as_arrow());
            let keep = (0..schema.fields().len()).collect();
            then(lower(&filter.input, inputs)?, &Step::Filter { predicate, keep, schema })
        }
        LogicalPlan::Projection(projection) => {
            let expressions: Result<_> = projection.expr.iter().map(|expr| physical(expr, &projection.input)).collect();
            let schema = nullable(projection.schema.as_arrow());
            then(lower(&projection.input, inputs)?, &Step::Project { expressions: expressions?, schema })
        }
        LogicalPlan::Unnest(unnest) => {
            let step = Step::Unnest(Arc::new(Unnest::new(unnest, nullable(unnest.schema.as_arrow()))));
            then(lower(&unnest.input, inputs)?, &step)
        }
        other => internal_err!("{} cannot run per batch", other.display()),
    }
}

fn then(mut branches: Vec<Branch>, step: &Step) -> Result<Vec<Branch>> {
    branches.iter_mut().for_each(|branch| branch.steps.push(step.clone()));
    Ok(branches)
}

fn physical(expr: &Expr, input: &LogicalPlan) -> Result<Arc<dyn PhysicalExpr>> {
    let mut props = ExecutionProps::new();
    props.config_options = Some(Arc::clone(Registry::shared().options()));
    create_physical_expr(expr, input.schema(), &props)
}

fn columns_of(expr: &Arc<dyn PhysicalExpr>) -> impl Iterator<Item = usize> {
    collect_columns(expr).into_iter().map(|column| column.index())
}

fn renumber(expr: Arc<dyn PhysicalExpr>, layout: &[usize]) -> Result<Arc<dyn PhysicalExpr>> {
    let renumbered = expr.transform_up(|part| {
        let moved = part.downcast_ref::<Column>().map(|column| {
            let index = layout.binary_search(&column.index()).ok();
            index.map(|index| Arc::new(Column::new(column.name(), index)) as Arc<dyn PhysicalExpr>)
        });
        match moved {
            None => Ok(Transformed::no(part)),
            Some(Some(moved)) => Ok(Transformed::yes(moved)),
            Some(None) => internal_err!("a column that is needed was pruned"),
        }
    })?;
    Ok(renumbered.data)
}

impl Step {
    fn output(&self) -> &SchemaRef {
        match self {
            Step::Filter { schema, .. } | Step::Project { schema, .. } => schema,
            Step::Unnest(unnest) => unnest.schema(),
        }
    }

    /// Returns the input columns needed to make some output columns.
    fn needs(&self, outputs: &BTreeSet<usize>, inputs: usize) -> BTreeSet<usize> {
        match self {
            Step::Filter { predicate, .. } => outputs.iter().copied().chain(columns_of(predicate)).collect(),
            Step::Project { expressions, .. } => {
                outputs.iter().filter_map(|index| expressions.get(*index)).flat_map(columns_of).collect()
            }
            Step::Unnest(_) => (0..inputs).collect(),
        }
    }

    /// Returns this step with only some output columns, over an input that has only the columns `layout`.
    fn pruned(self, outputs: &BTreeSet<usize>, layout: &[usize]) -> Result<Step> {
        let outputs: Vec<usize> = outputs.iter().copied().collect();
        Ok(match self {
            Step::Filter { predicate, schema, .. } => {
                let keep = outputs.iter().filter_map(|index| layout.binary_search(index).ok()).collect();
                Step::Filter { predicate: renumber(predicate, layout)?, keep, schema: project(&schema, &outputs)? }
            }
            Step::Project { expressions, schema } => {
                let kept = outputs.iter().filter_map(|index| expressions.get(*index).cloned());
                let expressions: Result<_> = kept.map(|expr| renumber(expr, layout)).collect();
                Step::Project { expressions: expressions?, schema: project(&schema, &outputs)? }
            }
            Step::Unnest(unnest) => Step::Unnest(unnest),
        })
    }

    fn run(&self, batch: RecordBatch, made_max: usize, filtered: &mut u64) -> Result<RecordBatch> {
        match self {
            Step::Filter { predicate, keep, schema } => {
                let before = batch.num_rows();
                let kept = filter(&batch, predicate, keep, schema)?;
                *filtered += (before - kept.num_rows()) as u64;
                Ok(kept)
            }
            Step::Project { expressions, schema } => {
                let rows = batch.num_rows();
                let columns: Result<_> =
                    expressions.iter().map(|expr| into_column(expr.evaluate(&batch)?, rows, made_max)).collect();
                with_columns(schema, columns?, rows)
            }
            Step::Unnest(unnest) => unnest.run(&batch, made_max),
        }
    }
}

/// Makes a column of what an expression came to; a constant is made for each row.
fn into_column(value: ColumnarValue, rows: usize, made_max: usize) -> Result<ArrayRef> {
    if let ColumnarValue::Scalar(constant) = &value
        && constant.size().saturating_mul(rows) > made_max
    {
        let bytes = row_bytes::range(&constant.to_array()?, 0, 1);
        if bytes.saturating_mul(rows) > made_max {
            return Err(too_much("a constant", made_max));
        }
    }
    value.into_array(rows)
}

fn filter(
    batch: &RecordBatch,
    predicate: &Arc<dyn PhysicalExpr>,
    keep: &[usize],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let mask = predicate.evaluate(batch)?.into_array(batch.num_rows())?;
    let mask = mask.as_boolean();
    let columns = keep.iter().map(|index| batch.column(*index));
    let rows = mask.true_count();
    if rows == batch.num_rows() {
        return with_columns(schema, columns.cloned().collect(), rows);
    }
    let mut builder = FilterBuilder::new(mask);
    if keep.len() > 1 {
        builder = builder.optimize();
    }
    let chosen = builder.build();
    let columns: Result<_, _> = columns.map(|column| chosen.filter(column.as_ref())).collect();
    with_columns(schema, columns?, rows)
}

impl Branch {
    fn prune(&mut self, width: usize) -> Result<()> {
        let mut needed = vec![(0..width).collect::<BTreeSet<usize>>()];
        for (index, step) in self.steps.iter().enumerate().rev() {
            // It makes all its columns, whatever is needed of them.
            if let (Step::Unnest(unnest), Some(outputs)) = (step, needed.last_mut()) {
                *outputs = (0..unnest.schema().fields().len()).collect();
            }
            let before = index.checked_sub(1).map_or(&self.schema, |before| self.steps[before].output());
            let inputs = step.needs(&needed[needed.len() - 1], before.fields().len());
            needed.push(inputs);
        }
        let mut layouts = needed.into_iter().rev();
        let mut layout: Vec<usize> = layouts.next().unwrap_or_default().into_iter().collect();
        self.pick = layout.iter().filter_map(|index| self.pick.get(*index).copied()).collect();
        self.schema = project(&self.schema, &layout)?;
        let steps = std::mem::take(&mut self.steps);
        for (step, outputs) in steps.into_iter().zip(layouts) {
            self.steps.push(step.pruned(&outputs, &layout)?);
            layout = outputs.into_iter().collect();
        }
        Ok(())
    }

    fn run(&self, batch: &RecordBatch, made_max: usize) -> Result<(RecordBatch, u64)> {
        let columns = self.pick.iter().map(|index| Arc::clone(batch.column(*index))).collect();
        let mut rows = with_columns(&self.schema, columns, batch.num_rows())?;
        let mut filtered = 0;
        for step in &self.steps {
            if rows.num_rows() == 0 {
                rows = RecordBatch::new_empty(Arc::clone(step.output()));
            } else {
                rows = step.run(rows, made_max, &mut filtered)?;
            }
        }
        Ok((rows, filtered))
    }
}
