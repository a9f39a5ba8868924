//! A query over whole inputs: one DataFusion plan, run when its inputs are there.
//!
//! The engine spools what is not read yet, so inputs are read one after another. Sorts, aggregates and joins of two large
//! inputs spill to a folder of the query's own in `settings.spill` when they reach the operator's memory.
//! Invariant: rows come in the order that ORDER BY asks for; an error of an input comes through as it was.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::Result as PlanResult;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::DefaultTableSource;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::config::SessionConfig;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{Optimizer, OptimizerContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use futures::{FutureExt, Stream};
use rde_core::{AsyncTransform, BatchStream, Budget, Error, OpenContext, Produced, Result};

use crate::codes;
use crate::fallible::guard;
use crate::faults::run_error;
use crate::functions::Registry;
use crate::input::{InputTable, WholeInput};
use crate::memory::BudgetPool;
use crate::panics;
use crate::plan::Bound;
use crate::run_values::RunValues;
use crate::spill::SpillFolder;

/// Rows of the batches that DataFusion works with, whatever a pipeline's own batches have.
const ROWS_MIN: usize = 1024;
/// The part of the operator's memory that may hold the first batches of its inputs.
const PEEK_PART: usize = 8;
/// Memory that a sort keeps back for merging what it spilled; DataFusion's default, unless the limit is small.
const MERGE_BYTES_MAX: usize = 10 << 20;

/// The operator.
pub struct SqlWhole {
    bound: Bound,
    values: RunValues,
    machine: Machine,
}

/// What a plan may use.
#[derive(Clone, Debug)]
struct Machine {
    budget: Budget,
    limit: usize,
    spill: PathBuf,
    spill_max: u64,
    partitions: usize,
    rows_max: usize,
}

impl SqlWhole {
    /// Makes the operator.
    pub fn new(bound: Bound, values: RunValues, ctx: &OpenContext) -> SqlWhole {
        let settings = &ctx.settings;
        let machine = Machine {
            budget: ctx.budget.clone(),
            limit: ctx.budget.limit().min(settings.memory_max.bytes() / 2),
            spill: ctx.base.join(&settings.spill),
            spill_max: settings.spill_max.0,
            partitions: settings.parallelism.max(1),
            rows_max: settings.batch_rows_max.max(ROWS_MIN),
        };
        SqlWhole { bound, values, machine }
    }
}

impl AsyncTransform for SqlWhole {
    fn start(
        &mut self,
        inputs: Vec<(SchemaRef, BatchStream)>,
    ) -> Result<(SchemaRef, BoxStream<'static, Result<Produced>>)> {
        let operator = Arc::clone(&self.bound.operator);
        let mut streams = Vec::with_capacity(inputs.len());
        for (index, (schema, stream)) in inputs.into_iter().enumerate() {
            self.bound.accept(index, &schema).map_err(|error| {
                let message = format!("the columns of an input do not fit: {error}");
                let help = error.help_text().unwrap_or("change the query or the source").to_owned();
                Error::data(&codes::SCHEMA_CHANGE, message).help(help).in_operator(&operator)
            })?;
            streams.push(stream);
        }
        let failed = |error| run_error(&error).in_operator(&operator);
        let plan = self.bound.ready(&self.values).map_err(failed)?;
        let schema = Arc::new(plan.schema().as_arrow().clone());
        let folder = self.machine.spill_folder();
        let env = self.machine.environment(folder.as_ref()).map_err(failed)?;
        let planned = self.bound.planned();
        let tables = self.bound.tables().into_iter().zip(planned).zip(streams);
        let inputs: Vec<(String, Arc<WholeInput>)> = tables
            .map(|(((name, actual), planned), stream)| (name, Arc::new(WholeInput::new(planned, actual, stream, &env))))
            .collect();
        let run = Run { plan, inputs, env, machine: self.machine.clone() };
        let output = Arc::clone(&schema);
        let stream = futures::stream::once(run.stream())
            .try_flatten()
            .map_err(move |error| run_error(&error).in_operator(&operator))
            .map(move |batch| Ok(Produced::Batch(relabel(batch?, &output)?)));
        let operator = Arc::clone(&self.bound.operator);
        Ok((schema, Results { stream: Some(stream.boxed()), operator, _folder: folder }.boxed()))
    }
}

/// The results of a query, with the folder that it spills to.
struct Results {
    /// Dropped first: it holds the files in the folder. None behind a panic.
    stream: Option<BoxStream<'static, Result<Produced>>>,
    operator: Arc<str>,
    _folder: Option<SpillFolder>,
}

impl Stream for Results {
    type Item = Result<Produced>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Produced>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let polled = catch_unwind(AssertUnwindSafe(|| stream.poll_next_unpin(cx)));
        polled.unwrap_or_else(|panic| {
            self.stream = None;
            let error = run_error(&panics::error(&*panic)).in_operator(&self.operator);
            Poll::Ready(Some(Err(error)))
        })
    }
}

/// The plan's own names and metadata may differ from those that were announced.
fn relabel(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(|error| Error::internal(&codes::INTERNAL, format!("the result does not fit its columns: {error}")))
}

impl Machine {
    /// Most queries never spill; one that must, and has no folder, says so then.
    fn spill_folder(&self) -> Option<SpillFolder> {
        SpillFolder::make(&self.spill)
            .inspect_err(
                |error| tracing::warn!(folder = %self.spill.display(), %error, "the spill folder cannot be made"),
            )
            .ok()
    }

    fn environment(&self, folder: Option<&SpillFolder>) -> PlanResult<Arc<RuntimeEnv>> {
        let mode = match folder {
            Some(folder) => DiskManagerMode::Directories(vec![folder.path().to_owned()]),
            None => DiskManagerMode::Disabled,
        };
        let disk = DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(self.spill_max);
        RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(BudgetPool::new(&self.budget, self.limit)))
            .with_disk_manager_builder(disk)
            .build_arc()
    }

    fn config(&self, hash_join: bool) -> SessionConfig {
        let mut options = Registry::shared().options().as_ref().clone();
        options.execution.target_partitions = self.partitions;
        options.execution.planning_concurrency = 1;
        options.execution.batch_size = self.rows_max;
        options.execution.sort_spill_reservation_bytes = MERGE_BYTES_MAX.min(self.limit / 16);
        options.optimizer.prefer_hash_join = hash_join;
        options.catalog.create_default_catalog_and_schema = false;
        SessionConfig::from(options)
    }
}

/// One run of a plan.
struct Run {
    plan: LogicalPlan,
    inputs: Vec<(String, Arc<WholeInput>)>,
    env: Arc<RuntimeEnv>,
    machine: Machine,
}

impl Run {
    async fn stream(self) -> PlanResult<SendableRecordBatchStream> {
        let plan = guard(self.optimized()?)?;
        let joins = contains_join(&plan)?;
        let part = self.machine.limit / PEEK_PART / self.inputs.len().max(1);
        let mut large = 0;
        for (name, input) in &self.inputs {
            let scans = scans(&plan, name)?;
            if scans > 1 {
                input.keep(part, &self.env).await?;
            } else if joins {
                input.peek(part).await?;
            }
            large += if input.is_small() { 0 } else { scans };
        }
        // A hash join holds one side in memory. With two large ones, both are sorted and merged, which can spill; only
        // NOT IN must see whether its list has a null, which the merge does not.
        let state = self.session(large <= 1 || is_null_aware(&plan)?);
        let physical = DefaultPhysicalPlanner::default().create_physical_plan(&plan, &state).await?;
        execute_stream(physical, state.task_ctx())
    }

    /// Puts the inputs into the plan's table scans and optimizes it.
    fn optimized(&self) -> PlanResult<LogicalPlan> {
        let table = |name: &str, _: &SchemaRef| {
            let found = self.inputs.iter().find(|(input, _)| input == name);
            found.map(|(_, input)| Arc::new(InputTable(Arc::clone(input))) as Arc<dyn TableProvider>)
        };
        optimize(self.plan.clone(), &self.machine.config(true), table)
    }

    fn session(&self, hash_join: bool) -> SessionState {
        let config = self.machine.config(hash_join);
        let session = SessionStateBuilder::new().with_runtime_env(Arc::clone(&self.env));
        if hash_join || self.machine.partitions > 1 {
            return session.with_config(config).build();
        }
        // DataFusion takes a merge join only where it plans for several partitions.
        let rules = PhysicalOptimizer::new().rules.into_iter();
        let rules = rules.map(|rule| Arc::new(InOnePartition(rule)) as Arc<dyn PhysicalOptimizerRule + Send + Sync>);
        session.with_config(config.with_target_partitions(2)).with_physical_optimizer_rules(rules.collect()).build()
    }
}

/// A rule that leaves in one partition what was planned for two.
#[derive(Debug)]
struct InOnePartition(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for InOnePartition {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let mut config = config.clone();
        config.execution.target_partitions = 1;
        self.0.optimize(plan, &config)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Plans a query to the end over empty inputs, so that what cannot be run is known before the run.
pub fn rehearse(plan: LogicalPlan) -> PlanResult<()> {
    let config = SessionConfig::from(Registry::shared().options().as_ref().clone());
    let empty =
        |_: &str, schema: &SchemaRef| Some(Arc::new(EmptyTable::new(Arc::clone(schema))) as Arc<dyn TableProvider>);
    let plan = guard(optimize(plan, &config, empty)?)?;
    let state = SessionStateBuilder::new().with_config(config).build();
    // Over empty tables nothing is waited for.
    let planned = DefaultPhysicalPlanner::default().create_physical_plan(&plan, &state).now_or_never();
    planned.map_or(Ok(()), |planned| planned.map(drop))
}

/// Puts tables into the scans of a plan, where `table` has one, and optimizes it.
fn optimize(
    plan: LogicalPlan,
    config: &SessionConfig,
    table: impl Fn(&str, &SchemaRef) -> Option<Arc<dyn TableProvider>>,
) -> PlanResult<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(mut scan) => {
            if let Some(provider) = table(scan.table_name.table(), &scan.source.schema()) {
                scan.source = Arc::new(DefaultTableSource::new(provider));
                scan.filters.clear();
            }
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    let options = Arc::new(config.options().as_ref().clone());
    let context = OptimizerContext::new_with_config_options(options).without_query_execution_start_time();
    Optimizer::new().optimize(plan.data, &context, |_, _| {})
}

fn contains_join(plan: &LogicalPlan) -> PlanResult<bool> {
    plan.exists(|node| Ok(matches!(node, LogicalPlan::Join(_))))
}

fn is_null_aware(plan: &LogicalPlan) -> PlanResult<bool> {
    plan.exists(|node| Ok(matches!(node, LogicalPlan::Join(join) if join.null_aware)))
}

fn scans(plan: &LogicalPlan, table: &str) -> PlanResult<usize> {
    let mut count = 0;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && scan.table_name.table() == table
        {
            count += 1;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(count)
}
