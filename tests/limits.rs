//! Drills for limited links while processes and databases fail. The clients' own history says how many redirects there were.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::RngExt as _;
use tokio::time::timeout;

use crate::clicks::{CLIENTS, wait_until_shipped};
use crate::follower::Follower;
use crate::followers::{Followers, name};
use crate::{Fleet, eventually, percentile};

/// Links with a limit.
const LINKS: usize = 200;

/// The pause of each client between two requests. All clients together make some 600 requests a second, which is too few
/// for a redirector to take clicks of one link ahead.
const PAUSE: Duration = Duration::from_millis(25);

/// Concurrent clients.
const VISITORS: usize = 16;

/// The answers that clients got.
#[derive(Debug, Default)]
struct History {
    /// Redirects of each link.
    redirects: Vec<AtomicU64>,
    /// Requests that were sent and not answered.
    unanswered: AtomicU64,
    /// Requests that were answered 503.
    unavailable: AtomicU64,
    exhausted: AtomicU64,
}

/// The judgement of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Redirects beyond the limits.
    pub excess: u64,
    /// Clicks of the limits that no client was redirected with.
    pub wasted: u64,
    /// The requests that may have been under way at the kills: one of each client.
    pub under_way: u64,
}

struct Run {
    addresses: Mutex<Vec<String>>,
    is_over: AtomicBool,
    history: History,
}

impl Run {
    fn address(&self) -> String {
        let addresses = self.addresses.lock().unwrap();
        addresses[rand::rng().random_range(0..addresses.len())].clone()
    }

    /// Follows links at random until the run is over.
    async fn visit(&self) {
        let mut connections = HashMap::new();
        while !self.is_over.load(Ordering::Relaxed) {
            let link = rand::rng().random_range(0..LINKS);
            self.follow(link, &self.address(), &mut connections).await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Follows a link once, and returns the status. The answer counts if its head is complete.
    async fn follow(&self, link: usize, address: &str, connections: &mut HashMap<String, Follower>) -> Option<u16> {
        let mut connection = match connections.remove(address) {
            Some(connection) => connection,
            None => Follower::connect(address).await.ok()?,
        };
        let answer = timeout(Duration::from_secs(5), connection.follow(&code(link), name())).await;
        let Ok(Ok(status)) = answer else {
            self.history.unanswered.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        match status {
            302 => self.history.redirects[link].fetch_add(1, Ordering::Relaxed),
            410 => self.history.exhausted.fetch_add(1, Ordering::Relaxed),
            503 => self.history.unavailable.fetch_add(1, Ordering::Relaxed),
            other => panic!("{link} was answered {other}"),
        };
        if !connection.is_closing() {
            connections.insert(address.to_owned(), connection);
        }
        Some(status)
    }

    fn judge(&self, limit: u64, kills: u64) -> Judgement {
        let counts = self.history.redirects.iter().map(|count| count.load(Ordering::Relaxed));
        let (excess, wasted) = counts.fold((0, 0), |(excess, wasted), count| {
            (excess + count.saturating_sub(limit), wasted + limit.saturating_sub(count))
        });
        Judgement { excess, wasted, under_way: kills * VISITORS as u64 }
    }
}

fn code(link: usize) -> String {
    format!("few{link}")
}

/// Inserts links with a limit, and waits until each redirector serves them.
async fn insert_limited(fleet: &Fleet, links: usize, limit: u64) {
    fleet.psql(&format!(
        "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at, max_clicks)
         SELECT min(id), 'few' || n, 'https://example.com/' || n, true, now(), now(), {limit}
         FROM users, generate_series(0, {links} - 1) AS n GROUP BY n ORDER BY n"
    ));
    for redirector in 0..fleet.redirectors.len() {
        // A HEAD uses up no click, and sees no target.
        let last = code(links - 1);
        eventually("the links are served", async || fleet.look_up(redirector, &last).await == (200, None)).await;
    }
}

/// Kills redirectors and PostgreSQL at random while clients use up limited links on three redirectors, then lets them use
/// up what is left.
pub async fn kill_at_random(time: Duration) -> Judgement {
    let mut fleet = Fleet::start(1, &[]).await;
    let third = fleet.start_redirector(2);
    fleet.redirectors.push(third);
    fleet.wait_until_ready().await;
    // About twice as many requests as there are clicks.
    let limit = time.as_secs().max(10) * 3 / 2;
    insert_limited(&fleet, LINKS, limit).await;
    let run = Arc::new(Run {
        addresses: Mutex::new(addresses(&fleet)),
        is_over: AtomicBool::new(false),
        history: History { redirects: (0..LINKS).map(|_| AtomicU64::new(0)).collect(), ..History::default() },
    });
    let visitors: Vec<_> = (0..VISITORS)
        .map(|_| {
            let run = Arc::clone(&run);
            tokio::spawn(async move { run.visit().await })
        })
        .collect();
    let (mut kills, mut database_kills) = (0, 0);
    let began = Instant::now();
    while began.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(300..1_500))).await;
        let victim = rand::rng().random_range(0..4);
        if victim < 3 {
            fleet.redirectors[victim].signal(Signal::SIGKILL);
            fleet.restart_redirector(victim);
            *run.addresses.lock().unwrap() = addresses(&fleet);
            kills += 1;
        } else {
            fleet.postgres.kill9();
            fleet.postgres.start();
            database_kills += 1;
        }
    }
    fleet.wait_until_ready().await;
    use_up(&run).await;
    run.is_over.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.await.unwrap();
    }
    let judgement = run.judge(limit, kills + database_kills);
    let redirects: u64 = run.history.redirects.iter().map(|count| count.load(Ordering::Relaxed)).sum();
    println!(
        "{kills} kills of redirectors and {database_kills} of PostgreSQL in {time:?}: {LINKS} links of {limit} clicks, \
         {redirects} redirects, {} used up, {} unanswered, {} unavailable; {judgement:?}",
        run.history.exhausted.load(Ordering::Relaxed),
        run.history.unanswered.load(Ordering::Relaxed),
        run.history.unavailable.load(Ordering::Relaxed),
    );
    check_store(&fleet, &run, limit).await;
    judgement
}

fn addresses(fleet: &Fleet) -> Vec<String> {
    fleet.redirectors.iter().map(|redirector| redirector.addresses[0].clone()).collect()
}

/// Follows each link on each redirector until all answer that it is used up.
async fn use_up(run: &Run) {
    let addresses = run.addresses.lock().unwrap().clone();
    let mut connections = HashMap::new();
    for link in 0..LINKS {
        for address in &addresses {
            eventually("the link is used up", async || {
                let status = run.follow(link, address, &mut connections).await;
                status == Some(410)
            })
            .await;
        }
    }
}

/// Checks that the store has each redirect as a click, and no link more clicks than its limit.
async fn check_store(fleet: &Fleet, run: &Run, limit: u64) {
    wait_until_shipped(fleet).await;
    let sql = "SELECT short_code, coalesce(sum(humans + bots), 0) FROM urls LEFT JOIN click_hours ON url_id = urls.id
               WHERE max_clicks IS NOT NULL GROUP BY short_code";
    let mut stored = HashMap::new();
    eventually("each redirect is a click", async || {
        let rows = fleet.psql(sql);
        let count = |row: &str| row.split_once('|').map(|(code, count)| (code.to_owned(), count.parse().unwrap()));
        stored = rows.lines().filter_map(count).collect();
        let is_stored = |link: usize| stored[&code(link)] >= run.history.redirects[link].load(Ordering::Relaxed);
        (0..LINKS).all(is_stored)
    })
    .await;
    assert!(stored.values().all(|count: &u64| *count <= limit), "more clicks than the limit: {stored:?}");
    let taken = fleet.psql("SELECT count(*) FROM link_limits WHERE taken <> max_clicks");
    assert_eq!(taken.trim(), "0", "links whose clicks are not all taken");
}

/// Follows a link `times` times; returns the number of each status.
async fn follow_times(fleet: &Fleet, link: &str, times: usize) -> HashMap<u16, usize> {
    let mut follower = Follower::connect(&fleet.redirectors[0].addresses[0]).await.unwrap();
    let mut statuses = HashMap::new();
    for _ in 0..times {
        *statuses.entry(follower.follow(link, name()).await.unwrap()).or_default() += 1;
    }
    statuses
}

/// Fails over to a standby that lacks the last takes. Once the clicks are shipped again, the limit holds as before.
pub async fn fail_over() {
    const LIMIT: usize = 60;
    let mut fleet = Fleet::start_behind_relays(1, &[]).await;
    insert_limited(&fleet, 1, LIMIT as u64).await;
    let link = code(0);
    let standby = fleet.postgres.standby();
    standby.stop();
    assert_eq!(follow_times(&fleet, &link, 40).await, HashMap::from([(302, 40)]));
    wait_until_shipped(&fleet).await;
    fleet.postgres.kill9();
    standby.start();
    standby.promote();
    fleet.fail_over_to(standby);
    assert_eq!(fleet.psql("SELECT taken FROM link_limits").trim(), "0", "the standby has the takes");
    eventually("the clicks are shipped again", async || fleet.psql("SELECT taken FROM link_limits").trim() == "40")
        .await;
    let statuses = follow_times(&fleet, &link, 60).await;
    let redirects = statuses.get(&302).copied().unwrap_or_default();
    println!("failed over without 40 takes: 40 redirects before, then {statuses:?}");
    assert!(redirects <= LIMIT - 40, "{statuses:?}");
}

/// Takes clicks while a synchronous standby is away. None is granted, so a failover to it would lose none.
pub async fn lose_synchronous_standby() {
    let fleet = Fleet::start(1, &[]).await;
    insert_limited(&fleet, 1, 60).await;
    let link = code(0);
    let standby = fleet.postgres.standby();
    fleet.psql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    fleet.psql("SELECT pg_reload_conf()");
    let is_synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    eventually("the standby is synchronous", async || fleet.psql(is_synchronous).trim() == "1").await;
    assert_eq!(follow_times(&fleet, &link, 3).await, HashMap::from([(302, 3)]));
    standby.stop();
    assert_eq!(follow_times(&fleet, &link, 3).await, HashMap::from([(503, 3)]), "a take that a failover could lose");
    standby.start();
    eventually("clicks are granted again", async || follow_times(&fleet, &link, 1).await.contains_key(&302)).await;
}

/// The figures of many requests for one limited link.
#[derive(Clone, Debug)]
pub struct FastRun {
    /// p99 of the limited link.
    pub limited: Duration,
    /// p99 of a plain link beside the limited one, divided by its p99 beside as many further requests for a plain link. In
    /// each turn, sorted.
    pub neighbour: Vec<f64>,
    pub requests: usize,
    /// Requests for the limited link that were not redirected.
    pub failed: usize,
}

impl FastRun {
    /// Returns the median ratio of the neighbour.
    pub fn neighbour_median(&self) -> f64 {
        self.neighbour[self.neighbour.len() / 2]
    }
}

/// Follows one limited link at `rate` requests a second beside a plain one, in turns with a plain one.
pub async fn follow_fast(rate: u32, turns: u32, time: Duration) -> FastRun {
    let fleet = Fleet::start(1, &[("REDIRECTOR_WORKERS", "2")]).await;
    let plain = fleet.code(1).await;
    insert_limited(&fleet, 1, 1_000_000_000).await;
    let address = &fleet.redirectors[0].addresses[0];
    let measure = async |code: &str| {
        let others = Followers::start(2, address, &plain, Some(500));
        let own = Followers::start(CLIENTS, address, code, Some(rate));
        tokio::time::sleep(time).await;
        let own = own.finish().await;
        (percentile(&others.finish().await.times, 0.99), own)
    };
    let (mut neighbour, mut limited, mut failed) = (Vec::new(), Vec::new(), 0);
    for _ in 0..turns {
        let (beside_plain, _) = measure(&plain).await;
        let (beside_limited, own) = measure(&code(0)).await;
        neighbour.push(beside_limited.as_secs_f64() / beside_plain.as_secs_f64());
        failed += own.refused.len() + own.unanswered.len();
        limited.extend(own.times);
    }
    neighbour.sort_by(f64::total_cmp);
    let seconds = fleet.metric(0, "tern_limited_take_seconds_sum").await;
    let takes = fleet.metric(0, "tern_limited_take_seconds_count").await;
    let run = FastRun { limited: percentile(&limited, 0.99), neighbour, requests: limited.len(), failed };
    println!(
        "{rate} requests a second wanted for {:?}: {run:.2?}; {takes} takes of {:.1} ms",
        time * turns,
        seconds * 1e3 / takes.max(1.0)
    );
    run
}
