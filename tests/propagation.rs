//! How long it takes from a commit until every redirector serves the change.
//!
//! Changes are made through the API at a steady pace, whatever becomes of those before. PostgreSQL keeps the time of each
//! commit, and a follower at each redirector notes when it is first given the new target: on one machine that is one
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
use crate::{Fleet, PATIENCE, Scene, eventually, percentile};

/// Far apart in time are two changes to one link: what is measured is changes, not what is left of several.
const LINKS: usize = 200;

/// Between two looks of a follower. Looking more often would take from the redirector what is to be measured.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// The redirectors' own histogram.
const HISTOGRAM: &str = "tern_replica_propagation_seconds_bucket";

/// A fleet whose PostgreSQL keeps the times of commits.
pub async fn fleet_that_knows_its_commits() -> Fleet {
    let postgres = Options::default().set("track_commit_timestamp", "on");
    Fleet::set(Scene { links: LINKS, settings: &[("VISIBLE_WAIT", "0")], postgres, is_relayed: false }).await
}

/// What was measured. The times are of each change at each redirector.
#[derive(Debug)]
pub struct Propagation {
    /// From the commit to the first redirect to the new target that a client got.
    pub since_commit: Vec<Duration>,
    /// From the request that made the change.
    pub since_request: Vec<Duration>,
    /// How often followers asked.
    pub looks: usize,
    /// Of each redirector: how many changes its histogram has up to each bound, in seconds.
    pub own: Vec<BTreeMap<String, f64>>,
    pub took: Duration,
}

/// One change that a follower is to look out for.
#[derive(Clone, Debug)]
struct Change {
    n: usize,
    code: String,
    since: Instant,
}

impl Change {
    /// Where the link leads from then on.
    fn target(n: usize) -> String {
        format!("https://example.com/changed/{n}")
    }

    /// Which change made a link lead there.
    fn behind(target: &str) -> Option<usize> {
        target.strip_prefix("https://example.com/changed/")?.parse().ok()
    }
}

/// Makes `per_second` changes a second for so long.
///
/// # Panics
/// If one of them fails, or neither it nor a later one of its link is served within half a minute.
pub async fn measure(fleet: &Arc<Fleet>, per_second: u32, time: Duration) -> Propagation {
    let mut codes = Vec::new();
    for id in 1..=LINKS {
        codes.push(fleet.code(id).await);
    }
    // What made the links is no change to be measured.
    for code in &codes {
        for redirector in 0..fleet.redirectors.len() {
            eventually("the link is served", async || fleet.served(redirector, code).await.0 == 302).await;
        }
    }
    let before = own(fleet).await;
    let mut followers = JoinSet::new();
    let mut look_out = Vec::new();
    for redirector in &fleet.redirectors {
        let (sender, changes) = mpsc::unbounded_channel();
        look_out.push(sender);
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
        for sender in &look_out {
            sender.send(change.clone()).unwrap();
        }
        requests.spawn(async move {
            let path = format!("/urls/{id}");
            // A busy machine may have no answer within the time that a request has: then it is made again.
            loop {
                let status = fleet.call(Method::PUT, &path, &body).await.0;
                if status != 503 {
                    break status;
                }
            }
        });
    }
    let took = began.elapsed().unwrap();
    drop(look_out);
    assert!(requests.join_all().await.iter().all(|status| *status == 200), "a change was refused");
    let seen = followers.join_all().await;

    let committed = commits(fleet, began, &sent);
    let of_each = |since: &dyn Fn(usize) -> SystemTime| {
        let served = seen.iter().flat_map(|(served, _)| served);
        served.map(|(n, at)| at.duration_since(since(*n)).unwrap_or_default()).collect::<Vec<_>>()
    };
    let (since_commit, since_request) = (of_each(&|n| committed[n]), of_each(&|n| sent[n].1));
    let looks = seen.iter().map(|(_, looks)| looks).sum();
    let mut own = own(fleet).await;
    for (own, before) in own.iter_mut().zip(&before) {
        own.iter_mut().for_each(|(bound, count)| *count -= before[bound]);
    }
    Propagation { since_commit, since_request, looks, own, took }
}

/// When each of the changes was first seen, and how often that was looked for.
async fn follow(
    mut follower: Follower,
    mut changes: mpsc::UnboundedReceiver<Change>,
) -> (Vec<(usize, SystemTime)>, usize) {
    let (mut seen, mut looks, mut awaited) = (Vec::new(), 0, Vec::<Change>::new());
    loop {
        if awaited.is_empty() {
            match changes.recv().await {
                Some(change) => awaited.push(change),
                None => return (seen, looks),
            }
        }
        while let Ok(change) = changes.try_recv() {
            awaited.push(change);
        }
        for change in std::mem::take(&mut awaited) {
            looks += 1;
            let target = follower.target(&change.code).await.unwrap();
            // A later change of the same link may have come over it: then this one was served at the latest now.
            if target.as_deref().and_then(Change::behind).is_some_and(|n| n >= change.n) {
                seen.push((change.n, SystemTime::now()));
            } else {
                assert!(change.since.elapsed() < PATIENCE, "change {} was not served", change.n);
                awaited.push(change);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// When each of the changes was committed, by PostgreSQL's account: those of one link are told apart by their order.
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

async fn own(fleet: &Fleet) -> Vec<BTreeMap<String, f64>> {
    let mut own = Vec::new();
    for n in 0..fleet.redirectors.len() {
        own.push(fleet.buckets(n, HISTOGRAM).await);
    }
    own
}

/// The lowest bound of a histogram below which `share` of what it counted lies.
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
        let redirectors = self.own.len();
        let changes = self.since_commit.len() / redirectors;
        let looks = self.looks as u128 * 1000 / self.took.as_millis().max(1);
        writeln!(
            f,
            "{changes} changes in {:.1?}, each at {redirectors} redirectors; {looks} looks a second",
            self.took
        )?;
        for (since, times) in [("the commit", &self.since_commit), ("the request", &self.since_request)] {
            let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| percentile(times, share));
            writeln!(f, "from {since} to a client's redirect: p50 {p50:.2?}, p99 {p99:.2?}, at most {most:.2?}")?;
        }
        for (n, own) in self.own.iter().enumerate() {
            let [p50, p99] = [0.5, 0.99].map(|share| bound(own, share));
            writeln!(f, "redirector {n}, its own histogram of {} changes: p50 {p50}, p99 {p99}", own["+Inf"])?;
        }
        Ok(())
    }
}
