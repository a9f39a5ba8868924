//! Runs one lane of a source: asks for room, calls `next`, sends what it made, injects barriers between two calls.
//!
//! First step of the batch path, and the only one that waits for the pipeline's memory.
//! Invariant: a barrier lies between two calls of `next`, and the positions reported with it are those of exactly the rows
//! before it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use rde_core::{Barrier, Epoch, EventTime, Message, Output, Progress, Source, Staged};

use crate::coordinator::{Answer, Part};
use crate::counters::OperatorCounters;
use crate::outputs::Outputs;
use crate::rejects::Rejects;
use crate::shared::{Halt, Shared};

/// How often a source that must wait is told that it is still wanted.
const KEEP_ALIVE: Duration = Duration::from_millis(100);

/// One lane of a source.
pub(crate) struct SourceLane {
    shared: Arc<Shared>,
    lane: usize,
    source: Box<dyn Source>,
    counters: Arc<OperatorCounters>,
    outputs: Outputs,
    rejects: Rejects,
    member: usize,
    /// Its part of the graph completes no epoch before its end, so only a drain's barrier goes through it.
    withheld: bool,
    out: Output,
    epoch: Epoch,
    committed: Epoch,
    watermark: Option<EventTime>,
    idle: bool,
}

impl SourceLane {
    /// Makes a lane whose splits are assigned.
    pub fn new(
        source: Box<dyn Source>,
        outputs: Outputs,
        rejects: Rejects,
        (member, withheld): (usize, bool),
        epoch: Epoch,
    ) -> SourceLane {
        SourceLane {
            shared: outputs.shared.clone(),
            lane: outputs.lane,
            source,
            counters: outputs.counters.clone(),
            outputs,
            rejects,
            member,
            withheld,
            out: Output::new(),
            epoch,
            committed: epoch,
            watermark: None,
            idle: false,
        }
    }

    /// Runs until the source ends, a drain or the run's stop.
    pub async fn run(mut self) -> Result<(), Halt> {
        self.outputs.announce_errors().await?;
        loop {
            if self.shared.stopped() {
                return Err(Halt::Stopped);
            }
            if let Some(barrier) = self.due() {
                self.cut(barrier).await?;
                if barrier.last {
                    return Ok(());
                }
                continue;
            }
            self.hear_committed().await?;
            if !self.room().await? {
                continue;
            }
            match self.produce().await? {
                Progress::Produced => {}
                Progress::Idle(period) => self.rest(period).await?,
                Progress::Ended => {
                    self.outputs.send_to_all(&Message::Eos).await?;
                    self.answer(self.epoch.next(), true);
                    return Ok(());
                }
            }
        }
    }

    /// Calls the source once and sends what it made.
    async fn produce(&mut self) -> Result<Progress, Halt> {
        let before = self.shared.nanos();
        let progress = self.source.next(&mut self.out).await.map_err(|error| error.in_operator(&self.counters.id));
        self.counters.busy_nanos.add(self.shared.nanos().saturating_sub(before));
        let progress = progress?;
        let SourceLane { shared, lane, source, counters, outputs, rejects, out, watermark, idle, .. } = self;
        let (staged, counted) = out.take();
        counters.counted(*lane, counted);
        for item in staged {
            *idle = false;
            if let Staged::Batch(_, batch) = &item {
                shared.trace("source::produce", &counters.id, *lane, ("batch", batch.num_rows(), 0));
            }
            let sent = std::pin::pin!(send(item, outputs, rejects, watermark));
            alive(shared, &mut **source, sent).await?;
        }
        let sent = std::pin::pin!(send_errors(outputs, rejects));
        alive(shared, &mut **source, sent).await?;
        Ok(progress)
    }

    /// Returns the barrier to inject now.
    fn due(&self) -> Option<Barrier> {
        self.shared.barrier().filter(|barrier| barrier.epoch > self.epoch && (barrier.last || !self.withheld))
    }

    /// Ends an epoch here.
    async fn cut(&mut self, barrier: Barrier) -> Result<(), Halt> {
        self.epoch = barrier.epoch;
        self.answer(barrier.epoch, false);
        let SourceLane { shared, source, outputs, .. } = self;
        let message = Message::Barrier(barrier);
        let sent = std::pin::pin!(outputs.send_to_all(&message));
        alive(shared, &mut **source, sent).await
    }

    fn answer(&self, epoch: Epoch, ended: bool) {
        let part = Part::Positions(self.source.positions());
        self.shared.answers.put(Answer::Reached { member: self.member, epoch, ended, part });
    }

    async fn hear_committed(&mut self) -> Result<(), Halt> {
        let committed = self.shared.committed();
        if committed > self.committed {
            self.committed = committed;
            self.source.committed(committed).await.map_err(|error| error.in_operator(&self.counters.id))?;
        }
        Ok(())
    }

    /// Waits until the pipeline's memory has room. Returns `false` when something else must be looked at first.
    ///
    /// Memory that operators hold for good must not stop the run: while everything this lane sent has been taken, it reads
    /// on once in a while all the same. What is under way behind it is bounded by the edges.
    async fn room(&mut self) -> Result<bool, Halt> {
        if self.counters.budget.has_room() {
            return Ok(true);
        }
        let before = self.shared.nanos();
        let nudged = self.shared.nudged();
        if self.due().is_some() || self.shared.stopped() {
            return Ok(false);
        }
        let room = {
            let budget = self.counters.budget.clone();
            let timer = self.shared.runtime.clock.sleep(KEEP_ALIVE);
            let room = std::pin::pin!(async move { budget.room().await });
            match select(select(room, timer), nudged).await {
                Either::Left((Either::Left(_), _)) => Some(true),
                Either::Left((Either::Right(_), _)) => None,
                Either::Right(_) => Some(false),
            }
        };
        self.counters.waiting_nanos.add(self.shared.nanos().saturating_sub(before));
        match room {
            Some(room) => Ok(room),
            None => {
                self.source.keep_alive().await.map_err(|error| error.in_operator(&self.counters.id))?;
                Ok(self.outputs.all_taken())
            }
        }
    }

    /// Says once that there is nothing for now, and waits.
    async fn rest(&mut self, period: Duration) -> Result<(), Halt> {
        if !self.idle {
            self.idle = true;
            self.outputs.send_to_all(&Message::Idle).await?;
        }
        let nudged = self.shared.nudged();
        if self.due().is_some() || self.shared.stopped() {
            return Ok(());
        }
        let before = self.shared.nanos();
        select(self.shared.runtime.clock.sleep(period), nudged).await;
        self.counters.waiting_nanos.add(self.shared.nanos().saturating_sub(before));
        Ok(())
    }
}

/// Sends one staged item.
async fn send(
    item: Staged,
    outputs: &mut Outputs,
    rejects: &mut Rejects,
    watermark: &mut Option<EventTime>,
) -> Result<(), Halt> {
    match item {
        Staged::Schema(port, schema, cause) => outputs.schema(port, &schema, cause).await,
        Staged::Batch(port, batch) => outputs.batch(port, batch).await,
        Staged::Rejected(rejected) => match rejects.take(rejected)? {
            Some(errors) => outputs.batch(outputs.errors(), errors).await,
            None => Ok(()),
        },
        Staged::Watermark(at) if Some(at) > *watermark => {
            *watermark = Some(at);
            outputs.send_to_all(&Message::Watermark(at)).await
        }
        Staged::Watermark(_) => Ok(()),
    }
}

async fn send_errors(outputs: &mut Outputs, rejects: &mut Rejects) -> Result<(), Halt> {
    match rejects.drain()? {
        Some(errors) => outputs.batch(outputs.errors(), errors).await,
        None => Ok(()),
    }
}

/// Awaits `sent`; while it waits, the source is kept alive.
async fn alive(
    shared: &Shared,
    source: &mut dyn Source,
    mut sent: impl Future<Output = Result<(), Halt>> + Unpin,
) -> Result<(), Halt> {
    if let std::task::Poll::Ready(result) = futures::poll!(&mut sent) {
        return result;
    }
    loop {
        match select(sent, shared.runtime.clock.sleep(KEEP_ALIVE)).await {
            Either::Left((result, _)) => return result,
            Either::Right(((), waiting)) => {
                sent = waiting;
                source.keep_alive().await?;
            }
        }
    }
}
