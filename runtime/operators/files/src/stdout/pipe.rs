//! Hands bytes to standard output on a thread of its own, one piece at a time.
//!
//! A slow reader of a pipe makes `write` block; on a compute thread that would stop every other operator. Invariant: a
//! piece is accepted only when the one before it was written and flushed.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use futures::channel::oneshot;
use futures::future::{Either, select};
use rde_core::{CancelToken, Error, OpenContext, Result, Runtime};

use crate::codes;

/// Writes to standard output without blocking its caller.
pub(super) struct Pipe {
    runtime: Runtime,
    cancel: CancelToken,
    out: Option<Box<dyn Write + Send>>,
    jobs: Option<SyncSender<Job>>,
}

struct Job {
    bytes: Vec<u8>,
    done: oneshot::Sender<io::Result<()>>,
}

impl Pipe {
    /// Makes a pipe to `out`; its thread starts with the first write.
    pub(super) fn open(ctx: &OpenContext, out: Box<dyn Write + Send>) -> Pipe {
        Pipe { runtime: ctx.runtime.clone(), cancel: ctx.cancel.clone(), out: Some(out), jobs: None }
    }

    /// Writes and flushes; returns whether anybody still reads.
    pub(super) async fn write(&mut self, bytes: Vec<u8>) -> Result<bool> {
        let (done, answer) = oneshot::channel();
        if self.jobs().send(Job { bytes, done }).is_err() {
            return Ok(false);
        }
        let cancelled = std::pin::pin!(self.cancel.cancelled());
        match select(answer, cancelled).await {
            Either::Left((Ok(Ok(())), _)) => Ok(true),
            Either::Left((Ok(Err(error)), _)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Either::Left((Ok(Err(error)), _)) => Err(failed(error)),
            // Cancelled, or the thread is gone: nobody waits for these bytes any more.
            Either::Left((Err(_), _)) | Either::Right(_) => Ok(false),
        }
    }

    fn jobs(&mut self) -> &SyncSender<Job> {
        let out = &mut self.out;
        let runtime = &self.runtime;
        self.jobs.get_or_insert_with(|| {
            let (jobs, queue) = sync_channel(1);
            let out = out.take().expect("the thread is started once");
            runtime.spawn.spawn_blocking("stdout", Box::new(move || serve(&queue, out)));
            jobs
        })
    }
}

fn serve(queue: &Receiver<Job>, mut out: Box<dyn Write + Send>) {
    for job in queue {
        let result = out.write_all(&job.bytes).and_then(|()| out.flush());
        let failed = result.is_err();
        if job.done.send(result).is_err() || failed {
            return;
        }
    }
}

/// Bytes on their way from an encoder to the pipe.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    /// Takes what is there.
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(error: io::Error) -> Error {
    Error::unavailable(&codes::WRITE_FAILED, "cannot write to standard output")
        .help("check what standard output was redirected to")
        .caused_by(error)
}
