//! Speed of a backlog's drain compared with that of the table's own inserts.

use tern_testkit::postgres::Postgres;

#[path = "../support/drain.rs"]
mod drain;

/// Lowest accepted ratio for a debug build on a busy machine. A shipper that inserts row by row reaches a tenth of it.
/// The promise is 0.7, checked in an optimised build on an idle machine by `benches/drain.rs`.
const RATIO: f64 = 0.35;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backlog_drains_nearly_as_fast_as_psql_copies() {
    let rates = drain::measure(Postgres::shared(), 10_000, 3).await;
    println!("{rates:.0?}, ratio of the medians {:.2}", rates.ratio());
    assert!(rates.ratio() >= RATIO, "{rates:.0?}");
}
