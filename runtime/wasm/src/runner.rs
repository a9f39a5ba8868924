//! Plugins outside a pipeline: what `rde plugin inspect`, `test` and `bench` are made of.
//!
//! Invariant: a [`PluginRunner`] is a lane of the `wasm` operator, no second way into a guest.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use rde_core::{
    Budget, CancelToken, Error, Faults, Fields, Flow, Incarnation, InputShape, OpenContext, Output, OutputShape, Plan,
    PluginStats, PluginStatsSlot, Result, Runtime, SchemaVersion, Settings, Shape, Transform,
};
use serde::Serialize;

use crate::artifact::{Artifact, Bytes, check_header, compile};
use crate::codes;
use crate::describe::Description;
use crate::host::Host;
use crate::instance::Setting;
use crate::lane::Lane;
use crate::limits::Limits;
use crate::plan::{WasmPlan, describe, file_name};
use crate::trap::Who;
use crate::world::{self, Surface};

/// What a plugin's file is.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The plugin's name, where it runs here.
    pub name: Option<String>,
    /// The plugin's own version.
    pub version: Option<String>,
    /// The version of `rde:plugin` it was built for.
    pub api: Option<String>,
    /// The world that its exports are.
    pub world: Option<String>,
    /// Its imports.
    pub imports: Vec<String>,
    /// Grants it asks for.
    pub wants: Vec<String>,
    /// Bytes of the file.
    pub size: u64,
    /// `sha256:…` of the file.
    pub digest: String,
    /// Why this host does not run it.
    #[serde(skip)]
    pub refused: Option<Error>,
}

/// Reads a plugin's file and describes it. A component that this host would refuse is shown with the reason; what is no
/// component is an error.
pub fn inspect(host: &Arc<Host>, path: &Path, runtime: &Runtime) -> Result<Inspection> {
    let limits = Arc::new(Limits::default());
    let bytes = Bytes::read(path, &limits)?;
    let name = file_name(path);
    check_header(&bytes.wasm, &name)?;
    let size = bytes.wasm.len() as u64;
    let described = host.artifact(&bytes, &name).and_then(|artifact| {
        let setting = setting(host, limits, runtime, &name);
        let who = Who { operator: name.as_str().into(), plugin: name.as_str().into(), digest: artifact.digest.clone() };
        describe(host, &artifact, &setting, &who).map(|description| (artifact, description))
    });
    match described {
        Ok((artifact, description)) => Ok(shown(&artifact, description)),
        Err(refused) => {
            let surface = world::surface(&compile(&host.engines().on_demand, &bytes.wasm, &name)?);
            let Surface { world, imports, .. } = surface;
            Ok(Inspection {
                name: None,
                version: None,
                api: None,
                world: world.map(str::to_owned),
                imports,
                wants: Vec::new(),
                size,
                digest: bytes.digest(),
                refused: Some(refused),
            })
        }
    }
}

fn shown(artifact: &Artifact, description: Description) -> Inspection {
    Inspection {
        name: Some(description.name),
        version: Some(description.version),
        api: Some(description.api),
        world: artifact.surface.world.map(str::to_owned),
        imports: artifact.surface.imports.clone(),
        wants: description.wants,
        size: artifact.size,
        digest: artifact.digest.to_string(),
        refused: None,
    }
}

fn setting(host: &Host, limits: Arc<Limits>, runtime: &Runtime, name: &str) -> Setting {
    Setting {
        budget: Budget::new(limits.memory_max),
        limits,
        ticker: host.hold_ticker(runtime),
        runtime: runtime.clone(),
        pipeline: "".into(),
        operator: name.into(),
        plugin: name.into(),
    }
}

/// How a plugin is run outside a pipeline.
#[derive(Clone)]
pub struct RunnerOptions {
    /// The host; usually [`Host::shared`].
    pub host: Arc<Host>,
    /// The fields of the `wasm` operator: `plugin`, `config`, `limits`.
    pub fields: serde_json::Value,
    /// Relative paths are relative to this folder.
    pub base: std::path::PathBuf,
    /// Time and tasks; the ticker runs on its I/O threads.
    pub runtime: Runtime,
    /// What the guest's memory and outputs are charged to.
    pub budget: Budget,
    /// Settings as of a pipeline.
    pub settings: Arc<Settings>,
}

/// A plugin, opened on one lane.
pub struct PluginRunner {
    lane: Lane,
    description: Arc<Description>,
    outputs: Vec<OutputShape>,
    stats: PluginStatsSlot,
}

impl PluginRunner {
    /// Describes the plugin without opening it; answers the names of its inputs.
    pub fn inputs(options: &RunnerOptions) -> Result<Vec<String>, Faults> {
        Ok(discovered(options)?.1.input_names())
    }

    /// Discovers, binds and opens the plugin on the caller's thread, which must not be the only I/O thread of the runtime.
    /// `inputs` has the columns of each input by its name.
    pub fn open(options: RunnerOptions, inputs: &[(String, SchemaRef)]) -> Result<PluginRunner, Faults> {
        let (mut plan, description) = discovered(&options)?;
        let shapes: Vec<InputShape> = inputs
            .iter()
            .map(|(port, schema)| InputShape {
                port: port.clone(),
                from: format!("input.{port}"),
                shape: Shape::Known(schema.clone()),
                bounded: true,
            })
            .collect();
        let outputs = plan.bind(&shapes)?;
        let stats = PluginStatsSlot::default();
        let ctx = OpenContext {
            pipeline: "plugin".into(),
            operator: "plugin".into(),
            incarnation: Incarnation(0),
            lanes: 1,
            settings: options.settings.clone(),
            base: options.base.clone(),
            started_micros: options.runtime.clock.now_micros(),
            runtime: options.runtime,
            budget: options.budget,
            cancel: CancelToken::new(),
            plugin_stats: stats.clone(),
        };
        let mut lane = plan.lane(ctx)?;
        for (input, (_, schema)) in inputs.iter().enumerate() {
            let version = SchemaVersion { version: 1, schema: schema.clone(), cause: None };
            lane.schema(input, &version, &mut Output::new())?;
        }
        Ok(PluginRunner { lane, description, outputs, stats })
    }

    /// Returns what the plugin says about itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Returns the outputs with their columns.
    pub fn outputs(&self) -> &[OutputShape] {
        &self.outputs
    }

    /// Gives the plugin one batch; what it emits is staged in `out`. On [`Flow::More`] call [`PluginRunner::more`]; on
    /// [`Flow::RetryAfter`] rewind `out` and give the same batch again.
    pub fn run(&mut self, input: usize, batch: RecordBatch, out: &mut Output) -> Result<Flow> {
        self.lane.batch(input, batch, out)
    }

    /// Goes on after [`Flow::More`].
    pub fn more(&mut self, out: &mut Output) -> Result<Flow> {
        self.lane.more(out)
    }

    /// Says that an input has ended.
    pub fn end(&mut self, input: usize, out: &mut Output) -> Result<Flow> {
        self.lane.end(input, out)
    }

    /// Replaces the guest by a new one; the answers must stay the same.
    pub fn renew(&mut self) {
        self.lane.renew();
    }

    /// Closes the guest.
    pub fn close(&mut self) -> Result<()> {
        self.lane.close()
    }

    /// Returns the counters of the plugin.
    pub fn stats(&self) -> Option<&PluginStats> {
        self.stats.get().map(|stats| &**stats)
    }
}

fn discovered(options: &RunnerOptions) -> Result<(WasmPlan, Arc<Description>), Faults> {
    let fields = Fields {
        id: "plugin".into(),
        value: options.fields.clone(),
        secrets: Vec::new(),
        parallelism: None,
        settings: options.settings.clone(),
    };
    let mut plan = WasmPlan::parse(&fields, Some(options.host.clone()))?;
    plan.find(&options.base, &options.runtime, &options.budget)?;
    let described = plan.description();
    let description =
        described.ok_or_else(|| Error::internal(&codes::HOST, "a plugin was found without a description"))?;
    Ok((plan, description))
}
