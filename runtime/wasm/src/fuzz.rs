//! The body of the fuzz target "plugin artifact": any bytes as a plugin's file and as the answer of `describe`.

use std::sync::OnceLock;

use crate::artifact::{check_header, compile};
use crate::describe::Description;
use crate::engines::Engines;
use crate::{config_schema, world};

/// Bytes that are compiled; compiling takes time in proportion.
const COMPILED_MAX: usize = 64 << 10;

/// Takes any bytes; never panics, never runs them.
#[doc(hidden)]
pub fn fuzz_artifact(bytes: &[u8]) {
    static ENGINES: OnceLock<Option<Engines>> = OnceLock::new();
    if let Ok(description) = Description::read(bytes, "fuzz.wasm") {
        drop(config_schema::check(&description.config_schema, &serde_json::json!({}), "fuzz"));
    }
    if check_header(bytes, "fuzz.wasm").is_err() || bytes.len() > COMPILED_MAX {
        return;
    }
    if let Some(engines) = ENGINES.get_or_init(|| Engines::new().ok())
        && let Ok(component) = compile(&engines.on_demand, bytes, "fuzz.wasm")
    {
        drop(world::check(&component, "fuzz.wasm"));
    }
}
