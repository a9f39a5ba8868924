//! The names of column types, as `schema:` and messages use them.
//!
//! Invariant: [`parse_type`] reads back every name that [`type_name`] gives for the types it knows.

use arrow::datatypes::{DataType, TimeUnit};

/// Types with a plain name.
const NAMES: [(&str, DataType); 14] = [
    ("boolean", DataType::Boolean),
    ("int8", DataType::Int8),
    ("int16", DataType::Int16),
    ("int32", DataType::Int32),
    ("int64", DataType::Int64),
    ("uint8", DataType::UInt8),
    ("uint16", DataType::UInt16),
    ("uint32", DataType::UInt32),
    ("uint64", DataType::UInt64),
    ("float32", DataType::Float32),
    ("float64", DataType::Float64),
    ("date", DataType::Date32),
    ("utf8", DataType::Utf8),
    ("binary", DataType::Binary),
];

/// What can be written, for messages.
pub(crate) const TYPE_HELP: &str = "write one of int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64, \
boolean, date, timestamp(us), timestamp(us, UTC), utf8, binary, decimal(p, s)";

/// Reads the name of a type.
pub fn parse_type(text: &str) -> Option<DataType> {
    if let Some((_, data_type)) = NAMES.iter().find(|(name, _)| *name == text) {
        return Some(data_type.clone());
    }
    let (name, arguments) = text.strip_suffix(')')?.split_once('(')?;
    let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
    match (name.trim_end(), arguments.as_slice()) {
        ("timestamp", ["us"]) => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("timestamp", ["us", "UTC"]) => Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("decimal", [precision, scale]) => {
            let (precision, scale) = (precision.parse::<u8>().ok()?, scale.parse::<i8>().ok()?);
            let valid = (1..=38).contains(&precision) && scale >= 0 && scale.unsigned_abs() <= precision;
            valid.then_some(DataType::Decimal128(precision, scale))
        }
        _ => None,
    }
}

/// Returns the name of a type.
pub fn type_name(data_type: &DataType) -> String {
    if let Some((name, _)) = NAMES.iter().find(|(_, known)| known == data_type) {
        return (*name).to_owned();
    }
    match data_type {
        DataType::Timestamp(unit, None) => format!("timestamp({})", unit_name(*unit)),
        DataType::Timestamp(unit, Some(zone)) => format!("timestamp({}, {zone})", unit_name(*unit)),
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        DataType::LargeUtf8 => "large_utf8".to_owned(),
        DataType::Utf8View => "utf8_view".to_owned(),
        DataType::List(item) => format!("list<{}>", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{}: {}", field.name(), type_name(field.data_type()))).collect();
            format!("struct<{}>", fields.join(", "))
        }
        DataType::Dictionary(_, values) => format!("dictionary<{}>", type_name(values)),
        other => other.to_string().to_lowercase(),
    }
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_written() {
        let names = NAMES.iter().map(|(name, _)| *name);
        for name in names.chain(["timestamp(us)", "timestamp(us, UTC)", "decimal(38, 38)", "decimal(1, 0)"]) {
            assert_eq!(type_name(&parse_type(name).expect(name)), name);
        }
        assert_eq!(parse_type("decimal(10,2)"), Some(DataType::Decimal128(10, 2)));
    }

    #[test]
    fn unknown_names_and_impossible_decimals_are_refused() {
        for bad in
            ["", "int", "INT64", "timestamp", "timestamp(ns)", "decimal(39, 0)", "decimal(2, 3)", "decimal(0, 0)"]
        {
            assert_eq!(parse_type(bad), None, "{bad}");
        }
    }
}
