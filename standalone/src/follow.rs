//! Short codes on the API port: a path without a route is a short code.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tern_common::ShortCode;
use tern_redirector::code_path::{CodePath, code_of_path, without_qr_mark};
use tern_redirector::engine::{Engine, Step};
use tern_redirector::fields::Fields;
use tern_redirector::http::{self, Answer, Content, LONGEST_WAIT, Signal, Verdict};
use tern_redirector::link_map::MapPin;
use tern_redirector::redirect::Visit;
use tokio::time::timeout;

/// Answers a short code as the redirect port does, with the same map, outcomes and clicks.
pub async fn follow_code(
    State(engine): State<Arc<Engine>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (request, _) = request.into_parts();
    let method = match request.method {
        Method::GET => http::Method::Get,
        Method::HEAD => http::Method::Head,
        _ => http::Method::Other,
    };
    let path = request.uri.path().as_bytes();
    let mut buffer = [0; ShortCode::MAX_LEN + 1];
    let CodePath { code, is_preview, rest } = code_of_path(path, &mut buffer);
    let (query, is_from_qr) = without_qr_mark(request.uri.query().unwrap_or_default().as_bytes());
    let mut visit = Visit {
        path,
        query,
        is_from_qr,
        code,
        is_preview,
        rest,
        method,
        at: SystemTime::now(),
        peer: peer.ip().to_canonical(),
        is_http_1_0: request.version == Version::HTTP_10,
        affinity: engine.beside_workers(peer.port().into()),
    };
    let fields = HeaderFields(&request.headers);
    let mut wait: Option<Arc<Signal>> = None;
    loop {
        let step = MapPin::scope(|pin| match engine.answer(pin, &visit, &fields, wait.as_deref()) {
            Step::Answer(answer) => Ok(respond(&answer)),
            Step::Wait(signal) => Err(signal),
        });
        match step {
            Ok(response) => return response,
            Err(signal) => {
                if timeout(LONGEST_WAIT, signal.wait()).await.is_err() {
                    signal.end(Verdict::Unknown);
                }
                visit.at = SystemTime::now();
                wait = Some(signal);
            }
        }
    }
}

/// The header fields of a request, as the redirector reads them.
struct HeaderFields<'a>(&'a HeaderMap);

impl<'a> Fields<'a> for HeaderFields<'a> {
    fn values(&self, name: &'static str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.0.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn for_each(&self, mut visit: impl FnMut(&[u8], &'a [u8])) {
        self.0.iter().for_each(|(name, value)| visit(name.as_str().as_bytes(), value.as_bytes()));
    }
}

/// Converts an answer of the redirector.
fn respond(answer: &Answer<'_>) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in [(header::ALLOW, answer.allow()), (header::CACHE_CONTROL, answer.cache_control())] {
        headers.extend(value.and_then(|value| HeaderValue::from_str(value).ok()).map(|value| (name, value)));
    }
    headers.extend(answer.retry_after_seconds.map(|seconds| (header::RETRY_AFTER, seconds.into())));
    let further_fields = answer.further_fields.lines().filter_map(|line| line.split_once(": "));
    headers.extend(
        further_fields
            .filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, HeaderValue::from_str(value).ok()?))),
    );
    match answer.content {
        Content::Redirect(location, _) => {
            let mut value = Vec::new();
            location.write(|bytes| value.extend_from_slice(bytes));
            match HeaderValue::try_from(value) {
                Ok(location) => {
                    headers.insert(header::LOCATION, location);
                    (answer.status, headers).into_response()
                }
                // A location is visible ASCII, so this is unreachable without a defect.
                Err(_) => {
                    respond(&Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side"))
                }
            }
        }
        Content::Message(message) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let message = String::from_utf8_lossy(&message.concat()).into_owned();
            let envelope = json!({"error": answer.status.canonical_reason(), "message": message});
            (answer.status, headers, envelope.to_string()).into_response()
        }
        Content::Document(document) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(document.media_type.name()));
            let mut body = Vec::new();
            document.write(&mut |bytes| body.extend_from_slice(bytes));
            (answer.status, headers, body).into_response()
        }
    }
}
