//! Errors in the form of Shlink: `application/problem+json` with a type that clients know by its name.

use axum::body::{self, Body};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tern_common::store::StoreError;

use crate::http::error::{Error, bad_request, not_found};

/// The addresses of the types, whose last part is the name.
const TYPES: &str = "https://shlink.io/api/error/";

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The longest body of an error that Tern wrote in its own form.
const LONGEST_ENVELOPE: usize = 64 * 1024;

pub(super) type Outcome<T> = Result<T, Problem>;

/// An error with the name of its type, and with further members.
#[derive(Debug)]
pub(super) struct Problem {
    name: &'static str,
    members: Box<Map<String, Value>>,
    error: Error,
}

impl Problem {
    pub(super) fn new(name: &'static str, error: Error) -> Problem {
        let mut members = Map::new();
        if name == INVALID_DATA {
            // Dashboards list these elements without a check that there are some.
            members.insert("invalidElements".to_owned(), json!([]));
        }
        Problem { name, members: Box::new(members), error }
    }

    /// Refuses a field of a body or a parameter of a query.
    pub(super) fn invalid(element: &str, message: impl ToString) -> Problem {
        Problem::new(INVALID_DATA, bad_request(message)).with("invalidElements", json!([element]))
    }

    pub(super) fn code_not_found(code: &str) -> Problem {
        let message = format!("No URL found with short code \"{code}\"");
        Problem::new("short-url-not-found", not_found(message)).with("shortCode", json!(code))
    }

    pub(super) fn tag_not_found(tag: &str) -> Problem {
        Problem::new("tag-not-found", not_found(format!("Tag with name \"{tag}\" could not be found")))
            .with("tag", json!(tag))
    }

    #[must_use]
    pub(super) fn with(mut self, name: &str, value: Value) -> Problem {
        self.members.insert(name.to_owned(), value);
        self
    }
}

const INVALID_DATA: &str = "invalid-data";

/// Returns the name of the type of an error that has no other.
fn name_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => INVALID_DATA,
        StatusCode::UNAUTHORIZED => "invalid-api-key",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not-found",
        StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
        StatusCode::CONFLICT => "conflict",
        StatusCode::PAYLOAD_TOO_LARGE => "payload-too-large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported-media-type",
        StatusCode::TOO_MANY_REQUESTS => "too-many-requests",
        StatusCode::NOT_IMPLEMENTED => "not-implemented",
        StatusCode::SERVICE_UNAVAILABLE => "service-unavailable",
        _ => "internal-server-error",
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        Problem::new(name_of(error.status()), error)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        Error::from(error).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Problem { name, members, error } = self;
        let body = write(name, error.status(), error.message(), *members);
        replace_body(error.into_response(), body)
    }
}

fn write(name: &str, status: StatusCode, detail: &str, members: Map<String, Value>) -> String {
    let mut title = name.replace('-', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let mut problem = members;
    problem.insert("type".to_owned(), json!(format!("{TYPES}{name}")));
    problem.insert("title".to_owned(), json!(title));
    problem.insert("detail".to_owned(), json!(detail));
    problem.insert("status".to_owned(), json!(status.as_u16()));
    Value::Object(problem).to_string()
}

fn replace_body(response: Response, body: String) -> Response {
    let mut response = response.map(|_| Body::from(body));
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response
}

/// Gives an error that a layer wrote in Tern's own form the form of Shlink, since clients read each error as JSON.
pub(crate) async fn as_problem(response: Response) -> Response {
    #[derive(Deserialize)]
    struct Envelope {
        message: String,
    }

    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.headers().get(header::CONTENT_TYPE) == Some(&CONTENT_TYPE) {
        return response;
    }
    let (head, body) = response.into_parts();
    let bytes = body::to_bytes(body, LONGEST_ENVELOPE).await.unwrap_or_default();
    let message = serde_json::from_slice::<Envelope>(&bytes).map(|envelope| envelope.message);
    let message = message.unwrap_or_else(|_| status.canonical_reason().unwrap_or("Error").to_owned());
    let name = name_of(status);
    let Problem { members, .. } = Problem::new(name, Error::new(status, &message));
    replace_body(Response::from_parts(head, Body::empty()), write(name, status, &message, *members))
}
