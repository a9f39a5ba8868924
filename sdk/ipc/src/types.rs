//! Schemas in the guest: names, types and nullability, without arrow.
//!
//! Seen at `bind` only. Invariant: [`DataType`] names exactly the types that cross. Not here: their bytes (`schema.rs`), their
//! values (`read.rs`).

/// Unit of a time, timestamp or duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TimeUnit {
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
}

/// Unit of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum IntervalUnit {
    YearMonth,
    DayTime,
    MonthDayNano,
}

/// A type that crosses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Arrow's")]
pub enum DataType {
    Null,
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float16,
    Float32,
    Float64,
    /// Precision and scale.
    Decimal128(u8, i8),
    /// Precision and scale.
    Decimal256(u8, i8),
    Date32,
    Date64,
    Time32(TimeUnit),
    Time64(TimeUnit),
    /// Unit and time zone.
    Timestamp(TimeUnit, Option<String>),
    Duration(TimeUnit),
    Interval(IntervalUnit),
    Utf8,
    LargeUtf8,
    Binary,
    LargeBinary,
    /// Bytes per value.
    FixedSizeBinary(i32),
    List(Box<Field>),
    LargeList(Box<Field>),
    /// Values per row.
    FixedSizeList(Box<Field>, i32),
    Struct(Vec<Field>),
    /// A field of type struct with key and value; whether keys are sorted.
    Map(Box<Field>, bool),
}

/// A named, typed column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether it may hold nulls.
    pub nullable: bool,
    /// Keys and values; the host passes on only `ARROW:extension:*` of those that a guest sends.
    pub metadata: Vec<(String, String)>,
}

/// The columns of an input or output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// In order.
    pub fields: Vec<Field>,
}

impl DataType {
    /// The fields inside, in order.
    pub fn children(&self) -> &[Field] {
        match self {
            DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::Map(f, _) => {
                std::slice::from_ref(f)
            }
            DataType::Struct(fields) => fields,
            _ => &[],
        }
    }

    /// Number of buffers of a column of this type, validity included, children not.
    pub fn buffers(&self) -> usize {
        match self {
            DataType::Null => 0,
            DataType::Struct(_) | DataType::FixedSizeList(..) => 1,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => 3,
            _ => 2,
        }
    }

    /// The type's name as it stands in pipelines and messages.
    pub fn name(&self) -> &'static str {
        match self {
            DataType::Null => "null",
            DataType::Bool => "bool",
            DataType::Int8 => "int8",
            DataType::Int16 => "int16",
            DataType::Int32 => "int32",
            DataType::Int64 => "int64",
            DataType::UInt8 => "uint8",
            DataType::UInt16 => "uint16",
            DataType::UInt32 => "uint32",
            DataType::UInt64 => "uint64",
            DataType::Float16 => "float16",
            DataType::Float32 => "float32",
            DataType::Float64 => "float64",
            DataType::Decimal128(..) => "decimal128",
            DataType::Decimal256(..) => "decimal256",
            DataType::Date32 => "date32",
            DataType::Date64 => "date64",
            DataType::Time32(_) => "time32",
            DataType::Time64(_) => "time64",
            DataType::Timestamp(..) => "timestamp",
            DataType::Duration(_) => "duration",
            DataType::Interval(_) => "interval",
            DataType::Utf8 => "utf8",
            DataType::LargeUtf8 => "large_utf8",
            DataType::Binary => "binary",
            DataType::LargeBinary => "large_binary",
            DataType::FixedSizeBinary(_) => "fixed_size_binary",
            DataType::List(_) => "list",
            DataType::LargeList(_) => "large_list",
            DataType::FixedSizeList(..) => "fixed_size_list",
            DataType::Struct(_) => "struct",
            DataType::Map(..) => "map",
        }
    }
}

impl Field {
    /// A field that may hold nulls.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Field { name: name.into(), data_type, nullable: true, metadata: Vec::new() }
    }

    /// The same, without nulls.
    pub fn required(mut self) -> Self {
        self.nullable = false;
        self
    }
}

impl Schema {
    /// A schema of these fields.
    pub fn new(fields: Vec<Field>) -> Self {
        Schema { fields }
    }

    /// Number of the column of this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// Number of field nodes and buffers of a batch with this schema.
    pub fn layout(&self) -> (usize, usize) {
        fn add(fields: &[Field], total: &mut (usize, usize)) {
            for field in fields {
                total.0 += 1;
                total.1 += field.data_type.buffers();
                add(field.data_type.children(), total);
            }
        }
        let mut total = (0, 0);
        add(&self.fields, &mut total);
        total
    }
}
