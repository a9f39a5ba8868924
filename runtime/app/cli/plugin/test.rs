//! `rde plugin test`: each case through the real host, whole, in 1-row batches, in random cuts, with a new instance per call.

use std::path::{Path, PathBuf};

use rde_core::{Error, Result, Runtime};
use rde_files::RowsFormat;
use rde_wasm::{Cuts, PluginRunner};
use serde_json::Value;

use super::cases::{self, Case};
use super::drive::{self, Answer};
use super::{TestArgs, build, inspect, table};
use crate::cli::output::{Exit, note, result};
use crate::codes;

/// Seed of the random cuts: the same at every run, so that a failure repeats.
const SEED: u64 = 0x5eed;

/// Runs the command.
pub(super) fn run(args: &TestArgs) -> Result<Exit> {
    let (component, folder, _temporary) = component(&args.target)?;
    cases::any(&folder)?;
    let threads = inspect::threads()?;
    let runtime = threads.runtime();
    let ports =
        PluginRunner::inputs(&drive::options(&component, &probe_config(&folder), &runtime)?).map_err(drive::first)?;
    let cases = threads.block_on(cases::read(&folder, &ports, &runtime))?;
    let mut differences = 0;
    for case in &cases {
        let found = check(case, &component, &runtime, args.update)?;
        differences += found.len();
        let mark = if found.is_empty() { "ok" } else { "DIFFERENT" };
        let printed = result(&format!("case {} ... {mark}\n{}", case.name, found.concat()));
        if printed != Exit::Done {
            return Ok(printed);
        }
    }
    threads.stop();
    note(&format!("cases: {}, differences: {differences}\n", cases.len()));
    if differences > 0 {
        note("  help: where the new rows are right, `rde plugin test --update` writes them\n");
    }
    Ok(if differences == 0 { Exit::Done } else { Exit::Different })
}

/// Returns the component, the folder of its cases, and what keeps a component built on the way.
fn component(target: &Path) -> Result<(PathBuf, PathBuf, Option<Temporary>)> {
    if target.is_dir() {
        let temporary = Temporary::new();
        build::build(target, &temporary.0)?;
        return Ok((temporary.0.clone(), target.join("cases"), Some(temporary)));
    }
    if !target.is_file() {
        let message = format!("`{}` is neither a folder nor a component", target.display());
        return Err(Error::config(&codes::PLUGIN_FILE, message)
            .help("give the plugin's folder, or the file that `rde plugin build` made"));
    }
    let beside = target.parent().unwrap_or(Path::new("")).join("cases");
    Ok((target.to_owned(), beside, None))
}

/// A component that is removed when the test is over.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Temporary {
        Temporary(std::env::temp_dir().join(format!("rde-plugin-test-{}.wasm", std::process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's folder for such files.
        drop(std::fs::remove_file(&self.0));
    }
}

/// A plugin may require fields in its configuration before it says which inputs it has: any case's will do.
fn probe_config(folder: &Path) -> Value {
    let folders = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok());
    let mut configs: Vec<PathBuf> =
        folders.map(|entry| entry.path().join("config.json")).filter(|path| path.is_file()).collect();
    configs.sort();
    let text = configs.first().and_then(|path| std::fs::read(path).ok());
    text.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_else(|| Value::Object(serde_json::Map::new()))
}

/// What it is called, how rows are cut, and whether the guest is replaced before every call.
type Way = (&'static str, Box<dyn FnMut() -> usize>, bool);

/// Runs a case in every way; returns a text for each difference.
fn check(case: &Case, component: &Path, runtime: &Runtime, update: bool) -> Result<Vec<String>> {
    let mut runner = drive::open(drive::options(component, &case.config, runtime)?, &case.inputs)?;
    let whole_only = runner.description().cuts == Cuts::Whole;
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut ways: Vec<Way> = vec![("whole", Box::new(|| usize::MAX), false)];
    if !whole_only {
        ways.push(("in 1-row batches", Box::new(|| 1), false));
        ways.push(("in random cuts", Box::new(move || random.usize(1..20)), false));
        ways.push(("with a new instance per call", Box::new(|| 3), true));
    }
    let mut found = Vec::new();
    for (index, (way, mut cuts, renew)) in ways.into_iter().enumerate() {
        let answer = drive::run(&mut runner, &case.inputs, &mut *cuts, renew)
            .map_err(|cause| drive::failed(format!("case `{}`, {way}: the plugin failed", case.name), cause))?;
        if index == 0 {
            check_ports(case, &answer)?;
        }
        if index == 0 && update {
            write(case, &answer)?;
        } else {
            found.extend(compare(case, way, &answer, update)?);
        }
        // The next way begins with a guest that has seen nothing.
        runner.renew();
    }
    drop(runner.close());
    Ok(found)
}

fn write(case: &Case, answer: &Answer) -> Result<()> {
    let single = answer.rows.len() == 1;
    for port in answer.rows.keys() {
        let (path, format) = match case.expected_of(port, single) {
            Some(expected) if expected.rows.is_some() => {
                let message = format!("`--update` does not write `{}`", expected.path.display());
                return Err(Error::config(&codes::PLUGIN_CASES, message)
                    .help("remove it to have the expected rows as `expected.csv`, or write it again yourself"));
            }
            Some(expected) => (expected.path.clone(), expected.format()),
            None => (case.folder.join(default_name(port, single)), RowsFormat::Csv),
        };
        put(&path, &port_text(answer, port, format)?)?;
    }
    let errors = case.folder.join("expected_errors.json");
    if answer.rejected.is_empty() {
        // A file of an earlier expectation would be compared with nothing.
        drop(std::fs::remove_file(&errors));
        return Ok(());
    }
    put(&errors, &errors_text(answer))
}

fn put(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)
        .map_err(|cause| Error::config(&codes::PLUGIN_CASES, format!("cannot write `{}`: {cause}", path.display())))
}

fn compare(case: &Case, way: &str, answer: &Answer, updated: bool) -> Result<Vec<String>> {
    let single = answer.rows.len() == 1;
    let mut found = Vec::new();
    for port in answer.rows.keys() {
        let default = default_name(port, single);
        let (path, format, rows) = match case.expected_of(port, single) {
            Some(expected) => (expected.path.clone(), expected.format(), expected.rows.as_ref()),
            None if updated => (case.folder.join(default), RowsFormat::Csv, None),
            None => {
                found.push(format!("  {way}: there is no {default}; `rde plugin test --update` writes it\n"));
                continue;
            }
        };
        let expected = match rows {
            Some(rows) => table::text(std::slice::from_ref(rows), &rows.schema(), format)?,
            None => text_of(&path)?,
        };
        found.extend(difference(way, &path, &expected, &port_text(answer, port, format)?));
    }
    let errors = case.folder.join("expected_errors.json");
    if errors.is_file() || !answer.rejected.is_empty() {
        found.extend(difference(way, &errors, &text_of(&errors)?, &errors_text(answer)));
    }
    Ok(found)
}

fn default_name(port: &str, single: bool) -> String {
    if single { "expected.csv".to_owned() } else { format!("expected.{port}.csv") }
}

/// Refuses expected rows of an output that the plugin does not have: nobody would look at them.
fn check_ports(case: &Case, answer: &Answer) -> Result<()> {
    let single = answer.rows.len() == 1;
    // Of the only output there may be rows under its name or without one, and not both.
    let both = single && answer.rows.keys().any(|port| case.expected.contains_key(port));
    let known = |port: &String| answer.rows.contains_key(port) || (single && port.is_empty() && !both);
    let Some((_, stray)) = case.expected.iter().find(|(port, _)| !known(port)) else { return Ok(()) };
    let ports: Vec<&str> = answer.rows.keys().map(String::as_str).collect();
    let message = format!("`{}` is of no output of the plugin, or another file is of the same", stray.path.display());
    Err(Error::config(&codes::PLUGIN_CASES, message)
        .help(format!("name it `expected.<output>.csv`; the plugin has the outputs {}", ports.join(", "))))
}

fn port_text(answer: &Answer, port: &str, format: RowsFormat) -> Result<String> {
    table::text(&answer.rows[port], &answer.schemas[port], format)
}

fn errors_text(answer: &Answer) -> String {
    answer.rejected.iter().map(|row| format!("{row}\n")).collect()
}

/// Reads expected lines; a file that is not there has none.
fn text_of(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(expected) => Ok(expected),
        Err(_) if !path.exists() => Ok(String::new()),
        Err(cause) => {
            let message = format!("cannot read `{}`: {cause}", path.display());
            Err(Error::config(&codes::PLUGIN_CASES, message).help("expected rows are text: CSV or JSON lines"))
        }
    }
}

/// Returns the first line that differs, if one does.
fn difference(way: &str, path: &Path, expected: &str, text: &str) -> Option<String> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (mut left, mut right) = (expected.lines(), text.lines());
    for line in 1.. {
        match (left.next(), right.next()) {
            (None, None) => return None,
            (expected, got) if expected == got => {}
            (expected, got) => {
                let expected = expected.unwrap_or("(nothing)");
                let got = got.unwrap_or("(nothing)");
                return Some(format!("  {way}: {name}:{line}\n    expected {expected}\n    got      {got}\n"));
            }
        }
    }
    None
}
