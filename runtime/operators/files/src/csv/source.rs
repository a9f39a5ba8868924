//! One lane of a `csv` source: takes its splits one after another, reads bytes, gives batches and failed rows.
//!
//! First step of the batch path: bytes go from the file straight into the decoder's buffer, batches from the decoder to
//! the edge. Invariant: every record of a split is counted once, as a row of a batch, filtered or rejected; a position is
//! the number of rows that were counted, so it never names a row that is still in the decoder.
//! Not here: which splits there are (`split.rs`), and what a row is (`decode`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::error::ArrowError;
use futures::future::BoxFuture;
use rde_core::{
    Error, Output, Payload, Position, Positions, Predicate, Progress, Rejected, Result, Settings, Source, Split,
    SplitId,
};

use super::decode::{BadRow, ColumnPlan, Counts, Decoder, DecoderOptions, Step, count_lines};
use super::infer::{InferOptions, Sampler};
use super::plan::{CsvFile, in_file, match_names};
use super::split::Part;
use crate::codes;
use crate::input::{FileReader, InputFile, LaneSplits, PipeReader, Piped, unknown_split};

/// Bytes decoded by one call of `next` at most, a few milliseconds of work.
const CALL_BYTES_MAX: u64 = 4 << 20;

/// How long bytes that came through a pipe wait for more, so that a fast writer's rows share batches.
const GATHER: Duration = Duration::from_millis(5);

/// How long a call waits for a silent pipe.
const PATIENCE: Duration = Duration::from_millis(50);

/// What all lanes of a source share.
pub(super) struct Job {
    /// All columns of the files.
    pub(super) all: SchemaRef,
    /// The columns that are read, and whether they are shown.
    pub(super) columns: Vec<(FieldRef, bool)>,
    /// The columns of the batches.
    pub(super) output: SchemaRef,
    pub(super) predicate: Option<Predicate>,
    pub(super) delimiter: u8,
    pub(super) header: bool,
    pub(super) null_values: Vec<String>,
    pub(super) settings: Arc<Settings>,
    pub(super) files: Vec<CsvFile>,
    pub(super) parts: Vec<Part>,
}

/// One lane.
pub(super) struct CsvLane {
    job: Arc<Job>,
    splits: LaneSplits,
    current: Option<Current>,
    pipe: Option<Pipe>,
    announced: bool,
}

/// The split that is being read.
struct Current {
    split: SplitId,
    file: Arc<InputFile>,
    start: u64,
    decoder: Decoder,
    /// `None` for the pipe of the lane.
    reader: Option<FileReader>,
    counted: Counts,
    lines_before: Option<u64>,
}

/// An input that is read once.
struct Pipe {
    file: Arc<InputFile>,
    names: Option<Vec<String>>,
    reader: PipeReader,
    heading: Option<Heading>,
}

/// A header that is being read from a pipe.
struct Heading {
    sampler: Sampler,
    kept: Vec<Vec<u8>>,
}

impl CsvLane {
    /// Makes a lane that reads files.
    pub(super) fn new(job: Arc<Job>) -> CsvLane {
        CsvLane { job, splits: LaneSplits::default(), current: None, pipe: None, announced: false }
    }

    /// Makes the lane that reads an input once; its names are known where a sample was taken.
    pub(super) fn piped(
        job: Arc<Job>,
        file: Arc<InputFile>,
        names: Option<Vec<String>>,
        reader: PipeReader,
    ) -> CsvLane {
        let pipe = Some(Pipe { file, names, reader, heading: None });
        CsvLane { pipe, ..CsvLane::new(job) }
    }

    async fn produce(&mut self, out: &mut Output) -> Result<Progress> {
        if !self.announced {
            self.announced = true;
            out.schema(0, self.job.output.clone(), None);
        }
        if self.current.is_none() && !self.begin().await? {
            return Ok(if self.splits.front().is_none() {
                Progress::Ended
            } else {
                Progress::Idle(Duration::from_millis(1))
            });
        }
        let Some(mut current) = self.current.take() else { return Ok(Progress::Produced) };
        let progress = self.advance(&mut current, out).await?;
        let ended = progress == Progress::Ended;
        self.account(&mut current, out, ended);
        if ended {
            return Ok(Progress::Produced);
        }
        self.current = Some(current);
        Ok(progress)
    }

    /// Begins the next split; false when there is none, or when the header of a pipe has not come yet.
    async fn begin(&mut self) -> Result<bool> {
        let Some((split, reached)) = self.splits.front() else { return Ok(false) };
        if reached.ended {
            self.splits.pop();
            return Ok(true);
        }
        let mut current = match &mut self.pipe {
            Some(pipe) => {
                if !pipe.read_names(&self.job).await? {
                    return Ok(false);
                }
                let Some(names) = pipe.names.as_ref().filter(|names| !names.is_empty()) else {
                    // An empty input has no header, and its columns are in `schema`.
                    self.splits.pop();
                    return Ok(true);
                };
                let decoder = self.job.decoder(names, true)?;
                Current {
                    split: split.id,
                    file: pipe.file.clone(),
                    start: 0,
                    decoder,
                    reader: None,
                    counted: Counts::default(),
                    lines_before: Some(0),
                }
            }
            None => self.job.open(&split)?,
        };
        self.splits.pop();
        if reached.rows > 0 {
            skip(&mut current, reached.rows)?;
        }
        self.current = Some(current);
        Ok(true)
    }

    /// Decodes until there is a batch, or enough for one call; `Ended` at the end of the split.
    async fn advance(&mut self, current: &mut Current, out: &mut Output) -> Result<Progress> {
        let stop = current.decoder.counts().bytes.saturating_add(CALL_BYTES_MAX);
        while current.decoder.counts().bytes < stop {
            match current.decoder.step().map_err(|error| internal(&current.file, error))? {
                Step::NeedsBytes => {
                    if !self.fill(current).await? {
                        return self.silent(current, out).await;
                    }
                }
                Step::Batch(batch) => {
                    out.batch(0, batch);
                    return Ok(Progress::Produced);
                }
                Step::BadRows => {
                    self.reject(current, out)?;
                    return Ok(Progress::Produced);
                }
                Step::Ended => return Ok(Progress::Ended),
            }
        }
        Ok(Progress::Produced)
    }

    /// Gives the decoder more bytes, or the end; false when a pipe has nothing now.
    async fn fill(&mut self, current: &mut Current) -> Result<bool> {
        let Some(reader) = &mut current.reader else {
            let pipe = self.pipe.as_mut().expect("a split without file is the pipe's");
            return pipe.fill(&mut current.decoder).await;
        };
        match reader.read(current.decoder.space())? {
            0 => current.decoder.end(),
            count => current.decoder.filled(count),
        }
        Ok(true)
    }

    /// Gives what a silent pipe has brought so far, so that it is seen without waiting for a full batch.
    async fn silent(&mut self, current: &mut Current, out: &mut Output) -> Result<Progress> {
        if let Some(batch) = current.decoder.flush().map_err(|error| internal(&current.file, error))? {
            out.batch(0, batch);
            return Ok(Progress::Produced);
        }
        let pipe = self.pipe.as_mut().expect("only a pipe is silent");
        match pipe.reader.take(PATIENCE).await? {
            Piped::Bytes(bytes) => pipe.reader.put_back(bytes),
            Piped::Ended => {}
            Piped::Silent => return Ok(Progress::Idle(Duration::from_millis(1))),
        }
        Ok(Progress::Produced)
    }

    fn reject(&self, current: &mut Current, out: &mut Output) -> Result<()> {
        let mut rows = current.decoder.take_bad_rows();
        rows.sort_by_key(|row| row.line);
        let before = current.lines_before()?;
        for BadRow { line, payload, code, message, column: _ } in rows {
            let position = serde_json::json!({ "path": current.file.shown, "line": before + line });
            let rejected = Rejected::new(code.id, message, Payload::Bytes(payload, "csv"));
            out.reject(rejected.positioned(position.to_string()));
        }
        Ok(())
    }

    /// Counts what was decoded since the last time.
    fn account(&mut self, current: &mut Current, out: &mut Output, ended: bool) {
        let now = current.decoder.counts();
        let before = std::mem::replace(&mut current.counted, now);
        out.read(now.rows_read - before.rows_read, now.bytes - before.bytes);
        out.filtered(now.rows_filtered - before.rows_filtered);
        self.splits.reach(&current.split, now.rows_read, ended);
    }
}

impl Source for CsvLane {
    fn splits(&mut self) -> BoxFuture<'_, Result<Vec<Split>>> {
        let splits = self.job.parts.iter().map(|part| part.split.clone()).collect();
        Box::pin(std::future::ready(Ok(splits)))
    }

    fn assign(&mut self, splits: Vec<(Split, Option<Position>)>) -> BoxFuture<'_, Result<()>> {
        self.current = None;
        Box::pin(std::future::ready(self.splits.assign(splits)))
    }

    fn next<'a>(&'a mut self, out: &'a mut Output) -> BoxFuture<'a, Result<Progress>> {
        tracing::trace!(target: "rde::path", "csv::next");
        Box::pin(self.produce(out))
    }

    fn positions(&self) -> Positions {
        self.splits.positions()
    }
}

impl Job {
    fn open(&self, split: &Split) -> Result<Current> {
        let part = self.parts.iter().find(|part| part.split.id == split.id).ok_or_else(|| unknown_split(split))?;
        let found = &self.files[part.file];
        let reader = FileReader::open(found.file.clone(), part.start, part.end)?;
        Ok(Current {
            split: split.id.clone(),
            file: found.file.clone(),
            start: part.start,
            decoder: self.decoder(&found.names, part.start == 0)?,
            reader: Some(reader),
            counted: Counts::default(),
            lines_before: (part.start == 0).then_some(0),
        })
    }

    fn decoder(&self, names: &[String], file_start: bool) -> Result<Decoder> {
        let places: HashMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let columns = self.columns.iter().map(|(field, output)| ColumnPlan {
            field: *places.get(field.name().as_str()).expect("every file has every column, as discover checked"),
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            output: *output,
        });
        let columns: Vec<ColumnPlan> = columns.collect();
        // Builders are made for whole batches, so thousands of columns want fewer rows: a value has eight bytes or so.
        let rows_max = self.settings.batch_bytes_max.bytes() / (8 * columns.len().max(1));
        Decoder::new(DecoderOptions {
            delimiter: self.delimiter,
            null_values: self.null_values.clone(),
            fields: names.len(),
            columns,
            predicate: self.predicate.clone(),
            file_start,
            header: file_start && self.header,
            rows_max: self.settings.batch_rows_max.min(rows_max.max(1)),
            bytes_max: self.settings.batch_bytes_max.bytes(),
            row_bytes_max: self.settings.row_bytes_max.bytes(),
        })
    }

    fn given_names(&self) -> Vec<String> {
        self.all.fields().iter().map(|field| field.name().clone()).collect()
    }
}

impl Current {
    /// Returns the lines of the file before the split, counted when the first failed row needs them.
    fn lines_before(&mut self) -> Result<u64> {
        if let Some(lines) = self.lines_before {
            return Ok(lines);
        }
        let mut reader = FileReader::open(self.file.clone(), 0, self.start)?;
        let mut buffer = vec![0; 256 * 1024];
        let mut lines = 0;
        loop {
            match reader.read(&mut buffer)? {
                0 => break,
                count => lines += count_lines(&buffer[..count]),
            }
        }
        self.lines_before = Some(lines);
        Ok(lines)
    }
}

impl Pipe {
    /// Learns the names of the columns; false when the header has not come yet.
    async fn read_names(&mut self, job: &Job) -> Result<bool> {
        if self.names.is_some() {
            return Ok(true);
        }
        if !job.header {
            self.names = Some(job.given_names());
            return Ok(true);
        }
        if self.heading.is_none() {
            let options = InferOptions {
                delimiter: job.delimiter,
                header: true,
                null_values: job.null_values.clone(),
                rows_max: Some(0),
                row_bytes_max: job.settings.row_bytes_max.bytes(),
            };
            self.heading = Some(Heading { sampler: Sampler::new(options)?, kept: Vec::new() });
        }
        let heading = self.heading.as_mut().expect("it was made above");
        while heading.sampler.wants_more() {
            match self.reader.take(PATIENCE).await? {
                Piped::Bytes(bytes) => {
                    heading.sampler.feed(&bytes).map_err(|error| in_file(&self.file, error))?;
                    heading.kept.push(bytes);
                }
                Piped::Silent => return Ok(false),
                Piped::Ended => break,
            }
        }
        let Some(Heading { sampler, kept }) = self.heading.take() else { return Ok(false) };
        kept.into_iter().rev().for_each(|bytes| self.reader.put_back(bytes));
        let sample = sampler.finish().map_err(|error| in_file(&self.file, error))?;
        if !sample.names().is_empty() {
            match_names(&job.given_names(), sample.names(), &self.file)?;
        }
        self.names = Some(sample.names().to_vec());
        Ok(true)
    }

    async fn fill(&mut self, decoder: &mut Decoder) -> Result<bool> {
        match self.reader.take(GATHER).await? {
            Piped::Silent => return Ok(false),
            Piped::Ended => decoder.end(),
            Piped::Bytes(mut bytes) => {
                let space = decoder.space();
                let count = bytes.len().min(space.len());
                space[..count].copy_from_slice(&bytes[..count]);
                decoder.filled(count);
                self.reader.put_back(bytes.split_off(count));
            }
        }
        Ok(true)
    }
}

/// Decodes and drops the rows that were counted before a checkpoint.
fn skip(current: &mut Current, rows: u64) -> Result<()> {
    while current.decoder.counts().rows_read < rows {
        match current.decoder.step().map_err(|error| internal(&current.file, error))? {
            Step::NeedsBytes => {
                let Some(reader) = &mut current.reader else { return Err(lost(&current.file)) };
                match reader.read(current.decoder.space())? {
                    0 => current.decoder.end(),
                    count => current.decoder.filled(count),
                }
            }
            Step::BadRows => drop(current.decoder.take_bad_rows()),
            Step::Batch(_) => {}
            Step::Ended => return Err(lost(&current.file)),
        }
    }
    current.counted = current.decoder.counts();
    if current.counted.rows_read == rows { Ok(()) } else { Err(lost(&current.file)) }
}

fn lost(file: &InputFile) -> Error {
    Error::config(&codes::POSITION, format!("the recorded position in `{}` is not there any more", file.shown))
        .help("start the pipeline anew")
}

fn internal(file: &InputFile, error: ArrowError) -> Error {
    Error::internal(&codes::POSITION, format!("cannot make a batch of rows of `{}`", file.shown)).caused_by(error)
}
