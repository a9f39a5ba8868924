//! Finds operators that touch the same files: outputs under an input's path, so that no run reads what it writes, two
//! outputs on one target, and two readers of a pipe.
//!
//! Paths are compared as text after their existing folders are resolved; nothing is created or changed.

use std::collections::HashMap;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rde_core::{Error, PathPattern, Place, STDOUT};

use super::bind::{Draft, Node};
use crate::codes;

/// Finds sources that read what another one reads and nobody can read again. To be asked before anything is read; such a
/// source is broken from here on.
pub(super) fn read_once(draft: &mut Draft, base: &Path, faults: &mut Vec<Error>) {
    let mut readers: HashMap<PathBuf, Arc<str>> = HashMap::new();
    for node in &mut draft.nodes {
        let Some(plan) = &node.added.plan else { continue };
        let (id, kind) = (node.added.id.clone(), node.bound.kind.as_str());
        for (pipe, what) in plan.footprint().reads.iter().filter_map(|pattern| pipe(base, pattern)) {
            let Some(first) = readers.get(&pipe) else {
                readers.insert(pipe, id.clone());
                continue;
            };
            let message = format!("{kind} `{id}` reads {what}, which `{first}` reads already");
            let help = format!("read it once, and connect `{first}` with everything that takes its rows");
            let fault = Error::config(&codes::READ_TWICE, message).help(help).in_operator(&id);
            faults.push(fault.at(Place::field("/path")));
            node.added.plan = None;
            break;
        }
    }
}

/// Returns the path and a name of what can be read only once.
fn pipe(base: &Path, pattern: &PathPattern) -> Option<(PathBuf, String)> {
    match pattern {
        PathPattern::Stdin => Some((PathBuf::from("-"), "standard input".to_owned())),
        PathPattern::File(path) => {
            let full = resolve(base, path);
            let is_pipe = std::fs::metadata(&full).is_ok_and(|found| found.file_type().is_fifo());
            is_pipe.then(|| (full, format!("the pipe `{}`", path.display())))
        }
        PathPattern::Folder(..) | PathPattern::Glob(_) => None,
    }
}

/// Compares what operators write with what operators read and with what others write.
pub(super) fn check(draft: &Draft, base: &Path, faults: &mut Vec<Error>) {
    let reads: Vec<(&str, PathPattern)> = footprints(draft)
        .flat_map(|(node, footprint)| {
            footprint.reads.into_iter().map(|pattern| (&*node.added.id, resolve_pattern(base, pattern)))
        })
        .collect();
    let mut targets = Targets::default();
    for (node, footprint) in footprints(draft) {
        let (id, kind) = (&*node.added.id, node.bound.kind.as_str());
        let fault = |code, message: String, help: String| {
            Error::config(code, message).help(help).in_operator(id).at(Place::field("/path"))
        };
        let resolved = |path: &PathBuf| if is_stdout(path) { path.clone() } else { resolve(base, path) };
        let written: Vec<PathBuf> = footprint.writes.iter().map(resolved).collect();
        let read = |path: &PathBuf| reads.iter().find(|(_, pattern)| !is_stdout(path) && matches(pattern, path));
        if let Some((reader, _)) = written.iter().find_map(read) {
            let help = format!("write to a folder that the path of `{reader}` does not cover");
            let message = format!("{kind} `{id}` writes where `{reader}` reads");
            faults.push(fault(&codes::OUTPUT_UNDER_INPUT, message, help));
        }
        let clash = |path: &PathBuf| targets.clash(path).map(|(target, owner)| (owner, path.clone(), target));
        if let Some((owner, path, target)) = written.iter().find_map(clash) {
            let mut message = format!("{kind} `{id}` writes to the target of `{owner}`");
            if path != target {
                message.push_str(&format!(": `{}` and `{}` overlap", path.display(), target.display()));
            }
            let help =
                "give each a `path` of its own, not in the folder of the other, or lead both edges into one sink";
            faults.push(fault(&codes::SAME_TARGET, message, help.to_owned()));
        }
        written.into_iter().for_each(|path| targets.add(path, id));
    }
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new(STDOUT)
}

/// What was written so far, with the operator that does.
#[derive(Default)]
struct Targets<'a> {
    exact: HashMap<PathBuf, &'a str>,
    /// For every folder as a target, the first path that lies in it.
    inside: HashMap<PathBuf, (PathBuf, &'a str)>,
}

impl<'a> Targets<'a> {
    /// Returns a target that is this one, that this one lies in, or that lies in this one.
    fn clash(&self, path: &Path) -> Option<(PathBuf, &'a str)> {
        let of = |target: PathBuf| self.exact.get(&target).map(|owner| (target, *owner));
        of(path.to_owned()).or_else(|| around(path).find_map(of)).or_else(|| self.inside.get(path).cloned())
    }

    fn add(&mut self, path: PathBuf, id: &'a str) {
        for folder in around(&path) {
            self.inside.entry(folder).or_insert_with(|| (path.clone(), id));
        }
        self.exact.entry(path).or_insert(id);
    }
}

/// Returns the folders around a path as targets of files with its extension.
fn around(path: &Path) -> impl Iterator<Item = PathBuf> {
    let name = path.extension().map(|extension| format!("*.{}", extension.to_string_lossy()));
    path.ancestors().skip(1).filter_map(move |folder| name.as_ref().map(|name| folder.join(name)))
}

fn footprints(draft: &Draft) -> impl Iterator<Item = (&Node, rde_core::Footprint)> {
    draft.nodes.iter().filter_map(|node| Some((node, node.added.plan.as_ref()?.footprint())))
}

fn matches(pattern: &PathPattern, written: &Path) -> bool {
    let written = parts(written);
    let begins = |path: &[String]| {
        path.len() <= written.len() && path.iter().zip(&written).all(|(part, written)| is_part(part, written))
    };
    match pattern {
        PathPattern::Stdin => false,
        PathPattern::File(path) => {
            let path = parts(path);
            path.len() == written.len() && begins(&path)
        }
        PathPattern::Folder(folder, extensions) => {
            let fits = |extension: &String| written.last().is_some_and(|name| name.ends_with(&format!(".{extension}")));
            begins(&parts(folder)) && (extensions.is_empty() || extensions.iter().any(fits))
        }
        PathPattern::Glob(text) => {
            let steps: Vec<&str> = text.split('/').filter(|step| !matches!(*step, "" | ".")).collect();
            covers(&steps, &written)
        }
    }
}

/// Returns the names of a path's parts.
fn parts(path: &Path) -> Vec<String> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

/// Returns the beginning of a written part `<column>=*`, which stands for every value.
fn any_value(written: &str) -> Option<&str> {
    written.strip_suffix('*').filter(|key| key.ends_with('='))
}

fn is_part(part: &str, written: &str) -> bool {
    part == written || any_value(written).is_some_and(|key| part.starts_with(key))
}

/// Returns whether a glob, step by step, matches a written path.
fn covers(steps: &[&str], written: &[String]) -> bool {
    match (steps.split_first(), written.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), below) => covers(rest, written) || below.is_some_and(|(_, below)| covers(steps, below)),
        (Some((step, rest)), Some((name, below))) => step_covers(step, name) && covers(rest, below),
        _ => false,
    }
}

fn step_covers(step: &str, written: &str) -> bool {
    let Some(key) = any_value(written) else {
        return glob::Pattern::new(step).is_ok_and(|glob| glob.matches(written));
    };
    // Some value fits, unless the text before the first wildcard rules the column out.
    let fixed = &step[..step.find(['*', '?', '[']).unwrap_or(step.len())];
    fixed.starts_with(key) || (fixed.len() < step.len() && key.starts_with(fixed))
}

fn resolve_pattern(base: &Path, pattern: PathPattern) -> PathPattern {
    match pattern {
        PathPattern::File(path) => PathPattern::File(resolve(base, &path)),
        PathPattern::Folder(path, extensions) => PathPattern::Folder(resolve(base, &path), extensions),
        PathPattern::Glob(text) => PathPattern::Glob(resolve_glob(base, &text)),
        PathPattern::Stdin => PathPattern::Stdin,
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
