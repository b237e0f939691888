//! How long the answer to a change waits for the redirectors: a multiple of what they have needed lately, within bounds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How many times the longest confirmation of late an answer waits. Only a redirector that lags makes it wait so long.
const FACTOR: u32 = 4;

/// The part by which each confirmation lets the longest one of late fade: 180 of them halve it.
const FADING: u64 = 256;

/// Bounds of the time that an answer waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisibleWait {
    pub least: Duration,
    pub most: Duration,
}

impl VisibleWait {
    /// Waits for this time, whatever the redirectors have needed.
    pub const fn exactly(time: Duration) -> VisibleWait {
        VisibleWait { least: time, most: time }
    }
}

/// The time that redirectors need to confirm a change, as measured.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    longest_nanos: AtomicU64,
    is_measuring: AtomicBool,
}

impl Pace {
    /// Returns how long the next answer waits at most.
    pub(crate) fn wait(&self, bounds: VisibleWait) -> Duration {
        let longest = Duration::from_nanos(self.longest_nanos.load(Ordering::Relaxed));
        longest.saturating_mul(FACTOR).clamp(bounds.least, bounds.most)
    }

    /// Takes note that every live redirector has confirmed a change after this time.
    pub(crate) fn observe(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let update = |longest: u64| Some(took.max(longest - longest / FADING));
        // An update that always gives a value cannot fail.
        let _ = self.longest_nanos.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// Begins to measure a change that its answer did not wait for. Returns false while another is measured.
    pub(crate) fn begin(&self) -> bool {
        !self.is_measuring.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.is_measuring.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: VisibleWait = VisibleWait { least: Duration::from_millis(100), most: Duration::from_secs(1) };

    #[test]
    fn wait_follows_the_slowest_confirmation_of_late_within_bounds() {
        let pace = Pace::default();
        assert_eq!(pace.wait(BOUNDS), BOUNDS.least);
        pace.observe(Duration::from_millis(3));
        assert_eq!(pace.wait(BOUNDS), BOUNDS.least);
        pace.observe(Duration::from_millis(200));
        assert_eq!(pace.wait(BOUNDS), Duration::from_millis(800));
        pace.observe(Duration::from_secs(20));
        assert_eq!(pace.wait(BOUNDS), BOUNDS.most);
        assert_eq!(pace.wait(VisibleWait::exactly(Duration::ZERO)), Duration::ZERO);
        for _ in 0..5_000 {
            pace.observe(Duration::from_millis(3));
        }
        assert_eq!(pace.wait(BOUNDS), BOUNDS.least);
    }
}
