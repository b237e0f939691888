//! Records in memory, one after another. This module must not know the table.

use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use tern_common::served_link::{EncodedLink, Head, code_range, encoded_len, text_range};

use super::sync::{AtomicUsize, CHUNK_BYTES, Ordering, on_allocation, on_free, on_read, on_write};

/// Bits of an address in a slot; the bits of a hash are above. A system assigns higher addresses only on request.
pub(super) const ADDRESS_BITS: u32 = 48;

/// The mask of an address in a slot.
pub(super) const ADDRESS: usize = (1 << ADDRESS_BITS) - 1;

/// A piece of the log: records, one after another.
pub struct Chunk {
    pub(super) bytes: NonNull<[MaybeUninit<u8>]>,
    /// Bytes of all records. The writer stores it after each record, and a walk of the log loads it.
    pub(super) filled: AtomicUsize,
    /// The place in the log. A record that replaces another is in the same chunk or in one with a higher number.
    pub(super) number: u64,
}

// SAFETY: the bytes below `filled` never change while the chunk lives. Only one thread writes those above, by the contract
// of `append`.
unsafe impl Send for Chunk {}
// SAFETY: as above.
unsafe impl Sync for Chunk {}

/// A pointer to a whole record in a chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub(super) NonNull<u8>);

impl Place {
    /// Returns the bytes of the record.
    ///
    /// # Safety
    /// The chunk of the record outlives `'a`.
    #[inline]
    pub(super) unsafe fn record<'a>(self) -> &'a [u8] {
        on_read(self.0.as_ptr(), size_of::<Head>());
        // SAFETY: a `Place` points to a whole encoded link, which has at least the bytes of a head and never changes. The
        // caller ensures that its chunk lives.
        unsafe {
            let head = self.0.cast::<Head>().as_ref();
            std::slice::from_raw_parts(self.0.as_ptr(), encoded_len(head))
        }
    }

    /// Returns the text in the record.
    ///
    /// # Safety
    /// The chunk of the record outlives `'a`.
    #[inline]
    pub(super) unsafe fn text<'a>(self) -> &'a str {
        // SAFETY: the caller ensures that the chunk lives. An encoded link has strings there, one after another, and was
        // copied whole.
        unsafe {
            let text = text_range(self.0.cast::<Head>().as_ref());
            std::str::from_utf8_unchecked(&self.record()[text])
        }
    }
}

/// Returns the code in a record.
#[inline]
pub(super) fn code_of(record: &[u8]) -> &[u8] {
    let head = record.first_chunk().expect("a record is as long as its head says");
    &record[code_range(head)]
}

impl Chunk {
    /// Makes an empty chunk with room for a record of `record_len` bytes.
    pub(super) fn with_room_for(record_len: usize) -> Chunk {
        let bytes = Box::into_raw(Box::<[u8]>::new_uninit_slice(CHUNK_BYTES.max(record_len)));
        let bytes = NonNull::new(bytes).expect("a box is never null");
        let chunk = Chunk { bytes, filled: AtomicUsize::new(0), number: 0 };
        assert!((chunk.address() + bytes.len()) & !ADDRESS == 0, "an address has more bits than a slot has for it");
        on_allocation(chunk.start().as_ptr(), bytes.len());
        chunk
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.bytes.cast()
    }

    pub(super) fn address(&self) -> usize {
        self.start().addr().get()
    }

    /// Appends a record. `None` if there is no room.
    ///
    /// # Safety
    /// No other thread appends to this chunk meanwhile.
    pub(super) unsafe fn append(&self, record: &[u8]) -> Option<Place> {
        let at = self.filled.load(Ordering::Relaxed);
        let end = at.checked_add(record.len()).filter(|&end| end <= self.bytes.len())?;
        // SAFETY: `at` to `end` is inside the chunk, and no thread reads above `filled`.
        let place = unsafe {
            let place = self.start().add(at);
            place.copy_from_nonoverlapping(NonNull::from(record).cast(), record.len());
            place
        };
        on_write(place.as_ptr(), record.len());
        self.filled.store(end, Ordering::Release);
        Some(Place(place))
    }

    /// Iterates over the places of all records in order, including those that are appended meanwhile.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= self.filled.load(Ordering::Acquire) {
                return None;
            }
            // SAFETY: `at` is below `filled`, so inside the chunk. It is 0 or behind a whole record, so a record begins there.
            let place = Place(unsafe { self.start().add(at) });
            // SAFETY: the chunk is borrowed.
            at += unsafe { place.record() }.len();
            Some(place)
        })
    }

    /// Iterates over all records and the text in each.
    pub fn records(&self) -> impl Iterator<Item = (&[u8], &str)> {
        // SAFETY: the records are in this chunk, which is borrowed.
        self.places().map(|place| unsafe { (place.record(), place.text()) })
    }

    /// Returns the chunk's place in the log.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        on_free(self.start().as_ptr());
        // SAFETY: the pointer came from a box, and is freed once.
        drop(unsafe { Box::from_raw(self.bytes.as_ptr()) });
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("number", &self.number).field("filled", &self.filled).finish_non_exhaustive()
    }
}

/// Records that are not part of a map yet.
#[derive(Debug, Default)]
pub struct Heap {
    pub(super) chunks: Vec<Chunk>,
    pub(super) records: usize,
}

impl Heap {
    pub fn push(&mut self, record: EncodedLink<'_>) {
        let record = record.bytes();
        self.records += 1;
        let append = |chunk: &Chunk| {
            // SAFETY: only this heap has the chunk.
            unsafe { chunk.append(record) }.is_some()
        };
        if !self.chunks.last().is_some_and(append) {
            let chunk = Chunk::with_room_for(record.len());
            append(&chunk);
            self.chunks.push(chunk);
        }
    }

    /// Moves the chunks of `other` behind these.
    pub fn append(&mut self, other: Heap) {
        self.records += other.records;
        self.chunks.extend(other.chunks);
    }

    pub fn len(&self) -> usize {
        self.records
    }
}
