//! A function that panics while rows are evaluated, as an error of the query.
//!
//! Expressions hold no state, so nothing is left half done behind a panic of theirs.
//! Invariant: a query that nobody tried ends with a fault that names it, and not as a bug of the engine.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use datafusion::common::{DataFusionError, Result};

/// What arrow and the standard library say of a column or vector that cannot be as long as is asked.
const TOO_LONG: [&str; 3] = ["offset overflow", "byte array offset overflow", "capacity overflow"];

/// Runs something and turns its panic into an error: one of the rows where they make too much at once, else a bug.
pub fn caught<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(error(&*panic)))
}

/// Turns the payload of a panic into an error.
pub fn error(panic: &(dyn Any + Send)) -> DataFusionError {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("without a message");
    if TOO_LONG.contains(&text) {
        let message = "a function makes more text or more elements than a column of one batch can hold (2 GiB): make it \
                       smaller, or lower `settings.batch_rows_max`";
        return DataFusionError::Execution(message.to_owned());
    }
    DataFusionError::Internal(format!("a function of the query panicked: {text}"))
}
