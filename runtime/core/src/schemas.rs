//! Numbers the schemas of every output in the order they come, with their cause.
//!
//! One per run. The engine registers what operators announce; the report lists it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;

use crate::SchemaVersion;

/// Keeps the versions of every output's schema.
#[derive(Debug, Default)]
pub struct DynamicSchemaManager {
    outputs: Mutex<BTreeMap<OutputName, Vec<Arc<SchemaVersion>>>>,
}

/// Operator and port.
type OutputName = (String, String);

impl DynamicSchemaManager {
    /// Makes one without schemas.
    pub fn new() -> DynamicSchemaManager {
        DynamicSchemaManager::default()
    }

    /// Returns the version of `schema` at an output: the number it has already, or the next one. Lanes that announce the
    /// same schema share one version.
    pub fn register(
        &self,
        operator: &str,
        port: &str,
        schema: &SchemaRef,
        cause: Option<Arc<str>>,
    ) -> Arc<SchemaVersion> {
        let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        let versions = outputs.entry((operator.to_owned(), port.to_owned())).or_default();
        if let Some(known) = versions.iter().rev().find(|known| &known.schema == schema) {
            return known.clone();
        }
        let version = u32::try_from(versions.len()).unwrap_or(u32::MAX).saturating_add(1);
        let entry = Arc::new(SchemaVersion { version, schema: schema.clone(), cause });
        versions.push(entry.clone());
        entry
    }

    /// Returns every version as (operator, port, version), sorted by output and number.
    pub fn all(&self) -> Vec<(String, String, Arc<SchemaVersion>)> {
        let outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        let list = outputs.iter().flat_map(|((operator, port), versions)| {
            versions.iter().map(|version| (operator.clone(), port.clone(), version.clone()))
        });
        list.collect()
    }
}
