//! Answers in JSON.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tern_common::json::WriteJson;

/// The body of an answer, from a value that `serde` describes.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// The body of an answer, from a value that writes itself, so that its texts are sent as they are stored.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        json(serde_json::to_vec(&self.0).expect("plain data serialises"))
    }
}

impl<T: WriteJson> IntoResponse for JsonBody<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::new();
        self.0.write_json(&mut body);
        json(body)
    }
}

pub(crate) fn json(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body.into()).into_response()
}
