//! What a call that did not return normally came to, and the error a user sees for it.
//!
//! Invariant: every trap has exactly one class; text of the guest in it is escaped.

use std::fmt;
use std::sync::Arc;

use rde_core::{Code, Error, ErrorKind, Place};
use serde_json::json;
use wasmtime::{PoolConcurrencyLimitError, Trap as WasmTrap, WasmBacktrace};

use crate::codes;
use crate::limits::{Limits, STACK_MAX, period, size};
use crate::state::{HostState, Phase};
use crate::text::shown;

/// Why a call ended: the classes of wit/types.wit, and `output` for `output_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Contract,
    Quota,
    Output,
    Memory,
    Time,
    Stack,
    Trap,
    Host,
}

/// Why the host ended a call.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) class: Class,
    /// Completes a sentence: "batch 3 …".
    pub(crate) text: String,
}

/// A call that trapped. The instance and its store are dead.
#[derive(Clone, Debug)]
pub(crate) struct Trap {
    pub(crate) class: Class,
    pub(crate) phase: Phase,
    pub(crate) text: String,
    frames: Vec<String>,
    log: String,
}

/// Which plugin in which operator.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) operator: Arc<str>,
    /// The plugin's name, or that of its file before `describe`.
    pub(crate) plugin: Arc<str>,
    pub(crate) digest: Arc<str>,
}

/// The last thing the plugin logged, as the cause of an error.
#[derive(Debug)]
struct LastWords(String);

/// Frames of a backtrace that are kept.
const FRAMES_MAX: usize = 32;

impl Class {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Class::Contract => "contract",
            Class::Quota => "quota",
            Class::Output => "output",
            Class::Memory => "memory",
            Class::Time => "time",
            Class::Stack => "stack",
            Class::Trap => "trap",
            Class::Host => "host",
        }
    }

    fn code(self) -> &'static Code {
        match self {
            Class::Contract => &codes::CONTRACT,
            Class::Quota => &codes::QUOTA,
            Class::Output => &codes::OUTPUT,
            Class::Memory => &codes::MEMORY,
            Class::Time => &codes::TIME,
            Class::Stack => &codes::STACK,
            Class::Trap => &codes::TRAP,
            Class::Host => &codes::HOST,
        }
    }
}

impl Trap {
    /// Classifies the error of a call, from what the host noted while it ran.
    pub(crate) fn of(error: &wasmtime::Error, phase: Phase, state: &mut HostState) -> Trap {
        let (class, text) = classify(error, phase, state);
        let frames = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
        Trap { class, phase, text, frames, log: state.log.tail() }
    }

    /// Makes a trap of something that the host found after the call had returned.
    pub(crate) fn found(class: Class, phase: Phase, text: impl Into<String>, state: &HostState) -> Trap {
        Trap { class, phase, text: text.into(), frames: Vec::new(), log: state.log.tail() }
    }

    /// Returns the error for the user; `batch` is the number of the batch in its lane, from 1.
    pub(crate) fn error(&self, who: &Who, batch: Option<u64>) -> Error {
        let subject = match (self.phase, batch) {
            (Phase::Process, Some(number)) => format!("batch {number}"),
            (Phase::Start, _) => "its start".to_owned(),
            (phase, _) => format!("`{}`", phase.name()),
        };
        let message = format!("plugin `{}`: {subject} {}", who.plugin, self.text);
        let kind = if self.class == Class::Host { ErrorKind::Unavailable } else { ErrorKind::Plugin };
        let mut error = Error::new(kind, self.class.code(), message)
            .at(Place::field("/plugin"))
            .in_operator(&who.operator)
            .detail(self.detail(who, batch));
        if let Some(help) = self.help() {
            error = error.help(help);
        }
        match self.log.lines().last() {
            Some(last) => error.caused_by(LastWords(last.to_owned())),
            None => error,
        }
    }

    /// Returns everything known, as JSON.
    pub(crate) fn detail(&self, who: &Who, batch: Option<u64>) -> String {
        json!({
            "class": self.class.name(),
            "export": self.phase.name(),
            "batch": batch,
            "plugin": &*who.plugin,
            "digest": &*who.digest,
            "backtrace": self.frames,
            "log": self.log,
        })
        .to_string()
    }

    fn help(&self) -> Option<&'static str> {
        Some(match (self.class, self.phase) {
            (Class::Memory, Phase::Process) => "raise `limits.memory_max` of this plugin, or lower `batch_rows_max`",
            (Class::Memory, _) => "raise `limits.memory_max` of this plugin",
            (Class::Time, Phase::Process | Phase::EndOfInput) => {
                "raise `limits.time_max` of this plugin if it needs the time; otherwise it has a loop that does not end"
            }
            (Class::Time, _) => "the plugin has a loop that does not end, or does too much before its first batch",
            (Class::Output, _) => "raise `limits.output_max` of this plugin, or lower `batch_rows_max`",
            (Class::Stack, _) => "look for a recursion without end in the plugin",
            (Class::Contract | Class::Quota, _) => "this is a bug in the plugin; `rde plugin test` finds such bugs",
            (Class::Trap, _) => "the detail in the report has the wasm backtrace and the plugin's last log lines",
            (Class::Host, _) => return None,
        })
    }
}

fn classify(error: &wasmtime::Error, phase: Phase, state: &mut HostState) -> (Class, String) {
    if let Some(stop) = state.call.stop.take() {
        return (stop.class, stop.text);
    }
    let trap = error.downcast_ref::<WasmTrap>();
    match trap {
        Some(WasmTrap::Interrupt) => {
            return (Class::Time, format!("took longer than {}", time_of(phase, &state.limits)));
        }
        Some(WasmTrap::StackOverflow) => {
            return (Class::Stack, format!("used more than {} of stack", size(STACK_MAX)));
        }
        _ => {}
    }
    if let Some(refused) = state.memory.refused.take() {
        return refused;
    }
    if let Some(trap) = trap {
        return (Class::Trap, format!("trapped: {trap}"));
    }
    let cause = shown(&error.root_cause().to_string(), state.limits.text_max);
    if cause.contains("fuel allocated for hostcalls") {
        let max = size(state.limits.transfer_max);
        return (Class::Quota, format!("passed more than {max} to the host in one host call (`transfer_max`)"));
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return (Class::Host, format!("found no place in the pool: {cause}"));
    }
    if phase == Phase::Start {
        return start_failed(cause);
    }
    (Class::Contract, format!("broke the component ABI: {cause}"))
}

/// A component that does not start has either asked for more than it may have, or the system refused.
fn start_failed(cause: String) -> (Class, String) {
    let asks =
        ["resource limit exceeded", "exceeds the limit", "limit of", "memory minimum size", "exceeds memory limits"];
    if asks.iter().any(|ask| cause.contains(ask)) {
        return (Class::Quota, format!("asks for more than a plugin may have: {cause}"));
    }
    (Class::Host, format!("was refused by the engine: {cause}"))
}

fn time_of(phase: Phase, limits: &Limits) -> String {
    match phase {
        Phase::Process | Phase::EndOfInput | Phase::Close => period(limits.time_max),
        _ => period(limits.open_time_max),
    }
}

fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    // The first line of its text is a heading; the names in the others are demangled.
    let text = backtrace.to_string();
    text.lines().skip(1).take(FRAMES_MAX).map(|line| shown(line.trim(), 512)).collect()
}

impl fmt::Display for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plugin logged: {}", self.0)
    }
}

impl std::error::Error for LastWords {}
