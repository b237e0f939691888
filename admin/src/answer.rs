//! Answers in JSON. Rows write themselves, so that the texts in them leave as they are stored.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tern_common::json::{WriteJson, write_array};

use crate::error::internal;

/// A value that `serde` describes, as the body of an answer.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// One row as the body of an answer.
#[derive(Debug)]
pub(crate) struct JsonRow<T>(pub(crate) T);

/// Rows as the body of an answer, in an array.
#[derive(Debug)]
pub(crate) struct JsonRows<T>(pub(crate) Vec<T>);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        serde_json::to_vec(&self.0).map_or_else(|error| internal(error).into_response(), json)
    }
}

impl<T: WriteJson> IntoResponse for JsonRow<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::new();
        self.0.write_json(&mut body);
        json(body)
    }
}

impl<T: WriteJson> IntoResponse for JsonRows<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::new();
        write_array(&self.0, &mut body);
        json(body)
    }
}

fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}
