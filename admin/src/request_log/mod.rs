//! Two log entries and two metrics for each request, and the span that its ids are in.
//!
//! A request that no token admits has its entries only as far as a quota allows: else it could wash the log away.

pub(crate) mod opening;
pub(crate) mod quota;
pub(crate) mod trace;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use tern_common::client::network_of;
use tracing::Instrument;

use crate::http::error::Cause;
use crate::http::ignored::{Ignored, KnownParameters, TERN_IGNORED};
use crate::metrics::Metrics;
use crate::request_log::opening::{Entry, Opening};
use crate::request_log::quota::LogQuota;
use crate::request_log::trace::{REQUEST_ID, RequestTrace};
use crate::state::AppState;

/// State of the middleware.
#[derive(Clone, Debug)]
pub(crate) struct LogState {
    pub(crate) app: AppState,
    pub(crate) known: KnownParameters,
}

pub(crate) async fn log_request(State(state): State<LogState>, request: Request, next: Next) -> Response {
    let trace = RequestTrace::of(request.headers());
    let answer = async {
        let (mut head, body) = request.into_parts();
        let exchange = Exchange::start(&head, &state);
        head.extensions.insert(exchange.opening.clone());
        if let Some(ignored) = &exchange.ignored {
            head.extensions.insert(ignored.clone());
        }
        let mut response = next.run(Request::from_parts(head, body)).await;
        if let Some(names) = exchange.ignored_names().and_then(|names| names.try_into().ok()) {
            response.headers_mut().insert(TERN_IGNORED, names);
        }
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
    quota: Arc<LogQuota>,
    client: IpAddr,
    route: String,
    opening: Opening,
    /// The network of a client that no token admitted, for its entries.
    unadmitted: Option<String>,
    is_suppressed: bool,
    /// Names in the request that its operation does not read; `None` where there is no operation.
    ignored: Option<Ignored>,
    started: Instant,
    /// Until there is an answer: the status nginx made customary for a client that did not wait for one.
    status: StatusCode,
}

impl Exchange {
    fn start(request: &Parts, LogState { app: state, known }: &LogState) -> Exchange {
        let route = request.extensions.get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
        // Without the query, which may hold what is nobody's business.
        let opening = Opening::new(request.method.clone(), request.uri.path().to_owned());
        let exchange = Exchange {
            metrics: state.metrics.clone(),
            quota: Arc::clone(state.access.log_quota()),
            client: state.access.client(request),
            route: route.strip_suffix('/').unwrap_or(route).to_owned(),
            opening,
            unadmitted: None,
            is_suppressed: false,
            ignored: known.ignored_of(request),
            started: Instant::now(),
            status: StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT),
        };
        if state.access.is_open_to(request) {
            exchange.opening.write();
        }
        exchange
    }

    fn ignored_names(&self) -> Option<String> {
        self.ignored.as_ref().and_then(Ignored::list)
    }

    fn finish(mut self, response: &Response) {
        self.status = response.status();
        self.decide();
        if self.status.is_server_error() && !self.is_suppressed {
            let cause = response.extensions().get::<Cause>().map_or("unknown", |cause| &cause.0);
            let Entry { method, path, .. } = self.opening.entry();
            let (method, path) = (method.as_str(), path.as_str());
            tracing::error!(target: "app", method, path, status = self.status.as_u16(), cause, "request failed");
        }
    }

    /// Asks the quota whether a request that no token admitted has entries, and writes the first of them.
    fn decide(&mut self) {
        if self.opening.is_written() || self.is_suppressed {
            return;
        }
        if self.quota.take(self.client, self.status, self.started) {
            self.unadmitted = Some(network_of(self.client).to_string());
            self.opening.write();
        } else {
            self.is_suppressed = true;
        }
    }
}

impl Drop for Exchange {
    /// Dropped without an answer when the client goes away: that too is one entry.
    fn drop(&mut self) {
        self.decide();
        let took = self.started.elapsed();
        let Entry { method, path, .. } = self.opening.entry();
        self.metrics.observe(&self.route, method, self.status, took);
        if self.is_suppressed {
            return;
        }
        let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        let (method, path, status) = (method.as_str(), path.as_str(), self.status.as_u16());
        let client = self.unadmitted.as_deref();
        let ignored = self.ignored_names();
        let ignored = ignored.as_deref();
        if status >= 400 {
            tracing::warn!(target: "app", method, path, status, duration_ms, client, ignored, "request finished");
        } else {
            tracing::info!(target: "app", method, path, status, duration_ms, client, ignored, "request finished");
        }
    }
}
