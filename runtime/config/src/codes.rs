//! Codes 0101 to 0122 and 0199: the file and its grammar.
//!
//! Invariant: a published code never changes its meaning. RDE0900, a later stage, is in `rde_core`, since plugins and
//! operators answer with it too.

rde_core::codes! {
    /// The text is not YAML.
    SYNTAX = "RDE0101", "not valid YAML",
        "The file could not be read as YAML 1.2, so only what stands before the place could be checked.\n\
         Usual causes: a line indented by fewer or more spaces than its neighbours, a missing space after `:` or `-`, \
         a quote that is never closed, `: ` or ` #` inside a text without quotes, or `${VAR}` without quotes inside \
         `{ }` or `[ ]`.\nPut quotes around texts that hold such characters and line up the keys of one map.";
    /// Bytes that are not UTF-8, or characters YAML does not allow.
    NOT_TEXT = "RDE0102", "not UTF-8 text",
        "A configuration is UTF-8 text. Here bytes that are not UTF-8, or a control character such as NUL, were found.\n\
         Save the file as UTF-8 without control characters. Inside double quotes a character can be written as an \
         escape, for example `\"\\x01\"`.";
    /// A key stands twice in one map.
    DUPLICATE_KEY = "RDE0103", "key written twice",
        "One map holds the same key twice, so one of the two values would be lost.\n\
         Remove one, or rename it. In `sources`, `transforms` and `sinks` this often means that the `-` of a new entry \
         is missing.";
    /// A key or field that does not exist.
    UNKNOWN_FIELD = "RDE0104", "unknown field",
        "The key is not known at this place; a setting that is misspelt is never ignored in silence.\n\
         The help lists the keys that are known; `rde docs KIND NAME` explains the fields of an operator. If a key of \
         an operator is named, look at its indentation: fields stand one level below the kind, for example below `csv:`.";
    /// A key or field that must be there.
    MISSING_FIELD = "RDE0105", "missing field",
        "A key without a default is not there. Add it; `rde docs KIND NAME` shows an example of each operator.";
    /// A value of another type.
    WRONG_TYPE = "RDE0106", "wrong type",
        "The value has another type than the field: for example a number where text is wanted, or one text where a \
         list is wanted.\nYAML reads `5`, `true` and `null` without quotes as number, truth value and nothing; in \
         quotes they are text. A list is `[a, b]`, a map `{ a: 1 }`.";
    /// A value that is not allowed.
    WRONG_VALUE = "RDE0107", "value not allowed",
        "The type is right, the value is not: a word that is not one of those listed, a number out of range, a size or \
         period without a unit, or a text of another form.\nSizes are `64KiB`, `16MiB`, `1GiB`; periods are `250ms`, \
         `10s`, `5min`.";
    /// A kind of operator that does not exist.
    UNKNOWN_KIND = "RDE0108", "unknown kind of operator",
        "The key that names the kind of an operator is not one of those that exist in this section. `rde docs` lists \
         all. A kind may exist as a source and not as a transform or sink.";
    /// None or several kinds.
    KIND_COUNT = "RDE0109", "not exactly one kind",
        "Each entry of `sources`, `transforms` and `sinks` holds exactly one key that names its kind, for example \
         `csv:`. Beside it only `id`, `on_error`, `parallelism` and `description` may stand.";
    /// A name or id of a form that is not allowed.
    BAD_NAME = "RDE0110", "name not allowed",
        "The `name` of a pipeline is 1 to 63 characters of a-z, 0-9 and `-`. The `id` of an operator begins with a-z \
         and goes on with a-z, 0-9 and `_`: it is a table name in SQL.";
    /// An id that two operators have.
    DUPLICATE_ID = "RDE0111", "id used twice",
        "Two operators have the same `id`, so an edge could not say which one it means. Ids are unique in the whole \
         file, across sources, transforms and sinks.";
    /// An edge of a wrong form.
    BAD_EDGE = "RDE0112", "not an edge",
        "An edge is a list of two ends, `[from, to]`. An end is the id of an operator, or `id.port` for a named output \
         or input, for example `[tidy.errors, rejects]`. For several receivers write several edges.";
    /// A variable reference of a wrong form.
    BAD_VARIABLE = "RDE0113", "not a variable",
        "`${…}` takes a variable `${NAME}` or `${NAME:default}`, NAME of A-Z, 0-9 and `_`, or a secret file \
         `${file:PATH}`. There are no other providers. Write `$${` for a literal `${`.";
    /// A variable without value and default.
    MISSING_VARIABLE = "RDE0114", "variable not set",
        "The environment has no variable of this name and the file gives no default. Set it, or write \
         `${NAME:default}`; `${NAME:}` is an empty default.";
    /// A secret file that cannot be read.
    SECRET_FILE = "RDE0115", "secret file cannot be used",
        "`${file:PATH}` names a file whose content is the value. It could not be read, or its content is shorter than 4 \
         characters: hiding those wherever they stand would blot out ordinary text. A relative path is relative to the \
         pipeline file. The file must be UTF-8 text; one line break at its end is dropped.";
    /// A secret in the configuration of a plugin.
    SECRET_IN_PLUGIN = "RDE0116", "secret in a plugin's config",
        "A plugin may not see a secret: what it is given could leave the sandbox in its output. Remove the secret from \
         `config`. Plugins that need one will get it through a grant, which is not in this version.";
    /// A file beyond a limit.
    TOO_LARGE = "RDE0117", "configuration too large",
        "The file is larger than 1 MiB, nested deeper than 64 levels, or holds more than 100,000 values once its \
         aliases are replaced. Aliases of aliases multiply: ten lines can stand for billions of values, so they are \
         counted before anything is copied.";
    /// Nothing in the file.
    EMPTY = "RDE0118", "empty configuration",
        "The file holds no pipeline. `rde docs` and configs/ show examples.";
    /// More than one document.
    SEVERAL_DOCUMENTS = "RDE0119", "several documents",
        "A file holds one pipeline; after `---` another document begins. Put each pipeline into a file of its own.";
    /// A `--set` that cannot be applied.
    BAD_SET = "RDE0120", "`--set` cannot be applied",
        "`--set path=value` takes keys joined by dots and a value in YAML, for example \
         `--set settings.parallelism=4` or `--set transforms.delays.sql.query='SELECT 1'`. Entries of lists are named \
         by their `id`, or by a number from 0.";
    /// A feature of YAML that is not used here.
    UNSUPPORTED_YAML = "RDE0121", "YAML feature not supported",
        "Merge keys (`<<`), tags other than those of the core schema, keys that are not plain text, and aliases inside \
         their own anchor are refused: no two programs read them alike. Anchors (`&a`) and aliases (`*a`) are fine.";
    /// A tab that indents.
    TAB = "RDE0122", "tab in the indentation",
        "YAML indents with spaces only. Replace the tabs at the beginning of these lines by spaces; most editors have a \
         command for it.";
    /// Faults that are not shown.
    TOO_MANY_FAULTS = "RDE0199", "too many faults",
        "A file's faults are shown up to 100; the rest is counted. Often one missing line causes most of them.";
}
