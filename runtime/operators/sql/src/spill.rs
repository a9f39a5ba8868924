//! The folder of one query in the spill folder, and the end of those that killed runs left there.
//!
//! Several runs, also of other processes and containers, may share the spill folder. Beside each query's folder lies a lock
//! file that is held as long as the query lives: an operating-system lock ends with its process, however that ends.
//! Invariant: a folder is removed only by its own query, or by who holds its lock.
//! Not here: the files in the folder (DataFusion), the engine's spool (its files have no name).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::Builder;

/// Names that are ours: `rde-sql-<random>.lock`, and the folder of the same name without `.lock`.
const PREFIX: &str = "rde-sql-";
const LOCK: &str = "lock";

/// A folder that lives as long as this value.
#[derive(Debug)]
pub struct SpillFolder {
    path: PathBuf,
    /// Held until the folder is gone; absent where the file system has no locks.
    lock: Option<File>,
}

impl SpillFolder {
    /// Removes what killed runs left in the spill folder, and makes a new folder there.
    pub fn make(spill: &Path) -> io::Result<SpillFolder> {
        fs::create_dir_all(spill)?;
        remove_dead(spill);
        let (lock, path) = loop {
            let (file, path) = Builder::new().prefix(PREFIX).suffix(".lock").tempfile_in(spill)?.keep()?;
            match file.try_lock() {
                // Before it was held, another run may have taken it for that of a dead one, and removed it.
                Ok(()) if path.try_exists()? => break (Some(file), path),
                Ok(()) | Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(error)) => {
                    // A folder without a lock file is never taken for a dead one: nobody could tell that this one lives.
                    tracing::debug!(path = %path.display(), %error, "the spill folder has no locks");
                    fs::remove_file(&path)?;
                    break (None, path);
                }
            }
        };
        let folder = SpillFolder { path: path.with_extension(""), lock };
        fs::create_dir(&folder.path)?;
        Ok(folder)
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        let removed = if self.lock.is_some() { remove(&self.path) } else { fs::remove_dir_all(&self.path) };
        if let Err(error) = removed {
            tracing::debug!(path = %self.path.display(), %error, "a spill folder stays");
        }
    }
}

/// Removes every folder whose lock nobody holds. What cannot be told or removed stays: it hurts nobody but the disk.
fn remove_dead(spill: &Path) {
    let entries = fs::read_dir(spill).into_iter().flatten().flatten().map(|entry| entry.path());
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(PREFIX)) && path.extension().is_some_and(|end| end == LOCK)
    };
    for path in entries.filter(ours) {
        // Held until the folder is gone, so that two newcomers do not remove one folder at a time.
        let Ok(lock) = OpenOptions::new().write(true).open(&path) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        let folder = path.with_extension("");
        match remove(&folder) {
            Ok(()) => tracing::info!(path = %folder.display(), "removed the spill folder of a killed run"),
            Err(error) => tracing::warn!(path = %folder.display(), %error, "the spill folder of a killed run stays"),
        }
    }
}

/// Removes a folder and then its lock file, which stays while the folder does: so a later run tries again.
fn remove(folder: &Path) -> io::Result<()> {
    for removed in [fs::remove_dir_all(folder), fs::remove_file(folder.with_extension(LOCK))] {
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(spill: &Path) -> Vec<String> {
        let entries = fs::read_dir(spill).expect("it is there").flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// What a process leaves that is killed while it spills.
    fn dead(spill: &Path, name: &str) -> PathBuf {
        let folder = spill.join(name);
        fs::create_dir_all(folder.join("datafusion-x")).expect("the folder is writable");
        fs::write(folder.join("datafusion-x").join(".tmp"), b"rows").expect("the folder is writable");
        fs::write(folder.with_extension(LOCK), b"").expect("the folder is writable");
        folder
    }

    #[test]
    fn folders_of_dead_runs_go_and_those_of_live_ones_and_of_others_stay() {
        let spill = tempfile::tempdir().expect("a temporary folder");
        let live = SpillFolder::make(spill.path()).expect("the folder is writable");
        fs::write(live.path().join("rows"), b"rows").expect("the folder is writable");
        let gone = dead(spill.path(), "rde-sql-dead");
        let foreign = dead(spill.path(), "foreign");
        let unlocked = spill.path().join("rde-sql-unlocked");
        fs::create_dir(&unlocked).expect("the folder is writable");

        let second = SpillFolder::make(spill.path()).expect("the folder is writable");
        assert!(!gone.exists() && !gone.with_extension(LOCK).exists());
        for stays in [&live.path().join("rows"), &foreign, &foreign.with_extension(LOCK), &unlocked] {
            assert!(stays.exists(), "{}", stays.display());
        }
        assert_ne!(live.path(), second.path());
        drop((live, second));
        assert_eq!(names(spill.path()), ["foreign", "foreign.lock", "rde-sql-unlocked"]);
    }
}
