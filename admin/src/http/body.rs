//! Bodies of requests, bounded in size and depth, and read by their types.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{self, Bytes, HttpBody};
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytesize::ByteSize;
use http_body::Frame;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tern_common::json::{InvalidJson, JsonReader, JsonText, Kind, MAX_DEPTH, read};

use crate::http::error::{Error, Result, bad_request, body_too_large};
use crate::http::ignored::IgnoredNames;
use crate::http::upload_quota::UploadShare;

/// Limits on reading a body that is discarded, so that its client comes to read the answer.
const DISCARD_BYTES: usize = 4 * 1024 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// The longest part of a `Content-Type` that a message repeats.
const SHOWN_TYPE_LEN: usize = 100;

/// The most bytes that a JSON body may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit(pub(crate) ByteSize);

/// A body that is a JSON object, read by its type.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S, T> FromRequest<S> for Body<T>
where
    S: Send + Sync,
    BodyLimit: FromRef<S>,
    T: DeserializeOwned,
{
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>> {
        if let Err(refusal) = refuse_other_types(request.headers(), "application/json") {
            discard_body(request);
            return Err(refusal);
        }
        let BodyLimit(limit) = BodyLimit::from_ref(state);
        let ignored = request.extensions().get::<IgnoredNames>().cloned();
        let bytes = read_whole(request, limit).await?;
        if bytes.trim_ascii().is_empty() {
            return Err(bad_request("The body is missing; send a JSON object"));
        }
        let text = parse_json("The body", &bytes)?;
        if text.kind() != Kind::Object {
            return Err(bad_request("The body must be a JSON object"));
        }
        read_json(text, ignored.as_ref()).map(Body).map_err(bad_request)
    }
}

/// Reads checked JSON by its type, and notes the fields that the type does not know.
///
/// # Errors
/// With a message that names the field.
pub(crate) fn read_json<T: DeserializeOwned>(text: JsonText<'_>, ignored: Option<&IgnoredNames>) -> Result<T, String> {
    let on_unknown = |name: &str| ignored.into_iter().for_each(|ignored| ignored.note_field(name));
    read(JsonReader::new(text, &on_unknown))
}

/// Reads a body of at most `limit` into memory.
///
/// # Errors
/// When the body is larger, compressed or incomplete.
pub(crate) async fn read_whole(request: Request, limit: ByteSize) -> Result<Vec<u8>> {
    read_counted(request, limit, |_| Ok(())).await
}

/// Reads a large body into memory, within its share of the bytes of all uploads.
pub(crate) async fn read_shared(request: Request, limit: ByteSize, share: &mut UploadShare) -> Result<Vec<u8>> {
    read_counted(request, limit, |bytes| Ok(share.take(bytes)?)).await
}

async fn read_counted(request: Request, limit: ByteSize, mut count: impl FnMut(u64) -> Result<()>) -> Result<Vec<u8>> {
    let mut body = BoundedBody::new(refuse_coding(request)?, limit)?;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| read_error(error.as_ref(), limit))?;
        let data = frame.data_ref().map_or(&[][..], Bytes::as_ref);
        count(data.len() as u64)?;
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

/// Checks that a body, or the part that `what` names, is JSON and nested at most [`MAX_DEPTH`] deep.
pub(crate) fn parse_json<'a>(what: &str, text: &'a [u8]) -> Result<JsonText<'a>> {
    JsonText::parse(text, MAX_DEPTH).map_err(|invalid| match invalid {
        InvalidJson::Broken => bad_request(format!("{what} is not valid JSON")),
        InvalidJson::TooDeep => bad_request(format!("{what} must be nested at most {MAX_DEPTH} deep")),
    })
}

/// Returns whether the headers declare NDJSON: a JSON text in each line.
pub(crate) fn is_ndjson(headers: &HeaderMap) -> bool {
    const NAMES: [&str; 4] =
        ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"];
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    NAMES.iter().any(|name| essence.eq_ignore_ascii_case(name))
}

/// Refuses a body that is declared to be of another type than JSON. A body without a declaration is accepted.
///
/// # Errors
/// With a message that names the declared type and the types that are `wanted`.
pub(crate) fn refuse_other_types(headers: &HeaderMap, wanted: &str) -> Result<()> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return Ok(()) };
    let value = value.as_bytes();
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let is_json =
        essence == b"application/json" || (essence.starts_with(b"application/") && essence.ends_with(b"+json"));
    if values.next().is_some() {
        return Err(bad_request(format!("There must be one Content-Type at most, and it must be {wanted}")));
    }
    if is_json {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(&value[..value.len().min(SHOWN_TYPE_LEN)]);
    Err(bad_request(format!("The Content-Type must be {wanted}, and it is '{shown}'")))
}

/// Returns a request unless its body is compressed.
///
/// # Errors
/// When a `Content-Encoding` other than `identity` is declared.
pub(crate) fn refuse_coding(request: Request) -> Result<Request> {
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    if codings.all(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Ok(request);
    }
    discard_body(request);
    let message = "The body must not be compressed: no Content-Encoding is supported";
    Err(Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

/// A body that ends with an error as soon as it exceeds its limit, with or without a `Content-Length`.
#[derive(Debug)]
pub(crate) struct BoundedBody {
    /// The body; `None` after an error.
    inner: Option<body::Body>,
    remaining: u64,
    /// Whether the client waits for `100 Continue`, which the first read sends.
    awaits_continue: bool,
}

/// The error that a body exceeds its limit.
#[derive(Debug, thiserror::Error)]
#[error("the body is over its limit")]
struct TooLarge;

impl BoundedBody {
    /// # Errors
    /// When the `Content-Length` exceeds the limit. The body is not read then.
    pub(crate) fn new(request: Request, limit: ByteSize) -> Result<BoundedBody> {
        // The size hint of the body is lost in the wrapper that enforces its minimum rate.
        let length =
            request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > limit.as_u64()) {
            discard_body(request);
            return Err(body_too_large(limit));
        }
        let awaits_continue = request.headers().contains_key(header::EXPECT);
        Ok(BoundedBody { inner: Some(request.into_body()), remaining: limit.as_u64(), awaits_continue })
    }

    /// Returns whether the client sends the body without waiting for `100 Continue`.
    pub(crate) fn is_sent(&self) -> bool {
        !self.awaits_continue
    }
}

impl HttpBody for BoundedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let read = Pin::new(inner).poll_frame(context);
        self.awaits_continue = false;
        match ready!(read) {
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, Bytes::len) as u64;
                let Some(remaining) = self.remaining.checked_sub(len) else {
                    if let Some(body) = self.inner.take() {
                        read_and_discard(body);
                    }
                    return Poll::Ready(Some(Err(TooLarge.into())));
                };
                self.remaining = remaining;
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.inner = None;
                Poll::Ready(Some(Err(error.into())))
            }
            None => Poll::Ready(None),
        }
    }
}

/// Returns the answer to a request whose [`BoundedBody`] could not be read.
pub(crate) fn read_error(error: &(dyn StdError + 'static), limit: ByteSize) -> Error {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    if causes.any(|cause| cause.is::<TooLarge>()) {
        body_too_large(limit)
    } else {
        bad_request("The body could not be read")
    }
}

/// Discards the body of a request that is refused.
pub(crate) fn discard_body(request: Request) {
    // A client that waits for `100 Continue` has sent nothing yet, and reading would make it send the body.
    if !request.headers().contains_key(header::EXPECT) {
        read_and_discard(request.into_body());
    }
}

/// Reads the rest of a body for a moment.
/// A socket that is closed with unread bytes is reset, which may lose the answer that was just written.
fn read_and_discard(mut body: body::Body) {
    tokio::spawn(tokio::time::timeout(DISCARD_TIME, async move {
        let mut remaining = DISCARD_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            remaining = remaining.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if remaining == 0 {
                break;
            }
        }
    }));
}
