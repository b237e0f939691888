//! The parser: finds the end of a request head and checks it.
//!
//! Pure: it reads a slice and borrows from it, without a socket, a clock or a link. It refuses every head that two
//! servers could understand differently: bare LF, repeated lengths, unknown codings.

use std::mem::MaybeUninit;
use std::net::IpAddr;

use ::http::StatusCode;
use httparse::Header;

use super::refusal::{Refusal, bad, refuse};
use super::signal::Signal;

/// Heads with more fields than this are refused with 431.
const MAX_HEADERS: usize = 128;

/// Heads with up to this many fields are parsed on the stack, with 32 bytes for each field.
///
/// The fields of a browser behind two proxies fit. For more, the array is on the heap, which keeps stacks small.
const STACK_HEADERS: usize = 40;

/// Finds the end of a head. It scans each byte once, in however many reads the head arrives.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Start of the request line, after the empty lines that RFC 9112 allows before it.
    begin: usize,
    /// Start of the current line.
    line: usize,
    /// Number of scanned bytes.
    seen: usize,
}

/// Result of a scan.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// The head has not ended yet.
    Partial,
    /// The head is `bytes[begin..end]`.
    Head { begin: usize, end: usize },
    /// The head is refused, whatever follows.
    Refused(Refusal),
}

impl Scanner {
    /// Returns the number of scanned bytes. Later bytes did not affect the result.
    pub(super) fn seen(&self) -> usize {
        self.seen
    }

    /// Scans the new bytes of `bytes`, which only grows between the calls for one head.
    ///
    /// `limit` bounds the head, including empty lines before it.
    pub(super) fn advance(&mut self, bytes: &[u8], limit: usize) -> Scan {
        while let Some(offset) = bytes.get(self.seen..).and_then(|new| memchr::memchr(b'\n', new)) {
            let lf = self.seen + offset;
            self.seen = lf + 1;
            if lf == self.line || bytes[lf - 1] != b'\r' {
                return Scan::Refused(bad("A line of the request head does not end in CR LF"));
            }
            let (empty, first) = (lf - self.line == 1, self.line == self.begin);
            self.line = lf + 1;
            if empty && first {
                self.begin = lf + 1;
            } else if empty {
                return Scan::Head { begin: self.begin, end: lf + 1 };
            }
        }
        self.seen = bytes.len();
        if bytes.len() < limit {
            Scan::Partial
        } else if self.line == self.begin {
            Scan::Refused(refuse(StatusCode::URI_TOO_LONG, "The request line is too long"))
        } else {
            Scan::Refused(refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request head is too large"))
        }
    }
}

/// The methods that reach the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The answer has the target.
    Get,
    /// The answer has no body, and no click is recorded.
    Head,
    /// Another known method, such as `POST`. It is refused with 405 if the path has a link.
    Other,
}

/// A request that the service may answer. Borrows from the connection's read buffer.
#[derive(Debug)]
pub struct Request<'a> {
    /// The method. The loop itself refuses unknown methods, `CONNECT` and `OPTIONS *`.
    pub method: Method,
    /// The path as received, with its percent-encoding and without the query. Visible ASCII that starts with `/`.
    pub path: &'a [u8],
    /// The query as received, without its `?`; empty if there is none. Visible ASCII.
    pub query: &'a [u8],
    pub(super) headers: &'a [Header<'a>],
    /// Whether the request is of HTTP/1.0, which old clients and many proxies send.
    pub is_http_1_0: bool,
    /// The address of the peer. An IPv4 address never has its IPv6-mapped form.
    pub peer: IpAddr,
    /// Time at which the head was complete, in microseconds since the Unix epoch. The answer has it as its `Date`.
    pub received_at_micros: u64,
    /// Number of the worker that serves the connection, from 0.
    pub worker: usize,
    /// The ended wait of this request, if its answer was postponed by [`super::Reply::postpone`].
    pub wait: Option<&'a Signal>,
}

impl<'a> Request<'a> {
    /// Returns the values of a field in the order received, one for each of its lines. The case of `name` does not
    /// matter.
    pub fn headers<'n>(&self, name: &'n str) -> impl DoubleEndedIterator<Item = &'a [u8]> + use<'a, 'n> {
        let headers = self.headers;
        headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// Visits the name and the value of each header field.
    pub fn for_each_header(&self, mut visit: impl FnMut(&[u8], &'a [u8])) {
        self.headers.iter().for_each(|header| visit(header.name.as_bytes(), header.value));
    }
}

/// A parsed request head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) verb: Verb,
    pub(super) path: &'a [u8],
    pub(super) query: &'a [u8],
    /// Whether the client asked to close the connection, or uses HTTP/1.0.
    pub(super) close: bool,
    /// Whether a body follows. It must not be read as a request, so the connection ends with the answer.
    pub(super) body: bool,
    pub(super) is_http_1_0: bool,
}

/// Classes of methods that the loop distinguishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Served(Method),
    /// `OPTIONS *`, which has no path: 405.
    NotAllowed,
    /// `CONNECT`, after which bytes of a tunnel would follow: 405, then close.
    Connect,
}

/// Parses one whole head that the scanner found, and calls `answer` with it and its fields.
///
/// The fields are in an array on the stack of this function, so the caller gets them in a closure.
pub(super) fn with_head<T>(head: &[u8], answer: impl FnOnce(Result<Head<'_>, Refusal>, &[Header<'_>]) -> T) -> T {
    let mut few = [const { MaybeUninit::uninit() }; STACK_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut few) {
        Err(httparse::Error::TooManyHeaders) => with_many_headers(head, answer),
        parsed => answer(understand(head, &request, parsed), request.headers),
    }
}

#[cold]
fn with_many_headers<T>(head: &[u8], answer: impl FnOnce(Result<Head<'_>, Refusal>, &[Header<'_>]) -> T) -> T {
    let mut many = vec![httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut many);
    let parsed = request.parse(head);
    answer(understand(head, &request, parsed), request.headers)
}

fn understand<'a>(
    head: &[u8],
    request: &httparse::Request<'_, 'a>,
    parsed: httparse::Result<usize>,
) -> Result<Head<'a>, Refusal> {
    match parsed {
        // The scanner found the end of the head. A parser that stops elsewhere has read another message.
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(bad("The request head is malformed")),
        Err(error) => return Err(syntax_refusal(head, error)),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(bad("The request head is malformed"));
    };
    let framing = Framing::of(request.headers, version)?;
    let verb = verb(method)?;
    let (path, query) = path_and_query(verb, target.as_bytes(), method)?;
    let verb = if path == b"*" && verb != Verb::Connect { Verb::NotAllowed } else { verb };
    Ok(Head { verb, path, query, close: framing.close, body: framing.body, is_http_1_0: version == 0 })
}

fn syntax_refusal(head: &[u8], error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => {
            refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request has too many header fields")
        }
        httparse::Error::Version if asks_for_a_version(head) => {
            refuse(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "Only HTTP/1.1 and HTTP/1.0 are served")
        }
        httparse::Error::HeaderName | httparse::Error::HeaderValue => bad("A header field is malformed"),
        _ => bad("The request line is malformed"),
    }
}

/// Returns whether the request line ends in a well-formed version that is not served.
fn asks_for_a_version(head: &[u8]) -> bool {
    let line = memchr::memchr(b'\r', head).map_or(head, |end| &head[..end]);
    match line.rsplit(|&byte| byte == b' ').next() {
        Some(b"HTTP/1.1" | b"HTTP/1.0") => false,
        Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]) => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    }
}

fn verb(method: &str) -> Result<Verb, Refusal> {
    match method {
        "GET" => Ok(Verb::Served(Method::Get)),
        "HEAD" => Ok(Verb::Served(Method::Head)),
        "CONNECT" => Ok(Verb::Connect),
        "POST" | "PUT" | "DELETE" | "OPTIONS" | "TRACE" | "PATCH" => Ok(Verb::Served(Method::Other)),
        _ => Err(refuse(StatusCode::NOT_IMPLEMENTED, "The method is not known")),
    }
}

/// Extracts the path and the query of a target, in absolute form without scheme and authority.
fn path_and_query<'a>(verb: Verb, target: &'a [u8], method: &str) -> Result<(&'a [u8], &'a [u8]), Refusal> {
    const MALFORMED: Refusal = bad("The request target is malformed");
    if verb == Verb::Connect || (target == b"*" && method == "OPTIONS") {
        return Ok((b"*", b""));
    }
    if !target.is_ascii() {
        return Err(MALFORMED);
    }
    let rest = if target.starts_with(b"/") {
        target
    } else {
        let rest = strip_scheme(target).ok_or(MALFORMED)?;
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        if end == 0 || !is_host(&rest[..end]) {
            return Err(MALFORMED);
        }
        &rest[end..]
    };
    let (path, query) = match memchr::memchr(b'?', rest) {
        Some(mark) => (&rest[..mark], &rest[mark + 1..]),
        None => (rest, &b""[..]),
    };
    // Clients send no fragment. One that comes nevertheless is no part of the query.
    let query = &query[..memchr::memchr(b'#', query).unwrap_or(query.len())];
    match path {
        [b'/', ..] => Ok((path, query)),
        [] => Ok((b"/", query)),
        _ => Err(MALFORMED),
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// Framing of the message (RFC 9112, section 6), and whether the connection ends after it.
struct Framing {
    close: bool,
    body: bool,
}

impl Framing {
    fn of(headers: &[Header<'_>], version: u8) -> Result<Self, Refusal> {
        let http_1_0 = version == 0;
        let (mut host, mut length, mut chunked, mut close) = (false, None, false, http_1_0);
        let mut unknown_coding = false;
        for header in headers {
            // The names differ in length, so most fields cost one comparison of numbers.
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                4 if is("host") => {
                    if host || !is_host(header.value) {
                        return Err(bad("There must be exactly one valid Host field"));
                    }
                    host = true;
                }
                10 if is("connection") => close |= lists(header.value, b"close"),
                14 if is("content-length") => {
                    if length.is_some() {
                        return Err(bad("There is more than one Content-Length"));
                    }
                    length = Some(decimal(header.value).ok_or(bad("The Content-Length is malformed"))?);
                }
                17 if is("transfer-encoding") => {
                    unknown_coding |= chunked || !header.value.eq_ignore_ascii_case(b"chunked");
                    chunked = true;
                }
                _ => {}
            }
        }
        if !host && !http_1_0 {
            return Err(bad("There must be exactly one valid Host field"));
        }
        if chunked && (http_1_0 || length.is_some()) {
            return Err(bad("Transfer-Encoding does not go with Content-Length or HTTP/1.0"));
        }
        if unknown_coding {
            return Err(refuse(StatusCode::NOT_IMPLEMENTED, "The transfer coding is not known"));
        }
        Ok(Self { close, body: chunked || length.is_some_and(|length| length > 0) })
    }
}

/// Returns whether a comma-separated list contains the token.
fn lists(value: &[u8], token: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// Parses `1*DIGIT`. A sign, white space, a list and a number above `u64::MAX` are refused.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Returns whether a value is `uri-host [ ":" port ]` (RFC 3986). RFC 9112 allows it to be empty.
///
/// A comma is refused, although RFC 3986 allows it: some proxies join two Host fields with it.
fn is_host(value: &[u8]) -> bool {
    let (is_name, port) = if let [b'[', literal @ ..] = value {
        let Some(end) = memchr::memchr(b']', literal) else { return false };
        let address = literal[..end].iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
        (address && end > 1, &literal[end + 1..])
    } else {
        let end = memchr::memchr(b':', value).unwrap_or(value.len());
        (is_name(&value[..end]), &value[end..])
    };
    is_name
        && match port {
            [] | [b':'] => true,
            [b':', digits @ ..] => decimal(digits).is_some_and(|port| port <= u64::from(u16::MAX)),
            _ => false,
        }
}

fn is_name(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
        let good = match byte {
            b'%' => hex(bytes.next()) && hex(bytes.next()),
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(byte),
        };
        if !good {
            return false;
        }
    }
    true
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
