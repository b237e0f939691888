//! Following a short code: look it up, decide, record the click, answer.
//!
//! Both ports that follow codes come through here, so that they have the same map, the same outcome, the same click.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tern_common::ShortCode;
use tern_common::budget::{ClientBudget, prefix};
use tern_common::client::{Proxies, is_forwarding_field, is_local_host};

use crate::clicks::Recorder;
use crate::clicks::journal::{Answered, Network};
use crate::http::{Method, Reply, Request, Service, Status};
use crate::link_map::{LinkMap, LinkView};
use crate::metrics::RedirectCounters;
use crate::redirect::{Outcome, code_of_path, decide};

/// Everything a request for a short code needs. Shared by all workers; none of them waits in it for another.
#[derive(Debug)]
pub struct Engine {
    pub(crate) map: Arc<LinkMap>,
    pub(crate) recorder: Recorder,
    pub(crate) records_clicks: bool,
    /// Misses that clients may have, so that codes cannot be enumerated. A redirect costs nothing of it.
    pub(crate) misses: ClientBudget,
    pub(crate) proxies: Proxies,
    pub(crate) counters: RedirectCounters,
    /// Threads that serve redirects, and those of another port that follows codes.
    pub(crate) workers: usize,
    pub(crate) other_recorders: usize,
}

/// A request for a short code, whichever port it came to.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// As it was sent, without the query.
    pub path: &'a [u8],
    /// Only a `GET` is recorded. A method other than `GET` and `HEAD` is refused where there is a link.
    pub method: Method,
    pub at: SystemTime,
    pub peer: IpAddr,
    /// A proxy that is told nothing else sends HTTP/1.0.
    pub is_http_1_0: bool,
    /// The number of the worker, or of [`Engine::beside_workers`]: threads with different ones count and record beside
    /// each other.
    pub affinity: usize,
}

/// The header fields that a decision or a click may need. Asked only when they matter.
pub trait Fields<'a> {
    /// The values of a field as they came, one for each of its lines. The name is in lower case.
    fn values(&self, name: &'static str) -> impl DoubleEndedIterator<Item = &'a [u8]>;

    /// Whether a field has a name that `is_wanted` accepts.
    fn any_name(&self, is_wanted: impl Fn(&[u8]) -> bool) -> bool;

    fn first(&self, name: &'static str) -> &'a [u8] {
        self.values(name).next().unwrap_or_default()
    }
}

impl Engine {
    /// A number for a visit that no worker serves, out of the way of the workers'. Visits at one time had better differ
    /// in `n`.
    pub fn beside_workers(&self, n: usize) -> usize {
        self.workers + n % self.other_recorders.max(1)
    }

    /// Whether the map was loaded, so that an absent code is known to be absent.
    pub fn is_ready(&self) -> bool {
        self.map.is_loaded()
    }

    /// Tells an operator why there is no room to record clicks, if there is none.
    pub fn warning(&self) -> Option<String> {
        let shortage = self.recorder.shortage().filter(|_| self.records_clicks)?;
        Some(format!("no room to record clicks, so they are dropped and redirects go on: {shortage}"))
    }

    /// Decides what becomes of a visit, records it, and has `answer` answer it. `answer` must not yield.
    pub fn follow<'v, R>(
        &self,
        visit: &Visit<'v>,
        fields: &impl Fields<'v>,
        answer: impl FnOnce(Outcome<'_>, Option<&str>) -> R,
    ) -> R {
        let mut buffer = [0; ShortCode::MAX_LEN];
        let code = code_of_path(visit.path, &mut buffer);
        let answered = decide(&self.map, code, |mut outcome| {
            match outcome {
                Outcome::Redirect(_) | Outcome::Gone if visit.method == Method::Other => outcome = Outcome::OtherMethod,
                // Before the answer exists: what was answered is recorded, whatever happens to the socket.
                Outcome::Redirect(link) if visit.method == Method::Get && self.records_clicks => {
                    self.record(link, visit, fields)
                }
                Outcome::NotFound => {
                    if let Err(wait) = self.spend_miss(visit, fields) {
                        outcome = Outcome::Refused { retry_after_seconds: whole_seconds(wait) };
                    }
                }
                _ => {}
            }
            self.counters.count(&outcome, visit.affinity);
            answer(outcome, code)
        });
        // A clock that was set back meanwhile says nothing.
        self.counters.took(visit.at.elapsed().unwrap_or_default(), visit.affinity);
        answered
    }

    fn record<'v>(&self, link: LinkView<'_>, visit: &Visit<'v>, fields: &impl Fields<'v>) {
        let at_micros = visit.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let click = Answered {
            url_id: link.url_id,
            owner_id: link.owner_id,
            short_code: link.code,
            original_url: link.original_url(),
            at_micros: u64::try_from(at_micros).unwrap_or(u64::MAX),
            client: Network::of(self.proxies.client(visit.peer, fields.values("x-forwarded-for"))),
            user_agent: fields.first("user-agent"),
            referrer: fields.first("referer"),
        };
        // What could not be recorded is counted there, and answered all the same.
        self.recorder.record(&click, visit.affinity);
    }

    /// Takes a miss from the budgets of the client. A program on this machine has no limit.
    fn spend_miss<'v>(&self, visit: &Visit<'v>, fields: &impl Fields<'v>) -> Result<(), Duration> {
        if is_from_this_machine(visit, fields) {
            return Ok(());
        }
        let client = self.proxies.client(visit.peer, fields.values("x-forwarded-for"));
        self.misses.spend(client, Instant::now())
    }
}

/// Whether a program on this machine made the request itself: a proxy on this machine has a loopback address, too.
fn is_from_this_machine<'v>(visit: &Visit<'v>, fields: &impl Fields<'v>) -> bool {
    visit.peer.is_loopback()
        && !visit.is_http_1_0
        && is_local_host(fields.first("host"))
        && !fields.any_name(is_forwarding_field)
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
        (Outcome::OtherMethod, _) => ["Only GET and HEAD are served here", "", ""],
        (Outcome::Redirect(_), _) => ["", "", ""],
    }
}

/// How long a client is asked to wait for a redirector that has just started.
pub const NOT_READY_RETRY_SECONDS: u32 = 1;

impl<'a> Fields<'a> for Request<'a> {
    fn values(&self, name: &'static str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.headers(name)
    }

    fn any_name(&self, is_wanted: impl Fn(&[u8]) -> bool) -> bool {
        self.has_header(is_wanted)
    }
}

impl Service for Engine {
    fn share_of(&self, peer: IpAddr) -> Option<u64> {
        // Through a proxy, and through what runs on this machine, many clients come.
        let is_shared = peer.is_loopback() || self.proxies.contains(peer);
        (!is_shared).then(|| prefix(peer))
    }

    fn call(&self, request: &Request<'_>, reply: Reply<'_>) {
        let visit = Visit {
            path: request.path(),
            method: request.method(),
            at: UNIX_EPOCH + Duration::from_micros(request.received_at_micros()),
            peer: request.peer(),
            is_http_1_0: request.is_http_1_0(),
            affinity: request.worker(),
        };
        self.follow(&visit, request, |outcome, code| {
            let message = message(&outcome, code).map(str::as_bytes);
            match outcome {
                Outcome::Redirect(link) => reply.found(link.location().as_bytes()),
                Outcome::Gone => reply.error(Status::Gone, &message),
                Outcome::NotFound => reply.error(Status::NotFound, &message),
                Outcome::OtherMethod => reply.error(Status::MethodNotAllowed, &message),
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
