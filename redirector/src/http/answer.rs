//! One answer as values: status, header fields, body. Pure; it knows no framing and no socket.
//!
//! [`super::Reply`] encodes it on the redirect port. Another port may translate it into the types of its own framework.

use ::http::StatusCode;

/// An answer without what the connection adds to it: framing and date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub status: StatusCode,
    /// Value of `Allow`.
    pub allow: Option<&'a str>,
    /// Value of `Cache-Control`.
    pub cache_control: Option<&'a str>,
    /// Value of `Retry-After`.
    pub retry_after_seconds: Option<u32>,
    pub content: Content<'a>,
}

/// The target of a redirect, or the message of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Value of `Location`, in visible ASCII. The body is empty.
    Location(&'a [u8]),
    /// Pieces of the message in the JSON error envelope. They are joined and may contain any bytes.
    Message([&'a [u8]; 3]),
}

impl<'a> Answer<'a> {
    /// Returns an answer without optional header fields.
    pub const fn new(status: StatusCode, content: Content<'a>) -> Answer<'a> {
        Answer { status, allow: None, cache_control: None, retry_after_seconds: None, content }
    }

    /// Returns a redirect to `location`.
    pub const fn redirect(status: StatusCode, location: &'a [u8]) -> Answer<'a> {
        Answer::new(status, Content::Location(location))
    }

    /// Returns an error whose message is one piece.
    pub const fn error(status: StatusCode, message: &'a str) -> Answer<'a> {
        Answer::new(status, Content::Message([message.as_bytes(), b"", b""]))
    }

    /// Forbids every cache to store the answer.
    pub const fn no_store(self) -> Answer<'a> {
        Answer { cache_control: Some("no-store"), ..self }
    }

    /// Names the methods that the resource allows.
    pub const fn allow(self, methods: &'a str) -> Answer<'a> {
        Answer { allow: Some(methods), ..self }
    }

    /// Asks the client to wait before its next request.
    pub const fn retry_after(self, seconds: u32) -> Answer<'a> {
        Answer { retry_after_seconds: Some(seconds), ..self }
    }
}
