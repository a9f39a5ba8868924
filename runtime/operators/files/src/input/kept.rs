//! Standard input or a FIFO, kept whole in the spill folder, for a format that is read from its end.
//!
//! Invariant: the file has no name, so nothing of it is left, however the run ends.
//! Not here: the account of `spill_max` that the engine's own files share; each kept input may have as much by itself. Formats
//! that are read as their bytes come (`pipe.rs`).

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use rde_core::{Error, Result, Runtime};

use super::{InputFile, InputKind, PipeReader, Stamp};
use crate::codes;

/// Reads an input to its end, and returns it as one that can be read at any place. `bytes_max` is `spill_max`.
pub(crate) async fn keep(input: InputFile, runtime: &Runtime, folder: &Path, bytes_max: u64) -> Result<InputFile> {
    let failed = |error| {
        let message = format!("cannot keep `{}` in the spill folder `{}`", input.shown, folder.display());
        Error::unavailable(&codes::INPUT_NOT_KEPT, message)
            .help("check that `settings.spill` can be written and the disk has room")
            .caused_by(error)
    };
    let mut file = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder)).map_err(failed)?;
    let (mut reader, mut bytes) = (PipeReader::start(&input, runtime), 0);
    while let Some(piece) = reader.wait().await? {
        bytes += piece.len() as u64;
        if bytes > bytes_max {
            let message = format!("`{}` has more bytes than `spill_max` ({bytes_max} bytes)", input.shown);
            return Err(Error::config(&codes::INPUT_NOT_KEPT, message)
                .help("raise `settings.spill_max`, or write the input to a file and read that"));
        }
        file.write_all(&piece).map_err(failed)?;
    }
    let stamp = Stamp::of(&file.metadata().map_err(failed)?);
    Ok(InputFile { kind: InputKind::Regular, stamp, kept: Some(Arc::new(file)), ..input })
}

impl InputFile {
    /// Opens what was kept. The copies share one cursor, so they are read by positions.
    pub(super) fn open_kept(&self, kept: &File) -> Result<File> {
        kept.try_clone().map_err(|error| super::input_error(&self.shown, error))
    }
}
