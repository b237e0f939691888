//! Measures the drain of a backlog: `cargo bench -p tern-common --bench drain -- 300000`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use tern_testkit::postgres::{Options, Postgres};

#[path = "../tests/support/drain.rs"]
mod drain;

/// Nearly what a server has that nobody has tuned.
fn server() -> Postgres {
    let options = Options { fsync: true, ..Options::default() };
    Postgres::start_new(&options.set("shared_buffers", "256MB").set("max_wal_size", "4GB").set("autovacuum", "on"))
}

fn main() {
    let clicks = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(200_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let rates = runtime.block_on(drain::measure(&server(), clicks, 5));
    println!("rows a second, {clicks} clicks a turn");
    println!("psql \\copy  {:8.0?}", rates.copied);
    println!("shipped     {:8.0?}", rates.shipped);
    println!("ratio of the medians {:.2}", rates.ratio());
}
