//! Codes that are asked for although no link has them, most asked first, in bounded memory.
//!
//! Each worker counts in a sketch of its own by the algorithm "space-saving": a code without a counter takes the smallest
//! one, whose count becomes its error. A code that makes up more than 1/256 of a worker's misses always has a counter.
//! The shipper takes the counts every few seconds and stores them. Nothing about a client is stored.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError, TryLockError};

use crossbeam_utils::CachePadded;
use tern_common::ShortCode;
use tern_common::missed_code::NewMisses;

/// The number of counters of a worker.
const COUNTERS: usize = 256;

/// The number of tags that are compared at once.
const GROUP: usize = 32;

/// A short code, padded with zeros.
type Code = [u8; ShortCode::MAX_LEN];

/// The most frequent misses since they were last taken.
#[derive(Debug)]
pub struct Misses {
    hasher: RandomState,
    sketches: Box<[CachePadded<Mutex<Sketch>>]>,
}

/// The counters of one worker. The arrays have the same order.
#[derive(Debug)]
struct Sketch {
    /// The number of counters in use.
    used: usize,
    /// The lowest byte of each key, so that a look-up reads few bytes.
    tags: [u8; COUNTERS],
    keys: [u64; COUNTERS],
    counts: [u64; COUNTERS],
    /// The part of each count that may be of other codes.
    errors: [u64; COUNTERS],
    codes: Box<[Code; COUNTERS]>,
    /// A lower bound of all counts.
    floor: u64,
    /// The counter that was replaced last. The search for the next one begins behind it.
    hand: usize,
}

impl Default for Sketch {
    fn default() -> Sketch {
        let zeros = [0; COUNTERS];
        let codes = Box::new([[0; ShortCode::MAX_LEN]; COUNTERS]);
        let tags = [0; COUNTERS];
        Sketch { used: 0, tags, keys: zeros, counts: zeros, errors: zeros, codes, floor: 0, hand: 0 }
    }
}

impl Sketch {
    fn count(&mut self, key: u64, code: &str, times: u64) {
        if let Some(place) = self.find(key) {
            self.counts[place] += times;
            return;
        }
        let place = if self.used < COUNTERS {
            self.counts[self.used] = 0;
            self.used += 1;
            self.used - 1
        } else {
            self.smallest()
        };
        self.errors[place] = self.counts[place];
        self.counts[place] += times;
        (self.tags[place], self.keys[place]) = (tag_of(key), key);
        self.codes[place] = [0; ShortCode::MAX_LEN];
        self.codes[place].iter_mut().zip(code.bytes()).for_each(|(place, byte)| *place = byte);
    }

    fn find(&self, key: u64) -> Option<usize> {
        let tag = tag_of(key);
        for (group, tags) in self.tags.chunks_exact(GROUP).enumerate() {
            // Without a branch for each tag, the compiler compares them with vector instructions.
            if tags.iter().fold(false, |any, other| any | (*other == tag)) {
                let mut places = group * GROUP..self.used.min((group + 1) * GROUP);
                if let Some(place) = places.find(|place| self.keys[*place] == key) {
                    return Some(place);
                }
            }
        }
        None
    }

    /// Returns a counter with the smallest count, if all are in use.
    fn smallest(&mut self) -> usize {
        loop {
            // In a flood of codes, the counter behind the last one mostly has the smallest count.
            for _ in 0..COUNTERS {
                self.hand = (self.hand + 1) % COUNTERS;
                if self.counts[self.hand] <= self.floor {
                    return self.hand;
                }
            }
            self.floor = self.counts.iter().min().copied().unwrap_or_default();
        }
    }

    /// Returns each code with the part of its count that is certainly its own.
    fn counts(&self) -> impl Iterator<Item = (Code, u64)> {
        let certain = self.counts.iter().zip(&self.errors).map(|(count, error)| count - error);
        self.codes.iter().copied().zip(certain).take(self.used)
    }
}

fn tag_of(key: u64) -> u8 {
    key.to_le_bytes()[0]
}

impl Misses {
    /// Returns sketches for `workers` that count concurrently.
    pub fn new(workers: usize) -> Misses {
        let sketches = (0..workers.max(1)).map(|_| CachePadded::default()).collect();
        Misses { hasher: RandomState::new(), sketches }
    }

    /// Counts a miss. It waits for nothing: while a sketch is being read, its worker counts no code.
    pub fn count(&self, code: &str, affinity: usize) {
        let key = self.hasher.hash_one(code);
        match self.sketches[affinity % self.sketches.len()].try_lock() {
            Ok(mut sketch) => sketch.count(key, code, 1),
            // A panic leaves a counter with a wrong count at most.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().count(key, code, 1),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// Removes all counts, and returns the most frequent codes with theirs, at most `most`.
    pub fn take(&self, most: usize) -> Vec<NewMisses> {
        let mut counts = HashMap::<Code, u64>::new();
        for sketch in &self.sketches {
            let mut sketch = sketch.lock().unwrap_or_else(PoisonError::into_inner);
            sketch.counts().for_each(|(code, count)| *counts.entry(code).or_default() += count);
            (sketch.used, sketch.floor) = (0, 0);
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_unstable_by(|(code, count), (other, others)| (others, code).cmp(&(count, other)));
        let text = |code: Code| code.into_iter().take_while(|byte| *byte != 0).map(char::from).collect();
        let codes = counts.into_iter().take(most);
        codes.map(|(code, count)| NewMisses { short_code: text(code), count }).collect()
    }

    /// Adds counts again that the store did not take.
    pub fn put_back(&self, misses: &[NewMisses]) {
        let Some(sketch) = self.sketches.first() else { return };
        let mut sketch = sketch.lock().unwrap_or_else(PoisonError::into_inner);
        for NewMisses { short_code, count } in misses {
            sketch.count(self.hasher.hash_one(short_code.as_str()), short_code, *count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(misses: &Misses, most: usize) -> Vec<(String, u64)> {
        misses.take(most).into_iter().map(|missed| (missed.short_code, missed.count)).collect()
    }

    fn pairs<const N: usize>(pairs: [(&str, u64); N]) -> Vec<(String, u64)> {
        pairs.map(|(code, count)| (code.to_owned(), count)).into()
    }

    #[test]
    fn misses_of_all_workers_are_taken_most_asked_first() {
        let misses = Misses::new(2);
        for (code, affinity, times) in [("often", 0, 3), ("often", 1, 2), ("b", 3, 2), ("a", 2, 2), ("once", 0, 1)] {
            (0..times).for_each(|_| misses.count(code, affinity));
        }
        assert_eq!(take(&misses, 3), pairs([("often", 5), ("a", 2), ("b", 2)]));
        assert_eq!(take(&misses, 3), [], "all counts were removed");
        let longest = "x".repeat(ShortCode::MAX_LEN);
        (0..9).for_each(|_| misses.count(&longest, 0));
        misses.count("often", 0);
        assert_eq!(take(&misses, 9), pairs([(&longest, 9), ("often", 1)]));
    }

    #[test]
    fn misses_that_the_store_did_not_take_are_counted_with_later_ones() {
        let misses = Misses::new(2);
        for (code, affinity) in [("often", 0), ("often", 1), ("once", 1)] {
            misses.count(code, affinity);
        }
        let taken = misses.take(9);
        misses.count("often", 1);
        misses.put_back(&taken);
        assert_eq!(take(&misses, 9), pairs([("often", 3), ("once", 1)]));
    }

    #[test]
    fn frequent_code_outlasts_a_flood_of_codes_that_are_asked_for_once() {
        let misses = Misses::new(1);
        for n in 0..100_000 {
            misses.count(&format!("flood{n}"), 0);
            if n % 50 == 0 {
                misses.count("often", 0);
            }
        }
        let codes = take(&misses, 1_000);
        assert_eq!(codes.len(), COUNTERS);
        assert!(codes[0].0 == "often" && (1_500..=2_000).contains(&codes[0].1), "{:?}", codes[0]);
        assert!(codes[1].1 <= 10, "no code of the flood seems frequent: {:?}", codes[1]);
    }

    /// A naive sketch takes the same counts, apart from the choice among the smallest.
    #[test]
    fn counts_are_those_of_a_naive_sketch() {
        let mut sketch = Sketch::default();
        let mut naive = std::collections::BTreeMap::<u64, u64>::new();
        let mut state = 1_u64;
        for turn in 0..50_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Few codes are frequent, and many have the same tag.
            let key = ((state >> 33) % (1 << (1 + turn % 12))) * 128;
            let smallest = naive.values().min().copied().unwrap_or_default();
            let is_new = sketch.find(key).is_none();
            sketch.count(key, "code", 1);
            if is_new && naive.len() == COUNTERS {
                let replaced = *naive.keys().find(|key| sketch.find(**key).is_none()).unwrap();
                assert_eq!(naive.remove(&replaced), Some(smallest), "turn {turn}");
                naive.insert(key, smallest + 1);
            } else {
                *naive.entry(key).or_default() += 1;
            }
            let place = sketch.find(key).unwrap();
            assert_eq!(Some(&sketch.counts[place]), naive.get(&key), "turn {turn}");
        }
        assert_eq!(naive.len(), COUNTERS);
    }

    #[test]
    fn miss_during_a_reading_waits_for_nothing() {
        let misses = Misses::new(1);
        let reading = misses.sketches[0].lock().unwrap();
        misses.count("nope", 0);
        drop(reading);
        misses.count("nope", 0);
        assert_eq!(take(&misses, 9), pairs([("nope", 1)]));
    }
}
