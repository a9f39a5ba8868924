//! Says of one record why it failed.
//!
//! Behind decoding, only for bad rows. Invariant: the message names the column and the value, and shows of the value no more
//! than [`SHOWN`] characters. Not here: what becomes of the row.

use super::super::codes;
use super::records::Broken;
use super::text::{Text, unquote};
use super::{BadRow, ColumnPlan};
use crate::types::type_name;

/// Characters of a value that a message shows.
const SHOWN: usize = 60;

/// Makes the bad row of a broken record; of one that is too large `large_payload` bytes are kept.
pub(super) fn bad_row(
    record: &Broken,
    line: u64,
    text: &Text<'_>,
    plans: &[ColumnPlan],
    large_payload: usize,
) -> BadRow {
    let bytes = &text.bytes[record.start..record.end];
    let plan = record.field.and_then(|field| plans.iter().find(|plan| plan.field == field));
    let large = record.code == &codes::ROW_TOO_LARGE;
    let kept = if large { bytes.len().min(large_payload) } else { bytes.len() };
    let message = match plan {
        Some(plan) => value_message(record, text, plan),
        None => record_message(record, text.fields),
    };
    BadRow {
        line,
        payload: bytes[..kept].to_vec(),
        code: record.code,
        message,
        column: plan.map(|plan| plan.name.clone()),
    }
}

fn value_message(record: &Broken, text: &Text<'_>, plan: &ColumnPlan) -> String {
    let value = show(&unquote(field(record, text, plan.field)));
    if record.code == &codes::INVALID_UTF8 {
        return format!("column `{}`: `{value}` is not valid UTF-8", plan.name);
    }
    format!("column `{}`: `{value}` cannot be read as {}", plan.name, type_name(&plan.data_type))
}

fn record_message(record: &Broken, fields: usize) -> String {
    if record.code == &codes::FIELD_COUNT {
        let plural = if record.fields == 1 { "" } else { "s" };
        return format!("the row has {} field{plural}, the file has {fields} columns", record.fields);
    }
    if record.code == &codes::TEXT_AFTER_QUOTE {
        return "text follows the closing quote of a value; a quote inside a quoted value is written twice".into();
    }
    if record.code == &codes::UNCLOSED_QUOTE {
        return "the input ends inside a quoted value that began in this row".into();
    }
    "the row is larger than `row_bytes_max`; if it is not meant to be, look for a quote that is not closed".into()
}

/// Returns a field of the record.
fn field<'a>(record: &Broken, text: &Text<'a>, field: usize) -> &'a [u8] {
    // The end just before the record's first byte; the first of all stands for the byte before the chunk.
    let base = text.ends[1..].partition_point(|end| (*end as usize) < record.start);
    let (start, end) = text.range(base, field, field + 1 == text.fields);
    &text.bytes[start..end]
}

/// Returns a value for a message: cut, and without characters that would disturb a terminal.
pub(in super::super) fn show(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(&value[..value.len().min(SHOWN * 4)]).into_owned();
    let mut shown: String =
        text.chars().take(SHOWN).map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect();
    if text.chars().count() > SHOWN || value.len() > SHOWN * 4 {
        shown.push('…');
    }
    shown
}
