//! `tern-measure`: measurements that take too long for a test, or need an optimised build.

#![expect(clippy::print_stdout, reason = "the figures are this program's output")]

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use tern_testkit::postgres::Options;
use tern_tests::checker::{check, fleet_to_check};
use tern_tests::clicks::fail_over_without_links;
use tern_tests::long_log::{fleet_with_bulk, follow_long_log};
use tern_tests::propagation::{fleet_with_commit_times, measure};
use tern_tests::{Fleet, FleetOptions, Forger, eventually};

const USAGE: &str = "usage: tern-measure propagation|open-transaction|flood|coherence SECONDS
       tern-measure long-log LINKS
       tern-measure lost-ids ROUNDS
       tern-measure load-test K6 [SETTING=VALUE...] [ARGUMENT...]";

const CHANGES_PER_SECOND: u32 = 100;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["load-test", k6, ref more @ ..] = arguments[..] {
        return load_test(k6, more).await;
    }
    let [what, number] = arguments[..] else { return usage() };
    let Ok(number) = number.parse::<u32>() else { return usage() };
    let time = Duration::from_secs(number.into());
    match what {
        "long-log" => long_log(number).await,
        "lost-ids" => lost_ids(number).await,
        "propagation" => propagation(time).await,
        "open-transaction" => open_transaction(time).await,
        "flood" => flood(time).await,
        "coherence" => coherence(time).await,
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    println!("{USAGE}");
    ExitCode::from(64)
}

async fn propagation(time: Duration) {
    let fleet = Arc::new(fleet_with_commit_times().await);
    print!("{}", measure(&fleet, CHANGES_PER_SECOND, time).await);
    print_differences(&fleet).await;
}

/// Measures propagation beside a transaction that has written and stays open.
async fn open_transaction(time: Duration) {
    let fleet = Arc::new(fleet_with_commit_times().await);
    // A link that nothing else changes.
    let target = "https://example.com/late";
    fleet.psql(&format!(
        "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
         VALUES (1, 'late', '{target}', true, now(), now())"
    ));
    eventually("the link is served", async || fleet.look_up(0, "late").await.0 == 302).await;
    let transaction = fleet.begin("UPDATE urls SET is_active = false WHERE short_code = 'late'");
    print!("{}", measure(&fleet, CHANGES_PER_SECOND, time).await);
    let before_commit = fleet.look_up(0, "late").await;
    transaction.commit();
    for redirector in 0..fleet.redirectors.len() {
        eventually("what it changed is served", async || fleet.look_up(redirector, "late").await.0 == 410).await;
    }
    println!("open all the time: its change was answered {} before its commit, and 410 after it", before_commit.0);
    print_differences(&fleet).await;
}

/// Measures propagation beside a flood of messages on the bus.
async fn flood(time: Duration) {
    let fleet = Arc::new(fleet_with_commit_times().await);
    let deltas = "tern_replica_deltas_total";
    let before = fleet.metric(0, deltas).await;
    let flood = Forger::new(&fleet.redis).flood(time);
    print!("{}", measure(&fleet, 10, time).await);
    let flood = flood.join().expect("the flood panicked");
    let deltas = (fleet.metric(0, deltas).await - before) / flood.time.as_secs_f64();
    println!("flooded with {:.0} messages a second: {deltas:.0} deltas a second", flood.per_second());
    print_differences(&fleet).await;
}

/// Checks random changes, loads, cascades and restores with continuous samples.
async fn coherence(time: Duration) {
    let fleet = fleet_to_check().await;
    print!("{}", check(&fleet, rand::random(), time, |_| {}).await);
}

/// Measures a log of at least a million changes. The last million is one transaction that changes existing links.
async fn long_log(links: u32) {
    let mut fleet = fleet_with_bulk(links).await;
    println!("{links} links: {:?}", follow_long_log(&mut fleet, links.min(1_000_000)).await);
}

/// Loses links in failovers, and fails if a click on one of them is counted on a link that was given its id.
async fn lost_ids(rounds: u32) {
    for round in 1..=rounds {
        fail_over_without_links().await;
        println!("round {round}: 0 clicks on other links");
    }
}

/// Runs the k6 scenario against one process of each plane, on a database with durable commits.
async fn load_test(k6: &str, arguments: &[&str]) -> ExitCode {
    // PostgreSQL's defaults, in place of the smaller settings of tests.
    let postgres = Options { fsync: true, ..Options::default() }.set("autovacuum", "on").set("shared_buffers", "128MB");
    // Each request is logged, as in production.
    let mut settings = vec![("LOG_LEVEL", "info"), ("REDIRECTOR_WORKERS", "1")];
    let given = arguments.iter().map_while(|argument| argument.split_once('=').filter(|_| !argument.starts_with('-')));
    let given: Vec<_> = given.collect();
    let arguments = &arguments[given.len()..];
    settings.extend(given);
    let mut fleet =
        Fleet::start_with(FleetOptions { links: 100, settings: &settings, postgres, ..FleetOptions::default() }).await;
    fleet.redirectors.truncate(1);
    let api = format!("BASE_URL=http://{}", fleet.admin.addresses[0]);
    let redirector = format!("REDIRECT_URL=http://{}", fleet.redirectors[0].addresses[0]);
    let mut command = Command::new(k6);
    command.args(["run", "--no-usage-report", "-e", &api, "-e", &redirector]).args(arguments).arg("load_test.js");
    let done = command.status();
    ExitCode::from(u8::from(!done.is_ok_and(|status| status.success())))
}

async fn print_differences(fleet: &Fleet) {
    println!("codes that differ from the table: {}", fleet.count_differing_codes().await);
}
