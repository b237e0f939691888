//! Clients that follow links and keep their own history: what they were answered is the truth that events are held to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::follower::Follower;

/// No server that lives takes so long to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The name of the next request, of all clients of this process: each has one of its own, which its event carries as
/// its referrer, and none is sent twice.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A name that no other request has.
pub fn name() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Clients that follow one link.
#[derive(Debug)]
pub struct Followers {
    address: watch::Sender<String>,
    stop: watch::Sender<bool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<History>>,
}

/// What clients do with a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// They keep it, unless the answer says that it was the last.
    Kept,
    /// They make another.
    Fresh,
}

/// What clients know.
#[derive(Debug, Default)]
pub struct History {
    /// Names of requests that were answered 302.
    pub answered: Vec<u64>,
    /// Names of requests that were sent, wholly or in part, and not answered.
    pub unanswered: Vec<u64>,
    /// Any other answer.
    pub refused: Vec<u16>,
    /// Connections that could not be made.
    pub unconnected: usize,
    /// How long each answer took.
    pub times: Vec<Duration>,
}

/// What is wrong with the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Answered, and no event.
    pub lost: usize,
    /// More than one event.
    pub twice: usize,
    /// An event that nobody asked for.
    pub unknown: usize,
}

impl Followers {
    /// `clients` that follow `code` over connections that they keep, at `rate` requests a second in all, or as fast as
    /// they are answered.
    pub fn start(clients: usize, address: &str, code: &str, rate: Option<u32>) -> Followers {
        Followers::start_on(Connections::Kept, clients, address, code, rate)
    }

    /// The same over connections of either kind.
    pub fn start_on(
        connections: Connections,
        clients: usize,
        address: &str,
        code: &str,
        rate: Option<u32>,
    ) -> Followers {
        let (address, addresses) = watch::channel(address.to_owned());
        let (stop, stops) = watch::channel(false);
        let answered = Arc::<AtomicU64>::default();
        let follow = |_| {
            let client = Client {
                addresses: addresses.clone(),
                stop: stops.clone(),
                code: code.to_owned(),
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

    /// How many requests were answered 302 by now.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Where the clients turn to from now on.
    pub fn turn_to(&self, address: &str) {
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
        self.refused.extend(other.refused);
        self.unconnected += other.unconnected;
        self.times.extend(other.times);
    }

    /// What a client would call a failure: no connection, no answer, or another answer than the link's.
    pub fn failed(&self) -> usize {
        self.unconnected + self.unanswered.len() + self.refused.len()
    }

    /// Holds events, by the name that each carries, to what was answered.
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
    code: String,
    pace: Option<Duration>,
    connections: Connections,
    /// Of all clients.
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
        while !*self.stop.borrow() {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            let Some(follower) = &mut connection else {
                let address = self.addresses.borrow_and_update().clone();
                match timeout(PATIENCE, Follower::connect(&address)).await {
                    Ok(Ok(follower)) => connection = Some(follower),
                    // Nobody listens: wait until somebody is said to, or a moment.
                    _ => {
                        self.history.unconnected += 1;
                        drop(timeout(Duration::from_millis(5), self.addresses.changed()).await);
                    }
                }
                continue;
            };
            let name = name();
            let sent = Instant::now();
            match timeout(PATIENCE, follower.follow(&self.code, name)).await {
                Ok(Ok(302)) => {
                    self.history.answered.push(name);
                    self.history.times.push(sent.elapsed());
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    if self.connections == Connections::Fresh || follower.is_told_to_leave() {
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
