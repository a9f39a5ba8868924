//! The few changes a sink makes to a folder, each of them one step that a test can cut off.
//!
//! Everything the commit path does to the file system goes through [`Disk`].
//! Invariant: no step replaces or removes anything but the path it is given; names become durable with [`Disk::sync`].
//! Not here: the bytes of files (`staged.rs`) and what the steps mean together (`commit.rs`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rde_core::{Error, ErrorKind};

use crate::codes;

/// Hears of every step before it is taken, and may refuse it. Tests cut a commit off with it.
pub(crate) trait StepHook: Send + Sync {
    /// Returns an error to keep the step from being taken.
    fn before(&self, step: &str, path: &Path) -> io::Result<()>;
}

/// Unit tests take thousands of steps to simulate killed processes, which needs no bytes on a disk.
const SYNCS: bool = !cfg!(test);

/// Takes the steps.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    hook: Option<Arc<dyn StepHook>>,
}

impl Disk {
    /// Makes one whose steps `hook` hears of.
    #[cfg(test)]
    pub(crate) fn with_hook(hook: Arc<dyn StepHook>) -> Disk {
        Disk { hook: Some(hook) }
    }

    /// Creates a folder and its parents; returns those that were not there, outermost first.
    pub(crate) fn create_folders(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut missing: Vec<PathBuf> = folder
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
            .map(Into::into)
            .collect();
        missing.reverse();
        if !missing.is_empty() {
            self.before("create folder", folder)?;
            fs::create_dir_all(folder)?;
        }
        Ok(missing)
    }

    /// Creates a file that must not exist.
    pub(crate) fn create_new(&self, path: &Path) -> io::Result<File> {
        self.before("create", path)?;
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    /// Makes the bytes of a file durable.
    pub(crate) fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        self.before("sync file", path)?;
        if SYNCS { file.sync_all() } else { Ok(()) }
    }

    /// Makes the names in a folder durable.
    pub(crate) fn sync(&self, folder: &Path) -> io::Result<()> {
        self.before("sync folder", folder)?;
        let folder = File::open(folder)?;
        if SYNCS { folder.sync_all() } else { Ok(()) }
    }

    /// Gives a file a second name that must not exist.
    pub(crate) fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before("link", to)?;
        fs::hard_link(from, to)
    }

    /// Renames a file over another.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before("rename", to)?;
        fs::rename(from, to)
    }

    /// Removes a file; one that is not there is no error.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.before("remove", path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Removes a folder if it is empty; returns whether it did.
    pub(crate) fn remove_if_empty(&self, folder: &Path) -> bool {
        self.before("remove folder", folder).is_ok() && fs::remove_dir(folder).is_ok()
    }

    /// Writes a small file as a whole: under a temporary name first, then renamed, then made durable.
    pub(crate) fn write_whole(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = path.with_extension("new");
        self.before("write", &temporary)?;
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        self.sync_file(&file, &temporary)?;
        drop(file);
        self.rename(&temporary, path)?;
        self.sync(path.parent().unwrap_or(Path::new(".")))
    }

    fn before(&self, step: &str, path: &Path) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook.before(step, path))
    }
}

/// Turns a failure of the file system below an output into an error that names the path and the remedy.
pub(crate) fn output_error(attempt: &str, path: &Path, error: io::Error) -> Error {
    let shown = path.display();
    let error_of = |kind, code, reason: &str, help: String| {
        Error::new(kind, code, format!("cannot {attempt} `{shown}`{reason}")).help(help)
    };
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => error_of(
            ErrorKind::Unavailable,
            &codes::DISK_FULL,
            ": no space is left",
            "free some space, or choose a `path` on another disk; nothing of this run is visible".to_owned(),
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => error_of(
            ErrorKind::Config,
            &codes::NOT_WRITABLE,
            ": permission denied",
            "choose a `path` that the user who runs the pipeline may write to, or change its permissions".to_owned(),
        ),
        io::ErrorKind::NotADirectory => error_of(
            ErrorKind::Config,
            &codes::BAD_TARGET,
            ": a part of the path is a file, not a folder",
            "choose another `path`, or remove that file".to_owned(),
        ),
        _ => {
            let help = "check the disk and the `path`, then run the pipeline again".to_owned();
            error_of(ErrorKind::Unavailable, &codes::WRITE_FAILED, "", help)
        }
    }
    .caused_by(error)
}
