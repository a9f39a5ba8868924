//! Gives every edge its columns: binds from sources to sinks, asks what is wanted from sinks to sources.
//!
//! The draft holds operators and edges while they are bound. An operator or edge with a fault stays in it with unknown
//! columns, so that what lies behind is still checked as far as it can be.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;
use rde_core::{
    Columns, Error, InputShape, Inputs, Kind, Lanes, OnError, OutputShape, Place, Plan, Settings, Shape, TypeNote,
    Wanted,
};

use super::builder::{Added, of_operator};
use super::ends::{EndText, list, suggest};
use super::merge::{difference, union};
use super::{BoundEdge, BoundGraph, BoundOperator, ERRORS, PortEnd, known};
use crate::{codes, error_row};

/// A graph on its way to being bound.
pub(super) struct Draft {
    pub nodes: Vec<Node>,
    pub edges: Vec<DraftEdge>,
    /// Operators from sources to sinks; those in or behind a cycle are missing.
    pub order: Vec<usize>,
    /// Operators in or behind a cycle.
    pub cyclic: Vec<usize>,
    by_id: HashMap<Arc<str>, usize>,
    lanes_max: usize,
}

/// An operator on its way to being bound.
pub(super) struct Node {
    pub added: Added,
    pub bound: BoundOperator,
    /// Its fixed input ports; `None` for inputs by edge and for broken operators.
    pub input_ports: Option<Vec<String>>,
    /// An edge to it has a fault at its receiving end.
    pub input_fault: bool,
    /// An edge from it has a fault at its sending end.
    pub output_fault: bool,
    /// The outputs as they are at run time: narrowed to what is wanted.
    run_outputs: Vec<OutputShape>,
    ins: Vec<usize>,
    outs: Vec<usize>,
}

/// An edge on its way to being bound.
pub(super) struct DraftEdge {
    pub from: DraftEnd,
    pub to: DraftEnd,
    shape: Shape,
    run_shape: Shape,
}

/// One end of an edge.
pub(super) struct DraftEnd {
    text: EndText,
    /// The operator, where it exists.
    pub operator: Option<usize>,
    /// Operator and port, once both are known.
    pub at: Option<(usize, usize)>,
    name: String,
}

impl DraftEnd {
    fn new(text: EndText, operator: Option<usize>, default: &str) -> DraftEnd {
        let name = text.port.clone().unwrap_or_else(|| default.to_owned());
        DraftEnd { text, operator, at: None, name }
    }

    /// Returns whether it is the output for failed rows.
    pub fn is_errors(&self) -> bool {
        self.text.port.as_deref() == Some(ERRORS)
    }

    fn resolve(&mut self, operator: usize, port: usize, name: &str) {
        self.at = Some((operator, port));
        name.clone_into(&mut self.name);
    }
}

impl Draft {
    /// Makes a draft without edges.
    pub fn new(added: Vec<Added>, settings: &Settings) -> Draft {
        let mut by_id = HashMap::new();
        for (index, added) in added.iter().enumerate() {
            by_id.entry(added.id.clone()).or_insert(index);
        }
        let nodes = added.into_iter().map(Node::new).collect();
        let lanes_max = settings.parallelism.max(1);
        Draft { nodes, edges: Vec::new(), order: Vec::new(), cyclic: Vec::new(), by_id, lanes_max }
    }

    /// Adds the edges and finds their operators.
    pub fn connect(&mut self, wishes: &[(String, String)], faults: &mut Vec<Error>) {
        for (index, (from, to)) in wishes.iter().enumerate() {
            let from = self.find(index, 0, EndText::parse(from), faults);
            let mut to = self.find(index, 1, EndText::parse(to), faults);
            if let Some(source) = to.operator.filter(|to| self.nodes[*to].bound.kind == Kind::Source) {
                let message = format!("an edge leads to source `{}`, which has no input", self.nodes[source].added.id);
                let fault = Error::config(&codes::NO_SUCH_SIDE, message);
                let help = "an edge is written `[from, to]`; turn it round or remove it";
                faults.push(fault.help(help).at(edge_place(index, 1, to.text.id_characters())));
                to.operator = None;
            }
            if let Some(from) = from.operator {
                self.nodes[from].outs.push(index);
            }
            if let Some(to) = to.operator {
                self.nodes[to].ins.push(index);
            }
            let unknown = Shape::Unknown("its sender has a fault".to_owned());
            self.edges.push(DraftEdge { from, to, shape: unknown.clone(), run_shape: unknown });
        }
    }

    /// Sorts the operators from sources to sinks, and reports cycles.
    pub fn order(&mut self, faults: &mut Vec<Error>) {
        let mut missing: Vec<usize> = self.nodes.iter().map(|node| self.senders(node).count()).collect();
        let mut ready: BinaryHeap<Reverse<usize>> =
            missing.iter().enumerate().filter(|(_, count)| **count == 0).map(|(index, _)| Reverse(index)).collect();
        while let Some(Reverse(index)) = ready.pop() {
            self.order.push(index);
            for edge in &self.nodes[index].outs {
                if let Some(to) = self.edges[*edge].to.operator {
                    missing[to] -= 1;
                    if missing[to] == 0 {
                        ready.push(Reverse(to));
                    }
                }
            }
        }
        self.cyclic = (0..self.nodes.len()).filter(|index| missing[*index] > 0).collect();
        if !self.cyclic.is_empty() {
            self.report_cycles(faults);
        }
    }

    /// Returns the graph and the plans.
    pub fn finish(self) -> (BoundGraph, Vec<Option<Box<dyn Plan>>>) {
        let edges = self.edges.into_iter().filter_map(|edge| {
            let end = |end: DraftEnd| {
                let index = end.at.map_or(0, |(_, port)| port);
                Some(PortEnd { operator: end.operator?, index, port: end.name })
            };
            let (from, to) = (end(edge.from)?, end(edge.to)?);
            Some(BoundEdge { from, to, shape: edge.shape, run_shape: edge.run_shape })
        });
        let edges = edges.collect();
        let (operators, plans) = self.nodes.into_iter().map(|node| (node.bound, node.added.plan)).unzip();
        (BoundGraph { operators, edges }, plans)
    }

    fn senders<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = usize> + 'a {
        node.ins.iter().filter_map(|edge| self.edges[*edge].from.operator)
    }

    fn find(&self, edge: usize, side: usize, text: EndText, faults: &mut Vec<Error>) -> DraftEnd {
        let operator = self.by_id.get(&*text.id).copied();
        if operator.is_none() {
            let message = format!("an edge names `{}`, but there is no operator of this id", text.id);
            let ids = || self.nodes.iter().map(|node| &*node.added.id);
            let help = match suggest(&text.id, ids()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the operators are {}", list(ids().take(20))),
            };
            let fault = Error::config(&codes::UNKNOWN_OPERATOR, message).help(help);
            faults.push(fault.at(edge_place(edge, side, text.id_characters())));
        }
        DraftEnd::new(text, operator, if side == 0 { "out" } else { "in" })
    }

    fn report_cycles(&self, faults: &mut Vec<Error>) {
        let mut graph = DiGraph::<(), ()>::new();
        let indices: Vec<_> = self.nodes.iter().map(|_| graph.add_node(())).collect();
        let pairs = || self.edges.iter().map(|edge| (edge.from.operator, edge.to.operator));
        for (from, to) in pairs() {
            if let (Some(from), Some(to)) = (from, to) {
                graph.add_edge(indices[from], indices[to], ());
            }
        }
        let mut cycles: Vec<Vec<usize>> =
            tarjan_scc(&graph).into_iter().map(|part| part.into_iter().map(|index| index.index()).collect()).collect();
        cycles.retain(|part| part.len() > 1 || pairs().any(|(from, to)| from == Some(part[0]) && from == to));
        cycles.iter_mut().for_each(|part| part.sort_unstable());
        cycles.sort_unstable();
        for part in cycles {
            faults.push(self.cycle_fault(&part));
        }
    }

    fn cycle_fault(&self, part: &[usize]) -> Error {
        let mut path = vec![part[0]];
        let mut last_edge = 0;
        while let Some(edge) = self.nodes[path[path.len() - 1]]
            .outs
            .iter()
            .find(|edge| self.edges[**edge].to.operator.is_some_and(|to| part.contains(&to)))
        {
            last_edge = *edge;
            let to = self.edges[*edge].to.operator.unwrap_or(part[0]);
            let start = path.iter().position(|seen| *seen == to);
            path.push(to);
            if let Some(start) = start {
                path.drain(..start);
                break;
            }
        }
        let ids: Vec<String> = path.iter().map(|index| format!("`{}`", self.nodes[*index].added.id)).collect();
        let message = format!("operators form a cycle: {}", ids.join(" → "));
        let fault = Error::config(&codes::CYCLE, message).help("remove one of its edges");
        fault.at(Place::field(format!("/edges/{last_edge}")))
    }
}

impl Node {
    fn new(added: Added) -> Node {
        let bound = BoundOperator {
            id: added.id.clone(),
            kind: added.kind,
            kind_name: added.kind_name.clone(),
            description: added.options.description.clone(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            on_error: OnError::Fail,
            lanes: 1,
            can_split: false,
            whole: false,
            bounded: true,
            broken: true,
            in_order: false,
            traits: None,
        };
        let (ins, outs) = (Vec::new(), Vec::new());
        let run_outputs = Vec::new();
        Node { added, bound, input_ports: None, input_fault: false, output_fault: false, run_outputs, ins, outs }
    }
}

/// Binds every operator, from sources to sinks.
pub(super) fn bind_all(draft: &mut Draft, faults: &mut Vec<Error>) {
    let order: Vec<usize> = draft.order.iter().chain(&draft.cyclic).copied().collect();
    for index in order {
        let inputs = draft.nodes[index].added.plan.as_ref().map(|plan| plan.inputs());
        let mut complete = true;
        match &inputs {
            Some(Inputs::Ports(ports)) => resolve_ports(draft, index, ports, faults),
            Some(Inputs::ByEdge) => complete = resolve_tables(draft, index, faults),
            None => {}
        }
        let shapes = input_shapes(draft, index, inputs.as_ref(), faults);
        bind_one(draft, index, complete.then_some(&shapes), faults);
        resolve_outputs(draft, index, faults);
    }
}

/// Gives each edge to an operator with fixed ports its port.
fn resolve_ports(draft: &mut Draft, index: usize, ports: &[String], faults: &mut Vec<Error>) {
    let id = draft.nodes[index].added.id.clone();
    for edge in draft.nodes[index].ins.clone() {
        let to = &mut draft.edges[edge].to;
        let port = match &to.text.port {
            None => (!ports.is_empty()).then_some(0),
            Some(name) => ports.iter().position(|port| port == name),
        };
        match port {
            Some(port) => to.resolve(index, port, &ports[port]),
            None => {
                let wrong = to.text.port.clone().unwrap_or_default();
                let fault = unknown_port("input", &id, &wrong, ports.iter().map(String::as_str));
                faults.push(fault.at(edge_place(edge, 1, to.text.port_characters())));
                draft.nodes[index].input_fault = true;
            }
        }
    }
    draft.nodes[index].bound.inputs = ports.to_vec();
    draft.nodes[index].input_ports = Some(ports.to_vec());
    report_duplicates(draft, index, faults);
}

fn report_duplicates(draft: &mut Draft, index: usize, faults: &mut Vec<Error>) {
    let mut seen = HashMap::new();
    for edge in draft.nodes[index].ins.clone() {
        let DraftEdge { from, to, .. } = &draft.edges[edge];
        let (Some(sender), Some(at)) = (from.operator, to.at) else { continue };
        if let Some(first) = seen.insert((sender, from.name.clone(), at), edge) {
            let message = format!("the edge from `{}` to `{}` is written twice", from.text.text, to.text.text);
            let help = format!("remove it here; edge {} is the same", first + 1);
            let fault = Error::config(&codes::DUPLICATE_EDGE, message).help(help);
            faults.push(fault.at(Place::field(format!("/edges/{edge}"))));
        }
    }
}

/// Names the tables of an operator with an input by edge. Returns whether every table is known.
fn resolve_tables(draft: &mut Draft, index: usize, faults: &mut Vec<Error>) -> bool {
    let id = draft.nodes[index].added.id.clone();
    let mut tables: Vec<(String, usize)> = Vec::new();
    let mut complete = true;
    for edge in draft.nodes[index].ins.clone() {
        let DraftEdge { from, to, .. } = &mut draft.edges[edge];
        if to.text.port.is_some() {
            let message = format!("transform `{id}` has an input for each edge to it, and none called `{}`", to.name);
            let help = format!("write `{id}` alone; the table is named by the sender");
            let fault = Error::config(&codes::NO_SUCH_SIDE, message).help(help);
            faults.push(fault.at(edge_place(edge, 1, to.text.port_characters())));
        }
        if from.operator.is_none() || (from.text.port.is_some() && from.at.is_none()) {
            complete = false;
        }
        let first_output = from.at.is_none_or(|(_, port)| port == 0) && !from.is_errors();
        let table = if first_output { from.text.id.clone() } else { format!("{}_{}", from.text.id, from.name) };
        if let Some((_, first)) = tables.iter().find(|(name, _)| *name == table) {
            let message = format!("transform `{id}`: two inputs are the table `{table}`");
            let help = format!("edge {} brings it already; remove or rename one", first + 1);
            let fault = Error::config(&codes::SAME_TABLE, message).help(help);
            faults.push(fault.at(Place::field(format!("/edges/{edge}"))));
            draft.nodes[index].input_fault = true;
            continue;
        }
        to.resolve(index, tables.len(), &table);
        tables.push((table, edge));
    }
    draft.nodes[index].bound.inputs = tables.into_iter().map(|(name, _)| name).collect();
    complete
}

/// Returns the shape of each input; edges that merge must agree.
fn input_shapes(draft: &Draft, index: usize, inputs: Option<&Inputs>, faults: &mut Vec<Error>) -> Vec<InputShape> {
    let node = &draft.nodes[index];
    let shapes = run_shapes(draft, index, |edge| &edge.shape);
    if !matches!(inputs, Some(Inputs::Ports(_))) {
        return shapes;
    }
    for (port, shape) in shapes.iter().enumerate() {
        let edges = node.ins.iter().filter(|edge| draft.edges[**edge].to.at == Some((index, port)));
        let schemas: Vec<(usize, String, &SchemaRef)> = edges
            .filter_map(|edge| Some((*edge, draft.sender_end(*edge), known(&draft.edges[*edge].shape)?)))
            .collect();
        let Some(((_, first_end, first), others)) = schemas.split_first() else { continue };
        for (edge, end, schema) in others {
            if let Some(how) = difference((first_end, first), (end, schema)) {
                let to = format!("{}.{}", node.added.id, shape.port);
                let message = format!("`{first_end}` and `{end}` merge in `{to}`, but their columns differ: {how}");
                let help = "make them agree, for example with a `sql` transform before they meet";
                let fault = Error::config(&codes::MERGE_CONFLICT, message).help(help);
                faults.push(fault.at(Place::field(format!("/edges/{edge}"))));
            }
        }
    }
    shapes
}

/// Returns the shape of each input by the edges that lead to it: one schema for those that merge, so that whoever reads them
/// hears of no change between them.
fn run_shapes(draft: &Draft, index: usize, shape_of: impl Fn(&DraftEdge) -> &Shape) -> Vec<InputShape> {
    let node = &draft.nodes[index];
    let ports = node.bound.inputs.iter().enumerate();
    let shape = |(port, name): (usize, &String)| {
        let edges: Vec<usize> =
            node.ins.iter().copied().filter(|edge| draft.edges[*edge].to.at == Some((index, port))).collect();
        let bounded =
            edges.iter().all(|edge| draft.edges[*edge].from.operator.is_none_or(|op| draft.nodes[op].bound.bounded));
        let schemas = || edges.iter().filter_map(|edge| known(shape_of(&draft.edges[*edge])));
        let shape = match union(schemas()).or_else(|| schemas().next().cloned()) {
            Some(schema) => Shape::Known(schema),
            None => edges
                .first()
                .map_or(Shape::Unknown("no edge leads to it".to_owned()), |edge| shape_of(&draft.edges[*edge]).clone()),
        };
        let from = edges.first().map(|edge| draft.sender_end(*edge)).unwrap_or_default();
        InputShape { port: name.clone(), from, shape, bounded }
    };
    ports.map(shape).collect()
}

impl Draft {
    fn sender_end(&self, edge: usize) -> String {
        format!("{}.{}", self.edges[edge].from.text.id, self.edges[edge].from.name)
    }
}

/// Binds one operator; without shapes (its tables are not all known) it stays unbound in silence.
fn bind_one(draft: &mut Draft, index: usize, shapes: Option<&Vec<InputShape>>, faults: &mut Vec<Error>) {
    let bounded = shapes.is_none_or(|shapes| shapes.iter().all(|shape| shape.bounded));
    let comes_in_order = comes_in_order(draft, index);
    let lanes_max = draft.lanes_max;
    let notes = type_notes(draft, index);
    let Node { added, bound, run_outputs, .. } = &mut draft.nodes[index];
    bound.bounded = bounded;
    let (Some(plan), Some(shapes)) = (&mut added.plan, shapes) else { return };
    plan.hear(notes);
    match plan.bind(shapes) {
        Ok(outputs) => {
            let traits = plan.traits();
            bound.broken = false;
            run_outputs.clone_from(&outputs);
            bound.outputs = outputs;
            bound.whole = traits.whole;
            bound.can_split = traits.lanes == Lanes::Many && !traits.whole;
            bound.in_order = traits.lanes == Lanes::InOrder || (comes_in_order && !traits.whole);
            bound.lanes = if bound.can_split && !comes_in_order {
                added.options.parallelism.unwrap_or(lanes_max).clamp(1, lanes_max)
            } else {
                1
            };
            if bound.kind == Kind::Source {
                bound.bounded = traits.bounded;
            }
            bound.traits = Some(traits);
        }
        Err(found) => faults.extend(of_operator(found.into_vec(), &added.id)),
    }
}

/// Returns what the operators that send to one know about the types of their columns.
fn type_notes(draft: &Draft, index: usize) -> Vec<TypeNote> {
    let froms = draft.nodes[index].ins.iter().map(|edge| &draft.edges[*edge].from);
    let senders = froms.filter(|from| !from.is_errors()).filter_map(|from| from.operator);
    let plans = senders.filter_map(|sender| draft.nodes[sender].added.plan.as_ref());
    plans.flat_map(|plan| plan.type_notes()).cloned().collect()
}

/// Returns whether an input's rows come in an order that was asked for. Edges that merge have none: their rows mix as they
/// come.
fn comes_in_order(draft: &Draft, index: usize) -> bool {
    let ins = &draft.nodes[index].ins;
    let alone = |to: &DraftEnd| ins.iter().filter(|edge| draft.edges[**edge].to.at == to.at).count() == 1;
    ins.iter().map(|edge| &draft.edges[*edge]).any(|DraftEdge { from, to, .. }| {
        let sender_in_order = from.operator.is_some_and(|from| draft.nodes[from].bound.in_order);
        sender_in_order && !from.is_errors() && alone(to)
    })
}

/// Gives each edge from an operator its port and columns.
fn resolve_outputs(draft: &mut Draft, index: usize, faults: &mut Vec<Error>) {
    let Node { added, bound, outs, .. } = &draft.nodes[index];
    let (id, broken, outputs) = (added.id.clone(), bound.broken, bound.outputs.clone());
    let kind = bound.kind;
    for edge in outs.clone() {
        let from = &mut draft.edges[edge].from;
        let wanted = from.text.port.as_deref();
        let port = match wanted {
            Some(ERRORS) => Some(outputs.len()),
            Some(name) => outputs.iter().position(|output| output.port == name),
            None => (!outputs.is_empty()).then_some(0),
        };
        let shape = match port {
            Some(port) if port == outputs.len() => {
                from.resolve(index, port, ERRORS);
                Shape::Known(error_row::schema())
            }
            Some(port) => {
                from.resolve(index, port, &outputs[port].port);
                outputs[port].shape.clone()
            }
            None if broken && kind != Kind::Sink => Shape::Unknown(format!("`{id}` has a fault")),
            None => {
                let place = edge_place(edge, 0, from.text.port_characters());
                faults.push(no_output(kind, &id, wanted, &outputs).at(place));
                draft.nodes[index].output_fault = true;
                Shape::Unknown(format!("`{id}` has no such output"))
            }
        };
        draft.edges[edge].shape = shape.clone();
        draft.edges[edge].run_shape = shape;
    }
}

fn no_output(kind: Kind, id: &str, wanted: Option<&str>, outputs: &[OutputShape]) -> Error {
    match wanted {
        Some(wrong) => {
            let names = outputs.iter().map(|output| output.port.as_str()).chain([ERRORS]);
            unknown_port("output", id, wrong, names)
        }
        None => {
            let message = format!("an edge leaves {} `{id}`, which has no output but `{ERRORS}`", kind.as_str());
            let help = format!("an edge is written `[from, to]`; turn it round, or write `{id}.{ERRORS}`");
            Error::config(&codes::NO_SUCH_SIDE, message).help(help)
        }
    }
}

fn unknown_port<'a>(side: &str, id: &str, wrong: &str, names: impl Iterator<Item = &'a str> + Clone) -> Error {
    let message = format!("`{id}` has no {side} `{wrong}`");
    let help = match suggest(wrong, names.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its {side}s are {}", list(names)),
    };
    Error::config(&codes::UNKNOWN_PORT, message).help(help)
}

fn edge_place(edge: usize, side: usize, characters: std::ops::Range<usize>) -> Place {
    Place::within(format!("/edges/{edge}/{side}"), characters)
}

/// Asks every operator, from sinks to sources, what it wants of its inputs. Returns whether a source was narrowed.
pub(super) fn pass_wanted(draft: &mut Draft, faults: &mut Vec<Error>) -> bool {
    let mut wanted: HashMap<(usize, usize), Wanted> = HashMap::new();
    let mut narrowed = false;
    for index in draft.order.clone().into_iter().rev() {
        let outputs = draft.nodes[index].bound.outputs.len();
        let mut by_output: Vec<Option<Wanted>> = vec![None; outputs];
        for edge in &draft.nodes[index].outs {
            let DraftEdge { from, to, .. } = &draft.edges[*edge];
            let (Some((_, port)), Some(at)) = (from.at, to.at) else { continue };
            let Some(slot) = by_output.get_mut(port) else { continue };
            let one = wanted.get(&at).cloned().unwrap_or_else(Wanted::all);
            *slot = Some(match slot.take() {
                Some(other) => other.union(one),
                None => one,
            });
        }
        let by_output: Vec<Wanted> = by_output.into_iter().map(|one| one.unwrap_or_else(Wanted::all)).collect();
        // A failed row goes to `errors` whole, also with the columns that nobody else reads.
        let whole_rows = draft.nodes[index].outs.iter().any(|edge| draft.edges[*edge].from.is_errors());
        let Node { added, bound, run_outputs, .. } = &mut draft.nodes[index];
        let Some(plan) = &mut added.plan else { continue };
        for (port, one) in plan.wanted(&by_output).into_iter().enumerate() {
            let columns = if whole_rows { Columns::All } else { one.columns };
            wanted.insert((index, port), Wanted { columns, ..one });
        }
        if bound.kind == Kind::Source {
            match plan.bind(&[]) {
                Ok(outputs) => {
                    narrowed |= outputs != *run_outputs;
                    *run_outputs = outputs;
                }
                Err(found) => faults.extend(of_operator(found.into_vec(), &added.id)),
            }
        }
    }
    narrowed
}

/// Binds everything behind the sources again, with the columns that the sources announce at run time.
pub(super) fn bind_again(draft: &mut Draft, faults: &mut Vec<Error>) {
    for index in draft.order.clone() {
        if draft.nodes[index].bound.kind != Kind::Source {
            let shapes = run_shapes(draft, index, |edge| &edge.run_shape);
            let Node { added, run_outputs, .. } = &mut draft.nodes[index];
            let Some(plan) = &mut added.plan else { continue };
            match plan.bind(&shapes) {
                Ok(outputs) => *run_outputs = outputs,
                Err(found) => faults.extend(of_operator(found.into_vec(), &added.id)),
            }
        }
        for edge in draft.nodes[index].outs.clone() {
            let port = draft.edges[edge].from.at.map_or(0, |(_, port)| port);
            if let Some(output) = draft.nodes[index].run_outputs.get(port) {
                draft.edges[edge].run_shape = output.shape.clone();
            }
        }
    }
}
