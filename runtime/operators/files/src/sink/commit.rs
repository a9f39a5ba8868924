//! Makes what all lanes of a file sink prepared visible, and puts right what a killed commit left.
//!
//! Last step of the batch path. A manifest of the new files and of the old ones to go is durable before the first link.
//! Links never replace. Hidden names go last, so that until then everything can be taken back without loss.
//! Invariant: until the manifest says that the removal of old files has begun, the commit can be undone; from then on all
//! new files are linked, and it can only be finished. The target therefore shows the old files or the new ones after
//! recovery, never a part of either.
//! Not here: closing files (`lane.rs`), and deciding whether to commit (engine, `checkpoint`).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use rde_core::{Commit, CommitPermit, Committer, Error, Marker, Prepared, Result};

use super::config::IfExists;
use super::disk::output_error;
use super::staged::hash;
use super::target::Target;
use super::token::{Manifest, StagedEntry, Token};
use crate::codes;

/// Makes prepared files visible.
pub(crate) struct FileCommitter {
    target: Arc<Target>,
}

/// How far one file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Hidden,
    Linked,
    Visible,
}

impl FileCommitter {
    /// Makes the committer of a target.
    pub(crate) fn new(target: Arc<Target>) -> FileCommitter {
        FileCommitter { target }
    }

    pub(super) fn make_visible(&self, commit: &Commit) -> Result<()> {
        let mut files = Vec::new();
        for prepared in &commit.prepared {
            files.extend(Token::decode(prepared)?.files);
        }
        let target = &*self.target;
        if target.single.is_some() && target.if_exists == IfExists::Replace {
            return files.iter().try_for_each(|file| replace(target, file));
        }
        let begun = read_manifest(target)?;
        if let Some(begun) = begun.as_ref().filter(|begun| begun.removing) {
            return finish(target, begun);
        }
        let stages = files.iter().map(|file| stage(target, file)).collect::<Result<Vec<_>>>()?;
        if stages.iter().all(|stage| *stage == Stage::Visible) && target.old.is_empty() && begun.is_none() {
            return Ok(());
        }
        if files.is_empty() && target.old.is_empty() {
            return Ok(());
        }
        let mut manifest = Manifest::new(files, target.old.clone());
        write_manifest(target, &manifest)?;
        link_all(target, &manifest.files, &stages)?;
        if !manifest.old.is_empty() {
            manifest.removing = true;
            write_manifest(target, &manifest)?;
        }
        finish(target, &manifest)
    }

    pub(super) fn discard(&self, prepared: &[Prepared]) -> Result<()> {
        for prepared in prepared {
            for file in Token::decode(prepared)?.files {
                self.target.discard(Path::new(&file.staged))?;
            }
        }
        Ok(())
    }
}

impl Committer for FileCommitter {
    fn marker(&mut self) -> BoxFuture<'_, Result<Option<Marker>>> {
        // A folder holds no marker; whether a commit landed is read off its files, one by one.
        Box::pin(std::future::ready(Ok(None)))
    }

    fn commit<'a>(&'a mut self, _permit: &'a CommitPermit, commit: &'a Commit) -> BoxFuture<'a, Result<()>> {
        tracing::trace!(target: "rde::path", "files::commit");
        Box::pin(std::future::ready(self.make_visible(commit)))
    }

    fn abort<'a>(&'a mut self, prepared: &'a [Prepared]) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(self.discard(prepared)))
    }
}

/// Takes back or finishes the commit that a killed run of this pipeline and sink had begun.
pub(crate) fn recover(target: &Target) -> Result<()> {
    let path = target.path(target.names.manifest());
    let temporary = path.with_extension("new");
    target.disk.remove(&temporary).map_err(|error| output_error("remove", &temporary, error))?;
    let Some(manifest) = read_manifest(target)? else { return Ok(()) };
    tracing::warn!(target = %target.folder.display(), removing = manifest.removing, "puts right a commit that was cut off");
    if manifest.removing { finish(target, &manifest) } else { undo(target, &manifest) }
}

fn link_all(target: &Target, files: &[StagedEntry], stages: &[Stage]) -> Result<()> {
    for (file, _) in files.iter().zip(stages).filter(|(_, stage)| **stage == Stage::Hidden) {
        let (from, to) = (target.path(&file.staged), target.path(&file.name));
        if let Err(error) = target.disk.link(&from, &to) {
            let error = if error.kind() == io::ErrorKind::AlreadyExists {
                in_the_way(&to)
            } else {
                output_error("make visible", &to, error)
            };
            if let Err(second) = take_back(target, files, stages) {
                tracing::warn!(error = %second, "cannot take back a commit; the next run of this pipeline will");
            }
            return Err(error);
        }
    }
    target.sync_folders_of(files.iter().map(|file| file.name.as_str()))
}

/// Removes the links this commit made; the hidden names are all still there, so it may be tried again.
fn take_back(target: &Target, files: &[StagedEntry], stages: &[Stage]) -> Result<()> {
    for (file, _) in files.iter().zip(stages).filter(|(_, stage)| **stage == Stage::Hidden) {
        let path = target.path(&file.name);
        if same_file(&target.path(&file.staged), &path) {
            target.disk.remove(&path).map_err(|error| output_error("take back", &path, error))?;
        }
    }
    remove_manifest(target)
}

/// Removes the old files and all hidden names, then the manifest.
fn finish(target: &Target, manifest: &Manifest) -> Result<()> {
    for old in &manifest.old {
        let path = target.path(old);
        target.disk.remove(&path).map_err(|error| output_error("remove the old file", &path, error))?;
        target.prune(Path::new(old));
    }
    target.sync_folders_of(manifest.old.iter().map(String::as_str))?;
    for file in &manifest.files {
        let path = target.path(&file.staged);
        target.disk.remove(&path).map_err(|error| output_error("remove the hidden name", &path, error))?;
    }
    target.sync_folders_of(manifest.files.iter().map(|file| file.name.as_str()))?;
    remove_manifest(target)
}

/// Removes the new files, visible and hidden, then the manifest.
fn undo(target: &Target, manifest: &Manifest) -> Result<()> {
    for file in &manifest.files {
        let (staged, visible) = (target.path(&file.staged), target.path(&file.name));
        if same_file(&staged, &visible) || is_intact(&visible, file) {
            target.disk.remove(&visible).map_err(|error| output_error("take back", &visible, error))?;
        }
        target.discard(Path::new(&file.staged))?;
    }
    target.sync_folders_of(manifest.files.iter().map(|file| file.name.as_str()))?;
    remove_manifest(target)
}

fn replace(target: &Target, file: &StagedEntry) -> Result<()> {
    let (from, to) = (target.path(&file.staged), target.path(&file.name));
    if !from.exists() {
        return if is_intact(&to, file) { Ok(()) } else { Err(broken(&to)) };
    }
    target.disk.rename(&from, &to).map_err(|error| output_error("replace", &to, error))?;
    target.sync_folders_of(std::iter::once(file.name.as_str()))
}

fn stage(target: &Target, file: &StagedEntry) -> Result<Stage> {
    let (staged, visible) = (target.path(&file.staged), target.path(&file.name));
    match (staged.exists(), fs::symlink_metadata(&visible).is_ok()) {
        (true, false) => Ok(Stage::Hidden),
        (true, true) if same_file(&staged, &visible) => Ok(Stage::Linked),
        (true, true) => Err(in_the_way(&visible)),
        (false, true) if is_intact(&visible, file) => Ok(Stage::Visible),
        (false, _) => Err(broken(&visible)),
    }
}

fn is_intact(path: &Path, file: &StagedEntry) -> bool {
    let same_length = fs::metadata(path).is_ok_and(|found| found.len() == file.bytes);
    same_length && hash(path).is_ok_and(|found| found == (file.bytes, file.crc32))
}

fn same_file(left: &Path, right: &Path) -> bool {
    match (fs::symlink_metadata(left), fs::symlink_metadata(right)) {
        (Ok(left), Ok(right)) => left.dev() == right.dev() && left.ino() == right.ino(),
        _ => false,
    }
}

fn read_manifest(target: &Target) -> Result<Option<Manifest>> {
    let path = target.path(target.names.manifest());
    match fs::read(&path) {
        Ok(bytes) => Manifest::decode(&bytes).map(Some).ok_or_else(|| unreadable(&path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(output_error("read", &path, error)),
    }
}

fn write_manifest(target: &Target, manifest: &Manifest) -> Result<()> {
    let path = target.path(target.names.manifest());
    target.disk.write_whole(&path, &manifest.encode()).map_err(|error| output_error("write", &path, error))
}

fn remove_manifest(target: &Target) -> Result<()> {
    let path = target.path(target.names.manifest());
    target.disk.remove(&path).map_err(|error| output_error("remove", &path, error))?;
    target.disk.sync(&target.folder).map_err(|error| output_error("make durable", &target.folder, error))
}

fn in_the_way(path: &Path) -> Error {
    Error::config(
        &codes::COMMIT_REFUSED,
        format!("cannot make `{}` visible: the name was taken during the run", path.display()),
    )
    .help(
        "nothing of this sink is visible; remove the other file, or choose another `path`, and run the pipeline again",
    )
}

fn broken(path: &Path) -> Error {
    let message = format!("commit is broken: `{}` is neither staged nor as it was written", path.display());
    Error::internal(&codes::COMMIT_BROKEN, message).help(
        "something else changed the output folder during the run; run the pipeline again with `if_exists: replace`",
    )
}

fn unreadable(path: &Path) -> Error {
    Error::config(
        &codes::BAD_MANIFEST,
        format!("cannot read the manifest `{}` of a run that was cut off", path.display()),
    )
    .help("it was written by another version of `rde` or changed since: look at the folder, then remove the manifest")
}
