//! A backlog drains nearly as fast as the table takes rows.

use tern_testkit::postgres::Postgres;

#[path = "../support/drain.rs"]
mod drain;

/// What must hold is 0.7, of an optimised build on a machine with nothing else to do: `benches/drain.rs`.
/// A shipper that goes row by row is at a tenth of it, on any.
const RATIO: f64 = 0.35;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_drains_nearly_as_fast_as_psql_copies_it() {
    let rates = drain::measure(Postgres::shared(), 10_000, 3).await;
    println!("{rates:.0?}, ratio of the medians {:.2}", rates.ratio());
    assert!(rates.ratio() >= RATIO, "{rates:.0?}");
}
