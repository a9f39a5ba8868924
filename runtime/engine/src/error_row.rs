//! The error row: one schema for every `errors` output, and the one place that makes it from a rejected row.
//!
//! Invariant: a dead-lettered row keeps its original bytes, or itself as an IPC stream, so that it can be sent again; only
//! a row that was too large is cut. A row that is kept as a stream, which nobody reads by eye, stands in `detail` too.
//! Not here: whether a row is dead-lettered (`rejects.rs`).

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BinaryBuilder, Int32Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use rde_core::{Payload, Rejected};

use crate::row_json::row_json;

/// Bytes kept of a row that was larger than `row_bytes_max`.
pub(crate) const PAYLOAD_CUT: usize = 64 * 1024;
/// Most bytes of a row as JSON in `detail`.
pub(crate) const ROW_JSON_MAX: usize = 4 * 1024;
/// Bytes of offsets, numbers and validity of a batch of one row; more rows have less each.
const FIXED_BYTES: usize = 96;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let utf8 = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        utf8("pipeline", false),
        utf8("operator", false),
        utf8("code", false),
        utf8("message", false),
        Field::new("payload", DataType::Binary, true),
        utf8("payload_format", true),
        utf8("position", true),
        utf8("plugin", true),
        utf8("detail", true),
        Field::new("attempt", DataType::Int32, false),
        Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
    ]))
});

/// Returns the schema of every `errors` output.
pub(crate) fn schema() -> SchemaRef {
    SCHEMA.clone()
}

/// Where rows failed and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub pipeline: &'a str,
    pub operator: &'a str,
    pub now_micros: i64,
    pub row_bytes_max: usize,
    pub row_json_max: usize,
}

/// A rejected row with its payload in the form it is kept in.
#[derive(Debug)]
pub(crate) struct ErrorRow {
    rejected: Rejected,
    payload: Option<Vec<u8>>,
    format: Option<&'static str>,
}

impl ErrorRow {
    /// Encodes the payload, so that the batch it came from is not held.
    pub fn new(origin: Origin<'_>, mut rejected: Rejected) -> ErrorRow {
        let original = std::mem::replace(&mut rejected.payload, Payload::None);
        if let Payload::Row(batch, row) = &original {
            rejected.detail = Some(with_row(rejected.detail, row_json(batch, *row, origin.row_json_max)));
        }
        let (payload, format) = payload(origin, original);
        ErrorRow { rejected, payload, format }
    }

    /// Returns its bytes in a batch.
    pub fn bytes(&self, origin: Origin<'_>) -> usize {
        let Rejected { code, message, position, plugin, detail, .. } = &self.rejected;
        let texts =
            [Some(&**code), Some(message), position.as_deref(), plugin.as_deref(), detail.as_deref(), self.format];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        let fixed = FIXED_BYTES + origin.pipeline.len() + origin.operator.len();
        fixed + texts + self.payload.as_ref().map_or(0, Vec::len)
    }
}

/// Makes the batch of some rejected rows.
pub(crate) fn error_rows(origin: Origin<'_>, rows: &[ErrorRow]) -> Result<RecordBatch, ArrowError> {
    let mut texts: [StringBuilder; 8] = std::array::from_fn(|_| StringBuilder::new());
    let mut payloads = BinaryBuilder::new();
    let mut attempts = Int32Builder::new();
    let mut times = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    for ErrorRow { rejected: row, payload, format } in rows {
        payloads.append_option(payload.as_deref());
        let [pipeline, operator, code, message, payload_format, position, plugin, detail] = &mut texts;
        pipeline.append_value(origin.pipeline);
        operator.append_value(origin.operator);
        code.append_value(&row.code);
        message.append_value(&row.message);
        payload_format.append_option(*format);
        position.append_option(row.position.as_deref());
        plugin.append_option(row.plugin.as_deref());
        detail.append_option(row.detail.as_deref());
        attempts.append_value(row.attempt);
        times.append_value(origin.now_micros);
    }
    let [pipeline, operator, code, message, format, position, plugin, detail] =
        texts.map(|mut text| -> ArrayRef { Arc::new(text.finish()) });
    let payload: ArrayRef = Arc::new(payloads.finish());
    let (attempt, time): (ArrayRef, ArrayRef) = (Arc::new(attempts.finish()), Arc::new(times.finish()));
    let columns = vec![pipeline, operator, code, message, payload, format, position, plugin, detail, attempt, time];
    RecordBatch::try_new(schema(), columns)
}

/// Puts a row in front of the other members of a detail, as text: numbers of any length stay as they are.
fn with_row(detail: Option<String>, (row, left_out): (String, usize)) -> String {
    let left_out = if left_out > 0 { format!(",\"columns_left_out\":{left_out}") } else { String::new() };
    match detail.as_deref().and_then(|detail| detail.strip_prefix('{')) {
        None | Some("}") => format!("{{\"row\":{row}{left_out}}}"),
        Some(others) => format!("{{\"row\":{row}{left_out},{others}"),
    }
}

/// Returns the bytes of a payload and their format. A row that has no IPC form is left out rather than losing its error.
fn payload(origin: Origin<'_>, payload: Payload) -> (Option<Vec<u8>>, Option<&'static str>) {
    match payload {
        Payload::None => (None, None),
        Payload::Bytes(mut bytes, format) => {
            if bytes.len() > origin.row_bytes_max {
                bytes.truncate(PAYLOAD_CUT);
                bytes.shrink_to_fit();
            }
            (Some(bytes), Some(format))
        }
        Payload::Row(batch, row) => {
            // The row alone: a dictionary would be written whole, once for each row that fails.
            let encoded = rde_core::compact(&batch.slice(row, 1)).map(|row| rde_ipc::encode_row_stream(&row, 0));
            match encoded {
                Ok(Ok(bytes)) => (Some(bytes), Some("arrow")),
                Ok(Err(error)) => without_payload(origin, &error),
                Err(error) => without_payload(origin, &error),
            }
        }
    }
}

fn without_payload(origin: Origin<'_>, error: &dyn std::error::Error) -> (Option<Vec<u8>>, Option<&'static str>) {
    tracing::warn!(operator = origin.operator, %error, "failed row has no payload");
    (None, None)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, Int64Array};
    use arrow::datatypes::Int32Type;

    use super::*;
    use crate::outputs::batch_bytes;

    fn check(row_bytes_max: usize, payload: Payload) -> RecordBatch {
        let origin = Origin { pipeline: "p", operator: "o", now_micros: 7, row_bytes_max, row_json_max: ROW_JSON_MAX };
        let mut rejected = Rejected::new("RDE0511", "bad", payload);
        rejected.attempt = 3;
        let rows = [rejected, Rejected::new("x", "worse", Payload::None)].map(|row| ErrorRow::new(origin, row));
        let batch = error_rows(origin, &rows).expect("the columns fit the schema");
        let estimated: usize = rows.iter().map(|row| row.bytes(origin)).sum();
        assert!(batch_bytes(&batch) <= estimated, "{} {estimated}", batch_bytes(&batch));
        batch
    }

    #[test]
    fn only_the_fixed_columns_are_never_null() {
        let names: Vec<_> =
            schema().fields().iter().filter(|field| !field.is_nullable()).map(|field| field.name().clone()).collect();
        assert_eq!(names, ["pipeline", "operator", "code", "message", "attempt", "time"]);
    }

    #[test]
    fn original_bytes_are_kept_with_their_format() {
        let batch = check(100, Payload::Bytes(b"a,b".to_vec(), "csv"));
        assert_eq!(batch.column(4).as_binary::<i32>().value(0), b"a,b");
        assert_eq!(batch.column(5).as_string::<i32>().value(0), "csv");
        assert!(batch.column(4).is_null(1) && batch.column(5).is_null(1) && batch.column(6).is_null(0));
        assert_eq!(batch.column(9).as_primitive::<Int32Type>().value(0), 3);
    }

    #[test]
    fn a_row_at_the_limit_is_kept_whole_and_one_above_is_cut() {
        let most = PAYLOAD_CUT * 2;
        for (length, kept) in [(most, most), (most + 1, PAYLOAD_CUT)] {
            let batch = check(most, Payload::Bytes(vec![1; length], "raw"));
            assert_eq!(batch.column(4).as_binary::<i32>().value(0).len(), kept);
        }
    }

    #[test]
    fn a_row_of_a_batch_becomes_an_ipc_stream_of_that_row() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![4, 5, 6]));
        let rows = RecordBatch::try_from_iter([("n", column)]).expect("one column");
        let batch = check(100, Payload::Row(Arc::new(rows.clone()), 1));
        let bytes = batch.column(4).as_binary::<i32>().value(0);
        assert_eq!(batch.column(5).as_string::<i32>().value(0), "arrow");
        assert_eq!(bytes, rde_ipc::encode_row_stream(&rows, 1).expect("int64 has an IPC form"));
        assert_eq!(batch.column(8).as_string::<i32>().value(0), r#"{"row":{"n":5}}"#);
        assert!(check(100, Payload::Bytes(b"5".to_vec(), "csv")).column(8).is_null(0), "its payload is text");
    }

    #[test]
    fn a_row_goes_before_what_the_detail_said_already() {
        let row = |left_out| (r#"{"n":5}"#.to_owned(), left_out);
        let check = |detail: Option<&str>, left_out, expected: &str| {
            let text = with_row(detail.map(str::to_owned), row(left_out));
            assert_eq!(text, expected);
            serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON");
        };
        check(None, 0, r#"{"row":{"n":5}}"#);
        check(Some("{}"), 0, r#"{"row":{"n":5}}"#);
        check(Some(r#"{"batch":1}"#), 0, r#"{"row":{"n":5},"batch":1}"#);
        check(Some(r#"{"batch":1}"#), 2, r#"{"row":{"n":5},"columns_left_out":2,"batch":1}"#);
    }
}
