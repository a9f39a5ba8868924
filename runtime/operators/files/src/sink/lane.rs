//! One lane of a file sink: takes batches, keeps files open under hidden names, closes them for `prepare`.
//!
//! Write step of the batch path. Files roll at `file_size_target` and at a change of schema. When a lane that divides by
//! column values has more than [`OPEN_FILES_MAX`] folders at hand, rows of the others wait (`parked.rs`) until memory is short;
//! then a folder with many of them takes the place of the one that was not used for longest, and the others get a file of
//! what there is.
//! Invariant: what the lane holds in memory stays below its share of [`MEMORY_MAX`] between batches, and is charged to the
//! operator's budget.
//! Not here: how batches become bytes (`format`), when files become visible (`commit.rs`).

use std::collections::HashMap;
use std::future::ready;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::future::BoxFuture;
use rde_core::{
    Budget, Charge, Epoch, Error, Output, Payload, Prepared, Rejected, Result, SchemaVersion, SinkWriter, Written,
};

use super::disk::output_error;
use super::parked::Parked;
use super::partition::{Divider, FOLDER_NAME_MAX, Part};
use super::staged::StagedFile;
use super::target::Target;
use super::token::{StagedEntry, Token};
use crate::codes;
use crate::format::{Begin, EncodeError, Encoder, FileFormat, row_bytes};

/// Files that all lanes of a sink keep open at a time; each lane has one more while it writes rows that waited. A process may
/// often have 1,024 open.
pub(crate) const OPEN_FILES_MAX: usize = 256;

/// Bytes that all lanes of a sink may hold in encoders together, whatever the budget.
const MEMORY_MAX: usize = 64 << 20;

/// Rows that are encoded together at least, however small the files are to be.
const SLICE_ROWS_MIN: usize = 64;

/// A sink may hold this fraction of the pipeline's memory: sources wait while the budget is full, and a sink lets go only
/// when more rows come.
const BUDGET_SHARE: usize = 8;

/// Rows that waited and take at least this fraction of a lane's memory keep their file open: more of the kind will come.
const LARGE_SHARE: usize = 8;

/// What a lane is told when it is opened.
pub(crate) struct LaneOptions {
    pub(crate) lane: usize,
    pub(crate) lanes: usize,
    pub(crate) format: FileFormat,
    pub(crate) partition_by: Vec<String>,
    pub(crate) file_bytes_max: u64,
    /// The pipeline's memory.
    pub(crate) memory_max: usize,
    pub(crate) budget: Budget,
}

/// One lane of a file sink.
pub(crate) struct LaneWriter {
    target: Arc<Target>,
    options: LaneOptions,
    memory_max: usize,
    schema: Option<SchemaRef>,
    divider: Option<Divider>,
    open: HashMap<Box<[u8]>, OpenFile>,
    parked: Parked,
    closed: Vec<ClosedFile>,
    /// Hidden names of everything begun since the last `prepare`, whatever became of it.
    begun: Vec<String>,
    epoch: Epoch,
    next_number: u64,
    uses: u64,
    /// Bytes of memory of the encoders.
    memory: usize,
    /// Bytes that files took and no output was told of yet.
    untold: u64,
    charge: Option<Charge>,
    prepared_any: bool,
    failed: Option<Error>,
}

struct OpenFile {
    encoder: Box<dyn Encoder<StagedFile>>,
    staged: String,
    folder: String,
    number: u64,
    rows: u64,
    memory: usize,
    counted: u64,
    used: u64,
}

struct ClosedFile {
    staged: String,
    folder: String,
    number: u64,
    rows: u64,
    bytes: u64,
    crc32: u32,
}

impl LaneWriter {
    /// Makes a lane of a sink that writes to `target`.
    pub(crate) fn new(target: Arc<Target>, options: LaneOptions) -> LaneWriter {
        let memory_max = MEMORY_MAX.min(options.memory_max / BUDGET_SHARE) / options.lanes.max(1);
        LaneWriter {
            target,
            options,
            memory_max,
            schema: None,
            divider: None,
            open: HashMap::new(),
            parked: Parked::default(),
            closed: Vec::new(),
            begun: Vec::new(),
            epoch: Epoch(1),
            next_number: 0,
            uses: 0,
            memory: 0,
            untold: 0,
            charge: None,
            prepared_any: false,
            failed: None,
        }
    }

    fn announce(&mut self, schema: &SchemaRef) -> Result<()> {
        if self.schema.as_ref() == Some(schema) {
            return Ok(());
        }
        let begun = !self.begun.is_empty() || self.prepared_any;
        if self.target.single.is_some() && begun && !self.options.format.mixes_schemas() {
            return Err(schema_changed(&self.options.format));
        }
        if self.target.single.is_none() || !begun {
            self.finish_all()?;
        }
        self.divider = match self.options.partition_by.as_slice() {
            [] => None,
            by => Some(Divider::new(schema, by).map_err(|error| encode_error(EncodeError::from(error), self.path()))?),
        };
        self.schema = Some(schema.clone());
        Ok(())
    }

    fn take(&mut self, batch: &RecordBatch, out: &mut Output) -> Result<()> {
        let Some(divider) = &self.divider else {
            self.put(&[], "", batch)?;
            return self.bound_memory();
        };
        let divided = divider.divide(batch).map_err(|error| encode_error(error.into(), self.path()))?;
        let refused = Arc::new(batch.clone());
        for row in divided.refused {
            let message = format!("a value of `partition_by` makes a folder name of more than {FOLDER_NAME_MAX} bytes");
            out.reject(Rejected::new(codes::PARTITION_VALUE.id, message, Payload::Row(refused.clone(), row)));
        }
        divided.parts.into_iter().try_for_each(|part| self.put_part(&part))?;
        self.bound_memory()
    }

    /// Writes the rows of a folder, or lets them wait while there is no room for its file.
    fn put_part(&mut self, part: &Part) -> Result<()> {
        if !self.open.contains_key(&part.key) {
            if self.open.len() >= self.open_max() {
                let parked = self.parked.add(&part.key, &part.folder, &part.batch);
                parked.map_err(|error| encode_error(error.into(), self.path()))?;
            } else {
                // What waits comes before what follows it.
                if self.parked.contains(&part.key) {
                    self.put_parked(&part.key)?;
                }
                self.put(&part.key, &part.folder, &part.batch)?;
            }
        } else {
            self.put(&part.key, &part.folder, &part.batch)?;
        }
        if self.held() > self.memory_max { self.bound_memory() } else { Ok(()) }
    }

    fn put_parked(&mut self, key: &[u8]) -> Result<()> {
        let Some((folder, batches)) = self.parked.take(key) else { return Ok(()) };
        batches.iter().try_for_each(|batch| self.put(key, &folder, batch))
    }

    /// Writes rows that waited, the most first, until those that are left take no more than so many bytes of memory.
    fn put_largest_parked(&mut self, left: usize) -> Result<()> {
        for (key, memory) in self.parked.by_memory() {
            if self.parked.memory() <= left {
                break;
            }
            if memory < self.memory_max / LARGE_SHARE {
                self.put_parked(&key)?;
                self.close(&key)?;
                continue;
            }
            if self.open.len() >= self.open_max()
                && let Some(oldest) = self.open.iter().min_by_key(|(_, file)| file.used).map(|(key, _)| key.clone())
            {
                self.close(&oldest)?;
            }
            self.put_parked(&key)?;
        }
        Ok(())
    }

    fn open_max(&self) -> usize {
        (OPEN_FILES_MAX / self.options.lanes.max(1)).max(1)
    }

    /// Returns the bytes of memory of rows that are in no file yet.
    fn held(&self) -> usize {
        self.memory + self.parked.memory()
    }

    fn put(&mut self, key: &[u8], folder: &str, batch: &RecordBatch) -> Result<()> {
        let mut done = 0;
        while done < batch.num_rows() {
            let rows = self.room(key, batch).min(batch.num_rows() - done);
            let whole = rows == batch.num_rows();
            let slice = if whole { batch.clone() } else { batch.slice(done, rows) };
            self.put_rows(key, folder, &slice)?;
            done += rows;
        }
        Ok(())
    }

    /// Returns about how many rows of a batch the file of a folder takes until it is closed.
    fn room(&self, key: &[u8], batch: &RecordBatch) -> usize {
        if self.options.file_bytes_max == u64::MAX {
            return usize::MAX;
        }
        let (size, rows) = self.open.get(key).map_or((0, 0), |file| (file.encoder.size(), file.rows));
        let (bytes, per_rows) = if rows > 0 { (size, rows) } else { (row_bytes(batch), batch.num_rows() as u64) };
        let room = self.options.file_bytes_max.saturating_sub(size).saturating_mul(per_rows).div_ceil(bytes.max(1));
        usize::try_from(room).unwrap_or(usize::MAX).max(SLICE_ROWS_MIN)
    }

    fn put_rows(&mut self, key: &[u8], folder: &str, batch: &RecordBatch) -> Result<()> {
        if !self.open.contains_key(key) {
            self.begin(key.into(), folder.to_owned(), batch.schema_ref())?;
        }
        self.uses += 1;
        let file = self.open.get_mut(key).expect("the file was begun above");
        file.used = self.uses;
        let staged = self.target.path(&file.staged);
        file.encoder.write(batch).map_err(|error| encode_error(error, &staged))?;
        let full = file.encoder.reaches(self.options.file_bytes_max).map_err(|error| encode_error(error, &staged))?;
        file.rows += batch.num_rows() as u64;
        self.memory = self.memory - file.memory + file.encoder.memory();
        file.memory = file.encoder.memory();
        self.untold += file.encoder.written() - file.counted;
        file.counted = file.encoder.written();
        if full {
            self.close(key)?;
        }
        Ok(())
    }

    fn begin(&mut self, key: Box<[u8]>, folder: String, schema: &SchemaRef) -> Result<()> {
        let number = self.next_number;
        self.next_number += 1;
        let staged = in_folder(&folder, &self.target.names.staged(self.epoch, self.options.lane, number));
        let path = self.target.path(&staged);
        let failed = |error| output_error("create", &path, error);
        self.target.disk.create_folders(&self.target.path(&folder)).map_err(failed)?;
        self.begun.push(staged.clone());
        let file = StagedFile::create(&self.target.disk, path.clone()).map_err(failed)?;
        let begin = Begin { continued: false, one_of_many: self.divider.is_some() };
        let encoder = self.options.format.begin(file, schema, begin).map_err(|error| encode_error(error, &path))?;
        self.open
            .insert(key, OpenFile { encoder, staged, folder, number, rows: 0, memory: 0, counted: 0, used: self.uses });
        Ok(())
    }

    fn close(&mut self, key: &[u8]) -> Result<()> {
        let Some(file) = self.open.remove(key) else { return Ok(()) };
        self.memory -= file.memory;
        let path = self.target.path(&file.staged);
        let done = file.encoder.finish().map_err(|error| encode_error(error, &path))?;
        let (bytes, crc32) = done.close().map_err(|error| output_error("write", &path, error))?;
        self.untold += bytes - file.counted;
        let OpenFile { staged, folder, number, rows, .. } = file;
        self.closed.push(ClosedFile { staged, folder, number, rows, bytes, crc32 });
        Ok(())
    }

    fn finish_all(&mut self) -> Result<()> {
        for key in self.parked.in_order() {
            self.put_parked(&key)?;
            self.close(&key)?;
        }
        let mut keys: Vec<(u64, Box<[u8]>)> = self.open.iter().map(|(key, file)| (file.number, key.clone())).collect();
        keys.sort();
        keys.iter().try_for_each(|(_, key)| self.close(key))?;
        self.recharge();
        Ok(())
    }

    fn bound_memory(&mut self) -> Result<()> {
        if self.held() > self.memory_max && self.parked.memory() >= self.memory {
            self.put_largest_parked(self.parked.memory() / 2)?;
        }
        while self.held() > self.memory_max {
            let Some(largest) = self.open.values_mut().max_by_key(|file| file.memory) else { break };
            let path = self.target.path(&largest.staged);
            largest.encoder.drain().map_err(|error| encode_error(error, &path))?;
            let left = largest.encoder.memory();
            self.untold += largest.encoder.written() - largest.counted;
            largest.counted = largest.encoder.written();
            if left >= largest.memory {
                break;
            }
            self.memory -= largest.memory - left;
            largest.memory = left;
        }
        if self.held() > self.memory_max {
            self.put_largest_parked(0)?;
        }
        self.recharge();
        Ok(())
    }

    fn recharge(&mut self) {
        let held = self.held();
        if self.charge.as_ref().map_or(0, Charge::bytes) != held {
            self.charge = (held > 0).then(|| self.options.budget.charge(held));
        }
    }

    /// Closes and makes durable everything since the last time; returns the token, if there is anything to commit.
    fn settle(&mut self, epoch: Epoch) -> Result<Vec<Prepared>> {
        let first = self.options.lane == 0 && !self.prepared_any;
        let none = self.open.is_empty() && self.closed.is_empty();
        if first
            && none
            && self.divider.is_none()
            && let Some(schema) = self.schema.clone()
        {
            // A run without rows still leaves a table that readers can open.
            self.begin(Box::default(), String::new(), &schema)?;
        }
        self.finish_all()?;
        self.target.sync_folders_of(self.closed.iter().map(|file| file.staged.as_str()))?;
        self.epoch = epoch.next();
        self.begun.clear();
        let files: Vec<StagedEntry> =
            self.closed.drain(..).map(|file| entry(&self.target, epoch, self.options.lane, file)).collect();
        let clears = first && self.schema.is_some() && !self.target.old.is_empty();
        if files.is_empty() && !clears {
            return Ok(Vec::new());
        }
        self.prepared_any = true;
        Ok(vec![Token::new(files).encode()])
    }

    fn discard(&mut self) -> Result<()> {
        self.open.clear();
        self.parked.clear();
        self.closed.clear();
        self.memory = 0;
        self.recharge();
        std::mem::take(&mut self.begun).iter().try_for_each(|staged| self.target.discard(Path::new(staged)))
    }

    fn path(&self) -> &Path {
        &self.target.folder
    }

    /// Runs one step that may write files, and counts what it wrote.
    fn counted<T>(
        &mut self,
        out: &mut Output,
        step: impl FnOnce(&mut LaneWriter, &mut Output) -> Result<T>,
    ) -> Result<T> {
        let done = self.guarded(|lane| step(lane, out));
        out.wrote(std::mem::take(&mut self.untold));
        done
    }

    /// Runs one step, unless an earlier one failed: half a batch may be in a file then, and no later step can mend it.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut LaneWriter) -> Result<T>) -> Result<T> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        step(self).inspect_err(|error| self.failed = Some(error.clone()))
    }
}

impl SinkWriter for LaneWriter {
    fn schema<'a>(&'a mut self, schema: &'a SchemaVersion) -> BoxFuture<'a, Result<()>> {
        Box::pin(ready(self.guarded(|lane| lane.announce(&schema.schema))))
    }

    fn write<'a>(&'a mut self, batch: RecordBatch, out: &'a mut Output) -> BoxFuture<'a, Result<Written>> {
        tracing::trace!(target: "rde::path", "files::write");
        Box::pin(ready(self.counted(out, |lane, out| lane.take(&batch, out).map(|()| Written::Done))))
    }

    fn prepare<'a>(&'a mut self, epoch: Epoch, out: &'a mut Output) -> BoxFuture<'a, Result<Vec<Prepared>>> {
        Box::pin(ready(self.counted(out, |lane, _| lane.settle(epoch))))
    }

    fn abandon(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(ready(self.discard()))
    }
}

/// Turns a failure of an encoder into an error that names the file.
pub(crate) fn encode_error(error: EncodeError, path: &Path) -> Error {
    match error {
        EncodeError::Io(error) => output_error("write", path, error),
        EncodeError::Format(reason) => {
            Error::data(&codes::ENCODE_FAILED, format!("cannot encode rows for `{}`: {reason}", path.display()))
                .help("leave the column out, or turn it into a type the format can hold")
        }
    }
}

/// Makes the error of a schema change that one output cannot take.
pub(crate) fn schema_changed(format: &FileFormat) -> Error {
    let message = format!("the columns changed during the run, and one {} output cannot hold both", format.name());
    Error::data(&codes::SCHEMA_CHANGED, message).help("name a folder in `path`: the sink then begins a new file")
}

fn entry(target: &Target, epoch: Epoch, lane: usize, file: ClosedFile) -> StagedEntry {
    let name = in_folder(&file.folder, &target.names.visible(epoch, lane, file.number));
    StagedEntry { staged: file.staged, name, bytes: file.bytes, crc32: file.crc32, rows: file.rows }
}

fn in_folder(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
