//! Answer to bytes: heads, the JSON error envelope, the date.
//!
//! Pure but for the buffer it appends to. It must not put a byte of the request into a head, and it allocates only
//! when the buffer has to grow.

use super::date::Date;

/// The statuses of error answers: those of the loop itself and those a service gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// 400
    BadRequest,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 408
    RequestTimeout,
    /// 410
    Gone,
    /// 414
    UriTooLong,
    /// 429
    TooManyRequests,
    /// 431
    HeadTooLarge,
    /// 500
    InternalServerError,
    /// 501
    NotImplemented,
    /// 503
    ServiceUnavailable,
    /// 505
    VersionNotSupported,
}

impl Status {
    /// Every status, in the order of their codes.
    pub const ALL: [Self; 12] = [
        Self::BadRequest,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::Gone,
        Self::UriTooLong,
        Self::TooManyRequests,
        Self::HeadTooLarge,
        Self::InternalServerError,
        Self::NotImplemented,
        Self::ServiceUnavailable,
        Self::VersionNotSupported,
    ];

    /// The three digits.
    pub const fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::Gone => 410,
            Self::UriTooLong => 414,
            Self::TooManyRequests => 429,
            Self::HeadTooLarge => 431,
            Self::InternalServerError => 500,
            Self::NotImplemented => 501,
            Self::ServiceUnavailable => 503,
            Self::VersionNotSupported => 505,
        }
    }

    /// The reason phrase, which is also the `error` of the envelope.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::RequestTimeout => "Request Timeout",
            Self::Gone => "Gone",
            Self::UriTooLong => "URI Too Long",
            Self::TooManyRequests => "Too Many Requests",
            Self::HeadTooLarge => "Request Header Fields Too Large",
            Self::InternalServerError => "Internal Server Error",
            Self::NotImplemented => "Not Implemented",
            Self::ServiceUnavailable => "Service Unavailable",
            Self::VersionNotSupported => "HTTP Version Not Supported",
        }
    }

    /// The lines of the head that belong to the status.
    const fn fields(self) -> &'static str {
        match self {
            // Every click is counted and every edit is seen.
            Self::NotFound | Self::Gone => "Cache-Control: no-store\r\n",
            Self::MethodNotAllowed => "Allow: GET, HEAD\r\nCache-Control: no-store\r\n",
            // A cache may store these unless it is told otherwise (RFC 9110, 15.1).
            Self::UriTooLong | Self::NotImplemented => "Cache-Control: no-store\r\n",
            _ => "",
        }
    }
}

/// What an answer needs to know of the connection and of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    /// The request was a HEAD: the same head, no body.
    pub(super) head_only: bool,
    /// The connection ends with this answer.
    pub(super) close: bool,
}

/// Seconds in `Retry-After` where the caller does not say: the map loads, and a budget refills, within one.
const RETRY_AFTER_SECS: u32 = 1;

/// One answer, to be given once. Dropped without an answer, it answers 500: the next answer on the connection must
/// never be taken for this one's.
#[derive(Debug)]
pub struct Reply<'a> {
    output: &'a mut Vec<u8>,
    date: &'a mut Date,
    now_micros: u64,
    framing: Framing,
    answered: bool,
}

impl<'a> Reply<'a> {
    pub(super) fn new(output: &'a mut Vec<u8>, date: &'a mut Date, now_micros: u64, framing: Framing) -> Self {
        Self { output, date, now_micros, framing, answered: false }
    }

    /// 302 to `location`, which is visible ASCII; anything else would be another head, and is answered with 500.
    pub fn found(mut self, location: &[u8]) {
        if location.iter().fold(true, |visible, byte| visible & byte.is_ascii_graphic()) {
            self.answered = true;
            self.output.reserve(location.len() + 192);
            self.put(b"HTTP/1.1 302 Found\r\nLocation: ");
            self.put(location);
            self.put(b"\r\nCache-Control: no-store\r\nContent-Length: 0\r\n");
            self.end_head();
        }
    }

    /// An error with the JSON envelope. The pieces of the message are joined; they may hold any bytes.
    /// 429 and 503 ask the client to come back in a second.
    pub fn error(self, status: Status, message: &[&[u8]]) {
        let retry = matches!(status, Status::TooManyRequests | Status::ServiceUnavailable);
        self.write_error(status, retry.then_some(RETRY_AFTER_SECS), message);
    }

    /// The same with `Retry-After` in seconds.
    pub fn error_retry_after(self, status: Status, seconds: u32, message: &[&[u8]]) {
        self.write_error(status, Some(seconds), message);
    }

    fn write_error(mut self, status: Status, retry_after: Option<u32>, message: &[&[u8]]) {
        self.answered = true;
        self.append_error(status, retry_after, message);
    }

    fn append_error(&mut self, status: Status, retry_after: Option<u32>, message: &[&[u8]]) {
        let mut length = 0;
        envelope(status, message, &mut |bytes| length += bytes.len());
        self.output.reserve(length + 256);

        self.put(b"HTTP/1.1 ");
        self.put_number(u64::from(status.code()));
        self.put(b" ");
        self.put(status.reason().as_bytes());
        self.put(b"\r\nContent-Type: application/json\r\nContent-Length: ");
        self.put_number(length as u64);
        self.put(b"\r\n");
        self.put(status.fields().as_bytes());
        if let Some(seconds) = retry_after {
            self.put(b"Retry-After: ");
            self.put_number(u64::from(seconds));
            self.put(b"\r\n");
        }
        self.end_head();
        if !self.framing.head_only {
            envelope(status, message, &mut |bytes| self.output.extend_from_slice(bytes));
        }
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
        // While a panic unwinds, the connection ends without an answer: nothing must be half-written.
        if !self.answered && !std::thread::panicking() {
            self.append_error(Status::InternalServerError, None, &[b"The request was not answered"]);
        }
    }
}

/// `{"error":"...","message":"..."}` in pieces, so that it can be measured and written by the same code.
fn envelope(status: Status, message: &[&[u8]], put: &mut impl FnMut(&[u8])) {
    put(b"{\"error\":\"");
    put(status.reason().as_bytes());
    put(b"\",\"message\":\"");
    for piece in message {
        for chunk in piece.utf8_chunks() {
            escape(chunk.valid().as_bytes(), put);
            if !chunk.invalid().is_empty() {
                put("\u{fffd}".as_bytes());
            }
        }
    }
    put(b"\"}");
}

/// JSON's own escapes for what JSON does not allow in a string, in runs.
fn escape(text: &[u8], put: &mut impl FnMut(&[u8])) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f | 0x7f)) {
        let byte = rest[at];
        put(&rest[..at]);
        match byte {
            b'"' | b'\\' => put(&[b'\\', byte]),
            _ => put(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
        rest = &rest[at + 1..];
    }
    put(rest);
}

#[cfg(test)]
mod tests {
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
    fn redirects() {
        let found =
            "HTTP/1.1 302 Found|Location: https://a.example/?q=%20#x|Cache-Control: no-store|Content-Length: 0|DATE|";
        let location = b"https://a.example/?q=%20#x";
        check(OPEN, |reply| reply.found(location), &format!("{found}|"));
        check(HEAD, |reply| reply.found(location), &format!("{found}|"));
        check(CLOSE, |reply| reply.found(location), &format!("{found}Connection: close||"));
    }

    #[test]
    fn errors() {
        use Status::*;
        let json = "Content-Type: application/json|Content-Length";
        for (framing, status, fields, expected) in [
            (
                OPEN,
                NotFound,
                "404 Not Found",
                format!("{json}: 39|Cache-Control: no-store|DATE||{{\"error\":\"Not Found\",\"message\":\"m 'x'\"}}"),
            ),
            (
                OPEN,
                Gone,
                "410 Gone",
                format!("{json}: 34|Cache-Control: no-store|DATE||{{\"error\":\"Gone\",\"message\":\"m 'x'\"}}"),
            ),
            (HEAD, Gone, "410 Gone", format!("{json}: 34|Cache-Control: no-store|DATE||")),
            (
                OPEN,
                MethodNotAllowed,
                "405 Method Not Allowed",
                format!(
                    "{json}: 48|Allow: GET, HEAD|Cache-Control: no-store|DATE||{{\"error\":\"Method Not Allowed\",\"message\":\"m 'x'\"}}"
                ),
            ),
            (
                OPEN,
                TooManyRequests,
                "429 Too Many Requests",
                format!("{json}: 47|Retry-After: 1|DATE||{{\"error\":\"Too Many Requests\",\"message\":\"m 'x'\"}}"),
            ),
            (
                CLOSE,
                BadRequest,
                "400 Bad Request",
                format!("{json}: 41|DATE|Connection: close||{{\"error\":\"Bad Request\",\"message\":\"m 'x'\"}}"),
            ),
        ] {
            check(
                framing,
                |reply| reply.error(status, &[b"m '", b"x", b"'"]),
                &format!("HTTP/1.1 {fields}|{expected}"),
            );
        }
        check(
            HEAD,
            |reply| reply.error_retry_after(ServiceUnavailable, 30, &[b""]),
            "HTTP/1.1 503 Service Unavailable|Content-Type: application/json|Content-Length: 44|Retry-After: 30|DATE||",
        );
    }

    #[test]
    fn no_answer_and_no_location_are_500() {
        let expected = "HTTP/1.1 500 Internal Server Error|Content-Type: application/json|Content-Length: 74|DATE||\
             {\"error\":\"Internal Server Error\",\"message\":\"The request was not answered\"}";
        check(OPEN, |reply| drop(reply), expected);
        for location in
            [&b"https://a.example/\r\nX: y"[..], b"https://a.example/ ", b"https://\xc3\xa4.example/", b"\0"]
        {
            check(OPEN, |reply| reply.found(location), expected);
        }
    }

    #[test]
    fn messages_are_json() {
        for (message, expected) in [
            (&b"plain"[..], "plain"),
            (b"\"\\/", "\\\"\\\\/"),
            (b"\r\n\t\0\x1f\x7f", "\\u000d\\u000a\\u0009\\u0000\\u001f\\u007f"),
            ("caf\u{e9} \u{1f426}".as_bytes(), "caf\u{e9} \u{1f426}"),
            (b"a\xff\xfeb\xc3", "a\u{fffd}\u{fffd}b\u{fffd}"),
            (b"", ""),
        ] {
            let mut written = Vec::new();
            envelope(Status::Gone, &[message], &mut |bytes| written.extend_from_slice(bytes));
            let expected = format!("{{\"error\":\"Gone\",\"message\":\"{expected}\"}}");
            assert_eq!(String::from_utf8_lossy(&written), expected);
        }
    }

    #[test]
    fn statuses_are_in_order() {
        assert!(Status::ALL.is_sorted_by_key(|status| status.code()));
        assert!(Status::ALL.iter().enumerate().all(|(index, status)| *status as usize == index));
    }
}
