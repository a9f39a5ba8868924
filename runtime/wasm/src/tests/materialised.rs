//! What the host makes of selections equals the answer computed row by row, with and without rows that failed.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use proptest::prelude::*;
use rde_core::row_bytes;

use super::{batch, columns};
use crate::bind::{BoundOutput, BoundPlan, Origin};
use crate::emitted::{Emitted, Selected, Selection, Unmade, materialise};

const ROWS: usize = 20;

fn plan() -> BoundPlan {
    let added: SchemaRef = Arc::new(Schema::new(vec![Field::new("added", DataType::Int64, true)]));
    let fields = vec![Field::new("name", DataType::Utf8, true), Field::new("added", DataType::Int64, true)];
    let same = BoundOutput { name: "same".to_owned(), id: 0, schema: columns(), origin: Origin::SameAs(0) };
    let derived = BoundOutput {
        name: "derived".to_owned(),
        id: 1,
        schema: Arc::new(Schema::new(fields)),
        origin: Origin::Derived { input: 0, reuse: vec![1], added },
    };
    BoundPlan { outputs: vec![same, derived], columns: vec![None] }
}

/// Rows that one call of `emit` names, in order.
#[derive(Clone, Debug)]
enum Named {
    All,
    Mask(Vec<bool>),
    Rows(Vec<u32>),
}

impl Named {
    fn rows(&self) -> Vec<u32> {
        match self {
            Named::All => (0..ROWS as u32).collect(),
            Named::Mask(mask) => (0..ROWS as u32).filter(|row| mask[*row as usize]).collect(),
            Named::Rows(rows) => rows.clone(),
        }
    }

    fn selection(&self) -> Selection {
        match self {
            Named::All => Selection::All,
            Named::Mask(mask) => Selection::Mask(mask.iter().copied().collect()),
            Named::Rows(rows) => Selection::Rows(UInt32Array::from(rows.clone())),
        }
    }
}

fn named() -> impl Strategy<Value = Named> {
    prop_oneof![
        Just(Named::All),
        prop::collection::vec(any::<bool>(), ROWS).prop_map(Named::Mask),
        prop::collection::vec(0..ROWS as u32, 0..40).prop_map(Named::Rows),
    ]
}

proptest! {
    #[test]
    fn selections_are_what_a_loop_over_rows_gives(
        calls in prop::collection::vec((named(), any::<bool>()), 0..5),
        failed in prop::collection::vec(prop::bool::weighted(0.3), ROWS),
        faults in any::<bool>(),
    ) {
        let plan = plan();
        let good: Option<BooleanBuffer> = faults.then(|| failed.iter().map(|failed| !failed).collect());
        let passes = |row: &u32| !faults || !failed[*row as usize];
        let mut emitted = Vec::new();
        let mut expected = Vec::new();
        for (named, derived) in &calls {
            let rows = named.rows();
            let added: Vec<i64> = (0..rows.len() as i64).map(|at| at * 100).collect();
            let columns: Vec<ArrayRef> =
                if *derived { vec![Arc::new(Int64Array::from(added.clone()))] } else { Vec::new() };
            let output = usize::from(*derived);
            emitted.push(Emitted::Rows(Selected { output, selection: named.selection(), added: columns }));
            let left: Vec<(u32, i64)> = rows.into_iter().zip(added).filter(|(row, _)| passes(row)).collect();
            expected.push((output, left));
        }
        let made = materialise(emitted, &plan, Some(&batch(ROWS)), good.as_ref(), || usize::MAX, |_| true);
        let made = made.expect("everything fits");
        prop_assert_eq!(made.len(), expected.len());
        for ((port, made), (output, rows)) in made.iter().zip(&expected) {
            prop_assert_eq!(port, output);
            let names: Vec<String> = rows.iter().map(|(row, _)| format!("n{row}")).collect();
            prop_assert_eq!(&texts(made), &names);
            if *output == 1 {
                let added: Vec<i64> = rows.iter().map(|(_, added)| *added).collect();
                prop_assert_eq!(super::int64(made, "added"), added);
            }
        }
    }

    #[test]
    fn sizes_are_those_of_the_copies(
        lengths in prop::collection::vec(prop::option::of(0usize..30), 1..30),
        rows in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        mask in prop::collection::vec(any::<bool>(), 30),
    ) {
        let texts: StringArray = lengths.iter().map(|length| length.map(|length| "x".repeat(length))).collect();
        let rows = UInt32Array::from_iter_values(rows.iter().map(|row| row.index(lengths.len()) as u32));
        let copied = arrow::compute::take(&texts, &rows, None).expect("the rows are there");
        prop_assert_eq!(row_bytes::picked(&texts, &rows, usize::MAX) >= bytes(&copied), true);
        let mask: BooleanBuffer = mask.iter().copied().take(lengths.len()).collect();
        let array = arrow::array::BooleanArray::new(mask.clone(), None);
        let copied = arrow::compute::filter(&texts, &array).expect("the mask fits");
        prop_assert_eq!(row_bytes::masked(&texts, &mask) >= bytes(&copied), true);
    }
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    let names = batch.column_by_name("name").expect("the column is there");
    let names = names.as_any().downcast_ref::<StringArray>().expect("the column is text");
    names.iter().map(|name| name.unwrap_or_default().to_owned()).collect()
}

fn bytes(array: &dyn Array) -> usize {
    let texts = array.as_any().downcast_ref::<StringArray>().expect("the copy is text");
    texts.value_data().len() + texts.len() * 4
}

#[test]
fn nothing_is_made_when_it_would_not_fit() {
    let pick = || {
        let selection = Selection::Rows(UInt32Array::from(vec![0; 10]));
        vec![Emitted::Rows(Selected { output: 0, selection, added: Vec::new() })]
    };
    // Ten rows of 8 bytes, and ten of 2 bytes of text with 4 of offset.
    let made = |max: usize| materialise(pick(), &plan(), Some(&batch(3)), None, || max, |bytes| bytes <= max);
    assert_eq!(made(140).map(|made| made.len()).ok(), Some(1));
    assert!(matches!(made(139), Err(Unmade::TooLarge)));
}

/// Scenario: a guest names one row so often that counting the bytes would take longer than any call may.
/// Guarantees: counting ends where the result is known to be too large, also over rows without bytes.
#[test]
fn counting_ends_where_there_is_no_room() {
    let rows = UInt32Array::from(vec![0; 100_000]);
    let texts = StringArray::from(vec!["four"]);
    assert_eq!(row_bytes::picked(&texts, &rows, 80), 88);
    assert_eq!(row_bytes::picked(&texts, &rows, usize::MAX), 800_000);
    let empty = arrow::array::StructArray::new_empty_fields(1, None);
    assert_eq!(row_bytes::picked(&empty, &rows, 80), 81);
}
