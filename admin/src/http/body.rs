//! Bodies: bounded in size and depth, and read by their types.

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
use crate::http::ignored::Ignored;

/// How much and how long a client that sends too much is listened to, so that it comes to read the answer.
const LINGER_BYTES: usize = 4 * 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);

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
            leave_unread(request);
            return Err(refusal);
        }
        let BodyLimit(limit) = BodyLimit::from_ref(state);
        let ignored = request.extensions().get::<Ignored>().cloned();
        let bytes = read_whole(request, limit).await?;
        if bytes.trim_ascii().is_empty() {
            return Err(bad_request("The body is missing; send a JSON object"));
        }
        let text = parse_json(&bytes)?;
        if text.kind() != Kind::Object {
            return Err(bad_request("The body must be a JSON object"));
        }
        read_json(text, ignored.as_ref()).map(Body).map_err(bad_request)
    }
}

/// Reads checked JSON by its type, and notes the fields that the type does not know.
///
/// # Errors
/// A sentence that names the field.
pub(crate) fn read_json<T: DeserializeOwned>(text: JsonText<'_>, ignored: Option<&Ignored>) -> Result<T, String> {
    let on_unknown = |name: &str| ignored.into_iter().for_each(|ignored| ignored.note_field(name));
    read(JsonReader::new(text, &on_unknown))
}

/// Reads a body of at most `limit` into memory.
///
/// # Errors
/// When the body is larger, coded or cut short.
pub(crate) async fn read_whole(request: Request, limit: ByteSize) -> Result<Vec<u8>> {
    let mut body = BoundedBody::new(refuse_coding(request)?, limit)?;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| read_error(error.as_ref(), limit))?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[], Bytes::as_ref));
    }
    Ok(bytes)
}

/// Checks that a body is JSON, nested at most [`MAX_DEPTH`] deep.
pub(crate) fn parse_json(body: &[u8]) -> Result<JsonText<'_>> {
    JsonText::parse(body, MAX_DEPTH).map_err(|invalid| match invalid {
        InvalidJson::Broken => bad_request("The body is not valid JSON"),
        InvalidJson::TooDeep => bad_request(format!("The body must be nested at most {MAX_DEPTH} deep")),
    })
}

/// Checks that a body is not declared to be anything but JSON. One without a declaration is read, and judged by that.
///
/// # Errors
/// A sentence that names the declared type and the types that are `wanted`.
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

/// Gives a request back unless its body is compressed or coded otherwise.
///
/// # Errors
/// When a `Content-Encoding` other than `identity` is declared.
pub(crate) fn refuse_coding(request: Request) -> Result<Request> {
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    if codings.all(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Ok(request);
    }
    leave_unread(request);
    let message = "The body must not be compressed: no Content-Encoding is supported";
    Err(Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

/// A body that ends with an error as soon as it is over its limit, whichever way it is sent.
#[derive(Debug)]
pub(crate) struct BoundedBody {
    /// Taken when the limit is reached, and when reading fails.
    inner: Option<body::Body>,
    left: u64,
    /// Whether the client waits for `100 Continue`, which the first read sends.
    is_awaited: bool,
}

/// There is more of the body than the limit allows.
#[derive(Debug, thiserror::Error)]
#[error("the body is over its limit")]
struct TooLarge;

impl BoundedBody {
    /// # Errors
    /// When the headers already tell that the body is too large: it is not read then.
    pub(crate) fn new(request: Request, limit: ByteSize) -> Result<BoundedBody> {
        // Not the body's own hint, which is lost behind its timeout.
        let length =
            request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > limit.as_u64()) {
            leave_unread(request);
            return Err(body_too_large(limit));
        }
        let is_awaited = request.headers().contains_key(header::EXPECT);
        Ok(BoundedBody { inner: Some(request.into_body()), left: limit.as_u64(), is_awaited })
    }

    /// Whether the client is sending the body, or has sent it.
    pub(crate) fn is_sent(&self) -> bool {
        !self.is_awaited
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
        self.is_awaited = false;
        match ready!(read) {
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, Bytes::len) as u64;
                let Some(left) = self.left.checked_sub(len) else {
                    if let Some(body) = self.inner.take() {
                        linger(body);
                    }
                    return Poll::Ready(Some(Err(TooLarge.into())));
                };
                self.left = left;
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

/// What to answer when reading a [`BoundedBody`] failed.
pub(crate) fn read_error(error: &(dyn StdError + 'static), limit: ByteSize) -> Error {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    if causes.any(|cause| cause.is::<TooLarge>()) {
        body_too_large(limit)
    } else {
        bad_request("The body could not be read")
    }
}

/// Gives up a request whose body nobody will read.
pub(crate) fn leave_unread(request: Request) {
    // Whoever waits to be told to go on has sent nothing yet, and reading would tell it just that.
    if !request.headers().contains_key(header::EXPECT) {
        linger(request.into_body());
    }
}

/// Reads on for a moment what nobody wants. A socket that is closed over unread bytes is reset, and the answer that
/// was just written may be lost with it.
fn linger(mut body: body::Body) {
    tokio::spawn(tokio::time::timeout(LINGER_TIME, async move {
        let mut left = LINGER_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    }));
}
