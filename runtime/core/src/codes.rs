//! Error codes: what `rde explain` prints, and what every [`crate::Error`] carries.
//!
//! A code is declared once, with [`crate::codes!`], in the crate that raises it; `app` joins the tables.
//! Invariant: a published code never changes its meaning.

/// One stable error code with the long text behind it.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// For example `RDE0104`.
    pub id: &'static str,
    /// A few words.
    pub title: &'static str,
    /// What it means, what usually causes it, what to do.
    pub text: &'static str,
}

/// A kind, field or value that a later stage brings.
pub const LATER_STAGE: Code = Code {
    id: "RDE0900",
    title: "not in this version",
    text: "The kind, field or value is part of the design and comes with a later version; this one knows its name, so \
           that it is never ignored in silence. Remove it, or look in CHANGELOG.md whether a newer version has it.",
};

/// Declares codes as constants and the slice `ALL` of them.
///
/// ```
/// mod codes {
///     rde_core::codes! {
///         /// A field that the operator does not have.
///         UNKNOWN_FIELD = "RDE0104", "unknown field", "The operator has no field of this name. Look at `rde docs`.";
///     }
/// }
/// assert_eq!(codes::ALL[0].id, "RDE0104");
/// ```
#[macro_export]
macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident = $id:literal, $title:literal, $text:literal;)*) => {
        $($(#[$meta])* pub const $name: $crate::Code = $crate::Code { id: $id, title: $title, text: $text };)*
        /// Every code of this crate, in order.
        pub const ALL: &[&$crate::Code] = &[$(&$name),*];
    };
}
