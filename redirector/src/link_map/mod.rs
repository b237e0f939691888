//! The lock-free map from short code to link. It knows nothing of HTTP, of the bus, of SQL.
//!
//! Any number of threads read; one [`LinkMapWriter`] writes, and the replica owns it.
//!
//! ```text
//! mod         what others see of it
//!   memory      where the bytes of links lie, and how readers come to see them
//! ```
//!
//! Readers are pinned while they look, and a pin belongs to a thread: it must not live across a coroutine's yield.
//! [`MapPin::scope`] lends a pin to a closure, and a [`ServedLink`] borrows from the pin, so neither leaves the closure.

mod memory;
#[cfg(test)]
mod model;
mod sync;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tern_common::served_link::{InvalidLink, LinkEncoder, LinkRow, ServedLink};

pub use self::memory::MapPin;
use self::memory::{Heap, Shared, Writer};

/// Every link, for reading.
#[derive(Debug)]
pub struct LinkMap {
    shared: Arc<Shared>,
    /// Whether the map holds all that there is, as far as can be known: before that, an absent code says nothing.
    /// Written by the writer once, read at each miss.
    loaded: AtomicBool,
}

impl LinkMap {
    pub fn new() -> (Arc<LinkMap>, LinkMapWriter) {
        let writer = Writer::new(sync::Hasher::default());
        let map = Arc::new(LinkMap { shared: Arc::clone(writer.shared()), loaded: AtomicBool::new(false) });
        (Arc::clone(&map), LinkMapWriter { map, writer, encoder: LinkEncoder::default() })
    }

    /// Returns the link under `code`, for as long as the pin lasts.
    #[inline]
    pub fn find<'pin>(&'pin self, pin: &'pin MapPin, code: &str) -> Option<ServedLink<'pin>> {
        self.shared.find(pin, code).map(|(record, text)| ServedLink::decode(record, text))
    }

    /// Calls `look` with every link until it returns an error. Nothing is pinned during a call, so it may wait for a disk.
    ///
    /// The log is walked, not the table. A change and a compaction put a record behind the record that it replaces, so a
    /// walk meets every link that exists all the while. A link that changes meanwhile may be met twice.
    pub fn each<E>(&self, mut look: impl FnMut(ServedLink<'_>) -> Result<(), E>) -> Result<(), E> {
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

    /// How many links there are, active or not.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The right to change a map. There is one for each.
#[derive(Debug)]
pub struct LinkMapWriter {
    map: Arc<LinkMap>,
    writer: Writer,
    encoder: LinkEncoder,
}

impl LinkMapWriter {
    /// Checks the row and serves its link from now on. What cannot be served changes nothing.
    pub fn put(&mut self, row: &LinkRow<impl AsRef<str>>) -> Result<(), InvalidLink> {
        self.writer.put(self.encoder.encode(row)?);
        Ok(())
    }

    /// Answers "gone" for the code from now on, if it is there.
    pub fn deactivate(&mut self, code: &str) {
        let inactive = MapPin::scope(|pin| {
            let mut link = self.map.find(pin, code)?;
            link.active = false;
            Some(self.encoder.encode_served(link))
        });
        if let Some(inactive) = inactive {
            self.writer.put(inactive);
        }
    }

    pub fn remove(&mut self, code: &str) {
        self.writer.remove(code);
    }

    /// Makes the map hold `replacement` and nothing else, and counts as loaded from then on.
    pub fn commit(&mut self, replacement: Replacement) {
        self.replace(replacement);
        self.declare_loaded();
    }

    /// Makes the map hold `replacement` and nothing else.
    /// Takes about 70 ns a link. Readers go on meanwhile, and see all of it from one moment on.
    pub fn replace(&mut self, replacement: Replacement) {
        self.writer.replace(replacement.heap);
    }

    /// What the map holds may be answered with from now on.
    pub fn declare_loaded(&mut self) {
        self.map.loaded.store(true, Ordering::Release);
    }

    /// Frees what no reader looks at any more. Changes do it too; without any, somebody has to come by now and then.
    pub fn sweep(&mut self) {
        self.writer.sweep();
    }

    /// Bytes that the map takes, and how many of them are of records that nobody finds any more.
    #[cfg(test)]
    fn room(&self) -> (usize, usize) {
        self.writer.room()
    }

    pub fn map(&self) -> &Arc<LinkMap> {
        &self.map
    }
}

/// Links that are to take the place of those in the map. Filled anywhere, it takes no more room than the map will.
#[derive(Debug, Default)]
pub struct Replacement {
    heap: Heap,
    encoder: LinkEncoder,
}

impl Replacement {
    /// Checks the row and puts its link. Of two links under one code, the later stays.
    pub fn put(&mut self, row: &LinkRow<impl AsRef<str>>) -> Result<(), InvalidLink> {
        self.heap.push(self.encoder.encode(row)?);
        Ok(())
    }

    /// Puts a link of a map.
    pub fn put_served(&mut self, link: ServedLink<'_>) {
        self.heap.push(self.encoder.encode_served(link));
    }

    /// Puts all of `other` behind what is here.
    pub fn append(&mut self, other: Replacement) {
        self.heap.append(other.heap);
    }

    /// How many links were put.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
