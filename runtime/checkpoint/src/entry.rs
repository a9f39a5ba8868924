//! One entry of the log, and its bytes: JSON with a format version and a checksum.
//!
//! The structs that are serialised live here at the edge; opaque bytes and ids are hex text in them. Invariant: bytes that
//! decode are exactly what was encoded, since the checksum covers every field that is read.
//! Not here: the order of entries (`log.rs`) and what follows from them (`decide.rs`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Commit, CommitId, Epoch, Incarnation, Position, Prepared, SplitId};

/// The version of the bytes that [`encode`] writes; others are refused.
pub const FORMAT: u32 = 1;

/// What an incarnation wrote into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who wrote it.
    pub incarnation: Incarnation,
    /// What it says.
    pub body: Body,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The incarnation takes over.
    Claim,
    /// A durable cut.
    Checkpoint(Checkpoint),
}

/// A durable cut through a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its number; 0 is written before the first row.
    pub epoch: Epoch,
    /// The splits of each source as they were found, by its id.
    pub splits: BTreeMap<String, Vec<SplitEntry>>,
    /// Where each source resumes, by its id. A split that is missing starts at its beginning.
    pub positions: BTreeMap<String, BTreeMap<SplitId, Position>>,
    /// The state of each operator that keeps one, by its id, in lane order; `None` for a lane without.
    pub states: BTreeMap<String, Vec<Option<Vec<u8>>>>,
    /// The newest acknowledged commit of each sink, by its id: the parent of the first that is pending.
    pub acknowledged: BTreeMap<String, CommitId>,
    /// Every prepared commit of each sink that is not acknowledged yet, oldest first, by its id.
    pub pending: BTreeMap<String, Vec<Commit>>,
    /// Whether every input has ended and every sink has prepared the last of it.
    pub completed: bool,
}

/// A split as a checkpoint lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitEntry {
    /// Stable across runs over the same input.
    pub id: SplitId,
    /// Its length in bytes where known.
    pub weight: u64,
}

/// Why bytes are no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Not the JSON of an entry: cut off, overwritten, or not ours.
    #[error("the entry cannot be read: {0}")]
    Unreadable(String),
    /// Written by another version of the format.
    #[error("the entry has format {0}, this version reads format {FORMAT}")]
    Format(u32),
    /// Something changed after it was written.
    #[error("the entry does not have the checksum it was written with")]
    Checksum,
}

/// Returns the name of the object that holds the entry with a number.
pub fn object_name(number: u64) -> String {
    format!("{number:012}.json")
}

/// Returns the bytes of an entry; equal entries have equal bytes.
pub fn encode(entry: &Entry) -> Vec<u8> {
    let wire = WireEntry::from(entry);
    let sealed = Sealed { format: FORMAT, checksum: checksum(&wire), entry: wire };
    serde_json::to_vec(&sealed).expect("maps with text keys always have JSON")
}

/// Reads what [`encode`] wrote. Total: any bytes give an entry or the damage.
pub fn decode(bytes: &[u8]) -> Result<Entry, Damage> {
    let head: Head = serde_json::from_slice(bytes).map_err(|error| Damage::Unreadable(error.to_string()))?;
    if head.format != FORMAT {
        return Err(Damage::Format(head.format));
    }
    let sealed: Sealed = serde_json::from_slice(bytes).map_err(|error| Damage::Unreadable(error.to_string()))?;
    if checksum(&sealed.entry) != sealed.checksum {
        return Err(Damage::Checksum);
    }
    Entry::try_from(sealed.entry)
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    format: u32,
    checksum: String,
    entry: WireEntry,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireEntry {
    incarnation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<WireCheckpoint>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCheckpoint {
    epoch: Epoch,
    completed: bool,
    splits: BTreeMap<String, Vec<SplitEntry>>,
    positions: BTreeMap<String, BTreeMap<String, String>>,
    states: BTreeMap<String, Vec<Option<String>>>,
    acknowledged: BTreeMap<String, String>,
    pending: BTreeMap<String, Vec<WireCommit>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCommit {
    id: String,
    parent: Option<String>,
    epoch: Epoch,
    prepared: Vec<String>,
}

fn checksum(entry: &WireEntry) -> String {
    let bytes = serde_json::to_vec(entry).expect("maps with text keys always have JSON");
    hex(&Sha256::digest(bytes))
}

impl From<&Entry> for WireEntry {
    fn from(entry: &Entry) -> WireEntry {
        let checkpoint = match &entry.body {
            Body::Claim => None,
            Body::Checkpoint(checkpoint) => Some(WireCheckpoint::from(checkpoint)),
        };
        WireEntry { incarnation: entry.incarnation.to_string(), checkpoint }
    }
}

impl From<&Checkpoint> for WireCheckpoint {
    fn from(checkpoint: &Checkpoint) -> WireCheckpoint {
        let positions = |splits: &BTreeMap<SplitId, Position>| {
            splits.iter().map(|(split, position)| (split.0.clone(), hex(&position.0))).collect()
        };
        let states = |lanes: &Vec<Option<Vec<u8>>>| lanes.iter().map(|lane| lane.as_deref().map(hex)).collect();
        WireCheckpoint {
            epoch: checkpoint.epoch,
            completed: checkpoint.completed,
            splits: checkpoint.splits.clone(),
            positions: checkpoint.positions.iter().map(|(id, splits)| (id.clone(), positions(splits))).collect(),
            states: checkpoint.states.iter().map(|(id, lanes)| (id.clone(), states(lanes))).collect(),
            acknowledged: checkpoint.acknowledged.iter().map(|(id, commit)| (id.clone(), id_text(*commit))).collect(),
            pending: checkpoint
                .pending
                .iter()
                .map(|(id, commits)| (id.clone(), commits.iter().map(WireCommit::from).collect()))
                .collect(),
        }
    }
}

impl From<&Commit> for WireCommit {
    fn from(commit: &Commit) -> WireCommit {
        WireCommit {
            id: id_text(commit.id),
            parent: commit.parent.map(id_text),
            epoch: commit.epoch,
            prepared: commit.prepared.iter().map(|prepared| hex(&prepared.0)).collect(),
        }
    }
}

impl TryFrom<WireEntry> for Entry {
    type Error = Damage;
    fn try_from(wire: WireEntry) -> Result<Entry, Damage> {
        let incarnation = u64::from_str_radix(&wire.incarnation, 16).map_err(|_| bad("incarnation"))?;
        let body = match wire.checkpoint {
            None => Body::Claim,
            Some(checkpoint) => Body::Checkpoint(Checkpoint::try_from(checkpoint)?),
        };
        Ok(Entry { incarnation: Incarnation(incarnation), body })
    }
}

impl TryFrom<WireCheckpoint> for Checkpoint {
    type Error = Damage;
    fn try_from(wire: WireCheckpoint) -> Result<Checkpoint, Damage> {
        let mut checkpoint =
            Checkpoint { epoch: wire.epoch, splits: wire.splits, completed: wire.completed, ..Checkpoint::default() };
        for (id, splits) in wire.positions {
            let splits = splits.into_iter().map(|(split, text)| Ok((SplitId(split), Position(unhex(&text)?))));
            checkpoint.positions.insert(id, splits.collect::<Result<_, Damage>>()?);
        }
        for (id, lanes) in wire.states {
            let lanes = lanes.into_iter().map(|lane| lane.map(|text| unhex(&text)).transpose());
            checkpoint.states.insert(id, lanes.collect::<Result<_, Damage>>()?);
        }
        for (id, commit) in wire.acknowledged {
            checkpoint.acknowledged.insert(id, parse_id(&commit)?);
        }
        for (id, commits) in wire.pending {
            let commits = commits.into_iter().map(Commit::try_from);
            checkpoint.pending.insert(id, commits.collect::<Result<_, Damage>>()?);
        }
        Ok(checkpoint)
    }
}

impl TryFrom<WireCommit> for Commit {
    type Error = Damage;
    fn try_from(wire: WireCommit) -> Result<Commit, Damage> {
        let prepared = wire.prepared.iter().map(|text| Ok(Prepared(unhex(text)?)));
        Ok(Commit {
            id: parse_id(&wire.id)?,
            parent: wire.parent.as_deref().map(parse_id).transpose()?,
            epoch: wire.epoch,
            prepared: prepared.collect::<Result<_, Damage>>()?,
        })
    }
}

fn id_text(id: CommitId) -> String {
    format!("{:032x}", id.0)
}

fn parse_id(text: &str) -> Result<CommitId, Damage> {
    u128::from_str_radix(text, 16).map(CommitId).map_err(|_| bad("commit id"))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, Damage> {
    let digits: Option<Vec<u8>> =
        text.bytes().map(|byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2)).ok_or_else(|| bad("hex text"))?;
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn bad(what: &str) -> Damage {
    Damage::Unreadable(format!("malformed {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Entry {
        let split = SplitId("a.csv".into());
        let commit = Commit {
            id: CommitId(u128::MAX),
            parent: Some(CommitId(7)),
            epoch: Epoch(3),
            prepared: vec![Prepared(vec![0, 255]), Prepared(Vec::new())],
        };
        let checkpoint = Checkpoint {
            epoch: Epoch(3),
            splits: BTreeMap::from([("in".into(), vec![SplitEntry { id: split.clone(), weight: 9 }])]),
            positions: BTreeMap::from([("in".into(), BTreeMap::from([(split, Position(vec![1, 2, 3]))]))]),
            states: BTreeMap::from([("dedupe".into(), vec![Some(vec![9]), None])]),
            acknowledged: BTreeMap::from([("out".into(), CommitId(7))]),
            pending: BTreeMap::from([("out".into(), vec![commit])]),
            completed: true,
        };
        Entry { incarnation: Incarnation(u64::MAX), body: Body::Checkpoint(checkpoint) }
    }

    #[test]
    fn entries_read_back_as_written() {
        let claim = Entry { incarnation: Incarnation(1), body: Body::Claim };
        for entry in [claim, sample()] {
            assert_eq!(decode(&encode(&entry)), Ok(entry));
        }
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let bytes = encode(&sample());
        for index in 0..bytes.len() {
            for flip in [1u8, 2, 32] {
                let mut damaged = bytes.clone();
                damaged[index] ^= flip;
                if let Ok(entry) = decode(&damaged) {
                    assert_eq!(entry, sample(), "byte {index} changed the entry unnoticed");
                }
            }
        }
    }

    #[test]
    fn a_cut_off_entry_is_damage_at_every_length() {
        let bytes = encode(&sample());
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn another_format_is_named() {
        let text = String::from_utf8(encode(&sample())).expect("an entry is text");
        let other = text.replacen("\"format\":1", "\"format\":2", 1);
        assert_eq!(decode(other.as_bytes()), Err(Damage::Format(2)));
    }
}
