//! Bytes in, answers out: a connection without its socket. It answers every complete head, and says how it goes on.
//!
//! It must not wait, and knows no deadline; apart from the clock it is pure, so fuzzing and benchmarks drive it as the
//! connection does.

use std::net::IpAddr;

use super::Service;
use super::date::{self, Date};
use super::encode::{Framing, Reply};
use super::input::Input;
use super::limits::Limits;
use super::parse::{self, Method, Request, Scan, Scanner, Verb};
use super::refusal::{METHOD_NOT_ALLOWED, Refusal};
use super::stats::Stats;

/// What was read of a connection, and what it was answered.
#[derive(Debug)]
pub struct Exchange {
    pub(super) input: Input,
    /// Answers that are not written yet.
    pub(super) output: Vec<u8>,
    scanner: Scanner,
    date: Date,
    peer: IpAddr,
    worker: usize,
}

/// What the port says to each of its connections.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub limits: &'a Limits,
    /// What is refused is counted there.
    pub stats: &'a Stats,
    /// Heads that are here already are still answered, and the last of them ends the connection.
    pub draining: bool,
}

/// How it goes on after the heads that were complete.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Read,
    /// The output is full: write before going on with what was read.
    Write,
    /// The last answer was given.
    Close {
        /// The client may still be sending, and would lose the answer to a reset.
        linger: bool,
    },
}

impl Exchange {
    /// `worker` is what [`Request::worker`] tells the service.
    pub fn new(peer: IpAddr, worker: usize) -> Exchange {
        Exchange {
            input: Input::default(),
            output: Vec::new(),
            scanner: Scanner::default(),
            date: Date::default(),
            peer,
            worker,
        }
    }

    /// Takes bytes as if they had come in one packet, and appends what they are answered to `answers`.
    /// Whether the connection stays open.
    pub fn receive(&mut self, bytes: &[u8], terms: Terms<'_>, service: &impl Service, answers: &mut Vec<u8>) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = self.input.space(terms.limits.head_bytes);
            let (now, later) = rest.split_at(rest.len().min(space.len()));
            space[..now.len()].copy_from_slice(now);
            self.input.filled(now.len());
            rest = later;
            loop {
                let next = self.answer(terms, !rest.is_empty(), service);
                answers.append(&mut self.output);
                match next {
                    Next::Write => {}
                    Next::Read => break,
                    Next::Close { .. } => return false,
                }
            }
            self.input.mark_seen();
        }
        true
    }

    /// Answers every complete head in the input. `readable` says that more may be here already.
    pub(super) fn answer(&mut self, terms: Terms<'_>, readable: bool, service: &impl Service) -> Next {
        loop {
            match self.scanner.advance(self.input.bytes(), terms.limits.head_bytes) {
                Scan::Partial => return Next::Read,
                Scan::Refused(refusal) => {
                    self.refuse(refusal, terms.stats);
                    return Next::Close { linger: true };
                }
                Scan::Head { begin, end } => {
                    let next = self.answer_one(begin, end, terms, readable, service);
                    self.input.consume(end);
                    self.scanner = Scanner::default();
                    if let Some(linger) = next {
                        return Next::Close { linger };
                    }
                }
            }
            if self.output.len() >= terms.limits.pending_reply_bytes {
                return Next::Write;
            }
        }
    }

    /// Answers one head; says whether, and how, the connection ends with that. Not inlined: its frame holds the header
    /// fields and must be gone before the next yield.
    #[inline(never)]
    fn answer_one(
        &mut self,
        begin: usize,
        end: usize,
        terms: Terms<'_>,
        readable: bool,
        service: &impl Service,
    ) -> Option<bool> {
        let Self { input, output, date, peer, worker, .. } = self;
        let received_at_micros = date::now_micros();
        let more = end < input.bytes().len();
        let drained = terms.draining && !more;
        let bytes = &input.bytes()[begin..end];
        parse::with_head(bytes, |head, headers| {
            let framing = match &head {
                Ok(head) => Framing {
                    head_only: head.verb == Verb::Served(Method::Head),
                    close: head.close || head.body || drained || head.verb == Verb::Connect,
                },
                Err(_) => Framing { head_only: is_head(bytes), close: true },
            };
            let reply = Reply::new(output, date, received_at_micros, framing);
            let refuse = |refusal: Refusal, reply: Reply<'_>| {
                terms.stats.count_refused(refusal.status);
                reply.answer(&refusal.answer());
            };
            let head = match head {
                Ok(head) => head,
                Err(refusal) => {
                    refuse(refusal, reply);
                    return Some(true);
                }
            };
            match head.verb {
                Verb::Served(method) => {
                    let (peer, worker) = (*peer, *worker);
                    let parse::Head { path, is_http_1_0, .. } = head;
                    let request = Request { method, path, headers, is_http_1_0, peer, received_at_micros, worker };
                    service.call(&request, reply);
                }
                Verb::NotAllowed | Verb::Connect => {
                    refuse(METHOD_NOT_ALLOWED, reply);
                }
            }
            // A client that said it is done, and sent nothing after that, can be believed.
            framing.close.then_some(!head.close || head.body || more || readable)
        })
    }

    /// Answers what never became a head that can be served.
    pub(super) fn refuse(&mut self, refusal: Refusal, stats: &Stats) {
        stats.count_refused(refusal.status);
        // What came behind the mistake may have come by chance.
        let head_only = is_head(&self.input.bytes()[..self.scanner.seen()]);
        let framing = Framing { head_only, close: true };
        let reply = Reply::new(&mut self.output, &mut self.date, date::now_micros(), framing);
        reply.answer(&refusal.answer());
    }
}

/// Whether the answer may have no body, for heads that were not, or not successfully, parsed.
fn is_head(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"HEAD ")
}
