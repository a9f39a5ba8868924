//! From the fields of a `parquet` source to opened lanes: files, footers, columns, what is wanted.
//!
//! Invariant: every file of an opened source has exactly the columns of its schema with the same types, in any order.
//! Not here: reading rows (`source.rs`).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Compression;
use rde_core::{
    Balance, Columns, Error, Faults, Fields, Footprint, InputShape, Inputs, Joining, Kind, Lanes, OpenContext,
    Operator, OperatorSpec, OutputShape, Place, Plan, Probe, ProbeMode, Reference, Result, Settings, Shape, Source,
    Split, SplitId, Traits, Wanted,
};

use super::bytes::{ParquetBytes, contained};
use super::config::ParquetSourceConfig;
use super::source::{Job, ParquetFile, ParquetLane, Part};
use crate::codes;
use crate::csv::ColumnTypes;
use crate::input::{InputFile, at_path, footprint, keep, path_fault, resolve};
use crate::types::type_name;

/// Names in a folder that belong to the source.
const EXTENSIONS: [&str; 1] = ["parquet"];

/// Reads Parquet files.
#[derive(Debug)]
pub struct ParquetSource;

impl OperatorSpec for ParquetSource {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn kind(&self) -> Kind {
        Kind::Source
    }

    fn reference(&self) -> Reference {
        Reference::of::<ParquetSourceConfig>(
            "Reads Parquet files and folders of them.",
            "Columns that a `partition_by` put into the names of folders are not read back. Only the columns somebody reads are decoded, and row groups whose statistics rule out every wanted row are not \
             read. Files of one source are matched by column name; a missing or additional column, or another type, is an \
             error. Row groups are divided between lanes when `parallelism` is above 1. A file that changes between the \
             start of a run and the end of its rows fails the run. Standard input and FIFOs are first kept in the spill folder, \
             since Parquet is read from its end.",
            "parquet: { path: data/flights.parquet }",
        )
    }

    fn parse(&self, fields: &Fields) -> Result<Box<dyn Plan>, Faults> {
        let config: ParquetSourceConfig = fields.read(&codes::BAD_SOURCE_FIELD)?;
        let mut faults: Vec<Error> = path_fault(&config.path).into_iter().collect();
        let given = match config.schema.as_ref().map(ColumnTypes::resolve).transpose() {
            Ok(schema) => schema.map(Arc::new),
            Err(found) => {
                faults.extend(found);
                None
            }
        };
        Faults::check(faults.into_iter().map(|fault| fault.in_operator(&fields.id)).collect())?;
        Ok(Box::new(ParquetPlan {
            id: fields.id.clone(),
            settings: fields.settings.clone(),
            config,
            base: PathBuf::new(),
            schema: given.clone(),
            given,
            files: Vec::new(),
            wanted: Wanted::all(),
            asked: false,
        }))
    }
}

/// A `parquet` source before it is opened.
struct ParquetPlan {
    id: Arc<str>,
    settings: Arc<Settings>,
    config: ParquetSourceConfig,
    given: Option<SchemaRef>,
    base: PathBuf,
    schema: Option<SchemaRef>,
    files: Vec<ParquetFile>,
    wanted: Wanted,
    /// Whether it is known what is wanted.
    asked: bool,
}

impl ParquetPlan {
    async fn look(&mut self, probe: &Probe) -> Result<()> {
        let inputs = resolve(&probe.base, &self.config.path, &EXTENSIONS, self.config.allow_empty)?;
        if probe.mode == ProbeMode::Look && inputs.iter().any(InputFile::is_piped) {
            return Ok(());
        }
        let mut schema = self.given.clone();
        for mut input in inputs {
            if input.is_piped() {
                let spill = probe.base.join(&self.settings.spill);
                input = keep(input, &probe.runtime, &spill, self.settings.spill_max.0).await?;
            }
            let file = footer(input)?;
            schema = Some(match schema {
                None => file.schema.clone(),
                Some(expected) => {
                    let from = match (&self.given, self.files.first()) {
                        (None, Some(first)) => format!("`{}`", first.input.shown),
                        _ => "`schema`".to_owned(),
                    };
                    check_columns(&expected, &file, &from)?;
                    with_nullability(&expected, &file.schema)
                }
            });
            self.files.push(file);
        }
        self.schema = Some(schema.ok_or_else(|| {
            Error::config(&codes::NO_COLUMNS, "no file matches, so the columns are not known")
                .help("list the columns under `schema`")
                .at(Place::field("/path"))
        })?);
        Ok(())
    }

    fn output(&self, schema: &SchemaRef) -> SchemaRef {
        let Columns::Named(names) = &self.wanted.columns else { return schema.clone() };
        let fields: Vec<_> = schema.fields().iter().filter(|field| names.contains(field.name())).cloned().collect();
        Arc::new(Schema::new(fields))
    }

    /// Refuses the columns somebody reads whose values would change; those that nobody reads do no harm.
    fn type_faults(&self) -> Vec<Error> {
        let Some(schema) = self.schema.as_ref().filter(|_| self.asked) else { return Vec::new() };
        let mut read: BTreeSet<String> =
            self.output(schema).fields().iter().map(|field| field.name().clone()).collect();
        if let Some(predicate) = &self.wanted.predicate {
            predicate.columns(&mut read);
        }
        let bad = schema.fields().iter().filter(|field| read.contains(field.name()) && changes(field.data_type()));
        let fault = |field: &Arc<Field>| {
            let message = format!("column `{}` holds Parquet's INTERVAL, whose months would be lost", field.name());
            Error::config(&codes::PARQUET_TYPE, message)
                .help("name the columns you need in a `sql` transform, without this one, or write the file again with a number or text")
                .at(Place::field("/path"))
                .in_operator(&self.id)
        };
        bad.map(fault).collect()
    }

    fn open_lanes(self, ctx: &OpenContext) -> Vec<Box<dyn Source>> {
        let output = self.schema.as_ref().map_or_else(|| Arc::new(Schema::empty()), |schema| self.output(schema));
        let mut parts = Vec::new();
        for (file, found) in self.files.iter().enumerate() {
            for (row_group, metadata) in found.metadata.metadata().row_groups().iter().enumerate() {
                let id = SplitId(format!("{}#{row_group}", found.input.split_name()));
                let weight = u64::try_from(metadata.compressed_size()).unwrap_or(0);
                parts.push(Part { split: Split { id, weight }, file, row_group });
            }
        }
        let lanes = ctx.lanes.min(parts.len()).max(1);
        let job = Arc::new(Job {
            files: self.files,
            parts,
            output,
            predicate: self.wanted.predicate,
            settings: self.settings,
        });
        (0..lanes).map(|_| Box::new(ParquetLane::new(job.clone())) as Box<dyn Source>).collect()
    }
}

impl Plan for ParquetPlan {
    fn discover<'a>(&'a mut self, probe: &'a Probe) -> BoxFuture<'a, Result<(), Faults>> {
        self.base.clone_from(&probe.base);
        let id = self.id.clone();
        Box::pin(async move { self.look(probe).await.map_err(|error| Faults::from(at_path(error).in_operator(&id))) })
    }

    fn inputs(&self) -> Inputs {
        Inputs::Ports(Vec::new())
    }

    fn bind(&mut self, _inputs: &[InputShape]) -> Result<Vec<OutputShape>, Faults> {
        Faults::check(self.type_faults())?;
        let shape = match &self.schema {
            Some(schema) => Shape::Known(self.output(schema)),
            None => Shape::Unknown(
                "a pipe is read only by `rde run`; list its columns under `schema` to have them checked".to_owned(),
            ),
        };
        Ok(vec![OutputShape { port: "out".to_owned(), shape }])
    }

    fn traits(&self) -> Traits {
        Traits {
            lanes: Lanes::Many,
            whole: false,
            bounded: true,
            balance: Balance::Checked,
            joining: Joining::Indifferent,
        }
    }

    fn wanted(&mut self, by_output: &[Wanted]) -> Vec<Wanted> {
        if let Some(wanted) = by_output.first() {
            self.wanted = wanted.clone();
            self.asked = true;
        }
        Vec::new()
    }

    fn footprint(&self) -> Footprint {
        Footprint { reads: footprint(&self.base, &self.config.path, &EXTENSIONS), writes: Vec::new() }
    }

    fn open(self: Box<Self>, ctx: OpenContext) -> BoxFuture<'static, Result<Operator>> {
        Box::pin(async move { Ok(Operator::Source(self.open_lanes(&ctx))) })
    }
}

fn footer(input: InputFile) -> Result<ParquetFile> {
    let bytes = ParquetBytes::new(input.open()?, input.bytes());
    let metadata = contained(|| ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new())).map_err(|error| {
        Error::config(&codes::PARQUET_FOOTER, format!("cannot read the footer of `{}`", input.shown))
            .help("the file is cut off, damaged or no parquet file; write it again, or leave it out of `path`")
            .caused_by(error)
    })?;
    check_codecs(&input, &metadata)?;
    let fields =
        metadata.schema().fields().iter().map(|field| field.as_ref().clone().with_metadata(Default::default()));
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
    let mut seen = BTreeSet::new();
    if let Some(twice) = schema.fields().iter().find(|field| !seen.insert(field.name().clone())) {
        let message = format!("`{}` has two columns named `{}`", input.shown, twice.name());
        return Err(
            Error::config(&codes::PARQUET_COLUMNS, message).help("write the file again with names of their own")
        );
    }
    Ok(ParquetFile { input: Arc::new(input), schema, metadata })
}

/// Refuses a file with pages that this build cannot decompress: its footer tells, and reading would call it damaged.
fn check_codecs(input: &InputFile, metadata: &ArrowReaderMetadata) -> Result<()> {
    let unknown = |codec: &Compression| {
        !matches!(
            codec,
            Compression::UNCOMPRESSED
                | Compression::SNAPPY
                | Compression::GZIP(_)
                | Compression::ZSTD(_)
                | Compression::LZ4
                | Compression::LZ4_RAW
        )
    };
    let mut columns = metadata.metadata().row_groups().iter().flat_map(|row_group| row_group.columns());
    let Some(column) = columns.find(|column| unknown(&column.compression())) else { return Ok(()) };
    let codec = column.compression().to_string();
    let codec = codec.split('(').next().unwrap_or_default().to_lowercase();
    let (name, shown) = (column.column_path().string(), &input.shown);
    let message = format!("`{shown}`: column `{name}` is compressed with {codec}, which this build cannot read");
    Err(Error::config(&codes::PARQUET_CODEC, message)
        .help("write the file again with zstd, snappy, gzip or none, or leave it out of `path`")
        .at(Place::field("/path")))
}

/// Returns whether values of a type would change when they are read.
fn changes(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(_) => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => changes(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| changes(field.data_type())),
        _ => false,
    }
}

fn check_columns(expected: &SchemaRef, file: &ParquetFile, from: &str) -> Result<()> {
    let mut differences = Vec::new();
    for field in expected.fields() {
        match file.schema.field_with_name(field.name()) {
            Err(_) => differences.push(format!("without `{}`", field.name())),
            Ok(found) if found.data_type() != field.data_type() => differences.push(format!(
                "`{}` is {}, not {}",
                field.name(),
                type_name(found.data_type()),
                type_name(field.data_type())
            )),
            Ok(_) => {}
        }
    }
    let known = |name: &String| expected.field_with_name(name).is_ok();
    let additional = file.schema.fields().iter().map(|field| field.name()).filter(|name| !known(name));
    differences.extend(additional.map(|name| format!("with additional `{name}`")));
    if differences.is_empty() {
        return Ok(());
    }
    differences.truncate(10);
    let message = format!("columns of `{}` differ from {from}: {}", file.input.shown, differences.join("; "));
    Err(Error::config(&codes::PARQUET_COLUMNS, message)
        .help("files of one source have the same columns and types; read this file with a source of its own")
        .at(Place::field("/path")))
}

fn with_nullability(expected: &SchemaRef, found: &SchemaRef) -> SchemaRef {
    let fields = expected.fields().iter().map(|field| {
        let nullable = found.field_with_name(field.name()).is_ok_and(Field::is_nullable);
        field.as_ref().clone().with_nullable(field.is_nullable() || nullable)
    });
    Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
}
