//! Decides by its statistics whether a row group can hold a row that a predicate keeps.
//!
//! Invariant: `false` only if no row can; where statistics are missing, cut short in a way that matters, or of a type
//! whose order they may not follow (floats: NaN is in no statistics), the answer is `true`.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Schema};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::RowGroupMetaData;
use parquet::schema::types::SchemaDescriptor;
use rde_core::{Comparison, Predicate, Scalar};

/// Statistics of one row group.
pub(super) struct Statistics<'a> {
    pub(super) row_group: &'a RowGroupMetaData,
    pub(super) arrow: &'a Schema,
    pub(super) parquet: &'a SchemaDescriptor,
}

impl Statistics<'_> {
    /// Returns whether a row may be kept.
    pub(super) fn may_keep(&self, predicate: &Predicate) -> bool {
        match predicate {
            Predicate::And(all) => all.iter().all(|one| self.may_keep(one)),
            Predicate::Or(any) => any.iter().any(|one| self.may_keep(one)),
            Predicate::Not(_) => true,
            Predicate::IsNull(name) => self.nulls(name).is_none_or(|nulls| nulls > 0),
            Predicate::IsNotNull(name) => self.nulls(name).is_none_or(|nulls| nulls < self.rows()),
            Predicate::Compare(name, comparison, scalar) => {
                self.nulls(name).is_none_or(|nulls| nulls < self.rows()) && self.may_compare(name, *comparison, scalar)
            }
        }
    }

    fn may_compare(&self, name: &str, comparison: Comparison, scalar: &Scalar) -> bool {
        let least = |op| self.holds(name, Bound::Min, op, scalar);
        let most = |op| self.holds(name, Bound::Max, op, scalar);
        match comparison {
            Comparison::Equal => least(Comparison::LessOrEqual) && most(Comparison::GreaterOrEqual),
            Comparison::NotEqual => true,
            Comparison::Less | Comparison::LessOrEqual => least(comparison),
            Comparison::Greater | Comparison::GreaterOrEqual => most(comparison),
        }
    }

    /// Returns whether the bound compares so, or is not known.
    fn holds(&self, name: &str, bound: Bound, comparison: Comparison, scalar: &Scalar) -> bool {
        let Some(value) = self.bound(name, bound) else { return true };
        let question = Predicate::Compare(name.to_owned(), comparison, scalar.clone());
        match question.evaluate(1, &|_| Some(value.clone())) {
            Ok(answer) if answer.is_valid(0) => answer.value(0),
            _ => true,
        }
    }

    fn bound(&self, name: &str, bound: Bound) -> Option<ArrayRef> {
        let converter = self.converter(name)?;
        let values = match bound {
            Bound::Min => converter.row_group_mins([self.row_group]),
            Bound::Max => converter.row_group_maxes([self.row_group]),
        };
        values.ok().filter(|values| values.len() == 1 && values.is_valid(0))
    }

    fn nulls(&self, name: &str) -> Option<u64> {
        let converter = self.converter(name)?.with_missing_null_counts_as_zero(false);
        let counts = converter.row_group_null_counts([self.row_group]).ok()?;
        (counts.len() == 1 && counts.is_valid(0)).then(|| counts.value(0))
    }

    fn converter(&self, name: &str) -> Option<StatisticsConverter<'_>> {
        let field = self.arrow.field_with_name(name).ok()?;
        let float = matches!(field.data_type(), DataType::Float16 | DataType::Float32 | DataType::Float64);
        if float || field.data_type().is_nested() {
            return None;
        }
        StatisticsConverter::try_new(name, self.arrow, self.parquet).ok()
    }

    fn rows(&self) -> u64 {
        u64::try_from(self.row_group.num_rows()).unwrap_or(0)
    }
}

#[derive(Clone, Copy)]
enum Bound {
    Min,
    Max,
}
