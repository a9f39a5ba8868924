//! Comparisons of timestamps in nanoseconds with instants that may lie outside what those can hold, 1677 to 2262.
//!
//! Called by `instants`, which brings everything else to one unit. A warehouse marks what is still valid with the year 9999, so
//! a comparison with it must have an answer and must not fail the row.
//! Invariant: a comparison here is that of the instants themselves, in whatever unit each has.
//! Not here: values that become one column, as in `coalesce` and UNION; one that does not fit fails its row.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int8Array};
use arrow::compute::{binary, cast as cast_array};
use arrow::datatypes::{DataType, Field, FieldRef, Int8Type, Int64Type, TimeUnit};
use datafusion::common::{DFSchema, NullEquality, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::{Cast, InList, ScalarFunction};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Join, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, cast, lit, try_cast,
};

use crate::instants::{Zone, becomes, is_instant};

/// The function that orders two instants.
pub const ORDER: &str = "instant_order";

/// One side in nanoseconds and the other not.
struct Mixed {
    nanoseconds_left: bool,
    /// What the other side must become to be in nanoseconds.
    target: DataType,
    zone: Zone,
}

fn nanoseconds(data_type: &DataType) -> Option<&Zone> {
    match data_type {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => Some(zone),
        _ => None,
    }
}

impl Mixed {
    fn of(left: &DataType, right: &DataType) -> Option<Mixed> {
        let (nanoseconds_left, zone, other) = match (nanoseconds(left), nanoseconds(right)) {
            (Some(zone), None) => (true, zone, right),
            (None, Some(zone)) => (false, zone, left),
            _ => return None,
        };
        let zone = match other {
            DataType::Timestamp(_, own) => zone.clone().or_else(|| own.clone()),
            _ => zone.clone(),
        };
        let target = becomes(other, &(TimeUnit::Nanosecond, zone.clone()))?;
        Some(Mixed { nanoseconds_left, target, zone })
    }
}

/// Returns the value of a constant, also of one that is written as a cast of a text.
fn constant(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(Cast { expr, field }) => constant(expr)?.cast_to(field.data_type()).ok(),
        _ => None,
    }
}

fn in_microseconds(expr: Expr, data_type: &DataType, zone: &Zone) -> Expr {
    match becomes(data_type, &(TimeUnit::Microsecond, zone.clone())) {
        Some(target) => cast(expr, target),
        None => expr,
    }
}

/// Returns a comparison that is right beyond nanoseconds too, where one side has them and the other may not fit.
pub fn compare(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Option<Expr> {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    if !matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq) {
        return None;
    }
    let (left_type, right_type) = (left.get_type(schema).ok()?, right.get_type(schema).ok()?);
    let mixed = Mixed::of(&left_type, &right_type)?;
    let (other, other_type) = if mixed.nanoseconds_left { (right, &right_type) } else { (left, &left_type) };
    let [left, right] = match constant(other) {
        Some(value) if value.cast_to(&mixed.target).is_ok() => return None,
        // No instant of the one side is equal to the constant, so microseconds tell their order.
        Some(_) => [(left, &left_type), (right, &right_type)]
            .map(|(one, kind)| in_microseconds(one.clone(), kind, &mixed.zone)),
        None if is_instant(other_type) => {
            let both =
                [(left, &left_type), (right, &right_type)].map(|(one, kind)| stamp(one.clone(), kind, &mixed.zone));
            let function = ScalarUDF::from(InstantOrder { signature: Signature::any(2, Volatility::Immutable) });
            let order = ScalarFunction::new_udf(Arc::new(function), both.into());
            [Expr::ScalarFunction(order), lit(0_i8)]
        }
        None => return None,
    };
    Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
}

/// A timestamp of some unit, in the zone of the other.
fn stamp(expr: Expr, data_type: &DataType, zone: &Zone) -> Expr {
    match data_type {
        DataType::Timestamp(unit, None) if zone.is_some() => cast(expr, DataType::Timestamp(*unit, zone.clone())),
        DataType::Timestamp(_, _) => expr,
        _ => in_microseconds(expr, data_type, zone),
    }
}

/// Takes the constants out of a list that an expression in nanoseconds cannot equal, and compares them in microseconds.
pub fn split_list(list: InList, schema: &DFSchema) -> (InList, Option<Expr>) {
    let Ok(own) = list.expr.get_type(schema) else { return (list, None) };
    let Some(zone) = nanoseconds(&own) else { return (list, None) };
    let far_as = |one: &Expr| {
        let kind = one.get_type(schema).ok()?;
        let target = Mixed::of(&own, &kind)?.target;
        constant(one)?.cast_to(&target).is_err().then(|| in_microseconds(one.clone(), &kind, zone))
    };
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for one in list.list {
        match far_as(&one) {
            Some(coarse) => far.push(coarse),
            None => near.push(one),
        }
    }
    let coarse = (!far.is_empty()).then(|| {
        let expr = in_microseconds(list.expr.as_ref().clone(), &own, zone);
        Expr::InList(InList::new(Box::new(expr), far, list.negated))
    });
    (InList::new(list.expr, near, list.negated), coarse)
}

/// Keeps an equality between two inputs one that a hash join can use: what does not fit nanoseconds is null, which is as
/// good as false where all conditions must be true.
pub fn align_conditions(predicate: Expr, schema: &DFSchema) -> Expr {
    let keep = |expr: Expr| match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (left, right) = align_keys(*left, *right, schema, schema);
            Expr::BinaryExpr(BinaryExpr::new(Box::new(left), Operator::Eq, Box::new(right)))
        }
        other => other,
    };
    conjunction(split_conjunction_owned(predicate).into_iter().map(keep)).unwrap_or(lit(true))
}

/// The same for the keys of a join, which must not take null for equal to null.
pub fn align_join(mut join: Join) -> Join {
    let (left, right, both) = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()), join.schema.clone());
    if join.null_equality == NullEquality::NullEqualsNothing {
        for pair in &mut join.on {
            *pair = align_keys(std::mem::take(&mut pair.0), std::mem::take(&mut pair.1), &left, &right);
        }
    }
    join.filter = join.filter.map(|filter| align_conditions(filter, &both));
    join
}

fn align_keys(left: Expr, right: Expr, of_left: &DFSchema, of_right: &DFSchema) -> (Expr, Expr) {
    let (Ok(left_type), Ok(right_type)) = (left.get_type(of_left), right.get_type(of_right)) else {
        return (left, right);
    };
    match Mixed::of(&left_type, &right_type) {
        Some(mixed) if mixed.nanoseconds_left && may_be_far(&right, &right_type) => {
            (left, try_cast(right, mixed.target))
        }
        Some(mixed) if !mixed.nanoseconds_left && may_be_far(&left, &left_type) => {
            (try_cast(left, mixed.target), right)
        }
        _ => (left, right),
    }
}

/// A text that is no timestamp must fail its row, and a constant is compared as such.
fn may_be_far(expr: &Expr, data_type: &DataType) -> bool {
    is_instant(data_type) && constant(expr).is_none()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct InstantOrder {
    signature: Signature,
}

impl ScalarUDFImpl for InstantOrder {
    fn name(&self) -> &str {
        ORDER
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(ORDER, DataType::Int8, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = columns.as_slice() else { return internal_err!("{ORDER} takes two instants") };
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
