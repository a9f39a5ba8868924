//! Runs a plugin natively, without a component and without the host, and shows what it answered.
//!
//! Not on the batch path. Invariant: the plugin sees the same messages that the host would send, and the answer is put together
//! by the host's rules: kept rows, new columns, faults taken out. Not here: limits and checks, which only the host has
//! (`rde plugin test`).
//!
//! ```
//! use rde_sdk::testing::{Table, Value};
//!
//! let input = Table::new().int64("id", [Some(1), None]).text("name", [Some("a"), Some("b")]);
//! assert_eq!(input.rows(), 2);
//! assert_eq!(input.column("id"), [Value::Int(1), Value::Null]);
//! ```

mod run;
mod table;

use std::cell::RefCell;

pub use run::{Answer, Harness};
pub use table::{Table, Value};

use crate::bindings::rde::plugin::log::Level;

/// The host's clock in tests.
pub const NOW: i64 = 1_700_000_000_000;

/// A call of an import.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "named as in host.wit")]
pub enum Call {
    Log { level: Level, message: String, fields: Vec<(String, String)> },
    Message { data: Vec<u8> },
    Forward,
    Keep { bitmap: Vec<u8> },
    Pick { rows: Vec<u32> },
    Extend { kept: Option<Vec<u8>>, reuse: Vec<u32>, data: Vec<u8> },
    Expand { rows: Vec<u32>, reuse: Vec<u32>, data: Vec<u8> },
}

thread_local! {
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn record(call: Call) {
    CALLS.with_borrow_mut(|calls| calls.push(call));
}

pub(crate) fn take_calls() -> Vec<Call> {
    CALLS.with_borrow_mut(std::mem::take)
}
