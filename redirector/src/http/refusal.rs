//! Requests that the loop refuses without the service, and their answers. Pure.

use ::http::StatusCode;

use super::answer::Answer;

/// Statuses with which the loop refuses requests without the service.
pub const REFUSALS: [StatusCode; 7] = [
    StatusCode::BAD_REQUEST,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::URI_TOO_LONG,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    StatusCode::NOT_IMPLEMENTED,
    StatusCode::HTTP_VERSION_NOT_SUPPORTED,
];

/// Refusal of a request without the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: &'static str,
}

pub(super) const fn refuse(status: StatusCode, message: &'static str) -> Refusal {
    Refusal { status, message }
}

pub(super) const fn bad(message: &'static str) -> Refusal {
    refuse(StatusCode::BAD_REQUEST, message)
}

/// Refusal of a method without a path.
pub(super) const METHOD_NOT_ALLOWED: Refusal =
    refuse(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are served here");

impl Refusal {
    pub(super) const fn answer(self) -> Answer<'static> {
        Answer::error(self.status, self.message)
    }
}
