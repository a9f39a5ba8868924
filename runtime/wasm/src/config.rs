//! The fields of the `wasm` operator: what the parser, the schema and the reference page are made of.
//!
//! Values and limits of later versions are known to the grammar (`rde-config`), which refuses them by name.

use std::time::Duration;

use rde_core::{ByteSize, Error, Period, Place};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::codes;
use crate::limits::{Limits, MEMORY_CEILING, OUTPUT_CEILING, size};

/// Runs a plugin: a WebAssembly component of the world `transform` of `rde:plugin`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WasmConfig {
    /// The plugin's file, relative to the pipeline file.
    pub plugin: String,
    /// Pins the plugin's bytes: `sha256:` and 64 lower-case hex digits, as `rde plugin inspect` shows. Another file is
    /// refused.
    #[serde(default)]
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
    /// The plugin's own configuration, which must fit the schema that the plugin gives.
    #[serde(default)]
    #[schemars(extend("x-rde-untyped" = true))]
    pub config: Map<String, Value>,
    /// What the plugin may use.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// What happens when the plugin traps.
    #[serde(default)]
    pub on_trap: OnTrap,
    /// What happens when the columns of an input change and the plugin does not accept them.
    #[serde(default)]
    pub on_schema: OnSchema,
}

/// What the plugin may use.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Memory of one lane's instance (default `64MiB`). Charged to the pipeline's `memory_max`.
    pub memory_max: Option<ByteSize>,
    /// Time of one call (default `10s`).
    pub time_max: Option<Period>,
    /// Bytes that one call may emit, once materialised (default: the larger of `64MiB` and 16 times the input).
    pub output_max: Option<ByteSize>,
}

/// What happens when a plugin traps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnTrap {
    /// The run fails.
    #[default]
    Fail,
}

/// What happens when a plugin does not accept a changed schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnSchema {
    /// The run fails.
    #[default]
    Fail,
}

impl LimitsConfig {
    /// Returns all limits, with the written ones in their place, and the faults of those.
    pub fn resolve(&self) -> (Limits, Vec<Error>) {
        let mut limits = Limits::default();
        let mut errors = Vec::new();
        if let Some(memory) = self.memory_max {
            limits.memory_max = within("memory_max", memory, MEMORY_CEILING, &mut errors);
        }
        if let Some(output) = self.output_max {
            limits.output_max = Some(within("output_max", output, OUTPUT_CEILING, &mut errors));
        }
        if let Some(Period(time)) = self.time_max {
            if time == Duration::ZERO {
                errors.push(wrong("time_max", "`limits.time_max` may not be 0".to_owned()));
            }
            limits.time_max = time;
        }
        (limits, errors)
    }
}

fn within(name: &str, value: ByteSize, ceiling: usize, errors: &mut Vec<Error>) -> usize {
    let bytes = value.bytes();
    if bytes == 0 || bytes > ceiling {
        let ceiling = if ceiling == OUTPUT_CEILING { "2047MiB".to_owned() } else { size(ceiling) };
        errors.push(wrong(name, format!("`limits.{name}` is {value}; it is at least 1B and at most {ceiling}")));
    }
    bytes
}

fn wrong(name: &str, message: String) -> Error {
    Error::config(&codes::FIELDS, message)
        .help(format!("change `limits.{name}`, or leave it out for the default"))
        .at(Place::field(format!("/limits/{name}")))
}
