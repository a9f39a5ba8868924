//! Which expressions can fail on some row, and the order of evaluation that follows.
//!
//! DataFusion evaluates both sides of `AND` and `OR` over a batch when it thinks that cheaper, so whether
//! `y <> 0 AND x / y > 1` fails would hang on the batch. Here a right side that can fail is evaluated only for rows that need it.
//! Invariant: whether a row fails depends on that row alone.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, Operator, lit};

use crate::instants::is_date;
use crate::mapped::map_expressions;
use crate::{floats, instant_order, lazy};

/// Functions that give a value for every argument of their types.
const TOTAL: [&str; 20] = [
    "ascii",
    "bit_length",
    "btrim",
    floats::NAME,
    "character_length",
    "concat",
    "contains",
    "date_part",
    "ends_with",
    "get_field",
    "initcap",
    "lower",
    "ltrim",
    instant_order::NAME,
    "octet_length",
    "reverse",
    "rtrim",
    "starts_with",
    "strpos",
    "upper",
];

/// Puts everything that can fail behind the conditions that keep rows from it, in an optimized plan. Floats are made to
/// compare as numbers first, since what is packed here is not seen by anyone later.
pub fn guard(plan: LogicalPlan) -> Result<LogicalPlan> {
    let guarded = floats::unify(plan)?.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let node = match node {
            LogicalPlan::Filter(filter) => LogicalPlan::Filter(order_filter(filter, &schema)?),
            other => other,
        };
        map_expressions(node, |expr| expr.transform_down(|expr| guard_expression(expr, &schema)))
    })?;
    Ok(guarded.data)
}

/// Conditions that cannot fail come first: merging nested filters may have put them behind.
fn order_filter(filter: Filter, schema: &DFSchema) -> Result<Filter> {
    let parts = split_conjunction_owned(filter.predicate);
    let (first, then): (Vec<Expr>, Vec<Expr>) = parts.into_iter().partition(|part| !can_fail(part, schema));
    let ordered = conjunction(first.into_iter().chain(then));
    Filter::try_new(ordered.unwrap_or(lit(true)), filter.input)
}

fn guard_expression(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let fails = match &expr {
        Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, right, .. }) => can_fail(right, schema),
        _ => false,
    };
    match fails.then(|| lazy::pack(&expr, schema)) {
        Some(Ok(packed)) => Ok(Transformed::new(packed, true, TreeNodeRecursion::Jump)),
        // What cannot be compiled here, for example a subquery, is left to the planner.
        _ => Ok(Transformed::no(expr)),
    }
}

/// Returns whether evaluating an expression can fail for some row.
pub fn can_fail(expr: &Expr, schema: &DFSchema) -> bool {
    expr.exists(|part| Ok(!is_total(part, schema))).unwrap_or(true)
}

/// Returns whether an expression has a value for all values of its parts.
fn is_total(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::Alias(_) | Expr::Column(_) | Expr::OuterReferenceColumn(_, _) | Expr::Literal(_, _) | Expr::Not(_) => {
            true
        }
        Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsTrue(_) | Expr::IsFalse(_) | Expr::IsUnknown(_) => true,
        Expr::IsNotTrue(_) | Expr::IsNotFalse(_) | Expr::IsNotUnknown(_) | Expr::Between(_) | Expr::Case(_) => true,
        Expr::InList(_) => true,
        // A date beyond nanoseconds is an error of this cast too.
        Expr::TryCast(cast) => cast.expr.get_type(schema).is_ok_and(|from| !is_date(&from)),
        Expr::Like(like) => matches!(*like.pattern, Expr::Literal(_, _)),
        Expr::Cast(cast) => {
            let from = cast.expr.get_type(schema);
            from.is_ok_and(|from| is_total_cast(&from, cast.field.data_type()))
        }
        Expr::Negative(inner) => inner.get_type(schema).is_ok_and(|inner| inner.is_floating()),
        Expr::BinaryExpr(binary) => is_total_binary(binary, schema),
        Expr::ScalarFunction(call) => TOTAL.contains(&call.func.name()),
        _ => false,
    }
}

fn is_total_binary(binary: &BinaryExpr, schema: &DFSchema) -> bool {
    use Operator::{
        And, Divide, Eq, Gt, GtEq, ILikeMatch, IsDistinctFrom, IsNotDistinctFrom, LikeMatch, Lt, LtEq, Minus, Modulo,
        Multiply, NotEq, Or, Plus, StringConcat,
    };
    match binary.op {
        Eq | NotEq | Lt | LtEq | Gt | GtEq | And | Or | IsDistinctFrom | IsNotDistinctFrom | StringConcat => true,
        LikeMatch | ILikeMatch => matches!(*binary.right, Expr::Literal(_, _)),
        Plus | Minus | Multiply | Divide | Modulo => binary.left.get_type(schema).is_ok_and(|left| left.is_floating()),
        _ => false,
    }
}

fn is_total_cast(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Date32, Float32, Float64, Int8, Int16, Int32, Int64, LargeUtf8, Null, Timestamp, UInt8, UInt16, UInt32, Utf8,
    };
    match (from, to) {
        (from, to) if from == to => true,
        (Null, _) => true,
        (from, Float64) => from.is_integer() || matches!(from, Float32),
        (from, Utf8 | LargeUtf8) => {
            from.is_numeric() || matches!(from, DataType::Boolean | Date32 | Utf8 | LargeUtf8 | DataType::Utf8View)
        }
        (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) => true,
        (UInt8, Int16 | Int32 | Int64) | (UInt16, Int32 | Int64) | (UInt32, Int64) => true,
        (Timestamp(from, None), Timestamp(to, None)) => from == to,
        _ => false,
    }
}
