//! The client of a request: the peer, or the address that a trusted proxy names.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::config::Setting;

/// A list of networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Setting for Networks {
    const EXPECTED: &'static str = "addresses or networks such as 10.0.0.0/8,192.0.2.1";

    fn parse(text: &str) -> Option<Networks> {
        let network = |part: &str| part.parse().ok().or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from));
        text.split(',').map(|part| network(part.trim())).collect::<Option<_>>().map(Networks)
    }
}

impl Networks {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// `TRUSTED_PROXIES`: the networks whose `X-Forwarded-For` is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Networks);

impl Setting for Proxies {
    const EXPECTED: &'static str = Networks::EXPECTED;

    fn parse(text: &str) -> Option<Proxies> {
        Networks::parse(text).map(Proxies)
    }
}

impl Proxies {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(address)
    }

    /// Returns the right-most address that is no trusted proxy, among the `X-Forwarded-For` values and the peer.
    ///
    /// Empty items are ignored, as in any HTTP list.
    /// If a hop is no address, its proxy did not name the client, and the result is [`UNKNOWN`].
    /// Items further left are ignored, since any client may have written them.
    pub fn client<'a>(&self, peer: IpAddr, forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contains(peer) {
            return peer;
        }
        let mut nearest = peer;
        let items = forwarded_for.rev().flat_map(|value| value.rsplit(|&b| b == b','));
        for hop in items.map(<[u8]>::trim_ascii).filter(|item| !item.is_empty()) {
            let Some(address) = parse_hop(hop) else { return UNKNOWN };
            nearest = address.to_canonical();
            if !self.contains(nearest) {
                return nearest;
            }
        }
        nearest
    }
}

/// Names of header fields that proxies, load balancers and content networks add to requests.
const FORWARDING_FIELDS: [&str; 17] = [
    "forwarded",
    "forwarded-for",
    "via",
    "cdn-loop",
    "client-ip",
    "true-client-ip",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-proxyuser-ip",
    "x-host",
    "x-nginx-proxy",
    "x-scheme",
    "x-url-scheme",
    "front-end-https",
    "proxy-connection",
    "x-amzn-trace-id",
];

/// Prefixes of header fields that proxies, load balancers and content networks add to requests.
const FORWARDING_PREFIXES: [&str; 11] = [
    "x-forward",
    "x-original-",
    "x-envoy-",
    "x-amz-cf-",
    "x-appengine-",
    "x-azure-",
    "x-arr-",
    "cf-",
    "fastly-",
    "fly-",
    "wl-proxy-",
];

/// Returns whether a header field of this name shows that a proxy forwarded the request. Allocates nothing.
pub fn is_forwarding_field(name: &[u8]) -> bool {
    let begins_with =
        |prefix: &str| name.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix.as_bytes()));
    FORWARDING_FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes()))
        || FORWARDING_PREFIXES.iter().any(|prefix| begins_with(prefix))
}

/// Returns whether a `Host` names this machine: `localhost`, a subdomain of it, or a loopback address. Allocates nothing.
pub fn is_local_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let domain = name.get(name.len().saturating_sub("localhost".len())..).unwrap_or_default();
    let is_localhost = domain.eq_ignore_ascii_case("localhost");
    is_localhost && matches!(name.as_bytes()[..name.len() - domain.len()], [] | [.., b'.'])
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Returns the part of a client's address that log entries may contain: /24 of IPv4, /48 of IPv6.
pub fn network_of(client: IpAddr) -> IpNet {
    let client = client.to_canonical();
    IpNet::new(client, if client.is_ipv4() { 24 } else { 48 }).unwrap_or(IpNet::from(UNKNOWN)).trunc()
}

/// The address of a client that a trusted proxy did not name. It represents many clients.
pub const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Parses an address in the forms of proxies: alone, with a port, in brackets, with a zone, in quotes. Allocates nothing.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?;
    // Most proxies write the bare address.
    hop.parse().ok().or_else(|| parse_decorated(unquoted(hop)))
}

/// Parses `192.0.2.1:port`, `[2001:db8::1]`, `[2001:db8::1]:port`, and IPv6 with a zone (`fe80::1%eth0`).
fn parse_decorated(hop: &str) -> Option<IpAddr> {
    let is_port = |text: &str| text.parse::<u16>().is_ok() && text.bytes().all(|b| b.is_ascii_digit());
    let v6 = |text: &str| {
        let (address, zone) = text.split_once('%').unwrap_or((text, "zone"));
        address.parse().ok().filter(|_| !zone.is_empty()).map(IpAddr::V6)
    };
    if let Some(bracketed) = hop.strip_prefix('[') {
        let (address, rest) = bracketed.split_once(']')?;
        return v6(address).filter(|_| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
    }
    match hop.split_once(':') {
        Some((address, port)) if is_port(port) => address.parse().ok().map(IpAddr::V4),
        _ => hop.parse().ok().or_else(|| v6(hop)),
    }
}

/// Removes the quotes of a quoted string. Escapes remain, since no address contains a `\`.
fn unquoted(hop: &str) -> &str {
    hop.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(hop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_most_untrusted_hop_is_the_client() {
        let proxies = Proxies::parse("127.0.0.1, 10.0.0.0/8").unwrap();
        let check = |peer: &str, forwarded_for: &[&str], expected: &str| {
            let values = forwarded_for.iter().map(|value| value.as_bytes());
            assert_eq!(proxies.client(peer.parse().unwrap(), values).to_string(), expected, "{peer} {forwarded_for:?}");
        };
        check("203.0.113.7", &["198.51.100.1"], "203.0.113.7");
        check("127.0.0.1", &[], "127.0.0.1");
        check("127.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("::ffff:127.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("127.0.0.1", &["1.2.3.4, 198.51.100.1, 10.1.2.3"], "198.51.100.1");
        check("127.0.0.1", &["1.2.3.4", "198.51.100.1,10.1.2.3"], "198.51.100.1");
        check("127.0.0.1", &["198.51.100.1:1234"], "198.51.100.1");
        check("127.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1");
        check("127.0.0.1", &["1.2.3.4, unknown"], "0.0.0.0");
        check("127.0.0.1", &["1.2.3.4, unknown, 10.1.2.3"], "0.0.0.0");
        check("127.0.0.1", &["10.9.9.9"], "10.9.9.9");
        check("127.0.0.1", &["2001:db8::1"], "2001:db8::1");
        check("127.0.0.1", &["1.2.3.4, 198.51.100.1:1234, 10.1.2.3:80"], "198.51.100.1");
        check("127.0.0.1", &["1.2.3.4, [2001:db8::1], [::ffff:10.1.2.3]:80"], "2001:db8::1");
    }

    #[test]
    fn empty_item_of_a_list_is_ignored() {
        let proxies = Proxies::parse("127.0.0.1, 10.0.0.0/8").unwrap();
        let check = |forwarded_for: &[&str], expected: &str| {
            let values = forwarded_for.iter().map(|value| value.as_bytes());
            assert_eq!(proxies.client([127, 0, 0, 1].into(), values).to_string(), expected, "{forwarded_for:?}");
        };
        for empty in ["", " ", ",", " , ,, \t"] {
            check(&[empty], "127.0.0.1");
            check(&[&format!("{empty},198.51.100.1")], "198.51.100.1");
            check(&[&format!("198.51.100.1,{empty}")], "198.51.100.1");
            check(&["198.51.100.1", empty, "10.1.2.3"], "198.51.100.1");
            check(&[&format!("1.2.3.4, 198.51.100.1,{empty},10.1.2.3,{empty}")], "198.51.100.1");
            check(&[&format!("{empty},10.1.2.3")], "10.1.2.3");
            check(&[&format!("198.51.100.1,{empty},unknown")], "0.0.0.0");
        }
    }

    #[test]
    fn hop_in_each_form_of_proxies_is_parsed() {
        for (hop, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:0", "192.0.2.1"),
            ("192.0.2.1:65535", "192.0.2.1"),
            ("2001:db8::7", "2001:db8::7"),
            ("2001:DB8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:41234", "2001:db8::7"),
            ("\"[2001:db8::7]:41234\"", "2001:db8::7"),
            ("\"192.0.2.1:80\"", "192.0.2.1"),
            ("\"192.0.2.1\"", "192.0.2.1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%3]", "fe80::1"),
            ("[fe80::1%eth0]:80", "fe80::1"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
            ("[::ffff:192.0.2.1]:80", "::ffff:192.0.2.1"),
        ] {
            assert_eq!(parse_hop(hop.as_bytes()), Some(expected.parse().unwrap()), "{hop}");
        }
        for hop in [
            "unknown",
            "_hidden",
            "unix:",
            "localhost",
            "192.0.2",
            "192.0.2.1:",
            "192.0.2.1:65536",
            "192.0.2.1:+80",
            "192.0.2.1:_port",
            "192.0.2.1 192.0.2.2",
            "192.0.2.1%eth0",
            "192.0.2.1/24",
            "[192.0.2.1]",
            "[192.0.2.1]:80",
            "[2001:db8::7",
            "2001:db8::7]",
            "[2001:db8::7]80",
            "[2001:db8::7]:",
            "[2001:db8::7]:x",
            "[[2001:db8::7]]",
            "[]",
            "fe80::1%",
            "%eth0",
            "\"192.0.2.1",
            "\"\\192.0.2.1\"",
            "\"\"",
            "for=192.0.2.1",
            "\u{661}.2.3.4",
        ] {
            assert_eq!(parse_hop(hop.as_bytes()), None, "{hop}");
        }
        assert_eq!(parse_hop(b"\xff"), None);
    }

    #[test]
    fn forwarding_field_in_any_case_is_recognised() {
        for name in
            ["Via", "x-forwarded-for", "X-Forwarded-Proto", "FORWARDED", "X-Real-IP", "CF-Ray", "True-Client-IP"]
        {
            assert!(is_forwarding_field(name.as_bytes()), "{name}");
        }
        for name in ["host", "accept", "user-agent", "x-request-id", "authorization", "cfx", "viable", "", "x-for"] {
            assert!(!is_forwarding_field(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn host_that_may_be_remote_is_not_local() {
        let local = ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "[::1]"];
        for host in local.into_iter().chain(["[::ffff:127.0.0.1]", "tern.localhost", "a.b.LocalHost:80"]) {
            assert!(is_local_host(host.as_bytes()), "{host}");
        }
        let foreign =
            ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "", ":80"];
        for host in foreign.into_iter().chain(["10.0.0.1", "0.0.0.0:8000", "notlocalhost", "2130706433", "[::]", "é"])
        {
            assert!(!is_local_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn setting_with_an_invalid_network_is_refused() {
        assert!(Proxies::parse("10.0.0.0/8,::1").is_some());
        assert!(Proxies::parse("10.0.0.0/99").is_none());
        assert!(Proxies::parse("localhost").is_none());
    }
}
