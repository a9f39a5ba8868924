//! Finds what is wrong with ids, settings, edges and policies, without looking at columns.

use std::collections::BTreeMap;

use rde_core::{Error, Kind, OnError, Place, Settings};

use super::ERRORS;
use super::bind::Draft;
use super::builder::Added;
use crate::codes;

/// Most rows of a batch that can be asked for.
const BATCH_ROWS_LIMIT: usize = 1_048_576;
/// Most lanes that can be asked for.
const LANES_LIMIT: usize = 256;

/// Checks the bounds of the settings.
pub(super) fn settings(settings: &Settings) -> Vec<Error> {
    let sizes = [
        ("batch_bytes_max", settings.batch_bytes_max),
        ("row_bytes_max", settings.row_bytes_max),
        ("channel_bytes_max", settings.channel_bytes_max),
        ("memory_max", settings.memory_max),
    ];
    let mut faults = Vec::new();
    for (key, most, value) in [
        ("batch_rows_max", BATCH_ROWS_LIMIT, settings.batch_rows_max),
        ("parallelism", LANES_LIMIT, settings.parallelism),
    ] {
        if !(1..=most).contains(&value) {
            let message = format!("setting `{key}` is {value}, which is not in 1 to {most}");
            faults.push(Error::config(&codes::SETTING, message).at(Place::field(format!("/settings/{key}"))));
        }
    }
    for (key, _) in sizes.iter().filter(|(_, size)| size.0 == 0) {
        let message = format!("setting `{key}` is 0, but needs at least one byte");
        faults.push(Error::config(&codes::SETTING, message).at(Place::field(format!("/settings/{key}"))));
    }
    faults
}

/// Checks that ids are well-formed and unique.
pub(super) fn ids(added: &[Added]) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut seen: BTreeMap<&str, &Added> = BTreeMap::new();
    for operator in added {
        let place = Place::field(format!("/{}s/{}/id", operator.kind.as_str(), operator.nth));
        if !well_formed(&operator.id) {
            let message = format!("`{}` is no id of an operator", operator.id);
            let help = "an id starts with a lower-case letter and goes on with lower-case letters, digits and `_`";
            faults.push(Error::config(&codes::BAD_ID, message).help(help).at(place.clone()));
        }
        if let Some(first) = seen.get(&*operator.id) {
            let message = format!("the id `{}` is taken by a {}", operator.id, first.kind.as_str());
            faults.push(Error::config(&codes::DUPLICATE_ID, message).help("rename one of the two").at(place));
        } else {
            seen.insert(&operator.id, operator);
        }
    }
    if !added.iter().any(|operator| operator.kind == Kind::Source) {
        faults.push(Error::config(&codes::NO_WAY, "the pipeline has no source").help("add one under `sources`"));
    }
    faults
}

fn well_formed(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Checks that each output and input has an edge and each source a way to a sink.
pub(super) fn coverage(draft: &Draft, faults: &mut Vec<Error>) {
    let mut open = vec![false; draft.nodes.len()];
    for (index, node) in draft.nodes.iter().enumerate() {
        let id = &node.added.id;
        let known = !node.bound.broken;
        if known && !node.output_fault {
            for (port, output) in node.bound.outputs.iter().enumerate() {
                if !draft.edges.iter().any(|edge| edge.from.at == Some((index, port))) {
                    let message = format!("{} `{id}`: output `{}` has no edge", node.bound.kind.as_str(), output.port);
                    let help = format!("connect it: `- [{id}.{}, …]`", output.port);
                    let fault = Error::config(&codes::OUTPUT_WITHOUT_EDGE, message).help(help).in_operator(id);
                    faults.push(fault.at(Place::default()));
                    open[index] = true;
                }
            }
        }
        open[index] |= !known || node.output_fault;
    }
    inputs_covered(draft, faults);
    ways(draft, &open, faults);
}

fn inputs_covered(draft: &Draft, faults: &mut Vec<Error>) {
    for (index, node) in draft.nodes.iter().enumerate() {
        if node.input_fault || node.added.plan.is_none() || node.bound.kind == Kind::Source {
            continue;
        }
        let id = &node.added.id;
        let has_edge = |port: usize| draft.edges.iter().any(|edge| edge.to.at == Some((index, port)));
        let missing: Vec<String> = match &node.input_ports {
            None if draft.edges.iter().any(|edge| edge.to.operator == Some(index)) => Vec::new(),
            None => vec!["no edge leads to it".to_owned()],
            Some(ports) => {
                let uncovered = ports.iter().enumerate().filter(|(port, _)| !has_edge(*port));
                uncovered.map(|(_, name)| format!("input `{name}` has no edge")).collect()
            }
        };
        for what in missing {
            let message = format!("{} `{id}`: {what}", node.bound.kind.as_str());
            let help = format!("connect an operator's output to it: `- […, {id}]`");
            let fault = Error::config(&codes::INPUT_WITHOUT_EDGE, message).help(help).in_operator(id);
            faults.push(fault.at(Place::default()));
        }
    }
}

/// A source that reaches no sink is reported, unless its way ends at a fault that is reported already.
fn ways(draft: &Draft, open: &[bool], faults: &mut Vec<Error>) {
    let mut explained = vec![false; draft.nodes.len()];
    draft.cyclic.iter().for_each(|index| explained[*index] = true);
    for index in draft.order.iter().rev().copied() {
        let reaches = |edge: &super::bind::DraftEdge| edge.to.operator.is_none_or(|to| explained[to]);
        let onward = draft.edges.iter().any(|edge| edge.from.operator == Some(index) && reaches(edge));
        let sink = draft.nodes[index].bound.kind == Kind::Sink;
        explained[index] = sink || open[index] || onward;
    }
    for (index, node) in draft.nodes.iter().enumerate() {
        if node.bound.kind == Kind::Source && !explained[index] {
            let message = format!("source `{}` has no way to a sink", node.added.id);
            let fault = Error::config(&codes::NO_WAY, message).in_operator(&node.added.id).at(Place::default());
            faults.push(fault.help("connect it, over transforms or directly, with a sink"));
        }
    }
}

/// Settles `on_error` and lanes, and checks both against edges and operators.
pub(super) fn policies(draft: &mut Draft, faults: &mut Vec<Error>) {
    for index in 0..draft.nodes.len() {
        let has_errors_edge = draft.edges.iter().any(|edge| edge.from.operator == Some(index) && edge.from.is_errors());
        let node = &mut draft.nodes[index];
        let asked = node.added.options.on_error;
        let default = if has_errors_edge { OnError::DeadLetter } else { OnError::Fail };
        node.bound.on_error = asked.unwrap_or(default);
        let id = node.added.id.clone();
        let what = format!("{} `{id}`", node.bound.kind.as_str());
        let fault = match asked {
            Some(OnError::DeadLetter) if !has_errors_edge => Some((
                format!("{what}: `on_error: dead_letter` needs an edge from its output `{ERRORS}`"),
                format!("add an edge, for example `- [{id}.{ERRORS}, rejects]`"),
            )),
            Some(OnError::Fail | OnError::Skip) if has_errors_edge => Some((
                format!("{what}: no row goes to the output `{ERRORS}`, since `on_error` is not `dead_letter`"),
                format!("remove `on_error`, or the edge from `{id}.{ERRORS}`"),
            )),
            _ => None,
        };
        if let Some((message, help)) = fault {
            let fault = Error::config(&codes::ON_ERROR, message).help(help).in_operator(&id);
            faults.push(fault.at(Place::field("../on_error")));
        }
        if let Some(asked) = node.added.options.parallelism {
            faults.extend(lanes_fault(asked, node.bound.traits.is_none() || node.bound.can_split, &what, &id));
        }
    }
}

fn lanes_fault(asked: usize, can_split: bool, what: &str, id: &str) -> Option<Error> {
    let (message, help) = if !(1..=LANES_LIMIT).contains(&asked) {
        (
            format!("{what}: `parallelism` is {asked}, which is not in 1 to {LANES_LIMIT}"),
            "write a number in these bounds",
        )
    } else if asked > 1 && !can_split {
        (format!("{what}: it runs in one lane, so `parallelism: {asked}` cannot be kept"), "remove `parallelism`")
    } else {
        return None;
    };
    let fault = Error::config(&codes::PARALLELISM, message).help(help).in_operator(id);
    Some(fault.at(Place::field("../parallelism")))
}
