//! Says whether a component is a plugin of world `transform` that this host can run, by its imports and exports alone.
//!
//! Invariant: what passes here instantiates as far as names and types go; everything refused is refused by its name.
//! Not here: what the plugin says about itself (`describe.rs`).

use rde_core::{Code, Error};
use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower};

use crate::abi::{Answer, BindAnswer, BindArgs, Functions, OpenArgs, ProcessArgs};
use crate::codes;
use crate::state::HostState;
use crate::text::shown;

/// The version of `rde:plugin` that this host serves.
pub const API: &str = "0.1.0";

const PACKAGE: &str = "rde:plugin/";
const EMIT: [&str; 7] = ["message", "parts", "forward", "keep", "pick", "extend", "expand"];
const LOG: [&str; 2] = ["enabled", "write"];
const CLOCK: [&str; 1] = ["now"];
/// Interfaces that a later version serves.
const LATER: [&str; 7] = ["metrics", "resources", "state", "timers", "watermarks", "snapshot-io", "positions"];
/// Worlds by the exports that tell them apart.
const WORLDS: [(&str, &[&str]); 5] = [
    ("transform", &["lifecycle", "processor"]),
    ("stateful-transform", &["lifecycle", "processor", "timed", "checkpointed"]),
    ("source", &["lifecycle", "reader", "checkpointed"]),
    ("sink", &["lifecycle", "writer", "checkpointed"]),
    ("udf", &["lifecycle", "scalar-udf", "aggregate-udf"]),
];
const NAMES_SHOWN_MAX: usize = 16;

/// What a component says without being run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surface {
    /// The world that its exports are, where they are one.
    pub world: Option<&'static str>,
    /// Its imports, as `rde:plugin/emit@0.1.0`.
    pub imports: Vec<String>,
    /// Its exports.
    pub exports: Vec<String>,
}

/// Where the exports of world `transform` are in a component.
#[derive(Clone, Copy)]
pub(crate) struct Exports {
    describe: ComponentExportIndex,
    bind: ComponentExportIndex,
    open: ComponentExportIndex,
    close: ComponentExportIndex,
    process: ComponentExportIndex,
    end_of_input: ComponentExportIndex,
}

/// Reads the names of a component's imports and exports.
pub(crate) fn surface(component: &Component) -> Surface {
    let engine = component.engine();
    let kind = component.component_type();
    let imports: Vec<String> = kind.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let exports: Vec<String> = kind.exports(engine).map(|(name, _)| name.to_owned()).collect();
    Surface { world: world(&exports), imports, exports }
}

/// Checks a component's imports and the version and world of its exports.
pub(crate) fn check(component: &Component, name: &str) -> Result<(), Error> {
    let surface = surface(component);
    check_wasi(&surface, name)?;
    check_versions(&surface, name)?;
    check_world(&surface, name)?;
    check_imports(component, name)
}

/// Finds the exports and checks their types.
pub(crate) fn exports(pre: &InstancePre<HostState>, name: &str) -> Result<Exports, Error> {
    Ok(Exports {
        describe: export::<(), (Vec<u8>,)>(pre, "lifecycle", "describe", name)?,
        bind: export::<BindArgs, BindAnswer>(pre, "lifecycle", "bind", name)?,
        open: export::<(OpenArgs,), Answer>(pre, "lifecycle", "open", name)?,
        close: export::<(), Answer>(pre, "lifecycle", "close", name)?,
        process: export::<ProcessArgs<'static>, Answer>(pre, "processor", "process", name)?,
        end_of_input: export::<(u32,), Answer>(pre, "processor", "end-of-input", name)?,
    })
}

impl Exports {
    /// Returns the functions of one instance.
    pub(crate) fn functions(
        &self,
        instance: &wasmtime::component::Instance,
        store: &mut wasmtime::Store<HostState>,
    ) -> wasmtime::Result<Functions> {
        Ok(Functions {
            describe: instance.get_typed_func(&mut *store, self.describe)?,
            bind: instance.get_typed_func(&mut *store, self.bind)?,
            open: instance.get_typed_func(&mut *store, self.open)?,
            close: instance.get_typed_func(&mut *store, self.close)?,
            process: instance.get_typed_func(&mut *store, self.process)?,
            end_of_input: instance.get_typed_func(&mut *store, self.end_of_input)?,
        })
    }
}

fn world(exports: &[String]) -> Option<&'static str> {
    let mut ours: Vec<&str> = exports.iter().filter_map(|name| interface(name)).map(|(name, _)| name).collect();
    ours.sort_unstable();
    let same = |names: &[&str]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        names == ours
    };
    WORLDS.iter().find(|(_, names)| same(names)).map(|(world, _)| *world)
}

/// Splits `rde:plugin/emit@0.1.0` into `emit` and `0.1.0`.
fn interface(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.split_once('@')
}

fn check_wasi(surface: &Surface, name: &str) -> Result<(), Error> {
    let wasi: Vec<&str> =
        surface.imports.iter().map(String::as_str).filter(|import| import.starts_with("wasi:")).collect();
    if wasi.is_empty() {
        return Ok(());
    }
    let message = format!("plugin `{name}` imports WASI, which plugins do not get: {}", list(&wasi));
    Err(Error::config(&codes::WASI, message).help("build it for wasm32-unknown-unknown, or stub these imports out"))
}

fn check_versions(surface: &Surface, name: &str) -> Result<(), Error> {
    let served = |version: &str| version.strip_prefix("0.1.").is_some_and(|patch| patch.parse::<u32>().is_ok());
    let names = surface.imports.iter().chain(&surface.exports);
    let other = names.filter_map(|name| interface(name)).find(|(_, version)| !served(version));
    let Some((interface, version)) = other else { return Ok(()) };
    let message = format!(
        "plugin `{name}` was built for `rde:plugin` {}, and this host serves {API} (its `{}` says so)",
        shown(version, 64),
        shown(interface, 64)
    );
    Err(Error::config(&codes::API_VERSION, message).help("build the plugin with the SDK of this version"))
}

fn check_world(surface: &Surface, name: &str) -> Result<(), Error> {
    let has =
        |wanted: &str| surface.exports.iter().any(|export| interface(export).is_some_and(|(name, _)| name == wanted));
    let message = match surface.world {
        Some("transform") => return Ok(()),
        Some(other) => format!("plugin `{name}` has the world `{other}`, and this version runs only `transform`"),
        None if !surface.exports.iter().any(|export| interface(export).is_some()) => {
            let exports: Vec<&str> = surface.exports.iter().map(String::as_str).collect();
            format!("`{name}` is a component, but no plugin: it exports {}", list(&exports))
        }
        None => match ["lifecycle", "processor"].into_iter().find(|wanted| !has(wanted)) {
            Some(missing) => format!("plugin `{name}` does not export `{missing}`, which the world `transform` has"),
            None => format!("plugin `{name}` exports more than the world `transform` has"),
        },
    };
    Err(Error::config(&codes::WORLD, message).help("`rde plugin inspect` shows what a plugin imports and exports"))
}

fn check_imports(component: &Component, name: &str) -> Result<(), Error> {
    let engine = component.engine();
    let mut refused = Vec::new();
    for (import, item) in component.component_type().imports(engine) {
        match (interface(import), item.ty) {
            (Some((interface, _)), ComponentItem::ComponentInstance(instance)) => {
                refused.extend(refused_functions(engine, interface, &instance));
            }
            _ => refused.push(import.to_owned()),
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = refused.iter().map(String::as_str).collect();
    let later = names.iter().any(|name| LATER.contains(name) || *name == "emit.declare");
    let why = if later { "which this version does not serve yet" } else { "which this host does not have" };
    Err(Error::config(&codes::IMPORT, format!("plugin `{name}` imports {}, {why}", list(&names)))
        .help("a plugin may import `emit` (without `declare`), `log` and `clock` of `rde:plugin`"))
}

/// Returns the imported functions of an interface that this host does not serve; the interface itself when it has none of it.
fn refused_functions(engine: &Engine, interface: &str, instance: &ComponentInstance) -> Vec<String> {
    let served: &[&str] = match interface {
        "types" => &[],
        "emit" => &EMIT,
        "log" => &LOG,
        "clock" => &CLOCK,
        other => return vec![other.to_owned()],
    };
    let other = instance.exports(engine).filter(|(function, item)| match item.ty {
        ComponentItem::Type(_) => false,
        ComponentItem::ComponentFunc(_) => !served.contains(function),
        _ => true,
    });
    other.map(|(function, _)| format!("{interface}.{function}")).collect()
}

fn export<P, R>(
    pre: &InstancePre<HostState>,
    interface_name: &str,
    function: &str,
    name: &str,
) -> Result<ComponentExportIndex, Error>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let component = pre.component();
    let exports = surface(component).exports;
    let full = exports.iter().find(|export| interface(export).is_some_and(|(name, _)| name == interface_name));
    let parent = full.and_then(|full| component.get_export_index(None, full));
    let found = parent.and_then(|parent| component.get_export(Some(&parent), function));
    let refuse = |code: &'static Code, what: String| {
        Error::config(code, format!("plugin `{name}` {what}")).help("build the plugin with the SDK of this version")
    };
    let Some((item, index)) = found else {
        return Err(refuse(&codes::WORLD, format!("does not export `{interface_name}.{function}`")));
    };
    let ComponentItem::ComponentFunc(found) = item else {
        return Err(refuse(&codes::WORLD, format!("exports `{interface_name}.{function}`, which is no function")));
    };
    typecheck::<P, R>(&found, pre).map_err(|error| {
        let why = shown(&format!("{error:#}"), 256);
        refuse(&codes::WORLD, format!("exports `{interface_name}.{function}` with another type: {why}"))
    })?;
    Ok(index)
}

fn typecheck<P, R>(function: &ComponentFunc, pre: &InstancePre<HostState>) -> wasmtime::Result<()>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    if function.async_() {
        return Err(wasmtime::Error::msg("the function is async"));
    }
    function.typecheck::<P, R>(&pre.instance_type())
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let mut text: Vec<String> =
        names.iter().take(NAMES_SHOWN_MAX).map(|name| format!("`{}`", shown(name, 128))).collect();
    if names.len() > NAMES_SHOWN_MAX {
        text.push(format!("{} more", names.len() - NAMES_SHOWN_MAX));
    }
    text.join(", ")
}
