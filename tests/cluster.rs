//! A drill of a whole fleet over a network: PostgreSQL under Patroni, Redis under Sentinel, admins and redirectors, each
//! on a host of its own, while random hosts are killed, frozen and cut off.
//!
//! Clients create, change and follow links all the time. Their history judges the store and the redirectors.

mod clicks;
mod faults;
mod hosts;
mod judge;
mod links;
mod timeline;
mod writers;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tern_testkit::network::Network;
use tern_testkit::patroni::Options;
use tokio::time::sleep;

use self::clicks::{Clicks, FIRST_LINKS};
pub use self::faults::{Direction, Fault};
use self::hosts::{ADMINS, CLIENTS, DATABASES, Hosts, NUMBER, REDIRECTORS};
use self::judge::ClickVerdict;
use self::links::LostChanges;
use self::writers::Writing;
use crate::eventually;

/// Time after a fault at which every redirector has to equal the store.
const HEALED_AFTER: Duration = Duration::from_secs(10);

/// Distance of one redirector, which is in another region.
const FAR: Duration = Duration::from_millis(20);

/// Length of a drill and of its parts.
#[derive(Clone, Debug)]
pub struct Drill {
    pub seed: u64,
    /// Whether each commit waits for a standby.
    pub is_synchronous: bool,
    /// Seconds after which a silent primary loses its role.
    pub ttl: u32,
    /// Faults in their order, with their lengths.
    pub faults: Vec<(Fault, Duration)>,
}

impl Drill {
    /// Returns a drill with `number` faults that are chosen by `seed`.
    pub fn random(seed: u64, is_synchronous: bool, number: usize) -> Drill {
        let mut random = SmallRng::seed_from_u64(seed);
        // Half of the faults are longer than the time to live.
        let fault = |_| (Fault::random(&mut random), Duration::from_secs(random.random_range(2..14)));
        let faults = (0..number).map(fault).collect();
        Drill { seed, is_synchronous, ttl: 8, faults }
    }
}

/// Results of a drill.
#[derive(Clone, Debug)]
pub struct Report {
    pub seed: u64,
    is_synchronous: bool,
    faults: usize,
    took: Duration,
    answered: usize,
    failed: Vec<String>,
    clicks: ClickVerdict,
    created: usize,
    changed: usize,
    unanswered: usize,
    refused: usize,
    /// Changes of links that the API did not have any more.
    gone: usize,
    lost: LostChanges,
    differing: usize,
    /// Full loads of the maps after the start.
    whole_loads: usize,
    /// Longest time for which an admin refused changes while PostgreSQL took them.
    pub refusal: Duration,
    /// Longest time without a commit of any client.
    outage: Duration,
    ended_planes: usize,
}

impl Report {
    /// Returns what a fleet must not do, as one line for each kind.
    pub fn violations(&self) -> Vec<String> {
        let clicks = &self.clicks;
        let counts = [
            ("redirects failed", self.failed.len()),
            ("clicks are lost", clicks.verdict.lost),
            ("clicks are stored twice", clicks.verdict.twice),
            ("events have no click", clicks.verdict.unknown),
            ("clicks are on another link", clicks.misplaced),
            ("links have another count than events", usize::try_from(clicks.miscounted).unwrap()),
            ("acknowledged links are lost", if self.is_synchronous { self.lost.links } else { 0 }),
            ("acknowledged changes are lost", if self.is_synchronous { self.lost.targets } else { 0 }),
            ("links were never requested", self.lost.unknown),
            ("codes differ", self.differing),
            ("clicks were dropped", clicks.dropped),
            ("planes ended", self.ended_planes),
            ("maps were loaded whole", self.whole_loads),
        ];
        counts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clicks = &self.clicks;
        let mode = if self.is_synchronous { "synchronous" } else { "asynchronous" };
        writeln!(f, "seed {}, {mode}: {} faults in {:.0?}", self.seed, self.faults, self.took)?;
        writeln!(f, "redirects: {} answered, {} failed", self.answered, self.failed.len())?;
        writeln!(
            f,
            "clicks: {} lost, {} twice, {} unknown, {} on another link, {} dropped; {} of links that a failover lost, \
             {} counted as link_gone; {} links miscounted",
            clicks.verdict.lost,
            clicks.verdict.twice,
            clicks.verdict.unknown,
            clicks.misplaced,
            clicks.dropped,
            clicks.of_lost_links,
            clicks.link_gone,
            clicks.miscounted
        )?;
        writeln!(
            f,
            "changes: {} links created, {} changed, {} requests refused, {} unanswered, {} of lost links; lost after an \
             answer: {} links, {} changes",
            self.created, self.changed, self.refused, self.unanswered, self.gone, self.lost.links, self.lost.targets
        )?;
        writeln!(f, "codes that differ after a fault: {}; whole loads: {}", self.differing, self.whole_loads)?;
        write!(
            f,
            "longest refusal of an admin while PostgreSQL took changes: {:.1?}; longest outage of PostgreSQL: {:.1?}",
            self.refusal, self.outage
        )
    }
}

/// Runs a drill on a network of its own, and prints what happens.
///
/// # Panics
/// If it is not run as root, if a server is missing, or if the servers do not recover from a fault.
pub fn run(drill: Drill) -> Report {
    let thread = std::thread::spawn(move || {
        println!("seed {}", drill.seed);
        let network = Arc::new(Network::start(NUMBER));
        // This thread, those of the runtime and the processes that they start are on the host of the clients.
        network.host(CLIENTS).enter();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(run_on(network, &drill))
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

async fn run_on(network: Arc<Network>, drill: &Drill) -> Report {
    let mut random = SmallRng::seed_from_u64(drill.seed);
    let options = Options { is_synchronous: drill.is_synchronous, ttl: drill.ttl };
    let mut hosts = Hosts::start(network, options).await;
    hosts.network.place(REDIRECTORS[0], FAR);
    let writing = Writing::new(ADMINS.len());
    hosts.patroni.psql(faults::primary(&hosts).await, "postgres", "CREATE TABLE probe (at timestamptz)");
    let probes: Vec<_> = (0..DATABASES.len()).map(|n| writing.probe(hosts.patroni.address(n))).collect();
    create_user(&hosts).await;
    let mut writers = Vec::new();
    for admin in 0..ADMINS.len() {
        writers.extend((0..2).map(|n| writing.start(admin, &hosts.api(admin), &hosts.token, n, random.random())));
    }
    eventually("the first links are created", async || writing.links.len() >= FIRST_LINKS).await;
    let mut visitors = Vec::new();
    for redirector in 0..REDIRECTORS.len() {
        let address = hosts.redirects(redirector);
        visitors.push(clicks::start(&writing, redirector, address, !drill.is_synchronous, random.random()));
    }
    let (began, loads) = (Instant::now(), hosts.sum("tern_replica_snapshots_total ").await);
    writing.timeline.print("every client has begun");
    let mut differing = 0;
    for (fault, length) in &drill.faults {
        differing += suffer(*fault, *length, &mut hosts, &writing, &mut random).await;
    }
    let ended = Instant::now();
    writing.end();
    for client in writers.into_iter().chain(probes) {
        client.await.unwrap();
    }
    let mut clicks = Clicks::default();
    for visitor in visitors {
        clicks.add(visitor.await.unwrap());
    }
    println!("{} redirects of links that a failover lost, {} before a link was served", clicks.gone, clicks.early);
    let (answered, failed) = (clicks.answered.len(), clicks.failed.clone());
    let count = |counter: &std::sync::atomic::AtomicUsize| counter.load(Ordering::Relaxed);
    let lost = writing.links.compare(&judge::stored_links(&hosts).await);
    let report = Report {
        seed: drill.seed,
        is_synchronous: drill.is_synchronous,
        faults: drill.faults.len(),
        took: began.elapsed(),
        answered,
        failed,
        clicks: judge::judge_clicks(&hosts, clicks).await,
        created: count(&writing.counts.created),
        changed: count(&writing.counts.changed),
        unanswered: count(&writing.counts.unanswered),
        refused: count(&writing.counts.refused),
        gone: count(&writing.counts.gone),
        lost,
        differing,
        whole_loads: (hosts.sum("tern_replica_snapshots_total ").await - loads) as usize,
        refusal: writing.timeline.longest_refusal(began, ended),
        outage: writing.timeline.longest_outage(began, ended),
        ended_planes: hosts.ended_planes(),
    };
    println!("{report}");
    if !report.violations().is_empty() {
        println!("logs are in {:?}", hosts.keep_directories());
    }
    report
}

/// Brings one fault about and waits until it is over; returns the number of codes that differ then.
async fn suffer(
    fault: Fault,
    length: Duration,
    hosts: &mut Hosts,
    writing: &Arc<Writing>,
    random: &mut SmallRng,
) -> usize {
    let timeline = &writing.timeline;
    let began = Instant::now();
    let begun = fault.begin(hosts, random).await;
    timeline.print(&format!("{begun} for {length:?}"));
    sleep(length).await;
    begun.end(hosts, timeline);
    let ended = Instant::now();
    timeline.print("the fault is over");
    eventually("PostgreSQL takes changes", async || timeline.first_commit_after(ended).is_some()).await;
    let available = timeline.first_commit_after(ended).unwrap();
    timeline.print(&format!("PostgreSQL took a change {:.1?} after it", available - ended));
    sleep(HEALED_AFTER - Duration::from_secs(1)).await;
    let paused = Instant::now();
    let differing = {
        let _closed = writing.gate.write().await;
        sleep(Duration::from_secs(1)).await;
        // A comparison takes a round trip for each code.
        hosts.network.place(REDIRECTORS[0], Duration::ZERO);
        let differing = judge::count_differing_codes(hosts).await;
        hosts.network.place(REDIRECTORS[0], FAR);
        differing
    };
    let compared = Instant::now();
    (0..ADMINS.len()).for_each(|admin| timeline.excuse(admin, paused, compared));
    let refusal = timeline.longest_refusal(began, compared);
    timeline.print(&format!("{differing} codes of {} differ; an admin refused for {refusal:.1?}", writing.links.len()));
    faults::wait_until_whole(hosts).await;
    differing
}

async fn create_user(hosts: &Hosts) {
    let body = serde_json::json!({"username": "ada", "email": "ada@mail.example"});
    let request = reqwest::Client::new().post(format!("{}/users", hosts.api(0))).bearer_auth(&hosts.token).json(&body);
    assert_eq!(request.send().await.unwrap().status(), 201);
}
