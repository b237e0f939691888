//! Pauses between attempts to reach an unavailable server. They double up to a limit, and differ between processes.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// A sequence of pauses. The caller sleeps, so that state machines and coroutines can use it as well.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    failures: u32,
    random: SmallRng,
}

impl Backoff {
    /// Returns a sequence whose first pause is at least `first`. No pause is longer than 1.25 times `last`.
    ///
    /// # Panics
    /// If the operating system has no random bytes.
    pub fn new(first: Duration, last: Duration) -> Backoff {
        let seed = getrandom::u64().expect("the operating system has random bytes");
        Backoff::with_seed(first, last, seed)
    }

    /// Returns a sequence with reproducible pauses, for tests.
    pub fn with_seed(first: Duration, last: Duration, seed: u64) -> Backoff {
        Backoff { first, last, failures: 0, random: SmallRng::seed_from_u64(seed) }
    }

    /// Returns the next pause: the doubled one, extended by up to a quarter at random.
    ///
    /// The random part prevents that processes that lost a server at once reconnect at once.
    pub fn pause(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.last).mul_f64(self.random.random_range(1.0..1.25))
    }

    /// Restarts the sequence after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_restart_after_a_success() {
        let mut backoff = Backoff::with_seed(Duration::from_millis(100), Duration::from_secs(1), 7);
        let mut check = |expected_ms: &[u64]| {
            for expected in expected_ms {
                let pause = backoff.pause();
                let least = Duration::from_millis(*expected);
                assert!(pause >= least && pause <= least * 5 / 4, "{pause:?} instead of {least:?}");
            }
            backoff.reset();
        };
        check(&[100, 200, 400, 800, 1_000, 1_000]);
        check(&[100]);
    }

    #[test]
    fn pauses_of_two_processes_differ() {
        let pauses = || Backoff::new(Duration::from_secs(1), Duration::from_secs(1)).pause();
        assert_ne!(pauses(), pauses());
    }
}
