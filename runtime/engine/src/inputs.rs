//! Makes one order of what comes in on several channels: barriers aligned, watermarks merged, ends counted.
//!
//! [`Aligner`] is a pure state machine: a message in, what the operator is to hear out. [`Inputs`] reads an inbox through it.
//! Invariants: a barrier comes out once every channel has delivered it or ended, and nothing behind it before; the
//! watermark never falls; a port ends once all its channels have.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use rde_core::{Barrier, Charge, Error, EventTime, Message, SchemaVersion};

use crate::codes;
use crate::edge::Inbox;
use crate::outputs::batch_bytes;
use crate::shared::Halt;

/// Batches below this many rows are joined with those that wait behind them, where the operator wishes it.
pub(crate) const COALESCE_ROWS: usize = 1024;

/// What an operator is to hear.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The schema of the batches that follow on a port.
    Schema(usize, Arc<SchemaVersion>),
    /// Rows for a port.
    Batch(usize, RecordBatch, Vec<Arc<Charge>>),
    /// The operator's watermark rose.
    Watermark(EventTime),
    /// No input has anything for now.
    Idle,
    /// Every input reached the barrier.
    Barrier(Barrier),
    /// A port has ended.
    PortEnded(usize),
    /// All ports have.
    Ended,
}

/// Whether channels must be held back or let go after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Unchanged,
    Hold,
    Release,
}

#[derive(Debug)]
struct Channel {
    port: usize,
    schema: Option<Arc<SchemaVersion>>,
    /// Its batches carry another schema, which says the same of nearly everything.
    relabel: bool,
    barrier: Option<Barrier>,
    watermark: Option<EventTime>,
    idle: bool,
    ended: bool,
}

/// Merges the channels of one lane.
#[derive(Debug)]
pub(crate) struct Aligner {
    channels: Vec<Channel>,
    /// The columns that were bound for each port, where they are known.
    bound: Vec<Option<SchemaRef>>,
    /// The schema that each port's operator heard last.
    heard: Vec<Option<Arc<SchemaVersion>>>,
    watermark: Option<EventTime>,
    idle: bool,
}

impl Aligner {
    /// Makes one for channels that lead to these ports.
    pub fn new(ports_of_channels: &[usize]) -> Aligner {
        let channel = |port: &usize| Channel {
            port: *port,
            schema: None,
            relabel: false,
            barrier: None,
            watermark: None,
            idle: false,
            ended: false,
        };
        let ports = ports_of_channels.iter().max().map_or(0, |most| most + 1);
        let channels = ports_of_channels.iter().map(channel).collect();
        Aligner { channels, bound: Vec::new(), heard: vec![None; ports], watermark: None, idle: false }
    }

    /// Puts schemas that differ from the one bound for their port in nullability or metadata alone under that one, so that
    /// edges which merge do not make the operator hear a change at each turn.
    #[must_use]
    pub fn bound_to(mut self, schemas: Vec<Option<SchemaRef>>) -> Aligner {
        self.bound = schemas;
        self
    }

    /// Takes a message of a channel; adds to `out` what the operator is to hear.
    pub fn take(&mut self, index: usize, message: Message, out: &mut VecDeque<Incoming>) -> Result<Gate, Error> {
        match message {
            Message::Schema(version) => {
                self.schema(index, version, out);
                Ok(Gate::Unchanged)
            }
            Message::Batch(batch, charge) => {
                self.active(index);
                let port = self.channels[index].port;
                let schema = self.channels[index].schema.clone().ok_or_else(|| {
                    Error::internal(&codes::CONTRACT, format!("rows came on input {port} before their schema"))
                })?;
                self.hear(port, &schema, out);
                let batch = if self.channels[index].relabel { relabelled(&batch, &schema)? } else { batch };
                out.push_back(Incoming::Batch(port, batch, charge.into_iter().collect()));
                Ok(Gate::Unchanged)
            }
            Message::Watermark(at) => {
                self.active(index);
                let channel = &mut self.channels[index];
                channel.watermark = channel.watermark.max(Some(at));
                self.raise(out);
                Ok(Gate::Unchanged)
            }
            Message::Idle => {
                self.channels[index].idle = true;
                self.raise(out);
                self.rest(out);
                Ok(Gate::Unchanged)
            }
            Message::Barrier(barrier) => {
                self.channels[index].barrier = Some(barrier);
                Ok(if self.aligned(out) { Gate::Release } else { Gate::Hold })
            }
            Message::Eos => Ok(self.end(index, out)),
        }
    }

    fn schema(&mut self, index: usize, version: Arc<SchemaVersion>, out: &mut VecDeque<Incoming>) {
        let port = self.channels[index].port;
        // Edges that merge, and lanes, mostly announce what the operator knows: then they share one version, so that no
        // batch ever compares schemas.
        let announced = version.schema.clone();
        let version = self.as_bound(port, version);
        let known = self.heard[port].as_ref().filter(|heard| heard.schema.fields() == version.schema.fields());
        let version = known.cloned().unwrap_or(version);
        self.channels[index].relabel = announced != version.schema;
        self.channels[index].schema = Some(version.clone());
        self.hear(port, &version, out);
    }

    fn as_bound(&self, port: usize, version: Arc<SchemaVersion>) -> Arc<SchemaVersion> {
        match self.bound.get(port).and_then(Option::as_ref) {
            Some(bound) if *bound != version.schema && holds(bound, &version.schema) => {
                Arc::new(SchemaVersion { schema: bound.clone(), ..version.as_ref().clone() })
            }
            _ => version,
        }
    }

    fn hear(&mut self, port: usize, version: &Arc<SchemaVersion>, out: &mut VecDeque<Incoming>) {
        if !self.heard[port].as_ref().is_some_and(|heard| Arc::ptr_eq(heard, version)) {
            self.heard[port] = Some(version.clone());
            out.push_back(Incoming::Schema(port, version.clone()));
        }
    }

    fn active(&mut self, index: usize) {
        self.channels[index].idle = false;
        self.idle = false;
    }

    fn raise(&mut self, out: &mut VecDeque<Incoming>) {
        let open = self.channels.iter().filter(|channel| !channel.idle && !channel.ended);
        let lowest = open.map(|channel| channel.watermark).min().flatten();
        if lowest > self.watermark {
            self.watermark = lowest;
            out.extend(lowest.map(Incoming::Watermark));
        }
    }

    fn rest(&mut self, out: &mut VecDeque<Incoming>) {
        let mut open = self.channels.iter().filter(|channel| !channel.ended).peekable();
        if !self.idle && open.peek().is_some() && open.all(|channel| channel.idle) {
            self.idle = true;
            out.push_back(Incoming::Idle);
        }
    }

    /// Lets the barrier through if every channel has it or has ended.
    fn aligned(&mut self, out: &mut VecDeque<Incoming>) -> bool {
        let barrier = self.channels.iter().find_map(|channel| channel.barrier);
        let everywhere = self.channels.iter().all(|channel| channel.ended || channel.barrier.is_some());
        let Some(barrier) = barrier.filter(|_| everywhere) else { return false };
        self.channels.iter_mut().for_each(|channel| channel.barrier = None);
        out.push_back(Incoming::Barrier(barrier));
        true
    }

    fn end(&mut self, index: usize, out: &mut VecDeque<Incoming>) -> Gate {
        self.channels[index].ended = true;
        let port = self.channels[index].port;
        if self.channels.iter().all(|channel| channel.port != port || channel.ended) {
            out.push_back(Incoming::PortEnded(port));
        }
        if self.channels.iter().all(|channel| channel.ended) {
            out.push_back(Incoming::Ended);
            return Gate::Unchanged;
        }
        self.raise(out);
        self.rest(out);
        if self.aligned(out) { Gate::Release } else { Gate::Unchanged }
    }
}

/// Returns whether rows of `narrow` are rows of `wide` as they are.
fn holds(wide: &SchemaRef, narrow: &SchemaRef) -> bool {
    let pairs = || wide.fields().iter().zip(narrow.fields());
    wide.fields().len() == narrow.fields().len()
        && pairs().all(|(wide, narrow)| wide.name() == narrow.name() && wide.data_type() == narrow.data_type())
        && pairs().all(|(wide, narrow)| wide.is_nullable() || !narrow.is_nullable())
}

/// Returns the same columns under the schema that was announced for them.
fn relabelled(batch: &RecordBatch, version: &SchemaVersion) -> Result<RecordBatch, Error> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = batch.columns().to_vec();
    RecordBatch::try_new_with_options(version.schema.clone(), columns, &options).map_err(|error| {
        Error::internal(&codes::CONTRACT, "a batch does not fit the schema announced before it").caused_by(error)
    })
}

/// The inputs of one lane.
#[derive(Debug)]
pub(crate) struct Inputs {
    inbox: Arc<Inbox>,
    aligner: Aligner,
    ready: VecDeque<Incoming>,
    /// Join small batches up to this many bytes; 0 joins none.
    coalesce_bytes: usize,
}

impl Inputs {
    /// Reads an inbox through an aligner of its channels.
    pub fn new(inbox: Arc<Inbox>, aligner: Aligner, coalesce_bytes: usize) -> Inputs {
        Inputs { inbox, aligner, ready: VecDeque::new(), coalesce_bytes }
    }

    /// Returns the next thing to hear, if it is there already.
    pub fn try_next(&mut self) -> Result<Option<Incoming>, Halt> {
        while self.ready.is_empty() {
            let Some((channel, message)) = self.inbox.try_recv()? else { return Ok(None) };
            self.take(channel, message)?;
        }
        Ok(self.ready.pop_front())
    }

    /// Returns the next thing to hear.
    pub async fn next(&mut self) -> Result<Incoming, Halt> {
        loop {
            if let Some(incoming) = self.ready.pop_front() {
                return Ok(incoming);
            }
            let (channel, message) = self.inbox.recv().await?;
            self.take(channel, message)?;
        }
    }

    fn take(&mut self, channel: usize, message: Message) -> Result<(), Halt> {
        match self.aligner.take(channel, message, &mut self.ready)? {
            Gate::Unchanged => {}
            Gate::Hold => self.inbox.hold(channel),
            Gate::Release => self.inbox.release(),
        }
        if self.coalesce_bytes > 0 {
            self.coalesce(channel);
        }
        Ok(())
    }

    /// Joins a small batch with batches that wait behind it on the same channel; never waits for one.
    fn coalesce(&mut self, channel: usize) {
        let Some(Incoming::Batch(port, first, charges)) = self.ready.back_mut() else { return };
        let mut rows = first.num_rows();
        let mut bytes = batch_bytes(first);
        let (mut parts, mut more) = (vec![first.clone()], Vec::new());
        while rows < COALESCE_ROWS && bytes < self.coalesce_bytes {
            let Some(Message::Batch(batch, charge)) = self.inbox.try_recv_batch(channel) else { break };
            rows += batch.num_rows();
            bytes += batch_bytes(&batch);
            parts.push(batch);
            more.push(charge);
        }
        if parts.len() == 1 {
            return;
        }
        if let Ok(joined) = concat_batches(&parts[0].schema(), &parts) {
            *first = joined;
            charges.extend(more.into_iter().flatten());
            return;
        }
        // Their dictionaries may have more values together than a key can number; one by one they are as good.
        let port = *port;
        for (batch, charge) in parts.into_iter().skip(1).zip(more) {
            self.ready.push_back(Incoming::Batch(port, batch, charge.into_iter().collect()));
        }
    }
}

#[cfg(test)]
mod tests;
