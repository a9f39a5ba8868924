//! Functions that make much of little, such as `repeat` and `range`: what a call will make is known before it is run.
//!
//! DataFusion makes the result of a call in one piece that no budget knows of, and nothing stops it half-way: one row of
//! `range(1, 1000000000)` takes 8 GB. So a call that would make more than a given number of bytes is refused. Per batch the
//! rows are then halved until each part fits; over whole inputs the operator fails.
//! Invariant: what is computed here is never less than the result and the lists of places that it is copied by; builders may
//! hold twice that for a while.
//! Not here: functions whose result is about as long as their arguments, and `regexp_replace`, whose matches are not known.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, new_null_array};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF};
use rde_core::{ByteSize, Settings, row_bytes};

use crate::QUERY_BYTES_MAX;
use crate::careful::Careful;
use crate::mapped::map_expressions;

/// The part of `memory_max` that one call may make.
const PART: usize = 4;
/// The most it may make in any case: offsets of Arrow's plain types have 32 bits.
const MADE_MAX: usize = 2047 << 20;
/// Most bytes that a character takes.
const CHARACTER_BYTES: i64 = 4;
/// Bytes of an element of a range, and of the place of an element that is copied.
const ELEMENT_BYTES: usize = 8;
const NANOS_PER_DAY: i128 = 86_400_000_000_000;
/// Days of the shortest month.
const MONTH_DAYS: i128 = 28;

/// How a function grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Growth {
    /// A text so many times.
    Repeat,
    /// A text made so many characters long.
    Pad,
    /// A text with parts exchanged for longer ones.
    Replace,
    /// A list of so many equal elements.
    Elements,
    /// A list made so many elements long.
    Resize,
    /// Elements of a list exchanged for another.
    Exchange,
    /// A text of the elements of a list, with a text between them and one in place of nulls.
    Join,
    /// A list of what stands side by side in some, as long as the longest.
    Zip,
    /// A list from one number or instant to another.
    Range,
}

/// Returns the most bytes that one call may make.
pub fn made_max(settings: &Settings) -> usize {
    (settings.memory_max.bytes() / PART).min(MADE_MAX)
}

/// Returns the error of a call that would make too much.
pub fn too_much(what: &str, made_max: usize) -> DataFusionError {
    let max = ByteSize(made_max as u64);
    exec_datafusion_err!("{what} would make more than {max} at once (at most a quarter of `settings.memory_max`)")
}

/// Puts the bound on every function of a plan that grows.
pub fn bound(plan: LogicalPlan, made_max: usize) -> Result<LogicalPlan> {
    let bound = plan.transform_up_with_subqueries(|node| {
        map_expressions(node, |expr| expr.transform_up(|expr| Ok(bound_call(expr, made_max))))
    })?;
    Ok(bound.data)
}

fn bound_call(expr: Expr, made_max: usize) -> Transformed<Expr> {
    let Expr::ScalarFunction(call) = expr else { return Transformed::no(expr) };
    let growth = match call.func.name() {
        "repeat" => Growth::Repeat,
        "lpad" | "rpad" => Growth::Pad,
        "replace" => Growth::Replace,
        "array_repeat" => Growth::Elements,
        "array_resize" => Growth::Resize,
        "array_replace_all" | "array_replace_n" => Growth::Exchange,
        "array_to_string" => Growth::Join,
        "arrays_zip" => Growth::Zip,
        "range" | "generate_series" => Growth::Range,
        _ => return Transformed::no(Expr::ScalarFunction(call)),
    };
    // A call of constants must not become a constant when the plan is made, since for how many rows it will be made is not
    // known then; unless it is so short that it could stand in the query.
    let constant = call.args.iter().all(|argument| argument.column_refs().is_empty() && !argument.contains_outer());
    let careful = Careful::growing(&call.func, growth, made_max, constant && !growth.is_short(&call.args));
    Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(careful)), call.args)))
}

impl Growth {
    /// Returns whether a call of these constants makes no more than a query could say by itself.
    fn is_short(self, arguments: &[Expr]) -> bool {
        let arguments: Option<Vec<Argument>> = arguments
            .iter()
            .map(|argument| match argument {
                Expr::Literal(value, _) => Argument::of(&ColumnarValue::Scalar(value.clone())).ok(),
                _ => None,
            })
            .collect();
        let bytes = arguments.and_then(|arguments| self.bytes(&arguments, 1).ok());
        bytes.is_some_and(|bytes| bytes <= QUERY_BYTES_MAX)
    }

    /// Refuses a call that would make too much.
    pub fn check(self, name: &str, args: &ScalarFunctionArgs, made_max: usize) -> Result<()> {
        let arguments: Vec<Argument> = args.args.iter().map(Argument::of).collect::<Result<_>>()?;
        let constant = arguments.iter().all(|argument| argument.constant);
        // A result for constants stands for all rows: a function that reads it may make it for each.
        let (rows, times) = if constant { (1, args.number_rows.max(1)) } else { (args.number_rows, 1) };
        let fits = |bytes: usize| bytes.saturating_mul(times) <= made_max || (constant && bytes <= QUERY_BYTES_MAX);
        let bytes = self.bytes(&arguments, rows)?;
        if fits(bytes) || (self == Growth::Replace && fits(replaced(&arguments, rows)?)) {
            return Ok(());
        }
        Err(too_much(&format!("`{name}`"), made_max))
    }

    /// Returns the bytes that a call makes, or some more. Arguments that are missing are the function's to refuse.
    fn bytes(self, arguments: &[Argument], rows: usize) -> Result<usize> {
        let [first, rest @ ..] = arguments else { return Ok(0) };
        match (self, rest) {
            (Growth::Range, _) => ranges(arguments, rows),
            (Growth::Repeat, [times]) => {
                let (lengths, times) = (first.lengths()?, times.numbers()?);
                Ok(sum(rows, |row| Some(product(lengths.get(row)?, times.get(row)?))))
            }
            (Growth::Pad, [characters, with @ ..]) => {
                let ascii = first.is_ascii() && with.iter().all(Argument::is_ascii);
                let width = if ascii { 1 } else { CHARACTER_BYTES };
                let (lengths, characters) = (first.lengths()?, characters.numbers()?);
                Ok(sum(rows, |row| {
                    let padded = product(characters.get(row)?, width);
                    Some(padded.saturating_add(unsigned(lengths.get(row)?)))
                }))
            }
            (Growth::Replace, [from, to]) => {
                let (lengths, from, to) = (first.lengths()?, from.lengths()?, to.lengths()?);
                Ok(sum(rows, |row| {
                    let (length, from) = (lengths.get(row)?, from.get(row)?);
                    // Between the characters of a text there is one place more than characters.
                    let places = if from == 0 { length.saturating_add(1) } else { length / from };
                    Some(product(places, to.get(row)?).saturating_add(unsigned(length)))
                }))
            }
            (Growth::Elements, [times]) => {
                let times = times.numbers()?;
                // Each copy of an element has a place, and so has each element of a list that is copied.
                let inner = if first.is_list() { Some(first.lengths()?) } else { None };
                let places = |row| 1 + inner.as_ref().and_then(|inner| inner.get(row)).map_or(0, unsigned);
                Ok(sum(rows, |row| {
                    let copy = first.bytes(row).saturating_add(ELEMENT_BYTES.saturating_mul(places(row)));
                    Some(copy.saturating_mul(unsigned(times.get(row)?)))
                }))
            }
            (Growth::Resize, [size, with @ ..]) => {
                let size = size.numbers()?;
                // DataFusion would take what lies beneath a null for a size.
                if let Some(wrong) = (0..rows).map(|row| size.get(row)).find(|size| size.is_none_or(|size| size < 0)) {
                    let wrong = wrong.map_or("NULL".to_owned(), |size| size.to_string());
                    return exec_err!("array_resize takes a size from 0 on, not {wrong}");
                }
                // Made once to be copied from, and once in place.
                let element =
                    |row| with.iter().map(|with| with.bytes(row)).fold(first.null_bytes(), usize::saturating_add);
                Ok(sum(rows, |row| Some(element(row).saturating_mul(2).saturating_mul(unsigned(size.get(row)?)))))
            }
            (Growth::Exchange, [_, to, ..]) => {
                let lengths = first.lengths()?;
                Ok(sum(rows, |row| Some(to.bytes(row).saturating_mul(unsigned(lengths.get(row)?)))))
            }
            (Growth::Join, texts) => {
                let lengths = first.lengths()?;
                let texts: Vec<Numbers> = texts.iter().map(Argument::lengths).collect::<Result<_>>()?;
                let between =
                    |row| texts.iter().filter_map(|text| text.get(row)).map(unsigned).fold(0, usize::saturating_add);
                Ok(sum(rows, |row| Some(between(row).saturating_mul(unsigned(lengths.get(row)?)))))
            }
            (Growth::Zip, _) => {
                let width = arguments.iter().map(Argument::null_bytes).fold(0, usize::saturating_add);
                let lengths: Vec<Numbers> = arguments.iter().map(Argument::lengths).collect::<Result<_>>()?;
                let longest = |row| lengths.iter().filter_map(|lengths| lengths.get(row)).map(unsigned).max();
                Ok(sum(rows, |row| Some(longest(row)?.saturating_mul(width))))
            }
            _ => Ok(0),
        }
    }
}

/// Returns the bytes of texts with the parts exchanged that are in them.
fn replaced(arguments: &[Argument], rows: usize) -> Result<usize> {
    let texts: Vec<ArrayRef> =
        arguments.iter().map(|argument| Ok(cast(&argument.values, &DataType::LargeUtf8)?)).collect::<Result<_>>()?;
    let text = |at: usize, row: usize| {
        let (texts, row) = (texts.get(at)?.as_string::<i64>(), arguments[at].row(row));
        texts.is_valid(row).then(|| texts.value(row))
    };
    Ok(sum(rows, |row| {
        let (whole, from, to) = (text(0, row)?, text(1, row)?, text(2, row)?);
        Some(whole.matches(from).count().saturating_mul(to.len()).saturating_add(whole.len()))
    }))
}

/// Returns the bytes of lists from a start, or 0, to an end, by a step, or 1.
fn ranges(arguments: &[Argument], rows: usize) -> Result<usize> {
    let instants = |argument: &Argument| -> Result<(Numbers, i128)> {
        Ok(match argument.values.data_type() {
            DataType::Date32 | DataType::Date64 => (argument.as_numbers(Some(&DataType::Date32))?, NANOS_PER_DAY),
            DataType::Timestamp(TimeUnit::Second, _) => (argument.numbers()?, 1_000_000_000),
            DataType::Timestamp(TimeUnit::Millisecond, _) => (argument.numbers()?, 1_000_000),
            DataType::Timestamp(TimeUnit::Microsecond, _) => (argument.numbers()?, 1_000),
            _ => (argument.numbers()?, 1),
        })
    };
    let (start, end, step) = match arguments {
        [end] => (None, instants(end)?, None),
        [start, end] => (Some(instants(start)?), instants(end)?, None),
        [start, end, step, ..] => (Some(instants(start)?), instants(end)?, Some(Step::of(step)?)),
        [] => return Ok(0),
    };
    Ok(sum(rows, |row| {
        let at = |(numbers, unit): &(Numbers, i128)| Some(i128::from(numbers.get(row)?) * unit);
        let start = start.as_ref().map_or(Some(0), at)?;
        let step = step.as_ref().map_or(Some(1), |step| step.at(row))?;
        let distance = at(&end)? - start;
        let forward = (distance > 0) == (step > 0);
        let elements = if forward { distance.abs() / step.abs().max(1) } else { 0 };
        let elements = usize::try_from(elements).unwrap_or(usize::MAX).saturating_add(1);
        Some(elements.saturating_mul(ELEMENT_BYTES))
    }))
}

/// The steps of ranges: numbers, or intervals as nanoseconds of which no element is farther apart.
enum Step {
    Numbers(Numbers),
    Intervals(Argument),
}

impl Step {
    fn of(argument: &Argument) -> Result<Step> {
        match argument.values.data_type() {
            DataType::Interval(_) => {
                let values = cast(&argument.values, &DataType::Interval(IntervalUnit::MonthDayNano))?;
                let intervals = values.as_primitive::<IntervalMonthDayNanoType>().iter().flatten();
                // Such a step may lead nowhere, and the list would have no end.
                for interval in intervals {
                    let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(interval);
                    let signs = [i64::from(months), i64::from(days), nanos].map(i64::signum);
                    if signs.contains(&1) && signs.contains(&-1) {
                        return exec_err!("a range takes no step that goes both forward and back");
                    }
                }
                Ok(Step::Intervals(Argument { values, constant: argument.constant }))
            }
            _ => Ok(Step::Numbers(argument.numbers()?)),
        }
    }

    fn at(&self, row: usize) -> Option<i128> {
        match self {
            Step::Numbers(numbers) => numbers.get(row).map(i128::from),
            Step::Intervals(intervals) => {
                let (values, row) = (intervals.values.as_primitive::<IntervalMonthDayNanoType>(), intervals.row(row));
                let step = values.is_valid(row).then(|| values.value(row))?;
                let (months, days, nanos) = IntervalMonthDayNanoType::to_parts(step);
                Some((i128::from(months) * MONTH_DAYS + i128::from(days)) * NANOS_PER_DAY + i128::from(nanos))
            }
        }
    }
}

/// An argument: one value for each row, or one for all.
struct Argument {
    values: ArrayRef,
    constant: bool,
}

/// Numbers, by row; what does not fit 64 bits is the greatest number.
struct Numbers {
    argument: Argument,
    numbers: Int64Array,
}

impl Argument {
    fn of(value: &ColumnarValue) -> Result<Argument> {
        let (values, constant) = match value {
            ColumnarValue::Array(values) => (Arc::clone(values), false),
            ColumnarValue::Scalar(value) => (value.to_array()?, true),
        };
        // A bare `NULL` has no validity of its own.
        let values = if values.data_type().is_null() { cast(&values, &DataType::Int64)? } else { values };
        Ok(Argument { values, constant })
    }

    fn row(&self, row: usize) -> usize {
        if self.constant { 0 } else { row }
    }

    /// Bytes of one value.
    fn bytes(&self, row: usize) -> usize {
        let row = self.row(row);
        row_bytes::range(&self.values, row, row + 1)
    }

    fn is_ascii(&self) -> bool {
        self.values.as_string_opt::<i32>().is_some_and(|texts| texts.is_ascii())
    }

    /// Bytes of texts, elements of lists; none of a bare `NULL`.
    fn lengths(&self) -> Result<Numbers> {
        let values = match self.values.data_type() {
            DataType::Int64 => return self.numbers(),
            DataType::Dictionary(_, plain) => length(&cast(&self.values, plain)?)?,
            _ => length(&self.values)?,
        };
        Argument { values, constant: self.constant }.numbers()
    }

    fn is_list(&self) -> bool {
        self.element().is_some()
    }

    /// The type of the elements of lists.
    fn element(&self) -> Option<&DataType> {
        match self.values.data_type() {
            DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
                Some(element.data_type())
            }
            _ => None,
        }
    }

    /// Bytes of a null among the elements of lists.
    fn null_bytes(&self) -> usize {
        self.element().map_or(ELEMENT_BYTES, null_bytes)
    }

    fn numbers(&self) -> Result<Numbers> {
        self.as_numbers(None)
    }

    /// The values as numbers, by way of another type where that is needed.
    fn as_numbers(&self, by: Option<&DataType>) -> Result<Numbers> {
        let values = by.map_or_else(|| Ok(Arc::clone(&self.values)), |by| cast(&self.values, by))?;
        let numbers = cast(&values, &DataType::Int64)?.as_primitive().clone();
        Ok(Numbers { argument: Argument { values, constant: self.constant }, numbers })
    }
}

impl Numbers {
    fn get(&self, row: usize) -> Option<i64> {
        let row = self.argument.row(row);
        let number = || if self.numbers.is_valid(row) { self.numbers.value(row) } else { i64::MAX };
        self.argument.values.is_valid(row).then(number)
    }
}

/// Returns the bytes of a null of a type, and of its place.
pub fn null_bytes(data_type: &DataType) -> usize {
    row_bytes::range(&new_null_array(data_type, 1), 0, 1).saturating_add(ELEMENT_BYTES)
}

fn sum(rows: usize, bytes: impl Fn(usize) -> Option<usize>) -> usize {
    (0..rows).filter_map(bytes).fold(0, usize::saturating_add)
}

fn product(left: i64, right: i64) -> usize {
    unsigned(left).saturating_mul(unsigned(right))
}

/// A negative number of repetitions is none.
fn unsigned(number: i64) -> usize {
    usize::try_from(number.max(0)).unwrap_or(usize::MAX)
}
