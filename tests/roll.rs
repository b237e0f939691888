//! Drills for the replacement of a redirector by another process, with no proxy in front. Each compares the clients'
//! answers with the events and fails if a single request failed.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tern_testkit::nginx::{Nginx, Site};

use crate::clicks::{CLIENTS, Verdict, print_verdict, verdict};
use crate::follower::Follower;
use crate::followers::{Connections, Followers, name};
use crate::{Fleet, Visitors, WAIT_LIMIT, eventually, percentile};

/// Clients with persistent connections, and clients with a connection for each request.
struct Crowd([Followers; 2]);

impl Crowd {
    fn start(address: &str, code: &str, rate: Option<u32>) -> Crowd {
        let start = |connections| Followers::start_on(connections, CLIENTS, address, code, rate);
        Crowd([Connections::Persistent, Connections::New].map(start))
    }

    /// Waits until clients of both kinds have at least `at_least` answers.
    async fn answered(&self, at_least: u64) {
        for followers in &self.0 {
            let started = Instant::now();
            let mut last = (followers.answered(), started);
            while followers.answered() < at_least {
                tokio::time::sleep(Duration::from_millis(5)).await;
                if followers.answered() > last.0 {
                    last = (followers.answered(), Instant::now());
                }
                assert!(last.1.elapsed() < crate::WAIT_LIMIT, "clients are not answered any more");
            }
        }
    }

    /// Returns the verdict on all clients; panics if a request failed.
    async fn judge(self, what: &str, fleet: &Fleet) -> Verdict {
        let [persistent, new] = self.0;
        let (mut history, new) = (persistent.finish().await, new.finish().await);
        for (kind, part) in [("persistent", &history), ("for one request each", &new)] {
            println!(
                "{what}, connections {kind}: {} answered within p99 {:?}, at most {:?}; {} failed",
                part.answered.len(),
                percentile(&part.times, 0.99),
                percentile(&part.times, 1.0),
                part.failed()
            );
        }
        history.add(new);
        let unconnected = history.unconnected;
        assert_eq!((unconnected, history.unanswered.len(), &history.refused[..]), (0, 0, &[][..]), "somebody failed");
        let verdict = verdict(fleet, &history).await;
        print_verdict(what, &history, verdict);
        verdict
    }
}

/// Replaces the serving process `times` times, over at least `requests` requests at `rate` a second, or as fast as they
/// are answered.
pub async fn take_over(times: u64, requests: u64, rate: Option<u32>) -> Verdict {
    let mut fleet = Fleet::start(1, &[]).await;
    let code = fleet.code(1).await;
    let crowd = Crowd::start(&fleet.redirectors[0].addresses[0], &code, rate);
    let mut predecessors = Vec::new();
    for round in 0..times {
        crowd.answered(requests / 2 * (round + 1) / (times + 1)).await;
        let addresses = fleet.redirectors[0].addresses.clone();
        predecessors.push(fleet.replace_redirector(0));
        assert_eq!(fleet.redirectors[0].addresses, addresses, "both ports are the same");
    }
    crowd.answered(requests / 2).await;
    for mut predecessor in predecessors {
        assert!(predecessor.wait_for_success(), "a predecessor ends well, and by itself");
    }
    crowd.judge(&format!("taken over {times} times"), &fleet).await
}

/// Ends the serving process and starts another, on a socket that outlives both.
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
        assert!(fleet.redirectors[0].wait_for_success(), "it ends well");
        fleet.redirectors[0] = fleet.start_redirector_on(0, &socket);
    }
    crowd.answered(u64::from(rate) / 2 * (times + 1)).await;
    crowd.judge(&format!("restarted {times} times on one socket"), &fleet).await
}

/// Restarts both redirectors behind nginx in turn, `times` times, over at least `visits` visits at `rate` a second. A
/// redirector that drains leaves the other one to nginx.
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
            visitors.wait_for_answers(visits / (2 * times + 1)).await;
            fleet.restart_redirector_in_place(redirector, Signal::SIGTERM).await;
        }
    }
    visitors.wait_for_answers(visits / (2 * times + 1)).await;
    let history = visitors.finish().await;
    println!("both redirectors restarted {times} times behind nginx: {history}");
    assert!(history.failed() == 0, "{history:?}");
}

/// Ends a redirector while another program has a lock on its snapshot file, as any user could who can read it. Returns
/// how long that takes.
pub async fn end_with_foreign_lock() -> Duration {
    let mut fleet = Fleet::start(1, &[("DRAIN_TIMEOUT", "2s")]).await;
    let lock = fleet.redirector_directory(0).join("data/links.lock");
    eventually("the snapshot file was written", async || lock.exists()).await;
    let lock_holder = std::fs::File::open(&lock).unwrap();
    eventually("the file is not being written", async || lock_holder.try_lock_shared().is_ok()).await;
    // A change, so that there is something to write at the end.
    let code = fleet.code(1).await;
    fleet.change(1, &code, "https://example.com/changed").await;
    let asked = Instant::now();
    fleet.redirectors[0].signal(Signal::SIGTERM);
    while !fleet.redirectors[0].has_ended() {
        assert!(asked.elapsed() < WAIT_LIMIT, "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("with a foreign lock the redirector ended after {:?}", asked.elapsed());
    asked.elapsed()
}

/// Starts a successor that cannot serve; the predecessor must continue.
pub async fn failing_take_over() {
    let mut fleet = Fleet::start(1, &[]).await;
    let code = fleet.code(1).await;
    let crowd = Crowd::start(&fleet.redirectors[0].addresses[0], &code, Some(500));
    crowd.answered(200).await;
    let links = fleet.redirector_directory(0).join("data/links.snapshot");
    eventually("the snapshot file is there", async || links.exists()).await;
    std::fs::remove_file(links).unwrap();
    fleet.postgres.stop();
    let mut follower = fleet.begin_to_replace_redirector(0);
    // Long enough for the successor to receive the sockets, which takes milliseconds; clients would see its faults.
    let before = crowd.0[0].answered();
    crowd.answered(before + 500).await;
    follower.signal(Signal::SIGKILL);
    follower.wait();
    let before = crowd.0[0].answered();
    crowd.answered(before + 200).await;
    fleet.postgres.start();
    // The next successor succeeds.
    let mut predecessor = fleet.replace_redirector(0);
    assert!(predecessor.wait_for_success());
    assert_eq!(crowd.judge("taken over after a try in vain", &fleet).await, Verdict::default());
}

/// Starts successors that do not fit the database's version; they must end at once and leave no journal.
pub async fn take_over_by_another_version() {
    let fleet = Fleet::start(1, &[]).await;
    fleet.run_sql("INSERT INTO refinery_schema_history SELECT 1 + max(version) FROM refinery_schema_history");
    let journals = || std::fs::read_dir(fleet.redirector_directory(0).join("data/clicks")).unwrap().count();
    let before = journals();
    for _ in 0..3 {
        fleet.begin_to_replace_redirector(0).wait();
    }
    assert_eq!(journals(), before);
}

/// Starts a successor that waits for an unavailable database; when its predecessor is killed, it must serve from the
/// snapshot file.
pub async fn take_over_from_killed() {
    let fleet = Fleet::start(1, &[("LOG_LEVEL", "info")]).await;
    let code = fleet.code(1).await;
    let address = fleet.redirectors[0].addresses[0].clone();
    let links = fleet.redirector_directory(0).join("data/links.snapshot");
    eventually("the snapshot file is there", async || links.exists()).await;
    fleet.postgres.stop();
    let mut follower = fleet.begin_to_replace_redirector(0);
    let log = fleet.redirector_directory(0).join("app.log");
    eventually("the follower has read the file", async || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("links were restored from the snapshot file"))
    })
    .await;
    fleet.redirectors[0].signal(Signal::SIGKILL);
    eventually("the follower serves", async || match Follower::connect(&address).await {
        // The snapshot file may be older than the link.
        Ok(mut client) => client.follow(&code, name()).await.is_ok_and(|status| status == 302 || status == 404),
        Err(_) => false,
    })
    .await;
    follower.signal(Signal::SIGKILL);
    follower.wait();
}

/// Checks what a load balancer and a container runtime see of planes that start, serve and end.
pub async fn end_with_notice() {
    let fleet = Fleet::start(1, &[("DRAIN_NOTICE", "1h")]).await;
    let code = fleet.code(1).await;
    let [fast, ops] = &fleet.redirectors[0].addresses[..] else { panic!("two addresses are announced") };
    let is_ready = || fleet.is_healthy("tern-redirector", "REDIRECTOR_OPS_LISTEN", ops);
    assert!(is_ready() && fleet.is_healthy("tern-admin", "ADMIN_LISTEN", &fleet.admin.addresses[0]));
    let mut persistent = Follower::connect(fast).await.unwrap();
    assert_eq!((persistent.follow(&code, name()).await.unwrap(), persistent.is_closing()), (302, false));

    fleet.redirectors[0].signal(Signal::SIGTERM);
    eventually("the redirector is not ready", async || !is_ready()).await;
    let new = Follower::connect(fast).await.unwrap();
    for mut follower in [persistent, new] {
        assert_eq!((follower.follow(&code, name()).await.unwrap(), follower.is_closing()), (302, true));
    }
    // A second SIGTERM skips the rest of the notice.
    fleet.redirectors[0].signal(Signal::SIGTERM);
    eventually("the port is closed", async || Follower::connect(fast).await.is_err()).await;
    assert!(!is_ready(), "nobody is there");
}
