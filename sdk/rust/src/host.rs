//! The imports: the host's functions in a component, a record of the calls in a native test.
//!
//! On the batch path: the last call with a batch's results. Invariant: nothing is copied on the way to the host. Not here: what
//! is emitted when (`emit.rs`).

use crate::bindings::rde::plugin::log::Level;

/// Writes one line to the log, at most 4 KiB, with names and values.
pub fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    imp::log(level, message, fields);
}

/// Whether a line of this level would be kept: ask before building costly text.
pub fn log_enabled(level: Level) -> bool {
    imp::log_enabled(level)
}

/// Milliseconds since the Unix epoch by the host's clock, constant during a call. Not to be asked in `bind`.
pub fn now() -> i64 {
    imp::now()
}

pub(crate) use imp::{expand, extend, forward, keep, message, pick, report_panics};

#[cfg(target_arch = "wasm32")]
mod imp {
    use crate::bindings::rde::plugin::log::Level;
    use crate::bindings::rde::plugin::{clock, emit, log as host_log};

    pub(crate) use emit::{expand, extend, forward, keep, message, pick};

    pub(super) fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        host_log::write(level, message, &fields);
    }

    pub(super) fn log_enabled(level: Level) -> bool {
        host_log::enabled(level)
    }

    pub(super) fn now() -> i64 {
        clock::now()
    }

    /// Panics end the instance; their text goes to the log first, and from there into the host's error.
    pub(crate) fn report_panics() {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string(), &[]))));
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    use crate::bindings::rde::plugin::log::Level;
    use crate::testing::{Call, NOW, record};

    pub(super) fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        record(Call::Log { level, message: message.to_owned(), fields });
    }

    pub(super) fn log_enabled(_level: Level) -> bool {
        true
    }

    pub(super) fn now() -> i64 {
        NOW
    }

    pub(crate) fn message(_output: u32, _schema: u32, data: &[u8]) {
        record(Call::Message { data: data.to_vec() });
    }

    pub(crate) fn forward(_output: u32) {
        record(Call::Forward);
    }

    pub(crate) fn keep(_output: u32, bitmap: &[u8]) {
        record(Call::Keep { bitmap: bitmap.to_vec() });
    }

    pub(crate) fn pick(_output: u32, rows: &[u32]) {
        record(Call::Pick { rows: rows.to_vec() });
    }

    pub(crate) fn extend(_output: u32, _schema: u32, kept: Option<&[u8]>, reuse: &[u32], data: &[u8]) {
        record(Call::Extend { kept: kept.map(<[u8]>::to_vec), reuse: reuse.to_vec(), data: data.to_vec() });
    }

    pub(crate) fn expand(_output: u32, _schema: u32, rows: &[u32], reuse: &[u32], data: &[u8]) {
        record(Call::Expand { rows: rows.to_vec(), reuse: reuse.to_vec(), data: data.to_vec() });
    }

    pub(crate) fn report_panics() {}
}
