//! What all file sources share: which files a `path` means, whether they changed, and their bytes.
//!
//! Invariant: the list of files is sorted and the same for `discover` and the run; a file that is not what `discover` saw
//! fails the run by name.
//! Not here: what the bytes mean (`csv`, `parquet`).

mod gzip;
mod kept;
mod list;
mod pipe;
mod progress;
mod read;

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rde_core::{Error, LATER_STAGE, PathPattern, Place, Result};

pub(crate) use kept::keep;
pub(crate) use list::{is_glob, resolve};
pub(crate) use pipe::{PipeReader, Piped};
pub(crate) use progress::{LaneSplits, Reached, unknown_split};
pub(crate) use read::FileReader;

use crate::codes;

/// One input of a source.
#[derive(Clone, Debug)]
pub(crate) struct InputFile {
    /// Where it is opened.
    pub(crate) path: PathBuf,
    /// How the user wrote it: messages and positions show this.
    pub(crate) shown: String,
    /// What kind it is.
    pub(crate) kind: InputKind,
    /// How it is compressed.
    pub(crate) codec: Codec,
    /// What `discover` saw.
    stamp: Stamp,
    /// Its bytes, where they came once and were kept.
    kept: Option<Arc<File>>,
}

/// Kinds of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputKind {
    /// A file that can be read at any place, again and again.
    Regular,
    /// A FIFO or device, read once.
    Pipe,
    /// Standard input.
    Stdin,
}

/// How an input is compressed, by its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Not at all.
    Plain,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

/// What must not change while a file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: (i64, i64),
    file: (u64, u64),
}

impl InputFile {
    /// Returns standard input.
    pub(crate) fn stdin() -> InputFile {
        InputFile {
            path: PathBuf::from("-"),
            shown: "-".to_owned(),
            kind: InputKind::Stdin,
            codec: Codec::Plain,
            stamp: Stamp::default(),
            kept: None,
        }
    }

    /// Returns the input at a path that the user wrote as `shown`.
    fn at(path: PathBuf, shown: String, metadata: &Metadata) -> Result<InputFile> {
        let kind = metadata.file_type();
        let kind = if kind.is_file() {
            InputKind::Regular
        } else if kind.is_fifo() || kind.is_char_device() {
            InputKind::Pipe
        } else {
            let message = format!("cannot read `{shown}`: it is neither a file, a folder nor a pipe");
            return Err(Error::config(&codes::BAD_PATH, message).help("name a file, a folder or a glob in `path`"));
        };
        Ok(InputFile { codec: Codec::of(&path), path, shown, kind, stamp: Stamp::of(metadata), kept: None })
    }

    /// Returns its length in bytes, 0 for pipes.
    pub(crate) fn bytes(&self) -> u64 {
        self.stamp.bytes
    }

    /// Returns whether it is read once, as its bytes come.
    pub(crate) fn is_piped(&self) -> bool {
        self.kind != InputKind::Regular
    }

    /// Returns a name that is unique among the inputs of a source, also where paths are not UTF-8.
    pub(crate) fn split_name(&self) -> String {
        if self.is_piped() {
            return self.shown.clone();
        }
        let mut name = String::new();
        for chunk in self.path.as_os_str().as_bytes().utf8_chunks() {
            name.push_str(chunk.valid());
            chunk.invalid().iter().for_each(|byte| name.push_str(&format!("\\x{byte:02X}")));
        }
        name
    }

    /// Opens a regular file and checks that it is what `discover` saw.
    pub(crate) fn open(&self) -> Result<File> {
        if let Some(kept) = &self.kept {
            return self.open_kept(kept);
        }
        let file = File::open(&self.path).map_err(|error| self.gone_or(error))?;
        let now = file.metadata().map_err(|error| input_error(&self.shown, error))?;
        if Stamp::of(&now) == self.stamp { Ok(file) } else { Err(self.changed()) }
    }

    /// Checks that the file under the path is still what `discover` saw.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        if self.kept.is_some() {
            return Ok(());
        }
        let now = fs::metadata(&self.path).map_err(|error| self.gone_or(error))?;
        if Stamp::of(&now) == self.stamp { Ok(()) } else { Err(self.changed()) }
    }

    fn gone_or(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::NotFound {
            let message = format!("input `{}` disappeared during the run", self.shown);
            return Error::data(&codes::INPUT_CHANGED, message)
                .help("run the pipeline when nothing removes its inputs, or read a copy");
        }
        input_error(&self.shown, error)
    }

    fn changed(&self) -> Error {
        Error::data(&codes::INPUT_CHANGED, format!("input `{}` changed during the run", self.shown))
            .help("run the pipeline when nothing writes to its inputs, or read a copy")
    }
}

impl Codec {
    fn of(path: &Path) -> Codec {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Codec::Gzip,
            Some("zst") => Codec::Zstd,
            _ => Codec::Plain,
        }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            file: (metadata.dev(), metadata.ino()),
        }
    }
}

/// Returns the fault of a `path` that no version, or not this one, can read.
pub(crate) fn path_fault(path: &str) -> Option<Error> {
    if path.is_empty() {
        let help = "name a file, a folder, a glob, or `-` for standard input";
        return Some(Error::config(&codes::BAD_PATH, "`path` is empty").help(help).at(Place::field("/path")));
    }
    let scheme = url_scheme(path)?;
    let message = format!("reading from `{scheme}://` is not in this version");
    Some(Error::config(&LATER_STAGE, message).help("read local files").at(Place::field("/path")))
}

/// Places an error that has no place of its own at `path`.
pub(crate) fn at_path(error: Error) -> Error {
    if error.place().is_some() { error } else { error.at(Place::field("/path")) }
}

/// Returns the scheme of a URL.
pub(crate) fn url_scheme(path: &str) -> Option<&str> {
    let (scheme, _) = path.split_once("://")?;
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(valid)).then_some(scheme)
}

/// Returns what a `path` reads, for the checks that no output lies under an input and no pipe has two readers.
pub(crate) fn footprint(base: &Path, path: &str, extensions: &[&str]) -> Vec<PathPattern> {
    if path == "-" {
        return vec![PathPattern::Stdin];
    }
    if path_fault(path).is_some() {
        return Vec::new();
    }
    let full = base.join(path);
    if full.is_dir() {
        return vec![PathPattern::Folder(full, extensions.iter().map(|text| (*text).to_owned()).collect())];
    }
    // Whoever compares the pattern puts the folder in front of it, which may itself hold characters of a glob.
    if is_glob(path) && !full.exists() {
        vec![PathPattern::Glob(path.to_owned())]
    } else {
        vec![PathPattern::File(full)]
    }
}

/// Turns a failure to read an input into an error that names it.
pub(crate) fn input_error(shown: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            let message = format!("input `{shown}` does not exist");
            Error::config(&codes::INPUT_MISSING, message)
                .help("check the spelling of `path`; a relative path is relative to the pipeline file")
        }
        io::ErrorKind::PermissionDenied => {
            Error::config(&codes::INPUT_UNREADABLE, format!("cannot read `{shown}`: permission denied"))
                .help("let the user who runs the pipeline read it")
        }
        _ => Error::unavailable(&codes::INPUT_UNREADABLE, format!("cannot read `{shown}`"))
            .help("check the file and the disk it is on, then run the pipeline again"),
    }
    .caused_by(error)
}

#[cfg(test)]
mod tests;
