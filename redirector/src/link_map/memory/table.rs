//! The slots that find records by the hash of their codes. Must not free anything.

use std::hash::{BuildHasher, Hasher as _};
use std::ptr::{self, NonNull};

use super::chunk::{ADDRESS, ADDRESS_BITS, Place, code_of};
use super::sync::{AtomicPtr, Hasher, LINE_SLOTS, MIN_LINES, Ordering};

/// What stands in the slot of a code that was removed: a probe goes on behind it.
const REMOVED: *mut u8 = ptr::without_provenance_mut(1);

/// Lines and records are looked at this many at a time, so that the processor waits for all of them at once.
const BATCH: usize = 16;

/// Slots that are looked at together. Each is null, [`REMOVED`], or the pointer to a record with the low bits of the hash
/// of its code on top.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicPtr<u8>; LINE_SLOTS]);

/// The slots, in lines of the processor's cache. A code is in its home line, or in a later one if those before it have no
/// null slot: at one that has, a probe ends. Slots do not become null again, and at least one is.
#[derive(Debug)]
pub(super) struct Table {
    lines: Box<[Line]>,
}

impl Table {
    pub(super) fn with_room_for(links: usize) -> Table {
        // Seven tenths: for four codes of five, there or not, the home line says all.
        let lines = MIN_LINES.max(links.saturating_mul(10) / (7 * LINE_SLOTS) + 1);
        Table { lines: (0..lines).map(|_| Line::default()).collect() }
    }

    /// Whether so many slots may be other than null. Beyond that an absent code becomes dear.
    pub(super) fn has_room_for(&self, used: usize) -> bool {
        used <= self.lines.len() * LINE_SLOTS / 5 * 4
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.lines)
    }

    /// The home line of a hash: the hash as a fraction of the table, which need not be a power of two.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.lines.len() as u128) >> u64::BITS) as usize
    }

    #[inline]
    fn after(&self, line: usize) -> usize {
        if line + 1 == self.lines.len() { 0 } else { line + 1 }
    }

    /// The slot and the place of the record of `code`.
    ///
    /// # Safety
    /// The chunks of the table's records outlive the call, and the use of the place.
    #[inline]
    pub(super) unsafe fn find(&self, hash: u64, code: &[u8]) -> Option<(usize, Place)> {
        let mut at = self.home(hash);
        loop {
            // All slots of a line before any is judged: a branch for each would be guessed wrong half of the time.
            let slots = self.lines[at].0.each_ref().map(|slot| slot.load(Ordering::Acquire));
            let (mut matching, mut is_last) = (0u32, false);
            for (n, slot) in slots.iter().enumerate() {
                matching |= u32::from(slot.addr() >> ADDRESS_BITS == tag(hash)) << n;
                is_last |= slot.is_null();
            }
            while matching != 0 {
                let n = matching.trailing_zeros() as usize;
                matching &= matching - 1;
                if let Some(place) = place_in(slots[n])
                    // SAFETY: it is the place of a record; the caller sees to its chunk.
                    && code_of(unsafe { place.record() }) == code
                {
                    return Some((at * LINE_SLOTS + n, place));
                }
            }
            if is_last {
                return None;
            }
            at = self.after(at);
        }
    }

    /// The first slot in which a code that is absent can be put, and whether it was never used.
    pub(super) fn vacancy(&self, hash: u64) -> (usize, bool) {
        let mut at = self.home(hash);
        loop {
            let slots = self.lines[at].0.iter().map(|slot| slot.load(Ordering::Relaxed));
            let vacant = slots.enumerate().find(|(_, slot)| slot.is_null() || *slot == REMOVED);
            if let Some((n, slot)) = vacant {
                return (at * LINE_SLOTS + n, slot.is_null());
            }
            at = self.after(at);
        }
    }

    /// Shows the record at `place` to the readers of `slot`.
    pub(super) fn publish(&self, slot: usize, hash: u64, place: Place) {
        let pointer = place.0.as_ptr().map_addr(|address| address | tag(hash) << ADDRESS_BITS);
        self.slot(slot).store(pointer, Ordering::Release);
    }

    /// Shows nothing to the readers of `slot`.
    pub(super) fn clear(&self, slot: usize) {
        self.slot(slot).store(REMOVED, Ordering::Release);
    }

    fn slot(&self, slot: usize) -> &AtomicPtr<u8> {
        &self.lines[slot / LINE_SLOTS].0[slot % LINE_SLOTS]
    }

    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.lines.iter().flat_map(|line| &line.0).filter_map(|slot| place_in(slot.load(Ordering::Relaxed)))
    }

    /// Puts records into a table that nobody else sees yet, and calls `replaced` with each that another takes the place
    /// of. Gives the number of codes.
    ///
    /// # Safety
    /// The chunks of the records outlive the call.
    pub(super) unsafe fn fill(
        &self,
        hasher: &Hasher,
        places: impl Iterator<Item = Place>,
        mut replaced: impl FnMut(Place),
    ) -> usize {
        let mut places = places.peekable();
        let mut codes = 0;
        let mut batch = Vec::with_capacity(BATCH);
        while places.peek().is_some() {
            // SAFETY: the caller sees to the chunks.
            batch.extend(places.by_ref().take(BATCH).map(|place| (place, unsafe { place.record() }, 0)));
            for (_, record, hash) in &mut batch {
                *hash = hash_of(hasher, code_of(record));
                // Only to have the line brought near; the next loop comes for it.
                self.lines[self.home(*hash)].0[0].load(Ordering::Relaxed);
            }
            for (place, record, hash) in batch.drain(..) {
                // SAFETY: as above.
                match unsafe { self.find(hash, code_of(record)) } {
                    Some((slot, before)) => {
                        self.publish(slot, hash, place);
                        replaced(before);
                    }
                    None => {
                        self.publish(self.vacancy(hash).0, hash, place);
                        codes += 1;
                    }
                }
            }
        }
        codes
    }
}

/// The place that a slot points to, if it does.
#[inline]
fn place_in(slot: *mut u8) -> Option<Place> {
    if slot == REMOVED { None } else { NonNull::new(slot.map_addr(|address| address & ADDRESS)).map(Place) }
}

#[inline]
fn tag(hash: u64) -> usize {
    usize::from(hash as u16)
}

#[inline]
pub(super) fn hash_of(hasher: &Hasher, code: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(code);
    hasher.finish()
}
