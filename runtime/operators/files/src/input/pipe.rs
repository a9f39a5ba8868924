//! The bytes of standard input or a FIFO, read on a thread of its own and handed over in bounded pieces.
//!
//! Opening a FIFO and reading a pipe block for as long as the other side likes. Invariant: at most [`PIECES_MAX`] pieces
//! of [`PIECE_BYTES`] wait, then the thread waits; the bytes come once, in order, and none is lost.

use std::collections::VecDeque;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use event_listener::Event;
use futures::future::select;
use rde_core::{Error, Result, Runtime};

use super::gzip::GzipReader;
use super::{Codec, InputFile, InputKind, input_error};
use crate::codes;

/// Bytes read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Pieces that wait to be taken.
const PIECES_MAX: usize = 4;

/// Reads an input that comes once.
pub(crate) struct PipeReader {
    shown: String,
    runtime: Runtime,
    /// In a lock only so that a plan that holds a reader may be shared.
    pieces: Mutex<Receiver<io::Result<Vec<u8>>>>,
    arrived: Arc<Event>,
    waiting: VecDeque<Vec<u8>>,
    ended: bool,
}

/// What a pipe has now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piped {
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing yet.
    Silent,
    /// The end.
    Ended,
}

impl PipeReader {
    /// Starts to read an input.
    pub(crate) fn start(file: &InputFile, runtime: &Runtime) -> PipeReader {
        let (tx, pieces) = sync_channel(PIECES_MAX);
        let arrived = Arc::new(Event::new());
        let (input, event) = (file.clone(), arrived.clone());
        runtime.spawn.spawn_blocking(&format!("input {}", file.shown), Box::new(move || serve(&input, &tx, &event)));
        PipeReader {
            shown: file.shown.clone(),
            runtime: runtime.clone(),
            pieces: Mutex::new(pieces),
            arrived,
            waiting: VecDeque::new(),
            ended: false,
        }
    }

    /// Puts bytes that were taken back in front of those to come.
    pub(crate) fn put_back(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.waiting.push_front(bytes);
        }
    }

    /// Takes what is there, waiting for at most `patience`.
    pub(crate) async fn take(&mut self, patience: Duration) -> Result<Piped> {
        let arrived = self.arrived.listen();
        match self.take_now()? {
            Piped::Silent if !patience.is_zero() => {}
            other => return Ok(other),
        }
        let slept = self.runtime.clock.sleep(patience);
        select(arrived, slept).await;
        self.take_now()
    }

    fn take_now(&mut self) -> Result<Piped> {
        if let Some(bytes) = self.waiting.pop_front() {
            return Ok(Piped::Bytes(bytes));
        }
        if self.ended {
            return Ok(Piped::Ended);
        }
        let piece = self.pieces.get_mut().unwrap_or_else(PoisonError::into_inner).try_recv();
        match piece {
            Ok(Ok(bytes)) if bytes.is_empty() => {
                self.ended = true;
                Ok(Piped::Ended)
            }
            Ok(Ok(bytes)) => Ok(Piped::Bytes(bytes)),
            Ok(Err(error)) => Err(failed(&self.shown, error)),
            Err(TryRecvError::Empty) => Ok(Piped::Silent),
            // The thread always sends its end or its failure; without either it was stopped with the process.
            Err(TryRecvError::Disconnected) => Err(failed(&self.shown, io::ErrorKind::Interrupted.into())),
        }
    }

    /// Takes the next bytes, however long that takes; `None` at the end.
    pub(crate) async fn wait(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            match self.take(Duration::from_millis(50)).await? {
                Piped::Bytes(bytes) => return Ok(Some(bytes)),
                Piped::Ended => return Ok(None),
                // Lets others run, since a simulated clock may not take any time to sleep.
                Piped::Silent => yield_once().await,
            }
        }
    }
}

fn serve(input: &InputFile, tx: &SyncSender<io::Result<Vec<u8>>>, arrived: &Event) {
    let result = open(input).and_then(|mut bytes| {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let count = match bytes.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            piece.truncate(count);
            let sent = tx.send(Ok(piece)).is_ok();
            arrived.notify(usize::MAX);
            if count == 0 || !sent {
                return Ok(());
            }
        }
    });
    if let Err(error) = result {
        // Nobody listens when the run has ended meanwhile.
        let heard = tx.send(Err(error)).is_ok();
        arrived.notify(usize::MAX);
        tracing::debug!(input = input.shown, heard, "input failed");
    }
}

fn open(input: &InputFile) -> io::Result<Box<dyn Read>> {
    let bytes: Box<dyn Read> = match input.kind {
        InputKind::Stdin => Box::new(io::stdin()),
        _ => Box::new(File::open(&input.path)?),
    };
    Ok(match input.codec {
        Codec::Plain => bytes,
        Codec::Gzip => Box::new(GzipReader::new(io::BufReader::new(bytes))),
        Codec::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes)?),
    })
}

fn failed(shown: &str, error: io::Error) -> Error {
    if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) {
        return Error::data(&codes::BAD_COMPRESSION, format!("`{shown}` is not valid compressed data"))
            .help("check what writes to the pipe")
            .caused_by(error);
    }
    input_error(shown, error)
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|ctx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        ctx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
