//! Every answer that is not a success: one enum, one status table, one envelope.

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

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was not answered with a success. A client reads the text of the 4xx as it is;
/// the cause of a 5xx is for the log alone.
#[derive(Debug)]
pub(crate) enum Error {
    BadRequest(String),
    Unauthorized(&'static str),
    NotFound(String),
    /// The router adds `Allow`.
    MethodNotAllowed,
    Conflict(String),
    Forbidden(&'static str),
    BodyTooLarge(ByteSize),
    UnsupportedMediaType(&'static str),
    /// With how long to wait.
    TooManyRequests(Duration),
    Internal(anyhow::Error),
    /// Too much is under way; a little later there is room again.
    Busy(String),
    Unavailable(&'static str, anyhow::Error),
    /// Another writer uses the database; a little later it is free.
    DatabaseBusy(anyhow::Error),
}

pub(crate) const DATABASE_IS_UNAVAILABLE: &str = "Database is unavailable";

const DATABASE_IS_BUSY: &str = "The database is busy, with the load of a file perhaps; please try again in a moment";

/// Advice to a client about a page that takes too long to find.
pub(crate) const LIST_TOOK_TOO_LONG: &str =
    "This page takes too long to find; ask for an earlier page, or by another filter";

pub(crate) fn bad_request(message: impl ToString) -> Error {
    Error::BadRequest(message.to_string())
}

pub(crate) fn not_found(message: impl ToString) -> Error {
    Error::NotFound(message.to_string())
}

pub(crate) fn unsupported_media_type(message: &'static str) -> Error {
    Error::UnsupportedMediaType(message)
}

pub(crate) fn internal(cause: impl Into<anyhow::Error>) -> Error {
    Error::Internal(cause.into())
}

pub(crate) fn unavailable(message: &'static str, cause: impl Into<anyhow::Error>) -> Error {
    Error::Unavailable(message, cause.into())
}

/// What stands behind a 5xx, handed to the middleware that logs it.
#[derive(Clone, Debug)]
pub(crate) struct Cause(pub(crate) Arc<str>);

/// What every error looks like
#[derive(Serialize, ToSchema)]
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
    fn status(&self) -> StatusCode {
        match self {
            Error::BadRequest(_) => StatusCode::BAD_REQUEST,
            Error::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Error::Conflict(_) => StatusCode::CONFLICT,
            Error::Forbidden(_) => StatusCode::FORBIDDEN,
            Error::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Error::Busy(_) | Error::Unavailable(..) | Error::DatabaseBusy(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn into_parts(self) -> (String, Option<Cause>) {
        let cause = |error: anyhow::Error| Some(Cause(format!("{error:#}").into()));
        match self {
            Error::BadRequest(message) | Error::NotFound(message) | Error::Conflict(message) | Error::Busy(message) => {
                (message, None)
            }
            Error::MethodNotAllowed => ("This method is not allowed here".to_owned(), None),
            Error::BodyTooLarge(limit) => (format!("The body must have at most {limit}"), None),
            Error::UnsupportedMediaType(message) | Error::Forbidden(message) | Error::Unauthorized(message) => {
                (message.to_owned(), None)
            }
            Error::TooManyRequests(_) => ("Too many requests; please wait a moment".to_owned(), None),
            Error::Internal(error) => ("Something went wrong on our side".to_owned(), cause(error)),
            Error::Unavailable(message, error) => (message.to_owned(), cause(error)),
            Error::DatabaseBusy(error) => (DATABASE_IS_BUSY.to_owned(), cause(error)),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        match error {
            StoreError::UsernameTaken
            | StoreError::EmailTaken
            | StoreError::ShortCodeTaken
            | StoreError::TokenNameTaken
            | StoreError::UserOwnsUrls { .. } => Error::Conflict(error.to_string()),
            StoreError::UnknownUser(_) | StoreError::UnknownUrl(_) => Error::NotFound(error.to_string()),
            StoreError::Unavailable(cause) => Error::Unavailable(DATABASE_IS_UNAVAILABLE, cause),
            StoreError::Busy(cause) => Error::DatabaseBusy(cause),
            StoreError::TookTooLong(cause) => Error::Unavailable(LIST_TOOK_TOO_LONG, cause),
            StoreError::Unfit(cause) | StoreError::Internal(cause) => Error::Internal(cause),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        let wait = match self {
            Error::TooManyRequests(wait) => Some(wait),
            Error::Busy(_) | Error::DatabaseBusy(_) => Some(Duration::ZERO),
            _ => None,
        };
        let leaves_body = status == StatusCode::PAYLOAD_TOO_LARGE || matches!(self, Error::Busy(_));
        let (message, cause) = self.into_parts();
        let error = status.canonical_reason().unwrap_or("Error");
        let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let body = serde_json::to_vec(&Envelope { error, message }).unwrap_or_default();
        let mut response = (status, json, body).into_response();
        if let Some(cause) = cause {
            response.extensions_mut().insert(cause);
        }
        if leaves_body {
            // The rest of the body is not wanted, so the connection cannot be used for another request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = wait {
            // Whole seconds, and at least as long.
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        response
    }
}

/// The answer of a handler that panicked.
pub(crate) fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    internal(anyhow!("a handler panicked: {}", text.unwrap_or("with no text"))).into_response()
}
