//! Bytes to request: where a head ends, and what it says.
//!
//! Pure: it reads a slice and borrows from it. It must not touch a socket, a clock or a link, and it never
//! guesses: wherever leniency has let two servers see different requests (bare LF, doubled lengths, unknown
//! codings), it refuses.

use std::mem::MaybeUninit;
use std::net::IpAddr;

use ::http::StatusCode;
use httparse::Header;

use super::refusal::{Refusal, bad, refuse};

/// Heads with more fields than this are refused with 431.
const MAX_HEADERS: usize = 128;

/// Heads up to this many fields are parsed on the stack, 32 bytes a field. What a browser behind two proxies
/// sends fits; for more, the array goes to the heap rather than into every coroutine's stack.
const STACK_HEADERS: usize = 40;

/// Finds the end of a head and looks at each byte once, however the head is cut into reads.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Where the request line starts: behind the empty lines that RFC 9112 lets a client send first.
    begin: usize,
    /// Where the line that is being read starts.
    line: usize,
    /// Everything before this offset has been looked at.
    seen: usize,
}

/// What the scanner knows after the bytes it was given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// The head has not ended yet.
    Partial,
    /// The head is `bytes[begin..end]`.
    Head { begin: usize, end: usize },
    /// Whatever follows, this is not a request that will be served.
    Refused(Refusal),
}

impl Scanner {
    /// How many bytes were looked at. Those behind have no part in what was found.
    pub(super) fn seen(&self) -> usize {
        self.seen
    }

    /// Looks at the bytes that are new. `bytes` starts at the same place at every call for one head and only
    /// grows; `limit` bounds the head, empty lines before it included.
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
    /// Send the target.
    Get,
    /// The same, without a body and without being counted.
    Head,
    /// Another known method, such as `POST`: refused with 405 where there is something at the path.
    Other,
}

/// A request that the service may answer. Borrows from the connection's read buffer.
#[derive(Debug)]
pub struct Request<'a> {
    /// The method. The loop itself answers unknown ones, `CONNECT`, and `OPTIONS *`.
    pub method: Method,
    /// The path as it was sent, percent-encoding and all, without the query. Visible ASCII that starts with `/`.
    pub path: &'a [u8],
    pub(super) headers: &'a [Header<'a>],
    /// Whether the request is of HTTP/1.0, which old clients and many proxies send.
    pub is_http_1_0: bool,
    /// The address at the other end of the socket; an IPv4 address is never dressed as IPv6.
    pub peer: IpAddr,
    /// When the head was complete, in microseconds since the Unix epoch. The `Date` of the answer is this moment.
    pub received_at_micros: u64,
    /// Which of the workers serves the connection, from 0.
    pub worker: usize,
}

impl<'a> Request<'a> {
    /// All values of a field in the order sent, one for each of its lines.
    pub fn headers<'n>(&self, name: &'n str) -> impl DoubleEndedIterator<Item = &'a [u8]> + use<'a, 'n> {
        let headers = self.headers;
        headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// Whether a header field has a name that `is_wanted` accepts.
    pub fn has_header(&self, is_wanted: impl Fn(&[u8]) -> bool) -> bool {
        self.headers.iter().any(|header| is_wanted(header.name.as_bytes()))
    }
}

/// What a head says beyond its path: how the connection goes on after the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) verb: Verb,
    pub(super) path: &'a [u8],
    /// The client asked for the connection to be closed, or cannot do otherwise (HTTP/1.0).
    pub(super) close: bool,
    /// A body follows. It is never read as a request, so the connection ends with the answer.
    pub(super) body: bool,
    pub(super) is_http_1_0: bool,
}

/// Every method there is, as far as this port cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Served(Method),
    /// `OPTIONS *`, which asks for no path: 405.
    NotAllowed,
    /// The same, and what follows would be a tunnel: 405, then close.
    Connect,
}

/// Parses one whole head (as the scanner found it) and hands it to `answer` with its fields.
///
/// The fields live in an array of this function's, so the caller gets them through a closure.
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
        // The scanner saw the empty line at the very end; a parser that stops elsewhere read another message.
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(bad("The request head is malformed")),
        Err(error) => return Err(syntax_refusal(head, error)),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(bad("The request head is malformed"));
    };
    let framing = Framing::of(request.headers, version)?;
    let verb = verb(method)?;
    let path = path(verb, target.as_bytes(), method)?;
    let verb = if path == b"*" && verb != Verb::Connect { Verb::NotAllowed } else { verb };
    Ok(Head { verb, path, close: framing.close, body: framing.body, is_http_1_0: version == 0 })
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

/// Whether the request line ends in an `HTTP/d.d` that is not served: then the version is the trouble, else the line is.
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

/// The path of a target, without its query and, in absolute form, without scheme and authority.
fn path<'a>(verb: Verb, target: &'a [u8], method: &str) -> Result<&'a [u8], Refusal> {
    const MALFORMED: Refusal = bad("The request target is malformed");
    if verb == Verb::Connect || (target == b"*" && method == "OPTIONS") {
        return Ok(b"*");
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
    let path = memchr::memchr(b'?', rest).map_or(rest, |query| &rest[..query]);
    match path {
        [b'/', ..] => Ok(path),
        [] => Ok(b"/"),
        _ => Err(MALFORMED),
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// How the message is framed (RFC 9112, section 6) and whether the connection outlives it.
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
            // The lengths differ, so most fields cost one comparison of a number.
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

/// Whether a comma-separated list of tokens has this one.
fn lists(value: &[u8], token: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// `1*DIGIT`: no sign, no white space, no list, and nothing that a u64 cannot hold.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// `uri-host [ ":" port ]` (RFC 3986). Empty is allowed, as RFC 9112 demands. A comma is not, although a name could
/// hold one: it is what some proxies make of two Host fields.
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
