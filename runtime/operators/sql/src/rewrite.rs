//! From DataFusion's plan to one that is right: types coerced, arithmetic checked, constants folded, calls lowered.
//!
//! Runs after planning and before any optimizer, over plans of both modes.
//! Invariant: the names and types of a plan's columns stay.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Case, Cast, Expr, ExprSchemable, LogicalPlan, cast, lit};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;

use crate::careful;
use crate::checked::Arithmetic;
use crate::functions::Registry;
use crate::instants;
use crate::mapped::map_expressions;

/// Functions that DataFusion can only evaluate once they are rewritten.
const LOWERED: [&str; 9] = [
    "arrow_cast",
    "arrow_try_cast",
    "cast_to_type",
    "coalesce",
    "ifnull",
    "nvl",
    "nvl2",
    "try_cast_to_type",
    "with_metadata",
];

/// Makes a plan right.
pub fn harden(plan: LogicalPlan) -> Result<LogicalPlan> {
    let options = Registry::shared().options();
    let plan = ResolveGroupingFunction::new().analyze(plan, options)?;
    let plan = whole_numbers(instants::align(plan)?)?;
    let plan = TypeCoercion::new().analyze(plan, options)?;
    let plan = plan.transform_up_with_subqueries(|node| {
        let schema = Arc::new(merge_schema(&node.inputs()));
        let node = map_expressions(node, |expr| expr.transform_up(|expr| harden_expression(expr, &schema)))?;
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(plan.data)
}

/// `trunc` of integers and decimals, which DataFusion would compute in 24 bits of a float.
fn whole_numbers(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let node = map_expressions(node, |expr| {
            expr.transform_up(|expr| match expr {
                Expr::ScalarFunction(call) if call.func.name() == "trunc" => whole_trunc(call, &schema),
                other => Ok(Transformed::no(other)),
            })
        })?;
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(plan.data)
}

fn whole_trunc(mut call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Some(number) = call.args.first_mut() else { return Ok(Transformed::no(Expr::ScalarFunction(call))) };
    let Ok(kind) = number.get_type(schema) else { return Ok(Transformed::no(Expr::ScalarFunction(call))) };
    if kind.is_decimal() {
        *number = cast(std::mem::take(number), DataType::Float64);
        return Ok(Transformed::yes(Expr::ScalarFunction(call)));
    }
    if !kind.is_integer() {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    }
    let digits = match call.args.get(1) {
        None => 0,
        Some(Expr::Literal(ScalarValue::Int64(Some(digits)), _)) => *digits,
        Some(_) => {
            return plan_err!("trunc of an integer takes a constant number of digits; cast the integer to DOUBLE");
        }
    };
    let number = call.args.swap_remove(0);
    if digits >= 0 {
        return Ok(Transformed::yes(number));
    }
    // Division of integers truncates. Where the power does not fit, nothing is left but zero.
    let power = digits.checked_neg().and_then(|digits| u32::try_from(digits).ok());
    let power = power.and_then(|power| 10_u64.checked_pow(power));
    let unit = match kind {
        DataType::UInt64 => power.map(lit),
        _ => power.and_then(|power| i64::try_from(power).ok()).map(lit),
    };
    let cut = match unit {
        Some(unit) => number / unit.clone() * unit,
        None => number * lit(0_i64),
    };
    Ok(Transformed::yes(cast(cut, kind)))
}

fn harden_expression(expr: Expr, schema: &DFSchemaRef) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(binary) => harden_binary(binary, schema),
        Expr::Negative(inner) => match inner.get_type(schema)? {
            kind if kind.is_floating() || kind.is_null() => Ok(Transformed::no(Expr::Negative(inner))),
            _ => Ok(Transformed::yes(Arithmetic::Negate.call(vec![*inner]))),
        },
        // Arrow cuts the days of the one to 32 bits; those of a timestamp it checks.
        Expr::Cast(Cast { expr, field })
            if *field.data_type() == DataType::Date32 && expr.get_type(schema)? == DataType::Date64 =>
        {
            let instant = cast(*expr, DataType::Timestamp(TimeUnit::Millisecond, None));
            Ok(Transformed::yes(cast(instant, DataType::Date32)))
        }
        Expr::Cast(cast) => {
            let Expr::Literal(value, None) = &*cast.expr else { return Ok(Transformed::no(Expr::Cast(cast))) };
            // A constant that cannot be cast fails row by row, as if it were a column.
            match value.cast_to(cast.field.data_type()) {
                Ok(value) if keeps(&value, cast.field.data_type()) => Ok(Transformed::yes(Expr::Literal(value, None))),
                _ => Ok(Transformed::no(Expr::Cast(cast))),
            }
        }
        Expr::ScalarFunction(call) if call.func.name() == "get_field" => Ok(field_of_null(call)),
        Expr::ScalarFunction(call) if LOWERED.contains(&call.func.name()) => lower(call, schema),
        Expr::ScalarFunction(call) => Ok(match careful::in_place_of(&call.func) {
            Some(careful) => Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(careful, call.args))),
            None => Transformed::no(Expr::ScalarFunction(call)),
        }),
        other => Ok(Transformed::no(other)),
    }
}

/// A field of a null struct is null; DataFusion would give what lies beneath the null.
fn field_of_null(call: ScalarFunction) -> Transformed<Expr> {
    let Some(parent) = call.args.first().cloned() else { return Transformed::no(Expr::ScalarFunction(call)) };
    let present = Box::new(Expr::IsNotNull(Box::new(parent)));
    let field = Box::new(Expr::ScalarFunction(call));
    Transformed::yes(Expr::Case(Case::new(None, vec![(present, field)], None)))
}

fn keeps(value: &ScalarValue, data_type: &DataType) -> bool {
    value.data_type() == *data_type
}

fn harden_binary(binary: BinaryExpr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (left, right) = (binary.left.get_type(schema)?, binary.right.get_type(schema)?);
    match Arithmetic::replacing(binary.op, &left, &right) {
        Some(arithmetic) => Ok(Transformed::yes(arithmetic.call(vec![*binary.left, *binary.right]))),
        None => Ok(Transformed::no(Expr::BinaryExpr(binary))),
    }
}

fn lower(call: ScalarFunction, schema: &DFSchemaRef) -> Result<Transformed<Expr>> {
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(schema))
        .with_config_options(Arc::clone(Registry::shared().options()))
        .build();
    let ScalarFunction { func, args } = call;
    match func.simplify(args, &context)? {
        ExprSimplifyResult::Simplified(expr) => Ok(Transformed::yes(expr)),
        ExprSimplifyResult::Original(args) => {
            Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction::new_udf(func, args))))
        }
    }
}
