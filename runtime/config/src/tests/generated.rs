//! The editor's schema and the reference, made from the operators' definitions.

use rde_core::Kind;

use super::{GOOD, REGISTRY};
use crate::{codes, fuzz_yaml, kinds_text, operator_text, pipeline_schema, reference_markdown, unsupported_keywords};

fn as_json(text: &str) -> serde_json::Value {
    let loaded = super::loaded(text, &[]);
    loaded.places.tree.as_deref().expect("the text is YAML").to_json()
}

#[test]
fn the_editor_schema_accepts_what_the_parser_accepts() {
    let schema = pipeline_schema(&REGISTRY);
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    let errors: Vec<String> = validator.iter_errors(&as_json(GOOD)).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    for (value, variable) in [
        ("parallelism: 3", "parallelism: \"$${N:3}\""),
        ("memory_max: 64MiB", "memory_max: \"$${SIZE}\""),
        ("compression: zstd", "compression: \"$${HOW:zstd}\""),
        ("sample_rows: all", "sample_rows: \"$${ROWS:all}\""),
    ] {
        let text = GOOD.replacen(value, variable, 1);
        assert_ne!(text, GOOD, "{value}");
        assert!(validator.is_valid(&as_json(&text)), "{variable}");
    }
}

#[test]
fn the_editor_schema_refuses_what_the_parser_refuses() {
    let schema = pipeline_schema(&REGISTRY);
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    for (good, bad) in [
        ("name: flights", "name: Flights"),
        ("id: late", "id: Late"),
        ("sql: {", "sq: {"),
        ("query: ", "quer: "),
        ("parallelism: 3", "parallelism: 0"),
        ("compression: zstd", "compression: zst"),
        ("memory_max: 64MiB", "memory_max: 64"),
        ("- [flights, late]", "- [flights]"),
        ("warehouse: w", "wharehouse: w"),
    ] {
        let text = GOOD.replacen(good, bad, 1);
        assert_ne!(text, GOOD, "{good}");
        assert!(!validator.is_valid(&as_json(&text)), "{bad}");
    }
}

#[test]
fn every_keyword_of_the_definitions_is_understood() {
    for spec in REGISTRY {
        assert_eq!(unsupported_keywords(&spec.reference().schema), Vec::<String>::new(), "{}", spec.name());
    }
    assert_eq!(unsupported_keywords(&serde_json::json!({ "not": {}, "items": { "if": {} } })), ["if", "not"]);
}

#[test]
fn the_reference_lists_every_field_with_type_and_default() {
    let text = reference_markdown(&REGISTRY, codes::ALL);
    for line in [
        "| `path` | text | required | File, folder or glob. |",
        "| `delimiter` | one character | none | One character. |",
        "| `header` | true or false | `true` | Whether the first line holds names. |",
        "| `null_values` | list of text | `[]` | Texts that mean null. |",
        "| `schema` | map of text | `{}` | Type by column. |",
        "| `sample_rows` | whole number or `all` | none | Rows to look at. |",
        "| `limits.memory_max` | size | none | Memory of an instance. |",
        "| `catalog.file.warehouse` | text | required | Folder of the tables. |",
        "| `catalog.rest.token` | text | none | Proves who we are. Secret. |",
        "| `batch_bytes_max` | size | `8MiB` | Most bytes of a batch. |",
        "| `RDE0104` | unknown field |",
        "| `RDE0900` | not in this version |",
        "### `csv` source",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("retries"), "fields of a later version are left out");
    assert_eq!(text, reference_markdown(&REGISTRY, codes::ALL));
}

#[test]
fn the_page_of_an_operator_and_the_list_are_plain_text() {
    let text = operator_text(REGISTRY[1]);
    assert!(
        text.starts_with("sql transform: Runs SQL.\n\nFields\n  query (text; required)\n      One SELECT.\n"),
        "{text}"
    );
    assert!(text.contains("\nExample\n  transforms:\n    - id: example\n      sql: { query: SELECT 1 }\n"), "{text}");
    let list = kinds_text(&REGISTRY, Some(Kind::Sink));
    assert!(list.starts_with("sinks\n  parquet  Writes Parquet.\n  stdout   Prints rows.\n"), "{list}");
}

#[test]
fn codes_are_unique_and_in_their_range() {
    let mut ids: Vec<&str> = codes::ALL.iter().map(|code| code.id).collect();
    assert!(ids.iter().all(|id| ("RDE0100".."RDE0200").contains(id)));
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

/// Scenario: files of the greatest size, made to cost as much as they can.
/// Guarantees: loading ends; a step whose time grows with the square of the size would take minutes here.
#[test]
fn large_texts_are_loaded_or_refused() {
    for text in [
        "[".repeat(1_000_000),
        format!("name: {}", "${A}".repeat(200_000)),
        format!("name: \"{}\"", "${B}".repeat(100_000)),
        format!("name: \"{}\"", "${".repeat(500_000)),
        format!("name: \"{}", "\\x41".repeat(200_000)),
        (0..40_000).map(|number| format!("k{number}: 1\n")).collect(),
        format!("a: &a [1]\nb: [{}]\n", "*a,".repeat(30_000)),
        format!("sources:\n{}", "- id: x\n  k: 1\n".repeat(15_000)),
        format!("edges: [{}]", "x,".repeat(90_000)),
        format!("a:\n{}", "\tb: 1\n".repeat(100_000)),
        "? ".repeat(500_000),
    ] {
        fuzz_yaml(text.as_bytes());
    }
}

/// Scenario: pieces of YAML in random order, with a fixed seed.
/// Guarantees: loading never panics, ends, and a file without a specification has a fault.
#[test]
fn random_texts_are_loaded_or_refused() {
    let pieces = [
        "name: a\n",
        "sources:\n",
        "  - id: x\n",
        "    csv: { path: a }\n",
        "edges: ",
        "[[x, y]]\n",
        "\t",
        "&a ",
        "*a",
        "<<: ",
        "\"",
        "'",
        "|\n",
        ">-\n",
        "  ",
        "\n",
        "---\n",
        "...\n",
        "${A}",
        "${file:p}",
        "${",
        "}",
        "{",
        "[",
        "]",
        "- ",
        ": ",
        ",",
        "? ",
        "!!str ",
        "!x ",
        "# c\n",
        "\u{feff}",
        "ü",
        "\r\n",
        "\r",
        "%YAML 1.2\n",
        "settings: ",
        "\\",
        "0x1F",
        "\u{85}",
        "~",
        "\0",
        "sources.x.csv.path=",
    ];
    let mut state: u64 = 42;
    for _ in 0..1500 {
        let mut text = String::new();
        for _ in 0..24 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let piece = usize::try_from(state >> 33).expect("31 bits fit") % pieces.len();
            text.push_str(pieces[piece]);
        }
        fuzz_yaml(text.as_bytes());
        let cut = text.len() / 2;
        fuzz_yaml(&text.as_bytes()[..cut]);
    }
}
