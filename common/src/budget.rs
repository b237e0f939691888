//! How often somebody may do something: misses of a client, requests with a token, failed attempts to use the API.
//!
//! A generic cell rate algorithm (ITU-T I.371) over a table of fixed size: no lock, no allocation, no clean-up.

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;

/// Two whose keys fall on one slot share its budget. The hash is seeded, so nobody can aim at another's.
const SLOTS: usize = 1 << 16;

/// A budget for each key.
#[derive(Debug)]
pub struct Budget {
    started: Instant,
    /// Nanoseconds that one time costs; zero means no limit.
    cost: u64,
    /// Nanoseconds that a key may be ahead of its rate.
    credit: u64,
    hasher: RandomState,
    /// For each slot the time, in nanoseconds since the start, at which its debt is paid.
    paid_at: Box<[AtomicU64]>,
}

impl Budget {
    /// `burst` times at once, and `per_second` from then on; zero a second means no limit.
    pub fn new(burst: u32, per_second: u32) -> Budget {
        let cost = 1_000_000_000u64.checked_div(per_second.into()).unwrap_or(0);
        Budget {
            started: Instant::now(),
            cost,
            credit: cost * u64::from(burst),
            hasher: RandomState::default(),
            paid_at: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Takes one time from the budget of `key`.
    ///
    /// # Errors
    /// With the time after which there is something left, when there is nothing now.
    pub fn spend(&self, key: impl Hash, now: Instant) -> Result<(), Duration> {
        let now = u64::try_from(now.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX);
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits choose a slot")]
        let slot = self.hasher.hash_one(key) as usize % SLOTS;
        let paid_at = &self.paid_at[slot];
        let mut seen = paid_at.load(Ordering::Relaxed);
        loop {
            let next = seen.max(now) + self.cost;
            let debt = next - now;
            if debt > self.credit {
                return if self.cost == 0 { Ok(()) } else { Err(Duration::from_nanos(debt - self.credit)) };
            }
            match paid_at.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(changed) => seen = changed,
            }
        }
    }
}

/// The part of an address that one customer of a network usually holds: /24 of IPv4, /64 of IPv6.
pub fn prefix(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(budget: &Budget, client: &str, times: usize, now: Instant) -> usize {
        (0..times).filter(|_| budget.spend(prefix(client.parse().unwrap()), now).is_ok()).count()
    }

    #[test]
    fn a_burst_is_allowed_and_then_the_rate() {
        let budget = Budget::new(1000, 100);
        let now = Instant::now();
        assert_eq!(spent(&budget, "203.0.113.7", 2000, now), 1000);
        let wait = budget.spend(prefix("203.0.113.7".parse().unwrap()), now).unwrap_err();
        assert!(wait <= Duration::from_millis(10), "{wait:?}");
        assert_eq!(spent(&budget, "203.0.113.7", 2000, now + Duration::from_secs(1)), 100);
        assert_eq!(spent(&budget, "203.0.113.7", 2000, now + Duration::from_secs(3600)), 1000);
    }

    #[test]
    fn a_prefix_shares_its_budget_and_others_have_their_own() {
        let budget = Budget::new(10, 1);
        let now = Instant::now();
        assert_eq!(spent(&budget, "203.0.113.7", 20, now), 10);
        assert_eq!(spent(&budget, "203.0.113.250", 20, now), 0);
        assert_eq!(spent(&budget, "::ffff:203.0.113.1", 20, now), 0);
        assert_eq!(spent(&budget, "198.51.100.7", 20, now), 10);
        assert_eq!(spent(&budget, "2001:db8::1", 20, now), 10);
        assert_eq!(spent(&budget, "2001:db8::ffff", 20, now), 0);
        assert_eq!(spent(&budget, "2001:db8:0:1::1", 20, now), 10);
    }

    #[test]
    fn no_rate_means_no_limit() {
        assert_eq!(spent(&Budget::new(0, 0), "203.0.113.7", 5000, Instant::now()), 5000);
    }
}
