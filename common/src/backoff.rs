//! Pauses between tries against a server that is away: they double up to a limit, and no two processes keep step.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Pauses of one caller. The caller sleeps, so that a state machine and a coroutine can use it too.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    failures: u32,
    random: SmallRng,
}

impl Backoff {
    /// The first pause is at least `first`, and none is longer than five quarters of `last`.
    ///
    /// # Panics
    /// If the operating system has no random bytes.
    pub fn new(first: Duration, last: Duration) -> Backoff {
        let seed = getrandom::u64().expect("the operating system gives random bytes");
        Backoff::with_seed(first, last, seed)
    }

    /// Like [`Backoff::new`], with pauses that `seed` determines.
    pub fn with_seed(first: Duration, last: Duration, seed: u64) -> Backoff {
        Backoff { first, last, failures: 0, random: SmallRng::seed_from_u64(seed) }
    }

    /// Returns the pause after one more failure in a row, longer by up to a quarter than the doubled one.
    ///
    /// Processes that lost the same server together must not come back to it together.
    pub fn pause(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.last).mul_f64(self.random.random_range(1.0..1.25))
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_begin_anew_after_a_success() {
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
