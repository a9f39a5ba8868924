//! Divides a batch by the values of its `partition_by` columns, one part for each folder.
//!
//! Folders are named as Hive does, `column=value` percent-encoded, and the columns are left out of the files.
//! Invariant: every row goes into exactly one part, or is refused by its index; order within a part is the batch's.
//! Not here: which files are open (`lane.rs`).

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use super::names::encode;
use crate::format::{Cells, bytes_of, is_flat};

/// Bytes a name may have on every common file system.
pub(crate) const FOLDER_NAME_MAX: usize = 255;

/// Folder of rows whose value is null.
const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// Divides batches of one schema.
pub(crate) struct Divider {
    columns: Vec<usize>,
    rest: Vec<usize>,
    names: Vec<String>,
    converter: RowConverter,
}

/// The rows of one folder.
pub(crate) struct Part {
    /// Names the folder within the run.
    pub(crate) key: Box<[u8]>,
    /// Folder below the target.
    pub(crate) folder: String,
    /// The rows, without the columns that name the folder.
    pub(crate) batch: RecordBatch,
}

/// What became of a batch.
#[derive(Default)]
pub(crate) struct Divided {
    pub(crate) parts: Vec<Part>,
    /// Rows whose value is too long for a folder's name.
    pub(crate) refused: Vec<usize>,
}

impl Divider {
    /// Makes one; the columns are in the schema, see [`can_divide`].
    pub(crate) fn new(schema: &Schema, by: &[String]) -> Result<Divider, ArrowError> {
        let columns = by.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let rest: Vec<usize> = (0..schema.fields().len()).filter(|index| !columns.contains(index)).collect();
        let fields = columns.iter().map(|index| SortField::new(schema.field(*index).data_type().clone()));
        Ok(Divider {
            converter: RowConverter::new(fields.collect())?,
            names: by.iter().map(|name| folder_name(name)).collect(),
            columns,
            rest,
        })
    }

    /// Divides a batch.
    pub(crate) fn divide(&self, batch: &RecordBatch) -> Result<Divided, ArrowError> {
        let values: Vec<ArrayRef> = self.columns.iter().map(|index| batch.column(*index).clone()).collect();
        let rows = self.converter.convert_columns(&values)?;
        let rest = batch.project(&self.rest)?;
        let mut divided = Divided::default();
        for (first, members) in group(&rows) {
            let Some(folder) = self.folder(&values, first)? else {
                divided.refused.extend(members.iter().map(|row| *row as usize));
                continue;
            };
            let whole = members.len() == batch.num_rows();
            let part = if whole { rest.clone() } else { take_record_batch(&rest, &UInt32Array::from(members))? };
            divided.parts.push(Part { key: rows.row(first).as_ref().into(), folder, batch: part });
        }
        Ok(divided)
    }

    fn folder(&self, values: &[ArrayRef], row: usize) -> Result<Option<String>, ArrowError> {
        let mut folder = String::new();
        for (name, array) in self.names.iter().zip(values) {
            let step = format!("{name}={}", value_text(array, row)?);
            if step.len() > FOLDER_NAME_MAX {
                return Ok(None);
            }
            if !folder.is_empty() {
                folder.push('/');
            }
            folder.push_str(&step);
        }
        Ok(Some(folder))
    }
}

/// Returns a column's part of a folder's name. It begins with no dot: nobody looks into hidden folders, neither readers nor
/// the sink itself when it is asked what is there already.
pub(crate) fn folder_name(column: &str) -> String {
    let encoded = encode(column);
    encoded.strip_prefix('.').map(|rest| format!("%2E{rest}")).unwrap_or(encoded)
}

/// Returns whether values of a type can name a folder.
pub(crate) fn can_divide(data_type: &DataType) -> bool {
    let values = match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    };
    is_flat(values) && bytes_of(values).is_none() && *values != DataType::Null
}

fn value_text(array: &ArrayRef, row: usize) -> Result<String, ArrowError> {
    let cells = Cells::new(array)?;
    if array.is_null(row) || cells.is_null(row) {
        return Ok(NULL_VALUE.to_owned());
    }
    let mut text = String::new();
    cells.write(row, &mut text)?;
    let encoded = encode(&text);
    // A text that looks like the null folder must not become a null.
    Ok(if encoded == NULL_VALUE { encoded.replacen('_', "%5F", 1) } else { encoded })
}

/// Returns the rows of each value, by first appearance.
fn group(rows: &Rows) -> Vec<(usize, Vec<u32>)> {
    let mut known: HashMap<&[u8], usize> = HashMap::new();
    let mut groups: Vec<(usize, Vec<u32>)> = Vec::new();
    let mut last: Option<(&[u8], usize)> = None;
    for (index, row) in rows.iter().enumerate() {
        let data = row.data();
        let group = match last {
            Some((same, group)) if same == data => group,
            _ => *known.entry(data).or_insert_with(|| {
                groups.push((index, Vec::new()));
                groups.len() - 1
            }),
        };
        last = Some((data, group));
        groups[group].1.push(u32::try_from(index).expect("a batch has fewer than 2^32 rows"));
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::Field;

    use super::*;

    fn batch(keys: Vec<Option<&str>>) -> RecordBatch {
        let numbers: Int64Array = (0..keys.len() as i64).collect();
        let fields = vec![Field::new("k y", DataType::Utf8, true), Field::new("n", DataType::Int64, true)];
        let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(keys)), Arc::new(numbers)];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns fit the schema")
    }

    fn divide(keys: Vec<Option<&str>>) -> (Vec<(String, Vec<i64>)>, Vec<usize>) {
        let batch = batch(keys);
        let divider = Divider::new(&batch.schema(), &["k y".to_owned()]).expect("the column is there");
        let divided = divider.divide(&batch).expect("the values have texts");
        let numbers = |part: &Part| {
            assert_eq!(part.batch.num_columns(), 1);
            let column = part.batch.column(0).as_any().downcast_ref::<Int64Array>().expect("int64");
            column.values().to_vec()
        };
        (divided.parts.iter().map(|part| (part.folder.clone(), numbers(part))).collect(), divided.refused)
    }

    #[test]
    fn rows_go_to_the_folder_of_their_value_in_order() {
        let (parts, refused) = divide(vec![Some("a"), None, Some("a"), Some("b/../c"), Some(""), None]);
        let expected = [
            ("k%20y=a", vec![0, 2]),
            ("k%20y=__HIVE_DEFAULT_PARTITION__", vec![1, 5]),
            ("k%20y=b%2F..%2Fc", vec![3]),
            ("k%20y=", vec![4]),
        ];
        assert_eq!(parts, expected.map(|(folder, rows)| (folder.to_owned(), rows)));
        assert!(refused.is_empty());
    }

    #[test]
    fn a_text_that_looks_like_null_is_kept_apart_from_it() {
        let (parts, _) = divide(vec![Some("__HIVE_DEFAULT_PARTITION__"), None]);
        assert_eq!(parts[0].0, "k%20y=%5F_HIVE_DEFAULT_PARTITION__");
        assert_eq!(parts.len(), 2);
    }

    #[test]
    fn a_folder_is_never_hidden() {
        assert_eq!(folder_name(".k.x"), "%2Ek.x");
        assert_eq!(folder_name("k.x"), "k.x");
    }

    #[test]
    fn a_folder_name_fits_at_the_limit_and_is_refused_beyond() {
        let fits = "x".repeat(FOLDER_NAME_MAX - "k%20y=".len());
        let (parts, refused) = divide(vec![Some(&fits), Some(&format!("{fits}x"))]);
        assert_eq!((parts.len(), refused), (1, vec![1]));
    }
}
