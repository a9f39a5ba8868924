//! Floats that are equal as numbers, made equal as bits where they are compared or are keys.
//!
//! Arrow orders floats by their bits: -0.0 before 0.0, and a NaN with a sign before everything. `0.0 / 0` gives such a NaN on
//! some processors, so the difference shows without being asked for. Here both sides of a comparison, the keys of
//! groups, joins, sorts and windows, and the arguments of `min` and `max` go through `canonical`.
//! Invariant: 0.0 and -0.0 are equal, all NaNs are equal, and NaN is the greatest number, as in DuckDB and PostgreSQL.
//! Not here: floats within lists and structs.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, InList, ScalarFunction, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, Between, BinaryExpr, Case, ColumnarValue, Expr, ExprSchemable, GroupingSet, Join, JoinConstraint,
    LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, SortExpr,
    Volatility,
};

use crate::mapped::map_expressions;

/// The function's name.
pub const NAME: &str = "canonical";
/// Functions that compare their arguments.
const COMPARING: [&str; 3] = ["greatest", "least", "nullif"];

/// Makes the floats of every comparison and key canonical, in a plan that no optimizer will see again.
pub fn unify(plan: LogicalPlan) -> Result<LogicalPlan> {
    let unified = plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let node = match node {
            LogicalPlan::Join(join) => LogicalPlan::Join(unify_join(join)),
            LogicalPlan::Aggregate(aggregate) => LogicalPlan::Aggregate(unify_groups(aggregate, &schema)),
            LogicalPlan::Sort(mut sort) => {
                sort.expr = unify_order(sort.expr, &schema);
                LogicalPlan::Sort(sort)
            }
            other => other,
        };
        map_expressions(node, |expr| expr.transform_up(|expr| Ok(unify_expression(expr, &schema))))
    })?;
    Ok(unified.data)
}

/// Returns the canonical form of an expression of type float; others stay.
fn canonical(expr: Expr, schema: &DFSchema) -> Expr {
    let float = expr.get_type(schema).is_ok_and(|kind| matches!(kind, DataType::Float32 | DataType::Float64));
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == NAME => Expr::ScalarFunction(call),
        Expr::Literal(ScalarValue::Float64(Some(value)), metadata) => {
            Expr::Literal(ScalarValue::Float64(Some(one_double(value))), metadata)
        }
        Expr::Literal(ScalarValue::Float32(Some(value)), metadata) => {
            Expr::Literal(ScalarValue::Float32(Some(one_single(value))), metadata)
        }
        expr if float => {
            let function = Arc::new(ScalarUDF::from(Canonical { signature: Signature::any(1, Volatility::Immutable) }));
            Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![expr]))
        }
        expr => expr,
    }
}

fn boxed(expr: Expr, schema: &DFSchema) -> Box<Expr> {
    Box::new(canonical(expr, schema))
}

fn all(exprs: Vec<Expr>, schema: &DFSchema) -> Vec<Expr> {
    exprs.into_iter().map(|expr| canonical(expr, schema)).collect()
}

fn unify_expression(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    Transformed::yes(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
            Expr::BinaryExpr(BinaryExpr::new(boxed(*left, schema), op, boxed(*right, schema)))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            Expr::Between(Between::new(boxed(*expr, schema), negated, boxed(*low, schema), boxed(*high, schema)))
        }
        Expr::InList(InList { expr, list, negated }) => {
            Expr::InList(InList::new(boxed(*expr, schema), all(list, schema), negated))
        }
        Expr::Case(Case { expr: Some(expr), when_then_expr, else_expr }) => {
            let pairs = when_then_expr.into_iter().map(|(when, then)| (boxed(*when, schema), then));
            Expr::Case(Case::new(Some(boxed(*expr, schema)), pairs.collect(), else_expr))
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) if COMPARING.contains(&func.name()) => {
            Expr::ScalarFunction(ScalarFunction::new_udf(func, all(args, schema)))
        }
        Expr::AggregateFunction(call) => Expr::AggregateFunction(unify_aggregate(call, schema)),
        Expr::WindowFunction(call) => Expr::WindowFunction(Box::new(unify_window(*call, schema))),
        other => return Transformed::no(other),
    })
}

fn compares(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Whether an aggregate function compares its arguments with those of other rows.
fn compares_rows(name: &str, distinct: bool) -> bool {
    distinct || name == "min" || name == "max"
}

fn unify_aggregate(mut call: AggregateFunction, schema: &DFSchema) -> AggregateFunction {
    if compares_rows(call.func.name(), call.params.distinct) {
        call.params.args = all(call.params.args, schema);
    }
    call.params.order_by = unify_order(call.params.order_by, schema);
    call
}

fn unify_window(mut call: WindowFunction, schema: &DFSchema) -> WindowFunction {
    if compares_rows(call.fun.name(), call.params.distinct) {
        call.params.args = all(call.params.args, schema);
    }
    call.params.partition_by = all(call.params.partition_by, schema);
    call.params.order_by = unify_order(call.params.order_by, schema);
    call
}

fn unify_order(order: Vec<SortExpr>, schema: &DFSchema) -> Vec<SortExpr> {
    let unified = |sort: SortExpr| SortExpr { expr: canonical(sort.expr, schema), ..sort };
    order.into_iter().map(unified).collect()
}

fn unify_join(mut join: Join) -> Join {
    let (left, right) = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
    for pair in &mut join.on {
        pair.0 = canonical(std::mem::take(&mut pair.0), &left);
        pair.1 = canonical(std::mem::take(&mut pair.1), &right);
    }
    // The keys of USING must be columns; its names are resolved by now.
    join.join_constraint = JoinConstraint::On;
    join
}

/// The keys of an aggregate, each under the name it had.
fn unify_groups(mut aggregate: Aggregate, schema: &DFSchema) -> Aggregate {
    let named = |expr: Expr| {
        let names = NamePreserver::new_for_projection().save(&expr);
        names.restore(canonical(expr.unalias(), schema))
    };
    let every = |exprs: Vec<Expr>| exprs.into_iter().map(named).collect::<Vec<Expr>>();
    let keys = aggregate.group_expr.into_iter().map(|expr| match expr {
        Expr::GroupingSet(GroupingSet::Rollup(keys)) => Expr::GroupingSet(GroupingSet::Rollup(every(keys))),
        Expr::GroupingSet(GroupingSet::Cube(keys)) => Expr::GroupingSet(GroupingSet::Cube(every(keys))),
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
            Expr::GroupingSet(GroupingSet::GroupingSets(sets.into_iter().map(every).collect()))
        }
        key => named(key),
    });
    aggregate.group_expr = keys.collect();
    aggregate
}

/// Adding zero makes 0.0 of -0.0 and changes no other number.
fn one_double(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

fn one_single(value: f32) -> f32 {
    if value.is_nan() { f32::NAN } else { value + 0.0 }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Canonical {
    signature: Signature,
}

impl ScalarUDFImpl for Canonical {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(NAME, self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(value) = args.args.first() else {
            return datafusion::common::internal_err!("{NAME} takes one argument");
        };
        let column = value.to_array(1)?;
        let unified: ArrayRef = match column.data_type() {
            DataType::Float64 => Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(one_double)),
            DataType::Float32 => Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(one_single)),
            _ => column,
        };
        Ok(match value {
            ColumnarValue::Array(_) => ColumnarValue::Array(unified),
            ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&unified, 0)?),
        })
    }
}
