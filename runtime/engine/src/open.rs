//! Opens the operators of a pipeline and gives sources their splits.
//!
//! Sinks first: what they refuse (a folder that is taken, a lock held by another) costs nothing yet.
//! Invariant: when one does not open, those that are open are closed again.

use std::path::PathBuf;
use std::sync::Arc;

use rde_checkpoint::{Checkpoint, SplitEntry};
use rde_core::{
    AsyncTransform, Committer, Error, Incarnation, Kind, OpenContext, Operator, Plan, Position, Result, Sink,
    SinkWriter, Source, Split, Transform,
};

use crate::codes;
use crate::counters::Resources;
use crate::graph::BoundGraph;
use crate::shared::Shared;

/// An operator that is open.
pub(crate) enum Opened {
    Source(Vec<Box<dyn Source>>, Vec<Split>),
    Transform(Vec<Box<dyn Transform>>),
    Whole(Box<dyn AsyncTransform>),
    /// The committer until it has a task of its own, and the writers.
    Sink(Option<Box<dyn Committer>>, Vec<Box<dyn SinkWriter>>),
}

impl Opened {
    /// Returns in how many lanes it runs.
    pub fn lanes(&self) -> usize {
        match self {
            Opened::Source(lanes, _) => lanes.len(),
            Opened::Transform(lanes) => lanes.len(),
            Opened::Whole(_) => 1,
            Opened::Sink(_, writers) => writers.len(),
        }
    }
}

/// What every operator is opened with.
pub(crate) struct Opening<'a> {
    pub shared: &'a Arc<Shared>,
    pub graph: &'a BoundGraph,
    pub resources: &'a [Resources],
    pub base: PathBuf,
    pub incarnation: Incarnation,
}

/// Opens every operator; the result is in the order of the graph.
pub(crate) async fn open_all(opening: &Opening<'_>, plans: Vec<Option<Box<dyn Plan>>>) -> Result<Vec<Opened>> {
    let mut plans: Vec<(usize, Option<Box<dyn Plan>>)> = plans.into_iter().enumerate().collect();
    let rank = |index: usize| match opening.graph.operators[index].kind {
        Kind::Sink => 0,
        Kind::Transform => 1,
        Kind::Source => 2,
    };
    plans.sort_by_key(|(index, _)| rank(*index));
    let mut opened: Vec<(usize, Opened)> = Vec::new();
    for (index, plan) in plans {
        let id = &opening.graph.operators[index].id;
        let result = match plan {
            _ if opening.shared.stopped() => Err(cancelled()),
            Some(plan) => open_one(opening, index, plan).await,
            None => Err(Error::internal(&codes::NOT_RUNNABLE, format!("operator `{id}` has no plan"))),
        };
        match result {
            Ok(one) => opened.push((index, one)),
            Err(error) => {
                close_all(opened.into_iter().map(|(_, one)| one)).await;
                return Err(error.in_operator(id));
            }
        }
    }
    opened.sort_by_key(|(index, _)| *index);
    Ok(opened.into_iter().map(|(_, one)| one).collect())
}

/// The error of a run that was told to stop at once.
pub(crate) fn cancelled() -> Error {
    Error::unavailable(&codes::CANCELLED, "the run was stopped before its end")
}

/// Closes operators that never ran; what goes wrong then is logged, since an earlier error is on its way.
pub(crate) async fn close_all(opened: impl Iterator<Item = Opened>) {
    for one in opened {
        match one {
            Opened::Transform(lanes) => {
                for mut lane in lanes {
                    log_failure(lane.close());
                }
            }
            Opened::Sink(_committer, writers) => {
                for mut writer in writers {
                    log_failure(writer.abandon().await);
                }
            }
            Opened::Source(..) | Opened::Whole(_) => {}
        }
    }
}

fn log_failure(result: Result<()>) {
    if let Err(error) = result {
        tracing::warn!(error = ?error, "operator did not close");
    }
}

async fn open_one(opening: &Opening<'_>, index: usize, plan: Box<dyn Plan>) -> Result<Opened> {
    let bound = &opening.graph.operators[index];
    let shared = opening.shared;
    let ctx = OpenContext {
        pipeline: shared.pipeline.clone(),
        operator: bound.id.clone(),
        incarnation: opening.incarnation,
        lanes: bound.lanes,
        settings: shared.settings.clone(),
        base: opening.base.clone(),
        runtime: shared.runtime.clone(),
        started_micros: shared.started_micros,
        budget: opening.resources[index].budget.clone(),
        cancel: shared.cancel.child(),
        plugin_stats: opening.resources[index].plugin_stats.clone(),
    };
    tracing::debug!(pipeline = &*shared.pipeline, operator = &*bound.id, lanes = bound.lanes, "opening");
    match (bound.kind, plan.open(ctx).await?) {
        (Kind::Source, Operator::Source(lanes)) if (1..=bound.lanes).contains(&lanes.len()) => with_splits(lanes).await,
        (Kind::Transform, Operator::Transform(lanes)) if lanes.len() == bound.lanes && !bound.whole => {
            Ok(Opened::Transform(lanes))
        }
        (Kind::Transform, Operator::AsyncTransform(whole)) if bound.whole => Ok(Opened::Whole(whole)),
        (Kind::Sink, Operator::Sink(sink)) => open_sink(sink, bound.lanes).await,
        _ => {
            let message = format!("{} `{}` did not open as what it said it is", bound.kind.as_str(), bound.id);
            Err(Error::internal(&codes::CONTRACT, message))
        }
    }
}

/// Asks a source for its splits; more lanes than splits are not needed.
async fn with_splits(mut lanes: Vec<Box<dyn Source>>) -> Result<Opened> {
    let splits = lanes[0].splits().await?;
    lanes.truncate(splits.len().max(1));
    Ok(Opened::Source(lanes, splits))
}

async fn open_sink(mut sink: Box<dyn Sink>, lanes: usize) -> Result<Opened> {
    let committer = Some(sink.committer().await?);
    let mut writers: Vec<Box<dyn SinkWriter>> = Vec::new();
    for lane in 0..lanes {
        match sink.writer(lane).await {
            Ok(writer) => writers.push(writer),
            Err(error) => {
                close_all([Opened::Sink(committer, writers)].into_iter()).await;
                return Err(error);
            }
        }
    }
    Ok(Opened::Sink(committer, writers))
}

/// Gives every source's lanes their splits, from the positions of `from`; notes splits and positions in it.
pub(crate) async fn assign_splits(graph: &BoundGraph, opened: &mut [Opened], from: &mut Checkpoint) -> Result<()> {
    for (bound, one) in graph.operators.iter().zip(opened) {
        let Opened::Source(lanes, splits) = one else { continue };
        let id = bound.id.to_string();
        let known = from.positions.get(&id).cloned().unwrap_or_default();
        let mut positions = known.clone();
        let parts = spread(splits, lanes.len());
        for (lane, part) in lanes.iter_mut().zip(parts) {
            let part: Vec<(Split, Option<Position>)> =
                part.into_iter().map(|split| (split.clone(), known.get(&split.id).cloned())).collect();
            lane.assign(part).await.map_err(|error| error.in_operator(&bound.id))?;
            positions.extend(lane.positions());
        }
        let entries = splits.iter().map(|split| SplitEntry { id: split.id.clone(), weight: split.weight });
        from.splits.insert(id.clone(), entries.collect());
        from.positions.insert(id, positions);
    }
    Ok(())
}

/// Spreads splits over lanes so that each has about the same to read: the largest first, each to the lane with the least.
/// Within a lane they keep their order.
fn spread(splits: &[Split], lanes: usize) -> Vec<Vec<&Split>> {
    let mut by_weight: Vec<usize> = (0..splits.len()).collect();
    by_weight.sort_by_key(|index| (std::cmp::Reverse(splits[*index].weight), *index));
    let mut parts: Vec<(u64, Vec<usize>)> = vec![(0, Vec::new()); lanes.max(1)];
    for index in by_weight {
        let least = parts.iter_mut().min_by_key(|(weight, part)| (*weight, part.len()));
        let Some((weight, part)) = least else { continue };
        *weight = weight.saturating_add(splits[index].weight);
        part.push(index);
    }
    let in_order = |(_, mut part): (u64, Vec<usize>)| {
        part.sort_unstable();
        part.into_iter().map(|index| &splits[index]).collect()
    };
    parts.into_iter().map(in_order).collect()
}

#[cfg(test)]
mod tests {
    use rde_core::SplitId;

    use super::*;

    fn check(weights: &[u64], lanes: usize) -> Vec<Vec<u64>> {
        let split = |(index, weight): (usize, &u64)| Split { id: SplitId(index.to_string()), weight: *weight };
        let splits: Vec<Split> = weights.iter().enumerate().map(split).collect();
        spread(&splits, lanes).into_iter().map(|part| part.iter().map(|split| split.weight).collect()).collect()
    }

    #[test]
    fn lanes_get_like_amounts_and_keep_the_order_of_their_splits() {
        assert_eq!(check(&[1, 9, 2, 8, 3], 2), [vec![1, 9, 2], vec![8, 3]]);
    }

    #[test]
    fn one_lane_keeps_every_split_in_order() {
        assert_eq!(check(&[3, 1, 2], 1), [vec![3, 1, 2]]);
    }

    #[test]
    fn splits_without_weight_are_spread_by_number() {
        assert_eq!(check(&[0, 0, 0, 0], 2), [vec![0, 0], vec![0, 0]]);
    }
}
