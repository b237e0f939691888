//! `make soak`: longer runs of the test suite's drills, all or those that are named. It takes an hour and a half, and
//! stops at the first loss. The drill `cluster` needs root, and repeats its faults with a seed: `tern-soak cluster 7`.

#![expect(clippy::print_stdout, reason = "the program prints what it measured")]

#[path = "../redirector/tests/support/mutations.rs"]
mod mutations;

use std::process::ExitCode;
use std::time::Duration;

use tern_tests::clicks::{Verdict, database_unavailable, fail_over, kill_database, kill_redirector, lag};
use tern_tests::cluster::{self, Drill};
use tern_tests::limits::{self, follow_fast, kill_at_random};
use tern_tests::roll::{restart_behind_nginx, take_over};

const DRILLS: [&str; 10] =
    ["requests", "redirector", "roll", "database", "failover", "lag", "limits", "limit-rate", "away", "cluster"];

/// Number of faults of a cluster in each mode, which take a quarter of an hour.
const CLUSTER_FAULTS: usize = 42;

#[tokio::main]
async fn main() -> ExitCode {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    // The last argument may be the seed of the drill `cluster`, to repeat its faults.
    let seed = wanted.last().and_then(|last| last.parse().ok());
    wanted.truncate(wanted.len() - usize::from(seed.is_some()));
    if let Some(unknown) = wanted.iter().find(|name| !DRILLS.contains(&name.as_str())) {
        println!("no drill is called {unknown}; there are {DRILLS:?}, and without a name all of them");
        return ExitCode::from(64);
    }
    for drill in DRILLS.into_iter().filter(|name| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)) {
        match drill {
            "requests" => {
                let run = mutations::run(10_000_000, rand::random());
                println!("{run:?}: each was answered the same in one piece and in several, and memory stayed flat");
            }
            "redirector" => assert_eq!(kill_redirector(1_000).await, Verdict::default()),
            "roll" => {
                assert_eq!(take_over(10, 1_000_000, None).await, Verdict::default());
                restart_behind_nginx(10, 1_000_000, 4_000).await;
            }
            "database" => assert_eq!(kill_database(200).await, Verdict::default()),
            "failover" => {
                for _ in 0..10 {
                    assert_eq!(fail_over().await, Verdict::default());
                }
            }
            "limits" => {
                let judgement = kill_at_random(Duration::from_secs(600)).await;
                assert!(judgement.excess == 0 && judgement.wasted <= judgement.under_way, "{judgement:?}");
                limits::fail_over().await;
                limits::lose_synchronous_standby().await;
            }
            "limit-rate" => {
                let run = follow_fast(10_000, 9, Duration::from_secs(10)).await;
                assert!(run.failed == 0 && run.limited < Duration::from_millis(20), "{run:?}");
                assert!(run.neighbour_median() <= 1.1, "{run:?}");
            }
            "lag" => {
                for (rate, most) in [(None, 50), (Some(10_000), 2_000)] {
                    let [_, p99] = lag(300, rate).await;
                    assert!(p99 < Duration::from_millis(most), "{p99:?}");
                }
            }
            "cluster" => {
                for is_synchronous in [true, false] {
                    let drill = Drill::random(seed.unwrap_or_else(rand::random), is_synchronous, CLUSTER_FAULTS);
                    let report = cluster::run(drill);
                    assert!(report.violations().is_empty(), "{:?}", report.violations());
                    assert!(report.refusal < Duration::from_secs(3), "{:?}", report.refusal);
                }
            }
            _ => assert_eq!(database_unavailable(Duration::from_secs(600), 10_000).await, Verdict::default()),
        }
    }
    println!("nothing was lost, and nothing is there twice");
    ExitCode::SUCCESS
}
