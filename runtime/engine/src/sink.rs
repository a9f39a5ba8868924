//! Runs one lane of a sink: writes batches, prepares at barriers, leaves nothing half done.
//!
//! Last step of the batch path before the coordinator. `prepare` makes rows durable, not visible; its error rows and then
//! the barrier go to the sink's `errors` output.
//! Invariant: what is neither in a reported `Prepared` nor given up by the coordinator is abandoned before the lane ends.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::FutureExt;
use rde_core::{Barrier, Epoch, Error, Message, Output, Prepared, SinkWriter, Staged, Written};

use crate::codes;
use crate::coordinator::{Answer, Part};
use crate::counters::OperatorCounters;
use crate::inputs::{Incoming, Inputs};
use crate::outputs::Outputs;
use crate::rejects::Rejects;
use crate::shared::{Halt, Shared, panicked};

/// One lane of a sink.
pub(crate) struct SinkLane {
    shared: Arc<Shared>,
    lane: usize,
    writer: Box<dyn SinkWriter>,
    inputs: Inputs,
    counters: Arc<OperatorCounters>,
    outputs: Outputs,
    rejects: Rejects,
    /// Full batches of error rows that are still to be sent.
    full: Vec<RecordBatch>,
    member: usize,
    /// Its part of the graph completes no epoch before its end: a drain commits nothing here.
    withheld: bool,
    out: Output,
    epoch: Epoch,
    /// Rows taken since the last `prepare`, those set aside not counted.
    unprepared: u64,
    /// The target's reader went away.
    gone: bool,
    /// The writer was told to give up, which it is told once.
    abandoned: bool,
}

impl SinkLane {
    /// Makes a lane with an open writer.
    pub fn new(
        writer: Box<dyn SinkWriter>,
        inputs: Inputs,
        outputs: Outputs,
        rejects: Rejects,
        (member, withheld): (usize, bool),
        epoch: Epoch,
    ) -> SinkLane {
        SinkLane {
            shared: outputs.shared.clone(),
            lane: outputs.lane,
            writer,
            inputs,
            counters: outputs.counters.clone(),
            outputs,
            rejects,
            full: Vec::new(),
            member,
            withheld,
            out: Output::new(),
            epoch,
            unprepared: 0,
            gone: false,
            abandoned: false,
        }
    }

    /// Runs until the inputs end, a drain or the run's stop.
    pub async fn run(mut self) -> Result<(), Halt> {
        let worked = match AssertUnwindSafe(self.work()).catch_unwind().await {
            Ok(worked) => worked,
            Err(panic) => Err(Halt::Failed(panicked(&self.counters.id, &*panic))),
        };
        // The first error is the one to be seen; one of the clean-up matters only if there is no other.
        match worked {
            Ok(()) => Ok(()),
            Err(Halt::Stopped) => self.abandon().await,
            Err(Halt::Failed(error)) => {
                if let Err(Halt::Failed(second)) = self.abandon().await {
                    tracing::warn!(operator = &*self.counters.id, error = ?second, "sink did not clean up");
                }
                Err(Halt::Failed(error))
            }
        }
    }

    async fn work(&mut self) -> Result<(), Halt> {
        self.outputs.announce_errors().await?;
        loop {
            let incoming = match self.inputs.try_next()? {
                Some(incoming) => incoming,
                None => {
                    let before = self.shared.nanos();
                    let incoming = self.inputs.next().await?;
                    self.counters.waiting_nanos.add(self.shared.nanos().saturating_sub(before));
                    incoming
                }
            };
            match incoming {
                Incoming::Schema(_, version) if !self.gone => {
                    let written = self.writer.schema(&version).await;
                    written.map_err(|error| error.in_operator(&self.counters.id))?;
                }
                Incoming::Batch(_, batch, _charges) => self.write(batch).await?,
                Incoming::Watermark(at) => self.outputs.send_to_all(&Message::Watermark(at)).await?,
                Incoming::Idle => self.outputs.send_to_all(&Message::Idle).await?,
                Incoming::Barrier(barrier) => {
                    self.barrier(barrier).await?;
                    if barrier.last {
                        return Ok(());
                    }
                }
                Incoming::Ended => return self.end().await,
                Incoming::Schema(..) | Incoming::PortEnded(_) => {}
            }
        }
    }

    /// Writes one batch.
    async fn write(&mut self, batch: RecordBatch) -> Result<(), Halt> {
        let rows = batch.num_rows() as u64;
        self.counters.taken(self.lane, rows, 0);
        self.unprepared += rows;
        if self.gone {
            return Ok(());
        }
        self.shared.trace("sink::write", &self.counters.id, self.lane, ("batch", batch.num_rows(), 0));
        let before = self.shared.nanos();
        let written = self.writer.write(batch, &mut self.out).await;
        self.counters.busy_nanos.add(self.shared.nanos().saturating_sub(before));
        let written = written.map_err(|error| error.in_operator(&self.counters.id))?;
        self.set_aside().await?;
        if written == Written::ReaderGone {
            self.reader_gone();
        }
        Ok(())
    }

    fn reader_gone(&mut self) {
        tracing::info!(pipeline = &*self.shared.pipeline, operator = &*self.counters.id, "reader went away");
        self.gone = true;
        self.shared.reader_gone();
    }

    /// Makes what was written durable and reports it.
    async fn prepare(&mut self, epoch: Epoch) -> Result<(Vec<Prepared>, u64), Halt> {
        self.shared.trace("sink::prepare", &self.counters.id, self.lane, ("barrier", 0, epoch.0));
        let before = self.shared.nanos();
        let prepared = self.writer.prepare(epoch, &mut self.out).await;
        self.counters.busy_nanos.add(self.shared.nanos().saturating_sub(before));
        let prepared = prepared.map_err(|error| error.in_operator(&self.counters.id))?;
        // From here on the rows are the coordinator's, even if the error rows below find no way any more.
        let unprepared = std::mem::take(&mut self.unprepared);
        let (aside, result) = self.reject_staged();
        let mut rows = unprepared.saturating_sub(aside);
        if rows > 0 && prepared.is_empty() {
            // Rows were taken and nothing stands for them: their reader went away before they reached it.
            self.unprepared = std::mem::take(&mut rows);
            self.reader_gone();
        }
        if let Err(halt) = result {
            self.report(epoch, false, prepared, rows);
            return Err(halt);
        }
        Ok((prepared, rows))
    }

    async fn barrier(&mut self, barrier: Barrier) -> Result<(), Halt> {
        self.epoch = barrier.epoch;
        if barrier.last && (self.withheld || self.gone) {
            self.abandon().await?;
            self.report(barrier.epoch, false, Vec::new(), 0);
        } else if self.gone {
            self.report(barrier.epoch, false, Vec::new(), 0);
        } else {
            let (prepared, rows) = self.prepare(barrier.epoch).await?;
            if barrier.last && self.gone {
                self.abandon().await?;
            }
            self.report(barrier.epoch, false, prepared, rows);
            self.send_errors().await?;
        }
        self.outputs.send_to_all(&Message::Barrier(barrier)).await
    }

    async fn end(&mut self) -> Result<(), Halt> {
        let epoch = self.epoch.next();
        if self.gone {
            self.abandon().await?;
            self.report(epoch, true, Vec::new(), 0);
        } else {
            let (prepared, rows) = self.prepare(epoch).await?;
            if self.gone {
                self.abandon().await?;
            }
            self.report(epoch, true, prepared, rows);
            self.send_errors().await?;
        }
        self.outputs.send_to_all(&Message::Eos).await
    }

    fn report(&self, epoch: Epoch, ended: bool, prepared: Vec<Prepared>, rows: u64) {
        let part = Part::Prepared(prepared, rows);
        self.shared.answers.put(Answer::Reached { member: self.member, epoch, ended, part });
    }

    /// Removes what is staged and not prepared; its rows count as abandoned.
    async fn abandon(&mut self) -> Result<(), Halt> {
        self.counters.rows_abandoned.add(std::mem::take(&mut self.unprepared));
        if std::mem::replace(&mut self.abandoned, true) {
            return Ok(());
        }
        self.writer.abandon().await.map_err(|error| Halt::Failed(error.in_operator(&self.counters.id)))
    }

    /// Takes the rows that the writer refused and sends them.
    async fn set_aside(&mut self) -> Result<(), Halt> {
        let (aside, result) = self.reject_staged();
        self.unprepared = self.unprepared.saturating_sub(aside);
        result?;
        self.send_errors().await
    }

    /// Takes the rows that the writer refused. Returns how many, and whether the policy lets the run go on.
    fn reject_staged(&mut self) -> (u64, Result<(), Halt>) {
        let (staged, counted) = self.out.take();
        self.counters.counted(self.lane, counted);
        let mut aside = 0;
        for item in staged {
            let Staged::Rejected(rejected) = item else {
                let message = format!("sink `{}` made something else than rejected rows", self.counters.id);
                return (aside, Err(Error::internal(&codes::CONTRACT, message).into()));
            };
            aside += 1;
            match self.rejects.take(rejected) {
                Ok(full) => self.full.extend(full),
                Err(error) => return (aside, Err(error.into())),
            }
        }
        (aside, Ok(()))
    }

    async fn send_errors(&mut self) -> Result<(), Halt> {
        let last = self.rejects.drain()?;
        for errors in self.full.drain(..).chain(last) {
            self.outputs.batch(self.outputs.errors(), errors).await?;
        }
        Ok(())
    }
}
