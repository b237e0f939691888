//! Answers that report an error: a status, a message for the client, and a cause for the log.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytesize::ByteSize;
use serde::Serialize;
use tern_common::store::StoreError;
use utoipa::ToSchema;

use crate::http::answer::Json;
use crate::http::upload_quota::QuotaExceeded;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed request. The client reads the message; the cause is for the log alone.
#[derive(Debug)]
pub(crate) struct Error {
    status: StatusCode,
    message: String,
    cause: Option<anyhow::Error>,
    /// The time after which the client may try again.
    retry_after: Option<Duration>,
    /// Whether the rest of the request's body remains unread, so that the connection cannot be used again.
    closes_connection: bool,
}

pub(crate) const DATABASE_IS_UNAVAILABLE: &str = "Database is unavailable";

const DATABASE_IS_BUSY: &str =
    "The database is busy, for example with the load of a file; please try again in a moment";

/// Advice to a client about a page that takes too long to find.
pub(crate) const LIST_TOOK_TOO_LONG: &str =
    "This page takes too long to find; request an earlier page, or use another filter";

impl Error {
    pub(crate) fn new(status: StatusCode, message: impl ToString) -> Error {
        Error { status, message: message.to_string(), cause: None, retry_after: None, closes_connection: false }
    }
}

pub(crate) fn bad_request(message: impl ToString) -> Error {
    Error::new(StatusCode::BAD_REQUEST, message)
}

pub(crate) fn forbidden(message: &str) -> Error {
    Error::new(StatusCode::FORBIDDEN, message)
}

pub(crate) fn not_found(message: impl ToString) -> Error {
    Error::new(StatusCode::NOT_FOUND, message)
}

pub(crate) fn too_many_requests(wait: Duration) -> Error {
    let error = Error::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests; please wait a moment");
    Error { retry_after: Some(wait), ..error }
}

pub(crate) fn body_too_large(limit: ByteSize) -> Error {
    let error = Error::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body must have at most {limit}"));
    Error { closes_connection: true, ..error }
}

pub(crate) fn internal(cause: impl Into<anyhow::Error>) -> Error {
    let error = Error::new(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side");
    Error { cause: Some(cause.into()), ..error }
}

pub(crate) fn unavailable(message: &str, cause: impl Into<anyhow::Error>) -> Error {
    Error { cause: Some(cause.into()), ..Error::new(StatusCode::SERVICE_UNAVAILABLE, message) }
}

/// Refuses an upload, since the uploads under way have reached their common limit.
fn busy(message: String) -> Error {
    let error = Error::new(StatusCode::SERVICE_UNAVAILABLE, message);
    Error { retry_after: Some(Duration::ZERO), closes_connection: true, ..error }
}

/// Refuses an export or a live stream, since a limit of open ones is reached.
pub(crate) fn too_many_streams(status: StatusCode, message: String) -> Error {
    let cause = status.is_server_error().then(|| anyhow!("the limit of this process is reached"));
    Error { retry_after: Some(Duration::ZERO), cause, ..Error::new(status, message) }
}

/// The cause of a 5xx, for the middleware that logs it.
#[derive(Clone, Debug)]
pub(crate) struct Cause(pub(crate) Arc<str>);

/// The body of every error
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct Envelope {
    /// The reason phrase of the status.
    #[schema(example = "Not Found")]
    error: &'static str,
    /// One sentence.
    #[schema(example = "User 99 not found")]
    message: String,
}

impl Error {
    /// Returns the status, and the body for the client.
    pub(crate) fn envelope(&self) -> (StatusCode, Envelope) {
        let error = self.status.canonical_reason().unwrap_or("Error");
        (self.status, Envelope { error, message: self.message.clone() })
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Error {
        Error { status, ..self }
    }

    /// Names the item of a body to which the error belongs.
    pub(crate) fn of_item(self, index: usize) -> Error {
        Error { message: format!("Item {index}: {}", self.message), ..self }
    }
}

impl From<QuotaExceeded> for Error {
    fn from(QuotaExceeded { most }: QuotaExceeded) -> Error {
        busy(format!("All uploads under way together may have at most {most}; try again in a moment"))
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        match error {
            StoreError::UsernameTaken
            | StoreError::EmailTaken
            | StoreError::ShortCodeTaken
            | StoreError::ExternalIdTaken
            | StoreError::TokenNameTaken
            | StoreError::UserOwnsUrls { .. }
            | StoreError::OtherCount { .. } => Error::new(StatusCode::CONFLICT, error),
            StoreError::OtherRevision(_) | StoreError::NoRevision => Error::new(StatusCode::PRECONDITION_FAILED, error),
            StoreError::TooManyTags
            | StoreError::OtherCode(_)
            | StoreError::EndsInThePast
            | StoreError::RefusedBy { .. }
            | StoreError::TooManyEvents => bad_request(error),
            StoreError::OptionConflict(conflict) => bad_request(conflict),
            StoreError::UnknownUser(_) | StoreError::UnknownUrl(_) => not_found(error),
            StoreError::Unavailable(cause) => unavailable(DATABASE_IS_UNAVAILABLE, cause),
            StoreError::Busy(cause) => {
                Error { retry_after: Some(Duration::ZERO), ..unavailable(DATABASE_IS_BUSY, cause) }
            }
            StoreError::TookTooLong(cause) => unavailable(LIST_TOOK_TOO_LONG, cause),
            StoreError::Unfit(cause) | StoreError::Internal(cause) => internal(cause),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, envelope) = self.envelope();
        let Error { cause, retry_after, closes_connection, .. } = self;
        let mut response = (status, Json(envelope)).into_response();
        if let Some(cause) = cause {
            response.extensions_mut().insert(Cause(format!("{cause:#}").into()));
        }
        let headers = response.headers_mut();
        if closes_connection {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = retry_after {
            // Whole seconds, always more than the wait.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        response
    }
}

/// Answers in place of a handler that panicked.
pub(crate) fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    internal(anyhow!("a handler panicked: {}", text.unwrap_or("with no text"))).into_response()
}
