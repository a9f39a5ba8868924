//! Rows that a plugin refuses: `failure.rows` checked, and rows set aside for the operator's `errors` output.
//!
//! Invariant: every row of a batch is either in what is published or set aside, and never twice.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::{BooleanBuffer, MutableBuffer};
use arrow::util::bit_util;
use rde_core::{Output, Payload, Rejected};
use serde_json::json;

use crate::abi::RowFault;
use crate::limits::Limits;
use crate::text::shown;

/// Code of the rows of a batch that the plugin refused as a whole, for which it has no code of its own.
pub(crate) const REJECTED: &str = "rejected";

/// Bytes of a message that every row gets, however many rows there are.
const COPY_MIN: usize = 128;

/// Checked faults.
pub(crate) struct RowFaults {
    /// Bit set: the row is good.
    pub(crate) good: BooleanBuffer,
    faults: Vec<RowFault>,
}

/// Why an answer of faults is not taken as such.
pub(crate) enum Refused {
    /// It counts as `reject`, with this text.
    Reject(String),
    /// It breaks the contract; completes "batch 3 …".
    Contract(String),
}

/// What an error row says beside code and message.
pub(crate) struct Context<'a> {
    pub(crate) digest: &'a Arc<str>,
    pub(crate) batch: u64,
    pub(crate) seq: u64,
    pub(crate) attempt: u32,
}

impl RowFaults {
    /// Checks an answer against the rows of the batch.
    pub(crate) fn check(faults: Vec<RowFault>, rows: usize, limits: &Limits) -> Result<RowFaults, Refused> {
        let named = faults.iter().map(|fault| fault.rows.len()).fold(0, usize::saturating_add);
        let text = faults.iter().map(|fault| fault.code.len + fault.message.len).fold(0, usize::saturating_add);
        let contract = |text: String| Err(Refused::Contract(text));
        if named == 0 {
            return contract("answered `rows` without a row".to_owned());
        }
        let name_max = limits.name_max;
        if faults.iter().any(|fault| fault.code.len == 0 || fault.code.len > name_max) {
            return contract(format!("answered `rows` with a code that has not 1 to {name_max} bytes (`name_max`)"));
        }
        if faults.iter().any(|fault| fault.code.text.starts_with("RDE")) {
            return contract(
                "answered `rows` with a code that begins with `RDE`, as only those of the host do".to_owned(),
            );
        }
        if named > limits.faults_max {
            return Err(Refused::Reject(format!("more than {} rows failed (`faults_max`)", limits.faults_max)));
        }
        if text > limits.fault_text_max {
            return Err(Refused::Reject(format!(
                "more than {} bytes of text came with rows that failed (`fault_text_max`)",
                limits.fault_text_max
            )));
        }
        let mut good = MutableBuffer::new(rows.div_ceil(8)).with_bitset(rows.div_ceil(8), true);
        for row in faults.iter().flat_map(|fault| &fault.rows) {
            let row = *row as usize;
            if row >= rows {
                return contract(format!("answered `rows` with row {row}, and there are {rows}"));
            }
            if !bit_util::get_bit(&good, row) {
                return contract(format!("answered `rows` with row {row} twice"));
            }
            bit_util::unset_bit(&mut good, row);
        }
        Ok(RowFaults { good: BooleanBuffer::new(good.into(), 0, rows), faults })
    }

    /// Returns how many rows failed.
    pub(crate) fn count(&self) -> usize {
        self.good.len() - self.good.count_set_bits()
    }

    /// Sets the rows aside.
    pub(crate) fn set_aside(&self, batch: &RecordBatch, context: &Context<'_>, limits: &Limits, out: &mut Output) {
        let detail = context.detail();
        let mut copies = Copies { left: limits.fault_text_max };
        let batch = Arc::new(batch.clone());
        for fault in &self.faults {
            let code = shown(&fault.code.text, limits.name_max * 2);
            let message = shown(&fault.message.text, limits.text_max);
            for row in &fault.rows {
                let message = copies.of(&message);
                out.reject(context.rejected(code.clone(), message, &batch, *row as usize, &detail));
            }
        }
    }
}

/// Copies texts for rows that were set aside: one text may go with many rows, and it is the copies that take memory.
struct Copies {
    /// Bytes left of `fault_text_max`.
    left: usize,
}

impl Copies {
    /// Returns the whole text while all copies together stay within the limit, and then its beginning.
    fn of(&mut self, text: &str) -> String {
        match self.left.checked_sub(text.len()) {
            Some(left) => {
                self.left = left;
                text.to_owned()
            }
            None => shown(text, COPY_MIN),
        }
    }
}

impl Context<'_> {
    /// Sets every row of a batch aside.
    pub(crate) fn set_all_aside(
        &self,
        batch: &RecordBatch,
        code: &'static str,
        message: &str,
        limits: &Limits,
        out: &mut Output,
    ) {
        let detail = self.detail();
        let mut copies = Copies { left: limits.fault_text_max };
        let batch = Arc::new(batch.clone());
        for row in 0..batch.num_rows() {
            out.reject(self.rejected(code.to_owned(), copies.of(message), &batch, row, &detail));
        }
    }

    fn rejected(&self, code: String, message: String, batch: &Arc<RecordBatch>, row: usize, detail: &str) -> Rejected {
        let mut rejected = Rejected::new(code, message, Payload::Row(batch.clone(), row));
        rejected.plugin = Some(self.digest.clone());
        rejected.detail = Some(detail.to_owned());
        rejected.attempt = i32::try_from(self.attempt).unwrap_or(i32::MAX);
        rejected
    }

    fn detail(&self) -> String {
        json!({ "batch": self.batch, "seq": self.seq }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array};
    use rde_core::Staged;

    use super::*;
    use crate::abi::Text;

    fn fault(rows: &[u32], code: &str) -> RowFault {
        let text = |text: &str| Text { text: text.to_owned(), len: text.len() };
        RowFault { rows: rows.to_vec(), code: text(code), message: text("m") }
    }

    fn check(faults: Vec<RowFault>, limits: &Limits) -> Result<usize, &'static str> {
        match RowFaults::check(faults, 10, limits) {
            Ok(faults) => Ok(faults.count()),
            Err(Refused::Reject(_)) => Err("reject"),
            Err(Refused::Contract(_)) => Err("contract"),
        }
    }

    #[test]
    fn answers_that_name_no_row_a_wrong_row_or_a_row_twice_break_the_contract() {
        let limits = Limits::default();
        assert_eq!(check(vec![fault(&[0, 9], "a"), fault(&[3], "b")], &limits), Ok(3));
        assert_eq!(check(vec![], &limits), Err("contract"));
        assert_eq!(check(vec![fault(&[], "a")], &limits), Err("contract"));
        assert_eq!(check(vec![fault(&[10], "a")], &limits), Err("contract"));
        assert_eq!(check(vec![fault(&[1], "a"), fault(&[1], "b")], &limits), Err("contract"));
        assert_eq!(check(vec![fault(&[1], "")], &limits), Err("contract"));
        assert_eq!(check(vec![fault(&[1], "RDE0310")], &limits), Err("contract"));
    }

    #[test]
    fn one_text_for_many_rows_is_copied_as_far_as_the_limit_goes() {
        let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..100));
        let batch = RecordBatch::try_from_iter([("id", ids)]).expect("one column");
        let limits = Limits { fault_text_max: 2000, ..Limits::default() };
        let digest: Arc<str> = "sha256:0".into();
        let context = Context { digest: &digest, batch: 1, seq: 1, attempt: 1 };
        let lengths = |out: &mut Output| -> Vec<usize> {
            let (staged, _) = out.take();
            let length = |staged: Staged| match staged {
                Staged::Rejected(rejected) => rejected.message.len(),
                other => panic!("nothing but rows set aside is staged: {other:?}"),
            };
            staged.map(length).collect()
        };
        let expected: Vec<usize> = std::iter::repeat_n(1000, 2).chain(std::iter::repeat_n(COPY_MIN, 98)).collect();
        let text = "x".repeat(1000);
        let mut out = Output::new();
        context.set_all_aside(&batch, REJECTED, &text, &limits, &mut out);
        assert_eq!(lengths(&mut out), expected);

        let message = Text { len: text.len(), text };
        let all = RowFault { rows: (0..100).collect(), message, ..fault(&[], "a") };
        let Ok(faults) = RowFaults::check(vec![all], 100, &limits) else {
            panic!("the text itself is within the limit")
        };
        faults.set_aside(&batch, &context, &limits, &mut out);
        assert_eq!(lengths(&mut out), expected);
    }

    #[test]
    fn answers_over_a_limit_count_as_reject() {
        let limits = Limits { faults_max: 2, fault_text_max: 4, name_max: 2, ..Limits::default() };
        assert_eq!(check(vec![fault(&[0, 1], "a")], &limits), Ok(2));
        assert_eq!(check(vec![fault(&[0, 1, 2], "a")], &limits), Err("reject"));
        assert_eq!(check(vec![fault(&[0], "a"), fault(&[1], "a")], &limits), Ok(2));
        assert_eq!(check(vec![fault(&[0], "ab"), fault(&[1], "a")], &limits), Err("reject"));
        assert_eq!(check(vec![fault(&[0], "abc")], &limits), Err("contract"));
    }
}
