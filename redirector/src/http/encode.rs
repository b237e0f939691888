//! The encoder of answers: heads, the JSON error envelope, the date.
//!
//! It only appends to a buffer, and allocates only when the buffer grows. No byte of a request gets into a head.

use std::sync::Arc;

use ::http::StatusCode;

use super::Location;
use super::answer::{Answer, Content};
use super::date::Date;
use super::document::{MediaType, put_escaped};
use super::signal::Signal;

/// A function that passes a body on in parts.
type WriteBody<'a> = dyn Fn(&mut dyn FnMut(&[u8])) + 'a;

/// Properties of the request and the connection that determine the framing of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    /// Whether the answer has no body, because the request is a HEAD.
    pub(super) head_only: bool,
    /// Whether the connection ends with this answer.
    pub(super) close: bool,
}

/// The reply to one request. Dropped without an answer, it answers 500.
///
/// Without that, the client would take the next answer on the connection for the answer to this request.
#[derive(Debug)]
pub struct Reply<'a> {
    output: &'a mut Vec<u8>,
    date: &'a mut Date,
    now_micros: u64,
    framing: Framing,
    answered: bool,
    /// The place for the wait of a postponed answer. `None` refuses to wait.
    wait: Option<&'a mut Option<Arc<Signal>>>,
}

impl<'a> Reply<'a> {
    pub(super) fn new(output: &'a mut Vec<u8>, date: &'a mut Date, now_micros: u64, framing: Framing) -> Self {
        Self { output, date, now_micros, framing, answered: false, wait: None }
    }

    /// Returns a reply that can be postponed.
    pub(super) fn with_wait(mut self, wait: &'a mut Option<Arc<Signal>>) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Postpones the answer until the signal has a verdict, or for [`super::LONGEST_WAIT`]. Then the service is called
    /// again with the same request.
    pub fn postpone(mut self, signal: Arc<Signal>) {
        if let Some(wait) = self.wait.take() {
            *wait = Some(signal);
            self.answered = true;
        }
    }

    /// Writes the answer. A location with other bytes than visible ASCII could change the head, so it becomes a 500.
    pub fn answer(mut self, answer: &Answer<'_>) {
        self.answered = match answer.content {
            Content::Redirect(location, cache_control) => self.append_redirect(answer, &location, cache_control),
            Content::Message(message) => self.append_error(answer, &message),
            Content::Document(document) => self.append_body(answer, document.media_type, &|put| document.write(put)),
        };
    }

    /// Appends a redirect if its location is visible ASCII. Returns whether it was appended.
    fn append_redirect(&mut self, answer: &Answer<'_>, location: &Location<'_>, cache_control: Option<&str>) -> bool {
        let answer_start = self.output.len();
        self.output.reserve(location.max_len() + answer.further_fields.len() + 224);
        if answer.status == StatusCode::FOUND {
            self.put(b"HTTP/1.1 302 Found\r\nLocation: ");
        } else {
            self.put_status(answer.status);
            self.put(b"Location: ");
        }
        let start = self.output.len();
        location.write(|bytes| self.output.extend_from_slice(bytes));
        if !self.output[start..].iter().fold(true, |visible, byte| visible & byte.is_ascii_graphic()) {
            self.output.truncate(answer_start);
            return false;
        }
        if cache_control == Some("no-store") {
            self.put(b"\r\nCache-Control: no-store\r\nContent-Length: 0\r\n");
        } else {
            self.put(b"\r\n");
            cache_control.into_iter().for_each(|value| self.put_field(b"Cache-Control: ", value));
            self.put(b"Content-Length: 0\r\n");
        }
        self.put(answer.further_fields.as_bytes());
        self.end_head();
        true
    }

    /// Appends an error. Returns true, because any message can be encoded.
    fn append_error(&mut self, answer: &Answer<'_>, message: &[&[u8]]) -> bool {
        self.append_body(answer, MediaType::Json, &|put| envelope(answer.status, message, put))
    }

    /// Appends an answer with a body. `write` passes the body on in parts: once to measure it, once to append it.
    ///
    /// Returns true, because any body can be encoded.
    fn append_body(&mut self, answer: &Answer<'_>, media_type: MediaType, write: &WriteBody<'_>) -> bool {
        let mut length = 0;
        write(&mut |bytes| length += bytes.len());
        self.output.reserve(length + answer.further_fields.len() + 256);
        self.put_status(answer.status);
        self.put_field(b"Content-Type: ", media_type.name());
        self.put(b"Content-Length: ");
        self.put_number(length as u64);
        self.put(b"\r\n");
        self.put_fields(answer);
        self.end_head();
        if !self.framing.head_only {
            write(&mut |bytes| self.output.extend_from_slice(bytes));
        }
        true
    }

    fn put_status(&mut self, status: StatusCode) {
        self.put(b"HTTP/1.1 ");
        self.put(status.as_str().as_bytes());
        self.put(b" ");
        self.put(reason(status));
        self.put(b"\r\n");
    }

    /// Appends the optional header fields.
    fn put_fields(&mut self, answer: &Answer<'_>) {
        if let Some(methods) = answer.allow() {
            self.put_field(b"Allow: ", methods);
        }
        if let Some(value) = answer.cache_control() {
            self.put_field(b"Cache-Control: ", value);
        }
        if let Some(seconds) = answer.retry_after_seconds {
            self.put(b"Retry-After: ");
            self.put_number(u64::from(seconds));
            self.put(b"\r\n");
        }
        self.put(answer.further_fields.as_bytes());
    }

    fn put_field(&mut self, name: &[u8], value: &str) {
        self.put(name);
        self.put(value.as_bytes());
        self.put(b"\r\n");
    }

    fn end_head(&mut self) {
        let date = self.date.line(self.now_micros);
        self.output.extend_from_slice(date);
        self.put(if self.framing.close { b"Connection: close\r\n\r\n" } else { b"\r\n" });
    }

    fn put(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    fn put_number(&mut self, number: u64) {
        self.put(itoa::Buffer::new().format(number).as_bytes());
    }
}

impl Drop for Reply<'_> {
    fn drop(&mut self) {
        // After a panic, the connection ends without an answer, since the output may be incomplete.
        if !self.answered && !std::thread::panicking() {
            const MESSAGE: &str = "The request was not answered";
            self.append_error(&Answer::error(StatusCode::INTERNAL_SERVER_ERROR, MESSAGE), &[MESSAGE.as_bytes()]);
        }
    }
}

/// Returns the reason phrase, which is also the `error` of the envelope.
fn reason(status: StatusCode) -> &'static [u8] {
    status.canonical_reason().unwrap_or_default().as_bytes()
}

/// Writes `{"error":"...","message":"..."}` in pieces, so that the same code can measure it and write it.
fn envelope(status: StatusCode, message: &[&[u8]], put: &mut dyn FnMut(&[u8])) {
    put(b"{\"error\":\"");
    put(reason(status));
    put(b"\",\"message\":\"");
    for piece in message {
        put_escaped(MediaType::Json, piece, put);
    }
    put(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::super::MergedUrl;
    use super::super::document::Document;
    use super::*;

    const OPEN: Framing = Framing { head_only: false, close: false };
    const HEAD: Framing = Framing { head_only: true, close: false };
    const CLOSE: Framing = Framing { head_only: false, close: true };
    /// The example of RFC 9110.
    const MOMENT: u64 = 784_111_777_000_000;
    const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

    fn check(framing: Framing, answer: impl FnOnce(Reply<'_>), expected: &str) {
        let (mut output, mut date) = (b"before".to_vec(), Date::default());
        answer(Reply::new(&mut output, &mut date, MOMENT, framing));
        let expected = format!("before{}", expected.replace('|', "\r\n").replace("DATE\r\n", DATE));
        assert_eq!(String::from_utf8_lossy(&output), expected);
    }

    #[test]
    fn redirect_has_the_same_head_for_get_and_head() {
        let found =
            "HTTP/1.1 302 Found|Location: https://a.example/?q=%20#x|Cache-Control: no-store|Content-Length: 0|DATE|";
        let answer = Answer::redirect(b"https://a.example/?q=%20#x");
        check(OPEN, |reply| reply.answer(&answer), &format!("{found}|"));
        check(HEAD, |reply| reply.answer(&answer), &format!("{found}|"));
        check(CLOSE, |reply| reply.answer(&answer), &format!("{found}Connection: close||"));
    }

    #[test]
    fn redirect_of_another_status_has_its_cache_control() {
        let redirect = |status, cache_control| {
            let content = Content::Redirect(Location::Url(b"https://a.example/"), cache_control);
            Answer::new(status, content)
        };
        for (status, line, cache_control) in [
            (StatusCode::MOVED_PERMANENTLY, "301 Moved Permanently", None),
            (StatusCode::FOUND, "302 Found", Some("private")),
            (StatusCode::TEMPORARY_REDIRECT, "307 Temporary Redirect", Some("no-store")),
            (StatusCode::PERMANENT_REDIRECT, "308 Permanent Redirect", Some("private, max-age=30")),
        ] {
            let cache = cache_control.map_or(String::new(), |value| format!("Cache-Control: {value}|"));
            let expected = format!("HTTP/1.1 {line}|Location: https://a.example/|{cache}Content-Length: 0|DATE||");
            check(OPEN, |reply| reply.answer(&redirect(status, cache_control)), &expected);
        }
    }

    #[test]
    fn merged_location_is_written_in_pieces() {
        let merged = MergedUrl::new(b"https://a.example/?a=1#f", b"x=1").unwrap();
        let content = Content::Redirect(Location::Merged(merged), Some("no-store"));
        let answer = Answer::new(StatusCode::FOUND, content);
        let expected = "HTTP/1.1 302 Found|Location: https://a.example/?a=1&x=1#f|Cache-Control: no-store|\
             Content-Length: 0|DATE||";
        check(OPEN, |reply| reply.answer(&answer), expected);
    }

    #[test]
    fn error_has_the_fields_of_its_status_and_a_json_body() {
        let error = |status| Answer::error_in_pieces(status, [b"m '", b"x", b"'"]);
        let (gone, busy) = (error(StatusCode::GONE), error(StatusCode::TOO_MANY_REQUESTS).retry_after(1));
        let not_allowed = error(StatusCode::METHOD_NOT_ALLOWED);
        let json = "Content-Type: application/json|Content-Length";
        for (framing, answer, head, body) in [
            (
                OPEN,
                gone,
                "410 Gone|JSON: 34|Cache-Control: no-store|DATE||",
                "{\"error\":\"Gone\",\"message\":\"m 'x'\"}",
            ),
            (HEAD, gone, "410 Gone|JSON: 34|Cache-Control: no-store|DATE||", ""),
            (
                OPEN,
                not_allowed,
                "405 Method Not Allowed|JSON: 48|Allow: GET, HEAD|Cache-Control: no-store|DATE||",
                "{\"error\":\"Method Not Allowed\",\"message\":\"m 'x'\"}",
            ),
            (
                OPEN,
                busy,
                "429 Too Many Requests|JSON: 47|Retry-After: 1|DATE||",
                "{\"error\":\"Too Many Requests\",\"message\":\"m 'x'\"}",
            ),
            (
                CLOSE,
                error(StatusCode::BAD_REQUEST),
                "400 Bad Request|JSON: 41|DATE|Connection: close||",
                "{\"error\":\"Bad Request\",\"message\":\"m 'x'\"}",
            ),
        ] {
            let expected = format!("HTTP/1.1 {}{body}", head.replace("JSON", json));
            check(framing, |reply| reply.answer(&answer), &expected);
        }
        check(
            HEAD,
            |reply| reply.answer(&Answer::error(StatusCode::SERVICE_UNAVAILABLE, "").retry_after(30)),
            "HTTP/1.1 503 Service Unavailable|Content-Type: application/json|Content-Length: 44|Retry-After: 30|DATE||",
        );
    }

    #[test]
    fn further_fields_are_lines_of_every_head() {
        let further_fields = "X-Robots-Tag: noindex|".replace('|', "\r\n");
        let with = |answer| Answer { further_fields: &further_fields, ..answer };
        let document = Document {
            media_type: MediaType::Html,
            fixed: &["<p>", "</p>", "", ""],
            pieces: [b"<a>", b"", b""],
            filled: None,
        };
        let head = "HTTP/1.1 200 OK|Content-Type: text/html; charset=utf-8|Content-Length: 16|Cache-Control: no-store|\
             X-Robots-Tag: noindex|DATE||";
        let answer = with(Answer::new(StatusCode::OK, Content::Document(document)));
        check(OPEN, |reply| reply.answer(&answer), &format!("{head}<p>&lt;a&gt;</p>"));
        check(HEAD, |reply| reply.answer(&answer), head);
        let redirect = with(Answer::redirect(b"https://a.example/"));
        let head = "HTTP/1.1 302 Found|Location: https://a.example/|Cache-Control: no-store|Content-Length: 0|\
             X-Robots-Tag: noindex|DATE||";
        check(OPEN, |reply| reply.answer(&redirect), head);
    }

    #[test]
    fn missing_answer_and_invalid_location_become_500() {
        let expected = "HTTP/1.1 500 Internal Server Error|Content-Type: application/json|Content-Length: 74|DATE||\
             {\"error\":\"Internal Server Error\",\"message\":\"The request was not answered\"}";
        check(OPEN, |reply| drop(reply), expected);
        for location in
            [&b"https://a.example/\r\nX: y"[..], b"https://a.example/ ", b"https://\xc3\xa4.example/", b"\0"]
        {
            check(OPEN, |reply| reply.answer(&Answer::redirect(location)), expected);
        }
    }

    #[test]
    fn message_of_any_bytes_is_valid_json() {
        for (message, expected) in [
            (&b"plain"[..], "plain"),
            (b"\"\\/", "\\\"\\\\/"),
            (b"\r\n\t\0\x1f\x7f", "\\u000d\\u000a\\u0009\\u0000\\u001f\\u007f"),
            ("caf\u{e9} \u{1f426}".as_bytes(), "caf\u{e9} \u{1f426}"),
            (b"a\xff\xfeb\xc3", "a\u{fffd}\u{fffd}b\u{fffd}"),
            (b"", ""),
        ] {
            let mut written = Vec::new();
            envelope(StatusCode::GONE, &[message], &mut |bytes| written.extend_from_slice(bytes));
            let expected = format!("{{\"error\":\"Gone\",\"message\":\"{expected}\"}}");
            assert_eq!(String::from_utf8_lossy(&written), expected);
        }
    }
}
