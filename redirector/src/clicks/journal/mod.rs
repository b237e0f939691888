//! Journals: files in which each click is recorded before its redirect is answered.
//!
//! A click is first in the tail of its journal, a ring in a mapped file, and then in a segment, a file that only grows.
//! The files survive the end of the process, `kill -9` included. A power cut costs the clicks that were not synced yet.
//! A process writes several journals of its own, so that no worker waits for another, and makes new ones at each start.
//! The first process that finds the journal of an ended process adopts it.
//!
//! ```text
//! threads     two threads: make segments ahead of the lanes, flush and sync behind them
//!   lane        one journal of this process: appends
//!     flush       from its tail into segments
//! orphan      a journal whose process has ended: adoption
//!   tail        the ring where clicks are recorded first
//!     fault       page faults that the process survives
//!   space       the room of all journals on the disk
//!     shortage    why journals cannot grow                   (pure)
//!   directory   names, locks, making and removing a journal
//!   segment     files of records
//!     file        one segment as a file
//!     format      one segment as bytes: header, records      (pure)
//!     record      one click as bytes                         (pure)
//!     client_text the stored part of a client's texts        (pure)
//! ```
//!
//! The formats are documented in [`tail`], [`segment::format`] and [`segment::record`].
//!
//! No module here knows the store. Only the store knows how far a journal is shipped: it moves the journal's position in
//! the transaction that stores the clicks.

mod config;
pub mod directory;
mod flush;
mod lane;
mod orphan;
mod segment;
mod shortage;
mod space;
mod tail;
#[cfg(test)]
mod tests;
mod threads;

pub use config::JournalConfig;
pub use lane::Lane;
pub use orphan::{AdoptError, Orphan, adopt};
pub use segment::client_text::origin;
pub use segment::file::{read_header, segment_path, segments};
pub use segment::format::{HEADER_LEN, MAX_SEGMENT, RecordIter};
pub use segment::record::{MAX_SOURCE, Network, NewClick, Seed, Sent};
pub use shortage::Shortage;
pub use space::Space;
pub use threads::{JournalThreads, OnLoss};
