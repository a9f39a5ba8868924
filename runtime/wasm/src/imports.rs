//! What a guest may call: `emit` (in `emit.rs`), `log` and `clock`.
//!
//! Invariant: every import counts as a host call first, which also looks at the call's time, since a guest without loops does
//! not; and it answers by the phase of the running export.

use tracing::Level;
use wasmtime::component::{ComponentType, Lift, Linker, WasmList};
use wasmtime::{Result, StoreContextMut};

use crate::abi::Text;
use crate::emit;
use crate::log::CallLog;
use crate::state::{HostState, Phase};
use crate::trap::Class;

/// `log.level`.
#[expect(dead_code, reason = "only guests make these, by their numbers")]
#[derive(ComponentType, Lift, Clone, Copy, Debug)]
#[component(enum)]
#[repr(u8)]
enum LogLevel {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl LogLevel {
    fn level(self) -> Level {
        match self {
            LogLevel::Trace => Level::TRACE,
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Info => Level::INFO,
            LogLevel::Warn => Level::WARN,
            LogLevel::Error => Level::ERROR,
        }
    }
}

/// Fields of a log line that are looked at.
const LOG_FIELDS_MAX: usize = 64;

/// Gives a linker every import of world `transform`.
pub(crate) fn add(linker: &mut Linker<HostState>) -> Result<()> {
    emit::add(linker)?;
    let mut log = linker.instance("rde:plugin/log@0.1.0")?;
    log.func_wrap("enabled", |mut cx: StoreContextMut<'_, HostState>, (level,): (LogLevel,)| {
        cx.data_mut().host_call()?;
        Ok((CallLog::enabled(level.level()),))
    })?;
    log.func_wrap("write", log_write)?;
    let mut clock = linker.instance("rde:plugin/clock@0.1.0")?;
    clock.func_wrap("now", |mut cx: StoreContextMut<'_, HostState>, (): ()| {
        let state = cx.data_mut();
        state.host_call()?;
        if matches!(state.call.phase, Phase::Start | Phase::Describe | Phase::Bind) {
            return Err(state.stop(Class::Contract, "called `clock.now`, which only answers from `open` on"));
        }
        Ok((state.call.millis,))
    })
}

type Fields = WasmList<(Text, Text)>;

fn log_write(mut cx: StoreContextMut<'_, HostState>, (level, message, fields): (LogLevel, Text, Fields)) -> Result<()> {
    cx.data_mut().host_call()?;
    let line_max = cx.data().limits.log_line_max;
    let mut line = cut(&message.text, line_max).to_owned();
    for index in 0..fields.len().min(LOG_FIELDS_MAX) {
        if line.len() >= line_max {
            break;
        }
        let Some(field) = fields.get(&mut cx, index) else { break };
        let (name, value) = field?;
        line.push(' ');
        line.push_str(cut(&name.text, line_max));
        line.push('=');
        line.push_str(cut(&value.text, line_max));
    }
    cx.data_mut().log.write(level.level(), &line);
    Ok(())
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}
