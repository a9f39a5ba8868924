//! What a query asks of its inputs: the columns it reads, and conditions that a source may apply for it.
//!
//! Called by `wanted`. DataFusion's own rules bring filters and projections down to the table scans; here they are read off
//! and put into the small types of `rde-core`.
//! Invariant: a predicate refuses only rows that the query's own filter refuses too; the filter stays in the plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableScan};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{Optimizer, OptimizerContext};
use rde_core::{Columns, Comparison, Predicate, Scalar, Wanted};

use crate::functions::Registry;

/// Integers below this are exact as float64.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Keeps only some output columns, at least one.
pub fn narrow(plan: LogicalPlan, kept: &Columns) -> Result<LogicalPlan> {
    let Columns::Named(kept) = kept else { return Ok(plan) };
    let fields = plan.schema().iter();
    let mut chosen: Vec<Expr> = fields
        .filter(|(_, field)| kept.contains(field.name()))
        .map(|(qualifier, field)| Expr::Column(Column::from((qualifier, field))))
        .collect();
    if chosen.len() == plan.schema().fields().len() {
        return Ok(plan);
    }
    if chosen.is_empty() {
        chosen.extend(plan.schema().iter().next().map(|pair| Expr::Column(Column::from(pair))));
    }
    LogicalPlanBuilder::from(plan).project(chosen)?.build()
}

/// Brings filters and projections to the table scans of a plan that runs per batch.
pub fn slim(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rules = Optimizer::with_rules(vec![Arc::new(PushDownFilter::new()), Arc::new(OptimizeProjections::new())]);
    optimize(plan, &rules, Registry::shared().brief_options())
}

/// Brings filters and projections to the table scans of a plan over whole inputs.
pub fn slim_whole(plan: LogicalPlan) -> Result<LogicalPlan> {
    optimize(plan, &Optimizer::new(), Registry::shared().options())
}

fn optimize(plan: LogicalPlan, optimizer: &Optimizer, options: &Arc<ConfigOptions>) -> Result<LogicalPlan> {
    let context = OptimizerContext::new_with_config_options(Arc::clone(options)).without_query_execution_start_time();
    optimizer.optimize(plan, &context, |_, _| {})
}

/// Reads off what a plan wants of each input.
pub fn of_inputs(plan: &LogicalPlan, tables: &[(String, SchemaRef)]) -> Result<Vec<Wanted>> {
    let mut wanted: Vec<Option<Wanted>> = vec![None; tables.len()];
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(index) = tables.iter().position(|(name, _)| name == scan.table_name.table())
        {
            let of_scan = of_scan(scan);
            wanted[index] = Some(match wanted[index].take() {
                Some(other) => other.union(of_scan),
                None => of_scan,
            });
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let pairs = wanted.into_iter().zip(tables);
    Ok(pairs.map(|(wanted, (_, schema))| at_least_one(wanted, schema)).collect())
}

/// A batch without columns is a stranger to most formats, so one column is always asked for.
fn at_least_one(wanted: Option<Wanted>, schema: &SchemaRef) -> Wanted {
    let mut wanted = wanted.unwrap_or(Wanted { columns: Columns::Named(BTreeSet::new()), predicate: None });
    if let (Columns::Named(names), Some(first)) = (&mut wanted.columns, schema.fields().first())
        && names.is_empty()
    {
        names.insert(first.name().clone());
    }
    wanted
}

fn of_scan(scan: &TableScan) -> Wanted {
    let schema = scan.source.schema();
    let predicates: Vec<Predicate> = scan.filters.iter().filter_map(|filter| predicate(filter, &schema)).collect();
    let predicate = match predicates.len() {
        0 | 1 => predicates.into_iter().next(),
        _ => Some(Predicate::And(predicates)),
    };
    let Some(projection) = scan.projection.as_ref().filter(|projection| projection.len() < schema.fields().len())
    else {
        return Wanted { columns: Columns::All, predicate };
    };
    let mut names: BTreeSet<String> = projection.iter().map(|index| schema.field(*index).name().clone()).collect();
    predicate.iter().for_each(|predicate| predicate.columns(&mut names));
    Wanted { columns: Columns::Named(names), predicate }
}

/// Returns the predicate that is exactly an expression, if there is one.
fn predicate(expr: &Expr, schema: &SchemaRef) -> Option<Predicate> {
    match expr {
        Expr::Alias(alias) => predicate(&alias.expr, schema),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            Some(Predicate::And(vec![predicate(left, schema)?, predicate(right, schema)?]))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(Predicate::Or(vec![predicate(left, schema)?, predicate(right, schema)?]))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
            (column, Expr::Literal(value, _)) => compare(column, comparison(*op)?, value, schema),
            (Expr::Literal(value, _), column) => compare(column, comparison(op.swap()?)?, value, schema),
            _ => None,
        },
        Expr::Not(inner) => Some(Predicate::Not(Box::new(predicate(inner, schema)?))),
        Expr::IsNull(inner) => Some(Predicate::IsNull(column(inner, schema)?.0)),
        Expr::IsNotNull(inner) => Some(Predicate::IsNotNull(column(inner, schema)?.0)),
        Expr::Column(_) => {
            let (name, data_type) = column(expr, schema)?;
            let boolean = data_type == DataType::Boolean;
            boolean.then_some(Predicate::Compare(name, Comparison::Equal, Scalar::Boolean(true)))
        }
        Expr::Between(between) => {
            let low =
                constant(&between.low).and_then(|low| compare(&between.expr, Comparison::GreaterOrEqual, low, schema));
            let high =
                constant(&between.high).and_then(|high| compare(&between.expr, Comparison::LessOrEqual, high, schema));
            negated(between.negated, Predicate::And(vec![low?, high?]))
        }
        Expr::InList(list) => {
            let equal = |value: &Expr| compare(&list.expr, Comparison::Equal, constant(value)?, schema);
            let all: Option<Vec<Predicate>> = list.list.iter().map(equal).collect();
            negated(list.negated, Predicate::Or(all?))
        }
        _ => None,
    }
}

fn negated(negated: bool, predicate: Predicate) -> Option<Predicate> {
    Some(if negated { Predicate::Not(Box::new(predicate)) } else { predicate })
}

fn constant(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn comparison(operator: Operator) -> Option<Comparison> {
    match operator {
        Operator::Eq => Some(Comparison::Equal),
        Operator::NotEq => Some(Comparison::NotEqual),
        Operator::Lt => Some(Comparison::Less),
        Operator::LtEq => Some(Comparison::LessOrEqual),
        Operator::Gt => Some(Comparison::Greater),
        Operator::GtEq => Some(Comparison::GreaterOrEqual),
        _ => None,
    }
}

fn column(expr: &Expr, schema: &SchemaRef) -> Option<(String, DataType)> {
    let Expr::Column(column) = expr else { return None };
    let field = schema.field_with_name(&column.name).ok()?;
    Some((field.name().clone(), field.data_type().clone()))
}

fn compare(expr: &Expr, comparison: Comparison, value: &ScalarValue, schema: &SchemaRef) -> Option<Predicate> {
    if value.is_null() {
        return None;
    }
    let inner = match expr {
        Expr::Cast(cast) => cast.expr.as_ref(),
        other => other,
    };
    let (name, data_type) = column(inner, schema)?;
    if let (true, Some(whole)) = (data_type.is_integer(), integer(value)) {
        // A cast between integers keeps the value; one to a float is seen below.
        let widened = std::ptr::eq(inner, expr) || value.data_type().is_integer();
        return (widened && fits(whole, &data_type)).then_some(Predicate::Compare(
            name,
            comparison,
            Scalar::Int64(whole),
        ));
    }
    if let (true, ScalarValue::Float64(Some(value))) = (data_type.is_integer(), value) {
        return against_float(name, &data_type, comparison, *value);
    }
    if !std::ptr::eq(inner, expr) {
        return None;
    }
    if let (ScalarValue::Float64(Some(value)), DataType::Float64) = (value, &data_type) {
        return in_order_of_bits(&name, comparison, *value);
    }
    let scalar = match (value, &data_type) {
        (ScalarValue::Boolean(Some(value)), DataType::Boolean) => Scalar::Boolean(*value),
        (ScalarValue::Utf8(Some(value)), DataType::Utf8) => Scalar::Utf8(value.clone()),
        (ScalarValue::Date32(Some(value)), DataType::Date32) => Scalar::Date(*value),
        (ScalarValue::TimestampMicrosecond(Some(value), zone), DataType::Timestamp(TimeUnit::Microsecond, own))
            if zone == own =>
        {
            Scalar::TimestampMicros(*value)
        }
        _ => return None,
    };
    Some(Predicate::Compare(name, comparison, scalar))
}

/// A source compares floats by their bits: -0.0 below 0.0, and a NaN with a sign below all. In a query zeros are equal and
/// every NaN is the greatest.
fn in_order_of_bits(name: &str, comparison: Comparison, value: f64) -> Option<Predicate> {
    if value.is_nan() {
        return None;
    }
    let is = |comparison, value| Predicate::Compare(name.to_owned(), comparison, Scalar::Float64(value));
    let no_signed_nan = || is(Comparison::GreaterOrEqual, f64::NEG_INFINITY);
    let signed_nan = || is(Comparison::Less, f64::NEG_INFINITY);
    let zero = value == 0.0;
    let (low, high) = if zero { (-0.0, 0.0) } else { (value, value) };
    let zeros = || Predicate::And(vec![is(Comparison::GreaterOrEqual, low), is(Comparison::LessOrEqual, high)]);
    Some(match comparison {
        Comparison::Equal if zero => zeros(),
        Comparison::NotEqual if zero => Predicate::Not(Box::new(zeros())),
        Comparison::Equal | Comparison::NotEqual => is(comparison, value),
        Comparison::Less => Predicate::And(vec![is(comparison, low), no_signed_nan()]),
        Comparison::LessOrEqual => Predicate::And(vec![is(comparison, high), no_signed_nan()]),
        Comparison::Greater => Predicate::Or(vec![is(comparison, high), signed_nan()]),
        Comparison::GreaterOrEqual => Predicate::Or(vec![is(comparison, low), signed_nan()]),
    })
}

fn integer(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int8(value) => value.map(i64::from),
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) => value.map(i64::from),
        ScalarValue::Int64(value) => *value,
        ScalarValue::UInt8(value) => value.map(i64::from),
        ScalarValue::UInt16(value) => value.map(i64::from),
        ScalarValue::UInt32(value) => value.map(i64::from),
        ScalarValue::UInt64(value) => value.and_then(|value| i64::try_from(value).ok()),
        _ => None,
    }
}

/// The constant must have the column's own type, so it must be one of its values.
fn fits(value: i64, data_type: &DataType) -> bool {
    match data_type {
        DataType::Int8 => i8::try_from(value).is_ok(),
        DataType::Int16 => i16::try_from(value).is_ok(),
        DataType::Int32 => i32::try_from(value).is_ok(),
        DataType::Int64 => true,
        DataType::UInt8 => u8::try_from(value).is_ok(),
        DataType::UInt16 => u16::try_from(value).is_ok(),
        DataType::UInt32 => u32::try_from(value).is_ok(),
        DataType::UInt64 => value >= 0,
        _ => false,
    }
}

/// `integer > 15.5` is `integer > 15`: exact as long as the float lies where float64 tells integers apart.
fn against_float(name: String, data_type: &DataType, comparison: Comparison, value: f64) -> Option<Predicate> {
    if value.is_nan() || value.abs() >= EXACT_MAX {
        return None;
    }
    let rounded = match comparison {
        Comparison::Greater | Comparison::LessOrEqual => value.floor(),
        Comparison::GreaterOrEqual | Comparison::Less => value.ceil(),
        Comparison::Equal | Comparison::NotEqual if value.fract() == 0.0 => value,
        Comparison::Equal | Comparison::NotEqual => return None,
    };
    let whole = rounded as i64;
    fits(whole, data_type).then_some(Predicate::Compare(name, comparison, Scalar::Int64(whole)))
}
