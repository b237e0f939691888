//! Checks of a request head beyond those of hyper, and the host names of an operations port.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::header::{HOST, TRANSFER_ENCODING};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Request, Version};
use tern_common::config::Setting;

/// Checks the `Host` and the transfer coding of a head by RFC 9112, which hyper does not do.
///
/// # Errors
/// Returns a sentence for the client, whose request is answered 400.
pub fn check_head<B>(request: &Request<B>) -> Result<(), &'static str> {
    const HOST_RULE: &str = "There must be exactly one valid Host field";
    let headers = request.headers();
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => {}
        (None, None) if request.version() <= Version::HTTP_10 => {}
        _ => return Err(HOST_RULE),
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, None) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err("The only accepted Transfer-Encoding is chunked, once"),
    }
}

/// Returns whether a value is `uri-host [ ":" port ]`. RFC 9112 allows it to be empty.
///
/// A comma is refused, because some proxies join two `Host` fields with it.
fn is_host(value: &[u8]) -> bool {
    if value.is_empty() {
        return true;
    }
    let Ok(authority) = Authority::try_from(value) else { return false };
    let text = authority.as_str();
    let port = text.get(authority.host().len()..).unwrap_or("x");
    !text.contains(['@', ','])
        && match port.strip_prefix(':') {
            None => port.is_empty(),
            Some(digits) => {
                digits.is_empty() || (digits.bytes().all(|b| b.is_ascii_digit()) && u16::from_str(digits).is_ok())
            }
        }
}

/// `OPS_HOSTS`: host names that an operations port answers to, besides addresses and `localhost`.
///
/// A foreign page can make a browser call this port under the page's own host name and read the answer (DNS rebinding).
/// It cannot use an address or one of these names for that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Setting for Hosts {
    const EXPECTED: &'static str = "host names such as tern-1,monitor.internal.example";

    fn parse(text: &str) -> Option<Hosts> {
        let name = |part: &str| {
            let is_name = !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            is_name.then(|| part.to_ascii_lowercase())
        };
        text.split(',').map(|part| name(part.trim())).collect::<Option<_>>().map(Hosts)
    }
}

impl Hosts {
    /// Returns whether the port answers to the `Host` of these headers. A request of HTTP/1.0 may have none.
    pub(crate) fn include(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(HOST) else { return true };
        let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        name == "localhost" || name.parse::<IpAddr>().is_ok() || self.0.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn request(version: Version, fields: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::new(());
        *request.version_mut() = version;
        for (name, value) in fields {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn head_has_exactly_one_valid_host() {
        let check = |version, hosts: &[&'static str], expected: bool| {
            let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert_eq!(check_head(&request(version, &fields)).is_ok(), expected, "{version:?} {hosts:?}");
        };
        for host in ["a", "a.example:80", "127.0.0.1:8000", "[::1]", "[2001:db8::1]:443", "a:", ""] {
            check(Version::HTTP_11, &[host], true);
        }
        for host in ["a@b", "a b", "a:80x", "a:+80", "a:99999", "a, b", "a/b", "[::1", "http://a", "a?b", "a#b"] {
            check(Version::HTTP_11, &[host], false);
        }
        check(Version::HTTP_11, &[], false);
        check(Version::HTTP_10, &[], true);
        check(Version::HTTP_11, &["a", "a"], false);
        check(Version::HTTP_10, &["a", "a"], false);
    }

    #[test]
    fn head_has_at_most_one_transfer_coding() {
        let check = |codings: &[&'static str], expected: bool| {
            let fields = codings.iter().map(|coding| ("transfer-encoding", *coding));
            let fields: Vec<_> = std::iter::once(("host", "a")).chain(fields).collect();
            assert_eq!(check_head(&request(Version::HTTP_11, &fields)).is_ok(), expected, "{codings:?}");
        };
        check(&[], true);
        check(&["chunked"], true);
        check(&["Chunked"], true);
        for codings in [&["chunked", "chunked"][..], &["chunked, chunked"], &["gzip, chunked"], &["identity"], &[""]] {
            check(codings, false);
        }
    }

    #[test]
    fn operations_port_answers_to_addresses_localhost_and_its_own_names() {
        let hosts = Hosts::parse("tern-1, Monitor.Example").unwrap();
        let includes = |host: &'static str| hosts.include(request(Version::HTTP_11, &[("host", host)]).headers());
        for own in ["127.0.0.1:9080", "10.1.2.3", "[::1]:9080", "LOCALHOST:9080", "tern-1:9080", "monitor.example"] {
            assert!(includes(own), "{own}");
        }
        for foreign in
            ["evil.example", "evil.example:9080", "localhost.evil.example", "127.0.0.1.evil.example", "tern-2"]
        {
            assert!(!includes(foreign), "{foreign}");
        }
        assert!(hosts.include(&HeaderMap::new()));
        assert_eq!(Hosts::parse("a b"), None);
        assert_eq!(Hosts::parse("http://a"), None);
    }
}
