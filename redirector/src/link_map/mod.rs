//! The lock-free map from short code to link. No module here knows HTTP, the bus or SQL.
//!
//! Any number of threads read. One [`LinkMapWriter`] writes, and the replica owns it.
//!
//! ```text
//! mod         the interface
//!   memory      the bytes of links, and the protocol that publishes them to readers
//! ```
//!
//! A reader is pinned during a look-up. A pin belongs to its thread, so it must not live across a coroutine's yield.
//! [`MapPin::scope`] lends a pin to a closure, and a [`ServedLink`] borrows from the pin, so neither leaves the closure.

mod memory;
#[cfg(test)]
mod model;
mod sync;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tern_common::served_link::{EncodedLink, InvalidLink, LinkEncoder, LinkRow, ServedLink};

pub use self::memory::MapPin;
use self::memory::{Heap, Shared, Writer};

/// The reading side of the map.
#[derive(Debug)]
pub struct LinkMap {
    shared: Arc<Shared>,
    /// Whether the map has every link, as far as the replica knows. Before that, a code that is absent here may exist.
    /// The writer sets it once, and each miss reads it.
    loaded: AtomicBool,
}

impl LinkMap {
    /// Makes an empty map that is not loaded.
    pub fn new() -> (Arc<LinkMap>, LinkMapWriter) {
        let writer = Writer::new(sync::Hasher::default());
        let map = Arc::new(LinkMap { shared: Arc::clone(writer.shared()), loaded: AtomicBool::new(false) });
        (Arc::clone(&map), LinkMapWriter { map, writer, encoder: LinkEncoder::default() })
    }

    /// Returns the link under `code`, which borrows from the pin.
    #[inline]
    pub fn find<'pin>(&'pin self, pin: &'pin MapPin, code: &str) -> Option<ServedLink<'pin>> {
        self.shared.find(pin, code).map(|(record, text)| ServedLink::decode(record, text))
    }

    /// Calls `look` with every link until it returns an error. Nothing is pinned during a call, so it may wait for a disk.
    ///
    /// The call walks the log and not the table. A change or a compaction appends a record behind the one that it replaces, so a
    /// walk visits every link that exists throughout. A link that changes or is compacted meanwhile may be visited twice.
    pub fn for_each<E>(&self, mut look: impl FnMut(ServedLink<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut chunk = self.shared.chunk_after(None);
        while let Some(present) = chunk {
            for (record, text) in present.records().filter(|(record, _)| self.shared.is_live(record)) {
                look(ServedLink::decode(record, text))?;
            }
            chunk = self.shared.chunk_after(Some(present.number()));
        }
        Ok(())
    }

    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Returns the number of links, active or not.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The writing side of a map. Each map has exactly one.
#[derive(Debug)]
pub struct LinkMapWriter {
    map: Arc<LinkMap>,
    writer: Writer,
    encoder: LinkEncoder,
}

impl LinkMapWriter {
    /// Checks a row, publishes its link and returns it. A row that cannot be served changes nothing.
    pub fn put(&mut self, row: &LinkRow<impl AsRef<str>>) -> Result<EncodedLink<'_>, InvalidLink> {
        let link = self.encoder.encode(row)?;
        self.writer.put(link);
        Ok(link)
    }

    /// Makes the link under `code` inactive, if there is one, and returns it: requests for it are answered with "gone".
    pub fn deactivate(&mut self, code: &str) -> Option<EncodedLink<'_>> {
        let inactive = MapPin::scope(|pin| {
            let mut link = self.map.find(pin, code)?;
            link.active = false;
            Some(self.encoder.encode_served(link))
        });
        if let Some(inactive) = inactive {
            self.writer.put(inactive);
        }
        inactive
    }

    /// Removes the link under `code`, if there is one.
    pub fn remove(&mut self, code: &str) {
        self.writer.remove(code);
    }

    /// Replaces all links by those of `replacement`, and marks the map as loaded.
    pub fn commit(&mut self, replacement: Replacement) {
        self.replace(replacement);
        self.declare_loaded();
    }

    /// Replaces all links by those of `replacement`. Takes about 70 ns a link. Readers are not delayed, and see all links
    /// change at one moment.
    pub fn replace(&mut self, replacement: Replacement) {
        self.writer.replace(replacement.heap);
    }

    /// Marks the map as loaded: requests are answered from it.
    pub fn declare_loaded(&mut self) {
        self.map.loaded.store(true, Ordering::Release);
    }

    /// Pauses or resumes the compaction of the log. While it is paused, a walk visits a link that does not change once.
    pub fn pause_compaction(&mut self, is_paused: bool) {
        self.writer.pause_compaction(is_paused);
    }

    /// Takes some steps of the table's growth, and frees retired memory that no reader uses any more. Each change does a part
    /// of both.
    pub fn sweep(&mut self) {
        self.writer.maintain();
    }

    /// Returns the bytes of the map, and those of dead records among them.
    #[cfg(test)]
    fn room(&self) -> (usize, usize) {
        self.writer.room()
    }

    pub fn map(&self) -> &Arc<LinkMap> {
        &self.map
    }
}

/// Links that replace those of a map. Filling it takes no more memory than the map will.
#[derive(Debug, Default)]
pub struct Replacement {
    heap: Heap,
    encoder: LinkEncoder,
}

impl Replacement {
    /// Checks a row and adds its link. The later of two links under one code replaces the earlier.
    pub fn put(&mut self, row: &LinkRow<impl AsRef<str>>) -> Result<(), InvalidLink> {
        self.heap.push(self.encoder.encode(row)?);
        Ok(())
    }

    /// Adds a link of a map.
    pub fn put_served(&mut self, link: ServedLink<'_>) {
        self.heap.push(self.encoder.encode_served(link));
    }

    /// Adds all links of `other` after the present ones.
    pub fn append(&mut self, other: Replacement) {
        self.heap.append(other.heap);
    }

    /// Returns the number of links that were added.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
