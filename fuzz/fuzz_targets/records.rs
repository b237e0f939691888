//! Bytes of a segment: no panic, and an end. What is read is held to what was written by the proptests of `segment.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tern_common::JournalId;
use tern_redirector::clicks::journal::{Seed, RecordIter};

fuzz_target!(|bytes: &[u8]| {
    for is_whole in [false, true] {
        let mut last = 0;
        for record in RecordIter::new(bytes, Seed::new(JournalId(1)), is_whole, 0) {
            assert!(record.sequence > last);
            last = record.sequence;
            // A checksum that is right by chance is one in four billion, and the fuzzer cannot see inside it.
            let _ = record.to_click();
        }
    }
});
