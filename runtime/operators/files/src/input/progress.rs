//! What a lane of a file source has to read, and how far it came in each split.
//!
//! Invariant: a position is a number of rows that were counted, in a form with a version of its own.

use std::collections::VecDeque;

use rde_core::{Error, Position, Positions, Result, Split, SplitId};
use serde::{Deserialize, Serialize};

use crate::codes;

/// Version of positions.
const VERSION: u32 = 1;

/// The splits of a lane.
#[derive(Default)]
pub(crate) struct LaneSplits {
    queue: VecDeque<(Split, Reached)>,
    positions: Positions,
}

/// Where reading resumes in a split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Rows that were counted.
    pub(crate) rows: u64,
    /// Nothing is left.
    pub(crate) ended: bool,
}

/// A position as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    rows: u64,
    ended: bool,
}

impl LaneSplits {
    /// Takes the splits to read, in place of those from before.
    pub(crate) fn assign(&mut self, splits: Vec<(Split, Option<Position>)>) -> Result<()> {
        self.queue.clear();
        self.positions.clear();
        for (split, position) in splits {
            let reached = position.as_ref().map(Reached::decode).transpose()?.unwrap_or_default();
            self.reach(&split.id, reached.rows, reached.ended);
            self.queue.push_back((split, reached));
        }
        Ok(())
    }

    /// Returns the split that is to be begun next.
    pub(crate) fn front(&self) -> Option<(Split, Reached)> {
        self.queue.front().cloned()
    }

    /// Takes the split that [`LaneSplits::front`] showed.
    pub(crate) fn pop(&mut self) -> Option<(Split, Reached)> {
        self.queue.pop_front()
    }

    /// Notes how far a split was read.
    pub(crate) fn reach(&mut self, split: &SplitId, rows: u64, ended: bool) {
        self.positions.insert(split.clone(), Reached { rows, ended }.encode());
    }

    /// Returns how far every split was read.
    pub(crate) fn positions(&self) -> Positions {
        self.positions.clone()
    }
}

impl Reached {
    fn encode(self) -> Position {
        let written = Written { version: VERSION, rows: self.rows, ended: self.ended };
        Position(serde_json::to_vec(&written).expect("a position is made of numbers"))
    }

    fn decode(position: &Position) -> Result<Reached> {
        let written = serde_json::from_slice::<Written>(&position.0).ok().filter(|written| written.version == VERSION);
        let written =
            written.ok_or_else(|| Error::internal(&codes::POSITION, "a position of a file source cannot be read"))?;
        Ok(Reached { rows: written.rows, ended: written.ended })
    }
}

/// Makes the error of a split that the source does not have.
pub(crate) fn unknown_split(split: &Split) -> Error {
    Error::internal(&codes::POSITION, format!("the source has no split `{}`", split.id.0))
}
