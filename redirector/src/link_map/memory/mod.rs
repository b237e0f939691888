//! The memory of the map, and the protocol by which one writer shows it to any number of readers. All that is unsafe in
//! the map is in this module; nothing here knows more of a link than where its code and its text are.
//!
//! Records lie one behind the other in chunks, a log, and never change. A table of slots finds them: open addressing,
//! one cache line at a time, the slot of a code being a pointer to its record with 16 bits of its hash on top.
//!
//! ```text
//! boxed       values that readers reach by a pointer
//! chunk       records, and where they lie
//!   table       the slots that find them
//!     shared      what readers do
//!     writer      what the writer does
//! ```
//!
//! What readers reach, they reach by a pointer that was stored with `Release` and is loaded with `Acquire`, after what it
//! points at was finished: the table, and from its slots the records. A change is one store to one slot, so a reader
//! sees the record of before or of after, whole. Records never move from slot to slot, so a code that is there is not
//! missed.
//!
//! What readers cannot reach any more (a table that was outgrown, a chunk without live records, all of both after a
//! replacement) is retired: it is freed when every reader that was pinned at that moment is done. crossbeam-epoch tells
//! when; it is only asked to raise a flag, since what it is given to free, it may free on a reader's thread.
//! It is the writer that frees, the next time it comes by.
#![expect(unsafe_code, reason = "readers follow pointers into memory that the writer still appends to")]

mod boxed;
mod chunk;
mod shared;
mod table;
mod writer;

pub use self::chunk::Heap;
pub use self::shared::{MapPin, Shared};
pub use self::writer::Writer;
use super::sync;
