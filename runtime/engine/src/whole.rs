//! Runs an operator over whole inputs: a sort, a join, an aggregate.
//!
//! It reads every input all the time and spools what the operator does not take yet, so a source that feeds two inputs
//! cannot dead-lock. The operator starts when the schema of every input is known.
//! Invariant: it completes no epoch before the real end of its inputs; a drain makes it forget everything, except a batch
//! that it is sending: that one reaches every edge, so that the counts of a drained run balance too.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use arrow::datatypes::SchemaRef;
use event_listener::Event;
use futures::StreamExt;
use futures::future::{Either, select};
use rde_core::{AsyncTransform, Barrier, BatchStream, Epoch, Error, Message, Produced};

use crate::codes;
use crate::coordinator::{Answer, Part};
use crate::counters::OperatorCounters;
use crate::inputs::{Incoming, Inputs};
use crate::outputs::{Outputs, batch_bytes};
use crate::shared::{Halt, Shared};
use crate::spool::Spool;

/// The lane of an operator over whole inputs.
pub(crate) struct WholeLane {
    shared: Arc<Shared>,
    operator: Box<dyn AsyncTransform>,
    inputs: Inputs,
    spools: Vec<Spool>,
    /// The columns bound before the run, for an input that ends without having announced any.
    bound: Vec<Option<SchemaRef>>,
    outputs: Outputs,
    counters: Arc<OperatorCounters>,
    member: usize,
}

/// How reading the inputs ended.
enum ReadEnd {
    Ended,
    Drained(Barrier),
}

impl WholeLane {
    /// Makes the lane; one spool and bound schema per input.
    pub fn new(
        operator: Box<dyn AsyncTransform>,
        inputs: Inputs,
        spools: Vec<Spool>,
        bound: Vec<Option<SchemaRef>>,
        outputs: Outputs,
        member: usize,
    ) -> WholeLane {
        let (shared, counters) = (outputs.shared.clone(), outputs.counters.clone());
        WholeLane { shared, operator, inputs, spools, bound, outputs, counters, member }
    }

    /// Runs until the inputs end and the results are out, a drain or the run's stop.
    pub async fn run(self) -> Result<(), Halt> {
        let WholeLane { shared, operator, inputs, spools, bound, mut outputs, counters, member } = self;
        outputs.announce_errors().await?;
        let (known, drained) = (Event::new(), AtomicBool::new(false));
        let ended = {
            let read = pin!(read(inputs, &spools, &bound, &counters, &known));
            let work = pin!(work(operator, &spools, &known, &drained, &mut outputs));
            match select(read, work).await {
                Either::Left((end, work)) => {
                    let end = end?;
                    drained.store(matches!(end, ReadEnd::Drained(_)), Ordering::Relaxed);
                    work.await?;
                    end
                }
                Either::Right((worked, read)) => {
                    worked?;
                    read.await?
                }
            }
        };
        let (message, epoch, finished) = match ended {
            ReadEnd::Ended => (Message::Eos, Epoch::default(), true),
            ReadEnd::Drained(barrier) => (Message::Barrier(barrier), barrier.epoch, false),
        };
        shared.answers.put(Answer::Reached { member, epoch, ended: finished, part: Part::Nothing });
        outputs.send_to_all(&message).await
    }
}

/// Reads every input into its spool.
async fn read(
    mut inputs: Inputs,
    spools: &[Spool],
    bound: &[Option<SchemaRef>],
    counters: &OperatorCounters,
    known: &Event,
) -> Result<ReadEnd, Halt> {
    loop {
        match inputs.next().await? {
            Incoming::Schema(port, version) => {
                if !spools[port].schema(&version.schema) {
                    let message =
                        format!("transform `{}` reads input {port} as a whole, but its columns changed", counters.id);
                    return Err(Error::data(&codes::WHOLE_SCHEMA, message).in_operator(&counters.id).into());
                }
                known.notify(usize::MAX);
            }
            Incoming::Batch(port, batch, charges) => {
                counters.taken(0, batch.num_rows() as u64, batch_bytes(&batch) as u64);
                spools[port].put(batch, charges)?;
            }
            Incoming::PortEnded(port) => {
                if let Some(schema) = &bound[port] {
                    // An earlier announcement stands; this is for an input that never had a batch.
                    spools[port].schema_if_missing(schema);
                }
                spools[port].end();
                known.notify(usize::MAX);
            }
            Incoming::Barrier(barrier) if barrier.last => return Ok(ReadEnd::Drained(barrier)),
            Incoming::Ended => return Ok(ReadEnd::Ended),
            Incoming::Watermark(_) | Incoming::Idle | Incoming::Barrier(_) => {}
        }
    }
}

/// Starts the operator and sends its results, until they end or the inputs are drained.
async fn work(
    mut operator: Box<dyn AsyncTransform>,
    spools: &[Spool],
    known: &Event,
    drained: &AtomicBool,
    outputs: &mut Outputs,
) -> Result<(), Halt> {
    let Some(schemas) = unless(drained, schemas(spools, known, outputs)).await else { return Ok(()) };
    let schemas = schemas?;
    let streams: Vec<(SchemaRef, BatchStream)> =
        schemas.into_iter().zip(spools).map(|(schema, spool)| (schema, spool.stream().boxed())).collect();
    let (schema, mut results) = outputs.timed(|| operator.start(streams))?;
    outputs.schema(0, &schema, None).await?;
    loop {
        // Only the time inside the operator is busy; it mostly waits for its inputs.
        let mut busy = 0;
        let shared = outputs.shared.clone();
        let next = poll_fn(|cx| {
            let before = shared.nanos();
            let polled = results.poll_next_unpin(cx);
            busy += shared.nanos().saturating_sub(before);
            polled
        });
        let next = unless(drained, next).await;
        outputs.counters.busy_nanos.add(busy);
        let Some(next) = next else { return Ok(()) };
        match next {
            Some(Ok(Produced::Batch(batch))) if batch.num_rows() == 0 => {}
            Some(Ok(Produced::Batch(batch))) => outputs.batch(0, batch).await?,
            Some(Err(error)) => return Err(error.in_operator(&outputs.counters.id).into()),
            None => return Ok(()),
        }
    }
}

/// Waits for something that is given up once the inputs are drained. Nobody is woken for that: the lane polls its work as
/// soon as it has set the flag.
async fn unless<T>(drained: &AtomicBool, wait: impl Future<Output = T>) -> Option<T> {
    let mut wait = pin!(wait);
    poll_fn(|cx| {
        if drained.load(Ordering::Relaxed) {
            return Poll::Ready(None);
        }
        wait.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Waits until the schema of every input is known.
async fn schemas(spools: &[Spool], known: &Event, outputs: &Outputs) -> Result<Vec<SchemaRef>, Halt> {
    loop {
        let changed = known.listen();
        let schemas: Option<Vec<SchemaRef>> = spools.iter().map(Spool::known_schema).collect();
        if let Some(schemas) = schemas {
            return Ok(schemas);
        }
        if spools.iter().any(|spool| spool.has_ended() && spool.known_schema().is_none()) {
            let message = format!("an input of `{}` ended without having said its columns", outputs.counters.id);
            return Err(Error::internal(&codes::CONTRACT, message).into());
        }
        changed.await;
    }
}
