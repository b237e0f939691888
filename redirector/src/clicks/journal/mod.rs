//! Journals: append-only files in which each click stands before its redirect is answered.
//!
//! What is in a mapping of a file survives the end of the process, `kill -9` included; a power cut costs what was not
//! synced yet. A process writes a few journals of its own, so that no worker waits for another, and makes new ones at
//! each start; those of processes that have ended are taken over by whoever sees them first.
//!
//! ```text
//! keeper    a thread: segments ahead of the writers, syncs behind them
//!   lane      the writing end of one journal
//! left      a journal whose process has ended
//!   file      directories, locks, mapped files
//!   space     what all of them may take of the disk
//!     segment   one file as bytes: header, records   (pure)
//!     record    one click as bytes                   (pure)
//! ```
//!
//! The format is documented in [`segment`] and [`record`]. It knows no store: where a journal stands there is kept there,
//! in the transaction that stores the clicks, and nowhere here.

mod file;
mod keeper;
mod lane;
mod left;
mod record;
mod segment;
mod space;

pub use file::{journals, remove_journal, remove_leftovers, segment_path, segments};
pub use keeper::{JournalConfig, Keeper};
pub use lane::{Dropped, Lane};
pub use left::{Left, LeftError, sealed_at, take_over};
pub use record::{Answered, Network, Seed};
pub use segment::{HEADER_LEN, MAX_SEGMENT, Walk};
pub use space::Space;
