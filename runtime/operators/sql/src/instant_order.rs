//! Comparisons of instants of different units: dates, texts and timestamps from seconds to nanoseconds.
//!
//! Called by `instants`, which brings to one unit what must become one column. Here nothing is cast that a comparison does not
//! need: DataFusion's optimizer would take a cast off a column and put it on the constant, where it loses digits, or gives null
//! for what nanoseconds cannot hold (1677 to 2262), such as the year 9999 by which a warehouse marks what is still valid.
//! Invariant: a comparison here is that of the instants themselves, in whatever unit each has.
//! Not here: columns in nanoseconds that meet others in IN, CASE, IS DISTINCT FROM and subqueries; there a value that does not
//! fit fails its row.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int8Array};
use arrow::compute::{binary, cast as cast_array};
use arrow::datatypes::{DataType, Field, FieldRef, Int8Type, Int64Type, TimeUnit};
use datafusion::common::{DFSchema, NullEquality, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::{Cast, InList, ScalarFunction};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Join, JoinConstraint, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast, lit, try_cast,
};

use crate::instants::{Zone, becomes, is_date, is_instant, meeting};

/// The function that orders two instants.
pub const NAME: &str = "instant_order";

/// Returns the value of a constant, also of one that is written as a cast of a text.
fn constant(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(Cast { expr, field }) => constant(expr)?.cast_to(field.data_type()).ok(),
        _ => None,
    }
}

/// Returns a comparison of instants in whatever units they have, where bringing them to one unit would not do.
pub fn compare(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Option<Expr> {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    let (left_type, right_type) = (left.get_type(schema).ok()?, right.get_type(schema).ok()?);
    let (unit, zone) = meeting(&[left_type.clone(), right_type.clone()])?;
    let exact = |left: Expr, right: Expr| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
    let in_order = || {
        let [left, right] = [(left, &left_type), (right, &right_type)].map(|(one, kind)| stamp(one, kind, &zone));
        exact(order_of(left, right), lit(0_i8))
    };
    match (constant(left), constant(right)) {
        (None, None) if matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq) => {
            // Aggregates are only taken out of a correlated subquery along equalities of columns.
            let outer = op == Eq && (left.contains_outer() || right.contains_outer());
            let instants = is_instant(&left_type) && is_instant(&right_type);
            (unit == TimeUnit::Nanosecond && instants && !outer).then(in_order)
        }
        (None, Some(value)) if is_instant(&left_type) && is_comparison(op) => {
            Some(match as_of(&value, &left_type, (unit, &zone)) {
                Some(same) => exact(left.clone(), Expr::Literal(same, None)),
                None => in_order(),
            })
        }
        (Some(value), None) if is_instant(&right_type) && is_comparison(op) => {
            Some(match as_of(&value, &right_type, (unit, &zone)) {
                Some(same) => exact(Expr::Literal(same, None), right.clone()),
                None => in_order(),
            })
        }
        _ => None,
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    // Against a constant that is not null, an order that is null is one of a null.
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Returns the constant that is the same instant in the type of a column, if that type has it.
fn as_of(value: &ScalarValue, column: &DataType, (unit, zone): (TimeUnit, &Zone)) -> Option<ScalarValue> {
    let own = value.data_type();
    let zones_differ = match (&own, column) {
        (DataType::Timestamp(_, own), DataType::Timestamp(_, column)) => own != column,
        _ => false,
    };
    if zones_differ {
        return None;
    }
    // A text is read to the last digit that the column could have.
    let exact =
        if own.is_string() { value.cast_to(&becomes(&own, &(unit, zone.clone()))?).ok()? } else { value.clone() };
    let same = exact.cast_to(column).ok()?;
    (same.cast_to(&exact.data_type()).ok()? == exact).then_some(same)
}

/// A timestamp of some unit, in the zone of the other.
fn stamp(expr: &Expr, data_type: &DataType, zone: &Zone) -> Expr {
    match data_type {
        DataType::Timestamp(unit, None) if zone.is_some() => {
            cast(expr.clone(), DataType::Timestamp(*unit, zone.clone()))
        }
        DataType::Timestamp(_, _) => expr.clone(),
        _ => cast(expr.clone(), DataType::Timestamp(TimeUnit::Microsecond, zone.clone())),
    }
}

fn order_of(left: Expr, right: Expr) -> Expr {
    let function = ScalarUDF::from(InstantOrder { signature: Signature::any(2, Volatility::Immutable) });
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), vec![left, right]))
}

/// Brings the constants of a list to the type of the expression. Those that it does not have are taken out and compared one
/// by one.
pub fn split_list(list: InList, schema: &DFSchema) -> (InList, Vec<Expr>) {
    let op = if list.negated { Operator::NotEq } else { Operator::Eq };
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for one in list.list {
        let compared = constant(&one).and_then(|_| compare(&list.expr, op, &one, schema));
        match compared {
            None => near.push(one),
            Some(Expr::BinaryExpr(BinaryExpr { left, right, .. })) if left == list.expr => near.push(*right),
            Some(ordered) => far.push(ordered),
        }
    }
    (InList::new(list.expr, near, list.negated), far)
}

/// Keeps an equality between two inputs one that a hash join can use: what does not fit nanoseconds is null, which is as
/// good as false where all conditions must be true.
pub fn align_conditions(predicate: Expr, schema: &DFSchema) -> Expr {
    let keep = |expr: Expr| match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (left, right) = match align_keys(&left, &right, schema, schema) {
                Some(aligned) => aligned,
                None => (*left, *right),
            };
            Expr::BinaryExpr(BinaryExpr::new(Box::new(left), Operator::Eq, Box::new(right)))
        }
        other => other,
    };
    conjunction(split_conjunction_owned(predicate).into_iter().map(keep)).unwrap_or(lit(true))
}

/// The same for the keys of a join, which must not take null for equal to null. `both` has the columns of both inputs.
pub fn align_join(mut join: Join, both: &DFSchema) -> Join {
    let (left, right) = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
    if join.null_equality == NullEquality::NullEqualsNothing {
        for pair in &mut join.on {
            if let Some(aligned) = align_keys(&pair.0, &pair.1, &left, &right) {
                *pair = aligned;
                // The keys of USING must be columns; its names are resolved by now.
                join.join_constraint = JoinConstraint::On;
            }
        }
    }
    join.filter = join.filter.map(|filter| align_conditions(filter, both));
    join
}

/// Brings two keys to nanoseconds, if one of them has these and the other may not fit them.
fn align_keys(left: &Expr, right: &Expr, of_left: &DFSchema, of_right: &DFSchema) -> Option<(Expr, Expr)> {
    let (left_type, right_type) = (left.get_type(of_left).ok()?, right.get_type(of_right).ok()?);
    let met = meeting(&[left_type.clone(), right_type.clone()])?;
    let keys = [left, right].iter().all(|one| one.any_column_refs() && !one.contains_outer());
    if met.0 != TimeUnit::Nanosecond || !keys || !is_instant(&left_type) || !is_instant(&right_type) {
        return None;
    }
    let fitted = |expr: &Expr, kind: &DataType| match becomes(kind, &met) {
        None => expr.clone(),
        // A date that does not fit would be an error of any cast to nanoseconds.
        Some(target) if is_date(kind) => {
            try_cast(cast(expr.clone(), DataType::Timestamp(TimeUnit::Microsecond, met.1.clone())), target)
        }
        Some(target) => try_cast(expr.clone(), target),
    };
    Some((fitted(left, &left_type), fitted(right, &right_type)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct InstantOrder {
    signature: Signature,
}

impl ScalarUDFImpl for InstantOrder {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(NAME, DataType::Int8, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = columns.as_slice() else { return internal_err!("{NAME} takes two instants") };
        Ok(ColumnarValue::Array(Arc::new(order(left, right)?)))
    }
}

fn order(left: &ArrayRef, right: &ArrayRef) -> Result<Int8Array> {
    let (of_left, of_right) = (unit_nanoseconds(left.data_type()), unit_nanoseconds(right.data_type()));
    let (left, right) = (cast_array(left, &DataType::Int64)?, cast_array(right, &DataType::Int64)?);
    let order = |left: i64, right: i64| match (i128::from(left) * of_left).cmp(&(i128::from(right) * of_right)) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    };
    let (left, right) = (left.as_primitive::<Int64Type>(), right.as_primitive::<Int64Type>());
    Ok(binary::<_, _, _, Int8Type>(left, right, order)?)
}

/// Returns how many nanoseconds the unit of a timestamp has.
fn unit_nanoseconds(data_type: &DataType) -> i128 {
    match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        _ => 1,
    }
}
