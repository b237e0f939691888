//! The longest wait of an answer to a change: a multiple of the time that redirectors needed lately, within bounds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The longest wait as a multiple of the longest recent confirmation. Only a redirector that lags causes it.
const FACTOR: u32 = 4;

/// The divisor of the part that each confirmation takes from the longest recent one: 180 confirmations halve it.
const FADING: u64 = 256;

/// Bounds of the longest wait of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisibleWait {
    pub least: Duration,
    pub most: Duration,
}

impl VisibleWait {
    /// Returns bounds that allow this time alone.
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
    /// Returns the longest wait of the next answer. Before the first confirmation, the way to redirectors may be long.
    pub(crate) fn wait(&self, bounds: VisibleWait) -> Duration {
        match self.longest_nanos.load(Ordering::Relaxed) {
            0 => bounds.most,
            longest => Duration::from_nanos(longest).saturating_mul(FACTOR).clamp(bounds.least, bounds.most),
        }
    }

    /// Records the time after which every live redirector had confirmed a change.
    pub(crate) fn observe(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let update = |longest: u64| Some(took.max(longest - longest / FADING));
        // An update that always returns a value cannot fail.
        let _ = self.longest_nanos.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// Begins to measure the confirmation of a change after its answer. Returns false while another is measured.
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
    fn wait_is_longest_before_the_first_confirmation_and_then_follows_the_slowest_within_bounds() {
        let pace = Pace::default();
        assert_eq!(pace.wait(BOUNDS), BOUNDS.most);
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
