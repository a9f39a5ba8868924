//! The JSON Schema of a whole configuration, for editors.
use rde_core::OperatorSpec;
/// x
pub fn pipeline_schema(_specs: &[&dyn OperatorSpec]) -> serde_json::Value { serde_json::Value::Null }
