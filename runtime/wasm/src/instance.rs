//! One live guest: its store, its functions, and the one way into it.
//!
//! On the batch path: [`Instance::process`] is the crossing from host to guest.
//! Invariant: no guest code runs except through [`Instance::enter`], which sets deadline and quota, and after whose failure
//! the instance is never entered again.
//! Not here: what answers mean (`call.rs`, `plan.rs`).

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use rde_core::{Budget, Runtime};
use rde_ipc::{Decoder, IpcError};
use wasmtime::Store;

use crate::abi::{BatchInfo, Bound, Failure, Functions, OpenArgs, Port, Sent};
use crate::artifact::{Artifact, Ready};
use crate::bind::{BoundPlan, Origin};
use crate::host::Host;
use crate::limits::{Limits, POOLED_MEMORY_MAX};
use crate::log::CallLog;
use crate::state::{HostState, Phase};
use crate::ticker::Held;
use crate::trap::{Class, Trap};

/// What every instance of one operator shares.
pub(crate) struct Setting {
    pub(crate) limits: Arc<Limits>,
    pub(crate) budget: Budget,
    pub(crate) runtime: Runtime,
    pub(crate) ticker: Held,
    pub(crate) pipeline: Arc<str>,
    pub(crate) operator: Arc<str>,
    pub(crate) plugin: Arc<str>,
}

/// A guest in a store of its own.
pub(crate) struct Instance {
    store: Store<HostState>,
    functions: Functions,
    dead: bool,
}

/// Starts a guest of an artifact: from the pool where its memory fits and a place is free, else mapped on demand.
pub(crate) fn start(
    host: &Host,
    artifact: &Artifact,
    setting: &Setting,
) -> rde_core::Result<std::result::Result<Instance, Trap>> {
    let memory_max = setting.limits.memory_max;
    let ready = artifact.ready(memory_max, host.engines(), &setting.plugin)?;
    let ticks = &host.engines().ticks;
    match Instance::start(ready, setting, ticks) {
        Err(trap) if trap.class == Class::Host && memory_max <= POOLED_MEMORY_MAX => {
            let ready = artifact.ready(usize::MAX, host.engines(), &setting.plugin)?;
            Ok(Instance::start(ready, setting, ticks))
        }
        started => Ok(started),
    }
}

/// What an export answered.
pub(crate) type Answered<T = ()> = Result<Result<T, Failure>, Trap>;

impl Instance {
    /// Starts a guest, running its start functions.
    pub(crate) fn start(ready: &Ready, setting: &Setting, ticks: &Arc<AtomicU64>) -> Result<Instance, Trap> {
        setting.ticker.ensure();
        let limits = &setting.limits;
        let log = CallLog::new(
            setting.runtime.clock.clone(),
            limits.clone(),
            setting.pipeline.clone(),
            setting.operator.clone(),
            setting.plugin.clone(),
        );
        let mut store =
            Store::new(ready.pre.engine(), HostState::new(limits.clone(), setting.budget.clone(), log, ticks.clone()));
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_trap();
        store.set_epoch_deadline(Limits::ticks(limits.open_time_max));
        store.data_mut().set_deadline(Limits::ticks(limits.open_time_max));
        store.set_hostcall_fuel(limits.transfer_max);
        store.set_max_component_handles(limits.handles_max);
        let started =
            ready.pre.instantiate(&mut store).and_then(|instance| ready.exports.functions(&instance, &mut store));
        match started {
            Ok(functions) => Ok(Instance { store, functions, dead: false }),
            Err(error) => Err(Trap::of(&error, Phase::Start, store.data_mut())),
        }
    }

    /// Calls `describe`.
    pub(crate) fn describe(&mut self) -> Result<Vec<u8>, Trap> {
        let (limits, max) = (self.limits(), self.limits().describe_max);
        // The list is refused before it is copied, since the quota is that of this call.
        self.store.set_hostcall_fuel(max);
        let answer = self.enter(Phase::Describe, limits.open_time_max, 0, None, 0, |store, functions| {
            functions.describe.call(store, ())
        });
        self.store.set_hostcall_fuel(limits.transfer_max);
        match answer {
            Ok((bytes,)) => Ok(bytes),
            Err(mut trap) if trap.class == Class::Quota && trap.text.contains("transfer_max") => {
                trap.text = "answered more than 1MiB".to_owned();
                trap.class = Class::Contract;
                Err(trap)
            }
            Err(trap) => Err(trap),
        }
    }

    /// Calls `bind`.
    pub(crate) fn bind(&mut self, config: Vec<u8>, ports: Vec<Port>) -> Answered<Bound> {
        let limits = self.limits();
        self.enter(Phase::Bind, limits.open_time_max, 0, None, 0, |store, functions| {
            functions.bind.call(store, (config, ports))
        })
        .map(|(answer,)| answer)
    }

    /// Takes over what `bind` settled, so that `emit` can check against it.
    pub(crate) fn bound(&mut self, plan: Arc<BoundPlan>) -> Result<(), IpcError> {
        let state = self.store.data_mut();
        let decoders = plan.outputs.iter().map(|output| {
            let schema: Option<&SchemaRef> = match &output.origin {
                Origin::SameAs(_) => None,
                Origin::Derived { added, .. } => Some(added).filter(|added| !added.fields().is_empty()),
                Origin::Full => Some(&output.schema),
            };
            schema.map(|schema| Decoder::new(schema.clone(), state.pool.clone())).transpose()
        });
        state.decoders = decoders.collect::<Result<_, _>>()?;
        state.plan = Some(plan);
        Ok(())
    }

    /// Calls `open`.
    pub(crate) fn open(&mut self, args: OpenArgs, millis: i64) -> Answered {
        let limits = self.limits();
        self.enter(Phase::Open, limits.open_time_max, millis, None, 0, |store, functions| {
            functions.open.call(store, (args,))
        })
        .map(|(answer,)| answer)
    }

    /// Calls `process` with one batch.
    pub(crate) fn process(&mut self, info: BatchInfo, sent: Sent<'_>, output_max: usize) -> Answered {
        let time_max = self.store.data().limits.time_max;
        let batch = (info.input as usize, info.rows as usize);
        self.enter(Phase::Process, time_max, info.time, Some(batch), output_max, |store, functions| {
            functions.process.call(store, (info, sent))
        })
        .map(|(answer,)| answer)
    }

    /// Calls `end-of-input`.
    pub(crate) fn end_of_input(&mut self, input: u32, millis: i64, output_max: usize) -> Answered {
        let time_max = self.store.data().limits.time_max;
        self.enter(Phase::EndOfInput, time_max, millis, None, output_max, |store, functions| {
            functions.end_of_input.call(store, (input,))
        })
        .map(|(answer,)| answer)
    }

    /// Calls `close`, unless the guest has trapped.
    pub(crate) fn close(&mut self, millis: i64) -> Answered {
        if self.dead {
            return Ok(Ok(()));
        }
        let time_max = self.store.data().limits.time_max;
        self.enter(Phase::Close, time_max, millis, None, 0, |store, functions| functions.close.call(store, ()))
            .map(|(answer,)| answer)
    }

    pub(crate) fn state(&self) -> &HostState {
        self.store.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut HostState {
        self.store.data_mut()
    }

    fn limits(&self) -> Arc<Limits> {
        self.store.data().limits.clone()
    }

    /// The one way into a guest. Calls are plain calls on the caller's thread; a later version may run them on a fiber here
    /// and nowhere else.
    fn enter<R>(
        &mut self,
        phase: Phase,
        time_max: Duration,
        millis: i64,
        batch: Option<(usize, usize)>,
        output_max: usize,
        call: impl FnOnce(&mut Store<HostState>, &Functions) -> wasmtime::Result<R>,
    ) -> Result<R, Trap> {
        let state = self.store.data_mut();
        state.call.begin(phase, millis, batch, output_max);
        state.log.begin();
        state.memory.refused = None;
        state.set_deadline(Limits::ticks(time_max));
        self.store.set_epoch_deadline(Limits::ticks(time_max));
        call(&mut self.store, &self.functions).map_err(|error| {
            self.dead = true;
            Trap::of(&error, phase, self.store.data_mut())
        })
    }
}
