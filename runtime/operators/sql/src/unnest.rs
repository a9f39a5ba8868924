//! `unnest` of lists and structs for one batch.
//!
//! A step of a query that runs per batch. Lists of one row that stand side by side are padded with nulls to the longest;
//! a row whose lists are all empty or null gives no rows, as in DuckDB and PostgreSQL.
//! Not here: lists within lists unnested at once, which run over whole inputs.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array, UInt64Builder};
use arrow::compute::{is_null, nullif, take};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::logical_plan::Unnest as UnnestPlan;
use rde_core::row_bytes;

use crate::growth::{null_bytes, too_much};

/// What becomes of one input column.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Plain,
    List,
    Struct,
}

/// The step.
#[derive(Debug)]
pub struct Unnest {
    /// For each input column, in order.
    kinds: Vec<Kind>,
    keep_null: bool,
    schema: SchemaRef,
}

/// The elements of one list column, row by row.
struct Lists {
    values: ArrayRef,
    /// Start and length for each row; length 0 for null.
    spans: Vec<(usize, usize)>,
    nulls: Vec<bool>,
}

impl Unnest {
    /// Returns whether a plan's node can be run here.
    pub fn supports(plan: &UnnestPlan) -> bool {
        let schema = plan.input.schema();
        let flat = plan.list_type_columns.iter().all(|(index, list)| {
            let listed = matches!(
                schema.field(*index).data_type(),
                DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _)
            );
            listed && list.depth == 1
        });
        let once = plan
            .list_type_columns
            .iter()
            .filter(|(index, _)| plan.list_type_columns.iter().filter(|(other, _)| other == index).count() > 1);
        flat && once.count() == 0
    }

    /// Prepares a plan's node.
    pub fn new(plan: &UnnestPlan, schema: SchemaRef) -> Unnest {
        let kind = |index: usize| {
            if plan.list_type_columns.iter().any(|(list, _)| *list == index) {
                Kind::List
            } else if plan.struct_type_columns.contains(&index) {
                Kind::Struct
            } else {
                Kind::Plain
            }
        };
        let kinds = (0..plan.input.schema().fields().len()).map(kind).collect();
        Unnest { kinds, keep_null: plan.options.preserve_nulls, schema }
    }

    /// Returns the columns of the result.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Unnests a batch, unless that makes more than so many bytes.
    pub fn run(&self, batch: &RecordBatch, made_max: usize) -> Result<RecordBatch> {
        let lists: Result<Vec<Option<Lists>>> = self
            .kinds
            .iter()
            .zip(batch.columns())
            .map(|(kind, column)| (*kind == Kind::List).then(|| Lists::of(column)).transpose())
            .collect();
        let lists = lists?;
        let any_list = lists.iter().any(Option::is_some);
        let lengths: Vec<usize> =
            (0..batch.num_rows()).map(|row| if any_list { self.length(&lists, row) } else { 1 }).collect();
        let total = lengths.iter().fold(0, |total: usize, length| total.saturating_add(*length));
        let made =
            self.kinds.iter().zip(batch.columns()).zip(&lists).map(|((kind, column), list)| match (kind, list) {
                (Kind::List, Some(list)) => list.bytes(&lengths),
                _ => row_bytes::repeated(column, &lengths),
            });
        let indices = total.saturating_mul(size_of::<u64>());
        if made.fold(indices, usize::saturating_add) > made_max {
            return Err(too_much("`unnest`", made_max));
        }
        let repeated: UInt64Array =
            lengths.iter().enumerate().flat_map(|(row, length)| std::iter::repeat_n(row as u64, *length)).collect();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for ((kind, column), list) in self.kinds.iter().zip(batch.columns()).zip(&lists) {
            match (kind, list) {
                (Kind::List, Some(list)) => columns.push(list.elements(&lengths, total)?),
                (Kind::Struct, _) => {
                    for field in fields_of(column)? {
                        columns.push(take(&field, &repeated, None)?);
                    }
                }
                _ => columns.push(take(column, &repeated, None)?),
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(total));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    fn length(&self, lists: &[Option<Lists>], row: usize) -> usize {
        let lengths =
            lists.iter().flatten().map(|list| if list.nulls[row] && self.keep_null { 1 } else { list.spans[row].1 });
        lengths.max().unwrap_or(0)
    }
}

impl Lists {
    fn of(column: &ArrayRef) -> Result<Lists> {
        let (values, spans): (_, Vec<(usize, usize)>) = match column.data_type() {
            DataType::List(_) => {
                let list = column.as_list::<i32>();
                let offsets = list.offsets().windows(2);
                (list.values().clone(), offsets.map(|pair| span(pair[0].into(), pair[1].into())).collect())
            }
            DataType::LargeList(_) => {
                let list = column.as_list::<i64>();
                (list.values().clone(), list.offsets().windows(2).map(|pair| span(pair[0], pair[1])).collect())
            }
            DataType::FixedSizeList(_, _) => {
                let list = column.as_fixed_size_list();
                let size = usize::try_from(list.value_length()).unwrap_or(0);
                (list.values().clone(), (0..list.len()).map(|row| (row * size, size)).collect())
            }
            other => return internal_err!("{other} is no list"),
        };
        let nulls: Vec<bool> = (0..column.len()).map(|row| column.is_null(row)).collect();
        let empty = |((start, length), null): ((usize, usize), &bool)| (start, if *null { 0 } else { length });
        Ok(Lists { values, spans: spans.into_iter().zip(&nulls).map(empty).collect(), nulls })
    }

    /// Returns the bytes of the elements and of their places, each row's padded with nulls to its length.
    fn bytes(&self, lengths: &[usize]) -> usize {
        let null = null_bytes(self.values.data_type());
        let row = |((start, own), length): (&(usize, usize), &usize)| {
            let places = size_of::<u64>().saturating_mul(*length);
            let padding = null.saturating_mul(length - own);
            row_bytes::range(&self.values, *start, start + own).saturating_add(places).saturating_add(padding)
        };
        self.spans.iter().zip(lengths).map(row).fold(0, usize::saturating_add)
    }

    /// Returns the elements, each row's padded with nulls to its length.
    fn elements(&self, lengths: &[usize], total: usize) -> Result<ArrayRef> {
        let mut indices = UInt64Builder::with_capacity(total);
        for ((start, own), length) in self.spans.iter().zip(lengths) {
            for index in *start..start + own {
                indices.append_value(index as u64);
            }
            indices.append_nulls(length - own);
        }
        Ok(take(&self.values, &indices.finish(), None)?)
    }
}

fn span(start: i64, end: i64) -> (usize, usize) {
    let fact = "offsets of a valid list rise from 0";
    let start = usize::try_from(start).expect(fact);
    (start, usize::try_from(end).expect(fact) - start)
}

/// The fields of a struct column; a null struct has null fields.
fn fields_of(column: &ArrayRef) -> Result<Vec<ArrayRef>> {
    let fields = column.as_struct();
    if fields.null_count() == 0 {
        return Ok(fields.columns().to_vec());
    }
    let null = is_null(column)?;
    fields.columns().iter().map(|field| Ok(nullif(field, &null)?)).collect()
}
