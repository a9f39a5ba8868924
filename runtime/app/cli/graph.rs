//! `rde graph`: the operators and the schema of every edge.

use std::fmt::Write;

use rde_core::{ProbeMode, Shape};
use rde_engine::{BoundEdge, BoundGraph, BoundOperator, Pipeline};

use super::output::{Exit, Style, note, result};
use super::{GraphArgs, GraphFormat};
use crate::pipeline;
use crate::runtime::Threads;

/// Longer names of columns and descriptions are cut.
const NAME_BYTES_MAX: usize = 1024;

/// Runs the command.
pub(super) fn run(args: &GraphArgs, style: &Style) -> Exit {
    let threads = match Threads::start() {
        Ok(threads) => threads,
        Err(error) => {
            note(&format!("error: cannot start threads: {error}\n"));
            return Exit::Failed;
        }
    };
    let prepared = threads.block_on(pipeline::prepare(&args.pipeline, &args.set, ProbeMode::Look, threads.runtime()));
    threads.stop();
    note(&prepared.places.render(&prepared.faults, style.diagnostics()));
    let Some(pipeline) = &prepared.pipeline else { return Exit::Usage };
    let text = match args.format {
        GraphFormat::Text => text(pipeline.graph()),
        GraphFormat::Mermaid => mermaid(pipeline.graph()),
        GraphFormat::Dot => dot(pipeline.graph()),
    };
    let printed = result(&prepared.redactor.redact(&text));
    if prepared.faults.is_empty() { printed } else { Exit::Usage }
}

/// Returns a line for each edge whose schema is not known, and so was not checked.
pub(super) fn unchecked(pipeline: &Pipeline) -> String {
    let mut text = String::new();
    let graph = pipeline.graph();
    for edge in &graph.edges {
        if let Shape::Unknown(reason) = &edge.shape {
            let _infallible = writeln!(text, "  not checked: {}: {reason}", arrow(graph, edge));
        }
    }
    text
}

fn text(graph: &BoundGraph) -> String {
    let mut text = String::new();
    for (index, operator) in graph.operators.iter().enumerate() {
        let lanes = if operator.lanes == 1 { String::new() } else { format!(", up to {} lanes", operator.lanes) };
        let kind = operator.kind.as_str();
        let about = described(operator).map(|about| format!(": {about}")).unwrap_or_default();
        let _infallible = writeln!(text, "{} ({kind} {}{lanes}){about}", operator.id, operator.kind_name);
        for edge in graph.edges.iter().filter(|edge| edge.from.operator == index) {
            let _infallible = writeln!(text, "  {}", arrow(graph, edge));
            for line in columns(&edge.shape) {
                let _infallible = writeln!(text, "      {line}");
            }
        }
    }
    text
}

fn described(operator: &BoundOperator) -> Option<String> {
    operator.description.as_deref().map(|about| rde_wasm::shown(about, NAME_BYTES_MAX).to_string())
}

fn mermaid(graph: &BoundGraph) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for operator in &graph.operators {
        let about = described(operator).map(|about| format!("<br/>{}", about.replace('"', "'"))).unwrap_or_default();
        let _infallible = writeln!(text, "  {0}[\"{0}<br/>{1}{about}\"]", operator.id, operator.kind_name);
    }
    for edge in &graph.edges {
        let label = columns(&edge.shape).join("<br/>").replace('"', "'");
        let (from, to) = (&graph.operators[edge.from.operator].id, &graph.operators[edge.to.operator].id);
        let _infallible = writeln!(text, "  {from} -->|\"{}: {label}\"| {to}", graph.end(&edge.from));
    }
    text
}

fn dot(graph: &BoundGraph) -> String {
    let mut text = "digraph pipeline {\n  rankdir=LR;\n  node [shape=box];\n".to_owned();
    for operator in &graph.operators {
        let about = described(operator)
            .map(|about| format!("\\n{}", about.replace('\\', "\\\\").replace('"', "'")))
            .unwrap_or_default();
        let _infallible = writeln!(text, "  \"{0}\" [label=\"{0}\\n{1}{about}\"];", operator.id, operator.kind_name);
    }
    for edge in &graph.edges {
        let label = columns(&edge.shape).join("\\n").replace('"', "'");
        let (from, to) = (&graph.operators[edge.from.operator].id, &graph.operators[edge.to.operator].id);
        let _infallible = writeln!(text, "  \"{from}\" -> \"{to}\" [label=\"{}\\n{label}\"];", graph.end(&edge.from));
    }
    text.push_str("}\n");
    text
}

fn columns(shape: &Shape) -> Vec<String> {
    match shape {
        Shape::Unknown(reason) => vec![format!("Unknown: {reason}")],
        Shape::Known(schema) => schema
            .fields()
            .iter()
            .map(|field| {
                let null = if field.is_nullable() { "" } else { " not null" };
                // Names come from headers and plugins, and may hold what moves a cursor.
                let name = rde_wasm::shown(field.name(), NAME_BYTES_MAX);
                format!("{name} {}{null}", rde_files::type_name(field.data_type()))
            })
            .collect(),
    }
}

fn arrow(graph: &BoundGraph, edge: &BoundEdge) -> String {
    format!("{} -> {}", graph.end(&edge.from), graph.end(&edge.to))
}
