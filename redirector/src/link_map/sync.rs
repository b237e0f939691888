//! What the map's memory is built on. `model/sync.rs` is its other half: the same names over a model checker, so that
//! the very source in `memory/` is checked. Must not hold anything but names and hooks.

pub(super) use std::sync::Arc;
pub(super) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

pub(super) use crossbeam_epoch::{Guard, pin};
pub(super) use foldhash::fast::RandomState as Hasher;

/// The bytes of a chunk. Records are small beside it, so that what is left over at its end is next to nothing;
/// and it is small beside the whole, since compaction takes one at a time.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// As many as a cache line has.
pub(super) const LINE_SLOTS: usize = 8;
pub(super) const MIN_LINES: usize = 8;

// Where memory begins and ceases to be used, and how: of interest to the model alone.
#[inline(always)]
pub(super) fn on_allocation(_: *const u8, _: usize) {}
#[inline(always)]
pub(super) fn on_write(_: *const u8, _: usize) {}
#[inline(always)]
pub(super) fn on_read(_: *const u8, _: usize) {}
#[inline(always)]
pub(super) fn on_free(_: *const u8) {}
