//! Uploads of a file in a multipart form.
//!
//! An upload is written to a temporary file first, so that a slow client occupies no connection to the database.
//! A file that is not text is refused before any row is stored.
//!
//! A refused upload is read to its end, within its limit, since many clients read no answer before they have sent all.

use std::fs::File;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::multipart::{Field, Multipart};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytesize::ByteSize;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use crate::http::body::{BoundedBody, read_error, refuse_coding};
use crate::http::error::{Result, bad_request, internal};
use crate::http::upload_quota::UploadShare;

const NOT_UTF_8: &str = "The file is not UTF-8: save it as \"CSV UTF-8\", or convert it with iconv";

/// The body of an upload, which can be read to its end after its form was refused. Clones share it.
#[derive(Clone, Debug)]
struct SharedBody(Arc<Mutex<BoundedBody>>);

impl SharedBody {
    /// Reads to the end of a body that the client sends without being asked to continue.
    async fn read_rest(mut self) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).is_sent() {
            while let Some(Ok(_)) = self.frame().await {}
        }
    }
}

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(context)
    }
}

/// The bytes that an uploaded file may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Utf8,
    Any,
}

/// Returns the part named `file`, in a file without a name.
pub(crate) async fn receive_file(
    request: Request,
    limit: ByteSize,
    content: Content,
    bytes: &mut UploadShare,
) -> Result<File> {
    let request = refuse_coding(request)?;
    let headers = request.headers().clone();
    let body = SharedBody(Arc::new(Mutex::new(BoundedBody::new(request, limit)?)));
    let mut bounded = Request::new(Body::new(body.clone()));
    *bounded.headers_mut() = headers;
    let received = find_file(bounded, limit, content, bytes).await;
    if received.is_err() {
        body.read_rest().await;
    }
    received
}

/// Returns the part named `file`, and leaves the rest of the body unread on an error.
async fn find_file(mut bounded: Request, limit: ByteSize, content: Content, bytes: &mut UploadShare) -> Result<File> {
    // `BoundedBody` limits the body in place of axum.
    DefaultBodyLimit::disable().apply(&mut bounded);
    let mut parts = Multipart::from_request(bounded, &())
        .await
        .map_err(|_| bad_request("The Content-Type must name the boundary of the parts"))?;
    let mut file = None;
    while let Some(part) = parts.next_field().await.map_err(|error| read_error(&error, limit))? {
        // The next call reads an ignored part to its end.
        if part.name() != Some("file") {
            continue;
        }
        if file.is_some() {
            return Err(bad_request("The form has two parts named file: send one file in each request"));
        }
        file = Some(save(part, limit, content, bytes).await?);
    }
    file.ok_or_else(|| bad_request("A part named file is required"))
}

/// Returns whether the headers declare a multipart form.
pub(crate) fn is_multipart(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("multipart/form-data"))
}

async fn save(mut part: Field<'_>, limit: ByteSize, content: Content, bytes: &mut UploadShare) -> Result<File> {
    let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(internal)?);
    let mut text = Utf8Check::default();
    while let Some(chunk) = part.chunk().await.map_err(|error| read_error(&error, limit))? {
        if content == Content::Utf8 && !text.accepts(&chunk) {
            return Err(bad_request(NOT_UTF_8));
        }
        bytes.take(chunk.len() as u64)?;
        file.write_all(&chunk).await.map_err(internal)?;
    }
    if !text.is_complete() {
        return Err(bad_request(NOT_UTF_8));
    }
    file.flush().await.map_err(internal)?;
    file.rewind().await.map_err(internal)?;
    Ok(file.into_std().await)
}

/// A check of text that comes in pieces, which may end within a character.
#[derive(Debug, Default)]
struct Utf8Check {
    /// The beginning of a character, at most three bytes between two pieces.
    unchecked: Vec<u8>,
}

impl Utf8Check {
    /// Returns whether the text up to the end of `piece` can be the beginning of a text in UTF-8.
    fn accepts(&mut self, piece: &[u8]) -> bool {
        self.unchecked.extend_from_slice(piece);
        let (valid_len, is_valid) = match std::str::from_utf8(&self.unchecked) {
            Ok(text) => (text.len(), true),
            Err(error) => (error.valid_up_to(), error.error_len().is_none()),
        };
        self.unchecked.drain(..valid_len);
        is_valid
    }

    fn is_complete(&self) -> bool {
        self.unchecked.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_pieces_has_the_result_of_the_whole() {
        let check = |bytes: &[u8]| {
            let expected = std::str::from_utf8(bytes).is_ok();
            for size in 1..=bytes.len().max(1) {
                let mut text = Utf8Check::default();
                let is_accepted = bytes.chunks(size).all(|piece| text.accepts(piece)) && text.is_complete();
                assert_eq!(is_accepted, expected, "{bytes:?} in pieces of {size}");
            }
        };
        check(b"");
        check("aé本🦀z".as_bytes());
        check(b"a\xff");
        check(b"\xc3");
        check(b"\xc3\xc3\xa9");
        check(b"\xf0\x9f\xa6");
        check(b"\xed\xa0\x80");
    }
}
