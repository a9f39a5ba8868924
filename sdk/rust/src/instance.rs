//! One instance of a plugin: the exports, in order, around a [`Transform`].
//!
//! On the batch path: between the raw export and the author's `process`. Invariants: `bind` comes before anything else, and a
//! call out of order is a fatal answer, not a panic. Not here: the raw exports (`export!`), the imports (`host.rs`).

use rde_ipc::{MessageWriter, Schema};
use serde_json::{Value, json};

use crate::batch::Batch;
use crate::bindings::rde::plugin::types::{BatchInfo, Bound, Failure, OpenArgs, Port};
use crate::emit::{Emit, Scratch};
use crate::host;
use crate::plan::{Layout, Plan};
use crate::{Cardinality, Transform};

/// The version of the interface that this crate was made for.
const API: &str = "0.1.0";

/// A plugin and the memory that is used again for each batch.
pub struct Instance<T: Transform> {
    plugin: Option<T>,
    layout: Layout,
    scratch: Scratch,
}

/// Facts of this run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    extras: Vec<(String, String)>,
}

impl Options {
    /// A fact by its name, such as `pipeline`, `operator`, `lane`, `lanes` or `limits.memory_max`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.extras.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl<T: Transform> Default for Instance<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Transform> Instance<T> {
    /// An instance that is not bound yet.
    pub fn new() -> Self {
        Instance { plugin: None, layout: Layout::default(), scratch: Scratch::default() }
    }

    /// The answer of `describe`.
    pub fn describe() -> Vec<u8> {
        host::report_panics();
        let about = T::ABOUT;
        let cardinality = match about.cardinality {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::Filter => "filter",
            Cardinality::Any => "any",
        };
        let schema = Value::from(schemars::schema_for!(T::Config));
        let answer = json!({
            "name": about.name,
            "version": about.version,
            "api": API,
            "kind": "transform",
            "summary": about.summary,
            "config_schema": schema,
            "outputs": [{ "name": "out" }],
            "cardinality": cardinality,
            "cuts": if about.whole_batches { "whole" } else { "any" },
        });
        answer.to_string().into_bytes()
    }

    /// The answer of `bind`.
    pub fn bind(&mut self, config: &[u8], inputs: &[Port]) -> Result<Bound, Failure> {
        host::report_panics();
        let [input] = inputs else {
            return Err(Failure::reject(format!("one input is needed, {} are given", inputs.len())));
        };
        let config = serde_json::from_slice(config)
            .map_err(|error| Failure::reject(format!("the configuration does not fit: {error}")))?;
        let mut plan = Plan::new(Schema::parse(&input.schema.ipc)?);
        self.plugin = Some(T::bind(config, &mut plan)?);
        let (bound, layout) = plan.end()?;
        self.scratch = Scratch::new(MessageWriter::new(&layout.added));
        self.layout = layout;
        Ok(bound)
    }

    /// `open`.
    pub fn open(&mut self, args: OpenArgs) -> Result<(), Failure> {
        bound(&mut self.plugin)?.open(&Options { extras: args.extras })
    }

    /// `process`. An empty message stands for a batch without columns.
    pub fn process(&mut self, info: BatchInfo, message: &[u8]) -> Result<(), Failure> {
        let plugin = bound(&mut self.plugin)?;
        let rows = usize::try_from(info.rows).map_err(|_| Failure::fatal("the batch has too many rows"))?;
        let columns =
            if message.is_empty() { rde_ipc::Batch::without_columns(rows) } else { self.layout.sent.read(message)? };
        let batch = Batch { info, layout: &self.layout, columns, message };
        let mut emit = Emit::new(&self.layout, &mut self.scratch, rows);
        plugin.process(&batch, &mut emit)?;
        self.scratch.end_call()
    }

    /// `end-of-input`.
    pub fn end(&mut self) -> Result<(), Failure> {
        let plugin = bound(&mut self.plugin)?;
        plugin.end(&mut Emit::new(&self.layout, &mut self.scratch, 0))?;
        self.scratch.end_call()
    }

    /// `close`.
    pub fn close(&mut self) -> Result<(), Failure> {
        bound(&mut self.plugin)?.close()
    }
}

fn bound<T>(plugin: &mut Option<T>) -> Result<&mut T, Failure> {
    plugin.as_mut().ok_or_else(|| Failure::fatal("the plugin was not bound"))
}
