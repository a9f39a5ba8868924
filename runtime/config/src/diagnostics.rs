//! One fault as users see it, and the list of all faults of a configuration.
//!
//! Every fault found before a run ends here, whatever phase found it.
//! Invariant: a finished list is redacted, sorted by place, without repetitions, and holds at most [`FAULTS_MAX`]
//! faults and one line that counts the rest.
//! Not here: drawing them (`render.rs`).

use std::sync::Arc;

use rde_core::Code;
use serde::{Serialize, Serializer};

use crate::secrets::Redactor;
use crate::source::{Sources, Span};
use crate::{codes, suggest};

/// Most faults that are shown of one file.
pub const FAULTS_MAX: usize = 100;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The pipeline cannot run.
    Error,
    /// It runs, but probably not as meant.
    Warning,
}

/// One fault with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// The stable code.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Name of the file, or `--set`.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What stands beside the caret, for example a suggestion.
    pub label: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// The operator it concerns.
    pub operator: Option<String>,
    /// The characters to underline.
    pub span: Span,
}

impl Diagnostic {
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// Suggests the nearest of some words, where one is near.
    pub(crate) fn suggest<'w>(&mut self, word: &str, words: impl IntoIterator<Item = &'w str>) -> &mut Diagnostic {
        if let Some(near) = suggest::nearest(word, words) {
            self.label = Some(format!("did you mean `{near}`?"));
        }
        self
    }

    fn full_help(&self) -> Option<String> {
        match (&self.label, &self.help) {
            (Some(label), Some(help)) => Some(format!("{label} {help}")),
            (label, help) => label.clone().or_else(|| help.clone()),
        }
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            code: &'a str,
            severity: Severity,
            message: &'a str,
            file: &'a str,
            line: u32,
            column: u32,
            help: Option<String>,
            operator: Option<&'a str>,
        }
        Shown {
            code: self.code,
            severity: self.severity,
            message: &self.message,
            file: &self.file,
            line: self.line,
            column: self.column,
            help: self.full_help(),
            operator: self.operator.as_deref(),
        }
        .serialize(serializer)
    }
}

/// Makes the list that is shown: redacted, sorted by place, without repetitions, cut at [`FAULTS_MAX`] with a count.
pub fn finish(mut faults: Vec<Diagnostic>, redactor: &Redactor) -> Vec<Diagnostic> {
    faults.sort_by_key(place);
    faults.dedup_by(|a, b| a.code == b.code && place(a) == place(b) && a.message == b.message);
    let more = faults.len().saturating_sub(FAULTS_MAX);
    if more > 0 {
        let first_hidden = faults[FAULTS_MAX].clone();
        faults.truncate(FAULTS_MAX);
        let message = if more == 1 { "1 more fault".to_owned() } else { format!("{more} more faults") };
        let help = "mend those above first; the others are shown then".to_owned();
        let code = codes::TOO_MANY_FAULTS.id;
        faults.push(Diagnostic { code, message, label: None, help: Some(help), operator: None, ..first_hidden });
    }
    for fault in &mut faults {
        fault.message = redactor.redact(&fault.message).into_owned();
        fault.label = fault.label.as_ref().map(|label| redactor.redact(label).into_owned());
        fault.help = fault.help.as_ref().map(|help| redactor.redact(help).into_owned());
        fault.operator = fault.operator.as_ref().map(|operator| redactor.redact(operator).into_owned());
    }
    faults
}

/// Collects the faults of one configuration.
#[derive(Debug)]
pub(crate) struct Report {
    names: Vec<Arc<str>>,
    pub(crate) faults: Vec<Diagnostic>,
}

impl Report {
    pub(crate) fn new(sources: &Sources) -> Report {
        Report { names: sources.0.iter().map(|source| source.name.clone()).collect(), faults: Vec::new() }
    }

    pub(crate) fn add(&mut self, code: &'static Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.add_code(code.id, span, message)
    }

    pub(crate) fn add_code(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        let file = self.names.get(span.source as usize).cloned().unwrap_or_else(|| "".into());
        self.faults.push(Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            file,
            line: span.line,
            column: span.column,
            label: None,
            help: None,
            operator: None,
            span,
        });
        self.faults.last_mut().expect("one was pushed just now")
    }

    /// Returns a report that collects faults aside.
    pub(crate) fn aside(&self) -> Report {
        Report { names: self.names.clone(), faults: Vec::new() }
    }
}

fn place(fault: &Diagnostic) -> (u32, u32, u32, Severity) {
    (fault.span.source, fault.line, fault.column, fault.severity)
}
