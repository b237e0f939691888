//! Handles a request for a short code: decides, records the click, answers.
//!
//! The redirect port and the API port share one engine, and with it the map, the outcomes and the clicks.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use tern_common::ShortCode;
use tern_common::accept::prefers_html;
use tern_common::budget::{ClientBudget, prefix};
use tern_common::client::{Proxies, is_forwarding_field, is_local_host};
use tern_common::served_link::ServedLink;
use tern_common::visitor::MAX_TEXT;

use crate::answers::Answers;
use crate::choice::Sources;
use crate::clicks::Recorder;
use crate::clicks::journal::{Network, NewClick};
use crate::code_path::{CodePath, code_of_path, without_qr_mark};
use crate::countries::Countries;
use crate::fields::Fields;
use crate::http::{Answer, Method, Reply, Request, Service, Signal, Verdict};
use crate::link_defaults::LinkDefaults;
use crate::link_map::{LinkMap, MapPin};
use crate::metrics::RedirectCounters;
use crate::misses::Misses;
use crate::outcome::{Effect, Kind, Outcome};
use crate::redirect::{Visit, decide};
use crate::takes::{Admission, Takes};
use crate::tracking::{Tracking, is_preview_agent};

/// The shared state for requests for short codes. No worker waits for another one here.
#[derive(Debug)]
pub struct Engine {
    pub(crate) map: Arc<LinkMap>,
    pub(crate) defaults: LinkDefaults,
    pub(crate) recorder: Recorder,
    pub(crate) tracking: Tracking,
    pub(crate) answers: Answers,
    /// Budget of misses for each client, so that codes cannot be enumerated. A redirect costs nothing.
    pub(crate) miss_budget: ClientBudget,
    pub(crate) misses: Arc<Misses>,
    pub(crate) countries: Arc<Countries>,
    pub(crate) proxies: Proxies,
    pub(crate) counters: RedirectCounters,
    pub(crate) takes: Arc<Takes>,
    /// Threads that serve redirects.
    pub(crate) workers: usize,
    /// Recorder slots for another port that answers short codes.
    pub(crate) other_recorders: usize,
}

/// A decision about a request, or the wait for one.
#[derive(Debug)]
pub enum Step<'a> {
    Answer(Answer<'a>),
    /// The link is limited: the request has to be made again once the signal has a verdict.
    Wait(Arc<Signal>),
}

impl Engine {
    /// Returns a recorder slot for a request that is not served by a `may` worker (the API port).
    ///
    /// Concurrent requests with different `n` share a slot less often.
    pub fn beside_workers(&self, n: usize) -> usize {
        self.workers + n % self.other_recorders.max(1)
    }

    /// Returns whether the map has been loaded, so that an absent code is known to be absent.
    pub fn is_ready(&self) -> bool {
        self.map.is_loaded()
    }

    /// Returns why there is no room to record clicks, if there is none, as a sentence for the operator.
    pub fn warning(&self) -> Option<String> {
        let shortage = self.recorder.shortage().filter(|_| self.tracking.records())?;
        Some(format!("no room to record clicks, so they are dropped and redirects go on: {shortage}"))
    }

    /// Decides about a visit, records its click and counts its outcome. The caller only has to send the answer.
    ///
    /// The click is in the journal before this function returns. `wait` is the signal of an earlier call for this visit,
    /// which has a verdict.
    pub fn answer<'a, 'f>(
        &'a self,
        pin: &'a MapPin,
        visit: &Visit<'a>,
        fields: &impl Fields<'f>,
        wait: Option<&Signal>,
    ) -> Step<'a> {
        let sources = Sources { proxies: &self.proxies, tracking: &self.tracking, countries: &self.countries };
        let choose = |routing, link| sources.choose(routing, link, visit, fields);
        let mut outcome = decide(&self.map, pin, visit, &self.defaults, choose);
        if outcome.is_limited {
            match self.admit(outcome, fields, wait) {
                Ok(admitted) => outcome = admitted,
                Err(signal) => return Step::Wait(signal),
            }
        }
        let outcome = self.follow(outcome, visit, fields);
        Step::Answer(self.answers.answer(&outcome, visit, || prefers_html(fields.values("accept"))))
    }

    /// Completes the decision to redirect a limited link: by a click of its limit, or by another outcome.
    ///
    /// # Errors
    /// The wait, if no click is there yet.
    #[cold]
    fn admit<'a, 'f>(
        &self,
        outcome: Outcome<'a>,
        fields: &impl Fields<'f>,
        wait: Option<&Signal>,
    ) -> Result<Outcome<'a>, Arc<Signal>> {
        let Some(link) = outcome.link else { return Ok(outcome) };
        if is_preview_agent(fields) {
            return Ok(Outcome::withheld(link));
        }
        // Meanwhile the code may have become that of another link, whose limit is another one.
        let verdict = wait.filter(|wait| wait.subject() == link.url_id.get()).and_then(Signal::verdict);
        match verdict {
            Some(Verdict::Granted) => Ok(outcome),
            Some(Verdict::Refused) => Ok(Outcome::exhausted(link.extension().and_then(|own| own.expired_location()))),
            Some(Verdict::Unknown) => Ok(Kind::LimitUnavailable.into()),
            // The wait was for another link, and a request waits once.
            None if wait.is_some() => Ok(Kind::LimitUnavailable.into()),
            None => match self.takes.admit(link.url_id) {
                Admission::Granted => Ok(outcome),
                Admission::Wait(signal) => Err(signal),
            },
        }
    }

    fn follow<'a, 'f>(&self, mut outcome: Outcome<'a>, visit: &Visit<'_>, fields: &impl Fields<'f>) -> Outcome<'a> {
        match (outcome.kind.effect(), outcome.link) {
            (Effect::Click, Some(link)) if visit.method == Method::Get && self.tracking.records() => {
                self.record(&link, &outcome, visit, fields);
            }
            (Effect::Miss, _) => {
                if let Err(wait) = self.spend_miss(visit, fields) {
                    outcome = Outcome::refused(whole_seconds(wait));
                } else if let Some(code) = outcome.code {
                    self.misses.count(code, visit.affinity);
                }
            }
            _ => {}
        }
        if outcome.drops_query {
            self.counters.count_dropped_query(visit.affinity);
        }
        // A clock that was set back meanwhile yields no duration.
        self.counters.count(outcome.kind, visit.at.elapsed().unwrap_or_default(), visit.affinity);
        outcome
    }

    fn record<'f>(&self, link: &ServedLink<'_>, outcome: &Outcome<'_>, visit: &Visit<'_>, fields: &impl Fields<'f>) {
        let client = self.proxies.client(visit.peer, fields.values("x-forwarded-for"));
        if self.tracking.ignored.contains(client) {
            self.counters.count_ignored_click(visit.affinity);
            return;
        }
        let mut text = [0; MAX_TEXT];
        let is_from_proxy = self.proxies.contains(visit.peer);
        let source = outcome.source();
        let at_micros = visit.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let click = NewClick {
            url_id: link.url_id,
            owner_id: link.owner_id,
            short_code: link.code,
            original_url: outcome.chosen.map_or(link.original_url(), |chosen| chosen.given),
            choice: outcome.chosen.map(|chosen| chosen.choice),
            at_micros: u64::try_from(at_micros).unwrap_or(u64::MAX),
            client: Network::of(client),
            sent: self.tracking.sent(fields, is_from_proxy, visit.is_from_qr, source, &mut text),
        };
        // The recorder counts a click that it cannot record; the redirect is answered anyway.
        self.recorder.record(&click, visit.affinity);
    }

    /// Takes a miss from the budget of the client. A program on this machine has no limit.
    fn spend_miss<'f>(&self, visit: &Visit<'_>, fields: &impl Fields<'f>) -> Result<(), Duration> {
        if is_from_this_machine(visit, fields) {
            return Ok(());
        }
        let client = self.proxies.client(visit.peer, fields.values("x-forwarded-for"));
        self.miss_budget.spend(client, Instant::now())
    }
}

/// Returns whether a program on this machine made the request itself, and not through a proxy on this machine.
fn is_from_this_machine<'f>(visit: &Visit<'_>, fields: &impl Fields<'f>) -> bool {
    visit.peer.is_loopback()
        && !visit.is_http_1_0
        && is_local_host(fields.first("host"))
        && !fields.any_name(is_forwarding_field)
}

/// Rounds up to at least one second.
fn whole_seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
}

impl<'a> Fields<'a> for Request<'a> {
    fn values(&self, name: &'static str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.headers(name)
    }

    fn for_each(&self, visit: impl FnMut(&[u8], &'a [u8])) {
        self.for_each_header(visit);
    }
}

impl Service for Engine {
    fn share_of(&self, peer: IpAddr) -> Option<u64> {
        // A proxy, or a program on this machine, connects for many clients.
        let is_shared = peer.is_loopback() || self.proxies.contains(peer);
        (!is_shared).then(|| prefix(peer))
    }

    fn call(&self, request: &Request<'_>, reply: Reply<'_>) {
        let mut buffer = [0; ShortCode::MAX_LEN + 1];
        let CodePath { code, is_preview, rest } = code_of_path(request.path, &mut buffer);
        let (query, is_from_qr) = without_qr_mark(request.query);
        let visit = Visit {
            path: request.path,
            query,
            is_from_qr,
            code,
            is_preview,
            rest,
            method: request.method,
            at: UNIX_EPOCH + Duration::from_micros(request.received_at_micros),
            peer: request.peer,
            is_http_1_0: request.is_http_1_0,
            affinity: request.worker,
        };
        MapPin::scope(|pin| match self.answer(pin, &visit, request, request.wait) {
            Step::Answer(answer) => reply.answer(&answer),
            Step::Wait(signal) => reply.postpone(signal),
        });
    }
}
