//! Variables, secrets and `--set`.

use serde_json::json;

use super::{GOOD, codes_of, loaded};

/// Loads a plugin's `config` and returns it as the plugin would see it.
fn config(yaml: &str) -> serde_json::Value {
    let text = GOOD.replace("config: { scale: 2 }", &format!("config: {yaml}"));
    let loaded = loaded(&text, &[]);
    assert_eq!(codes_of(&loaded), Vec::<String>::new(), "{:#?}", loaded.faults);
    loaded.spec.expect("the file is good").operators[2].fields.value["config"].clone()
}

fn block(yaml: &str) -> String {
    GOOD.replace(
        "wasm: { plugin: a.wasm, config: { scale: 2 }, limits: { memory_max: 64MiB, time_max: 2s } }",
        &format!("wasm:\n      plugin: a.wasm\n      config:\n{yaml}"),
    )
}

#[test]
fn variables_are_typed_in_plain_scalars_and_text_in_quotes() {
    let text = block(
        "        a: ${FIVE}\n        b: \"${FIVE}\"\n        c: '${FIVE}0'\n        d: ${FIVE}0\n        e: ${NONE:true}\n        \
         f: ${NONE:}\n        g: ${EMPTY}\n        h: ${TRICK}\n        i: $${FIVE}\n        j: a${WORD}b$\n        k: \"${NONE:x:y}\"\n        \
         ${WORD}: 1\n",
    );
    let loaded = loaded(&text, &[]);
    assert_eq!(codes_of(&loaded), Vec::<String>::new(), "{:#?}", loaded.faults);
    let value = loaded.spec.expect("the file is good").operators[2].fields.value["config"].clone();
    let expected = json!({
        "a": 5, "b": "5", "c": "50", "d": 50, "e": true, "f": null, "g": null, "h": "{ a: 1 }", "i": "${FIVE}",
        "j": "awordb$", "k": "x:y", "word": 1,
    });
    assert_eq!(value, expected);
    assert_eq!(
        config("{ a: !!str 5, b: !!int \"7\", c: 0x10, d: 1e2 }"),
        json!({"a": "5", "b": 7, "c": 16, "d": 100.0})
    );
}

#[test]
fn faults_of_variables_have_their_place() {
    let text = block(
        "        a: x${NONE}y\n        b: \"\\t${env:X} ${lower}\"\n        c: ${OPEN\n        d: >\n          folded\n          ${file:none}\n        \
         ${WORD}: 1\n        word: 2\n",
    );
    let loaded = loaded(&text, &[]);
    assert_eq!(
        codes_of(&loaded),
        ["0114:16:13", "0113:17:15", "0113:17:24", "0113:18:12", "0115:21:11", "0103:23:9"],
        "{:#?}",
        loaded.faults
    );
}

#[test]
fn a_variable_that_is_no_text_does_not_take_its_default() {
    let loaded = loaded(&block("        a: ${BYTES:default}\n"), &[]);
    assert_eq!(codes_of(&loaded), ["0113:16:12"], "{:#?}", loaded.faults);
}

#[test]
fn a_secret_has_at_least_four_characters_or_none() {
    for (file, expected) in [("four", &[][..]), ("empty", &[]), ("three", &["0115:17:23"])] {
        let loaded = loaded(&GOOD.replace("path: out,", &format!("path: \"${{file:{file}}}\",")), &[]);
        assert_eq!(codes_of(&loaded), expected, "{file}: {:#?}", loaded.faults);
        assert!(loaded.faults.iter().all(|fault| !fault.message.contains("abc")), "{:#?}", loaded.faults);
    }
}

#[test]
fn a_secret_is_no_name() {
    let named = GOOD.replacen("name: ", "name: \"${file:pw}\" #", 1).replacen("- id: ", "- id: \"${file:pw}\" #", 1);
    let loaded = loaded(&named, &[]);
    let secret: Vec<_> = loaded.faults.iter().filter(|fault| fault.message == "a secret cannot be a name").collect();
    assert_eq!(secret.len(), 2, "{:#?}", loaded.faults);
}

#[test]
fn a_variable_in_a_flow_map_needs_quotes_and_the_help_says_so() {
    let loaded = loaded("name: a\nsources: [{ id: x, csv: { path: ${DIR}/a } }]\n", &[]);
    let fault = loaded.faults.iter().find(|fault| fault.code == "RDE0101").expect("not YAML");
    assert_eq!(fault.line, 2);
    assert!(fault.help.as_deref().is_some_and(|help| help.contains("quotes around `${")), "{fault:?}");
}

#[test]
fn secrets_are_known_to_the_fields_and_hidden_everywhere() {
    let text = GOOD.replace(
        "path: out, compression: zstd,",
        "path: \"${file:pw}\", pass_phrase: open sesame, properties: { ssl.password: verysecret, retries.x: \"3\" },",
    );
    let loaded = loaded(&text, &[]);
    assert_eq!(codes_of(&loaded), Vec::<String>::new(), "{:#?}", loaded.faults);
    let lake = &loaded.spec.as_ref().expect("the file is good").operators[3];
    assert_eq!(lake.fields.secrets, ["/pass_phrase", "/path", "/properties/ssl.password"]);
    assert_eq!(lake.fields.value["path"], "hunter2");
    let shown = loaded.redactor.redact("hunter2, open sesame, verysecret");
    assert_eq!(shown, "***, ***, ***");
}

#[test]
fn a_secret_is_never_shown_in_a_fault() {
    let text = GOOD.replace(
        "path: out, compression: zstd, catalog: { file: { warehouse: w } }",
        "pass_phrase: 12345678, catalog: { rest: { uri: [], token: abcdefgh } }, compression: \"${file:pw}\", files_max: 99",
    );
    let loaded = loaded(&text, &[]);
    let faults = crate::finish(loaded.faults.clone(), &loaded.redactor);
    let mut shown = loaded.places.render(&faults, crate::Style::Plain);
    shown.push_str(&serde_json::to_string(&faults).expect("faults are JSON"));
    for secret in ["12345678", "hunter2", "abcdefgh"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(shown.contains("pass_phrase: ***, catalog"), "{shown}");
}

/// Scenario: names of secrets, and names that only look like them, in what a plugin sees.
/// Guarantees: the plugin operator is told of each secret, which it refuses, and of nothing else; none is shown.
#[test]
fn names_that_look_secret_in_a_plugins_config_are_listed_for_its_check() {
    let secrets = |config: &str| {
        let loaded = loaded(&GOOD.replace("config: { scale: 2 }", &format!("config: {{ {config} }}")), &[]);
        assert!(loaded.faults.is_empty(), "{config}: {:?}", loaded.faults);
        (loaded.spec.expect("the file is good").operators[2].fields.secrets.clone(), loaded.redactor)
    };
    for name in ["password", "api_key", "ssh-key", "auth.token", "CLIENT_SECRET", "db_password", "token"] {
        let (found, redactor) = secrets(&format!("{name}: abcd"));
        assert_eq!((found, redactor.redact("abcd").as_ref()), (vec![format!("/config/{name}")], "***"), "{name}");
    }
    for name in ["key", "Key", "key_column", "monkey", "tokens", "token_count", "keys", "secretary", "passwords"] {
        let (found, redactor) = secrets(&format!("{name}: abcd"));
        assert_eq!((found, redactor.redact("abcd").as_ref()), (Vec::new(), "abcd"), "{name}");
    }
    for (config, expected) in [
        (
            "key: name, api_token: abcd, deep: [{ password: efgh }]",
            &["/config/api_token", "/config/deep/0/password"][..],
        ),
        ("auth: { user: a, api_key: x }", &["/config/auth/api_key"]),
        ("key: { password: x }", &["/config/key/password"]),
        ("api_key: [x, y]", &["/config/api_key/0", "/config/api_key/1"]),
    ] {
        assert_eq!(secrets(config).0, expected, "{config}");
    }
}

#[test]
fn set_replaces_and_adds_values_by_id_and_number() {
    let loaded = loaded(
        GOOD,
        &[
            "name=other",
            "settings.batch_rows_max=1",
            "transforms.late.sql.query=SELECT 2",
            "transforms.score.wasm.config={ a: [1, two] }",
            "sinks.lake.parquet.properties.\"a.b\"='x'",
            "sinks.lake.parquet.properties.c=-",
            "edges.0.1=late",
            "sinks.shown.stdout.json=${NONE:true}",
        ],
    );
    assert_eq!(codes_of(&loaded), Vec::<String>::new(), "{:#?}", loaded.faults);
    let spec = loaded.spec.expect("the file is good");
    assert_eq!(spec.name.as_deref(), Some("other"));
    assert_eq!(spec.settings.batch_rows_max, 1);
    assert_eq!(spec.operators[1].fields.value["query"], "SELECT 2");
    assert_eq!(spec.operators[2].fields.value["config"], json!({"a": [1, "two"]}));
    assert_eq!(spec.operators[3].fields.value["properties"]["a.b"], "x");
    assert_eq!(spec.operators[3].fields.value["properties"]["c"], "-");
    assert_eq!(spec.operators[4].fields.value["json"], true);
}

#[test]
fn faults_of_set_name_the_argument_and_its_column() {
    let check = |set: &str, expected: &str| {
        let loaded = loaded(GOOD, &[set]);
        let faults = crate::finish(loaded.faults.clone(), &loaded.redactor);
        let found: Vec<String> = faults
            .iter()
            .map(|fault| format!("{}:{}:{}:{}", fault.file, &fault.code[3..], fault.line, fault.column))
            .collect();
        assert_eq!(found, [expected], "{set}");
    };
    check("name", "--set:0120:1:1");
    check("a..b=1", "--set:0120:1:3");
    check("transforms.lat.sql.query=x", "--set:0120:1:12");
    check("name.x=1", "--set:0120:1:6");
    check("edges.9=1", "--set:0120:1:7");
    check("settings.paralelism=1", "--set:0104:1:10");
    check("settings.parallelism=many", "--set:0106:1:22");
    check("settings.parallelism=[1", "--set:0101:1:24");
    check("sinks.shown.stdout={ jsn: true }", "--set:0104:1:22");
    check("name=${NONE}", "--set:0114:1:6");
    check("name=a\n---\nb", "--set:0119:2:1");
}

#[test]
fn secrets_below_what_is_not_known_are_masked() {
    for (good, bad) in [
        ("parquet: { path: out,", "parquet: { pass_phras: hunter22, path: out,"),
        ("parquet: { path: out,", "parquet: { api_token: hunter22, path: out,"),
        ("parquet: { path: out,", "kafka: { sasl: { password: hunter22 },"),
        ("parquet: { path: out,", "parket: { secret: [hunter22],"),
        ("parallelism: 2", "storage: { lake: { secret_key: hunter22 } }"),
        ("settings:\n", "secret: hunter22\nsettings:\n"),
    ] {
        let loaded = loaded(&GOOD.replacen(good, bad, 1), &[]);
        let faults = crate::finish(loaded.faults.clone(), &loaded.redactor);
        assert!(!faults.is_empty(), "{bad}");
        let shown = loaded.places.render(&faults, crate::Style::Plain);
        assert!(shown.contains("***") && !shown.contains("hunter22"), "{shown}");
    }
    let set = loaded(GOOD, &["sinks.lake.parquet.properties.password=[hunter22"]);
    let shown = set.places.render(&set.faults, crate::Style::Plain);
    assert!(shown.contains("RDE0101") && !shown.contains("hunter22"), "{shown}");
}
