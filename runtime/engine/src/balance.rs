//! The equations between the counts of a run (contract: "The counts balance").
//!
//! Pure. On a completed run an equation that does not hold is a defect, and fails the run.

use rde_core::{Balance, Kind};

use crate::counters::{Count, Counters, OperatorCounters};
use crate::graph::{BoundGraph, BoundOperator};

/// What does not balance, by operator; an edge or output that does not counts at its sender.
pub(crate) struct Balanced {
    /// For each operator whether its equation holds; `None` where there is none.
    pub operators: Vec<Option<bool>>,
    /// Sentences for the error.
    pub faults: Vec<String>,
}

/// Checks every operator and edge.
pub(crate) fn check(graph: &BoundGraph, counters: &Counters) -> Balanced {
    let mut faults = Vec::new();
    let mut operators = Vec::new();
    for (index, (bound, counts)) in graph.operators.iter().zip(&counters.operators).enumerate() {
        let equation = equation(bound, counts);
        operators.push(equation.as_ref().map(|(left, right)| left == right));
        if let Some((left, right)) = equation.filter(|(left, right)| left != right) {
            faults.push(format!("operator `{}` took {left} rows and accounts for {right}", bound.id));
        }
        inputs(graph, counters, index, &mut faults);
    }
    for (bound, counts) in graph.edges.iter().zip(&counters.edges) {
        let (sent, received) = (counts.rows_sent.get(), counts.rows_received.get());
        if sent != received {
            faults.push(format!("edge `{}` to `{}` carried {sent} rows, {received} arrived", counts.from, counts.to));
        }
        let made = counters.operators[bound.from.operator].rows_by_output.get(bound.from.index).map_or(0, Count::get);
        if made != sent {
            faults
                .push(format!("output `{}` made {made} rows, {sent} left on the edge to `{}`", counts.from, counts.to));
        }
    }
    Balanced { operators, faults }
}

/// Returns both sides of an operator's equation.
fn equation(bound: &BoundOperator, counts: &OperatorCounters) -> Option<(u64, u64)> {
    let aside = counts.rows_rejected.get() + counts.rows_skipped.get();
    let free = bound.traits.is_none_or(|traits| traits.balance == Balance::Free || traits.whole);
    match bound.kind {
        _ if free => None,
        Kind::Source => Some((counts.rows_read.get(), counts.rows_out.get() + counts.rows_filtered.get() + aside)),
        Kind::Transform => Some((counts.rows_in.get(), counts.rows_out.get() + counts.rows_filtered.get() + aside)),
        Kind::Sink => Some((counts.rows_in.get(), counts.rows_committed.get() + counts.rows_abandoned.get() + aside)),
    }
}

fn inputs(graph: &BoundGraph, counters: &Counters, index: usize, faults: &mut Vec<String>) {
    let edges = graph.edges.iter().zip(&counters.edges).filter(|(edge, _)| edge.to.operator == index);
    let received: u64 = edges.map(|(_, counts)| counts.rows_received.get()).sum();
    let taken = counters.operators[index].rows_in.get();
    if received != taken {
        faults.push(format!("operator `{}` took {taken} of {received} rows that arrived", graph.operators[index].id));
    }
}
