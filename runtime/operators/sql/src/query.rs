//! Reads the text of a query: one SELECT, its tables, and whether it can run per batch.
//!
//! First step of the operator, called by `parse`. What is refused here is refused with all its places at once.
//! Invariant: nothing that DataFusion's planner would ignore in silence passes.
//! Not here: names and types of columns (`planner`).

use std::ops::{ControlFlow, Range};

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Distinct, Expr, GroupByExpr, Ident, LimitClause, ObjectName, Query as Ast, Select, SelectItem,
    SetExpr, SetOperator, SetQuantifier, Spanned, Statement, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
    visit_expressions,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Span;
use rde_core::{Code, Error};

use crate::functions::Registry;
use crate::place::{Text, location_in};
use crate::{QUERY_BYTES_MAX, codes};

/// Most levels of parentheses and subqueries.
const DEPTH_MAX: usize = 50;
/// Most operators one upon another.
pub const OPERATORS_MAX: usize = 128;
/// Endings by which a quoted name in FROM is seen to be a file.
const FILE_ENDINGS: [&str; 9] = [".csv", ".json", ".jsonl", ".ndjson", ".parquet", ".avro", ".arrow", ".gz", ".zst"];

/// One SELECT as it was written.
#[derive(Clone, Debug)]
pub struct Query {
    /// The text, for places.
    pub text: Text,
    /// The statement, its unnamed expressions named by their own text.
    pub statement: Statement,
    /// The tables it reads, in the order of the text.
    pub tables: Vec<TableUse>,
    /// What makes it need whole inputs, as far as the text alone tells.
    pub whole: Option<String>,
}

/// A table named in FROM.
#[derive(Clone, Debug)]
pub struct TableUse {
    /// The name, folded unless it was quoted.
    pub name: String,
    /// As written, without quotes.
    pub written: String,
    /// Where.
    pub range: Option<Range<usize>>,
}

impl Query {
    /// Reads a text; returns every fault that the text alone shows.
    pub fn parse(text: &str) -> Result<Query, Vec<Error>> {
        if text.len() > QUERY_BYTES_MAX {
            let message = format!("the query has {} bytes, more than {QUERY_BYTES_MAX}", text.len());
            let help = "split it over several `sql` operators";
            return Err(vec![Error::config(&codes::QUERY_TOO_LONG, message).at(Text::new("").whole()).help(help)]);
        }
        let text = Text::new(text);
        let mut statement = only_statement(&text).map_err(|error| vec![error])?;
        let mut walk = Walk { text: &text, faults: Vec::new(), tables: Vec::new(), whole: None, scopes: Vec::new() };
        let _flow = Visit::visit(&statement, &mut walk);
        let Walk { faults, tables, whole, .. } = walk;
        if !faults.is_empty() {
            return Err(faults);
        }
        let _flow = VisitMut::visit(&mut statement, &mut Naming);
        Ok(Query { text, statement, tables, whole })
    }
}

fn only_statement(text: &Text) -> Result<Statement, Error> {
    // One level is the query itself.
    let depth = text.depth().saturating_sub(1);
    if depth > OPERATORS_MAX {
        let message = format!("the query has {depth} operators one upon another, more than {OPERATORS_MAX}");
        let help = "write `x IN (...)` in place of many `OR`s, or split the query over several `sql` operators";
        return Err(Error::config(&codes::QUERY_TOO_DEEP, message).at(text.whole()).help(help));
    }
    let parsed = Parser::new(&GenericDialect {})
        .with_recursion_limit(DEPTH_MAX)
        .try_with_sql(text.as_str())
        .and_then(|mut parser| parser.parse_statements());
    let mut statements = match parsed {
        Ok(statements) => statements,
        Err(error) => return Err(not_select_or(text, syntax_fault(text, &error))),
    };
    if statements.len() > 1 {
        let place = text.after_semicolon().map_or(text.whole(), |range| text.place(range));
        let message = format!("the query has {} statements", statements.len());
        return Err(Error::config(&codes::NOT_A_SELECT, message).at(place).help("write one SELECT"));
    }
    match statements.pop() {
        Some(statement @ Statement::Query(_)) => Ok(statement),
        Some(_) => Err(not_select(text)),
        None => {
            Err(Error::config(&codes::NOT_A_SELECT, "the query is empty").at(text.whole()).help("write one SELECT"))
        }
    }
}

/// A text that cannot be read and does not begin like a SELECT is told so, since the parser's message would mislead.
fn not_select_or(text: &Text, fault: Error) -> Error {
    let starts = ["SELECT", "WITH", "FROM", "VALUES", "(", "TABLE"];
    let first = text.first_word().unwrap_or_default().to_uppercase();
    let statement = ["COPY", "CREATE", "INSERT", "UPDATE", "DELETE", "DROP", "ALTER", "SET", "SHOW", "EXPLAIN", "USE"];
    if !starts.contains(&first.as_str()) && statement.contains(&first.as_str()) { not_select(text) } else { fault }
}

fn not_select(text: &Text) -> Error {
    let word = text.first_word().unwrap_or_default().to_uppercase();
    let place = text.word(&word).map_or(text.whole(), |range| text.place(range));
    Error::config(&codes::NOT_A_SELECT, format!("`{word}` is no SELECT")).at(place).help(
        "a `sql` operator turns input rows into output rows: write one SELECT; reading and writing is done by sources and sinks",
    )
}

fn syntax_fault(text: &Text, error: &ParserError) -> Error {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.clone(),
        ParserError::RecursionLimitExceeded => {
            let message = format!("the query nests deeper than {DEPTH_MAX} levels");
            return Error::config(&codes::SYNTAX, message)
                .at(text.whole())
                .help("use common table expressions (WITH) in place of nesting");
        }
    };
    let location = location_in(&message);
    let place = location.map_or(text.whole(), |at| text.place(text.token_at(at)));
    let plain = message.split(" at Line: ").next().unwrap_or(&message).trim_end_matches('.');
    Error::config(&codes::SYNTAX, format!("not SQL: {}", lower_first(plain)))
        .at(place)
        .help("the mistake is here or just before")
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

/// Returns a name as SQL reads it.
pub fn normalize(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// Common table expressions of one query level.
#[derive(Debug, Default)]
struct Scope {
    /// The address of each expression's query and its name.
    ctes: Vec<(usize, String)>,
    /// Names that may be used already.
    active: Vec<String>,
}

struct Walk<'a> {
    text: &'a Text,
    faults: Vec<Error>,
    tables: Vec<TableUse>,
    whole: Option<String>,
    scopes: Vec<Scope>,
}

impl Walk<'_> {
    fn fault(&mut self, code: &'static Code, span: Span, message: impl Into<String>, help: &str) {
        let place = self.text.span(span).map_or(self.text.whole(), |range| self.text.place(range));
        self.faults.push(Error::config(code, message).at(place).help(help));
    }

    fn needs_whole(&mut self, why: impl Into<String>) {
        self.whole.get_or_insert_with(|| why.into());
    }

    fn unsupported(&mut self, span: Span, what: &str) {
        self.fault(&codes::UNSUPPORTED, span, format!("{what} is not supported in a query"), "leave it out");
    }

    fn table(&mut self, name: &ObjectName) {
        let span = name.span();
        let [part] = name.0.as_slice() else {
            let message = format!("table name `{name}` has several parts");
            self.fault(&codes::UNKNOWN_TABLE, span, message, "a table is the id of an operator that sends to this one");
            return;
        };
        let Some(ident) = part.as_ident() else {
            let help = "only UNNEST may stand in FROM beside tables";
            return self.fault(&codes::TABLE_FUNCTION, span, format!("`{name}` is a function in FROM"), help);
        };
        let lower = ident.value.to_lowercase();
        let file = lower.contains('/') || lower.contains("://") || FILE_ENDINGS.iter().any(|end| lower.ends_with(end));
        if file || ident.quote_style == Some('\'') {
            let message = format!("`{}` is a file or URL, no table", ident.value);
            let help = "add a source that reads it and an edge to here";
            let range = self.text.span(span).or_else(|| self.text.quoted(&ident.value));
            let place = range.map_or(self.text.whole(), |range| self.text.place(range));
            self.faults.push(Error::config(&codes::FILE_AS_TABLE, message).at(place).help(help));
            return;
        }
        let table = normalize(ident);
        if !self.scopes.iter().any(|scope| scope.active.contains(&table)) {
            let (written, range) = (ident.value.clone(), self.text.span(span));
            self.tables.push(TableUse { name: table, written, range });
        }
    }

    fn set_expression(&mut self, body: &SetExpr) {
        match body {
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                if *op != SetOperator::Union || *set_quantifier != SetQuantifier::All {
                    self.needs_whole(format!("`{op}`"));
                }
                if *op != SetOperator::Union && *set_quantifier == SetQuantifier::All {
                    self.counted_set(*op, left.span());
                }
                self.set_expression(left);
                self.set_expression(right);
            }
            SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) | SetExpr::Merge(inner) => {
                let span = inner.span();
                self.fault(&codes::NOT_A_SELECT, span, "the query changes data", "write one SELECT");
            }
            SetExpr::Table(_) => self.unsupported(Span::empty(), "`TABLE name`"),
            SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => {}
        }
    }

    /// DataFusion plans it as a join that does not count how often a row stands on each side.
    fn counted_set(&mut self, operator: SetOperator, left: Span) {
        let name = operator.to_string();
        let behind = self.text.token_at(left.end);
        let found = self.text.slice(&behind).eq_ignore_ascii_case(&name);
        let range = if found { Some(behind) } else { self.text.word(&name) };
        let place = range.map_or(self.text.whole(), |range| self.text.place(range));
        let message = format!("`{name} ALL` is not supported in a query");
        let help = format!(
            "leave ALL out, or number equal rows on both sides with `row_number() OVER (PARTITION BY ...)` and use {name} \
             over rows and numbers"
        );
        self.faults.push(Error::config(&codes::UNSUPPORTED, message).at(place).help(help));
    }

    fn clauses(&mut self, query: &Ast) {
        if query.order_by.is_some() {
            self.needs_whole("`ORDER BY`");
        }
        if query.limit_clause.is_some() || query.fetch.is_some() {
            self.needs_whole("`LIMIT`");
        }
        if let Some(with) = query.with.as_ref().filter(|with| with.recursive) {
            let span = with.with_token.0.span;
            self.fault(
                &codes::UNSUPPORTED,
                span,
                "`WITH RECURSIVE` is not supported",
                "write the steps out, or leave it out",
            );
        }
        let extras = [
            (!query.locks.is_empty(), "`FOR UPDATE`"),
            (query.for_clause.is_some(), "`FOR`"),
            (query.settings.is_some(), "`SETTINGS`"),
            (query.format_clause.is_some(), "`FORMAT`"),
            (!query.pipe_operators.is_empty(), "`|>`"),
        ];
        for (_, what) in extras.into_iter().filter(|(found, _)| *found) {
            self.unsupported(Span::empty(), what);
        }
    }
}

impl Visitor for Walk<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Ast) -> ControlFlow<()> {
        self.clauses(query);
        self.set_expression(&query.body);
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        let ctes = ctes.map(|cte| (std::ptr::from_ref(&*cte.query).addr(), normalize(&cte.alias.name))).collect();
        self.scopes.push(Scope { ctes, active: Vec::new() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Ast) -> ControlFlow<()> {
        self.scopes.pop();
        let address = std::ptr::from_ref(query).addr();
        if let Some(scope) = self.scopes.last_mut() {
            let defined = scope.ctes.iter().filter(|(cte, _)| *cte == address).map(|(_, name)| name.clone());
            scope.active.extend(defined);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let joined = |factor: &TableFactor| !matches!(factor, TableFactor::UNNEST { .. });
        let tables: Vec<&TableFactor> = select
            .from
            .iter()
            .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)))
            .collect();
        if tables.iter().filter(|factor| joined(factor)).count() > 1 {
            self.needs_whole("a join");
        }
        let whole = [
            (select.distinct.is_some(), "`DISTINCT`"),
            (
                !matches!(&select.group_by, datafusion::sql::sqlparser::ast::GroupByExpr::Expressions(by, with) if by.is_empty() && with.is_empty()),
                "`GROUP BY`",
            ),
            (select.having.is_some(), "`HAVING`"),
            (select.qualify.is_some(), "`QUALIFY`"),
        ];
        for (_, what) in whole.into_iter().filter(|(found, _)| *found) {
            self.needs_whole(what);
        }
        let span = select.select_token.0.span;
        let refused = [
            (!select.optimizer_hints.is_empty(), "an optimizer hint"),
            (select.top.is_some(), "`TOP`"),
            (select.into.is_some(), "`SELECT INTO`"),
            (!select.lateral_views.is_empty(), "`LATERAL VIEW`"),
            (select.prewhere.is_some(), "`PREWHERE`"),
            (!select.connect_by.is_empty(), "`CONNECT BY`"),
            (!select.cluster_by.is_empty(), "`CLUSTER BY`"),
            (!select.distribute_by.is_empty(), "`DISTRIBUTE BY`"),
            (!select.sort_by.is_empty(), "`SORT BY`"),
            (select.value_table_mode.is_some(), "`AS VALUE` or `AS STRUCT`"),
            // The planner has no answer for it; `first_value(..)` with GROUP BY has.
            (matches!(select.distinct, Some(Distinct::On(_))), "`DISTINCT ON`"),
        ];
        for (_, what) in refused.into_iter().filter(|(found, _)| *found) {
            self.unsupported(span, what);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } => {
                let message = format!("function `{name}` stands in FROM");
                self.fault(
                    &codes::TABLE_FUNCTION,
                    name.span(),
                    message,
                    "tables are the operators that send to this one",
                );
            }
            TableFactor::Table {
                name,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
                ..
            } => {
                let plain =
                    with_hints.is_empty() && version.is_none() && partitions.is_empty() && index_hints.is_empty();
                if !plain || *with_ordinality || json_path.is_some() || sample.is_some() {
                    self.unsupported(name.span(), "a hint, sample, version or path behind a table");
                }
                self.table(name);
            }
            TableFactor::Derived { sample: None, .. } | TableFactor::UNNEST { .. } | TableFactor::NestedJoin { .. } => {
            }
            TableFactor::Derived { .. } => self.unsupported(factor.span(), "`TABLESAMPLE`"),
            TableFactor::TableFunction { .. } | TableFactor::Function { .. } => {
                let help = "tables are the operators that send to this one";
                self.fault(&codes::TABLE_FUNCTION, factor.span(), "a function stands in FROM", help);
            }
            _ => self.unsupported(factor.span(), "this kind of table"),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                let name = function.name.to_string().to_lowercase();
                if function.over.is_some() {
                    self.needs_whole(format!("window function `{name}`"));
                } else if Registry::shared().is_aggregate(&name) {
                    self.needs_whole(format!("aggregate function `{name}`"));
                }
            }
            Expr::Subquery(query) => {
                self.needs_whole("a subquery");
                // Of several rows the planner would make a cross join: an answer, and a wrong one.
                if !gives_one_row(query) {
                    let message = "a subquery used as a value may give several rows";
                    let help = "make it one row: an aggregate without GROUP BY, or LIMIT 1; or write a join";
                    self.fault(&codes::UNSUPPORTED, query.span(), message, help);
                }
            }
            Expr::Exists { .. } | Expr::InSubquery { .. } => self.needs_whole("a subquery"),
            Expr::BinaryOp { op: BinaryOperator::PGBitwiseShiftLeft | BinaryOperator::PGBitwiseShiftRight, .. } => {
                // A shift wraps, and integers here never do.
                self.unsupported(expr.span(), "a shift");
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &datafusion::sql::sqlparser::ast::ValueWithSpan) -> ControlFlow<()> {
        if matches!(value.value, datafusion::sql::sqlparser::ast::Value::Placeholder(_)) {
            let help = "write the value, or a variable `${NAME}` of the pipeline file";
            self.fault(&codes::UNSUPPORTED, value.span, format!("placeholder `{}` has no value", value.value), help);
        }
        ControlFlow::Continue(())
    }
}

/// Returns whether a subquery has one row at most by its form: an aggregate over all its rows, or `LIMIT 1`.
fn gives_one_row(query: &Ast) -> bool {
    if let Some(LimitClause::LimitOffset { limit: Some(limit), .. }) = &query.limit_clause
        && ["0", "1"].contains(&limit.to_string().as_str())
    {
        return true;
    }
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, with) if by.is_empty() && with.is_empty());
    !grouped && select.projection.iter().any(has_aggregate)
}

fn has_aggregate(item: &SelectItem) -> bool {
    let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { return false };
    let found = visit_expressions(expr, |expr| match expr {
        Expr::Function(function) if function.over.is_none() => {
            let aggregate = Registry::shared().is_aggregate(&function.name.to_string().to_lowercase());
            if aggregate { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Names each expression without alias by its own text, in every SELECT: the planner's names show its inner types.
struct Naming;

impl VisitorMut for Naming {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            let SelectItem::UnnamedExpr(expr) = item else { continue };
            if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) || is_unnest(expr) {
                continue;
            }
            let alias = Ident::with_quote('"', expr.to_string());
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
        ControlFlow::Continue(())
    }
}

/// A struct is unnested into several columns, which one alias cannot name.
fn is_unnest(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("unnest"))
}
