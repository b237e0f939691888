//! What the journals need that takes time, on two threads: one makes room and takes records from the tails into
//! segments, the other puts those on disk. A disk that is slow to sync holds up nothing else.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::lane::{Dropped, Lane};
use super::mending::Tail;
use super::segment::file::{self, Segment};
use super::shortage::{Cause, ShortageLog};
use super::space::Space;
use super::tail;

/// How often the keeper looks around without being woken.
const ROUND: Duration = Duration::from_millis(20);

/// How often a disk that refused is tried again: clicks are dropped meanwhile.
const RETRY: Duration = Duration::from_millis(200);

/// How the journals are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// Below it, each journal has a directory.
    pub root: PathBuf,
    /// Bytes of a segment, at most, and of a tail: each lane can have three segments and a tail.
    pub segment: usize,
    /// Bytes of all segments and tails of this process together, those segments that it takes over among them.
    pub limit: u64,
    /// Bytes of the disk that are left to others. `None` is 1 GiB, and 5 % of a disk smaller than 20 GiB.
    pub floor: Option<u64>,
    /// How often what was written is synced: what a power cut may cost. Zero syncs each click before its answer.
    pub sync_every: Duration,
    /// How long a segment stays that is in the store, should the store lose its last commits.
    pub keep_shipped: Duration,
    /// Clicks of one client network that become events in an hour; those beyond are counted alone. 0 is no limit.
    pub events_per_network: u32,
}

/// The threads, and what they are told.
#[derive(Debug)]
pub struct Keeper {
    writing: Running,
    syncing: Running,
    /// Told when one of them ends.
    ended: Arc<Notify>,
}

#[derive(Debug)]
struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Tells that a thread ends, however it does.
struct Life(Arc<Notify>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// What the keeper knows of a lane.
struct Kept {
    lane: Arc<Lane>,
    is_open: bool,
    /// Segments made so far.
    made: u64,
    try_from: Option<Instant>,
    /// When to try to replace a tail that failed.
    mend_from: Option<Instant>,
}

/// Takes note of records that were lost with a tail, by their number.
pub type OnLoss = Box<dyn Fn(u64) + Send>;

/// Makes room, and takes records into segments.
struct Work {
    config: JournalConfig,
    space: Arc<Space>,
    lanes: Vec<Kept>,
    shortage_log: ShortageLog,
    on_loss: OnLoss,
}

impl Keeper {
    /// Makes the tail and the first segment of each lane, if it can, and starts to keep them.
    pub fn start(config: JournalConfig, space: Arc<Space>, lanes: &[Arc<Lane>], on_loss: OnLoss) -> io::Result<Keeper> {
        let kept = |lane: &Arc<Lane>| Kept {
            lane: Arc::clone(lane),
            is_open: false,
            made: 0,
            try_from: None,
            mend_from: None,
        };
        let sync_every = config.sync_every;
        let shortage_log = ShortageLog::default();
        let mut work = Work { config, space, lanes: lanes.iter().map(kept).collect(), shortage_log, on_loss };
        work.make_room(Instant::now());
        let ended = Arc::<Notify>::default();
        let life = || Life(Arc::clone(&ended));
        let writing = Running::start("tern-journal", life(), move |stop| work.run(stop))?;
        let lanes = lanes.to_vec();
        let syncing = Running::start("tern-sync", life(), move |stop| sync(&lanes, sync_every, stop));
        match syncing {
            Ok(syncing) => Ok(Keeper { writing, syncing, ended }),
            Err(error) => {
                writing.finish();
                Err(error)
            }
        }
    }

    /// Waits for what should not happen: that a thread ends by itself.
    pub async fn ended(&mut self) {
        self.ended.notified().await;
    }

    /// Puts on disk what is not yet there, and ends. Blocks; nothing may be written any more.
    pub fn finish(self) {
        self.writing.finish();
        // The last sync comes after the last write.
        self.syncing.finish();
    }
}

impl Running {
    fn start(name: &str, life: Life, run: impl FnOnce(&AtomicBool) + Send + 'static) -> io::Result<Running> {
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            run(&stopped);
            drop(life);
        })?;
        Ok(Running { stop, thread })
    }

    fn finish(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("a thread of the journals panicked");
        }
    }
}

/// Puts on disk what was written since the last time, again and again, and once more at the end.
fn sync(lanes: &[Arc<Lane>], every: Duration, stop: &AtomicBool) {
    loop {
        thread::park_timeout(every.max(ROUND));
        // Read before the last sync: nothing is written any more once it is set.
        let is_last = stop.load(Ordering::Acquire);
        // Also if each click is synced before its answer: what had to stay in a tail goes into a segment later.
        for lane in lanes {
            lane.write_out();
            lane.sync();
            lane.tell();
        }
        if is_last {
            return;
        }
    }
}

impl Work {
    fn run(&mut self, stop: &AtomicBool) {
        for kept in &self.lanes {
            // Set nowhere else.
            let _ = kept.lane.keeper.set(thread::current());
        }
        while !stop.load(Ordering::Acquire) {
            self.make_room(Instant::now());
            self.lanes.iter().for_each(|kept| kept.lane.write_out());
            thread::park_timeout(ROUND);
        }
    }

    /// Sees that each lane has a tail, and a segment to go on in.
    fn make_room(&mut self, now: Instant) {
        let mut shortage = None;
        for kept in &mut self.lanes {
            let mended = kept.mend(now, self.config.segment, &self.on_loss);
            let has_failed = mended.is_err();
            if let Err(Some(error)) = mended {
                shortage = Some(Cause::disk(&error));
            }
            let has_all = kept.is_open && kept.lane.ready.is_full();
            if has_all || kept.try_from.is_some_and(|at| now < at) {
                continue;
            }
            match kept.make(&self.config, &self.space) {
                Ok(()) => {
                    kept.try_from = None;
                    // Until there is room in the tail, what is dropped is dropped for that reason.
                    kept.lane.write_out();
                    let obstacle = if has_failed { Dropped::Disk } else { Dropped::Busy };
                    kept.lane.obstacle.store(obstacle as u8, Ordering::Relaxed);
                }
                Err(cause) => {
                    kept.try_from = Some(now + RETRY);
                    kept.lane.obstacle.store(cause.dropped() as u8, Ordering::Relaxed);
                    shortage = Some(cause);
                }
            }
        }
        let waits = |kept: &Kept| kept.try_from.is_some() || kept.mend_from.is_some();
        if shortage.is_some() || !self.lanes.iter().any(waits) {
            self.space.set_shortage(shortage);
            self.report(now);
        }
    }

    /// Logs a shortage and its end, as often as [`ShortageLog`] allows.
    fn report(&mut self, now: Instant) {
        let shortage = self.space.shortage();
        if !self.shortage_log.takes_line(shortage.is_some(), now) {
            return;
        }
        if let Some(shortage) = shortage {
            tracing::error!(
                reason = %shortage,
                "no room to record clicks; they are dropped and redirects go on; waiting for room"
            );
        } else {
            tracing::info!("room to record clicks again; clicks are recorded");
        }
    }
}

impl Kept {
    /// Replaces the tail if it failed.
    ///
    /// # Errors
    /// When it has failed still, with the error of the disk, if it was asked.
    fn mend(&mut self, now: Instant, len: usize, on_loss: &OnLoss) -> Result<(), Option<io::Error>> {
        if self.mend_from.is_some_and(|at| now < at) {
            return Err(None);
        }
        self.mend_from = None;
        match self.lane.mend(len) {
            Tail::Sound => Ok(()),
            Tail::Replaced { lost } => {
                self.lane.obstacle.store(Dropped::Busy as u8, Ordering::Relaxed);
                on_loss(lost);
                Ok(())
            }
            Tail::Failed(error) => {
                self.mend_from = Some(now + RETRY);
                Err(error)
            }
        }
    }

    /// Makes the next segment, and before the first the journal's directory, and behind it the tail. In this order: a
    /// build that knows no tails knows by a segment that the journal is not for it, and is to find one if there are clicks.
    fn make(&mut self, config: &JournalConfig, space: &Space) -> Result<(), Cause> {
        if self.lane.lock.get().is_none() {
            let lock = file::create_journal(&config.root, self.lane.journal).map_err(|error| Cause::disk(&error))?;
            // Set nowhere else.
            let _ = self.lane.lock.set(lock);
        }
        let (number, len) = (self.made + 1, config.segment);
        if self.is_open || self.lane.ready.is_empty() {
            let make = || Segment::create(&self.lane.directory, self.lane.journal, number, len);
            drop(self.lane.ready.push(in_space(space, len, make)?));
            self.made = number;
        }
        if !self.is_open {
            let make = || tail::create(&self.lane.directory, self.lane.journal, len);
            self.lane.open(in_space(space, len, make)?);
            self.is_open = true;
        }
        Ok(())
    }
}

/// Makes a file of this length, if there is room for it.
fn in_space<T>(space: &Space, len: usize, make: impl FnOnce() -> io::Result<T>) -> Result<T, Cause> {
    space.take(len as u64)?;
    make().map_err(|error| {
        space.give_back(len as u64);
        Cause::disk(&error)
    })
}
