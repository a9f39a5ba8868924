//! Keeps what an operator over whole inputs does not take yet: in memory up to a bound, then in the spill folder.
//!
//! One spool per input. Batches come out in the order they went in. Files have no name (they vanish with the process), so
//! nothing is left behind even by a kill. Not here: the bytes in the files (`rde-ipc`).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::Stream;
use rde_core::{Charge, Error, Result};
use rde_ipc::{IpcError, SpoolReader, SpoolWriter};

use crate::codes;
use crate::outputs::batch_bytes;
use crate::shared::lock;

/// The spill folder of a run, with what is used of `spill_max`.
#[derive(Clone, Debug)]
pub(crate) struct SpillSpace(Arc<Space>);

#[derive(Debug)]
struct Space {
    folder: PathBuf,
    limit: u64,
    used: AtomicU64,
}

impl SpillSpace {
    /// Makes the space; the folder is made when it is needed.
    pub fn new(folder: PathBuf, limit: u64) -> SpillSpace {
        SpillSpace(Arc::new(Space { folder, limit, used: AtomicU64::new(0) }))
    }

    fn file(&self) -> Result<File> {
        std::fs::create_dir_all(&self.0.folder)
            .and_then(|()| tempfile::tempfile_in(&self.0.folder))
            .map_err(|error| self.broken("make a file in").caused_by(error))
    }

    fn take(&self, bytes: u64) -> Result<()> {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.0.limit);
        match self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(()),
            Err(_) => {
                let message = format!("the spill folder would hold more than `spill_max` ({} bytes)", self.0.limit);
                let help = "raise `settings.spill_max`, or give the pipeline more `memory_max`";
                Err(Error::config(&codes::SPILL_FULL, message).help(help))
            }
        }
    }

    fn give_back(&self, bytes: u64) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn broken(&self, what: &str) -> Error {
        let message = format!("cannot {what} the spill folder `{}`", self.0.folder.display());
        Error::unavailable(&codes::SPILL_IO, message).help("check that it can be written and the disk has room")
    }
}

/// The batches of one input between the engine, which puts, and the operator, which takes.
#[derive(Clone)]
pub(crate) struct Spool(Arc<Mutex<State>>);

struct State {
    space: SpillSpace,
    memory_max: usize,
    schema: Option<SchemaRef>,
    /// Older than `memory`.
    reading: Option<Reading>,
    memory: VecDeque<(RecordBatch, Vec<Arc<Charge>>, usize)>,
    memory_bytes: usize,
    /// Newer than `memory`.
    writing: Option<Writing>,
    ended: bool,
    /// The operator takes nothing more.
    dropped: bool,
    taker: Option<Waker>,
}

struct Writing {
    writer: SpoolWriter<Counted>,
    bytes: u64,
}

/// A file that counts what is written to it: messages and repeated dictionaries may take much more than the rows.
struct Counted {
    file: BufWriter<File>,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

struct Reading {
    reader: SpoolReader<BufReader<File>>,
    bytes: u64,
}

impl Spool {
    /// Makes an empty spool that keeps up to `memory_max` bytes in memory.
    pub fn new(space: SpillSpace, memory_max: usize) -> Spool {
        Spool(Arc::new(Mutex::new(State {
            space,
            memory_max,
            schema: None,
            reading: None,
            memory: VecDeque::new(),
            memory_bytes: 0,
            writing: None,
            ended: false,
            dropped: false,
            taker: None,
        })))
    }

    /// Takes the schema; `false` when another one came before.
    pub fn schema(&self, schema: &SchemaRef) -> bool {
        let mut state = lock(&self.0);
        match &state.schema {
            Some(known) => known.fields() == schema.fields(),
            None => {
                state.schema = Some(schema.clone());
                true
            }
        }
    }

    /// Takes the schema if none came.
    pub fn schema_if_missing(&self, schema: &SchemaRef) {
        lock(&self.0).schema.get_or_insert_with(|| schema.clone());
    }

    /// Returns whether no batch follows.
    pub fn has_ended(&self) -> bool {
        lock(&self.0).ended
    }

    /// Returns the schema, once there is one.
    pub fn known_schema(&self) -> Option<SchemaRef> {
        lock(&self.0).schema.clone()
    }

    /// Puts a batch behind the others.
    pub fn put(&self, batch: RecordBatch, charges: Vec<Arc<Charge>>) -> Result<()> {
        let mut state = lock(&self.0);
        if state.dropped {
            return Ok(());
        }
        let bytes = batch_bytes(&batch);
        let fits = state.memory.is_empty() || state.memory_bytes.saturating_add(bytes) <= state.memory_max;
        if state.writing.is_none() && fits {
            state.memory_bytes += bytes;
            state.memory.push_back((batch, charges, bytes));
        } else {
            state.spill(&batch)?;
        }
        let taker = state.taker.take();
        drop(state);
        taker.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Says that no batch follows.
    pub fn end(&self) {
        let mut state = lock(&self.0);
        state.ended = true;
        let taker = state.taker.take();
        drop(state);
        taker.into_iter().for_each(Waker::wake);
    }

    /// Returns the batches as a stream; to be called once.
    pub fn stream(&self) -> SpoolStream {
        SpoolStream(self.clone())
    }
}

impl State {
    fn spill(&mut self, batch: &RecordBatch) -> Result<()> {
        let broken = |error: IpcError| self.space.broken("write to").caused_by(error);
        if self.writing.is_none() {
            let file = Counted { file: BufWriter::new(self.space.file()?), bytes: 0 };
            let writer = SpoolWriter::new(file, &batch.schema()).map_err(broken)?;
            self.writing = Some(Writing { writer, bytes: 0 });
        }
        if let Some(writing) = &mut self.writing {
            writing.writer.write(batch).map_err(broken)?;
            let more = writing.writer.target().bytes - writing.bytes;
            self.space.take(more)?;
            writing.bytes += more;
        }
        Ok(())
    }

    /// Takes the oldest batch.
    fn take(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(reading) = &mut self.reading {
                match reading.reader.next() {
                    Some(batch) => {
                        return batch.map(Some).map_err(|error| self.space.broken("read from").caused_by(error));
                    }
                    None => {
                        self.space.give_back(reading.bytes);
                        self.reading = None;
                    }
                }
            } else if let Some((batch, _charges, bytes)) = self.memory.pop_front() {
                self.memory_bytes -= bytes;
                return Ok(Some(batch));
            } else if let Some(writing) = self.writing.take() {
                self.reading = Some(self.turn(writing)?);
            } else {
                return Ok(None);
            }
        }
    }

    /// Closes a file for writing and opens it for reading.
    fn turn(&self, writing: Writing) -> Result<Reading> {
        let broken = || self.space.broken("read from");
        let file = writing.writer.finish().map_err(|error| broken().caused_by(error))?;
        let mut file = file.file.into_inner().map_err(|error| broken().caused_by(error.into_error()))?;
        file.seek(SeekFrom::Start(0)).map_err(|error| broken().caused_by(error))?;
        let reader = SpoolReader::new(BufReader::new(file)).map_err(|error| broken().caused_by(error))?;
        Ok(Reading { reader, bytes: writing.bytes })
    }

    fn drop_all(&mut self) {
        let files =
            self.reading.take().map(|file| file.bytes).into_iter().chain(self.writing.take().map(|file| file.bytes));
        files.for_each(|bytes| self.space.give_back(bytes));
        self.memory.clear();
        self.memory_bytes = 0;
        self.dropped = true;
    }
}

/// The batches of a spool, in order.
pub(crate) struct SpoolStream(Spool);

impl Stream for SpoolStream {
    type Item = Result<RecordBatch>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        let mut state = lock(&self.0.0);
        match state.take() {
            Ok(Some(batch)) => Poll::Ready(Some(Ok(batch))),
            Err(error) => Poll::Ready(Some(Err(error))),
            Ok(None) if state.ended => Poll::Ready(None),
            Ok(None) => {
                state.taker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for SpoolStream {
    fn drop(&mut self) {
        lock(&self.0.0).drop_all();
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use futures::StreamExt;
    use futures::executor::block_on;

    use super::*;

    fn batch(value: i64) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
        RecordBatch::try_from_iter([("n", column)]).expect("one column")
    }

    fn value(batch: Option<Result<RecordBatch>>) -> i64 {
        batch.expect("a batch").expect("readable").column(0).as_primitive::<Int64Type>().value(0)
    }

    fn spool(memory_max: usize, limit: u64) -> (Spool, SpillSpace, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let space = SpillSpace::new(folder.path().join("spill"), limit);
        (Spool::new(space.clone(), memory_max), space, folder)
    }

    #[test]
    fn batches_come_out_in_order_through_memory_and_files() {
        let (spool, space, _folder) = spool(16, 1 << 20);
        let mut stream = spool.stream();
        let mut taken = 0;
        for put in 0..40 {
            spool.put(batch(put), Vec::new()).expect("there is room");
            if put % 3 == 2 {
                assert_eq!(value(block_on(stream.next())), taken);
                taken += 1;
            }
        }
        spool.end();
        for expected in taken..40 {
            assert_eq!(value(block_on(stream.next())), expected);
        }
        assert!(block_on(stream.next()).is_none());
        assert_eq!(space.0.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn spill_max_holds_at_the_limit_and_one_above() {
        let on_disk = |limit: u64| {
            let (spool, space, _folder) = spool(8, limit);
            let put = (0..3).try_for_each(|put| spool.put(batch(put), Vec::new()));
            put.map(|()| space.0.used.load(Ordering::Relaxed)).map_err(|error| error.code())
        };
        // One batch stays in memory; the schema and two messages go to the file.
        let bytes = on_disk(1 << 20).expect("there is room");
        assert!(bytes > 100, "{bytes}");
        assert_eq!(on_disk(bytes), Ok(bytes));
        assert_eq!(on_disk(bytes - 1), Err("RDE0704"));
    }

    #[test]
    fn memory_holds_its_bound_and_one_batch_of_any_size() {
        let (spool, space, _folder) = spool(16, 1 << 20);
        spool.put(batch(1), Vec::new()).expect("fits");
        spool.put(batch(2), Vec::new()).expect("fits exactly");
        assert_eq!(space.0.used.load(Ordering::Relaxed), 0);
        spool.put(batch(3), Vec::new()).expect("goes to disk");
        assert!(space.0.used.load(Ordering::Relaxed) > 0);
    }

    #[test]
    fn a_dropped_stream_gives_everything_back_and_takes_nothing_more() {
        let (spool, space, _folder) = spool(8, 1 << 20);
        for put in 0..5 {
            spool.put(batch(put), Vec::new()).expect("there is room");
        }
        drop(spool.stream());
        spool.put(batch(9), Vec::new()).expect("is dropped");
        assert_eq!(space.0.used.load(Ordering::Relaxed), 0);
    }
}
