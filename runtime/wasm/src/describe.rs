//! What a plugin says about itself: the JSON of `describe`, checked.
//!
//! Invariant: a [`Description`] satisfies wit/describe.schema.json and asks for nothing that this version lacks.
//! Not here: calling `describe` (`instance.rs`), the schema of its configuration (`config_schema.rs`).

use std::sync::OnceLock;

use jsonschema::Validator;
use rde_core::{Code, Error, ErrorKind, LATER_STAGE, Place};
use serde::Deserialize;
use serde_json::Value;

use crate::codes;
use crate::text::shown;
use crate::world::API;

/// The shape of the answer, as authors of plugins see it.
const SCHEMA: &str = include_str!("../../../wit/describe.schema.json");

/// Bytes of an error's text that are shown.
const SHOWN_MAX: usize = 512;

/// The answer of `describe`.
#[derive(Clone, Debug, Deserialize)]
pub struct Description {
    /// The plugin's name.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// The version of `rde:plugin` it was built for.
    pub api: String,
    kind: Option<String>,
    /// One sentence.
    #[serde(default)]
    pub summary: String,
    /// JSON Schema of its configuration.
    pub config_schema: Value,
    #[serde(default = "one_input")]
    inputs: Vec<InputPort>,
    pub(crate) outputs: Option<Vec<OutputName>>,
    /// Grants it asks for.
    #[serde(default)]
    pub wants: Vec<String>,
    /// How its rows relate to those of its input.
    #[serde(default)]
    pub cardinality: Cardinality,
    /// Whether its answers depend on how rows are cut.
    #[serde(default)]
    pub cuts: Cuts,
    #[serde(default)]
    state: StateKind,
}

/// How rows out relate to rows in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cardinality {
    /// Each row gives one row.
    OneToOne,
    /// Each row gives one row or none.
    Filter,
    /// Anything.
    #[default]
    Any,
}

/// Whether answers depend on cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cuts {
    /// They do not: the host joins and cuts batches.
    #[default]
    Any,
    /// They may: the host does neither.
    Whole,
}

#[derive(Clone, Debug, Deserialize)]
struct InputPort {
    name: String,
    #[serde(default)]
    role: Role,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OutputName {
    pub(crate) name: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    #[default]
    Main,
    Side,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateKind {
    #[default]
    None,
    Host,
    Guest,
}

impl Description {
    /// Reads and checks an answer; `file` names the plugin in errors.
    pub(crate) fn read(answer: &[u8], file: &str) -> Result<Description, Error> {
        let refuse = |what: String| {
            Error::new(ErrorKind::Plugin, &codes::DESCRIBE, format!("plugin `{file}`: `describe` {what}"))
                .help("this is a bug in the plugin; wit/describe.schema.json has the shape of the answer")
                .at(Place::field("/plugin"))
        };
        let value: Value = serde_json::from_slice(answer)
            .map_err(|error| refuse(format!("answered no JSON: {}", shown(&error.to_string(), SHOWN_MAX))))?;
        if let Some(error) = shape().iter_errors(&value).next() {
            let at = shown(error.instance_path().as_str(), SHOWN_MAX);
            let why = shown(&error.masked().to_string(), SHOWN_MAX);
            return Err(refuse(format!("answered something of another shape: at `{at}`: {why}")));
        }
        let description: Description = serde_json::from_value(value)
            .map_err(|error| refuse(format!("cannot be read: {}", shown(&error.to_string(), SHOWN_MAX))))?;
        description.check(file)?;
        Ok(description)
    }

    /// Returns the names of the inputs, in order.
    pub(crate) fn input_names(&self) -> Vec<String> {
        self.inputs.iter().map(|input| input.name.clone()).collect()
    }

    fn check(&self, file: &str) -> Result<(), Error> {
        let refuse = |code: &'static Code, what: String, help: &str| {
            Err(Error::config(code, format!("plugin `{file}` {what}")).help(help).at(Place::field("/plugin")))
        };
        if self.api.strip_prefix("0.1.").is_none_or(|patch| patch.parse::<u32>().is_err()) {
            let what = format!("was built for `rde:plugin` {}, and this host serves {API}", self.api);
            return refuse(&codes::API_VERSION, what, "build the plugin with the SDK of this version");
        }
        if let Some(kind) = self.kind.as_deref().filter(|kind| *kind != "transform") {
            let what = format!("says it is of kind `{kind}`, and exports the world `transform`");
            return refuse(&codes::WORLD, what, "this is a bug in the plugin");
        }
        if self.state != StateKind::None {
            let what = "keeps state between batches, which this version does not have".to_owned();
            return refuse(&LATER_STAGE, what, "use a plugin whose `state` is `none`");
        }
        if let Some(side) = self.inputs.iter().find(|input| input.role == Role::Side) {
            let what = format!("has the side input `{}`, which this version does not have", side.name);
            return refuse(&LATER_STAGE, what, "join the other table in SQL");
        }
        if self.inputs.is_empty() {
            return refuse(
                &codes::DESCRIBE,
                "has no input; a transform has at least one".to_owned(),
                "this is a bug in the plugin",
            );
        }
        let unique = |names: Vec<&String>| names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
        let outputs = self.outputs.iter().flatten().map(|port| &port.name).collect();
        if !unique(self.inputs.iter().map(|port| &port.name).collect()) || !unique(outputs) {
            return refuse(&codes::DESCRIBE, "names a port twice".to_owned(), "this is a bug in the plugin");
        }
        Ok(())
    }
}

fn one_input() -> Vec<InputPort> {
    vec![InputPort { name: "in".to_owned(), role: Role::Main }]
}

fn shape() -> &'static Validator {
    static SHAPE: OnceLock<Validator> = OnceLock::new();
    SHAPE.get_or_init(|| {
        let schema = serde_json::from_str(SCHEMA).expect("the schema in the repository is JSON");
        jsonschema::options().offline().build(&schema).expect("the schema in the repository is a JSON Schema")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Description, Error> {
        Description::read(json.as_bytes(), "p.wasm")
    }

    fn with(members: &str) -> String {
        format!(r#"{{"name":"p","version":"1.0.0","api":"0.1.0","config_schema":{{}}{members}}}"#)
    }

    #[test]
    fn the_least_answer_has_one_input_and_promises_nothing() {
        let least = read(&with("")).expect("the least answer is enough");
        assert_eq!(least.input_names(), ["in"]);
        assert_eq!((least.cardinality, least.cuts), (Cardinality::Any, Cuts::Any));
    }

    #[test]
    fn unknown_members_are_ignored() {
        assert!(read(&with(r#","later":{"x":1}"#)).is_ok());
    }

    #[test]
    fn wrong_answers_are_named() {
        let cases = [
            ("{", "RDE0309"),
            ("[]", "RDE0309"),
            (r#"{"name":"p"}"#, "RDE0309"),
            (&with(r#","inputs":[{"name":"errors"}]"#), "RDE0309"),
            (&with(r#","inputs":[{"name":"a"},{"name":"a"}]"#), "RDE0309"),
            (&with(r#","inputs":[]"#), "RDE0309"),
            (&with(r#","inputs":[{"name":"a","role":"side"}]"#), "RDE0900"),
            (&with(r#","state":"host""#), "RDE0900"),
            (&with(r#","kind":"sink""#), "RDE0304"),
            (&with("").replace("0.1.0", "0.2.0"), "RDE0305"),
        ];
        for (json, code) in cases {
            assert_eq!(read(json).expect_err(json).code(), code, "{json}");
        }
    }
}
