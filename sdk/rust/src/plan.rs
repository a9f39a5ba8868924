//! What a plugin reads, reuses and adds, said once in `bind`.
//!
//! Before the batch path. Invariant: only the columns that were asked for cross, in rising order, as the interface wants them.
//! Not here: the batches themselves (`batch.rs`, `emit.rs`).

use rde_ipc::{BatchReader, DataType, Field, Schema};

use crate::bindings::rde::plugin::types::{Bound, Derivation, Failure, OutputPort, OutputSchema};

/// A column of the input that the plugin reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column(pub(crate) usize);

/// The plan of one input and one output.
#[derive(Debug)]
pub struct Plan {
    input: Schema,
    reads: Vec<usize>,
    all: bool,
    left_out: Vec<usize>,
    added: Vec<Field>,
    full: Option<Schema>,
}

/// The plan as it is needed for each batch.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// The columns that cross.
    pub(crate) sent: BatchReader,
    /// By input column: its place among those.
    pub(crate) places: Vec<Option<usize>>,
    /// The new columns.
    pub(crate) added: Schema,
    /// The reused columns.
    pub(crate) reuse: Vec<u32>,
    /// Whether the output is the input as it came: nothing is added or left out.
    pub(crate) same: bool,
}

impl Plan {
    pub(crate) fn new(input: Schema) -> Self {
        Plan { input, reads: Vec::new(), all: false, left_out: Vec::new(), added: Vec::new(), full: None }
    }

    /// The input's columns, with the types that cross.
    pub fn input(&self) -> &Schema {
        &self.input
    }

    /// Reads a column.
    pub fn read(&mut self, name: &str) -> Result<Column, Failure> {
        let index = self.find(name)?;
        self.reads.push(index);
        Ok(Column(index))
    }

    /// Reads a column that must have this type.
    pub fn read_as(&mut self, name: &str, data_type: &DataType) -> Result<Column, Failure> {
        let column = self.read(name)?;
        let found = &self.input.fields[column.0].data_type;
        if found == data_type {
            return Ok(column);
        }
        let (found, wanted) = (found.name(), data_type.name());
        Err(Failure::reject(format!("column `{name}` has type {found}, {wanted} is needed")))
    }

    /// Reads a column of texts.
    pub fn read_text(&mut self, name: &str) -> Result<Column, Failure> {
        let column = self.read(name)?;
        match &self.input.fields[column.0].data_type {
            DataType::Utf8 | DataType::LargeUtf8 => Ok(column),
            other => Err(Failure::reject(format!("column `{name}` has type {}, utf8 is needed", other.name()))),
        }
    }

    /// Reads every column.
    pub fn read_all(&mut self) {
        self.all = true;
    }

    /// Adds a column. New columns stand behind those of the input, in the order in which they were added, and are written in
    /// that order.
    pub fn add(&mut self, field: Field) {
        self.added.push(field);
    }

    /// Reads a column and puts a new one of the same name, type and nullability in its stead, behind the others.
    pub fn replace(&mut self, name: &str) -> Result<Column, Failure> {
        let column = self.read(name)?;
        let field = self.input.fields[column.0].clone();
        self.leave_out(name)?;
        self.add(field);
        Ok(column)
    }

    /// The same for a column that must hold texts.
    pub fn replace_text(&mut self, name: &str) -> Result<Column, Failure> {
        self.read_text(name)?;
        self.replace(name)
    }

    /// Leaves a column out of the output.
    pub fn leave_out(&mut self, name: &str) -> Result<(), Failure> {
        let index = self.find(name)?;
        self.left_out.push(index);
        Ok(())
    }

    /// Makes the output a table of its own, to be sent with [`crate::Emit::table`].
    pub fn emit_table(&mut self, schema: Schema) {
        self.full = Some(schema);
    }

    fn find(&self, name: &str) -> Result<usize, Failure> {
        self.input.index_of(name).ok_or_else(|| {
            let names: Vec<_> = self.input.fields.iter().take(20).map(|field| field.name.as_str()).collect();
            Failure::reject(format!("the input has no column `{name}`; it has {}", names.join(", ")))
        })
    }

    /// The answer of `bind`, and what each batch needs of it.
    pub(crate) fn end(mut self) -> Result<(Bound, Layout), Failure> {
        if self.all {
            self.reads = (0..self.input.fields.len()).collect();
        }
        self.reads.sort_unstable();
        self.reads.dedup();
        let reuse: Vec<usize> = (0..self.input.fields.len()).filter(|index| !self.left_out.contains(index)).collect();
        self.check_names(&reuse)?;
        let reuse = reuse.into_iter().map(narrow).collect::<Result<Vec<u32>, _>>()?;
        let columns = self.reads.iter().copied().map(narrow).collect::<Result<Vec<u32>, _>>()?;
        let added = Schema::new(self.added);
        let same = self.full.is_none() && added.fields.is_empty() && self.left_out.is_empty();
        let schema = match &self.full {
            Some(schema) => OutputSchema::Full(schema.encode()),
            None if same => OutputSchema::SameAs(0),
            None => OutputSchema::Derived(Derivation {
                input: 0,
                reuse: Some(reuse.clone()).filter(|_| !self.left_out.is_empty()),
                added: if added.fields.is_empty() { Vec::new() } else { added.encode() },
            }),
        };
        let outputs = vec![OutputPort { name: "out".to_owned(), schema_id: SCHEMA_ID, schema }];
        let bound = Bound { outputs, columns: vec![Some(columns).filter(|_| !self.all)], extras: Vec::new() };
        let mut places = vec![None; self.input.fields.len()];
        for (place, index) in self.reads.iter().enumerate() {
            places[*index] = Some(place);
        }
        let sent = Schema::new(self.reads.iter().map(|index| self.input.fields[*index].clone()).collect());
        Ok((bound, Layout { sent: BatchReader::new(sent), places, added: self.full.unwrap_or(added), reuse, same }))
    }

    fn check_names(&self, reuse: &[usize]) -> Result<(), Failure> {
        let mut names: Vec<&str> = reuse.iter().map(|index| self.input.fields[*index].name.as_str()).collect();
        for field in &self.added {
            if names.contains(&field.name.as_str()) {
                return Err(Failure::reject(format!("the output would have two columns `{}`", field.name)));
            }
            names.push(&field.name);
        }
        Ok(())
    }
}

/// The number under which the one output's schema is announced.
pub(crate) const SCHEMA_ID: u32 = 0;

fn narrow(index: usize) -> Result<u32, Failure> {
    u32::try_from(index).map_err(|_| Failure::reject("the input has too many columns"))
}
