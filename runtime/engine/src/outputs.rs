//! Sends what one lane made on its outputs: counts it, charges it once, gives it to the lanes that follow.
//!
//! A fan-out copies the reference, not the rows; the charge is shared. Batches go round robin where the receiver has other
//! lanes than the sender; schemas, watermarks, barriers and ends go to all of them.
//! Invariant: a batch is behind its schema on every channel.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use rde_core::{Error, Kind, Message, SchemaVersion};

use crate::counters::{EdgeCounters, OperatorCounters};
use crate::edge::{CONTROL_BYTES, Sender};
use crate::shared::{Halt, Shared};
use crate::{codes, error_row, trace};

/// The outputs of one operator in one lane; `errors` is the last port.
pub(crate) struct Outputs {
    pub shared: Arc<Shared>,
    pub counters: Arc<OperatorCounters>,
    pub lane: usize,
    ports: Vec<Port>,
}

/// One output.
pub(crate) struct Port {
    pub name: Arc<str>,
    pub edges: Vec<OutEdge>,
    /// The edge inside a fused chain, where this port has one.
    pub fused: Option<Arc<EdgeCounters>>,
    schema: Option<Arc<SchemaVersion>>,
}

/// One edge from this lane to the lanes of the receiver.
pub(crate) struct OutEdge {
    targets: Vec<Sender>,
    next: usize,
}

impl Port {
    /// Makes a port without edges.
    pub fn new(name: Arc<str>) -> Port {
        Port { name, edges: Vec::new(), fused: None, schema: None }
    }

    /// Adds an edge.
    pub fn connect(&mut self, targets: Vec<Sender>) {
        self.edges.push(OutEdge { targets, next: 0 });
    }
}

impl Outputs {
    /// Joins the ports, `errors` last.
    pub fn new(shared: Arc<Shared>, counters: Arc<OperatorCounters>, lane: usize, ports: Vec<Port>) -> Outputs {
        Outputs { shared, counters, lane, ports }
    }

    /// Returns the index of `errors`.
    pub fn errors(&self) -> usize {
        self.ports.len() - 1
    }

    /// Announces the schema of error rows, which is always the same and in no report.
    pub async fn announce_errors(&mut self) -> Result<(), Halt> {
        let version = Arc::new(SchemaVersion { version: 1, schema: error_row::schema(), cause: None });
        let errors = self.errors();
        self.ports[errors].schema = Some(version.clone());
        self.send_to_all_of(errors, &Message::Schema(version)).await
    }

    /// Registers a schema that the operator announced on a port.
    pub fn announce(
        &mut self,
        port: usize,
        schema: &SchemaRef,
        cause: Option<Arc<str>>,
    ) -> Result<Arc<SchemaVersion>, Halt> {
        let port = self.port(port)?;
        let version = self.shared.schemas.register(&self.counters.id, &self.ports[port].name, schema, cause);
        self.ports[port].schema = Some(version.clone());
        Ok(version)
    }

    /// Counts a batch for a port; a batch before its schema is the operator's fault.
    pub fn count(&self, port: usize, batch: &RecordBatch) -> Result<(), Halt> {
        let index = self.port(port)?;
        if self.ports[index].schema.is_none() {
            let message =
                format!("operator `{}` put rows on `{}` before their schema", self.counters.id, self.ports[index].name);
            return Err(Error::internal(&codes::CONTRACT, message).into());
        }
        let rows = batch.num_rows() as u64;
        self.counters.rows_by_output[index].add(rows);
        if index != self.errors() {
            self.counters.rows_out.add(rows);
            if self.counters.kind == Kind::Source {
                self.counters.batches.add(1);
            }
        }
        Ok(())
    }

    /// Returns the edge inside the chain that starts at a port.
    pub fn fused(&self, port: usize) -> Option<&Arc<EdgeCounters>> {
        self.ports.get(port).and_then(|port| port.fused.as_ref())
    }

    /// Announces a schema and sends it.
    pub async fn schema(&mut self, port: usize, schema: &SchemaRef, cause: Option<Arc<str>>) -> Result<(), Halt> {
        let known = self.ports.get(port).and_then(|port| port.schema.as_ref());
        if known.is_some_and(|known| &known.schema == schema) {
            return Ok(());
        }
        let version = self.announce(port, schema, cause)?;
        self.send_to_all_of(port, &Message::Schema(version)).await
    }

    /// Counts, charges and sends a batch.
    pub async fn batch(&mut self, port: usize, batch: RecordBatch) -> Result<(), Halt> {
        self.count(port, &batch)?;
        if self.ports[port].edges.is_empty() {
            return Ok(());
        }
        let bytes = batch_bytes(&batch).max(CONTROL_BYTES);
        self.check_size(bytes)?;
        let message = Message::Batch(batch, Some(Arc::new(self.counters.budget.charge(bytes))));
        let (last, before) = {
            let count = self.ports[port].edges.len();
            (count - 1, 0..count - 1)
        };
        for edge in before {
            self.send(port, edge, message.clone(), bytes).await?;
        }
        self.send(port, last, message, bytes).await
    }

    /// Sends a watermark, barrier or end on every output.
    pub async fn send_to_all(&mut self, message: &Message) -> Result<(), Halt> {
        for port in 0..self.ports.len() {
            self.send_to_all_of(port, message).await?;
        }
        Ok(())
    }

    /// Waits until every channel has room for something.
    pub async fn room(&self) -> Result<(), Halt> {
        for sender in self.senders() {
            sender.room(CONTROL_BYTES).await?;
        }
        Ok(())
    }

    /// Calls the operator; the time counts as busy.
    pub fn timed<T>(&self, call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let before = self.shared.nanos();
        let result = call().map_err(|error| error.in_operator(&self.counters.id));
        self.counters.busy_nanos.add(self.shared.nanos().saturating_sub(before));
        result
    }

    /// Returns whether nothing that this lane sent still waits on an edge.
    pub fn all_taken(&self) -> bool {
        self.senders().all(Sender::is_empty)
    }

    fn senders(&self) -> impl Iterator<Item = &Sender> {
        self.ports.iter().flat_map(|port| port.edges.iter().flat_map(|edge| edge.targets.iter()))
    }

    async fn send_to_all_of(&mut self, port: usize, message: &Message) -> Result<(), Halt> {
        for edge in 0..self.ports[port].edges.len() {
            for target in 0..self.ports[port].edges[edge].targets.len() {
                let sender = self.ports[port].edges[edge].targets[target].clone();
                self.put(&sender, message.clone(), CONTROL_BYTES).await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, port: usize, edge: usize, message: Message, bytes: usize) -> Result<(), Halt> {
        let edge = &mut self.ports[port].edges[edge];
        let sender = edge.targets[edge.next].clone();
        edge.next = if edge.next + 1 == edge.targets.len() { 0 } else { edge.next + 1 };
        self.put(&sender, message, bytes).await
    }

    /// Puts a message on a channel; waiting time counts as the operator's.
    async fn put(&self, sender: &Sender, message: Message, bytes: usize) -> Result<(), Halt> {
        self.shared.trace("edge::try_send", &self.counters.id, self.lane, trace::describe(&message));
        let Some(mut message) = sender.try_send(message, bytes)? else { return Ok(()) };
        let before = self.shared.nanos();
        loop {
            sender.room(bytes).await?;
            match sender.try_send(message, bytes)? {
                Some(back) => message = back,
                None => break,
            }
        }
        self.counters.waiting_nanos.add(self.shared.nanos().saturating_sub(before));
        Ok(())
    }

    fn check_size(&self, bytes: usize) -> Result<(), Halt> {
        let most = self.shared.settings.memory_max.bytes();
        if bytes <= most {
            return Ok(());
        }
        let message =
            format!("operator `{}` made a batch of {bytes} bytes, more than `memory_max` ({most})", self.counters.id);
        let help = "raise `settings.memory_max`, or lower `batch_rows_max` or `batch_bytes_max`";
        Err(Error::config(&codes::MESSAGE_TOO_LARGE, message).help(help).into())
    }

    fn port(&self, port: usize) -> Result<usize, Halt> {
        if port < self.ports.len() {
            return Ok(port);
        }
        let message = format!("operator `{}` used its output {port}, which it does not have", self.counters.id);
        Err(Error::internal(&codes::CONTRACT, message).into())
    }
}

/// Returns the bytes of the rows of a batch. Parts of larger buffers count as parts, so that a one-row slice is not charged
/// as the whole it was cut from.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| array_bytes(column)).sum()
}

fn array_bytes(array: &dyn Array) -> usize {
    let length = array.len();
    let validity = if array.nulls().is_some() { length.div_ceil(8) } else { 0 };
    let span = |first: usize, last: usize, width: usize| last.saturating_sub(first) + (length + 1) * width;
    let offsets32 = |offsets: &[i32]| span(offsets[0] as usize, offsets[length] as usize, 4);
    let offsets64 = |offsets: &[i64]| span(offsets[0] as usize, offsets[length] as usize, 8);
    let values = match array.data_type() {
        DataType::Boolean => length.div_ceil(8),
        DataType::Utf8 => offsets32(array.as_string::<i32>().value_offsets()),
        DataType::Binary => offsets32(array.as_binary::<i32>().value_offsets()),
        DataType::LargeUtf8 => offsets64(array.as_string::<i64>().value_offsets()),
        DataType::LargeBinary => offsets64(array.as_binary::<i64>().value_offsets()),
        other => match other.primitive_width() {
            Some(width) => length * width,
            None => {
                let data = array.to_data();
                return data.get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size());
            }
        },
    };
    values + validity
}
