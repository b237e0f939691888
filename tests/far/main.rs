//! Planes that are far from the database and from Redis, and a pooler on the way. Relays delay every byte.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tern_testkit::pgbouncer::PgBouncer;
use tern_testkit::postgres::Options;
use tern_testkit::relay::{Relay, Stall};
use tern_tests::{Fleet, FleetOptions, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Without a snapshot file, so that the redirector needs all links of the database.
#[tokio::test(flavor = "multi_thread")]
async fn redirector_280_ms_from_a_database_with_tls_is_ready_within_five_seconds() {
    let postgres = Options { tls: true, ..Options::default() };
    let fleet = Fleet::start_with(FleetOptions { links: 10, postgres, ..FleetOptions::default() }).await;
    let way = |port| Relay::delayed(port, Duration::from_millis(140));
    let (to_postgres, to_redis) = (way(fleet.postgres.port()), way(fleet.redis.port()));
    let near = fleet.postgres.url(fleet.database()).replace("//tern@", "//tern_redirector@");
    let far = near.replace(&format!(":{}/", fleet.postgres.port()), &format!(":{}/", to_postgres.port()));
    let settings =
        [("DATABASE_URL", format!("{far}?sslmode=require")), ("REDIS_URL", fleet.redis.url_through(to_redis.port()))];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let began = Instant::now();
    let redirector = fleet.start_redirector_with(7, &settings);
    let url = format!("http://{}/ready", redirector.addresses[1]);
    eventually("the redirector is ready", async || {
        fleet.client().get(&url).send().await.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    println!("ready after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_changes_80_ms_away_wait_for_every_redirector() {
    let fleet = Fleet::start_with(FleetOptions { delay: Duration::from_millis(40), ..FleetOptions::default() }).await;
    // A redirector subscribes and announces itself in the moments after it is ready.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for n in 0..8 {
        let body = json!({"user_id": 1, "original_url": format!("https://example.com/far/{n}")});
        let began = Instant::now();
        let (status, visible, url) = fleet.call(Method::POST, "/urls", &body).await;
        println!("{visible:?} after {:?}", began.elapsed());
        assert_eq!((status, visible.as_deref()), (201, Some("2/2")), "change {n}: {url}");
    }
}

/// Requests a short code over one connection, a hundred requests at a time.
async fn follow(address: &str, code: &str, visits: usize) {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let requests = format!("GET /{code} HTTP/1.1\r\nHost: tern.example\r\n\r\n").repeat(100);
    let (mut answers, mut begun) = (Vec::new(), 0);
    while begun < visits {
        connection.write_all(requests.as_bytes()).await.unwrap();
        begun += 100;
        answers.clear();
        while answers.windows(4).filter(|end| end == b"\r\n\r\n").count() < 100 {
            assert!(connection.read_buf(&mut answers).await.unwrap() > 0, "the connection was closed");
        }
    }
}

/// The promise is 20,000 clicks a second of an optimised build. Eight round trips for each batch of 1,000 clicks allow 1,600.
#[tokio::test(flavor = "multi_thread")]
async fn backlog_of_a_redirector_80_ms_away_is_shipped_in_large_batches() {
    const CLICKS: usize = 50_000;
    let delay = Duration::from_millis(40);
    let fleet = Fleet::start_with(FleetOptions { links: 1, delay, ..FleetOptions::default() }).await;
    let code = fleet.code(1).await;
    let way = &fleet.relays.as_ref().unwrap().postgres;
    way.stall(Stall::Both);
    follow(&fleet.redirectors[0].addresses[0], &code, CLICKS).await;
    way.resume();
    let began = Instant::now();
    eventually("the clicks are stored", async || fleet.metric(0, "tern_clicks_committed_total").await >= CLICKS as f64)
        .await;
    let rate = CLICKS as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} clicks a second");
    assert!(rate > 4_000.0, "{rate:.0} clicks a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn pooler_in_transaction_mode_ends_both_planes_as_a_wrong_setting() {
    let fleet = Fleet::start(0, &[]).await;
    let pooler = PgBouncer::start(&fleet.postgres, "transaction");
    let url = pooler.url("postgres");
    let with_options = format!("{url}?options=-cwork_mem%3D8MB");
    for (program, arguments) in [("tern-redirector", &[][..]), ("tern-admin", &["serve"]), ("tern-admin", &["migrate"])]
    {
        for (url, expected) in [
            (&with_options, "(unsupported startup parameter: options)"),
            (&url, "a pooler that changes the session with each transaction"),
        ] {
            let settings = [("DATABASE_URL", url.as_str()), ("TERN_DATA_DIR", "pooled")];
            let ended = fleet.run(program, arguments, &settings);
            let error_output = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(ended.status.code(), Some(64), "{program} {arguments:?}: {error_output}");
            assert!(error_output.contains(expected), "{program} {arguments:?}: {error_output}");
        }
    }
}
