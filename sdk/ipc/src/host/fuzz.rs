//! The body of a fuzzer of guest bytes: whatever they are, nothing panics, and what is accepted is sound.
//!
//! Not on the batch path. Invariant: no time, no randomness, so a failing input fails again.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};

use super::{BufferPool, Decoder, Refused, SchemaRules, check_schema};
use crate::read::{Batch, Column};
use crate::types::Schema;

/// The most that one decoded batch may take here.
const CHARGE_MAX: usize = 16 << 20;

/// Runs both readers over the bytes: as a schema message, as a batch of a few fixed schemas, and, where the bytes start with a
/// 16-bit length, as a schema of that length followed by a batch of it.
#[doc(hidden)]
pub fn fuzz_guest_ipc(bytes: &[u8]) {
    slim(bytes, bytes);
    let rules = SchemaRules::default();
    if let Ok(schema) = check_schema(bytes, &rules) {
        decode(&schema, bytes);
    }
    for schema in fixed_schemas() {
        decode(&schema, bytes);
    }
    let Some((length, rest)) = bytes.split_at_checked(2) else { return };
    let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
    let Some((schema, batch)) = rest.split_at_checked(length) else { return };
    slim(schema, batch);
    if let Ok(schema) = check_schema(schema, &rules) {
        decode(&schema, batch);
    }
}

fn slim(schema: &[u8], batch: &[u8]) {
    let Ok(schema) = Schema::parse(schema) else { return };
    let Ok(batch) = Batch::parse(&schema, batch) else { return };
    batch.columns().iter().for_each(look);
}

fn look(column: &Column<'_>) {
    if let Ok(values) = column.values::<i64>() {
        std::hint::black_box(values.iter().fold(0, |sum: i64, value| sum.wrapping_add(*value)));
    }
    let rows = column.rows().min(1000);
    if let Ok(texts) = column.text() {
        std::hint::black_box((0..rows).map(|row| texts.str(row).len()).sum::<usize>());
    }
    if let Ok(bytes) = column.bytes() {
        std::hint::black_box((0..rows).map(|row| bytes.get(row).len()).sum::<usize>());
        std::hint::black_box(bytes.data().len());
    }
    std::hint::black_box((0..rows).filter(|row| column.is_valid(*row)).count());
    column.children().iter().for_each(look);
}

fn decode(schema: &SchemaRef, bytes: &[u8]) {
    let Ok(mut decoder) = Decoder::new(Arc::clone(schema), BufferPool::new(0)) else { return };
    let mut charge = |bytes| if bytes > CHARGE_MAX { Err(Refused) } else { Ok(()) };
    let Ok(decoded) = decoder.decode(bytes, None, &mut charge) else { return };
    for column in &decoded.columns {
        let sound = column.to_data().validate_full();
        assert!(sound.is_ok(), "accepted a column that arrow refuses: {sound:?}");
    }
    let batch = decoded.into_batch(schema);
    assert!(batch.is_ok(), "accepted a batch that arrow refuses: {batch:?}");
}

fn fixed_schemas() -> [SchemaRef; 3] {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let item = || Arc::new(field("item", DataType::Utf8));
    let entries = DataType::Struct(
        vec![Field::new("key", DataType::Utf8, false), field("value", DataType::Decimal128(5, 2))].into(),
    );
    let map = DataType::Map(Arc::new(Field::new("entries", entries, false)), false);
    [
        vec![
            field("id", DataType::Int64),
            Field::new("amount", DataType::Float64, false),
            field("name", DataType::Utf8),
        ],
        vec![field("flag", DataType::Boolean), field("tags", DataType::List(item())), field("map", map)],
        vec![
            field("time", DataType::Time32(TimeUnit::Second)),
            field("pair", DataType::FixedSizeList(item(), 2)),
            field("nothing", DataType::Null),
        ],
    ]
    .map(|fields| Arc::new(ArrowSchema::new(fields)))
}
