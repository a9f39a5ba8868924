//! The reference of the configuration: configs/REFERENCE.md and `rde docs`.
//!
//! Made from the operators' own definitions, the same that the parser checks against.
//! Invariant: deterministic; what is of a later version is left out.

use std::fmt::Write;

use rde_core::{Code, Kind, LATER_STAGE, OperatorSpec, Reference, Settings};
use serde_json::Value;

use crate::grammar::{COMMON_KEYS, KEYS};
use crate::spec::section;
use crate::types::type_text;
use crate::view::View;

const DEPTH_MAX: usize = 6;
const KINDS: [Kind; 3] = [Kind::Source, Kind::Transform, Kind::Sink];

/// One field with what is known of it.
struct Row {
    name: String,
    kind: String,
    default: String,
    text: String,
}

/// Returns the reference of the whole configuration in Markdown.
pub fn reference_markdown(specs: &[&dyn OperatorSpec], codes: &[&Code]) -> String {
    let mut out = String::from(INTRODUCTION);
    out.push_str("\n| key | what it is |\n| --- | --- |\n");
    for (name, text) in KEYS {
        line(&mut out, &format!("| `{name}` | {} |", cell(text)));
    }
    out.push_str(RULES);
    out.push_str("\n## Settings\n\n");
    table(&mut out, &rows(&schemars::schema_for!(Settings).to_value()));
    out.push_str(
        "\n## Operators\n\nEvery entry of `sources`, `transforms` and `sinks` has exactly one kind, and beside it:\n\n",
    );
    out.push_str("| key | what it is |\n| --- | --- |\n");
    for (name, text) in COMMON_KEYS {
        line(&mut out, &format!("| `{name}` | {} |", cell(text)));
    }
    for kind in KINDS {
        line(&mut out, &format!("\n## {}", title(kind)));
        for spec in specs.iter().filter(|spec| spec.kind() == kind) {
            operator_markdown(&mut out, *spec);
        }
    }
    if !codes.is_empty() {
        out.push_str(
            "\n## Error codes\n\n`rde explain CODE` prints the long text of each.\n\n| code | title |\n| --- | --- |\n",
        );
        let mut codes = codes.to_vec();
        if !codes.contains(&&LATER_STAGE) {
            codes.push(&LATER_STAGE);
        }
        codes.sort_by_key(|code| code.id);
        for code in codes {
            line(&mut out, &format!("| `{}` | {} |", code.id, cell(code.title)));
        }
    }
    out
}

/// Returns the reference of one operator as plain text.
pub fn operator_text(spec: &dyn OperatorSpec) -> String {
    let reference = spec.reference();
    let mut out = format!("{} {}: {}\n", spec.name(), spec.kind().as_str(), reference.summary);
    let rows = rows(&reference.schema);
    if !rows.is_empty() {
        out.push_str("\nFields\n");
    }
    for row in &rows {
        line(&mut out, &format!("  {} ({}; {})", row.name, plain(&row.kind), plain(&row.default)));
        wrapped(&mut out, &plain(&row.text), "      ");
    }
    out.push_str("\nBeside the kind\n");
    for (name, text) in COMMON_KEYS {
        line(&mut out, &format!("  {name}"));
        wrapped(&mut out, &plain(text), "      ");
    }
    out.push_str("\nExample\n");
    for text in example(spec.kind(), &reference).lines() {
        line(&mut out, &format!("  {text}"));
    }
    if !reference.notes.trim().is_empty() {
        line(&mut out, &format!("\nNotes\n{}", reference.notes.trim()));
    }
    out
}

/// Lists the operators, of one kind or all, each with its sentence.
pub fn kinds_text(specs: &[&dyn OperatorSpec], kind: Option<Kind>) -> String {
    let width = specs.iter().map(|spec| spec.name().len()).max().unwrap_or_default();
    let mut out = String::new();
    for one in KINDS.into_iter().filter(|one| kind.is_none_or(|kind| kind == *one)) {
        line(&mut out, section(one));
        for spec in specs.iter().filter(|spec| spec.kind() == one) {
            line(&mut out, &format!("  {:width$}  {}", spec.name(), spec.reference().summary));
        }
    }
    line(
        &mut out,
        "\n`rde docs KIND NAME` explains one, for example `rde docs source csv`; `rde docs csv` shows all of that name.",
    );
    out
}

fn operator_markdown(out: &mut String, spec: &dyn OperatorSpec) {
    let reference = spec.reference();
    line(out, &format!("\n### `{}` {}\n\n{}\n", spec.name(), spec.kind().as_str(), reference.summary));
    let rows = rows(&reference.schema);
    if rows.is_empty() {
        out.push_str("It has no fields.\n");
    } else {
        table(out, &rows);
    }
    line(out, &format!("\n```yaml\n{}```", example(spec.kind(), &reference)));
    if !reference.notes.trim().is_empty() {
        line(out, &format!("\n{}", reference.notes.trim()));
    }
}

fn example(kind: Kind, reference: &Reference) -> String {
    let mut out = format!("{}:\n  - id: example\n", section(kind));
    for text in reference.example.trim_end().lines() {
        line(&mut out, &format!("    {text}"));
    }
    out
}

fn table(out: &mut String, rows: &[Row]) {
    out.push_str("| field | type | default | what it does |\n| --- | --- | --- | --- |\n");
    for row in rows {
        let (kind, text) = (cell(&row.kind), cell(&row.text));
        line(out, &format!("| `{}` | {kind} | {} | {text} |", row.name, cell(&row.default)));
    }
}

fn rows(schema: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    collect(schema, schema, "", 0, &mut rows);
    rows
}

fn collect(root: &Value, schema: &Value, prefix: &str, depth: usize, rows: &mut Vec<Row>) {
    if depth > DEPTH_MAX {
        return;
    }
    let view = View::of(root, schema);
    let required = view.required();
    for (name, field) in view.properties() {
        let inner = View::of(root, field);
        if inner.flag("x-rde-later") {
            continue;
        }
        let name_full = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        rows.push(Row {
            name: name_full.clone(),
            kind: type_text(root, field),
            default: default(&inner, required.contains(&name)),
            text: description(root, &inner),
        });
        collect(root, field, &name_full, depth + 1, rows);
    }
    for choice in view.choices.iter().flatten() {
        collect(root, choice, prefix, depth + 1, rows);
    }
    if let Some(items) = view.all("items").find(|items| items.is_object()) {
        collect(root, items, &format!("{prefix}[]"), depth + 1, rows);
    }
    if let Some(rest) = view.rest().filter(|_| !prefix.is_empty()) {
        collect(root, rest, &format!("{prefix}.<name>"), depth + 1, rows);
    }
}

fn default(view: &View<'_>, required: bool) -> String {
    match view.all("default").next() {
        Some(Value::Null) | None if required => "required".to_owned(),
        // An enum whose default cannot be written as JSON has one all the same.
        None if !view.nullable() && (view.values().is_some() || !view.choices.is_empty()) => "optional".to_owned(),
        Some(Value::Null) | None => "none".to_owned(),
        Some(Value::String(text)) if !text.is_empty() => format!("`{text}`"),
        Some(value) => format!("`{value}`"),
    }
}

/// The field's own words, then those of its values.
fn description(root: &Value, view: &View<'_>) -> String {
    let mut text = view.text("description").unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    if view.flag("writeOnly") {
        text.push_str(" Secret.");
    }
    for choice in view.choices.iter().flatten() {
        let choice = View::of(root, choice);
        let word = choice.values().and_then(|values| values.first().and_then(|value| value.as_str()));
        if let (Some(word), Some(about)) = (word, choice.text("description")) {
            let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
            text.push_str(&format!(" `{word}`: {about}"));
        }
    }
    text.trim().to_owned()
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Source => "Sources",
        Kind::Transform => "Transforms",
        Kind::Sink => "Sinks",
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn plain(text: &str) -> String {
    text.replace('`', "")
}

fn wrapped(out: &mut String, text: &str, indent: &str) {
    const WIDTH: usize = 100;
    let mut current = String::new();
    for word in text.split_whitespace() {
        if !current.is_empty() && indent.len() + current.chars().count() + word.chars().count() >= WIDTH {
            line(out, &format!("{indent}{current}"));
            current.clear();
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
    }
    if !current.is_empty() {
        line(out, &format!("{indent}{current}"));
    }
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("writing to a string never fails");
}

const INTRODUCTION: &str = "\
# Configuration reference

Generated by `cargo xtask docs` from the definitions that the parser uses; a test fails when it is out of date.
`rde docs KIND NAME` prints the page of one operator, `rde schema` the JSON Schema for editors, `rde explain CODE` the
long text of an error code.

## The file

A pipeline is one YAML 1.2 file:

```yaml
name: flights
sources:
  - id: flights
    csv: { path: data/flights.csv }
transforms:
  - id: late
    sql: { query: \"SELECT carrier, dep_delay FROM flights WHERE dep_delay > 15\" }
sinks:
  - id: lake
    parquet: { path: out/late }
edges:
  - [flights, late]
  - [late, lake]
```
";

const RULES: &str = "
Unknown keys are faults. All faults of a file are reported together, each with `file:line:column` and a code.
Limits: 1 MiB of text, 64 levels, 100,000 values with aliases counted as what they stand for.

**Edges.** An end is the id of an operator or `id.port`; without a port it is the first one. Every operator has an
output `errors` for rows that fail. Several edges into one port merge; several edges from one output copy by reference.
A `sql` operator has one input for each output that sends to it, a table named by the sender's id (`id_port` for a named
output).

**Variables.** `${NAME}` and `${NAME:default}` in scalars stand for environment variables, `${file:PATH}` for the content
of a secret file; `$${` is a literal `${`. They are replaced after parsing: in a scalar without quotes the result is typed
as YAML types it, in quotes it is text. Inside `{ }` and `[ ]` a variable needs quotes.

**Secrets.** Every `${file:PATH}` value is secret, and so are fields marked as such and, in untyped maps, names that are
or end in `password`, `secret`, `token` or `key`. A secret is shown as `***` everywhere.

**`--set path=value`** replaces or adds one value before checks: keys joined by dots, entries of lists by `id`, the value in
YAML: `--set transforms.late.sql.query='SELECT 1'`.

Sizes are written `64KiB`, `16MiB`, `1GiB`, periods `250ms`, `10s`, `5min`. Relative paths are relative to the file.
";
