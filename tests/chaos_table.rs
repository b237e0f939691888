//! `make chaos`: runs a drill for every fault that Tern must survive, and prints a table of the demands and the
//! findings. It ends by itself, with a failure if any demand was missed.

#![expect(clippy::print_stdout, reason = "the table is this program's output")]
#![expect(clippy::unwrap_used, reason = "a drill that cannot start has failed")]

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use tern_tests::ALONE;
use tern_tests::chaos::{
    admin_killed, clock_steps, crowd_after_restart, database_refuses, killed_and_restarted, load_killed,
    malformed_traffic,
};
use tern_tests::clicks::{Verdict, database_unavailable};
use tern_tests::roll::{restart_behind_nginx, restart_on_socket, take_over};

const USAGE: &str = "usage: tern-chaos [--seed NUMBER] [FAULT...]";

/// Drill for one fault, with its demand from docs/FAILURE_MODES.md.
struct Drill {
    fault: u8,
    what: &'static str,
    demand: &'static str,
    runner: Runner,
}

enum Runner {
    /// Runs within this program, under this name.
    Here(&'static str),
    /// Runs a test: its package, its target, its name.
    Test(&'static str, &'static str, &'static str),
}

use Runner::{Here, Test};

const fn drill(fault: u8, what: &'static str, demand: &'static str, runner: Runner) -> Drill {
    Drill { fault, what, demand, runner }
}

/// All drills. `make soak` runs those that take longer than minutes.
const DRILLS: &[Drill] = &[
    drill(
        1,
        "one of two redirectors behind nginx killed",
        "0 failed",
        Test("tern-tests", "edge", "failing::redirector_killed_under_load_fails_no_request"),
    ),
    drill(2, "the only redirector killed", "serves within 1 s of its restart, from its file", Here("restart")),
    drill(3, "ten processes follow each other", "0 of 100,000 failed", Here("take-over")),
    drill(3, "restarted on a socket of systemd", "0 failed", Here("on-socket")),
    drill(3, "both restarted ten times behind nginx", "0 of 50,000 failed", Here("behind-nginx")),
    drill(4, "admin killed between commit and announcement", "served within 1 s", Here("admin-killed")),
    drill(5, "bulk load killed half way", "all or nothing", Here("load-killed")),
    drill(
        6,
        "PostgreSQL restarted, killed, frozen",
        "0 failed redirects, caught up with within 2 s",
        Test("tern-tests", "coherence", "database::database_restarted_killed_or_frozen_is_caught_up_with"),
    ),
    drill(
        6,
        "PostgreSQL killed in mid-batch",
        "0 clicks lost or twice",
        Test("tern-tests", "clicks", "database_killed_in_mid_batch_loses_and_doubles_no_click"),
    ),
    drill(6, "PostgreSQL stopped for 30 s", "0 failed, 0 clicks lost or twice", Here("database-away")),
    drill(6, "PostgreSQL away, then without connections", "0 failed, one reconnect a second", Here("database-refuses")),
    drill(
        6,
        "PostgreSQL slow or full, asked by the API",
        "an answer in time",
        Test("tern-common", "postgres", "faults::server_without_free_connections_is_unavailable_in_time"),
    ),
    drill(
        7,
        "failover that loses commits: links",
        "0 codes differ",
        Test("tern-tests", "coherence", "database::failover_that_loses_commits_removes_them_from_the_maps"),
    ),
    drill(
        7,
        "failover that loses commits: clicks",
        "0 lost or twice",
        Test("tern-tests", "clicks", "failover_that_loses_commits_loses_no_click"),
    ),
    drill(
        8,
        "a write transaction stays open",
        "other changes p99 <= 50 ms",
        Test("tern-tests", "coherence", "healthy::long_transaction_delays_no_other_change"),
    ),
    drill(
        9,
        "Redis killed, emptied, frozen, cut off",
        "every change within 1 s",
        Test("tern-tests", "coherence", "redis::redis_killed_flushed_frozen_or_cut_off_delays_no_change_for_long"),
    ),
    drill(
        9,
        "Redis half-open",
        "every change within 1 s",
        Test("tern-tests", "coherence", "redis::redis_half_open_delays_no_change_for_long"),
    ),
    drill(
        10,
        "messages repeated, reordered, forged, huge",
        "no wrong redirect",
        Test("tern-tests", "coherence", "redis::repeated_reordered_forged_and_huge_messages_cause_no_wrong_redirect"),
    ),
    drill(
        10,
        "100,000 messages a second",
        "at most 50 deltas a second",
        Test("tern-tests", "coherence", "redis::flood_of_forged_messages_costs_few_deltas_and_no_wrong_redirect"),
    ),
    drill(
        11,
        "PostgreSQL and Redis both away",
        "0 failed, a restart serves",
        Test("tern-tests", "coherence", "database::redirector_without_database_and_redis_restarts_from_its_file"),
    ),
    drill(
        12,
        "the disk of the journals full",
        "0 failed, drops counted, recovers within 5 s",
        Test("tern-tests", "clicks", "full_journal_disk_costs_counted_clicks_and_no_redirect"),
    ),
    drill(
        12,
        "btrfs full, which copies what is written again",
        "0 failed, drops counted, recovers within 5 s",
        Test("tern-tests", "disks", "full_btrfs_costs_counted_clicks_and_no_redirect"),
    ),
    drill(
        12,
        "XFS full",
        "0 failed, drops counted, recovers within 5 s",
        Test("tern-tests", "disks", "full_xfs_costs_counted_clicks_and_no_redirect"),
    ),
    drill(
        12,
        "XFS shut down",
        "0 failed, drops counted",
        Test("tern-tests", "disks", "shut_down_xfs_costs_counted_clicks_and_no_redirect"),
    ),
    drill(
        12,
        "ext4 aborted",
        "0 failed, drops counted",
        Test("tern-tests", "disks", "aborted_ext4_costs_counted_clicks_and_no_redirect"),
    ),
    drill(
        12,
        "tails cut under load",
        "0 failed, drops counted, recovers within 5 s",
        Test("tern-tests", "disks", "truncated_tails_cost_counted_clicks_and_no_redirect"),
    ),
    drill(
        12,
        "damage on the disk",
        "what it hit is counted, and nothing else is lost",
        Test("tern-redirector", "clicks", "faults::damaged_segment_costs_only_damaged_clicks_and_they_are_counted"),
    ),
    drill(13, "the clock an hour on, and stepping back", "no panic, no click lost", Here("clock")),
    drill(
        14,
        "out of descriptors",
        "neither spins nor dies, recovers within 1 s",
        Test("tern-redirector", "http_descriptors", "listener_without_descriptors_backs_off_and_recovers"),
    ),
    drill(
        14,
        "more connections than allowed",
        "the longest idle one ends for it",
        Test("tern-redirector", "http_connections", "full_port_ends_the_longest_idle_connection_for_a_newcomer"),
    ),
    drill(
        15,
        "slow heads, slow readers, idle connections",
        "honest p99 <= 1.5 x (10 x and 100 ms beside others), <= 8 KiB a connection",
        Test("tern-redirector", "http_crowd", "honest_clients_beside_a_crowd_are_served_in_time"),
    ),
    drill(16, "10,000 connections within a second of a restart", "no 404, 503 only before ready", Here("crowd")),
    drill(
        17,
        "nginx reloaded under load",
        "0 failed",
        Test("tern-tests", "edge", "failing::nginx_reloaded_under_load_fails_no_request"),
    ),
    drill(
        18,
        "malformed requests through nginx",
        "none puts it out of step with a redirector",
        Test("tern-tests", "edge", "malformed::vectors_through_nginx_are_answered_as_expected"),
    ),
    drill(18, "a tenth of the load malformed", "0 failed, at most 10 log lines a second", Here("malformed")),
];

/// Drill with a planted bug, which must be detected; otherwise the other drills prove nothing.
const PLANTED: Drill = drill(
    0,
    "planted: progress kept beside the clicks",
    "it is caught",
    Test("tern-redirector", "clicks", "planted_bug::progress_outside_the_transaction_is_detected"),
);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (seed, faults) = match &arguments[..] {
        ["drill", name, seed] => return perform(name, seed.parse().unwrap()),
        ["--seed", seed, faults @ ..] => (seed.parse().ok(), faults),
        faults => (Some(rand::random()), faults),
    };
    let wanted: Option<Vec<u8>> = faults.iter().map(|fault| fault.parse().ok()).collect();
    let (Some(seed), Some(wanted)) = (seed, wanted) else {
        println!("{USAGE}");
        return ExitCode::from(64);
    };
    println!("seed {seed}\n\n| # | fault | demanded | found | verdict |\n|---|---|---|---|---|");
    // Looked up first, because cargo may rebuild this program meanwhile.
    let this = std::env::current_exe().unwrap();
    let mut missed = 0;
    for drill in DRILLS.iter().chain([&PLANTED]) {
        if wanted.is_empty() || wanted.contains(&drill.fault) {
            missed += usize::from(!drill.run(&this, seed));
        }
    }
    println!("\n{missed} missed");
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Drill {
    /// Runs the drill in a child process and prints its row; returns whether it passed.
    fn run(&self, this: &Path, seed: u64) -> bool {
        let started = Instant::now();
        let output = match self.runner {
            Here(name) => Command::new(this).args(["drill", name, &seed.to_string()]).output().unwrap(),
            Test(package, target, name) => Command::new("cargo")
                .args(["test", "--quiet", "--locked", "--package", package, "--test", target, "--"])
                .args(["--exact", name, "--nocapture"])
                .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
                .env(ALONE, "1")
                .output()
                .unwrap(),
        };
        let stdout = String::from_utf8_lossy(&output.stdout);
        let is_run = matches!(self.runner, Here(_)) || stdout.contains("1 passed");
        let is_harness = |line: &&str| {
            !(line.len() < 2 || line.starts_with("running ") || line.starts_with("test ") || line.starts_with("seed "))
        };
        let found = stdout.lines().map(str::trim).filter(is_harness).collect::<Vec<_>>().join("; ");
        let passed = output.status.success() && is_run;
        let (verdict, seconds) = (if passed { "passed" } else { "MISSED" }, started.elapsed().as_secs());
        let fault = if self.fault == 0 { String::new() } else { self.fault.to_string() };
        println!("| {fault} | {} | {} | {found} ({seconds} s) | {verdict} |", self.what, self.demand);
        if !passed {
            println!("\n{}\n", String::from_utf8_lossy(&output.stderr));
        }
        passed
    }
}

/// Runs one of this program's own drills.
#[tokio::main]
async fn perform(name: &str, seed: u64) -> ExitCode {
    const SECOND: Duration = Duration::from_secs(1);
    let within = |time: Duration| assert!(time <= SECOND, "{time:?}");
    match name {
        "restart" => within(killed_and_restarted(10).await),
        "take-over" => assert_eq!(take_over(10, 100_000, Some(2_000)).await, Verdict::default()),
        "behind-nginx" => restart_behind_nginx(10, 50_000, 2_000).await,
        "on-socket" => assert_eq!(restart_on_socket(10, 1_000).await, Verdict::default()),
        "admin-killed" => within(admin_killed(10).await),
        "load-killed" => load_killed(20, 50_000, seed).await,
        "database-away" => assert_eq!(database_unavailable(30 * SECOND, 2_000).await, Verdict::default()),
        "database-refuses" => {
            let rate = database_refuses(20 * SECOND).await;
            assert!(rate <= 1.0, "{rate} connections tried a second");
        }
        "clock" => assert_eq!(clock_steps().await, Verdict::default()),
        "crowd" => crowd_after_restart(10_000, 50_000).await,
        "malformed" => malformed_traffic(1_000, 10 * SECOND, seed).await,
        _ => panic!("no drill is called {name}"),
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A missing test would otherwise be noticed only by `make chaos`.
    #[test]
    fn tests_named_in_drills_exist() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for drill in DRILLS.iter().chain([&PLANTED]) {
            let Test(package, target, name) = drill.runner else { continue };
            let tests = match package {
                "tern-tests" => root.join("tests"),
                package => root.join(package.trim_start_matches("tern-")).join("tests"),
            };
            let (module, function) = name.split_once("::").unwrap_or(("main", name));
            let file = [tests.join(target).join(format!("{module}.rs")), tests.join(format!("{target}.rs"))];
            let text = file.iter().find_map(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
            assert!(text.contains(&format!("fn {function}()")), "{package} {target} {name}");
        }
    }
}
