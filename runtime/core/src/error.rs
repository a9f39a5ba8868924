//! One error type whose kind says whose duty it is.
//!
//! Errors are cheap to clone, since the first one of a run is shown by several tasks. `Display` prints the message of
//! this error alone; [`Error::causes`] walks the chain. Messages: lower case, no full stop, the named object, user text
//! in backticks; `help` says what to do.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::Code;

/// The result of most functions here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose duty an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Edit the file or the command line.
    Config,
    /// The policy of the operator decides: fail, skip, dead-letter.
    Data,
    /// Retried with backoff until a deadline.
    Unavailable,
    /// A guest broke its contract.
    Plugin,
    /// Another runner owns this pipeline or target.
    Fenced,
    /// Report a bug.
    Internal,
}

impl ErrorKind {
    /// Returns the kind in lower case, as reports show it.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Config => "config",
            ErrorKind::Data => "data",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Plugin => "plugin",
            ErrorKind::Fenced => "fenced",
            ErrorKind::Internal => "internal",
        }
    }
}

/// Where in an operator's configuration a fault lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// JSON pointer below the operator's own fields, for example `/query` or `/schema/dep_delay`. Empty: the operator.
    pub pointer: String,
    /// Characters (not bytes) of that scalar's value.
    pub within: Option<Range<usize>>,
}

impl Place {
    /// Returns the place of one field.
    pub fn field(pointer: impl Into<String>) -> Place {
        Place { pointer: pointer.into(), within: None }
    }

    /// Returns the place of some characters of a scalar.
    pub fn within(pointer: impl Into<String>, characters: Range<usize>) -> Place {
        Place { pointer: pointer.into(), within: Some(characters) }
    }
}

/// An error with its kind, code, place, help and cause.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    code: &'static Code,
    message: String,
    help: Option<String>,
    operator: Option<Arc<str>>,
    place: Option<Place>,
    detail: Option<String>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error of a kind.
    pub fn new(kind: ErrorKind, code: &'static Code, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            code,
            message: message.into(),
            help: None,
            operator: None,
            place: None,
            detail: None,
            source: None,
        }))
    }

    /// Makes a `Config` error.
    pub fn config(code: &'static Code, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Config, code, message)
    }

    /// Makes a `Data` error.
    pub fn data(code: &'static Code, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Data, code, message)
    }

    /// Makes an `Unavailable` error.
    pub fn unavailable(code: &'static Code, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unavailable, code, message)
    }

    /// Makes a `Plugin` error.
    pub fn plugin(code: &'static Code, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Plugin, code, message)
    }

    /// Makes a `Fenced` error.
    pub fn fenced(code: &'static Code, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Fenced, code, message)
    }

    /// Makes an `Internal` error.
    pub fn internal(code: &'static Code, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal, code, message)
    }

    /// Adds what the user should do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Error {
        self.0.help = Some(help.into());
        self
    }

    /// Puts what it is about, for example a file, in front of the message.
    #[must_use]
    pub fn about(mut self, object: impl fmt::Display) -> Error {
        self.0.message = format!("{object}: {}", self.0.message);
        self
    }

    /// Adds the place in the operator's configuration.
    #[must_use]
    pub fn at(mut self, place: Place) -> Error {
        self.0.place = Some(place);
        self
    }

    /// Names the operator, unless one is named already.
    #[must_use]
    pub fn in_operator(mut self, operator: &str) -> Error {
        self.0.operator.get_or_insert_with(|| operator.into());
        self
    }

    /// Adds machine-readable detail (JSON), for example a trap's backtrace.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Error {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Returns the error with every text of it passed through `hide`; its causes become one text.
    #[must_use]
    pub fn redacted(&self, hide: impl Fn(&str) -> String) -> Error {
        let mut inner = (*self.0).clone();
        inner.message = hide(&inner.message);
        inner.help = inner.help.as_deref().map(&hide);
        inner.detail = inner.detail.as_deref().map(&hide);
        let causes = self.causes();
        if !causes.is_empty() {
            inner.source = Some(Arc::new(std::io::Error::other(hide(&causes.join(": ")))));
        }
        Error(Box::new(inner))
    }

    /// Returns whose duty it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the stable code.
    pub fn code(&self) -> &'static str {
        self.0.code.id
    }

    /// Returns what its code stands for, without anything of this one case.
    pub fn title(&self) -> &'static str {
        self.0.code.title
    }

    /// Returns the message without its causes.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns what the user should do.
    pub fn help_text(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// Returns the operator it happened in.
    pub fn operator(&self) -> Option<&str> {
        self.0.operator.as_deref()
    }

    /// Returns the place in the operator's configuration.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// Returns machine-readable detail.
    pub fn detail_text(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// Returns the messages of the chain of causes, outermost first.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: {}", self.0.kind.as_str(), self.0.code.id, self.0.message)?;
        for cause in self.causes() {
            write!(f, "; caused by: {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// Several errors found in one phase; never empty.
#[derive(Clone, Debug)]
pub struct Faults(Vec<Error>);

impl Faults {
    /// Returns `Ok` when nothing was found, else the faults.
    pub fn check(errors: Vec<Error>) -> Result<(), Faults> {
        if errors.is_empty() { Ok(()) } else { Err(Faults(errors)) }
    }

    /// Returns all of them.
    pub fn into_vec(self) -> Vec<Error> {
        self.0
    }
}

impl From<Error> for Faults {
    fn from(error: Error) -> Faults {
        Faults(vec![error])
    }
}
