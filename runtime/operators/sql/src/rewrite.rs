//! From DataFusion's plan to one that is right: types coerced, arithmetic checked, constants folded, calls lowered.
//!
//! Runs after planning and before any optimizer, over plans of both modes.
//! Invariant: the names and types of a plan's columns stay.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;

use crate::checked::Arithmetic;
use crate::functions::Registry;

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
    let plan = TypeCoercion::new().analyze(plan, options)?;
    let plan = plan.transform_up_with_subqueries(|node| {
        let schema = Arc::new(merge_schema(&node.inputs()));
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let hardened = expr.transform_up(|expr| harden_expression(expr, &schema))?;
            Ok(hardened.update_data(|expr| name.restore(expr)))
        })?;
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(plan.data)
}

fn harden_expression(expr: Expr, schema: &DFSchemaRef) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(binary) => harden_binary(binary, schema),
        Expr::Negative(inner) => match inner.get_type(schema)? {
            kind if kind.is_floating() || kind.is_null() => Ok(Transformed::no(Expr::Negative(inner))),
            _ => Ok(Transformed::yes(Arithmetic::Negate.call(vec![*inner]))),
        },
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

fn keeps(value: &datafusion::common::ScalarValue, data_type: &DataType) -> bool {
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
