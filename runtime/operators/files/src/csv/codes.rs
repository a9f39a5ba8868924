//! Error codes of CSV text: why one row failed, or why a decoder cannot be made.
//!
//! Joined by `app` with the other tables for `rde explain`. Invariant: a published code never changes its meaning.

rde_core::codes! {
    /// A value that its column's type cannot hold.
    BAD_VALUE = "RDE0510", "a value does not fit its column", "The value at this place cannot be read as the type of its column, and it is none of `null_values`. The row failed; \
        the rest of the file is read on. If the value means \"nothing\" (for example `NA` or `-`), add it to `null_values`; if the column holds other things than the \
        sample showed, write its type in `schema`; if the row is wrong, send failed rows to a sink with an edge from `errors`.";
    /// More or fewer fields than the header.
    FIELD_COUNT = "RDE0511", "a row with a wrong number of fields", "The row has more or fewer fields than the file has columns. Usual causes: a delimiter inside a value that is not \
        quoted, a line break inside a value that is not quoted, another `delimiter` than the one set. The row failed; the rest of the file is read on.";
    /// `"ab"c`.
    TEXT_AFTER_QUOTE = "RDE0512", "text after a closing quote", "A field opens with a quote, closes it, and goes on: `\"ab\"c`. What is meant cannot be known. A quote inside a quoted \
        value is written twice: `\"a \"\"b\"\" c\"`. The row failed; the rest of the file is read on.";
    /// The input ends inside quotes.
    UNCLOSED_QUOTE = "RDE0513", "a quote is never closed", "The input ends inside a quoted value, so everything from the opening quote on is one row, and it failed. Look for a single \
        quote at the start of a value on the line that is named; inside a quoted value a quote is written twice.";
    /// A row above `row_bytes_max`.
    ROW_TOO_LARGE = "RDE0514", "a row is too large", "The row is larger than `settings.row_bytes_max`. It failed; the error row keeps its first 64 KiB. If such rows are meant, raise the \
        setting. If not, look for a quote that is opened and not closed: all that follows belongs to the same row until the next quote.";
    /// Bytes that are not UTF-8 in a text column.
    INVALID_UTF8 = "RDE0515", "text that is not UTF-8", "The value of a utf8 column holds bytes that are not UTF-8; often the file is Latin-1 or Windows-1252. Convert it (`iconv -f latin1 -t utf8`), \
        or declare the column as `binary` in `schema`. The row failed; the rest of the file is read on.";
    /// A decoder for a type that CSV cannot hold.
    UNSUPPORTED_TYPE = "RDE0516", "a type that CSV cannot hold", "Columns of a CSV file are integers, floats, decimals, boolean, date, timestamp(us), utf8 or binary. Read the column as utf8 and \
        convert it in `sql`.";
    /// A delimiter that cannot work.
    BAD_DELIMITER = "RDE0517", "a delimiter that cannot be used", "The delimiter is one ASCII character other than the quote, carriage return, line feed and NUL; a tab may be written `tab`.";
    /// Lines end with a carriage return alone.
    LINE_END = "RDE0518", "lines end with a carriage return alone", "The file has no line feed, only carriage returns, as old Macintosh programs wrote them. Convert it, for example with \
        `tr '\\r' '\\n'`.";
    /// The decoder was asked for something its plan cannot give.
    BAD_PLAN = "RDE0519", "a decoder was planned wrongly", "A column or predicate was planned that the file's columns do not have. This is a bug; please report it.";
}
