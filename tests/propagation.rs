//! Measures the time from a commit until every redirector serves the change.
//!
//! Changes are made through the API at a steady pace, independent of earlier ones. PostgreSQL records the time of each
//! commit, and a follower at each redirector records when it first gets the new target, by the same clock. The
//! redirectors' own histograms are read as well.
//! clock. What the redirectors say of themselves is read beside it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::json;
use tern_testkit::postgres::Options;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::follower::Follower;
use crate::{Fleet, FleetOptions, WAIT_LIMIT, eventually, percentile};

/// Number of links, so many that two changes to one link are far apart in time.
const LINKS: usize = 200;

/// Interval between two requests of a follower. More requests would slow the measured redirector.
const POLL_INTERVAL: Duration = Duration::from_micros(500);

/// Name of the redirectors' own histogram.
const HISTOGRAM: &str = "tern_replica_propagation_seconds_bucket";

/// Starts a fleet whose PostgreSQL records commit times.
pub async fn fleet_with_commit_times() -> Fleet {
    let postgres = Options::default().set("track_commit_timestamp", "on");
    Fleet::start_with(FleetOptions {
        links: LINKS,
        settings: &[("VISIBLE_WAIT", "0")],
        postgres,
        ..FleetOptions::default()
    })
    .await
}

/// Measured times, of each change at each redirector.
#[derive(Debug)]
pub struct Propagation {
    /// Times from the commit to the first redirect to the new target.
    pub since_commit: Vec<Duration>,
    /// Times from the request that made the change.
    pub since_request: Vec<Duration>,
    /// Number of requests of the followers.
    pub polls: usize,
    /// Cumulative counts of each redirector's histogram, by upper bound in seconds.
    pub histograms: Vec<BTreeMap<String, f64>>,
    pub took: Duration,
}

/// Change that a follower awaits.
#[derive(Clone, Debug)]
struct Change {
    n: usize,
    code: String,
    since: Instant,
}

impl Change {
    /// Returns the target of the `n`th change.
    fn target(n: usize) -> String {
        format!("https://example.com/changed/{n}")
    }

    /// Returns the number of the change that set `target`.
    fn of_target(target: &str) -> Option<usize> {
        target.strip_prefix("https://example.com/changed/")?.parse().ok()
    }
}

/// Makes `per_second` changes a second for `time`.
///
/// # Panics
/// If a change fails, or neither it nor a later change of its link is served within half a minute.
pub async fn measure(fleet: &Arc<Fleet>, per_second: u32, time: Duration) -> Propagation {
    let mut codes = Vec::new();
    for id in 1..=LINKS {
        codes.push(fleet.code(id).await);
    }
    // The creation of the links is not measured.
    for code in &codes {
        for redirector in 0..fleet.redirectors.len() {
            eventually("the link is served", async || fleet.look_up(redirector, code).await.0 == 302).await;
        }
    }
    let before = histograms(fleet).await;
    let mut followers = JoinSet::new();
    let mut senders = Vec::new();
    for redirector in &fleet.redirectors {
        let (sender, changes) = mpsc::unbounded_channel();
        senders.push(sender);
        followers.spawn(follow(Follower::connect(&redirector.addresses[0]).await.unwrap(), changes));
    }

    let began = SystemTime::now();
    let mut requests = JoinSet::new();
    let mut sent = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while began.elapsed().unwrap() < time {
        pace.tick().await;
        let n = sent.len();
        let (id, code) = (n % LINKS + 1, codes[n % LINKS].clone());
        let change = Change { n, code, since: Instant::now() };
        let (fleet, body) = (Arc::clone(fleet), json!({"original_url": Change::target(n)}));
        sent.push((change.code.clone(), SystemTime::now()));
        for sender in &senders {
            sender.send(change.clone()).unwrap();
        }
        requests.spawn(async move {
            let path = format!("/urls/{id}");
            // A request that times out on a busy machine is repeated.
            loop {
                let status = fleet.call(Method::PUT, &path, &body).await.0;
                if status != 503 {
                    break status;
                }
            }
        });
    }
    let took = began.elapsed().unwrap();
    drop(senders);
    assert!(requests.join_all().await.iter().all(|status| *status == 200), "a change was refused");
    let seen = followers.join_all().await;

    let committed = commits(fleet, began, &sent);
    let of_each = |since: &dyn Fn(usize) -> SystemTime| {
        let served = seen.iter().flat_map(|(served, _)| served);
        served.map(|(n, at)| at.duration_since(since(*n)).unwrap_or_default()).collect::<Vec<_>>()
    };
    let (since_commit, since_request) = (of_each(&|n| committed[n]), of_each(&|n| sent[n].1));
    let polls = seen.iter().map(|(_, polls)| polls).sum();
    let mut own = histograms(fleet).await;
    for (own, before) in own.iter_mut().zip(&before) {
        own.iter_mut().for_each(|(bound, count)| *count -= before[bound]);
    }
    Propagation { since_commit, since_request, polls, histograms: own, took }
}

/// Returns when each change was first seen, and the number of requests.
async fn follow(
    mut follower: Follower,
    mut changes: mpsc::UnboundedReceiver<Change>,
) -> (Vec<(usize, SystemTime)>, usize) {
    let (mut seen, mut polls, mut awaited) = (Vec::new(), 0, Vec::<Change>::new());
    loop {
        if awaited.is_empty() {
            match changes.recv().await {
                Some(change) => awaited.push(change),
                None => return (seen, polls),
            }
        }
        while let Ok(change) = changes.try_recv() {
            awaited.push(change);
        }
        for change in std::mem::take(&mut awaited) {
            polls += 1;
            let target = follower.target(&change.code).await.unwrap();
            // A later change of the same link proves that this one was served by now at the latest.
            if target.as_deref().and_then(Change::of_target).is_some_and(|n| n >= change.n) {
                seen.push((change.n, SystemTime::now()));
            } else {
                assert!(change.since.elapsed() < WAIT_LIMIT, "change {} was not served", change.n);
                awaited.push(change);
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Returns PostgreSQL's commit time of each change; changes of one link are told apart by their order.
fn commits(fleet: &Fleet, began: SystemTime, sent: &[(String, SystemTime)]) -> Vec<SystemTime> {
    let began = began.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let mut of_code: HashMap<&str, Vec<SystemTime>> = HashMap::new();
    let table = fleet.psql(&format!(
        "SELECT short_code, (extract(epoch FROM at) * 1000000)::bigint
         FROM (SELECT short_code, pg_xact_commit_timestamp(xid::xid) AS at FROM url_changes) AS change
         WHERE at >= to_timestamp({began}) ORDER BY at"
    ));
    for line in table.lines() {
        let (code, micros) = line.split_once('|').unwrap();
        of_code.entry(code).or_default().push(UNIX_EPOCH + Duration::from_micros(micros.parse().unwrap()));
    }
    let mut of_code: HashMap<&str, _> = of_code.into_iter().map(|(code, times)| (code, times.into_iter())).collect();
    sent.iter().map(|(code, _)| of_code.get_mut(code.as_str()).unwrap().next().unwrap()).collect()
}

async fn histograms(fleet: &Fleet) -> Vec<BTreeMap<String, f64>> {
    let mut own = Vec::new();
    for n in 0..fleet.redirectors.len() {
        own.push(fleet.buckets(n, HISTOGRAM).await);
    }
    own
}

/// Returns the lowest upper bound of a histogram below which `share` of its counts lie.
fn bound(histogram: &BTreeMap<String, f64>, share: f64) -> String {
    let wanted = histogram["+Inf"] * share;
    let mut bounds: Vec<(f64, f64)> =
        histogram.iter().map(|(bound, count)| (bound.parse().unwrap_or(f64::INFINITY), *count)).collect();
    bounds.sort_by(|one, other| one.0.total_cmp(&other.0));
    let bound = bounds.into_iter().find(|(_, count)| *count >= wanted).map_or(f64::INFINITY, |(bound, _)| bound);
    format!("<= {} ms", bound * 1000.0)
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redirectors = self.histograms.len();
        let changes = self.since_commit.len() / redirectors;
        let polls = self.polls as u128 * 1000 / self.took.as_millis().max(1);
        writeln!(
            f,
            "{changes} changes in {:.1?}, each at {redirectors} redirectors; {polls} polls a second",
            self.took
        )?;
        for (since, times) in [("the commit", &self.since_commit), ("the request", &self.since_request)] {
            let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| percentile(times, share));
            writeln!(f, "from {since} to a client's redirect: p50 {p50:.2?}, p99 {p99:.2?}, at most {most:.2?}")?;
        }
        for (n, own) in self.histograms.iter().enumerate() {
            let [p50, p99] = [0.5, 0.99].map(|share| bound(own, share));
            writeln!(f, "redirector {n}, its own histogram of {} changes: p50 {p50}, p99 {p99}", own["+Inf"])?;
        }
        Ok(())
    }
}
