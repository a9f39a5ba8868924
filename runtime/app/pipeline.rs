//! From the bytes of a pipeline file to a bound pipeline, with every fault of every phase.
//!
//! `run`, `validate` and `graph` go this one way. Invariant: a fault that follows from an earlier one is not reported.
//! Not here: reading flags (`cli`), running (`rde_engine::PipelineEngine`).

use std::env::VarError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rde_config::{ConfigFile, Diagnostic, Loaded, OperatorEntry, PipelineSpec, Places, Redactor, Resolver};
use rde_core::{Budget, Error, Kind, Plan, Probe, ProbeMode, Runtime, Settings, Shape};
use rde_engine::{BoundEdge, BoundGraph, OperatorOptions, Pipeline, PipelineBuilder};

use crate::logging;
use crate::registry::OPERATORS;

/// A pipeline file that was looked at, with all that was found wrong with it.
pub struct Prepared {
    /// Name of the pipeline, where it could be read.
    pub name: Option<String>,
    /// The bound pipeline; absent when the file is not readable as one.
    pub pipeline: Option<Pipeline>,
    /// Sorted, redacted and limited faults; a run starts only without any.
    pub faults: Vec<Diagnostic>,
    /// Maps errors to places in the file.
    pub places: Places,
    /// Hides secrets in every text.
    pub redactor: Redactor,
}

/// Reads, parses, discovers and binds the pipeline at `path`.
pub async fn prepare(path: &Path, sets: &[String], mode: ProbeMode, runtime: Runtime) -> Prepared {
    let name = path.display().to_string();
    let base = base_of(path);
    let (bytes, unreadable) = match std::fs::read(path) {
        Ok(bytes) => (bytes, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let resolver = Environment { base: base.clone() };
    let file = ConfigFile { name: &name, bytes: &bytes, sets };
    let loaded = rde_config::load(&file, OPERATORS, &resolver);
    logging::hide(&loaded.redactor);
    if let Some(error) = unreadable {
        let help = "give the path of a pipeline file, for example `rde run pipeline.yaml`";
        let message = format!("cannot read the pipeline file `{name}`: {error}");
        let fault = loaded.places.at_file(&crate::codes::PIPELINE_FILE, message, help);
        return Prepared {
            name: None,
            pipeline: None,
            faults: vec![fault],
            places: loaded.places,
            redactor: loaded.redactor,
        };
    }
    bind(loaded, base, mode, runtime).await
}

async fn bind(loaded: Loaded<'_>, base: PathBuf, mode: ProbeMode, runtime: Runtime) -> Prepared {
    let Loaded { spec, mut faults, places, redactor } = loaded;
    let Some(spec) = spec else {
        let faults = rde_config::finish(faults, &redactor);
        return Prepared { name: None, pipeline: None, faults, places, redactor };
    };
    let mut builder = PipelineBuilder::new(spec.name.as_deref().unwrap_or("unnamed"), spec.settings.clone());
    for entry in &spec.operators {
        match parse(entry) {
            Ok(Some(plan)) => add(&mut builder, entry, plan),
            Ok(None) => drop_in(&mut builder, entry),
            Err(errors) => {
                faults.extend(errors.iter().map(|error| places.locate(&error.clone().in_operator(&entry.id))));
                drop_in(&mut builder, entry);
            }
        }
    }
    for edge in &spec.edges {
        builder.connect(&edge.from, &edge.to);
    }
    let budget = Budget::new(spec.settings.memory_max.bytes());
    let probe = Probe { base, mode, runtime, budget };
    let (pipeline, errors) = builder.build(&probe).await;
    let new = errors.iter().filter(|error| is_news(error, &spec));
    faults.extend(new.map(|error| places.locate(error)));
    faults.extend(secret_columns(pipeline.graph(), &redactor).iter().map(|error| places.locate(error)));
    let faults = rde_config::finish(faults, &redactor);
    Prepared { name: spec.name, pipeline: Some(pipeline), faults, places, redactor }
}

/// Finds the operators that make a secret the name of a column.
fn secret_columns(graph: &BoundGraph, redactor: &Redactor) -> Vec<Error> {
    let named = |edge: &BoundEdge| match &edge.shape {
        Shape::Known(schema) => schema.fields().iter().any(|field| redactor.holds_secret(field.name())),
        Shape::Unknown(_) => false,
    };
    if redactor.is_empty() {
        return Vec::new();
    }
    let sends = |index: usize| graph.edges.iter().any(|edge| edge.from.operator == index && named(edge));
    let receives = |index: usize| graph.edges.iter().any(|edge| edge.to.operator == index && named(edge));
    let makers = graph.operators.iter().enumerate().filter(|(index, _)| sends(*index) && !receives(*index));
    let fault = |id: &str| {
        let error = Error::config(&crate::codes::SECRET_COLUMN, format!("`{id}` makes a secret the name of a column"));
        error.help("name the expression with `AS`").in_operator(id)
    };
    makers.map(|(_, operator)| fault(&operator.id)).collect()
}

/// Returns whether a fault of the graph says something that the faults of the text do not: an operator or edge that was left
/// out of the graph, because it could not be read, makes others look unconnected.
fn is_news(error: &Error, spec: &PipelineSpec<'_>) -> bool {
    use rde_engine::codes;
    let of = |codes: &[&rde_core::Code]| codes.iter().any(|code| code.id == error.code());
    if of(&[&codes::BAD_ID, &codes::DUPLICATE_ID]) {
        return false;
    }
    if of(&[&codes::UNKNOWN_OPERATOR]) {
        return spec.operators_complete;
    }
    // A table is an edge: where none could be read, every table is unknown.
    if of(&[&rde_sql::codes::UNKNOWN_TABLE, &rde_sql::codes::NO_INPUT]) {
        return spec.edges_complete || !spec.edges.is_empty();
    }
    let coverage = [&codes::OUTPUT_WITHOUT_EDGE, &codes::INPUT_WITHOUT_EDGE, &codes::NO_WAY];
    !of(&coverage) || (spec.operators_complete && spec.edges_complete)
}

fn parse(entry: &OperatorEntry<'_>) -> Result<Option<Box<dyn Plan>>, Vec<Error>> {
    if entry.broken {
        return Ok(None);
    }
    let Some(spec) = entry.spec else { return Ok(None) };
    spec.parse(&entry.fields).map(Some).map_err(rde_core::Faults::into_vec)
}

/// Keeps the place of an operator whose faults are known, so that its edges are no faults.
fn drop_in(builder: &mut PipelineBuilder, entry: &OperatorEntry<'_>) {
    builder.add_broken(&entry.id, entry.kind, &entry.kind_name);
}

fn add(builder: &mut PipelineBuilder, entry: &OperatorEntry<'_>, plan: Box<dyn Plan>) {
    let options = OperatorOptions {
        on_error: entry.on_error,
        parallelism: entry.parallelism,
        description: entry.description.clone(),
    };
    match entry.kind {
        Kind::Source => builder.add_source(&entry.id, &entry.kind_name, plan, options),
        Kind::Transform => builder.add_transform(&entry.id, &entry.kind_name, plan, options),
        Kind::Sink => builder.add_sink(&entry.id, &entry.kind_name, plan, options),
    };
}

fn base_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Variables come from the environment, secrets from files beside the pipeline.
struct Environment {
    base: PathBuf,
}

impl Resolver for Environment {
    #[expect(clippy::disallowed_methods, reason = "only app reads the environment, and this is where")]
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err("its value is not UTF-8".to_owned()),
        }
    }

    fn secret_file(&self, path: &str) -> Result<String, String> {
        let path = self.base.join(path);
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        Ok(text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text)).unwrap_or(&text).to_owned())
    }
}

/// Returns default settings, for pipelines built in Rust.
pub fn default_settings() -> Arc<Settings> {
    Arc::new(Settings::default())
}

/// Returns what `discover` may look at before a run of a pipeline built in Rust.
pub fn probe(base: PathBuf, runtime: Runtime) -> Probe {
    Probe { base, mode: ProbeMode::Run, runtime, budget: Budget::new(usize::MAX) }
}
