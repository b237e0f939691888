//! The HTTP/1.1 vectors of the redirect port: bytes to send and the expected results. [`super::conformance`] sends
//! them.
//!
//! `CODE12` redirects, `GONE12` is deactivated, nothing else exists.

/// Way to send the bytes.
pub(crate) enum Delivery {
    Whole,
    ByteWise,
    CutAfter(usize),
    HalfClose,
    /// Sends this many bytes more, until the peer closes.
    Flood(usize),
}

pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) delivery: Delivery,
    pub(crate) sent: Vec<u8>,
    /// `302 404, then close; or close`: alternatives, each a sequence of statuses and how it ends.
    pub(crate) expected: &'static str,
}

/// Returns the bytes of `text`, with `|` for CR LF.
fn sent(text: &str) -> Vec<u8> {
    text.replace('|', "\r\n").into_bytes()
}

/// Returns a GET of CODE12 with further fields.
fn with(fields: &str) -> String {
    format!("GET /CODE12 HTTP/1.1|Host: t.example|{fields}|")
}

fn to(target: &str) -> String {
    format!("GET {target} HTTP/1.1|Host: t.example||")
}

const CODE: &str = "GET /CODE12 HTTP/1.1|Host: t.example||";
const GONE: &str = "GET /GONE12 HTTP/1.1|Host: t.example||";

/// Alternatives that occur more than once.
const REFUSED: &str = "400, then close";
const NOT_FOUND: &str = "404; or 400, then close; or 400";
const NOT_ALLOWED: &str = "405; or 405, then close";
const VERSION: &str = "400, then close; or 505, then close";
const UNKNOWN_METHOD: &str = "501; or 501, then close; or 400, then close; or 405; or 405, then close";
const WITH_BODY: &str = "302; or 302, then close; or 400, then close; or 413, then close";
const CHUNKED: &str = "302; or 302, then close; or 400, then close; or 411, then close; or 501, then close";
const CODING: &str = "400, then close; or 501, then close; or 302, then close";
const LENGTH: &str = "400, then close; or 413, then close";
const TOO_LARGE: &str = "431, then close; or 400, then close";

pub(crate) fn vectors() -> Vec<Vector> {
    let mut all = Vec::new();
    let mut add = |name: &str, delivery: Delivery, sent: Vec<u8>, expected: &'static str| {
        all.push(Vector { name: name.to_owned(), delivery, sent, expected });
    };

    let fields = |count: usize| with(&(0..count).map(|n| format!("X-{n}: v|")).collect::<String>());
    for (name, text, expected) in [
        ("plain", CODE.to_owned(), "302"),
        ("unknown", to("/no-such-code-here"), "404"),
        ("inactive", GONE.to_owned(), "410"),
        ("head", CODE.replace("GET", "HEAD"), "302"),
        ("head-unknown", to("/nope").replace("GET", "HEAD"), "404"),
        ("head-inactive", GONE.replace("GET", "HEAD"), "410"),
        ("post", CODE.replace("GET", "POST"), NOT_ALLOWED),
        ("put", CODE.replace("GET", "PUT"), NOT_ALLOWED),
        ("delete", CODE.replace("GET", "DELETE"), NOT_ALLOWED),
        ("patch", CODE.replace("GET", "PATCH"), NOT_ALLOWED),
        ("options", CODE.replace("GET", "OPTIONS"), "204; or 200; or 405; or 405, then close"),
        ("options-star", "OPTIONS * HTTP/1.1|Host: t.example||".to_owned(), "204; or 200; or 405; or 405, then close"),
        (
            "trace",
            with("X-Echo: marker|").replace("GET", "TRACE"),
            "405; or 405, then close; or 501; or 501, then close",
        ),
        (
            "connect",
            "CONNECT t.example:443 HTTP/1.1|Host: t.example:443||".to_owned(),
            "405; or 405, then close; or 400, then close; or 501, then close",
        ),
        ("method-lower", CODE.replace("GET", "get"), UNKNOWN_METHOD),
        ("method-unknown", CODE.replace("GET", "BREW"), UNKNOWN_METHOD),
        ("method-long", CODE.replace("GET", &"G".repeat(1000)), UNKNOWN_METHOD),
        ("method-bad", CODE.replace("GET", "G(T"), REFUSED),
        ("query", to("/CODE12?x=y&url=https://else.example/"), "302"),
        ("query-empty", to("/CODE12?"), "302"),
        ("percent", to("/%43ODE12"), "302"),
        ("percent-twice", to("/%2543ODE12"), NOT_FOUND),
        ("case", to("/code12"), "404"),
        ("slash-after", to("/CODE12/"), "404"),
        ("slash-before", to("//CODE12"), "404; or 400, then close"),
        ("encoded-slash", to("/CODE12%2F"), NOT_FOUND),
        ("percent-nul", to("/%00"), NOT_FOUND),
        ("percent-crlf", to("/%0d%0aSet-Cookie:%20x=1"), NOT_FOUND),
        ("percent-broken", to("/%zz"), NOT_FOUND),
        ("percent-short", to("/CODE12%"), NOT_FOUND),
        ("dots", to("/../CODE12"), NOT_FOUND),
        ("code-long", to(&format!("/{}", "a".repeat(4000))), "404; or 414, then close"),
        (
            "line-20k",
            to(&format!("/{}", "a".repeat(20_000))),
            "414, then close; or 431, then close; or 400, then close",
        ),
        ("host-missing", "GET /CODE12 HTTP/1.1||".to_owned(), REFUSED),
        ("host-twice", with("Host: t.example|"), REFUSED),
        ("host-twice-differ", with("Host: else.example|"), REFUSED),
        ("absolute", to("http://t.example/CODE12"), "302"),
        ("absolute-https", to("https://t.example:443/CODE12?q"), "302"),
        ("absolute-no-host", "GET http://t.example/CODE12 HTTP/1.1||".to_owned(), REFUSED),
        ("absolute-empty", to("http:///CODE12"), REFUSED),
        ("absolute-ftp", to("ftp://t.example/CODE12"), REFUSED),
        ("star", to("*"), "400, then close; or 404"),
        ("relative", to("CODE12"), REFUSED),
        ("target-missing", "GET HTTP/1.1|Host: t.example||".to_owned(), VERSION),
        ("1.0", "GET /CODE12 HTTP/1.0||".to_owned(), "302, then close"),
        ("1.0-host", "GET /CODE12 HTTP/1.0|Host: t.example||".to_owned(), "302, then close"),
        ("close", with("Connection: close|"), "302, then close"),
        ("close-listed", with("Connection: x, CLOSE|"), "302, then close"),
        ("close-unknown", to("/nope").replace("||", "|Connection: close||"), "404, then close"),
        ("close-then-more", with("Connection: close|") + CODE, "302, then close"),
        ("no-version", "GET /CODE12||".to_owned(), "400, then close; or 505, then close; or close"),
        (
            "h2-preface",
            "PRI * HTTP/2.0||SM||".to_owned(),
            "400, then close; or 505, then close; or close; or 405, then close; or 501, then close",
        ),
        ("empty-line-first", format!("|{CODE}"), "302"),
        ("empty-line-between", format!("{CODE}|{CODE}"), "302 302"),
        ("two-spaces", to(" /CODE12"), REFUSED),
        ("space-target", to("/CODE12 x"), VERSION),
        ("space-before", format!(" {CODE}"), REFUSED),
        ("space-colon", with("X-A : b|"), REFUSED),
        ("no-colon", with("novalue|"), REFUSED),
        ("no-name", with(": v|"), REFUSED),
        ("leading-space", "GET /CODE12 HTTP/1.1| X: y|Host: t.example||".to_owned(), REFUSED),
        ("obs-fold", with("X: a| b|"), REFUSED),
        ("obs-fold-tab", with("X: a|\tb|"), REFUSED),
        ("ows", with("X:\t a \t|Y:|"), "302"),
        ("body-small", with("Content-Length: 5|") + "hello", WITH_BODY),
        ("body-is-request", with("Content-Length: 41|") + GONE, WITH_BODY),
        (
            "body-post-then-get",
            with("Content-Length: 41|").replace("GET", "POST") + GONE + CODE,
            "405 302; or 405, then close",
        ),
        ("chunked-get", with("Transfer-Encoding: chunked|") + "5|hello|0||", CHUNKED),
        (
            "chunked-post",
            with("Transfer-Encoding: chunked|").replace("GET", "POST") + "5|hello|0||",
            "405; or 405, then close; or 400, then close; or 411, then close; or 501, then close",
        ),
        (
            "chunked-is-request",
            with("Transfer-Encoding: chunked|") + "0||" + GONE,
            "302 410; or 302, then close; or 400, then close; or 501, then close",
        ),
        ("chunked-1.0", "GET /CODE12 HTTP/1.0|Transfer-Encoding: chunked||0||".to_owned(), CODING),
        ("cl-and-te", with("Content-Length: 5|Transfer-Encoding: chunked|") + "0||" + GONE, CODING),
        ("te-and-cl", with("Transfer-Encoding: chunked|Content-Length: 5|") + "0||" + GONE, CODING),
        ("te-twice", with("Transfer-Encoding: chunked|Transfer-Encoding: identity|") + "0||", CODING),
        ("cl-zero", with("Content-Length: 0|"), "302"),
        ("cl-differ", with("Content-Length: 5|Content-Length: 6|") + "hello!", REFUSED),
        (
            "expect-body",
            with("Expect: 100-continue|Content-Length: 5|").replace("GET", "POST"),
            "405, then close; or 417, then close; or 100 405, then close; or 100",
        ),
        ("pipeline-2", CODE.repeat(2), "302 302"),
        ("pipeline-100", CODE.repeat(100), "302*100"),
        ("pipeline-mixed", format!("{CODE}{GONE}{}{CODE}", to("/no-such-code-here")), "302 410 404 302"),
        ("pipeline-good-bad", format!("{CODE}GARBAGE||"), "302 400, then close"),
        (
            "pipeline-good-405",
            format!("{CODE}{}{CODE}", CODE.replace("GET", "PUT")),
            "302 405 302; or 302 405, then close",
        ),
        ("headers-17", fields(16), "302"),
        ("headers-100", fields(99), "302"),
        ("headers-1000", fields(1000), "431, then close; or 400, then close"),
        ("cookie-4k", with(&format!("Cookie: {}|", "c".repeat(4096))), "302"),
        ("value-64k", with(&format!("X: {}|", "v".repeat(65_536))), TOO_LARGE),
        (
            "upgrade-h2c",
            with("Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: AAMAAABkAAQAAP__|"),
            "302",
        ),
        ("upgrade-websocket", with("Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13|"), "302"),
        ("underscore", with("Content_Length: 5|Transfer_Encoding: chunked|"), "302"),
    ] {
        add(name, Delivery::Whole, sent(&text), expected);
    }
    for (number, host) in ["a@b", "a/b", "a b", "a,b", "a:80x", "a:b:c", "[::1", "http://a"].into_iter().enumerate() {
        let text = format!("GET /CODE12 HTTP/1.1|Host: {host}||");
        add(&format!("host-bad-{number}"), Delivery::Whole, sent(&text), REFUSED);
    }
    let versions = ["HTTP/2.0", "HTTP/0.9", "HTTP/1.11", "HTTP/1", "http/1.1", "HTTP1.1", "HTT/1.1", "HTTP/1.x"];
    for (number, version) in versions.into_iter().enumerate() {
        let text = format!("GET /CODE12 {version}|Host: t.example||");
        add(&format!("version-{number}"), Delivery::Whole, sent(&text), VERSION);
    }
    let codings = ["identity", "gzip", "chunked, gzip", "gzip, chunked", "chunked;x", "xchunked", "\"chunked\""];
    for (number, coding) in codings.into_iter().enumerate() {
        let text = with(&format!("Transfer-Encoding: {coding}|")) + "0||";
        add(&format!("te-{number}"), Delivery::Whole, sent(&text), CODING);
    }
    let huge = format!("1{}", "0".repeat(40));
    let lengths = ["+5", "-5", "0x5", "5 5", "5_0", "5,5", "", "5a", &huge, "5.0"];
    for (number, length) in lengths.into_iter().enumerate() {
        let text = with(&format!("Content-Length: {length}|")) + "hello";
        add(&format!("cl-bad-{number}"), Delivery::Whole, sent(&text), LENGTH);
    }
    for (name, bytes, expected) in [
        ("raw-byte", &b"GET /\xff\xfe HTTP/1.1|Host: t.example||"[..], "404; or 400, then close"),
        ("raw-utf-8", "GET /\u{e9} HTTP/1.1|Host: t.example||".as_bytes(), "404; or 400, then close"),
        ("bare-lf", b"GET /CODE12 HTTP/1.1\nHost: t.example\n\n", "400, then close; or 302"),
        ("bare-lf-end", b"GET /CODE12 HTTP/1.1|Host: t.example|\n", "400, then close; or 302"),
        ("bare-cr-value", b"GET /CODE12 HTTP/1.1|Host: t.example|X: a\rb||", REFUSED),
        ("nul-value", b"GET /CODE12 HTTP/1.1|Host: t.example|X: a\0b||", REFUSED),
        ("nul-name", b"GET /CODE12 HTTP/1.1|Host: t.example|X\0: a||", REFUSED),
        ("nul-target", b"GET /\0CODE12 HTTP/1.1|Host: t.example||", REFUSED),
        ("tab-target", b"GET\t/CODE12 HTTP/1.1|Host: t.example||", REFUSED),
    ] {
        let text: Vec<u8> =
            bytes.iter().flat_map(|&byte| if byte == b'|' { vec![13, 10] } else { vec![byte] }).collect();
        add(name, Delivery::Whole, text, expected);
    }
    add("byte-wise", Delivery::ByteWise, sent(CODE), "302");
    add("byte-wise-2", Delivery::ByteWise, sent(&format!("|{CODE}{GONE}")), "302 410");
    let two = format!("{CODE}{GONE}");
    for at in 1..two.len() {
        add(&format!("cut-{at}"), Delivery::CutAfter(at), sent(&two), "302 410");
    }
    add("half-close", Delivery::HalfClose, sent(CODE), "302, then close");
    add("half-close-2", Delivery::HalfClose, sent(&two), "302 410, then close");
    add("half-close-within", Delivery::HalfClose, sent("GET /CODE12 HT"), "400, then close; or close");
    let endless = sent("GET /CODE12 HTTP/1.1|Host: t.example|X: ");
    add("endless-header", Delivery::Flood(10 << 20), endless, "431, then close; or 400, then close; or close");
    add(
        "endless-line",
        Delivery::Flood(10 << 20),
        sent("GET /"),
        "414, then close; or 431, then close; or 400, then close; or close",
    );
    add("silent", Delivery::Whole, Vec::new(), "close; or 408, then close");
    all
}
