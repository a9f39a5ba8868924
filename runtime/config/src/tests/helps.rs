//! What to do: mistakes that YAML hides, and the remedy that is shown for each.

use super::loaded;
use crate::finish;

/// The finished faults of a pipeline, each as `CODE message | what stands beside the caret | help`.
fn faults(source: &str, query: &str) -> Vec<String> {
    let text = format!(
        "name: a\nsources:\n- id: x\n  {source}\ntransforms:\n- id: q\n  sql: {query}\nsinks: [{{ id: y, stdout: }}]\n\
         edges: [[x, q], [q, y]]\n"
    );
    let loaded = loaded(&text, &[]);
    let shown = |text: &Option<String>| text.clone().unwrap_or_default();
    let faults = finish(loaded.faults, &loaded.redactor).into_iter();
    faults.map(|f| format!("{} {} | {} | {}", &f.code[3..], f.message, shown(&f.label), shown(&f.help))).collect()
}

fn of_source(source: &str) -> Vec<String> {
    faults(source, "{ query: SELECT 1 }")
}

fn of_query(query: &str) -> Vec<String> {
    faults("csv: { path: a }", query)
}

#[test]
fn the_nearest_kind_is_suggested() {
    for (written, meant) in [("cvs", "csv"), ("csvv", "csv"), ("file_csv", "csv"), ("CSV-files", "csv")] {
        assert_eq!(
            of_source(&format!("{written}: {{ path: a }}")),
            [format!("0108 source `x`: unknown kind `{written}` | did you mean `{meant}`? | sources are csv")]
        );
    }
    assert_eq!(of_source("zebra: {}"), ["0108 source `x`: unknown kind `zebra` |  | sources are csv"]);
}

#[test]
fn a_kind_written_as_a_value_is_one_fault_with_the_key_that_is_meant() {
    for written in ["type: csv\n  path: a", "path: a\n  kind: cvs", "type: csv"] {
        let key = if written.contains("kind") { "kind" } else { "type" };
        let help = "a kind is a key, with its fields indented below it; sources are csv";
        assert_eq!(
            of_source(written),
            [format!("0104 source `x`: unknown key `{key}` | did you mean `csv:`? | {help}")],
            "{written}"
        );
    }
    // What names no kind is reported as any other key.
    assert_eq!(of_source("type: zebra\n  path: a").len(), 2);
}

#[test]
fn null_where_a_text_is_wanted_is_named_and_shown_in_quotes() {
    for null in ["NULL", "null", "Null", "~"] {
        let expected = format!(
            "0106 source `x`: field `null_values[0]` must be text, found `{null}`, which is null |  | without quotes YAML \
             reads it as null; put it in quotes: `\"{null}\"`"
        );
        assert_eq!(of_source(&format!("csv: {{ path: a, null_values: [{null}] }}")), [expected]);
        assert_eq!(
            of_source(&format!("csv: {{ path: a, null_values: [\"{null}\"] }}")),
            Vec::<String>::new(),
            "the remedy is accepted"
        );
    }
    assert_eq!(
        of_source("csv: { path: a, null_values: null }"),
        [
            "0106 source `x`: field `null_values` must be a list of text, found `null`, which is null |  | write a list: `[\"null\"]`"
        ]
    );
    assert_eq!(
        of_source("csv: { path: }"),
        ["0106 source `x`: field `path` must be text, found nothing |  | write a text; an empty one is `\"\"`"]
    );
}

#[test]
fn other_values_where_a_text_is_wanted_are_shown_in_quotes() {
    for (written, word) in
        [("true", "true or false"), ("False", "true or false"), ("-999", "a number"), ("1e3", "a number")]
    {
        let faults = of_source(&format!("csv: {{ path: a, null_values: [{written}] }}"));
        let help = format!("| without quotes YAML reads it as {word}; put it in quotes: `\"{written}\"`");
        assert!(faults.len() == 1 && faults[0].ends_with(&help), "{faults:?}");
    }
    // YAML 1.2 has no other words for true and false: these are texts.
    assert_eq!(of_source("csv: { path: a, null_values: [NO, no, off, N/A] }"), Vec::<String>::new());
}

const CUT: &str = "inside `{ }` a text without quotes ends at a comma: put all of it in quotes, `query: \"...\"`, or write it \
                   as a block, `query: |` with the text indented below";

#[test]
fn a_query_that_a_comma_cuts_is_one_fault_that_says_to_quote_it() {
    for rest in ["b FROM x", "b, sum(c) FROM x", "b FROM x WHERE c: d", "2) FROM x, max(b)"] {
        let first = rest.split([',', ':']).next().unwrap_or_default();
        assert_eq!(
            of_query(&format!("{{ query: SELECT a, {rest} }}")),
            [format!("0104 transform `q`: unknown field `{first}` | a part of `query`? | {CUT}")],
            "{rest}"
        );
    }
    for whole in [
        "{ query: \"SELECT a, b FROM x\" }",
        "\n    query: |\n      SELECT a, b\n      FROM x",
        "\n    query: SELECT a, b FROM x",
    ] {
        assert_eq!(of_query(whole), Vec::<String>::new(), "the remedy is accepted");
    }
}

#[test]
fn a_query_that_is_cut_into_no_yaml_says_to_quote_it_too() {
    for rest in ["'b' FROM x", "b[0], c FROM x", "b {c} FROM x", "b, b FROM x"] {
        let faults = of_query(&format!("{{ query: SELECT a, {rest} }}"));
        assert!(faults.iter().all(|fault| fault.contains(CUT)), "{rest}: {faults:#?}");
    }
    let commented = of_query("{ query: SELECT a # from x }");
    assert!(commented.iter().any(|fault| fault.contains(CUT)), "{commented:#?}");
}

#[test]
fn keys_that_are_no_rest_of_a_text_are_reported_as_ever() {
    let help = "a sql transform takes query";
    // A block, a word, a text in quotes: no comma can have cut them.
    for written in [
        "\n    query: SELECT a\n    b:",
        "{ query: SELECT, b }",
        "{ query: \"SELECT a\", b }",
        "{ query: SELECT a, b: 1 }",
    ] {
        assert_eq!(of_query(written), [format!("0104 transform `q`: unknown field `b` |  | {help}")], "{written}");
    }
    let twice = of_query("{ query: SELECT 1, plan: 1, plan: 2 }");
    assert!(
        twice.iter().any(|fault| fault.starts_with("0103") && fault.ends_with("remove one of them: lines 7 and 7")),
        "{twice:?}"
    );
    assert_eq!(
        of_query("SELECT a, b FROM x"),
        [format!("0106 transform `q`: the value must be a map, found the text `SELECT a, b FROM x` |  | {help}")]
    );
}

#[test]
fn many_keys_behind_a_text_take_no_time() {
    let keys: Vec<String> = (0..40_000).map(|number| format!("k{number}, k{number}")).collect();
    let faults = of_query(&format!("{{ query: SELECT a, {} }}", keys.join(",")));
    assert_eq!(faults.len(), crate::FAULTS_MAX + 1);
}
