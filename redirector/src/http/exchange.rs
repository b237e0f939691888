//! A connection without its socket: bytes in, answers out.
//!
//! It answers every complete head and returns how the connection continues. It does not wait and knows no deadline.
//! Apart from the clock it is pure, so fuzzers and benchmarks can use it in place of a connection.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::Service;
use super::date::{self, Date};
use super::encode::{Framing, Reply};
use super::input::Input;
use super::limits::Limits;
use super::parse::{self, Method, Request, Scan, Scanner, Verb};
use super::refusal::{METHOD_NOT_ALLOWED, Refusal};
use super::signal::{Signal, Verdict};
use super::stats::Stats;

/// Input and output of a connection.
#[derive(Debug)]
pub struct Exchange {
    pub(super) input: Input,
    /// Answers that are not written yet.
    pub(super) output: Vec<u8>,
    scanner: Scanner,
    /// The head whose answer is postponed.
    postponed: Option<Postponed>,
    date: Date,
    peer: IpAddr,
    worker: usize,
}

/// A head in the input whose answer waits for a signal.
#[derive(Debug)]
struct Postponed {
    head: Range<usize>,
    signal: Arc<Signal>,
}

/// State of the port that a connection needs to answer.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub limits: &'a Limits,
    /// Counters of refused requests.
    pub stats: &'a Stats,
    /// Whether the connection ends with the last complete head in the input.
    pub is_last: bool,
}

/// Next step of a connection after its complete heads were answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Read,
    /// The output is full, so it has to be written before more heads are answered.
    Write,
    /// The next answer is postponed until the [signal](Exchange::signal) has a verdict.
    Wait,
    /// The last answer was given.
    Close {
        /// Whether the client may still send bytes. A reset would make it lose the answer.
        linger: bool,
    },
}

/// The state of one head after it was passed to the service.
enum Answered {
    /// It is answered, and the connection stays open.
    Open,
    /// It is answered, and the connection ends with the answer.
    Last {
        /// Whether the client may still send bytes, as for [`Next::Close`].
        linger: bool,
    },
    /// Its answer waits for a signal.
    Postponed(Arc<Signal>),
}

impl Exchange {
    /// Creates the exchange of a connection. The service gets `worker` as [`Request::worker`].
    pub fn new(peer: IpAddr, worker: usize) -> Exchange {
        Exchange {
            input: Input::default(),
            output: Vec::new(),
            scanner: Scanner::default(),
            postponed: None,
            date: Date::default(),
            peer,
            worker,
        }
    }

    /// Takes bytes as if they had arrived in one packet, and appends the answers to `answers`. Returns whether the
    /// connection stays open.
    pub fn receive(&mut self, bytes: &[u8], terms: Terms<'_>, service: &impl Service, answers: &mut Vec<u8>) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = self.input.space(terms.limits.head_bytes);
            let (now, later) = rest.split_at(rest.len().min(space.len()));
            space[..now.len()].copy_from_slice(now);
            self.input.extend(now.len());
            rest = later;
            loop {
                let next = self.answer(terms, !rest.is_empty(), service);
                answers.append(&mut self.output);
                match next {
                    Next::Write => {}
                    // There is no socket on which to wait.
                    Next::Wait => {
                        self.signal().inspect(|signal| signal.end(Verdict::Unknown));
                    }
                    Next::Read => break,
                    Next::Close { .. } => return false,
                }
            }
            self.input.mark_seen();
        }
        true
    }

    /// Answers every complete head in the input. `readable` is true if more bytes may have arrived.
    pub(super) fn answer(&mut self, terms: Terms<'_>, readable: bool, service: &impl Service) -> Next {
        loop {
            if self.postponed.is_some()
                && let Some(Postponed { head, signal }) = self.postponed.take()
            {
                match self.answer_head(head, terms, readable, service, Some(&signal)) {
                    Some(next) => return next,
                    None => continue,
                }
            }
            match self.scanner.advance(self.input.bytes(), terms.limits.head_bytes) {
                Scan::Partial => return Next::Read,
                Scan::Refused(refusal) => {
                    self.refuse(refusal, terms.stats);
                    return Next::Close { linger: true };
                }
                Scan::Head { begin, end } => {
                    if let Some(next) = self.answer_head(begin..end, terms, readable, service, None) {
                        return next;
                    }
                }
            }
        }
    }

    /// Returns the signal of the postponed answer.
    pub(super) fn signal(&self) -> Option<Arc<Signal>> {
        self.postponed.as_ref().map(|postponed| Arc::clone(&postponed.signal))
    }

    /// Answers one head and removes it from the input, unless its answer is postponed. Returns how the connection continues
    /// if it does not go on with the next head.
    #[inline]
    fn answer_head(
        &mut self,
        head: Range<usize>,
        terms: Terms<'_>,
        readable: bool,
        service: &impl Service,
        wait: Option<&Signal>,
    ) -> Option<Next> {
        let (begin, end) = (head.start, head.end);
        match self.answer_one(begin, end, terms, readable, service, wait) {
            Answered::Postponed(signal) => {
                self.postponed = Some(Postponed { head, signal });
                return Some(Next::Wait);
            }
            Answered::Last { linger } => {
                self.input.consume(end);
                self.scanner = Scanner::default();
                return Some(Next::Close { linger });
            }
            Answered::Open => {
                self.input.consume(end);
                self.scanner = Scanner::default();
            }
        }
        (self.output.len() >= terms.limits.pending_reply_bytes).then_some(Next::Write)
    }

    /// Answers one head.
    ///
    /// It is not inlined, because the header fields in its frame must not stay on the stack across a yield.
    #[inline(never)]
    fn answer_one(
        &mut self,
        begin: usize,
        end: usize,
        terms: Terms<'_>,
        readable: bool,
        service: &impl Service,
        wait: Option<&Signal>,
    ) -> Answered {
        let Self { input, output, date, peer, worker, .. } = self;
        let received_at_micros = date::now_micros();
        let more = end < input.bytes().len();
        let is_last = terms.is_last && !more;
        let bytes = &input.bytes()[begin..end];
        parse::with_head(bytes, |head, headers| {
            let framing = match &head {
                Ok(head) => Framing {
                    head_only: head.verb == Verb::Served(Method::Head),
                    close: head.close || head.body || is_last || head.verb == Verb::Connect,
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
                    return Answered::Last { linger: true };
                }
            };
            match head.verb {
                Verb::Served(method) => {
                    let (peer, worker) = (*peer, *worker);
                    let parse::Head { path, query, is_http_1_0, .. } = head;
                    let request =
                        Request { method, path, query, headers, is_http_1_0, peer, received_at_micros, worker, wait };
                    let mut postponed = None;
                    service.call(&request, reply.with_wait(&mut postponed));
                    if let Some(signal) = postponed {
                        return Answered::Postponed(signal);
                    }
                }
                Verb::NotAllowed | Verb::Connect => {
                    refuse(METHOD_NOT_ALLOWED, reply);
                }
            }
            if !framing.close {
                return Answered::Open;
            }
            // A client that asked to close, and sent nothing after that, sends no more bytes.
            Answered::Last { linger: !head.close || head.body || more || readable }
        })
    }

    /// Answers a refusal before a head is complete, or in place of one.
    pub(super) fn refuse(&mut self, refusal: Refusal, stats: &Stats) {
        stats.count_refused(refusal.status);
        // Bytes after the error must not affect the answer.
        let head_only = is_head(&self.input.bytes()[..self.scanner.seen()]);
        let framing = Framing { head_only, close: true };
        let reply = Reply::new(&mut self.output, &mut self.date, date::now_micros(), framing);
        reply.answer(&refusal.answer());
    }
}

/// Returns whether bytes that were not parsed begin with a HEAD request, whose answer has no body.
fn is_head(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"HEAD ")
}
