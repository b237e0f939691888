//! Disks that fill, fail or lose pages under load. A page fault in a mapped tail must cost counted clicks, and no
//! redirect.
//!
//! Drills with a disk of their own need root and loop devices; only the redirector has the disk mounted.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::clicks::{CLIENTS, events};
use crate::fleet::{Filesystem, Fleet};
use crate::followers::{Followers, History};
use crate::{Plane, WAIT_LIMIT, eventually, limit};

/// Time under load with the fault: tails wrap several times, and their pages are written to the disk.
const UNDER_FAULT: Duration = Duration::from_secs(6);

/// Clicks a second.
const RATE: u32 = 1_500;

/// Small journals, so that a tail wraps often: a tail and a segment take 256 KiB each.
const SETTINGS: &[(&str, &str)] = &[("CLICK_JOURNAL_LIMIT", "2MiB"), ("CLICK_DISK_FLOOR", "0")];

/// Returns the longest time until clicks are recorded again once the disk is usable.
fn recovery_limit() -> Duration {
    limit(Duration::from_secs(5), Duration::from_secs(10))
}

/// A redirector's counters of its clicks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ClickCounts {
    accepted: f64,
    committed: f64,
    dropped: f64,
    pending: f64,
}

impl ClickCounts {
    async fn read(fleet: &Fleet) -> ClickCounts {
        let mut dropped = 0.0;
        for reason in ["disk", "busy", "journal_full", "missing", "link_gone"] {
            dropped += fleet.metric(0, &format!("tern_clicks_dropped_total{{reason=\"{reason}\"}}")).await;
        }
        ClickCounts {
            accepted: fleet.metric(0, "tern_clicks_accepted_total").await,
            committed: fleet.metric(0, "tern_clicks_committed_total").await,
            dropped,
            pending: fleet.metric(0, "tern_clicks_pending").await,
        }
    }

    /// Waits until the counters add up and stay unchanged for three seconds.
    async fn settle(fleet: &Fleet) -> ClickCounts {
        let (mut last, mut since) = (ClickCounts::read(fleet).await, Instant::now());
        let started = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let counts = ClickCounts::read(fleet).await;
            if counts != last {
                (last, since) = (counts, Instant::now());
            }
            let is_balanced = (counts.accepted - counts.committed - counts.dropped - counts.pending).abs() < 0.5;
            if is_balanced && since.elapsed() > Duration::from_secs(3) {
                return counts;
            }
            assert!(started.elapsed() < WAIT_LIMIT, "the counters do not add up: {counts:?}");
        }
    }
}

/// Redirector on a disk, under load.
struct Drill {
    fleet: Fleet,
    data: PathBuf,
    followers: Followers,
}

impl Drill {
    async fn start(filesystem: Option<Filesystem>) -> Drill {
        let mut fleet = Fleet::start(1, &[]).await;
        let code = fleet.code(1).await;
        fleet.redirectors[0] = match filesystem {
            Some(filesystem) => fleet.start_redirector_on_disk(0, filesystem, SETTINGS),
            None => fleet.start_redirector_with(0, SETTINGS),
        };
        fleet.wait_until_ready().await;
        let data = fleet.redirector_directory(0).join("data");
        let followers = Followers::start(CLIENTS, &fleet.redirectors[0].addresses[0], &code, Some(RATE));
        let drill = Drill { fleet, data, followers };
        drill.wait_for_clicks("before the fault").await;
        // Written pages of the tail are released, so that they must be requested from the disk again.
        drill.run("sync", &["-f", drill.data.to_str().unwrap()]);
        drill
    }

    fn redirector(&self) -> &Plane {
        &self.fleet.redirectors[0]
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let done = self.redirector().run_beside(program, arguments);
        assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn file(&self, path: &str) -> PathBuf {
        self.redirector().own_file(&self.data.join(path))
    }

    async fn wait_for_clicks(&self, when: &str) -> Duration {
        let (started, before) = (Instant::now(), ClickCounts::read(&self.fleet).await.committed);
        eventually(&format!("clicks are recorded {when}"), async || {
            ClickCounts::read(&self.fleet).await.committed > before + 1_000.0
        })
        .await;
        started.elapsed()
    }

    /// Keeps the load running under the fault.
    async fn run_under_fault(&self) {
        let before = self.followers.answered();
        tokio::time::sleep(UNDER_FAULT).await;
        let answered = self.followers.answered() - before;
        assert!(answered > u64::from(RATE), "{answered} redirects in {UNDER_FAULT:?}");
    }

    /// Ends the load and compares the answers with the events and the redirector's counters.
    async fn judge(self, what: &str) -> ClickCounts {
        let history: History = self.followers.finish().await;
        let counts = ClickCounts::settle(&self.fleet).await;
        let verdict = history.judge(&events(&self.fleet));
        println!(
            "{what}: {} answered, {} failed; {} are no events, {} counted as dropped, {} pending; {} twice, {} unknown",
            history.answered.len(),
            history.failed(),
            verdict.lost,
            counts.dropped,
            counts.pending,
            verdict.twice,
            verdict.unknown
        );
        assert_eq!(history.failed(), 0, "redirects went on");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let counted = (counts.dropped + counts.pending) as usize;
        assert_eq!((verdict.lost, verdict.twice, verdict.unknown), (counted, 0, 0), "{counts:?}");
        counts
    }
}

/// Fills a file until the disk is full.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 64 << 10, 4 << 10] {
        while file.write_all(&vec![0xa5; size]).is_ok() {}
    }
    // The error may appear only at the sync.
    let _ = file.sync_all();
}

/// Fills the disk under load and makes room again.
pub async fn fill_disk(filesystem: Filesystem) {
    let drill = Drill::start(Some(filesystem)).await;
    let ballast = drill.file("ballast");
    let filled = ballast.clone();
    tokio::task::spawn_blocking(move || fill(&filled)).await.unwrap();
    drill.run_under_fault().await;
    std::fs::remove_file(&ballast).unwrap();
    drill.run("sync", &["-f", drill.data.to_str().unwrap()]);
    let recovered = drill.wait_for_clicks("after there is room").await;
    println!("recorded again after {recovered:?}");
    assert!(recovered < recovery_limit(), "{recovered:?}");
    let counts = drill.judge(&format!("{filesystem:?} filled")).await;
    assert!(counts.pending < 0.5, "{counts:?}");
}

/// Makes the disk fail under load, permanently.
pub async fn fail_disk(filesystem: Filesystem) {
    let drill = Drill::start(Some(filesystem)).await;
    let data = drill.data.to_str().unwrap();
    match filesystem {
        Filesystem::Xfs => drill.run("xfs_io", &["-x", "-c", "shutdown", data]),
        _ => drill.run("mount", &["-o", "remount,abort", data]),
    }
    // Every write fails from now on.
    let _ = std::fs::write(drill.file("touched"), "x");
    drill.run_under_fault().await;
    let counts = drill.judge(&format!("{filesystem:?} failed")).await;
    assert!(counts.dropped > 0.0, "{counts:?}");
}

/// Truncates the files of all tails under load, several times.
pub async fn truncate_tails() {
    let drill = Drill::start(None).await;
    for len in [0, 4096, 20_000] {
        let mut cut = 0;
        for journal in std::fs::read_dir(drill.file("clicks")).unwrap() {
            let tail = journal.unwrap().path().join("tail");
            if let Ok(tail) = std::fs::OpenOptions::new().write(true).open(tail) {
                tail.set_len(len).unwrap();
                cut += 1;
            }
        }
        assert!(cut > 0, "no tail was cut");
        let recovered = drill.wait_for_clicks("with another tail").await;
        println!("cut to {len} bytes: recorded again after {recovered:?}");
        assert!(recovered < recovery_limit(), "{recovered:?}");
    }
    let counts = drill.judge("tails cut").await;
    assert!(counts.pending < 0.5 && counts.dropped > 0.0, "{counts:?}");
}
