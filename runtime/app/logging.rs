//! Structured logs on standard error, filtered by `RDE_LOG`.
//!
//! Invariant: once a pipeline file was read, none of its secrets is in a line.

use std::io::{self, Write};
use std::sync::{PoisonError, RwLock};

use rde_config::Redactor;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// What no line may show: logs are the process's, and so are its secrets.
static SECRETS: RwLock<Option<Redactor>> = RwLock::new(None);

/// Starts logging; `RDE_LOG` is a filter such as `info` or `rde_engine=debug,warn`.
pub(crate) fn start(json: bool, color: bool) {
    let given = std::env::var_os("RDE_LOG").map(|_| EnvFilter::try_from_env("RDE_LOG"));
    let (filter, unreadable) = match given {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new("warn"), Some(error)),
        None => (EnvFilter::new("warn"), None),
    };
    let registry = tracing_subscriber::registry().with(filter);
    let started = if json {
        let layer = fmt::layer().json().flatten_event(true).with_span_list(false).with_current_span(true);
        registry.with(layer.with_writer(|| Redacted)).try_init()
    } else {
        registry.with(fmt::layer().with_writer(|| Redacted).with_ansi(color)).try_init()
    };
    // A second start (tests of the library) keeps the first.
    drop(started);
    if let Some(error) = unreadable {
        let help = "write a level such as `info`, or targets with levels such as `rde_engine=debug,warn`";
        tracing::warn!(%error, "RDE_LOG cannot be read, so warnings and errors are logged; {help}");
    }
}

/// Hides the secrets of a pipeline from now on.
pub(crate) fn hide(secrets: &Redactor) {
    *SECRETS.write().unwrap_or_else(PoisonError::into_inner) = Some(secrets.clone());
}

/// Standard error without secrets. The subscriber writes every event in one piece.
struct Redacted;

impl Write for Redacted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let secrets = SECRETS.read().unwrap_or_else(PoisonError::into_inner);
        match secrets.as_ref().filter(|secrets| !secrets.is_empty()) {
            Some(secrets) => {
                let text = String::from_utf8_lossy(bytes);
                io::stderr().lock().write_all(secrets.redact(&text).as_bytes())?;
            }
            None => io::stderr().lock().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
