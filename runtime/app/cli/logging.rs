//! Structured logs on standard error, filtered by `RDE_LOG`.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use super::LogFormat;
use super::output::Style;

/// Starts logging; `RDE_LOG` is a filter such as `info` or `rde_engine=debug,warn`.
pub(super) fn start(format: LogFormat, style: &Style) {
    let filter = EnvFilter::try_from_env("RDE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let registry = tracing_subscriber::registry().with(filter);
    // A second start (tests of the library) keeps the first.
    drop(match format {
        LogFormat::Text => registry.with(fmt::layer().with_writer(std::io::stderr).with_ansi(style.color)).try_init(),
        LogFormat::Json => {
            let layer = fmt::layer().json().flatten_event(true).with_span_list(false).with_current_span(true);
            registry.with(layer.with_writer(std::io::stderr)).try_init()
        }
    });
}
