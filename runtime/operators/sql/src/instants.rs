//! Dates, texts and timestamps that meet, brought to microseconds before DataFusion brings them to something worse.
//!
//! DataFusion compares a date or a text with a timestamp in nanoseconds, where every value outside 1677 to 2262 fails,
//! and two timestamps in the coarser of their units, where instants that differ become equal.
//! Invariant: what meets a timestamp has its unit, and no unit here is coarser than microseconds.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::{InList, InSubquery, ScalarFunction, SetComparison};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Case, Expr, ExprSchemable, Join, JoinConstraint, LogicalPlan, LogicalPlanBuilder, Operator,
    Subquery, Union, cast,
};

use crate::instant_order;
use crate::mapped::map_expressions;

/// Functions whose arguments all come to one type.
const ALIKE: [&str; 7] = ["coalesce", "greatest", "ifnull", "least", "make_array", "nullif", "nvl"];
/// Functions whose second argument is an instant.
const OF_INSTANT: [&str; 3] = ["date_bin", "date_part", "date_trunc"];

/// The zone of a timestamp.
pub type Zone = Option<Arc<str>>;

/// Casts what meets a timestamp, wherever it does so in a plan whose types are not coerced yet.
pub fn align(plan: LogicalPlan) -> Result<LogicalPlan> {
    let aligned = plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let node = match node {
            LogicalPlan::Join(join) => LogicalPlan::Join(align_join(instant_order::align_join(join, &schema))),
            LogicalPlan::Filter(mut filter) => {
                filter.predicate = instant_order::align_conditions(filter.predicate, &schema);
                LogicalPlan::Filter(filter)
            }
            LogicalPlan::Union(union) => LogicalPlan::Union(align_union(union)?),
            other => other,
        };
        let node = map_expressions(node, |expr| expr.transform_up(|expr| align_expression(expr, &schema)))?;
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(aligned.data)
}

/// Whether values of a type are days.
pub fn is_date(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64)
}

/// Whether values of a type are points in time.
pub fn is_instant(data_type: &DataType) -> bool {
    is_date(data_type) || matches!(data_type, DataType::Timestamp(_, _))
}

/// Returns the unit and zone that values of some types meet in, if there is a timestamp among them and any must change.
pub fn meeting(types: &[DataType]) -> Option<(TimeUnit, Zone)> {
    let stamps: Vec<(TimeUnit, Zone)> = types
        .iter()
        .filter_map(|one| match one {
            DataType::Timestamp(unit, zone) => Some((*unit, zone.clone())),
            _ => None,
        })
        .collect();
    let (first, _) = stamps.first()?;
    let alike = stamps.iter().all(|(unit, _)| unit == first);
    if alike && !types.iter().any(|one| is_date(one) || one.is_string()) {
        return None;
    }
    let nanoseconds = stamps.iter().any(|(unit, _)| *unit == TimeUnit::Nanosecond);
    let unit = if nanoseconds { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
    Some((unit, stamps.into_iter().find_map(|(_, zone)| zone)))
}

/// Returns what a value of some type must become to meet others in a unit.
pub fn becomes(data_type: &DataType, (unit, zone): &(TimeUnit, Zone)) -> Option<DataType> {
    match data_type {
        DataType::Timestamp(own, _) if own == unit => None,
        DataType::Timestamp(_, own) => Some(DataType::Timestamp(*unit, own.clone())),
        other if is_date(other) || other.is_string() => Some(DataType::Timestamp(*unit, zone.clone())),
        _ => None,
    }
}

fn aligned(expr: Expr, data_type: &DataType, meeting: &(TimeUnit, Zone)) -> Expr {
    match becomes(data_type, meeting) {
        Some(target) => cast(expr, target),
        None => expr,
    }
}

/// The types of expressions; a type that cannot be told is a fault that the planner words better.
fn types<'a>(exprs: impl IntoIterator<Item = &'a Expr>, schema: &DFSchema) -> Option<Vec<DataType>> {
    exprs.into_iter().map(|expr| expr.get_type(schema).ok()).collect()
}

/// Casts expressions that meet each other. Returns whether any was.
fn align_all(exprs: Vec<Expr>, schema: &DFSchema) -> Transformed<Vec<Expr>> {
    let Some(types) = types(&exprs, schema) else { return Transformed::no(exprs) };
    let Some(meeting) = meeting(&types) else { return Transformed::no(exprs) };
    let exprs = exprs.into_iter().zip(&types).map(|(expr, data_type)| aligned(expr, data_type, &meeting));
    Transformed::yes(exprs.collect())
}

fn align_pair(left: Expr, right: Expr, schema: &DFSchema) -> (Expr, Expr) {
    let both = align_all(vec![left, right], schema).data;
    let [left, right] = <[Expr; 2]>::try_from(both).expect("aligning two expressions gives two");
    (left, right)
}

fn align_expression(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(Transformed::yes(match expr {
        Expr::BinaryExpr(binary) if meets(&binary, schema) => {
            if let Some(exact) = instant_order::compare(&binary.left, binary.op, &binary.right, schema) {
                return Ok(Transformed::yes(exact));
            }
            let (left, right) = align_pair(*binary.left, *binary.right, schema);
            Expr::BinaryExpr(BinaryExpr::new(Box::new(left), binary.op, Box::new(right)))
        }
        Expr::Between(between) if let Some(exact) = align_bounds(&between, schema) => exact,
        Expr::Between(Between { expr, negated, low, high }) => {
            let all = align_all(vec![*expr, *low, *high], schema).data;
            let [expr, low, high] = <[Expr; 3]>::try_from(all).expect("aligning three expressions gives three");
            Expr::Between(Between::new(Box::new(expr), negated, Box::new(low), Box::new(high)))
        }
        Expr::InList(list) => align_list(list, schema),
        Expr::Case(case) => Expr::Case(align_case(case, schema)),
        Expr::ScalarFunction(call) => Expr::ScalarFunction(align_call(call, schema)),
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let (expr, subquery) = align_subquery(*expr, subquery, schema)?;
            Expr::InSubquery(InSubquery::new(Box::new(expr), subquery, negated))
        }
        Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
            let (expr, subquery) = align_subquery(*expr, subquery, schema)?;
            Expr::SetComparison(SetComparison::new(Box::new(expr), subquery, op, quantifier))
        }
        other => return Ok(Transformed::no(other)),
    }))
}

/// Whether the sides of an operator come to one type: in comparisons, and in the difference of two instants.
fn meets(binary: &BinaryExpr, schema: &DFSchema) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, Minus, NotEq};
    match binary.op {
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom => true,
        Minus => types([&*binary.left, &*binary.right], schema).is_some_and(|types| types.iter().all(is_instant)),
        _ => false,
    }
}

/// The two comparisons of BETWEEN, where the units of one of them differ.
fn align_bounds(between: &Between, schema: &DFSchema) -> Option<Expr> {
    let low = instant_order::compare(&between.expr, Operator::GtEq, &between.low, schema);
    let high = instant_order::compare(&between.expr, Operator::LtEq, &between.high, schema);
    if low.is_none() && high.is_none() {
        return None;
    }
    let near = |op, bound: &Expr| {
        let (expr, bound) = align_pair(between.expr.as_ref().clone(), bound.clone(), schema);
        Expr::BinaryExpr(BinaryExpr::new(Box::new(expr), op, Box::new(bound)))
    };
    let low = low.unwrap_or_else(|| near(Operator::GtEq, &between.low));
    let both = low.and(high.unwrap_or_else(|| near(Operator::LtEq, &between.high)));
    Some(if between.negated { Expr::Not(Box::new(both)) } else { both })
}

fn align_list(list: InList, schema: &DFSchema) -> Expr {
    let (InList { expr, list, negated }, mut parts) = instant_order::split_list(list, schema);
    if !list.is_empty() || parts.is_empty() {
        let mut all = align_all(std::iter::once(*expr).chain(list).collect(), schema).data;
        let expr = all.remove(0);
        parts.push(Expr::InList(InList::new(Box::new(expr), all, negated)));
    }
    // As a tree, since a list may be longer than a stack is deep.
    let join = |left: Expr, right: Expr| if negated { left.and(right) } else { left.or(right) };
    while parts.len() > 1 {
        let mut rest = parts.into_iter();
        let pairs = std::iter::from_fn(|| rest.next().map(|left| (left, rest.next())));
        parts = pairs
            .map(|(left, right)| match right {
                Some(right) => join(left, right),
                None => left,
            })
            .collect();
    }
    parts.remove(0)
}

fn align_case(case: Case, schema: &DFSchema) -> Case {
    let Case { expr, when_then_expr, else_expr } = case;
    let (whens, thens): (Vec<Expr>, Vec<Expr>) = when_then_expr.into_iter().map(|(when, then)| (*when, *then)).unzip();
    let (expr, whens) = match expr {
        Some(expr) => {
            let mut all = align_all(std::iter::once(*expr).chain(whens).collect(), schema).data;
            (Some(Box::new(all.remove(0))), all)
        }
        None => (None, whens),
    };
    let has_else = else_expr.is_some();
    let mut results = align_all(thens.into_iter().chain(else_expr.map(|last| *last)).collect(), schema).data;
    let last = if has_else { results.pop().map(Box::new) } else { None };
    let pairs = whens.into_iter().zip(results).map(|(when, then)| (Box::new(when), Box::new(then)));
    Case::new(expr, pairs.collect(), last)
}

fn align_call(call: ScalarFunction, schema: &DFSchema) -> ScalarFunction {
    let ScalarFunction { func, mut args } = call;
    if ALIKE.contains(&func.name()) {
        args = align_all(args, schema).data;
    } else if OF_INSTANT.contains(&func.name())
        && let Some(instant) = args.get_mut(1)
        && let Ok(data_type) = instant.get_type(schema)
        // The part of a date is taken without a detour.
        && (data_type.is_string() || is_date(&data_type) && func.name() != "date_part")
    {
        *instant = cast(std::mem::take(instant), DataType::Timestamp(TimeUnit::Microsecond, None));
    }
    ScalarFunction::new_udf(func, args)
}

/// The first column of a subquery meets an expression.
fn align_subquery(expr: Expr, subquery: Subquery, schema: &DFSchema) -> Result<(Expr, Subquery)> {
    let inner = subquery.subquery.schema();
    let (Ok(left), Some(right)) = (expr.get_type(schema), inner.fields().first()) else { return Ok((expr, subquery)) };
    let right = right.data_type().clone();
    let Some(meeting) = meeting(&[left.clone(), right.clone()]) else { return Ok((expr, subquery)) };
    let expr = aligned(expr, &left, &meeting);
    if becomes(&right, &meeting).is_none() {
        return Ok((expr, subquery));
    }
    let plan = align_columns(subquery.subquery.as_ref().clone(), &[Some(meeting)])?;
    Ok((expr, Subquery { subquery: Arc::new(plan), ..subquery }))
}

/// Casts the columns of a plan that meet others, each under its own name.
fn align_columns(plan: LogicalPlan, meetings: &[Option<(TimeUnit, Zone)>]) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = plan
        .schema()
        .iter()
        .zip(meetings)
        .map(|((qualifier, field), meeting)| {
            let column = Expr::Column(Column::from((qualifier, field)));
            match meeting.as_ref().and_then(|meeting| becomes(field.data_type(), meeting)) {
                Some(target) => cast(column, target).alias_qualified(qualifier.cloned(), field.name()),
                None => column,
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

fn align_join(mut join: Join) -> Join {
    let (left, right) = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
    for pair in &mut join.on {
        let (Ok(first), Ok(second)) = (pair.0.get_type(&left), pair.1.get_type(&right)) else { continue };
        let Some(meeting) = meeting(&[first.clone(), second.clone()]) else { continue };
        pair.0 = aligned(std::mem::take(&mut pair.0), &first, &meeting);
        pair.1 = aligned(std::mem::take(&mut pair.1), &second, &meeting);
        // The keys of USING must be columns; its names are resolved by now.
        join.join_constraint = JoinConstraint::On;
    }
    join
}

fn align_union(union: Union) -> Result<Union> {
    let Union { inputs, schema } = union;
    let width = schema.fields().len();
    if inputs.iter().any(|input| input.schema().fields().len() != width) {
        return Ok(Union { inputs, schema });
    }
    let of_column = |column: usize| {
        let types: Vec<DataType> =
            inputs.iter().map(|input| input.schema().field(column).data_type().clone()).collect();
        meeting(&types)
    };
    let meetings: Vec<Option<(TimeUnit, Zone)>> = (0..width).map(of_column).collect();
    if meetings.iter().all(Option::is_none) {
        return Ok(Union { inputs, schema });
    }
    let inputs: Result<Vec<Arc<LogicalPlan>>> =
        inputs.into_iter().map(|input| Ok(Arc::new(align_columns(Arc::unwrap_or_clone(input), &meetings)?))).collect();
    let fields = schema.iter().zip(&meetings).map(|((qualifier, field), meeting)| {
        let field = match meeting {
            Some((unit, zone)) => {
                Arc::new(field.as_ref().clone().with_data_type(DataType::Timestamp(*unit, zone.clone())))
            }
            None => Arc::clone(field),
        };
        (qualifier.cloned(), field)
    });
    let schema = DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())?;
    Ok(Union { inputs: inputs?, schema: Arc::new(schema) })
}
