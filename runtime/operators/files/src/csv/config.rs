//! The fields of the `csv` source.
//!
//! The doc comments are the reference. Not here: what they mean for files (`plan.rs`).

use std::borrow::Cow;
use std::fmt;

use arrow::datatypes::{DataType, Field, Schema};
use rde_core::{Error, Place};
use schemars::{JsonSchema, Schema as JsonSchemaValue, SchemaGenerator, json_schema};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::codes;
use crate::types::{TYPE_HELP, parse_type};

/// Rows sampled of each of the first [`SAMPLE_FILES`] files.
pub(crate) const SAMPLE_ROWS: usize = 20_480;

/// Files sampled; of later ones only the header is read.
pub(crate) const SAMPLE_FILES: usize = 16;

/// Fields of the `csv` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvSourceConfig {
    /// File, folder, glob, FIFO, or `-` for standard input. A folder means every `.csv`, `.csv.gz` and `.csv.zst` file
    /// below it. `.gz` and `.zst` files are decompressed.
    pub path: String,
    /// Every column and its type, for example `{ id: int64, at: "timestamp(us, UTC)" }`. Inferred from a sample when absent.
    pub schema: Option<ColumnTypes>,
    /// Whether a folder or glob without files is a valid input; it then needs `schema`.
    #[serde(default)]
    pub allow_empty: bool,
    /// Whether every file begins with a line of the columns' names. Without it the columns are `column0`, `column1` and so
    /// on, or as `schema` names them, in its order.
    #[serde(default = "default_header")]
    pub header: bool,
    /// One ASCII character between fields, or `tab` (also written `\t`).
    #[serde(default = "default_delimiter")]
    pub delimiter: String,
    /// Texts that mean null, quoted or not.
    #[serde(default = "default_null_values")]
    pub null_values: Vec<String>,
    /// Rows of each of the first 16 files that types are inferred from, or `all` for every row of every file.
    #[serde(default)]
    pub sample_rows: SampleRows,
}

/// The columns of a source and their types, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnTypes(pub Vec<(String, String)>);

/// How much is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleRows {
    /// This many rows of a file.
    Rows(usize),
    /// Everything.
    All,
}

impl ColumnTypes {
    /// Returns the columns as a schema, or the faults of its types.
    pub(crate) fn resolve(&self) -> Result<Schema, Vec<Error>> {
        let mut faults = Vec::new();
        let mut fields = Vec::new();
        for (name, text) in &self.0 {
            let data_type = parse_type(text).unwrap_or_else(|| {
                let message = format!("column `{name}`: `{text}` is not a type");
                let place = Place::field(format!("/schema/{}", name.replace('~', "~0").replace('/', "~1")));
                faults.push(Error::config(&codes::BAD_TYPE, message).help(TYPE_HELP).at(place));
                DataType::Utf8
            });
            fields.push(Field::new(name, data_type, true));
        }
        if fields.is_empty() {
            let help = "list the columns, or leave `schema` out to have them inferred";
            let fault = Error::config(&codes::BAD_SOURCE_FIELD, "`schema` names no column");
            faults.push(fault.help(help).at(Place::field("/schema")));
        }
        if faults.is_empty() { Ok(Schema::new(fields)) } else { Err(faults) }
    }
}

/// What a `delimiter` may be, for the help of an error.
pub(crate) const DELIMITER_HELP: &str = "write one ASCII character, for example `,`, `;` or `|`, or `tab` (also written `\\t`); the quote, line ends and NUL cannot \
     separate fields";

/// Returns the byte between fields, for the source and the sink alike. In single quotes YAML leaves `\t` as two characters.
pub(crate) fn delimiter_byte(text: &str) -> Option<u8> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Some(b'\t'),
        [byte] => Some(*byte).filter(|byte| is_delimiter(*byte)),
        _ => None,
    }
}

/// Returns whether the splitter can tell a delimiter from what else it looks for.
pub(super) fn is_delimiter(byte: u8) -> bool {
    byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r' | 0)
}

impl Default for SampleRows {
    fn default() -> SampleRows {
        SampleRows::Rows(SAMPLE_ROWS)
    }
}

impl<'de> Deserialize<'de> for ColumnTypes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ColumnTypes, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = ColumnTypes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of column names to types")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ColumnTypes, A::Error> {
                let mut columns = Vec::new();
                while let Some(column) = map.next_entry()? {
                    columns.push(column);
                }
                Ok(ColumnTypes(columns))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl JsonSchema for ColumnTypes {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "ColumnTypes".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> JsonSchemaValue {
        json_schema!({ "type": "object", "additionalProperties": { "type": "string" } })
    }
}

impl<'de> Deserialize<'de> for SampleRows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SampleRows, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Rows(usize),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Rows(rows) if rows > 0 => Ok(SampleRows::Rows(rows)),
            Written::Word(word) if word == "all" => Ok(SampleRows::All),
            _ => Err(D::Error::custom("`sample_rows` is a number of rows above 0, or `all`")),
        }
    }
}

impl JsonSchema for SampleRows {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "SampleRows".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> JsonSchemaValue {
        json_schema!({
            "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "enum": ["all"] }],
            "default": SAMPLE_ROWS,
        })
    }
}

fn default_header() -> bool {
    true
}

fn default_delimiter() -> String {
    ",".to_owned()
}

fn default_null_values() -> Vec<String> {
    vec![String::new()]
}
