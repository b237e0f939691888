//! Millions of mutated requests to the exchange, in this process and without sockets.
//!
//! Each input is given to the exchange whole and in pieces, and the answers must be equal but for the date. Answers
//! must be well formed, and no more than there were heads.

use std::net::{IpAddr, Ipv4Addr};

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use tern_redirector::http::{Answer, Exchange, Limits, Method, Reply, Request, Service, Stats, StatusCode, Terms};

/// Requests to mutate, with `|` for CR LF.
const SEEDS: &[&str] = &[
    "GET /CODE12 HTTP/1.1|Host: t.example||",
    "HEAD /CODE12 HTTP/1.1|Host: t.example||",
    "\nHEAD /CODE12 HTTP/1.1|Host: t.example||",
    "GET /GONE12?x=y HTTP/1.1|Host: t.example||",
    "GET /nope HTTP/1.0||",
    "POST /CODE12 HTTP/1.1|Host: t.example|Content-Length: 5||hello",
    "POST /CODE12 HTTP/1.1|Host: t.example|Transfer-Encoding: chunked||5|hello|0||",
    "GET /CODE12 HTTP/1.1|Host: t.example|Content-Length: 41||GET /GONE12 HTTP/1.1|Host: t.example||",
    "GET /CODE12 HTTP/1.1|Host: t.example||GET /GONE12 HTTP/1.1|Host: t.example||GET /nope HTTP/1.1|Host: t.example||",
    "GET http://t.example/CODE12 HTTP/1.1|Host: t.example|Connection: close||",
    "OPTIONS * HTTP/1.1|Host: t.example||",
    "CONNECT t.example:443 HTTP/1.1|Host: t.example:443||",
    "|GET /%43ODE12 HTTP/1.1|Host: [::1]:80|X:\t a \t|Y:||",
    "GET /CODE12 HTTP/1.1|Host: t.example|Cookie: a=b; c=d|User-Agent: Mozilla/5.0|Accept: */*|Referer: https://n.example/||",
];

/// Byte sequences that parsers get wrong.
const TOKENS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"/",
    b"%",
    b"%00",
    b"%0d%0a",
    b"?",
    b"#",
    b"@",
    b"*",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"GET ",
    b"HEAD ",
    b"Host: t.example\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: x\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"\xff\xfe",
    b"\x7f",
    b" \r\n",
    b"X: a\r\n b\r\n",
];

/// Counts of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub(crate) inputs: u64,
    pub(crate) answers: u64,
    pub(crate) redirects: u64,
}

#[derive(Debug)]
struct Codes;

impl Service for Codes {
    fn share_of(&self, _: IpAddr) -> Option<u64> {
        None
    }

    fn call(&self, request: &Request<'_>, reply: Reply<'_>) {
        let answer = match request.path {
            b"/CODE12" | b"/GONE12" if request.method == Method::Other => {
                Answer::error(StatusCode::METHOD_NOT_ALLOWED, "not allowed")
            }
            b"/CODE12" => Answer::redirect(b"https://target.example/"),
            b"/GONE12" => Answer::error(StatusCode::GONE, "gone"),
            path => Answer::error_in_pieces(StatusCode::NOT_FOUND, [path, b"", b""]),
        };
        reply.answer(&answer);
    }
}

/// Largest growth of the process's memory in KiB over any number of inputs, for the allocator's caches.
const GROWTH: u64 = 16 * 1024;

/// Tries `count` inputs. Prints the seed first, because a panic or a hang would not.
pub(crate) fn run(count: u64, seed: u64) -> Run {
    println!("mutations of seed {seed}");
    let before = resident_kib();
    let mut random = SmallRng::seed_from_u64(seed);
    let seeds: Vec<Vec<u8>> = SEEDS.iter().map(|seed| seed.replace('|', "\r\n").into_bytes()).collect();
    let limits = Limits { head_bytes: 2048, ..Limits::default() };
    let stats = Stats::default();
    let terms = Terms { limits: &limits, stats: &stats, is_last: false };
    let mut total = Run::default();
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    for number in 0..count {
        let input = mutated(&seeds, &mut random);
        whole.clear();
        pieces.clear();
        let stays = connection().receive(&input, terms, &Codes, &mut whole);
        let stays_in_pieces = receive_in_pieces(&input, terms, &mut pieces, &mut random);
        let context = || format!("seed {seed}, input {number}: {}", input.escape_ascii());
        mask_dates(&mut whole);
        mask_dates(&mut pieces);
        assert!(
            stays == stays_in_pieces && whole == pieces,
            "{}\nwhole  {}\npieces {}",
            context(),
            whole.escape_ascii(),
            pieces.escape_ascii()
        );
        let (answers, redirects) = count_answers(&whole).unwrap_or_else(|| {
            panic!("{}\nis answered with {}", context(), whole.escape_ascii());
        });
        let heads = input.windows(4).filter(|bytes| bytes == b"\r\n\r\n").count() as u64;
        assert!(answers <= heads + 1, "{answers} answers: {}", context());
        total.inputs += 1;
        total.answers += answers;
        total.redirects += redirects;
    }
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} KiB more than before");
    total
}

/// Returns the resident memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    resident.expect("there is no line VmRSS")
}

fn connection() -> Exchange {
    Exchange::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
}

fn receive_in_pieces(input: &[u8], terms: Terms<'_>, answers: &mut Vec<u8>, random: &mut SmallRng) -> bool {
    let mut connection = connection();
    let mut rest = input;
    while !rest.is_empty() {
        let longest = if random.random_bool(0.2) { 2 } else { rest.len() };
        let (piece, later) = rest.split_at(random.random_range(1..=longest.min(rest.len())));
        if !connection.receive(piece, terms, &Codes, answers) {
            return false;
        }
        rest = later;
    }
    true
}

fn mutated(seeds: &[Vec<u8>], random: &mut SmallRng) -> Vec<u8> {
    let mut bytes = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(0..4) {
        let at = random.random_range(0..=bytes.len());
        let until = random.random_range(at..=bytes.len());
        match random.random_range(0..8) {
            0 if at < bytes.len() => bytes[at] = random.random(),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            2 => drop(bytes.splice(at..at, TOKENS[random.random_range(0..TOKENS.len())].iter().copied())),
            3 => drop(bytes.drain(at..until.min(at + 8))),
            4 => bytes.extend_from_slice(&seeds[random.random_range(0..seeds.len())]),
            5 => bytes.truncate(until),
            6 => drop(bytes.splice(at..at, bytes[at..until].to_vec())),
            _ => {
                let mut noise = [0; 16];
                random.fill_bytes(&mut noise);
                let repeat = if random.random_bool(0.02) { 300 } else { 1 };
                drop(bytes.splice(at..at, noise.repeat(repeat)));
            }
        }
    }
    bytes
}

/// Masks dates, since the two runs may fall into different seconds.
fn mask_dates(answers: &mut [u8]) {
    const NAME: &[u8] = b"\r\nDate: ";
    let mut at = 0;
    while let Some(found) = answers[at..].windows(NAME.len()).position(|bytes| bytes == NAME) {
        at += found + NAME.len();
        let end = (at + 29).min(answers.len());
        answers[at..end].fill(b'-');
    }
}

/// Returns the number of answers and of redirects among them, or `None` if there are other bytes.
fn count_answers(mut bytes: &[u8]) -> Option<(u64, u64)> {
    let (mut answers, mut redirects) = (0, 0);
    while !bytes.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut answer = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(head)) = answer.parse(bytes) else { return None };
        let lengths = answer.headers.iter().filter(|field| field.name == "Content-Length");
        let lengths: Vec<usize> =
            lengths.filter_map(|field| std::str::from_utf8(field.value).ok()?.parse().ok()).collect();
        let [length] = lengths[..] else { return None };
        bytes = &bytes[head..];
        match answer.code? {
            302 if length == 0 => redirects += 1,
            400 | 404 | 405 | 410 | 414 | 431 | 501 | 505 if bytes.starts_with(b"{") => {
                serde_json::from_slice::<serde_json::Value>(bytes.get(..length)?).ok()?;
                bytes = &bytes[length..];
            }
            // The answer to a HEAD is its head alone.
            400..=599 if bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 ") => {}
            _ => return None,
        }
        answers += 1;
    }
    Some((answers, redirects))
}
