//! Pushdown: which columns and rows an operator asks of its input.
//!
//! After `bind` the engine walks from sinks to sources and hands each plan what its readers want. Small types of our own,
//! so that a CSV reader can skip columns nobody reads without any crate needing two heavy dependencies.
//! Invariant: a predicate keeps a row only where it is true (not false, not null), as SQL's `WHERE` does.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, BooleanArray, Scalar as ArrowScalar, new_null_array};
use arrow::array::{
    BooleanArray as Booleans, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::kernels::{boolean, cmp};
use arrow::compute::{cast, is_not_null, is_null};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// The columns somebody reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    /// All of them.
    All,
    /// Those with these names.
    Named(BTreeSet<String>),
}

/// What one reader asks of an output.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The columns it reads, those of the predicate included.
    pub columns: Columns,
    /// Rows for which this is not true may be left out.
    pub predicate: Option<Predicate>,
}

/// A condition on the columns of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// All are true.
    And(Vec<Predicate>),
    /// At least one is true.
    Or(Vec<Predicate>),
    /// The inner one is false.
    Not(Box<Predicate>),
    /// Column against constant; the constant has the column's own type, so no cast can fail.
    Compare(String, Comparison, Scalar),
    /// The column is null.
    IsNull(String),
    /// The column is not null.
    IsNotNull(String),
}

/// How a column is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// int64
    Int64(i64),
    /// float64
    Float64(f64),
    /// boolean
    Boolean(bool),
    /// utf8
    Utf8(String),
    /// date32, days since the Unix epoch
    Date(i32),
    /// timestamp(us), with or without zone: microseconds since the Unix epoch
    TimestampMicros(i64),
}

impl Wanted {
    /// Returns a wish for everything.
    pub fn all() -> Wanted {
        Wanted { columns: Columns::All, predicate: None }
    }

    /// Returns what satisfies both readers of a fan-out.
    pub fn union(self, other: Wanted) -> Wanted {
        let columns = match (self.columns, other.columns) {
            (Columns::Named(mut left), Columns::Named(right)) => {
                left.extend(right);
                Columns::Named(left)
            }
            _ => Columns::All,
        };
        let predicate = match (self.predicate, other.predicate) {
            (Some(left), Some(right)) if left == right => Some(left),
            (Some(left), Some(right)) => Some(Predicate::Or(vec![left, right])),
            _ => None,
        };
        Wanted { columns, predicate }
    }
}

impl Predicate {
    /// Adds the names of its columns to `names`.
    pub fn columns(&self, names: &mut BTreeSet<String>) {
        match self {
            Predicate::And(all) | Predicate::Or(all) => all.iter().for_each(|one| one.columns(names)),
            Predicate::Not(inner) => inner.columns(names),
            Predicate::Compare(name, ..) | Predicate::IsNull(name) | Predicate::IsNotNull(name) => {
                names.insert(name.clone());
            }
        }
    }

    /// Evaluates it with three-valued logic; `column` finds a column by name.
    pub fn evaluate(&self, rows: usize, column: &dyn Fn(&str) -> Option<ArrayRef>) -> Result<BooleanArray, ArrowError> {
        let find = |name: &str| {
            column(name)
                .ok_or_else(|| ArrowError::SchemaError(format!("the predicate names an unknown column `{name}`")))
        };
        match self {
            Predicate::And(all) => {
                let mut result = BooleanArray::from(vec![true; rows]);
                for one in all {
                    result = boolean::and_kleene(&result, &one.evaluate(rows, column)?)?;
                }
                Ok(result)
            }
            Predicate::Or(all) => {
                let mut result = BooleanArray::from(vec![false; rows]);
                for one in all {
                    result = boolean::or_kleene(&result, &one.evaluate(rows, column)?)?;
                }
                Ok(result)
            }
            Predicate::Not(inner) => boolean::not(&inner.evaluate(rows, column)?),
            Predicate::IsNull(name) => is_null(&find(name)?),
            Predicate::IsNotNull(name) => is_not_null(&find(name)?),
            Predicate::Compare(name, comparison, scalar) => comparison.compare(&find(name)?, scalar),
        }
    }
}

impl Comparison {
    fn compare(self, column: &ArrayRef, scalar: &Scalar) -> Result<BooleanArray, ArrowError> {
        let constant = scalar.to_array(column.data_type())?;
        if constant.is_null(0) {
            return Ok(new_null_array(&DataType::Boolean, column.len())
                .as_any()
                .downcast_ref::<Booleans>()
                .cloned()
                .expect("a null array of type boolean is a BooleanArray"));
        }
        let constant = ArrowScalar::new(constant);
        match self {
            Comparison::Equal => cmp::eq(column, &constant),
            Comparison::NotEqual => cmp::neq(column, &constant),
            Comparison::Less => cmp::lt(column, &constant),
            Comparison::LessOrEqual => cmp::lt_eq(column, &constant),
            Comparison::Greater => cmp::gt(column, &constant),
            Comparison::GreaterOrEqual => cmp::gt_eq(column, &constant),
        }
    }
}

impl Scalar {
    /// Returns an array of one value of type `data_type`.
    pub fn to_array(&self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        let array: ArrayRef = match self {
            Scalar::Int64(value) => std::sync::Arc::new(Int64Array::from(vec![*value])),
            Scalar::Float64(value) => std::sync::Arc::new(Float64Array::from(vec![*value])),
            Scalar::Boolean(value) => std::sync::Arc::new(Booleans::from(vec![*value])),
            Scalar::Utf8(value) => std::sync::Arc::new(StringArray::from(vec![value.as_str()])),
            Scalar::Date(value) => std::sync::Arc::new(Date32Array::from(vec![*value])),
            Scalar::TimestampMicros(value) => std::sync::Arc::new(TimestampMicrosecondArray::from(vec![*value])),
        };
        match (array.data_type(), data_type) {
            (left, right) if left == right => Ok(array),
            (DataType::Timestamp(unit, None), DataType::Timestamp(to, zone)) if unit == to => {
                let stamps = array
                    .as_any()
                    .downcast_ref::<TimestampMicrosecondArray>()
                    .cloned()
                    .expect("a timestamp scalar is in microseconds");
                Ok(std::sync::Arc::new(stamps.with_timezone_opt(zone.clone())))
            }
            _ => cast(&array, data_type),
        }
    }
}
