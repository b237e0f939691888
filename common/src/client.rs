//! Whose request it is: the peer, or whoever a proxy of ours says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;

use crate::config::Setting;

/// `TRUSTED_PROXIES`: the networks whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

impl Setting for Proxies {
    const EXPECTED: &'static str = "addresses or networks such as 10.0.0.0/8,192.0.2.1";

    fn parse(text: &str) -> Option<Proxies> {
        let network = |part: &str| part.parse().ok().or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from));
        text.split(',').map(|part| network(part.trim())).collect::<Option<_>>().map(Proxies)
    }
}

impl Proxies {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The right-most address that is no proxy of ours, of the peer and the `X-Forwarded-For` values as they came.
    ///
    /// A hop that is no address makes the client [`UNKNOWN`]: all of those are one client to us, and trusted they are not.
    /// Everything further left was written by somebody we have no reason to believe.
    pub fn client<'a>(&self, peer: IpAddr, forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contains(peer) {
            return peer;
        }
        let mut nearest = peer;
        for hop in forwarded_for.rev().flat_map(|value| value.rsplit(|&b| b == b',')) {
            let Some(address) = parse_hop(hop) else { return UNKNOWN };
            nearest = address.to_canonical();
            if !self.contains(nearest) {
                return nearest;
            }
        }
        nearest
    }
}

/// Whom a proxy of ours could not name.
pub const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// An address, or an address and a port, as some proxies write.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    hop.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_most_untrusted_hop_is_the_client() {
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
    }

    #[test]
    fn settings() {
        assert!(Proxies::parse("10.0.0.0/8,::1").is_some());
        assert!(Proxies::parse("10.0.0.0/99").is_none());
        assert!(Proxies::parse("localhost").is_none());
    }
}
