//! From configuration to an opened operator: parse, discover, bind, wanted, open.
//!
//! `parse` and `bind` are pure. `discover` is the one phase that looks at the world before a run and changes nothing.
//! Nothing changes the world before `open`.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;

use crate::{
    Budget, CancelToken, Code, Error, Faults, Incarnation, Operator, Place, PluginStatsSlot, Result, Runtime, Settings,
    Wanted,
};

/// What an operator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Reads.
    Source,
    /// Turns batches into batches.
    Transform,
    /// Writes.
    Sink,
}

impl Kind {
    /// Returns the word reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Transform => "transform",
            Kind::Sink => "sink",
        }
    }
}

/// The definition of an operator's fields, from its configuration struct's own docs.
#[derive(Clone, Debug)]
pub struct Reference {
    /// One sentence.
    pub summary: &'static str,
    /// What a user should know beyond the fields, in Markdown; may be empty.
    pub notes: Cow<'static, str>,
    /// JSON Schema (2020-12) of the value below the kind key, made by schemars. A secret has `"writeOnly": true`.
    pub schema: serde_json::Value,
    /// A whole operator entry in YAML, without `id`, for example `csv: { path: data/in.csv }`.
    pub example: &'static str,
}

impl Reference {
    /// Makes the reference of a configuration struct.
    pub fn of<T: schemars::JsonSchema>(
        summary: &'static str,
        notes: impl Into<Cow<'static, str>>,
        example: &'static str,
    ) -> Reference {
        let schema = schemars::schema_for!(T).to_value();
        Reference { summary, notes: notes.into(), schema, example }
    }
}

/// The fields below an operator's kind key: checked against its JSON Schema, variables replaced, secrets in place.
#[derive(Clone, Debug)]
pub struct Fields {
    /// The operator's id.
    pub id: Arc<str>,
    /// The value below the kind key.
    pub value: serde_json::Value,
    /// JSON pointers (below the kind key) of values that came from `${file:…}` or are secret by type.
    pub secrets: Vec<String>,
    /// The operator's own `parallelism`, where written.
    pub parallelism: Option<usize>,
    /// The pipeline's settings.
    pub settings: Arc<Settings>,
}

impl Fields {
    /// Reads the fields into the operator's configuration struct.
    pub fn read<T: DeserializeOwned>(&self, code: &'static Code) -> Result<T> {
        T::deserialize(&self.value).map_err(|error| {
            Error::config(code, format!("operator `{}`: {error}", self.id)).at(Place::default()).in_operator(&self.id)
        })
    }
}

/// A kind of operator. One unit struct each, listed in the registry.
pub trait OperatorSpec: Sync {
    /// Returns the kind key, for example `csv`.
    fn name(&self) -> &'static str;
    /// Returns what it is.
    fn kind(&self) -> Kind;
    /// Returns its fields, types, defaults and an example.
    fn reference(&self) -> Reference;
    /// Makes the plan. Pure; finds every fault it can.
    fn parse(&self, fields: &Fields) -> Result<Box<dyn Plan>, Faults>;
}

/// The columns of a port, as far as they are known before a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// The schema.
    Known(SchemaRef),
    /// Why it is not known.
    Unknown(String),
}

/// One input of an operator, as its sender's output is bound.
#[derive(Clone, Debug)]
pub struct InputShape {
    /// The input port; for operators with [`Inputs::ByEdge`] the table name.
    pub port: String,
    /// The sending end, `id.port`.
    pub from: String,
    /// Its columns.
    pub shape: Shape,
    /// Whether every source upstream of it is bounded.
    pub bounded: bool,
}

/// One output of an operator, without `errors`.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputShape {
    /// `out` for the only one.
    pub port: String,
    /// Its columns.
    pub shape: Shape,
}

/// Why a column has the type it has, where a user may not expect it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeNote {
    /// The column.
    pub column: String,
    /// The type of most of its values.
    pub narrower: DataType,
    /// For the help of an error: the value that made it so, its place, and what to do.
    pub text: String,
}

/// The input ports of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// These ports; edges into one of them merge. `["in"]` for most, empty for sources.
    Ports(Vec<String>),
    /// One input for each output that sends to it, named by the sender (`sql`).
    ByEdge,
}

/// How many lanes an operator can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// One.
    One,
    /// One, and its rows come out in an order that was asked for (`ORDER BY`). What they pass behind it runs in one lane too,
    /// until an operator over whole inputs or a merge ends the order: lanes would mix the rows.
    InOrder,
    /// Any number: it keeps no state between batches.
    Many,
}

/// Whether the counts of an operator must balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Sources, sinks, one-to-one operators and filters: the equation of their kind holds.
    Checked,
    /// One-to-many and whole-input operators report without an equation.
    Free,
}

/// Facts about a bound operator that the engine needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// How many lanes it can have.
    pub lanes: Lanes,
    /// Whether it reads whole inputs (it opens as an `AsyncTransform`).
    pub whole: bool,
    /// For sources: whether it ends by itself.
    pub bounded: bool,
    /// Whether its counts must balance.
    pub balance: Balance,
    /// Whether small batches are joined before it, when `settings.coalesce` is on.
    pub joining: Joining,
}

/// What an operator says of small batches that the engine may join before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// Each call costs much, so fewer are better (plugins).
    Wanted,
    /// It is all the same to it.
    Indifferent,
    /// Its answer may hang on the cuts (plugins with `cuts: whole`).
    Forbidden,
}

/// A file, folder or glob that a plan reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// One file.
    File(PathBuf),
    /// Every file below a folder with one of these extensions (without dot; empty: all).
    Folder(PathBuf, Vec<String>),
    /// A glob.
    Glob(String),
    /// Standard input.
    Stdin,
}

/// What a plan touches on local disk, so that an output under an input's glob, two outputs on one target and two readers of
/// one pipe are found before the run. `reads` is asked before `discover` too, since that may read a pipe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// What it reads.
    pub reads: Vec<PathPattern>,
    /// Paths that files it makes would have: a single file, or examples of files in its folder, where a folder `<column>=*`
    /// stands for every value. `*.<extension>` is the folder as the target of all its files, those in folders below it
    /// too: nobody else writes files of the extension there. [`STDOUT`] is standard output.
    pub writes: Vec<PathBuf>,
}

/// Standard output among the paths that a plan writes.
pub const STDOUT: &str = "-";

/// What a plan may look at in `discover`.
#[derive(Clone)]
pub struct Probe {
    /// Relative paths are relative to this folder.
    pub base: PathBuf,
    /// Whether a run follows.
    pub mode: ProbeMode,
    /// Time, chance, tasks.
    pub runtime: Runtime,
    /// The pipeline's budget.
    pub budget: Budget,
}

/// Why `discover` is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeMode {
    /// `validate`, `graph`: standard input and FIFOs are not read.
    Look,
    /// `run`: they are read, and the sample is kept.
    Run,
}

/// What an operator gets when it is opened.
#[derive(Clone)]
pub struct OpenContext {
    /// Name of the pipeline.
    pub pipeline: Arc<str>,
    /// The operator's id.
    pub operator: Arc<str>,
    /// This process's run.
    pub incarnation: Incarnation,
    /// Number of lanes the engine wants; a source may open fewer when it has fewer splits.
    pub lanes: usize,
    /// Settings of the pipeline.
    pub settings: Arc<Settings>,
    /// Relative paths are relative to this folder.
    pub base: PathBuf,
    /// Time, chance, tasks.
    pub runtime: Runtime,
    /// The run's start, microseconds since the Unix epoch: SQL's `now()`.
    pub started_micros: i64,
    /// The operator's budget; its parent is the pipeline's.
    pub budget: Budget,
    /// Tells the operator to stop at once.
    pub cancel: CancelToken,
    /// Where a plugin leaves its counters.
    pub plugin_stats: PluginStatsSlot,
}

/// A configured operator on its way to being opened.
pub trait Plan: Send {
    /// Looks: samples a file, reads a footer, describes a plugin. Changes nothing.
    fn discover<'a>(&'a mut self, probe: &'a Probe) -> BoxFuture<'a, Result<(), Faults>>;
    /// Returns the input ports; known after `discover`.
    fn inputs(&self) -> Inputs;
    /// Checks the inputs' columns and returns the outputs. Pure; called again when a schema upstream is narrowed.
    fn bind(&mut self, inputs: &[InputShape]) -> Result<Vec<OutputShape>, Faults>;
    /// Returns what `discover` found out about the types of columns. For help texts alone, so most have nothing to say.
    fn type_notes(&self) -> &[TypeNote] {
        &[]
    }
    /// Hears, before `bind`, the notes of those that send to it.
    fn hear(&mut self, _notes: Vec<TypeNote>) {}
    /// Returns facts that hold after `bind`.
    fn traits(&self) -> Traits;
    /// Takes what is wanted of each output and returns what it wants of each input. Pure. A source notes what it will
    /// apply; it may apply less.
    fn wanted(&mut self, by_output: &[Wanted]) -> Vec<Wanted>;
    /// Returns the local files it reads and writes.
    fn footprint(&self) -> Footprint;
    /// Opens it.
    fn open(self: Box<Self>, ctx: OpenContext) -> BoxFuture<'static, Result<Operator>>;
}
