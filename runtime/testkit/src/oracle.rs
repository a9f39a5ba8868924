//! Says what a run of a topology must have come to, and compares.
//!
//! Scripts are pure functions of rows, so the rows of every output follow from how far each split was read. Invariant:
//! nothing here looks at how the engine works; it knows the scripts and the contract only.

use std::collections::{BTreeMap, HashMap};

use rde_core::OnError;
use rde_engine::{OperatorReport, RunReport};

use crate::script::rows::{Row, mix};
use crate::script::{Action, Kept, SinkScript, SourceScript, SplitScript, TransformScript, WholeScript};
use crate::topology::{Node, Topology};

/// What tells a kept row from all others at one place, whatever the lanes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Id and route of a row.
    Row(i64, i64),
    /// Operator and message of an error row.
    Error(String, String),
}

impl From<&Kept> for Key {
    fn from(kept: &Kept) -> Key {
        match kept {
            Kept::Row(row) => Key::Row(row.id, row.route),
            Kept::Error(operator, message) => Key::Error(operator.clone(), message.clone()),
        }
    }
}

/// The counts of one operator, as they must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Decoded.
    pub read: usize,
    /// Taken from inputs.
    pub taken: usize,
    /// Put on the output.
    pub out: usize,
    /// Left out.
    pub filtered: usize,
    /// To `errors`.
    pub rejected: usize,
    /// Dropped by policy.
    pub skipped: usize,
    /// Made visible.
    pub committed: usize,
}

/// What must have come out.
#[derive(Debug, Default)]
pub struct Expected {
    /// What each sink shows.
    pub sinks: BTreeMap<String, Vec<Kept>>,
    /// The counts of each operator.
    pub counts: BTreeMap<String, Counts>,
    /// What went over each output, by `id` or `id.errors`.
    pub ports: HashMap<String, Vec<Kept>>,
}

/// Returns what must come out when each split was read as far as `reached` says. `whole` tells whether whole inputs ended.
pub fn expect(topology: &Topology, reached: &dyn Fn(&SplitScript) -> i64, whole: bool) -> Expected {
    let mut expected = Expected::default();
    for node in &topology.nodes {
        let inputs: Vec<Vec<Kept>> =
            topology.into(node.name()).map(|from| expected.ports.get(from).cloned().unwrap_or_default()).collect();
        let mut made = match node {
            Node::Source(script) => source(script, reached),
            Node::Transform(script) => transform(script, &inputs.concat()),
            Node::Whole(script) => whole_input(script, &inputs, whole),
            Node::Sink(script) => sink(script, &inputs.concat()),
        };
        made.counts.taken = inputs.iter().map(Vec::len).sum();
        let on_error = topology.beside.get(node.name()).and_then(|beside| beside.on_error);
        let refused = std::mem::take(&mut made.refused);
        if on_error == Some(OnError::Skip) {
            made.counts.skipped = refused.len();
        } else {
            made.counts.rejected = refused.len();
            let error = |message| Kept::Error(node.name().to_owned(), message);
            expected.ports.insert(format!("{}.errors", node.name()), refused.into_iter().map(error).collect());
        }
        if matches!(node, Node::Sink(_)) {
            made.counts.committed = made.out.len();
            expected.sinks.insert(node.name().to_owned(), made.out);
        } else {
            made.counts.out = made.out.len();
            expected.ports.insert(node.name().to_owned(), made.out);
        }
        expected.counts.insert(node.name().to_owned(), made.counts);
    }
    expected
}

#[derive(Default)]
struct Made {
    out: Vec<Kept>,
    refused: Vec<String>,
    counts: Counts,
}

fn source(script: &SourceScript, reached: &dyn Fn(&SplitScript) -> i64) -> Made {
    let mut made = Made::default();
    for split in &script.splits {
        for seq in 0..reached(split) {
            made.counts.read += 1;
            if script.rejects(seq) {
                made.refused.push(format!("{}/0", mix(split.number, seq)));
            } else {
                made.out.push(Kept::Row(Row::read(split.number, seq)));
            }
        }
    }
    made
}

fn transform(script: &TransformScript, input: &[Kept]) -> Made {
    let mut made = Made::default();
    for kept in input {
        match kept {
            Kept::Row(row) if script.action != Action::Raw => match script.action.apply(*row, script.salt, 0) {
                Ok(rows) if rows.is_empty() => made.counts.filtered += 1,
                Ok(rows) => made.out.extend(rows.into_iter().map(Kept::Row)),
                Err(row) => made.refused.push(format!("{}/{}", row.id, row.route)),
            },
            other => made.out.push(other.clone()),
        }
    }
    made.out.extend(script.action.tail(script.salt).map(Kept::Row));
    made
}

fn whole_input(script: &WholeScript, inputs: &[Vec<Kept>], ended: bool) -> Made {
    let rows = |input: &Vec<Kept>| {
        let row = |kept: &Kept| match kept {
            Kept::Row(row) => Some(*row),
            Kept::Error(..) => None,
        };
        input.iter().filter_map(row).collect()
    };
    let inputs: Vec<Vec<Row>> = inputs.iter().map(rows).collect();
    let out = if ended { script.whole.apply(&inputs, script.salt) } else { Vec::new() };
    Made { out: out.into_iter().map(Kept::Row).collect(), ..Made::default() }
}

fn sink(script: &SinkScript, input: &[Kept]) -> Made {
    let mut made = Made::default();
    for kept in input {
        match kept {
            Kept::Row(row) if script.rejects(row) => made.refused.push(format!("{}/{}", row.id, row.route)),
            kept => made.out.push(kept.clone()),
        }
    }
    made
}

/// Compares what a sink shows with what it must show.
pub fn compare(sink: &str, expected: &[Kept], shown: &BTreeMap<usize, Vec<Kept>>) -> Result<(), String> {
    let mut counts: BTreeMap<Key, i64> = BTreeMap::new();
    expected.iter().for_each(|kept| *counts.entry(kept.into()).or_default() += 1);
    shown.values().flatten().for_each(|kept| *counts.entry(kept.into()).or_default() -= 1);
    let missing: Vec<&Key> = counts.iter().filter(|(_, count)| **count > 0).map(|(key, _)| key).collect();
    let too_many: Vec<&Key> = counts.iter().filter(|(_, count)| **count < 0).map(|(key, _)| key).collect();
    if missing.is_empty() && too_many.is_empty() {
        return Ok(());
    }
    let shown: usize = shown.values().map(Vec::len).sum();
    let first = |keys: &[&Key]| format!("{} such as {:?}", keys.len(), keys.first());
    Err(format!(
        "sink `{sink}` shows {shown} rows, {} are due; missing {}; too many {}",
        expected.len(),
        first(&missing),
        first(&too_many)
    ))
}

/// Checks that rows which came the same way kept their order in every lane of a sink.
pub fn order(sink: &str, shown: &BTreeMap<usize, Vec<Kept>>) -> Result<(), String> {
    for (lane, kept) in shown {
        let mut last: HashMap<(i64, i64), i64> = HashMap::new();
        for kept in kept {
            if let Kept::Row(row) = kept
                && let Some(before) = last.insert((row.split, row.trail), row.order)
                && before > row.order
            {
                return Err(format!("sink `{sink}` lane {lane}: {row:?} came after row {before} of its split"));
            }
        }
    }
    Ok(())
}

/// Compares the counts of a report with those that must be.
pub fn counts(topology: &Topology, report: &RunReport, expected: &Expected) -> Result<(), String> {
    if !report.balanced {
        return Err("the report says that the counts do not balance".to_owned());
    }
    for operator in &report.operators {
        let due = expected.counts.get(&operator.id).copied().unwrap_or_default();
        let found = found(operator);
        if found != due {
            return Err(format!("operator `{}` counted {found:?}, due is {due:?}", operator.id));
        }
        if operator.rows_by_lane.iter().sum::<u64>() != operator.rows_read + operator.rows_in {
            return Err(format!("operator `{}`: the lanes do not add up: {operator:?}", operator.id));
        }
    }
    for (edge, (from, _)) in report.edges.iter().zip(&topology.edges) {
        let due = expected.ports.get(from).map_or(0, Vec::len) as u64;
        if (edge.rows_sent, edge.rows_received) != (due, due) {
            return Err(format!("edge {edge:?}: {due} rows are due"));
        }
    }
    Ok(())
}

fn found(operator: &OperatorReport) -> Counts {
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    Counts {
        read: number(operator.rows_read),
        taken: number(operator.rows_in),
        out: number(operator.rows_out),
        filtered: number(operator.rows_filtered),
        rejected: number(operator.rows_rejected),
        skipped: number(operator.rows_skipped),
        committed: number(operator.rows_committed),
    }
}
