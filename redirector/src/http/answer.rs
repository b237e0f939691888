//! One answer as values: status, header fields, body. Pure; it knows no framing and no socket.
//!
//! [`super::Reply`] encodes it on the redirect port. Another port may translate it into the types of its own framework.

use ::http::StatusCode;

use super::Location;
use super::document::Document;

/// An answer without what the connection adds to it: framing and date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub status: StatusCode,
    /// Value of `Retry-After`.
    pub retry_after_seconds: Option<u32>,
    /// Further lines of the head, each with its CR LF.
    pub further_fields: &'a str,
    pub content: Content<'a>,
}

/// The location of a redirect, the message of an error, or a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Values of `Location` and of `Cache-Control`. The body is empty.
    Redirect(Location<'a>, Option<&'a str>),
    /// Pieces of the message in the JSON error envelope. They are joined and may contain any bytes.
    Message([&'a [u8]; 3]),
    Document(Document<'a>),
}

impl<'a> Answer<'a> {
    /// Returns an answer without optional header fields.
    pub const fn new(status: StatusCode, content: Content<'a>) -> Answer<'a> {
        Answer { status, retry_after_seconds: None, further_fields: "", content }
    }

    /// Returns a redirect to `url` with the status 302, which no cache stores.
    pub const fn redirect(url: &'a [u8]) -> Answer<'a> {
        Answer::new(StatusCode::FOUND, Content::Redirect(Location::Url(url), Some("no-store")))
    }

    /// Returns an error whose message consists of three pieces.
    pub const fn error_in_pieces(status: StatusCode, message: [&'a [u8]; 3]) -> Answer<'a> {
        Answer::new(status, Content::Message(message))
    }

    /// Returns an error whose message is one piece.
    pub const fn error(status: StatusCode, message: &'a str) -> Answer<'a> {
        Answer::error_in_pieces(status, [message.as_bytes(), b"", b""])
    }

    /// Asks the client to wait before its next request.
    pub const fn retry_after(self, seconds: u32) -> Answer<'a> {
        Answer { retry_after_seconds: Some(seconds), ..self }
    }

    /// Returns the value of `Allow`, which every 405 has.
    pub fn allow(&self) -> Option<&'static str> {
        (self.status == StatusCode::METHOD_NOT_ALLOWED).then_some("GET, HEAD")
    }

    /// Returns the value of `Cache-Control`. A redirect has its own. Another answer has `no-store` if a cache may store its
    /// status by itself (RFC 9110, 15.1).
    pub fn cache_control(&self) -> Option<&'a str> {
        if let Content::Redirect(_, cache_control) = self.content {
            return cache_control;
        }
        let is_stored = matches!(
            self.status,
            StatusCode::OK
                | StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::GONE
                | StatusCode::URI_TOO_LONG
                | StatusCode::NOT_IMPLEMENTED
        );
        is_stored.then_some("no-store")
    }
}
