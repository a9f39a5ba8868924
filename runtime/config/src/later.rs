//! The kinds, fields and values that the design names and this version does not have.
//!
//! They answer RDE0900 instead of "unknown", and nothing below them is checked.
//! Invariant: a thing that an operator's own schema has is never in the way of this table; the schema is asked first.

use rde_core::Kind;

/// Kinds of a later stage.
const KINDS: [(Kind, &str); 10] = [
    (Kind::Source, "json"),
    (Kind::Source, "kafka"),
    (Kind::Source, "iceberg"),
    (Kind::Source, "wasm"),
    (Kind::Transform, "clean"),
    (Kind::Transform, "flatten"),
    (Kind::Transform, "schema"),
    (Kind::Sink, "kafka"),
    (Kind::Sink, "iceberg"),
    (Kind::Sink, "wasm"),
];

/// Settings of a later stage.
const SETTINGS: [&str; 2] = ["checkpoint", "storage"];

/// Fields of the plugin operator, as pointers.
const PLUGIN_FIELDS: [&str; 3] = ["/grants", "/resources", "/key"];

/// Limits of the plugin operator that are fixed in this version, or do not exist yet.
const PLUGIN_LIMITS: &[&str] = &[
    "tenant_memory_max",
    "time_warn",
    "open_time_max",
    "wall_max",
    "fuel_max",
    "stack_max",
    "input_max",
    "transfer_max",
    "emits_max",
    "host_calls_max",
    "schemas_max",
    "faults_max",
    "fault_text_max",
    "retry_max",
    "retry_wait_max",
    "name_max",
    "column_name_max",
    "text_max",
    "depth_max",
    "fields_added_max",
    "elements_max",
    "memories_max",
    "instances_max",
    "handles_max",
    "log_rate_max",
    "log_line_max",
    "metrics_max",
    "series_max",
    "state_key_max",
    "state_value_max",
    "state_bytes_max",
    "timers_max",
    "snapshot_max",
    "snapshot_time_max",
    "http_body_max",
    "http_calls_max",
    "artifact_max",
    "compile_time_max",
    "compile_memory_max",
];

/// Values of the plugin operator, as pointer and word.
const PLUGIN_VALUES: [(&str, &str); 4] =
    [("/on_trap", "dead_letter"), ("/on_trap", "skip"), ("/on_schema", "freeze"), ("/on_schema", "dead_letter")];

/// URLs of object stores.
const STORES: [&str; 7] = ["s3://", "s3a://", "gs://", "az://", "azure://", "abfs://", "abfss://"];

/// The field of the plugin operator that the plugin sees.
pub(crate) const PLUGIN_CONFIG: &str = "/config";

/// Returns whether a kind comes with a later stage.
pub fn is_later_kind(kind: Kind, name: &str) -> bool {
    KINDS.contains(&(kind, name))
}

/// Returns whether a setting comes with a later stage.
pub(crate) fn is_later_setting(name: &str) -> bool {
    SETTINGS.contains(&name)
}

/// Returns whether a field comes with a later stage; the pointer is below the kind key.
pub(crate) fn is_later_field(kind_name: &str, pointer: &str) -> bool {
    kind_name == "wasm"
        && (PLUGIN_FIELDS.contains(&pointer)
            || pointer.strip_prefix("/limits/").is_some_and(|limit| PLUGIN_LIMITS.contains(&limit)))
}

/// Returns whether a text comes with a later stage at this field.
pub(crate) fn is_later_value(kind_name: &str, pointer: &str, text: &str) -> bool {
    let plugin = kind_name == "wasm"
        && (PLUGIN_VALUES.contains(&(pointer, text)) || (pointer == "/plugin" && text.starts_with("oci://")));
    plugin || (pointer == "/path" && STORES.iter().any(|store| text.starts_with(store)))
}
