//! Clients behind nginx: half of them have persistent connections, half open one for each request.
//!
//! Visitors send requests at their own rate, independent of earlier ones, and record the answers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use crate::follower::Follower;
use crate::followers::name;

const VISITORS: u32 = 16;

/// Longest wait of a browser's user.
const WAIT_LIMIT: Duration = Duration::from_secs(10);

/// Running visitors.
#[derive(Debug)]
pub struct Visitors {
    stop: watch::Sender<bool>,
    answered: Arc<AtomicU64>,
    visitors: Vec<JoinHandle<Visits>>,
}

/// Recorded results of visitors.
#[derive(Clone, Debug, Default)]
pub struct Visits {
    /// Number of answers 302.
    pub answered: u64,
    /// Number of requests repeated on another connection, because a persistent one was closed before any byte of an
    /// answer. Browsers do that with every GET.
    pub retried: u64,
    /// Statuses of other answers.
    pub refused: Vec<u16>,
    /// Errors of requests without an answer.
    pub unanswered: Vec<String>,
    pub slowest: Duration,
}

impl Visitors {
    /// Starts visitors of `code` at `address`, `rate` requests a second in all.
    pub fn start(address: &str, code: &str, rate: u32) -> Visitors {
        let (stop, stops) = watch::channel(false);
        let answered = Arc::new(AtomicU64::new(0));
        let visitor = |n: u32| {
            let visitor = Visitor {
                address: address.to_owned(),
                code: code.to_owned(),
                is_persistent: n.is_multiple_of(2),
                connection: None,
                visits: Visits::default(),
            };
            let pace = Duration::from_secs(1) * VISITORS / rate;
            tokio::spawn(visitor.run(pace, stops.clone(), Arc::clone(&answered)))
        };
        let visitors = (0..VISITORS).map(visitor).collect();
        Visitors { stop, answered, visitors }
    }

    /// Waits for `visits` further answers.
    pub async fn wait_for_answers(&self, visits: u64) {
        let wanted = self.answered.load(Ordering::Relaxed) + visits;
        crate::eventually("visitors are answered", async || self.answered.load(Ordering::Relaxed) >= wanted).await;
    }

    pub async fn finish(self) -> Visits {
        self.stop.send_replace(true);
        let mut all = Visits::default();
        for visitor in self.visitors {
            let visits = visitor.await.unwrap();
            all.answered += visits.answered;
            all.retried += visits.retried;
            all.refused.extend(visits.refused);
            all.unanswered.extend(visits.unanswered);
            all.slowest = all.slowest.max(visits.slowest);
        }
        all
    }
}

impl Visits {
    pub fn failed(&self) -> usize {
        self.refused.len() + self.unanswered.len()
    }
}

impl fmt::Display for Visits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answered, failed) = (self.answered, self.failed());
        let (retried, slowest) = (self.retried, self.slowest);
        write!(f, "{answered} answered, {failed} failed, {retried} asked again, the slowest {slowest:?}")
    }
}

struct Visitor {
    address: String,
    code: String,
    is_persistent: bool,
    connection: Option<Follower>,
    visits: Visits,
}

impl Visitor {
    async fn run(mut self, pace: Duration, stop: watch::Receiver<bool>, answered: Arc<AtomicU64>) -> Visits {
        let mut pace = interval(pace);
        while !*stop.borrow() {
            pace.tick().await;
            let asked = Instant::now();
            match timeout(WAIT_LIMIT, self.visit()).await {
                Ok(Ok(302)) => {
                    self.visits.answered += 1;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Ok(status)) => self.visits.refused.push(status),
                Ok(Err(error)) => self.visits.unanswered.push(error.to_string()),
                Err(_) => self.visits.unanswered.push("not in time".into()),
            }
            self.visits.slowest = self.visits.slowest.max(asked.elapsed());
        }
        self.visits
    }

    async fn visit(&mut self) -> std::io::Result<u16> {
        if let Some(mut follower) = self.connection.take() {
            match follower.follow(&self.code, name()).await {
                Ok(status) => {
                    self.keep(follower);
                    return Ok(status);
                }
                Err(_) if follower.has_no_answer() => self.visits.retried += 1,
                Err(error) => return Err(error),
            }
        }
        let mut follower = Follower::connect(&self.address).await?;
        let status = follower.follow(&self.code, name()).await?;
        self.keep(follower);
        Ok(status)
    }

    fn keep(&mut self, follower: Follower) {
        // A connection whose answer had `Connection: close` is not reused.
        self.connection = Some(follower).filter(|follower| self.is_persistent && !follower.is_closing());
    }
}
