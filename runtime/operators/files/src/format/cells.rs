//! The text of single values, as CSV, tables and folder names show them.
//!
//! Dates and timestamps are ISO 8601, decimals plain digits, booleans `true` and `false`, binary base64.
//! Invariant: a value's text does not depend on the batch it stands in.

use std::fmt::Write;

use arrow::array::{Array, AsArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Options of Arrow's formatter: errors are returned, not printed into the output.
pub(super) const OPTIONS: FormatOptions<'static> = FormatOptions::new().with_display_error(false);

/// What is wrong with a value that Arrow cannot show.
pub(super) const NO_TEXT_FORM: &str = "a value has no text form";

/// The values of one column.
pub(crate) enum Cells<'a> {
    /// Text.
    Text(&'a StringArray),
    /// Bytes, through a function since there are four kinds of arrays.
    Binary(&'a dyn Array, fn(&dyn Array, usize) -> &[u8]),
    /// Whatever Arrow can show, and what of it is null: columns of nulls alone and dictionaries have no bits that say so.
    Other(ArrayFormatter<'a>, Option<NullBuffer>),
}

impl<'a> Cells<'a> {
    /// Returns the cells of an array.
    pub(crate) fn new(array: &'a dyn Array) -> Result<Cells<'a>, ArrowError> {
        Ok(match array.data_type() {
            DataType::Utf8 => Cells::Text(array.as_string::<i32>()),
            other => match bytes_of(other) {
                Some(bytes) => Cells::Binary(array, bytes),
                None => Cells::Other(ArrayFormatter::try_new(array, &OPTIONS)?, array.logical_nulls()),
            },
        })
    }

    /// Returns whether a value is null.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        match self {
            Cells::Text(array) => array.is_null(row),
            Cells::Binary(array, _) => array.is_null(row),
            Cells::Other(_, nulls) => nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)),
        }
    }

    /// Appends the text of a value that is not null.
    pub(crate) fn write(&self, row: usize, text: &mut String) -> Result<(), ArrowError> {
        match self {
            Cells::Text(array) => text.push_str(array.value(row)),
            Cells::Binary(array, bytes) => STANDARD.encode_string(bytes(*array, row), text),
            Cells::Other(formatter, _) => {
                let start = text.len();
                let written = write!(text, "{}", formatter.value(row));
                if written.is_err() {
                    text.truncate(start);
                    return Err(ArrowError::CastError(NO_TEXT_FORM.to_owned()));
                }
            }
        }
        Ok(())
    }
}

/// Returns whether values of a type are single values with a text form.
pub(crate) fn is_flat(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_flat(values),
        DataType::RunEndEncoded(..) | DataType::Union(..) => false,
        other => !other.is_nested(),
    }
}

/// Gets at the bytes of one value of a binary array.
pub(crate) type Bytes = fn(&dyn Array, usize) -> &[u8];

/// Returns how to get at the bytes of a binary array.
pub(crate) fn bytes_of(data_type: &DataType) -> Option<Bytes> {
    match data_type {
        DataType::Binary => Some(|array, row| array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(|array, row| array.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(|array, row| array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => Some(|array, row| array.as_fixed_size_binary().value(row)),
        _ => None,
    }
}
