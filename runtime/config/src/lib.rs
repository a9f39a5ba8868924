//! YAML text to a checked [`PipelineSpec`], every fault at once and each with its place.
//!
//! `app` hands over bytes, `--set` arguments and a [`Resolver`]; [`load`] parses, applies `--set`, replaces variables,
//! and checks the grammar and the fields of every operator against its own definition. Errors of later phases come
//! back through [`Places::locate`]. The editor's schema, the reference and `rde docs` are made from the same
//! definitions.
//! Invariants: pure, no I/O; never panics, ends, and stays within the limits below on any bytes.

mod check;
pub mod codes;
mod cut;
mod diagnostics;
mod grammar;
mod later;
mod load;
mod operators;
mod parse;
mod places;
mod reference;
mod render;
mod scalar;
mod schema;
mod secrets;
mod set;
mod source;
mod spec;
mod suggest;
mod tree;
mod types;
mod values;
mod variables;
mod view;

#[cfg(test)]
mod tests;

pub use diagnostics::{Diagnostic, FAULTS_MAX, Severity, finish};
pub use later::is_later_kind;
pub use load::{ConfigFile, Loaded, fuzz_yaml, load};
pub use places::Places;
pub use reference::{kinds_text, operator_text, reference_markdown};
pub use render::Style;
pub use schema::pipeline_schema;
pub use secrets::{Redactor, SECRET_CHARS_MIN, is_secret_name};
pub use source::Span;
pub use spec::{EdgeEntry, OperatorEntry, PipelineSpec};
pub use suggest::nearest;
pub use variables::Resolver;
pub use view::unsupported_keywords;

/// Most bytes of a pipeline file.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of a file.
pub const DEPTH_MAX: usize = 64;
/// Most values of a file, aliases counted as what they stand for.
pub const NODES_MAX: usize = 100_000;
/// Most bytes of text of a file, aliases and variables counted as what they stand for.
pub const TEXT_BYTES_MAX: usize = 16 << 20;
