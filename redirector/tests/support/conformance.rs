//! Sends the vectors over sockets and checks the answers.
//!
//! The server may be the HTTP loop alone, the whole redirector, or a proxy in front of it.

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::Mutex;

use super::client::{Answer, Client, GET};
use super::vectors::{Delivery, Vector, vectors};

/// One accepted result: the statuses in order, and whether the connection ends.
#[derive(Debug, PartialEq, Eq)]
struct Expectation {
    statuses: Vec<u16>,
    close: bool,
}

fn parse_expectations(text: &str) -> Vec<Expectation> {
    let one = |text: &str| {
        let (statuses, close) = match text.strip_suffix("close") {
            Some(rest) => (rest.trim_end_matches(", then "), true),
            None => (text, false),
        };
        let repeated = |word: &str| match word.split_once('*') {
            Some((status, times)) => vec![status.parse().unwrap(); times.parse().unwrap()],
            None => vec![word.parse().unwrap()],
        };
        Expectation { statuses: statuses.split_whitespace().flat_map(repeated).collect(), close }
    };
    text.split("; or ").map(one).collect()
}

/// Deviations of a proxy in front of the redirector.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    /// Expectations for the vectors with these names, in place of their own.
    pub(crate) expected_instead: &'static [(&'static str, &'static str)],
    /// Whether the proxy has reason phrases of its own.
    pub(crate) has_own_phrases: bool,
}

/// Runs every vector, eight at a time; panics with a line for each wrong answer.
pub(crate) fn run_all(addr: SocketAddr, expected_location: &str, differences: &Differences) {
    let all = vectors();
    assert!(all.len() > 200, "the table is incomplete");
    let (queue, wrong) = (Mutex::new(all.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some(vector) = queue.lock().unwrap().next() else { return };
                    if let Err(error) = run(vector, addr, expected_location, differences) {
                        wrong.lock().unwrap().push(format!(
                            "{}: {error}; expected {}",
                            vector.name,
                            differences.expected_of(vector)
                        ));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

impl Differences {
    fn expected_of(&self, vector: &Vector) -> &'static str {
        let expected_instead = self.expected_instead.iter().find(|(name, _)| *name == vector.name);
        expected_instead.map_or(vector.expected, |(_, expected)| expected)
    }
}

fn run(vector: &Vector, addr: SocketAddr, expected_location: &str, differences: &Differences) -> Result<(), String> {
    let mut client = Client::connect(addr);
    let flood = send(&mut client, vector);
    let to_head = vector.sent.starts_with(b"HEAD ");
    let expectations = parse_expectations(differences.expected_of(vector));
    let mut statuses = Vec::new();
    loop {
        let done = |expected: &Expectation| expected.statuses == statuses;
        let longer = |expected: &Expectation| {
            expected.statuses.len() > statuses.len() && expected.statuses.starts_with(&statuses)
        };
        let may_stay = expectations.iter().any(|expected| done(expected) && !expected.close);
        let may_end = expectations.iter().any(|expected| done(expected) && expected.close);
        // If nothing else can follow, the next answer is that to the probe.
        if may_stay && !expectations.iter().any(longer) {
            return probe(&mut client, may_end, expected_location, differences);
        }
        match client.answer(to_head) {
            Ok(Some(answer)) => {
                check(&answer, to_head, expected_location, differences)?;
                statuses.push(answer.status);
                if !expectations.iter().any(|expected| expected.statuses.starts_with(&statuses)) {
                    return Err(format!("answered {statuses:?}"));
                }
                if to_head {
                    check_like_get(&answer, vector, addr)?;
                }
            }
            Ok(None) if may_end => break,
            // A flooding client that is cut off may miss the answer, since the kernel discards its buffers.
            Err(error) if flood && error.kind() == io::ErrorKind::ConnectionReset => break,
            Ok(None) => return Err(format!("closed after {statuses:?}")),
            Err(error) => return Err(format!("after {statuses:?}: {error}")),
        }
    }
    Ok(())
}

/// Sends the vector; returns true if the connection may have been closed meanwhile.
fn send(client: &mut Client, vector: &Vector) -> bool {
    match vector.delivery {
        Delivery::Whole => client.send(&vector.sent),
        Delivery::ByteWise => vector.sent.chunks(1).for_each(|byte| client.send(byte)),
        Delivery::CutAfter(at) => {
            client.send(&vector.sent[..at]);
            // Usually long enough for the server to read the first part.
            client.receives_within(std::time::Duration::from_millis(2));
            client.send(&vector.sent[at..]);
        }
        Delivery::HalfClose => {
            client.send(&vector.sent);
            client.stream.shutdown(Shutdown::Write).unwrap();
        }
        Delivery::Flood(bytes) => {
            client.send(&vector.sent);
            let chunk = [b'v'; 64 * 1024];
            let taken = (0..bytes / chunk.len()).take_while(|_| client.stream.write_all(&chunk).is_ok()).count();
            return taken < bytes / chunk.len();
        }
    }
    false
}

/// Checks that both sides are in step: a valid GET is answered 302, unless the connection ended as allowed.
fn probe(client: &mut Client, may_end: bool, expected_location: &str, differences: &Differences) -> Result<(), String> {
    let sent = client.stream.write_all(GET);
    let ended = |error: &io::Error| matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
    match sent.and_then(|()| client.answer(false)) {
        Ok(Some(answer)) if answer.status == 302 => check(&answer, false, expected_location, differences),
        Ok(Some(answer)) => Err(format!("out of step: a GET was answered {answer:?}")),
        Ok(None) if may_end => Ok(()),
        Err(error) if may_end && ended(&error) => Ok(()),
        other => Err(format!("does not go on: {other:?}")),
    }
}

/// Checks the properties that every answer has.
fn check(answer: &Answer, to_head: bool, expected_location: &str, differences: &Differences) -> Result<(), String> {
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
            let is_phrase = differences.has_own_phrases || body["error"] == *answer.reason;
            ensure(is_phrase, "another error than the reason phrase")?;
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

/// Checks that the answer to a HEAD has the head of the GET's.
fn check_like_get(answer: &Answer, vector: &Vector, addr: SocketAddr) -> Result<(), String> {
    let get = [b"GET", &vector.sent[4..]].concat();
    let same = |answer: Answer| {
        let fields: Vec<_> = answer.fields.into_iter().filter(|(name, _)| name != "Date").collect();
        (answer.status, fields)
    };
    let (head, get) = (same(answer.clone()), same(Client::connect(addr).ask(&get)));
    if head == get { Ok(()) } else { Err(format!("HEAD has {head:?}, GET {get:?}")) }
}
