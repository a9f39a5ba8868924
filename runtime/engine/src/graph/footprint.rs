//! Finds outputs that lie under an input's path, so that no run reads what it writes.
//!
//! Paths are compared as text after their existing folders are resolved; nothing is created or changed.

use std::path::{Component, Path, PathBuf};

use rde_core::{Error, PathPattern, Place};

use super::bind::Draft;
use crate::codes;

/// Compares what operators write with what operators read.
pub(super) fn check(draft: &Draft, base: &Path, faults: &mut Vec<Error>) {
    let footprints = || {
        draft
            .nodes
            .iter()
            .filter_map(|node| Some((&node.added.id, node.bound.kind, node.added.plan.as_ref()?.footprint())))
    };
    let reads: Vec<(String, PathPattern)> = footprints()
        .flat_map(|(id, _, footprint)| {
            footprint
                .reads
                .into_iter()
                .map(|pattern| (id.to_string(), resolve_pattern(base, pattern)))
                .collect::<Vec<_>>()
        })
        .collect();
    for (id, kind, footprint) in footprints() {
        let clash = footprint.writes.iter().find_map(|path| {
            let written = resolve(base, path);
            reads.iter().find(|(_, pattern)| matches(pattern, &written)).map(|(reader, _)| reader)
        });
        if let Some(reader) = clash {
            let message = format!("{} `{id}` writes where `{reader}` reads", kind.as_str());
            let help = format!("write to a folder that the path of `{reader}` does not cover");
            let fault = Error::config(&codes::OUTPUT_UNDER_INPUT, message).help(help).in_operator(id);
            faults.push(fault.at(Place::field("/path")));
        }
    }
}

fn matches(pattern: &PathPattern, written: &Path) -> bool {
    match pattern {
        PathPattern::File(path) => path == written,
        PathPattern::Folder(folder, extensions) => {
            let name = written.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let fits = |extension: &String| name.ends_with(&format!(".{extension}"));
            written.starts_with(folder) && (extensions.is_empty() || extensions.iter().any(fits))
        }
        PathPattern::Glob(text) => {
            let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
            glob::Pattern::new(text).is_ok_and(|glob| glob.matches_path_with(written, options))
        }
    }
}

fn resolve_pattern(base: &Path, pattern: PathPattern) -> PathPattern {
    match pattern {
        PathPattern::File(path) => PathPattern::File(resolve(base, &path)),
        PathPattern::Folder(path, extensions) => PathPattern::Folder(resolve(base, &path), extensions),
        PathPattern::Glob(text) => PathPattern::Glob(resolve_glob(base, &text)),
    }
}

/// Resolves the part of a glob before its first wildcard.
fn resolve_glob(base: &Path, text: &str) -> String {
    let wild = text.find(['*', '?', '[']).unwrap_or(text.len());
    let cut = text[..wild].rfind('/').map_or(0, |slash| slash + 1);
    let folder = resolve(base, Path::new(&text[..cut]));
    format!("{}/{}", glob::Pattern::escape(&folder.to_string_lossy()), &text[cut..])
}

/// Makes a path absolute, without `.` and `..`, and follows links as far as the path exists.
fn resolve(base: &Path, path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    let joined = base.join(path);
    let absolute = std::path::absolute(&joined).unwrap_or(joined);
    for component in absolute.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    for ancestor in clean.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            return match clean.strip_prefix(ancestor) {
                Ok(rest) if rest.as_os_str().is_empty() => real,
                Ok(rest) => real.join(rest),
                Err(_) => clean,
            };
        }
    }
    clean
}
