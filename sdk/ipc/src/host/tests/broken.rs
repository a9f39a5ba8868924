//! Broken bytes: refused, by the right word, and never with a panic.

use std::sync::Arc;

use arrow::datatypes::{Field as ArrowField, Schema as ArrowSchema, SchemaRef};

use super::samples;
use crate::build::{Builder, Value};
use crate::envelope;
use crate::host::*;
use crate::{DataType, Field, IpcError, Schema, TimeUnit};

/// A message by hand: rows, nodes, and buffers that are laid out one after the other.
struct Crafted {
    rows: usize,
    nodes: Vec<(i64, i64)>,
    buffers: Vec<Vec<u8>>,
}

impl Crafted {
    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let mut places = Vec::new();
        for buffer in &self.buffers {
            places.push((body.len() as i64, buffer.len() as i64));
            body.extend_from_slice(buffer);
            body.resize(body.len().next_multiple_of(8), 0);
        }
        self.encode_with(&places, &body)
    }

    fn encode_with(&self, places: &[(i64, i64)], body: &[u8]) -> Vec<u8> {
        let mut builder = Builder::default();
        envelope::batch_metadata(
            &mut builder,
            i64::try_from(self.rows).expect("small"),
            &self.nodes,
            places,
            i64::try_from(body.len()).expect("small"),
        );
        let mut out = vec![0; 8 + builder.bytes().len()];
        envelope::write_head(&builder, &mut out);
        out.extend_from_slice(body);
        out
    }
}

fn ints(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn offsets(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    check_schema(&Schema::new(fields).encode(), &SchemaRules::default()).expect("a schema that crosses")
}

fn refuse(data_type: DataType, required: bool, crafted: &Crafted) -> &'static str {
    let field = Field::new("c", data_type);
    let schema = schema(vec![if required { field.required() } else { field }]);
    let mut decoder = Decoder::new(schema, BufferPool::new(0)).expect("a shallow schema");
    decoder.decode(&crafted.encode(), None, &mut |_| Ok(())).map_or_else(|error| error.kind(), |_| "accepted")
}

fn two_ints() -> Crafted {
    Crafted { rows: 2, nodes: vec![(2, 0)], buffers: vec![vec![], ints(&[1, 2])] }
}

#[test]
fn the_plain_message_of_these_tests_is_accepted() {
    assert_eq!(refuse(DataType::Int64, true, &two_ints()), "accepted");
}

#[test]
fn prefix_kind_and_lengths_are_checked() {
    let schema = schema(vec![Field::new("c", DataType::Int64)]);
    let mut decoder = Decoder::new(Arc::clone(&schema), BufferPool::new(0)).expect("a shallow schema");
    let mut kind = |bytes: &[u8]| decoder.decode(bytes, None, &mut |_| Ok(())).expect_err("refused").kind();
    let good = two_ints().encode();
    assert_eq!(kind(&[]), "truncated");
    assert_eq!(kind(&good[..good.len() - 1]), "body");
    assert_eq!(kind(&[good.as_slice(), &[0]].concat()), "body");
    assert_eq!(kind(&good[4..]), "marker");
    assert_eq!(kind(&Schema::new(vec![Field::new("c", DataType::Int64)]).encode()), "kind");
    assert_eq!(check_schema(&good, &SchemaRules::default()).expect_err("refused").kind(), "kind");
    let mut version = good.clone();
    let place = good.windows(2).position(|pair| pair == [4, 0]).expect("the version");
    version[place] = 3;
    assert!(["version", "metadata"].contains(&kind(&version)));
}

#[test]
fn rows_nodes_and_buffers_must_match_the_schema() {
    let craft = |change: &dyn Fn(&mut Crafted)| {
        let mut crafted = two_ints();
        change(&mut crafted);
        refuse(DataType::Int64, false, &crafted)
    };
    assert_eq!(craft(&|c| c.nodes.clear()), "nodes");
    assert_eq!(craft(&|c| c.nodes.push((2, 0))), "nodes");
    assert_eq!(
        craft(&|c| {
            c.buffers.pop();
        }),
        "buffers"
    );
    assert_eq!(craft(&|c| c.buffers.push(vec![])), "buffers");
    assert_eq!(craft(&|c| c.rows = 3), "layout");
    assert_eq!(craft(&|c| c.nodes[0] = (-1, 0)), "layout");
    assert_eq!(craft(&|c| c.nodes[0] = (2, 3)), "layout");
    assert_eq!(craft(&|c| c.nodes[0] = (2, -1)), "layout");
    assert_eq!(craft(&|c| c.buffers[1].truncate(15)), "layout");
    assert_eq!(craft(&|c| c.nodes[0] = (2, 1)), "layout", "nulls without a validity buffer");
    assert_eq!(craft(&|c| c.buffers[0] = vec![0b01]), "data", "a null that is not stated");
    assert_eq!(
        craft(&|c| {
            c.buffers[0] = vec![0b11];
            c.nodes[0] = (2, 1);
        }),
        "data",
        "a stated null that is none"
    );
}

#[test]
fn buffers_must_lie_in_the_body() {
    let schema = schema(vec![Field::new("c", DataType::Int64)]);
    let mut decoder = Decoder::new(schema, BufferPool::new(0)).expect("a shallow schema");
    for place in [(8, 16), (-1, 16), (0, -16), (i64::MAX, 16), (0, i64::MAX), (17, 0)] {
        let message = two_ints().encode_with(&[(0, 0), place], &ints(&[1, 2]));
        let refused = decoder.decode(&message, None, &mut |_| Ok(())).expect_err("refused");
        assert_eq!(refused.kind(), "layout", "{place:?}");
    }
}

#[test]
fn row_counts_are_what_the_caller_needs() {
    let mut decoder =
        Decoder::new(schema(vec![Field::new("c", DataType::Int64)]), BufferPool::new(0)).expect("shallow");
    let message = two_ints().encode();
    assert!(decoder.decode(&message, Some(2), &mut |_| Ok(())).is_ok());
    assert_eq!(decoder.decode(&message, Some(3), &mut |_| Ok(())).expect_err("refused").kind(), "rows");
}

#[test]
fn offsets_rise_and_texts_are_utf8() {
    let text = |offsets_of: &[i32], data: &[u8]| {
        let buffers = vec![vec![], offsets(offsets_of), data.to_vec()];
        refuse(DataType::Utf8, false, &Crafted { rows: 2, nodes: vec![(2, 0)], buffers })
    };
    assert_eq!(text(&[0, 1, 3], b"abc"), "accepted");
    assert_eq!(text(&[0, 2, 3], "éx".as_bytes()), "accepted");
    assert_eq!(text(&[0, 1, 3], "éx".as_bytes()), "data", "an offset inside a character");
    assert_eq!(text(&[0, 1, 4], b"abc"), "layout", "past the data");
    assert_eq!(text(&[0, 3, 2], b"abc"), "data", "falling");
    assert_eq!(text(&[-1, 1, 3], b"abc"), "data", "negative");
    assert_eq!(text(&[0, 1, -3], b"abc"), "layout", "negative at the end");
    assert_eq!(text(&[0, 1, 3], &[b'a', 0xFF, 0xFE]), "data");
    assert_eq!(text(&[0, 1], b"a"), "layout", "too few offsets");
}

#[test]
fn nulls_are_refused_where_the_field_has_none() {
    let nulls = Crafted { rows: 2, nodes: vec![(2, 1)], buffers: vec![vec![0b10], ints(&[1, 2])] };
    assert_eq!(refuse(DataType::Int64, false, &nulls), "accepted");
    assert_eq!(refuse(DataType::Int64, true, &nulls), "data");
    let item = |field: Field| DataType::List(Box::new(field));
    let list = Crafted {
        rows: 1,
        nodes: vec![(1, 0), (2, 1)],
        buffers: vec![vec![], offsets(&[0, 2]), vec![0b10], ints(&[1, 2])],
    };
    assert_eq!(refuse(item(Field::new("item", DataType::Int64)), false, &list), "accepted");
    assert_eq!(refuse(item(Field::new("item", DataType::Int64).required()), false, &list), "arrow");
}

#[test]
fn keys_of_maps_are_never_null_whatever_the_schema_says() {
    let entries =
        Field::new("e", DataType::Struct(vec![Field::new("k", DataType::Int64), Field::new("v", DataType::Int64)]));
    let map = |nulls: i64, bits: u8| Crafted {
        rows: 1,
        nodes: vec![(1, 0), (2, 0), (2, nulls), (2, 0)],
        buffers: vec![vec![], offsets(&[0, 2]), vec![], vec![bits], ints(&[1, 2]), vec![], ints(&[1, 2])],
    };
    let data_type = || DataType::Map(Box::new(entries.clone()), false);
    assert_eq!(refuse(data_type(), false, &map(0, 0b11)), "accepted");
    assert_ne!(refuse(data_type(), false, &map(1, 0b10)), "accepted");
}

#[test]
fn decimals_and_times_have_bounds_at_limit_and_past_it() {
    let decimal = |value: i128| {
        let buffers = vec![vec![], value.to_le_bytes().to_vec()];
        refuse(DataType::Decimal128(3, 1), false, &Crafted { rows: 1, nodes: vec![(1, 0)], buffers })
    };
    assert_eq!((decimal(999), decimal(1000), decimal(-999), decimal(-1000)), ("accepted", "data", "accepted", "data"));
    let time = |value: i64| {
        let buffers = vec![vec![], ints(&[value])];
        let data_type = DataType::Time64(TimeUnit::Microsecond);
        refuse(data_type, false, &Crafted { rows: 1, nodes: vec![(1, 0)], buffers })
    };
    assert_eq!((time(86_399_999_999), time(86_400_000_000), time(-1)), ("accepted", "data", "data"));
    let hidden = Crafted { rows: 1, nodes: vec![(1, 1)], buffers: vec![vec![0], ints(&[-1])] };
    assert_eq!(
        refuse(DataType::Time64(TimeUnit::Microsecond), false, &hidden),
        "accepted",
        "what a null hides is free"
    );
}

#[test]
fn schemas_are_bounded_at_limit_and_past_it() {
    let nested = |levels: usize| {
        let leaf = Field::new("x", DataType::Int64);
        let field = (1..levels).fold(leaf, |field, _| Field::new("x", DataType::Struct(vec![field])));
        check_schema(&Schema::new(vec![field]).encode(), &SchemaRules::default()).map_err(|error| error.kind())
    };
    assert!(nested(32).is_ok());
    assert_eq!(nested(33).expect_err("too deep"), "depth");
    let wide = |fields: usize| {
        let fields = (0..fields).map(|index| Field::new(format!("c{index}"), DataType::Int64)).collect();
        check_schema(&Schema::new(fields).encode(), &SchemaRules::default()).map_err(|error| error.kind())
    };
    assert!(wide(4096).is_ok());
    assert_eq!(wide(4097).expect_err("too many"), "fields");
    let named = |bytes: usize| {
        let field = Field::new("n".repeat(bytes), DataType::Int64);
        check_schema(&Schema::new(vec![field]).encode(), &SchemaRules::default()).map_err(|error| error.kind())
    };
    assert!(named(1024).is_ok());
    assert_eq!(named(1025).expect_err("too long"), "name");
}

#[test]
fn metadata_and_length_of_a_schema_are_bounded() {
    let check = |metadata: Vec<(String, String)>| {
        let mut field = Field::new("c", DataType::Int64);
        field.metadata = metadata;
        let rules = SchemaRules { fields_max: 2, ..SchemaRules::default() };
        check_schema(&Schema::new(vec![field]).encode(), &rules).map_err(|error| error.to_string())
    };
    let pairs = |count: usize| (0..count).map(|index| (format!("k{index}"), String::new())).collect();
    assert!(check(pairs(32)).is_ok());
    assert!(check(pairs(33)).expect_err("too many").contains("field metadata"));
    let long = |bytes: usize| vec![("k".to_owned(), "v".repeat(bytes))];
    assert!(check(long(1 << 20)).is_ok());
    assert!(check(long((1 << 20) + (8 << 10))).expect_err("too long").contains("longer than its fields"));
}

#[test]
fn a_time_zone_is_not_repeated_for_nothing() {
    let zoned = |fields: usize| {
        let mut builder = Builder::default();
        builder.restart();
        let message = envelope::message_table(&mut builder, envelope::Kind::Schema, 0);
        let schema = builder.table([(1, Value::Offset)]);
        builder.point(message, schema.at);
        let first = builder.offsets(schema.fields[0], fields);
        let mut field = |index: usize| {
            let placed = builder.table([(0, Value::Offset), (3, Value::Offset), (2, Value::U8(10))]);
            builder.point(first + 4 * index, placed.at);
            builder.string(placed.fields[0], &format!("c{index}"));
            placed.fields[1]
        };
        let types: Vec<usize> = (0..fields).map(&mut field).collect();
        let shared = builder.table([(1, Value::Offset), (0, Value::I16(0))]);
        types.into_iter().for_each(|from| builder.point(from, shared.at));
        builder.string(shared.fields[0], &"z".repeat(10_000));
        let mut out = Vec::new();
        envelope::seal(&mut builder, &mut out);
        Schema::parse(&out).map(|schema| schema.fields.len()).map_err(|error| error.kind())
    };
    assert_eq!((zoned(1), zoned(100)), (Ok(1), Err("metadata")));
}

#[test]
fn schemas_must_be_well_formed() {
    let check = |fields: Vec<Field>| {
        check_schema(&Schema::new(fields).encode(), &SchemaRules::default()).map_err(|error| error.kind())
    };
    let twice = vec![Field::new("a", DataType::Int64), Field::new("a", DataType::Utf8)];
    assert_eq!(check(twice.clone()).expect_err("twice"), "duplicate_name");
    assert_eq!(check(vec![Field::new("s", DataType::Struct(twice))]).expect_err("twice"), "duplicate_name");
    assert_eq!(check(vec![Field::new("n", DataType::Null).required()]).expect_err("null"), "field");
    assert_eq!(check(vec![Field::new("d", DataType::Decimal128(39, 0))]).expect_err("wide"), "field");
    assert_eq!(check(vec![Field::new("d", DataType::Decimal128(5, 6))]).expect_err("scale"), "field");
    assert_eq!(check(vec![Field::new("f", DataType::FixedSizeBinary(0))]).expect_err("empty"), "field");
    let zone = DataType::Timestamp(TimeUnit::Second, Some("a b".to_owned()));
    assert_eq!(check(vec![Field::new("t", zone)]).expect_err("no zone"), "field");
}

#[test]
fn arrow_schemas_with_types_that_do_not_cross_are_refused() {
    for data_type in [
        arrow::datatypes::DataType::Utf8View,
        arrow::datatypes::DataType::BinaryView,
        arrow::datatypes::DataType::Dictionary(
            Box::new(arrow::datatypes::DataType::Int8),
            Box::new(arrow::datatypes::DataType::Utf8),
        ),
    ] {
        let schema = ArrowSchema::new(vec![ArrowField::new("c", data_type, true)]);
        let stream = SpoolWriter::new(Vec::new(), &schema).expect("a schema").finish().expect("an end");
        let message = &stream[..stream.len() - 8];
        assert_eq!(check_schema(message, &SchemaRules::default()).expect_err("refused").kind(), "type");
    }
}

#[test]
fn of_metadata_only_known_extensions_pass() {
    let mut field = Field::new("c", DataType::Utf8);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    field.metadata = vec![
        pair("PARQUET:field_id", "7"),
        pair("ARROW:extension:name", "arrow.json"),
        pair("ARROW:extension:metadata", "{}"),
    ];
    let kept = |name: &str, extensions: &[&str]| {
        let mut field = field.clone();
        field.metadata[1].1 = name.to_owned();
        let extensions = extensions.iter().map(|name| (*name).to_owned()).collect();
        let rules = SchemaRules { extensions, ..SchemaRules::default() };
        check_schema(&Schema::new(vec![field]).encode(), &rules).expect("a schema").field(0).metadata().len()
    };
    assert_eq!(kept("arrow.json", &[]), 2);
    assert_eq!(kept("acme.secret", &[]), 0);
    assert_eq!(kept("acme.secret", &["acme.secret"]), 2);
}

#[test]
fn parts_are_checked_like_a_message() {
    let mut decoder =
        Decoder::new(schema(vec![Field::new("c", DataType::Int64)]), BufferPool::new(0)).expect("shallow");
    let message = two_ints().encode();
    let metadata = &message[8..message.len() - 16];
    let values = ints(&[1, 2]);
    let mut parts = |buffers: &[&[u8]]| {
        decoder.decode_parts(metadata, buffers, None, &mut |_| Ok(())).map_or_else(|error| error.kind(), |_| "accepted")
    };
    assert_eq!(parts(&[&[], &values]), "accepted");
    assert_eq!(parts(&[&values]), "buffers");
    assert_eq!(parts(&[&[], &values[..8]]), "layout");
    assert_eq!(parts(&[&[], &values, &[]]), "buffers");
}

#[test]
fn a_shared_buffer_is_charged_as_often_as_it_is_used() {
    let fields = (0..100).map(|index| Field::new(format!("c{index}"), DataType::Int64)).collect();
    let crafted = Crafted { rows: 1000, nodes: vec![(1000, 0); 100], buffers: vec![] };
    let places: Vec<_> = (0..200).map(|index| if index % 2 == 0 { (0, 0) } else { (0, 8000) }).collect();
    let message = crafted.encode_with(&places, &vec![0; 8000]);
    let mut decoder = Decoder::new(schema(fields), BufferPool::new(0)).expect("shallow");
    let mut charged = 0;
    decoder
        .decode(&message, None, &mut |bytes| {
            charged = bytes;
            Ok(())
        })
        .expect("accepted");
    assert!(charged >= 100 * 8000, "{charged}");
}

#[test]
fn damaged_messages_never_panic_and_never_pass_unsound() {
    for seed in 0..5000 {
        let mut rng = samples::rng(seed);
        let mut columns = samples::crossing(&mut rng, seed % 2 == 0);
        rng.shuffle(&mut columns);
        columns.truncate(3);
        let rows = rng.usize(0..20);
        let batch = samples::batch(columns).slice(rng.usize(0..50), rows);
        let schema = encode_schema(&batch.schema()).expect("they cross");
        let mut message = Vec::new();
        Encoder::new(&batch.schema(), None).expect("all").encode_into(&batch, &mut message).expect("they cross");
        let length = u16::try_from(schema.len()).expect("a short schema");
        let mut bytes = [length.to_le_bytes().to_vec(), schema, message].concat();
        for _ in 0..rng.usize(0..6) {
            let place = rng.usize(2..bytes.len());
            bytes[place] = if rng.bool() { rng.u8(..) } else { [0, 1, 0x7F, 0xFF][rng.usize(0..4)] };
        }
        if rng.u8(0..8) == 0 {
            bytes.truncate(rng.usize(0..bytes.len()));
        }
        fuzz_guest_ipc(&bytes);
        fuzz_guest_ipc(&bytes[2.min(bytes.len())..]);
    }
}

#[test]
fn every_error_has_a_sentence() {
    let error = IpcError::Rows { expected: 3, found: 2 };
    assert_eq!(error.to_string(), "3 rows are needed, the message has 2");
    assert_eq!(IpcError::Marker.to_string(), "the IPC message does not start with the marker 0xFFFFFFFF");
}
