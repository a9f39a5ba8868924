//! The encapsulated IPC message: marker, length, metadata, body.
//!
//! On the batch path it opens and closes each message. Invariant: exactly one message, V5, uncompressed, with a body exactly as
//! long as it says. Not here: nodes and buffers against a schema (`read.rs`, `host/decode.rs`).

use crate::build::{Builder, Value};
use crate::error::IpcError;
use crate::flat::{Table, Vector};
use crate::head::BatchHead;

/// Bodies start at a multiple of this from the start of the message, and buffers at a multiple of it within the body.
pub(crate) const ALIGNMENT: usize = 64;
/// Marker and length before the metadata.
const PREFIX: usize = 8;
const MARKER: [u8; 4] = [0xFF; 4];
const VERSION_5: i16 = 4;
/// Bytes that [`batch_metadata`] writes besides nodes and buffers, before padding.
const BATCH_METADATA_FIXED: usize = 88;

/// What a message holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Schema,
    RecordBatch,
}

/// A message that was opened.
pub(crate) struct Envelope<'a> {
    pub(crate) header: Table<'a>,
    pub(crate) body: &'a [u8],
}

/// The header of a record batch: row count, nodes and buffers, not yet compared with a schema.
pub(crate) struct BatchHeader<'a> {
    pub(crate) rows: i64,
    pub(crate) nodes: Vector<'a>,
    pub(crate) buffers: Vector<'a>,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Kind::Schema => 1,
            Kind::RecordBatch => 3,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Schema => "Schema",
            Kind::RecordBatch => "RecordBatch",
        }
    }
}

impl<'a> BatchHeader<'a> {
    /// Reads the header of a record batch.
    pub(crate) fn read(header: Table<'a>) -> Result<Self, IpcError> {
        if header.has(3)? {
            return Err(IpcError::Compressed);
        }
        if header.vector(4, 8)?.is_some_and(|counts| counts.len() > 0) {
            return Err(IpcError::Metadata { fault: "it counts variadic buffers, which only views have" });
        }
        Ok(BatchHeader {
            rows: header.i64(0)?,
            nodes: header.vector(1, 16)?.unwrap_or(Vector::EMPTY),
            buffers: header.vector(2, 16)?.unwrap_or(Vector::EMPTY),
        })
    }
}

/// Opens one whole record batch: by the head it is likely to have, else by its own metadata.
pub(crate) fn open_batch<'a>(message: &'a [u8], head: &BatchHead) -> Result<(BatchHeader<'a>, &'a [u8]), IpcError> {
    if let Some(known) = head.read(message) {
        return Ok(known);
    }
    let envelope = open(message, Kind::RecordBatch)?;
    Ok((BatchHeader::read(envelope.header)?, envelope.body))
}

/// Opens one whole message.
pub(crate) fn open(message: &[u8], kind: Kind) -> Result<Envelope<'_>, IpcError> {
    let prefix = message.get(..PREFIX).ok_or(IpcError::Truncated { part: "prefix" })?;
    if prefix[..4] != MARKER {
        return Err(IpcError::Marker);
    }
    let length = i32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]);
    let length = usize::try_from(length).map_err(|_| IpcError::Metadata { fault: "its length is negative" })?;
    let rest = &message[PREFIX..];
    if length > rest.len() {
        return Err(IpcError::Truncated { part: "metadata" });
    }
    let (metadata, body) = rest.split_at(length);
    let (header, stated) = open_metadata(metadata, kind)?;
    if usize::try_from(stated) != Ok(body.len()) {
        return Err(IpcError::Body { stated, actual: body.len() });
    }
    Ok(Envelope { header, body })
}

/// Opens metadata without prefix. Answers the header and the stated length of the body.
pub(crate) fn open_metadata(metadata: &[u8], kind: Kind) -> Result<(Table<'_>, i64), IpcError> {
    let message = Table::root(metadata)?;
    let version = message.i16(0, 0)?;
    if version != VERSION_5 {
        return Err(IpcError::Version { found: version });
    }
    let found = message.u8(1, 0)?;
    if found != kind.number() {
        return Err(IpcError::Kind { expected: kind.name(), found });
    }
    let header = message.table(2)?.ok_or(IpcError::Metadata { fault: "it has no header" })?;
    Ok((header, message.i64(3)?))
}

/// Writes the message's own table and answers the place that must point to its header.
pub(crate) fn message_table(builder: &mut Builder, kind: Kind, body: i64) -> usize {
    let placed = builder.table([
        (3, Value::I64(body)),
        (2, Value::Offset),
        (0, Value::I16(VERSION_5)),
        (1, Value::U8(kind.number())),
    ]);
    builder.point(0, placed.at);
    placed.fields[1]
}

/// Writes the metadata of a record batch into `builder`, padded so that the body behind prefix and metadata is aligned.
pub(crate) fn batch_metadata(
    builder: &mut Builder,
    rows: i64,
    nodes: &[(i64, i64)],
    buffers: &[(i64, i64)],
    body: i64,
) {
    builder.restart();
    let header = message_table(builder, Kind::RecordBatch, body);
    let batch = builder.table([(0, Value::I64(rows)), (1, Value::Offset), (2, Value::Offset)]);
    builder.point(header, batch.at);
    builder.pairs(batch.fields[1], nodes);
    builder.pairs(batch.fields[2], buffers);
    builder.pad(ALIGNMENT, PREFIX);
}

/// Length of prefix and padded metadata of a record batch.
pub(crate) fn batch_head_len(nodes: usize, buffers: usize) -> usize {
    (PREFIX + BATCH_METADATA_FIXED + 16 * (nodes + buffers)).next_multiple_of(ALIGNMENT)
}

/// Writes prefix and metadata, which must be padded, to the front of `out`. Answers how many bytes.
pub(crate) fn write_head(builder: &Builder, out: &mut [u8]) -> usize {
    let metadata = builder.bytes();
    let length = i32::try_from(metadata.len()).unwrap_or(i32::MAX);
    out[..4].copy_from_slice(&MARKER);
    out[4..PREFIX].copy_from_slice(&length.to_le_bytes());
    out[PREFIX..PREFIX + metadata.len()].copy_from_slice(metadata);
    PREFIX + metadata.len()
}

/// Ends a message without body.
pub(crate) fn seal(builder: &mut Builder, out: &mut Vec<u8>) {
    builder.pad(ALIGNMENT, PREFIX);
    out.clear();
    out.resize(PREFIX + builder.bytes().len(), 0);
    write_head(builder, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_length_is_what_is_written() {
        for (nodes, buffers) in [(0, 0), (1, 2), (3, 7), (100, 301)] {
            let mut builder = Builder::default();
            batch_metadata(&mut builder, 5, &vec![(5, 0); nodes], &vec![(0, 0); buffers], 64);
            assert_eq!(PREFIX + builder.bytes().len(), batch_head_len(nodes, buffers));
        }
    }
}
