//! Which links lost clicks, when there was no room to record them: what is left of a click that was dropped.
//!
//! On the redirect path, but only for a drop: a fixed table, no lock, no allocation.

use std::sync::atomic::{AtomicU64, Ordering};

use tern_common::Id;

/// Links that are told apart; the clicks of any others are counted together.
const SLOTS: usize = 4096;

/// How far from its place a link may stand.
const PROBES: usize = 8;

/// Dropped clicks by link, since the start of the process.
#[derive(Debug)]
pub struct Unrecorded {
    slots: Box<[Slot]>,
    others: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    /// 0 while it is free. Taken once, by whoever comes first.
    url_id: AtomicU64,
    clicks: AtomicU64,
}

impl Default for Unrecorded {
    fn default() -> Unrecorded {
        Unrecorded { slots: (0..SLOTS).map(|_| Slot::default()).collect(), others: AtomicU64::new(0) }
    }
}

impl Unrecorded {
    pub fn count(&self, url_id: Id) {
        let id = url_id.get().unsigned_abs();
        // Ids come one after another: what lies together is spread by an odd factor (Knuth, TAOCP 3, 6.4).
        #[expect(clippy::cast_possible_truncation, reason = "any bits of it will do")]
        let place = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> 20;
        for probe in 0..PROBES {
            let slot = &self.slots[(place + probe) % SLOTS];
            let holder = slot.url_id.compare_exchange(0, id, Ordering::Relaxed, Ordering::Relaxed);
            if holder.is_ok() || holder == Err(id) {
                slot.clicks.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.others.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts clicks whose links are not known.
    pub fn count_others(&self, clicks: u64) {
        self.others.fetch_add(clicks, Ordering::Relaxed);
    }

    /// Links and their dropped clicks, most first; and the clicks of links that had no room here.
    pub fn totals(&self) -> (Vec<(u64, u64)>, u64) {
        let of = |slot: &Slot| (slot.url_id.load(Ordering::Relaxed), slot.clicks.load(Ordering::Relaxed));
        let mut totals: Vec<(u64, u64)> = self.slots.iter().map(of).filter(|(_, clicks)| *clicks > 0).collect();
        totals.sort_unstable_by_key(|(url_id, clicks)| (std::cmp::Reverse(*clicks), *url_id));
        (totals, self.others.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: i64) -> Id {
        Id::new(id).unwrap()
    }

    #[test]
    fn totals_are_by_link_most_first() {
        let unrecorded = Unrecorded::default();
        for url in [7, 8, 7, i64::MAX, 7] {
            unrecorded.count(id(url));
        }
        assert_eq!(unrecorded.totals(), (vec![(7, 3), (8, 1), (i64::MAX.unsigned_abs(), 1)], 0));
    }

    #[test]
    fn more_links_than_there_is_room_for_lose_their_names_and_not_their_clicks() {
        let unrecorded = Unrecorded::default();
        for url in 1..=10_000 {
            unrecorded.count(id(url));
        }
        let (totals, others) = unrecorded.totals();
        assert!(totals.len() > SLOTS / 2, "{}", totals.len());
        assert_eq!(totals.iter().map(|(_, clicks)| clicks).sum::<u64>() + others, 10_000);
    }
}
