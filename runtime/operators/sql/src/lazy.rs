//! `AND` and `OR` whose right side is evaluated only for rows that the left side leaves open.
//!
//! Packed into a function over the columns it reads, so that it passes DataFusion's optimizers and planner as one piece.
//! Invariant: no row is evaluated that the left side has decided.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::kernels::boolean::{and_kleene, or_kleene};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ExprSchema, Result};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

/// Makes one function of an expression.
pub fn pack(expr: &Expr, schema: &DFSchema) -> Result<Expr> {
    let mut columns: Vec<Column> = expr.column_refs().into_iter().cloned().collect();
    columns.sort_by_key(Column::flat_name);
    let fields: Result<Vec<Field>> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| Ok(schema.field_from_column(column)?.as_ref().clone().with_name(format!("c{index}"))))
        .collect();
    let inner = Arc::new(Schema::new(fields?));
    let renamed = expr.clone().transform_up(|part| match part {
        Expr::Column(column) => {
            let index = columns.iter().position(|other| *other == column);
            let index = index.expect("the columns of an expression are among its column references");
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(format!("c{index}")))))
        }
        other => Ok(Transformed::no(other)),
    })?;
    let inner_schema = DFSchema::try_from(Arc::clone(&inner))?;
    let physical = create_physical_expr(&renamed.data, &inner_schema, &ExecutionProps::new())?;
    let physical = physical.transform_up(|part| Ok(make_lazy(part)))?.data;
    let signature = Signature::any(columns.len(), Volatility::Immutable);
    let signature = if columns.is_empty() { Signature::nullary(Volatility::Immutable) } else { signature };
    let packed = Packed { physical, inner, signature };
    let arguments = columns.into_iter().map(Expr::Column).collect();
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(packed)), arguments)))
}

fn make_lazy(part: Arc<dyn PhysicalExpr>) -> Transformed<Arc<dyn PhysicalExpr>> {
    let lazy = part.downcast_ref::<BinaryExpr>().and_then(|binary| {
        let decides = match binary.op() {
            Operator::And => false,
            Operator::Or => true,
            _ => return None,
        };
        Some(Lazy { left: Arc::clone(binary.left()), right: Arc::clone(binary.right()), decides })
    });
    match lazy {
        Some(lazy) => Transformed::yes(Arc::new(lazy)),
        None => Transformed::no(part),
    }
}

/// An expression over columns as a function of these columns.
#[derive(Debug)]
struct Packed {
    physical: Arc<dyn PhysicalExpr>,
    inner: SchemaRef,
    signature: Signature,
}

impl PartialEq for Packed {
    fn eq(&self, other: &Packed) -> bool {
        self.physical.eq(&other.physical) && self.inner == other.inner
    }
}

impl Eq for Packed {}

impl Hash for Packed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.physical.hash(state);
        self.inner.hash(state);
    }
}

impl ScalarUDFImpl for Packed {
    fn name(&self) -> &str {
        "lazily"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns: Result<Vec<_>> = args.args.into_iter().map(|column| column.into_array(args.number_rows)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(args.number_rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.inner), columns?, &options)?;
        self.physical.evaluate(&batch)
    }
}

/// `AND` (false decides) or `OR` (true decides).
#[derive(Debug)]
struct Lazy {
    left: Arc<dyn PhysicalExpr>,
    right: Arc<dyn PhysicalExpr>,
    decides: bool,
}

impl PartialEq for Lazy {
    fn eq(&self, other: &Lazy) -> bool {
        self.decides == other.decides && self.left.eq(&other.left) && self.right.eq(&other.right)
    }
}

impl Eq for Lazy {}

impl Hash for Lazy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.decides, &self.left, &self.right).hash(state);
    }
}

impl fmt::Display for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {} {})", self.left, if self.decides { "OR" } else { "AND" }, self.right)
    }
}

impl PhysicalExpr for Lazy {
    fn data_type(&self, _schema: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        Ok(self.left.nullable(schema)? || self.right.nullable(schema)?)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let rows = batch.num_rows();
        let left = self.left.evaluate(batch)?.into_array(rows)?;
        let left = left.as_boolean();
        let open: BooleanArray = left.iter().map(|value| Some(value != Some(self.decides))).collect();
        if !open.has_true() {
            return Ok(ColumnarValue::Array(Arc::new(left.clone())));
        }
        let right = self.right.evaluate_selection(batch, &open)?.into_array(rows)?;
        let right = right.as_boolean();
        let both = if self.decides { or_kleene(left, right)? } else { and_kleene(left, right)? };
        Ok(ColumnarValue::Array(Arc::new(both)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.left, &self.right]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match <[Arc<dyn PhysicalExpr>; 2]>::try_from(children) {
            Ok([left, right]) => Ok(Arc::new(Lazy { left, right, decides: self.decides })),
            Err(_) => datafusion::common::internal_err!("AND and OR have two sides"),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
