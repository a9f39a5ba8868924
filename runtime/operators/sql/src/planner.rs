//! Plans a query over known columns: from syntax to a hardened DataFusion plan, or all faults with their places.
//!
//! Called by `bind`, and again at run time when the columns of an input are not those of `bind`.
//! Invariant: a plan that comes out has unique, typed, plain output columns.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError};
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, TableSource, cast};
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, Query as Ast, SelectItem, SetExpr, Spanned, Statement, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use rde_core::Error;

use crate::codes;
use crate::faults::{Fault, plan_fault};
use crate::functions::{Registry, Tables};
use crate::place::Text;
use crate::query::Query;
use crate::rewrite::harden;

/// Most faults of one query that are looked for.
const FAULTS_MAX: usize = 20;

/// An input as a table: its name and columns.
pub type Table = (String, SchemaRef);

/// Plans a query.
pub fn plan(query: &Query, tables: &[Table]) -> Result<LogicalPlan, Vec<Error>> {
    let planned = to_plan(&query.statement, tables).map_err(|error| all_faults(query, tables, &error))?;
    let plan = plain_output(planned).map_err(|error| vec![plan_fault(&error, &query.text).error])?;
    let faults = output_faults(&plan, &query.text);
    if faults.is_empty() { Ok(plan) } else { Err(faults) }
}

/// A table that says of every filter that it may apply it, so that the optimizer tells which ones reach it.
#[derive(Debug)]
struct Described {
    schema: SchemaRef,
}

impl TableSource for Described {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::common::Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

fn to_plan(statement: &Statement, tables: &[Table]) -> Result<LogicalPlan, DataFusionError> {
    let source = |schema: &SchemaRef| Arc::new(Described { schema: Arc::clone(schema) }) as Arc<dyn TableSource>;
    let sources: HashMap<_, _> = tables.iter().map(|(name, schema)| (name.clone(), source(schema))).collect();
    let context = Tables { sources };
    let options = ParserOptions::from(&Registry::shared().options().sql_parser);
    let planned = SqlToRel::new_with_options(&context, options).sql_statement_to_plan(statement.clone())?;
    harden(planned)
}

/// Casts what a batch must not carry between operators, string and binary views, and puts names right.
fn plain_output(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let unnested = unnested_names(&plan);
    let name = |field: &Arc<Field>| output_name(field.name(), &unnested);
    let stays =
        |field: &Arc<Field>| plain_type(field.data_type()) == *field.data_type() && name(field) == *field.name();
    if plan.schema().fields().iter().all(stays) {
        return Ok(plan);
    }
    let expressions: Vec<Expr> = plan
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let column = Expr::Column(Column::from((qualifier, field)));
            match plain_type(field.data_type()) {
                _ if stays(field) => column,
                plain if plain == *field.data_type() => column.alias(name(field)),
                plain => cast(column, plain).alias(name(field)),
            }
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(expressions)?.build()
}

/// The names of columns that `unnest` makes where it has no alias: a struct's are those of its fields, a list's is
/// `unnest(list)`.
fn unnested_names(plan: &LogicalPlan) -> HashMap<String, String> {
    let mut names = HashMap::new();
    let walked = plan.apply(|node| {
        if let LogicalPlan::Unnest(unnest) = node {
            let inputs = unnest.input.schema();
            let mut fields: HashMap<usize, usize> = HashMap::new();
            for (field, from) in unnest.schema.fields().iter().zip(&unnest.dependency_indices) {
                let DataType::Struct(all) = inputs.field(*from).data_type() else { continue };
                if unnest.struct_type_columns.contains(from) {
                    let next = fields.entry(*from).or_default();
                    names.extend(all.get(*next).map(|own| (field.name().clone(), own.name().clone())));
                    *next += 1;
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("reading names off a plan cannot fail");
    let walked = plan.apply(|node| {
        if let LogicalPlan::Projection(projection) = node {
            for expr in &projection.expr {
                let Expr::Alias(alias) = expr else { continue };
                let Expr::Column(column) = alias.expr.as_ref() else { continue };
                if let Some(field) = names.get(&column.name).cloned() {
                    names.insert(alias.name.clone(), field);
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("reading names off a plan cannot fail");
    names
}

fn output_name(name: &str, unnested: &HashMap<String, String>) -> String {
    if let Some(field) = unnested.get(name) {
        return field.clone();
    }
    let list = name.strip_prefix("__unnest_placeholder(").or_else(|| name.strip_prefix("UNNEST("));
    let Some(list) = list else { return name.to_owned() };
    let list = list.split(')').next().unwrap_or(list);
    format!("unnest({})", list.rsplit('.').next().unwrap_or(list))
}

fn plain_type(data_type: &DataType) -> DataType {
    let inner = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_data_type(plain_type(field.data_type())));
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(field) | DataType::ListView(field) => DataType::List(inner(field)),
        DataType::LargeList(field) => DataType::LargeList(inner(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    }
}

fn output_faults(plan: &LogicalPlan, text: &Text) -> Vec<Error> {
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for field in plan.schema().fields() {
        let name = field.name();
        let place = text.word(name).map_or(text.whole(), |range| text.place(range));
        if !seen.insert(name) {
            let place = text.alias(name).or_else(|| text.second_word(name)).map_or(place, |range| text.place(range));
            let error = Error::config(&codes::DUPLICATE_OUTPUT, format!("two columns are named `{name}`"));
            faults.push(error.at(place).help("give one of them another name"));
        } else if field.data_type().is_null() {
            let error = Error::config(&codes::UNTYPED_OUTPUT, format!("output column `{name}` has no type"));
            faults.push(error.at(place).help("write `CAST(NULL AS type)`"));
        }
    }
    faults
}

/// Looks for more faults behind the first: each faulty name is cut out and the rest planned again.
fn all_faults(query: &Query, tables: &[Table], first: &DataFusionError) -> Vec<Error> {
    let mut fault = plan_fault(first, &query.text);
    if !fault.local {
        return vec![narrowed(query, tables, fault)];
    }
    let mut faults = Vec::new();
    let mut statement = query.statement.clone();
    let mut reported = Vec::new();
    while faults.len() < FAULTS_MAX {
        let Some(range) = fault.range.clone() else {
            faults.push(fault.error);
            break;
        };
        // A place found by its word only can be that of an earlier use.
        if reported.contains(&range) {
            break;
        }
        faults.push(fault.error);
        reported.push(range.clone());
        let mut cut = Cut { text: &query.text, range, done: false };
        let _flow = VisitMut::visit(&mut statement, &mut cut);
        if !cut.done {
            break;
        }
        match to_plan(&statement, tables) {
            Ok(_) => break,
            Err(error) => fault = plan_fault(&error, &query.text),
        }
        // What is not about a name may follow from the cuts.
        if !fault.local {
            break;
        }
    }
    faults
}

/// Puts NULL in place of the expression that holds some characters and as little else as possible.
struct Cut<'a> {
    text: &'a Text,
    range: std::ops::Range<usize>,
    done: bool,
}

impl VisitorMut for Cut<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
        let holds = self
            .text
            .span(expr.span())
            .is_some_and(|range| range.start <= self.range.start && range.end >= self.range.end);
        if holds {
            *expr = null();
            self.done = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

fn null() -> SqlExpr {
    SqlExpr::Value(Value::Null.with_empty_span())
}

/// Finds the output column or clause that a fault without place lies in, by planning the query without each in turn.
fn narrowed(query: &Query, tables: &[Table], fault: Fault) -> Error {
    let Statement::Query(ast) = &query.statement else { return fault.error };
    if fault.range.is_some() {
        return fault.error;
    }
    for part in 0..parts(ast) {
        let mut trial = ast.clone();
        let Some(span) = cut_part(&mut trial, part) else { continue };
        if to_plan(&Statement::Query(trial), tables).is_ok() {
            return match query.text.span(span) {
                Some(range) => fault.error.at(query.text.place(range)),
                None => fault.error,
            };
        }
    }
    fault.error
}

fn parts(ast: &Ast) -> usize {
    match ast.body.as_ref() {
        SetExpr::Select(select) => select.projection.len() + 1,
        _ => 0,
    }
}

fn cut_part(ast: &mut Ast, part: usize) -> Option<Span> {
    let SetExpr::Select(select) = ast.body.as_mut() else { return None };
    let count = select.projection.len();
    let expr = match select.projection.get_mut(part) {
        Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => expr,
        None if part == count => select.selection.as_mut()?,
        _ => return None,
    };
    let span = expr.span();
    *expr = null();
    Some(span)
}
