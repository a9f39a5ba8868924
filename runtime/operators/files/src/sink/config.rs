//! The fields of the file sinks, and what they come to: a target, a format, a size.
//!
//! The doc comments are the reference. Invariant: what [`SinkOptions::check`] lets through can be opened without looking
//! at the configuration again.
//! Not here: columns (`plan.rs`) and the world (`target.rs`).

use std::path::{Path, PathBuf};

use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use rde_core::{ByteSize, Error, LATER_STAGE, Place};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes;
use crate::input::url_scheme;

/// A file is closed and the next one begun above this size.
pub(crate) const FILE_SIZE_TARGET: ByteSize = ByteSize::mib(512);

/// What happens when files with the sink's extension are in the target when a run starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IfExists {
    /// The run fails and names the remedy.
    #[default]
    Fail,
    /// Files that this pipeline and sink made are removed with the commit that shows the new ones. Any other file with the
    /// extension is an error.
    Replace,
    /// New files are added.
    Append,
}

/// Fields of the `parquet` sink.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetSinkConfig {
    /// Folder to write to; one file if it ends in `.parquet`; `-` for standard output.
    pub path: String,
    /// What happens when the output is there already.
    #[serde(default)]
    pub if_exists: IfExists,
    /// Columns whose values become folders `column=value`, in this order. They are left out of the files.
    #[serde(default)]
    pub partition_by: Vec<String>,
    /// A file is closed and the next one begun above this size. Default `512MiB`.
    pub file_size_target: Option<ByteSize>,
    /// Codec of the pages: `none`, `snappy`, `lz4`, `gzip`, `gzip(1)` to `gzip(9)`, `zstd`, `zstd(1)` to `zstd(22)`.
    #[serde(default = "default_compression")]
    pub compression: String,
}

/// Fields of the `csv` sink.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvSinkConfig {
    /// Folder to write to; one file if it ends in `.csv`; `-` for standard output.
    pub path: String,
    /// What happens when the output is there already.
    #[serde(default)]
    pub if_exists: IfExists,
    /// Columns whose values become folders `column=value`, in this order. They are left out of the files.
    #[serde(default)]
    pub partition_by: Vec<String>,
    /// A file is closed and the next one begun above this size. Default `512MiB`.
    pub file_size_target: Option<ByteSize>,
    /// Whether every file begins with a line of the columns' names.
    #[serde(default = "default_header")]
    pub header: bool,
    /// One ASCII character between fields, or `tab` (also written `\t`).
    #[serde(default = "default_delimiter")]
    pub delimiter: String,
    /// Text of a null. A text value that equals it is quoted.
    #[serde(default)]
    pub null_value: String,
}

/// Fields of the `json` sink: one JSON object per line.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonSinkConfig {
    /// Folder to write to; one file if it ends in `.json`; `-` for standard output.
    pub path: String,
    /// What happens when the output is there already.
    #[serde(default)]
    pub if_exists: IfExists,
    /// Columns whose values become folders `column=value`, in this order. They are left out of the files.
    #[serde(default)]
    pub partition_by: Vec<String>,
    /// A file is closed and the next one begun above this size. Default `512MiB`.
    pub file_size_target: Option<ByteSize>,
}

/// The fields all file sinks have.
#[derive(Clone, Debug)]
pub(crate) struct SinkOptions {
    pub(crate) path: String,
    pub(crate) if_exists: IfExists,
    pub(crate) partition_by: Vec<String>,
    pub(crate) file_size_target: Option<ByteSize>,
}

/// Where a file sink writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Stdout,
    Folder(PathBuf),
    File(PathBuf, String),
}

impl SinkOptions {
    /// Returns where to write, or every fault of these fields.
    pub(crate) fn check(&self, extension: &str) -> Result<Destination, Vec<Error>> {
        let mut faults = Vec::new();
        let place = match self.place(extension) {
            Ok(place) => Some(place),
            Err(fault) => {
                faults.push(fault);
                None
            }
        };
        if self.file_size_target == Some(ByteSize(0)) {
            faults.push(fault("/file_size_target", "`file_size_target` is 0", "write a size, for example `512MiB`"));
        }
        for (index, column) in self.partition_by.iter().enumerate() {
            if self.partition_by[..index].contains(column) {
                let message = format!("`partition_by` names `{column}` twice");
                faults.push(fault(&format!("/partition_by/{index}"), message, "name each column once"));
            }
        }
        if matches!(place, Some(Destination::File(..) | Destination::Stdout)) {
            self.check_one_file(&mut faults);
        }
        match place {
            Some(place) if faults.is_empty() => Ok(place),
            _ => Err(faults),
        }
    }

    fn check_one_file(&self, faults: &mut Vec<Error>) {
        let help = "name a folder in `path`, or leave this field out";
        if !self.partition_by.is_empty() {
            faults.push(fault("/partition_by", "one output cannot be divided by `partition_by`", help));
        }
        if self.file_size_target.is_some() {
            faults.push(fault("/file_size_target", "one output cannot be divided by `file_size_target`", help));
        }
        if self.if_exists == IfExists::Append && self.path != "-" {
            faults.push(fault("/if_exists", "rows cannot be appended to a single file", "name a folder in `path`"));
        }
    }

    fn place(&self, extension: &str) -> Result<Destination, Error> {
        if self.path.is_empty() {
            return Err(fault("/path", "`path` is empty", "name a folder to write to"));
        }
        if let Some(scheme) = url_scheme(&self.path) {
            let message = format!("writing to `{scheme}://` is not in this version");
            let help = "write to a local folder";
            return Err(Error::config(&LATER_STAGE, message).help(help).at(Place::field("/path")));
        }
        if self.path == "-" {
            return Ok(Destination::Stdout);
        }
        let path = Path::new(&self.path);
        let name = path.file_name().and_then(|name| name.to_str());
        match name {
            Some(name) if path.extension().is_some_and(|found| found == extension) && !self.path.ends_with('/') => {
                Ok(Destination::File(path.parent().map(Path::to_owned).unwrap_or_default(), name.to_owned()))
            }
            _ => Ok(Destination::Folder(path.to_owned())),
        }
    }
}

/// Reads the text of `compression`.
pub(crate) fn compression(text: &str) -> Result<Compression, Error> {
    let (codec, level) = match text.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
        Some((codec, level)) => (codec, Some(level)),
        None => (text, None),
    };
    let number = level.map(str::parse::<u8>).transpose().ok();
    let compression = match (codec, number) {
        ("none", Some(None)) => Some(Compression::UNCOMPRESSED),
        ("snappy", Some(None)) => Some(Compression::SNAPPY),
        ("lz4", Some(None)) => Some(Compression::LZ4_RAW),
        ("gzip", Some(level)) => GzipLevel::try_new(u32::from(level.unwrap_or(6))).ok().map(Compression::GZIP),
        ("zstd", Some(level)) => ZstdLevel::try_new(i32::from(level.unwrap_or(1))).ok().map(Compression::ZSTD),
        _ => None,
    };
    compression.ok_or_else(|| {
        let help = "write `none`, `snappy`, `lz4`, `gzip`, `gzip(1)` to `gzip(9)`, `zstd` or `zstd(1)` to `zstd(22)`";
        fault("/compression", format!("`{text}` is not a compression"), help)
    })
}

/// Makes a fault of one field.
pub(crate) fn fault(pointer: &str, message: impl Into<String>, help: &str) -> Error {
    Error::config(&codes::BAD_SINK_FIELD, message).help(help).at(Place::field(pointer))
}

fn default_compression() -> String {
    "zstd(1)".to_owned()
}

fn default_header() -> bool {
    true
}

fn default_delimiter() -> String {
    ",".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(path: &str) -> SinkOptions {
        let path = path.to_owned();
        SinkOptions { path, if_exists: IfExists::Fail, partition_by: vec![], file_size_target: None }
    }

    fn faults(options: &SinkOptions) -> Vec<(String, &'static str)> {
        let faults = options.check("csv").expect_err("the options have faults");
        faults.iter().map(|f| (f.place().expect("faults have places").pointer.clone(), f.code())).collect()
    }

    #[test]
    fn a_path_with_the_extension_is_one_file_and_any_other_a_folder() {
        assert_eq!(options("out/a.csv").check("csv").expect("fine"), Destination::File("out".into(), "a.csv".into()));
        assert_eq!(options("a.csv").check("csv").expect("fine"), Destination::File("".into(), "a.csv".into()));
        assert_eq!(options("out/a.csv/").check("csv").expect("fine"), Destination::Folder("out/a.csv/".into()));
        assert_eq!(options("out/a.json").check("csv").expect("fine"), Destination::Folder("out/a.json".into()));
        assert_eq!(options("-").check("csv").expect("fine"), Destination::Stdout);
    }

    #[test]
    fn all_faults_of_the_fields_are_found_at_once() {
        let mut bad = options("a.csv");
        bad.partition_by = vec!["k".into(), "k".into()];
        bad.file_size_target = Some(ByteSize(0));
        bad.if_exists = IfExists::Append;
        let places: Vec<String> = faults(&bad).into_iter().map(|(place, _)| place).collect();
        assert_eq!(
            places,
            ["/file_size_target", "/partition_by/1", "/partition_by", "/file_size_target", "/if_exists"]
        );
        assert_eq!(faults(&options("s3://bucket/x")), [("/path".to_owned(), "RDE0900")]);
        assert_eq!(faults(&options("")), [("/path".to_owned(), "RDE0607")]);
    }

    #[test]
    fn compressions_are_read_at_their_limits_and_refused_beyond() {
        for good in ["none", "snappy", "lz4", "gzip", "gzip(9)", "zstd", "zstd(1)", "zstd(22)"] {
            compression(good).expect(good);
        }
        for bad in
            ["", "zstd(0)", "zstd(23)", "gzip(10)", "gzip(11)", "zstd(-1)", "zstd()", "zstd(1", "lz4(1)", "brotli"]
        {
            assert!(compression(bad).is_err(), "{bad}");
        }
    }
}
