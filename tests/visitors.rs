//! Visitors of the edge: half of them keep their connection, half come by a new one each time.
//!
//! They come at their own rate, whatever became of those before them, and write down what each was answered.

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

/// As long as a browser's user may wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// Visitors on their way.
#[derive(Debug)]
pub struct Visitors {
    stop: watch::Sender<bool>,
    answered: Arc<AtomicU64>,
    visitors: Vec<JoinHandle<Visits>>,
}

/// What visitors know.
#[derive(Clone, Debug, Default)]
pub struct Visits {
    /// Answered 302.
    pub answered: u64,
    /// Asked again on another connection, because the kept one was closed before a byte of an answer came. A client may
    /// do that with a GET, and every browser does.
    pub asked_again: u64,
    /// Any other answer.
    pub refused: Vec<u16>,
    /// What went wrong where there was no answer.
    pub unanswered: Vec<String>,
    pub slowest: Duration,
}

impl Visitors {
    /// Visitors of `code` at `address`, `rate` a second in all.
    pub fn start(address: &str, code: &str, rate: u32) -> Visitors {
        let (stop, stops) = watch::channel(false);
        let answered = Arc::new(AtomicU64::new(0));
        let visitor = |n: u32| {
            let visitor = Visitor {
                address: address.to_owned(),
                code: code.to_owned(),
                keeps: n.is_multiple_of(2),
                kept: None,
                visits: Visits::default(),
            };
            let pace = Duration::from_secs(1) * VISITORS / rate;
            tokio::spawn(visitor.run(pace, stops.clone(), Arc::clone(&answered)))
        };
        let visitors = (0..VISITORS).map(visitor).collect();
        Visitors { stop, answered, visitors }
    }

    /// Waits until so many more have been answered.
    pub async fn have_been_answered(&self, visits: u64) {
        let wanted = self.answered.load(Ordering::Relaxed) + visits;
        crate::eventually("visitors are answered", async || self.answered.load(Ordering::Relaxed) >= wanted).await;
    }

    pub async fn finish(self) -> Visits {
        self.stop.send_replace(true);
        let mut all = Visits::default();
        for visitor in self.visitors {
            let visits = visitor.await.unwrap();
            all.answered += visits.answered;
            all.asked_again += visits.asked_again;
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
        let (asked_again, slowest) = (self.asked_again, self.slowest);
        write!(f, "{answered} answered, {failed} failed, {asked_again} asked again, the slowest {slowest:?}")
    }
}

struct Visitor {
    address: String,
    code: String,
    keeps: bool,
    kept: Option<Follower>,
    visits: Visits,
}

impl Visitor {
    async fn run(mut self, pace: Duration, stop: watch::Receiver<bool>, answered: Arc<AtomicU64>) -> Visits {
        let mut pace = interval(pace);
        while !*stop.borrow() {
            pace.tick().await;
            let asked = Instant::now();
            match timeout(PATIENCE, self.visit()).await {
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
        if let Some(mut follower) = self.kept.take() {
            match follower.follow(&self.code, name()).await {
                Ok(status) => {
                    self.keep(follower);
                    return Ok(status);
                }
                Err(_) if follower.heard_nothing() => self.visits.asked_again += 1,
                Err(error) => return Err(error),
            }
        }
        let mut follower = Follower::connect(&self.address).await?;
        let status = follower.follow(&self.code, name()).await?;
        self.keep(follower);
        Ok(status)
    }

    fn keep(&mut self, follower: Follower) {
        // What was answered with `Connection: close` is at its end.
        self.kept = Some(follower).filter(|follower| self.keeps && !follower.is_told_to_leave());
    }
}
