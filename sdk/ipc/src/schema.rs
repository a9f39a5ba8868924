//! `Schema` messages: parse (checked) and encode.
//!
//! Seen at `bind`, never per batch. Invariant: what is parsed is bounded by the length of the message, also when its tables
//! point at each other. Not here: arrow's own schema (`host`).

use crate::build::{Builder, Value};
use crate::envelope::{self, Kind};
use crate::error::IpcError;
use crate::flat::{Table, Vector};
use crate::types::{DataType, Field, IntervalUnit, Schema, TimeUnit};

/// The most levels of nesting unless the caller says otherwise (`depth_max`).
pub const TYPE_DEPTH_MAX: usize = 32;

/// Bounds of a schema that is parsed.
#[derive(Debug, Clone, Copy)]
pub struct SchemaLimits {
    /// Levels of nesting; a column without children has one.
    pub depth_max: usize,
    /// Fields, children included.
    pub fields_max: usize,
    /// Bytes of a name.
    pub name_max: usize,
    /// Entries of metadata, those of all fields together.
    pub pairs_max: usize,
}

impl Default for SchemaLimits {
    fn default() -> Self {
        SchemaLimits { depth_max: TYPE_DEPTH_MAX, fields_max: usize::MAX, name_max: usize::MAX, pairs_max: usize::MAX }
    }
}

impl Schema {
    /// Parses one encapsulated `Schema` message.
    pub fn parse(message: &[u8]) -> Result<Schema, IpcError> {
        Self::parse_within(message, SchemaLimits::default())
    }

    /// Parses one encapsulated `Schema` message within bounds.
    pub fn parse_within(message: &[u8], limits: SchemaLimits) -> Result<Schema, IpcError> {
        let envelope = envelope::open(message, Kind::Schema)?;
        if envelope.header.i16(0, 0)? != 0 {
            return Err(IpcError::BigEndian);
        }
        // Tables may be shared, so that a short message could unfold without end. An honest one has at least 16 bytes for
        // each field, and its texts only once.
        let mut parser = Parser {
            limits,
            fields_left: limits.fields_max.min(message.len() / 16),
            pairs_left: limits.pairs_max,
            text_left: message.len(),
        };
        let fields = envelope.header.vector(1, 4)?.unwrap_or(Vector::EMPTY);
        let fields = parser.fields(fields, 1)?;
        Ok(Schema { fields })
    }

    /// Encodes one encapsulated `Schema` message.
    pub fn encode(&self) -> Vec<u8> {
        let mut builder = Builder::default();
        builder.restart();
        let message = envelope::message_table(&mut builder, Kind::Schema, 0);
        let schema = builder.table([(1, Value::Offset)]);
        builder.point(message, schema.at);
        write_fields(&mut builder, schema.fields[0], &self.fields);
        let mut out = Vec::new();
        envelope::seal(&mut builder, &mut out);
        out
    }
}

struct Parser {
    limits: SchemaLimits,
    fields_left: usize,
    pairs_left: usize,
    text_left: usize,
}

impl Parser {
    fn fields(&mut self, vector: Vector<'_>, depth: usize) -> Result<Vec<Field>, IpcError> {
        if vector.len() > 0 && depth > self.limits.depth_max {
            return Err(IpcError::Depth { limit: self.limits.depth_max });
        }
        if vector.len() > self.fields_left {
            return Err(IpcError::Fields { limit: self.limits.fields_max });
        }
        self.fields_left -= vector.len();
        (0..vector.len()).map(|index| self.field(vector.table(index)?, depth)).collect()
    }

    fn field(&mut self, table: Table<'_>, depth: usize) -> Result<Field, IpcError> {
        let name = self.text(table.string(0)?.unwrap_or(""))?;
        if name.len() > self.limits.name_max {
            return Err(IpcError::Name { limit: self.limits.name_max });
        }
        if table.has(4)? {
            return Err(IpcError::Type { field: name, name: "dictionary" });
        }
        let children = self.fields(table.vector(5, 4)?.unwrap_or(Vector::EMPTY), depth + 1)?;
        let kind = table.u8(2, 0)?;
        let detail = table.table(3)?.ok_or(IpcError::Metadata { fault: "a field has no type" })?;
        let data_type = self.data_type(&name, kind, detail, children)?;
        let metadata = self.pairs(table.vector(6, 4)?.unwrap_or(Vector::EMPTY))?;
        Ok(Field { name, data_type, nullable: table.bool(1)?, metadata })
    }

    fn pairs(&mut self, vector: Vector<'_>) -> Result<Vec<(String, String)>, IpcError> {
        let left = self.pairs_left.checked_sub(vector.len());
        self.pairs_left = left.ok_or(IpcError::Metadata { fault: "it has too many entries of field metadata" })?;
        // Each pair takes its entry of the vector and counts against the text, so that it cannot be repeated for nothing.
        (0..vector.len())
            .map(|index| {
                let pair = vector.table(index)?;
                self.take_text(4)?;
                let key = self.text(pair.string(0)?.unwrap_or(""))?;
                Ok((key, self.text(pair.string(1)?.unwrap_or(""))?))
            })
            .collect()
    }

    fn text(&mut self, text: &str) -> Result<String, IpcError> {
        self.take_text(text.len())?;
        Ok(text.to_owned())
    }

    fn take_text(&mut self, len: usize) -> Result<(), IpcError> {
        let left = self.text_left.checked_sub(len);
        self.text_left = left.ok_or(IpcError::Metadata { fault: "its texts are repeated" })?;
        Ok(())
    }

    fn data_type(&mut self, name: &str, kind: u8, t: Table<'_>, children: Vec<Field>) -> Result<DataType, IpcError> {
        let fault = |fault| IpcError::Field { field: name.to_owned(), fault };
        let foreign = |kind| IpcError::Type { field: name.to_owned(), name: kind };
        if !matches!(kind, 12 | 13 | 14 | 16 | 17 | 21 | 22 | 25 | 26) && !children.is_empty() {
            return Err(fault("its type has no children, yet some are given"));
        }
        Ok(match kind {
            1 => DataType::Null,
            2 => int_type(&t)?.ok_or_else(|| fault("an integer of this width is not known"))?,
            3 => match t.i16(0, 0)? {
                0 => DataType::Float16,
                1 => DataType::Float32,
                2 => DataType::Float64,
                _ => return Err(fault("a float of this precision is not known")),
            },
            4 => DataType::Binary,
            5 => DataType::Utf8,
            6 => DataType::Bool,
            7 => decimal_type(&t)?.ok_or_else(|| fault("a decimal of this width, precision or scale is not known"))?,
            8 => match t.i16(0, 1)? {
                0 => DataType::Date32,
                1 => DataType::Date64,
                _ => return Err(fault("a date of this unit is not known")),
            },
            9 => time_type(&t)?.ok_or_else(|| fault("a time of this unit and width is not known"))?,
            10 => {
                let unit = unit(t.i16(0, 0)?).ok_or_else(|| fault("a timestamp of this unit is not known"))?;
                let zone = t.string(1)?.filter(|zone| !zone.is_empty());
                DataType::Timestamp(unit, zone.map(|zone| self.text(zone)).transpose()?)
            }
            11 => match t.i16(0, 0)? {
                0 => DataType::Interval(IntervalUnit::YearMonth),
                1 => DataType::Interval(IntervalUnit::DayTime),
                2 => DataType::Interval(IntervalUnit::MonthDayNano),
                _ => return Err(fault("an interval of this unit is not known")),
            },
            12 => DataType::List(single(children).ok_or_else(|| fault("a list has one child"))?),
            13 => DataType::Struct(children),
            14 => return Err(foreign("union")),
            15 => match t.i32(0, 0)? {
                width if width > 0 => DataType::FixedSizeBinary(width),
                _ => return Err(fault("its fixed size is not above 0")),
            },
            16 => {
                let child = single(children).ok_or_else(|| fault("a list has one child"))?;
                match t.i32(0, 0)? {
                    size if size > 0 => DataType::FixedSizeList(child, size),
                    _ => return Err(fault("its fixed size is not above 0")),
                }
            }
            17 => map_type(children, t.bool(0)?).ok_or_else(|| fault("a map has one struct of key and value"))?,
            18 => DataType::Duration(unit(t.i16(0, 1)?).ok_or_else(|| fault("a duration of this unit is not known"))?),
            19 => DataType::LargeBinary,
            20 => DataType::LargeUtf8,
            21 => DataType::LargeList(single(children).ok_or_else(|| fault("a list has one child"))?),
            22 => return Err(foreign("run-end-encoded")),
            23 => return Err(foreign("binary view")),
            24 => return Err(foreign("utf8 view")),
            25 | 26 => return Err(foreign("list view")),
            _ => return Err(foreign("unknown")),
        })
    }
}

fn single(mut children: Vec<Field>) -> Option<Box<Field>> {
    if children.len() == 1 { children.pop().map(Box::new) } else { None }
}

fn map_type(children: Vec<Field>, sorted: bool) -> Option<DataType> {
    let entries = single(children)?;
    matches!(&entries.data_type, DataType::Struct(fields) if fields.len() == 2).then(|| DataType::Map(entries, sorted))
}

fn int_type(t: &Table<'_>) -> Result<Option<DataType>, IpcError> {
    Ok(match (t.i32(0, 0)?, t.bool(1)?) {
        (8, true) => Some(DataType::Int8),
        (16, true) => Some(DataType::Int16),
        (32, true) => Some(DataType::Int32),
        (64, true) => Some(DataType::Int64),
        (8, false) => Some(DataType::UInt8),
        (16, false) => Some(DataType::UInt16),
        (32, false) => Some(DataType::UInt32),
        (64, false) => Some(DataType::UInt64),
        _ => None,
    })
}

fn decimal_type(t: &Table<'_>) -> Result<Option<DataType>, IpcError> {
    let (precision, scale, width) = (t.i32(0, 0)?, t.i32(1, 0)?, t.i32(2, 128)?);
    let (Ok(precision), Ok(scale)) = (u8::try_from(precision), i8::try_from(scale)) else { return Ok(None) };
    let most = if width == 128 { 38 } else { 76 };
    let fits = (1..=most).contains(&precision) && scale.unsigned_abs() <= precision;
    Ok(match width {
        128 if fits => Some(DataType::Decimal128(precision, scale)),
        256 if fits => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    })
}

fn time_type(t: &Table<'_>) -> Result<Option<DataType>, IpcError> {
    Ok(match (t.i32(1, 32)?, unit(t.i16(0, 1)?)) {
        (32, Some(unit @ (TimeUnit::Second | TimeUnit::Millisecond))) => Some(DataType::Time32(unit)),
        (64, Some(unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond))) => Some(DataType::Time64(unit)),
        _ => None,
    })
}

fn unit(number: i16) -> Option<TimeUnit> {
    Some(match number {
        0 => TimeUnit::Second,
        1 => TimeUnit::Millisecond,
        2 => TimeUnit::Microsecond,
        3 => TimeUnit::Nanosecond,
        _ => return None,
    })
}

fn write_fields(builder: &mut Builder, from: usize, fields: &[Field]) {
    let first = builder.offsets(from, fields.len());
    for (index, field) in fields.iter().enumerate() {
        write_field(builder, first + 4 * index, field);
    }
}

fn write_field(builder: &mut Builder, from: usize, field: &Field) {
    let placed = builder.table([
        (0, Value::Offset),
        (3, Value::Offset),
        (5, Value::Offset),
        (6, Value::Offset),
        (1, Value::U8(u8::from(field.nullable))),
        (2, Value::U8(type_number(&field.data_type))),
    ]);
    builder.point(from, placed.at);
    builder.string(placed.fields[0], &field.name);
    write_type(builder, placed.fields[1], &field.data_type);
    write_fields(builder, placed.fields[2], field.data_type.children());
    let first = builder.offsets(placed.fields[3], field.metadata.len());
    for (index, (key, value)) in field.metadata.iter().enumerate() {
        let pair = builder.table([(0, Value::Offset), (1, Value::Offset)]);
        builder.point(first + 4 * index, pair.at);
        builder.string(pair.fields[0], key);
        builder.string(pair.fields[1], value);
    }
}

fn type_number(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Null => 1,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => 2,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => 2,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => 3,
        DataType::Binary => 4,
        DataType::Utf8 => 5,
        DataType::Bool => 6,
        DataType::Decimal128(..) | DataType::Decimal256(..) => 7,
        DataType::Date32 | DataType::Date64 => 8,
        DataType::Time32(_) | DataType::Time64(_) => 9,
        DataType::Timestamp(..) => 10,
        DataType::Interval(_) => 11,
        DataType::List(_) => 12,
        DataType::Struct(_) => 13,
        DataType::FixedSizeBinary(_) => 15,
        DataType::FixedSizeList(..) => 16,
        DataType::Map(..) => 17,
        DataType::Duration(_) => 18,
        DataType::LargeBinary => 19,
        DataType::LargeUtf8 => 20,
        DataType::LargeList(_) => 21,
    }
}

fn write_type(builder: &mut Builder, from: usize, data_type: &DataType) {
    let int = |width, signed: bool| [(0, Value::I32(width)), (1, Value::U8(u8::from(signed)))];
    let at = match data_type {
        DataType::Int8 => builder.table(int(8, true)).at,
        DataType::Int16 => builder.table(int(16, true)).at,
        DataType::Int32 => builder.table(int(32, true)).at,
        DataType::Int64 => builder.table(int(64, true)).at,
        DataType::UInt8 => builder.table(int(8, false)).at,
        DataType::UInt16 => builder.table(int(16, false)).at,
        DataType::UInt32 => builder.table(int(32, false)).at,
        DataType::UInt64 => builder.table(int(64, false)).at,
        DataType::Float16 | DataType::Date32 => builder.table([(0, Value::I16(0))]).at,
        DataType::Float32 | DataType::Date64 => builder.table([(0, Value::I16(1))]).at,
        DataType::Float64 => builder.table([(0, Value::I16(2))]).at,
        DataType::Decimal128(p, s) => builder.table(decimal(*p, *s, 128)).at,
        DataType::Decimal256(p, s) => builder.table(decimal(*p, *s, 256)).at,
        DataType::Time32(unit) => builder.table([(1, Value::I32(32)), (0, Value::I16(unit_number(*unit)))]).at,
        DataType::Time64(unit) => builder.table([(1, Value::I32(64)), (0, Value::I16(unit_number(*unit)))]).at,
        DataType::Timestamp(unit, None) => builder.table([(0, Value::I16(unit_number(*unit)))]).at,
        DataType::Timestamp(unit, Some(zone)) => {
            let placed = builder.table([(1, Value::Offset), (0, Value::I16(unit_number(*unit)))]);
            builder.point(from, placed.at);
            builder.string(placed.fields[0], zone);
            return;
        }
        DataType::Duration(unit) => builder.table([(0, Value::I16(unit_number(*unit)))]).at,
        DataType::Interval(unit) => builder.table([(0, Value::I16(interval_number(*unit)))]).at,
        DataType::FixedSizeBinary(size) | DataType::FixedSizeList(_, size) => {
            builder.table([(0, Value::I32(*size))]).at
        }
        DataType::Map(_, sorted) => builder.table([(0, Value::U8(u8::from(*sorted)))]).at,
        _ => builder.table([]).at,
    };
    builder.point(from, at);
}

fn decimal(precision: u8, scale: i8, width: i32) -> [(usize, Value); 3] {
    [(0, Value::I32(i32::from(precision))), (1, Value::I32(i32::from(scale))), (2, Value::I32(width))]
}

fn unit_number(unit: TimeUnit) -> i16 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}

fn interval_number(unit: IntervalUnit) -> i16 {
    match unit {
        IntervalUnit::YearMonth => 0,
        IntervalUnit::DayTime => 1,
        IntervalUnit::MonthDayNano => 2,
    }
}
