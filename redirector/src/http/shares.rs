//! The shares of clients: how many connections each client has open.
//!
//! The listener adds connections, and an ended connection removes itself. Requests do not use this module.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU32, Ordering};

use foldhash::quality::RandomState;

/// Number of slots. Clients with the same slot have one share together. The hash is seeded, so no client can choose a
/// slot.
const SLOTS: usize = 1 << 16;

/// Open connections by client.
pub(super) struct Shares {
    hasher: RandomState,
    open: Box<[AtomicU32]>,
}

impl Shares {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::default(), open: (0..SLOTS).map(|_| AtomicU32::new(0)).collect() }
    }

    pub(super) fn slot(&self, client: u64) -> usize {
        self.hasher.hash_one(client) as usize % SLOTS
    }

    pub(super) fn open(&self, slot: usize) -> usize {
        self.open[slot].load(Ordering::Relaxed) as usize
    }

    pub(super) fn enter(&self, slot: usize) {
        self.open[slot].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self, slot: usize) {
        self.open[slot].fetch_sub(1, Ordering::Relaxed);
    }
}
