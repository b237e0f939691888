//! The age of the served links.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time at which the map was last known to equal the store. Written by the replica, read by the operations port.
#[derive(Debug, Default)]
pub struct Freshness {
    /// Microseconds since the Unix epoch; 0 stands for never.
    equal_at: AtomicU64,
    /// Whether the map has equalled the store since the process started.
    caught_up: AtomicBool,
}

impl Freshness {
    /// Notes that the map equals the store as of `at`.
    pub(super) fn mark(&self, at: SystemTime) {
        self.mark_restored(at);
        self.caught_up.store(true, Ordering::Release);
    }

    /// Notes that the links of the snapshot file equalled the store at `at`.
    pub(super) fn mark_restored(&self, at: SystemTime) {
        let micros = at.duration_since(UNIX_EPOCH).map_or(1, |since| since.as_micros());
        self.equal_at.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns whether the map has equalled the store since the process started.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Acquire)
    }

    /// Returns the time at which the map last equalled the store. `None` before the first load.
    pub(super) fn equal_at(&self) -> Option<SystemTime> {
        let micros = self.equal_at.load(Ordering::Relaxed);
        (micros > 0).then(|| UNIX_EPOCH + Duration::from_micros(micros))
    }

    /// Returns the time since the map last equalled the store. `None` before the first load.
    pub fn staleness(&self) -> Option<Duration> {
        self.equal_at().map(|at| SystemTime::now().duration_since(at).unwrap_or_default())
    }
}
