//! Broken files and the hand-written places of their faults.

use super::{GOOD, codes_of, loaded};

/// A text, and its faults as `CODE:line:column`.
type Case = (&'static str, &'static [&'static str]);

fn check(cases: &[Case]) {
    for (text, expected) in cases {
        let loaded = loaded(text, &[]);
        assert_eq!(codes_of(&loaded), *expected, "{text}\n{:#?}", loaded.faults);
    }
}

/// The rest of a pipeline after its source in line 4.
fn with_source(fields: &str) -> String {
    format!("name: a\nsources:\n- id: x\n{fields}sinks: [{{ id: y, stdout: }}]\nedges: [[x, y]]\n")
}

fn check_source(fields: &str, expected: &[&str]) {
    let text = with_source(fields);
    let loaded = loaded(&text, &[]);
    assert_eq!(codes_of(&loaded), expected, "{text}\n{:#?}", loaded.faults);
}

#[test]
fn a_good_file_has_no_faults_and_a_whole_specification() {
    let loaded = loaded(GOOD, &[]);
    assert_eq!(codes_of(&loaded), Vec::<String>::new(), "{:#?}", loaded.faults);
    let spec = loaded.spec.expect("the file is good");
    assert_eq!(spec.name.as_deref(), Some("flights"));
    assert_eq!(spec.settings.parallelism, 2);
    let ids: Vec<&str> = spec.operators.iter().map(|operator| &*operator.id).collect();
    assert_eq!(ids, ["flights", "late", "score", "lake", "shown"]);
    assert!(spec.operators.iter().all(|operator| !operator.broken && operator.spec.is_some()));
    assert!(spec.operators_complete && spec.edges_complete);
    assert_eq!(spec.operators[1].parallelism, Some(3));
    assert_eq!(spec.operators[1].fields.parallelism, Some(3));
    assert_eq!(spec.operators[2].on_error, Some(rde_core::OnError::Skip));
    assert_eq!(spec.operators[2].fields.value["config"]["scale"], 2);
    assert_eq!(spec.operators[4].fields.value, serde_json::json!({}));
    assert_eq!(spec.edges[3].from, "score.errors");
}

#[test]
fn faults_of_the_text_have_their_place() {
    check(&[
        ("", &["0118:1:1"]),
        ("# nothing\n", &["0118:1:1"]),
        ("\u{feff}", &["0118:1:1"]),
        ("just words\n", &["0106:1:1"]),
        ("- a\n", &["0106:1:1"]),
        ("name: a\n\tsources: []\n\tsinks: []\n", &["0122:2:1", "0122:3:1"]),
        ("name: \"a\nsources: []\n", &["0101:1:7"]),
        ("name: a\nname: b\nsources: 1\n", &["0105:1:1", "0105:1:1", "0103:2:1", "0106:3:10"]),
        ("name: a\n---\nname: b\n", &["0119:2:1"]),
        ("name: a\nx: \u{1}\n", &["0102:2:4"]),
        ("name: a\u{0}\n", &["0102:1:8"]),
        ("name: *nothing\n", &["0101:1:7"]),
        ("<<: { name: a }\nname: b\n", &["0121:1:1", "0105:2:1", "0105:2:1", "0105:2:1"]),
    ]);
}

#[test]
fn bytes_that_are_no_text_have_their_place() {
    let load = |bytes: &[u8]| {
        let file = crate::ConfigFile { name: "p.yaml", bytes, sets: &[] };
        let loaded = crate::load(&file, &super::REGISTRY, &super::World);
        codes_of(&loaded)
    };
    assert_eq!(load(b"name: a\nb: \xc3\xbc\xff\n"), ["0102:2:5"]);
    assert_eq!(load(b"\xff\xfen\0a\0"), ["0102:1:1"]);
    assert_eq!(load(b"\xef\xbb\xbfname: A\n")[..1], ["0105:1:1"]);
    assert!(load(b"\xef\xbb\xbfname: A\n").contains(&"0110:1:7".to_owned()));
}

#[test]
fn the_part_before_a_syntax_error_is_checked() {
    let text = "name: Bad Name\nsettings: { parallelism: 0 }\nsources:\n  - id: x\n    csv: { pth: a }\n  - id: y\n   csv: 5\n";
    let loaded = loaded(text, &[]);
    assert!(loaded.spec.is_none());
    assert_eq!(
        codes_of(&loaded),
        ["0110:1:7", "0107:2:26", "0105:5:5", "0104:5:12", "0101:7:4"],
        "{:#?}",
        loaded.faults
    );
}

#[test]
fn faults_of_the_files_keys_have_their_place() {
    check(&[
        ("name: a\n", &["0105:1:1", "0105:1:1", "0105:1:1"]),
        (
            "nam: a\nsources: []\nsinks: {}\nedges: 5\nextra: 1\n",
            &["0104:1:1", "0105:1:1", "0105:2:1", "0106:3:8", "0106:4:8", "0104:5:1"],
        ),
        (
            "name: 5\nsettings: { batch_rows_max: 0, batch_bytes_max: 8, memory_max: 0B, paralelism: 1, checkpoint: 1 }\n\
             sources: [5]\nsinks: [{}]\nedges: []\n",
            &[
                "0106:1:7",
                "0107:2:29",
                "0107:2:49",
                "0107:2:64",
                "0104:2:68",
                "0900:2:83",
                "0106:3:11",
                "0105:4:9",
                "0109:4:9",
            ],
        ),
    ]);
}

#[test]
fn faults_of_entries_have_their_place() {
    check_source("  csv: { path: a }\n  parallelism: 0\n", &["0107:5:16"]);
    check_source("  csv: { path: a }\n  on_error: explode\n  paralelism: 2\n", &["0107:5:13", "0104:6:3"]);
    check_source("  csv:\n  path: a\n", &["0105:4:3", "0104:5:3"]);
    check_source("  cvs: { path: a }\n", &["0108:4:3"]);
    check_source("  parquet: { path: a }\n", &["0108:4:3"]);
    check_source("  kafka: { anything: 1 }\n", &["0900:4:3"]);
    check_source("  csv: { path: a }\n  kafka: {}\n", &["0109:5:3"]);
    check_source("  description: d\n", &["0109:3:3"]);
    check_source("  cvs: 1\n  other: 2\n", &["0104:4:3", "0104:5:3"]);
    check_source(
        "  csv: { path: a }\n- id: x\n  csv: { path: b }\n- id: X\n  csv: { path: c }\n",
        &["0111:5:7", "0110:7:7"],
    );
    check_source("  csv: { path: a }\n- csv: { path: b }\n- id: 5\n  csv: { path: b }\n", &["0105:5:3", "0106:6:7"]);
}

#[test]
fn faults_of_fields_have_their_place() {
    check_source("  csv: {}\n", &["0105:4:3"]);
    check_source("  csv: a.csv\n", &["0106:4:8"]);
    check_source(
        "  csv: { path: 5, header: yes, delimiter: ab, null_values: x }\n",
        &["0106:4:16", "0106:4:27", "0107:4:43", "0106:4:60"],
    );
    check_source(
        "  csv: { path: a, null_values: [a, 5], schema: { b: 1 }, sample_rows: most }\n",
        &["0106:4:36", "0106:4:53", "0107:4:71"],
    );
    check_source("  csv: { path: a, sample_rows: -1 }\n", &["0107:4:32"]);
    check_source("  csv: { headr: yes, path: refused }\n", &["0104:4:10", "0107:4:28"]);
    check_source("  csv: { path: s3://b/a.csv }\n", &["0900:4:16"]);
}

#[test]
fn faults_of_sinks_and_plugins_have_their_place() {
    let text = "name: a\nsources: [{ id: x, csv: { path: a } }]\ntransforms:\n- id: p\n  wasm:\n    plugin: oci://x/y\n    grants: {}\n    \
                limits: { memory_max: 64, wall_max: 3s, tim_max: 1s }\n    on_trap: skip\n    config: { p: \"${file:pw}\" }\n\
                sinks:\n- id: y\n  parquet:\n    path: a\n    compression: zst\n    catalog: { fil: { warehouse: a } }\n    \
                files_max: 11\n    retries: 3\n- id: z\n  parquet: { path: a, catalog: { rest: { uri: 5, tok: a } } }\nedges: []\n";
    check(&[(
        text,
        &[
            "0900:6:13",
            "0900:7:5",
            "0107:8:27",
            "0900:8:31",
            "0104:8:45",
            "0900:9:14",
            "0116:10:18",
            "0107:15:18",
            "0104:16:16",
            "0107:17:16",
            "0900:18:5",
            "0106:20:47",
            "0104:20:50",
        ],
    )]);
}

#[test]
fn a_plugins_config_is_a_map() {
    let loaded = loaded(&GOOD.replace("config: { scale: 2 }", "config: 5"), &[]);
    assert_eq!(codes_of(&loaded), ["0106:13:37"], "{:#?}", loaded.faults);
}

#[test]
fn faults_of_edges_have_their_place() {
    let edges = "name: a\nsources: [{ id: x, csv: { path: a } }]\nsinks: [{ id: y, stdout: }]\nedges:\n- [x, y]\n- [x]\n- [x, y, z]\n\
                 - x -> y\n- [5, Y]\n- [x., .y]\n- [x.errors, y.in]\n- [[x], y]\n";
    let loaded = loaded(edges, &[]);
    assert_eq!(
        codes_of(&loaded),
        ["0112:6:3", "0112:7:3", "0112:8:3", "0112:9:4", "0112:9:7", "0112:10:4", "0112:10:8", "0112:12:4",]
    );
    let spec = loaded.spec.expect("the file is a pipeline");
    assert!(!spec.edges_complete);
    assert_eq!(spec.edges.len(), 2);
    let error = rde_core::Error::config(&crate::codes::BAD_EDGE, "x").at(rde_core::Place::field("/edges/1/0"));
    let fault = loaded.places.locate(&error);
    assert_eq!((fault.line, fault.column), (11, 4));
}

#[test]
fn an_alias_bomb_is_counted_before_it_is_copied() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let loaded = loaded(&text, &[]);
    assert!(loaded.spec.is_none());
    assert!(codes_of(&loaded).iter().any(|code| code.starts_with("0117:5:")), "{:?}", codes_of(&loaded));
}

#[test]
fn aliases_within_the_limits_stand_for_their_values() {
    let text =
        GOOD.replace("path: out,", "path: &out out,").replace("plugin: a.wasm", "plugin: a.wasm, config: &c { k: v }");
    let text = text.replace(", config: { scale: 2 }", "").replace("path: data/flights.csv", "path: &p data/x.csv");
    let loaded = loaded(&text, &["settings.spill=*p"]);
    assert!(codes_of(&loaded).contains(&"0101:1:16".to_owned()), "an alias of another text is unknown");
    let text = "name: a\nsources:\n- { id: x, csv: &c { path: a } }\n- { id: z, csv: *c }\nsinks: [{ id: y, stdout: }]\nedges: [[x, y], [z, y]]\n";
    let loaded = super::loaded(text, &["sources.x.csv.path=b"]);
    assert_eq!(codes_of(&loaded), Vec::<String>::new());
    let spec = loaded.spec.expect("the file is good");
    assert_eq!(spec.operators[0].fields.value["path"], "b");
    assert_eq!(spec.operators[1].fields.value["path"], "a");
}

#[test]
fn an_alias_inside_its_anchor_is_refused() {
    let loaded = loaded("name: a\nsources: &s [*s]\n", &[]);
    assert_eq!(codes_of(&loaded), ["0121:2:14"]);
}

#[test]
fn nesting_at_the_limit_is_read_and_one_deeper_is_not() {
    let nested = |depth: usize| format!("x: {}{}\n", "[".repeat(depth), "]".repeat(depth));
    let has = |text: &str| codes_of(&loaded(text, &[])).iter().any(|code| code.starts_with("0117"));
    assert!(!has(&nested(crate::DEPTH_MAX - 1)));
    assert!(has(&nested(crate::DEPTH_MAX)));
    assert!(has(&nested(100_000)));
}

#[test]
fn values_at_the_limit_are_read_and_one_more_is_not() {
    // One map, one key, one list, and its items.
    let items = |count: usize| format!("x: [{}]\n", vec!["1"; count].join(","));
    let has = |count: usize| codes_of(&loaded(&items(count), &[])).iter().any(|code| code.starts_with("0117"));
    assert!(!has(crate::NODES_MAX - 3));
    assert!(has(crate::NODES_MAX - 2));
}

#[test]
fn a_file_at_the_size_limit_is_read_and_one_byte_more_is_not() {
    let padded = |size: usize| format!("{GOOD}#{}", "x".repeat(size - GOOD.len() - 1));
    assert_eq!(codes_of(&loaded(&padded(crate::FILE_BYTES_MAX), &[])), Vec::<String>::new());
    assert_eq!(codes_of(&loaded(&padded(crate::FILE_BYTES_MAX + 1), &[])), ["0117:1:1"]);
}

#[test]
fn the_list_of_faults_is_cut_with_a_count() {
    let keys: String = (0..150).map(|number| format!("k{number}: 1\n")).collect();
    let loaded = loaded(&keys, &[]);
    let codes = codes_of(&loaded);
    assert_eq!(codes.len(), crate::FAULTS_MAX + 1);
    assert!(codes[crate::FAULTS_MAX].starts_with("0199:"));
    let faults = crate::finish(loaded.faults, &loaded.redactor);
    assert_eq!(faults[crate::FAULTS_MAX].message, "54 more faults");
}

#[test]
fn an_entry_left_out_is_known_to_later_phases() {
    let whole = |text: &str| loaded(text, &[]).spec.expect("the file is a pipeline").operators_complete;
    assert!(whole(GOOD));
    assert!(!whole(&GOOD.replace("id: late", "ident: late")));
    assert!(!whole(&GOOD.replace("sinks:", "sink:")));
    assert!(!whole(&GOOD.replace("transforms:", "transform:")));
    assert!(whole(&GOOD.replace("settings:", "setings:")));
    let edges = loaded(&GOOD.replace("edges:", "edgs:"), &[]).spec.expect("the file is a pipeline");
    assert!(edges.operators_complete && !edges.edges_complete);
    let loaded = loaded(&GOOD.replace("sql: {", "sq: {"), &[]);
    let spec = loaded.spec.expect("the file is a pipeline");
    assert!(spec.operators_complete);
    let beside = super::loaded(&GOOD.replace("parallelism: 3", "paralelism: 3").replace("skip", "skp"), &[]);
    assert_eq!(codes_of(&beside), ["0104:11:5", "0107:14:15"]);
    assert!(beside.spec.expect("the file is a pipeline").operators.iter().all(|operator| !operator.broken));
    assert!(spec.operators[1].broken && spec.operators[1].spec.is_none());
    assert_eq!(&*spec.operators[1].id, "late");
}
