//! DataFusion's errors as ours: with code, place and help before a run, with code and message for rows.
//!
//! Invariant: every error that DataFusion can give has a code; what is not known to be the user's is `INTERNAL`.

use std::collections::BTreeSet;
use std::ops::Range;

use arrow::error::ArrowError;
use datafusion::common::diagnostic::Diagnostic;
use datafusion::common::{Column, DataFusionError, SchemaError};
use rde_core::{Code, Error, ErrorKind};

use crate::codes;
use crate::functions::Registry;
use crate::place::{Text, list, nearest};

/// A fault of planning, and the characters that it lies in.
pub struct Fault {
    /// For the user.
    pub error: Error,
    /// Where, if known.
    pub range: Option<Range<usize>>,
    /// Whether the faulty part can be cut out to look for more faults.
    pub local: bool,
}

/// Turns an error of the planner into a fault.
pub fn plan_fault(error: &DataFusionError, text: &Text) -> Fault {
    let (diagnostic, root) = unwrap(error);
    let span = diagnostic.and_then(|diagnostic| diagnostic.span).and_then(|span| text.plan_span(span));
    if let DataFusionError::SchemaError(schema, _) = root {
        return schema_fault(schema, span, text);
    }
    let message = plain(root);
    if let Some(name) = between(&message, "Invalid function '", "'") {
        let range = span.or_else(|| text.word(name));
        let suggestion = nearest(name, Registry::shared().names());
        let help = suggestion.map_or("look at the reference for the functions there are".to_owned(), |near| {
            format!("did you mean `{near}`?")
        });
        let error = Error::config(&codes::UNKNOWN_FUNCTION, format!("unknown function `{name}`")).help(help);
        return placed(error, range, text, true);
    }
    if message.contains("require unique expression names") {
        let name =
            between(&message, "expression \"", "\"").and_then(|name| name.rsplit('.').next()).unwrap_or_default();
        return twice(name, text);
    }
    if let Some(fault) = function_fault(&message, span.clone(), text).or_else(|| group_fault(&message, text)) {
        return fault;
    }
    let range = span.or_else(|| quoted_word(&message, text));
    let (code, help): (&'static Code, _) = match root {
        DataFusionError::NotImplemented(_) => (&codes::UNSUPPORTED, "write it another way"),
        DataFusionError::Internal(_) => (&codes::INTERNAL, "please report this query"),
        _ => (&codes::PLAN, "look at the types of the inputs with `rde graph`, and add a CAST where they differ"),
    };
    placed(Error::config(code, first_line(&message)).help(help), range, text, false)
}

/// Turns an error of making a planned query ready to run into a refusal of the query. Values are not at hand then, so only a
/// constant expression that fails is the query's own fault.
pub fn cannot_run(error: &DataFusionError, text: &Text) -> Error {
    let (code, message) = row_fault(error);
    let refused = if matches!(unwrap(error).1, DataFusionError::Plan(_)) {
        Error::config(&codes::PLAN, message).help("correct the query")
    } else if is_row(code) {
        Error::config(code, message).help("the expression fails for every row: correct it")
    } else {
        let message = format!("this query can be read but not run: {message}");
        Error::config(&codes::UNSUPPORTED, message)
            .help("write it another way; a correlated subquery often becomes a join, and a window function goes into a subquery in FROM")
    };
    refused.at(text.whole())
}

/// A function that does not take its arguments' types; DataFusion's message lists every way it could have been called.
fn function_fault(message: &str, span: Option<Range<usize>>, text: &Text) -> Option<Fault> {
    let name = between(message, "function '", "'")?;
    let received = between(message, "but received ", " (")?;
    let takes: BTreeSet<&str> = message.split(" requires ").skip(1).filter_map(|tail| tail.split(',').next()).collect();
    let takes: Vec<&str> = takes.into_iter().collect();
    let message = format!("function `{name}` takes {}, not {received}", takes.join(" or "));
    let error = Error::config(&codes::PLAN, message).help("add a CAST, or use another function");
    Some(placed(error, span.or_else(|| text.word(name)), text, true))
}

/// A column that is neither grouped by nor aggregated.
fn group_fault(message: &str, text: &Text) -> Option<Fault> {
    let tail = message.split_once("must appear in the GROUP BY clause")?.0;
    let name = tail.rsplit('"').nth(1)?.rsplit('.').next()?;
    let error =
        Error::config(&codes::PLAN, format!("column `{name}` is neither in GROUP BY nor in an aggregate function"));
    let error = error.help(format!("add it to GROUP BY, or take one value of each group, for example `max({name})`"));
    Some(placed(error, text.word(name), text, false))
}

fn placed(error: Error, range: Option<Range<usize>>, text: &Text, local: bool) -> Fault {
    let place = range.clone().map_or(text.whole(), |range| text.place(range));
    Fault { error: error.at(place), range, local }
}

fn schema_fault(schema: &SchemaError, span: Option<Range<usize>>, text: &Text) -> Fault {
    match schema {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let own = field.spans().first().and_then(|span| text.plan_span(span));
            let range = span.or(own).or_else(|| text.word(&field.name));
            // A span may take in the table of `table.column`.
            let written = range.as_ref().map_or(field.name.clone(), |range| text.slice(range));
            let error = Error::config(&codes::UNKNOWN_COLUMN, format!("unknown column `{written}`"));
            let quoted = range.as_ref().is_some_and(|range| text.slice(range).starts_with('"'));
            let help = column_help(field, valid_fields);
            let help = if quoted { format!("{help}; a text stands in single quotes") } else { help };
            placed(error.help(help), range, text, true)
        }
        SchemaError::AmbiguousReference { field } => {
            let own = field.spans().first().and_then(|span| text.plan_span(span));
            let range = span.or(own);
            // The planner says the same of `SELECT a, b AS a`: a column and an alias of one name.
            if range.is_none() || field.relation.is_none() && text.alias(&field.name).is_some() {
                return twice(&field.name, text);
            }
            let message = format!("column `{}` is in several tables", field.name);
            let error = Error::config(&codes::AMBIGUOUS_COLUMN, message).help(format!("write `table.{}`", field.name));
            placed(error, range, text, true)
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            twice(name, text)
        }
    }
}

/// Two columns of one name: the place is the alias that repeats a name, else the name's second use.
fn twice(name: &str, text: &Text) -> Fault {
    let error = Error::config(&codes::DUPLICATE_OUTPUT, format!("two columns are named `{name}`"));
    let alias = text.alias(name);
    let local = alias.is_some();
    placed(error.help("give one of them another name"), alias.or_else(|| text.second_word(name)), text, local)
}

fn column_help(field: &Column, valid: &[Column]) -> String {
    let in_reach = |column: &&Column| field.relation.is_none() || column.relation == field.relation;
    let names: Vec<&str> = valid.iter().filter(in_reach).map(|column| column.name.as_str()).collect();
    // NULL stands where an earlier fault was cut out.
    let names: Vec<&str> =
        names.into_iter().filter(|name| *name != "NULL").collect::<BTreeSet<_>>().into_iter().collect();
    let names = if names.is_empty() { valid.iter().map(|column| column.name.as_str()).collect() } else { names };
    if let Some(same) = names.iter().find(|name| name.eq_ignore_ascii_case(&field.name)) {
        return format!("names without quotes fold to lower case; write `\"{same}\"`");
    }
    match nearest(&field.name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? There are {}", list(names)),
        None if names.is_empty() => "there are no columns here".to_owned(),
        None => format!("there are {}", list(names)),
    }
}

/// Turns an error of evaluating one row, or of a whole plan, into code and message.
pub fn row_fault(error: &DataFusionError) -> (&'static Code, String) {
    let root = unwrap(error).1;
    let message = first_line(&plain(root)).to_owned();
    let code = match root {
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            ArrowError::DivideByZero => return (&codes::DIVISION_BY_ZERO, "division by zero".to_owned()),
            ArrowError::ArithmeticOverflow(_) => &codes::OVERFLOW,
            ArrowError::CastError(_) | ArrowError::ParseError(_) => &codes::CAST,
            ArrowError::ComputeError(text) if text.to_lowercase().contains("overflow") => &codes::OVERFLOW,
            ArrowError::ExternalError(_)
            | ArrowError::ComputeError(_)
            | ArrowError::InvalidArgumentError(_)
            | ArrowError::OffsetOverflowError(_) => &codes::EXPRESSION,
            _ => &codes::INTERNAL,
        },
        DataFusionError::Execution(text) if text.to_lowercase().contains("overflow") => &codes::OVERFLOW,
        DataFusionError::Execution(_) | DataFusionError::External(_) | DataFusionError::Plan(_) => &codes::EXPRESSION,
        DataFusionError::ResourcesExhausted(_) => &codes::MEMORY,
        DataFusionError::IoError(_) => &codes::SPILL,
        _ => &codes::INTERNAL,
    };
    (code, message)
}

/// Returns whether an error is the fault of a row and not of the engine or the machine.
pub fn is_row(code: &Code) -> bool {
    [&codes::DIVISION_BY_ZERO, &codes::OVERFLOW, &codes::CAST, &codes::EXPRESSION].contains(&code)
}

/// Turns the error of a whole plan into ours; an error of an input comes through as it was.
pub fn run_error(error: &DataFusionError) -> Error {
    if let DataFusionError::External(inner) = unwrap(error).1
        && let Some(ours) = inner.downcast_ref::<Error>()
    {
        return ours.clone();
    }
    let (code, message) = row_fault(error);
    if is_row(code) {
        let help = "a query over whole inputs cannot set single rows aside: guard the expression in the query, or filter \
                    such rows in a `sql` operator before this one";
        return Error::data(code, message).help(help);
    }
    match code.id {
        id if id == codes::MEMORY.id && message.contains("disk") => {
            Error::config(code, message).help("raise `settings.spill_max`")
        }
        id if id == codes::MEMORY.id => Error::config(code, message).help("raise `settings.memory_max`"),
        id if id == codes::SPILL.id => Error::config(code, message).help("check the folder `settings.spill`"),
        _ => Error::new(ErrorKind::Internal, code, message).help("please report this query"),
    }
}

/// Returns the outermost diagnostic and the innermost error.
fn unwrap(error: &DataFusionError) -> (Option<&Diagnostic>, &DataFusionError) {
    match error {
        DataFusionError::Context(_, inner) => unwrap(inner),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let (inner_diagnostic, root) = unwrap(inner);
            (inner_diagnostic.or(Some(diagnostic)), root)
        }
        DataFusionError::Shared(inner) => unwrap(inner),
        DataFusionError::Collection(all) => all.first().map_or((None, error), unwrap),
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            ArrowError::ExternalError(inner) => match inner.downcast_ref::<DataFusionError>() {
                Some(inner) => unwrap(inner),
                None => (None, error),
            },
            _ => (None, error),
        },
        _ => (None, error),
    }
}

/// The message without the words that DataFusion puts before it.
fn plain(error: &DataFusionError) -> String {
    let message = match error {
        DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
            ArrowError::CastError(text)
            | ArrowError::ParseError(text)
            | ArrowError::ArithmeticOverflow(text)
            | ArrowError::ComputeError(text)
            | ArrowError::InvalidArgumentError(text) => text.clone(),
            other => other.to_string(),
        },
        DataFusionError::Plan(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::Execution(text)
        | DataFusionError::ResourcesExhausted(text)
        | DataFusionError::Internal(text) => text.clone(),
        other => other.strip_backtrace(),
    };
    let mut characters = message.trim().chars();
    let first = characters.next();
    let second = characters.clone().next();
    match first {
        // An acronym stays as it is.
        Some(first) if !second.is_some_and(char::is_uppercase) => first.to_lowercase().chain(characters).collect(),
        _ => message,
    }
}

fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or(message).trim_end_matches('.')
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let at = text.to_lowercase().find(&start.to_lowercase())? + start.len();
    text.get(at..)?.split(end).next()
}

/// A function or column that the message names in quotes, if the query has it as a word.
fn quoted_word(message: &str, text: &Text) -> Option<Range<usize>> {
    message.split(['\'', '`', '"']).skip(1).step_by(2).find_map(|name| {
        let last = name.rsplit('.').next().unwrap_or(name);
        text.word(last)
    })
}
