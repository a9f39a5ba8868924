//! `sum`, exact for integers, decimals and durations: adds in 128 bits and fails where the result does not fit.
//!
//! Takes the place of DataFusion's, which wraps. Since intermediate sums cannot overflow for 64-bit inputs, the answer does
//! not hang on the order of rows. Floats are summed by DataFusion's own function.
//! Invariant: a sum is exact or an error.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Field, FieldRef, Int64Type, TimeUnit, UInt64Type,
};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature};

/// Most digits of the sums in between.
const DIGITS: u8 = 38;

/// The aggregate function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct CheckedSum {
    floats: Sum,
}

impl CheckedSum {
    /// Makes the function.
    pub fn new() -> CheckedSum {
        CheckedSum { floats: Sum::new() }
    }
}

/// Whether a result type is summed here.
fn is_exact(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::UInt64 | DataType::Decimal128(_, _) | DataType::Duration(_))
}

fn state_type(result: &DataType) -> DataType {
    match result {
        DataType::Decimal128(_, scale) => DataType::Decimal128(DIGITS, *scale),
        _ => DataType::Decimal128(DIGITS, 0),
    }
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        self.floats.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.floats.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let result = args.return_field.data_type().clone();
        match (is_exact(&result), args.is_distinct) {
            (true, true) => Ok(Box::new(DistinctTotal { result, values: HashMap::new() })),
            (true, false) => Ok(Box::new(Total { result, sum: 0, rows: 0 })),
            (false, _) => self.floats.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match is_exact(args.return_field.data_type()) {
            true => self.accumulator(args),
            false => self.floats.create_sliding_accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let result = args.return_field.data_type();
        if !is_exact(result) {
            return self.floats.state_fields(args);
        }
        let field = match args.is_distinct {
            true => Field::new_list(
                format_state_name(args.name, "sum distinct"),
                Field::new_list_field(state_type(result), true),
                false,
            ),
            false => Field::new(format_state_name(args.name, "sum"), state_type(result), true),
        };
        Ok(vec![Arc::new(field)])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let result = args.return_field.data_type().clone();
        match is_exact(&result) {
            true => Ok(Box::new(GroupTotals { result, sums: Vec::new(), seen: Vec::new() })),
            false => self.floats.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// Calls `each` with the row and value of each value of a column that is not null.
fn each_value(column: &dyn Array, each: &mut dyn FnMut(usize, i128) -> Result<()>) -> Result<()> {
    fn walk<T: ArrowPrimitiveType>(column: &dyn Array, each: &mut dyn FnMut(usize, i128) -> Result<()>) -> Result<()>
    where
        i128: From<T::Native>,
    {
        let column = column.as_primitive::<T>();
        if column.null_count() == 0 {
            return column.values().iter().enumerate().try_for_each(|(row, value)| each(row, i128::from(*value)));
        }
        column.iter().enumerate().try_for_each(|(row, value)| value.map_or(Ok(()), |value| each(row, value.into())))
    }
    match column.data_type() {
        DataType::Int64 => walk::<Int64Type>(column, each),
        DataType::UInt64 => walk::<UInt64Type>(column, each),
        DataType::Decimal128(_, _) => walk::<Decimal128Type>(column, each),
        DataType::Duration(TimeUnit::Second) => walk::<DurationSecondType>(column, each),
        DataType::Duration(TimeUnit::Millisecond) => walk::<DurationMillisecondType>(column, each),
        DataType::Duration(TimeUnit::Microsecond) => walk::<DurationMicrosecondType>(column, each),
        DataType::Duration(TimeUnit::Nanosecond) => walk::<DurationNanosecondType>(column, each),
        other => datafusion::common::internal_err!("sum over {other}"),
    }
}

fn overflow(result: &DataType) -> ArrowError {
    ArrowError::ArithmeticOverflow(format!("a sum does not fit {result}"))
}

fn add(sum: i128, value: i128, result: &DataType) -> Result<i128> {
    sum.checked_add(value).ok_or_else(|| DataFusionError::from(overflow(result)))
}

/// Turns exact sums into the result type, failing where one does not fit.
fn finish(sums: Vec<Option<i128>>, result: &DataType) -> Result<ArrayRef> {
    fn narrow<T: ArrowPrimitiveType>(sums: Vec<Option<i128>>, result: &DataType) -> Result<ArrayRef>
    where
        T::Native: TryFrom<i128>,
    {
        let narrowed: Result<PrimitiveArray<T>> = sums
            .into_iter()
            .map(|sum| {
                let fits = sum.map(|sum| T::Native::try_from(sum).map_err(|_| DataFusionError::from(overflow(result))));
                fits.transpose()
            })
            .collect();
        Ok(Arc::new(narrowed?))
    }
    match result {
        DataType::Int64 => narrow::<Int64Type>(sums, result),
        DataType::UInt64 => narrow::<UInt64Type>(sums, result),
        DataType::Decimal128(precision, scale) => {
            let array = Decimal128Array::from(sums).with_precision_and_scale(*precision, *scale)?;
            array.validate_decimal_precision(*precision).map_err(|_| DataFusionError::from(overflow(result)))?;
            Ok(Arc::new(array))
        }
        _ => Ok(cast(&narrow::<Int64Type>(sums, result)?, result)?),
    }
}

fn state_array(sums: Vec<Option<i128>>, result: &DataType) -> Result<ArrayRef> {
    let array: Decimal128Array = Decimal128Array::from(sums);
    Ok(Arc::new(array.with_data_type(state_type(result))))
}

fn scalar(array: &ArrayRef) -> Result<ScalarValue> {
    ScalarValue::try_from_array(array, 0)
}

/// The sum of one group or window frame.
#[derive(Debug)]
struct Total {
    result: DataType,
    sum: i128,
    rows: u64,
}

impl Total {
    fn value(&self) -> Vec<Option<i128>> {
        vec![(self.rows > 0).then_some(self.sum)]
    }

    fn change(
        &mut self,
        column: &dyn Array,
        negate: impl Fn(i128) -> Option<i128>,
        rows: impl Fn(u64) -> u64,
    ) -> Result<()> {
        each_value(column, &mut |_, value| {
            let value = negate(value).ok_or_else(|| DataFusionError::from(overflow(&self.result)))?;
            self.sum = add(self.sum, value, &self.result)?;
            self.rows = rows(self.rows);
            Ok(())
        })
    }
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.change(&values[0], Some, |rows| rows.saturating_add(1))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.change(&values[0], i128::checked_neg, |rows| rows.saturating_sub(1))
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        scalar(&finish(self.value(), &self.result)?)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![scalar(&state_array(self.value(), &self.result)?)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The sum of the distinct values of one group or window frame.
#[derive(Debug)]
struct DistinctTotal {
    result: DataType,
    /// How often each value is in the frame.
    values: HashMap<i128, u64>,
}

impl Accumulator for DistinctTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each_value(&values[0], &mut |_, value| {
            let count = self.values.entry(value).or_default();
            *count = count.saturating_add(1);
            Ok(())
        })
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each_value(&values[0], &mut |_, value| {
            if let Some(count) = self.values.get_mut(&value) {
                *count -= 1;
                if *count == 0 {
                    self.values.remove(&value);
                }
            }
            Ok(())
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.values.keys().try_fold(0, |sum, value| add(sum, *value, &self.result))?;
        scalar(&finish(vec![(!self.values.is_empty()).then_some(sum)], &self.result)?)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = state_array(self.values.keys().copied().map(Some).collect(), &self.result)?;
        let values: Result<Vec<ScalarValue>> =
            (0..values.len()).map(|row| ScalarValue::try_from_array(&values, row)).collect();
        let list = ScalarValue::new_list_nullable(&values?, &state_type(&self.result));
        Ok(vec![ScalarValue::List(list)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().try_for_each(|values| self.update_batch(&[values]))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<(i128, u64, u64)>()
    }
}

/// The sums of all groups of an aggregate.
#[derive(Debug)]
struct GroupTotals {
    result: DataType,
    sums: Vec<i128>,
    seen: Vec<bool>,
}

impl GroupTotals {
    fn take(&mut self, emit_to: EmitTo) -> Vec<Option<i128>> {
        let sums = emit_to.take_needed(&mut self.sums).into_iter();
        let seen = emit_to.take_needed(&mut self.seen);
        sums.zip(seen).map(|(sum, seen)| seen.then_some(sum)).collect()
    }
}

impl GroupsAccumulator for GroupTotals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.sums.resize(total_num_groups, 0);
        self.seen.resize(total_num_groups, false);
        let (sums, seen, result) = (&mut self.sums, &mut self.seen, &self.result);
        each_value(&values[0], &mut |row, value| {
            if opt_filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row)) {
                return Ok(());
            }
            let group = group_indices[row];
            sums[group] = add(sums[group], value, result)?;
            seen[group] = true;
            Ok(())
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = self.take(emit_to);
        finish(sums, &self.result)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = self.take(emit_to);
        Ok(vec![state_array(sums, &self.result)?])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.update_batch(values, group_indices, opt_filter, total_num_groups)
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.seen.capacity()
    }
}
