//! Drills for faults that no other file covers. Each prints its findings, checks the clients' answers, and takes the
//! same course again with the same seed.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tern_testkit::relay::{Relay, Stall};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::clicks::{CLIENTS, Verdict, print_verdict, verdict};
use crate::followers::{Connections, Followers, History};
use crate::{Fleet, WAIT_LIMIT, eventually, percentile};

fn seeded_random(seed: u64) -> SmallRng {
    println!("seed {seed}");
    SmallRng::seed_from_u64(seed)
}

fn check_none_failed(history: &History) {
    let failed = (history.unconnected, history.unanswered.len(), &history.refused[..]);
    assert_eq!(failed, (0, 0, &[][..]), "connections, answers, other answers");
}

/// Kills the admin after it has committed a change and before it can announce it. Returns the longest time after which
/// both redirectors served such a change.
pub async fn admin_killed(rounds: usize) -> Duration {
    let mut fleet = Fleet::start(1, &[]).await;
    let code = fleet.code(1).await;
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        // The admin's messages go to a stalled relay and are lost with it.
        let relay = Relay::to(fleet.redis.port());
        let redis = fleet.redis.url_through(relay.port());
        fleet.restart_admin(&[("REDIS_URL", &redis)]);
        relay.stall(Stall::Both);
        let target = format!("https://example.com/untold/{round}");
        let change = reqwest::Client::new().put(format!("http://{}/urls/1", fleet.admin.addresses[0]));
        let asking = tokio::spawn(change.json(&json!({"original_url": target})).send());
        let mut session = fleet.session();
        eventually("the change is committed", async || {
            session.ask("SELECT original_url FROM urls WHERE id = 1") == target
        })
        .await;
        let committed = Instant::now();
        fleet.admin.signal(Signal::SIGKILL);
        drop(relay);
        for redirector in 0..fleet.redirectors.len() {
            eventually("the change is served", async || {
                fleet.look_up(redirector, &code).await == (302, Some(target.clone()))
            })
            .await;
        }
        slowest = slowest.max(committed.elapsed());
        // The client may or may not have received an answer.
        drop(asking.await);
    }
    println!("{rounds} times, the change was served within {slowest:?} of its commit");
    fleet.restart_admin(&[]);
    assert_eq!(fleet.count_differing_codes().await, 0);
    slowest
}

/// Kills loads of `rows` urls at random moments; checks that each load inserted all of its rows or none.
pub async fn load_killed(rounds: usize, rows: usize, seed: u64) {
    let mut random = seeded_random(seed);
    let fleet = Fleet::start(1, &[]).await;
    let file = fleet.redirector_directory(0).join("urls.csv");
    let write = |round: usize| {
        let mut csv = "user_id,short_code,original_url,title,is_active,created_at,updated_at\n".to_owned();
        let rest = "a title,true,2026-01-01T00:00:00,2026-01-01T00:00:00";
        (0..rows).for_each(|n| csv.push_str(&format!("1,load{round}x{n},https://example.com/{n},{rest}\n")));
        fs::write(&file, csv).unwrap();
    };
    write(rounds);
    let started = Instant::now();
    assert!(fleet.load(&file).wait().unwrap().success());
    let whole = started.elapsed();
    let count = |round: usize| {
        let sql = format!("SELECT count(*) FROM urls WHERE short_code LIKE 'load{round}x%'");
        fleet.psql(&sql).trim().to_owned()
    };
    assert_eq!(count(rounds), rows.to_string());
    let mut done = 0;
    for round in 0..rounds {
        write(round);
        let mut load = fleet.load(&file);
        sleep(whole.mul_f64(random.random_range(0.0..1.1))).await;
        // The load may already have ended.
        drop(load.kill());
        let ended = load.wait().unwrap().success();
        let others = "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid()
                      AND query LIKE 'COPY%'";
        eventually("its transaction has ended", async || fleet.psql(others).trim() == "0").await;
        let there: usize = count(round).parse().unwrap();
        assert!(there == 0 || there == rows, "{there} of {rows}");
        assert!(there == rows || !ended, "what is said to be loaded is there");
        done += usize::from(there == rows);
    }
    println!(
        "{rounds} loads of {rows} urls, {whole:?} each, killed at any moment: {done} whole, {} not at all",
        rounds - done
    );
    let total = fleet.psql("SELECT row_total('urls', '') - count(*) FROM urls");
    assert_eq!(total.trim(), "0", "the total of the list");
    let links = (1 + (done + 1) * rows) as f64;
    for redirector in 0..fleet.redirectors.len() {
        eventually("every link is served", async || fleet.metric(redirector, "tern_replica_links").await == links)
            .await;
    }
}

/// Makes PostgreSQL's address close every connection for `time`, then refuses redirectors for as long. Checks that
/// redirects continue and returns the highest number of connections tried a second.
pub async fn database_refuses(time: Duration) -> f64 {
    let fleet = Fleet::start_behind_relays(1, &[]).await;
    let code = fleet.code(1).await;
    // Other processes' connections would be counted as well.
    fleet.admin.signal(Signal::SIGSTOP);
    fleet.redirectors[1].signal(Signal::SIGSTOP);
    let relay = &fleet.relays.as_ref().unwrap().postgres;
    let followers = Followers::start(CLIENTS, &fleet.redirectors[0].addresses[0], &code, Some(500));
    let mut rates = Vec::new();
    let hangs_up = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing_port = hangs_up.local_addr().unwrap().port();
    let hanging_up = tokio::spawn(async move { while hangs_up.accept().await.is_ok() {} });
    for what in ["is away", "has no connection left"] {
        match what {
            "is away" => relay.forward_to(refusing_port),
            _ => {
                fleet.psql("ALTER ROLE tern_redirector CONNECTION LIMIT 0");
                fleet.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tern_redirector'");
            }
        }
        let before = relay.accepted();
        sleep(time).await;
        // The first attempt is immediate.
        rates.push((relay.accepted() - before).saturating_sub(1) as f64 / time.as_secs_f64());
        match what {
            "is away" => relay.forward_to(fleet.postgres.port()),
            _ => drop(fleet.psql("ALTER ROLE tern_redirector CONNECTION LIMIT -1")),
        }
        let target = format!("https://example.com/{}", rates.len());
        fleet.psql(&format!("UPDATE urls SET original_url = '{target}'"));
        let back = Instant::now();
        eventually("changes are served", async || fleet.look_up(0, &code).await == (302, Some(target.clone()))).await;
        println!(
            "PostgreSQL {what} for {time:?}: {:.1} connections tried a second; changes served {:?} after its return",
            rates.last().unwrap(),
            back.elapsed()
        );
    }
    hanging_up.abort();
    fleet.redirectors[1].signal(Signal::SIGCONT);
    fleet.admin.signal(Signal::SIGCONT);
    let history = followers.finish().await;
    check_none_failed(&history);
    let verdict = verdict(&fleet, &history).await;
    print_verdict("PostgreSQL refused", &history, verdict);
    assert_eq!(verdict, Verdict::default());
    rates.into_iter().fold(0.0, f64::max)
}

/// Sets a redirector's clock an hour ahead, then two hours back, under load.
pub async fn clock_steps() -> Verdict {
    let mut fleet = Fleet::start(1, &[]).await;
    let code = fleet.code(1).await;
    let clock = fleet.redirector_directory(0).join("clock");
    let set = |offset: &str| {
        // The file is replaced atomically, because every look at the clock reads it.
        let next = clock.with_extension("next");
        fs::write(&next, offset).unwrap();
        fs::rename(&next, &clock).unwrap();
    };
    set("+0");
    let library = tern_testkit::server::program(
        &[
            "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
            "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
        ],
        "faketime",
    );
    let settings = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        // Deadlines use the monotonic clock, which must not step.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    fleet.redirectors[0] = fleet.start_redirector_with(0, &settings);
    fleet.wait_until_ready().await;
    let followers = Followers::start(CLIENTS, &fleet.redirectors[0].addresses[0], &code, Some(500));
    for offset in ["+0", "+3600", "-3600", "+3600", "+0"] {
        set(offset);
        let before = followers.answered();
        eventually("clients are answered", async || followers.answered() > before + 500).await;
        let target = format!("https://example.com/at{offset}");
        fleet.change(1, &code, &target).await;
    }
    let history = followers.finish().await;
    check_none_failed(&history);
    let verdict = verdict(&fleet, &history).await;
    print_verdict("clock stepped by an hour and two", &history, verdict);
    let hours = fleet.psql("SELECT count(DISTINCT date_trunc('hour', timestamp)) > 2 FROM events");
    assert_eq!(hours.trim(), "t", "the clock did step");
    let log = fs::read_to_string(fleet.redirector_directory(0).join("app.log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
    verdict
}

/// Answer to one client of the crowd, and the time of its connection.
struct Answer {
    status: Option<u16>,
    connected_at: Instant,
}

/// Kills a redirector and restarts it without its snapshot file, while `clients` connect within a second.
pub async fn crowd_after_restart(clients: usize, links: usize) {
    let mut fleet = Fleet::start(1, &[]).await;
    fleet.psql(&format!(
        "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
         SELECT 1, 'crowd' || n, 'https://example.com/' || n, true, now(), now() FROM generate_series(1, {links}) AS n"
    ));
    eventually("all are served", async || fleet.metric(0, "tern_replica_links").await == (links + 1) as f64).await;
    let address: SocketAddr = fleet.redirectors[0].addresses[0].parse().unwrap();
    fleet.redirectors[0].signal(Signal::SIGKILL);
    assert!(!fleet.redirectors[0].wait_for_success());
    // Without the file, the redirector must load from the database, which takes longer.
    drop(fs::remove_file(fleet.redirector_directory(0).join("data/links.snapshot")));
    let started = Instant::now();
    let mut crowd = JoinSet::new();
    for n in 0..clients {
        // Spread over the second.
        let at = started + Duration::from_secs(1) * u32::try_from(n).unwrap() / u32::try_from(clients).unwrap();
        crowd.spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            connect_and_ask(address, n % links + 1).await
        });
    }
    let settings = [("REDIRECTOR_LISTEN", address.to_string())];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    fleet.redirectors[0] = fleet.start_redirector_with(0, &settings);
    let up = started.elapsed();
    fleet.wait_until_ready().await;
    let ready = Instant::now();
    let mut counts = std::collections::BTreeMap::new();
    for answer in crowd.join_all().await {
        *counts.entry(answer.status).or_insert(0) += 1;
        let is_late_refusal = answer.status == Some(503) && answer.connected_at > ready;
        assert!(!is_late_refusal, "a 503 after it was ready");
    }
    println!(
        "{clients} connections within a second of a restart: up after {up:?}, ready after {:?}, answered {counts:?}",
        ready - started
    );
    assert!(counts.keys().all(|status| matches!(status, Some(302 | 503))), "{counts:?}");
}

/// Connects, as often as it takes, and sends one request.
async fn connect_and_ask(address: SocketAddr, n: usize) -> Answer {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < WAIT_LIMIT, "refusing_port listens");
        let connected_at = Instant::now();
        let Ok(mut stream) = TcpStream::connect(address).await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let request = format!("GET /crowd{n} HTTP/1.1\r\nHost: fleet.example\r\nConnection: close\r\n\r\n");
        let ask = async {
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = timeout(WAIT_LIMIT, ask).await.ok().and_then(Result::ok).unwrap_or_default();
        let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
        return Answer { status, connected_at };
    }
}

/// Malformed requests, with `|` for CR LF.
const MALFORMED: [&str; 12] = [
    "GET /x|||",
    "BREW /x HTTP/1.1|Host: h||",
    "GET /x HTTP/9.9|Host: h||",
    "GET /x HTTP/1.1|Host: h|Host: i||",
    "GET /x HTTP/1.1||",
    "GET /x HTTP/1.1|Host: h|Content-Length: x||",
    "GET /x HTTP/1.1|Host: h|Content-Length: 1|Transfer-Encoding: chunked||",
    "GET /\u{1} HTTP/1.1|Host: h||",
    "GET /x HTTP/1.1|Ho st: h||",
    "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}",
    "PRI * HTTP/2.0||SM||",
    "POST /x HTTP/1.1|Host: h|Expect: 100-continue|Content-Length: 9||",
];

/// Sends malformed requests at a tenth of `rate` for `time`; checks that other clients are not affected.
pub async fn malformed_traffic(rate: u32, time: Duration, seed: u64) {
    let mut random = seeded_random(seed);
    let mut fleet = Fleet::start(1, &[]).await;
    fleet.redirectors[0] = fleet.start_redirector_with(0, &[("LOG_LEVEL", "info")]);
    fleet.wait_until_ready().await;
    let code = fleet.code(1).await;
    let address = fleet.redirectors[0].addresses[0].clone();
    let log = fleet.redirector_directory(0).join("app.log");
    let honest = async || {
        let followers = Followers::start_on(Connections::Persistent, CLIENTS, &address, &code, Some(rate * 9 / 10));
        sleep(time).await;
        followers.finish().await
    };
    let mut history = honest().await;
    let before = percentile(&history.times, 0.99);
    let lines_before = fs::read_to_string(&log).unwrap().lines().count();
    let stop = Arc::new(AtomicBool::new(false));
    let malformed_requests = tokio::spawn({
        let (address, stop) = (address.clone(), Arc::clone(&stop));
        async move {
            let mut pace = interval(Duration::from_secs(10) / rate);
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                pace.tick().await;
                let request = MALFORMED[random.random_range(0..MALFORMED.len())].replace('|', "\r\n");
                let cut = random.random_range(1..=request.len());
                let mut stream = TcpStream::connect(&address).await.unwrap();
                // Some requests are cut short, and no client reads an answer.
                drop(stream.write_all(&request.as_bytes()[..if random.random() { cut } else { request.len() }]).await);
                sent += 1;
            }
            sent
        }
    });
    let beside = honest().await;
    stop.store(true, Ordering::Relaxed);
    let sent = malformed_requests.await.unwrap();
    let lines = fs::read_to_string(&log).unwrap().lines().count() - lines_before;
    let p99 = percentile(&beside.times, 0.99);
    let lines = lines as f64 / time.as_secs_f64();
    println!(
        "beside {sent} malformed requests in {time:?}: honest p99 {p99:?}, and {before:?} before; {lines:.1} log lines a second"
    );
    history.add(beside);
    check_none_failed(&history);
    assert!(lines <= 10.0, "{lines} log lines a second");
    let verdict = verdict(&fleet, &history).await;
    print_verdict("beside malformed traffic", &history, verdict);
    assert_eq!(verdict, Verdict::default());
}

/// Kills and restarts a redirector without its database and bus. Returns the longest time from a start until the
/// redirector served from its file.
pub async fn killed_and_restarted(rounds: usize) -> Duration {
    let mut fleet = Fleet::start(100, &[]).await;
    let code = fleet.code(1).await;
    // On shutdown, the redirector writes its snapshot file.
    fleet.redirectors[0].signal(Signal::SIGTERM);
    assert!(fleet.redirectors[0].wait_for_success());
    fleet.restart_redirector(0);
    fleet.wait_until_ready().await;
    fleet.postgres.stop();
    fleet.redis.stop();
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        fleet.redirectors[0].signal(Signal::SIGKILL);
        fleet.redirectors[0].wait_for_success();
        let started = Instant::now();
        fleet.restart_redirector(0);
        eventually("the redirector serves", async || fleet.look_up(0, &code).await.0 == 302).await;
        slowest = slowest.max(started.elapsed());
    }
    println!("killed {rounds} times with everybody else away, it served from its file within {slowest:?} of its start");
    slowest
}
