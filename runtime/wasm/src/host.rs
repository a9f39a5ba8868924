//! The plugin host of the process: engines, compile cache, ticker, and the artifacts that are in use.
//!
//! `app` installs its options once; a test makes a host of its own. Nothing else in this crate is shared by operators.
//! Invariant: one artifact is compiled once, however many operators use it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rde_core::{Error, Result, Runtime};

use crate::artifact::{Artifact, Bytes};
use crate::cache::{Cache, CacheDirs};
use crate::codes;
use crate::engines::Engines;
use crate::ticker::{Held, Ticker, Ticks};

/// How the host is set up.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    /// Where compiled plugins are kept; without it every start compiles.
    pub cache: Option<CacheDirs>,
    /// Where epoch ticks come from.
    pub ticks: Ticks,
}

/// Runs plugins.
pub struct Host {
    engines: Arc<Engines>,
    cache: Option<Cache>,
    ticker: Ticker,
    artifacts: Mutex<HashMap<String, Weak<Artifact>>>,
}

static OPTIONS: OnceLock<HostOptions> = OnceLock::new();
static SHARED: OnceLock<Arc<Host>> = OnceLock::new();

impl Host {
    /// Says how the process's host is to be set up. Only the first call before the first plugin counts; returns whether it
    /// was this one.
    pub fn install(options: HostOptions) -> bool {
        SHARED.get().is_none() && OPTIONS.set(options).is_ok()
    }

    /// Returns the process's host, which the first plugin of a process makes.
    pub fn shared() -> Result<Arc<Host>> {
        if let Some(host) = SHARED.get() {
            return Ok(host.clone());
        }
        let host = Host::new(OPTIONS.get().cloned().unwrap_or_default())?;
        Ok(SHARED.get_or_init(|| host).clone())
    }

    /// Makes a host of its own.
    pub fn new(options: HostOptions) -> Result<Arc<Host>> {
        let engines = Engines::new().map_err(|error| {
            Error::unavailable(&codes::HOST, "the WebAssembly engine cannot be made")
                .caused_by(Cause(format!("{error:#}")))
        })?;
        let engines = Arc::new(engines);
        let ticked = engines.clone();
        Ok(Arc::new(Host {
            cache: options.cache.as_ref().and_then(Cache::open),
            ticker: Ticker::new(options.ticks, Arc::new(move || ticked.tick())),
            engines,
            artifacts: Mutex::new(HashMap::new()),
        }))
    }

    /// Ticks once; for a host with [`Ticks::ByHand`].
    pub fn tick(&self) {
        self.ticker.tick();
    }

    pub(crate) fn hold_ticker(&self, runtime: &Runtime) -> Held {
        self.ticker.hold(runtime)
    }

    pub(crate) fn engines(&self) -> &Engines {
        &self.engines
    }

    /// Returns the artifact of these bytes, compiling it unless it is in use or in the cache.
    pub(crate) fn artifact(&self, bytes: &Bytes, name: &str) -> Result<Arc<Artifact>> {
        let digest = bytes.digest();
        if let Some(artifact) = self.known(&digest) {
            return Ok(artifact);
        }
        let artifact = Arc::new(Artifact::load(bytes, name, &self.engines, self.cache.as_ref())?);
        let mut artifacts = self.artifacts.lock().unwrap_or_else(PoisonError::into_inner);
        artifacts.retain(|_, artifact| artifact.strong_count() > 0);
        artifacts.insert(digest, Arc::downgrade(&artifact));
        Ok(artifact)
    }

    fn known(&self, digest: &str) -> Option<Arc<Artifact>> {
        self.artifacts.lock().unwrap_or_else(PoisonError::into_inner).get(digest).and_then(Weak::upgrade)
    }
}

/// The text of an error of the engine.
#[derive(Debug)]
struct Cause(String);

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}
