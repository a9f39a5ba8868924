//! Small tables for tests.
//!
//! Not on the batch path. Invariant: every column has as many rows as the first. Not here: nested types, which are tested
//! through the host.

use rde_ipc::{Batch, Column, DataType, Field, IpcError, MessageWriter, Schema};

/// Named columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    pub(crate) schema: Schema,
    pub(crate) columns: Vec<Vec<Value>>,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Value {
    Null,
    Bool(bool),
    /// Integers, dates, times and timestamps.
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Float(number)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl Table {
    /// A table without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column of any type.
    pub fn with(mut self, field: Field, values: Vec<Value>) -> Self {
        assert!(self.columns.first().is_none_or(|first| first.len() == values.len()), "columns differ in length");
        self.schema.fields.push(field);
        self.columns.push(values);
        self
    }

    /// Adds a column of int64.
    pub fn int64(self, name: &str, values: impl IntoIterator<Item = Option<i64>>) -> Self {
        self.add(name, DataType::Int64, values)
    }

    /// Adds a column of float64.
    pub fn float64(self, name: &str, values: impl IntoIterator<Item = Option<f64>>) -> Self {
        self.add(name, DataType::Float64, values)
    }

    /// Adds a column of utf8.
    pub fn text<'t>(self, name: &str, values: impl IntoIterator<Item = Option<&'t str>>) -> Self {
        self.add(name, DataType::Utf8, values)
    }

    /// Adds a column of bool.
    pub fn bool(self, name: &str, values: impl IntoIterator<Item = Option<bool>>) -> Self {
        self.add(name, DataType::Bool, values)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// The names of its columns.
    pub fn names(&self) -> Vec<&str> {
        self.schema.fields.iter().map(|field| field.name.as_str()).collect()
    }

    /// The values of a column; none when there is no such column.
    pub fn column(&self, name: &str) -> &[Value] {
        self.schema.index_of(name).map_or(&[], |index| &self.columns[index])
    }

    fn add<V: Into<Value>>(self, name: &str, data_type: DataType, values: impl IntoIterator<Item = Option<V>>) -> Self {
        let values = values.into_iter().map(|value| value.map_or(Value::Null, Into::into)).collect();
        self.with(Field::new(name, data_type), values)
    }

    /// The chosen columns as the host would send them.
    pub(crate) fn encode(&self, columns: &[usize]) -> Result<Vec<u8>, IpcError> {
        let schema = Schema::new(columns.iter().map(|index| self.schema.fields[*index].clone()).collect());
        let mut writer = MessageWriter::new(&schema);
        writer.start(self.rows());
        for index in columns {
            write(&mut writer, &self.schema.fields[*index], &self.columns[*index])?;
        }
        writer.finish().map(<[u8]>::to_vec)
    }

    /// A message as a table.
    pub(crate) fn decode(schema: &Schema, message: &[u8]) -> Result<Table, IpcError> {
        let batch = Batch::parse(schema, message)?;
        let columns = batch.columns().iter().map(values).collect::<Result<_, _>>()?;
        Ok(Table { schema: schema.clone(), columns })
    }

    /// The named rows in this order.
    pub(crate) fn pick(&self, rows: &[usize]) -> Table {
        let pick = |column: &Vec<Value>| rows.iter().map(|row| column[*row].clone()).collect();
        Table { schema: self.schema.clone(), columns: self.columns.iter().map(pick).collect() }
    }
}

macro_rules! write_numbers {
    ($writer:expr, $values:expr, $t:ty, $pattern:pat => $number:expr) => {
        $writer.fixed_with::<$t>(|target, validity| {
            let mut nulls = 0;
            for (row, (target, value)) in target.iter_mut().zip($values).enumerate() {
                *target = match value {
                    $pattern => $number as $t,
                    _ => {
                        validity[row / 8] &= !(1 << (row % 8));
                        nulls += 1;
                        <$t>::default()
                    }
                };
            }
            nulls
        })
    };
}

fn write(writer: &mut MessageWriter, field: &Field, values: &[Value]) -> Result<(), IpcError> {
    match &field.data_type {
        DataType::Bool => writer.bools_with(|data, validity| {
            let mut nulls = 0;
            for (row, value) in values.iter().enumerate() {
                match value {
                    Value::Bool(true) => data[row / 8] |= 1 << (row % 8),
                    Value::Bool(false) => {}
                    _ => {
                        validity[row / 8] &= !(1 << (row % 8));
                        nulls += 1;
                    }
                }
            }
            nulls
        }),
        DataType::Int8 => write_numbers!(writer, values, i8, Value::Int(v) => *v),
        DataType::Int16 => write_numbers!(writer, values, i16, Value::Int(v) => *v),
        DataType::Int32 | DataType::Date32 | DataType::Time32(_) => {
            write_numbers!(writer, values, i32, Value::Int(v) => *v)
        }
        DataType::Int64 | DataType::Date64 | DataType::Time64(_) | DataType::Timestamp(..) | DataType::Duration(_) => {
            write_numbers!(writer, values, i64, Value::Int(v) => *v)
        }
        DataType::UInt8 => write_numbers!(writer, values, u8, Value::Int(v) => *v),
        DataType::UInt16 => write_numbers!(writer, values, u16, Value::Int(v) => *v),
        DataType::UInt32 => write_numbers!(writer, values, u32, Value::Int(v) => *v),
        DataType::UInt64 => write_numbers!(writer, values, u64, Value::Int(v) => *v),
        DataType::Float32 => write_numbers!(writer, values, f32, Value::Float(v) => *v),
        DataType::Float64 => write_numbers!(writer, values, f64, Value::Float(v) => *v),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => {
            let mut text = writer.text();
            for value in values {
                match value {
                    Value::Text(value) => text.push(value.as_bytes()),
                    Value::Bytes(value) => text.push(value),
                    _ => text.push_null(),
                }
            }
            text.end();
        }
        other => return Err(IpcError::Type { field: field.name.clone(), name: other.name() }),
    }
    Ok(())
}

fn values(column: &Column<'_>) -> Result<Vec<Value>, IpcError> {
    let rows = 0..column.rows();
    let null_or = |value: &dyn Fn(usize) -> Value| -> Vec<Value> {
        rows.clone().map(|row| if column.is_valid(row) { value(row) } else { Value::Null }).collect()
    };
    macro_rules! numbers {
        ($t:ty, $make:expr) => {{
            let numbers = column.values::<$t>()?;
            null_or(&|row| $make(numbers[row]))
        }};
    }
    let int = |number: i64| Value::Int(number);
    Ok(match column.data_type() {
        DataType::Bool => {
            let bits = column.bools()?;
            null_or(&|row| Value::Bool(bits.get(row)))
        }
        DataType::Int8 => numbers!(i8, |v| int(i64::from(v))),
        DataType::Int16 => numbers!(i16, |v| int(i64::from(v))),
        DataType::Int32 | DataType::Date32 | DataType::Time32(_) => numbers!(i32, |v| int(i64::from(v))),
        DataType::Int64 | DataType::Date64 | DataType::Time64(_) | DataType::Timestamp(..) | DataType::Duration(_) => {
            numbers!(i64, int)
        }
        DataType::UInt8 => numbers!(u8, |v| int(i64::from(v))),
        DataType::UInt16 => numbers!(u16, |v| int(i64::from(v))),
        DataType::UInt32 => numbers!(u32, |v| int(i64::from(v))),
        DataType::UInt64 => numbers!(u64, |v| int(i64::try_from(v).unwrap_or(i64::MAX))),
        DataType::Float32 => numbers!(f32, |v| Value::Float(f64::from(v))),
        DataType::Float64 => numbers!(f64, Value::Float),
        DataType::Utf8 | DataType::LargeUtf8 => {
            let texts = column.text()?;
            null_or(&|row| Value::Text(texts.str(row).to_owned()))
        }
        DataType::Binary | DataType::LargeBinary => {
            let bytes = column.bytes()?;
            null_or(&|row| Value::Bytes(bytes.get(row).to_vec()))
        }
        other => return Err(IpcError::Type { field: String::new(), name: other.name() }),
    })
}
