//! Rows of a case: read with the product's own sources, written as text that a person can compare.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use rde_core::{
    Budget, CancelToken, Error, Fields, Incarnation, Kind, OpenContext, Operator, Output, Probe, ProbeMode, Progress,
    Result, Runtime, Settings, Staged, Wanted,
};
use rde_files::RowsFormat;
use serde_json::json;

use crate::codes;
use crate::registry::OPERATORS;

/// Reads a file of rows by its extension, as one batch.
pub(super) async fn read(path: &Path, runtime: &Runtime) -> Result<RecordBatch> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension {
        "csv" | "parquet" => through_source(path, extension, runtime).await,
        "json" => read_json(path).map_err(|cause| unreadable(path, cause)),
        _ => {
            let message = format!("`{}` has no known format", path.display());
            Err(Error::config(&codes::PLUGIN_CASES, message).help("use .csv, .json (one object a line) or .parquet"))
        }
    }
}

/// Writes rows as the sinks do, as JSON or else as CSV.
pub(super) fn text(batches: &[RecordBatch], schema: &SchemaRef, format: RowsFormat) -> Result<String> {
    rde_files::rows_text(schema, batches, format).map_err(|why| {
        Error::config(&codes::PLUGIN_CASES, format!("the rows cannot be compared as text: {why}"))
            .help("name the expected rows `expected.json`, which holds lists and structs too")
    })
}

fn internal(cause: arrow::error::ArrowError) -> Error {
    Error::config(&codes::PLUGIN_CASES, "the rows cannot be written as text").caused_by(cause)
}

fn unreadable(path: &Path, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::config(&codes::PLUGIN_CASES, format!("cannot read `{}`", path.display())).caused_by(cause)
}

fn read_json(path: &Path) -> Result<RecordBatch, arrow::error::ArrowError> {
    let (schema, _) = arrow_json::reader::infer_json_schema(BufReader::new(File::open(path)?), None)?;
    let schema = Arc::new(schema);
    let reader = arrow_json::ReaderBuilder::new(schema.clone()).build(BufReader::new(File::open(path)?))?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    concat_batches(&schema, &batches)
}

async fn through_source(path: &Path, name: &str, runtime: &Runtime) -> Result<RecordBatch> {
    let spec = OPERATORS.iter().find(|spec| spec.kind() == Kind::Source && spec.name() == name);
    let spec = spec.expect("csv and parquet sources are registered");
    let settings = Arc::new(Settings::default());
    let fields = Fields {
        id: "input".into(),
        value: json!({ "path": path }),
        secrets: Vec::new(),
        parallelism: None,
        settings: settings.clone(),
    };
    let first = |faults: rde_core::Faults| faults.into_vec().swap_remove(0);
    let mut plan = spec.parse(&fields).map_err(first)?;
    let budget = Budget::new(usize::MAX);
    let base = std::path::PathBuf::new();
    let probe = Probe { base: base.clone(), mode: ProbeMode::Run, runtime: runtime.clone(), budget: budget.clone() };
    plan.discover(&probe).await.map_err(first)?;
    plan.bind(&[]).map_err(first)?;
    plan.wanted(&[Wanted::all()]);
    let ctx = OpenContext {
        pipeline: "plugin".into(),
        operator: "input".into(),
        incarnation: Incarnation(0),
        lanes: 1,
        settings,
        base,
        runtime: runtime.clone(),
        started_micros: runtime.clock.now_micros(),
        budget,
        cancel: CancelToken::new(),
        plugin_stats: Arc::default(),
    };
    drain(plan.open(ctx).await?).await
}

async fn drain(operator: Operator) -> Result<RecordBatch> {
    let Operator::Source(mut lanes) = operator else { unreachable!("a source opens as a source") };
    let source = &mut lanes[0];
    let splits = source.splits().await?;
    source.assign(splits.into_iter().map(|split| (split, None)).collect()).await?;
    let mut output = Output::new();
    let (mut schema, mut batches): (SchemaRef, Vec<RecordBatch>) = (Arc::new(Schema::empty()), Vec::new());
    while source.next(&mut output).await? != Progress::Ended {
        take(&mut output, &mut schema, &mut batches)?;
    }
    take(&mut output, &mut schema, &mut batches)?;
    concat_batches(&schema, &batches).map_err(internal)
}

fn take(output: &mut Output, schema: &mut SchemaRef, batches: &mut Vec<RecordBatch>) -> Result<()> {
    for staged in output.take().0 {
        match staged {
            Staged::Schema(_, announced, _) => *schema = announced,
            Staged::Batch(_, batch) => batches.push(batch),
            Staged::Rejected(rejected) => {
                let place = rejected.position.unwrap_or_default();
                return Err(Error::config(
                    &codes::PLUGIN_CASES,
                    format!("a row of the input is bad: {} {place}", rejected.message),
                ));
            }
            Staged::Watermark(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Float64Array, StringArray};

    use super::*;

    #[test]
    fn null_and_an_empty_text_and_nan_do_not_look_alike() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![None, Some("")]));
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![None, Some(f64::NAN)]));
        let batch = RecordBatch::try_from_iter_with_nullable([("t", texts, true), ("f", floats, true)]);
        let batch = batch.expect("columns of one length");
        let shown = |format| {
            text(std::slice::from_ref(&batch), &batch.schema(), format).expect("both formats hold the columns")
        };
        assert_eq!(shown(RowsFormat::Csv), "t,f\n,\n\"\",NaN\n");
        assert_eq!(shown(RowsFormat::Json), "{\"t\":null,\"f\":null}\n{\"t\":\"\",\"f\":\"NaN\"}\n");
    }
}
