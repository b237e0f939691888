//! What readers do: find a record, or walk the log. Must not write, and must not wait.

use std::ptr::{self, NonNull};

use super::boxed::RawBox;
use super::chunk::{Chunk, code_of};
use super::sync::{Arc, AtomicPtr, AtomicUsize, Guard, Hasher, Ordering, on_read, pin};
use super::table::{Table, hash_of};

/// Proof that the present thread is pinned: nothing that readers reach is freed before the pin ends.
///
/// A pin belongs to its thread, and neither it nor what was found under it leaves [`MapPin::scope`].
/// A coroutine that yields there would resume on another thread, so the code in a scope reads and writes no socket.
#[derive(Debug)]
pub struct MapPin(#[expect(dead_code, reason = "only its end has an effect")] Guard);

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

/// What readers see.
#[derive(Debug)]
pub struct Shared {
    /// Written by the writer, read at each look-up.
    pub(super) table: AtomicPtr<Table>,
    /// For those who walk the log.
    pub(super) directory: AtomicPtr<Directory>,
    /// Written by the writer, read by anybody.
    pub(super) len: AtomicUsize,
    pub(super) hasher: Hasher,
}

impl Shared {
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// # Safety
    /// The caller is pinned, or is the writer and does not retire the table, while it has the reference.
    #[inline]
    pub(super) unsafe fn table(&self) -> &Table {
        let table = self.table.load(Ordering::Acquire);
        on_read(table.cast(), 1);
        // SAFETY: it came from a box, and is freed only after all that were pinned when it was retired are done.
        unsafe { &*table }
    }

    /// Returns the record of `code` and the text in it.
    #[inline]
    pub fn find<'pin>(&'pin self, _: &'pin MapPin, code: &str) -> Option<(&'pin [u8], &'pin str)> {
        let hash = hash_of(&self.hasher, code.as_bytes());
        // SAFETY: the pin was there before the table is loaded and lasts for `'pin`, as does the borrow of this, so
        // neither the table nor a chunk with a record of it is freed before.
        unsafe { self.table().find(hash, code.as_bytes()).map(|(_, place)| (place.record(), place.text())) }
    }

    /// Whether `record` is what readers find under its code.
    pub fn is_live(&self, record: &[u8]) -> bool {
        let code = code_of(record);
        let _pinned = pin();
        // SAFETY: pinned.
        let found = unsafe { self.table().find(hash_of(&self.hasher, code), code) };
        found.is_some_and(|(_, place)| ptr::eq(place.0.as_ptr(), record.as_ptr()))
    }

    /// The chunk that comes behind number `last` in the log, or the first of all.
    pub fn chunk_after(&self, last: Option<u64>) -> Option<Arc<Chunk>> {
        let _pinned = pin();
        let directory = self.directory.load(Ordering::Acquire);
        on_read(directory.cast(), 1);
        // SAFETY: it came from a box, and we were pinned before it was loaded.
        let chunks = unsafe { &(*directory).0 };
        let later = chunks.iter().filter(|chunk| last.is_none_or(|last| chunk.number > last));
        later.min_by_key(|chunk| chunk.number).cloned()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Both came from boxes, and nobody is left to read them.
        drop(NonNull::new(self.table.load(Ordering::Acquire)).map(RawBox));
        drop(NonNull::new(self.directory.load(Ordering::Acquire)).map(RawBox));
    }
}
