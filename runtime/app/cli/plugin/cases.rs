//! The cases of a plugin: `cases/<name>/{config.json,input.*,expected.*,expected_errors.json}`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use rde_core::{Error, LATER_STAGE, Result, Runtime};
use rde_files::RowsFormat;
use serde_json::Value;

use super::table;
use crate::codes;

/// One case.
pub(super) struct Case {
    /// Name of its folder.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// `config.json`, or an empty object.
    pub config: Value,
    /// Rows of every input port by its name.
    pub inputs: Vec<(String, RecordBatch)>,
    /// Expected rows by the port they are of; the empty name is that of the only one. `expected_errors.json` is not among
    /// them.
    pub expected: BTreeMap<String, Expected>,
}

/// Rows that a case expects.
pub(super) struct Expected {
    /// Their file.
    pub path: PathBuf,
    /// The rows of a Parquet file; text is read when it is compared.
    pub rows: Option<RecordBatch>,
}

impl Expected {
    /// Returns the format in which the rows are compared.
    pub(super) fn format(&self) -> RowsFormat {
        // JSON holds whatever columns a Parquet file may have.
        if extension(&self.path) == "csv" { RowsFormat::Csv } else { RowsFormat::Json }
    }
}

impl Case {
    /// Returns the rows that are expected of an output, which may be the only one.
    pub(super) fn expected_of(&self, port: &str, single: bool) -> Option<&Expected> {
        self.expected.get(port).or_else(|| self.expected.get("").filter(|_| single))
    }
}

/// Reads all cases below `folder`, sorted by name. `ports` are the plugin's inputs.
pub(super) async fn read(folder: &Path, ports: &[String], runtime: &Runtime) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for folder in any(folder)? {
        cases.push(read_one(&folder, ports, runtime).await?);
    }
    Ok(cases)
}

/// Returns the folders of the cases, at least one. Asked first: without a case there is no configuration to ask the plugin with.
pub(super) fn any(folder: &Path) -> Result<Vec<PathBuf>> {
    let found = if folder.is_dir() { entries(folder)? } else { Vec::new() };
    let folders: Vec<PathBuf> = found.into_iter().filter(|path| path.is_dir()).collect();
    if folders.is_empty() {
        let message = format!("there are no cases in `{}`", folder.display());
        return Err(Error::config(&codes::PLUGIN_CASES, message)
            .help("make `cases/<name>/input.csv`, then `rde plugin test --update`"));
    }
    Ok(folders)
}

async fn read_one(folder: &Path, ports: &[String], runtime: &Runtime) -> Result<Case> {
    let config = match std::fs::read(folder.join("config.json")) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|cause| {
            let message = format!("`{}` is no JSON", folder.join("config.json").display());
            Error::config(&codes::PLUGIN_CASES, message).caused_by(cause)
        })?,
        Err(_) => Value::Object(serde_json::Map::new()),
    };
    let mut inputs = Vec::new();
    let files = entries(folder)?;
    for (index, port) in ports.iter().enumerate() {
        let named = |path: &&PathBuf| {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            stem == format!("input.{port}") || (index == 0 && stem == "input")
        };
        let mut named = files.iter().filter(named);
        let Some(path) = named.next() else {
            let message = format!("case `{}` has no rows for input `{port}`", folder.display());
            return Err(
                Error::config(&codes::PLUGIN_CASES, message).help(format!("add `input.csv` or `input.{port}.csv`"))
            );
        };
        if let Some(other) = named.next() {
            return Err(twice(path, other));
        }
        inputs.push((port.clone(), table::read(path, runtime).await?));
    }
    let mut expected = BTreeMap::new();
    for (port, path) in expected_files(&files)? {
        let rows = if extension(&path) == "parquet" { Some(table::read(&path, runtime).await?) } else { None };
        expected.insert(port, Expected { path, rows });
    }
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Case { name, folder: folder.to_owned(), config, inputs, expected })
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

fn twice(one: &Path, other: &Path) -> Error {
    let message = format!("`{}` and `{}` are of the same rows", one.display(), other.display());
    Error::config(&codes::PLUGIN_CASES, message).help("remove one of them")
}

/// Finds the files of expected rows by their ports; the empty name is that of the only one. What would never be looked at is
/// refused.
fn expected_files(files: &[PathBuf]) -> Result<BTreeMap<String, PathBuf>> {
    let mut expected: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in files {
        if path.file_name().is_some_and(|name| name == "steps.jsonl") {
            let message = format!("`{}`: cases in steps are not in this version", path.display());
            return Err(Error::config(&LATER_STAGE, message).help("write a case for each step, or remove the file"));
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let port = match stem.strip_prefix("expected") {
            Some("") => "",
            Some("_errors") if extension(path) == "json" => continue,
            Some("_errors") => {
                let message = format!("`{}`: rejected rows are compared as lines of JSON", path.display());
                return Err(Error::config(&codes::PLUGIN_CASES, message)
                    .help("name it `expected_errors.json`; `rde plugin test --update` writes it"));
            }
            Some(port) if port.starts_with('.') => &port[1..],
            _ => continue,
        };
        if !matches!(extension(path), "csv" | "json" | "parquet") {
            let message = format!("`{}` has no known format", path.display());
            return Err(Error::config(&codes::PLUGIN_CASES, message).help("use .csv, .json or .parquet"));
        }
        if let Some(other) = expected.insert(port.to_owned(), path.clone()) {
            return Err(twice(&other, path));
        }
    }
    Ok(expected)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|cause| {
        Error::config(&codes::PLUGIN_CASES, format!("cannot read `{}`: {cause}", folder.display()))
            .help("the cases of a plugin lie in the folder `cases` beside its Cargo.toml or its component")
    })?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_rows_are_found_by_port_and_rejected_rows_are_json() {
        let find = |names: &[&str]| {
            let files: Vec<PathBuf> = names.iter().map(|name| Path::new("case").join(name)).collect();
            let ports = expected_files(&files).map(|found| found.into_keys().collect::<Vec<String>>());
            ports.map_err(|error| error.code())
        };
        assert_eq!(find(&["input.csv", "expected.csv", "expected_errors.json"]), Ok(vec![String::new()]));
        assert_eq!(find(&["expected.a.csv", "expected.b.json"]), Ok(vec!["a".to_owned(), "b".to_owned()]));
        for name in ["expected_errors.csv", "expected_errors.parquet", "expected_errors"] {
            assert_eq!(find(&["expected.csv", name]), Err("RDE0172"), "{name}");
        }
        assert_eq!(find(&["expected.csv", "expected.json"]), Err("RDE0172"), "one port twice");
        assert_eq!(find(&["expected.txt"]), Err("RDE0172"));
        assert_eq!(find(&["expected.csv", "steps.jsonl"]), Err("RDE0900"));
    }
}
