//! The two threads of the journals: one makes segments and flushes tails into them, the other syncs. A slow sync delays
//! nothing else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::config::JournalConfig;
use super::directory;
use super::lane::{Lane, TailState};
use super::segment::file::Segment;
use super::shortage::{Shortage, ShortageLog};
use super::space::Space;
use super::tail;
use crate::clicks::drop_reason::DropReason;

/// The time between two rounds of a thread that is not woken.
const ROUND: Duration = Duration::from_millis(20);

/// The pause after the disk refused a file. Clicks are dropped meanwhile.
const RETRY: Duration = Duration::from_millis(200);

/// The running threads.
#[derive(Debug)]
pub struct JournalThreads {
    flushing: StoppableThread,
    syncing: StoppableThread,
    /// Notified when a thread ends.
    ended: Arc<Notify>,
}

#[derive(Debug)]
struct StoppableThread {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// A notice of the end of a thread, sent when the thread returns or panics and so drops it.
struct EndNotice(Arc<Notify>);

impl Drop for EndNotice {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A lane, and the state of its files as the flushing thread knows it.
struct LaneSupply {
    lane: Arc<Lane>,
    is_open: bool,
    /// Segments made so far.
    made: u64,
    /// The time of the next try. Set while the tail is failed or there is no room.
    retry_at: Option<Instant>,
}

/// A function that counts records that were lost with a tail.
pub type OnLoss = Box<dyn Fn(u64) + Send>;

/// The flushing thread.
struct Flusher {
    config: JournalConfig,
    space: Arc<Space>,
    lanes: Vec<LaneSupply>,
    shortage_log: ShortageLog,
    on_loss: OnLoss,
}

impl JournalThreads {
    /// Makes the tail and the first segment of each lane, if the disk takes them, and starts the threads.
    pub fn start(
        config: JournalConfig,
        space: Arc<Space>,
        lanes: &[Arc<Lane>],
        on_loss: OnLoss,
    ) -> io::Result<JournalThreads> {
        let supply = |lane: &Arc<Lane>| LaneSupply { lane: Arc::clone(lane), is_open: false, made: 0, retry_at: None };
        let sync_every = config.sync_every;
        let shortage_log = ShortageLog::default();
        let mut flusher = Flusher { config, space, lanes: lanes.iter().map(supply).collect(), shortage_log, on_loss };
        flusher.make_room(Instant::now());
        let ended = Arc::<Notify>::default();
        let notice = || EndNotice(Arc::clone(&ended));
        let flushing = StoppableThread::start("tern-journal", notice(), move |stop| flusher.run(stop))?;
        let lanes = lanes.to_vec();
        let syncing = StoppableThread::start("tern-sync", notice(), move |stop| sync(&lanes, sync_every, stop));
        match syncing {
            Ok(syncing) => Ok(JournalThreads { flushing, syncing, ended }),
            Err(error) => {
                flushing.finish();
                Err(error)
            }
        }
    }

    /// Waits until a thread ends before [`JournalThreads::finish`], which is a defect.
    pub async fn ended(&mut self) {
        self.ended.notified().await;
    }

    /// Syncs every record and ends the threads. Blocks the calling thread. The lanes must be closed.
    pub fn finish(self) {
        self.flushing.finish();
        // The last sync comes after the last write.
        self.syncing.finish();
    }
}

impl StoppableThread {
    fn start(
        name: &str,
        notice: EndNotice,
        run: impl FnOnce(&AtomicBool) + Send + 'static,
    ) -> io::Result<StoppableThread> {
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            run(&stopped);
            drop(notice);
        })?;
        Ok(StoppableThread { stop, thread })
    }

    fn finish(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!(
                "thread of the click journals panicked; the next start adopts its journals; report this defect"
            );
        }
    }
}

/// Syncs every lane periodically, and once more at the end.
fn sync(lanes: &[Arc<Lane>], every: Duration, stop: &AtomicBool) {
    loop {
        thread::park_timeout(every.max(ROUND));
        // Read before the last sync: nothing is written once it is set.
        let is_last = stop.load(Ordering::Acquire);
        // Needed even if each click is synced before its answer: a record that stayed in a tail is flushed later.
        for lane in lanes {
            lane.flush();
            lane.sync();
            lane.log_failure();
        }
        if is_last {
            return;
        }
    }
}

impl Flusher {
    fn run(&mut self, stop: &AtomicBool) {
        for supply in &self.lanes {
            supply.lane.state.set_thread();
        }
        while !stop.load(Ordering::Acquire) {
            self.make_room(Instant::now());
            self.lanes.iter().for_each(|supply| supply.lane.flush());
            thread::park_timeout(ROUND);
        }
    }

    /// Makes a tail and segments for each lane that lacks them.
    fn make_room(&mut self, now: Instant) {
        let mut shortage = None;
        for supply in &mut self.lanes {
            if supply.retry_at.is_some_and(|at| now < at) {
                continue;
            }
            let replaced = supply.replace_failed_tail(&self.config, &self.space, &self.on_loss);
            let has_failed = replaced.is_err();
            shortage = replaced.err().flatten().or(shortage);
            supply.retry_at = has_failed.then(|| now + RETRY);
            if supply.is_open && supply.lane.state.ready.is_full() {
                continue;
            }
            let obstacle = match supply.make(&self.config, &self.space) {
                Ok(()) if has_failed => DropReason::Disk,
                Ok(()) => DropReason::Busy,
                Err(refusal) => {
                    supply.retry_at = Some(now + RETRY);
                    shortage.insert(refusal).drop_reason()
                }
            };
            // The reason applies until there is room in the tail.
            supply.lane.flush();
            supply.lane.state.set_obstacle(obstacle);
        }
        if shortage.is_some() || !self.lanes.iter().any(|supply| supply.retry_at.is_some()) {
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

impl LaneSupply {
    /// Replaces the tail if it failed. An error means that it is still failed, with the shortage if the disk refused a tail.
    fn replace_failed_tail(
        &self,
        config: &JournalConfig,
        space: &Space,
        on_loss: &OnLoss,
    ) -> Result<(), Option<Shortage>> {
        match self.lane.replace_failed_tail(config.segment) {
            TailState::Sound => {}
            TailState::Replaced { lost } => {
                self.lane.state.set_obstacle(DropReason::Busy);
                on_loss(lost);
            }
            TailState::Failed(error) => return Err(error.map(|error| space.refusal(&error))),
        }
        Ok(())
    }

    /// Makes the next segment. The first time, it makes the journal's directory before and the tail after that, so that
    /// every journal with clicks has a segment.
    fn make(&mut self, config: &JournalConfig, space: &Space) -> Result<(), Shortage> {
        if self.lane.lock.get().is_none() {
            let lock = directory::create(&config.root, self.lane.journal).map_err(|error| space.refusal(&error))?;
            // No other thread sets it.
            let _ = self.lane.lock.set(lock);
        }
        let (number, len) = (self.made + 1, config.segment);
        if self.is_open || self.lane.state.ready.is_empty() {
            let make = || Segment::create(&self.lane.directory, self.lane.journal, number, len);
            drop(self.lane.state.ready.push(in_space(space, len, make)?));
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
fn in_space<T>(space: &Space, len: usize, make: impl FnOnce() -> io::Result<T>) -> Result<T, Shortage> {
    space.take(len as u64)?;
    make().map_err(|error| {
        space.release(len as u64);
        space.refusal(&error)
    })
}
