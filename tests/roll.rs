//! What clients notice of a redirector that is replaced by another process, with nothing in front of it. Each drill holds
//! what they were answered to the events, and fails if a single one of them failed.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tern_testkit::nginx::{Nginx, Site};

use crate::clicks::{CLIENTS, Verdict, told, verdict};
use crate::follower::Follower;
use crate::followers::{Connections, Followers, name};
use crate::{Fleet, PATIENCE, Visitors, eventually, percentile};

/// Clients of both kinds.
struct Crowd([Followers; 2]);

impl Crowd {
    fn start(address: &str, code: &str, rate: Option<u32>) -> Crowd {
        let start = |connections| Followers::start_on(connections, CLIENTS, address, code, rate);
        Crowd([Connections::Kept, Connections::Fresh].map(start))
    }

    /// Waits until clients of both kinds were answered so often.
    async fn answered(&self, at_least: u64) {
        for followers in &self.0 {
            let started = Instant::now();
            let mut last = (followers.answered(), started);
            while followers.answered() < at_least {
                tokio::time::sleep(Duration::from_millis(5)).await;
                if followers.answered() > last.0 {
                    last = (followers.answered(), Instant::now());
                }
                assert!(last.1.elapsed() < crate::PATIENCE, "clients are not answered any more");
            }
        }
    }

    /// The verdict on all of them; nobody may have failed.
    async fn judge(self, what: &str, fleet: &Fleet) -> Verdict {
        let [kept, fresh] = self.0;
        let (mut history, fresh) = (kept.finish().await, fresh.finish().await);
        for (kind, part) in [("kept", &history), ("for one request each", &fresh)] {
            println!(
                "{what}, connections {kind}: {} answered within p99 {:?}, at most {:?}; {} failed",
                part.answered.len(),
                percentile(&part.times, 0.99),
                percentile(&part.times, 1.0),
                part.failed()
            );
        }
        history.add(fresh);
        let unconnected = history.unconnected;
        assert_eq!((unconnected, history.unanswered.len(), &history.refused[..]), (0, 0, &[][..]), "somebody failed");
        let verdict = verdict(fleet, &history).await;
        told(what, &history, verdict);
        verdict
    }
}

/// Starts a process in place of the one that serves, so many times over as many requests of either kind at least, at
/// `rate` of them a second or as fast as they are answered.
pub async fn take_over(times: u64, requests: u64, rate: Option<u32>) -> Verdict {
    let mut fleet = Fleet::start(1, &[]).await;
    let code = fleet.code(1).await;
    let crowd = Crowd::start(&fleet.redirectors[0].addresses[0], &code, rate);
    let mut predecessors = Vec::new();
    for round in 0..times {
        crowd.answered(requests / 2 * (round + 1) / (times + 1)).await;
        let addresses = fleet.redirectors[0].addresses.clone();
        predecessors.push(fleet.succeed_redirector(0));
        assert_eq!(fleet.redirectors[0].addresses, addresses, "both ports are the same");
    }
    crowd.answered(requests / 2).await;
    for mut predecessor in predecessors {
        assert!(predecessor.ends(), "a predecessor ends well, and by itself");
    }
    crowd.judge(&format!("taken over {times} times"), &fleet).await
}

/// Ends the process that serves and starts another, on a socket that outlives both.
pub async fn restart_on_socket(times: u64, rate: u32) -> Verdict {
    let mut fleet = Fleet::start(1, &[]).await;
    let code = fleet.code(1).await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    fleet.redirectors[0] = fleet.start_redirector_on(0, &socket);
    let address = socket.local_addr().unwrap().to_string();
    assert_eq!(fleet.redirectors[0].addresses[0], address);
    let crowd = Crowd::start(&address, &code, Some(rate));
    for round in 0..times {
        crowd.answered(u64::from(rate) / 2 * (round + 1)).await;
        fleet.redirectors[0].signal(Signal::SIGTERM);
        assert!(fleet.redirectors[0].ends(), "it ends well");
        fleet.redirectors[0] = fleet.start_redirector_on(0, &socket);
    }
    crowd.answered(u64::from(rate) / 2 * (times + 1)).await;
    crowd.judge(&format!("restarted {times} times on one socket"), &fleet).await
}

/// Restarts both redirectors behind nginx in turn, so many times over as many visits at least, at `rate` of them a second.
/// Ended in order, each leaves nginx the other one.
pub async fn restart_behind_nginx(times: u64, visits: u64, rate: u32) {
    let mut fleet = Fleet::start(1, &[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let code = fleet.code(1).await;
    let configuration = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("nginx");
    let redirectors = fleet.redirectors.iter().map(|redirector| redirector.addresses[0].clone()).collect();
    let site = Site { redirectors, admins: vec![fleet.admin.addresses[0].clone()], is_behind_proxy: false };
    let nginx = Nginx::start(&configuration, &site);
    let visitors = Visitors::start(&nginx.address(), &code, rate);
    for _ in 0..times {
        for redirector in 0..2 {
            visitors.have_been_answered(visits / (2 * times + 1)).await;
            fleet.restart_redirector_in_place(redirector, Signal::SIGTERM).await;
        }
    }
    visitors.have_been_answered(visits / (2 * times + 1)).await;
    let history = visitors.finish().await;
    println!("both redirectors restarted {times} times behind nginx: {history}");
    assert!(history.failed() == 0, "{history:?}");
}

/// Ends a redirector while another program holds a lock on its snapshot file, as any user could who can read it; how long
/// that takes.
pub async fn ended_with_a_held_lock() -> Duration {
    let mut fleet = Fleet::start(1, &[("DRAIN_TIMEOUT", "2s")]).await;
    let lock = fleet.redirector_directory(0).join("data/links.lock");
    eventually("the snapshot file was written", async || lock.exists()).await;
    let held = std::fs::File::open(&lock).unwrap();
    eventually("the file is not being written", async || held.try_lock_shared().is_ok()).await;
    // So that there is something to write at the end.
    let code = fleet.code(1).await;
    fleet.change(1, &code, "https://example.com/changed").await;
    let told = Instant::now();
    fleet.redirectors[0].signal(Signal::SIGTERM);
    while !fleet.redirectors[0].has_ended() {
        assert!(told.elapsed() < PATIENCE, "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("with a held lock it ended after {:?}", told.elapsed());
    told.elapsed()
}

/// A process that would take over and cannot serve: the one that serves goes on.
pub async fn take_over_in_vain() {
    let mut fleet = Fleet::start(1, &[]).await;
    let code = fleet.code(1).await;
    let crowd = Crowd::start(&fleet.redirectors[0].addresses[0], &code, Some(500));
    crowd.answered(200).await;
    let links = fleet.redirector_directory(0).join("data/links.snapshot");
    eventually("the snapshot file is there", async || links.exists()).await;
    std::fs::remove_file(links).unwrap();
    fleet.postgres.stop();
    let mut follower = fleet.begin_to_succeed_redirector(0);
    // Long enough for it to take the sockets, which is within milliseconds: whatever it did wrong, clients would see.
    let before = crowd.0[0].answered();
    crowd.answered(before + 500).await;
    follower.signal(Signal::SIGKILL);
    follower.wait();
    let before = crowd.0[0].answered();
    crowd.answered(before + 200).await;
    fleet.postgres.start();
    // The next one can.
    let mut predecessor = fleet.succeed_redirector(0);
    assert!(predecessor.ends());
    assert_eq!(crowd.judge("taken over after a try in vain", &fleet).await, Verdict::default());
}

/// A process that is not for this database ends at once, and leaves no journal for others to take over, however often it is
/// started.
pub async fn take_over_of_another_version() {
    let fleet = Fleet::start(1, &[]).await;
    fleet.run_sql("INSERT INTO refinery_schema_history SELECT 1 + max(version) FROM refinery_schema_history");
    let journals = || std::fs::read_dir(fleet.redirector_directory(0).join("data/clicks")).unwrap().count();
    let before = journals();
    for _ in 0..3 {
        fleet.begin_to_succeed_redirector(0).wait();
    }
    assert_eq!(journals(), before);
}

/// A process that waits for a database that is away, to take over: when the one that serves is killed meanwhile, it goes
/// on from the snapshot file.
pub async fn take_over_from_the_dead() {
    let fleet = Fleet::start(1, &[("LOG_LEVEL", "info")]).await;
    let code = fleet.code(1).await;
    let address = fleet.redirectors[0].addresses[0].clone();
    let links = fleet.redirector_directory(0).join("data/links.snapshot");
    eventually("the snapshot file is there", async || links.exists()).await;
    fleet.postgres.stop();
    let mut follower = fleet.begin_to_succeed_redirector(0);
    let log = fleet.redirector_directory(0).join("app.log");
    eventually("the follower has read the file", async || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("going on from the snapshot file"))
    })
    .await;
    fleet.redirectors[0].signal(Signal::SIGKILL);
    eventually("the follower serves", async || match Follower::connect(&address).await {
        // What the file holds: it is older than the link.
        Ok(mut client) => client.follow(&code, name()).await.is_ok_and(|status| status == 404),
        Err(_) => false,
    })
    .await;
    follower.signal(Signal::SIGKILL);
    follower.wait();
}

/// What a load balancer and a container runtime see of planes that start, serve and end.
pub async fn leave_with_notice() {
    let fleet = Fleet::start(1, &[("DRAIN_NOTICE", "1h")]).await;
    let code = fleet.code(1).await;
    let [fast, ops] = &fleet.redirectors[0].addresses[..] else { panic!("two addresses are announced") };
    let is_ready = || fleet.is_healthy("tern-redirector", "REDIRECTOR_OPS_LISTEN", ops);
    assert!(is_ready() && fleet.is_healthy("tern-admin", "ADMIN_LISTEN", &fleet.admin.addresses[0]));
    let mut kept = Follower::connect(fast).await.unwrap();
    assert_eq!((kept.follow(&code, name()).await.unwrap(), kept.is_told_to_leave()), (302, false));

    fleet.redirectors[0].signal(Signal::SIGTERM);
    eventually("it says that it leaves", async || !is_ready()).await;
    let fresh = Follower::connect(fast).await.unwrap();
    for mut follower in [kept, fresh] {
        assert_eq!((follower.follow(&code, name()).await.unwrap(), follower.is_told_to_leave()), (302, true));
    }
    // Whoever says it twice is in a hurry.
    fleet.redirectors[0].signal(Signal::SIGTERM);
    eventually("the port is closed", async || Follower::connect(fast).await.is_err()).await;
    assert!(!is_ready(), "nobody is there");
}
