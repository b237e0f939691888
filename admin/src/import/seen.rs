//! The codes of a file's earlier rows, for imports that cannot ask the store about them.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// The most codes that are remembered, in some 64 MiB of memory.
const MAX_CODES: usize = 4_000_000;

/// Codes, each by its hash. Later codes than [`MAX_CODES`] are not remembered.
#[derive(Debug, Default)]
pub(super) struct SeenCodes {
    hashes: HashSet<u64>,
    state: RandomState,
}

impl SeenCodes {
    pub(super) fn add(&mut self, code: &str) {
        if self.hashes.len() < MAX_CODES {
            self.hashes.insert(self.state.hash_one(code));
        }
    }

    pub(super) fn has(&self, code: &str) -> bool {
        self.hashes.contains(&self.state.hash_one(code))
    }
}
