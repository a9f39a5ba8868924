//! Standard output as a sink: rows are printed as they arrive, and printing cannot be taken back.
//!
//! The sink `stdout`, and every file sink whose `path` is `-`. Invariant: each batch is written and handed on before the
//! next is taken, so the first row is visible at once; a reader that went away ends the run without an error.
//! Not here: how rows become text (`format`).

mod pipe;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::future::BoxFuture;
use rde_core::{
    Balance, Commit, CommitPermit, Committer, Epoch, Faults, Fields, Footprint, InputShape, Inputs, Joining, Kind,
    Lanes, Marker, OpenContext, Operator, OperatorSpec, Output, OutputShape, Plan, Prepared, Probe, Reference, Result,
    STDOUT, SchemaVersion, Shape, Sink, SinkWriter, Traits, Wanted, Written,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes;
use crate::format::{Begin, CsvFormat, Encoder, FileFormat};
use crate::sink::{bind_faults, encode_error, schema_changed, single_input};
use pipe::{Pipe, Shared};

/// Prints rows.
#[derive(Debug)]
pub struct StdoutSink;

/// Fields of the `stdout` sink.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdoutConfig {
    /// How rows are shown.
    #[serde(default)]
    pub format: StdoutFormat,
}

/// How rows are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StdoutFormat {
    /// Aligned columns, with the widths of the first batch.
    #[default]
    Table,
    /// One JSON object per line.
    Json,
    /// CSV with a header line.
    Csv,
}

impl OperatorSpec for StdoutSink {
    fn name(&self) -> &'static str {
        "stdout"
    }

    fn kind(&self) -> Kind {
        Kind::Sink
    }

    fn reference(&self) -> Reference {
        Reference::of::<StdoutConfig>(
            "Prints rows to standard output.",
            "Rows are printed as they arrive. What is printed cannot be taken back: a run that fails later has shown it, and \
             after a crash rows may be printed again. When the reader goes away, the run ends as if it was asked to stop.",
            "stdout: { format: table }",
        )
    }

    fn parse(&self, fields: &Fields) -> Result<Box<dyn Plan>, Faults> {
        let config: StdoutConfig = fields.read(&codes::BAD_SINK_FIELD)?;
        let format = match config.format {
            StdoutFormat::Table => FileFormat::Table,
            StdoutFormat::Json => FileFormat::Json,
            StdoutFormat::Csv => {
                FileFormat::Csv(CsvFormat { header: true, delimiter: b',', null_value: String::new() })
            }
        };
        Ok(Box::new(StdoutPlan { id: fields.id.clone(), format }))
    }
}

struct StdoutPlan {
    id: Arc<str>,
    format: FileFormat,
}

impl Plan for StdoutPlan {
    fn discover<'a>(&'a mut self, _probe: &'a Probe) -> BoxFuture<'a, Result<(), Faults>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn inputs(&self) -> Inputs {
        single_input()
    }

    fn bind(&mut self, inputs: &[InputShape]) -> Result<Vec<OutputShape>, Faults> {
        let mut faults = Vec::new();
        for input in inputs {
            if let Shape::Known(schema) = &input.shape {
                faults.extend(bind_faults(&self.format, schema).into_iter().map(|fault| fault.in_operator(&self.id)));
            }
        }
        Faults::check(faults)?;
        Ok(Vec::new())
    }

    fn traits(&self) -> Traits {
        Traits {
            lanes: Lanes::One,
            whole: false,
            bounded: true,
            balance: Balance::Checked,
            joining: Joining::Indifferent,
        }
    }

    fn wanted(&mut self, _by_output: &[Wanted]) -> Vec<Wanted> {
        vec![Wanted::all()]
    }

    fn footprint(&self) -> Footprint {
        Footprint { reads: Vec::new(), writes: vec![PathBuf::from(STDOUT)] }
    }

    fn open(self: Box<Self>, ctx: OpenContext) -> BoxFuture<'static, Result<Operator>> {
        let target = StdoutTarget::new(self.format, &ctx);
        Box::pin(std::future::ready(Ok(Operator::Sink(Box::new(target)))))
    }
}

/// Standard output, opened as a sink.
pub(crate) struct StdoutTarget {
    format: FileFormat,
    ctx: OpenContext,
}

impl StdoutTarget {
    /// Makes the sink that prints in `format`.
    pub(crate) fn new(format: FileFormat, ctx: &OpenContext) -> StdoutTarget {
        StdoutTarget { format, ctx: ctx.clone() }
    }
}

impl Sink for StdoutTarget {
    fn writer(&mut self, _lane: usize) -> BoxFuture<'_, Result<Box<dyn SinkWriter>>> {
        let pipe = Pipe::open(&self.ctx, Box::new(std::io::stdout()));
        let writer: Box<dyn SinkWriter> = Box::new(StdoutWriter::new(self.format.clone(), pipe));
        Box::pin(std::future::ready(Ok(writer)))
    }

    fn committer(&mut self) -> BoxFuture<'_, Result<Box<dyn Committer>>> {
        let committer: Box<dyn Committer> = Box::new(NothingToCommit);
        Box::pin(std::future::ready(Ok(committer)))
    }
}

/// Prints batches.
struct StdoutWriter {
    format: FileFormat,
    pipe: Pipe,
    schema: Option<SchemaRef>,
    encoder: Option<Box<dyn Encoder<Shared>>>,
    bytes: Shared,
    begun: bool,
    gone: bool,
    pending: bool,
}

impl StdoutWriter {
    fn new(format: FileFormat, pipe: Pipe) -> StdoutWriter {
        let bytes = Shared::default();
        StdoutWriter { format, pipe, schema: None, encoder: None, bytes, begun: false, gone: false, pending: false }
    }

    fn encoder(&mut self, schema: &SchemaRef) -> Result<&mut Box<dyn Encoder<Shared>>> {
        if self.encoder.is_none() {
            let encoder = self
                .format
                .begin(self.bytes.clone(), schema, Begin { continued: self.begun, one_of_many: false })
                .map_err(failed)?;
            self.begun = true;
            self.encoder = Some(encoder);
        }
        Ok(self.encoder.as_mut().expect("the encoder was made above"))
    }

    fn finish(&mut self) -> Result<()> {
        if let Some(encoder) = self.encoder.take() {
            encoder.finish().map_err(failed)?;
        }
        Ok(())
    }

    async fn print(&mut self, out: &mut Output) -> Result<Written> {
        let bytes = self.bytes.take();
        let count = bytes.len() as u64;
        if self.gone || (count > 0 && !self.pipe.write(bytes).await?) {
            self.gone = true;
            return Ok(Written::ReaderGone);
        }
        out.wrote(count);
        Ok(Written::Done)
    }
}

impl SinkWriter for StdoutWriter {
    fn schema<'a>(&'a mut self, schema: &'a SchemaVersion) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if self.schema.as_ref().is_some_and(|known| *known != schema.schema) {
                if self.begun && !self.format.mixes_schemas() {
                    return Err(schema_changed(&self.format));
                }
                self.finish()?;
                self.begun = false;
            }
            self.schema = Some(schema.schema.clone());
            Ok(())
        })
    }

    fn write<'a>(&'a mut self, batch: RecordBatch, out: &'a mut Output) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            if self.gone {
                return Ok(Written::ReaderGone);
            }
            self.pending = true;
            let text = self.format.is_text();
            let encoder = self.encoder(batch.schema_ref())?;
            encoder.write(&batch).map_err(failed)?;
            if text {
                encoder.drain().map_err(failed)?;
            }
            self.print(out).await
        })
    }

    fn prepare<'a>(&'a mut self, _epoch: Epoch, out: &'a mut Output) -> BoxFuture<'a, Result<Vec<Prepared>>> {
        Box::pin(async move {
            if let Some(schema) = self.schema.clone()
                && !self.begun
                && !self.gone
            {
                self.encoder(&schema)?;
            }
            self.finish()?;
            if self.print(out).await? == Written::ReaderGone {
                // Formats that print at the end hear of it only now. Rows without a token are rows that nobody has.
                return Ok(Vec::new());
            }
            let printed = std::mem::take(&mut self.pending);
            Ok(if printed { vec![Prepared(b"printed".to_vec())] } else { Vec::new() })
        })
    }

    fn abandon(&mut self) -> BoxFuture<'_, Result<()>> {
        self.encoder = None;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What is printed is visible already.
struct NothingToCommit;

impl Committer for NothingToCommit {
    fn marker(&mut self) -> BoxFuture<'_, Result<Option<Marker>>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn commit<'a>(&'a mut self, _permit: &'a CommitPermit, _commit: &'a Commit) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn abort<'a>(&'a mut self, _prepared: &'a [Prepared]) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn failed(error: crate::format::EncodeError) -> rde_core::Error {
    encode_error(error, std::path::Path::new("standard output"))
}

#[cfg(test)]
mod tests;
