//! The operations port, for operators and monitors: `/live`, `/ready`, `/metrics`, `/dropped`. It must not be public.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, Metric, MetricFamily, MetricType};
use prometheus::{Gauge, IntCounter, IntCounterVec, Opts, Registry};
use serde_json::json;
use tern_serving::{Hosts, with_operations_layers};

use crate::clicks::LostLink;
use crate::engine::Engine;
use crate::http::{REFUSALS, Server};
use crate::metrics::Durations;
use crate::replica::Freshness;
use crate::watchdog::{BlockedWorker, WorkerHealth};

/// The state that the handlers report.
#[derive(Clone, Debug)]
pub(crate) struct Ops {
    pub(crate) engine: Arc<Engine>,
    pub(crate) server: Arc<Server>,
    pub(crate) registry: Registry,
    pub(crate) health: Arc<WorkerHealth>,
}

pub(crate) fn router(ops: Ops, hosts: Hosts) -> Router {
    let routes = Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/dropped", get(dropped))
        .with_state(ops);
    with_operations_layers(routes, hosts)
}

/// A JSON value as the body of an answer.
struct Json(serde_json::Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0.to_string()).into_response()
    }
}

/// Answers 503 while a worker is blocked. Its connections get no answer, and only a restart helps.
async fn live(State(ops): State<Ops>) -> Response {
    let blocked = ops.health.blocked();
    let Some(first) = blocked.first() else { return Json(json!({"status": "ok"})).into_response() };
    let message = first.to_string();
    let worker =
        |blocked: &BlockedWorker| json!({"worker": blocked.worker, "silent_seconds": blocked.age.as_secs_f64()});
    let workers: Vec<_> = blocked.iter().map(worker).collect();
    let envelope = json!({"error": "Service Unavailable", "message": message, "workers": workers});
    (StatusCode::SERVICE_UNAVAILABLE, Json(envelope)).into_response()
}

/// Answers 200 from the first load of the map until the process is about to end, unless a worker is blocked.
///
/// An unavailable store does not matter. A redirector that drops clicks is ready, and reports why it is degraded.
async fn ready(State(ops): State<Ops>) -> Response {
    let obstacle = match (ops.server.gives_notice(), ops.engine.is_ready()) {
        (true, _) => "This redirector is about to end",
        (false, false) => "The links are not loaded yet",
        (false, true) if !ops.health.blocked().is_empty() => "A worker is blocked",
        (false, true) => {
            let ready = match ops.engine.warning() {
                None => json!({"status": "ready"}),
                Some(message) => json!({"status": "degraded", "message": message}),
            };
            return Json(ready).into_response();
        }
    };
    let envelope = json!({"error": "Service Unavailable", "message": obstacle});
    (StatusCode::SERVICE_UNAVAILABLE, Json(envelope)).into_response()
}

async fn metrics(State(ops): State<Ops>) -> Response {
    let text = tern_common::telemetry::metrics_text(&ops.registry);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// Lists the links with dropped clicks, most clicks first, and the reason if clicks are dropped now.
async fn dropped(State(ops): State<Ops>) -> Response {
    let (totals, others) = ops.engine.recorder.lost_clicks().totals();
    let of = |loss: &LostLink| json!({"url_id": loss.url_id, "short_code": loss.short_code, "clicks": loss.clicks});
    let urls: Vec<_> = totals.iter().map(of).collect();
    Json(json!({"urls": urls, "others": others, "obstacle": ops.engine.warning()})).into_response()
}

/// Reads metrics from the parts of the redirector when a monitor asks, so that the redirect path updates no second
/// copy.
#[derive(Debug)]
pub(crate) struct OpsCollector {
    pub(crate) engine: Arc<Engine>,
    pub(crate) server: Arc<Server>,
    pub(crate) freshness: Arc<Freshness>,
}

impl Collector for OpsCollector {
    fn desc(&self) -> Vec<&Desc> {
        // The registry checks only described names; these are constants below.
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Engine { recorder, counters, takes, .. } = &*self.engine;
        let stats = self.server.stats();
        let staleness = self.freshness.staleness().map_or(f64::INFINITY, |staleness| staleness.as_secs_f64());
        let [used, limit, room] = recorder.room().map(float);
        let events = [
            ("accepted", &stats.accepted),
            ("over_limit", &stats.over_limit),
            ("over_share", &stats.over_share),
            ("evicted_idle", &stats.evicted_idle),
            ("evicted_slow", &stats.evicted_slow),
            ("accept_error", &stats.accept_errors),
            ("header_timeout", &stats.header_timeouts),
            ("idle_timeout", &stats.idle_timeouts),
            ("write_timeout", &stats.write_timeouts),
            ("aborted", &stats.aborted),
            ("panicked", &stats.panicked),
            ("cut", &stats.cut),
        ];
        let events = events.map(|(event, count)| (event, count.load(Ordering::Relaxed)));
        let refused = REFUSALS.each_ref().map(|status| (status.as_str(), stats.refused(*status)));
        let open = float(stats.open.load(Ordering::Relaxed));
        [
            gauge("tern_replica_staleness_seconds", "Seconds since the map was last known to equal the store.", staleness),
            counter("tern_clicks_accepted_total", "Clicks that redirects were to record.", recorder.accepted()),
            gauge("tern_clicks_pending", "Clicks in the journals that the store does not have yet.", float(recorder.pending())),
            gauge("tern_clicks_journal_bytes", "Bytes on disk that the click journals use.", used),
            gauge(
                "tern_clicks_journal_limit_bytes",
                "Bytes on disk that the click journals may use (CLICK_JOURNAL_LIMIT).",
                limit,
            ),
            gauge(
                "tern_clicks_journal_room_bytes",
                "Bytes that the click journals may still use before clicks are dropped, by their limit or by the free space of \
                 the disk. Shipping clicks makes room.",
                room,
            ),
            gauge("tern_http_connections", "Open connections of the redirect port.", open),
            counters_by(
                "outcome",
                "tern_redirects_total",
                "Requests for a short code, by outcome.",
                &counters.totals(),
            ),
            counter(
                "tern_redirect_queries_dropped_total",
                "Queries that could not be merged into the target of a link that forwards them: too long, too many \
                 parameters, or other bytes than visible ASCII. The redirect led to the target alone.",
                counters.dropped_queries(),
            ),
            counter(
                "tern_clicks_ignored_total",
                "Clicks that are not recorded, because their clients are in IGNORE_CLICKS_FROM.",
                counters.ignored_clicks(),
            ),
            gauge(
                "tern_limited_clicks_unused",
                "Clicks of limited links that this redirector has taken from the store and not used yet. A crash wastes them.",
                float(takes.unused().unsigned_abs()),
            ),
            durations(&counters.durations()),
            counters_by(
                "event",
                "tern_http_connection_events_total",
                "Events of the connections of the redirect port.",
                &events,
            ),
            counters_by(
                "status",
                "tern_http_refused_total",
                "Requests that the redirect port refused as malformed or unsupported, by status.",
                &refused,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "the text format knows only doubles")]
fn float(count: u64) -> f64 {
    count as f64
}

fn gauge(name: &str, help: &str, value: f64) -> Vec<MetricFamily> {
    let gauge = Gauge::new(name, help).expect("the name is a constant that is valid");
    gauge.set(value);
    gauge.collect()
}

fn counter(name: &str, help: &str, value: u64) -> Vec<MetricFamily> {
    let counter = IntCounter::new(name, help).expect("the name is a constant that is valid");
    counter.inc_by(value);
    counter.collect()
}

fn counters_by(label: &str, name: &str, help: &str, values: &[(&str, u64)]) -> Vec<MetricFamily> {
    let counters = IntCounterVec::new(Opts::new(name, help), &[label]).expect("the name is a constant that is valid");
    for (value, count) in values {
        counters.with_label_values(&[value]).inc_by(*count);
    }
    counters.collect()
}

fn durations(durations: &Durations) -> Vec<MetricFamily> {
    let bucket = |(bound, count): (f64, u64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(durations.cumulative.into_iter().map(bucket).collect());
    histogram.set_sample_count(durations.count);
    histogram.set_sample_sum(durations.sum_seconds);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    let mut family = MetricFamily::default();
    family.set_name("tern_redirect_duration_seconds".to_owned());
    family.set_help(
        "Seconds to decide about a request for a short code and to record it, without the network.".to_owned(),
    );
    family.set_field_type(MetricType::HISTOGRAM);
    family.set_metric(vec![metric]);
    vec![family]
}
