//! The bytes of a regular file: a range of a plain one, or all of a compressed one, read in place on the compute thread.
//!
//! First step of the batch path. Plain files are read at positions straight into the decoder's buffer, so a file costs no
//! memory beyond that buffer.
//! Invariant: at the end of the bytes the file is compared with what `discover` saw; only then is the end reported.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rde_core::{Error, Result};

use super::gzip::GzipReader;
use super::{Codec, InputFile, input_error};
use crate::codes;

/// Bytes read from a compressed file at a time.
const COMPRESSED_CHUNK: usize = 64 * 1024;

/// Reads one file, or a part of it.
pub(crate) struct FileReader {
    file: Arc<InputFile>,
    bytes: Bytes,
    checked: bool,
}

enum Bytes {
    Range { file: File, next: u64, end: u64 },
    Gzip(GzipReader<io::BufReader<File>>),
    Zstd(zstd::stream::read::Decoder<'static, io::BufReader<File>>),
}

impl FileReader {
    /// Opens a part of a plain file, or a compressed one, which is read from its beginning.
    pub(crate) fn open(file: Arc<InputFile>, start: u64, end: u64) -> Result<FileReader> {
        let opened = file.open()?;
        let buffered = |opened| io::BufReader::with_capacity(COMPRESSED_CHUNK, opened);
        let bytes = match file.codec {
            Codec::Plain => Bytes::Range { file: opened, next: start, end },
            // An empty file is an empty table, however it is named.
            _ if file.bytes() == 0 => Bytes::Range { file: opened, next: 0, end: 0 },
            Codec::Gzip => Bytes::Gzip(GzipReader::new(buffered(opened))),
            Codec::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(buffered(opened));
                Bytes::Zstd(decoder.map_err(|error| input_error(&file.shown, error))?)
            }
        };
        Ok(FileReader { file, bytes, checked: false })
    }

    /// Opens a whole file.
    pub(crate) fn open_whole(file: Arc<InputFile>) -> Result<FileReader> {
        let end = file.bytes();
        FileReader::open(file, 0, end)
    }

    /// Reads some bytes; 0 at the end, when the file is still what `discover` saw.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = match &mut self.bytes {
            Bytes::Range { file, next, end } => {
                let wanted = buffer.len().min(usize::try_from(*end - *next).unwrap_or(usize::MAX));
                let count = retry(|| file.read_at(&mut buffer[..wanted], *next));
                let count = count.map_err(|error| input_error(&self.file.shown, error))?;
                *next += count as u64;
                if count == 0 && wanted > 0 {
                    // Shorter than it was; the check below says so by name.
                    self.file.check_unchanged()?;
                }
                count
            }
            Bytes::Gzip(decoder) => retry(|| decoder.read(buffer)).map_err(|error| damaged(&self.file, error))?,
            Bytes::Zstd(decoder) => retry(|| decoder.read(buffer)).map_err(|error| damaged(&self.file, error))?,
        };
        if count == 0 && !self.checked {
            self.file.check_unchanged()?;
            self.checked = true;
        }
        Ok(count)
    }
}

fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn damaged(file: &InputFile, error: io::Error) -> Error {
    // A file that was cut short during the run looks damaged, and the change is the better message.
    if let Err(changed) = file.check_unchanged() {
        return changed;
    }
    let what = match file.codec {
        Codec::Gzip => "gzip",
        _ => "zstd",
    };
    let message = match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("`{}` is cut off: its {what} data ends too early", file.shown),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            format!("`{}` is not valid {what}", file.shown)
        }
        _ => return input_error(&file.shown, error),
    };
    Error::data(&codes::BAD_COMPRESSION, message)
        .help("fetch or copy the file again; nothing of this run is visible")
        .caused_by(error)
}
