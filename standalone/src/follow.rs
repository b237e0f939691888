//! The one thing this process adds to its planes: on the API's port, a path that no route knows is a short code.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tern_redirector::engine::{Engine, Fields, NOT_READY_RETRY_SECONDS, Visit, message};
use tern_redirector::http;
use tern_redirector::redirect::Outcome;

/// Answers as the redirect port does: same map, same outcome, same click.
pub async fn follow_code(
    State(engine): State<Arc<Engine>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let method = match *request.method() {
        Method::GET => http::Method::Get,
        Method::HEAD => http::Method::Head,
        _ => http::Method::Other,
    };
    let visit = Visit {
        path: request.uri().path().as_bytes(),
        method,
        at: SystemTime::now(),
        peer: peer.ip().to_canonical(),
        is_http_1_0: request.version() == Version::HTTP_10,
        affinity: engine.beside_workers(peer.port().into()),
    };
    engine.follow(&visit, &HeaderFields(request.headers()), |outcome, code| {
        let message = message(&outcome, code).concat();
        match outcome {
            Outcome::Redirect(link) => redirect(link.location()),
            Outcome::Gone => error(StatusCode::GONE, &message, None),
            Outcome::NotFound => error(StatusCode::NOT_FOUND, &message, None),
            Outcome::OtherMethod => method_not_allowed(&message),
            Outcome::NotReady => error(StatusCode::SERVICE_UNAVAILABLE, &message, Some(NOT_READY_RETRY_SECONDS)),
            Outcome::Refused { retry_after_seconds } => {
                error(StatusCode::TOO_MANY_REQUESTS, &message, Some(retry_after_seconds))
            }
        }
    })
}

struct HeaderFields<'a>(&'a HeaderMap);

impl<'a> Fields<'a> for HeaderFields<'a> {
    fn values(&self, name: &'static str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.0.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn any_name(&self, is_wanted: impl Fn(&[u8]) -> bool) -> bool {
        self.0.keys().any(|name| is_wanted(name.as_str().as_bytes()))
    }
}

fn redirect(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => {
            let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
            (StatusCode::FOUND, headers).into_response()
        }
        // A TargetUrl's location is visible ASCII, so this is a defect of ours.
        Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side", None),
    }
}

fn method_not_allowed(message: &str) -> Response {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, message, None);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn error(status: StatusCode, message: &str, retry_after: Option<u32>) -> Response {
    let mut headers = HeaderMap::new();
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let envelope = json!({"error": status.canonical_reason(), "message": message});
    (status, headers, envelope.to_string()).into_response()
}
