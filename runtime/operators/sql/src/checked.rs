//! Arithmetic that fails on overflow, in place of DataFusion's wrapping one.
//!
//! The rewriter puts it into every plan once types are known, so that constant folding, filters, projections and joins
//! all compute by it. Floats keep the plain expression, since they cannot wrap.
//! Invariant: a result is exact or an error.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Datum};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::Result;
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`, of decimals: integers fail by themselves.
    Divide,
    /// Unary `-`
    Negate,
}

impl Arithmetic {
    /// Returns the checked operation that must replace `operator` over these types, if any.
    pub fn replacing(operator: Operator, left: &DataType, right: &DataType) -> Option<Arithmetic> {
        // The difference of two dates is their days, which the plain expression computes in 64 bits.
        let dates =
            matches!((left, right), (DataType::Date32, DataType::Date32) | (DataType::Date64, DataType::Date64));
        if left.is_floating() || right.is_floating() || dates || left.is_null() || right.is_null() {
            return None;
        }
        match operator {
            Operator::Plus => Some(Arithmetic::Add),
            Operator::Minus => Some(Arithmetic::Subtract),
            Operator::Multiply => Some(Arithmetic::Multiply),
            Operator::Divide if left.is_decimal() && right.is_decimal() => Some(Arithmetic::Divide),
            _ => None,
        }
    }

    /// Returns a call of this operation.
    pub fn call(self, arguments: Vec<Expr>) -> Expr {
        let name = match arguments.as_slice() {
            [left, right] => format!("{} {} {}", left.schema_name(), self.operator(), right.schema_name()),
            _ => arguments.iter().map(|only| format!("(- {})", only.schema_name())).collect(),
        };
        let signature = Signature::any(arguments.len(), Volatility::Immutable);
        let function = Checked { arithmetic: self, name, signature };
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(function)), arguments))
    }

    fn operator(self) -> Operator {
        match self {
            Arithmetic::Add => Operator::Plus,
            Arithmetic::Subtract | Arithmetic::Negate => Operator::Minus,
            Arithmetic::Multiply => Operator::Multiply,
            Arithmetic::Divide => Operator::Divide,
        }
    }

    fn compute(self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
        let result = match self {
            Arithmetic::Add => numeric::add(left, right),
            Arithmetic::Subtract => numeric::sub(left, right),
            Arithmetic::Multiply => numeric::mul(left, right),
            Arithmetic::Divide => numeric::div(left, right),
            Arithmetic::Negate => numeric::neg(left.get().0),
        };
        within_precision(result?)
    }
}

/// Arrow's decimals fail beyond 32 to 256 bits and not beyond the digits of their type.
fn within_precision(result: ArrayRef) -> Result<ArrayRef, ArrowError> {
    let valid = match result.data_type() {
        DataType::Decimal32(precision, _) => {
            result.as_primitive::<Decimal32Type>().validate_decimal_precision(*precision)
        }
        DataType::Decimal64(precision, _) => {
            result.as_primitive::<Decimal64Type>().validate_decimal_precision(*precision)
        }
        DataType::Decimal128(precision, _) => {
            result.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision)
        }
        DataType::Decimal256(precision, _) => {
            result.as_primitive::<Decimal256Type>().validate_decimal_precision(*precision)
        }
        _ => Ok(()),
    };
    let fits =
        valid.map_err(|_| ArrowError::ArithmeticOverflow(format!("a result does not fit {}", result.data_type())));
    fits.map(|()| result)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    arithmetic: Arithmetic,
    /// As the plain expression would be named; kept, since naming a deep tree anew takes a deep stack.
    name: String,
    signature: Signature,
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.arithmetic {
            Arithmetic::Add => "checked_add",
            Arithmetic::Subtract => "checked_subtract",
            Arithmetic::Multiply => "checked_multiply",
            Arithmetic::Divide => "checked_divide",
            Arithmetic::Negate => "checked_negate",
        }
    }

    fn schema_name(&self, _args: &[Expr]) -> Result<String> {
        Ok(self.name.clone())
    }

    fn display_name(&self, _args: &[Expr]) -> Result<String> {
        Ok(self.name.clone())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [left, right] => BinaryTypeCoercer::new(left, &self.arithmetic.operator(), right).get_result_type(),
            _ => Ok(types.first().cloned().unwrap_or(DataType::Null)),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arithmetic = self.arithmetic;
        match args.args.as_slice() {
            [left, right] => apply(left, right, |left, right| arithmetic.compute(left, right)),
            [only] => apply(only, only, |left, right| arithmetic.compute(left, right)),
            _ => datafusion::common::internal_err!("{} takes one or two arguments", self.name()),
        }
    }
}
