//! The slots that find records by the hash of their codes. This module must not free memory.

use std::hash::{BuildHasher, Hasher as _};
use std::ops::Range;
use std::ptr::{self, NonNull};

use super::chunk::{ADDRESS, ADDRESS_BITS, Place, code_of};
use super::sync::{AtomicPtr, Hasher, LINE_SLOTS, MIN_LINES, Ordering};

/// The value of a slot whose code was removed. A probe continues behind it.
const REMOVED: *mut u8 = ptr::without_provenance_mut(1);

/// The number of records that a fill handles at a time, so that the processor loads their lines in parallel.
const BATCH: usize = 16;

/// Slots in one cache line. Each is null, [`REMOVED`], or a pointer to a record with the low bits of its code's hash on top.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicPtr<u8>; LINE_SLOTS]);

/// The memory of a table, of which a first part is cleared: each slot there is null.
#[derive(Debug)]
pub(super) struct EmptyLines(Vec<Line>);

impl EmptyLines {
    pub(super) fn with_room_for(links: usize) -> EmptyLines {
        // At a load of seven tenths, the home line decides four look-ups of five, whether the code exists or not.
        let lines = MIN_LINES.max(links.saturating_mul(10) / (7 * LINE_SLOTS) + 1);
        EmptyLines(Vec::with_capacity(lines))
    }

    /// Clears the next lines, at most `count`. Returns the table if all are cleared then.
    pub(super) fn clear(mut self, count: usize) -> Result<Table, EmptyLines> {
        let lines = &mut self.0;
        lines.resize_with(lines.capacity().min(lines.len().saturating_add(count)), Line::default);
        if lines.len() == lines.capacity() { Ok(Table { lines: self.0.into_boxed_slice() }) } else { Err(self) }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Line>()
    }

    /// Returns the number of cleared lines.
    #[cfg(test)]
    pub(super) fn cleared(&self) -> usize {
        self.0.len()
    }
}

/// The slots, in cache lines. A code is in its home line, or in a later line if all lines before that have no null slot.
/// A probe ends at a line with a null slot. Slots never become null again, and at least one is null.
#[derive(Debug)]
pub(super) struct Table {
    lines: Box<[Line]>,
}

impl Table {
    pub(super) fn with_room_for(links: usize) -> Table {
        EmptyLines::with_room_for(links).clear(usize::MAX).expect("no more lines than there are")
    }

    /// Returns the number of lines.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Returns whether `used` slots may be other than null. With more, looking up an absent code becomes slow.
    pub(super) fn has_room_for(&self, used: usize) -> bool {
        used <= self.lines.len() * LINE_SLOTS / 5 * 4
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.lines)
    }

    /// Returns the home line of a hash: the hash as a fraction of the table, whose length need not be a power of two.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.lines.len() as u128) >> u64::BITS) as usize
    }

    #[inline]
    fn after(&self, line: usize) -> usize {
        if line + 1 == self.lines.len() { 0 } else { line + 1 }
    }

    /// Returns the slot and the place of the record of `code`.
    ///
    /// # Safety
    /// The chunks of the table's records outlive the call and each use of the place.
    #[inline]
    pub(super) unsafe fn find(&self, hash: u64, code: &[u8]) -> Option<(usize, Place)> {
        let mut at = self.home(hash);
        loop {
            // All slots of a line are loaded before any branch: the processor would mispredict half of a branch for each.
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
                    // SAFETY: the slot points to a record, and the caller ensures that its chunk lives.
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

    /// Returns the first slot that can take an absent code, and whether the slot was never used.
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

    /// Publishes the record of `code` at `place`. Returns the record that it replaces, and whether its slot was never used.
    ///
    /// # Safety
    /// The chunks of the table's records outlive the call and each use of the returned place.
    pub(super) unsafe fn put(&self, hash: u64, code: &[u8], place: Place) -> (Option<Place>, bool) {
        // SAFETY: the caller ensures that the chunks live.
        let found = unsafe { self.find(hash, code) };
        let (slot, is_new) = found.map_or_else(|| self.vacancy(hash), |(slot, _)| (slot, false));
        self.publish(slot, hash, place);
        (found.map(|(_, before)| before), is_new)
    }

    /// Publishes the record at `place` in a slot.
    pub(super) fn publish(&self, slot: usize, hash: u64, place: Place) {
        let pointer = place.0.as_ptr().map_addr(|address| address | tag(hash) << ADDRESS_BITS);
        self.slot(slot).store(pointer, Ordering::Release);
    }

    /// Marks a slot as removed.
    pub(super) fn clear(&self, slot: usize) {
        self.slot(slot).store(REMOVED, Ordering::Release);
    }

    fn slot(&self, slot: usize) -> &AtomicPtr<u8> {
        &self.lines[slot / LINE_SLOTS].0[slot % LINE_SLOTS]
    }

    /// Iterates over the places of the records in some lines.
    pub(super) fn places(&self, lines: Range<usize>) -> impl Iterator<Item = Place> {
        self.lines[lines].iter().flat_map(|line| &line.0).filter_map(|slot| place_in(slot.load(Ordering::Relaxed)))
    }

    /// Puts records into a table that readers do not see yet. Calls `replaced` with each record that a later one replaces.
    /// Returns the number of slots that were never used before.
    ///
    /// # Safety
    /// The chunks of the records, and of those in the table, outlive the call.
    pub(super) unsafe fn fill(
        &self,
        hasher: &Hasher,
        places: impl Iterator<Item = Place>,
        mut replaced: impl FnMut(Place),
    ) -> usize {
        let mut places = places.peekable();
        let mut used = 0;
        let mut batch = Vec::with_capacity(BATCH);
        while places.peek().is_some() {
            // SAFETY: the caller ensures that the chunks live.
            batch.extend(places.by_ref().take(BATCH).map(|place| (place, unsafe { place.record() }, 0)));
            for (_, record, hash) in &mut batch {
                *hash = hash_of(hasher, code_of(record));
                // This load prefetches the line for the next loop.
                self.lines[self.home(*hash)].0[0].load(Ordering::Relaxed);
            }
            for (place, record, hash) in batch.drain(..) {
                // SAFETY: the caller ensures that the chunks live.
                let (before, is_new) = unsafe { self.put(hash, code_of(record), place) };
                used += usize::from(is_new);
                before.into_iter().for_each(&mut replaced);
            }
        }
        used
    }
}

/// Returns the place that a slot points to. `None` if the slot is null or removed.
#[inline]
fn place_in(slot: *mut u8) -> Option<Place> {
    if slot == REMOVED { None } else { NonNull::new(slot.map_addr(|address| address & ADDRESS)).map(Place) }
}

/// Returns the bits of a hash that a slot has on top.
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
