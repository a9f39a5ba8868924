//! The whole inputs of a query as DataFusion tables.
//!
//! The first batches of each input are read before planning: an input that ends within them is known to be small, which
//! tells a join its build side. An input that a plan scans more than once is kept, in memory and then on disk.
//! Invariant: each scan gives all rows of its input, in their order.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::datasource::TableType;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::spill::{SpillManager, get_record_batch_memory_size};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::future::BoxFuture;
use futures::stream::{StreamExt, TryStreamExt};
use rde_core::BatchStream;

/// Bytes an input is said to hold when its end was not seen: more than any whose end was.
const UNSEEN_BYTES: usize = 1 << 40;
/// Rows an input is said to hold at most, so that DataFusion's estimate of a join, a product of two, cannot overflow.
const UNSEEN_ROWS: usize = 1 << 30;
/// A batch that keeps this much more alive than twice what it shows is copied.
const SLACK: usize = 64 << 10;

/// One whole input.
pub struct WholeInput {
    /// The columns that the query was planned over.
    planned: SchemaRef,
    /// The columns that arrive, all or fewer.
    actual: SchemaRef,
    held: Mutex<Held>,
}

/// What was read of an input and what is still to come.
struct Held {
    batches: Vec<RecordBatch>,
    bytes: usize,
    rows: usize,
    reservation: MemoryReservation,
    rest: Rest,
}

enum Rest {
    /// The end was reached.
    Ended,
    /// More comes from the stream.
    Stream(BatchStream),
    /// More is in a file, for any number of scans.
    Spilled(SpillManager, datafusion::execution::disk_manager::RefCountedTempFile),
    /// A scan has taken the stream.
    Taken,
}

impl fmt::Debug for WholeInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WholeInput").field("planned", &self.planned).finish_non_exhaustive()
    }
}

fn ours(error: rde_core::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl WholeInput {
    /// Makes an input of a stream.
    pub fn new(planned: SchemaRef, actual: SchemaRef, stream: BatchStream, env: &Arc<RuntimeEnv>) -> WholeInput {
        let reservation = MemoryConsumer::new("input").register(&env.memory_pool);
        let held = Held { batches: Vec::new(), bytes: 0, rows: 0, reservation, rest: Rest::Stream(stream) };
        WholeInput { planned, actual, held: Mutex::new(held) }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_stream(&self) -> Option<BatchStream> {
        let mut held = self.held();
        match std::mem::replace(&mut held.rest, Rest::Taken) {
            Rest::Stream(stream) => Some(stream),
            other => {
                held.rest = other;
                None
            }
        }
    }

    /// Reads ahead until the end or `bytes_max`.
    pub async fn peek(&self, bytes_max: usize) -> Result<()> {
        let Some(mut stream) = self.take_stream() else { return Ok(()) };
        loop {
            if self.held().bytes >= bytes_max {
                break;
            }
            match stream.next().await {
                None => {
                    self.held().rest = Rest::Ended;
                    return Ok(());
                }
                Some(batch) => self.held().push(batch.map_err(ours)?),
            }
        }
        self.held().rest = Rest::Stream(stream);
        Ok(())
    }

    /// Reads to the end, so that several scans can read it: in memory up to `bytes_max`, then in a file.
    pub async fn keep(&self, bytes_max: usize, env: &Arc<RuntimeEnv>) -> Result<()> {
        self.peek(bytes_max).await?;
        let Some(mut stream) = self.take_stream() else { return Ok(()) };
        let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
        let spills = SpillManager::new(Arc::clone(env), metrics, Arc::clone(&self.actual));
        let mut file = spills.create_in_progress_file("keep an input that is read more than once")?;
        let mut any = false;
        while let Some(batch) = stream.try_next().await.map_err(ours)? {
            any |= batch.num_rows() > 0;
            if batch.num_rows() > 0 {
                file.append_batch(&batch)?;
            }
        }
        let finished = file.finish()?;
        self.held().rest = match finished {
            Some(file) if any => Rest::Spilled(spills, file),
            _ => Rest::Ended,
        };
        Ok(())
    }

    /// Returns whether the end of the input was seen.
    pub fn is_small(&self) -> bool {
        matches!(self.held().rest, Rest::Ended)
    }

    fn statistics(&self, columns: SchemaRef) -> Statistics {
        let held = self.held();
        let ended = matches!(held.rest, Rest::Ended);
        let mut statistics = Statistics::new_unknown(&columns);
        statistics.num_rows = Precision::Inexact(if ended { held.rows.min(UNSEEN_ROWS) } else { UNSEEN_ROWS });
        statistics.total_byte_size = Precision::Inexact(if ended { held.bytes } else { UNSEEN_BYTES });
        statistics
    }

    /// Starts one scan of some columns.
    fn scan(self: &Arc<Self>, schema: &SchemaRef, pick: &Arc<[usize]>) -> Result<SendableRecordBatchStream> {
        let mut held = self.held();
        let rest: SendableOrOurs = match std::mem::replace(&mut held.rest, Rest::Taken) {
            Rest::Ended => {
                held.rest = Rest::Ended;
                futures::stream::empty().boxed()
            }
            Rest::Stream(stream) => stream.map_err(ours).boxed(),
            Rest::Spilled(spills, file) => {
                let read = spills.read_spill_as_stream(file.clone(), None)?;
                held.rest = Rest::Spilled(spills, file);
                read.boxed()
            }
            Rest::Taken => return internal_err!("an input is scanned twice"),
        };
        let once = matches!(held.rest, Rest::Taken);
        let batches = if once { std::mem::take(&mut held.batches) } else { held.batches.clone() };
        let given = if once { Some(held.reservation.take()) } else { None };
        drop(held);
        let first = futures::stream::iter(Released { batches: batches.into_iter(), reservation: given });
        let (schema, pick) = (Arc::clone(schema), Arc::clone(pick));
        let projected = {
            let schema = Arc::clone(&schema);
            first.map(Ok).chain(rest).map(move |batch| project(&batch?, &schema, &pick))
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, projected)))
    }
}

type SendableOrOurs = futures::stream::BoxStream<'static, Result<RecordBatch>>;

/// Batches in memory that give their charge back as they leave.
struct Released {
    batches: std::vec::IntoIter<RecordBatch>,
    reservation: Option<MemoryReservation>,
}

impl Iterator for Released {
    type Item = RecordBatch;

    fn next(&mut self) -> Option<RecordBatch> {
        let batch = self.batches.next();
        match (&batch, &self.reservation) {
            (Some(batch), Some(reservation)) => {
                let bytes = get_record_batch_memory_size(batch).min(reservation.size());
                reservation.shrink(bytes);
            }
            (None, Some(reservation)) => {
                reservation.free();
            }
            _ => {}
        }
        batch
    }
}

impl Held {
    fn push(&mut self, batch: RecordBatch) {
        if batch.num_rows() == 0 {
            return;
        }
        let batch = own(batch);
        let bytes = get_record_batch_memory_size(&batch);
        self.reservation.grow(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        self.rows = self.rows.saturating_add(batch.num_rows());
        self.batches.push(batch);
    }
}

fn project(batch: &RecordBatch, schema: &SchemaRef, pick: &[usize]) -> Result<RecordBatch> {
    let columns = pick.iter().map(|index| Arc::clone(batch.column(*index))).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(own(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?))
}

/// Copies a slice of something much larger, which would else be charged whole for each of its slices.
fn own(batch: RecordBatch) -> RecordBatch {
    let shown = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(usize::MAX));
    let shown = shown.fold(0, usize::saturating_add);
    if get_record_batch_memory_size(&batch) <= shown.saturating_mul(2).saturating_add(SLACK) {
        return batch;
    }
    let Ok(rows) = u32::try_from(batch.num_rows()) else { return batch };
    take_record_batch(&batch, &UInt32Array::from_iter_values(0..rows)).unwrap_or(batch)
}

/// The table of an input.
#[derive(Debug)]
pub struct InputTable(pub Arc<WholeInput>);

impl InputTable {
    fn plan(&self, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = &self.0;
        let all: Vec<usize> = (0..input.planned.fields().len()).collect();
        let schema = Arc::new(input.planned.project(projection.unwrap_or(&all))?);
        let pick: Result<Vec<usize>, _> =
            schema.fields().iter().map(|field| input.actual.index_of(field.name())).collect();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(InputExec {
            input: Arc::clone(input),
            schema,
            pick: pick?.into(),
            properties: Arc::new(properties),
        }))
    }
}

impl TableProvider for InputTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.planned)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn scan<'a, 'b, 'c, 'd, 'e>(
        &'a self,
        _state: &'b dyn Session,
        projection: Option<&'c Vec<usize>>,
        _filters: &'d [Expr],
        _limit: Option<usize>,
    ) -> BoxFuture<'e, Result<Arc<dyn ExecutionPlan>>>
    where
        'a: 'e,
        'b: 'e,
        'c: 'e,
        'd: 'e,
        Self: 'e,
    {
        Box::pin(std::future::ready(self.plan(projection)))
    }
}

/// One scan of an input.
#[derive(Debug)]
struct InputExec {
    input: Arc<WholeInput>,
    schema: SchemaRef,
    pick: Arc<[usize]>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for InputExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InputExec: {} columns", self.pick.len())
    }
}

impl ExecutionPlan for InputExec {
    fn name(&self) -> &str {
        "InputExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _partition: usize, _ctx: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.scan(&self.schema, &self.pick)
    }

    fn partition_statistics(&self, _partition: Option<usize>) -> Result<Arc<Statistics>> {
        Ok(Arc::new(self.input.statistics(Arc::clone(&self.schema))))
    }
}
