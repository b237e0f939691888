//! Rate limits: misses of clients, requests of tokens, and failed authentications.
//!
//! The generic cell rate algorithm (ITU-T I.371) runs on tables of fixed size, without locks, allocations and clean-up.

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;

use crate::client::UNKNOWN;

/// The number of slots of a table. Keys with the same slot share a budget. The hash is seeded, so no client can choose its
/// slot.
const SLOTS: usize = 1 << 16;

/// A rate limit for each key.
#[derive(Debug)]
pub struct Budget {
    started: Instant,
    /// The cost of one use in nanoseconds; zero means no limit.
    cost: u64,
    /// The greatest debt of a key in nanoseconds, which allows its burst.
    credit: u64,
    hasher: RandomState,
    /// The time at which the debt of each slot is paid, in nanoseconds since the start.
    paid_at: Box<[AtomicU64]>,
}

impl Budget {
    /// Returns a budget of `burst` uses at once for each key, and then `per_second`. Zero per second means no limit.
    pub fn new(burst: u32, per_second: u32) -> Budget {
        Budget::with_slots(SLOTS, burst, per_second)
    }

    /// Returns a budget that all keys share.
    pub fn single(burst: u32, per_second: u32) -> Budget {
        Budget::with_slots(1, burst, per_second)
    }

    fn with_slots(slots: usize, burst: u32, per_second: u32) -> Budget {
        let cost = 1_000_000_000u64.checked_div(per_second.into()).unwrap_or(0);
        Budget {
            started: Instant::now(),
            cost,
            credit: cost * u64::from(burst),
            hasher: RandomState::default(),
            paid_at: (0..slots).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Spends one use of the budget of `key`.
    ///
    /// # Errors
    /// When the budget is exhausted: the time until the next use.
    pub fn spend(&self, key: impl Hash, now: Instant) -> Result<(), Duration> {
        let now = u64::try_from(now.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX);
        let paid_at = self.slot(key);
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

    /// Reverses [`Budget::spend`] for `key`.
    fn refund(&self, key: impl Hash) {
        self.slot(key).fetch_sub(self.cost, Ordering::Relaxed);
    }

    fn slot(&self, key: impl Hash) -> &AtomicU64 {
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits choose a slot")]
        let slot = self.hasher.hash_one(key) as usize % self.paid_at.len();
        &self.paid_at[slot]
    }
}

/// The networks of a client from the narrowest: prefix length of IPv4, of IPv6, and multiple of the narrowest budget.
///
/// A provider assigns a /64, a /56 or a /48 of IPv6 to a customer, who may send from every address in it.
const NETWORKS: [(u32, u32, u32); 3] = [(24, 64, 1), (20, 56, 4), (16, 48, 16)];

/// The budget of all clients together, as a multiple of the budget of one narrow network.
const ALL: u32 = 64;

/// Rate limits for clients by network, and one for all clients together.
#[derive(Debug)]
pub struct ClientBudget {
    networks: [Budget; NETWORKS.len()],
    all: Budget,
}

impl ClientBudget {
    /// Returns budgets of `burst` uses at once and then `per_second` for each /24 of IPv4 and each /64 of IPv6.
    ///
    /// A /20 or a /56 has 4 times that, a /16 or a /48 16 times, and all clients together 64 times.
    /// Zero per second means no limit.
    pub fn new(burst: u32, per_second: u32) -> ClientBudget {
        let times =
            |slots, factor| Budget::with_slots(slots, burst.saturating_mul(factor), per_second.saturating_mul(factor));
        ClientBudget { networks: NETWORKS.map(|(.., factor)| times(SLOTS, factor)), all: times(1, ALL) }
    }

    /// Spends one use of all budgets of `client`, or of none.
    ///
    /// [`UNKNOWN`] represents many clients, and has the budget of the widest network.
    ///
    /// # Errors
    /// When one of the budgets is exhausted: the time until its next use.
    pub fn spend(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let narrowest = if client == UNKNOWN { NETWORKS.len() - 1 } else { 0 };
        let keys = NETWORKS.map(|(v4, v6, _)| network(client, v4, v6));
        let networks = || self.networks.iter().zip(keys).skip(narrowest);
        let mut spent = 0;
        let mut result = Ok(());
        for (budget, key) in networks() {
            result = budget.spend(key, now);
            if result.is_err() {
                break;
            }
            spent += 1;
        }
        if result.is_ok() {
            result = self.all.spend((), now);
        }
        if result.is_err() {
            // A client that exceeds its own budget must not spend the budgets that it shares.
            networks().take(spent).for_each(|(budget, key)| budget.refund(key));
        }
        result
    }
}

/// Returns the network of a client that usually belongs to one customer: /24 of IPv4, /64 of IPv6.
pub fn prefix(client: IpAddr) -> u64 {
    network(client, 24, 64)
}

/// Returns the first bits of an address. IPv4 and IPv6 do not collide, since no IPv6 address in use begins with so many
/// zeros.
fn network(client: IpAddr, v4_bits: u32, v6_bits: u32) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> (32 - v4_bits)),
        IpAddr::V6(v6) => (v6.to_bits() >> (128 - v6_bits)) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(budget: &Budget, client: &str, times: usize, now: Instant) -> usize {
        (0..times).filter(|_| budget.spend(prefix(client.parse().unwrap()), now).is_ok()).count()
    }

    #[test]
    fn budget_allows_the_burst_and_then_the_rate() {
        let budget = Budget::new(1000, 100);
        let now = Instant::now();
        assert_eq!(spent(&budget, "203.0.113.7", 2000, now), 1000);
        let wait = budget.spend(prefix("203.0.113.7".parse().unwrap()), now).unwrap_err();
        assert!(wait <= Duration::from_millis(10), "{wait:?}");
        assert_eq!(spent(&budget, "203.0.113.7", 2000, now + Duration::from_secs(1)), 100);
        assert_eq!(spent(&budget, "203.0.113.7", 2000, now + Duration::from_secs(3600)), 1000);
    }

    #[test]
    fn clients_of_a_prefix_share_a_budget() {
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
    fn budget_without_a_rate_has_no_limit() {
        assert_eq!(spent(&Budget::new(0, 0), "203.0.113.7", 5000, Instant::now()), 5000);
    }

    /// Returns how many of `times` uses are allowed. The n-th use comes from the address `client(n)`.
    fn allowed(budget: &ClientBudget, times: u128, now: Instant, client: impl Fn(u128) -> u128) -> u128 {
        let client = |n| IpAddr::V6(client(n).into());
        (0..times).filter(|n| budget.spend(client(*n), now).is_ok()).count() as u128
    }

    #[test]
    fn clients_of_a_wide_network_have_a_bounded_multiple_of_the_budget() {
        const BASE: u128 = 0x2001_0db8_0000_0000 << 64;
        let now = Instant::now();
        let budget = || ClientBudget::new(10, 1);
        assert_eq!(allowed(&budget(), 5000, now, |n| BASE + n), 10, "a /64");
        assert_eq!(allowed(&budget(), 5000, now, |n| BASE + ((n % 256) << 64)), 40, "a /56");
        assert_eq!(allowed(&budget(), 5000, now, |n| BASE + (n << 64)), 160, "a /48");
        assert_eq!(allowed(&budget(), 5000, now, |n| BASE + (n << 80)), 640, "all");
        let v4 = |n: u128| 0xffff_0a00_0000 + n;
        assert_eq!(allowed(&budget(), 5000, now, |n| v4(n % 256)), 10, "a /24");
        assert_eq!(allowed(&budget(), 5000, now, |n| v4((n % 16) << 8)), 40, "a /20");
        assert_eq!(allowed(&budget(), 5000, now, |n| v4((n % 256) << 8)), 160, "a /16");
    }

    #[test]
    fn unknown_clients_share_the_budget_of_a_wide_network() {
        let budget = ClientBudget::new(10, 1);
        let now = Instant::now();
        assert_eq!((0..5000).filter(|_| budget.spend(UNKNOWN, now).is_ok()).count(), 160);
        assert_eq!((0..100).filter(|_| budget.spend("203.0.113.7".parse().unwrap(), now).is_ok()).count(), 10);
    }

    #[test]
    fn client_over_its_budget_spends_no_shared_budget() {
        let budget = ClientBudget::new(10, 1);
        let now = Instant::now();
        let spend = |client: &str| budget.spend(client.parse().unwrap(), now);
        assert_eq!((0..100_000).filter(|_| spend("203.0.113.7").is_ok()).count(), 10);
        assert_eq!((0..100).filter(|_| spend("203.0.112.7").is_ok()).count(), 10);
        assert_eq!((0..100).filter(|_| spend("198.51.100.7").is_ok()).count(), 10);
    }

    #[test]
    fn client_budget_without_a_rate_has_no_limit() {
        let budget = ClientBudget::new(1000, 0);
        assert!((0..5000).all(|_| budget.spend("203.0.113.7".parse().unwrap(), Instant::now()).is_ok()));
    }
}
