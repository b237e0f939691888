//! The ids of a request: its request id, from the client or generated, and the ids of its trace.
//!
//! A `traceparent` has the form of the [W3C](https://www.w3.org/TR/trace-context/).
//! A request with a `traceparent` of another form begins a trace.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Span;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest request id that is accepted, in bytes. Each log entry of the request contains it.
const LONGEST_REQUEST_ID: usize = 128;

/// The length of `00-`, 32 digits of the trace, `-`, 16 of the parent, `-`, 2 of flags.
const TRACEPARENT_LEN: usize = 55;

/// The ids of a request in the log.
#[derive(Debug)]
pub(crate) struct RequestTrace {
    request_id: HeaderValue,
    trace_id: String,
    /// The id of this request within its trace.
    span_id: String,
}

impl RequestTrace {
    pub(crate) fn of(headers: &HeaderMap) -> RequestTrace {
        let mut random = [0; 40];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let request_id = single(headers, &REQUEST_ID).filter(|id| is_request_id(id.as_bytes()));
        let trace_id = single(headers, &TRACEPARENT).and_then(|parent| trace_id(parent.as_bytes()));
        RequestTrace {
            request_id: request_id
                .cloned()
                .unwrap_or_else(|| hex(&random[..16]).try_into().expect("hexadecimal digits are visible")),
            trace_id: trace_id.map_or_else(|| hex(&random[16..32]), str::to_owned),
            span_id: hex(&random[32..]),
        }
    }

    /// Returns the value of `X-Request-Id` for the answer.
    pub(crate) fn request_id(&self) -> HeaderValue {
        self.request_id.clone()
    }

    /// Returns the span that adds the ids to each log entry within it.
    pub(crate) fn span(&self) -> Span {
        let request_id = self.request_id.to_str().unwrap_or_default();
        // The span has the highest level, so that a log of errors alone has the ids, too.
        let (trace_id, span_id) = (self.trace_id.as_str(), self.span_id.as_str());
        tracing::error_span!("request", request_id, trace_id, span_id, token = tracing::field::Empty)
    }
}

/// Adds the name of a request's token to its further log entries.
pub(crate) fn name_token(name: &str) {
    Span::current().record("token", name);
}

/// Returns the value of a header that occurs exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn is_request_id(id: &[u8]) -> bool {
    (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// Returns the trace id of a `traceparent`.
fn trace_id(traceparent: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(traceparent).ok()?;
    let (first, rest) = text.split_at_checked(TRACEPARENT_LEN)?;
    let mut parts = first.split('-');
    let [version, trace_id, parent_id, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let is_hex = |part: &str, len| part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |part: &str, len| is_hex(part, len) && part.bytes().any(|b| b != b'0');
    // A later version may have more fields after another dash.
    let ends_well = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    let is_valid = is_hex(version, 2) && version != "ff" && is_id(trace_id, 32) && is_id(parent_id, 16);
    (is_valid && is_hex(flags, 2) && ends_well).then_some(trace_id)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent_of_another_form_is_ignored() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        let check = |text: String, expected: bool| {
            assert_eq!(trace_id(text.as_bytes()), expected.then_some(TRACE), "{text:?}");
        };
        check(format!("00-{TRACE}-00f067aa0ba902b7-01"), true);
        check(format!("00-{TRACE}-00f067aa0ba902b7-ff"), true);
        check(format!("cc-{TRACE}-00f067aa0ba902b7-01"), true);
        check(format!("cc-{TRACE}-00f067aa0ba902b7-01-what.the.future"), true);
        check(format!("cc-{TRACE}-00f067aa0ba902b7-01.what"), false);
        check(format!("00-{TRACE}-00f067aa0ba902b7-01-more"), false);
        check(format!("ff-{TRACE}-00f067aa0ba902b7-01"), false);
        check(format!("00-{TRACE}-0000000000000000-01"), false);
        check(format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false);
        check(format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()), false);
        check(format!("00-{TRACE}-00F067AA0BA902B7-01"), false);
        check(format!("00-{TRACE}-00f067aa0ba902b7-1"), false);
        check(format!("00-{TRACE}-00f067aa0ba902b7-0g"), false);
        check(format!("0-0{TRACE}-00f067aa0ba902b7-01"), false);
        check(format!(" 0-{TRACE}-00f067aa0ba902b7-01"), false);
        check(format!("00-{TRACE}-00f067aa0ba902b7-é"), false);
        check(String::new(), false);
    }

    #[test]
    fn request_id_is_accepted_if_it_is_visible_and_short() {
        let is_accepted = |id: &str| is_request_id(id.as_bytes());
        let is_refused = |id: &str| !is_accepted(id);
        assert!(is_accepted("a") && is_accepted("0b9f-42/x=\"~!") && is_accepted(&"a".repeat(128)));
        assert!(["", "a b", "a\tb", "é"].into_iter().all(is_refused) && is_refused(&"a".repeat(129)));
    }

    #[test]
    fn absent_or_repeated_request_id_is_generated() {
        let mut headers = HeaderMap::new();
        let [one, other] = [RequestTrace::of(&headers), RequestTrace::of(&headers)];
        assert_eq!((one.request_id.len(), one.trace_id.len(), one.span_id.len()), (32, 32, 16));
        assert!(one.request_id != other.request_id && one.trace_id != other.trace_id && one.span_id != other.span_id);
        headers.append(REQUEST_ID, HeaderValue::from_static("mine"));
        assert_eq!(RequestTrace::of(&headers).request_id, "mine");
        headers.append(REQUEST_ID, HeaderValue::from_static("mine"));
        assert_eq!(RequestTrace::of(&headers).request_id.len(), 32);
    }
}
