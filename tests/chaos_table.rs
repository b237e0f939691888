//! `make chaos`: every fault that Tern is to survive, in turn, as a table of what was demanded and what was found. It ends
//! by itself, and badly if anything was missed.

#![expect(clippy::print_stdout, reason = "its table is what it is for")]
#![expect(clippy::unwrap_used, reason = "a drill that cannot be started is a failed one")]

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use tern_tests::ALONE;
use tern_tests::chaos::{
    admin_killed, clock_steps, crowd_after_restart, database_refuses, killed_and_restarted, load_killed,
    malformed_traffic,
};
use tern_tests::clicks::{Verdict, database_away};
use tern_tests::roll::{restart_behind_nginx, restart_on_socket, take_over};

const USAGE: &str = "usage: tern-chaos [--seed NUMBER] [FAULT...]";

/// One way to bring a fault about, with what the guide of faults demands.
struct Drill {
    fault: u8,
    what: &'static str,
    demand: &'static str,
    how: How,
}

enum How {
    /// By this program, under this name.
    Here(&'static str),
    /// By a test: its package, its file, its name.
    Test(&'static str, &'static str, &'static str),
}

use How::{Here, Test};

const fn drill(fault: u8, what: &'static str, demand: &'static str, how: How) -> Drill {
    Drill { fault, what, demand, how }
}

/// All of them. What takes longer than minutes is `make soak`'s.
const DRILLS: &[Drill] = &[
    drill(
        1,
        "one of two redirectors behind nginx killed",
        "0 failed",
        Test("tern-tests", "edge", "failing::a_redirector_killed_under_load_fails_no_request"),
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
        Test("tern-tests", "coherence", "database::restarted_killed_or_frozen_it_is_caught_up_with"),
    ),
    drill(
        6,
        "PostgreSQL killed in mid-batch",
        "0 clicks lost or twice",
        Test("tern-tests", "clicks", "a_database_killed_in_the_middle_of_batches_loses_no_click_and_doubles_none"),
    ),
    drill(6, "PostgreSQL stopped for 30 s", "0 failed, 0 clicks lost or twice", Here("database-away")),
    drill(6, "PostgreSQL away, then without connections", "0 failed, one reconnect a second", Here("database-refuses")),
    drill(
        6,
        "PostgreSQL slow or full, asked by the API",
        "an answer in time",
        Test("tern-common", "postgres", "faults::a_server_without_room_for_a_connection_is_unavailable_in_time"),
    ),
    drill(
        7,
        "failover that loses commits: links",
        "0 codes differ",
        Test("tern-tests", "coherence", "database::a_failover_that_loses_commits_takes_them_out_of_the_maps"),
    ),
    drill(
        7,
        "failover that loses commits: clicks",
        "0 lost or twice",
        Test("tern-tests", "clicks", "a_failover_that_loses_commits_loses_no_click"),
    ),
    drill(
        8,
        "a write transaction stays open",
        "other changes p99 <= 50 ms",
        Test("tern-tests", "coherence", "healthy::a_long_transaction_holds_up_no_other_change"),
    ),
    drill(
        9,
        "Redis killed, emptied, frozen, cut off",
        "every change within 1 s",
        Test("tern-tests", "coherence", "redis::killed_emptied_frozen_and_cut_off_it_delays_no_change_for_long"),
    ),
    drill(
        9,
        "Redis half-open",
        "every change within 1 s",
        Test("tern-tests", "coherence", "redis::half_open_it_delays_no_change_for_long"),
    ),
    drill(
        10,
        "messages repeated, reordered, forged, huge",
        "no wrong redirect",
        Test("tern-tests", "coherence", "redis::messages_repeated_reordered_forged_and_huge_make_no_wrong_redirect"),
    ),
    drill(
        10,
        "100,000 messages a second",
        "at most 50 deltas a second",
        Test(
            "tern-tests",
            "coherence",
            "redis::a_flood_of_forged_messages_costs_fifty_deltas_a_second_and_no_wrong_redirect",
        ),
    ),
    drill(
        11,
        "PostgreSQL and Redis both away",
        "0 failed, a restart serves",
        Test(
            "tern-tests",
            "coherence",
            "database::with_both_away_redirects_go_on_and_a_redirector_restarts_from_its_file",
        ),
    ),
    drill(
        12,
        "the disk of the journals full",
        "0 failed, drops counted, recovers within 5 s",
        Test("tern-tests", "clicks", "on_a_full_disk_redirects_go_on_and_each_dropped_click_is_counted"),
    ),
    drill(
        12,
        "btrfs full, which copies what is written again",
        "0 failed, drops counted, recovers within 5 s",
        Test("tern-tests", "disks", "full_btrfs_costs_clicks_that_are_counted_and_no_redirect"),
    ),
    drill(
        12,
        "XFS full",
        "0 failed, drops counted, recovers within 5 s",
        Test("tern-tests", "disks", "full_xfs_costs_clicks_that_are_counted_and_no_redirect"),
    ),
    drill(
        12,
        "XFS shut down",
        "0 failed, drops counted",
        Test("tern-tests", "disks", "xfs_that_shuts_down_costs_clicks_that_are_counted_and_no_redirect"),
    ),
    drill(
        12,
        "ext4 aborted",
        "0 failed, drops counted",
        Test("tern-tests", "disks", "aborted_ext4_costs_clicks_that_are_counted_and_no_redirect"),
    ),
    drill(
        12,
        "tails cut under load",
        "0 failed, drops counted, recovers within 5 s",
        Test("tern-tests", "disks", "cut_tails_cost_clicks_that_are_counted_and_no_redirect"),
    ),
    drill(
        12,
        "damage on the disk",
        "what it hit is counted, and nothing else is lost",
        Test("tern-redirector", "clicks", "faults::damage_on_the_disk_costs_what_it_hit_and_is_counted"),
    ),
    drill(13, "the clock an hour on, and stepping back", "no panic, no click lost", Here("clock")),
    drill(
        14,
        "out of descriptors",
        "neither spins nor dies, recovers within 1 s",
        Test("tern-redirector", "http_descriptors", "the_listener_outlives_a_lack_of_descriptors"),
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
        Test("tern-redirector", "http_crowd", "honest_clients_are_served_beside_a_crowd"),
    ),
    drill(16, "10,000 connections within a second of a restart", "no 404, 503 only before ready", Here("crowd")),
    drill(
        17,
        "nginx reloaded under load",
        "0 failed",
        Test("tern-tests", "edge", "failing::a_reload_under_load_fails_no_request"),
    ),
    drill(
        18,
        "malformed requests through nginx",
        "none puts it out of step with a redirector",
        Test("tern-tests", "edge", "malformed::every_vector_is_answered_right_through_nginx"),
    ),
    drill(18, "a tenth of the load malformed", "0 failed, at most 10 log lines a second", Here("malformed")),
];

/// A bug is planted, and the drills must see it: otherwise nothing above says anything.
const PLANTED: Drill = drill(
    0,
    "planted: progress kept beside the clicks",
    "it is caught",
    Test("tern-redirector", "clicks", "planted::progress_outside_the_transaction_is_found_out"),
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
    // Asked now: cargo may build this program anew meanwhile.
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
    /// Runs it in a process of its own and prints its row; whether it held.
    fn run(&self, this: &Path, seed: u64) -> bool {
        let started = Instant::now();
        let output = match self.how {
            Here(name) => Command::new(this).args(["drill", name, &seed.to_string()]).output().unwrap(),
            Test(package, target, name) => Command::new("cargo")
                .args(["test", "--quiet", "--locked", "--package", package, "--test", target, "--"])
                .args(["--exact", name, "--nocapture"])
                .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
                .env(ALONE, "1")
                .output()
                .unwrap(),
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let is_run = matches!(self.how, Here(_)) || said.contains("1 passed");
        let is_harness = |line: &&str| {
            !(line.len() < 2 || line.starts_with("running ") || line.starts_with("test ") || line.starts_with("seed "))
        };
        let found = said.lines().map(str::trim).filter(is_harness).collect::<Vec<_>>().join("; ");
        let held = output.status.success() && is_run;
        let (verdict, seconds) = (if held { "held" } else { "MISSED" }, started.elapsed().as_secs());
        let fault = if self.fault == 0 { String::new() } else { self.fault.to_string() };
        println!("| {fault} | {} | {} | {found} ({seconds} s) | {verdict} |", self.what, self.demand);
        if !held {
            println!("\n{}\n", String::from_utf8_lossy(&output.stderr));
        }
        held
    }
}

/// One of the drills that this program knows by itself.
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
        "database-away" => assert_eq!(database_away(30 * SECOND, 2_000).await, Verdict::default()),
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

    /// The name of a test that is gone would only be seen by who runs `make chaos`.
    #[test]
    fn each_test_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for drill in DRILLS.iter().chain([&PLANTED]) {
            let Test(package, target, name) = drill.how else { continue };
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
