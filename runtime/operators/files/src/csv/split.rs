//! Divides the files of a source into splits: large plain files by byte range, each range beginning with a record.
//!
//! Only where several lanes read, since finding the cuts costs a pass over the file. Invariant: the ranges of a file touch,
//! cover it, and each but the first begins where a record does, quotes considered.

use std::sync::Arc;

use rde_core::{Result, Split, SplitId};

use super::decode::CutFinder;
use super::plan::CsvFile;
use crate::input::{Codec, FileReader, InputFile};

/// Least bytes of a part of a divided file.
pub(super) const SPLIT_BYTES_MIN: u64 = 1 << 20;

/// Most bytes of a part of a divided file.
const SPLIT_BYTES_MAX: u64 = 64 << 20;

/// Parts that each lane has to choose from, so that lanes end at about the same time.
const PARTS_PER_LANE: u64 = 2;

/// Bytes read at a time when cuts are looked for.
const CUT_CHUNK: usize = 256 * 1024;

/// A range of one file.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) split: Split,
    /// Index of the file in the source.
    pub(super) file: usize,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Returns the splits of all files.
pub(super) fn divide(files: &[CsvFile], delimiter: u8, lanes: usize) -> Result<Vec<Part>> {
    let total: u64 = files.iter().map(|file| file.file.bytes()).sum();
    let wanted = (lanes as u64).saturating_mul(PARTS_PER_LANE).max(1);
    let size = total.div_ceil(wanted).clamp(SPLIT_BYTES_MIN, SPLIT_BYTES_MAX);
    let mut parts = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let bytes = file.file.bytes();
        if lanes < 2 || file.file.codec != Codec::Plain || bytes < size + size / 2 {
            parts.push(whole(&file.file, index));
            continue;
        }
        let mut starts = vec![0];
        starts.extend(cuts(&file.file, delimiter, (1..).map(|n| n * size).take_while(|at| *at < bytes).collect())?);
        for (number, start) in starts.iter().enumerate() {
            let end = starts.get(number + 1).copied().unwrap_or(bytes);
            parts.push(part(&file.file, index, *start, end));
        }
    }
    Ok(parts)
}

/// Returns the split of a whole file.
pub(super) fn whole(file: &InputFile, index: usize) -> Part {
    let split = Split { id: SplitId(file.split_name()), weight: file.bytes() };
    Part { split, file: index, start: 0, end: file.bytes() }
}

fn part(file: &InputFile, index: usize, start: u64, end: u64) -> Part {
    let split = Split { id: SplitId(format!("{}@{start}", file.split_name())), weight: end - start };
    Part { split, file: index, start, end }
}

fn cuts(file: &Arc<InputFile>, delimiter: u8, targets: Vec<u64>) -> Result<Vec<u64>> {
    let mut finder = CutFinder::new(delimiter, targets);
    let mut reader = FileReader::open_whole(file.clone())?;
    let mut buffer = vec![0; CUT_CHUNK];
    while !finder.is_done() {
        match reader.read(&mut buffer)? {
            0 => break,
            count => finder.feed(&buffer[..count]),
        }
    }
    Ok(finder.finish())
}
