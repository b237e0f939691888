//! Clicks: each answered redirect, from the worker that answers it to the store.
//!
//! A worker writes a record into a journal before the answer exists, without waiting for anything; the shipper takes
//! the journals into the store. No room means that the newest click is dropped, and counted.
//!
//! ```text
//! shipper     journals -> store, each click once
//!   backlog     what of one journal is not in the store yet
//!   parked      what the store refuses
//! journal     files that outlive the process
//! unrecorded  which links lost clicks
//! ```

mod backlog;
pub mod journal;
mod parked;
mod shipper;
mod unrecorded;

use std::io;
use std::sync::Arc;

use tern_common::click::JournalId;

use self::journal::{Answered, Dropped, Keeper, Lane, Space};
pub use self::journal::{JournalConfig, Network};
pub use self::shipper::Shipper;
pub use self::unrecorded::Unrecorded;
use crate::metrics::{ClickMetrics, Drop};

/// How often every lane is tried before a click is dropped. With as many lanes as threads one is always free, but
/// another thread may take it first.
const ROUNDS: usize = 64;

/// The writing end of all journals of this process.
#[derive(Debug)]
pub struct Recorder {
    lanes: Box<[Arc<Lane>]>,
    space: Arc<Space>,
    unrecorded: Unrecorded,
    metrics: ClickMetrics,
}

/// Makes `lanes` journals, as many as there are threads that record, and everything that keeps and ships them.
///
/// A disk that refuses is no error: redirects come first, and clicks are dropped and counted until it takes them.
pub fn start(config: &JournalConfig, lanes: usize, metrics: ClickMetrics) -> io::Result<(Recorder, Keeper, Shipper)> {
    let space = Arc::new(Space::new(&config.root, config.limit, config.floor));
    let lane = |_| Arc::new(Lane::new(&config.root, JournalId(rand::random()), config.sync_every.is_zero()));
    let lanes: Box<[Arc<Lane>]> = (0..lanes.max(1)).map(lane).collect();
    let keeper = Keeper::start(config.clone(), Arc::clone(&space), &lanes)?;
    let shipper = Shipper::new(config.root.clone(), Arc::clone(&space), &lanes, metrics.clone());
    Ok((Recorder { lanes, space, unrecorded: Unrecorded::default(), metrics }, keeper, shipper))
}

impl Recorder {
    /// Records one redirect. Called before its answer is handed to the socket. `affinity` is the same for calls that
    /// come from the same thread, mostly: it says which lane is tried first.
    ///
    /// Whether it was recorded; if not, it is counted as dropped.
    pub fn record(&self, click: &Answered<'_>, affinity: usize) -> bool {
        let appended = self.append(click, affinity);
        if let Err(reason) = appended {
            self.metrics.not_journalled(reason);
            self.unrecorded.count(click.url_id);
        }
        appended.is_ok()
    }

    fn append(&self, click: &Answered<'_>, affinity: usize) -> Result<(), Dropped> {
        let (before, from) = self.lanes.split_at(affinity % self.lanes.len());
        for _ in 0..ROUNDS {
            for lane in from.iter().chain(before) {
                if let Some(appended) = lane.try_append(click) {
                    return appended;
                }
            }
            std::hint::spin_loop();
        }
        Err(Dropped::Busy)
    }

    /// Which links lost clicks.
    pub fn unrecorded(&self) -> &Unrecorded {
        &self.unrecorded
    }

    /// How many clicks were recorded, or would have been.
    pub fn accepted(&self) -> u64 {
        let written: u64 = self.lanes.iter().map(|lane| lane.sequence()).sum();
        written + self.metrics.not_journalled_total()
    }

    /// How many clicks are in journals and not in the store, those of ended processes among them.
    pub fn pending(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.pending()).sum::<u64>() + self.metrics.left_pending_total()
    }

    /// What the journals take of the disk, and may take, in bytes.
    pub fn room(&self) -> (u64, u64) {
        (self.space.used(), self.space.limit())
    }

    /// Seals the journals: nothing is recorded any more.
    pub fn close(&self) {
        self.lanes.iter().for_each(|lane| lane.close());
    }
}

impl From<Dropped> for Drop {
    fn from(reason: Dropped) -> Drop {
        match reason {
            Dropped::JournalFull => Drop::JournalFull,
            Dropped::Disk => Drop::Disk,
            Dropped::Busy => Drop::Busy,
        }
    }
}
