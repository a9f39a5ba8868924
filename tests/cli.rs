//! The command line as its users meet it: streams, exit codes, formats, signals, the report, metrics.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Ran, files_below, rde, report, run, write};

const PIPELINE: &str = "name: shown\nsources:\n  - id: rows\n    csv: { path: in.csv }\nsinks:\n  - id: shown\n    stdout: { format: csv }\nedges:\n  - [rows, shown]\n";

fn folder() -> tempfile::TempDir {
    let temp = tempfile::tempdir().expect("there is room");
    write(&temp.path().join("in.csv"), "a,b\n1,x\n2,y\n");
    write(&temp.path().join("shown.yaml"), PIPELINE);
    temp
}

#[test]
fn results_go_to_standard_output_and_the_rest_to_standard_error() {
    let temp = folder();
    let ran = run(temp.path(), &["run", "shown.yaml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "a,b\n1,x\n2,y\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("shown completed"), "{}", ran.stderr);
}

#[test]
fn a_set_replaces_a_value_by_the_operators_id() {
    let temp = folder();
    let ran = run(temp.path(), &["run", "shown.yaml", "--set", "sinks.shown.stdout.format=json"]);
    assert_eq!(ran.stdout, "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}\n", "{}", ran.stderr);
    let bad = run(temp.path(), &["run", "shown.yaml", "--set", "sinks.none.stdout.format=json"]);
    assert_eq!((bad.code, bad.stderr.contains("--set")), (Some(2), true), "{}", bad.stderr);
}

#[test]
fn later_commands_and_options_answer_by_name() {
    let temp = folder();
    for args in [
        &["run", "shown.yaml", "--watch"][..],
        &["checkpoint", "ls"],
        &["verify", "shown.yaml"],
        &["dlq", "ls"],
        &["docs", "sink", "iceberg"],
        &["validate", "shown.yaml", "--online"],
    ] {
        let ran = run(temp.path(), args);
        assert_eq!(
            (
                ran.code,
                ran.stderr.contains("RDE0900: not in this version")
                    || ran.stderr.contains("RDE0900]: not in this version")
            ),
            (Some(2), true),
            "{args:?}: {}",
            ran.stderr
        );
    }
}

#[test]
fn a_misspelt_command_or_option_answers_with_the_nearest() {
    let temp = folder();
    for (args, near) in [
        (&["valdate", "shown.yaml"][..], "'validate'"),
        (&["runn", "shown.yaml"], "'run'"),
        (&["plugin", "bnech", "a.wasm"], "'bench'"),
        (&["run", "shown.yaml", "--reprot", "r.json"], "'--report'"),
        (&["validate", "shown.yaml", "--fromat", "json"], "'--format'"),
        (&["validate", "shown.yaml", "--format", "jsn"], "'json'"),
        (&["docs", "sorce"], "did you mean `source`?"),
        (&["docs", "cvs"], "did you mean `csv`?"),
        (&["docs", "sink", "parqet"], "did you mean `parquet`?"),
        (&["docs", "cvs", "source"], "unknown kind of operator `cvs`"),
    ] {
        let ran = run(temp.path(), args);
        assert_eq!((ran.code, ran.stderr.contains(near)), (Some(2), true), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_code_is_explained_by_its_number_too() {
    let whole = run(Path::new("."), &["explain", "RDE0104"]);
    assert!(whole.stdout.starts_with("RDE0104: "), "{}", whole.stderr);
    for short in ["104", "0104", "rde0104", "Rde104"] {
        assert_eq!(run(Path::new("."), &["explain", short]).stdout, whole.stdout, "{short}");
    }
    for none in ["4", "1104", "RDE", "00104", "x"] {
        let ran = run(Path::new("."), &["explain", none]);
        assert_eq!((ran.code, ran.stderr.contains(&format!("no code `{none}`"))), (Some(2), true), "{}", ran.stderr);
    }
}

#[test]
fn the_docs_of_a_name_are_those_of_every_operator_that_has_it() {
    let page = |args: &[&str]| run(Path::new("."), &[&["docs"], args].concat()).stdout;
    assert_eq!(page(&["sql"]), page(&["transform", "sql"]));
    assert!(page(&["sql"]).starts_with("sql transform: "));
    assert_eq!(page(&["csv"]), format!("{}\n{}", page(&["source", "csv"]), page(&["sink", "csv"])));
    let later = run(Path::new("."), &["docs", "iceberg"]);
    assert_eq!((later.code, later.stderr.contains("RDE0900")), (Some(2), true), "{}", later.stderr);
}

#[test]
fn a_secret_by_name_in_a_plugins_config_is_refused() {
    let temp = folder();
    let codes = |name: &str| {
        let edges = PIPELINE.replace("[rows, shown]", "[rows, guest]\n  - [guest, shown]");
        let guest = format!("transforms:\n  - id: guest\n    wasm: {{ plugin: none.wasm, config: {{ {name}: x }} }}\n");
        write(&temp.path().join("guest.yaml"), edges.replace("sinks:", &format!("{guest}sinks:")));
        let ran = run(temp.path(), &["validate", "--format", "json", "guest.yaml"]);
        assert_eq!(ran.code, Some(2), "{name}: {}", ran.stderr);
        let faults: Vec<Value> = serde_json::from_str(&ran.stdout).expect("the list is JSON");
        faults.iter().map(|fault| format!("{} {}", fault["code"], fault["line"])).collect::<Vec<_>>()
    };
    for name in ["api_key", "ssh-key", "password", "auth.token", "CLIENT_SECRET"] {
        assert!(codes(name).contains(&"\"RDE0321\" 7".to_owned()), "{name}: {:?}", codes(name));
    }
    // These are looked at as any other plugin: the file is not there.
    for name in ["key", "key_column", "monkey", "tokens", "secretary"] {
        assert_eq!(codes(name), ["\"RDE0300\" 7"], "{name}");
    }
}

#[test]
fn validate_lists_faults_as_json_and_a_good_file_as_none() {
    let temp = folder();
    let good = run(temp.path(), &["validate", "--format", "json", "shown.yaml"]);
    assert_eq!((good.code, good.stdout.trim()), (Some(0), "[]"));
    write(&temp.path().join("bad.yaml"), PIPELINE.replace("in.csv", "none.csv"));
    let bad = run(temp.path(), &["validate", "--format", "json", "bad.yaml"]);
    let faults: Value = serde_json::from_str(&bad.stdout).expect("the list is JSON");
    assert_eq!(
        (bad.code, faults[0]["line"].as_u64(), faults[0]["severity"].as_str()),
        (Some(2), Some(4), Some("error")),
        "{faults}"
    );
    for key in ["code", "message", "file", "column", "help", "operator"] {
        assert!(faults[0].get(key).is_some(), "{key} in {faults}");
    }
}

#[test]
fn the_graph_shows_every_edge_with_its_columns() {
    let temp = folder();
    let text = run(temp.path(), &["graph", "shown.yaml"]);
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    for part in ["rows (source csv)", "rows.out -> shown.in", "a int64", "b utf8"] {
        assert!(text.stdout.contains(part), "no `{part}` in\n{}", text.stdout);
    }
    assert!(run(temp.path(), &["graph", "shown.yaml", "--format", "mermaid"]).stdout.starts_with("flowchart LR"));
    assert!(run(temp.path(), &["graph", "shown.yaml", "--format", "dot"]).stdout.starts_with("digraph"));
}

#[test]
fn the_report_has_what_outside_checks_read() {
    let temp = folder();
    assert_eq!(run(temp.path(), &["run", "shown.yaml", "--report", "report.json"]).code, Some(0));
    let good = report(temp.path());
    assert_eq!(
        (good["status"].as_str(), good["balanced"].as_bool(), good["checkpoints"].is_null()),
        (Some("completed"), Some(true), true)
    );
    let (source, sink) = (&good["operators"][0], &good["operators"][1]);
    assert_eq!(
        (source["kind"].as_str(), source["rows_read"].as_u64(), source["rows_out"].as_u64()),
        (Some("source.csv"), Some(2), Some(2))
    );
    assert_eq!(
        (sink["rows_in"].as_u64(), sink["rows_committed"].as_u64(), sink["rows_abandoned"].as_u64()),
        (Some(2), Some(2), Some(0))
    );
    assert_eq!(
        (good["edges"][0]["from"].as_str(), good["edges"][0]["rows_sent"].as_u64()),
        (Some("rows.out"), Some(2))
    );
    assert!(good["memory_peak_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20));

    write(&temp.path().join("in.csv"), "a,b\n1,x\n2\n");
    assert_eq!(run(temp.path(), &["run", "shown.yaml", "--report", "report.json"]).code, Some(1));
    let failed = report(temp.path());
    assert_eq!(
        (failed["status"].as_str(), failed["error"]["kind"].as_str(), failed["error"]["operator"].as_str()),
        (Some("failed"), Some("data"), Some("rows"))
    );

    write(&temp.path().join("shown.yaml"), "nonsense: 1\n");
    assert_eq!(run(temp.path(), &["run", "shown.yaml", "--report", "report.json"]).code, Some(2));
    let refused = report(temp.path());
    assert_eq!((refused["pipeline"].is_null(), refused["error"]["code"].is_string()), (true, true), "{refused}");
    assert!(refused["error"]["causes"].as_array().is_some_and(|causes| !causes.is_empty()), "{refused}");
}

#[test]
fn secrets_are_never_shown() {
    let temp = folder();
    write(&temp.path().join("secret"), "hunter2hunter2\n");
    write(&temp.path().join("shown.yaml"), PIPELINE.replace("path: in.csv", "path: \"${file:secret}.csv\""));
    let ran = run(temp.path(), &["run", "shown.yaml", "--report", "report.json"]);
    let all = format!("{}{}{}", ran.stdout, ran.stderr, report(temp.path()));
    assert_eq!(ran.code, Some(2));
    assert!(!all.contains("hunter2"), "{all}");
}

/// Scenario: a secret that is part of a query's syntax, one that is an operator's id, and one that the query changes.
/// Guarantees: no word of it is in any output, however short the word is.
#[test]
fn a_secret_is_not_shown_by_words_by_case_or_as_an_id() {
    let temp = folder();
    write(&temp.path().join("secret"), "ALPHA zq Bravo\n");
    let pipeline = |id: &str, query: &str| {
        let edges = format!("[rows, \"{id}\"]\n  - [\"{id}\", shown]");
        let query = format!("transforms:\n  - id: \"{id}\"\n    sql: {{ query: \"{query}\" }}\nsinks:");
        PIPELINE.replace("[rows, shown]", &edges).replace("sinks:", &query)
    };
    for (id, query, code) in [
        ("query", "SELECT ${file:secret} FROM rows", 2),
        ("${file:secret}", "SELECT a FROM rows", 2),
        ("query", "SELECT CAST(concat(b, upper('${file:secret}')) AS INTEGER) AS n FROM rows", 1),
        ("query", "SELECT CAST(concat(b, initcap('${file:secret}')) AS INTEGER) AS n FROM rows", 1),
    ] {
        write(&temp.path().join("shown.yaml"), pipeline(id, query));
        for args in
            [&["run", "shown.yaml", "--report", "report.json"][..], &["validate", "--format", "json", "shown.yaml"]]
        {
            let ran = run(temp.path(), args);
            let expected = if args[0] == "run" || code == 2 { code } else { 0 };
            let all = format!("{}{}{}", ran.stdout, ran.stderr, report(temp.path())).to_lowercase();
            assert_eq!(ran.code, Some(expected), "{query}: {all}");
            assert!(["alpha", "zq", "bravo"].iter().all(|word| !all.contains(word)), "{query}: {all}");
        }
    }
}

#[test]
fn a_secret_never_becomes_the_name_of_a_column() {
    let temp = folder();
    write(&temp.path().join("secret"), "hunter2hunter2\n");
    let query =
        "transforms:\n  - id: query\n    sql: { query: \"SELECT a, concat(b, '${file:secret}')EXPR FROM rows\" }\n";
    let pipeline = |alias: &str| {
        let text = PIPELINE.replace("[rows, shown]", "[rows, query]\n  - [query, shown]");
        text.replace("sinks:", &format!("{}sinks:", query.replace("EXPR", alias)))
    };
    write(&temp.path().join("shown.yaml"), pipeline(""));
    for command in ["validate", "graph", "run"] {
        let ran = run(temp.path(), &[command, "shown.yaml"]);
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!((ran.code, all.contains("RDE0176"), all.contains("hunter2")), (Some(2), true, false), "{all}");
    }
    write(&temp.path().join("shown.yaml"), pipeline(" AS salted"));
    assert_eq!(run(temp.path(), &["run", "shown.yaml"]).stdout, "a,salted\n1,xhunter2hunter2\n2,yhunter2hunter2\n");
}

#[test]
fn secrets_are_not_in_the_log_either() {
    let temp = folder();
    write(&temp.path().join("secret"), "hunter2hunter2\n");
    let query = "  - id: query\n    sql: { query: \"SELECT CAST(concat(b, '${file:secret}') AS BIGINT) AS n FROM rows\" }\n    on_error: skip\n";
    let edges = PIPELINE.replace("[rows, shown]", "[rows, query]\n  - [query, shown]");
    write(&temp.path().join("shown.yaml"), edges.replace("sinks:", &format!("transforms:\n{query}sinks:")));
    for format in ["text", "json"] {
        let ran = run(temp.path(), &["run", "shown.yaml", "--log-format", format]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stderr.contains("rows skipped") && !ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
}

#[test]
fn a_secret_is_not_in_the_message_of_an_error_row() {
    let temp = folder();
    write(&temp.path().join("secret"), "hunter2hunter2\n");
    let query =
        "  - id: query\n    sql: { query: \"SELECT CAST(concat(b, '${file:secret}') AS BIGINT) AS n FROM rows\" }\n";
    let edges = "[rows, query]\n  - [query, kept]\n  - [query.errors, shown]";
    let text = PIPELINE.replace("[rows, shown]", edges);
    let kept = "sinks:\n  - id: kept\n    csv: { path: out.csv }\n";
    write(&temp.path().join("shown.yaml"), text.replace("sinks:\n", &format!("transforms:\n{query}{kept}")));
    let ran = run(temp.path(), &["run", "shown.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("RDE0452") && ran.stdout.contains("***"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("hunter2"), "{}", ran.stdout);
}

#[test]
fn an_option_of_a_later_version_leaves_a_report() {
    let temp = folder();
    let ran = run(temp.path(), &["run", "shown.yaml", "--fresh", "--report", "report.json"]);
    assert_eq!(ran.code, Some(2));
    let report = report(temp.path());
    assert_eq!((&report["error"]["code"], &report["status"]), (&json!("RDE0900"), &json!("failed")), "{report}");
}

#[test]
fn a_signal_ends_a_run_that_waits_for_its_sample() {
    let temp = folder();
    write(&temp.path().join("shown.yaml"), PIPELINE.replace("in.csv", "\"-\""));
    let mut command = rde();
    command.current_dir(temp.path()).args(["run", "shown.yaml", "--report", "report.json"]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    std::thread::sleep(Duration::from_millis(700));
    signal(&child, "TERM");
    let open = child.stdin.take();
    assert_eq!(child.wait().expect("the run ends").code(), Some(0));
    assert_eq!(report(temp.path())["status"], "drained");
    drop(open);
}

/// A pipeline that waits on a FIFO.
struct Waiting {
    child: Child,
    fifo: std::fs::File,
    stderr: BufReader<std::process::ChildStderr>,
}

fn waiting(folder: &Path, sink: &str, args: &[&str]) -> Waiting {
    let made = std::process::Command::new("mkfifo").arg(folder.join("fifo")).status().expect("mkfifo starts");
    assert!(made.success());
    let text = format!(
        "name: waits\nsources:\n  - id: rows\n    csv: {{ path: fifo, schema: {{ a: int64 }} }}\nsinks:\n  - id: kept\n    {sink}\nedges:\n  - [rows, kept]\n"
    );
    write(&folder.join("waits.yaml"), text);
    let mut command = rde();
    command
        .current_dir(folder)
        .args(["run", "waits.yaml", "--report", "report.json"])
        .args(args)
        .env("RDE_LOG", "info");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut fifo = std::fs::OpenOptions::new().write(true).open(folder.join("fifo")).expect("the run opens the FIFO");
    fifo.write_all(b"a\n1\n2\n").expect("the run reads");
    Waiting { child, fifo, stderr }
}

fn signal(child: &Child, name: &str) {
    let sent =
        std::process::Command::new("kill").args(["-s", name, &child.id().to_string()]).status().expect("kill starts");
    assert!(sent.success());
}

#[test]
fn the_first_signal_drains_and_commits() {
    let temp = tempfile::tempdir().expect("there is room");
    let mut waiting = waiting(temp.path(), "csv: { path: out/kept.csv }", &[]);
    // The rows are in the pipe; give the run time to take them before it is told to stop.
    std::thread::sleep(Duration::from_millis(700));
    signal(&waiting.child, "TERM");
    let status = waiting.child.wait().expect("the run ends");
    assert_eq!(status.code(), Some(0));
    assert_eq!(report(temp.path())["status"], "drained");
    assert_eq!(std::fs::read_to_string(temp.path().join("out/kept.csv")).expect("it is committed"), "a\n1\n2\n");
    drop(waiting.fifo);
}

#[test]
fn the_health_and_the_counters_are_served_while_it_runs() {
    let temp = tempfile::tempdir().expect("there is room");
    let mut waiting =
        waiting(temp.path(), "csv: { path: out/kept.csv }", &["--metrics", "127.0.0.1:0", "--log-format", "json"]);
    let address = loop {
        let mut line = String::new();
        assert!(waiting.stderr.read_line(&mut line).expect("stderr can be read") > 0, "the run says where it serves");
        let event: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("a log line is JSON: {error}: {line}"));
        if let Some(address) = event["address"].as_str() {
            break address.to_owned();
        }
    };
    std::thread::sleep(Duration::from_millis(500));
    assert!(get(&address, "/health/live").contains("200 OK"));
    assert!(get(&address, "/health/ready").contains("200 OK"));
    let metrics = get(&address, "/metrics");
    assert!(metrics.contains("rde_source_rows_read_total{pipeline=\"waits\",operator=\"rows\"} 2"), "{metrics}");
    drop(waiting.fifo);
    assert_eq!(waiting.child.wait().expect("the run ends").code(), Some(0));
}

#[test]
fn metrics_that_cannot_be_served_are_a_fault_with_a_code_and_a_report() {
    let temp = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    for address in ["nonsense", &address] {
        let ran = run(temp.path(), &["run", "shown.yaml", "--metrics", address, "--report", "report.json"]);
        let named = format!("error[RDE0177]: --metrics: cannot serve metrics at `{address}`");
        assert_eq!((ran.code, ran.stderr.contains(&named)), (Some(2), true), "{}", ran.stderr);
        let report = report(temp.path());
        assert_eq!((&report["status"], &report["error"]["code"]), (&"failed".into(), &"RDE0177".into()), "{report}");
        std::fs::remove_file(temp.path().join("report.json")).expect("it was written");
    }
}

#[test]
fn a_log_filter_that_cannot_be_read_is_a_warning() {
    let temp = folder();
    let logged = |filter: &str| {
        let mut command = rde();
        let output = command.current_dir(temp.path()).args(["run", "shown.yaml"]).env("RDE_LOG", filter).output();
        String::from_utf8_lossy(&output.expect("the binary starts").stderr).into_owned()
    };
    assert!(logged("rde=loud").contains("RDE_LOG cannot be read"), "{}", logged("rde=loud"));
    assert!(!logged("rde=info").contains("RDE_LOG"));
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn a_second_signal_stops_at_once_and_shows_nothing() {
    let temp = tempfile::tempdir().expect("there is room");
    let mut waiting = waiting(temp.path(), "parquet: { path: out/kept }", &[]);
    std::thread::sleep(Duration::from_millis(500));
    signal(&waiting.child, "INT");
    signal(&waiting.child, "INT");
    let status = waiting.child.wait().expect("the run ends");
    // The drain may win the race; then everything is committed, which is as good.
    if status.code() == Some(0) {
        assert_eq!(report(temp.path())["status"], "drained");
    } else {
        assert_eq!(status.code(), Some(1));
        assert!(files_below(&temp.path().join("out")).iter().all(|file| !file.ends_with(".parquet")));
    }
    drop(waiting.fifo);
}

#[test]
fn two_runs_into_one_target_fence_each_other() {
    let temp = tempfile::tempdir().expect("there is room");
    let mut first = waiting(temp.path(), "parquet: { path: out/kept }", &[]);
    std::thread::sleep(Duration::from_millis(500));
    write(&temp.path().join("in.csv"), "a\n1\n");
    write(
        &temp.path().join("second.yaml"),
        "name: second\nsources:\n  - id: rows\n    csv: { path: in.csv }\nsinks:\n  - id: kept\n    parquet: { path: out/kept }\nedges:\n  - [rows, kept]\n",
    );
    let second: Ran = run(temp.path(), &["run", "second.yaml", "--report", "second.json"]);
    assert_eq!(second.code, Some(3), "{}", second.stderr);
    drop(first.fifo);
    assert_eq!(first.child.wait().expect("the run ends").code(), Some(0));
}

#[test]
fn version_names_commit_and_interface() {
    let ran = run(Path::new("."), &["--version"]);
    assert!(ran.stdout.contains("commit") && ran.stdout.contains("rde:plugin@0.1.0"), "{}", ran.stdout);
}
