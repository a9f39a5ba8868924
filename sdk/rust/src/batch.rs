//! The batch of one call, as columns in place.
//!
//! On the batch path: the bytes that the host wrote, read where they lie. Invariant: nothing is copied. Not here: what goes out
//! (`emit.rs`).

use std::borrow::Cow;

use rde_ipc::{Bits, Bytes, Native};

use crate::bindings::rde::plugin::types::{BatchInfo, Failure};
use crate::plan::{Column, Layout};

/// One batch.
pub struct Batch<'a> {
    pub(crate) info: BatchInfo,
    pub(crate) layout: &'a Layout,
    pub(crate) columns: rde_ipc::Batch<'a>,
    pub(crate) message: &'a [u8],
}

/// Numbers, with nulls.
#[derive(Debug, Clone)]
pub struct Numbers<'a, T: Native> {
    values: Cow<'a, [T]>,
    validity: Option<Bits<'a>>,
    nulls: usize,
}

/// Texts, with nulls.
#[derive(Debug, Clone)]
pub struct Texts<'a> {
    pub(crate) values: Bytes<'a>,
    pub(crate) validity: Option<Bits<'a>>,
    pub(crate) nulls: usize,
    pub(crate) rows: usize,
}

impl<'a> Batch<'a> {
    /// Its number of rows, never 0.
    pub fn rows(&self) -> usize {
        self.columns.rows()
    }

    /// Sequence number, attempt and time.
    pub fn info(&self) -> &BatchInfo {
        &self.info
    }

    /// The message that the host sent.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }

    /// A column of any type.
    pub fn column(&self, column: Column) -> Result<&rde_ipc::Column<'a>, Failure> {
        let place = self.layout.places.get(column.0).copied().flatten();
        let place = place.ok_or_else(|| Failure::fatal("the column was not asked for in `bind`"))?;
        Ok(self.columns.column(place)?)
    }

    /// A column of numbers: integers, floats, and dates, times and timestamps as the number they are stored as.
    pub fn numbers<T: Native + rde_ipc::Stored>(&self, column: Column) -> Result<Numbers<'a, T>, Failure> {
        let column = self.column(column)?;
        Ok(Numbers { values: column.values()?, validity: column.validity(), nulls: column.null_count() })
    }

    /// A column of texts.
    pub fn texts(&self, column: Column) -> Result<Texts<'a>, Failure> {
        let column = self.column(column)?;
        let (validity, nulls) = (column.validity(), column.null_count());
        Ok(Texts { values: column.text()?, validity, nulls, rows: column.rows() })
    }

    /// A boolean of a row.
    pub fn bools(&self, column: Column) -> Result<impl Fn(usize) -> Option<bool> + use<'a>, Failure> {
        let column = self.column(column)?;
        let (bits, validity) = (column.bools()?, column.validity());
        Ok(move |row| validity.is_none_or(|valid| valid.get(row)).then(|| bits.get(row)))
    }
}

impl<'a, T: Native> Numbers<'a, T> {
    /// The value of a row, unless it is null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<T> {
        let valid = self.validity.is_none_or(|bits| bits.get(row));
        if valid { self.values.get(row).copied() } else { None }
    }

    /// One value for each row; those of null rows mean nothing.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Bits of the rows that have a value; none when all have.
    pub fn validity(&self) -> Option<Bits<'a>> {
        self.validity
    }

    /// How many rows are null.
    pub fn null_count(&self) -> usize {
        self.nulls
    }
}

impl<'a> Texts<'a> {
    /// The text of a row, unless it is null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a str> {
        if self.validity.is_none_or(|bits| bits.get(row)) { Some(self.values.str(row)) } else { None }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many of them are null.
    pub fn null_count(&self) -> usize {
        self.nulls
    }
}
