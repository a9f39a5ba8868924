//! `/metrics`, `/health/live` and `/health/ready`, read from the counters of the report (decision 0004).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use rde_core::Kind;
use rde_engine::{LiveCounters, OperatorReport, RunControl};
use tokio::net::TcpListener;

/// Serves until the listener's runtime stops. Returns the bound address.
pub async fn serve(address: &str, pipeline: &str, control: RunControl) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Counters { pipeline: pipeline.to_owned(), control: control.clone() }));
    let state = Arc::new(Served { registry, control });
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .with_state(state);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::warn!(%error, "metrics are no longer served");
        }
    });
    Ok(bound)
}

struct Served {
    registry: Registry,
    control: RunControl,
}

async fn metrics(State(served): State<Arc<Served>>) -> Response {
    let mut body = String::new();
    match text::encode(&mut body, &served.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], body)
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(served): State<Arc<Served>>) -> Response {
    if served.control.live().running {
        (StatusCode::OK, "ready\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not running\n").into_response()
    }
}

struct Counters {
    pipeline: String,
    control: RunControl,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").field("pipeline", &self.pipeline).finish_non_exhaustive()
    }
}

type Read = fn(&OperatorReport) -> u64;

/// Name after `rde_<kind>_`, help, whose operators have it, and where it is read.
const COUNTERS: &[(&str, &str, Option<Kind>, Read)] = &[
    ("rows_read", "Rows decoded", Some(Kind::Source), |operator| operator.rows_read),
    ("rows_in", "Rows taken from inputs", None, |operator| operator.rows_in),
    ("rows_out", "Rows put on outputs without errors", None, |operator| operator.rows_out),
    ("rows_filtered", "Rows left out on purpose", None, |operator| operator.rows_filtered),
    ("rows_rejected", "Rows that failed", None, |operator| operator.rows_rejected),
    ("rows_skipped", "Rows that failed and were dropped", None, |operator| operator.rows_skipped),
    ("rows_committed", "Rows made visible", Some(Kind::Sink), |operator| operator.rows_committed),
    ("rows_abandoned", "Rows prepared and not made visible", Some(Kind::Sink), |operator| operator.rows_abandoned),
    ("batches", "Batches produced or taken", None, |operator| operator.batches),
    ("bytes", "Bytes read, written or taken", None, |operator| operator.bytes),
    ("busy_milliseconds", "Time inside the operator", None, |operator| operator.busy.as_millis() as u64),
    ("waiting_milliseconds", "Time waiting for input or room", None, |operator| operator.waiting.as_millis() as u64),
];

impl Collector for Counters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counters = self.control.live();
        for kind in [Kind::Source, Kind::Transform, Kind::Sink] {
            for (name, help, _, read) in COUNTERS.iter().filter(|(_, _, only, _)| only.is_none_or(|only| only == kind))
            {
                let name = format!("rde_{}_{name}", kind.as_str());
                let operators = counters.operators.iter().filter(|operator| operator.kind == kind);
                let values = operators.map(|operator| (vec![("operator", operator.id.clone())], read(operator)));
                self.counter(&mut encoder, &name, help, values)?;
            }
        }
        self.edges(&mut encoder, &counters)?;
        self.memory(&mut encoder, &counters)
    }
}

impl Counters {
    fn counter(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Vec<(&'static str, String)>, u64)>,
    ) -> Result<(), std::fmt::Error> {
        let metric = ConstCounter::new(0u64);
        let mut family = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
        for (mut labels, value) in values {
            labels.insert(0, ("pipeline", self.pipeline.clone()));
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn edges(&self, encoder: &mut DescriptorEncoder<'_>, counters: &LiveCounters) -> Result<(), std::fmt::Error> {
        let labels = |edge: &rde_engine::EdgeReport| vec![("from", edge.from.clone()), ("to", edge.to.clone())];
        let sent = counters.edges.iter().map(|edge| (labels(edge), edge.rows_sent));
        self.counter(encoder, "rde_edge_rows_sent", "Rows put on the edge", sent)?;
        let received = counters.edges.iter().map(|edge| (labels(edge), edge.rows_received));
        self.counter(encoder, "rde_edge_rows_received", "Rows taken from the edge", received)
    }

    fn memory(&self, encoder: &mut DescriptorEncoder<'_>, counters: &LiveCounters) -> Result<(), std::fmt::Error> {
        let values = [
            ("rde_pipeline_memory_charged", "Bytes of batches and plugins charged now", counters.budget_used_bytes),
            ("rde_pipeline_memory_charged_peak", "Most bytes charged at one time", counters.budget_peak_bytes),
            ("rde_process_resident_memory_peak", "Peak of resident memory", crate::report::resident_peak_bytes()),
        ];
        for (name, help, value) in values {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Bytes), gauge.metric_type())?;
            gauge.encode(family.encode_family(&[("pipeline", self.pipeline.clone())])?)?;
        }
        Ok(())
    }
}
