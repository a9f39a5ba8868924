//! The folder or file a sink writes to: created, locked, cleaned of what a killed run left, and asked for `if_exists`.
//!
//! Opened once per run, before the first row. Invariant: while a [`Target`] lives, its lock is held, and what it lists as
//! old is all that a `replace` removes.
//! Not here: the two phases (`lane.rs`, `commit.rs`).

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rde_core::{Error, Result};

use super::commit;
use super::config::IfExists;
use super::disk::{Disk, output_error};
use super::lock::TargetLock;
use super::names::Names;
use crate::codes;

/// Folders below each other that are searched for old files.
const DEPTH_MAX: usize = 64;

/// What a sink writes to, while it holds the lock.
pub(crate) struct Target {
    pub(crate) folder: PathBuf,
    pub(crate) names: Names,
    pub(crate) if_exists: IfExists,
    /// Name of the file of a single-file target.
    pub(crate) single: Option<String>,
    /// Final names of the files that a `replace` removes, below the folder.
    pub(crate) old: Vec<String>,
    pub(crate) disk: Disk,
    created: Vec<PathBuf>,
    lock: Option<TargetLock>,
}

/// What stands in a target already.
#[derive(Debug, Default)]
struct Found {
    /// Visible files with the sink's extension: path below the folder, and whether this sink made them.
    visible: Vec<(PathBuf, bool)>,
    /// Hidden files that this sink staged.
    staged: Vec<PathBuf>,
    /// Folders that were searched, by device and number: links may lead to one of them again.
    searched: HashSet<(u64, u64)>,
}

impl Target {
    /// Creates, locks and cleans the target, then asks what `if_exists` says of the files that are there.
    pub(crate) fn open(
        folder: PathBuf,
        single: Option<String>,
        names: Names,
        if_exists: IfExists,
        disk: Disk,
    ) -> Result<Target> {
        let created = disk.create_folders(&folder).map_err(|error| create_error(&folder, error))?;
        if !folder.is_dir() {
            return Err(create_error(&folder, io::ErrorKind::NotADirectory.into()));
        }
        let lock = TargetLock::take(folder.join(names.lock()))?;
        let mut target = Target { folder, names, if_exists, single, old: Vec::new(), disk, created, lock: Some(lock) };
        target.sync_created()?;
        commit::recover(&target)?;
        let found = target.find()?;
        for staged in &found.staged {
            target.discard(staged)?;
        }
        target.ask(&found)?;
        Ok(target)
    }

    /// Returns the full path of a name below the folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// Removes a hidden file, and its table partition's folder when that is empty then.
    pub(crate) fn discard(&self, staged: &Path) -> Result<()> {
        let path = self.path(staged);
        self.disk.remove(&path).map_err(|error| output_error("remove", &path, error))?;
        self.prune(staged);
        Ok(())
    }

    /// Removes the folders above a name, up to the target's own, that are empty.
    pub(crate) fn prune(&self, name: &Path) {
        for folder in name.ancestors().skip(1).take_while(|folder| !folder.as_os_str().is_empty()) {
            if !self.disk.remove_if_empty(&self.path(folder)) {
                return;
            }
        }
    }

    /// Makes the folders of names below the target durable, and those above them up to the target's own: a lane may have
    /// made any of them.
    pub(crate) fn sync_folders_of<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        let folders: BTreeSet<&Path> = names.flat_map(|name| Path::new(name).ancestors().skip(1)).collect();
        for folder in folders.into_iter().map(|folder| self.path(folder)).filter(|folder| folder.exists()) {
            self.disk.sync(&folder).map_err(|error| output_error("make durable", &folder, error))?;
        }
        Ok(())
    }

    /// Makes the names of the folders that were made for the target durable.
    fn sync_created(&self) -> Result<()> {
        for parent in self.created.iter().filter_map(|folder| folder.parent()) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            self.disk.sync(parent).map_err(|error| output_error("make durable", parent, error))?;
        }
        Ok(())
    }

    fn find(&self) -> Result<Found> {
        let mut found = Found::default();
        match &self.single {
            None => self.search(Path::new(""), 0, &mut found)?,
            Some(name) => {
                self.search_flat(&mut found)?;
                if fs::symlink_metadata(self.path(name)).is_ok() {
                    found.visible.push((PathBuf::from(name), true));
                }
            }
        }
        found.visible.sort();
        Ok(found)
    }

    fn search_flat(&self, found: &mut Found) -> Result<()> {
        for entry in self.entries(Path::new(""))? {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| self.names.is_own_staged(name)) {
                found.staged.push(PathBuf::from(name));
            }
        }
        Ok(())
    }

    fn search(&self, below: &Path, depth: usize, found: &mut Found) -> Result<()> {
        let failed = |error| output_error("look into", &self.path(below), error);
        let folder = fs::metadata(self.path(below)).map_err(failed)?;
        if !found.searched.insert((folder.dev(), folder.ino())) {
            return Ok(());
        }
        for entry in self.entries(below)? {
            let name = entry.file_name();
            let path = below.join(&name);
            let kind = entry.file_type().map_err(failed)?;
            // Lanes write through a link that has the name of a table partition, so what is behind it counts.
            let linked = kind.is_symlink() && is_partition(&name) && self.path(&path).is_dir();
            if kind.is_dir() || linked {
                if depth < DEPTH_MAX && is_partition(&name) {
                    self.search(&path, depth + 1, found)?;
                }
                continue;
            }
            // A name that is not UTF-8 is nothing this sink ever made.
            let known = name.to_str().unwrap_or_default();
            let hidden = name.as_encoded_bytes().starts_with(b".");
            if self.names.is_own_staged(known) {
                found.staged.push(path);
            } else if !hidden && has_extension(&path, self.names.extension()) {
                let own = self.names.is_own(known) && path.to_str().is_some();
                found.visible.push((path, own));
            }
        }
        Ok(())
    }

    fn entries(&self, below: &Path) -> Result<Vec<fs::DirEntry>> {
        let folder = self.path(below);
        let failed = |error| output_error("look into", &folder, error);
        fs::read_dir(&folder).map_err(failed)?.collect::<io::Result<_>>().map_err(failed)
    }

    fn ask(&mut self, found: &Found) -> Result<()> {
        let Some((first, _)) = found.visible.first() else { return Ok(()) };
        match self.if_exists {
            IfExists::Append => Ok(()),
            IfExists::Fail => Err(self.exists(first, found.visible.len())),
            IfExists::Replace => {
                if let Some((foreign, _)) = found.visible.iter().find(|(_, own)| !own) {
                    return Err(self.foreign(foreign));
                }
                if self.single.is_none() {
                    self.old = found.visible.iter().filter_map(|(path, _)| path.to_str().map(str::to_owned)).collect();
                } else if self.path(first).is_dir() {
                    return Err(create_error(&self.path(first), io::ErrorKind::IsADirectory.into()));
                }
                Ok(())
            }
        }
    }

    fn exists(&self, first: &Path, count: usize) -> Error {
        let message = match &self.single {
            Some(name) => format!("output `{}` exists already", self.path(name).display()),
            None => format!(
                "output folder `{}` holds {count} `.{}` file{} already, for example `{}`",
                self.folder.display(),
                self.names.extension(),
                if count == 1 { "" } else { "s" },
                first.display()
            ),
        };
        let remedy = if self.single.is_some() { "" } else { ", `if_exists: append` to add to them" };
        Error::config(&codes::OUTPUT_EXISTS, message).help(format!(
            "write `if_exists: replace` to replace what this sink made before{remedy}, or another `path`"
        ))
    }

    fn foreign(&self, foreign: &Path) -> Error {
        let message = format!("cannot replace: `{}` was not made by this sink", self.path(foreign).display());
        Error::config(&codes::FOREIGN_FILE, message).help(
            "`replace` removes only files named by this pipeline and sink; move the file away, or choose another `path`",
        )
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.lock = None;
        for folder in self.created.iter().rev() {
            if !self.disk.remove_if_empty(folder) {
                return;
            }
        }
    }
}

/// Returns whether a folder's name is that of a table partition; other folders are not a part of this output.
fn is_partition(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    !name.starts_with(b".") && name.contains(&b'=')
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn create_error(folder: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            let message =
                format!("cannot write to `{}`: it, or a part of its path, is a file, not a folder", folder.display());
            Error::config(&codes::BAD_TARGET, message).help(
                "`path` of a sink is a folder, unless it ends in the extension of the format; choose another `path`",
            )
        }
        io::ErrorKind::IsADirectory => {
            let message = format!("cannot write the file `{}`: a folder has this name", folder.display());
            Error::config(&codes::BAD_TARGET, message).help("choose another `path`, or remove the folder")
        }
        _ => output_error("create the output folder", folder, error),
    }
}
