//! Operators and edges, checked and bound.
//!
//! `builder.rs` collects them, `check.rs` finds what is wrong with ids and edges, `bind.rs` gives every edge its columns,
//! `footprint.rs` finds operators that touch the same files. Invariant: a graph without faults is acyclic, every input has an
//! edge and every output except `errors` leaves the operator.
//! Not here: spans in the file; faults carry JSON pointers, which `app` maps to lines.

mod bind;
mod builder;
mod check;
mod ends;
mod footprint;
mod merge;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use rde_core::{Budget, Kind, OnError, OutputShape, Plan, Settings, Shape, Traits};

pub use builder::{OperatorOptions, PipelineBuilder};

/// The name of the output that every operator has for rows that fail.
pub(crate) const ERRORS: &str = "errors";

/// A bound pipeline: its graph, and the plans that open its operators.
pub struct Pipeline {
    pub(crate) name: Arc<str>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) base: PathBuf,
    pub(crate) budget: Budget,
    pub(crate) graph: BoundGraph,
    /// In the order of `graph.operators`; `None` where the operator is broken.
    pub(crate) plans: Vec<Option<Box<dyn Plan>>>,
    pub(crate) runnable: bool,
}

impl Pipeline {
    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its settings.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Returns the graph with the shapes that are known.
    pub fn graph(&self) -> &BoundGraph {
        &self.graph
    }
}

/// Operators in the order they were added, edges in the order they were connected.
#[derive(Clone, Debug, Default)]
pub struct BoundGraph {
    /// The operators.
    pub operators: Vec<BoundOperator>,
    /// The edges whose two ends exist.
    pub edges: Vec<BoundEdge>,
}

/// An operator as it is bound.
#[derive(Clone, Debug)]
pub struct BoundOperator {
    /// Its id.
    pub id: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// The kind key, for example `csv`.
    pub kind_name: Arc<str>,
    /// What the user says of it.
    pub description: Option<String>,
    /// Its input ports in order; for operators with an input by edge the table names.
    pub inputs: Vec<String>,
    /// Its outputs in order, without `errors`.
    pub outputs: Vec<OutputShape>,
    /// What happens to rows that fail.
    pub on_error: OnError,
    /// Lanes asked for; a source may open fewer.
    pub lanes: usize,
    /// Whether it can run in several lanes, where its input comes in no order that was asked for.
    pub can_split: bool,
    /// Whether it reads whole inputs.
    pub whole: bool,
    /// Whether every source upstream (or the source itself) ends by itself.
    pub bounded: bool,
    /// Whether a fault kept it from being bound.
    pub broken: bool,
    /// Its rows come out in an order that was asked for.
    pub(crate) in_order: bool,
    pub(crate) traits: Option<Traits>,
}

/// One end of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortEnd {
    /// Index in [`BoundGraph::operators`].
    pub operator: usize,
    /// Index of the port; `errors` comes after the other outputs.
    pub index: usize,
    /// Name of the port.
    pub port: String,
}

/// An edge with what is known of its columns before a run. Sources show every column here; at run time they announce only
/// those that somebody wants.
#[derive(Clone, Debug)]
pub struct BoundEdge {
    /// The sending end.
    pub from: PortEnd,
    /// The receiving end.
    pub to: PortEnd,
    /// Its columns.
    pub shape: Shape,
    /// Its columns at run time, as far as they are known.
    pub(crate) run_shape: Shape,
}

impl BoundGraph {
    /// Returns an end as `id.port`.
    pub fn end(&self, end: &PortEnd) -> String {
        format!("{}.{}", self.operators[end.operator].id, end.port)
    }

    /// Returns the columns of an input at run time: of all edges that lead to it, as far as they are known.
    pub(crate) fn run_schema(&self, operator: usize, port: usize) -> Option<SchemaRef> {
        let leads = |edge: &&BoundEdge| edge.to.operator == operator && edge.to.index == port;
        merge::union(self.edges.iter().filter(leads).filter_map(|edge| known(&edge.run_shape)))
    }
}

/// Returns the columns, where they are known.
fn known(shape: &Shape) -> Option<&SchemaRef> {
    match shape {
        Shape::Known(schema) => Some(schema),
        Shape::Unknown(_) => None,
    }
}
