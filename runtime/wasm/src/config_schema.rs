//! A plugin's `config_schema`: made safe to run, and held against the configuration in the pipeline file.
//!
//! The schema comes from the plugin, so it is hostile: it may not refer outside itself, may not make the validator recurse
//! without end or work without measure, and its patterns run on an engine whose time is linear.
//! Invariant: validating takes time in proportion to the configuration.

use std::collections::HashMap;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use rde_core::{Error, ErrorKind, Place};
use serde_json::Value;

use crate::codes;
use crate::text::shown;

/// Sub-schemas that one value may be held against, references followed.
const WORK_MAX: u64 = 10_000;

/// Bytes of one compiled pattern.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Faults of one configuration that are listed.
const FAULTS_MAX: usize = 20;

const SHOWN_MAX: usize = 512;

/// Keywords that hold a value against further schemas: one, a list, a map of them.
const ONE: [&str; 4] = ["not", "if", "then", "else"];
const MANY: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const MAPS: [&str; 1] = ["dependentSchemas"];

/// Keywords whose references cannot be followed by a pointer.
const REFUSED: [&str; 6] = ["$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"];

/// Returns every fault of `config`, and those of the schema itself.
pub(crate) fn check(schema: &Value, config: &Value, plugin: &str) -> Vec<Error> {
    let validator = match build(schema) {
        Ok(validator) => validator,
        Err(why) => {
            let message = format!("plugin `{plugin}`: its `config_schema` {}", shown(&why, SHOWN_MAX));
            let error = Error::new(ErrorKind::Plugin, &codes::CONFIG_SCHEMA, message);
            return vec![error.help("this is a bug in the plugin").at(Place::field("/plugin"))];
        }
    };
    let mut errors: Vec<Error> =
        validator.iter_errors(config).take(FAULTS_MAX).map(|error| fault(&error, plugin)).collect();
    let mut secrets = Vec::new();
    find_secrets(schema, schema, config, String::new(), 0, &mut secrets);
    errors.extend(secrets.into_iter().take(FAULTS_MAX).map(|pointer| secret(&pointer)));
    errors
}

/// Returns the fault of a secret at a pointer below `config`.
pub(crate) fn secret(pointer: &str) -> Error {
    Error::config(&codes::SECRET, "a secret may not be passed to a plugin")
        .help("leave it out; plugins get no secrets before grants exist")
        .at(Place::field(format!("/config{pointer}")))
}

fn build(schema: &Value) -> Result<Validator, String> {
    Survey { root: schema, work: HashMap::new() }.value(schema)?;
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
    jsonschema::options()
        .offline()
        .with_pattern_options(patterns)
        .build(schema)
        .map_err(|error| format!("is not a JSON Schema: {error}"))
}

fn fault(error: &ValidationError<'_>, plugin: &str) -> Error {
    let mut pointer = format!("/config{}", error.instance_path().as_str());
    if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind()
        && let [one] = unexpected.as_slice()
    {
        pointer = format!("{pointer}/{}", escape(one));
    }
    let why = shown(&error.to_string(), SHOWN_MAX);
    Error::config(&codes::CONFIG, format!("plugin `{plugin}`: {why}"))
        .help("`config` must fit what the plugin asks for")
        .at(Place::field(pointer))
}

/// Walks a schema and counts the work of one value, so that neither an endless reference nor a bomb is ever run.
struct Survey<'a> {
    root: &'a Value,
    /// Work of the sub-schemas counted so far by their address; `None`: being counted.
    work: HashMap<*const Value, Option<u64>>,
}

impl<'a> Survey<'a> {
    /// Checks a schema and all below it.
    fn value(&mut self, value: &'a Value) -> Result<(), String> {
        match value {
            Value::Object(members) => {
                if let Some(keyword) = REFUSED.into_iter().find(|keyword| {
                    // The root's own name refers nowhere.
                    members.contains_key(*keyword) && !(*keyword == "$id" && std::ptr::eq(value, self.root))
                }) {
                    return Err(format!("uses `{keyword}`"));
                }
                self.work(value)?;
                members.values().try_for_each(|member| self.value(member))
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.value(item)),
            _ => Ok(()),
        }
    }

    /// Returns how many sub-schemas a value is held against at this schema.
    fn work(&mut self, schema: &'a Value) -> Result<u64, String> {
        let Value::Object(members) = schema else { return Ok(1) };
        match self.work.get(&std::ptr::from_ref(schema)) {
            Some(Some(work)) => return Ok(*work),
            Some(None) => return Err("refers to itself without end".to_owned()),
            None => {}
        }
        self.work.insert(schema, None);
        let mut sum = 1u64;
        let mut parts: Vec<&'a Value> = Vec::new();
        parts.extend(ONE.iter().filter_map(|key| members.get(*key)));
        parts.extend(MANY.iter().filter_map(|key| members.get(*key)?.as_array()).flatten());
        parts.extend(MAPS.iter().filter_map(|key| members.get(*key)?.as_object()).flat_map(|map| map.values()));
        if let Some(reference) = members.get("$ref") {
            parts.push(self.resolve(reference)?);
        }
        for part in parts {
            sum = sum.saturating_add(self.work(part)?);
        }
        if sum > WORK_MAX {
            return Err("has too much in it".to_owned());
        }
        self.work.insert(schema, Some(sum));
        Ok(sum)
    }

    fn resolve(&self, reference: &Value) -> Result<&'a Value, String> {
        let text = reference.as_str().ok_or("has a `$ref` that is no text")?;
        let Some(pointer) = text.strip_prefix('#') else {
            return Err(format!("refers outside itself, to `{text}`"));
        };
        let pointer = pointer.replace("%25", "%");
        self.root.pointer(&pointer).ok_or_else(|| format!("refers to `{text}`, which is not there"))
    }
}

/// Levels of a configuration that are searched for secrets; JSON from YAML has fewer.
const DEPTH_MAX: usize = 64;

/// Finds values whose schema says `"writeOnly": true`, along `properties`, `items` and references.
fn find_secrets(root: &Value, schema: &Value, value: &Value, at: String, depth: usize, found: &mut Vec<String>) {
    if depth > DEPTH_MAX || found.len() >= FAULTS_MAX {
        return;
    }
    if schema.get("writeOnly") == Some(&Value::Bool(true)) {
        found.push(at);
        return;
    }
    if let Some(target) =
        schema.get("$ref").and_then(Value::as_str).and_then(|text| root.pointer(text.strip_prefix('#')?))
    {
        find_secrets(root, target, value, at.clone(), depth + 1, found);
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if let Some(schema) = schema.get("properties").and_then(|all| all.get(name)) {
                    find_secrets(root, schema, member, format!("{at}/{}", escape(name)), depth + 1, found);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter().enumerate() {
                    find_secrets(root, schema, item, format!("{at}/{index}"), depth + 1, found);
                }
            }
        }
        _ => {}
    }
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(schema: &Value, config: &Value) -> Vec<(&'static str, String)> {
        let errors = check(schema, config, "p");
        errors
            .into_iter()
            .map(|error| (error.code(), error.place().map(|place| place.pointer.clone()).unwrap_or_default()))
            .collect()
    }

    fn refused(schema: &Value) {
        assert_eq!(faults(schema, &json!({})), [("RDE0322", "/plugin".to_owned())], "{schema}");
    }

    #[test]
    fn every_fault_of_a_configuration_is_placed() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["scale"],
            "properties": { "scale": { "$ref": "#/$defs/number" }, "names": { "items": { "pattern": "^a+$" } } },
            "$defs": { "number": { "type": "number" } }
        });
        assert_eq!(faults(&schema, &json!({ "scale": 2, "names": ["a"] })), []);
        let mut found = faults(&schema, &json!({ "scale": "x", "names": ["a", "b"], "o/ther": 1 }));
        found.sort();
        let at = |pointer: &str| ("RDE0320", pointer.to_owned());
        assert_eq!(found, [at("/config/names/1"), at("/config/o~1ther"), at("/config/scale")]);
        assert_eq!(faults(&schema, &json!({})), [at("/config")]);
    }

    #[test]
    fn a_schema_that_refers_outside_itself_is_refused() {
        refused(&json!({ "$ref": "file:///etc/passwd" }));
        refused(&json!({ "properties": { "a": { "$ref": "http://example.com/" } } }));
        refused(&json!({ "$ref": "#/$defs/none" }));
        refused(&json!({ "properties": { "a": { "$id": "x", "$dynamicRef": "#a" } } }));
    }

    #[test]
    fn a_schema_that_never_ends_is_refused() {
        refused(&json!({ "allOf": [{ "$ref": "#" }] }));
        refused(&json!({ "$defs": { "a": { "not": { "$ref": "#/$defs/b" } }, "b": { "$ref": "#/$defs/a" } } }));
        // Recursion through a property ends with the configuration.
        let tree = json!({ "properties": { "child": { "$ref": "#" } } });
        assert_eq!(faults(&tree, &json!({ "child": { "child": {} } })), []);
    }

    #[test]
    fn a_schema_bomb_is_refused() {
        let mut defs = serde_json::Map::new();
        for level in 0..60 {
            let next = json!({ "$ref": format!("#/$defs/a{}", level + 1) });
            defs.insert(format!("a{level}"), json!({ "anyOf": [next, next] }));
        }
        defs.insert("a60".to_owned(), json!({}));
        refused(&json!({ "$ref": "#/$defs/a0", "$defs": defs }));
    }

    #[test]
    fn patterns_run_on_a_linear_engine() {
        refused(&json!({ "properties": { "a": { "pattern": "(?=a)b" } } }));
        let slow = json!({ "properties": { "a": { "pattern": "^(a+)+$" } } });
        let text = format!("{}b", "a".repeat(50_000));
        assert_eq!(faults(&slow, &json!({ "a": text })), [("RDE0320", "/config/a".to_owned())]);
    }

    #[test]
    fn a_secret_of_the_schema_is_refused_where_it_stands() {
        let schema = json!({ "properties": { "db": { "properties": { "password": { "writeOnly": true } } } } });
        assert_eq!(faults(&schema, &json!({ "db": {} })), []);
        let found = faults(&schema, &json!({ "db": { "password": "x" } }));
        assert_eq!(found, [("RDE0321", "/config/db/password".to_owned())]);
    }
}
