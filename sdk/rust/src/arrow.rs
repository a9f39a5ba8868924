//! Arrow batches in the guest, for those who want its kernels: a megabyte more of plugin and a copy of each column.
//!
//! On the batch path: instead of the columns of `batch.rs` and `emit.rs`. Invariant: the same checked codec as in the host.
//! Not here: types that do not cross.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use rde_ipc::{BufferPool, Decoder, Encoder, SchemaRules, check_schema};

use crate::bindings::rde::plugin::types::Failure;
use crate::{Batch, Emit, Schema};

/// Memory that decoded batches are kept in for the next one.
const POOL_BYTES: usize = 8 << 20;

/// Turns batches into arrow's and new columns back. Made once in `open` or at the first batch.
pub struct Codec {
    input: SchemaRef,
    output: SchemaRef,
    decoder: Decoder,
    encoder: Encoder,
    message: Vec<u8>,
}

impl Codec {
    /// A codec for the columns that the plan reads and those that it adds.
    pub fn new(batch: &Batch<'_>, emit: &Emit<'_>) -> Result<Self, Failure> {
        let input = arrow_schema(batch.layout.sent.schema())?;
        let output = arrow_schema(emit.new_fields())?;
        let decoder = Decoder::new(Arc::clone(&input), BufferPool::new(POOL_BYTES))?;
        let encoder = Encoder::new(&output, None)?;
        Ok(Codec { input, output, decoder, encoder, message: Vec::new() })
    }

    /// The columns that were read, as an arrow batch.
    pub fn decode(&mut self, batch: &Batch<'_>) -> Result<RecordBatch, Failure> {
        let decoded = self.decoder.decode(batch.message(), Some(batch.rows()), &mut |_| Ok(()))?;
        Ok(decoded.into_batch(&self.input)?)
    }

    /// New columns for all rows, in the order of the plan.
    pub fn extend(&mut self, emit: &mut Emit<'_>, columns: Vec<ArrayRef>) -> Result<(), Failure> {
        self.encode(columns)?;
        emit.extend_with(&self.message);
        Ok(())
    }

    /// A batch of its own, for a plan that emits a table.
    pub fn emit(&mut self, emit: &mut Emit<'_>, columns: Vec<ArrayRef>) -> Result<(), Failure> {
        self.encode(columns)?;
        emit.message(&self.message);
        Ok(())
    }

    fn encode(&mut self, columns: Vec<ArrayRef>) -> Result<(), Failure> {
        let batch = RecordBatch::try_new(Arc::clone(&self.output), columns);
        let batch = batch.map_err(|error| Failure::fatal(format!("the columns do not match the plan: {error}")))?;
        Ok(self.encoder.encode_into(&batch, &mut self.message)?)
    }
}

fn arrow_schema(schema: &Schema) -> Result<SchemaRef, Failure> {
    let rules = SchemaRules { fields_max: usize::MAX, name_max: usize::MAX, ..SchemaRules::default() };
    Ok(check_schema(&schema.encode(), &rules)?)
}
