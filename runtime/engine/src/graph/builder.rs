//! Collects operators and edges, and takes them from parsed to bound.
//!
//! [`PipelineBuilder::build`] runs the phases in order: ids and edges, discover, bind from sources to sinks, wanted from
//! sinks to sources, bind again where that narrowed a source. Every fault of every phase comes back at once.
//! Invariant: a fault that merely follows from another one is not reported.

use std::sync::Arc;

use rde_core::{Error, Kind, OnError, Place, Plan, Probe, Settings};

use super::bind::{Draft, bind_again, bind_all, pass_wanted};
use super::{BoundGraph, Pipeline, check, footprint};

/// What a file says of an operator beside its kind key.
#[derive(Clone, Debug, Default)]
pub struct OperatorOptions {
    /// What happens to rows that fail.
    pub on_error: Option<OnError>,
    /// Upper bound of its lanes.
    pub parallelism: Option<usize>,
    /// For people.
    pub description: Option<String>,
}

/// Takes operators and edges and makes a [`Pipeline`].
pub struct PipelineBuilder {
    name: Arc<str>,
    settings: Arc<Settings>,
    added: Vec<Added>,
    wishes: Vec<(String, String)>,
}

/// An operator as it was added.
pub(super) struct Added {
    pub id: Arc<str>,
    pub kind: Kind,
    pub kind_name: Arc<str>,
    pub options: OperatorOptions,
    /// `None` when its faults are known already.
    pub plan: Option<Box<dyn Plan>>,
    /// Its place among those of its kind.
    pub nth: usize,
}

impl PipelineBuilder {
    /// Makes one without operators.
    pub fn new(name: &str, settings: Arc<Settings>) -> PipelineBuilder {
        PipelineBuilder { name: name.into(), settings, added: Vec::new(), wishes: Vec::new() }
    }

    /// Adds a source.
    pub fn add_source(
        &mut self,
        id: &str,
        kind_name: &str,
        plan: Box<dyn Plan>,
        options: OperatorOptions,
    ) -> &mut PipelineBuilder {
        self.add(id, Kind::Source, kind_name, Some(plan), options)
    }

    /// Adds a transform.
    pub fn add_transform(
        &mut self,
        id: &str,
        kind_name: &str,
        plan: Box<dyn Plan>,
        options: OperatorOptions,
    ) -> &mut PipelineBuilder {
        self.add(id, Kind::Transform, kind_name, Some(plan), options)
    }

    /// Adds a sink.
    pub fn add_sink(
        &mut self,
        id: &str,
        kind_name: &str,
        plan: Box<dyn Plan>,
        options: OperatorOptions,
    ) -> &mut PipelineBuilder {
        self.add(id, Kind::Sink, kind_name, Some(plan), options)
    }

    /// Adds an operator that could not be parsed. Its faults are known; nothing that follows from them is reported.
    pub fn add_broken(&mut self, id: &str, kind: Kind, kind_name: &str) -> &mut PipelineBuilder {
        self.add(id, kind, kind_name, None, OperatorOptions::default())
    }

    /// Connects two operators; an end is `id` or `id.port`.
    pub fn connect(&mut self, from: &str, to: &str) -> &mut PipelineBuilder {
        self.wishes.push((from.to_owned(), to.to_owned()));
        self
    }

    /// Checks, discovers and binds. The pipeline can be run when there are no faults; it carries its graph in any case.
    pub async fn build(self, probe: &Probe) -> (Pipeline, Vec<Error>) {
        let mut faults = check::settings(&self.settings);
        faults.extend(check::ids(&self.added));
        let mut draft = Draft::new(self.added, &self.settings);
        draft.connect(&self.wishes, &mut faults);
        footprint::read_once(&mut draft, &probe.base, &mut faults);
        discover_all(&mut draft, probe, &mut faults).await;
        draft.order(&mut faults);
        bind_all(&mut draft, &mut faults);
        check::coverage(&draft, &mut faults);
        check::policies(&mut draft, &mut faults);
        footprint::check(&draft, &probe.base, &mut faults);
        if faults.is_empty() && pass_wanted(&mut draft, &mut faults) {
            bind_again(&mut draft, &mut faults);
        }
        let (graph, plans): (BoundGraph, _) = draft.finish();
        let pipeline = Pipeline {
            name: self.name,
            settings: self.settings,
            base: probe.base.clone(),
            budget: probe.budget.clone(),
            graph,
            plans,
            runnable: faults.is_empty(),
        };
        (pipeline, faults)
    }

    fn add(
        &mut self,
        id: &str,
        kind: Kind,
        kind_name: &str,
        plan: Option<Box<dyn Plan>>,
        options: OperatorOptions,
    ) -> &mut PipelineBuilder {
        let nth = self.added.iter().filter(|added| added.kind == kind).count();
        self.added.push(Added { id: id.into(), kind, kind_name: kind_name.into(), options, plan, nth });
        self
    }
}

/// Discovers one operator after the other; one that fails is broken from here on.
async fn discover_all(draft: &mut Draft, probe: &Probe, faults: &mut Vec<Error>) {
    for node in &mut draft.nodes {
        let Some(plan) = &mut node.added.plan else { continue };
        if let Err(found) = plan.discover(probe).await {
            faults.extend(of_operator(found.into_vec(), &node.added.id));
            node.added.plan = None;
        }
    }
}

/// Names the operator in its own faults, and gives each a place.
pub(super) fn of_operator(errors: Vec<Error>, id: &str) -> impl Iterator<Item = Error> {
    errors.into_iter().map(move |error| {
        let error = error.in_operator(id);
        if error.place().is_some() { error } else { error.at(Place::default()) }
    })
}
