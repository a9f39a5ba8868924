//! What leaves the process: exit codes, results on standard output, texts on standard error.
#![expect(clippy::print_stderr, reason = "the one place of the command line that prints")]

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use rde_core::{Error, ErrorKind};

/// How a command went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0
    Done,
    /// 1: whatever comes from `open` on.
    Failed,
    /// 2: the configuration or the command line is wrong.
    Usage,
    /// 3: another runner owns this pipeline or target.
    Fenced,
    /// 4: `plugin test` found a difference.
    Different,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Fenced => 3,
            Exit::Different => 4,
        })
    }
}

/// How texts look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    /// Colour on standard error.
    pub color: bool,
    /// A progress bar is shown.
    pub progress: bool,
}

impl Style {
    /// Honours `--plain`, `NO_COLOR` and whether a person looks.
    pub fn from_environment(plain: bool) -> Style {
        let terminal = std::io::stderr().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Style { color: terminal && !plain && !no_color, progress: terminal && !plain }
    }

    /// Returns the style of diagnostics.
    pub fn diagnostics(self) -> rde_config::Style {
        if self.color { rde_config::Style::Color } else { rde_config::Style::Plain }
    }
}

/// Prints a result. A closed pipe is no error: the reader has seen enough.
pub(super) fn result(text: &str) -> Exit {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            eprintln!("error: cannot write to standard output: {error}");
            Exit::Failed
        }
    }
}

/// Prints text for a person.
pub(super) fn note(text: &str) {
    let mut err = std::io::stderr().lock();
    // Nobody is left to tell when standard error is closed.
    drop(err.write_all(text.as_bytes()));
}

/// Prints an error that has no place in a file.
pub(super) fn error(error: &Error) {
    let mut text = format!("error[{}]: {}\n", error.code(), error.message());
    if let Some(operator) = error.operator().filter(|operator| !error.message().contains(&format!("`{operator}`"))) {
        text.push_str(&format!("  in operator `{operator}`\n"));
    }
    for cause in error.causes() {
        text.push_str(&format!("  caused by: {cause}\n"));
    }
    if let Some(help) = error.help_text() {
        text.push_str(&format!("  help: {help}\n"));
    }
    note(&text);
}

/// Answers a command or option that a later version has.
pub(super) fn later(what: &str) -> Exit {
    error(&later_fault(what));
    Exit::Usage
}

/// Returns the fault of what a later version does.
pub(super) fn later_fault(what: &str) -> Error {
    Error::config(&rde_core::LATER_STAGE, format!("not in this version: `{what}`"))
        .help("see `rde --help` for what this version does")
}

/// Returns the exit code of an error that ended a run.
pub(super) fn exit_of(kind: ErrorKind) -> Exit {
    if kind == ErrorKind::Fenced { Exit::Fenced } else { Exit::Failed }
}
