//! Tests of the whole crate through its public functions, over a small registry of operators of their own.

mod broken;
mod generated;
mod helps;
mod rendering;
mod variables;
mod within;

use std::collections::BTreeMap;

use rde_core::{ByteSize, Error, Faults, Fields, Kind, OperatorSpec, Period, Plan, Reference};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{ConfigFile, Loaded, Resolver, finish, load};

/// How rows are compressed.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Compression {
    /// As it is.
    None,
    /// Small and fast.
    Zstd,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only the definition is used")]
enum SampleRows {
    Count(u32),
    Word(All),
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum All {
    All,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only the definition is used")]
enum Catalog {
    File(FileCatalog),
    Rest(RestCatalog),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the definition is used")]
struct FileCatalog {
    /// Folder of the tables.
    warehouse: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the definition is used")]
struct RestCatalog {
    /// Where it answers.
    uri: String,
    /// Proves who we are.
    #[schemars(extend("writeOnly" = true))]
    token: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the definition is used")]
struct CsvFields {
    /// File, folder or glob.
    path: String,
    /// One character.
    #[serde(default)]
    delimiter: Option<char>,
    /// Whether the first line holds names.
    #[serde(default = "yes")]
    header: bool,
    /// Texts that mean null.
    #[serde(default)]
    null_values: Vec<String>,
    /// Type by column.
    #[serde(default)]
    schema: BTreeMap<String, String>,
    /// Rows to look at.
    #[serde(default)]
    sample_rows: Option<SampleRows>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the definition is used")]
struct SqlFields {
    /// One `SELECT`.
    #[schemars(length(min = 1))]
    query: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Limits {
    /// Memory of an instance.
    memory_max: Option<ByteSize>,
    /// Time of a call.
    time_max: Option<Period>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the definition is used")]
struct WasmFields {
    /// Path of the plugin.
    plugin: String,
    /// What the plugin sees.
    #[serde(default)]
    config: serde_json::Map<String, serde_json::Value>,
    /// Limits of each instance.
    #[serde(default)]
    limits: Limits,
    /// What a trap does.
    #[serde(default)]
    on_trap: OnTrap,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
enum OnTrap {
    /// The operator fails.
    #[default]
    Fail,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the definition is used")]
struct LakeFields {
    /// Folder of the files.
    path: String,
    /// How rows are compressed.
    #[serde(default)]
    compression: Option<Compression>,
    /// Where tables are known.
    #[serde(default)]
    catalog: Option<Catalog>,
    /// Passes the door.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    pass_phrase: Option<String>,
    /// Passed on as they are.
    #[serde(default)]
    properties: BTreeMap<String, String>,
    /// At most this many files.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10))]
    files_max: Option<u8>,
    /// Tried again later.
    #[serde(default)]
    #[schemars(extend("x-rde-later" = true))]
    retries: Option<u8>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the definition is used")]
struct StdoutFields {
    /// Lines of JSON.
    #[serde(default)]
    json: bool,
}

struct Spec(&'static str, Kind, fn() -> Reference);

impl OperatorSpec for Spec {
    fn name(&self) -> &'static str {
        self.0
    }
    fn kind(&self) -> Kind {
        self.1
    }
    fn reference(&self) -> Reference {
        self.2()
    }
    fn parse(&self, fields: &Fields) -> Result<Box<dyn Plan>, Faults> {
        if fields.value["path"] == "refused" {
            let error = Error::config(&crate::codes::WRONG_VALUE, "refused").at(rde_core::Place::field("/path"));
            return Err(Faults::from(error));
        }
        Err(Faults::from(Error::config(&crate::codes::SYNTAX, "these operators are only described")))
    }
}

static CSV: Spec = Spec("csv", Kind::Source, || Reference::of::<CsvFields>("Reads CSV.", "", "csv: { path: in.csv }"));
static SQL: Spec = Spec("sql", Kind::Transform, || {
    Reference::of::<SqlFields>("Runs SQL.", "Tables are named by ids.", "sql: { query: SELECT 1 }")
});
static WASM: Spec =
    Spec("wasm", Kind::Transform, || Reference::of::<WasmFields>("Runs a plugin.", "", "wasm: { plugin: a.wasm }"));
static LAKE: Spec =
    Spec("parquet", Kind::Sink, || Reference::of::<LakeFields>("Writes Parquet.", "", "parquet: { path: out }"));
static STDOUT: Spec = Spec("stdout", Kind::Sink, || Reference::of::<StdoutFields>("Prints rows.", "", "stdout: {}"));

/// The operators of these tests.
pub(crate) static REGISTRY: [&dyn OperatorSpec; 5] = [&CSV, &SQL, &WASM, &LAKE, &STDOUT];

/// A fixed environment.
pub(crate) struct World;

impl Resolver for World {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        Ok(match name {
            "FIVE" => Some("5".to_owned()),
            "WORD" => Some("word".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("{ a: 1 }".to_owned()),
            "BYTES" => return Err("its value is not UTF-8".to_owned()),
            _ => None,
        })
    }
    fn secret_file(&self, path: &str) -> Result<String, String> {
        match path {
            "pw" => Ok("hunter2\n".to_owned()),
            "four" => Ok("abcd\n".to_owned()),
            "three" => Ok("abc\n".to_owned()),
            "empty" => Ok(String::new()),
            _ => Err("no such file".to_owned()),
        }
    }
}

pub(crate) fn loaded(text: &str, sets: &[&str]) -> Loaded<'static> {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    load(&ConfigFile { name: "p.yaml", bytes: text.as_bytes(), sets: &sets }, &REGISTRY, &World)
}

/// The finished faults as `CODE:line:column`.
pub(crate) fn codes_of(loaded: &Loaded<'_>) -> Vec<String> {
    let faults = finish(loaded.faults.clone(), &loaded.redactor);
    faults.iter().map(|fault| format!("{}:{}:{}", &fault.code[3..], fault.line, fault.column)).collect()
}

/// A pipeline with one sink entry more.
pub(crate) const GOOD: &str = "\
name: flights
settings:
  parallelism: 2
sources:
  - id: flights
    csv: { path: data/flights.csv, null_values: [\"NA\", \"\"], schema: { dep_delay: int64 }, sample_rows: all }
transforms:
  - id: late
    description: the late ones
    sql: { query: \"SELECT 1\" }
    parallelism: 3
  - id: score
    wasm: { plugin: a.wasm, config: { scale: 2 }, limits: { memory_max: 64MiB, time_max: 2s } }
    on_error: skip
sinks:
  - id: lake
    parquet: { path: out, compression: zstd, catalog: { file: { warehouse: w } } }
  - id: shown
    stdout:
edges:
  - [flights, late]
  - [late, score]
  - [score.out, lake]
  - [score.errors, shown]
";
