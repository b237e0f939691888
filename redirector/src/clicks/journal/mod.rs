//! Journals: files in which each click stands before its redirect is answered.
//!
//! A click is first in the tail of its journal, a ring in a mapped file, and then in a segment, a file that only grows.
//! What is in either survives the end of the process, `kill -9` included; a power cut costs what was not synced yet. A
//! process writes a few journals of its own, so that no worker waits for another, and makes new ones at each start; those
//! of processes that have ended are taken over by whoever sees them first.
//!
//! ```text
//! threads     two threads: make segments ahead of the lanes, flush and sync behind them
//!   lane        one journal of this process: appends
//!     flush       from its tail into segments
//! orphan      a journal whose process has ended: adoption
//!   tail        the ring where clicks stand first
//!     fault       page faults that the process survives
//!   space       what all journals may take of the disk
//!     shortage    why they cannot take more                  (pure)
//!   directory   names, locks, making and removing a journal
//!   segment     files of records
//!     file        one segment as a file
//!     format      one segment as bytes: header, records      (pure)
//!     record      one click as bytes                         (pure)
//!     client_text which part of a client's texts is stored   (pure)
//! ```
//!
//! The formats are documented in [`tail`], [`segment::format`] and [`segment::record`]. It knows no store: where a journal stands there is
//! kept there, in the transaction that stores the clicks, and nowhere here.

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
pub use segment::file::{read_header, segment_path, segments};
pub use segment::format::{HEADER_LEN, MAX_SEGMENT, Walk};
pub use segment::record::{Answered, Network, Seed};
pub use shortage::Shortage;
pub use space::Space;
pub use threads::{JournalThreads, OnLoss};
