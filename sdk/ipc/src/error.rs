//! What can be wrong with IPC bytes, one sentence each.
//!
//! Not on the batch path until something fails. Invariant: text that came from the other side is shown in backticks and
//! escaped by whoever prints it.

use std::fmt;

/// Why bytes were not accepted or a batch could not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IpcError {
    /// The bytes end too early.
    Truncated {
        /// What was being read.
        part: &'static str,
    },
    /// The message does not start with 0xFFFFFFFF.
    Marker,
    /// The FlatBuffers metadata is broken.
    Metadata {
        /// What is broken.
        fault: &'static str,
    },
    /// The metadata version is not V5.
    Version {
        /// The number found.
        found: i16,
    },
    /// A message of another kind.
    Kind {
        /// The kind that was asked for.
        expected: &'static str,
        /// The FlatBuffers number found.
        found: u8,
    },
    /// The body is not as long as the metadata says, or more bytes follow.
    Body {
        /// What the metadata says.
        stated: i64,
        /// Bytes after the metadata.
        actual: usize,
    },
    /// A compressed body.
    Compressed,
    /// A big-endian schema.
    BigEndian,
    /// A type that may not cross.
    Type {
        /// The field's name.
        field: String,
        /// The type.
        name: &'static str,
    },
    /// A field that is not well formed.
    Field {
        /// The field's name.
        field: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// Types nested too deep.
    Depth {
        /// The most levels allowed.
        limit: usize,
    },
    /// Too many fields, children included.
    Fields {
        /// The most allowed.
        limit: usize,
    },
    /// A column name that is too long.
    Name {
        /// The most bytes allowed.
        limit: usize,
    },
    /// Two fields of one name.
    DuplicateName {
        /// The name.
        name: String,
    },
    /// Another number of rows than is needed.
    Rows {
        /// Rows needed.
        expected: usize,
        /// Rows found.
        found: i64,
    },
    /// Another number of field nodes than the schema has.
    Nodes {
        /// By the schema.
        expected: usize,
        /// In the message.
        found: usize,
    },
    /// Another number of buffers than the schema has.
    Buffers {
        /// By the schema.
        expected: usize,
        /// In the message.
        found: usize,
    },
    /// A length, null count or buffer of a column that cannot be.
    Layout {
        /// The column's name.
        column: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// Values of a column that may not be.
    Data {
        /// The column's name.
        column: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// Another column, or another type, than was asked for.
    Access {
        /// What was asked for.
        wanted: &'static str,
    },
    /// More bytes than one message can hold.
    TooLarge,
    /// The charge for the bytes was refused.
    Refused,
    /// An error of the arrow library.
    Arrow {
        /// Its text.
        message: String,
    },
}

impl IpcError {
    /// A short stable name of the case, for counting and tests.
    pub fn kind(&self) -> &'static str {
        match self {
            IpcError::Truncated { .. } => "truncated",
            IpcError::Marker => "marker",
            IpcError::Metadata { .. } => "metadata",
            IpcError::Version { .. } => "version",
            IpcError::Kind { .. } => "kind",
            IpcError::Body { .. } => "body",
            IpcError::Compressed => "compressed",
            IpcError::BigEndian => "big_endian",
            IpcError::Type { .. } => "type",
            IpcError::Field { .. } => "field",
            IpcError::Depth { .. } => "depth",
            IpcError::Fields { .. } => "fields",
            IpcError::Name { .. } => "name",
            IpcError::DuplicateName { .. } => "duplicate_name",
            IpcError::Rows { .. } => "rows",
            IpcError::Nodes { .. } => "nodes",
            IpcError::Buffers { .. } => "buffers",
            IpcError::Layout { .. } => "layout",
            IpcError::Data { .. } => "data",
            IpcError::Access { .. } => "access",
            IpcError::TooLarge => "too_large",
            IpcError::Refused => "refused",
            IpcError::Arrow { .. } => "arrow",
        }
    }
}

impl fmt::Display for IpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IpcError::Truncated { part } => write!(f, "the IPC message ends inside its {part}"),
            IpcError::Marker => f.write_str("the IPC message does not start with the marker 0xFFFFFFFF"),
            IpcError::Metadata { fault } => write!(f, "the metadata of the IPC message is broken: {fault}"),
            IpcError::Version { found } => {
                write!(f, "the IPC message has metadata version number {found}, only V5 (4) is read")
            }
            IpcError::Kind { expected, found } => {
                write!(f, "an IPC message of kind {expected} is needed, this one has kind number {found}")
            }
            IpcError::Body { stated, actual } => {
                write!(f, "the IPC message states a body of {stated} bytes, {actual} bytes follow the metadata")
            }
            IpcError::Compressed => f.write_str("the body of the IPC message is compressed, which is not read"),
            IpcError::BigEndian => f.write_str("the IPC schema is big-endian, which is not read"),
            IpcError::Type { field, name } => write!(f, "field `{field}` has type {name}, which may not cross"),
            IpcError::Field { field, fault } => write!(f, "field `{field}`: {fault}"),
            IpcError::Depth { limit } => write!(f, "types are nested deeper than {limit} levels"),
            IpcError::Fields { limit } => write!(f, "the schema has more than {limit} fields"),
            IpcError::Name { limit } => write!(f, "a column name is longer than {limit} bytes"),
            IpcError::DuplicateName { name } => write!(f, "field name `{name}` stands twice"),
            IpcError::Rows { expected, found } => write!(f, "{expected} rows are needed, the message has {found}"),
            IpcError::Nodes { expected, found } => {
                write!(f, "the schema has {expected} field nodes, the message has {found}")
            }
            IpcError::Buffers { expected, found } => {
                write!(f, "the schema has {expected} buffers, the message has {found}")
            }
            IpcError::Layout { column, fault } | IpcError::Data { column, fault } => {
                write!(f, "column `{column}`: {fault}")
            }
            IpcError::Access { wanted } => write!(f, "the batch has no such column of type {wanted}"),
            IpcError::TooLarge => f.write_str("the batch is too large for one IPC message"),
            IpcError::Refused => f.write_str("the bytes of the batch are over the limit"),
            IpcError::Arrow { message } => f.write_str(message),
        }
    }
}

impl std::error::Error for IpcError {}
