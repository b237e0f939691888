//! The faults of a drill: each has a beginning, a length and an end, after which every server runs and is connected.

use std::fmt;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::SmallRng;
use reqwest::Client;
use tern_testkit::network::Cut;
use tokio::time::sleep;

use super::hosts::{ADMINS, CLIENTS, DATABASES, ETCD, Hosts, NUMBER, REDIRECTORS, REDIS};
use super::timeline::Timeline;

/// Time for which a primary commits without its standbys: longer than a request may take, and too short for Patroni to
/// notice.
const ALONE: Duration = Duration::from_secs(3);

/// Kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    PrimaryKilled,
    PrimaryFrozen,
    PrimaryCut(Direction),
    /// The ways from the primary to the standbys are cut, and then the primary is lost: its last commits are nowhere
    /// else.
    PrimaryLostWithCommits,
    /// A standby, a member of etcd, a Redis with its sentinel, an admin or a redirector, chosen by the seed.
    OtherCut(Direction),
    EtcdKilled,
    SwitchOver,
    RedisMasterKilled,
    /// The master and its sentinel are silent, and keep their connections open.
    RedisMasterFrozen,
}

/// Direction of dropped packets, seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    In,
    Out,
    Both,
}

/// Fault that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    fault: Fault,
    /// Number of the primary, the member of etcd or the Redis, or the host that was cut.
    subject: usize,
    began: Instant,
}

impl Fault {
    /// Chooses a fault.
    pub(super) fn random(random: &mut SmallRng) -> Fault {
        let direction = [Direction::In, Direction::Out, Direction::Both][random.random_range(0..3)];
        match random.random_range(0..14) {
            0 | 1 => Fault::PrimaryKilled,
            2 | 3 => Fault::PrimaryFrozen,
            4..=6 => Fault::PrimaryCut(direction),
            7 | 8 => Fault::OtherCut(direction),
            9 => Fault::EtcdKilled,
            10 => Fault::SwitchOver,
            11 => Fault::PrimaryLostWithCommits,
            12 => Fault::RedisMasterFrozen,
            _ => Fault::RedisMasterKilled,
        }
    }

    /// Begins the fault.
    pub(super) async fn begin(self, hosts: &mut Hosts, random: &mut SmallRng) -> Begun {
        let subject = match self {
            Fault::OtherCut(direction) => {
                let primary = DATABASES[primary(hosts).await];
                let others: Vec<usize> = (1..NUMBER).filter(|host| *host != primary).collect();
                let host = others[random.random_range(0..others.len())];
                cut(hosts, host, direction);
                host
            }
            Fault::EtcdKilled => {
                let member = random.random_range(0..ETCD.len());
                hosts.patroni.kill_etcd(member);
                member
            }
            Fault::RedisMasterKilled | Fault::RedisMasterFrozen => {
                let master = hosts.sentinels.master().expect("the sentinels know a master");
                match self {
                    Fault::RedisMasterKilled => hosts.sentinels.kill_server(master),
                    _ => hosts.sentinels.freeze(master),
                }
                master
            }
            _ => {
                let primary = primary(hosts).await;
                match self {
                    Fault::PrimaryKilled => hosts.patroni.kill_member(primary),
                    Fault::PrimaryFrozen => hosts.patroni.freeze_member(primary),
                    Fault::PrimaryLostWithCommits => {
                        hosts.network.cut(DATABASES[primary], Cut::Both, DATABASES);
                        sleep(ALONE).await;
                        // The kernel of a lost host sends nothing more, so its way is cut as well.
                        cut(hosts, DATABASES[primary], Direction::Both);
                        hosts.patroni.kill_member(primary);
                    }
                    Fault::PrimaryCut(direction) => cut(hosts, DATABASES[primary], direction),
                    _ => {
                        let is_accepted = hosts.patroni.switch_over();
                        println!("the switchover was {}", if is_accepted { "accepted" } else { "refused" });
                    }
                }
                primary
            }
        };
        Begun { fault: self, subject, began: Instant::now() }
    }
}

impl Begun {
    /// Ends the fault.
    pub(super) fn end(&self, hosts: &mut Hosts, timeline: &Timeline) {
        match self.fault {
            Fault::PrimaryKilled => hosts.patroni.start_member(self.subject),
            Fault::PrimaryLostWithCommits => {
                hosts.network.heal();
                hosts.patroni.start_member(self.subject);
            }
            Fault::PrimaryFrozen => hosts.patroni.thaw_member(self.subject),
            Fault::PrimaryCut(_) => hosts.network.heal(),
            Fault::OtherCut(_) => {
                hosts.network.heal();
                if let Some(admin) = ADMINS.iter().position(|host| *host == self.subject) {
                    timeline.excuse(admin, self.began, Instant::now());
                }
            }
            Fault::EtcdKilled => hosts.patroni.start_etcd(self.subject),
            Fault::SwitchOver => {}
            Fault::RedisMasterKilled => hosts.sentinels.start_server(self.subject),
            Fault::RedisMasterFrozen => hosts.sentinels.thaw(self.subject),
        }
    }
}

impl fmt::Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.fault {
            Fault::OtherCut(_) => name(self.subject),
            Fault::EtcdKilled => format!("etcd {}", self.subject),
            Fault::RedisMasterKilled | Fault::RedisMasterFrozen => format!("Redis {}", self.subject),
            _ => format!("PostgreSQL {}", self.subject),
        };
        write!(f, "{:?}: {name}", self.fault)
    }
}

/// Drops packets of a host. The clients still reach planes, since visitors and users are in another network.
fn cut(hosts: &Hosts, host: usize, direction: Direction) {
    let is_plane = ADMINS.contains(&host) || REDIRECTORS.contains(&host);
    let others = (0..NUMBER).filter(|other| !(is_plane && *other == CLIENTS));
    let cut = match direction {
        Direction::In => Cut::In,
        Direction::Out => Cut::Out,
        Direction::Both => Cut::Both,
    };
    hosts.network.cut(host, cut, others);
}

fn name(host: usize) -> String {
    let groups: [(&str, &[usize]); 5] = [
        ("etcd", &ETCD),
        ("PostgreSQL", &DATABASES),
        ("Redis", &REDIS),
        ("admin", &ADMINS),
        ("redirector", &REDIRECTORS),
    ];
    let found = groups.iter().find_map(|(name, hosts)| {
        let number = hosts.iter().position(|other| *other == host)?;
        Some(format!("{name} {number}"))
    });
    found.unwrap_or_else(|| format!("host {host}"))
}

/// Returns the number of the primary, once Patroni has one.
pub(super) async fn primary(hosts: &Hosts) -> usize {
    let client = Client::builder().timeout(Duration::from_secs(1)).build().unwrap();
    let began = Instant::now();
    loop {
        for n in 0..DATABASES.len() {
            let url = format!("http://{}:8008/primary", hosts.patroni.address(n));
            if client.get(url).send().await.is_ok_and(|answer| answer.status() == 200) {
                return n;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(90), "Patroni has no primary");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until every server has its role again, so that the next fault is the only one.
pub(super) async fn wait_until_whole(hosts: &Hosts) {
    let began = Instant::now();
    while !(hosts.patroni.is_whole() && hosts.sentinels.is_complete()) {
        assert!(began.elapsed() < Duration::from_secs(120), "the servers do not recover");
        sleep(Duration::from_millis(500)).await;
    }
}
