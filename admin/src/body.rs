//! Bodies: bounded in size and depth, JSON objects, and the fields that are read from them.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytesize::ByteSize;
use http_body::Frame;
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use tern_common::Id;

use crate::error::{Error, Result, bad_request, unsupported_media_type};
use crate::state::AppState;

/// How deep JSON may be nested, the outermost object included.
pub(crate) const MAX_DEPTH: usize = 32;

/// How much and how long a client that sends too much is listened to, so that it comes to read the answer.
const LINGER_BYTES: usize = 4 * 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);

const JSON_IS_WANTED: &str = "The Content-Type must be application/json";

/// A body that is a JSON object. Its readers name the field that is wrong.
#[derive(Debug)]
pub(crate) struct JsonObject(Map<String, Value>);

impl FromRequest<AppState> for JsonObject {
    type Rejection = Error;

    async fn from_request(request: Request, state: &AppState) -> Result<JsonObject> {
        let declared = match declared_type(request.headers()) {
            Declared::Other => {
                leave_unread(request);
                return Err(unsupported_media_type(JSON_IS_WANTED));
            }
            declared => declared,
        };
        let limit = state.config.body_limit;
        let body = BoundedBody::new(request, limit)?;
        let bytes = body.collect().await.map_err(|error| read_error(error.as_ref(), limit))?.to_bytes();
        let object = parse(&bytes);
        // A client that did not say what it sends is taken at its word only if that can be read.
        if declared == Declared::Nothing && matches!(object, Err(Unfit::Broken)) {
            return Err(unsupported_media_type(JSON_IS_WANTED));
        }
        object.map(JsonObject).map_err(|unfit| match unfit {
            Unfit::Broken => bad_request("The body is not valid JSON"),
            Unfit::TooDeep => bad_request(format!("The body must be nested at most {MAX_DEPTH} deep")),
            Unfit::NoObject => bad_request("The body must be a JSON object"),
        })
    }
}

impl JsonObject {
    pub(crate) fn id(&self, field: &str) -> Result<Id> {
        let value = self.0.get(field).ok_or_else(|| bad_request(format!("{field} is required")))?;
        // What no id can reach names no row, as in a path.
        let number = value.as_u64().map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        number.and_then(Id::new).ok_or_else(|| bad_request(format!("{field} must be a positive integer")))
    }

    pub(crate) fn text(&self, field: &str) -> Result<&str> {
        self.optional_text(field)?.ok_or_else(|| bad_request(format!("{field} is required")))
    }

    pub(crate) fn optional_text(&self, field: &str) -> Result<Option<&str>> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(bad_request(format!("{field} must be a string"))),
        }
    }

    /// `Some(None)` is a field that is there and null.
    pub(crate) fn nullable_text(&self, field: &str) -> Result<Option<Option<&str>>> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(text)) => Ok(Some(Some(text))),
            Some(_) => Err(bad_request(format!("{field} must be a string or null"))),
        }
    }

    pub(crate) fn optional_flag(&self, field: &str) -> Result<Option<bool>> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(bad_request(format!("{field} must be true or false"))),
        }
    }

    pub(crate) fn optional_object(&self, field: &str) -> Result<Option<&Map<String, Value>>> {
        match self.0.get(field) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(bad_request(format!("{field} must be a JSON object"))),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Declared {
    Json,
    Other,
    Nothing,
}

fn declared_type(headers: &HeaderMap) -> Declared {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Declared::Nothing;
    };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json { Declared::Json } else { Declared::Other }
}

enum Unfit {
    Broken,
    TooDeep,
    NoObject,
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, Unfit> {
    // Measured before it is parsed: the parser recurses.
    if depth(bytes) > MAX_DEPTH {
        return Err(Unfit::TooDeep);
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Unfit::NoObject),
        Err(_) => Err(Unfit::Broken),
    }
}

/// How deep a JSON text is nested: `5` is 0, `{}` is 1, `[[]]` is 2.
pub(crate) fn depth(json: &[u8]) -> usize {
    let (mut open, mut deepest) = (0usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' if !in_string => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A body that ends with an error as soon as it is over its limit, whichever way it is sent.
#[derive(Debug)]
pub(crate) struct BoundedBody {
    /// Taken when the limit is reached.
    inner: Option<Body>,
    left: u64,
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
            return Err(Error::BodyTooLarge(limit));
        }
        Ok(BoundedBody { inner: Some(request.into_body()), left: limit.as_u64() })
    }
}

impl HttpBody for BoundedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        match ready!(Pin::new(inner).poll_frame(context)) {
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
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            None => Poll::Ready(None),
        }
    }
}

/// What to answer when reading a [`BoundedBody`] failed.
pub(crate) fn read_error(error: &(dyn StdError + 'static), limit: ByteSize) -> Error {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    if causes.any(|cause| cause.is::<TooLarge>()) {
        Error::BodyTooLarge(limit)
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
fn linger(mut body: Body) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        let check = |json: &str, expected: usize| assert_eq!(depth(json.as_bytes()), expected, "{json}");
        check("5", 0);
        check("{}", 1);
        check(r#"{"a":[{}],"b":[]}"#, 3);
        check(r#"{"a":"[[[[\"[[[["}"#, 1);
        check(r#"{"a\\":[]}"#, 2);
        check("}}}}[", 1);
        check(&"[".repeat(33), 33);
    }
}
