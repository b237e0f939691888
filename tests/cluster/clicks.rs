//! Clients that follow links on one redirector all the time and record the answers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::writers::Writing;
use crate::follower::Follower;
use crate::followers::name;

/// Time that a visitor waits for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Interval between the requests of one client.
const PACE: Duration = Duration::from_millis(20);

/// Links that exist before the first fault. Every failover preserves them.
pub(super) const FIRST_LINKS: usize = 20;

/// Recorded answers of clients.
#[derive(Debug, Default)]
pub(super) struct Clicks {
    /// Name of each answered click, and the code that was followed.
    pub(super) answered: Vec<(u64, String)>,
    /// Names of requests without an answer, which may be clicks.
    pub(super) unanswered: Vec<u64>,
    /// Failed requests, each as a line.
    pub(super) failed: Vec<String>,
    /// Requests for a link that was served before, and then was not, after a failover that may lose links.
    pub(super) gone: usize,
    /// Requests for a link that this redirector did not serve yet.
    pub(super) early: usize,
}

/// Client of one redirector.
struct Visitor {
    writing: Arc<Writing>,
    redirector: usize,
    address: String,
    /// Whether a failover may lose links.
    may_lose: bool,
    random: SmallRng,
    /// Codes that the redirector has served.
    served: HashSet<String>,
    gone: HashSet<String>,
    clicks: Clicks,
}

impl Clicks {
    pub(super) fn add(&mut self, other: Clicks) {
        self.answered.extend(other.answered);
        self.unanswered.extend(other.unanswered);
        self.failed.extend(other.failed);
        self.gone += other.gone;
        self.early += other.early;
    }
}

/// Starts a client of a redirector.
pub(super) fn start(
    writing: &Arc<Writing>,
    redirector: usize,
    address: String,
    may_lose: bool,
    seed: u64,
) -> JoinHandle<Clicks> {
    let visitor = Visitor {
        writing: Arc::clone(writing),
        redirector,
        address,
        may_lose,
        random: SmallRng::seed_from_u64(seed),
        served: HashSet::new(),
        gone: HashSet::new(),
        clicks: Clicks::default(),
    };
    tokio::spawn(visitor.run())
}

impl Visitor {
    async fn run(mut self) -> Clicks {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut connection = None;
        while !self.writing.is_over() {
            pace.tick().await;
            connection = self.visit(connection).await;
        }
        self.clicks
    }

    /// Follows a link; returns the connection for the next one.
    async fn visit(&mut self, connection: Option<Follower>) -> Option<Follower> {
        // Half of the clicks are on links that no failover loses.
        let most = if self.random.random_range(0..2) == 0 { FIRST_LINKS } else { usize::MAX };
        let link = self.writing.links.choose(&mut self.random, most)?;
        if self.gone.contains(&link.code) {
            return connection;
        }
        let mut follower = match connection {
            Some(follower) => follower,
            None => match timeout(ANSWER_LIMIT, Follower::connect(&self.address)).await {
                Ok(Ok(follower)) => follower,
                Ok(Err(error)) => return self.fail(format!("no connection: {error}")),
                Err(_) => return self.fail("no connection in time".to_owned()),
            },
        };
        let name = name();
        match timeout(ANSWER_LIMIT, follower.follow(&link.code, name)).await {
            Ok(Ok(302)) => {
                let location = follower.location().unwrap_or_default();
                if !link.has_led_to(location) {
                    let failure = format!("{} led to {location}", link.code);
                    self.fail(failure);
                }
                self.clicks.answered.push((name, link.code.clone()));
                self.served.insert(link.code.clone());
            }
            Ok(Ok(404)) if !self.served.contains(&link.code) => self.clicks.early += 1,
            Ok(Ok(404)) if self.may_lose => {
                self.clicks.gone += 1;
                self.gone.insert(link.code.clone());
            }
            Ok(Ok(status)) => _ = self.fail(format!("{} was answered {status}", link.code)),
            Ok(Err(error)) => {
                self.clicks.unanswered.push(name);
                return self.fail(format!("{} was not answered: {error}", link.code));
            }
            Err(_) => {
                self.clicks.unanswered.push(name);
                return self.fail(format!("{} was not answered in time", link.code));
            }
        }
        Some(follower).filter(|follower| !follower.is_closing())
    }

    /// Records a failed request, and leaves no connection.
    fn fail(&mut self, failure: String) -> Option<Follower> {
        let line = format!("redirector {}: {failure}", self.redirector);
        self.writing.timeline.print(&line);
        self.clicks.failed.push(line);
        None
    }
}
