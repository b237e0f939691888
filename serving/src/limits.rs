//! Limits of the connections of a port, with the reason for each.

use std::net::IpAddr;
use std::time::Duration;

use tern_common::budget::prefix;
use tern_common::client::Proxies;

/// Connections of the API port, which administrators and their programs use. Half of them may follow live clicks: over a
/// thousand.
const API_CONNECTIONS: usize = 2_048;

/// Connections of an operations port: probes, a few monitors, and a person.
const OPERATIONS_CONNECTIONS: usize = 64;

/// Connections that may be open beyond the limit while others end for them.
const SLACK: usize = 16;

/// Time between requests on the API. nginx closes its own idle connections after 5 s.
const API_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time between requests on an operations port: a monitor that asks once a minute reuses its connection.
const OPERATIONS_IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// The limits of one port.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections open at once. One more ends the longest idle one, or else the slowest one.
    pub connections: usize,
    /// The part of them that each client may hold.
    pub shares: Shares,
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    pub write_timeout: Duration,
    /// Time without a byte of a body, and time before its rate counts.
    pub body_stall: Duration,
    pub body_bytes_per_second: u64,
    pub drain_grace: Duration,
    pub tick: Duration,
}

impl Limits {
    /// Returns the limits of the API port, which may use this number of descriptors.
    pub fn api(proxies: &Proxies, descriptors: usize) -> Limits {
        Limits::new(API_CONNECTIONS, descriptors, API_IDLE_TIMEOUT, proxies)
    }

    /// Returns the limits of an operations port, which may use this number of descriptors.
    pub fn operations(descriptors: usize) -> Limits {
        Limits::new(OPERATIONS_CONNECTIONS, descriptors, OPERATIONS_IDLE_TIMEOUT, &Proxies::default())
    }

    fn new(wanted: usize, descriptors: usize, idle_timeout: Duration, proxies: &Proxies) -> Limits {
        let connections = wanted.min(descriptors.saturating_sub(SLACK)).max(1);
        Limits {
            connections,
            // Half, so that no single client can fill the port.
            shares: Shares { connections: connections.div_ceil(2), exempt: proxies.clone(), loopback_is_exempt: true },
            // A head comes in one packet. The limit also bounds the wait of a new connection for its first request.
            header_timeout: Duration::from_secs(10),
            idle_timeout,
            // A client that takes no byte for this long has gone or is hostile.
            write_timeout: Duration::from_secs(30),
            // As long as a phone may lose its network.
            body_stall: Duration::from_secs(30),
            // A tenth of the rate of a 2G phone.
            body_bytes_per_second: 1_024,
            drain_grace: Duration::from_millis(500),
            tick: Duration::from_millis(250),
        }
    }

    /// Descriptors of a full API port.
    pub const API_DESCRIPTORS: usize = API_CONNECTIONS + SLACK;

    /// Descriptors of a full operations port.
    pub const OPERATIONS_DESCRIPTORS: usize = OPERATIONS_CONNECTIONS + SLACK;

    /// Returns how many connections may be open, including those with the order to end.
    pub(crate) fn hard_limit(&self) -> usize {
        self.connections + SLACK
    }
}

/// The connections that one client may hold. A client is a /24 of IPv4 or a /64 of IPv6.
#[derive(Clone, Debug)]
pub struct Shares {
    pub connections: usize,
    /// Proxies, through which many clients come.
    pub exempt: Proxies,
    /// Whether loopback addresses have no share, because proxies and all programs of the machine use them.
    pub loopback_is_exempt: bool,
}

impl Shares {
    /// Returns the key of the client to which a connection of `peer` is attributed. `None` if it has no share.
    pub(crate) fn key(&self, peer: IpAddr) -> Option<u64> {
        let peer = peer.to_canonical();
        let is_exempt = (self.loopback_is_exempt && peer.is_loopback()) || self.exempt.contains(peer);
        (!is_exempt).then(|| prefix(peer))
    }
}

#[cfg(test)]
mod tests {
    use tern_common::config::Setting;

    use super::*;

    #[test]
    fn few_descriptors_give_few_connections() {
        let connections = |descriptors| Limits::api(&Proxies::default(), descriptors).connections;
        assert_eq!(connections(usize::MAX), API_CONNECTIONS);
        assert_eq!(connections(Limits::API_DESCRIPTORS), API_CONNECTIONS);
        assert_eq!(connections(116), 100);
        assert_eq!(connections(0), 1);
        assert_eq!(Limits::operations(Limits::OPERATIONS_DESCRIPTORS).connections, OPERATIONS_CONNECTIONS);
    }

    #[test]
    fn proxies_and_loopback_have_no_share() {
        let shares = Limits::api(&Proxies::parse("203.0.113.0/24").unwrap(), usize::MAX).shares;
        let key = |peer: &str| shares.key(peer.parse().unwrap());
        assert_eq!(
            (key("127.0.0.1"), key("::1"), key("::ffff:127.0.0.1"), key("203.0.113.7")),
            (None, None, None, None)
        );
        assert_eq!(key("198.51.100.7"), key("198.51.100.250"));
        assert_ne!(key("198.51.100.7"), key("198.51.101.7"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    }
}
