//! The `wasm` operator on its way to being opened: parse, discover, bind, wanted, open.
//!
//! `discover` reads, compiles and describes the plugin on a thread of its own; `bind` asks a throw-away guest, under the limits
//! of a run.
//! Invariant: what a plugin answers in `bind` for one set of columns is asked once and kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::datatypes::{Schema, SchemaRef};
use futures::channel::oneshot;
use rde_core::{
    Balance, Budget, Columns, Error, Faults, Fields, Footprint, Incarnation, InputShape, Inputs, Joining, Kind, Lanes,
    OpenContext, Operator, OperatorSpec, OutputShape, PathPattern, Place, Plan, PluginStats, Probe, Reference, Result,
    Runtime, Shape, Traits, Wanted,
};
use rde_core::{BoxFuture, Transform};

use crate::artifact::{Artifact, Bytes, check_digest};
use crate::bind::{BoundPlan, Origin};
use crate::codes;
use crate::config::WasmConfig;
use crate::config_schema;
use crate::describe::{Cardinality, Cuts, Description};
use crate::host::Host;
use crate::instance::{Setting, start};
use crate::lane::{Lane, Shared};
use crate::limits::Limits;
use crate::trap::Who;

/// The transform `wasm`: runs a plugin.
#[derive(Debug)]
pub struct Wasm;

const SUMMARY: &str = "Runs a plugin, a WebAssembly component, on every batch.";
const NOTES: &str = "\
A plugin gets no files, network, environment or clock but what the host gives: it sees its configuration and its input, \
and may log. Make one with `rde plugin new` and `rde plugin build`; `rde plugin inspect` shows what one needs.

Named inputs and outputs of a plugin are ports: `[score.late, lake]` is the output `late` of the operator `score`. Rows \
that the plugin refuses go to `errors` by `on_error`. A plugin that traps, takes too long or uses too much memory fails \
the run.

`rde validate` runs `describe` and `bind` of the plugin, under the same limits as a run.

Limits that cannot be set: an encoded batch of 64 MiB or half of `memory_max`, whichever is less (`input_max`); in one call \
256 emits (`emits_max`), 100,000 host calls (`host_calls_max`) with 65 MiB each (`transfer_max`), 65,536 refused rows \
(`faults_max`) with 1 MiB of texts (`fault_text_max`); 10 attempts of a batch (`retry_max`) within 300 s (`retry_wait_max`); \
5 s for each of `describe`, `bind` and `open`; 4 memories, 64 core instances, tables of 100,000 elements, 10,000 handles and \
512 KiB of stack; 64 KiB of log lines a second (`log_rate_max`), 4 KiB a line; 4,096 new columns (`fields_added_max`), 32 \
nested types; names of 64 bytes for ports and codes (`name_max`) and of 1 KiB for columns; an artifact of 64 MiB.";
const EXAMPLE: &str =
    "wasm: { plugin: plugins/redact.wasm, config: { columns: [email] }, limits: { memory_max: 64MiB, time_max: 2s } }";

impl OperatorSpec for Wasm {
    fn name(&self) -> &'static str {
        "wasm"
    }

    fn kind(&self) -> Kind {
        Kind::Transform
    }

    fn reference(&self) -> Reference {
        Reference::of::<WasmConfig>(SUMMARY, NOTES, EXAMPLE)
    }

    fn parse(&self, fields: &Fields) -> Result<Box<dyn Plan>, Faults> {
        Ok(Box::new(WasmPlan::parse(fields, None)?))
    }
}

/// The plan of one `wasm` operator.
pub(crate) struct WasmPlan {
    id: Arc<str>,
    config: WasmConfig,
    limits: Arc<Limits>,
    /// A host of its own; `None`: the process's.
    host: Option<Arc<Host>>,
    found: Option<Found>,
    /// Answers of `bind` so far, by input columns.
    bound: Vec<(Vec<SchemaRef>, Arc<BoundPlan>)>,
    /// Columns of the inputs as bound last; `None` where they are not known.
    inputs: Vec<Option<SchemaRef>>,
}

/// What `discover` found.
struct Found {
    host: Arc<Host>,
    artifact: Arc<Artifact>,
    description: Arc<Description>,
    config: Arc<Vec<u8>>,
    path: PathBuf,
    /// What guests that `bind` asks are started with.
    asking: Shared,
}

/// Answers of `bind` that are kept: as bound at first, narrowed, and asked for.
const BOUND_MAX: usize = 8;

impl WasmPlan {
    /// Reads the fields; pure.
    pub(crate) fn parse(fields: &Fields, host: Option<Arc<Host>>) -> Result<WasmPlan, Faults> {
        let config: WasmConfig = fields.read(&codes::FIELDS)?;
        let (limits, mut errors) = config.limits.resolve();
        if config.plugin.is_empty() {
            let error = Error::config(&codes::FIELDS, "`plugin` is empty");
            errors.push(error.help("it names the plugin's file").at(Place::field("/plugin")));
        }
        if config.digest.as_deref().is_some_and(|digest| !is_digest(digest)) {
            let error = Error::config(&codes::FIELDS, "`digest` is not `sha256:` and 64 lower-case hex digits");
            errors.push(error.help("`rde plugin inspect` shows the digest of a file").at(Place::field("/digest")));
        }
        let secrets = fields.secrets.iter().filter_map(|pointer| pointer.strip_prefix("/config"));
        errors.extend(secrets.map(config_schema::secret));
        Faults::check(named(errors, &fields.id))?;
        Ok(WasmPlan {
            id: fields.id.clone(),
            config,
            limits: Arc::new(limits),
            host,
            found: None,
            bound: Vec::new(),
            inputs: Vec::new(),
        })
    }

    /// Returns the answer of `bind` for these columns, asking a throw-away guest at first.
    fn ask(&mut self, inputs: &[SchemaRef]) -> Result<Arc<BoundPlan>> {
        if let Some((_, plan)) = self.bound.iter().find(|(known, _)| known == inputs) {
            return Ok(plan.clone());
        }
        let Some(found) = &self.found else {
            return Err(Error::internal(&codes::HOST, "a plugin was bound before it was discovered"));
        };
        let (_, plan) = found.asking.start(inputs, false)?;
        if self.bound.len() >= BOUND_MAX {
            self.bound.remove(0);
        }
        self.bound.push((inputs.to_vec(), plan.clone()));
        Ok(plan)
    }

    fn known_inputs(&self) -> Option<Vec<SchemaRef>> {
        self.inputs.iter().cloned().collect()
    }

    /// Asks only for the columns that matter, if the plugin, bound to those alone, does the same.
    fn narrowed(&mut self, by_output: &[Wanted]) -> Option<Vec<Wanted>> {
        let inputs = self.known_inputs()?;
        let plan = self.ask(&inputs).ok()?;
        let needed = needed(&plan, &inputs, by_output)?;
        let project = |(schema, columns): (&SchemaRef, &Vec<usize>)| schema.project(columns).ok().map(Arc::new);
        let narrow: Vec<SchemaRef> = inputs.iter().zip(&needed).map(project).collect::<Option<_>>()?;
        let same = narrow == inputs || does_the_same(&plan, &*self.ask(&narrow).ok()?, &inputs, &narrow);
        same.then(|| {
            let wish = |schema: &SchemaRef| {
                let names = schema.fields().iter().map(|field| field.name().clone()).collect();
                Wanted { columns: Columns::Named(names), predicate: None }
            };
            narrow.iter().map(wish).collect()
        })
    }

    /// Discovers on the caller's thread.
    pub(crate) fn find(&mut self, base: &Path, runtime: &Runtime, budget: &Budget) -> Result<(), Faults> {
        self.found = Some(self.finding(base, runtime, budget).find()?);
        Ok(())
    }

    /// Returns what `discover` heard; nothing before it.
    pub(crate) fn description(&self) -> Option<Arc<Description>> {
        self.found.as_ref().map(|found| found.description.clone())
    }

    /// Opens one lane, outside an engine.
    pub(crate) fn lane(self, ctx: OpenContext) -> Result<Lane> {
        let lane = self.lanes(ctx)?.pop();
        lane.ok_or_else(|| Error::internal(&codes::HOST, "a plugin was opened without a lane"))
    }

    fn finding(&self, base: &Path, runtime: &Runtime, budget: &Budget) -> Finding {
        Finding {
            host: self.host.clone(),
            id: self.id.clone(),
            config: self.config.clone(),
            limits: self.limits.clone(),
            path: base.join(&self.config.plugin),
            runtime: runtime.clone(),
            budget: budget.clone(),
        }
    }

    fn lanes(self, ctx: OpenContext) -> Result<Vec<Lane>> {
        let known = self.known_inputs();
        let bound =
            known.and_then(|known| self.bound.iter().find(|(inputs, _)| *inputs == known)).map(|(_, plan)| plan);
        let outputs = bound.map(|plan| plan.outputs.iter().map(|output| output.name.clone()).collect());
        let Some(found) = self.found else {
            return Err(Error::internal(&codes::HOST, "a plugin was opened before it was discovered"));
        };
        let digest = found.artifact.digest.to_string();
        let stats = ctx.plugin_stats.get_or_init(|| Arc::new(PluginStats::new(digest))).clone();
        let plugin: Arc<str> = found.description.name.as_str().into();
        let shared = Arc::new(Shared {
            setting: Setting {
                limits: self.limits,
                budget: ctx.budget,
                ticker: found.host.hold_ticker(&ctx.runtime),
                runtime: ctx.runtime,
                pipeline: ctx.pipeline,
                operator: ctx.operator.clone(),
                plugin: plugin.clone(),
            },
            who: Who { operator: ctx.operator, plugin, digest: found.artifact.digest.clone() },
            host: found.host,
            artifact: found.artifact,
            description: found.description,
            config: found.config,
            stats,
            incarnation: ctx.incarnation,
            lanes: ctx.lanes,
            memory_max: ctx.settings.memory_max.bytes(),
            rows_max: ctx.settings.batch_rows_max,
            outputs: outputs.unwrap_or_default(),
            seq: AtomicU64::new(0),
        });
        Ok((0..ctx.lanes.max(1)).map(|number| Lane::new(shared.clone(), number, self.inputs.clone())).collect())
    }
}

impl Plan for WasmPlan {
    fn discover<'a>(&'a mut self, probe: &'a Probe) -> BoxFuture<'a, Result<(), Faults>> {
        let finding = self.finding(&probe.base, &probe.runtime, &probe.budget);
        Box::pin(async move {
            let (tx, rx) = oneshot::channel();
            // Compiling takes seconds and a guest may run to its deadline, so no thread that others need is used.
            let job = Box::new(move || drop(tx.send(finding.find())));
            probe.runtime.spawn.spawn_blocking("plugin discover", job);
            let found =
                rx.await.map_err(|_| Error::internal(&codes::HOST, "the thread that reads a plugin has ended"))?;
            self.found = Some(found?);
            Ok(())
        })
    }

    fn inputs(&self) -> Inputs {
        let described = self.found.as_ref().map(|found| found.description.input_names());
        Inputs::Ports(described.unwrap_or_else(|| vec!["in".to_owned()]))
    }

    fn bind(&mut self, inputs: &[InputShape]) -> Result<Vec<OutputShape>, Faults> {
        let Some(found) = &self.found else {
            return Err(Error::internal(&codes::HOST, "a plugin was bound before it was discovered").into());
        };
        let names = found.description.input_names();
        let shape = |name: &String| inputs.iter().find(|input| input.port == *name).map(|input| &input.shape);
        let shapes: Vec<Option<&Shape>> = names.iter().map(shape).collect();
        self.inputs = shapes
            .iter()
            .map(|shape| match shape {
                Some(Shape::Known(schema)) => Some(schema.clone()),
                _ => None,
            })
            .collect();
        let Some(known) = self.known_inputs() else {
            let unknown = shapes.iter().find_map(|shape| match shape {
                Some(Shape::Unknown(reason)) => Some(reason.clone()),
                _ => None,
            });
            let reason = unknown.unwrap_or_else(|| "an input of the plugin has no edge".to_owned());
            let described = found.description.outputs.as_ref();
            let ports = described.map(|outputs| outputs.iter().map(|output| output.name.clone()).collect());
            let ports: Vec<String> = ports.unwrap_or_else(|| vec!["out".to_owned()]);
            let unknown = |port| OutputShape { port, shape: Shape::Unknown(reason.clone()) };
            return Ok(ports.into_iter().map(unknown).collect());
        };
        let plan = self.ask(&known).map_err(|error| {
            let error = if error.place().is_some() { error } else { error.at(Place::field("/plugin")) };
            error.in_operator(&self.id)
        })?;
        let known = |(name, schema)| OutputShape { port: name, shape: Shape::Known(schema) };
        Ok(plan.outputs.iter().map(|output| (output.name.clone(), output.schema.clone())).map(known).collect())
    }

    fn traits(&self) -> Traits {
        let description = self.found.as_ref().map(|found| &found.description);
        let promises = description.is_some_and(|description| description.cardinality != Cardinality::Any);
        Traits {
            lanes: Lanes::Many,
            whole: false,
            bounded: false,
            balance: if promises { Balance::Checked } else { Balance::Free },
            joining: match description.map(|description| description.cuts) {
                Some(Cuts::Whole) => Joining::Forbidden,
                Some(Cuts::Any) | None => Joining::Wanted,
            },
        }
    }

    fn wanted(&mut self, by_output: &[Wanted]) -> Vec<Wanted> {
        self.narrowed(by_output).unwrap_or_else(|| vec![Wanted::all(); self.inputs.len()])
    }

    fn footprint(&self) -> Footprint {
        let path = self.found.as_ref().map_or_else(|| PathBuf::from(&self.config.plugin), |found| found.path.clone());
        Footprint { reads: vec![PathPattern::File(path)], writes: Vec::new() }
    }

    fn open(self: Box<Self>, ctx: OpenContext) -> BoxFuture<'static, Result<Operator>> {
        Box::pin(async move {
            let lanes = self.lanes(ctx)?;
            Ok(Operator::Transform(lanes.into_iter().map(|lane| Box::new(lane) as Box<dyn Transform>).collect()))
        })
    }
}

/// What `discover` does on its thread.
struct Finding {
    host: Option<Arc<Host>>,
    id: Arc<str>,
    config: WasmConfig,
    limits: Arc<Limits>,
    path: PathBuf,
    runtime: Runtime,
    budget: Budget,
}

impl Finding {
    fn find(self) -> Result<Found, Faults> {
        let id = self.id.clone();
        self.read().map_err(|faults| {
            let errors = faults.into_vec();
            match Faults::check(named(errors, &id)) {
                Err(faults) => faults,
                Ok(()) => Error::internal(&codes::HOST, "a plugin failed without a reason").into(),
            }
        })
    }

    fn read(self) -> Result<Found, Faults> {
        let name = file_name(&self.path);
        let host = self.host.map_or_else(Host::shared, Ok)?;
        let bytes = Bytes::read(&self.path, &self.limits)?;
        check_digest(&bytes.digest(), self.config.digest.as_deref(), &name)?;
        let artifact = host.artifact(&bytes, &name)?;
        let who = Who { operator: self.id.clone(), plugin: name.as_str().into(), digest: artifact.digest.clone() };
        let setting = Setting {
            limits: self.limits.clone(),
            budget: self.budget,
            ticker: host.hold_ticker(&self.runtime),
            runtime: self.runtime,
            pipeline: "".into(),
            operator: self.id.clone(),
            plugin: name.as_str().into(),
        };
        let description = Arc::new(describe(&host, &artifact, &setting, &who)?);
        let config = serde_json::Value::Object(self.config.config);
        Faults::check(config_schema::check(&description.config_schema, &config, &description.name))?;
        let config = Arc::new(config.to_string().into_bytes());
        let plugin: Arc<str> = description.name.as_str().into();
        let asking = Shared {
            host: host.clone(),
            artifact: artifact.clone(),
            description: description.clone(),
            config: config.clone(),
            who: Who { plugin: plugin.clone(), ..who },
            setting: Setting { plugin, ..setting },
            stats: Arc::new(PluginStats::new(artifact.digest.to_string())),
            incarnation: Incarnation(0),
            lanes: 1,
            memory_max: usize::MAX,
            rows_max: usize::MAX,
            outputs: Vec::new(),
            seq: AtomicU64::new(0),
        };
        Ok(Found { host, artifact, description, config, path: self.path, asking })
    }
}

/// Asks a throw-away guest what the plugin is.
pub(crate) fn describe(host: &Host, artifact: &Artifact, setting: &Setting, who: &Who) -> Result<Description> {
    let answer = start(host, artifact, setting)?.and_then(|mut instance| instance.describe());
    let answer = answer.map_err(|trap| trap.error(who, None))?;
    Description::read(&answer, &who.plugin)
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Returns the columns of each input that the plugin reads or a reader of its outputs wants; `None`: cannot be narrowed.
fn needed(plan: &BoundPlan, inputs: &[SchemaRef], by_output: &[Wanted]) -> Option<Vec<Vec<usize>>> {
    let mut needed: Vec<Vec<bool>> = Vec::with_capacity(inputs.len());
    for (columns, schema) in plan.columns.iter().zip(inputs) {
        let mut read = vec![false; schema.fields().len()];
        columns.as_ref()?.iter().for_each(|index| read[*index] = true);
        needed.push(read);
    }
    for (output, wanted) in plan.outputs.iter().zip(by_output) {
        let wants = |schema: &Schema, index: usize| match &wanted.columns {
            Columns::All => true,
            Columns::Named(names) => names.contains(schema.field(index).name()),
        };
        let (input, reused): (usize, Vec<usize>) = match &output.origin {
            Origin::SameAs(input) => (*input, (0..inputs[*input].fields().len()).collect()),
            Origin::Derived { input, reuse, .. } => (*input, reuse.clone()),
            Origin::Full => continue,
        };
        reused.into_iter().filter(|index| wants(&inputs[input], *index)).for_each(|index| needed[input][index] = true);
    }
    let list = |read: Vec<bool>| read.iter().enumerate().filter(|(_, read)| **read).map(|(index, _)| index).collect();
    Some(needed.into_iter().map(list).collect())
}

/// Returns whether a plugin that is bound to fewer columns reads the same ones and gives what it gave, less only columns that
/// are gone.
fn does_the_same(plan: &BoundPlan, narrow: &BoundPlan, inputs: &[SchemaRef], narrowed: &[SchemaRef]) -> bool {
    let reads = |plan: &BoundPlan, schemas: &[SchemaRef]| -> Vec<Option<Vec<String>>> {
        let names = |(columns, schema): (&Option<Vec<usize>>, &SchemaRef)| {
            let name = |index: &usize| schema.field(*index).name().clone();
            columns.as_ref().map(|list| list.iter().map(name).collect())
        };
        plan.columns.iter().zip(schemas).map(names).collect()
    };
    if reads(plan, inputs) != reads(narrow, narrowed) || plan.outputs.len() != narrow.outputs.len() {
        return false;
    }
    plan.outputs.iter().zip(&narrow.outputs).all(|(wide, thin)| {
        let origins = match (&wide.origin, &thin.origin) {
            (Origin::SameAs(wide), Origin::SameAs(thin)) => wide == thin,
            (
                Origin::Derived { input: wide, added: wide_added, .. },
                Origin::Derived { input: thin, added: thin_added, .. },
            ) => wide == thin && wide_added == thin_added,
            (Origin::Full, Origin::Full) => return wide == thin,
            _ => false,
        };
        let gone = |name: &str| narrowed.iter().all(|schema| schema.field_with_name(name).is_err());
        let left = wide
            .schema
            .fields()
            .iter()
            .filter(|field| !gone(field.name()) || thin.schema.field_with_name(field.name()).is_ok());
        origins && wide.name == thin.name && wide.id == thin.id && left.eq(thin.schema.fields().iter())
    })
}

fn named(errors: Vec<Error>, operator: &str) -> Vec<Error> {
    let name = |error: Error| {
        let error = if error.place().is_some() { error } else { error.at(Place::field("/plugin")) };
        error.in_operator(operator)
    };
    errors.into_iter().map(name).collect()
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::STACK_MAX;

    #[test]
    fn the_notes_say_the_limits_as_they_are() {
        let limits = Limits::default();
        let (kib, mib) = (|bytes: usize| format!("{} KiB", bytes >> 10), |bytes: usize| format!("{} MiB", bytes >> 20));
        for said in [
            format!("an encoded batch of {}", mib(Limits { memory_max: 1 << 30, ..Limits::default() }.input_bytes())),
            format!("{} emits", limits.emits_max),
            format!("{} host calls", grouped(limits.host_calls_max as usize)),
            format!("with {} each", mib(limits.transfer_max)),
            format!("{} refused rows", grouped(limits.faults_max)),
            format!("with {} of texts", mib(limits.fault_text_max)),
            format!("{} attempts", limits.retry_max),
            format!("within {} s", limits.retry_wait_max.as_secs()),
            format!("{} s for each", limits.open_time_max.as_secs()),
            format!("{} memories, {} core instances", limits.memories_max, limits.instances_max),
            format!("tables of {} elements, {} handles", grouped(limits.elements_max), grouped(limits.handles_max)),
            format!("{} of stack", kib(STACK_MAX)),
            format!("{} of log lines a second", kib(limits.log_rate_max)),
            format!("{} a line", kib(limits.log_line_max)),
            format!("{} new columns", grouped(limits.fields_added_max)),
            format!("{} nested types", limits.depth_max),
            format!("names of {} bytes", limits.name_max),
            format!("of {} for columns", kib(limits.column_name_max)),
            format!("an artifact of {}", mib(usize::try_from(limits.artifact_max).expect("it fits"))),
        ] {
            assert!(NOTES.contains(&said), "the notes do not say `{said}`");
        }
    }

    fn grouped(number: usize) -> String {
        if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
    }
}
