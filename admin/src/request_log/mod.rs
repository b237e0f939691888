//! Two log entries and two metrics for each request, and the span that its ids are in.
//!
//! A request that no token admits has entries only within a quota, so that such requests cannot fill the log.

pub(crate) mod quota;
pub(crate) mod request;
pub(crate) mod trace;

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
use crate::http::ignored::{IgnoredNames, KnownParameters, TERN_IGNORED};
use crate::request_log::request::LoggedRequest;
use crate::request_log::trace::{REQUEST_ID, RequestTrace};
use crate::state::AppState;

/// State of the middleware.
#[derive(Clone, Debug)]
pub(crate) struct LogState {
    pub(crate) app: Arc<AppState>,
    pub(crate) known: KnownParameters,
}

pub(crate) async fn log_request(State(state): State<LogState>, request: Request, next: Next) -> Response {
    let trace = RequestTrace::of(request.headers());
    let answer = async {
        let (mut head, body) = request.into_parts();
        let exchange = Exchange::start(&head, state);
        head.extensions.insert(Arc::clone(&exchange.request));
        if let Some(ignored) = &exchange.ignored {
            head.extensions.insert(ignored.clone());
        }
        let mut response = next.run(Request::from_parts(head, body)).await;
        exchange.finish(&mut response);
        response
    };
    let mut response = answer.instrument(trace.span()).await;
    response.headers_mut().insert(REQUEST_ID, trace.request_id());
    response
}

/// A request until its entry "request finished", which is written when the value is dropped.
struct Exchange {
    app: Arc<AppState>,
    request: Arc<LoggedRequest>,
    route: Option<MatchedPath>,
    /// The network of a client that no token admitted, for its entries.
    unadmitted: Option<String>,
    is_suppressed: bool,
    /// Names in the request that its operation does not read; `None` where there is no operation.
    ignored: Option<IgnoredNames>,
    /// The list of those names, once the handler has answered.
    ignored_names: Option<String>,
    started: Instant,
    /// Status of the answer; until there is one, 499, by which nginx logs a client that closed its connection.
    status: StatusCode,
}

impl Exchange {
    fn start(head: &Parts, LogState { app, known }: LogState) -> Exchange {
        let (client, is_open) = (app.access.client(head), app.access.is_open_to(head));
        // The path without the query, which may hold secrets.
        let request = LoggedRequest::new(head.method.clone(), head.uri.path().to_owned(), client, is_open);
        if is_open {
            request.log_start();
        }
        Exchange {
            app,
            request: Arc::new(request),
            route: head.extensions.get().cloned(),
            unadmitted: None,
            is_suppressed: false,
            ignored: known.find_ignored(head),
            ignored_names: None,
            started: Instant::now(),
            status: StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT),
        }
    }

    fn finish(mut self, response: &mut Response) {
        self.ignored_names = self.ignored.take().and_then(|ignored| ignored.list());
        if let Some(names) = self.ignored_names.as_deref().and_then(|names| names.try_into().ok()) {
            response.headers_mut().insert(TERN_IGNORED, names);
        }
        self.status = response.status();
        self.decide();
        if self.status.is_server_error() && !self.is_suppressed {
            let cause = response.extensions().get::<Cause>().map_or("unknown", |cause| &cause.0);
            let (method, path) = (self.request.method.as_str(), self.request.path.as_str());
            tracing::error!(target: "app", method, path, status = self.status.as_u16(), cause, "request failed");
        }
    }

    /// Asks the quota whether a request that no token admitted has entries, and writes the first of them.
    fn decide(&mut self) {
        if self.request.is_started() || self.is_suppressed {
            return;
        }
        let client = self.request.client;
        if self.app.access.log_quota.take(client, self.status, self.started) {
            self.unadmitted = Some(network_of(client).to_string());
            self.request.log_start();
        } else {
            self.is_suppressed = true;
        }
    }
}

impl Drop for Exchange {
    /// Logs the end of the request. Without an answer, the client has closed its connection.
    fn drop(&mut self) {
        self.decide();
        let took = self.started.elapsed();
        let LoggedRequest { method, path, .. } = &*self.request;
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        self.app.metrics.observe(route.strip_suffix('/').unwrap_or(route), method, self.status, took);
        if self.is_suppressed {
            return;
        }
        let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        let (method, path, status) = (method.as_str(), path.as_str(), self.status.as_u16());
        let client = self.unadmitted.as_deref();
        let names_without_answer = || self.ignored.as_ref()?.list();
        let ignored = self.ignored_names.take().or_else(names_without_answer);
        if status >= 400 {
            tracing::warn!(target: "app", method, path, status, duration_ms, client, ignored, "request finished");
        } else {
            tracing::info!(target: "app", method, path, status, duration_ms, client, ignored, "request finished");
        }
    }
}
