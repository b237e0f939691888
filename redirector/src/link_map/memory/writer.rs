//! What the one writer does: append, publish, compact, and free what no reader can be looking at.

use std::any::Any;
use std::collections::BTreeMap;
use std::ptr::NonNull;

use tern_common::served_link::EncodedLink;

use super::boxed::{RawBox, boxed};
use super::chunk::{Chunk, Heap, Place, code_of};
use super::shared::{Directory, Shared};
use super::sync::{Arc, AtomicBool, AtomicPtr, AtomicUsize, CHUNK_BYTES, Hasher, Ordering, pin};
use super::table::{Table, hash_of};

/// One of this many bytes may be dead: about as many are moved for each that dies.
const MAX_DEAD_SHARE: usize = 32;

/// A chunk, and how much of it is dead.
#[derive(Debug)]
struct ChunkUse {
    chunk: Arc<Chunk>,
    /// Bytes of records that nobody finds any more.
    dead: usize,
}

/// Memory that readers may still be looking at, though they cannot find it any more.
#[derive(Debug)]
struct Garbage {
    /// Raised when the last that could look is done.
    is_over: Arc<AtomicBool>,
    _memory: Box<dyn Any + Send + Sync>,
}

/// The right to change what readers see. There is one for each [`Shared`].
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    /// By address, so that the chunk of a record can be found.
    chunks: BTreeMap<usize, ChunkUse>,
    /// Where records are appended; none before the first.
    current: Option<Arc<Chunk>>,
    next_number: u64,
    /// Slots of the table that are other than null.
    used: usize,
    /// Bytes of all records, and of those that nobody finds any more.
    filled: usize,
    dead: usize,
    retired: Vec<Garbage>,
}

impl Writer {
    pub fn new(hasher: Hasher) -> Writer {
        let shared = Shared {
            table: AtomicPtr::new(boxed(Table::with_room_for(0))),
            directory: AtomicPtr::new(boxed(Directory(Vec::new()))),
            len: AtomicUsize::new(0),
            hasher,
        };
        Writer {
            shared: Arc::new(shared),
            chunks: BTreeMap::new(),
            current: None,
            next_number: 0,
            used: 0,
            filled: 0,
            dead: 0,
            retired: Vec::new(),
        }
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Lets readers find `record` under its code from now on, and what was there no longer.
    pub fn put(&mut self, record: EncodedLink<'_>) {
        let record = record.bytes();
        if !self.present_table().has_room_for(self.used + 1) {
            self.rebuild();
        }
        let place = self.append(record);
        let (code, hash) = self.hashed(record);
        let shared = Arc::clone(&self.shared);
        // SAFETY: we are the writer, and retire no table here; a chunk is alive as long as its records are in it.
        let (table, found) = unsafe { (shared.table(), shared.table().find(hash, code)) };
        match found {
            Some((slot, before)) => {
                table.publish(slot, hash, place);
                self.bury(before);
            }
            None => {
                let (slot, is_new) = table.vacancy(hash);
                table.publish(slot, hash, place);
                self.used += usize::from(is_new);
                shared.len.store(shared.len() + 1, Ordering::Relaxed);
            }
        }
        self.compact_if_due();
    }

    /// Lets readers find nothing under `code` from now on.
    pub fn remove(&mut self, code: &str) {
        let hash = hash_of(&self.shared.hasher, code.as_bytes());
        // SAFETY: as in `put`.
        let found = unsafe { self.present_table().find(hash, code.as_bytes()) };
        if let Some((slot, before)) = found {
            self.present_table().clear(slot);
            self.shared.len.store(self.shared.len() - 1, Ordering::Relaxed);
            self.bury(before);
            self.compact_if_due();
        }
    }

    /// Lets readers find the records of `heap` from now on, and nothing of before. Of two under one code, the later.
    pub fn replace(&mut self, heap: Heap) {
        let table = Table::with_room_for(heap.records);
        let outgoing: Vec<usize> = self.chunks.keys().copied().collect();
        let mut incoming = Vec::new();
        (self.filled, self.dead) = (0, 0);
        for mut chunk in heap.chunks {
            chunk.number = self.number();
            self.filled += chunk.filled.load(Ordering::Relaxed);
            let chunk = Arc::new(chunk);
            self.chunks.insert(chunk.address(), ChunkUse { chunk: Arc::clone(&chunk), dead: 0 });
            incoming.push(chunk);
        }
        let places = incoming.iter().flat_map(|chunk| chunk.places());
        let mut replaced = Vec::new();
        // SAFETY: `incoming` keeps the chunks.
        let codes = unsafe { table.fill(&self.shared.hasher, places, |before| replaced.push(before)) };
        self.used = codes;
        self.current = incoming.pop();
        // As in `append`: the new chunks are there to be walked before the old records are dead.
        self.swap_directory();
        self.swap_table(table);
        self.shared.len.store(codes, Ordering::Relaxed);
        for address in outgoing {
            self.chunks.remove(&address);
        }
        self.swap_directory();
        for before in replaced {
            self.bury(before);
        }
        self.sweep();
    }

    /// Frees what was retired, where no reader is left that could look at it.
    pub fn sweep(&mut self) {
        // Each flush takes the epoch one step on, if no reader is in its way, and an end needs three.
        for _ in 0..4 {
            if self.retired.is_empty() {
                return;
            }
            pin().flush();
            self.retired.retain(|retired| !retired.is_over.load(Ordering::Acquire));
        }
    }

    /// Bytes of the table and the chunks, used or not, and of records in them that nobody finds any more.
    #[cfg(test)]
    pub fn room(&self) -> (usize, usize) {
        let chunks: usize = self.chunks.values().map(|held| held.chunk.bytes.len()).sum();
        (chunks + self.present_table().bytes(), self.dead)
    }

    /// How much is retired and not yet freed.
    #[cfg(test)]
    pub fn retired(&self) -> usize {
        self.retired.len()
    }

    fn present_table(&self) -> &Table {
        // SAFETY: we are the writer, and whoever retires the table borrows us for it.
        unsafe { self.shared.table() }
    }

    fn hashed<'a>(&self, record: &'a [u8]) -> (&'a [u8], u64) {
        let code = code_of(record);
        (code, hash_of(&self.shared.hasher, code))
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn append(&mut self, record: &[u8]) -> Place {
        self.filled += record.len();
        // SAFETY: there is one writer, and it is borrowed.
        let append = |chunk: &Arc<Chunk>| unsafe { chunk.append(record) };
        if let Some(place) = self.current.as_ref().and_then(append) {
            return place;
        }
        let mut chunk = Chunk::with_room_for(record.len());
        chunk.number = self.number();
        let chunk = Arc::new(chunk);
        let place = append(&chunk).expect("a chunk has room for the record that it was made for");
        self.chunks.insert(chunk.address(), ChunkUse { chunk: Arc::clone(&chunk), dead: 0 });
        self.current = Some(chunk);
        // Before a slot points into the chunk: whoever walks the log finds each record that replaced another.
        self.swap_directory();
        place
    }

    /// Counts the record at `place` as one that nobody finds any more.
    fn bury(&mut self, place: Place) {
        // SAFETY: its chunk is held.
        let len = unsafe { place.record() }.len();
        let (_, held) = self.chunks.range_mut(..=place.0.addr().get()).next_back().expect("a record is in a chunk");
        held.dead += len;
        self.dead += len;
    }

    /// Takes a table with room for more and without the slots of what was removed.
    fn rebuild(&mut self) {
        let table = Table::with_room_for(self.shared.len() + 1);
        let places = self.present_table().places();
        // SAFETY: chunks that have records in the present table are held.
        self.used = unsafe { table.fill(&self.shared.hasher, places, |_| {}) };
        self.swap_table(table);
    }

    /// Moves the records of the chunk with the most dead ones, if too many are dead in all. One chunk for each change is
    /// enough, since a change kills less than a chunk, and so none takes long.
    fn compact_if_due(&mut self) {
        if self.dead <= CHUNK_BYTES.max(self.filled / MAX_DEAD_SHARE) {
            return;
        }
        let current = self.current.as_ref().map(|chunk| chunk.address());
        let others = self.chunks.iter().filter(|(address, held)| Some(**address) != current && held.dead > 0);
        let Some((&address, held)) = others.max_by_key(|(_, held)| held.dead) else { return };
        let chunk = Arc::clone(&held.chunk);
        let shared = Arc::clone(&self.shared);
        let mut moved = 0;
        for place in chunk.places() {
            // SAFETY: `chunk` keeps the record; we are the writer, and retire no table here.
            let (record, table) = unsafe { (place.record(), shared.table()) };
            moved += record.len();
            let (code, hash) = self.hashed(record);
            // SAFETY: as above.
            if let Some((slot, found)) = unsafe { table.find(hash, code) }
                && found == place
            {
                let place = self.append(record);
                table.publish(slot, hash, place);
            }
        }
        self.filled -= moved;
        self.dead -= self.chunks.remove(&address).map_or(0, |held| held.dead);
        self.swap_directory();
    }

    fn swap_table(&mut self, table: Table) {
        self.retire(self.shared.table.swap(boxed(table), Ordering::AcqRel));
    }

    /// Shows the chunks that are held now; those that are held no longer are retired with the directory of before.
    fn swap_directory(&mut self) {
        let chunks = self.chunks.values().map(|held| Arc::clone(&held.chunk)).collect();
        self.retire(self.shared.directory.swap(boxed(Directory(chunks)), Ordering::AcqRel));
        self.sweep();
    }

    /// Takes what readers found until now, and came from [`boxed`].
    fn retire<T: Send + Sync + 'static>(&mut self, before: *mut T) {
        let is_over = Arc::new(AtomicBool::new(false));
        let raise = Arc::clone(&is_over);
        let pinned = pin();
        pinned.defer(move || raise.store(true, Ordering::Release));
        pinned.flush();
        let memory = NonNull::new(before).map(RawBox);
        self.retired.push(Garbage { is_over, _memory: Box::new(memory) });
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let retired = std::mem::take(&mut self.retired);
        // Readers may outlive the writer. Then, and only then, one of them may have to free.
        pin().defer(move || drop(retired));
    }
}
