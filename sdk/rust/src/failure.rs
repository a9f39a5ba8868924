//! Failures in an author's words.
//!
//! Beside the batch path. Invariant: what is wrong with one row never costs the others. Not here: what the host does about each
//! case (`failure` in types.wit).

use std::borrow::Cow;

use rde_ipc::IpcError;

use crate::bindings::rde::plugin::types::{Failure, RetryHint, RowFault};

/// Why one row is bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// Short stable code, for counting and routing, such as `bad-amount`.
    pub code: Cow<'static, str>,
    /// Text for a person.
    pub message: Cow<'static, str>,
}

/// Bad rows of one call, those of one cause together.
#[derive(Default)]
pub(crate) struct Faults {
    groups: Vec<RowFault>,
}

impl RowError {
    /// A bad row.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        RowError { code: code.into(), message: message.into() }
    }
}

impl Failure {
    /// The whole batch, or from `bind` this configuration, does not fit.
    pub fn reject(message: impl Into<String>) -> Self {
        Failure::Reject(message.into())
    }

    /// A passing problem: the same call again, after at least so many milliseconds (0 lets the host choose).
    pub fn retry(message: impl Into<String>, after_ms: u64) -> Self {
        Failure::Retry(RetryHint { message: message.into(), after_ms })
    }

    /// Stop the operator.
    pub fn fatal(message: impl Into<String>) -> Self {
        Failure::Fatal(message.into())
    }
}

impl From<IpcError> for Failure {
    fn from(error: IpcError) -> Self {
        match error {
            // The plugin asked for what it did not plan: no batch will be better.
            IpcError::Access { .. } => Failure::Fatal(error.to_string()),
            _ => Failure::Reject(error.to_string()),
        }
    }
}

impl Faults {
    pub(crate) fn add(&mut self, row: u32, error: &RowError) {
        let same = |group: &&mut RowFault| group.code == error.code && group.message == error.message;
        match self.groups.iter_mut().rev().take(16).find(same) {
            // A column is written in the order of its rows, so this alone keeps most rows from being named twice.
            Some(group) if group.rows.last() == Some(&row) => {}
            Some(group) => group.rows.push(row),
            None => self.groups.push(RowFault {
                rows: vec![row],
                code: error.code.clone().into_owned(),
                message: error.message.clone().into_owned(),
            }),
        }
    }

    /// Ends the call: ok without bad rows, else their list with no row named twice.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        if self.groups.is_empty() {
            return Ok(());
        }
        let mut groups = std::mem::take(&mut self.groups);
        // Two columns may fail on the same rows, with the same error or with another.
        if groups.len() > 1 || !groups[0].rows.is_sorted_by(|left, right| left < right) {
            let mut seen = std::collections::BTreeSet::new();
            groups.iter_mut().for_each(|group| group.rows.retain(|row| seen.insert(*row)));
            groups.retain(|group| !group.rows.is_empty());
        }
        Err(Failure::Rows(groups))
    }
}
