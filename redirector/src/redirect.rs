//! The order of decisions about a request for a short code. Pure: no I/O, no lock, no allocation, no error value.

use std::net::IpAddr;
use std::time::SystemTime;

use tern_common::RedirectStatus;
use tern_common::location::{Given, Located, locate};
use tern_common::placeholders::Template;
use tern_common::routing::{Choice, Chosen, Routing};
use tern_common::served_link::{Extension, ServedLink};

use crate::http::{Answer, Content, FilledUrl, Method, StatusCode};
use crate::link_defaults::LinkDefaults;
use crate::link_map::{LinkMap, MapPin};
use crate::outcome::{Kind, Outcome};

/// A request for a short code, on either port.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The path as it was sent, without the query.
    pub path: &'a [u8],
    /// The query as it was sent, without its `?` and the mark of a QR code; empty if there is none.
    pub query: &'a [u8],
    /// Whether the query had the mark of a QR code, by [`without_qr_mark`](crate::code_path::without_qr_mark).
    pub is_from_qr: bool,
    /// The short code in the path, by [`code_of_path`](crate::code_path::code_of_path).
    pub code: Option<&'a str>,
    /// Whether the path ends with the sign of a preview.
    pub is_preview: bool,
    /// The path behind the code and its slash; `None` if there is no slash.
    pub rest: Option<&'a [u8]>,
    pub method: Method,
    pub at: SystemTime,
    pub peer: IpAddr,
    /// Whether the request is of HTTP/1.0, which many proxies send by default.
    pub is_http_1_0: bool,
    /// The slot of the recorder and of the counters: a worker's number, or a result of `Engine::beside_workers`.
    pub affinity: usize,
}

/// Decides about one request. Both ports use this order of decisions.
///
/// `choose` returns the target that rules or a split choose, if it is not the plain one. Only links that have them call it.
pub fn decide<'a>(
    map: &'a LinkMap,
    pin: &'a MapPin,
    visit: &Visit<'a>,
    defaults: &'a LinkDefaults,
    choose: impl FnOnce(Routing<'a>, ServedLink<'a>) -> Option<Chosen<'a>>,
) -> Outcome<'a> {
    // Until its first load, the map proves neither that a link exists nor that it is absent.
    if !map.is_loaded() {
        return Kind::NotReady.into();
    }
    let Some(code) = visit.code else {
        let is_root = visit.path == b"/" && visit.method != Method::Other;
        return if is_root { Kind::Root.into() } else { Kind::NoCode.into() };
    };
    let Some(link) = map.find(pin, code) else {
        return if visit.rest.is_none() { Outcome::not_found(code) } else { Kind::NoCode.into() };
    };
    // Most links have no options.
    let options = link.extension();
    if visit.rest.is_some() && !options.is_some_and(|options| options.has_placeholders()) {
        return Kind::NoCode.into();
    }
    if visit.method == Method::Other {
        return Kind::OtherMethod.into();
    }
    if !link.active {
        return Kind::Gone.into();
    }
    if let Some(options) = options {
        if options.is_scheduled(visit.at) {
            return Outcome::scheduled(code);
        }
        if options.has_expired(visit.at) {
            return options.expired_location().map_or(Kind::Expired.into(), Outcome::expired_elsewhere);
        }
        if options.is_exhausted() {
            return Outcome::exhausted(options.expired_location());
        }
    }
    if visit.is_preview {
        let outcome = preview(link, options, visit);
        let is_limited = options.is_some_and(|options| options.is_limited());
        return if is_limited && outcome.kind == Kind::Preview { Outcome::withheld(link) } else { outcome };
    }
    let Some(options) = options else {
        return redirect(link, link.original_url(), None, visit, defaults.status, defaults.forward_query, defaults);
    };
    let location = options.location().unwrap_or(link.original_url());
    let (given, template) = (link.original_url(), options.template());
    let plain = Chosen { given, location, template, choice: Choice::Plain };
    let chosen = options.routing().map(|routing| choose(routing, link).unwrap_or(plain));
    let target = chosen.unwrap_or(plain);
    let forwards_query = options.forward_query().unwrap_or(defaults.forward_query);
    let status = options.redirect_status(defaults.status);
    let outcome = redirect(link, target.location, target.template, visit, status, forwards_query, defaults);
    match options.is_limited() && outcome.kind == Kind::Redirect {
        true if visit.method == Method::Head => Outcome::withheld(link),
        is_limited => Outcome { chosen, is_limited, ..outcome },
    }
}

/// Returns a redirect to the target of a link, filled from the request, and with its query if the link forwards it.
#[inline]
fn redirect<'a>(
    link: ServedLink<'a>,
    target: &'a str,
    template: Option<Template<'a>>,
    visit: &Visit<'a>,
    status: RedirectStatus,
    forwards_query: bool,
    defaults: &'a LinkDefaults,
) -> Outcome<'a> {
    let given = Given { rest: visit.rest, query: visit.query, forwards_query };
    let Some(Located { location, drops_query }) = locate(target, template, given) else {
        return Outcome::unfilled(link.code);
    };
    let content = Content::Redirect(location, defaults.cache_control(status));
    let answer = Answer::new(status_code(status), content);
    Outcome { link: Some(link), answer: Some(answer), drops_query, ..Kind::Redirect.into() }
}

/// Returns an answer that shows the target of a link, filled from the request, if the link would redirect.
#[cold]
fn preview<'a>(link: ServedLink<'a>, options: Option<Extension<'a>>, visit: &Visit<'a>) -> Outcome<'a> {
    let Some(template) = options.and_then(|options| options.template()) else {
        return if visit.rest.is_none() { Outcome::preview(link, None) } else { Outcome::unfilled(link.code) };
    };
    match FilledUrl::new(template, visit.rest, visit.query) {
        Some(filled) => Outcome::preview(link, Some(filled)),
        None => Outcome::unfilled(link.code),
    }
}

fn status_code(status: RedirectStatus) -> StatusCode {
    match status.code() {
        301 => StatusCode::MOVED_PERMANENTLY,
        307 => StatusCode::TEMPORARY_REDIRECT,
        308 => StatusCode::PERMANENT_REDIRECT,
        _ => StatusCode::FOUND,
    }
}

#[cfg(test)]
#[path = "redirect_tests.rs"]
mod tests;
