//! From the fields of a file sink to an opened one.
//!
//! `parse` checks the fields, `bind` the columns, `open` takes the target. Invariant: a fault that can be found without
//! touching the target is found before `open`.
//! Not here: what the target answers (`target.rs`).

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures::future::BoxFuture;
use rde_core::{
    Balance, Committer, Error, Faults, Fields, Footprint, Incarnation, InputShape, Inputs, Joining, Kind, Lanes,
    OpenContext, Operator, OperatorSpec, OutputShape, Place, Plan, Probe, Reference, Result, STDOUT, Shape, Sink,
    SinkWriter, Traits, Wanted,
};

use super::commit::FileCommitter;
use super::config::{
    CsvSinkConfig, Destination, FILE_SIZE_TARGET, JsonSinkConfig, ParquetSinkConfig, SinkOptions, compression, fault,
};
use super::disk::Disk;
use super::lane::{LaneOptions, LaneWriter};
use super::names::Names;
use super::partition::{can_divide, folder_name};
use super::target::Target;
use crate::codes;
use crate::csv::{DELIMITER_HELP, delimiter_byte};
use crate::format::{CsvFormat, FileFormat};
use crate::stdout::StdoutTarget;

/// Writes Parquet files.
#[derive(Debug)]
pub struct ParquetSink;

/// Writes CSV files.
#[derive(Debug)]
pub struct CsvSink;

/// Writes files of one JSON object per line.
#[derive(Debug)]
pub struct JsonSink;

/// What all three say of their target.
const NOTES: &str = "`path` is a folder, unless it ends in the extension of the format: then it is one file. Files are \
named `<pipeline>-<sink>-<incarnation>-<epoch>-<lane>-<n>.<extension>`. While a run is going on they have hidden names \
that end in `.staged`; they become visible together when the run commits, so a run that fails or is killed before shows \
nothing. `-` writes to standard output as rows arrive, which cannot be taken back. A run without rows writes one file with \
the columns and no rows, unless `partition_by` divides it.";

impl OperatorSpec for ParquetSink {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn kind(&self) -> Kind {
        Kind::Sink
    }

    fn reference(&self) -> Reference {
        Reference::of::<ParquetSinkConfig>("Writes Parquet files.", NOTES, "parquet: { path: out/delays }")
    }

    fn parse(&self, fields: &Fields) -> Result<Box<dyn Plan>, Faults> {
        let config: ParquetSinkConfig = fields.read(&codes::BAD_SINK_FIELD)?;
        let ParquetSinkConfig { path, if_exists, partition_by, file_size_target, compression: codec } = config;
        let options = SinkOptions { path, if_exists, partition_by, file_size_target };
        let format = compression(&codec).map(FileFormat::Parquet).map_err(|fault| vec![fault]);
        FileSinkPlan::parse(fields, self.name(), options, format)
    }
}

impl OperatorSpec for CsvSink {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn kind(&self) -> Kind {
        Kind::Sink
    }

    fn reference(&self) -> Reference {
        Reference::of::<CsvSinkConfig>("Writes CSV files.", NOTES, "csv: { path: out/delays }")
    }

    fn parse(&self, fields: &Fields) -> Result<Box<dyn Plan>, Faults> {
        let config: CsvSinkConfig = fields.read(&codes::BAD_SINK_FIELD)?;
        let CsvSinkConfig { path, if_exists, partition_by, file_size_target, header, delimiter, null_value } = config;
        let options = SinkOptions { path, if_exists, partition_by, file_size_target };
        FileSinkPlan::parse(fields, self.name(), options, csv_format(header, &delimiter, null_value))
    }
}

impl OperatorSpec for JsonSink {
    fn name(&self) -> &'static str {
        "json"
    }

    fn kind(&self) -> Kind {
        Kind::Sink
    }

    fn reference(&self) -> Reference {
        let summary = "Writes files of one JSON object per line.";
        Reference::of::<JsonSinkConfig>(summary, NOTES, "json: { path: out/rejects }")
    }

    fn parse(&self, fields: &Fields) -> Result<Box<dyn Plan>, Faults> {
        let config: JsonSinkConfig = fields.read(&codes::BAD_SINK_FIELD)?;
        let JsonSinkConfig { path, if_exists, partition_by, file_size_target } = config;
        let options = SinkOptions { path, if_exists, partition_by, file_size_target };
        FileSinkPlan::parse(fields, self.name(), options, Ok(FileFormat::Json))
    }
}

/// A file sink before it is opened.
struct FileSinkPlan {
    id: Arc<str>,
    options: SinkOptions,
    destination: Destination,
    format: FileFormat,
    base: PathBuf,
}

/// An opened file sink.
struct FileSink {
    target: Arc<Target>,
    format: FileFormat,
    options: SinkOptions,
    ctx: OpenContext,
}

impl FileSinkPlan {
    fn parse(
        fields: &Fields,
        extension: &str,
        options: SinkOptions,
        format: Result<FileFormat, Vec<Error>>,
    ) -> Result<Box<dyn Plan>, Faults> {
        let mut faults = Vec::new();
        let destination = options.check(extension).map_err(|found| faults.extend(found)).ok();
        let format = format.map_err(|found| faults.extend(found)).ok();
        Faults::check(faults.into_iter().map(|fault| fault.in_operator(&fields.id)).collect())?;
        let destination = destination.expect("a destination is missing only beside its fault");
        let format = format.expect("a format is missing only beside its fault");
        let base = PathBuf::new();
        Ok(Box::new(FileSinkPlan { id: fields.id.clone(), options, destination, format, base }))
    }

    fn partition_faults(&self, schema: &SchemaRef) -> Vec<Error> {
        let bad = |index: usize, message: String, help: String| {
            let place = Place::field(format!("/partition_by/{index}"));
            Error::config(&codes::BAD_PARTITION, message).help(help).at(place)
        };
        let mut faults = Vec::new();
        let by = &self.options.partition_by;
        for (index, name) in by.iter().enumerate() {
            match schema.field_with_name(name) {
                Err(_) => {
                    let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).take(20).collect();
                    let message = format!("`partition_by` names an unknown column `{name}`");
                    faults.push(bad(index, message, format!("the columns are {}", known.join(", "))));
                }
                Ok(field) if !can_divide(field.data_type()) => {
                    let message =
                        format!("column `{name}` of type {} cannot name folders", crate::type_name(field.data_type()));
                    faults.push(bad(index, message, "choose a column of numbers, texts, dates or booleans".to_owned()));
                }
                Ok(_) => {}
            }
        }
        if faults.is_empty() && !by.is_empty() && by.len() == schema.fields().len() {
            let help = "leave one column out of `partition_by`".to_owned();
            faults.push(bad(0, "`partition_by` leaves no column for the files".to_owned(), help));
        }
        faults
    }
}

impl Plan for FileSinkPlan {
    fn discover<'a>(&'a mut self, probe: &'a Probe) -> BoxFuture<'a, Result<(), Faults>> {
        // The target is not looked at: it is asked in `open`, under its lock.
        self.base = probe.base.clone();
        Box::pin(std::future::ready(Ok(())))
    }

    fn inputs(&self) -> Inputs {
        single_input()
    }

    fn bind(&mut self, inputs: &[InputShape]) -> Result<Vec<OutputShape>, Faults> {
        let mut faults = Vec::new();
        for input in inputs {
            if let Shape::Known(schema) = &input.shape {
                faults.extend(bind_faults(&self.format, schema));
                faults.extend(self.partition_faults(schema));
            }
        }
        Faults::check(faults.into_iter().map(|fault| fault.in_operator(&self.id)).collect())?;
        Ok(Vec::new())
    }

    fn traits(&self) -> Traits {
        let lanes = if matches!(self.destination, Destination::Folder(_)) { Lanes::Many } else { Lanes::One };
        Traits { lanes, whole: false, bounded: true, balance: Balance::Checked, joining: Joining::Indifferent }
    }

    fn wanted(&mut self, _by_output: &[Wanted]) -> Vec<Wanted> {
        vec![Wanted::all()]
    }

    fn footprint(&self) -> Footprint {
        let extension = self.format.extension();
        let writes = match &self.destination {
            Destination::Stdout => vec![PathBuf::from(STDOUT)],
            Destination::Folder(folder) => {
                let names = Names::new("pipeline", &self.id, Incarnation(0), extension, None);
                let (folder, example) = (self.base.join(folder), names.visible(rde_core::Epoch(1), 0, 0));
                let by = self.options.partition_by.iter().map(|column| format!("{}=*", folder_name(column)));
                let divided: PathBuf = by.collect();
                // The folder itself counts as written even when it is divided: a reader of it reads all below.
                let mut writes = vec![folder.join(format!("*.{extension}")), folder.join(&example)];
                if !self.options.partition_by.is_empty() {
                    writes.push(folder.join(divided).join(&example));
                }
                writes
            }
            Destination::File(folder, name) => vec![self.base.join(folder).join(name)],
        };
        Footprint { reads: Vec::new(), writes }
    }

    fn open(self: Box<Self>, ctx: OpenContext) -> BoxFuture<'static, Result<Operator>> {
        Box::pin(async move {
            let FileSinkPlan { options, destination, format, .. } = *self;
            let (folder, single) = match destination {
                Destination::Stdout => {
                    return Ok(Operator::Sink(Box::new(StdoutTarget::new(format, &ctx))));
                }
                Destination::Folder(folder) => {
                    let full = below(&ctx.base, &folder);
                    if looks_like_a_file(&folder) && !full.exists() {
                        let extension = format.extension();
                        let hint = format!("`path` becomes a folder: one file ends in `.{extension}`, a folder in `/`");
                        tracing::warn!(operator = &*ctx.operator, path = %full.display(), "{hint}");
                    }
                    (full, None)
                }
                Destination::File(folder, name) => (below(&ctx.base, &folder), Some(name)),
            };
            let names = Names::new(&ctx.pipeline, &ctx.operator, ctx.incarnation, format.extension(), single.clone());
            let target = Target::open(folder, single, names, options.if_exists, Disk::default())
                .map_err(|error| error.in_operator(&ctx.operator))?;
            Ok(Operator::Sink(Box::new(FileSink { target: Arc::new(target), format, options, ctx })))
        })
    }
}

impl Sink for FileSink {
    fn writer(&mut self, lane: usize) -> BoxFuture<'_, Result<Box<dyn SinkWriter>>> {
        let target_size = self.options.file_size_target.unwrap_or(FILE_SIZE_TARGET);
        let options = LaneOptions {
            lane,
            lanes: self.ctx.lanes,
            format: self.format.clone(),
            partition_by: self.options.partition_by.clone(),
            file_bytes_max: if self.target.single.is_some() { u64::MAX } else { target_size.0 },
            memory_max: self.ctx.settings.memory_max.bytes(),
            budget: self.ctx.budget.clone(),
        };
        let writer: Box<dyn SinkWriter> = Box::new(LaneWriter::new(self.target.clone(), options));
        Box::pin(std::future::ready(Ok(writer)))
    }

    fn committer(&mut self) -> BoxFuture<'_, Result<Box<dyn Committer>>> {
        let committer: Box<dyn Committer> = Box::new(FileCommitter::new(self.target.clone()));
        Box::pin(std::future::ready(Ok(committer)))
    }
}

/// Returns the input ports of every sink of this crate.
pub(crate) fn single_input() -> Inputs {
    Inputs::Ports(vec!["in".to_owned()])
}

/// Returns what keeps the columns from being written in a format.
pub(crate) fn bind_faults(format: &FileFormat, schema: &SchemaRef) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for field in schema.fields() {
        if !seen.insert(field.name()) {
            let message = format!("two columns are named `{}`", field.name());
            faults
                .push(Error::config(&codes::DUPLICATE_COLUMN, message).help("rename one of them, for example with AS"));
        }
    }
    for name in format.refuses(schema) {
        let data_type = schema.field_with_name(&name).map(|field| crate::type_name(field.data_type()));
        let message =
            format!("column `{name}` of type {} cannot be written as {}", data_type.unwrap_or_default(), format.name());
        faults.push(
            Error::config(&codes::UNSUPPORTED_TYPE, message)
                .help("leave the column out, turn it into another type with CAST, or choose another format"),
        );
    }
    faults
}

/// Returns whether somebody may have meant a file by a path that is a folder.
fn looks_like_a_file(folder: &Path) -> bool {
    folder.extension().is_some() && !folder.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// Returns a folder as messages should show it: without the `.` of a pipeline file in the working folder.
fn below(base: &Path, folder: &Path) -> PathBuf {
    let full = base.join(folder);
    let shown: PathBuf = full.components().filter(|part| *part != Component::CurDir).collect();
    if shown.as_os_str().is_empty() { PathBuf::from(".") } else { shown }
}

fn csv_format(header: bool, delimiter: &str, null_value: String) -> Result<FileFormat, Vec<Error>> {
    let delimiter = delimiter_byte(delimiter).ok_or_else(|| {
        fault("/delimiter", format!("`{}` is not a delimiter", delimiter.escape_debug()), DELIMITER_HELP)
    });
    let breaks =
        |byte: u8| matches!(byte, b'"' | b'\n' | b'\r') || delimiter.as_ref().is_ok_and(|found| *found == byte);
    let bad_null = null_value.bytes().any(breaks).then(|| {
        // It is written without quotes, which tell a text from a null.
        let message = format!("`{}` cannot be the text of a null", null_value.escape_debug());
        let help = "write a text without the delimiter, quotes and line ends, for example `NA`";
        fault("/null_value", message, help)
    });
    match (delimiter, bad_null) {
        (Ok(delimiter), None) => Ok(FileFormat::Csv(CsvFormat { header, delimiter, null_value })),
        (delimiter, bad_null) => Err(delimiter.err().into_iter().chain(bad_null).collect()),
    }
}
