//! From a `path` to the sorted list of files it means.
//!
//! A folder means every file of the format below it, a glob every file that matches. Names that begin with a dot are left
//! out, unless the pattern writes the dot, so nothing finds staged files. Links are followed, one that leads back to a folder
//! it lies in is not. Matching is on names with replacement characters
//! for what is not UTF-8; opening uses the real bytes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};
use rde_core::{Error, Result};

use super::{InputFile, at_path, input_error};
use crate::codes;

/// Folders below each other that are searched.
const DEPTH_MAX: usize = 64;
/// Folders that are searched for one `path`: with links that lead to each other there are more ways than one can go.
const FOLDERS_MAX: usize = 1_000_000;

const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Returns the inputs a `path` means. In a folder, names with one of the extensions (without dot) count.
pub(crate) fn resolve(base: &Path, path: &str, extensions: &[&str], allow_empty: bool) -> Result<Vec<InputFile>> {
    if path == "-" {
        return Ok(vec![InputFile::stdin()]);
    }
    let full = base.join(path);
    let found = match fs::metadata(&full) {
        Ok(metadata) if metadata.is_dir() => {
            let mut found = Vec::new();
            walk(&full, &mut Search::default(), &mut |file| {
                if has_extension(file, extensions) {
                    found.push(file.to_owned());
                }
            })?;
            found
        }
        Ok(metadata) => return Ok(vec![InputFile::at(full, path.to_owned(), &metadata).map_err(at_path)?]),
        Err(_) if is_glob(path) => expand(base, path)?,
        Err(error) => return Err(at_path(input_error(path, error))),
    };
    let mut files = Vec::with_capacity(found.len());
    for found in found {
        let shown = shown(base, path, &found);
        let metadata = fs::metadata(&found).map_err(|error| input_error(&shown, error))?;
        if metadata.is_file() {
            files.push(InputFile::at(found, shown, &metadata)?);
        }
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    if files.is_empty() && !allow_empty {
        return Err(at_path(nothing(path, extensions)));
    }
    Ok(files)
}

/// Returns whether a `path` is a pattern, unless a file has it as its name.
pub(crate) fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

fn expand(base: &Path, path: &str) -> Result<Vec<PathBuf>> {
    let mut root = if Path::new(path).is_absolute() { PathBuf::from("/") } else { base.to_owned() };
    if root.as_os_str().is_empty() {
        root = PathBuf::from(".");
    }
    let mut steps = Vec::new();
    for component in Path::new(path).components() {
        let text = match component {
            Component::Normal(text) => text.to_str().unwrap_or_default(),
            Component::ParentDir => "..",
            _ => continue,
        };
        if steps.is_empty() && !is_glob(text) {
            root.push(text);
            continue;
        }
        // Two of these in a row mean the same as one, which looks at every folder once.
        if text == "**" && steps.last().is_some_and(|last: &Pattern| last.as_str() == "**") {
            continue;
        }
        steps.push(Pattern::new(text).map_err(|error| at_path(bad_glob(path, &error)))?);
    }
    let mut found = Vec::new();
    descend(&root, &steps, &mut Search::default(), &mut found)?;
    found.sort();
    found.dedup();
    Ok(found)
}

/// A search through folders.
#[derive(Default)]
struct Search {
    /// Folders that are being searched, each below the one before it, by device and inode.
    above: Vec<(u64, u64)>,
    /// Folders that were entered.
    entered: usize,
}

fn descend(folder: &Path, steps: &[Pattern], search: &mut Search, found: &mut Vec<PathBuf>) -> Result<()> {
    let Some((step, rest)) = steps.split_first() else { return Ok(()) };
    if step.as_str() == "**" {
        return enter(folder, search, &mut |search| {
            descend(folder, rest, search, found)?;
            for (path, is_folder) in entries(folder)? {
                if is_hidden(&path) {
                    continue;
                }
                if is_folder {
                    descend(&path, steps, search, found)?;
                } else if rest.is_empty() {
                    found.push(path);
                }
            }
            Ok(())
        });
    }
    if !is_glob(step.as_str()) {
        let path = folder.join(step.as_str());
        return if rest.is_empty() {
            found.extend(path.exists().then_some(path));
            Ok(())
        } else {
            descend(&path, rest, search, found)
        };
    }
    for (path, is_folder) in entries(folder)? {
        let name = path.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned();
        if !step.matches_with(&name, OPTIONS) {
            continue;
        }
        if rest.is_empty() {
            found.push(path);
        } else if is_folder {
            descend(&path, rest, search, found)?;
        }
    }
    Ok(())
}

fn walk(folder: &Path, search: &mut Search, found: &mut dyn FnMut(&Path)) -> Result<()> {
    enter(folder, search, &mut |search| {
        for (path, is_folder) in entries(folder)? {
            match (is_hidden(&path), is_folder) {
                (true, _) => {}
                (false, true) => walk(&path, search, found)?,
                (false, false) => found(&path),
            }
        }
        Ok(())
    })
}

/// Searches a folder, unless it is one of those above it: then a link led back.
fn enter(folder: &Path, search: &mut Search, look: &mut dyn FnMut(&mut Search) -> Result<()>) -> Result<()> {
    let Ok(metadata) = fs::metadata(folder) else { return Ok(()) };
    let own = (metadata.dev(), metadata.ino());
    if search.above.contains(&own) {
        return Ok(());
    }
    search.entered += 1;
    if search.above.len() > DEPTH_MAX || search.entered > FOLDERS_MAX {
        return Err(at_path(too_deep(folder, search.above.len())));
    }
    search.above.push(own);
    look(search)?;
    search.above.pop();
    Ok(())
}

/// Returns the sorted entries of a folder and whether each is a folder; one that is not there has none.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let failed = |error| input_error(&folder.to_string_lossy(), error);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        let is_folder = kind.is_dir() || kind.is_symlink() && path.is_dir();
        entries.push((path, is_folder));
    }
    entries.sort();
    Ok(entries)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."))
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    extensions.iter().any(|extension| {
        name.strip_suffix(extension.as_bytes()).is_some_and(|rest| rest.len() > 1 && rest.ends_with(b"."))
    })
}

fn shown(base: &Path, path: &str, found: &Path) -> String {
    let short = if Path::new(path).is_absolute() { found } else { found.strip_prefix(base).unwrap_or(found) };
    short.to_string_lossy().into_owned()
}

fn nothing(path: &str, extensions: &[&str]) -> Error {
    let message = if is_glob(path) {
        format!("no file matches `{path}`")
    } else {
        format!("folder `{path}` holds no file with the extension {}", extensions.join(" or "))
    };
    Error::config(&codes::NO_FILES, message).help(
        "check `path`; a relative path is relative to the pipeline file; write `allow_empty: true` if no file is a valid input",
    )
}

fn too_deep(folder: &Path, depth: usize) -> Error {
    let message = if depth > DEPTH_MAX {
        format!("`{}` lies more than {DEPTH_MAX} folders deep", folder.display())
    } else {
        format!("more than {FOLDERS_MAX} folders were searched, the last one `{}`", folder.display())
    };
    Error::config(&codes::BAD_PATH, message)
        .help("give `path` a folder nearer to the files, and look for links that lead to each other")
}

fn bad_glob(path: &str, error: &glob::PatternError) -> Error {
    Error::config(&codes::BAD_PATH, format!("`{path}` is not a valid glob: {}", error.msg))
        .help("write `*` for any name, `?` for one character, `[ab]` for one of several, `**` for any folders")
}
