//! The JSON Schema of a whole configuration, for editors: `rde schema`, configs/schema.json.
//!
//! Made from the same definitions as the parser: each operator's schema is put below `$defs` and its references are
//! moved along. Where a number or truth value is wanted, a text with a variable is allowed as well.
//! Invariant: deterministic; order is that of the registry and of the definitions.

use rde_core::{Kind, OperatorSpec, Settings};
use serde_json::{Map, Value, json};

use crate::grammar::{COMMON_KEYS, ID_PATTERN, KEYS, NAME_PATTERN};
use crate::operators::common_schema;
use crate::spec::section;

/// Returns the JSON Schema (2020-12) of a pipeline file.
pub fn pipeline_schema(specs: &[&dyn OperatorSpec]) -> Value {
    let mut defs = Map::new();
    defs.insert("variable".to_owned(), json!({ "type": "string", "pattern": "\\$\\{" }));
    let settings = schemars::schema_for!(Settings).to_value();
    defs.insert("settings".to_owned(), embedded(settings, "settings"));
    for kind in [Kind::Source, Kind::Transform, Kind::Sink] {
        for spec in specs.iter().filter(|spec| spec.kind() == kind) {
            let name = definition(kind, spec.name());
            defs.insert(name.clone(), embedded(spec.reference().schema, &name));
        }
        defs.insert(kind.as_str().to_owned(), entry(kind, specs));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "RDE pipeline",
        "type": "object",
        "properties": file_keys(),
        "required": ["name", "sources", "sinks", "edges"],
        "additionalProperties": false,
        "$defs": defs,
    })
}

fn file_keys() -> Map<String, Value> {
    let end = json!({ "type": "string", "pattern": "^[a-z][a-z0-9_]*(\\.[A-Za-z0-9_-]+)?$|\\$\\{" });
    let keys = KEYS.map(|(name, description)| {
        let schema = match name {
            "name" => json!({ "type": "string", "pattern": format!("{NAME_PATTERN}|\\$\\{{") }),
            "settings" => json!({ "$ref": "#/$defs/settings" }),
            "sources" => json!({ "type": "array", "items": { "$ref": "#/$defs/source" }, "minItems": 1 }),
            "transforms" => json!({ "type": "array", "items": { "$ref": "#/$defs/transform" } }),
            "sinks" => json!({ "type": "array", "items": { "$ref": "#/$defs/sink" }, "minItems": 1 }),
            _ => json!({
                "type": "array",
                "items": { "type": "array", "items": end, "minItems": 2, "maxItems": 2 },
            }),
        };
        (name.to_owned(), described(schema, description))
    });
    keys.into_iter().collect()
}

fn entry(kind: Kind, specs: &[&dyn OperatorSpec]) -> Value {
    let common = common_schema();
    let mut properties = Map::new();
    for (name, description) in COMMON_KEYS {
        let schema = match common.get(name) {
            Some(schema) => with_variables(without_header(schema.clone())),
            None => json!({ "type": "string", "pattern": format!("{ID_PATTERN}|\\$\\{{") }),
        };
        properties.insert(name.to_owned(), described(schema, description));
    }
    let mut kinds = Vec::new();
    for spec in specs.iter().filter(|spec| spec.kind() == kind) {
        let reference = spec.reference();
        let target = json!({ "$ref": format!("#/$defs/{}", definition(kind, spec.name())) });
        let all_optional = reference.schema.get("required").and_then(Value::as_array).is_none_or(Vec::is_empty);
        let schema = if all_optional { json!({ "anyOf": [target, { "type": "null" }] }) } else { target };
        properties.insert(spec.name().to_owned(), described(schema, reference.summary));
        kinds.push(json!({ "required": [spec.name()] }));
    }
    let mut schema = json!({
        "type": "object",
        "description": format!("One entry of `{}`: an id and exactly one kind.", section(kind)),
        "properties": properties,
        "required": ["id"],
        "additionalProperties": false,
    });
    if let (false, Value::Object(keywords)) = (kinds.is_empty(), &mut schema) {
        keywords.insert("oneOf".to_owned(), Value::Array(kinds));
    }
    schema
}

fn definition(kind: Kind, name: &str) -> String {
    format!("{}.{name}", kind.as_str())
}

fn described(mut schema: Value, description: &str) -> Value {
    if let Value::Object(keywords) = &mut schema {
        keywords.insert("description".to_owned(), description.into());
    }
    schema
}

/// Makes a schema a part of the whole: its references go below its new name.
fn embedded(schema: Value, name: &str) -> Value {
    let mut schema = with_variables(without_header(schema));
    move_references(&mut schema, &format!("#/$defs/{name}/$defs/"));
    schema
}

fn without_header(mut schema: Value) -> Value {
    if let Value::Object(keywords) = &mut schema {
        keywords.shift_remove("$schema");
        keywords.shift_remove("title");
    }
    schema
}

fn move_references(schema: &mut Value, below: &str) {
    match schema {
        Value::Object(keywords) => {
            for (keyword, value) in keywords {
                match value {
                    Value::String(target) if keyword == "$ref" => *target = moved(target, below),
                    other => move_references(other, below),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| move_references(item, below)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Allows `${NAME}` wherever a number, a truth value, a size, a period or one of some words stands.
fn with_variables(schema: Value) -> Value {
    let Value::Object(mut keywords) = schema else { return schema };
    if is_narrow(&keywords) {
        return wrapped(keywords);
    }
    if let Some(Value::Array(cases)) = keywords.get_mut("anyOf")
        && cases.iter().filter_map(Value::as_object).any(is_narrow)
    {
        cases.push(json!({ "$ref": "#/$defs/variable" }));
    }
    let inner = keywords.into_iter().map(|(keyword, value)| {
        let value = match (keyword.as_str(), value) {
            ("properties" | "$defs", Value::Object(schemas)) => {
                schemas.into_iter().map(|(name, schema)| (name, with_variables(schema))).collect()
            }
            ("items" | "additionalProperties", schema) => with_variables(schema),
            (_, other) => other,
        };
        (keyword, value)
    });
    Value::Object(inner.collect())
}

/// Whether a schema by itself refuses the text of a variable.
fn is_narrow(keywords: &Map<String, Value>) -> bool {
    let words =
        |cases: &Value| cases.as_array().is_some_and(|cases| cases.iter().all(|case| case.get("const").is_some()));
    let typed = keywords.get("type").is_some_and(is_typed) || keywords.contains_key("x-rde-type");
    let simple = !["$ref", "oneOf", "anyOf", "allOf"].iter().any(|keyword| keywords.contains_key(*keyword));
    keywords.contains_key("enum") || keywords.get("oneOf").is_some_and(words) || (typed && simple)
}

fn is_typed(kind: &Value) -> bool {
    let one = |kind: &Value| ["integer", "number", "boolean"].iter().any(|typed| kind == typed);
    kind.as_array().map_or_else(|| one(kind), |kinds| kinds.iter().any(one))
}

fn wrapped(mut keywords: Map<String, Value>) -> Value {
    let mut outer = Map::new();
    for keyword in ["description", "default", "writeOnly", "deprecated"] {
        if let Some(value) = keywords.shift_remove(keyword) {
            outer.insert(keyword.to_owned(), value);
        }
    }
    outer.insert("anyOf".to_owned(), json!([keywords, { "$ref": "#/$defs/variable" }]));
    Value::Object(outer)
}

/// References to the whole's own definitions stay.
fn moved(target: &str, below: &str) -> String {
    match target.strip_prefix("#/$defs/") {
        Some("variable") | None => target.to_owned(),
        Some(name) => format!("{below}{name}"),
    }
}
