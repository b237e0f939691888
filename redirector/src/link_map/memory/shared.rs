//! The readers' operations: find a record, or walk the log. This module must neither write nor wait.

use std::ptr::{self, NonNull};

use super::boxed::RawBox;
use super::chunk::{Chunk, code_of};
use super::sync::{Arc, AtomicPtr, AtomicUsize, Guard, Hasher, Ordering, on_read, pin};
use super::table::{Table, hash_of};

/// Proof that the current thread is pinned: no memory that readers reach is freed before the pin ends.
///
/// A pin belongs to its thread, and neither the pin nor a link found under it leaves [`MapPin::scope`]. A coroutine that
/// yields may resume on another thread, so the code in a scope reads and writes no socket.
#[derive(Debug)]
pub struct MapPin(#[expect(dead_code, reason = "dropping the guard ends the pin")] Guard);

impl MapPin {
    /// Calls `look` with a pin that ends when `look` returns.
    #[inline]
    pub fn scope<R>(look: impl FnOnce(&MapPin) -> R) -> R {
        look(&MapPin(pin()))
    }
}

/// The chunks of the log, in no order.
#[derive(Debug)]
pub(super) struct Directory(pub(super) Vec<Arc<Chunk>>);

/// The part of the map that readers see.
#[derive(Debug)]
pub struct Shared {
    /// The table. Stored by the writer, loaded by each look-up.
    pub(super) table: AtomicPtr<Table>,
    /// The chunks, for walks of the log.
    pub(super) directory: AtomicPtr<Directory>,
    /// The number of links. Written by the writer.
    pub(super) len: AtomicUsize,
    pub(super) hasher: Hasher,
}

impl Shared {
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Returns the current table.
    ///
    /// # Safety
    /// While the caller has the reference, it is pinned, or it is the writer and does not retire the table.
    #[inline]
    pub(super) unsafe fn table(&self) -> &Table {
        let table = self.table.load(Ordering::Acquire);
        on_read(table.cast(), 1);
        // SAFETY: the table came from a box. It is freed only after all readers that were pinned when it was retired are done.
        unsafe { &*table }
    }

    /// Returns the record of `code` and the text in it.
    #[inline]
    pub fn find<'pin>(&'pin self, _: &'pin MapPin, code: &str) -> Option<(&'pin [u8], &'pin str)> {
        let hash = hash_of(&self.hasher, code.as_bytes());
        // SAFETY: the pin began before the table is loaded. The pin and the borrow of `self` last for `'pin`, so neither the
        // table nor a chunk with one of its records is freed before.
        unsafe { self.table().find(hash, code.as_bytes()).map(|(_, place)| (place.record(), place.text())) }
    }

    /// Returns whether readers find `record` under its code.
    pub fn is_live(&self, record: &[u8]) -> bool {
        let code = code_of(record);
        let _pinned = pin();
        // SAFETY: the thread is pinned.
        let found = unsafe { self.table().find(hash_of(&self.hasher, code), code) };
        found.is_some_and(|(_, place)| ptr::eq(place.0.as_ptr(), record.as_ptr()))
    }

    /// Returns the chunk after number `last` in the log, or the first chunk.
    pub fn chunk_after(&self, last: Option<u64>) -> Option<Arc<Chunk>> {
        let _pinned = pin();
        let directory = self.directory.load(Ordering::Acquire);
        on_read(directory.cast(), 1);
        // SAFETY: the directory came from a box, and the thread was pinned before loading it.
        let chunks = unsafe { &(*directory).0 };
        let later = chunks.iter().filter(|chunk| last.is_none_or(|last| chunk.number > last));
        later.min_by_key(|chunk| chunk.number).cloned()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Both came from boxes, and no reader is left.
        drop(NonNull::new(self.table.load(Ordering::Acquire)).map(RawBox));
        drop(NonNull::new(self.directory.load(Ordering::Acquire)).map(RawBox));
    }
}
