//! `make soak`: the drills of the test suite for as long as it takes to believe them. An hour at most; it stops by itself,
//! and with the first thing that is lost.

#![expect(clippy::print_stdout, reason = "it tells its figures")]

#[path = "../redirector/tests/support/mutations.rs"]
mod mutations;

use std::time::Duration;

use tern_tests::clicks::{Verdict, database_away, fail_over, kill_database, kill_redirector};

#[tokio::main]
async fn main() {
    let seed = rand::random();
    println!("seed {seed}");
    println!("{:?}: each was answered the same in one piece and in several", mutations::run(10_000_000, seed));
    assert_eq!(kill_redirector(1_000).await, Verdict::default());
    assert_eq!(kill_database(200).await, Verdict::default());
    for _ in 0..10 {
        assert_eq!(fail_over().await, Verdict::default());
    }
    assert_eq!(database_away(Duration::from_secs(600), 10_000).await, Verdict::default());
    println!("nothing was lost, and nothing is there twice");
}
