//! One lane of a `parquet` source: takes row groups one after another, gives batches of the wanted columns.
//!
//! First step of the batch path for Parquet input. The predicate's columns of a row group are decoded first, the others
//! only for rows it keeps. Invariant: of a row group that is read, every row is counted once, as out or filtered; of one
//! that statistics rule out, none.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::SchemaRef;
use futures::future::BoxFuture;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::errors::ParquetError;
use rde_core::{Error, Output, Position, Positions, Predicate, Progress, Result, Settings, Source, Split, SplitId};

use super::bytes::{ParquetBytes, contained};
use super::prune::Statistics;
use crate::codes;
use crate::input::{InputFile, LaneSplits, Reached, unknown_split};

/// A file and what its footer says.
pub(super) struct ParquetFile {
    pub(super) input: Arc<InputFile>,
    pub(super) schema: SchemaRef,
    pub(super) metadata: ArrowReaderMetadata,
}

/// A row group.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) split: Split,
    pub(super) file: usize,
    pub(super) row_group: usize,
}

/// What all lanes of a source share.
pub(super) struct Job {
    pub(super) files: Vec<ParquetFile>,
    pub(super) parts: Vec<Part>,
    pub(super) output: SchemaRef,
    pub(super) predicate: Option<Predicate>,
    pub(super) settings: Arc<Settings>,
}

/// One lane.
pub(super) struct ParquetLane {
    job: Arc<Job>,
    splits: LaneSplits,
    current: Option<Current>,
    opened: Option<(usize, ParquetBytes)>,
    announced: bool,
}

/// The row group that is being read.
struct Current {
    split: SplitId,
    part: Part,
    bytes: ParquetBytes,
    reader: ParquetRecordBatchReader,
    rows: u64,
}

impl ParquetLane {
    /// Makes a lane.
    pub(super) fn new(job: Arc<Job>) -> ParquetLane {
        ParquetLane { job, splits: LaneSplits::default(), current: None, opened: None, announced: false }
    }

    fn produce(&mut self, out: &mut Output) -> Result<Progress> {
        if !self.announced {
            self.announced = true;
            out.schema(0, self.job.output.clone(), None);
        }
        if self.current.is_none() {
            let Some((split, reached)) = self.splits.pop() else { return Ok(Progress::Ended) };
            self.begin(&split, reached, out)?;
        }
        let Some(mut current) = self.current.take() else { return Ok(Progress::Produced) };
        let batch = contained(|| current.reader.next().transpose().map_err(ParquetError::from))
            .map_err(|error| damaged(&self.job.files[current.part.file], current.part.row_group, error))?;
        let rows = batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        out.read(rows, current.bytes.take_read());
        current.rows += rows;
        match batch {
            Some(batch) => {
                out.batch(0, self.job.conform(&batch)?);
                self.splits.reach(&current.split, current.rows, false);
                self.current = Some(current);
            }
            None => {
                self.job.files[current.part.file].input.check_unchanged()?;
                self.splits.reach(&current.split, current.rows, true);
            }
        }
        Ok(Progress::Produced)
    }

    fn begin(&mut self, split: &Split, reached: Reached, out: &mut Output) -> Result<()> {
        let job = self.job.clone();
        let part = job.parts.iter().find(|part| part.split.id == split.id).ok_or_else(|| unknown_split(split))?;
        let file = &job.files[part.file];
        if reached.ended || !job.may_keep(part) {
            file.input.check_unchanged()?;
            self.splits.reach(&split.id, reached.rows, true);
            return Ok(());
        }
        let bytes = self.bytes(part.file)?;
        let (reader, filtered) = job.reader(part, &bytes, reached.rows)?;
        out.read(filtered, bytes.take_read());
        out.filtered(filtered);
        self.current = Some(Current { split: split.id.clone(), part: part.clone(), bytes, reader, rows: reached.rows });
        Ok(())
    }

    fn bytes(&mut self, file: usize) -> Result<ParquetBytes> {
        if let Some((opened, bytes)) = &self.opened
            && *opened == file
        {
            return Ok(bytes.clone());
        }
        let input = &self.job.files[file].input;
        let bytes = ParquetBytes::new(input.open()?, input.bytes());
        self.opened = Some((file, bytes.clone()));
        Ok(bytes)
    }
}

impl Source for ParquetLane {
    fn splits(&mut self) -> BoxFuture<'_, Result<Vec<Split>>> {
        let splits = self.job.parts.iter().map(|part| part.split.clone()).collect();
        Box::pin(std::future::ready(Ok(splits)))
    }

    fn assign(&mut self, splits: Vec<(Split, Option<Position>)>) -> BoxFuture<'_, Result<()>> {
        self.current = None;
        Box::pin(std::future::ready(self.splits.assign(splits)))
    }

    fn next<'a>(&'a mut self, out: &'a mut Output) -> BoxFuture<'a, Result<Progress>> {
        Box::pin(std::future::ready(self.produce(out)))
    }

    fn positions(&self) -> Positions {
        self.splits.positions()
    }
}

impl Job {
    fn may_keep(&self, part: &Part) -> bool {
        let Some(predicate) = &self.predicate else { return true };
        let file = &self.files[part.file];
        let statistics = Statistics {
            row_group: file.metadata.metadata().row_group(part.row_group),
            arrow: file.metadata.schema(),
            parquet: file.metadata.parquet_schema(),
        };
        // Statistics come from the file, so reading them is decoding foreign bytes, too.
        contained(|| Ok(statistics.may_keep(predicate))).unwrap_or(true)
    }

    /// Opens a row group behind `skip` kept rows; returns how many rows the predicate left out.
    fn reader(&self, part: &Part, bytes: &ParquetBytes, skip: u64) -> Result<(ParquetRecordBatchReader, u64)> {
        let file = &self.files[part.file];
        let kept = Arc::new(AtomicU64::new(0));
        let rows = u64::try_from(file.metadata.metadata().row_group(part.row_group).num_rows()).unwrap_or(0);
        let reader = contained(|| {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), file.metadata.clone());
            let names: BTreeSet<&str> = self.output.fields().iter().map(|field| field.name().as_str()).collect();
            let mut builder = builder
                .with_row_groups(vec![part.row_group])
                .with_projection(file.mask(&names))
                .with_batch_size(self.batch_rows(file, part.row_group));
            if skip > 0 {
                builder = builder.with_offset(usize::try_from(skip).unwrap_or(usize::MAX));
            }
            if let Some(predicate) = &self.predicate {
                builder = builder.with_row_filter(file.filter(predicate, &kept));
            }
            builder.build()
        });
        let reader = reader.map_err(|error| damaged(file, part.row_group, error))?;
        let filtered = if self.predicate.is_some() { rows.saturating_sub(kept.load(Ordering::Relaxed)) } else { 0 };
        Ok((reader, filtered))
    }

    fn batch_rows(&self, file: &ParquetFile, row_group: usize) -> usize {
        let row_group = file.metadata.metadata().row_group(row_group);
        let rows = usize::try_from(row_group.num_rows()).unwrap_or(0).max(1);
        let bytes: i64 =
            row_group.columns().iter().map(|column| column.uncompressed_size().max(0)).fold(0, i64::saturating_add);
        let row_bytes = usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(rows).max(1);
        (self.settings.batch_bytes_max.bytes() / row_bytes).clamp(1, self.settings.batch_rows_max)
    }

    /// Puts the columns of a batch into the order of the source's schema.
    fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let column = |name: &String| batch.column_by_name(name).cloned();
        let columns: Option<Vec<ArrayRef>> = self.output.fields().iter().map(|field| column(field.name())).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let conformed =
            columns.map(|columns| RecordBatch::try_new_with_options(self.output.clone(), columns, &options));
        conformed.transpose().ok().flatten().ok_or_else(|| {
            Error::internal(&codes::PARQUET_COLUMNS, "a batch has other columns than the footer of its file said")
        })
    }
}

impl ParquetFile {
    fn mask(&self, names: &BTreeSet<&str>) -> ProjectionMask {
        let fields = self.metadata.schema().fields().iter().enumerate();
        let roots = fields.filter(|(_, field)| names.contains(field.name().as_str())).map(|(root, _)| root);
        ProjectionMask::roots(self.metadata.parquet_schema(), roots)
    }

    fn filter(&self, predicate: &Predicate, kept: &Arc<AtomicU64>) -> RowFilter {
        let mut names = BTreeSet::new();
        predicate.columns(&mut names);
        let mask = self.mask(&names.iter().map(String::as_str).collect());
        let (predicate, kept) = (predicate.clone(), kept.clone());
        RowFilter::new(vec![Box::new(ArrowPredicateFn::new(mask, move |batch: RecordBatch| {
            let found = predicate.evaluate(batch.num_rows(), &|name| batch.column_by_name(name).cloned())?;
            let found = if found.null_count() > 0 { prep_null_mask_filter(&found) } else { found };
            kept.fetch_add(found.true_count() as u64, Ordering::Relaxed);
            Ok(found)
        }))])
    }
}

fn damaged(file: &ParquetFile, row_group: usize, error: ParquetError) -> Error {
    // A file that was written over during the run looks damaged, and the change is the better message.
    if let Err(changed) = file.input.check_unchanged() {
        return changed;
    }
    let message = format!("cannot read row group {row_group} of `{}`", file.input.shown);
    Error::data(&codes::PARQUET_PAGE, message)
        .help("the file is damaged: write it again; nothing of this run is visible")
        .caused_by(error)
}
