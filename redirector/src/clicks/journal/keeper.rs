//! What the journals need that takes time, on a thread of its own: room ahead of the writers, and syncs behind them.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::file::{self, Mapped};
use super::lane::{Dropped, Lane};
use super::space::Space;

/// How often the keeper looks around without being woken.
const ROUND: Duration = Duration::from_millis(20);

/// How often a disk that refused is tried again: clicks are dropped meanwhile.
const RETRY: Duration = Duration::from_millis(200);

/// How often an obstacle is told while it lasts.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// How the journals are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// Below it, each journal has a directory.
    pub root: PathBuf,
    /// Bytes of a segment, at most: each lane can have four of them.
    pub segment: usize,
    /// Bytes of all segments of this process together, those that it takes over among them.
    pub limit: u64,
    /// Bytes of the disk that are left to others.
    pub floor: u64,
    /// How often what was written is synced: what a power cut may cost. Zero syncs each click before its answer.
    pub sync_every: Duration,
    /// How long a segment stays that is in the store, should the store lose its last commits.
    pub keep_shipped: Duration,
}

/// The thread, and what it is told.
#[derive(Debug)]
pub struct Keeper {
    stop: Arc<AtomicBool>,
    thread: Thread,
    running: JoinHandle<()>,
    /// Ends with the thread.
    alive: oneshot::Receiver<()>,
}

/// What the keeper knows of a lane.
struct Kept {
    lane: Arc<Lane>,
    /// Segments made so far.
    made: u64,
    /// Segments that may hold something that is not on disk yet, oldest first.
    unsynced: Vec<(u64, Arc<File>)>,
    /// Up to where everything is on disk.
    synced: Option<(u64, u64)>,
    try_from: Option<Instant>,
    /// When a sync last failed and the lane was sent to another segment.
    suspected: Option<Instant>,
}

struct Work {
    config: JournalConfig,
    space: Arc<Space>,
    lanes: Vec<Kept>,
    sync_errors: Arc<AtomicU64>,
    told: Option<Instant>,
}

impl Keeper {
    /// Makes the first segment of each lane, if it can, and starts to keep them.
    pub fn start(
        config: JournalConfig,
        space: Arc<Space>,
        lanes: &[Arc<Lane>],
        sync_errors: Arc<AtomicU64>,
    ) -> io::Result<Keeper> {
        let kept = |lane: &Arc<Lane>| Kept {
            lane: Arc::clone(lane),
            made: 0,
            unsynced: Vec::new(),
            synced: None,
            try_from: None,
            suspected: None,
        };
        let lanes = lanes.iter().map(kept).collect();
        let mut work = Work { config, space, lanes, sync_errors, told: None };
        work.make_room(Instant::now());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (life, alive) = oneshot::channel();
        let run = move || {
            work.run(&stopped);
            drop(life);
        };
        let running = thread::Builder::new().name("tern-journal".to_owned()).spawn(run)?;
        Ok(Keeper { stop, thread: running.thread().clone(), running, alive })
    }

    /// Waits for what should not happen: that the thread ends by itself.
    pub async fn ended(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.alive).await;
    }

    /// Syncs what is not yet, and ends. Blocks; nothing may be written any more.
    pub fn finish(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.unpark();
        if self.running.join().is_err() {
            tracing::error!("the thread of the journals panicked");
        }
    }
}

impl Work {
    fn run(&mut self, stop: &AtomicBool) {
        for kept in &self.lanes {
            // Set nowhere else.
            let _ = kept.lane.keeper.set(thread::current());
        }
        let mut sync_at = Instant::now() + self.config.sync_every;
        loop {
            // Read before the last sync, which must come after the last write.
            let stopping = stop.load(Ordering::Acquire);
            let now = Instant::now();
            if stopping || (now >= sync_at && !self.config.sync_every.is_zero()) {
                self.sync();
                sync_at = now + self.config.sync_every;
            }
            if stopping {
                return;
            }
            self.make_room(now);
            thread::park_timeout(ROUND);
        }
    }

    /// Sees that each lane has a segment to go on in, and unmaps those that are full.
    fn make_room(&mut self, now: Instant) {
        let mut failure = None;
        for kept in &mut self.lanes {
            while kept.lane.full.pop().is_some() {}
            if kept.lane.ready.is_full() || kept.try_from.is_some_and(|at| now < at) {
                continue;
            }
            match kept.make_segment(&self.config, &self.space) {
                Ok(segment) => {
                    kept.try_from = None;
                    kept.lane.obstacle.store(Dropped::Busy as u8, Ordering::Relaxed);
                    if !self.config.sync_every.is_zero() {
                        kept.unsynced.push((segment.number, Arc::clone(&segment.file)));
                    }
                    drop(kept.lane.ready.push(segment));
                }
                Err(Failed { obstacle, error }) => {
                    kept.try_from = Some(now + RETRY);
                    kept.lane.obstacle.store(obstacle as u8, Ordering::Relaxed);
                    failure = Some((obstacle, error));
                }
            }
        }
        if let Some((obstacle, error)) = failure
            && self.told.is_none_or(|told| now.duration_since(told) >= TELL_AGAIN)
        {
            self.told = Some(now);
            let directory = self.config.root.display();
            match error {
                Some(error) => tracing::error!(%directory, %error, "the journal of clicks cannot grow"),
                None => tracing::error!(%directory, ?obstacle, "the journal of clicks has no room to grow"),
            }
        }
    }

    /// Puts on disk what was written since the last time.
    fn sync(&mut self) {
        let now = Instant::now();
        for kept in &mut self.lanes {
            let Some(published) = kept.lane.published() else { continue };
            if kept.synced == Some(published) {
                continue;
            }
            for (number, file) in kept.unsynced.iter().filter(|(number, _)| *number <= published.0) {
                if let Err(error) = file.sync_data() {
                    // What it holds is still in memory, and may reach the disk or not; the kernel does not say it
                    // twice. What comes from now on goes to another segment.
                    tracing::error!(%error, segment = number, "a segment of the journal could not be synced");
                    self.sync_errors.fetch_add(1, Ordering::Relaxed);
                    // Not for each of many failures: a segment takes its room, however little it holds.
                    if kept.suspected.is_none_or(|at| now.duration_since(at) >= TELL_AGAIN) {
                        kept.suspected = Some(now);
                        kept.lane.is_suspect.store(true, Ordering::Relaxed);
                    }
                }
            }
            // The one that is being filled stays; those before it will not change any more.
            kept.unsynced.retain(|(number, _)| *number >= published.0);
            kept.synced = Some(published);
        }
    }
}

struct Failed {
    obstacle: Dropped,
    error: Option<io::Error>,
}

impl Kept {
    fn make_segment(&mut self, config: &JournalConfig, space: &Space) -> Result<Mapped, Failed> {
        let disk = |error| Failed { obstacle: Dropped::Disk, error: Some(error) };
        if self.lane.lock.get().is_none() {
            let lock = file::create_journal(&config.root, self.lane.journal).map_err(disk)?;
            // Set nowhere else.
            let _ = self.lane.lock.set(lock);
        }
        let bytes = config.segment as u64;
        space.take(bytes).map_err(|obstacle| Failed { obstacle, error: None })?;
        let made = Mapped::create(&self.lane.directory, self.lane.journal, self.made + 1, config.segment);
        let segment = made.map_err(|error| {
            space.give_back(bytes);
            disk(error)
        })?;
        self.made += 1;
        Ok(segment)
    }
}
