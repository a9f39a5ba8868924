//! One lane of a plugin operator: opens guests, gives them batches, does what their answers say.
//!
//! On the batch path: the engine calls [`Lane::batch`] on a compute thread. A batch over `input_max` is cut in halves, each a
//! call of its own; a retry repeats the same call.
//! Invariant: every row that comes in is published, set aside, counted as filtered, or the run fails.
//! Not here: the crossing itself (`call.rs`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use rde_core::{
    Epoch, Error, ErrorKind, EventTime, Flow, Incarnation, Output, PluginStats, Result, SchemaVersion, State, Transform,
};
use rde_ipc::IpcError;

use crate::abi::{BatchInfo, Failure, OpenArgs, RetryHint};
use crate::artifact::Artifact;
use crate::bind::{BoundPlan, ports, settle};
use crate::call::{Bounds, Crossed, Live};
use crate::codes;
use crate::describe::{Cuts, Description};
use crate::faults::{Context, REJECTED, Refused, RowFaults};
use crate::host::Host;
use crate::instance::{Instance, Setting, start};
use crate::state::Phase;
use crate::text::shown;
use crate::trap::{Class, Trap, Who};

/// The longest wait that a plugin may ask for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The first wait where the plugin leaves it to the host; it doubles with each attempt.
const WAIT_FIRST: Duration = Duration::from_millis(100);

/// What all lanes of one operator share.
pub(crate) struct Shared {
    pub(crate) host: Arc<Host>,
    pub(crate) artifact: Arc<Artifact>,
    pub(crate) description: Arc<Description>,
    pub(crate) config: Arc<Vec<u8>>,
    pub(crate) setting: Setting,
    pub(crate) who: Who,
    pub(crate) stats: Arc<PluginStats>,
    pub(crate) incarnation: Incarnation,
    pub(crate) lanes: usize,
    /// The pipeline's `memory_max`.
    pub(crate) memory_max: usize,
    /// The pipeline's `batch_rows_max`.
    pub(crate) rows_max: usize,
    /// The outputs as bound before the run; empty where nobody has bound.
    pub(crate) outputs: Vec<String>,
    /// Numbers of calls, rising over all lanes.
    pub(crate) seq: AtomicU64,
}

/// One lane.
pub(crate) struct Lane {
    shared: Arc<Shared>,
    number: usize,
    /// The schema of each input, as announced last or else as bound.
    inputs: Vec<Option<SchemaRef>>,
    /// The schema announced at each output.
    announced: Vec<Option<SchemaRef>>,
    live: Option<Live>,
    /// A guest whose `open` asked to be repeated.
    opening: Option<Opening>,
    /// Parts of a batch that was cut, not sent yet.
    parts: VecDeque<(usize, RecordBatch)>,
    attempt: Option<Attempt>,
    /// Batches sent, to number them from 1.
    batches: u64,
}

/// A call that is repeated.
#[derive(Clone, Copy)]
struct Attempt {
    seq: u64,
    number: u32,
    waited: Duration,
}

struct Opening {
    live: Live,
    attempt: Attempt,
}

/// What became of one part of a batch.
enum Done {
    Used,
    /// It is too large for one call.
    Cut(RecordBatch),
    Again(RecordBatch, Duration),
}

impl Shared {
    fn bounds(&self) -> Bounds {
        Bounds { input_max: self.setting.limits.input_bytes(), ceiling: self.memory_max, rows_max: self.rows_max }
    }

    fn millis(&self) -> i64 {
        const EDGE: i64 = (1 << 53) - 1;
        (self.setting.runtime.clock.now_micros() / 1000).clamp(-EDGE, EDGE)
    }

    fn next_seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn trapped(&self, trap: &Trap, batch: Option<u64>) -> Error {
        self.stats.traps.fetch_add(1, Ordering::Relaxed);
        trap.error(&self.who, batch)
    }

    fn fatal(&self, phase: Phase, text: &str) -> Error {
        let text = shown(text, self.setting.limits.text_max);
        let message = format!("plugin `{}`: `{}` failed: {text}", self.who.plugin, phase.name());
        Error::plugin(&codes::FATAL, message).in_operator(&self.who.operator)
    }

    fn encoding(&self, error: IpcError) -> Error {
        Error::internal(&codes::HOST, format!("plugin `{}`: a batch cannot be sent to it", self.who.plugin))
            .in_operator(&self.who.operator)
            .caused_by(error)
    }

    /// Starts a guest and binds it.
    pub(crate) fn start(&self, inputs: &[SchemaRef], changed: bool) -> Result<(Instance, Arc<BoundPlan>)> {
        let limits = &self.setting.limits;
        let started = start(&self.host, &self.artifact, &self.setting)?;
        let mut instance = started.map_err(|trap| self.trapped(&trap, None))?;
        let ports = ports(&self.description.input_names(), inputs).map_err(|error| self.encoding(error))?;
        let answer = instance.bind(self.config.to_vec(), ports).map_err(|trap| self.trapped(&trap, None))?;
        let bound = answer.map_err(|failure| self.not_bound(failure, changed))?;
        let settled = settle(bound, &self.description, inputs, limits).and_then(|plan| self.same_outputs(plan));
        let plan = settled
            .map_err(|text| self.trapped(&Trap::found(Class::Contract, Phase::Bind, text, instance.state()), None))?;
        Ok((instance, Arc::new(plan)))
    }

    fn same_outputs(&self, plan: BoundPlan) -> Result<BoundPlan, String> {
        if self.outputs.is_empty() || plan.outputs.iter().map(|output| &output.name).eq(&self.outputs) {
            return Ok(plan);
        }
        Err("answered other outputs than it did before the run".to_owned())
    }

    fn not_bound(&self, failure: Failure, changed: bool) -> Error {
        let Failure::Reject(text) = failure else {
            return self.fatal(Phase::Bind, &failure_text(failure));
        };
        let text = shown(&text.text, self.setting.limits.text_max);
        let (code, what) = if changed {
            (&codes::SCHEMA_CHANGE, "does not accept the changed columns")
        } else {
            (&codes::REFUSED, "refuses its inputs or its configuration")
        };
        let kind = if changed { ErrorKind::Plugin } else { ErrorKind::Config };
        Error::new(kind, code, format!("plugin `{}` {what}: {text}", self.who.plugin))
            .help("the text of the plugin says what it needs")
            .in_operator(&self.who.operator)
    }

    fn open_args(&self, lane: usize) -> OpenArgs {
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let mut extras = vec![
            fact("pipeline", self.setting.pipeline.to_string()),
            fact("operator", self.who.operator.to_string()),
            fact("lane", lane.to_string()),
            fact("lanes", self.lanes.to_string()),
            fact("incarnation", self.incarnation.to_string()),
        ];
        extras.extend(self.setting.limits.names());
        OpenArgs { extras }
    }
}

impl Lane {
    pub(crate) fn new(shared: Arc<Shared>, number: usize, inputs: Vec<Option<SchemaRef>>) -> Lane {
        Lane {
            shared,
            number,
            inputs,
            announced: Vec::new(),
            live: None,
            opening: None,
            parts: VecDeque::new(),
            attempt: None,
            batches: 0,
        }
    }

    /// Replaces the guest by a new one, as it must give the same answers.
    pub(crate) fn renew(&mut self) {
        self.close_guest();
    }

    /// Opens a guest if none is, and announces the outputs whose columns are new.
    fn open(&mut self, cause: Option<&Arc<str>>, out: &mut Output) -> Result<Flow> {
        let Some(inputs) = self.inputs.iter().cloned().collect::<Option<Vec<SchemaRef>>>() else {
            return Ok(Flow::Done);
        };
        let mut opening = match self.opening.take() {
            Some(opening) => opening,
            None => {
                let (instance, plan) = self.shared.start(&inputs, !self.announced.is_empty())?;
                let live = Live::new(instance, plan, &inputs).map_err(|error| self.shared.encoding(error))?;
                Opening { live, attempt: Attempt { seq: 0, number: 1, waited: Duration::ZERO } }
            }
        };
        let args = self.shared.open_args(self.number);
        let answer = opening.live.instance.open(args, self.shared.millis());
        match answer.map_err(|trap| self.shared.trapped(&trap, None))? {
            Ok(()) => {}
            Err(Failure::Retry(hint)) => {
                let wait = self.wait(&opening.attempt, &hint);
                let wait = wait.ok_or_else(|| self.shared.fatal(Phase::Open, &hint.message.text))?;
                opening.attempt.number += 1;
                opening.attempt.waited += wait;
                self.opening = Some(opening);
                return Ok(Flow::RetryAfter(wait));
            }
            Err(failure) => return Err(self.shared.fatal(Phase::Open, &failure_text(failure))),
        }
        self.announce(&opening.live.plan, cause, out);
        self.live = Some(opening.live);
        Ok(Flow::Done)
    }

    fn announce(&mut self, plan: &BoundPlan, cause: Option<&Arc<str>>, out: &mut Output) {
        self.announced.resize(plan.outputs.len(), None);
        for (port, (output, announced)) in plan.outputs.iter().zip(&mut self.announced).enumerate() {
            if announced.as_ref() != Some(&output.schema) {
                out.schema(port, output.schema.clone(), cause.cloned());
                *announced = Some(output.schema.clone());
            }
        }
    }

    /// Sends the next part of a batch.
    fn work(&mut self, out: &mut Output) -> Result<Flow> {
        while let Some((input, batch)) = self.parts.pop_front() {
            if batch.num_rows() == 0 {
                continue;
            }
            match self.send(input, batch, out)? {
                Done::Used if self.parts.is_empty() => return Ok(Flow::Done),
                Done::Used => return Ok(Flow::More),
                Done::Again(batch, wait) => {
                    self.parts.push_front((input, batch));
                    return Ok(Flow::RetryAfter(wait));
                }
                Done::Cut(batch) => {
                    let half = batch.num_rows() / 2;
                    self.parts.push_front((input, batch.slice(half, batch.num_rows() - half)));
                    self.parts.push_front((input, batch.slice(0, half)));
                }
            }
        }
        Ok(Flow::Done)
    }

    /// Sends one batch and does what the answer says.
    fn send(&mut self, input: usize, batch: RecordBatch, out: &mut Output) -> Result<Done> {
        if self.live.is_none()
            && let Flow::RetryAfter(wait) = self.open(None, out)?
        {
            return Ok(Done::Again(batch, wait));
        }
        let attempt = self.attempt.take().unwrap_or_else(|| {
            self.batches += 1;
            Attempt { seq: self.shared.next_seq(), number: 1, waited: Duration::ZERO }
        });
        let shared = self.shared.clone();
        let Some(live) = &mut self.live else {
            let message = format!("plugin `{}` got a batch before every input had its columns", shared.who.plugin);
            return Err(Error::internal(&codes::HOST, message).in_operator(&shared.who.operator));
        };
        let info = BatchInfo {
            input: u32::try_from(input).unwrap_or(u32::MAX),
            schema_id: u32::try_from(input).unwrap_or(u32::MAX),
            rows: u32::try_from(batch.num_rows()).unwrap_or(u32::MAX),
            seq: attempt.seq,
            attempt: attempt.number,
            time: shared.millis(),
        };
        shared.setting.ticker.ensure();
        let clock = &shared.setting.runtime.clock;
        let begun = clock.elapsed();
        let crossed = live.process(info, &batch, shared.bounds(), &shared.stats);
        let crossed = crossed.map_err(|error| shared.encoding(error))?;
        let Crossed::Answered(answered) = crossed else { return self.too_large(batch, attempt, out) };
        let nanos = clock.elapsed().saturating_sub(begun).as_nanos();
        shared.stats.called(u64::try_from(nanos).unwrap_or(u64::MAX));
        match answered {
            Ok(Ok(())) => self.publish(batch, None, attempt, out),
            Ok(Err(Failure::Rows(faults))) => {
                match RowFaults::check(faults, batch.num_rows(), &shared.setting.limits) {
                    Ok(faults) => self.publish(batch, Some(&faults), attempt, out),
                    Err(Refused::Reject(text)) => Ok(self.reject(&batch, &text, attempt, out)),
                    Err(Refused::Contract(text)) => {
                        let trap = Trap::found(Class::Contract, Phase::Process, text, live.instance.state());
                        self.trapped(&trap, &batch, attempt, out)
                    }
                }
            }
            Ok(Err(Failure::Reject(text))) => Ok(self.reject(&batch, &text.text, attempt, out)),
            Ok(Err(Failure::Retry(hint))) => Ok(self.retry(batch, attempt, &hint, out)),
            Ok(Err(failure @ Failure::Fatal(_))) => Err(shared.fatal(Phase::Process, &failure_text(failure))),
            Err(trap) => self.trapped(&trap, &batch, attempt, out),
        }
    }

    fn publish(
        &mut self,
        batch: RecordBatch,
        faults: Option<&RowFaults>,
        attempt: Attempt,
        out: &mut Output,
    ) -> Result<Done> {
        let Some(live) = &mut self.live else { return Ok(Done::Used) };
        let cardinality = self.shared.description.cardinality;
        let mut batch = Some(batch);
        let published = live.publish(Phase::Process, &mut batch, faults, cardinality, self.shared.bounds(), out);
        // The batch is gone only where it was forwarded as it is, and then no row of it is set aside.
        let Some(batch) = batch else { return Ok(Done::Used) };
        if let Err(trap) = published {
            return self.trapped(&trap, &batch, attempt, out);
        }
        if let Some(faults) = faults {
            faults.set_aside(&batch, &self.context(attempt), &self.shared.setting.limits, out);
        }
        Ok(Done::Used)
    }

    /// A trap ends the run, except that one row whose output is too large is set aside.
    fn trapped(&mut self, trap: &Trap, batch: &RecordBatch, attempt: Attempt, out: &mut Output) -> Result<Done> {
        self.live = None;
        let whole = self.shared.description.cuts == Cuts::Whole;
        if trap.class == Class::Output && (batch.num_rows() == 1 || whole) {
            let text = format!("the plugin {}", trap.text);
            self.shared.stats.traps.fetch_add(1, Ordering::Relaxed);
            self.context(attempt).set_all_aside(batch, codes::TOO_LARGE.id, &text, &self.shared.setting.limits, out);
            return Ok(Done::Used);
        }
        Err(self.shared.trapped(trap, Some(self.batches)))
    }

    fn too_large(&mut self, batch: RecordBatch, attempt: Attempt, out: &mut Output) -> Result<Done> {
        let whole = self.shared.description.cuts == Cuts::Whole;
        if batch.num_rows() > 1 && !whole {
            // The guest has not seen this batch, so its number goes to the first part.
            self.attempt = Some(attempt);
            return Ok(Done::Cut(batch));
        }
        let max = crate::limits::size(self.shared.bounds().input_max);
        let text = format!("encoded for the plugin it takes more than {max} (`input_max`)");
        self.context(attempt).set_all_aside(&batch, codes::TOO_LARGE.id, &text, &self.shared.setting.limits, out);
        Ok(Done::Used)
    }

    fn reject(&mut self, batch: &RecordBatch, text: &str, attempt: Attempt, out: &mut Output) -> Done {
        if let Some(live) = &mut self.live {
            live.forget();
        }
        let text = shown(text, self.shared.setting.limits.text_max);
        self.context(attempt).set_all_aside(batch, REJECTED, &text, &self.shared.setting.limits, out);
        Done::Used
    }

    fn retry(&mut self, batch: RecordBatch, attempt: Attempt, hint: &RetryHint, out: &mut Output) -> Done {
        let Some(wait) = self.wait(&attempt, hint) else {
            let text = format!("gave up after {} attempts: {}", attempt.number, hint.message.text);
            return self.reject(&batch, &text, attempt, out);
        };
        if let Some(live) = &mut self.live {
            live.forget();
        }
        let number = attempt.number + 1;
        self.attempt = Some(Attempt { seq: attempt.seq, number, waited: attempt.waited + wait });
        Done::Again(batch, wait)
    }

    /// Returns how long to wait before the next attempt; `None` when there is none.
    fn wait(&self, attempt: &Attempt, hint: &RetryHint) -> Option<Duration> {
        let limits = &self.shared.setting.limits;
        let wait = match hint.after_ms {
            0 => WAIT_FIRST.saturating_mul(1 << (attempt.number - 1).min(16)),
            millis => Duration::from_millis(millis),
        };
        let wait = wait.min(WAIT_MAX);
        (attempt.number < limits.retry_max && attempt.waited + wait <= limits.retry_wait_max).then_some(wait)
    }

    fn context(&self, attempt: Attempt) -> Context<'_> {
        let digest = &self.shared.who.digest;
        Context { digest, batch: self.batches, seq: attempt.seq, attempt: attempt.number }
    }

    /// Closes the guest; its failure is only logged.
    fn close_guest(&mut self) {
        let Some(mut live) = self.live.take() else { return };
        let (operator, plugin) = (&*self.shared.who.operator, &*self.shared.who.plugin);
        match live.instance.close(self.shared.millis()) {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                let error = shown(&failure_text(failure), self.shared.setting.limits.text_max);
                tracing::warn!(operator, plugin, error, "plugin failed to close");
            }
            Err(trap) => {
                self.shared.stats.traps.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    operator,
                    plugin,
                    class = trap.class.name(),
                    error = trap.text,
                    "plugin trapped in close"
                );
            }
        }
    }
}

impl Transform for Lane {
    fn schema(&mut self, input: usize, schema: &SchemaVersion, out: &mut Output) -> Result<Flow> {
        if self.inputs[input].as_ref() != Some(&schema.schema) {
            self.close_guest();
            self.opening = None;
            self.inputs[input] = Some(schema.schema.clone());
        }
        if self.live.is_some() {
            return Ok(Flow::Done);
        }
        self.open(schema.cause.as_ref(), out)
    }

    fn batch(&mut self, input: usize, batch: RecordBatch, out: &mut Output) -> Result<Flow> {
        // After a retry the engine gives the whole batch again, so parts of it that are left are forgotten.
        self.parts.clear();
        self.parts.push_back((input, batch));
        self.work(out)
    }

    fn watermark(&mut self, _: EventTime, _: &mut Output) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn end(&mut self, input: usize, out: &mut Output) -> Result<Flow> {
        if self.live.is_none()
            && let Flow::RetryAfter(wait) = self.open(None, out)?
        {
            return Ok(Flow::RetryAfter(wait));
        }
        let shared = self.shared.clone();
        let Some(live) = &mut self.live else { return Ok(Flow::Done) };
        let number = u32::try_from(input).unwrap_or(u32::MAX);
        let answered = live.end_of_input(number, shared.millis(), shared.bounds());
        match answered.map_err(|trap| shared.trapped(&trap, None))? {
            Ok(()) => {
                let cardinality = shared.description.cardinality;
                live.publish(Phase::EndOfInput, &mut None, None, cardinality, shared.bounds(), out)
                    .map_err(|trap| shared.trapped(&trap, None))?;
                self.attempt = None;
                Ok(Flow::Done)
            }
            Err(Failure::Retry(hint)) => {
                live.forget();
                let attempt = self.attempt.take().unwrap_or(Attempt { seq: 0, number: 1, waited: Duration::ZERO });
                let wait = self.wait(&attempt, &hint);
                let wait = wait.ok_or_else(|| shared.fatal(Phase::EndOfInput, &hint.message.text))?;
                self.attempt = Some(Attempt { seq: 0, number: attempt.number + 1, waited: attempt.waited + wait });
                Ok(Flow::RetryAfter(wait))
            }
            Err(failure) => Err(shared.fatal(Phase::EndOfInput, &failure_text(failure))),
        }
    }

    fn more(&mut self, out: &mut Output) -> Result<Flow> {
        self.work(out)
    }

    fn save(&mut self, _: Epoch) -> Result<State> {
        Ok(State::None)
    }

    fn close(&mut self) -> Result<()> {
        self.close_guest();
        self.opening = None;
        Ok(())
    }
}

fn failure_text(failure: Failure) -> String {
    match failure {
        Failure::Reject(text) | Failure::Fatal(text) => text.text,
        Failure::Retry(hint) => hint.message.text,
        Failure::Rows(_) => "it answered failed rows where there are none".to_owned(),
    }
}
