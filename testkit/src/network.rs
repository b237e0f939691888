//! Hosts of a network on this machine: network namespaces, and a switch in this process that carries their packets.
//!
//! A host has an address, programs of its own, and ways to each other host that a test can cut, in one direction or
//! both, or make long. Namespaces have no names: they end with this process, and so do the programs.

mod device;
mod host;
mod program;
mod switch;

use std::net::Ipv4Addr;
use std::time::Duration;

use nix::unistd::Uid;

pub use self::host::Host;
pub use self::program::Program;
use self::switch::Switch;

/// Running network.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Host>,
    switch: Switch,
}

/// Direction of the packets of a host that are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Packets to the host.
    In,
    /// Packets from the host.
    Out,
    Both,
}

impl Network {
    /// Starts a network of `number` hosts, each connected to each other.
    ///
    /// # Panics
    /// If this process may not create network namespaces and TUN devices.
    pub fn start(number: usize) -> Network {
        assert!(Uid::effective().is_root(), "network namespaces and TUN devices take root: run this program as root");
        let (hosts, devices) = (0..number).map(|n| Host::start(address(n))).unzip();
        Network { hosts, switch: Switch::start(devices) }
    }

    pub fn host(&self, n: usize) -> &Host {
        &self.hosts[n]
    }

    /// Drops the packets of a host to or from each of `others`, until [`Network::heal`].
    pub fn cut(&self, host: usize, cut: Cut, others: impl IntoIterator<Item = usize>) {
        let ways = others.into_iter().filter(|other| *other != host).flat_map(|other| {
            let is_in = matches!(cut, Cut::In | Cut::Both).then_some((other, host));
            let is_out = matches!(cut, Cut::Out | Cut::Both).then_some((host, other));
            is_in.into_iter().chain(is_out)
        });
        self.switch.cut(ways.collect());
    }

    /// Connects every host again.
    pub fn heal(&self) {
        self.switch.heal();
    }

    /// Places a host `distance` away from the switch: each packet from it and each packet to it takes so much longer.
    pub fn place(&self, host: usize, distance: Duration) {
        self.switch.place(host, distance);
    }
}

/// Returns the address of the `n`th host. Hosts of other networks have the same addresses and cannot be reached.
fn address(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, u8::try_from(n + 1).unwrap())
}
