//! How faults look.

use super::loaded;
use crate::{Style, finish};

fn shown(text: &str) -> String {
    let loaded = loaded(text, &[]);
    let faults = finish(loaded.faults.clone(), &loaded.redactor);
    loaded.places.render(&faults, Style::Plain)
}

const BROKEN: &str = "\
name: demo
sources:
  - id: orders
    csv: { pth: a.csv, header: yes }
sinks:
  - id: out
    stdout:
edges:
  - [orders, out]
";

#[test]
fn a_fault_shows_its_code_place_line_suggestion_and_help() {
    assert_eq!(
        shown(BROKEN),
        "\
error[RDE0105]: source `orders`: missing field `path`
 --> p.yaml:4:5
  |
4 |     csv: { pth: a.csv, header: yes }
  |     ^^^
  |
  = help: a csv source takes path, delimiter, header, null_values, schema, sample_rows

error[RDE0104]: source `orders`: unknown field `pth`
 --> p.yaml:4:12
  |
4 |     csv: { pth: a.csv, header: yes }
  |            ^^^ did you mean `path`?
  |
  = help: a csv source takes path, delimiter, header, null_values, schema, sample_rows

error[RDE0106]: source `orders`: field `header` must be true or false, found the text `yes`
 --> p.yaml:4:32
  |
4 |     csv: { pth: a.csv, header: yes }
  |                                ^^^
  |
  = help: write `true` or `false`

"
    );
}

#[test]
fn the_json_form_has_the_fields_of_the_contract() {
    let loaded = loaded(BROKEN, &[]);
    let faults = finish(loaded.faults.clone(), &loaded.redactor);
    let json = serde_json::to_value(&faults[1]).expect("faults are JSON");
    assert_eq!(
        json,
        serde_json::json!({
            "code": "RDE0104", "severity": "error", "message": "source `orders`: unknown field `pth`", "file": "p.yaml",
            "line": 4, "column": 12,
            "help": "did you mean `path`? a csv source takes path, delimiter, header, null_values, schema, sample_rows",
            "operator": "orders",
        })
    );
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let text = format!("name: \"{}\"\n", "é".repeat(5000));
    let shown = shown(&text);
    assert!(shown.contains("--> p.yaml:1:7"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() < 300), "{shown}");
    let text = format!("name: a\nsources: [{}5]\n", "{ id: x, csv: { path: a } }, ".repeat(100));
    let loaded = loaded(&text, &[]);
    let last = loaded.faults.iter().find(|fault| fault.code == "RDE0106").expect("5 is no entry");
    let shown = loaded.places.render(std::slice::from_ref(last), Style::Plain);
    assert!(shown.contains("--> p.yaml:2:2911"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() < 300), "{shown}");
}

#[test]
fn colour_is_used_only_when_asked_for() {
    let loaded = loaded(BROKEN, &[]);
    let faults = finish(loaded.faults.clone(), &loaded.redactor);
    assert!(!loaded.places.render(&faults, Style::Plain).contains('\u{1b}'));
    assert!(loaded.places.render(&faults, Style::Color).contains('\u{1b}'));
    assert!(shown(BROKEN).is_ascii());
}

#[test]
fn control_characters_of_others_never_reach_the_terminal() {
    let loaded = loaded(BROKEN, &[]);
    let error =
        rde_core::Error::plugin(&crate::codes::SYNTAX, "plugin said \u{1b}[31mred\nand more").in_operator("orders");
    let shown = loaded.places.render(&[loaded.places.locate(&error)], Style::Plain);
    assert!(shown.contains("plugin said \\u{1b}[31mred\\nand more"), "{shown}");
}

#[test]
fn a_secret_in_a_file_that_cannot_be_read_is_masked() {
    let shown = shown("name: a\nx:\n  password: hunter2: 5\n");
    assert!(shown.contains("RDE0101") && !shown.contains("hunter2"), "{shown}");
}
