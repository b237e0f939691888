//! Counts the clicks of each link that were dropped because there was no room to record them.
//!
//! The redirect path is here for a dropped click alone: a fixed table, no lock, no allocation.

use std::array;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tern_common::{Id, ShortCode};

/// Links that are told apart; the clicks of any others are counted together.
const SLOTS: usize = 4096;

/// How far from its place a link may stand.
const PROBES: usize = 8;

/// Words that the longest code takes.
const WORDS: usize = ShortCode::MAX_LEN / size_of::<u64>();

/// Dropped clicks by link, since the start of the process.
///
/// A link is its id and its code: a database that lost its last commits gives the id to another link.
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
    /// Whether id and code below are complete.
    is_named: AtomicBool,
    url_id: AtomicU64,
    /// The code, padded with zeros, which no code contains.
    short_code: [AtomicU64; WORDS],
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
    pub fn count(&self, url_id: Id, short_code: &str) {
        let id = url_id.get().unsigned_abs();
        let key = key(id, short_code);
        #[expect(clippy::cast_possible_truncation, reason = "any bits of it will do")]
        let place = key as usize;
        for probe in 0..PROBES {
            let slot = &self.slots[place.wrapping_add(probe) % SLOTS];
            let holder = slot.key.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed);
            if holder.is_ok() {
                slot.name(id, short_code);
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

    /// Returns links with their dropped clicks, most first, and the clicks of links that had no room here.
    pub fn totals(&self) -> (Vec<LostLink>, u64) {
        let mut others = self.others.load(Ordering::Relaxed);
        let mut losses = Vec::new();
        for slot in &self.slots {
            let clicks = slot.clicks.load(Ordering::Relaxed);
            match slot.named() {
                Some((url_id, short_code)) if clicks > 0 => losses.push(LostLink { url_id, short_code, clicks }),
                _ => others += clicks,
            }
        }
        losses.sort_unstable_by(|a, b| (b.clicks, a.url_id).cmp(&(a.clicks, b.url_id)));
        (losses, others)
    }
}

impl Slot {
    fn name(&self, id: u64, short_code: &str) {
        self.url_id.store(id, Ordering::Relaxed);
        for (word, bytes) in self.short_code.iter().zip(short_code.as_bytes().chunks(size_of::<u64>())) {
            let mut padded = [0; size_of::<u64>()];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(padded), Ordering::Relaxed);
        }
        self.is_named.store(true, Ordering::Release);
    }

    fn named(&self) -> Option<(u64, String)> {
        if !self.is_named.load(Ordering::Acquire) {
            return None;
        }
        let words: [_; WORDS] = array::from_fn(|index| self.short_code[index].load(Ordering::Relaxed).to_le_bytes());
        let code = words.as_flattened().iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte));
        Some((self.url_id.load(Ordering::Relaxed), code.collect()))
    }
}

/// Returns the FNV-1a hash of a link, which is never 0. Its multiplication spreads ids that follow each other.
fn key(id: u64, short_code: &str) -> u64 {
    let bytes = short_code.bytes().chain(id.to_le_bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ hash >> 32).max(1)
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
    fn totals_are_by_link_most_first() {
        let lost = LostClicks::default();
        let longest = "c".repeat(ShortCode::MAX_LEN);
        for url in [7, 8, 7, i64::MAX, 7] {
            lost.count(id(url), if url == 8 { &longest } else { "CODE12" });
        }
        // Another link that got the same id.
        lost.count(id(7), "NEW1");
        lost.count(id(7), "NEW1");
        let largest = lost_link(i64::MAX.unsigned_abs(), "CODE12", 1);
        let expected = vec![lost_link(7, "CODE12", 3), lost_link(7, "NEW1", 2), lost_link(8, &longest, 1), largest];
        assert_eq!(lost.totals(), (expected, 0));
    }

    #[test]
    fn more_links_than_there_is_room_for_lose_their_names_and_not_their_clicks() {
        let lost = LostClicks::default();
        for url in 1..=10_000 {
            lost.count(id(url), &format!("code{url}"));
        }
        let (totals, others) = lost.totals();
        assert!(totals.len() > SLOTS / 2, "{}", totals.len());
        assert_eq!(totals.iter().map(|loss| loss.clicks).sum::<u64>() + others, 10_000);
    }
}
