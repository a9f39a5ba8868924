//! Rows of folders that have no open file: they wait together for one, so that a folder gets a file of many rows and not one
//! for each batch.
//!
//! Invariant: the rows of a folder come out in the order in which they went in, and all at once.
//! Not here: when they are written (`lane.rs`).

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;

/// Batches of one folder that wait as they are; more are joined, since short arrays take more memory than their rows.
const BATCHES_MAX: usize = 16;

/// The rows that wait.
#[derive(Default)]
pub(super) struct Parked {
    folders: HashMap<Box<[u8]>, Waiting>,
    memory: usize,
    added: u64,
}

struct Waiting {
    folder: String,
    batches: Vec<RecordBatch>,
    memory: usize,
    /// When its first rows came.
    order: u64,
}

impl Parked {
    /// Returns the bytes of memory of all rows.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.folders.contains_key(key)
    }

    /// Adds rows of a folder.
    pub(super) fn add(&mut self, key: &[u8], folder: &str, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.added += 1;
        let order = self.added;
        let waiting = self.folders.entry(key.into()).or_insert_with(|| {
            let memory = key.len() + folder.len();
            self.memory += memory;
            Waiting { folder: folder.to_owned(), batches: Vec::new(), memory, order }
        });
        let before = waiting.memory;
        waiting.memory += batch.get_array_memory_size();
        waiting.batches.push(batch.clone());
        if waiting.batches.len() >= BATCHES_MAX {
            let joined = join(&waiting.batches)?;
            waiting.memory = key.len() + folder.len() + joined.get_array_memory_size();
            waiting.batches = vec![joined];
        }
        self.memory = self.memory - before + waiting.memory;
        Ok(())
    }

    /// Takes the rows of a folder, as the folder and one batch.
    pub(super) fn take(&mut self, key: &[u8]) -> Result<Option<(String, RecordBatch)>, ArrowError> {
        let Some(waiting) = self.folders.remove(key) else { return Ok(None) };
        self.memory -= waiting.memory;
        Ok(Some((waiting.folder, join(&waiting.batches)?)))
    }

    /// Returns the folders with the bytes of memory of their rows, those that hold most first.
    pub(super) fn by_memory(&self) -> Vec<(Box<[u8]>, usize)> {
        let mut found: Vec<_> = self.folders.iter().collect();
        found.sort_by_key(|(_, waiting)| (std::cmp::Reverse(waiting.memory), waiting.order));
        found.into_iter().map(|(key, waiting)| (key.clone(), waiting.memory)).collect()
    }

    /// Returns the folders in the order in which they came.
    pub(super) fn in_order(&self) -> Vec<Box<[u8]>> {
        let mut found: Vec<_> = self.folders.iter().collect();
        found.sort_by_key(|(_, waiting)| waiting.order);
        found.into_iter().map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn clear(&mut self) {
        *self = Parked::default();
    }
}

fn join(batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    match batches {
        [one] => Ok(one.clone()),
        several => concat_batches(several[0].schema_ref(), several),
    }
}
