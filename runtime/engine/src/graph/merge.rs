//! Says how the columns of edges into one input differ, and which columns they have together.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Most differences that one message lists.
const LISTED_MAX: usize = 5;

/// Returns the columns of edges that merge: those of the first, nullable where those of any edge are. `None` where they differ
/// in more, or there is no edge.
pub(super) fn union<'a>(mut schemas: impl Iterator<Item = &'a SchemaRef>) -> Option<SchemaRef> {
    let first = schemas.next()?;
    let mut fields: Vec<Arc<Field>> = first.fields().to_vec();
    for schema in schemas {
        if schema.fields().len() != fields.len() {
            return None;
        }
        for (field, other) in fields.iter_mut().zip(schema.fields()) {
            if field.name() != other.name() || field.data_type() != other.data_type() {
                return None;
            }
            if other.is_nullable() && !field.is_nullable() {
                *field = Arc::new(field.as_ref().clone().with_nullable(true));
            }
        }
    }
    if fields.as_slice() == first.fields().as_ref() {
        return Some(first.clone());
    }
    Some(Arc::new(Schema::new_with_metadata(fields, first.metadata().clone())))
}

/// Returns what differs between the columns of `first` and `second`, or `None` when they can merge. Nullability and metadata
/// do not matter: see [`union`].
pub(super) fn difference(first: (&str, &Schema), second: (&str, &Schema)) -> Option<String> {
    let (first_end, first) = first;
    let (second_end, second) = second;
    let mut found = Vec::new();
    for field in first.fields() {
        match second.field_with_name(field.name()) {
            Err(_) => found.push(format!("`{}` is missing in `{second_end}`", field.name())),
            Ok(other) if other.data_type() != field.data_type() => found.push(format!(
                "`{}` is {} in `{first_end}` and {} in `{second_end}`",
                field.name(),
                type_name(field.data_type()),
                type_name(other.data_type())
            )),
            Ok(_) => {}
        }
    }
    for field in second.fields() {
        if first.field_with_name(field.name()).is_err() {
            found.push(format!("`{}` is missing in `{first_end}`", field.name()));
        }
    }
    let names = |schema: &Schema| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    if found.is_empty() && names(first) != names(second) {
        found.push("the order of the columns differs".to_owned());
    }
    let more = found.len().saturating_sub(LISTED_MAX);
    found.truncate(LISTED_MAX);
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    (!found.is_empty()).then(|| found.join("; "))
}

/// Returns a type as users write it.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp(us)".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => format!("timestamp(us, {zone})"),
        other => other.to_string().to_lowercase(),
    }
}
