//! The `settings:` of a pipeline, with their defaults; and `on_error`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ByteSize;

/// Settings of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Most rows of a batch. A source closes a batch at either bound.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub batch_rows_max: usize,
    /// Most bytes of a batch.
    pub batch_bytes_max: ByteSize,
    /// A larger row is a failed row.
    pub row_bytes_max: ByteSize,
    /// Bytes that may wait on one edge; the sender waits above it.
    pub channel_bytes_max: ByteSize,
    /// Bytes of all batches and plugin memories of this pipeline; above it sources wait.
    pub memory_max: ByteSize,
    /// Folder for what does not fit into memory.
    pub spill: PathBuf,
    /// Most bytes in that folder.
    pub spill_max: ByteSize,
    /// Upper bound of every operator's lanes.
    #[schemars(range(min = 1, max = 256))]
    pub parallelism: usize,
    /// Joins small batches before plugins.
    pub coalesce: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            batch_rows_max: 8192,
            batch_bytes_max: ByteSize::mib(8),
            row_bytes_max: ByteSize::mib(64),
            channel_bytes_max: ByteSize::mib(16),
            memory_max: ByteSize::mib(1024),
            spill: PathBuf::from(".rde/spill"),
            spill_max: ByteSize::mib(10 * 1024),
            parallelism: 1,
            coalesce: true,
        }
    }
}

/// What happens to rows that fail in an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The run fails.
    Fail,
    /// The row is counted, dropped and warned about.
    Skip,
    /// The row goes to the `errors` output as an error row.
    DeadLetter,
}
