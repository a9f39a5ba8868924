//! A plugin's file, from its bytes to something that can be instantiated.
//!
//! Invariant: an [`Artifact`] imports only what the host gives and exports the world `transform` with the right types.
//! Not here: calling it (`instance.rs`).

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rde_core::{Error, Place, Result};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::cache::{Cache, moved};
use crate::codes;
use crate::engines::Engines;
use crate::imports;
use crate::limits::{Limits, POOLED_MEMORY_MAX, size};
use crate::state::HostState;
use crate::text::shown;
use crate::world::{self, Exports, Surface};

/// A compiled plugin.
pub(crate) struct Artifact {
    /// `sha256:` and 64 hex digits.
    pub(crate) digest: Arc<str>,
    /// Bytes of the file.
    pub(crate) size: u64,
    pub(crate) surface: Surface,
    component: Component,
    pooled: OnceLock<Ready>,
    on_demand: OnceLock<Ready>,
}

/// An artifact linked for one engine.
pub(crate) struct Ready {
    pub(crate) pre: InstancePre<HostState>,
    pub(crate) exports: Exports,
}

/// Bytes of a plugin's file with their digest.
pub(crate) struct Bytes {
    pub(crate) wasm: Vec<u8>,
    hash: [u8; 32],
}

impl Bytes {
    /// Takes bytes that are in memory already.
    pub(crate) fn new(wasm: Vec<u8>) -> Bytes {
        let hash = Sha256::digest(&wasm).into();
        Bytes { wasm, hash }
    }

    /// Reads a file, at most `artifact_max` of it.
    pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Bytes> {
        let shown = path.display();
        let failed = |error: std::io::Error| {
            let help = "check the path; it is relative to the pipeline file. `rde plugin build` makes a plugin";
            Error::config(&codes::ARTIFACT, format!("plugin file `{shown}` cannot be read")).help(help).caused_by(error)
        };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(Error::config(&codes::ARTIFACT, format!("`{shown}` is not a file"))
                .help("`plugin` names one `.wasm` file"));
        }
        let mut wasm = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(limits.artifact_max.saturating_add(1)).read_to_end(&mut wasm).map_err(failed)?;
        Bytes::new(wasm).checked(limits, &shown.to_string())
    }

    /// Returns the digest as users write it.
    pub(crate) fn digest(&self) -> String {
        format!("sha256:{}", hex(&self.hash))
    }

    pub(crate) fn checked(self, limits: &Limits, name: &str) -> Result<Bytes> {
        let max = limits.artifact_max;
        if self.wasm.len() as u64 > max {
            let max = size(usize::try_from(max).unwrap_or(usize::MAX));
            return Err(Error::config(&codes::ARTIFACT, format!("plugin file `{name}` is larger than {max}"))
                .help("strip debug information from the plugin"));
        }
        Ok(self)
    }
}

impl Artifact {
    /// Compiles the bytes, or takes what was compiled before, and checks what they import and export.
    pub(crate) fn load(bytes: &Bytes, name: &str, engines: &Engines, cache: Option<&Cache>) -> Result<Artifact> {
        check_header(&bytes.wasm, name)?;
        let entry = Cache::name(&bytes.hash, &engines.on_demand);
        let candidates: Vec<&Engine> = engines.pooled.iter().chain([&engines.on_demand]).collect();
        let component = match cache.and_then(|cache| cache.load(&entry, &candidates)) {
            Some(component) => component,
            None => {
                // The pool would refuse what asks for too much; the limits do that with a better text.
                let component = compile(&engines.on_demand, &bytes.wasm, name)?;
                if let Some(cache) = cache {
                    cache.store(&entry, &component);
                }
                component
            }
        };
        world::check(&component, name)?;
        let artifact = Artifact {
            digest: bytes.digest().into(),
            size: bytes.wasm.len() as u64,
            surface: world::surface(&component),
            component,
            pooled: OnceLock::new(),
            on_demand: OnceLock::new(),
        };
        let engine = artifact.component.engine();
        let slot = if Engine::same(engine, &engines.on_demand) { &artifact.on_demand } else { &artifact.pooled };
        let ready = artifact.link(engine, name)?;
        slot.get_or_init(|| ready);
        Ok(artifact)
    }

    /// Returns the artifact linked for instances with this much memory.
    pub(crate) fn ready(&self, memory_max: usize, engines: &Engines, name: &str) -> Result<&Ready> {
        if let Some(pool) = engines.pooled.as_ref().filter(|_| memory_max <= POOLED_MEMORY_MAX) {
            match self.slot(&self.pooled, pool, name) {
                Ok(ready) => return Ok(ready),
                Err(error) => tracing::debug!(plugin = name, %error, "plugin does not fit the pool"),
            }
        }
        self.slot(&self.on_demand, &engines.on_demand, name)
    }

    fn slot<'a>(&self, slot: &'a OnceLock<Ready>, engine: &Engine, name: &str) -> Result<&'a Ready> {
        if let Some(ready) = slot.get() {
            return Ok(ready);
        }
        let ready = self.link(engine, name)?;
        Ok(slot.get_or_init(|| ready))
    }

    fn link(&self, engine: &Engine, name: &str) -> Result<Ready> {
        let failed = |error: wasmtime::Error| {
            let message = format!("plugin `{name}` cannot be linked: {}", shown(&format!("{error:#}"), 512));
            Error::config(&codes::WORLD, message).help("build the plugin with the SDK of this version")
        };
        let component = if Engine::same(self.component.engine(), engine) {
            self.component.clone()
        } else {
            moved(&self.component, engine).map_err(failed)?
        };
        let mut linker = Linker::new(engine);
        imports::add(&mut linker).map_err(failed)?;
        let pre = linker.instantiate_pre(&component).map_err(failed)?;
        let exports = world::exports(&pre, name)?;
        Ok(Ready { pre, exports })
    }
}

/// Says what the bytes are before anything parses them.
pub(crate) fn check_header(wasm: &[u8], name: &str) -> Result<()> {
    const COMPONENT: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];
    const MODULE: [u8; 8] = [0, b'a', b's', b'm', 1, 0, 0, 0];
    if wasm.starts_with(&COMPONENT) {
        return Ok(());
    }
    if wasm.starts_with(&MODULE) {
        let message = format!("plugin `{name}` is a core module, and a plugin is a component");
        return Err(Error::config(&codes::CORE_MODULE, message)
            .help("make the plugin with `rde plugin build`, or wrap the module with `wasm-tools component new`"));
    }
    let message = format!("plugin `{name}` is not a WebAssembly file");
    Err(Error::config(&codes::NOT_WASM, message).help("`plugin` names a component, as `rde plugin build` makes it"))
}

/// Compares with the pinned digest.
pub(crate) fn check_digest(found: &str, pinned: Option<&str>, name: &str) -> Result<()> {
    match pinned {
        Some(pinned) if pinned != found => {
            let message = format!("plugin `{name}` has the digest `{found}`, and `{pinned}` is pinned");
            Err(Error::config(&codes::DIGEST, message)
                .help("if the new file is meant, write its digest")
                .at(Place::field("/digest")))
        }
        _ => Ok(()),
    }
}

pub(crate) fn compile(engine: &Engine, wasm: &[u8], name: &str) -> Result<Component> {
    Component::from_binary(engine, wasm).map_err(|error| {
        let why = shown(&format!("{error:#}"), 512);
        Error::config(&codes::COMPILE, format!("plugin `{name}` does not compile: {why}"))
            .help("the file is damaged, or uses a WebAssembly feature that is off; `rde explain RDE0308` lists them")
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
