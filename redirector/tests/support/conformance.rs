//! Sends the vectors over sockets and holds what comes back to what is right.
//!
//! They run against whatever listens: the loop alone, the whole redirector, or a proxy before it.

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::Mutex;

use super::client::{Answer, Client, GET};
use super::vectors::{How, Vector, vectors};

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

/// What is right of somebody who stands before the redirector.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// What is right of the vectors with these names instead.
    pub(crate) otherwise: &'static [(&'static str, &'static str)],
    /// Whether its reason phrases are its own.
    pub(crate) has_own_phrases: bool,
}

/// Runs every vector, eight at a time, and panics with a line for each that was answered wrong.
pub(crate) fn run_all(addr: SocketAddr, expected_location: &str, judge: &Judge) {
    let all = vectors();
    assert!(all.len() > 200, "the table is all there");
    let (queue, wrong) = (Mutex::new(all.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some(vector) = queue.lock().unwrap().next() else { return };
                    if let Err(error) = run(vector, addr, expected_location, judge) {
                        wrong.lock().unwrap().push(format!(
                            "{}: {error}; right is {}",
                            vector.name,
                            judge.right_of(vector)
                        ));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

impl Judge {
    fn right_of(&self, vector: &Vector) -> &'static str {
        let otherwise = self.otherwise.iter().find(|(name, _)| *name == vector.name);
        otherwise.map_or(vector.right, |(_, right)| right)
    }
}

fn run(vector: &Vector, addr: SocketAddr, expected_location: &str, judge: &Judge) -> Result<(), String> {
    let mut client = Client::connect(addr);
    let flood = send(&mut client, vector);
    let to_head = vector.sent.starts_with(b"HEAD ");
    let rights = rights(judge.right_of(vector));
    let mut statuses = Vec::new();
    loop {
        let done = |right: &Right| right.statuses == statuses;
        let longer = |right: &Right| right.statuses.len() > statuses.len() && right.statuses.starts_with(&statuses);
        let may_stay = rights.iter().any(|right| done(right) && !right.close);
        let may_end = rights.iter().any(|right| done(right) && right.close);
        // Only where nothing else can follow is it known that the next answer is the probe's.
        if may_stay && !rights.iter().any(longer) {
            return probe(&mut client, may_end, expected_location, judge);
        }
        match client.answer(to_head) {
            Ok(Some(answer)) => {
                check(&answer, to_head, expected_location, judge)?;
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
fn probe(client: &mut Client, may_end: bool, expected_location: &str, judge: &Judge) -> Result<(), String> {
    let sent = client.stream.write_all(GET);
    let ended = |error: &io::Error| matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
    match sent.and_then(|()| client.answer(false)) {
        Ok(Some(answer)) if answer.status == 302 => check(&answer, false, expected_location, judge),
        Ok(Some(answer)) => Err(format!("out of step: a GET was answered {answer:?}")),
        Ok(None) if may_end => Ok(()),
        Err(error) if may_end && ended(&error) => Ok(()),
        other => Err(format!("does not go on: {other:?}")),
    }
}

/// What holds for every answer.
fn check(answer: &Answer, to_head: bool, expected_location: &str, judge: &Judge) -> Result<(), String> {
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
            let is_phrase = judge.has_own_phrases || body["error"] == *answer.reason;
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
