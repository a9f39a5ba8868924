//! The rows that scripted operators pass on: each knows where it came from and what it has passed.
//!
//! `id` names the row; an operator that makes several of one gives each its own. `route` is a hash over the operators
//! passed, so that the two ways around a diamond are told apart; `trail` holds the lanes too, so that rows with one trail
//! and split came the same way and must have kept their order. A row's text and its extra columns follow from its id,
//! so a value in the wrong row is seen.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

/// Most extra columns of a schema.
pub const EXTRAS_MAX: usize = 4;

const COLUMNS: [&str; 6] = ["id", "split", "order", "route", "trail", "time"];

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// Its name.
    pub id: i64,
    /// The split it was read from, numbered over all sources.
    pub split: i64,
    /// Rises within a split.
    pub order: i64,
    /// Operators passed.
    pub route: i64,
    /// Operators and lanes passed.
    pub trail: i64,
    /// Event time in milliseconds.
    pub time: i64,
}

impl Row {
    /// Makes the row number `seq` of a split.
    pub fn read(split: i64, seq: i64) -> Row {
        Row { id: mix(split, seq), split, order: seq, route: 0, trail: 0, time: time(split, seq) }
    }

    /// Returns the row after it passed an operator in a lane.
    #[must_use]
    pub fn passed(self, salt: i64, lane: usize) -> Row {
        let lane = i64::try_from(lane).unwrap_or(i64::MAX);
        Row { route: mix(self.route, salt), trail: mix(mix(self.trail, salt), lane), ..self }
    }

    /// Returns the copy number `copy` of fewer than eight.
    #[must_use]
    pub fn copied(self, copy: i64) -> Row {
        Row { id: mix(self.id, copy.wrapping_add(1000)), order: self.order.wrapping_mul(8).wrapping_add(copy), ..self }
    }

    /// Returns what tells it from all other rows at one place.
    pub fn key(&self) -> (i64, i64) {
        (self.id, self.route)
    }
}

/// Returns the event time of a row; rises with `seq`.
pub fn time(split: i64, seq: i64) -> i64 {
    seq * 10 + split % 7
}

/// Mixes two numbers into one, well spread.
pub fn mix(left: i64, right: i64) -> i64 {
    let mut hash = (left as u64).rotate_left(23) ^ (right as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^= hash >> 29;
    hash as i64
}

/// Returns the schema with this many extra columns.
pub fn schema(extras: usize) -> SchemaRef {
    let mut fields: Vec<Field> = COLUMNS.iter().map(|name| Field::new(*name, DataType::Int64, false)).collect();
    fields.push(Field::new("pad", DataType::Utf8, false));
    fields.extend((0..extras).map(|extra| Field::new(format!("extra_{extra}"), DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}

/// Returns the number of extra columns of a schema made here, or none for another one.
pub fn extras(schema: &Schema) -> Option<usize> {
    (0..=EXTRAS_MAX).find(|extras| self::schema(*extras).fields() == schema.fields())
}

/// Makes a batch.
pub fn to_batch(rows: &[Row], extras: usize) -> RecordBatch {
    let column = |value: fn(&Row) -> i64| -> ArrayRef { Arc::new(rows.iter().map(value).collect::<Int64Array>()) };
    let mut columns = vec![
        column(|row| row.id),
        column(|row| row.split),
        column(|row| row.order),
        column(|row| row.route),
        column(|row| row.trail),
        column(|row| row.time),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| pad(row.id)))),
    ];
    for extra in 0..extras {
        columns.push(Arc::new(rows.iter().map(|row| extra_value(row.id, extra)).collect::<Int64Array>()));
    }
    RecordBatch::try_new(schema(extras), columns).expect("the columns were made for this schema")
}

/// Reads a batch back and checks the values that follow from the ids.
pub fn from_batch(batch: &RecordBatch) -> Result<Vec<Row>, String> {
    let extras = extras(&batch.schema()).ok_or_else(|| format!("a foreign schema {:?}", batch.schema()))?;
    let column = |at: usize| batch.column(at).as_primitive::<Int64Type>();
    let pads = batch.column(6).as_string::<i32>();
    let mut rows = Vec::with_capacity(batch.num_rows());
    for at in 0..batch.num_rows() {
        let value = |of: usize| column(of).value(at);
        let row =
            Row { id: value(0), split: value(1), order: value(2), route: value(3), trail: value(4), time: value(5) };
        let extra_wrong = (0..extras).any(|extra| value(7 + extra) != extra_value(row.id, extra));
        if pads.value(at) != pad(row.id) || extra_wrong || pads.is_null(at) {
            return Err(format!("the values of row {} are not its own", row.id));
        }
        rows.push(row);
    }
    Ok(rows)
}

fn pad(id: i64) -> &'static str {
    const TEXT: &str = "a text of changing length, up to sixty-four bytes, for byte bounds";
    &TEXT[..(id.unsigned_abs() % 64) as usize]
}

fn extra_value(id: i64, extra: usize) -> i64 {
    mix(id, i64::try_from(extra).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back_as_made_and_a_mixed_up_value_is_seen() {
        let rows: Vec<Row> = (0..9).map(|seq| Row::read(3, seq).passed(5, 1)).collect();
        let batch = to_batch(&rows, 2);
        assert_eq!(from_batch(&batch), Ok(rows));
        let mut columns = batch.columns().to_vec();
        columns[0] = Arc::new(Int64Array::from_iter_values(0..9));
        let broken = RecordBatch::try_new(batch.schema(), columns).expect("same types");
        assert!(from_batch(&broken).is_err());
    }
}
