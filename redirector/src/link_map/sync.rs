//! The primitives of the map's memory. `model/sync.rs` has the same names over a model checker, so that the checker runs
//! the source of `memory/` itself. This module must have nothing but names and hooks.

pub(super) use std::sync::Arc;
pub(super) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

pub(super) use crossbeam_epoch::{Guard, pin};
pub(super) use foldhash::fast::RandomState as Hasher;

/// Bytes of a chunk: many records, so that little is wasted at the end, and a small part of a map, since compaction moves
/// one chunk at a time.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// Slots in a cache line.
pub(super) const LINE_SLOTS: usize = 8;

/// Lines of the smallest table.
pub(super) const MIN_LINES: usize = 8;

/// Lines that a step of a growth clears: a page of memory.
pub(super) const LINES_CLEARED: usize = 64;

/// Lines that a step of a growth copies: some fifty records, in a few microseconds.
pub(super) const LINES_COPIED: usize = 8;

/// Steps of a growth that a sweep takes, so that a growth ends although few links change.
pub(super) const STEPS_PER_SWEEP: usize = 32;

// Hooks by which the model follows each piece of memory. They do nothing here.
#[inline(always)]
pub(super) fn on_allocation(_: *const u8, _: usize) {}
#[inline(always)]
pub(super) fn on_write(_: *const u8, _: usize) {}
#[inline(always)]
pub(super) fn on_read(_: *const u8, _: usize) {}
#[inline(always)]
pub(super) fn on_free(_: *const u8) {}
