//! The facts of a request by which rules and splits choose its target. Pure: no I/O, no lock, no allocation.
//!
//! A fact is worked out when a condition first asks for it. A plain link asks for none.

use std::net::IpAddr;

use tern_common::Timestamp;
use tern_common::client::Proxies;
use tern_common::routing::{Chosen, Facts, Routing, hundredth_of};
use tern_common::served_link::ServedLink;
use tern_common::visitor::{Signs, UNKNOWN, Visitor, country_of};

use crate::countries::Countries;
use crate::fields::Fields;
use crate::redirect::Visit;
use crate::tracking::{Headers, Tracking};

/// The parts of an engine from which facts are worked out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sources<'e> {
    pub(crate) proxies: &'e Proxies,
    pub(crate) tracking: &'e Tracking,
    pub(crate) countries: &'e Countries,
}

/// The facts of one request.
#[derive(Debug)]
struct RequestFacts<'r, 'v, 'e, F> {
    sources: Sources<'e>,
    visit: &'r Visit<'v>,
    fields: &'r F,
    code: &'r str,
    headers: Headers<'r>,
    visitor: Option<Visitor>,
    country: Option<&'static str>,
}

impl Sources<'_> {
    /// Returns the target that rules or a split choose for a request; `None` for the plain one.
    #[inline(never)]
    pub(crate) fn choose<'a, 'f>(
        self,
        routing: Routing<'a>,
        link: ServedLink<'a>,
        visit: &Visit<'_>,
        fields: &impl Fields<'f>,
    ) -> Option<Chosen<'a>> {
        let headers = self.tracking.headers(fields, self.proxies.contains(visit.peer));
        let facts =
            RequestFacts { sources: self, visit, fields, code: link.code, headers, visitor: None, country: None };
        routing.choose(&mut { facts })
    }
}

impl<'f, F: Fields<'f>> RequestFacts<'_, '_, '_, F> {
    fn client(&self) -> IpAddr {
        self.sources.proxies.client(self.visit.peer, self.fields.values("x-forwarded-for"))
    }
}

impl<'f, F: Fields<'f>> Facts for RequestFacts<'_, '_, '_, F> {
    fn visitor(&mut self) -> Visitor {
        let Headers { user_agent, is_prefetch, .. } = self.headers;
        *self.visitor.get_or_insert_with(|| Visitor::of_request(&Signs { user_agent, is_prefetch, ..Signs::default() }))
    }

    fn accept_language(&mut self) -> &[u8] {
        self.headers.accept_language
    }

    fn referrer(&mut self) -> &[u8] {
        self.headers.referrer
    }

    fn country(&mut self) -> &'static str {
        if let Some(country) = self.country {
            return country;
        }
        let named = country_of(self.headers.country.trim_ascii());
        let country = if named == UNKNOWN { self.sources.countries.country(self.client()) } else { named };
        self.country = Some(country);
        country
    }

    fn query(&self) -> &[u8] {
        self.visit.query
    }

    fn at(&self) -> Timestamp {
        Timestamp::from(self.visit.at)
    }

    fn hundredth(&mut self) -> u8 {
        hundredth_of(self.code, self.client(), self.headers.user_agent)
    }
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
