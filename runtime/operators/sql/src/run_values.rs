//! Functions whose value comes from the run and not from a row: the time of its start and its seeded chance.
//!
//! A query is planned with unbound functions; `bind` puts the run's values in their place before anything is evaluated.
//! Invariant: neither the clock nor unseeded chance is asked.

use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Float64Array, StringArray};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use rde_core::Random;

use crate::functions::ZONE;
use crate::mapped::map_expressions;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// What a run gives to its queries.
#[derive(Clone, Debug)]
pub struct RunValues {
    /// The start, microseconds since the Unix epoch.
    pub started_micros: i64,
    /// Chance of this operator's own.
    pub random: Random,
}

/// Returns the unbound functions.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    let all = [Value::Now, Value::Date, Value::Time, Value::Random, Value::Uuid];
    all.into_iter().map(|value| Arc::new(ScalarUDF::from(RunFunction::new(value, None)))).collect()
}

/// Puts the run's values into a plan.
pub fn bind(plan: LogicalPlan, values: &RunValues) -> Result<LogicalPlan> {
    let bound = plan.transform_up_with_subqueries(|node| {
        map_expressions(node, |expr| expr.transform_up(|expr| Ok(bind_expression(expr, values))))
    })?;
    Ok(bound.data)
}

fn bind_expression(expr: Expr, values: &RunValues) -> Transformed<Expr> {
    let Expr::ScalarFunction(call) = &expr else { return Transformed::no(expr) };
    let Some(function) = call.func.inner().downcast_ref::<RunFunction>() else { return Transformed::no(expr) };
    match function.value.constant(values.started_micros) {
        Some(constant) => Transformed::yes(Expr::Literal(constant, None)),
        None if function.random.is_none() => {
            let bound = RunFunction::new(function.value, Some(values.random.fork()));
            Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(
                Arc::new(ScalarUDF::from(bound)),
                call.args.clone(),
            )))
        }
        None => Transformed::no(expr),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Value {
    Now,
    Date,
    Time,
    Random,
    Uuid,
}

impl Value {
    fn data_type(self) -> DataType {
        match self {
            Value::Now => DataType::Timestamp(TimeUnit::Microsecond, Some(ZONE.into())),
            Value::Date => DataType::Date32,
            Value::Time => DataType::Time64(TimeUnit::Microsecond),
            Value::Random => DataType::Float64,
            Value::Uuid => DataType::Utf8,
        }
    }

    fn constant(self, micros: i64) -> Option<ScalarValue> {
        match self {
            Value::Now => Some(ScalarValue::TimestampMicrosecond(Some(micros), Some(ZONE.into()))),
            Value::Date => Some(ScalarValue::Date32(i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok())),
            Value::Time => Some(ScalarValue::Time64Microsecond(Some(micros.rem_euclid(MICROS_PER_DAY)))),
            Value::Random | Value::Uuid => None,
        }
    }
}

#[derive(Debug)]
struct RunFunction {
    value: Value,
    aliases: Vec<String>,
    signature: Signature,
    random: Option<Random>,
    /// Tells bound functions apart, since two calls draw different numbers.
    id: u64,
}

impl RunFunction {
    fn new(value: Value, random: Option<Random>) -> RunFunction {
        let (aliases, volatility): (&[&str], _) = match value {
            Value::Now => (&["current_timestamp"], Volatility::Stable),
            Value::Date => (&["today"], Volatility::Stable),
            Value::Time => (&[], Volatility::Stable),
            Value::Random | Value::Uuid => (&[], Volatility::Volatile),
        };
        let id = random.as_ref().map_or(0, Random::next_u64);
        let aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
        RunFunction { value, aliases, signature: Signature::nullary(volatility), random, id }
    }
}

impl PartialEq for RunFunction {
    fn eq(&self, other: &RunFunction) -> bool {
        (self.value, self.id) == (other.value, other.id)
    }
}

impl Eq for RunFunction {}

impl Hash for RunFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.value, self.id).hash(state);
    }
}

impl ScalarUDFImpl for RunFunction {
    fn name(&self) -> &str {
        match self.value {
            Value::Now => "now",
            Value::Date => "current_date",
            Value::Time => "current_time",
            Value::Random => "random",
            Value::Uuid => "uuid",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(random) = &self.random else { return internal_err!("{} was not bound to a run", self.name()) };
        let rows = 0..args.number_rows;
        Ok(ColumnarValue::Array(match self.value {
            Value::Uuid => Arc::new(StringArray::from_iter_values(rows.map(|_| uuid(random)))),
            _ => Arc::new(Float64Array::from_iter_values(rows.map(|_| fraction(random)))),
        }))
    }
}

/// A number in 0 to 1, without 1, from the 53 bits that a float64 holds.
fn fraction(random: &Random) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// A version 4 UUID.
fn uuid(random: &Random) -> String {
    let high = random.next_u64() & !0xf000 | 0x4000;
    let low = random.next_u64() & !(0b11 << 62) | (0b10 << 62);
    let mut text = String::with_capacity(36);
    let written = write!(
        text,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    );
    written.expect("writing to a String cannot fail");
    text
}
