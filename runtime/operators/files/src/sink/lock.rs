//! The lock a sink holds in its target for the whole run, so that no second run writes beside it.
//!
//! An operating-system lock on a hidden file: it ends with the process, however that ends.
//! Invariant: whoever holds the lock holds it on the file that has the lock's name. The file is removed while the lock is
//! held, so a newcomer that locked the removed file sees another file under the name, and tries again.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rde_core::{Error, Result};

use super::disk::output_error;
use crate::codes;

/// Holds the lock until dropped.
#[derive(Debug)]
pub(crate) struct TargetLock {
    file: File,
    path: PathBuf,
}

impl TargetLock {
    /// Takes the lock at once, or answers that another run holds it.
    pub(crate) fn take(path: PathBuf) -> Result<TargetLock> {
        loop {
            let failed = |error| output_error("create the lock", &path, error);
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) if names(&path, &file).map_err(failed)? => return Ok(TargetLock { file, path }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(held(&path)),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }
}

impl Drop for TargetLock {
    fn drop(&mut self) {
        if names(&self.path, &self.file).unwrap_or(false)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "lock file stays");
        }
    }
}

fn names(path: &Path, file: &File) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok(named.dev() == held.dev() && named.ino() == held.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn held(path: &Path) -> Error {
    Error::fenced(&codes::TARGET_LOCKED, format!("another run writes to this target: it holds `{}`", path.display()))
        .help("wait until the other run has ended, or give this sink another `path`")
}

#[cfg(test)]
mod tests {
    use rde_core::ErrorKind;

    use super::*;

    #[test]
    fn a_second_holder_is_fenced_and_the_name_goes_with_the_lock() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(".rde.csv.lock");
        let first = TargetLock::take(path.clone()).expect("nobody holds it");
        let second = TargetLock::take(path.clone()).expect_err("it is held");
        assert_eq!((second.kind(), second.code()), (ErrorKind::Fenced, "RDE0602"));
        drop(first);
        assert!(!path.exists());
        TargetLock::take(path).expect("it is free again");
    }

    #[test]
    fn a_lock_left_by_a_dead_process_is_taken_over() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(".rde.csv.lock");
        fs::write(&path, b"").expect("the folder is writable");
        TargetLock::take(path).expect("no process holds it");
    }
}
