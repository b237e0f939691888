//! Clicks: each answered redirect, from the worker that answers it to the store.
//!
//! A worker writes a record into a journal before the answer exists, without waiting for anything. The shipper ships the
//! journals to the store. If there is no room, the newest click is dropped and counted.
//!
//! ```text
//! ship        journals -> store, each click once
//!   shipper     batches, retries, the store's answers
//!   upkeep      adopts journals, compares all of them with the store, removes finished ones
//!   backlog     records of one journal that are not in the store yet
//!   country_file the file of GEOIP_FILE
//!   event_budget clicks that are counted and get no event
//!   parked      clicks that the store refuses
//! journal     files that outlive the process
//! lost        links that lost clicks
//! drop_reason the reasons why a click is dropped
//! ```

pub(crate) mod drop_reason;
pub mod journal;
mod lost;
mod ship;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tern_common::click::JournalId;

use self::drop_reason::DropReason;
pub use self::journal::{JournalConfig, Network};
use self::journal::{JournalThreads, Lane, MAX_SEGMENT, NewClick, Shortage, Space};
pub use self::lost::{LostClicks, LostLink};
pub use self::ship::Shipper;
use crate::countries::Countries;
use crate::metrics::ClickMetrics;
use crate::misses::Misses;

/// The number of times that every lane is tried before a click is dropped. With as many lanes as threads one lane is
/// always free, but another thread may take it first.
const ROUNDS: usize = 64;

/// The writing end of all journals of this process.
#[derive(Debug)]
pub struct Recorder {
    lanes: Box<[Arc<Lane>]>,
    space: Arc<Space>,
    lost: Arc<LostClicks>,
    metrics: ClickMetrics,
}

/// Makes `lanes` journals, one for each thread that records, with their threads and their shipper.
///
/// A disk that refuses files is no error: redirects go on, and clicks are dropped and counted until it takes them.
pub fn start(
    config: &JournalConfig,
    lanes: usize,
    misses: Arc<Misses>,
    countries: Arc<Countries>,
    metrics: ClickMetrics,
) -> io::Result<(Recorder, JournalThreads, Shipper)> {
    let lanes = lanes.max(1);
    let segment = segment_len(config, lanes);
    // Each lane needs a tail, a segment that is filled and one made ahead, whatever the limit is.
    let limit = config.limit.max(3 * (lanes * segment) as u64);
    let config = &JournalConfig { segment, limit, ..config.clone() };
    let space = Arc::new(Space::new(&config.root, limit, config.floor));
    let lane = |_| {
        let id = JournalId(rand::random());
        Arc::new(Lane::new(&config.root, id, config.sync_every.is_zero(), metrics.journal_errors.clone()))
    };
    let lanes: Box<[Arc<Lane>]> = (0..lanes).map(lane).collect();
    let lost = Arc::<LostClicks>::default();
    let on_loss = Box::new({
        let (metrics, lost) = (metrics.clone(), Arc::clone(&lost));
        move |clicks| {
            metrics.count_dropped(DropReason::Disk, clicks);
            lost.count_others(clicks);
        }
    });
    let threads = JournalThreads::start(config.clone(), Arc::clone(&space), &lanes, on_loss)?;
    let shipper = Shipper::new(config, Arc::clone(&space), &lanes, misses, countries, metrics.clone());
    Ok((Recorder { lanes, space, lost, metrics }, threads, shipper))
}

/// Returns the bytes of a segment. A small limit means small segments, since room is taken and released by the segment.
fn segment_len(config: &JournalConfig, lanes: usize) -> usize {
    /// The longest record fits.
    const SMALLEST: usize = 16 << 10;
    let share = usize::try_from(config.limit / (4 * lanes as u64)).unwrap_or(usize::MAX);
    // A power of two is a number of whole pages.
    let share = 1 << share.max(1).ilog2();
    config.segment.min(share).clamp(SMALLEST, MAX_SEGMENT)
}

impl Recorder {
    /// Records one redirect before its answer is written to the socket. Returns whether it was recorded; if not, it is
    /// counted as dropped.
    ///
    /// `affinity` selects the lane that is tried first. A thread with a number of its own meets no other thread there.
    pub fn record(&self, click: &NewClick<'_>, affinity: usize) -> bool {
        let appended = self.append(click, affinity);
        if let Err(reason) = appended {
            self.metrics.count_dropped(reason, 1);
            self.lost.count(click.url_id, click.short_code);
        }
        appended.is_ok()
    }

    fn append(&self, click: &NewClick<'_>, affinity: usize) -> Result<(), DropReason> {
        let (before, from) = self.lanes.split_at(affinity % self.lanes.len());
        let mut last = Err(DropReason::Busy);
        for _ in 0..ROUNDS {
            let mut is_any_busy = false;
            for lane in from.iter().chain(before) {
                match lane.try_append(click) {
                    Some(Ok(())) => return Ok(()),
                    refused @ Some(Err(_)) => last = refused.unwrap_or(last),
                    None => is_any_busy = true,
                }
            }
            if !is_any_busy {
                return last;
            }
            std::hint::spin_loop();
        }
        last
    }

    /// Returns the dropped clicks by link.
    pub fn lost_clicks(&self) -> &LostClicks {
        &self.lost
    }

    /// Returns how many clicks were to be recorded, whether they were or not.
    pub fn accepted(&self) -> u64 {
        let written: u64 = self.lanes.iter().map(|lane| lane.sequence()).sum();
        written + self.metrics.not_journalled()
    }

    /// Returns how many clicks are in journals and not in the store, with those of ended processes.
    pub fn pending(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.pending()).sum::<u64>() + self.metrics.orphans_pending()
    }

    /// Returns the age of the oldest click that the store does not have, as the shipper last saw it.
    pub fn oldest_pending(&self) -> Duration {
        self.metrics.oldest_pending()
    }

    /// Returns how many clicks were lost since the start of the process.
    pub fn dropped(&self) -> u64 {
        self.metrics.dropped()
    }

    /// Returns the bytes of the disk that the journals take, may take, and may still take.
    pub fn room(&self) -> [u64; 3] {
        [self.space.used(), self.space.limit(), self.space.room()]
    }

    /// Returns the reason why journals cannot grow, if they cannot.
    pub fn shortage(&self) -> Option<Shortage> {
        self.space.shortage()
    }

    /// Finishes the journals. No click is recorded after that.
    pub fn close(&self) {
        self.lanes.iter().for_each(|lane| lane.close());
    }
}
