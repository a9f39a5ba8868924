//! The error codes of SQL: RDE0401 to RDE0429 before a run, RDE0450 to RDE0479 for rows and runs.
//!
//! Invariant: a published code never changes its meaning.

rde_core::codes! {
    /// The fields of the operator cannot be read.
    FIELDS = "RDE0401", "sql fields",
        "A `sql` operator takes one field, `query`, a text with one SELECT.";
    /// The text is not SQL.
    SYNTAX = "RDE0402", "SQL syntax",
        "The query cannot be read as SQL. The place is where the parser stopped; the mistake is there or just before it.";
    /// Something other than one SELECT.
    NOT_A_SELECT = "RDE0403", "not one SELECT",
        "A `sql` operator runs exactly one SELECT, with common table expressions, unions and subqueries as needed. It only \
         turns input rows into output rows: COPY, INSERT, CREATE, SET, EXPLAIN and a second statement are refused. What \
         they would do is done by sources and sinks.";
    /// A file or URL where a table belongs.
    FILE_AS_TABLE = "RDE0404", "file as a table",
        "SQL reads only the operator's inputs, never a file or URL: what a pipeline reads must be seen in its sources. \
         Add a source for the file and an edge from it to this operator; its id is then the table's name.";
    /// A table function.
    TABLE_FUNCTION = "RDE0405", "table function",
        "Functions in FROM (`read_csv(...)`, `generate_series(...)` and others) are refused; only `UNNEST` may stand there. \
         Tables are the operator's inputs.";
    /// Syntax that would be ignored or cannot be run right.
    UNSUPPORTED = "RDE0406", "SQL that is not supported",
        "This part of SQL cannot be run right here, so it is refused and not ignored in silence.";
    /// A longer text than allowed.
    QUERY_TOO_LONG = "RDE0407", "query too long",
        "The text of a query has at most 65,536 bytes, so that no query can exhaust the stack or stall `validate`.";
    /// A deeper tree than allowed.
    QUERY_TOO_DEEP = "RDE0408", "query too deep",
        "An expression, or a chain of unions or joins, has more than 128 operators one upon another. Write \
         `x IN (1, 2, 3)` in place of many `OR`s, or split the query over several `sql` operators.";
    /// A table that is no input.
    UNKNOWN_TABLE = "RDE0410", "unknown table",
        "The tables of a query are the operators that send to it, by their ids; a named output of an operator is the table \
         `id_port`. Names without quotes fold to lower case.";
    /// An input that the query does not read.
    UNUSED_INPUT = "RDE0411", "input that is not read",
        "An edge leads into this operator, but the query does not read it as a table. Name it in FROM or remove the edge.";
    /// Two inputs of one name.
    DUPLICATE_INPUT = "RDE0412", "two inputs of one name",
        "Two edges into a `sql` operator make tables of the same name. Edges into SQL never merge; put the rows together \
         with UNION ALL over differently named inputs.";
    /// A column that does not exist.
    UNKNOWN_COLUMN = "RDE0413", "unknown column",
        "No table in reach has a column of this name. Names without quotes fold to lower case; a column with capitals or \
         spaces needs double quotes.";
    /// A column name that fits several tables.
    AMBIGUOUS_COLUMN = "RDE0414", "ambiguous column",
        "Several tables in reach have a column of this name. Write `table.column`.";
    /// A function that does not exist.
    UNKNOWN_FUNCTION = "RDE0415", "unknown function",
        "There is no function of this name. The functions are listed in `rde docs transform sql`; files, network and environment are \
         out of reach of all of them.";
    /// Types that do not fit, and other faults found while planning.
    PLAN = "RDE0416", "query that cannot be planned",
        "The query reads as SQL but makes no sense over these columns, most often because types do not fit together. Add \
         a CAST, or look at the types of the inputs with `rde graph`.";
    /// Two output columns of one name.
    DUPLICATE_OUTPUT = "RDE0417", "two output columns of one name",
        "Columns of a batch are told apart by name. Give one of them an alias: `a.id AS a_id`.";
    /// An output column without a type.
    UNTYPED_OUTPUT = "RDE0418", "output column without a type",
        "A column of bare NULLs has no type that a sink could write. Write `CAST(NULL AS type)`.";
    /// A whole-input query over an input that never ends.
    UNBOUNDED = "RDE0419", "whole-input query over an unbounded input",
        "An aggregate, sort, limit, window, join, DISTINCT or subquery needs whole inputs, and one of them never ends. Its \
         answer would never come, and an answer per batch would be wrong. Bound the source, or keep to projections, \
         filters, casts, `unnest` and scalar functions.";
    /// No input table is read.
    NO_INPUT = "RDE0420", "query without input",
        "The query reads none of the operator's inputs.";
    /// A row: division by zero.
    DIVISION_BY_ZERO = "RDE0450", "division by zero",
        "An integer or decimal was divided by zero. Guard the division, for example `x / NULLIF(y, 0)`. Floats follow \
         IEEE 754 and give infinity or NaN.";
    /// A row: a number out of range.
    OVERFLOW = "RDE0451", "number out of range",
        "The result of an arithmetic expression or of a sum does not fit its type. Integers are never wrapped. Cast an \
         operand to a wider type, for example `CAST(x AS DECIMAL(38, 0))` or `CAST(x AS DOUBLE)`.";
    /// A row: a cast that failed.
    CAST = "RDE0452", "value that cannot be cast",
        "A value does not fit the type of a CAST. `TRY_CAST` gives NULL in its place.";
    /// A row: an expression failed for another reason.
    EXPRESSION = "RDE0453", "expression that failed",
        "A function refused its arguments for this row; the message says why.";
    /// Not enough memory for what cannot spill.
    MEMORY = "RDE0460", "SQL ran out of memory",
        "Sorts, aggregates and merge joins spill to `settings.spill` when they reach the memory that this operator may \
         use (at most half of `settings.memory_max`). This query needed more in a part that cannot spill, or the spill \
         folder reached `settings.spill_max`. Raise the setting that the message names, or make the query smaller.";
    /// A schema change that the query cannot follow.
    SCHEMA_CHANGE = "RDE0461", "schema change that breaks the query",
        "The columns of an input changed while the pipeline ran, and the query cannot be planned over the new ones.";
    /// The spill folder.
    SPILL = "RDE0462", "spill folder",
        "The folder `settings.spill` cannot be used. Check that it can be created and written.";
    /// A bug.
    INTERNAL = "RDE0479", "SQL failed",
        "The engine of SQL failed in a way that is not the query's fault. Please report it with the query.";
}
