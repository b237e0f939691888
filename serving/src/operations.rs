//! The layers around the routes of an operations port: strict heads, its host names, and errors in the form of the API.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::head::{Hosts, check_head};

const FOREIGN_HOST: &str = "This port answers to addresses, localhost and the names in OPS_HOSTS";

/// Adds the layers of an operations port to `routes`, which serve GET alone.
pub fn with_operations_layers(routes: Router, hosts: Hosts) -> Router {
    routes
        .fallback(async || error(StatusCode::NOT_FOUND, "There is nothing at this path"))
        .method_not_allowed_fallback(async || {
            let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are served here");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        })
        .layer(from_fn_with_state(hosts, admit))
}

async fn admit(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let refusal = match check_head(&request) {
        Err(message) => Some((StatusCode::BAD_REQUEST, message)),
        Ok(()) if !hosts.include(request.headers()) => Some((StatusCode::MISDIRECTED_REQUEST, FOREIGN_HOST)),
        Ok(()) => None,
    };
    let mut response = match refusal {
        None => next.run(request).await,
        Some((status, message)) => {
            let mut response = error(status, message);
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
    };
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn error(status: StatusCode, message: &str) -> Response {
    let envelope = json!({"error": status.canonical_reason(), "message": message});
    (status, [(CONTENT_TYPE, "application/json")], envelope.to_string()).into_response()
}
