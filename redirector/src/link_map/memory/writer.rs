//! The writer's operations: append and publish records, compact chunks, and free memory that no reader uses any more.

use std::any::Any;
use std::collections::BTreeMap;
use std::ptr::NonNull;

use tern_common::served_link::EncodedLink;

use super::boxed::{RawBox, boxed};
use super::chunk::{Chunk, Heap, Place, code_of};
use super::growth::Growth;
use super::shared::{Directory, Shared};
use super::sync::{Arc, AtomicBool, AtomicPtr, AtomicUsize, CHUNK_BYTES, Hasher, Ordering, STEPS_PER_SWEEP, pin};
use super::table::{Table, hash_of};

/// The divisor for dead bytes: one of this many may be dead. Compaction then moves about as many bytes for each dead one.
const MAX_DEAD_SHARE: usize = 32;

/// A chunk, and the bytes of its dead records.
#[derive(Debug)]
struct ChunkUse {
    chunk: Arc<Chunk>,
    /// Bytes of records that readers do not find any more.
    dead: usize,
}

/// Memory that readers cannot find any more, but may still use.
#[derive(Debug)]
struct Garbage {
    /// Set when the last reader that may use the memory is done.
    is_unused: Arc<AtomicBool>,
    _memory: Box<dyn Any + Send + Sync>,
}

/// The writer of a map. Each [`Shared`] has exactly one.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    /// All chunks of the map, by address, to find the chunk of a record.
    chunks: BTreeMap<usize, ChunkUse>,
    /// The chunk to which records are appended. `None` before the first record.
    current: Option<Arc<Chunk>>,
    next_number: u64,
    /// Slots of the table that are not null.
    used: usize,
    /// The growth of the table, from the time when it is nearly full.
    growth: Option<Growth>,
    /// Bytes of all records.
    filled: usize,
    /// Bytes of all dead records.
    dead: usize,
    is_compaction_paused: bool,
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
            growth: None,
            filled: 0,
            dead: 0,
            is_compaction_paused: false,
            retired: Vec::new(),
        }
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Publishes a record under its code, in place of the previous one.
    pub fn put(&mut self, record: EncodedLink<'_>) {
        let record = record.bytes();
        self.make_room();
        let place = self.append(record);
        let (code, hash) = self.hashed(record);
        if let Some(growth) = &mut self.growth {
            // SAFETY: the chunks of all records in the table are alive.
            unsafe { growth.put(hash, code, place) };
        }
        // SAFETY: the chunks of all records in the table are alive, and that of `before` until it is counted as dead.
        let (before, is_new) = unsafe { self.table().put(hash, code, place) };
        self.used += usize::from(is_new);
        match before {
            Some(before) => self.count_dead(before),
            None => self.shared.len.store(self.shared.len() + 1, Ordering::Relaxed),
        }
        self.compact_if_due();
    }

    /// Removes the record under `code`, if there is one.
    pub fn remove(&mut self, code: &str) {
        self.grow(1);
        let hash = hash_of(&self.shared.hasher, code.as_bytes());
        // SAFETY: the chunks of all records in the table are alive.
        let found = unsafe { self.table().find(hash, code.as_bytes()) };
        if let Some((slot, before)) = found {
            if let Some(growth) = &self.growth {
                // SAFETY: as above.
                unsafe { growth.remove(hash, code.as_bytes()) };
            }
            self.table().clear(slot);
            self.shared.len.store(self.shared.len() - 1, Ordering::Relaxed);
            self.count_dead(before);
            self.compact_if_due();
        }
    }

    /// Replaces all records by those of `heap`. The later of two records under one code counts.
    pub fn replace(&mut self, heap: Heap) {
        self.growth = None;
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
        // Each code takes one slot of an empty table.
        // SAFETY: `incoming` owns the chunks.
        let codes = unsafe { table.fill(&self.shared.hasher, places, |before| replaced.push(before)) };
        self.used = codes;
        self.current = incoming.pop();
        // Readers can walk the new chunks before the old records are dead, so a walk misses no link.
        self.swap_directory();
        self.swap_table(table);
        self.shared.len.store(codes, Ordering::Relaxed);
        for address in outgoing {
            self.chunks.remove(&address);
        }
        self.swap_directory();
        for before in replaced {
            self.count_dead(before);
        }
        self.sweep();
    }

    /// Pauses or resumes compaction. A later change compacts what became dead meanwhile.
    pub fn pause_compaction(&mut self, is_paused: bool) {
        self.is_compaction_paused = is_paused;
    }

    /// Takes some steps of a growth, and frees retired memory that no reader uses any more.
    pub fn maintain(&mut self) {
        self.grow(STEPS_PER_SWEEP);
        self.sweep();
    }

    /// Frees retired memory that no reader uses any more.
    pub fn sweep(&mut self) {
        // Each flush advances the epoch by one step unless a reader prevents it, and a deferred function needs three steps.
        for _ in 0..4 {
            if self.retired.is_empty() {
                return;
            }
            pin().flush();
            self.retired.retain(|retired| !retired.is_unused.load(Ordering::Acquire));
        }
    }

    /// Returns the bytes of the tables and the chunks, used or not, and those of dead records among them.
    #[cfg(test)]
    pub fn room(&self) -> (usize, usize) {
        let chunks: usize = self.chunks.values().map(|usage| usage.chunk.bytes.len()).sum();
        let growth = self.growth.as_ref().map_or(0, Growth::bytes);
        (chunks + self.table().bytes() + growth, self.dead)
    }

    /// Returns the lines of the table, and the numbers of lines that its growth has cleared and copied, if there is one.
    #[cfg(test)]
    pub fn progress(&self) -> (usize, Option<(usize, usize)>) {
        (self.table().len(), self.growth.as_ref().map(Growth::progress))
    }

    /// Returns the number of retired values that are not freed yet.
    #[cfg(test)]
    pub fn retired(&self) -> usize {
        self.retired.len()
    }

    fn table(&self) -> &Table {
        // SAFETY: this is the writer, and a method that retires the table needs an exclusive borrow of it.
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
        // SAFETY: there is one writer, and it is borrowed exclusively.
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
        // Published before a slot points into the chunk, so that a walk finds each record that replaced another.
        self.swap_directory();
        place
    }

    /// Counts the record at `place` as dead.
    fn count_dead(&mut self, place: Place) {
        // SAFETY: the writer has the record's chunk.
        let len = unsafe { place.record() }.len();
        let (_, usage) = self.chunks.range_mut(..=place.0.addr().get()).next_back().expect("a record is in a chunk");
        usage.dead += len;
        self.dead += len;
    }

    /// Ensures that the table has room for a change, and begins its growth or takes a step of it.
    fn make_room(&mut self) {
        if self.growth.is_none() {
            self.growth = Growth::begin_if_due(self.table(), self.used, self.shared.len());
        }
        // A growth begins early enough for tables with many slots in a line. Those of the model have few.
        self.grow(if self.table().has_room_for(self.used + 1) { 1 } else { usize::MAX });
    }

    /// Takes at most `steps` steps of the growth. After the last one, publishes the new table.
    fn grow(&mut self, steps: usize) {
        for _ in 0..steps {
            let Some(growth) = self.growth.take() else { return };
            // SAFETY: the writer has the chunks of all records in the table. A growth ends before its table is replaced.
            match unsafe { growth.step(self.table(), &self.shared.hasher) } {
                Ok((table, used)) => {
                    self.used = used;
                    self.swap_table(table);
                }
                Err(growth) => self.growth = Some(growth),
            }
        }
    }

    /// Moves the live records of the chunk with the most dead bytes, if too many bytes are dead in all. One chunk for each
    /// change suffices, since a change leaves less than a chunk dead.
    fn compact_if_due(&mut self) {
        if self.is_compaction_paused || self.dead <= CHUNK_BYTES.max(self.filled / MAX_DEAD_SHARE) {
            return;
        }
        let current = self.current.as_ref().map(|chunk| chunk.address());
        let others = self.chunks.iter().filter(|(address, usage)| Some(**address) != current && usage.dead > 0);
        let Some((&address, usage)) = others.max_by_key(|(_, usage)| usage.dead) else { return };
        let chunk = Arc::clone(&usage.chunk);
        let shared = Arc::clone(&self.shared);
        let mut moved = 0;
        for place in chunk.places() {
            // SAFETY: `chunk` owns the record. This is the writer, which retires no table here.
            let (record, table) = unsafe { (place.record(), shared.table()) };
            moved += record.len();
            let (code, hash) = self.hashed(record);
            // SAFETY: the chunks of all records in the table are alive.
            if let Some((slot, found)) = unsafe { table.find(hash, code) }
                && found == place
            {
                let place = self.append(record);
                if let Some(growth) = &mut self.growth {
                    // SAFETY: as above.
                    unsafe { growth.put(hash, code, place) };
                }
                table.publish(slot, hash, place);
            }
        }
        self.filled -= moved;
        self.dead -= self.chunks.remove(&address).map_or(0, |usage| usage.dead);
        self.swap_directory();
    }

    /// Publishes a table and retires the previous one.
    fn swap_table(&mut self, table: Table) {
        self.retire(self.shared.table.swap(boxed(table), Ordering::AcqRel));
    }

    /// Publishes the current chunks. The previous directory is retired, with the chunks that only it has.
    fn swap_directory(&mut self) {
        let chunks = self.chunks.values().map(|usage| Arc::clone(&usage.chunk)).collect();
        self.retire(self.shared.directory.swap(boxed(Directory(chunks)), Ordering::AcqRel));
        self.sweep();
    }

    /// Retires a value of [`boxed`] that readers cannot reach any more.
    fn retire<T: Send + Sync + 'static>(&mut self, before: *mut T) {
        let is_unused = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_unused);
        let pinned = pin();
        pinned.defer(move || flag.store(true, Ordering::Release));
        pinned.flush();
        let memory = NonNull::new(before).map(RawBox);
        self.retired.push(Garbage { is_unused, _memory: Box::new(memory) });
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let retired = std::mem::take(&mut self.retired);
        // Readers may outlive the writer. Only then may a reader's thread free the memory.
        pin().defer(move || drop(retired));
    }
}
