//! Turns a plugin's answer to `bind` into what the host works with: schemas of outputs, columns to send.
//!
//! Invariant: every number in a [`BoundPlan`] has been checked against the inputs it was bound with.
//! Not here: calling `bind` (`instance.rs`), using the plan (`emit.rs`, `emitted.rs`, `call.rs`).

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use rde_ipc::{SchemaRules, check_schema};

use crate::abi::{Bound, Derivation, OutputPort, OutputSchema, Port, StreamSchema, Text};
use crate::describe::Description;
use crate::limits::Limits;
use crate::text::shown;

/// Most outputs of a plugin.
const OUTPUTS_MAX: usize = 64;

/// What `bind` settled, with the real types of what the host keeps.
#[derive(Debug, PartialEq)]
pub(crate) struct BoundPlan {
    pub(crate) outputs: Vec<BoundOutput>,
    /// For each input, the columns that are sent; `None`: all.
    pub(crate) columns: Vec<Option<Vec<usize>>>,
}

/// One output.
#[derive(Debug, PartialEq)]
pub(crate) struct BoundOutput {
    pub(crate) name: String,
    /// The plugin's number for the schema.
    pub(crate) id: u32,
    /// With the real types of columns that the host keeps.
    pub(crate) schema: SchemaRef,
    pub(crate) origin: Origin,
}

/// Where the columns of an output come from.
#[derive(Debug, PartialEq)]
pub(crate) enum Origin {
    /// An input, unchanged.
    SameAs(usize),
    /// Columns of an input, then new ones.
    Derived {
        input: usize,
        /// Columns of the input, in output order.
        reuse: Vec<usize>,
        /// The new columns.
        added: SchemaRef,
    },
    /// The guest.
    Full,
}

/// Encodes the inputs as `bind` sees them: all columns, with the types that cross.
pub(crate) fn ports(names: &[String], schemas: &[SchemaRef]) -> Result<Vec<Port>, rde_ipc::IpcError> {
    let port = |(index, (name, schema)): (usize, (&String, &SchemaRef))| {
        let ipc = rde_ipc::encode_schema(schema)?;
        let id = u32::try_from(index).unwrap_or(u32::MAX);
        Ok(Port { name: name.clone(), schema: StreamSchema { id, ipc } })
    };
    names.iter().zip(schemas).enumerate().map(port).collect()
}

/// Checks an answer; the error completes "`bind` …".
pub(crate) fn settle(
    bound: Bound,
    description: &Description,
    inputs: &[SchemaRef],
    limits: &Limits,
) -> Result<BoundPlan, String> {
    let columns = settle_columns(bound.columns, inputs)?;
    let names = bound.outputs.len();
    if names == 0 || names > OUTPUTS_MAX {
        return Err(format!("answered {names} outputs; a transform has 1 to {OUTPUTS_MAX}"));
    }
    let outputs: Vec<BoundOutput> =
        bound.outputs.into_iter().map(|port| settle_output(port, inputs, limits)).collect::<Result<_, _>>()?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = outputs.iter().find(|output| !seen.insert(output.name.as_str())) {
        return Err(format!("answered the output `{}` twice", twice.name));
    }
    if let Some(described) = &description.outputs {
        let same = described.iter().map(|port| &port.name).eq(outputs.iter().map(|output| &output.name));
        if !same {
            return Err("answered other outputs than `describe` names".to_owned());
        }
    }
    Ok(BoundPlan { outputs, columns })
}

impl BoundPlan {
    /// Returns how many columns of an input are sent.
    pub(crate) fn sends_columns(&self, input: usize, schema: &Schema) -> bool {
        match &self.columns[input] {
            Some(columns) => !columns.is_empty(),
            None => !schema.fields().is_empty(),
        }
    }
}

fn settle_columns(columns: Vec<Option<Vec<u32>>>, inputs: &[SchemaRef]) -> Result<Vec<Option<Vec<usize>>>, String> {
    if columns.len() != inputs.len() {
        return Err(format!("answered columns of {} inputs, and there are {}", columns.len(), inputs.len()));
    }
    let settle = |(columns, schema): (Option<Vec<u32>>, &SchemaRef)| {
        let columns = columns.map(|list| numbers_of(&list, schema, "columns")).transpose()?;
        if columns.as_ref().is_some_and(|list| !list.is_sorted_by(|left, right| left < right)) {
            return Err("answered `columns` that do not rise".to_owned());
        }
        let chosen = |index: &usize| columns.as_ref().is_none_or(|list| list.contains(index));
        let union = |index: &usize| matches!(schema.field(*index).data_type(), DataType::Union(..));
        match (0..schema.fields().len()).filter(union).find(chosen) {
            Some(index) => {
                let name = shown(schema.field(index).name(), 128);
                Err(format!("chose the column `{name}`, whose type union cannot be read by a plugin"))
            }
            None => Ok(columns),
        }
    };
    columns.into_iter().zip(inputs).map(settle).collect()
}

/// Returns numbers of columns, each of which can be named once. Nothing is made of a list that is longer.
fn numbers_of(list: &[u32], schema: &Schema, what: &str) -> Result<Vec<usize>, String> {
    let count = schema.fields().len();
    if list.len() > count {
        return Err(format!("answered `{what}` with {} columns, and the input has {count}", list.len()));
    }
    let numbers: Vec<usize> = list.iter().map(|number| *number as usize).collect();
    match numbers.iter().find(|number| **number >= count) {
        Some(number) => Err(format!("answered `{what}` with column {number}, and the input has {count}")),
        None => Ok(numbers),
    }
}

fn settle_output(port: OutputPort, inputs: &[SchemaRef], limits: &Limits) -> Result<BoundOutput, String> {
    let name = port_name(&port.name, limits)?;
    let input = |number: u32| {
        let count = inputs.len();
        usize::try_from(number)
            .ok()
            .filter(|number| *number < count)
            .ok_or_else(|| format!("made the output `{name}` of input {number}, and there are {count}"))
    };
    let (schema, origin) = match port.schema {
        OutputSchema::SameAs(number) => {
            let number = input(number)?;
            (inputs[number].clone(), Origin::SameAs(number))
        }
        OutputSchema::Derived(derivation) => {
            let number = input(derivation.input)?;
            derive(derivation, number, &inputs[number], &name, limits)?
        }
        OutputSchema::Full(ipc) => (guest_schema(&ipc, inputs, &name, limits)?, Origin::Full),
    };
    Ok(BoundOutput { name, id: port.schema_id, schema, origin })
}

fn derive(
    derivation: Derivation,
    input: usize,
    schema: &SchemaRef,
    name: &str,
    limits: &Limits,
) -> Result<(SchemaRef, Origin), String> {
    let reuse: Vec<usize> = match derivation.reuse {
        Some(list) => numbers_of(&list, schema, "reuse")?,
        None => (0..schema.fields().len()).collect(),
    };
    let added = if derivation.added.is_empty() {
        Arc::new(Schema::empty())
    } else {
        guest_schema(&derivation.added, std::slice::from_ref(schema), name, limits)?
    };
    if added.fields().len() > limits.fields_added_max {
        let max = limits.fields_added_max;
        return Err(format!("adds more than {max} columns to the output `{name}` (`fields_added_max`)"));
    }
    let fields: Vec<FieldRef> =
        reuse.iter().map(|index| schema.fields()[*index].clone()).chain(added.fields().iter().cloned()).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = fields.iter().find(|field| !seen.insert(field.name().as_str())) {
        let column = shown(twice.name(), 128);
        return Err(format!("gives the output `{name}` two columns of the name `{column}`"));
    }
    Ok((Arc::new(Schema::new(fields)), Origin::Derived { input, reuse, added }))
}

fn guest_schema(ipc: &[u8], inputs: &[SchemaRef], name: &str, limits: &Limits) -> Result<SchemaRef, String> {
    let widest = inputs.iter().map(|schema| schema.fields().len()).max().unwrap_or(0);
    let mut extensions = BTreeSet::new();
    for field in inputs.iter().flat_map(|schema| schema.fields()) {
        extension_names(field, &mut extensions);
    }
    let rules = SchemaRules {
        depth_max: limits.depth_max,
        fields_max: widest.saturating_add(limits.fields_added_max),
        name_max: limits.column_name_max,
        extensions: extensions.into_iter().collect(),
    };
    check_schema(ipc, &rules).map_err(|error| {
        let why = shown(&error.to_string(), limits.text_max);
        format!("gives the output `{name}` a schema that cannot be used: {why}")
    })
}

fn extension_names(field: &Field, names: &mut BTreeSet<String>) {
    if let Some(name) = field.metadata().get("ARROW:extension:name") {
        names.insert(name.clone());
    }
    match field.data_type() {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::FixedSizeList(child, _)
        | DataType::Map(child, _) => extension_names(child, names),
        DataType::Struct(children) => children.iter().for_each(|child| extension_names(child, names)),
        _ => {}
    }
}

fn port_name(name: &Text, limits: &Limits) -> Result<String, String> {
    let max = limits.name_max;
    if name.len > max {
        return Err(format!("answered an output name longer than {max} bytes (`name_max`)"));
    }
    let letters = name.text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if name.text.is_empty() || !letters || name.text == "errors" {
        return Err(format!("answered the output name `{}`, which cannot be one", shown(&name.text, 128)));
    }
    Ok(name.text.clone())
}
