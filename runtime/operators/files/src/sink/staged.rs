//! A file under its hidden name: written, counted and hashed on the way, durable when closed.
//!
//! Invariant: length and CRC-32 are of exactly the bytes that were handed to the file system.
//! Not here: when it becomes visible (`commit.rs`).

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Crc;

use super::disk::Disk;

/// Bytes read at a time when a file is hashed again.
const HASH_CHUNK: usize = 1 << 18;

/// A staged file that is being written.
pub(crate) struct StagedFile {
    file: File,
    path: PathBuf,
    disk: Disk,
    bytes: u64,
    crc: Crc,
}

impl StagedFile {
    /// Creates it; the folder exists.
    pub(crate) fn create(disk: &Disk, path: PathBuf) -> io::Result<StagedFile> {
        let file = disk.create_new(&path)?;
        Ok(StagedFile { file, path, disk: disk.clone(), bytes: 0, crc: Crc::new() })
    }

    /// Makes its bytes durable; returns their number and CRC-32.
    pub(crate) fn close(self) -> io::Result<(u64, u32)> {
        self.disk.sync_file(&self.file, &self.path)?;
        Ok((self.bytes, self.crc.sum()))
    }
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.crc.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns length and CRC-32 of a file.
pub(crate) fn hash(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; HASH_CHUNK];
    let (mut bytes, mut crc) = (0, Crc::new());
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, crc.sum())),
            count => {
                crc.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
}
