//! From the fields of a `csv` source to opened lanes: files, columns, what is wanted.
//!
//! `discover` samples regular files and reads every header; pipes are read only when a run follows, and their sample is
//! kept. Invariant: every file of an opened source has exactly the columns of its schema, in any order.
//! Not here: reading rows (`source.rs`).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures::future::BoxFuture;
use rde_core::{
    Balance, Columns, Error, Faults, Fields, Footprint, InputShape, Inputs, Joining, Kind, Lanes, OpenContext,
    Operator, OperatorSpec, OutputShape, Place, Plan, Probe, ProbeMode, Reference, Result, Settings, Shape, Source,
    Traits, TypeNote, Wanted,
};

use super::config::{CsvSourceConfig, DELIMITER_HELP, SAMPLE_FILES, SampleRows, delimiter_byte};
use super::infer::{Fallback, FileSample, InferOptions, InferredColumn, InferredSchema, Sampler, merge};
use super::source::{CsvLane, Job};
use super::split;
use crate::codes;
use crate::input::{FileReader, InputFile, PipeReader, at_path, footprint, path_fault, resolve};
use crate::types::type_name;

/// Names in a folder that belong to the source.
const EXTENSIONS: [&str; 3] = ["csv", "csv.gz", "csv.zst"];

/// Bytes read at a time when sampling.
const SAMPLE_CHUNK: usize = 128 * 1024;

/// What columns are compared with when the user listed them.
const GIVEN: &str = "`schema`";

/// Columns that an error names at most.
const NAMED_MAX: usize = 10;

/// Reads CSV files.
#[derive(Debug)]
pub struct CsvSource;

/// What the reference says beside the fields.
const NOTES: &str = concat!(
    "Types are inferred from the first 20,480 rows of each of the first 16 files: int64, float64, boolean, date, \
timestamp(us), timestamp(us, UTC) when a zone is written, else utf8. Files of one source are matched by column \
name; a missing or additional column is an error. A value that does not fit its column later is a failed row, \
never a silent null; columns that nobody reads are not checked. A file that changes between the start of a run and \
the end of its rows fails the run. Standard input and FIFOs are read only by `rde run`; `validate` and `graph` \
know their columns only from `schema`. Large plain files are divided between lanes when `parallelism` is above 1. An empty \
line is passed over, except in a file of one column, where it is an empty value.\n\nWhat is inferred where DuckDB infers \
something else:\n\n",
    include_str!("INFERENCE.md")
);

impl OperatorSpec for CsvSource {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn kind(&self) -> Kind {
        Kind::Source
    }

    fn reference(&self) -> Reference {
        Reference::of::<CsvSourceConfig>(
            "Reads CSV files, folders of them, a FIFO or standard input.",
            NOTES,
            "csv: { path: data/flights.csv, null_values: [\"NA\", \"\"] }",
        )
    }

    fn parse(&self, fields: &Fields) -> Result<Box<dyn Plan>, Faults> {
        let config: CsvSourceConfig = fields.read(&codes::BAD_SOURCE_FIELD)?;
        let mut faults: Vec<Error> = path_fault(&config.path).into_iter().collect();
        let delimiter = delimiter_byte(&config.delimiter).unwrap_or_else(|| {
            let message = format!("`{}` cannot be the delimiter", config.delimiter.escape_debug());
            let fault = Error::config(&super::codes::BAD_DELIMITER, message).at(Place::field("/delimiter"));
            faults.push(fault.help(DELIMITER_HELP));
            b','
        });
        let given = match config.schema.as_ref().map(super::ColumnTypes::resolve).transpose() {
            Ok(schema) => schema.map(Arc::new),
            Err(found) => {
                faults.extend(found);
                None
            }
        };
        Faults::check(faults.into_iter().map(|fault| fault.in_operator(&fields.id)).collect())?;
        Ok(Box::new(CsvPlan {
            id: fields.id.clone(),
            settings: fields.settings.clone(),
            config,
            delimiter,
            given,
            base: PathBuf::new(),
            found: Found::Unknown("the input was not looked at".to_owned()),
            notes: Vec::new(),
            wanted: Wanted::all(),
        }))
    }
}

/// A `csv` source before it is opened.
struct CsvPlan {
    id: Arc<str>,
    settings: Arc<Settings>,
    config: CsvSourceConfig,
    delimiter: u8,
    given: Option<SchemaRef>,
    base: PathBuf,
    found: Found,
    notes: Vec<TypeNote>,
    wanted: Wanted,
}

/// What `discover` found.
enum Found {
    /// The columns are not known, and why.
    Unknown(String),
    /// Regular files, maybe none.
    Files(SchemaRef, Vec<CsvFile>),
    /// An input that is read once; with its columns' names and the reader where a sample was taken.
    Pipe(SchemaRef, Arc<InputFile>, Option<(Vec<String>, PipeReader)>),
}

/// A regular file and the names in its header.
#[derive(Clone, Debug)]
pub(super) struct CsvFile {
    pub(super) file: Arc<InputFile>,
    pub(super) names: Arc<[String]>,
}

impl CsvPlan {
    fn sampler(&self, rows_max: Option<u64>) -> Result<Sampler> {
        Sampler::new(InferOptions {
            delimiter: self.delimiter,
            header: self.config.header,
            null_values: self.config.null_values.clone(),
            rows_max,
            row_bytes_max: self.settings.row_bytes_max.bytes(),
        })
    }

    /// Returns how many rows of the file at `index` are sampled; `None` for all.
    fn sample_rows(&self, index: usize) -> Option<u64> {
        match self.config.sample_rows {
            _ if self.given.is_some() => Some(0),
            SampleRows::All => None,
            SampleRows::Rows(rows) if index < SAMPLE_FILES => Some(rows as u64),
            SampleRows::Rows(_) => Some(0),
        }
    }

    async fn look(&mut self, probe: &Probe) -> Result<()> {
        let files = resolve(&probe.base, &self.config.path, &EXTENSIONS, self.config.allow_empty)?;
        match files.as_slice() {
            [only] if only.is_piped() => {
                let file = Arc::new(only.clone());
                self.found = self.look_at_pipe(file, probe).await?;
            }
            files => self.found = self.look_at_files(files)?,
        }
        Ok(())
    }

    fn look_at_files(&mut self, files: &[InputFile]) -> Result<Found> {
        let mut samples = Vec::with_capacity(files.len());
        let mut found: Vec<CsvFile> = Vec::with_capacity(files.len());
        for (index, file) in files.iter().enumerate() {
            let file = Arc::new(file.clone());
            let sample = self.sample_file(&file, index)?;
            if let [only] = sample.names() {
                warn_of_delimiter(&self.id, &file, only, self.delimiter);
            }
            let names = match found.last() {
                Some(last) if *last.names == *sample.names() => last.names.clone(),
                _ => sample.names().into(),
            };
            found.push(CsvFile { file, names });
            samples.push(sample);
        }
        if let Some(given) = &self.given {
            found.iter_mut().try_for_each(|file| self.match_given(given, file))?;
            return Ok(Found::Files(given.clone(), found));
        }
        if let Some(empty) = found.iter().find(|file| file.names.is_empty()) {
            return Err(no_header(&empty.file));
        }
        if found.is_empty() {
            return Err(Error::config(&codes::NO_COLUMNS, "no file matches, so the columns are not known")
                .help("list the columns under `schema`")
                .at(Place::field("/path")));
        }
        let schema = merge(&samples).map_err(|difference| {
            let file = &found[difference.file.min(found.len() - 1)].file;
            differs(file, &format!("`{}`", found[0].file.shown), &difference.missing, &difference.additional)
        })?;
        self.notes = type_notes(&schema, |file| &found[file].file);
        Ok(Found::Files(schema.schema(), found))
    }

    fn sample_file(&self, file: &Arc<InputFile>, index: usize) -> Result<FileSample> {
        let mut sampler = self.sampler(self.sample_rows(index))?;
        let mut reader = FileReader::open_whole(file.clone())?;
        let mut buffer = vec![0; SAMPLE_CHUNK];
        while sampler.wants_more() {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            sampler.feed(&buffer[..count]).map_err(|error| in_file(file, error))?;
        }
        sampler.finish().map_err(|error| in_file(file, error))
    }

    fn match_given(&self, given: &SchemaRef, file: &mut CsvFile) -> Result<()> {
        let names: Arc<[String]> = given.fields().iter().map(|field| field.name().clone()).collect();
        if file.names.is_empty() || (!self.config.header && file.names.len() == names.len()) {
            file.names = names;
            return Ok(());
        }
        match_names(&names, &file.names, &file.file)
    }

    async fn look_at_pipe(&mut self, file: Arc<InputFile>, probe: &Probe) -> Result<Found> {
        if let Some(given) = &self.given {
            return Ok(Found::Pipe(given.clone(), file, None));
        }
        if probe.mode == ProbeMode::Look {
            let what = if file.shown == "-" { "standard input" } else { "a pipe" };
            let reason =
                format!("{what} is read only by `rde run`; list its columns under `schema` to have them checked");
            return Ok(Found::Unknown(reason));
        }
        let mut sampler = self.sampler(self.sample_rows(0))?;
        let mut reader = PipeReader::start(&file, &probe.runtime);
        let mut kept = Vec::new();
        while sampler.wants_more() {
            let Some(bytes) = reader.wait().await? else { break };
            sampler.feed(&bytes).map_err(|error| in_file(&file, error))?;
            kept.push(bytes);
        }
        kept.into_iter().rev().for_each(|bytes| reader.put_back(bytes));
        let sample = sampler.finish().map_err(|error| in_file(&file, error))?;
        let names = sample.names().to_vec();
        if names.is_empty() {
            return Err(no_header(&file));
        }
        let schema = merge(&[sample])
            .map_err(|difference| differs(&file, "the header", &difference.missing, &difference.additional))?;
        self.notes = type_notes(&schema, |_| &file);
        Ok(Found::Pipe(schema.schema(), file, Some((names, reader))))
    }

    fn job(&self, schema: &SchemaRef, output: SchemaRef) -> Job {
        let mut read: BTreeSet<String> = BTreeSet::new();
        if let Some(predicate) = &self.wanted.predicate {
            predicate.columns(&mut read);
        }
        let output_names: BTreeSet<&str> = output.fields().iter().map(|field| field.name().as_str()).collect();
        let columns = schema.fields().iter().filter_map(|field| {
            let shown = output_names.contains(field.name().as_str());
            (shown || read.contains(field.name())).then(|| (field.clone(), shown))
        });
        Job {
            all: schema.clone(),
            columns: columns.collect(),
            output: output.clone(),
            predicate: self.wanted.predicate.clone(),
            delimiter: self.delimiter,
            header: self.config.header,
            null_values: self.config.null_values.clone(),
            settings: self.settings.clone(),
            files: Vec::new(),
            parts: Vec::new(),
        }
    }

    fn output(&self, schema: &SchemaRef) -> SchemaRef {
        let Columns::Named(names) = &self.wanted.columns else { return schema.clone() };
        let fields: Vec<_> = schema.fields().iter().filter(|field| names.contains(field.name())).cloned().collect();
        Arc::new(arrow::datatypes::Schema::new(fields))
    }

    fn open_lanes(mut self, ctx: &OpenContext) -> Result<Vec<Box<dyn Source>>> {
        match std::mem::replace(&mut self.found, Found::Unknown(String::new())) {
            Found::Unknown(reason) => {
                Err(Error::internal(&codes::NO_COLUMNS, format!("the columns are not known: {reason}")))
            }
            Found::Files(schema, files) => {
                let mut job = self.job(&schema, self.output(&schema));
                job.parts = split::divide(&files, self.delimiter, ctx.lanes)?;
                job.files = files;
                let lanes = ctx.lanes.min(job.parts.len()).max(1);
                let job = Arc::new(job);
                Ok((0..lanes).map(|_| Box::new(CsvLane::new(job.clone())) as Box<dyn Source>).collect())
            }
            Found::Pipe(schema, file, sampled) => {
                let mut job = self.job(&schema, self.output(&schema));
                job.parts = vec![split::whole(&file, 0)];
                let (names, reader) = match sampled {
                    Some((names, reader)) => (Some(names), reader),
                    None => (None, PipeReader::start(&file, &ctx.runtime)),
                };
                Ok(vec![Box::new(CsvLane::piped(Arc::new(job), file, names, reader))])
            }
        }
    }
}

impl Plan for CsvPlan {
    fn discover<'a>(&'a mut self, probe: &'a Probe) -> BoxFuture<'a, Result<(), Faults>> {
        Box::pin(async move {
            self.base.clone_from(&probe.base);
            let id = self.id.clone();
            self.look(probe).await.map_err(|error| Faults::from(at_path(error).in_operator(&id)))
        })
    }

    fn inputs(&self) -> Inputs {
        Inputs::Ports(Vec::new())
    }

    fn bind(&mut self, _inputs: &[InputShape]) -> Result<Vec<OutputShape>, Faults> {
        let shape = match (&self.found, &self.given) {
            (Found::Files(schema, _) | Found::Pipe(schema, ..), _) | (Found::Unknown(_), Some(schema)) => {
                Shape::Known(self.output(schema))
            }
            (Found::Unknown(reason), None) => Shape::Unknown(reason.clone()),
        };
        Ok(vec![OutputShape { port: "out".to_owned(), shape }])
    }

    fn type_notes(&self) -> &[TypeNote] {
        &self.notes
    }

    fn traits(&self) -> Traits {
        let lanes = if matches!(self.found, Found::Pipe(..)) { Lanes::One } else { Lanes::Many };
        Traits { lanes, whole: false, bounded: true, balance: Balance::Checked, joining: Joining::Indifferent }
    }

    fn wanted(&mut self, by_output: &[Wanted]) -> Vec<Wanted> {
        if let Some(wanted) = by_output.first() {
            self.wanted = wanted.clone();
        }
        Vec::new()
    }

    fn footprint(&self) -> Footprint {
        Footprint { reads: footprint(&self.base, &self.config.path, &EXTENSIONS), writes: Vec::new() }
    }

    fn open(self: Box<Self>, ctx: OpenContext) -> BoxFuture<'static, Result<Operator>> {
        Box::pin(async move {
            let lanes = self.open_lanes(&ctx).map_err(|error| error.in_operator(&ctx.operator))?;
            Ok(Operator::Source(lanes))
        })
    }
}

/// Checks that a file has the columns it should have, in any order.
pub(super) fn match_names(expected: &[String], names: &[String], file: &InputFile) -> Result<()> {
    let expected_set: BTreeSet<&String> = expected.iter().collect();
    let found_set: BTreeSet<&String> = names.iter().collect();
    let missing: Vec<String> = expected.iter().filter(|name| !found_set.contains(name)).cloned().collect();
    let additional: Vec<String> = names.iter().filter(|name| !expected_set.contains(name)).cloned().collect();
    if missing.is_empty() && additional.is_empty() {
        return Ok(());
    }
    Err(differs(file, GIVEN, &missing, &additional))
}

fn differs(file: &InputFile, from: &str, missing: &[String], additional: &[String]) -> Error {
    let list = |names: &[String], what: &str| {
        let shown: Vec<String> = names.iter().take(NAMED_MAX).map(|name| format!("`{name}`")).collect();
        let more = names.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!names.is_empty()).then(|| format!("{what} {}{more}", shown.join(", ")))
    };
    let parts: Vec<String> =
        [list(missing, "without"), list(additional, "with additional")].into_iter().flatten().collect();
    let message = format!("columns of `{}` differ from {from}: {}", file.shown, parts.join("; "));
    let help = if from == GIVEN {
        "`schema` names every column of the files and its type; leave it out to have them inferred, and see them with `rde graph`"
    } else {
        "files of one source have the same columns, in any order; read this file with a source of its own, or fix it"
    };
    Error::config(&codes::CSV_COLUMNS, message).help(help).at(Place::field("/path"))
}

/// Says of each column that is utf8 for a few values why it is.
fn type_notes<'a>(schema: &InferredSchema, file: impl Fn(usize) -> &'a Arc<InputFile>) -> Vec<TypeNote> {
    let note = |column: &InferredColumn| {
        let Fallback { narrower, file: index, odd } = column.fallback.as_ref()?;
        let text = format!(
            "column `{}` is utf8 and not {} because of `{}` at {}:{}: list it in `null_values`, or give the column its type in \
             `schema`, which names every column",
            column.name,
            type_name(narrower),
            odd.value,
            file(*index).shown,
            odd.line
        );
        Some(TypeNote { column: column.name.clone(), narrower: narrower.clone(), text })
    };
    schema.columns.iter().filter_map(note).collect()
}

/// A single column whose name holds what others separate columns with is most likely several columns.
fn warn_of_delimiter(id: &str, file: &InputFile, name: &str, delimiter: u8) {
    let others = [',', ';', '\t', '|'].into_iter().filter(|other| *other != char::from(delimiter));
    if let Some(other) = others.into_iter().find(|other| name.contains(*other)) {
        let delimiter = other.escape_default().to_string();
        tracing::warn!(operator = id, file = %file.shown, column = name, "one column; is `delimiter: \"{delimiter}\"` meant?");
    }
}

fn no_header(file: &InputFile) -> Error {
    Error::config(&codes::CSV_NO_HEADER, format!("`{}` is empty: it has no header line", file.shown))
        .help("remove the file, or list the columns under `schema`")
        .at(Place::field("/path"))
}

/// Names the file that an error of sampling is about.
pub(super) fn in_file(file: &InputFile, error: Error) -> Error {
    error.about(format_args!("`{}`", file.shown))
}
