//! Two log entries and two metrics for each request, and the span that its ids are in.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use crate::error::Cause;
use crate::metrics::Metrics;
use crate::request_trace::{REQUEST_ID, RequestTrace};
use crate::state::AppState;

pub(crate) async fn log_request(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let trace = RequestTrace::of(request.headers());
    let answer = async {
        let exchange = Exchange::start(&request, state.metrics);
        let response = next.run(request).await;
        exchange.finish(&response);
        response
    };
    let mut response = answer.instrument(trace.span()).await;
    response.headers_mut().insert(REQUEST_ID, trace.request_id());
    response
}

/// A request whose "finished" entry is still owed.
struct Exchange {
    metrics: Metrics,
    route: String,
    method: Method,
    path: String,
    started: Instant,
    /// Until there is an answer: the status nginx made customary for a client that did not wait for one.
    status: StatusCode,
}

impl Exchange {
    fn start(request: &Request, metrics: Metrics) -> Exchange {
        let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
        let exchange = Exchange {
            metrics,
            route: route.strip_suffix('/').unwrap_or(route).to_owned(),
            method: request.method().clone(),
            // Without the query, which may hold what is nobody's business.
            path: request.uri().path().to_owned(),
            started: Instant::now(),
            status: StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT),
        };
        tracing::info!(
            target: "app",
            method = exchange.method.as_str(),
            path = exchange.path.as_str(),
            "request started"
        );
        exchange
    }

    fn finish(mut self, response: &Response) {
        self.status = response.status();
        if self.status.is_server_error() {
            let cause = response.extensions().get::<Cause>().map_or("unknown", |cause| &cause.0);
            tracing::error!(
                target: "app",
                method = self.method.as_str(),
                path = self.path.as_str(),
                status = self.status.as_u16(),
                cause,
                "request failed"
            );
        }
    }
}

impl Drop for Exchange {
    /// Dropped without an answer when the client goes away: that too is one entry.
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.metrics.observe(&self.route, &self.method, self.status, took);
        let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        let (method, path, status) = (self.method.as_str(), self.path.as_str(), self.status.as_u16());
        if status >= 400 {
            tracing::warn!(target: "app", method, path, status, duration_ms, "request finished");
        } else {
            tracing::info!(target: "app", method, path, status, duration_ms, "request finished");
        }
    }
}
