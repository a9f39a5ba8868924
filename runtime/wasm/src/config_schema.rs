//! A plugin's `config_schema`: made safe to run, and held against the configuration in the pipeline file.
//!
//! The schema comes from the plugin, so it is hostile: it may not refer outside itself, may not make the validator recurse
//! without end or work without measure, and its patterns run on an engine whose time is linear.
//! Invariant: validating takes time in proportion to the configuration, and no secret of the schema is overlooked.

use std::collections::{BTreeSet, HashMap};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use rde_core::{Error, ErrorKind, Place};
use serde_json::{Map, Value};

use crate::codes;
use crate::text::shown;

/// Sub-schemas that one value may be held against, references followed.
const WORK_MAX: u64 = 10_000;

/// Sub-schemas of one value that lie within each other, references followed: each takes stack, here and in the validator.
const CHAIN_MAX: usize = 64;

/// Pairs of sub-schema and value that a configuration may come to.
const PAIRS_MAX: u64 = 250_000;

/// Pairs that lie within each other; a configuration has few levels.
const PAIR_DEPTH_MAX: usize = 512;

/// Patterns of one schema.
const PATTERNS_MAX: usize = 64;

/// Bytes of one compiled pattern.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// Uses of the keywords in [`UNEVALUATED`]: at each the validator compiles all that lies below it once more.
const UNEVALUATED_MAX: usize = 4;

/// The only dialect: others resolve references in other ways.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Faults of one configuration that are listed.
const FAULTS_MAX: usize = 20;

const SHOWN_MAX: usize = 512;

/// Keywords that hold a value against further schemas: one, a list, a map of them.
const ONE: [&str; 4] = ["not", "if", "then", "else"];
const MANY: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// `dependencies` is of an older draft, and is applied by the validator in every one.
const MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];
const UNEVALUATED: [&str; 2] = ["unevaluatedProperties", "unevaluatedItems"];

/// Keywords whose references cannot be followed by a pointer.
const REFUSED: [&str; 6] = ["$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"];

/// Returns every fault of `config`, and those of the schema itself.
pub(crate) fn check(schema: &Value, config: &Value, plugin: &str) -> Vec<Error> {
    let (validator, secrets) = match build(schema, config) {
        Ok(built) => built,
        Err(why) => {
            let message = format!("plugin `{plugin}`: its `config_schema` {}", shown(&why, SHOWN_MAX));
            let error = Error::new(ErrorKind::Plugin, &codes::CONFIG_SCHEMA, message);
            return vec![error.help("this is a bug in the plugin").at(Place::field("/plugin"))];
        }
    };
    let mut errors: Vec<Error> =
        validator.iter_errors(config).take(FAULTS_MAX).map(|error| fault(&error, plugin)).collect();
    errors.extend(secrets.iter().take(FAULTS_MAX).map(|pointer| secret(pointer)));
    errors
}

/// Returns the fault of a secret at a pointer below `config`.
pub(crate) fn secret(pointer: &str) -> Error {
    let key = format!("config{}", pointer.replace('/', ".").replace("~1", "/").replace("~0", "~"));
    Error::config(&codes::SECRET, format!("`{key}` is a secret, which may not be passed to a plugin"))
        .help("leave it out; plugins get no secrets before grants exist")
        .at(Place::field(format!("/config{pointer}")))
}

/// Returns the validator, and pointers to the secrets in the configuration.
fn build(schema: &Value, config: &Value) -> Result<(Validator, BTreeSet<String>), String> {
    Survey { root: schema, work: HashMap::new(), patterns: 0, unevaluated: 0 }.value(schema)?;
    let mut walk = Walk { root: schema, work: HashMap::new(), secrets: BTreeSet::new() };
    if walk.pair(schema, config, "", 0) > PAIRS_MAX {
        return Err("holds this configuration against too much".to_owned());
    }
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
    let validator = jsonschema::options().offline().with_pattern_options(patterns).build(schema);
    let validator = validator.map_err(|error| format!("is not a JSON Schema: {error}"))?;
    Ok((validator, walk.secrets))
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
    work: HashMap<*const Value, Option<Work>>,
    patterns: usize,
    unevaluated: usize,
}

/// What holding one value against a sub-schema takes.
#[derive(Clone, Copy)]
struct Work {
    /// Sub-schemas that it is held against.
    sum: u64,
    /// How many of them lie within each other.
    height: usize,
}

impl<'a> Survey<'a> {
    /// Checks a schema and all below it.
    fn value(&mut self, value: &'a Value) -> Result<(), String> {
        match value {
            Value::Object(members) => {
                self.keywords(value, members)?;
                self.work(value, 0)?;
                members.values().try_for_each(|member| self.value(member))
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.value(item)),
            _ => Ok(()),
        }
    }

    /// Refuses keywords by their name, their value or their number.
    fn keywords(&mut self, value: &Value, members: &Map<String, Value>) -> Result<(), String> {
        if let Some(keyword) = REFUSED.into_iter().find(|keyword| {
            // The root's own name refers nowhere.
            members.contains_key(*keyword) && !(*keyword == "$id" && std::ptr::eq(value, self.root))
        }) {
            return Err(format!("uses `{keyword}`"));
        }
        if let Some(dialect) = members.get("$schema").and_then(Value::as_str)
            && dialect.strip_suffix('#').unwrap_or(dialect) != DIALECT
        {
            return Err(format!("has the `$schema` `{dialect}`, and only {DIALECT} is known"));
        }
        let named = members.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
        self.patterns += named + usize::from(members.get("pattern").is_some_and(Value::is_string));
        if self.patterns > PATTERNS_MAX {
            return Err(format!("has more than {PATTERNS_MAX} patterns"));
        }
        self.unevaluated += UNEVALUATED.iter().filter(|keyword| members.contains_key(**keyword)).count();
        if self.unevaluated > UNEVALUATED_MAX {
            return Err(format!(
                "uses `{}` and `{}` more than {UNEVALUATED_MAX} times",
                UNEVALUATED[0], UNEVALUATED[1]
            ));
        }
        Ok(())
    }

    /// Returns what a value is held against at this schema; `above` others lie around it. Both ends of a chain are looked
    /// at: the one ahead before the stack is taken, the one behind where it was counted before.
    fn work(&mut self, schema: &'a Value, above: usize) -> Result<Work, String> {
        let Value::Object(members) = schema else { return Ok(Work { sum: 1, height: 0 }) };
        match self.work.get(&std::ptr::from_ref(schema)) {
            Some(Some(work)) if above + work.height <= CHAIN_MAX => return Ok(*work),
            Some(None) => return Err("refers to itself without end".to_owned()),
            None if above < CHAIN_MAX => {}
            _ => return Err(format!("has more than {CHAIN_MAX} schemas of one value within each other")),
        }
        self.work.insert(schema, None);
        let mut parts = applied(members);
        if let Some(reference) = members.get("$ref") {
            parts.push(resolve(self.root, reference)?);
        }
        let mut all = Work { sum: 1, height: 1 };
        for part in parts {
            let work = self.work(part, above + 1)?;
            all = Work { sum: all.sum.saturating_add(work.sum), height: all.height.max(work.height + 1) };
        }
        if all.sum > WORK_MAX {
            return Err("has too much in it".to_owned());
        }
        self.work.insert(schema, Some(all));
        Ok(all)
    }
}

/// Returns the sub-schemas that the value of this one is held against too, without its reference.
fn applied(members: &Map<String, Value>) -> Vec<&Value> {
    let mut parts = Vec::new();
    parts.extend(ONE.iter().filter_map(|key| members.get(*key)));
    parts.extend(MANY.iter().filter_map(|key| members.get(*key)?.as_array()).flatten());
    parts.extend(MAPS.iter().filter_map(|key| members.get(*key)?.as_object()).flat_map(|map| map.values()));
    parts
}

/// Follows a reference as the validator does. It decodes `%` and stray `~` in other ways, so that these are refused: what was
/// surveyed must be what is run.
fn resolve<'a>(root: &'a Value, reference: &Value) -> Result<&'a Value, String> {
    let text = reference.as_str().ok_or("has a `$ref` that is no text")?;
    let Some(pointer) = text.strip_prefix('#') else {
        return Err(format!("refers outside itself, to `{text}`"));
    };
    let escaped = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if pointer.contains('%') || !escaped {
        return Err(format!("refers to `{text}`; of escapes only `~0` and `~1` are known"));
    }
    root.pointer(pointer).ok_or_else(|| format!("refers to `{text}`, which is not there"))
}

/// Goes through a configuration as the validator will, each pair of sub-schema and value once: counts how often the validator
/// comes to them, which may double at each level, and finds the secrets. Only for a schema that was surveyed.
struct Walk<'a> {
    root: &'a Value,
    /// Work of the pairs so far, by their addresses.
    work: HashMap<(*const Value, *const Value), u64>,
    /// Pointers to values whose schema says `"writeOnly": true`.
    secrets: BTreeSet<String>,
}

/// Stands for the name of any member where names are held against a schema.
static NAME: Value = Value::Null;

impl<'a> Walk<'a> {
    /// Returns the work of one pair and all below it.
    fn pair(&mut self, schema: &'a Value, value: &'a Value, at: &str, depth: usize) -> u64 {
        let Value::Object(members) = schema else { return 1 };
        let pair = (std::ptr::from_ref(schema), std::ptr::from_ref(value));
        if let Some(work) = self.work.get(&pair) {
            return *work;
        }
        // Every pair is some work, so as many pairs are too much already.
        if self.work.len() as u64 >= PAIRS_MAX || depth >= PAIR_DEPTH_MAX {
            return u64::MAX;
        }
        if members.get("writeOnly") == Some(&Value::Bool(true)) {
            self.secrets.insert(at.to_owned());
        }
        let reference = members.get("$ref").and_then(|reference| resolve(self.root, reference).ok());
        let mut sum = 1u64;
        for part in applied(members).into_iter().chain(reference) {
            sum = sum.saturating_add(self.pair(part, value, at, depth + 1));
        }
        let below = match value {
            Value::Object(values) => self.members(members, values, at, depth + 1),
            Value::Array(items) => self.items(members, items, at, depth + 1),
            _ => 0,
        };
        sum = sum.saturating_add(below);
        self.work.insert(pair, sum);
        sum
    }

    fn members(
        &mut self,
        schema: &'a Map<String, Value>,
        values: &'a Map<String, Value>,
        at: &str,
        depth: usize,
    ) -> u64 {
        let object = |key: &str| schema.get(key).and_then(Value::as_object);
        let mut sum = 0u64;
        for (name, value) in values {
            let mut parts: Vec<&'a Value> = match object("properties").and_then(|named| named.get(name)) {
                Some(part) => vec![part],
                None => ["additionalProperties", UNEVALUATED[0]].iter().filter_map(|key| schema.get(*key)).collect(),
            };
            // Which names a pattern fits is not asked: rather one value too many is taken for a secret.
            parts.extend(object("patternProperties").into_iter().flat_map(|patterns| patterns.values()));
            let below = format!("{at}/{}", escape(name));
            for part in parts {
                sum = sum.saturating_add(self.pair(part, value, &below, depth));
            }
            if let Some(part) = schema.get("propertyNames") {
                sum = sum.saturating_add(self.pair(part, &NAME, at, depth));
            }
        }
        sum
    }

    fn items(&mut self, schema: &'a Map<String, Value>, items: &'a [Value], at: &str, depth: usize) -> u64 {
        let first = ["prefixItems", "items"].iter().find_map(|key| schema.get(*key)?.as_array());
        let first = first.map_or(&[][..], Vec::as_slice);
        let get = |keys: &[&str]| keys.iter().filter_map(|key| schema.get(*key)).collect::<Vec<&'a Value>>();
        let (rest, each) = (get(&["items", "additionalItems", UNEVALUATED[1]]), get(&["contains"]));
        let mut sum = 0u64;
        for (index, value) in items.iter().enumerate() {
            let own = if index < first.len() { &[][..] } else { rest.as_slice() };
            let below = format!("{at}/{index}");
            for part in first.get(index).into_iter().chain(own.iter().copied()).chain(each.iter().copied()) {
                sum = sum.saturating_add(self.pair(part, value, &below, depth));
            }
        }
        sum
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
        refused_for(schema, &json!({}));
    }

    fn refused_for(schema: &Value, config: &Value) {
        assert_eq!(faults(schema, config), [("RDE0322", "/plugin".to_owned())], "{:.400}", schema.to_string());
    }

    fn accepted(schema: &Value) {
        assert_eq!(faults(schema, &json!({})), [], "{:.400}", schema.to_string());
    }

    /// Definitions `a0` to `a<links>`: each made of a reference to the next one, the last one anything.
    fn chain(links: usize, link: impl Fn(Value) -> Value) -> Map<String, Value> {
        let next = |level: usize| json!({ "$ref": format!("#/$defs/a{}", level + 1) });
        let mut defs: Map<String, Value> = (0..links).map(|level| (format!("a{level}"), link(next(level)))).collect();
        defs.insert(format!("a{links}"), json!({}));
        defs
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
        let bomb = |link: &dyn Fn(Value) -> Value| json!({ "$ref": "#/$defs/a0", "$defs": chain(15, link) });
        refused(&bomb(&|next| json!({ "anyOf": [next, next] })));
        refused(&bomb(&|next| json!({ "dependencies": { "x": { "anyOf": [next, next] } } })));
        refused(&bomb(&|next| json!({ "dependentSchemas": { "x": { "anyOf": [next, next] } } })));
        accepted(&bomb(&|next| json!({ "anyOf": [next] })));
    }

    #[test]
    fn a_chain_of_references_is_refused_before_it_takes_the_stack() {
        let ahead = |links: usize| json!({ "$ref": "#/$defs/a0", "$defs": chain(links, |next| next) });
        accepted(&ahead(62));
        refused(&ahead(63));
        refused(&ahead(20_000));
        // The last link comes first, so that each is counted before the one that refers to it.
        let behind = |links: usize| {
            let defs: Map<String, Value> = chain(links, |next| next).into_iter().rev().collect();
            json!({ "$defs": defs, "properties": { "x": { "$ref": "#/$defs/a0" } } })
        };
        accepted(&behind(62));
        refused(&behind(64));
        refused(&behind(20_000));
    }

    #[test]
    fn a_reference_means_to_the_survey_what_it_means_to_the_validator() {
        let defs = json!({ "a%62": {}, "ab": {}, "a~/": {}, "a~~1": {}, "a/~": { "type": "object" } });
        refused(&json!({ "$ref": "#/$defs/a%62", "$defs": defs }));
        refused(&json!({ "$ref": "#/$defs/a~~1", "$defs": defs }));
        accepted(&json!({ "$ref": "#/$defs/a~1~0", "$defs": defs }));
        refused(&json!({ "$schema": "http://json-schema.org/draft-04/schema#" }));
        refused(&json!({ "$defs": { "a": { "$schema": "http://json-schema.org/draft-07/schema#" } } }));
        accepted(&json!({ "$schema": DIALECT }));
    }

    #[test]
    fn work_that_multiplies_with_each_level_of_the_configuration_is_refused() {
        let branch = json!({ "properties": { "a": { "$ref": "#" } } });
        let schema = json!({ "allOf": vec![branch; 100] });
        assert_eq!(faults(&schema, &json!({ "a": 1 })), []);
        refused_for(&schema, &json!({ "a": { "a": { "a": 1 } } }));
    }

    #[test]
    fn patterns_and_what_compiles_all_below_it_again_are_counted() {
        let fields = |count: usize, field: &dyn Fn(usize) -> Value| -> Value {
            let fields: Map<String, Value> = (0..count).map(|at| (format!("f{at}"), field(at))).collect();
            json!({ "properties": fields })
        };
        let pattern = |at: usize| json!({ "pattern": format!("^a{at}$") });
        accepted(&fields(64, &pattern));
        refused(&fields(65, &pattern));
        let named: Map<String, Value> = (0..65).map(|at| (format!("^a{at}$"), json!({}))).collect();
        refused(&json!({ "patternProperties": named }));
        refused(&json!({ "pattern": "(\\p{L}|b17x){20}" }));
        let unevaluated = |_: usize| json!({ "unevaluatedProperties": false });
        accepted(&fields(4, &unevaluated));
        refused(&fields(5, &unevaluated));
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
    #[test]
    fn a_secret_is_found_below_every_keyword() {
        let secret = json!({ "writeOnly": true });
        let pin = json!({ "properties": { "pin": secret } });
        let schemas = [
            json!({ "additionalProperties": secret }),
            json!({ "unevaluatedProperties": secret }),
            json!({ "patternProperties": { "^p": secret } }),
            json!({ "allOf": [pin] }),
            json!({ "anyOf": [{ "type": "string" }, pin] }),
            json!({ "oneOf": [pin] }),
            json!({ "if": {}, "then": pin }),
            json!({ "if": false, "else": pin }),
            json!({ "dependentSchemas": { "pin": pin } }),
            json!({ "dependencies": { "pin": pin } }),
            json!({ "$ref": "#/$defs/a", "$defs": { "a": pin } }),
        ];
        for schema in schemas {
            let found = faults(&schema, &json!({ "pin": "1234" }));
            assert_eq!(found, [("RDE0321", "/config/pin".to_owned())], "{schema}");
        }
        let lists = [
            json!({ "prefixItems": [{}, secret] }),
            json!({ "prefixItems": [{}], "items": secret }),
            json!({ "prefixItems": [{}], "unevaluatedItems": secret }),
        ];
        for list in lists {
            let found = faults(&json!({ "properties": { "pins": list } }), &json!({ "pins": ["a", "b"] }));
            assert_eq!(found, [("RDE0321", "/config/pins/1".to_owned())], "{list}");
        }
    }
}
