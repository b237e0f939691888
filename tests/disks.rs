//! Disks that fill, fail or are cut under load. A page fault in a mapped tail must cost clicks, counted, and no redirect.
//!
//! The drills with a disk of their own need root and loop devices; the disk is among mounts of the redirector's own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::clicks::{CLIENTS, events};
use crate::fleet::{Filesystem, Fleet};
use crate::followers::{Followers, History};
use crate::{PATIENCE, Plane, eventually, limit};

/// Time under load with the fault: tails go round several times, and what was written to them goes to the disk.
const UNDER_FAULT: Duration = Duration::from_secs(6);

/// Clicks a second.
const RATE: u32 = 1_500;

/// Small journals, so that a tail is written over and over: a tail and a segment take 256 KiB each.
const SETTINGS: &[(&str, &str)] = &[("CLICK_JOURNAL_LIMIT", "2MiB"), ("CLICK_DISK_FLOOR", "0")];

/// Returns how soon clicks are recorded again once the disk is back.
fn recovery() -> Duration {
    limit(Duration::from_secs(5), Duration::from_secs(10))
}

/// The clicks of a redirector that are no events, as it counts them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Books {
    accepted: f64,
    committed: f64,
    dropped: f64,
    pending: f64,
}

impl Books {
    async fn read(fleet: &Fleet) -> Books {
        let mut dropped = 0.0;
        for reason in ["disk", "busy", "journal_full", "missing", "link_gone"] {
            dropped += fleet.metric(0, &format!("tern_clicks_dropped_total{{reason=\"{reason}\"}}")).await;
        }
        Books {
            accepted: fleet.metric(0, "tern_clicks_accepted_total").await,
            committed: fleet.metric(0, "tern_clicks_committed_total").await,
            dropped,
            pending: fleet.metric(0, "tern_clicks_pending").await,
        }
    }

    /// Waits until the sums are right and nothing moves any more.
    async fn close(fleet: &Fleet) -> Books {
        let (mut last, mut since) = (Books::read(fleet).await, Instant::now());
        let started = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let books = Books::read(fleet).await;
            if books != last {
                (last, since) = (books, Instant::now());
            }
            let is_closed = (books.accepted - books.committed - books.dropped - books.pending).abs() < 0.5;
            if is_closed && since.elapsed() > Duration::from_secs(3) {
                return books;
            }
            assert!(started.elapsed() < PATIENCE, "the books do not close: {books:?}");
        }
    }
}

/// A redirector on a disk, under load.
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
        fleet.all_loaded().await;
        let data = fleet.redirector_directory(0).join("data");
        let followers = Followers::start(CLIENTS, &fleet.redirectors[0].addresses[0], &code, Some(RATE));
        let drill = Drill { fleet, data, followers };
        drill.clicks_are_recorded("before the fault").await;
        // What the tail holds goes to the disk, and its pages are to be asked for again.
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

    fn own(&self, path: &str) -> PathBuf {
        self.redirector().own_file(&self.data.join(path))
    }

    async fn clicks_are_recorded(&self, when: &str) -> Duration {
        let (started, before) = (Instant::now(), Books::read(&self.fleet).await.committed);
        eventually(&format!("clicks are recorded {when}"), async || {
            Books::read(&self.fleet).await.committed > before + 1_000.0
        })
        .await;
        started.elapsed()
    }

    /// Goes on under the fault.
    async fn endure(&self) {
        let before = self.followers.answered();
        tokio::time::sleep(UNDER_FAULT).await;
        let answered = self.followers.answered() - before;
        assert!(answered > u64::from(RATE), "{answered} redirects in {UNDER_FAULT:?}");
    }

    /// Ends the load; holds what was answered to the events and to what the redirector counted.
    async fn judge(self, what: &str) -> Books {
        let history: History = self.followers.finish().await;
        let books = Books::close(&self.fleet).await;
        let verdict = history.judge(&events(&self.fleet));
        println!(
            "{what}: {} answered, {} failed; {} are no events, {} counted as dropped, {} pending; {} twice, {} unknown",
            history.answered.len(),
            history.failed(),
            verdict.lost,
            books.dropped,
            books.pending,
            verdict.twice,
            verdict.unknown
        );
        assert_eq!(history.failed(), 0, "redirects went on");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let counted = (books.dropped + books.pending) as usize;
        assert_eq!((verdict.lost, verdict.twice, verdict.unknown), (counted, 0, 0), "{books:?}");
        books
    }
}

/// Fills a file until the disk takes no more.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 64 << 10, 4 << 10] {
        while file.write_all(&vec![0xa5; size]).is_ok() {}
    }
    // It may say only now that there is no room.
    let _ = file.sync_all();
}

/// Fills the disk under load and makes room again.
pub async fn disk_filled(filesystem: Filesystem) {
    let drill = Drill::start(Some(filesystem)).await;
    let ballast = drill.own("ballast");
    let filled = ballast.clone();
    tokio::task::spawn_blocking(move || fill(&filled)).await.unwrap();
    drill.endure().await;
    std::fs::remove_file(&ballast).unwrap();
    drill.run("sync", &["-f", drill.data.to_str().unwrap()]);
    let recovered = drill.clicks_are_recorded("after there is room").await;
    println!("recorded again after {recovered:?}");
    assert!(recovered < recovery(), "{recovered:?}");
    let books = drill.judge(&format!("{filesystem:?} filled")).await;
    assert!(books.pending < 0.5, "{books:?}");
}

/// Takes the disk away under load, for good.
pub async fn disk_failed(filesystem: Filesystem) {
    let drill = Drill::start(Some(filesystem)).await;
    let data = drill.data.to_str().unwrap();
    match filesystem {
        Filesystem::Xfs => drill.run("xfs_io", &["-x", "-c", "shutdown", data]),
        _ => drill.run("mount", &["-o", "remount,abort", data]),
    }
    // Whatever is written now fails.
    let _ = std::fs::write(drill.own("touched"), "x");
    drill.endure().await;
    let books = drill.judge(&format!("{filesystem:?} failed")).await;
    assert!(books.dropped > 0.0, "{books:?}");
}

/// Cuts the files of all tails under load, several times.
pub async fn tails_cut() {
    let drill = Drill::start(None).await;
    for len in [0, 4096, 20_000] {
        let mut cut = 0;
        for journal in std::fs::read_dir(drill.own("clicks")).unwrap() {
            let tail = journal.unwrap().path().join("tail");
            if let Ok(tail) = std::fs::OpenOptions::new().write(true).open(tail) {
                tail.set_len(len).unwrap();
                cut += 1;
            }
        }
        assert!(cut > 0, "no tail was cut");
        let recovered = drill.clicks_are_recorded("with another tail").await;
        println!("cut to {len} bytes: recorded again after {recovered:?}");
        assert!(recovered < recovery(), "{recovered:?}");
    }
    let books = drill.judge("tails cut").await;
    assert!(books.pending < 0.5 && books.dropped > 0.0, "{books:?}");
}
