//! Following a short code: look it up, decide, record the click, answer.
//!
//! Both ports that follow codes come through here, so that they have the same map, the same outcome, the same click.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tern_common::ShortCode;

use crate::clicks::Recorder;
use crate::client::Proxies;
use crate::http::{Method, Reply, Request, Service, Status};
use crate::link_map::LinkMap;
use crate::metrics::RedirectMetrics;
use crate::miss_budget::MissBudget;
use crate::redirect::{Outcome, code_of_path, decide};

/// Everything a request for a short code needs. Shared by all workers; nothing in it is locked.
#[derive(Debug)]
pub struct Engine {
    pub(crate) map: Arc<LinkMap>,
    pub(crate) recorder: Recorder,
    pub(crate) misses: MissBudget,
    pub(crate) proxies: Proxies,
    pub(crate) metrics: RedirectMetrics,
}

/// A request for a short code, whichever port it came to.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// As it was sent, without the query.
    pub path: &'a [u8],
    /// A `GET` is recorded, a `HEAD` is not.
    pub is_get: bool,
    pub at: SystemTime,
    pub peer: IpAddr,
}

impl Engine {
    /// Whether the map was loaded, so that an absent code is known to be absent.
    pub fn is_ready(&self) -> bool {
        self.map.is_loaded()
    }

    /// Decides what becomes of a visit, records it, and has `answer` answer it. `answer` must not yield.
    ///
    /// `forwarded_for` gives the values of `X-Forwarded-For` as they came; it is asked only when they matter.
    pub fn follow<'v, R, F>(
        &self,
        visit: &Visit<'v>,
        forwarded_for: impl FnOnce() -> F,
        answer: impl FnOnce(Outcome<'_>, Option<&str>) -> R,
    ) -> R
    where
        F: DoubleEndedIterator<Item = &'v [u8]>,
    {
        let mut buffer = [0; ShortCode::MAX_LEN];
        let code = code_of_path(visit.path, &mut buffer);
        decide(&self.map, code, |mut outcome| {
            match outcome {
                // Before the answer exists: what was answered is recorded, whatever happens to the socket.
                Outcome::Redirect(link) if visit.is_get => self.recorder.record(link, visit.at),
                Outcome::NotFound => {
                    if let Err(wait) = self.spend_miss(visit.peer, forwarded_for) {
                        outcome = Outcome::Refused { retry_after_seconds: whole_seconds(wait) };
                    }
                }
                _ => {}
            }
            self.metrics.count(&outcome);
            answer(outcome, code)
        })
    }

    fn spend_miss<'v, F>(&self, peer: IpAddr, forwarded_for: impl FnOnce() -> F) -> Result<(), Duration>
    where
        F: DoubleEndedIterator<Item = &'v [u8]>,
    {
        let client = self.proxies.client(peer, forwarded_for());
        if client.is_loopback() || self.proxies.contains(client) {
            return Ok(());
        }
        self.misses.spend(client, Instant::now())
    }
}

/// At least as long as `wait`.
fn whole_seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
}

/// The sentence that goes with an outcome, in pieces, since it may quote the code.
pub fn message<'a>(outcome: &Outcome<'_>, code: Option<&'a str>) -> [&'a str; 3] {
    match (outcome, code) {
        (Outcome::NotFound, Some(code)) => ["Short code '", code, "' not found"],
        (Outcome::NotFound, None) => ["No short code has this form", "", ""],
        (Outcome::Gone, _) => ["This shortened URL has been deactivated", "", ""],
        (Outcome::NotReady, _) => ["The links are not loaded yet", "", ""],
        (Outcome::Refused { .. }, _) => ["Too many requests for short codes that do not exist", "", ""],
        (Outcome::Redirect(_), _) => ["", "", ""],
    }
}

/// How long a client is asked to wait for a redirector that has just started.
pub const NOT_READY_RETRY_SECONDS: u32 = 1;

impl Service for Engine {
    fn call(&self, request: &Request<'_>, reply: Reply<'_>) {
        let visit = Visit {
            path: request.path(),
            is_get: request.method() == Method::Get,
            at: UNIX_EPOCH + Duration::from_micros(request.received_at_micros()),
            peer: request.peer(),
        };
        let forwarded_for = || request.headers("x-forwarded-for");
        self.follow(&visit, forwarded_for, |outcome, code| {
            let message = message(&outcome, code).map(str::as_bytes);
            match outcome {
                Outcome::Redirect(link) => reply.found(link.location().as_bytes()),
                Outcome::Gone => reply.error(Status::Gone, &message),
                Outcome::NotFound => reply.error(Status::NotFound, &message),
                Outcome::NotReady => {
                    reply.error_retry_after(Status::ServiceUnavailable, NOT_READY_RETRY_SECONDS, &message);
                }
                Outcome::Refused { retry_after_seconds } => {
                    reply.error_retry_after(Status::TooManyRequests, retry_after_seconds, &message);
                }
            }
        });
    }
}
