//! How old the served links may be.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When the map was last known to equal the store. Written by the replica, read by the ops port.
#[derive(Debug, Default)]
pub struct Freshness {
    /// Microseconds since the epoch; 0 for never.
    equal_at: AtomicU64,
}

impl Freshness {
    pub(super) fn mark(&self, at: SystemTime) {
        let micros = at.duration_since(UNIX_EPOCH).map_or(1, |since| since.as_micros());
        self.equal_at.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// `None` before the first load.
    pub(super) fn equal_at(&self) -> Option<SystemTime> {
        let micros = self.equal_at.load(Ordering::Relaxed);
        (micros > 0).then(|| UNIX_EPOCH + Duration::from_micros(micros))
    }

    /// How long ago that was; `None` before the first load.
    pub fn staleness(&self) -> Option<Duration> {
        self.equal_at().map(|at| SystemTime::now().duration_since(at).unwrap_or_default())
    }
}
