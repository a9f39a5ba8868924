//! Leaves out rows by the predicate that was pushed down, before anything else of them is converted.
//!
//! Between records and columns. The parts of a conjunction are asked in their order, and each only about rows that the ones
//! before it have kept: a value in a row that was refused is not checked. Invariant: a row is kept only if the predicate is true;
//! which values are looked at depends on that row alone. Not here: how conditions are evaluated (`rde_core::Predicate`).

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef};
use arrow::error::ArrowError;
use rde_core::{Error, Predicate, Result};

use super::super::codes;
use super::ColumnPlan;
use super::column::{Column, Failure};
use super::text::{Rows, Text};

/// A predicate in parts.
#[derive(Debug)]
pub(super) struct Filter {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    predicate: Predicate,
    columns: Vec<(String, Column)>,
}

/// A row that failed in a column of the predicate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    pub(super) base: u32,
    pub(super) failure: Failure,
}

impl Filter {
    /// Plans a predicate over the columns of `plans`.
    pub(super) fn new(predicate: Predicate, plans: &[ColumnPlan]) -> Result<Filter> {
        let mut parts: Vec<(BTreeSet<String>, Vec<Predicate>)> = Vec::new();
        for predicate in conjuncts(predicate) {
            let mut names = BTreeSet::new();
            predicate.columns(&mut names);
            // Parts about the same columns are asked together, so that these are converted once.
            match parts.iter_mut().find(|(other, _)| *other == names) {
                Some((_, predicates)) => predicates.push(predicate),
                None => parts.push((names, vec![predicate])),
            }
        }
        let parts = parts.into_iter().map(|(names, predicates)| Part::new(names, predicates, plans));
        Ok(Filter { parts: parts.collect::<Result<_>>()? })
    }

    /// Returns the bases of the rows it keeps; tells `refused` which rows failed in one of its columns.
    pub(super) fn keep(
        &mut self,
        text: &Text<'_>,
        rows: Rows<'_>,
        mut refused: impl FnMut(Refused),
    ) -> Result<Vec<u32>, ArrowError> {
        let mut kept: Option<Vec<u32>> = None;
        let mut failures = Vec::new();
        for part in &mut self.parts {
            let rows = kept.as_deref().map_or(rows, Rows::Listed);
            failures.clear();
            let mask = part.evaluate(text, rows, &mut failures)?;
            failures.sort_by_key(|failure| (failure.row, failure.field));
            failures.dedup_by_key(|failure| failure.row);
            let base = |row: usize| rows.base(row, text.fields) as u32;
            failures.iter().for_each(|failure| refused(Refused { base: base(failure.row), failure: *failure }));
            let failed = |row: &usize| failures.binary_search_by_key(row, |failure| failure.row).is_ok();
            kept = Some(if failures.is_empty() {
                mask.set_indices().map(base).collect()
            } else {
                mask.set_indices().filter(|row| !failed(row)).map(base).collect()
            });
        }
        Ok(kept.unwrap_or_else(|| (0..rows.len()).map(|row| rows.base(row, text.fields) as u32).collect()))
    }
}

impl Part {
    fn new(names: BTreeSet<String>, mut predicates: Vec<Predicate>, plans: &[ColumnPlan]) -> Result<Part> {
        let column = |name: String| {
            let plan = plans.iter().find(|plan| plan.name == name);
            let column = plan.and_then(|plan| Column::new(plan.field, &plan.data_type));
            let unknown =
                || Error::internal(&codes::BAD_PLAN, format!("the predicate names an unknown column `{name}`"));
            Ok((name.clone(), column.ok_or_else(unknown)?))
        };
        let columns = names.into_iter().map(column).collect::<Result<_>>()?;
        let predicate = if predicates.len() == 1 { predicates.remove(0) } else { Predicate::And(predicates) };
        Ok(Part { predicate, columns })
    }

    /// Returns one bit a row: set where the predicate is true.
    fn evaluate(
        &mut self,
        text: &Text<'_>,
        rows: Rows<'_>,
        failures: &mut Vec<Failure>,
    ) -> Result<arrow::buffer::BooleanBuffer, ArrowError> {
        let mut arrays: Vec<(&str, ArrayRef)> = Vec::with_capacity(self.columns.len());
        for (name, column) in &mut self.columns {
            column.convert(text, rows, failures);
            arrays.push((name, column.finish()));
        }
        let find = |name: &str| arrays.iter().find(|(other, _)| *other == name).map(|(_, array)| array.clone());
        let mask = self.predicate.evaluate(rows.len(), &find)?;
        Ok(match mask.nulls() {
            Some(valid) => mask.values() & valid.inner(),
            None => mask.values().clone(),
        })
    }
}

fn conjuncts(predicate: Predicate) -> Vec<Predicate> {
    match predicate {
        Predicate::And(all) => all.into_iter().flat_map(conjuncts).collect(),
        one => vec![one],
    }
}
