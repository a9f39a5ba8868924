//! Runs one lane of a fused chain: consecutive one-input transforms, called as functions.
//!
//! On the batch path between two edges. The lane hears its inputs, calls the first operator and works off what it staged,
//! deepest operator first: rows for the next operator are a call, rows for an edge are sent.
//! Invariants: a call is published as one or not at all (`RetryAfter` rewinds it); after `More` nothing else reaches the
//! operator before `more`; a control message leaves an operator behind everything it staged.
//! Not here: operators over whole inputs (`whole.rs`), which rows are set aside (`rejects.rs`).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::FutureExt;
use rde_core::{Barrier, Epoch, Error, EventTime, Flow, Message, Output, SchemaVersion, Staged, State, Transform};

use crate::codes;
use crate::coordinator::{Answer, Part};
use crate::counters::OperatorCounters;
use crate::inputs::{Incoming, Inputs};
use crate::outputs::{Outputs, batch_bytes};
use crate::rejects::Rejects;
use crate::shared::{Halt, Shared, panicked};

/// One lane of a chain.
pub(crate) struct Lane {
    shared: Arc<Shared>,
    lane: usize,
    inputs: Inputs,
    steps: Vec<Step>,
    /// The last barrier heard.
    epoch: Epoch,
    /// The step that was called last, to be named if it panics.
    current: usize,
}

/// One operator of the chain, with what it staged and nobody has taken yet.
pub(crate) struct Step {
    transform: Box<dyn Transform>,
    counters: Arc<OperatorCounters>,
    outputs: Outputs,
    rejects: Rejects,
    member: usize,
    out: Output,
    queue: VecDeque<Staged>,
    more: bool,
    then: Option<Control>,
}

/// What follows the rows of an operator on all its outputs.
#[derive(Clone, Copy, Debug)]
enum Control {
    Watermark(EventTime),
    Idle,
    Barrier(Barrier),
    Ended,
}

/// A call of a transform that can be repeated.
#[derive(Clone, Copy)]
enum Call<'a> {
    Schema(usize, &'a SchemaVersion),
    Batch(usize, &'a RecordBatch),
    Watermark(EventTime),
    End(usize),
    More,
}

impl Step {
    /// Joins an operator with its outputs; `member` names it and its lane to the coordinator.
    pub fn new(transform: Box<dyn Transform>, outputs: Outputs, rejects: Rejects, member: usize) -> Step {
        Step {
            transform,
            counters: outputs.counters.clone(),
            outputs,
            rejects,
            member,
            out: Output::new(),
            queue: VecDeque::new(),
            more: false,
            then: None,
        }
    }

    /// Calls the operator once.
    fn call(&mut self, call: Call<'_>) -> Result<Flow, Error> {
        let out = &mut self.out;
        match call {
            Call::Schema(input, schema) => self.transform.schema(input, schema, out),
            Call::Batch(input, batch) => self.transform.batch(input, batch.clone(), out),
            Call::Watermark(at) => self.transform.watermark(at, out),
            Call::End(input) => self.transform.end(input, out),
            Call::More => self.transform.more(out),
        }
    }
}

impl Lane {
    /// Makes a lane of at least one step.
    pub fn new(shared: Arc<Shared>, lane: usize, inputs: Inputs, steps: Vec<Step>, epoch: Epoch) -> Lane {
        Lane { shared, lane, inputs, steps, epoch, current: 0 }
    }

    /// Runs until the inputs end, a drain or the run's stop; closes every operator in any case, also after a panic.
    pub async fn run(mut self) -> Result<(), Halt> {
        let mut result = match AssertUnwindSafe(self.work()).catch_unwind().await {
            Ok(worked) => worked,
            Err(panic) => Err(Halt::Failed(panicked(&self.steps[self.current].counters.id, &*panic))),
        };
        for step in &mut self.steps {
            let id = &step.counters.id;
            let closed = match catch_unwind(AssertUnwindSafe(|| step.transform.close())) {
                Ok(closed) => closed.map_err(|error| error.in_operator(id)),
                Err(panic) => Err(panicked(id, &*panic)),
            };
            result = result.and(closed.map_err(Halt::Failed));
        }
        result
    }

    async fn work(&mut self) -> Result<(), Halt> {
        for step in &mut self.steps {
            step.outputs.announce_errors().await?;
        }
        loop {
            let incoming = match self.inputs.try_next()? {
                Some(incoming) => incoming,
                None => {
                    let before = self.shared.nanos();
                    let incoming = self.inputs.next().await?;
                    self.steps[0].counters.waiting_nanos.add(self.shared.nanos().saturating_sub(before));
                    incoming
                }
            };
            let last = matches!(incoming, Incoming::Ended | Incoming::Barrier(Barrier { last: true, .. }));
            self.hear(incoming).await?;
            self.settle().await?;
            if last {
                return Ok(());
            }
        }
    }

    /// Gives the first operator what came in.
    async fn hear(&mut self, incoming: Incoming) -> Result<(), Halt> {
        match incoming {
            Incoming::Schema(port, version) => self.step(0, Call::Schema(port, &version)).await,
            Incoming::Batch(port, batch, _charges) => self.take(0, port, batch).await,
            Incoming::Watermark(at) => self.control(0, Control::Watermark(at)).await,
            Incoming::Idle => self.control(0, Control::Idle).await,
            Incoming::Barrier(barrier) => self.control(0, Control::Barrier(barrier)).await,
            Incoming::PortEnded(port) => self.step(0, Call::End(port)).await,
            Incoming::Ended => {
                self.steps[0].then = Some(Control::Ended);
                Ok(())
            }
        }
    }

    /// Works off what is staged, deepest operator first, until nothing is left.
    async fn settle(&mut self) -> Result<(), Halt> {
        let mut at = 0;
        loop {
            let step = &mut self.steps[at];
            if let Some(staged) = step.queue.pop_front() {
                if self.pass(at, staged).await? {
                    at += 1;
                }
            } else if let Some(errors) = step.rejects.drain()? {
                let port = step.outputs.errors();
                step.outputs.batch(port, errors).await?;
            } else if step.more {
                self.room(at).await?;
                self.step(at, Call::More).await?;
            } else if let Some(control) = step.then.take() {
                if let Control::Ended = control {
                    self.answer(at, self.epoch.next(), true)?;
                }
                let step = &mut self.steps[at];
                step.outputs.send_to_all(&control.message()).await?;
                if at + 1 < self.steps.len() {
                    at += 1;
                    self.control(at, control).await?;
                }
            } else if at == 0 {
                return Ok(());
            } else {
                at -= 1;
            }
        }
    }

    /// Takes one staged item of an operator further. Returns whether the next operator was called.
    async fn pass(&mut self, at: usize, staged: Staged) -> Result<bool, Halt> {
        let outputs = &mut self.steps[at].outputs;
        match staged {
            Staged::Schema(port, schema, cause) => {
                if outputs.fused(port).is_none() {
                    outputs.schema(port, &schema, cause).await?;
                    return Ok(false);
                }
                let version = outputs.announce(port, &schema, cause)?;
                self.step(at + 1, Call::Schema(0, &version)).await?;
                Ok(true)
            }
            Staged::Batch(port, batch) => {
                let Some(edge) = outputs.fused(port).cloned() else {
                    outputs.batch(port, batch).await?;
                    return Ok(false);
                };
                outputs.count(port, &batch)?;
                edge.fused(batch.num_rows());
                self.take(at + 1, 0, batch).await?;
                Ok(true)
            }
            Staged::Rejected(rejected) => {
                let step = &mut self.steps[at];
                if let Some(errors) = step.rejects.take(rejected)? {
                    let port = step.outputs.errors();
                    step.outputs.batch(port, errors).await?;
                }
                Ok(false)
            }
            Staged::Watermark(_) => {
                let message = format!("transform `{}` made a watermark, which only sources do", outputs.counters.id);
                Err(Error::internal(&codes::CONTRACT, message).into())
            }
        }
    }

    /// Counts a batch and gives it to an operator.
    async fn take(&mut self, at: usize, port: usize, batch: RecordBatch) -> Result<(), Halt> {
        let bytes = batch_bytes(&batch) as u64;
        self.steps[at].counters.taken(self.lane, batch.num_rows() as u64, bytes);
        self.step(at, Call::Batch(port, &batch)).await
    }

    /// Calls an operator until it does not ask for a repetition; what it staged then stands.
    async fn step(&mut self, at: usize, call: Call<'_>) -> Result<(), Halt> {
        self.current = at;
        let Lane { shared, steps, lane, .. } = self;
        let step = &mut steps[at];
        if let Call::Batch(_, batch) = &call {
            shared.trace("lane::step", &step.counters.id, *lane, ("batch", batch.num_rows(), 0));
        }
        loop {
            let mark = step.out.mark();
            let before = shared.nanos();
            let flow = step.call(call).map_err(|error| error.in_operator(&step.counters.id));
            step.counters.busy_nanos.add(shared.nanos().saturating_sub(before));
            match flow? {
                Flow::RetryAfter(period) => {
                    step.out.rewind(mark);
                    tracing::debug!(
                        pipeline = &*shared.pipeline,
                        operator = &*step.counters.id,
                        "call will be repeated"
                    );
                    shared.sleep(period).await?;
                }
                flow => {
                    step.more = flow == Flow::More;
                    let (staged, counted) = step.out.take();
                    step.queue.extend(staged);
                    step.counters.counted(*lane, counted);
                    return Ok(());
                }
            }
        }
    }

    /// Waits until everything that an operator's next rows can reach has room.
    async fn room(&mut self, at: usize) -> Result<(), Halt> {
        for index in at..self.steps.len() {
            self.steps[index].outputs.room().await?;
        }
        Ok(())
    }

    /// Tells an operator that everything before a control message has come; the message leaves it when it is settled.
    async fn control(&mut self, at: usize, control: Control) -> Result<(), Halt> {
        match control {
            Control::Watermark(time) => self.step(at, Call::Watermark(time)).await?,
            Control::Idle => {}
            Control::Barrier(barrier) => {
                self.epoch = barrier.epoch;
                self.answer(at, barrier.epoch, false)?;
            }
            Control::Ended => self.step(at, Call::End(0)).await?,
        }
        self.steps[at].then = Some(control);
        Ok(())
    }

    fn answer(&mut self, at: usize, epoch: Epoch, ended: bool) -> Result<(), Halt> {
        self.current = at;
        let step = &mut self.steps[at];
        let state = step.transform.save(epoch).map_err(|error| error.in_operator(&step.counters.id))?;
        let part = match state {
            State::None => Part::Nothing,
            State::Bytes(bytes) => Part::State(bytes),
        };
        self.shared.answers.put(Answer::Reached { member: step.member, epoch, ended, part });
        Ok(())
    }
}

impl Control {
    fn message(self) -> Message {
        match self {
            Control::Watermark(at) => Message::Watermark(at),
            Control::Idle => Message::Idle,
            Control::Barrier(barrier) => Message::Barrier(barrier),
            Control::Ended => Message::Eos,
        }
    }
}
