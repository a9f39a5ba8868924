//! The checked configuration: what `app` builds a graph from.
//!
//! Invariant: an operator that is not `broken` has a definition and fields that its JSON Schema accepts; ids are unique.

use std::fmt;
use std::sync::Arc;

use rde_core::{Fields, Kind, OnError, OperatorSpec, Settings};

/// A pipeline as its file describes it.
#[derive(Debug)]
pub struct PipelineSpec<'r> {
    /// Its name; nothing when it is missing or not allowed, which is reported.
    pub name: Option<String>,
    /// Its settings, with defaults for those that are broken.
    pub settings: Arc<Settings>,
    /// Sources, transforms, sinks, each in the order of the file.
    pub operators: Vec<OperatorEntry<'r>>,
    /// The edges of a right form.
    pub edges: Vec<EdgeEntry>,
    /// Whether every entry is in `operators`. If not, an edge to an unknown id is no fault of its own.
    pub operators_complete: bool,
    /// Whether every edge is in `edges`. If not, a missing edge is no fault of its own.
    pub edges_complete: bool,
}

/// One operator.
pub struct OperatorEntry<'r> {
    /// Its id.
    pub id: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// Its kind key; may be empty or unknown when `broken`.
    pub kind_name: String,
    /// Its definition; there unless `broken`.
    pub spec: Option<&'r dyn OperatorSpec>,
    /// Its fields.
    pub fields: Fields,
    /// What happens to its failed rows, where written.
    pub on_error: Option<OnError>,
    /// Its upper bound of lanes, where written.
    pub parallelism: Option<usize>,
    /// What its author says of it.
    pub description: Option<String>,
    /// Whether a fault of it is reported already; it goes into the graph with unknown columns.
    pub broken: bool,
}

/// One edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeEntry {
    /// `id` or `id.port`.
    pub from: String,
    /// `id` or `id.port`.
    pub to: String,
}

impl fmt::Debug for OperatorEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorEntry")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("kind_name", &self.kind_name)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

/// Returns the section of the file that holds operators of a kind.
pub(crate) fn section(kind: Kind) -> &'static str {
    match kind {
        Kind::Source => "sources",
        Kind::Transform => "transforms",
        Kind::Sink => "sinks",
    }
}
