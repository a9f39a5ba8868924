//! The run report as JSON: the format users and outside checks rely on, apart from the engine's own values.

use rde_config::{Diagnostic, Redactor};
use rde_core::Kind;
use rde_engine::{EdgeReport, OperatorReport, RunReport};
use serde::Serialize;
use serde_json::{Value, json};

/// Returns the report of a run that started.
pub fn of_run(report: &RunReport, redactor: &Redactor) -> Value {
    let mut value = json!({
        "pipeline": report.pipeline,
        "incarnation": report.incarnation.to_string(),
        "status": report.status.as_str(),
        "error": report.error.as_ref().map(of_error),
        "balanced": report.balanced,
        "duration_ms": millis(report.duration),
        "rows_per_second": report.rows_per_second,
        "memory_peak_bytes": resident_peak_bytes(),
        "operators": report.operators.iter().map(of_operator).collect::<Vec<_>>(),
        "edges": report.edges.iter().map(of_edge).collect::<Vec<_>>(),
        "schemas": report.schemas.iter().map(|schema| json!({
            "operator": schema.operator, "port": schema.port, "version": schema.version, "cause": schema.cause,
        })).collect::<Vec<_>>(),
        "checkpoints": null,
        "plugins": report.plugins.iter().map(|plugin| json!({
            "operator": plugin.operator, "digest": plugin.digest, "calls": plugin.calls,
            "us_per_call_p50": plugin.micros_per_call_p50, "us_per_call_p99": plugin.micros_per_call_p99,
            "memory_peak_bytes": plugin.memory_peak_bytes, "traps": plugin.traps, "reloads": plugin.reloads,
        })).collect::<Vec<_>>(),
    });
    redactor.redact_value(&mut value);
    value
}

/// Returns the report of a run that the configuration kept from starting; the faults are redacted already.
pub fn of_faults(pipeline: Option<&str>, faults: &[Diagnostic]) -> Value {
    let error = faults.first().map(|first| {
        let causes: Vec<_> = faults[1..].iter().map(place_and_message).collect();
        json!({ "code": first.code, "message": place_and_message(first), "operator": first.operator, "kind": "config", "causes": causes })
    });
    of_no_run(pipeline, "failed", &json!(error))
}

/// Returns the report of a run that the command line kept from starting; the fault is redacted already.
pub fn of_fault(pipeline: Option<&str>, fault: &rde_core::Error) -> Value {
    of_no_run(pipeline, "failed", &of_error(fault))
}

/// Returns the report of a run that a signal ended before anything was opened.
pub fn of_nothing() -> Value {
    of_no_run(None, "drained", &Value::Null)
}

fn of_no_run(pipeline: Option<&str>, status: &str, error: &Value) -> Value {
    json!({
        "pipeline": pipeline, "status": status, "error": error, "balanced": true, "duration_ms": 0, "rows_per_second": 0,
        "memory_peak_bytes": resident_peak_bytes(), "operators": [], "edges": [], "schemas": [], "checkpoints": null, "plugins": [],
    })
}

fn place_and_message(fault: &Diagnostic) -> String {
    format!("{}:{}:{}: {}", fault.file, fault.line, fault.column, fault.message)
}

fn of_error(error: &rde_core::Error) -> Value {
    let mut value = json!({
        "code": error.code(), "message": error.message(), "operator": error.operator(), "kind": error.kind().as_str(),
        "causes": error.causes(),
    });
    if let Some(help) = error.help_text() {
        value["help"] = json!(help);
    }
    if let Some(detail) = error.detail_text() {
        value["detail"] = serde_json::from_str(detail).unwrap_or_else(|_| json!(detail));
    }
    value
}

#[derive(Serialize)]
struct OperatorJson<'a> {
    id: &'a str,
    kind: String,
    rows_read: u64,
    rows_in: u64,
    rows_out: u64,
    rows_filtered: u64,
    rows_rejected: u64,
    rows_skipped: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_committed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_abandoned: Option<u64>,
    batches: u64,
    bytes: u64,
    busy_ms: u64,
    waiting_ms: u64,
    memory_peak_bytes: u64,
    lanes: usize,
    rows_by_lane: &'a [u64],
    balanced: Option<bool>,
}

fn of_operator(operator: &OperatorReport) -> Value {
    let sink = operator.kind == Kind::Sink;
    json!(OperatorJson {
        id: &operator.id,
        kind: format!("{}.{}", operator.kind.as_str(), operator.kind_name),
        rows_read: operator.rows_read,
        rows_in: operator.rows_in,
        rows_out: operator.rows_out,
        rows_filtered: operator.rows_filtered,
        rows_rejected: operator.rows_rejected,
        rows_skipped: operator.rows_skipped,
        rows_committed: sink.then_some(operator.rows_committed),
        rows_abandoned: sink.then_some(operator.rows_abandoned),
        batches: operator.batches,
        bytes: operator.bytes,
        busy_ms: millis(operator.busy),
        waiting_ms: millis(operator.waiting),
        memory_peak_bytes: operator.memory_peak_bytes,
        lanes: operator.lanes,
        rows_by_lane: &operator.rows_by_lane,
        balanced: operator.balanced,
    })
}

fn of_edge(edge: &EdgeReport) -> Value {
    json!({
        "from": edge.from, "to": edge.to, "rows_sent": edge.rows_sent, "rows_received": edge.rows_received,
        "bytes_peak": edge.bytes_peak,
    })
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the peak of this process's resident memory; 0 where the system does not tell.
pub fn resident_peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
