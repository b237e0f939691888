use super::*;

const GET: Verb = Verb::Served(Method::Get);

/// Scans and parses; `|` stands for CR LF.
fn parse(text: &str) -> Result<(Verb, Vec<u8>, bool, bool), u16> {
    parse_bytes(text.replace('|', "\r\n").as_bytes())
}

fn parse_bytes(bytes: &[u8]) -> Result<(Verb, Vec<u8>, bool, bool), u16> {
    match Scanner::default().advance(bytes, 16 * 1024) {
        Scan::Partial => Err(0),
        Scan::Refused(refusal) => Err(refusal.status.as_u16()),
        Scan::Head { begin, end } => with_head(&bytes[begin..end], |head, _| {
            head.map(|head| (head.verb, head.path.to_vec(), head.close, head.body))
                .map_err(|refusal| refusal.status.as_u16())
        }),
    }
}

#[track_caller]
fn check_path(line: &str, expected: &str) {
    let parsed = parse(&format!("{line} HTTP/1.1|Host: t.example||"));
    assert_eq!(parsed, Ok((GET, expected.as_bytes().to_vec(), false, false)), "{line}");
}

#[track_caller]
fn check_framing(text: &str, expected: (Verb, bool, bool)) {
    assert_eq!(parse(text).map(|(verb, _, close, body)| (verb, close, body)), Ok(expected), "{text}");
}

#[track_caller]
fn check_refused(text: &str, code: u16) {
    assert_eq!(parse(text).map(drop), Err(code), "{text}");
}

#[test]
fn query_is_what_follows_the_first_question_mark_without_a_fragment() {
    for (target, expected) in [
        ("/abc", ""),
        ("/abc?", ""),
        ("/abc?x=/y?z&%41", "x=/y?z&%41"),
        ("/abc?x#y", "x"),
        ("/abc#x?y", "y"),
        ("http://t.example/abc?q", "q"),
        ("http://t.example?q", "q"),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: t.example\r\n\r\n");
        with_head(head.as_bytes(), |parsed, _| assert_eq!(parsed.unwrap().query, expected.as_bytes(), "{target}"));
    }
}

#[test]
fn targets() {
    check_path("GET /abc", "/abc");
    check_path("GET /", "/");
    check_path("GET /abc?x=/y?z", "/abc");
    check_path("GET /?", "/");
    check_path("GET //abc", "//abc");
    check_path("GET /%41%zz", "/%41%zz");
    check_path("GET http://t.example/abc?q", "/abc");
    check_path("GET HTTPS://t.example:443/abc", "/abc");
    check_path("GET http://t.example", "/");
    check_path("GET http://t.example?q", "/");
    check_path("GET http://[::1]:80/abc", "/abc");
    for target in [
        "*",
        "abc",
        "t.example:443",
        "http://",
        "http:///abc",
        "http://u@h/abc",
        "http:/h/abc",
        "ftp://h/abc",
        "http://h:x/abc",
        "http://h#f",
        "/\u{e9}",
        "/a b",
        "?q",
    ] {
        check_refused(&format!("GET {target} HTTP/1.1|Host: h||"), 400);
    }
}

#[test]
fn methods() {
    check_framing("HEAD / HTTP/1.1|Host: h||", (Verb::Served(Method::Head), false, false));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
        check_framing(&format!("{method} / HTTP/1.1|Host: h||"), (Verb::Served(Method::Other), false, false));
    }
    check_framing("OPTIONS * HTTP/1.1|Host: h||", (Verb::NotAllowed, false, false));
    check_framing("CONNECT h:443 HTTP/1.1|Host: h||", (Verb::Connect, false, false));
    for method in ["get", "Get", "BREW", "GETT", "G"] {
        check_refused(&format!("{method} / HTTP/1.1|Host: h||"), 501);
    }
    for line in [" GET /", "G(T /", "GET\t/", "GET  /", "GET /  ", "GET", "GET /", ""] {
        check_refused(&format!("{line}{}HTTP/1.1|Host: h||", if line.len() == 3 { " " } else { "" }), 400);
    }
}

#[test]
fn versions() {
    check_framing("GET / HTTP/1.0||", (GET, true, false));
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/9.9"] {
        check_refused(&format!("GET / {version}|Host: h||"), 505);
    }
    for version in
        ["HTTP/1.11", "http/1.1", "HTT/1.1", "HTTP/1", "HTTP/1.", "HTTP/01.1", "HTTP 1.1", "HTTP/1.1 ", "x HTTP/1.1 y"]
    {
        check_refused(&format!("GET / {version}|Host: h||"), 400);
    }
    check_refused("GET /||", 400);
    check_refused("PRI * HTTP/2.0||", 505);
}

#[test]
fn hosts() {
    for host in [
        "",
        "h",
        "t.example",
        "t.example:",
        "t.example:80",
        "127.0.0.1:65535",
        "[::1]",
        "[::1]:80",
        "[::ffff:1.2.3.4]",
        "a_b",
        "a%41b",
        "xn--a",
        "a;b",
    ] {
        check_framing(&format!("GET / HTTP/1.1|Host: {host}||"), (GET, false, false));
    }
    for host in [
        "a@b", "a b", "a:80x", "a:80:80", "a:-1", "a:+1", "a:65536", "a/b", "http://a", "a,b", "[::1", "[]", "[g]",
        "[::1]x", "::1", "a%4", "a%zz", "\u{e9}", "a?b", "a#b", "a\\b", "\"a\"",
    ] {
        check_refused(&format!("GET / HTTP/1.1|Host: {host}||"), 400);
    }
    check_refused("GET / HTTP/1.1||", 400);
    check_refused("GET / HTTP/1.1|Host: h|hOST: h||", 400);
    check_refused("GET / HTTP/1.0|Host: h|Host: g||", 400);
    check_refused("GET http://h/ HTTP/1.1||", 400);
}

#[test]
fn framing() {
    check_framing("GET / HTTP/1.1|Host: h|Connection: close||", (GET, true, false));
    check_framing("GET / HTTP/1.1|Host: h|connection: keep-alive , CLOSE||", (GET, true, false));
    check_framing("GET / HTTP/1.1|Host: h|Connection: x|Connection: close||", (GET, true, false));
    check_framing("GET / HTTP/1.1|Host: h|Connection: closed, not-close||", (GET, false, false));
    check_framing("GET / HTTP/1.0|Connection: keep-alive||", (GET, true, false));
    check_framing("GET / HTTP/1.1|Host: h|Content-Length: 0||", (GET, false, false));
    check_framing("GET / HTTP/1.1|Host: h|Content-Length: 00||", (GET, false, false));
    check_framing("GET / HTTP/1.1|Host: h|Content-Length: 5||", (GET, false, true));
    check_framing("GET / HTTP/1.1|Host: h|content-length: 18446744073709551615||", (GET, false, true));
    check_framing("POST / HTTP/1.1|Host: h|Transfer-Encoding: Chunked||", (Verb::Served(Method::Other), false, true));
    check_framing("GET / HTTP/1.1|Host: h|Content_Length: x|Transfer_Encoding: x||", (GET, false, false));
    for length in ["", "+5", "-1", "0x5", "5_0", "5 0", "5,5", "5;", "18446744073709551616", "\u{665}"] {
        check_refused(&format!("GET / HTTP/1.1|Host: h|Content-Length: {length}||"), 400);
    }
    check_refused("GET / HTTP/1.1|Host: h|Content-Length: 5|Content-Length: 5||", 400);
    check_refused("GET / HTTP/1.1|Host: h|Content-Length: 0|Transfer-Encoding: chunked||", 400);
    check_refused("GET / HTTP/1.1|Host: h|Transfer-Encoding: gzip|Content-Length: 0||", 400);
    check_refused("GET / HTTP/1.0|Transfer-Encoding: chunked||", 400);
    for coding in [
        "",
        "identity",
        "gzip",
        "chunked, gzip",
        "gzip, chunked",
        "chunked;x",
        "chunked,",
        "xchunked",
        "chunked chunked",
    ] {
        check_refused(&format!("GET / HTTP/1.1|Host: h|Transfer-Encoding: {coding}||"), 501);
    }
    check_refused("GET / HTTP/1.1|Host: h|Transfer-Encoding: chunked|Transfer-Encoding: chunked||", 501);
}

#[test]
fn fields() {
    check_framing("GET / HTTP/1.1|Host: h|X:\t a \t|Y:|Z: \u{e9}||", (GET, false, false));
    for field in [
        "X : a",
        " X: a",
        "X: a| b",
        "X: a|\tb",
        "novalue",
        ": a",
        "X\u{e9}: a",
        "X(: a",
        "X: a\rb",
        "X: a\0b",
        "X: a\u{7f}b",
        "X: a\u{1}",
    ] {
        check_refused(&format!("GET / HTTP/1.1|{field}|Host: h||"), 400);
        check_refused(&format!("GET / HTTP/1.1|Host: h|{field}||"), 400);
    }
    let many = |count: usize| format!("GET / HTTP/1.1|Host: h|{}|", "X: y|".repeat(count - 1));
    for count in [STACK_HEADERS, STACK_HEADERS + 1, MAX_HEADERS] {
        check_framing(&many(count), (GET, false, false));
    }
    check_refused(&many(MAX_HEADERS + 1), 431);
}

#[test]
fn values_are_found_by_name() {
    let head = b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: a\r\nY: z\r\nx-forwarded-for:  b \r\n\r\n";
    with_head(head, |parsed, headers| {
        let (Head { path, query, .. }, peer) = (parsed.unwrap(), IpAddr::from([127, 0, 0, 1]));
        let request = Request {
            method: Method::Get,
            path,
            query,
            headers,
            is_http_1_0: false,
            peer,
            received_at_micros: 7,
            worker: 0,
            wait: None,
        };
        assert_eq!(request.headers("hOST").collect::<Vec<_>>(), [b"h"]);
        assert_eq!(request.headers("missing").next(), None);
        assert_eq!(request.headers("X-Forwarded-For").collect::<Vec<_>>(), [b"a", b"b"]);
    });
}

#[test]
fn lines() {
    let scan = |text: &str, limit| match Scanner::default().advance(text.replace('|', "\r\n").as_bytes(), limit) {
        Scan::Partial => Err(0),
        Scan::Refused(refusal) => Err(refusal.status.as_u16()),
        Scan::Head { begin, end } => Ok((begin, end)),
    };
    for (text, limit, expected) in [
        ("a||", 100, Ok((0, 5))),
        ("a||b||", 100, Ok((0, 5))),
        ("||a||", 100, Ok((4, 9))),
        ("a|b|c: d||", 100, Ok((0, 14))),
        ("", 100, Err(0)),
        ("|", 100, Err(0)),
        ("a|", 100, Err(0)),
        ("a|b", 100, Err(0)),
        ("a\n", 100, Err(400)),
        ("\n", 100, Err(400)),
        ("a|\n", 100, Err(400)),
        ("a|b\n", 100, Err(400)),
        ("aaaa", 5, Err(0)),
        ("aaaaa", 5, Err(414)),
        ("aaa|", 5, Err(431)),
        ("|||", 6, Err(414)),
        ("aaa||", 7, Ok((0, 7))),
    ] {
        assert_eq!(scan(text, limit), expected, "{text} within {limit}");
    }
}

mod arbitrary {
    use proptest::prelude::*;

    use super::*;

    const SEEDS: [&str; 5] = [
        "GET /CODE12?q HTTP/1.1\r\nHost: t.example\r\n\r\n",
        "HEAD http://t.example:80/a HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n",
        "\r\nPOST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\nX: \t a%41\r\n\r\n",
    ];

    fn mutated() -> impl Strategy<Value = Vec<u8>> {
        let edit = (any::<prop::sample::Index>(), any::<u8>(), 0..4u8);
        (prop::sample::select(&SEEDS[..]), prop::collection::vec(edit, 0..6)).prop_map(|(seed, edits)| {
            let mut bytes = seed.as_bytes().to_vec();
            for (index, byte, kind) in edits {
                let at = index.index(bytes.len().max(1));
                match kind {
                    0 if at < bytes.len() => bytes[at] = byte,
                    1 if at < bytes.len() => drop(bytes.remove(at)),
                    2 => bytes.insert(at.min(bytes.len()), b" \r\n:%\0,/"[usize::from(byte) % 8]),
                    _ => bytes.truncate(bytes.len().saturating_sub(usize::from(byte) % 8)),
                }
            }
            bytes
        })
    }

    type Told = Result<(usize, Verb, Vec<u8>, bool, bool), Refusal>;

    /// Everything a stream of bytes makes the parser say, given cut into pieces of these sizes.
    fn story(bytes: &[u8], pieces: &[usize]) -> Vec<Told> {
        let (mut story, mut scanner, mut start, mut end) = (Vec::new(), Scanner::default(), 0, 0);
        let mut pieces = pieces.iter().cycle();
        loop {
            match scanner.advance(&bytes[start..end], 200) {
                Scan::Partial if end == bytes.len() => return story,
                // As in a connection: never more in hand than a head may be long.
                Scan::Partial => end = (end + pieces.next().unwrap().max(&1)).min(bytes.len()).min(start + 200),
                Scan::Refused(refusal) => {
                    story.push(Err(refusal));
                    return story;
                }
                Scan::Head { begin, end: length } => {
                    story.push(with_head(&bytes[start..start + length][begin..], |head, _| {
                        head.map(|head| (length, head.verb, head.path.to_vec(), head.close, head.body))
                    }));
                    start += length;
                    scanner = Scanner::default();
                }
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            drop(parse_bytes(&bytes));
        }

        #[test]
        fn mutated_requests_never_panic(bytes in mutated()) {
            drop(parse_bytes(&bytes));
        }

        #[test]
        fn cuts_do_not_matter(
            requests in prop::collection::vec(mutated(), 1..5),
            pieces in prop::collection::vec(1..40usize, 1..10),
        ) {
            let bytes = requests.concat();
            prop_assert_eq!(story(&bytes, &pieces), story(&bytes, &[usize::MAX / 2]));
        }
    }
}
