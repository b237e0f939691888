//! Counts the clicks of each link that were dropped because there was no room to record them.
//!
//! The redirect path counts here only when it drops a click: in a fixed table, without a lock or an allocation.

use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::FixedState;
use tern_common::{Id, ShortCode};

/// Links that have a count of their own. Clicks of further links are counted together.
const SLOTS: usize = 4096;

/// The number of slots that a link may use, from its home slot on.
const PROBES: usize = 8;

/// Dropped clicks by link, since the start of the process.
///
/// The id and the code identify a link: a database that lost its last commits gives the id to another link.
#[derive(Debug)]
pub struct LostClicks {
    slots: Box<[Slot]>,
    others: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    /// Hash of the link; 0 while the slot is free. The first thread that finds it free sets it, once.
    key: AtomicU64,
    clicks: AtomicU64,
    /// The id, and the code padded with zeros. Set once, by the thread that set the key.
    link: OnceLock<(u64, [u8; ShortCode::MAX_LEN])>,
}

/// A link and the clicks that it lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostLink {
    pub url_id: u64,
    pub short_code: String,
    pub clicks: u64,
}

impl Default for LostClicks {
    fn default() -> LostClicks {
        LostClicks { slots: (0..SLOTS).map(|_| Slot::default()).collect(), others: AtomicU64::new(0) }
    }
}

impl LostClicks {
    /// Counts a dropped click of a link.
    pub fn count(&self, url_id: Id, short_code: &str) {
        let id = url_id.get().unsigned_abs();
        let key = FixedState::default().hash_one((id, short_code)).max(1);
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let place = key as usize;
        for probe in 0..PROBES {
            let slot = &self.slots[place.wrapping_add(probe) % SLOTS];
            let holder = slot.key.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed);
            if holder.is_ok() {
                let mut code = [0; ShortCode::MAX_LEN];
                code.iter_mut().zip(short_code.bytes()).for_each(|(place, byte)| *place = byte);
                let _ = slot.link.set((id, code));
            }
            if holder.is_ok() || holder == Err(key) {
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

    /// Returns links with their dropped clicks, most first, and the clicks of links that have no slot.
    pub fn totals(&self) -> (Vec<LostLink>, u64) {
        let mut others = self.others.load(Ordering::Relaxed);
        let mut losses = Vec::new();
        for slot in &self.slots {
            let clicks = slot.clicks.load(Ordering::Relaxed);
            match slot.link.get() {
                Some(&(url_id, code)) if clicks > 0 => {
                    let short_code = code.into_iter().take_while(|byte| *byte != 0).map(char::from).collect();
                    losses.push(LostLink { url_id, short_code, clicks });
                }
                _ => others += clicks,
            }
        }
        losses.sort_unstable_by(|a, b| (b.clicks, a.url_id).cmp(&(a.clicks, b.url_id)));
        (losses, others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: i64) -> Id {
        Id::new(id).unwrap()
    }

    fn lost_link(url_id: u64, short_code: &str, clicks: u64) -> LostLink {
        LostLink { url_id, short_code: short_code.to_owned(), clicks }
    }

    #[test]
    fn totals_of_several_links_are_sorted_most_first() {
        let lost = LostClicks::default();
        let longest = "c".repeat(ShortCode::MAX_LEN);
        for url in [7, 8, 7, i64::MAX, 7] {
            lost.count(id(url), if url == 8 { &longest } else { "CODE12" });
        }
        // A database that lost commits gives the id to another link.
        lost.count(id(7), "NEW1");
        lost.count(id(7), "NEW1");
        let largest = lost_link(i64::MAX.unsigned_abs(), "CODE12", 1);
        let expected = vec![lost_link(7, "CODE12", 3), lost_link(7, "NEW1", 2), lost_link(8, &longest, 1), largest];
        assert_eq!(lost.totals(), (expected, 0));
    }

    #[test]
    fn links_without_a_free_slot_are_counted_together() {
        let lost = LostClicks::default();
        for url in 1..=10_000 {
            lost.count(id(url), &format!("code{url}"));
        }
        let (totals, others) = lost.totals();
        assert!(totals.len() > SLOTS / 2, "{}", totals.len());
        assert_eq!(totals.iter().map(|loss| loss.clicks).sum::<u64>() + others, 10_000);
    }
}
