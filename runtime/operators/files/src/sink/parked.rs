//! Rows of folders that have no open file: they wait together for one, so that a folder gets a file of many rows and not one
//! for each batch.
//!
//! Invariant: the rows of a folder come out in the order in which they went in, and all at once.
//! Not here: when they are written (`lane.rs`).

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use rde_core::compact;

/// Batches of one folder that wait as they came; then they are joined, since short arrays take more memory than their rows.
const SHORT_MAX: usize = 16;

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
    /// Batches at the end that are as they came.
    short: usize,
    memory: usize,
    /// When its first rows came.
    order: u64,
}

impl Waiting {
    fn add(&mut self, batch: RecordBatch) {
        self.memory += batch.get_array_memory_size();
        self.batches.push(batch);
        self.short += 1;
        if self.short == SHORT_MAX {
            self.short = 0;
            let before: usize = self.batches.iter().map(RecordBatch::get_array_memory_size).sum();
            self.join_last(SHORT_MAX);
            // Like with like, so that a row is copied as often as the number of rows has digits.
            while let [.., longer, last] = self.batches.as_slice()
                && longer.num_rows() <= last.num_rows()
                && self.join_last(2)
            {}
            let after: usize = self.batches.iter().map(RecordBatch::get_array_memory_size).sum();
            self.memory = self.memory - before + after;
        }
    }

    /// Joins the last batches. Those that do not fit one, for the length of their texts or the keys of their dictionaries, stay.
    fn join_last(&mut self, count: usize) -> bool {
        let rest = self.batches.len() - count;
        let joined = concat_batches(self.batches[rest].schema_ref(), &self.batches[rest..]);
        joined.map(|joined| self.batches.splice(rest.., [joined])).is_ok()
    }
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
        // Else a few rows would hold on to what all of their batch share, and be counted as such.
        let batch = compact(batch)?;
        self.added += 1;
        let order = self.added;
        let waiting = self.folders.entry(key.into()).or_insert_with(|| {
            let memory = key.len() + folder.len();
            self.memory += memory;
            Waiting { folder: folder.to_owned(), batches: Vec::new(), short: 0, memory, order }
        });
        self.memory -= waiting.memory;
        waiting.add(batch);
        self.memory += waiting.memory;
        Ok(())
    }

    /// Takes the rows of a folder.
    pub(super) fn take(&mut self, key: &[u8]) -> Option<(String, Vec<RecordBatch>)> {
        let mut waiting = self.folders.remove(key)?;
        self.memory -= waiting.memory;
        if waiting.batches.len() > 1 {
            waiting.join_last(waiting.batches.len());
        }
        Some((waiting.folder, waiting.batches))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, AsArray, DictionaryArray, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int8Type, Int64Type, Schema};

    use super::*;

    fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        let column: Int64Array = range.collect();
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).expect("the column fits")
    }

    fn words(words: &[String]) -> RecordBatch {
        let column: DictionaryArray<Int8Type> = words.iter().map(String::as_str).collect();
        let schema = Schema::new(vec![Field::new("w", column.data_type().clone(), true)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).expect("the column fits")
    }

    #[test]
    fn rows_come_out_in_order_and_few_batches_wait() {
        let mut parked = Parked::default();
        for n in 0..5_000 {
            parked.add(b"k", "k=1", &numbers(n..n + 1)).expect("the rows fit");
            let waiting = &parked.folders[&b"k"[..]];
            let held: usize = waiting.batches.iter().map(RecordBatch::get_array_memory_size).sum();
            assert_eq!((parked.memory(), waiting.memory), (waiting.memory, held + 4));
            assert!(waiting.batches.len() < SHORT_MAX + 13, "{n}: {}", waiting.batches.len());
        }
        let (folder, batches) = parked.take(b"k").expect("it waits");
        let rows: Vec<i64> =
            batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!((folder.as_str(), rows, batches.len()), ("k=1", (0..5_000).collect(), 1));
        assert_eq!(parked.memory(), 0);
    }

    #[test]
    fn a_dictionary_is_cut_to_the_values_of_the_rows() {
        let all: Vec<String> = (0..100).map(|n| format!("{n}{}", "x".repeat(1_000))).collect();
        let one = words(&all).slice(7, 1);
        let mut parked = Parked::default();
        parked.add(b"k", "k=1", &one).expect("the rows fit");
        assert!(parked.memory() < 10_000, "{}", parked.memory());
        let (_, batches) = parked.take(b"k").expect("it waits");
        let texts = arrow::compute::cast(batches[0].column(0), &DataType::Utf8).expect("words are texts");
        assert_eq!(texts.as_ref(), &StringArray::from(vec![all[7].clone()]) as &dyn Array);
    }

    #[test]
    fn dictionaries_that_do_not_fit_one_stay_apart() {
        let mut parked = Parked::default();
        for n in 0..40 {
            let ten: Vec<String> = (n * 10..n * 10 + 10).map(|n| n.to_string()).collect();
            parked.add(b"k", "k=1", &words(&ten)).expect("the rows fit");
        }
        let (_, batches) = parked.take(b"k").expect("it waits");
        let texts = batches.iter().flat_map(|batch| {
            let texts = arrow::compute::cast(batch.column(0), &DataType::Utf8).expect("words are texts");
            texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>()
        });
        assert_eq!(texts.collect::<Vec<_>>(), (0..400).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
