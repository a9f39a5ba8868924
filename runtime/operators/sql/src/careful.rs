//! Functions of DataFusion that panic, wrap, give NaN or take any memory for some arguments, behind checks of those arguments.
//!
//! The rewriter puts them in place of the originals, since DataFusion's planners name some of these themselves; those that
//! grow come from `growth`.
//! Invariant: what a function here cannot compute right is an error of the row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::growth::Growth;

/// More days than any unit of `date_trunc` has.
const UNIT_DAYS_MAX: i64 = 366;
const SECONDS_PER_DAY: i64 = 86_400;
const NANOS_PER_DAY: i64 = SECONDS_PER_DAY * 1_000_000_000;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Check {
    /// Digits of `round` and `trunc` so many that a power of ten is no float.
    Digits,
    /// An instant, or the start of its bin, whose nanoseconds do not fit 64 bits.
    Bins,
    /// An instant so early that the start of its year does not fit 64 bits.
    Earliest,
    /// What the call will make, against the most bytes that it may.
    Grows(Growth, usize),
    /// Lists of keys and of values that are as long as each other.
    Pairs,
}

/// Returns the function to be used in place of one, if there is such.
pub fn in_place_of(function: &Arc<ScalarUDF>) -> Option<Arc<ScalarUDF>> {
    let check = match function.name() {
        "round" | "trunc" => Check::Digits,
        "date_bin" => Check::Bins,
        "date_trunc" => Check::Earliest,
        "map" => Check::Pairs,
        _ => return None,
    };
    let signature = function.signature().clone();
    Some(Arc::new(ScalarUDF::from(Careful { inner: Arc::clone(function), check, signature })))
}

/// A function behind a check.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Careful {
    inner: Arc<ScalarUDF>,
    check: Check,
    signature: Signature,
}

impl Careful {
    /// Puts a function that grows behind a bound. One that is `volatile` is never called while a query is planned.
    pub fn growing(function: &Arc<ScalarUDF>, growth: Growth, made_max: usize, volatile: bool) -> Careful {
        let mut signature = function.signature().clone();
        if volatile {
            signature.volatility = Volatility::Volatile;
        }
        Careful { inner: Arc::clone(function), check: Check::Grows(growth, made_max), signature }
    }
}

impl ScalarUDFImpl for Careful {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match self.check {
            Check::Digits => return rounded(&self.inner, args),
            Check::Bins => bins(&args.args)?,
            Check::Earliest => args.args.iter().skip(1).try_for_each(not_earliest)?,
            Check::Grows(growth, made_max) => growth.check(self.name(), &args, made_max)?,
            Check::Pairs => {
                let columns = ColumnarValue::values_to_arrays(&args.args)?;
                pairs(&columns)?;
                // A constant beside a column would be taken for a list per row.
                if args.args.iter().any(|one| matches!(one, ColumnarValue::Array(_))) {
                    args.args = columns.into_iter().map(ColumnarValue::Array).collect();
                }
            }
        }
        self.inner.invoke_with_args(args)
    }
}

/// Rounds, and gives a number that has no such digits as it is, or zero where all its digits are cut.
fn rounded(inner: &ScalarUDF, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
    let float = matches!(args.return_field.data_type(), DataType::Float32 | DataType::Float64);
    let [number, digits] = args.args.as_slice() else { return inner.invoke_with_args(args) };
    if !float {
        return inner.invoke_with_args(args);
    }
    let rows = args.number_rows;
    let (number, digits) = (number.to_array(rows)?, cast(&digits.to_array(rows)?, &DataType::Int64)?);
    let made = inner.invoke_with_args(args)?.into_array(rows)?;
    let digits = digits.as_primitive::<Int64Type>();
    macro_rules! mended {
        ($kind:ty, $float:ty) => {{
            let (number, made) = (number.as_primitive::<$kind>(), made.as_primitive::<$kind>());
            let value = |row: usize| {
                let (number, made) = (number.value(row), made.value(row));
                match digits.value(row) {
                    _ if !number.is_finite() || made.is_finite() => Ok(made),
                    0.. => Ok(number),
                    cut if cut < -i64::from(<$float>::MAX_10_EXP) => Ok(0.0),
                    _ => exec_err!("overflow: {number} cannot be rounded up"),
                }
            };
            let rows = (0..rows).map(|row| made.is_valid(row).then(|| value(row)).transpose());
            Arc::new(rows.collect::<Result<arrow::array::PrimitiveArray<$kind>>>()?) as ArrayRef
        }};
    }
    Ok(ColumnarValue::Array(match made.data_type() {
        DataType::Float32 => mended!(Float32Type, f32),
        _ => mended!(Float64Type, f64),
    }))
}

/// The instants of an argument as numbers of their unit; `None` for what is no timestamp.
fn instants(argument: &ColumnarValue) -> Result<Option<(Int64Array, i64)>> {
    let DataType::Timestamp(unit, _) = argument.data_type() else { return Ok(None) };
    let per_second = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let column = cast(&argument.to_array(1)?, &DataType::Int64)?;
    Ok(Some((column.as_primitive::<Int64Type>().clone(), per_second)))
}

/// The instants of an argument in nanoseconds, which must fit 64 bits.
fn nanoseconds(argument: &ColumnarValue) -> Result<Option<Int64Array>> {
    let Some((column, per_second)) = instants(argument)? else { return Ok(None) };
    let scale = 1_000_000_000 / per_second;
    match column.try_unary(|instant| instant.checked_mul(scale).ok_or(ArrowError::DivideByZero)) {
        Ok(column) => Ok(Some(column)),
        Err(_) => exec_err!("date_bin takes timestamps of the years 1678 to 2261"),
    }
}

/// Every instant, and the start of its bin, must fit; of bins that are months long DataFusion checks the start itself.
fn bins(args: &[ColumnarValue]) -> Result<()> {
    let Some(instants) = args.get(1).map(nanoseconds).transpose()?.flatten() else { return Ok(()) };
    let origin = args.get(2).map(nanoseconds).transpose()?.flatten();
    let origin = origin.filter(|origin| origin.is_valid(0)).map_or(0, |origin| origin.value(0));
    let Some(ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(stride)))) = args.first() else {
        return Ok(());
    };
    let length = i128::from(stride.days) * i128::from(NANOS_PER_DAY) + i128::from(stride.nanoseconds);
    if stride.months != 0 || length <= 0 {
        return Ok(());
    }
    let fits = |instant: i64| {
        let distance = i128::from(instant) - i128::from(origin);
        let start = distance - distance.rem_euclid(length);
        i64::try_from(start).is_ok() && i64::try_from(start + i128::from(origin)).is_ok()
    };
    match instants.iter().flatten().all(fits) {
        true => Ok(()),
        false => exec_err!("a bin of date_bin begins before 1678"),
    }
}

fn not_earliest(argument: &ColumnarValue) -> Result<()> {
    let Some((column, per_second)) = instants(argument)? else { return Ok(()) };
    let unit = UNIT_DAYS_MAX * SECONDS_PER_DAY * per_second;
    match column.iter().flatten().find(|instant| instant.checked_sub(unit).is_none()) {
        Some(_) => exec_err!("a timestamp is too early for date_trunc"),
        None => Ok(()),
    }
}

fn pairs(columns: &[ArrayRef]) -> Result<()> {
    let [keys, values] = columns else { return exec_err!("map takes a list of keys and a list of values") };
    let lengths =
        |column: &ArrayRef| Ok::<_, datafusion::common::DataFusionError>(cast(&length(column)?, &DataType::Int64)?);
    let (lengths_of_keys, lengths_of_values) = (lengths(keys)?, lengths(values)?);
    let both = lengths_of_keys.as_primitive::<Int64Type>().iter().zip(lengths_of_values.as_primitive::<Int64Type>());
    for (of_keys, of_values) in both {
        if of_keys.is_some() && of_keys != of_values {
            return exec_err!("map takes as many keys as values");
        }
    }
    Ok(())
}
