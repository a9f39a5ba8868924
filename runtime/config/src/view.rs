//! Reads the JSON Schemas that schemars makes of configuration structs.
//!
//! The checker, the reference and the editor schema see a field through a [`View`]: `$ref` and `allOf` followed, an
//! optional field unwrapped.
//! Invariant: ends on any schema; references are followed at most [`REFERENCES_MAX`] deep.
//! Not here: schemas of strangers (a plugin's `config_schema`), which the plugin host checks with a full validator.

use serde_json::{Map, Value};

const REFERENCES_MAX: usize = 32;

/// Keywords that are understood; [`unsupported_keywords`] lists all others.
const KEYWORDS: &[&str] = &[
    "$schema",
    "$ref",
    "$defs",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "writeOnly",
    "readOnly",
    "type",
    "enum",
    "const",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "properties",
    "required",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "uniqueItems",
    "multipleOf",
];

/// A schema with its references followed.
#[derive(Default)]
pub(crate) struct View<'s> {
    /// Every schema that applies.
    schemas: Vec<&'s Map<String, Value>>,
    /// Lists of which one must hold (`oneOf`, `anyOf`), without the null of optional fields.
    pub(crate) choices: Vec<Vec<&'s Value>>,
    nullable: bool,
}

impl<'s> View<'s> {
    pub(crate) fn of(root: &'s Value, schema: &'s Value) -> View<'s> {
        let mut view = View::default();
        view.collect(root, schema, 0);
        view
    }

    fn collect(&mut self, root: &'s Value, schema: &'s Value, depth: usize) {
        let Value::Object(keywords) = schema else { return };
        if depth > REFERENCES_MAX {
            return;
        }
        self.schemas.push(keywords);
        if let Some(target) = keywords.get("$ref").and_then(|target| resolve(root, target)) {
            self.collect(root, target, depth + 1);
        }
        for all in list(keywords, "allOf") {
            self.collect(root, all, depth + 1);
        }
        for keyword in ["oneOf", "anyOf"] {
            let choices = list(keywords, keyword);
            let live: Vec<&Value> = choices.iter().filter(|choice| !is_null_schema(choice)).collect();
            self.nullable |= live.len() < choices.len();
            match live.as_slice() {
                [] => {}
                [only] => self.collect(root, only, depth + 1),
                _ => self.choices.push(live),
            }
        }
    }

    /// Returns the values of a keyword, wherever it is written.
    pub(crate) fn all(&self, keyword: &str) -> impl Iterator<Item = &'s Value> {
        let found: Vec<&'s Value> = self.schemas.iter().filter_map(|schema| schema.get(keyword)).collect();
        found.into_iter()
    }

    pub(crate) fn text(&self, keyword: &str) -> Option<&'s str> {
        self.all(keyword).find_map(Value::as_str)
    }

    pub(crate) fn flag(&self, keyword: &str) -> bool {
        self.all(keyword).any(|value| value == &Value::Bool(true))
    }

    /// Returns the words listed under a keyword.
    pub(crate) fn words(&self, keyword: &str) -> Vec<&'s str> {
        self.all(keyword).filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect()
    }

    pub(crate) fn nullable(&self) -> bool {
        self.nullable || self.types().is_some_and(|types| types.contains(&"null"))
    }

    /// Returns the JSON types it allows; nothing when it does not say.
    pub(crate) fn types(&self) -> Option<Vec<&'s str>> {
        self.all("type").next().map(|types| match types {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            other => other.as_str().into_iter().collect(),
        })
    }

    /// Returns the values it allows, where they are listed.
    pub(crate) fn values(&self) -> Option<Vec<&'s Value>> {
        if let Some(values) = self.all("enum").find_map(Value::as_array) {
            return Some(values.iter().filter(|value| !value.is_null()).collect());
        }
        self.all("const").next().map(|value| vec![value])
    }

    /// Returns the fields in the order of their definition.
    pub(crate) fn properties(&self) -> Vec<(&'s str, &'s Value)> {
        let maps = self.all("properties").filter_map(Value::as_object);
        maps.flatten().map(|(name, schema)| (name.as_str(), schema)).collect()
    }

    pub(crate) fn property(&self, name: &str) -> Option<&'s Value> {
        self.all("properties").find_map(|properties| properties.get(name))
    }

    pub(crate) fn required(&self) -> Vec<&'s str> {
        self.words("required")
    }

    /// Returns whether keys that are not listed are refused.
    pub(crate) fn closed(&self) -> bool {
        self.all("additionalProperties")
            .chain(self.all("unevaluatedProperties"))
            .any(|rest| rest == &Value::Bool(false))
    }

    /// Returns the schema of values whose keys are not listed.
    pub(crate) fn rest(&self) -> Option<&'s Value> {
        self.all("additionalProperties").find(|rest| rest.is_object())
    }

    pub(crate) fn number(&self, keyword: &str) -> Option<f64> {
        self.all(keyword).find_map(Value::as_f64)
    }

    pub(crate) fn count(&self, keyword: &str) -> Option<usize> {
        self.all(keyword).find_map(Value::as_u64).and_then(|count| usize::try_from(count).ok())
    }
}

/// Lists the keywords of a schema that the checker does not understand; a test of the registry wants none.
pub fn unsupported_keywords(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    unsupported(schema, &mut found);
    found.sort();
    found.dedup();
    found
}

fn unsupported(schema: &Value, found: &mut Vec<String>) {
    let Value::Object(keywords) = schema else { return };
    for (keyword, value) in keywords {
        match keyword.as_str() {
            "properties" | "$defs" => {
                value.as_object().into_iter().flat_map(Map::values).for_each(|schema| unsupported(schema, found));
            }
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                value.as_array().into_iter().flatten().for_each(|schema| unsupported(schema, found));
            }
            "items" | "additionalProperties" | "unevaluatedProperties" | "propertyNames" => unsupported(value, found),
            known if KEYWORDS.contains(&known) || known.starts_with("x-rde-") => {}
            other => found.push(other.to_owned()),
        }
    }
}

fn resolve<'s>(root: &'s Value, target: &Value) -> Option<&'s Value> {
    root.pointer(target.as_str()?.strip_prefix('#')?)
}

fn list<'s>(keywords: &'s Map<String, Value>, keyword: &str) -> &'s [Value] {
    keywords.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_null_schema(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "null") || schema.get("const").is_some_and(Value::is_null)
}
