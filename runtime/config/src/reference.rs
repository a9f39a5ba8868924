//! The reference.
use rde_core::{Code, Kind, OperatorSpec};
/// x
pub fn reference_markdown(_specs: &[&dyn OperatorSpec], _codes: &[&Code]) -> String { String::new() }
/// x
pub fn operator_text(_spec: &dyn OperatorSpec) -> String { String::new() }
/// x
pub fn kinds_text(_specs: &[&dyn OperatorSpec], _kind: Option<Kind>) -> String { String::new() }
