//! The fields of the `parquet` source.
//!
//! The doc comments are the reference. Not here: what they mean for files (`plan.rs`).

use schemars::JsonSchema;
use serde::Deserialize;

use crate::csv::ColumnTypes;

/// Fields of the `parquet` source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetSourceConfig {
    /// File, folder, glob, or `-` for standard input. A folder means every `.parquet` file below it.
    pub path: String,
    /// Every column and its type, for example `{ id: int64, at: "timestamp(us, UTC)" }`: files that differ are an error.
    /// Taken from the first file when absent.
    pub schema: Option<ColumnTypes>,
    /// Whether a folder or glob without files is a valid input; it then needs `schema`.
    #[serde(default)]
    pub allow_empty: bool,
}
