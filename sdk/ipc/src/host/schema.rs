//! Arrow schemas to and from `Schema` messages: what a guest is shown, and what of a guest's schema is accepted.
//!
//! Seen at `bind`. Invariant: a checked schema holds only types that cross, unique names, and of metadata only
//! `ARROW:extension:*`. Not here: the bytes (`crate::schema`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes as arrow_types;
use arrow::datatypes::{DataType as ArrowType, Field as ArrowField, Fields, Schema as ArrowSchema, SchemaRef};

use crate::error::IpcError;
use crate::schema::{SchemaLimits, TYPE_DEPTH_MAX};
use crate::types::{DataType, Field, IntervalUnit, Schema, TimeUnit};

const EXTENSION_NAME: &str = "ARROW:extension:name";
const EXTENSION_METADATA: &str = "ARROW:extension:metadata";
/// The longest time zone.
const ZONE_MAX: usize = 64;

/// Bytes of a schema message: so many, and so many for each field it may have.
const BYTES_FREE: usize = 1 << 20;
const BYTES_PER_FIELD: usize = 4 << 10;
/// Entries of metadata for each field it may have.
const PAIRS_PER_FIELD: usize = 16;

/// What a guest's schema may be.
#[derive(Debug, Clone)]
pub struct SchemaRules {
    /// Levels of nesting.
    pub depth_max: usize,
    /// Fields, children included.
    pub fields_max: usize,
    /// Bytes of a column name.
    pub name_max: usize,
    /// Names of extension types that came with the input. Arrow's own (`arrow.*`) pass always.
    pub extensions: Vec<String>,
}

impl Default for SchemaRules {
    fn default() -> Self {
        SchemaRules { depth_max: TYPE_DEPTH_MAX, fields_max: 4096, name_max: 1024, extensions: Vec::new() }
    }
}

/// The schema as a guest sees it: dictionaries and run ends as their values, views in the 32-bit form, small decimals as
/// decimal128, and columns that cannot cross (unions) as null columns.
pub fn crossing_schema(schema: &ArrowSchema) -> ArrowSchema {
    let fields: Fields = schema.fields().iter().map(|field| Arc::new(crossing_column(field))).collect();
    ArrowSchema::new(fields)
}

/// The crossing schema as one IPC message.
pub fn encode_schema(schema: &ArrowSchema) -> Result<Vec<u8>, IpcError> {
    let fields = crossing_schema(schema).fields().iter().map(|field| to_slim(field)).collect::<Result<_, _>>()?;
    Ok(Schema::new(fields).encode())
}

/// Parses and checks a schema message of a guest.
pub fn check_schema(bytes: &[u8], rules: &SchemaRules) -> Result<SchemaRef, IpcError> {
    if bytes.len() > BYTES_FREE.saturating_add(rules.fields_max.saturating_mul(BYTES_PER_FIELD)) {
        return Err(IpcError::Metadata { fault: "it is longer than its fields can need" });
    }
    let limits = SchemaLimits {
        depth_max: rules.depth_max,
        fields_max: rules.fields_max,
        name_max: rules.name_max,
        pairs_max: rules.fields_max.saturating_mul(PAIRS_PER_FIELD),
    };
    let schema = Schema::parse_within(bytes, limits)?;
    let fields = checked_fields(&schema.fields, rules)?;
    Ok(Arc::new(ArrowSchema::new(fields)))
}

pub(super) fn crossing_column(field: &ArrowField) -> ArrowField {
    let mut crossing = match crossing_type(field.data_type()) {
        Some(data_type) => field.clone().with_data_type(data_type),
        None => field.clone().with_data_type(ArrowType::Null),
    };
    if crossing.data_type().is_null() {
        crossing.set_nullable(true);
    }
    crossing
}

fn crossing_type(data_type: &ArrowType) -> Option<ArrowType> {
    let child = |field: &Arc<ArrowField>| -> Option<Arc<ArrowField>> {
        let data_type = crossing_type(field.data_type())?;
        Some(Arc::new(field.as_ref().clone().with_data_type(data_type)))
    };
    Some(match data_type {
        ArrowType::Dictionary(_, values) => crossing_type(values)?,
        ArrowType::RunEndEncoded(_, values) => crossing_type(values.data_type())?,
        ArrowType::Utf8View => ArrowType::Utf8,
        ArrowType::BinaryView => ArrowType::Binary,
        ArrowType::Decimal32(precision, scale) | ArrowType::Decimal64(precision, scale) => {
            ArrowType::Decimal128(*precision, *scale)
        }
        ArrowType::List(field) | ArrowType::ListView(field) => ArrowType::List(child(field)?),
        ArrowType::LargeList(field) | ArrowType::LargeListView(field) => ArrowType::LargeList(child(field)?),
        ArrowType::FixedSizeList(_, size) if *size <= 0 => return None,
        ArrowType::FixedSizeBinary(size) if *size <= 0 => return None,
        ArrowType::FixedSizeList(field, size) => ArrowType::FixedSizeList(child(field)?, *size),
        ArrowType::Struct(fields) => ArrowType::Struct(fields.iter().map(child).collect::<Option<_>>()?),
        ArrowType::Map(field, sorted) => ArrowType::Map(child(field)?, *sorted),
        ArrowType::Union(..) => return None,
        other => other.clone(),
    })
}

fn to_slim(field: &ArrowField) -> Result<Field, IpcError> {
    let mut metadata: Vec<_> = field.metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    metadata.sort();
    Ok(Field { name: field.name().clone(), data_type: slim_type(field)?, nullable: field.is_nullable(), metadata })
}

fn slim_type(field: &ArrowField) -> Result<DataType, IpcError> {
    let child = |field: &ArrowField| to_slim(field).map(Box::new);
    Ok(match field.data_type() {
        ArrowType::Null => DataType::Null,
        ArrowType::Boolean => DataType::Bool,
        ArrowType::Int8 => DataType::Int8,
        ArrowType::Int16 => DataType::Int16,
        ArrowType::Int32 => DataType::Int32,
        ArrowType::Int64 => DataType::Int64,
        ArrowType::UInt8 => DataType::UInt8,
        ArrowType::UInt16 => DataType::UInt16,
        ArrowType::UInt32 => DataType::UInt32,
        ArrowType::UInt64 => DataType::UInt64,
        ArrowType::Float16 => DataType::Float16,
        ArrowType::Float32 => DataType::Float32,
        ArrowType::Float64 => DataType::Float64,
        ArrowType::Decimal128(precision, scale) => DataType::Decimal128(*precision, *scale),
        ArrowType::Decimal256(precision, scale) => DataType::Decimal256(*precision, *scale),
        ArrowType::Date32 => DataType::Date32,
        ArrowType::Date64 => DataType::Date64,
        ArrowType::Time32(unit) => DataType::Time32(slim_unit(*unit)),
        ArrowType::Time64(unit) => DataType::Time64(slim_unit(*unit)),
        ArrowType::Timestamp(unit, zone) => DataType::Timestamp(slim_unit(*unit), zone.as_ref().map(|z| z.to_string())),
        ArrowType::Duration(unit) => DataType::Duration(slim_unit(*unit)),
        ArrowType::Interval(arrow_types::IntervalUnit::YearMonth) => DataType::Interval(IntervalUnit::YearMonth),
        ArrowType::Interval(arrow_types::IntervalUnit::DayTime) => DataType::Interval(IntervalUnit::DayTime),
        ArrowType::Interval(arrow_types::IntervalUnit::MonthDayNano) => DataType::Interval(IntervalUnit::MonthDayNano),
        ArrowType::Utf8 => DataType::Utf8,
        ArrowType::LargeUtf8 => DataType::LargeUtf8,
        ArrowType::Binary => DataType::Binary,
        ArrowType::LargeBinary => DataType::LargeBinary,
        ArrowType::FixedSizeBinary(width) => DataType::FixedSizeBinary(*width),
        ArrowType::List(field) => DataType::List(child(field)?),
        ArrowType::LargeList(field) => DataType::LargeList(child(field)?),
        ArrowType::FixedSizeList(field, size) => DataType::FixedSizeList(child(field)?, *size),
        ArrowType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| to_slim(field)).collect::<Result<_, _>>()?)
        }
        ArrowType::Map(field, sorted) => DataType::Map(child(field)?, *sorted),
        _ => return Err(IpcError::Type { field: field.name().clone(), name: "that has no crossing form" }),
    })
}

fn slim_unit(unit: arrow_types::TimeUnit) -> TimeUnit {
    match unit {
        arrow_types::TimeUnit::Second => TimeUnit::Second,
        arrow_types::TimeUnit::Millisecond => TimeUnit::Millisecond,
        arrow_types::TimeUnit::Microsecond => TimeUnit::Microsecond,
        arrow_types::TimeUnit::Nanosecond => TimeUnit::Nanosecond,
    }
}

fn arrow_unit(unit: TimeUnit) -> arrow_types::TimeUnit {
    match unit {
        TimeUnit::Second => arrow_types::TimeUnit::Second,
        TimeUnit::Millisecond => arrow_types::TimeUnit::Millisecond,
        TimeUnit::Microsecond => arrow_types::TimeUnit::Microsecond,
        TimeUnit::Nanosecond => arrow_types::TimeUnit::Nanosecond,
    }
}

fn checked_fields(fields: &[Field], rules: &SchemaRules) -> Result<Fields, IpcError> {
    let mut names = HashSet::with_capacity(fields.len());
    if let Some(twice) = fields.iter().find(|field| !names.insert(field.name.as_str())) {
        return Err(IpcError::DuplicateName { name: twice.name.clone() });
    }
    fields.iter().map(|field| checked_field(field, rules).map(Arc::new)).collect()
}

fn checked_field(field: &Field, rules: &SchemaRules) -> Result<ArrowField, IpcError> {
    let fault = |fault| IpcError::Field { field: field.name.clone(), fault };
    if field.data_type == DataType::Null && !field.nullable {
        return Err(fault("a field of type null must be nullable"));
    }
    let data_type = match &field.data_type {
        DataType::Map(entries, sorted) => checked_map(entries, *sorted, rules)?,
        DataType::Timestamp(unit, zone) => {
            let printable = |zone: &String| zone.len() <= ZONE_MAX && zone.bytes().all(|byte| byte.is_ascii_graphic());
            if !zone.as_ref().is_none_or(printable) {
                return Err(fault("its time zone is no name or offset of at most 64 bytes"));
            }
            ArrowType::Timestamp(arrow_unit(*unit), zone.as_deref().map(Arc::from))
        }
        other => arrow_type(other, rules)?,
    };
    let metadata = extension(&field.metadata, rules);
    Ok(ArrowField::new(&field.name, data_type, field.nullable).with_metadata(metadata))
}

/// Keys and entries are never null, whatever the flags in the message say.
fn checked_map(entries: &Field, sorted: bool, rules: &SchemaRules) -> Result<ArrowType, IpcError> {
    let DataType::Struct(fields) = &entries.data_type else {
        return Err(IpcError::Field { field: entries.name.clone(), fault: "the entries of a map are a struct" });
    };
    let mut fields: Vec<Field> = fields.clone();
    if let Some(key) = fields.first_mut() {
        key.nullable = false;
    }
    let fields = checked_fields(&fields, rules)?;
    let entries = ArrowField::new(&entries.name, ArrowType::Struct(fields), false);
    Ok(ArrowType::Map(Arc::new(entries), sorted))
}

fn arrow_type(data_type: &DataType, rules: &SchemaRules) -> Result<ArrowType, IpcError> {
    let child = |field: &Field| checked_field(field, rules).map(Arc::new);
    Ok(match data_type {
        DataType::Null | DataType::Map(..) | DataType::Timestamp(..) => ArrowType::Null,
        DataType::Bool => ArrowType::Boolean,
        DataType::Int8 => ArrowType::Int8,
        DataType::Int16 => ArrowType::Int16,
        DataType::Int32 => ArrowType::Int32,
        DataType::Int64 => ArrowType::Int64,
        DataType::UInt8 => ArrowType::UInt8,
        DataType::UInt16 => ArrowType::UInt16,
        DataType::UInt32 => ArrowType::UInt32,
        DataType::UInt64 => ArrowType::UInt64,
        DataType::Float16 => ArrowType::Float16,
        DataType::Float32 => ArrowType::Float32,
        DataType::Float64 => ArrowType::Float64,
        DataType::Decimal128(precision, scale) => ArrowType::Decimal128(*precision, *scale),
        DataType::Decimal256(precision, scale) => ArrowType::Decimal256(*precision, *scale),
        DataType::Date32 => ArrowType::Date32,
        DataType::Date64 => ArrowType::Date64,
        DataType::Time32(unit) => ArrowType::Time32(arrow_unit(*unit)),
        DataType::Time64(unit) => ArrowType::Time64(arrow_unit(*unit)),
        DataType::Duration(unit) => ArrowType::Duration(arrow_unit(*unit)),
        DataType::Interval(IntervalUnit::YearMonth) => ArrowType::Interval(arrow_types::IntervalUnit::YearMonth),
        DataType::Interval(IntervalUnit::DayTime) => ArrowType::Interval(arrow_types::IntervalUnit::DayTime),
        DataType::Interval(IntervalUnit::MonthDayNano) => ArrowType::Interval(arrow_types::IntervalUnit::MonthDayNano),
        DataType::Utf8 => ArrowType::Utf8,
        DataType::LargeUtf8 => ArrowType::LargeUtf8,
        DataType::Binary => ArrowType::Binary,
        DataType::LargeBinary => ArrowType::LargeBinary,
        DataType::FixedSizeBinary(width) => ArrowType::FixedSizeBinary(*width),
        DataType::List(field) => ArrowType::List(child(field)?),
        DataType::LargeList(field) => ArrowType::LargeList(child(field)?),
        DataType::FixedSizeList(field, size) => ArrowType::FixedSizeList(child(field)?, *size),
        DataType::Struct(fields) => ArrowType::Struct(checked_fields(fields, rules)?),
    })
}

fn extension(metadata: &[(String, String)], rules: &SchemaRules) -> HashMap<String, String> {
    let value = |name: &str| metadata.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let known = |name: &String| name.starts_with("arrow.") || rules.extensions.contains(name);
    let Some(name) = value(EXTENSION_NAME).filter(known) else { return HashMap::new() };
    let mut kept = HashMap::from([(EXTENSION_NAME.to_owned(), name)]);
    if let Some(detail) = value(EXTENSION_METADATA) {
        kept.insert(EXTENSION_METADATA.to_owned(), detail);
    }
    kept
}
