//! The HTTP/1.1 vectors of the redirect port and what drives them over a socket.
//!
//! They run against whatever listens: the loop alone, the whole redirector, or a proxy before it. `CODE12` must
//! redirect, `GONE12` be deactivated, nothing else exist.

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::Mutex;

use super::client::{Answer, Client, GET};

/// How the bytes are sent.
enum How {
    Whole,
    ByteWise,
    CutAfter(usize),
    HalfClose,
    /// Then so many bytes more, whether they are taken or not.
    Flood(usize),
}

struct Vector {
    name: String,
    how: How,
    sent: Vec<u8>,
    /// `302 404, then close; or close`: alternatives, each a sequence of statuses and how it ends.
    right: &'static str,
}

/// `|` stands for CR LF.
fn sent(text: &str) -> Vec<u8> {
    text.replace('|', "\r\n").into_bytes()
}

/// A GET of CODE12 with further fields.
fn with(fields: &str) -> String {
    format!("GET /CODE12 HTTP/1.1|Host: t.example|{fields}|")
}

fn to(target: &str) -> String {
    format!("GET {target} HTTP/1.1|Host: t.example||")
}

const CODE: &str = "GET /CODE12 HTTP/1.1|Host: t.example||";
const GONE: &str = "GET /GONE12 HTTP/1.1|Host: t.example||";

/// The alternatives that occur more than once.
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

fn vectors() -> Vec<Vector> {
    let mut all = Vec::new();
    let mut add = |name: &str, how: How, sent: Vec<u8>, right: &'static str| {
        all.push(Vector { name: name.to_owned(), how, sent, right });
    };

    let fields = |count: usize| with(&(0..count).map(|n| format!("X-{n}: v|")).collect::<String>());
    for (name, text, right) in [
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
        add(name, How::Whole, sent(&text), right);
    }
    for (number, host) in ["a@b", "a/b", "a b", "a,b", "a:80x", "a:b:c", "[::1", "http://a"].into_iter().enumerate() {
        let text = format!("GET /CODE12 HTTP/1.1|Host: {host}||");
        add(&format!("host-bad-{number}"), How::Whole, sent(&text), REFUSED);
    }
    let versions = ["HTTP/2.0", "HTTP/0.9", "HTTP/1.11", "HTTP/1", "http/1.1", "HTTP1.1", "HTT/1.1", "HTTP/1.x"];
    for (number, version) in versions.into_iter().enumerate() {
        let text = format!("GET /CODE12 {version}|Host: t.example||");
        add(&format!("version-{number}"), How::Whole, sent(&text), VERSION);
    }
    let codings = ["identity", "gzip", "chunked, gzip", "gzip, chunked", "chunked;x", "xchunked", "\"chunked\""];
    for (number, coding) in codings.into_iter().enumerate() {
        let text = with(&format!("Transfer-Encoding: {coding}|")) + "0||";
        add(&format!("te-{number}"), How::Whole, sent(&text), CODING);
    }
    let huge = format!("1{}", "0".repeat(40));
    let lengths = ["+5", "-5", "0x5", "5 5", "5_0", "5,5", "", "5a", &huge, "5.0"];
    for (number, length) in lengths.into_iter().enumerate() {
        let text = with(&format!("Content-Length: {length}|")) + "hello";
        add(&format!("cl-bad-{number}"), How::Whole, sent(&text), LENGTH);
    }
    for (name, bytes, right) in [
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
        add(name, How::Whole, text, right);
    }
    add("byte-wise", How::ByteWise, sent(CODE), "302");
    add("byte-wise-2", How::ByteWise, sent(&format!("|{CODE}{GONE}")), "302 410");
    let two = format!("{CODE}{GONE}");
    for at in 1..two.len() {
        add(&format!("cut-{at}"), How::CutAfter(at), sent(&two), "302 410");
    }
    add("half-close", How::HalfClose, sent(CODE), "302, then close");
    add("half-close-2", How::HalfClose, sent(&two), "302 410, then close");
    add("half-close-within", How::HalfClose, sent("GET /CODE12 HT"), "400, then close; or close");
    let endless = sent("GET /CODE12 HTTP/1.1|Host: t.example|X: ");
    add("endless-header", How::Flood(10 << 20), endless, "431, then close; or 400, then close; or close");
    add(
        "endless-line",
        How::Flood(10 << 20),
        sent("GET /"),
        "414, then close; or 431, then close; or 400, then close; or close",
    );
    add("silent", How::Whole, Vec::new(), "close; or 408, then close");
    all
}

/// One right answer: the statuses in order, and whether the connection ends.
#[derive(Debug, PartialEq, Eq)]
struct Right {
    statuses: Vec<u16>,
    close: bool,
}

fn rights(text: &str) -> Vec<Right> {
    let one = |text: &str| {
        let (statuses, close) = match text.strip_suffix("close") {
            Some(rest) => (rest.trim_end_matches(", then "), true),
            None => (text, false),
        };
        let repeated = |word: &str| match word.split_once('*') {
            Some((status, times)) => vec![status.parse().unwrap(); times.parse().unwrap()],
            None => vec![word.parse().unwrap()],
        };
        Right { statuses: statuses.split_whitespace().flat_map(repeated).collect(), close }
    };
    text.split("; or ").map(one).collect()
}

/// Runs every vector, eight at a time, and panics with a line for each that was answered wrong.
pub(crate) fn run_all(addr: SocketAddr, expected_location: &str) {
    let all = vectors();
    assert!(all.len() > 200, "the table is all there");
    let (queue, wrong) = (Mutex::new(all.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some(vector) = queue.lock().unwrap().next() else { return };
                    if let Err(error) = run(vector, addr, expected_location) {
                        wrong.lock().unwrap().push(format!("{}: {error}; right is {}", vector.name, vector.right));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

fn run(vector: &Vector, addr: SocketAddr, expected_location: &str) -> Result<(), String> {
    let mut client = Client::connect(addr);
    let flood = send(&mut client, vector);
    let to_head = vector.sent.starts_with(b"HEAD ");
    let rights = rights(vector.right);
    let mut statuses = Vec::new();
    loop {
        let done = |right: &Right| right.statuses == statuses;
        let longer = |right: &Right| right.statuses.len() > statuses.len() && right.statuses.starts_with(&statuses);
        let may_stay = rights.iter().any(|right| done(right) && !right.close);
        let may_end = rights.iter().any(|right| done(right) && right.close);
        // Only where nothing else can follow is it known that the next answer is the probe's.
        if may_stay && !rights.iter().any(longer) {
            return probe(&mut client, may_end, expected_location);
        }
        match client.answer(to_head) {
            Ok(Some(answer)) => {
                check(&answer, to_head, expected_location)?;
                statuses.push(answer.status);
                if !rights.iter().any(|right| right.statuses.starts_with(&statuses)) {
                    return Err(format!("answered {statuses:?}"));
                }
                if to_head {
                    check_like_get(&answer, vector, addr)?;
                }
            }
            Ok(None) if may_end => break,
            // Whoever floods and is cut off may miss the answer; the kernel throws its buffers away.
            Err(error) if flood && error.kind() == io::ErrorKind::ConnectionReset => break,
            Ok(None) => return Err(format!("closed after {statuses:?}")),
            Err(error) => return Err(format!("after {statuses:?}: {error}")),
        }
    }
    Ok(())
}

/// Sends what the vector says; true if it may have met a closed connection doing so.
fn send(client: &mut Client, vector: &Vector) -> bool {
    match vector.how {
        How::Whole => client.send(&vector.sent),
        How::ByteWise => vector.sent.chunks(1).for_each(|byte| client.send(byte)),
        How::CutAfter(at) => {
            client.send(&vector.sent[..at]);
            // Long enough for the server to read the first part, most of the time.
            client.hears_within(std::time::Duration::from_millis(2));
            client.send(&vector.sent[at..]);
        }
        How::HalfClose => {
            client.send(&vector.sent);
            client.stream.shutdown(Shutdown::Write).unwrap();
        }
        How::Flood(bytes) => {
            client.send(&vector.sent);
            let chunk = [b'v'; 64 * 1024];
            let taken = (0..bytes / chunk.len()).take_while(|_| client.stream.write_all(&chunk).is_ok()).count();
            return taken < bytes / chunk.len();
        }
    }
    false
}

/// Both sides are in step: a valid GET is answered 302, unless the connection ended and may.
fn probe(client: &mut Client, may_end: bool, expected_location: &str) -> Result<(), String> {
    let sent = client.stream.write_all(GET);
    let ended = |error: &io::Error| matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
    match sent.and_then(|()| client.answer(false)) {
        Ok(Some(answer)) if answer.status == 302 => check(&answer, false, expected_location),
        Ok(Some(answer)) => Err(format!("out of step: a GET was answered {answer:?}")),
        Ok(None) if may_end => Ok(()),
        Err(error) if may_end && ended(&error) => Ok(()),
        other => Err(format!("does not go on: {other:?}")),
    }
}

/// What holds for every answer.
fn check(answer: &Answer, to_head: bool, expected_location: &str) -> Result<(), String> {
    let ensure = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {answer:?}")) };
    if matches!(answer.status, 302 | 404 | 410) {
        ensure(answer.field("Cache-Control") == Some("no-store"), "may be cached")?;
    }
    if answer.status == 302 {
        ensure(answer.field("Location") == Some(expected_location), "another Location")?;
        ensure(answer.body.is_empty(), "a 302 with a body")?;
    } else {
        ensure(answer.field("Location").is_none(), "a Location")?;
    }
    if answer.status == 405 {
        let allow = answer.field("Allow").unwrap_or_default();
        let allows = |method| allow.split(',').any(|item| item.trim() == method);
        ensure(allows("GET") && allows("HEAD"), "no Allow")?;
    }
    if answer.status >= 400 {
        ensure(answer.field("Content-Type").is_some_and(|kind| kind.starts_with("application/json")), "not JSON")?;
        if !to_head {
            let body: serde_json::Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
            ensure(body["error"] == *answer.reason, "another error than the reason phrase")?;
            ensure(body["message"].as_str().is_some_and(|message| !message.is_empty()), "no message")?;
        }
    }
    ensure(answer.status < 200 || answer.field("Date").is_some_and(|date| date.ends_with(" GMT")), "no Date")?;
    for (name, value) in answer.fields.iter().filter(|(name, _)| name != "Location") {
        let reflected = ["CODE12", "GONE12", "marker", "else.example", "x=1", "t.example"];
        let harmless = !name.eq_ignore_ascii_case("Set-Cookie") && !reflected.iter().any(|word| value.contains(word));
        ensure(harmless, "reflected")?;
    }
    Ok(())
}

/// The answer to a HEAD has the head of the GET's.
fn check_like_get(answer: &Answer, vector: &Vector, addr: SocketAddr) -> Result<(), String> {
    let get = [b"GET", &vector.sent[4..]].concat();
    let same = |answer: Answer| {
        let fields: Vec<_> = answer.fields.into_iter().filter(|(name, _)| name != "Date").collect();
        (answer.status, fields)
    };
    let (head, get) = (same(answer.clone()), same(Client::connect(addr).ask(&get)));
    if head == get { Ok(()) } else { Err(format!("HEAD has {head:?}, GET {get:?}")) }
}
