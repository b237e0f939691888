//! Clients that follow links and record their answers, as the truth with which events are compared.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::follower::Follower;

/// Longest answer time of any running server.
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// Name of the next request of this process. Each request has a name of its own, which its event has as its referrer.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Returns a name that no other request has.
pub fn name() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A link that clients follow.
#[derive(Clone, Debug)]
pub struct FollowedLink {
    /// The code, and a query if the clients send one.
    pub code: String,
    /// The expected status.
    pub status: u16,
    /// Whether each answer is a click.
    pub is_click: bool,
}

impl FollowedLink {
    /// Returns a link without options.
    pub fn plain(code: &str) -> FollowedLink {
        FollowedLink { code: code.to_owned(), status: 302, is_click: true }
    }
}

/// Clients that follow links.
#[derive(Debug)]
pub struct Followers {
    address: watch::Sender<String>,
    stop: watch::Sender<bool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<History>>,
}

/// Use of connections after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// Connections are reused until an answer announces the close.
    Persistent,
    /// Each request has a connection of its own.
    New,
}

/// Recorded results of clients.
#[derive(Debug, Default)]
pub struct History {
    /// Names of requests that were answered with a redirect to the target of the link.
    pub answered: Vec<u64>,
    /// Names of requests that were sent, wholly or in part, and not answered.
    pub unanswered: Vec<u64>,
    /// Names of requests that were answered as expected, and are no clicks.
    pub uncounted: Vec<u64>,
    /// Statuses of other answers.
    pub refused: Vec<u16>,
    /// Number of failed connection attempts.
    pub unconnected: usize,
    /// Time of each answer.
    pub times: Vec<Duration>,
}

/// Differences between events and answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Number of answered requests without an event.
    pub lost: usize,
    /// Number of names with more than one event.
    pub twice: usize,
    /// Number of events without a request, or of a request that is no click.
    pub unknown: usize,
}

impl Followers {
    /// Starts `clients` that follow `code` over persistent connections, at `rate` requests a second in all, or as fast
    /// as they are answered.
    pub fn start(clients: usize, address: &str, code: &str, rate: Option<u32>) -> Followers {
        Followers::start_on(Connections::Persistent, clients, address, code, rate)
    }

    /// Starts clients that follow several links in turns.
    pub fn start_in_turns(clients: usize, address: &str, links: &[FollowedLink], rate: Option<u32>) -> Followers {
        Followers::start_all(Connections::Persistent, clients, address, links, rate)
    }

    /// Starts clients that use connections as given.
    pub fn start_on(
        connections: Connections,
        clients: usize,
        address: &str,
        code: &str,
        rate: Option<u32>,
    ) -> Followers {
        Followers::start_all(connections, clients, address, &[FollowedLink::plain(code)], rate)
    }

    fn start_all(
        connections: Connections,
        clients: usize,
        address: &str,
        links: &[FollowedLink],
        rate: Option<u32>,
    ) -> Followers {
        let (address, addresses) = watch::channel(address.to_owned());
        let (stop, stops) = watch::channel(false);
        let answered = Arc::<AtomicU64>::default();
        let follow = |_| {
            let client = Client {
                addresses: addresses.clone(),
                stop: stops.clone(),
                links: links.to_vec(),
                pace: rate.map(|rate| Duration::from_secs(1) * u32::try_from(clients).unwrap() / rate),
                connections,
                answered: Arc::clone(&answered),
                history: History::default(),
            };
            tokio::spawn(client.run())
        };
        let clients = (0..clients).map(follow).collect();
        Followers { address, stop, answered, clients }
    }

    /// Returns the number of clicks so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Directs the clients to another address from now on.
    pub fn switch_to(&self, address: &str) {
        self.address.send_replace(address.to_owned());
    }

    pub async fn finish(self) -> History {
        self.stop.send_replace(true);
        let mut all = History::default();
        for client in self.clients {
            all.add(client.await.unwrap());
        }
        all
    }
}

impl History {
    pub fn add(&mut self, other: History) {
        self.answered.extend(other.answered);
        self.unanswered.extend(other.unanswered);
        self.uncounted.extend(other.uncounted);
        self.refused.extend(other.refused);
        self.unconnected += other.unconnected;
        self.times.extend(other.times);
    }

    /// Returns the number of failures: no connection, no answer, or another answer than the link's.
    pub fn failed(&self) -> usize {
        self.unconnected + self.unanswered.len() + self.refused.len()
    }

    /// Compares the events, by name, with the answers.
    pub fn judge(&self, events: &HashMap<u64, usize>) -> Verdict {
        let lost = self.answered.iter().filter(|name| !events.contains_key(name)).count();
        let twice = events.values().filter(|count| **count > 1).count();
        let asked: HashSet<u64> = self.answered.iter().chain(&self.unanswered).copied().collect();
        let unknown = events.keys().filter(|name| !asked.contains(name)).count();
        Verdict { lost, twice, unknown }
    }
}

struct Client {
    addresses: watch::Receiver<String>,
    stop: watch::Receiver<bool>,
    links: Vec<FollowedLink>,
    pace: Option<Duration>,
    connections: Connections,
    /// Counter shared by all clients.
    answered: Arc<AtomicU64>,
    history: History,
}

impl Client {
    async fn run(mut self) -> History {
        let mut pace = self.pace.map(|pace| {
            let mut pace = interval(pace);
            pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
            pace
        });
        let mut connection: Option<Follower> = None;
        let mut links = self.links.clone().into_iter().cycle();
        while !*self.stop.borrow() {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            let Some(follower) = &mut connection else {
                let address = self.addresses.borrow_and_update().clone();
                match timeout(WAIT_LIMIT, Follower::connect(&address)).await {
                    Ok(Ok(follower)) => connection = Some(follower),
                    // No process listens: wait for a new address, or briefly.
                    _ => {
                        self.history.unconnected += 1;
                        drop(timeout(Duration::from_millis(5), self.addresses.changed()).await);
                    }
                }
                continue;
            };
            let Some(link) = links.next() else { break };
            let name = name();
            let sent = Instant::now();
            match timeout(WAIT_LIMIT, follower.follow(&link.code, name)).await {
                Ok(Ok(status)) if status == link.status => {
                    if link.is_click {
                        self.history.answered.push(name);
                        self.history.times.push(sent.elapsed());
                        self.answered.fetch_add(1, Ordering::Relaxed);
                    } else {
                        self.history.uncounted.push(name);
                    }
                    if self.connections == Connections::New || follower.is_closing() {
                        connection = None;
                    }
                }
                Ok(Ok(status)) => self.history.refused.push(status),
                _ => {
                    self.history.unanswered.push(name);
                    connection = None;
                }
            }
        }
        self.history
    }
}
