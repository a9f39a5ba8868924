//! Operators that follow a script: what they do is drawn from a seed, and they watch how the engine calls them.
//!
//! They implement the traits of `rde-core` as any operator does and reach the engine as plans. A call the contract of the
//! traits forbids (a batch before its schema, a `next` dropped while pending, a commit of something never prepared) is a
//! violation, noted in the [`Watch`] that all operators of a run share.
//! Not here: which scripts a run has (`topology`), what must come out (`oracle`).

mod check;
pub mod rows;
mod sink;
mod source;
mod transform;
mod whole;

use std::sync::{Arc, Mutex, PoisonError};

use rde_core::{Error, Shape};

pub use check::Watch;
pub use sink::{Broken, CollectSink, Kept, Part, SinkLog, SinkScript, State};
pub use source::{ScriptedSource, SourceLog, SourceScript, SplitScript, decode_position, encode_position};
pub use transform::{Action, Closed, ScriptedTransform, TransformScript};
pub use whole::{ScriptedWhole, Whole, WholeScript};

/// Codes of the failures that scripts ask for.
pub mod codes {
    rde_core::codes! {
        /// The script of an operator asked it to fail.
        SCRIPTED = "TEST0001", "scripted failure", "A test asked for this failure.";
        /// The script of an operator asked it to refuse a row.
        REFUSED = "TEST0002", "scripted refusal", "A test asked for this row to be refused.";
    }
}

/// When an operator fails by its script: after so many calls of the kind that matters to it.
pub type FailAfter = Option<u64>;

/// Returns the error of a scripted failure, and notes it.
fn scripted_failure(watch: &Watch, operator: &str) -> Error {
    watch.fails(operator);
    Error::internal(&codes::SCRIPTED, format!("`{operator}` fails by its script"))
}

/// Returns the shape of a port whose schema has this many extra columns.
fn known(extras: usize) -> Shape {
    Shape::Known(rows::schema(extras))
}

/// Locks; a panic elsewhere is reported by the simulation already.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A value that a plan and its opened operators share with the test.
pub type Shared<T> = Arc<Mutex<T>>;
