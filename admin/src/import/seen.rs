//! The codes of a file's earlier rows, for dry runs and for imports with `on_conflict=overwrite`.
//!
//! Such an import cannot ask the store which codes belong to earlier rows.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// The most codes that are remembered: seven eighths of the 2^22 slots of a set, which take 36 MiB of memory.
const MAX_CODES: usize = 3_670_016;

/// Hashes of the first [`MAX_CODES`] codes. A duplicate of a later code is not detected.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_of_the_most_codes_has_no_unused_slots() {
        assert_eq!(HashSet::<u64>::with_capacity(MAX_CODES).capacity(), MAX_CODES);
    }
}
