//! Turns a graph and open operators into lanes joined by channels: which transforms are fused, who sends to whom.
//!
//! Equal numbers of lanes are joined one to one; else every lane of the sender has a channel to every lane of the receiver.
//! Invariant: each channel has one sender and one receiver, so its order is the sender's.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures::future::BoxFuture;
use rde_core::{Epoch, Joining, Kind, Work};

use crate::coordinator::Member;
use crate::counters::Counters;
use crate::edge::Inbox;
use crate::graph::{BoundEdge, BoundGraph, ERRORS};
use crate::inputs::{Aligner, Inputs};
use crate::lane::{Lane, Step};
use crate::open::Opened;
use crate::outputs::{Outputs, Port};
use crate::rejects::Rejects;
use crate::shared::{Halt, Shared};
use crate::sink::SinkLane;
use crate::source::SourceLane;
use crate::spool::Spool;
use crate::whole::WholeLane;

/// A lane that is ready to be started.
pub(crate) struct Task {
    pub operator: Arc<str>,
    pub lane: usize,
    pub work: Work,
    pub run: BoxFuture<'static, Result<(), Halt>>,
}

/// The shape of a run: what is fused, how many lanes, which parts are withheld.
pub(crate) struct Layout {
    /// Lanes of each operator.
    pub lanes: Vec<usize>,
    /// For each operator the one fused behind it, and the edge between them.
    next: Vec<Option<(usize, usize)>>,
    /// Whether it is fused behind another.
    fused: Vec<bool>,
    /// For each operator the part of the graph, if an operator over whole inputs is in it.
    withheld: Vec<Option<usize>>,
    /// Index of each operator's first member.
    first_member: Vec<usize>,
    /// Bytes that may wait on one edge, all its channels together.
    edge_bound: usize,
}

impl Layout {
    /// Plans the lanes of open operators.
    pub fn new(shared: &Shared, graph: &BoundGraph, opened: &[Opened]) -> Layout {
        let lanes: Vec<usize> = opened.iter().map(Opened::lanes).collect();
        let mut next = vec![None; lanes.len()];
        let mut fused = vec![false; lanes.len()];
        for (index, edge) in graph.edges.iter().enumerate() {
            if can_fuse(graph, opened, &lanes, edge) {
                next[edge.from.operator] = Some((edge.to.operator, index));
                fused[edge.to.operator] = true;
            }
        }
        let first_member = lanes.iter().scan(0, |sum, lanes| Some(std::mem::replace(sum, *sum + lanes))).collect();
        let settings = &shared.settings;
        let share = settings.memory_max.bytes() / (2 * graph.edges.len().max(1));
        let edge_bound = settings.channel_bytes_max.bytes().min(share).max(1);
        Layout { lanes, next, fused, withheld: withheld_parts(graph), first_member, edge_bound }
    }

    /// Returns every operator in every lane.
    pub fn members(&self) -> Vec<Member> {
        let lanes = self.lanes.iter().enumerate();
        let of = |(operator, lanes): (usize, &usize)| {
            let withheld = self.withheld[operator];
            (0..*lanes).map(move |lane| Member { operator, lane, withheld }).collect::<Vec<_>>()
        };
        lanes.flat_map(of).collect()
    }

    fn member(&self, operator: usize, lane: usize) -> (usize, bool) {
        (self.first_member[operator] + lane, self.withheld[operator].is_some())
    }
}

/// Two transforms are fused if one output of the first goes to the second alone, which has no other input, lane by lane.
fn can_fuse(graph: &BoundGraph, opened: &[Opened], lanes: &[usize], edge: &BoundEdge) -> bool {
    let (from, to) = (edge.from.operator, edge.to.operator);
    let transform = |operator: usize| matches!(opened[operator], Opened::Transform(_));
    transform(from)
        && transform(to)
        && lanes[from] == lanes[to]
        && edge.from.index == 0
        && edge.from.port != ERRORS
        && graph.operators[to].inputs.len() == 1
        && graph.edges.iter().filter(|other| other.to.operator == to).count() == 1
        && graph.edges.iter().filter(|other| other.from == edge.from).count() == 1
}

/// Returns for each operator the number of its connected part, if that part holds an operator over whole inputs.
fn withheld_parts(graph: &BoundGraph) -> Vec<Option<usize>> {
    let mut part: Vec<usize> = (0..graph.operators.len()).collect();
    fn root(part: &mut [usize], mut index: usize) -> usize {
        while part[index] != index {
            part[index] = part[part[index]];
            index = part[index];
        }
        index
    }
    for edge in &graph.edges {
        let (from, to) = (root(&mut part, edge.from.operator), root(&mut part, edge.to.operator));
        part[from.max(to)] = from.min(to);
    }
    let roots: Vec<usize> = (0..part.len()).map(|index| root(&mut part, index)).collect();
    let whole: Vec<usize> =
        roots.iter().zip(&graph.operators).filter(|(_, bound)| bound.whole).map(|(root, _)| *root).collect();
    roots.into_iter().map(|root| whole.contains(&root).then_some(root)).collect()
}

/// Builds the lanes of a run.
pub(crate) struct Wiring<'a> {
    pub shared: &'a Arc<Shared>,
    pub graph: &'a BoundGraph,
    pub counters: &'a Counters,
    pub layout: &'a Layout,
    pub epoch: Epoch,
    /// Output ports by operator and lane, taken when the lane is built.
    ports: Vec<Vec<Vec<Port>>>,
    /// Inboxes by operator and lane, with the input port of each channel.
    inboxes: Vec<Vec<(Arc<Inbox>, Vec<usize>)>>,
}

impl<'a> Wiring<'a> {
    /// Joins the lanes by channels.
    pub fn new(
        shared: &'a Arc<Shared>,
        graph: &'a BoundGraph,
        counters: &'a Counters,
        layout: &'a Layout,
        epoch: Epoch,
    ) -> Wiring<'a> {
        let ports = graph.operators.iter().zip(&layout.lanes).map(|(bound, lanes)| {
            let names = || bound.outputs.iter().map(|output| output.port.as_str()).chain([ERRORS]);
            (0..*lanes).map(|_| names().map(|name| Port::new(name.into())).collect()).collect()
        });
        let inboxes =
            layout.lanes.iter().map(|lanes| (0..*lanes).map(|_| <(Arc<Inbox>, Vec<usize>)>::default()).collect());
        let (ports, inboxes) = (ports.collect(), inboxes.collect());
        let mut wiring = Wiring { shared, graph, counters, layout, epoch, ports, inboxes };
        for (index, edge) in graph.edges.iter().enumerate() {
            wiring.join(index, edge);
        }
        wiring
    }

    /// Builds every lane.
    pub fn build(mut self, opened: Vec<Opened>) -> Vec<Task> {
        let mut tasks = Vec::new();
        let mut transforms: Vec<Option<Vec<_>>> = Vec::new();
        let mut chains = Vec::new();
        for (operator, one) in opened.into_iter().enumerate() {
            let mut lanes = None;
            match one {
                Opened::Source(sources, _) => {
                    for (lane, source) in sources.into_iter().enumerate() {
                        let (outputs, rejects) = self.outputs(operator, lane);
                        let member = self.layout.member(operator, lane);
                        let run = SourceLane::new(source, outputs, rejects, member, self.epoch).run();
                        tasks.push(self.task(operator, lane, Box::pin(run)));
                    }
                }
                Opened::Sink(_, writers) => {
                    for (lane, writer) in writers.into_iter().enumerate() {
                        let inputs = self.inputs(operator, lane, 0);
                        let (outputs, rejects) = self.outputs(operator, lane);
                        let member = self.layout.member(operator, lane);
                        let run = SinkLane::new(writer, inputs, outputs, rejects, member, self.epoch).run();
                        tasks.push(self.task(operator, lane, Box::pin(run)));
                    }
                }
                Opened::Whole(whole) => {
                    let run = self.whole(operator, whole).run();
                    tasks.push(self.task(operator, 0, Box::pin(run)));
                }
                Opened::Transform(transforms) => {
                    lanes = Some(transforms);
                    if !self.layout.fused[operator] {
                        chains.push(operator);
                    }
                }
            }
            transforms.push(lanes);
        }
        for head in chains {
            tasks.extend(self.chain(head, &mut transforms));
        }
        tasks
    }

    fn join(&mut self, index: usize, edge: &BoundEdge) {
        let (from, to) = (&edge.from, &edge.to);
        let counters = &self.counters.edges[index];
        let (senders, receivers) = (self.layout.lanes[from.operator], self.layout.lanes[to.operator]);
        let fused = self.layout.next[from.operator] == Some((to.operator, index));
        let forward = senders == receivers;
        let channels = if forward { senders } else { senders * receivers };
        let bound = (self.layout.edge_bound / channels.max(1)).max(1);
        for sender in 0..senders {
            let port = &mut self.ports[from.operator][sender][from.index];
            if fused {
                port.fused = Some(counters.clone());
                continue;
            }
            let lanes = if forward { sender..sender + 1 } else { 0..receivers };
            let targets = lanes.map(|receiver| {
                let (inbox, ports) = &mut self.inboxes[to.operator][receiver];
                ports.push(to.index);
                inbox.channel(bound, counters.clone())
            });
            port.connect(targets.collect());
        }
    }

    fn chain(&mut self, head: usize, transforms: &mut [Option<Vec<Box<dyn rde_core::Transform>>>]) -> Vec<Task> {
        let mut operators = vec![head];
        while let Some((next, _)) = self.layout.next[operators[operators.len() - 1]] {
            operators.push(next);
        }
        // Batches are joined before the head alone, so the first operator that minds says whether they are.
        let joining = operators.iter().filter_map(|operator| Some(self.graph.operators[*operator].traits?.joining));
        let joining = joining.into_iter().find(|joining| *joining != Joining::Indifferent);
        let coalesce = self.shared.settings.coalesce && joining == Some(Joining::Wanted);
        let coalesce_bytes = if coalesce { self.shared.settings.batch_bytes_max.bytes() } else { 0 };
        let mut steps: Vec<Vec<Step>> = (0..self.layout.lanes[head]).map(|_| Vec::new()).collect();
        for operator in operators {
            let lanes = transforms[operator].take().unwrap_or_default();
            for ((lane, transform), steps) in lanes.into_iter().enumerate().zip(&mut steps) {
                let (outputs, rejects) = self.outputs(operator, lane);
                steps.push(Step::new(transform, outputs, rejects, self.layout.member(operator, lane).0));
            }
        }
        let lanes = steps.into_iter().enumerate().map(|(lane, steps)| {
            let inputs = self.inputs(head, lane, coalesce_bytes);
            let run = Lane::new(self.shared.clone(), lane, inputs, steps, self.epoch).run();
            self.task(head, lane, Box::pin(run))
        });
        lanes.collect()
    }

    fn whole(&mut self, operator: usize, whole: Box<dyn rde_core::AsyncTransform>) -> WholeLane {
        let inputs = self.inputs(operator, 0, 0);
        let (outputs, _) = self.outputs(operator, 0);
        let bound = self.bound(operator);
        let spools = bound.iter().map(|_| Spool::new(self.shared.spill.clone(), self.layout.edge_bound));
        WholeLane::new(whole, inputs, spools.collect(), bound, outputs, self.layout.member(operator, 0).0)
    }

    /// Returns the columns that each input of an operator is bound to.
    fn bound(&self, operator: usize) -> Vec<Option<SchemaRef>> {
        let ports = 0..self.graph.operators[operator].inputs.len();
        ports.map(|port| self.graph.run_schema(operator, port)).collect()
    }

    /// Returns the columns of those inputs where edges merge: only there may schemas differ and fit all the same.
    fn merged(&self, operator: usize) -> Vec<Option<SchemaRef>> {
        let leads = |edge: &BoundEdge, port: usize| edge.to.operator == operator && edge.to.index == port;
        let merges = |port: usize| self.graph.edges.iter().filter(|edge| leads(edge, port)).count() > 1;
        let bound = self.bound(operator).into_iter().enumerate();
        bound.map(|(port, schema)| schema.filter(|_| merges(port))).collect()
    }

    fn inputs(&mut self, operator: usize, lane: usize, coalesce_bytes: usize) -> Inputs {
        let (inbox, ports) = std::mem::take(&mut self.inboxes[operator][lane]);
        self.shared.watch(&inbox);
        Inputs::new(inbox, Aligner::new(&ports).bound_to(self.merged(operator)), coalesce_bytes)
    }

    fn outputs(&mut self, operator: usize, lane: usize) -> (Outputs, Rejects) {
        let counters = self.counters.operators[operator].clone();
        let ports = std::mem::take(&mut self.ports[operator][lane]);
        let on_error = self.graph.operators[operator].on_error;
        let rejects = Rejects::new(self.shared.clone(), counters.clone(), on_error);
        (Outputs::new(self.shared.clone(), counters, lane, ports), rejects)
    }

    fn task(&self, operator: usize, lane: usize, run: BoxFuture<'static, Result<(), Halt>>) -> Task {
        debug_assert!(self.graph.operators[operator].kind != Kind::Source || self.inboxes[operator][lane].1.is_empty());
        Task { operator: self.graph.operators[operator].id.clone(), lane, work: Work::Compute, run }
    }
}
