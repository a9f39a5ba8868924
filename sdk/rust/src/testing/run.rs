//! A plugin with an input, and its answers.
//!
//! Not on the batch path. Invariant: a failed call shows nothing that it emitted. Not here: tables (`table.rs`).

use rde_ipc::Schema;

use super::{Call, NOW, Table, take_calls};
use crate::bindings::rde::plugin::types::{
    BatchInfo, Bound, Failure, OpenArgs, OutputSchema, Port, RowFault, StreamSchema,
};
use crate::{Instance, Transform};

/// A plugin that is bound and open.
pub struct Harness<T: Transform> {
    instance: Instance<T>,
    bound: Bound,
    input: Schema,
    seq: u64,
}

/// The answer to one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What went on.
    pub rows: Table,
    /// Bad rows.
    pub faults: Vec<(usize, String)>,
    /// The calls as they were made.
    pub calls: Vec<Call>,
}

impl<T: Transform> Harness<T> {
    /// Binds and opens the plugin for the columns of a table.
    pub fn new(config: serde_json::Value, input: &Table) -> Result<Self, Failure> {
        let mut instance = Instance::new();
        let schema = StreamSchema { id: 0, ipc: input.schema.encode() };
        let port = Port { name: "in".to_owned(), schema };
        let bound = instance.bind(config.to_string().as_bytes(), &[port])?;
        instance.open(OpenArgs { extras: vec![("pipeline".to_owned(), "test".to_owned())] })?;
        take_calls();
        Ok(Harness { instance, bound, input: input.schema.clone(), seq: 0 })
    }

    /// What the plugin answered to `bind`.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Sends a batch with the columns that [`Harness::new`] was given.
    pub fn run(&mut self, batch: &Table) -> Result<Answer, Failure> {
        assert_eq!(batch.schema, self.input, "the batch has other columns than were announced");
        self.seq += 1;
        let columns = self.columns();
        let message = if columns.is_empty() { Vec::new() } else { batch.encode(&columns)? };
        let rows = u32::try_from(batch.rows()).map_err(|_| Failure::fatal("the batch has too many rows"))?;
        let info = BatchInfo { input: 0, schema_id: 0, rows, seq: self.seq, attempt: 1, time: NOW };
        let answer = self.instance.process(info, &message);
        let calls = take_calls();
        let faults = match answer {
            Ok(()) => Vec::new(),
            Err(Failure::Rows(faults)) => faults,
            Err(failure) => return Err(failure),
        };
        let rows = self.materialise(batch, &calls, &bad_rows(&faults))?;
        let faults = faults
            .iter()
            .flat_map(|group| group.rows.iter().map(|row| (to_usize(*row), group.code.clone())).collect::<Vec<_>>());
        let mut faults: Vec<_> = faults.collect();
        faults.sort();
        Ok(Answer { rows, faults, calls })
    }

    /// The columns that cross.
    fn columns(&self) -> Vec<usize> {
        match self.bound.columns.first() {
            Some(Some(columns)) => columns.iter().map(|column| to_usize(*column)).collect(),
            _ => (0..self.input.fields.len()).collect(),
        }
    }

    /// What the host would make of the calls.
    fn materialise(&self, batch: &Table, calls: &[Call], bad: &[usize]) -> Result<Table, Failure> {
        let mut whole: Option<Table> = None;
        for call in calls {
            let part = match call {
                Call::Log { .. } => continue,
                Call::Forward => batch.pick(&good((0..batch.rows()).collect(), bad)),
                Call::Keep { bitmap } => batch.pick(&good(set_bits(bitmap, batch.rows()), bad)),
                Call::Pick { rows } => batch.pick(&good(rows.iter().map(|row| to_usize(*row)).collect(), bad)),
                Call::Extend { kept, reuse, data } => {
                    let rows = kept.as_ref().map_or((0..batch.rows()).collect(), |bits| set_bits(bits, batch.rows()));
                    self.derive(batch, &rows, reuse, data, bad)?
                }
                Call::Expand { rows, reuse, data } => {
                    let rows: Vec<_> = rows.iter().map(|row| to_usize(*row)).collect();
                    self.derive(batch, &rows, reuse, data, bad)?
                }
                Call::Message { data } => Table::decode(&self.added()?, data)?,
            };
            match &mut whole {
                None => whole = Some(part),
                Some(whole) => whole.columns.iter_mut().zip(part.columns).for_each(|(to, from)| to.extend(from)),
            }
        }
        Ok(whole.unwrap_or_default())
    }

    fn derive(
        &self,
        batch: &Table,
        rows: &[usize],
        reuse: &[u32],
        data: &[u8],
        bad: &[usize],
    ) -> Result<Table, Failure> {
        let mut out = Table::new();
        let taken = batch.pick(rows);
        for column in reuse.iter().map(|column| to_usize(*column)) {
            out = out.with(taken.schema.fields[column].clone(), taken.columns[column].clone());
        }
        if !data.is_empty() {
            let new = Table::decode(&self.added()?, data)?;
            assert_eq!(new.rows(), rows.len(), "the new columns have another number of rows");
            for (field, values) in new.schema.fields.into_iter().zip(new.columns) {
                out = out.with(field, values);
            }
        }
        let places: Vec<_> = (0..rows.len()).filter(|place| !bad.contains(&rows[*place])).collect();
        Ok(out.pick(&places))
    }

    fn added(&self) -> Result<Schema, Failure> {
        match self.bound.outputs.first().map(|output| &output.schema) {
            Some(OutputSchema::Derived(derivation)) => Ok(Schema::parse(&derivation.added)?),
            Some(OutputSchema::Full(schema)) => Ok(Schema::parse(schema)?),
            _ => Err(Failure::fatal("the plan has no new columns")),
        }
    }
}

fn bad_rows(faults: &[RowFault]) -> Vec<usize> {
    faults.iter().flat_map(|group| &group.rows).map(|row| to_usize(*row)).collect()
}

fn good(mut rows: Vec<usize>, bad: &[usize]) -> Vec<usize> {
    rows.retain(|row| !bad.contains(row));
    rows
}

fn set_bits(bitmap: &[u8], rows: usize) -> Vec<usize> {
    (0..rows).filter(|row| bitmap[row / 8] >> (row % 8) & 1 == 1).collect()
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
