//! Measures the drain of a backlog: `cargo bench -p tern-common --bench drain -- 300000`.
//!
//! With a round trip in milliseconds as a second argument, it measures one shipper over a relay that far away, without
//! `psql`: `-- 300000 80`, and with TLS as well: `-- 300000 280 tls`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::time::{Duration, Instant};

use tern_common::store::postgres::migrate;
use tern_common::store::{AdminStore, LinkFeed, PostgresConfig, PostgresStore};
use tern_testkit::postgres::{Options, Postgres};
use tern_testkit::relay::Relay;

#[path = "../tests/support/drain.rs"]
mod drain;

/// Nearly what a server has that nobody has tuned.
fn server(tls: bool) -> Postgres {
    let options = Options { fsync: true, tls, ..Options::default() };
    Postgres::start_new(&options.set("shared_buffers", "256MB").set("max_wal_size", "4GB").set("autovacuum", "on"))
}

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let clicks = numbers.first().map_or(200_000, |clicks| *clicks as usize);
    let tls = std::env::args().any(|argument| argument == "tls");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = server(tls);
    if let Some(milliseconds) = numbers.get(1) {
        let way = Relay::delayed(server.port(), Duration::from_millis(*milliseconds) / 2);
        let rates = runtime.block_on(measure_far(&server, &way, tls, clicks, 3));
        println!("rows a second, {clicks} clicks a turn, {milliseconds} ms of round trip: {rates:8.0?}");
        return;
    }
    let rates = runtime.block_on(drain::measure(&server, clicks, 5));
    println!("rows a second, {clicks} clicks a turn");
    println!("psql \\copy  {:8.0?}", rates.copied);
    println!("shipped     {:8.0?}", rates.shipped);
    println!("ratio of the medians {:.2}", rates.ratio());
}

/// Returns the rows a second of one shipper that reaches the server over `way`, in each turn.
async fn measure_far(server: &Postgres, way: &Relay, tls: bool, clicks: usize, turns: u128) -> Vec<f64> {
    let near = PostgresConfig::new(server.create_database());
    migrate(&near).await.unwrap();
    let store = PostgresStore::open(&near).await.unwrap();
    store.run_upkeep().await.unwrap();
    let clicks = drain::backlog(&drain::links(&store).await, clicks);
    let url = near.url.replace(&format!(":{}/", server.port()), &format!(":{}/", way.port()));
    let far = if tls {
        let root_certificates = Some(server.certificate());
        PostgresConfig { root_certificates, ..PostgresConfig::new(format!("{url}?sslmode=require")) }
    } else {
        PostgresConfig::new(url)
    };
    let far = PostgresStore::open(&far).await.unwrap();
    // A connection over a long way takes longer than one call waits.
    while far.snapshot().await.is_err() {}
    let mut rates = Vec::new();
    for turn in 0..turns {
        let started = Instant::now();
        drain::ship(&far, turn, &clicks).await;
        rates.push(clicks.len() as f64 / started.elapsed().as_secs_f64());
    }
    rates
}
