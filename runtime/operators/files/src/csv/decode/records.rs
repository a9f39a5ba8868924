//! Groups the fields of a chunk into records, and sets aside those that are no rows.
//!
//! Second step of decoding a chunk. If every n-th end of a field is a line feed and no other is, all records have n fields and
//! nothing is listed; else record by record. Invariant: both ways give the same rows.
//! Not here: values (`column.rs`).

use rde_core::Code;

use super::super::codes;
use super::scan::Scanner;

/// The rows of a chunk, by base or evenly spaced.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Records {
    /// Each record has the right number of fields, from the first on.
    Even { count: usize },
    /// The bases of the records that are rows.
    Listed(Vec<u32>),
}

/// A record that is no row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Broken {
    pub(super) start: usize,
    /// Without the line end.
    pub(super) end: usize,
    pub(super) code: &'static Code,
    /// How many fields it has, as far as that is known.
    pub(super) fields: u64,
    /// The field whose value is wrong, if it is one.
    pub(super) field: Option<usize>,
}

/// What is asked of the records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) fields: usize,
    pub(super) row_bytes_max: usize,
}

/// Returns where the last complete record of the chunk ends, behind its line feed.
pub(super) fn complete_to(scanner: &Scanner, text: &[u8]) -> usize {
    let ends = scanner.ends();
    if scanner.line_feeds() == 0 {
        return 0;
    }
    let last = ends.iter().skip(1).rposition(|end| text[*end as usize] == b'\n');
    last.map_or(0, |idx| ends[idx + 1] as usize + 1)
}

/// Returns the records if they are all alike: complete up to `complete_to` and each with the right number of fields.
pub(super) fn even(scanner: &Scanner, text: &[u8], form: Form, complete_to: usize) -> Option<Records> {
    let count = scanner.line_feeds();
    if count == 0 || !scanner.strays().is_empty() || scanner.excess() > 0 || complete_to > form.row_bytes_max {
        return None;
    }
    let ends = scanner.ends().get(..=count.checked_mul(form.fields)?)?;
    // As many line feeds as records, and each at the end of one: so none is elsewhere, unless behind them.
    let is_feed = |end: &u32| text[*end as usize] == b'\n';
    let alike = ends[form.fields.min(ends.len() - 1)..].iter().step_by(form.fields).all(is_feed);
    (alike && ends[count * form.fields] as usize + 1 == complete_to).then_some(Records::Even { count })
}

/// Lists the records one by one. A `header` that is still to come is the first record that is not empty; it is skipped.
pub(super) fn list(
    scanner: &Scanner,
    text: &[u8],
    form: Form,
    header: &mut bool,
    mut broken: impl FnMut(Broken),
) -> Records {
    let ends = scanner.ends();
    let mut strays = scanner.strays().iter().peekable();
    let mut bases = Vec::with_capacity(scanner.line_feeds());
    let mut base = 0;
    for idx in 1..ends.len() {
        let feed = ends[idx] as usize;
        if text[feed] != b'\n' {
            continue;
        }
        let start = ends[base].wrapping_add(1) as usize;
        let end = if feed > start && text[feed - 1] == b'\r' { feed - 1 } else { feed };
        let mut stray = false;
        while strays.next_if(|stray| (**stray as usize) <= feed).is_some() {
            stray = true;
        }
        let excess = if base == 0 { scanner.excess() } else { 0 };
        let fields = (idx - base) as u64 + excess;
        let empty = start == end;
        let code = if end - start > form.row_bytes_max {
            Some(&codes::ROW_TOO_LARGE)
        } else if stray {
            Some(&codes::TEXT_AFTER_QUOTE)
        } else if fields != form.fields as u64 {
            Some(&codes::FIELD_COUNT)
        } else {
            None
        };
        // An empty line is nothing, except where it is the only field of a row.
        let nothing = empty && (form.fields > 1 || *header);
        if nothing {
        } else if *header {
            *header = false;
        } else if let Some(code) = code {
            broken(Broken { start, end, code, fields, field: None });
        } else {
            bases.push(base as u32);
        }
        base = idx;
    }
    Records::Listed(bases)
}
