//! The memory of the map, and the protocol by which one writer publishes it to any number of readers. All unsafe code of
//! the map is in this module. It knows nothing of a link but the places of its code and its text.
//!
//! Records lie one after another in chunks, the log, and never change. A table of slots finds them by open addressing, one
//! cache line at a time. A slot is a pointer to a record, with 16 bits of the code's hash on top.
//!
//! ```text
//! boxed       values that readers reach by a pointer
//! chunk       records in memory
//!   table       the slots that find them
//!     growth      a larger table, made in steps
//!     shared      the readers' operations
//!     writer      the writer's operations
//! ```
//!
//! Readers reach the table, and from its slots the records, by pointers that are stored with `Release` and loaded with
//! `Acquire`. A pointer is stored after its target is complete. A change is one store to one slot, so a reader sees either
//! the old or the new record, whole. Records never move from slot to slot, so no reader misses a code that exists.
//!
//! A table that is nearly full grows: a larger one is made beside it. Each change copies a few lines to the larger table and
//! is applied to both. Readers see the larger table once it has every record.
//!
//! Memory that readers cannot reach any more is retired: an outgrown table, a chunk without live records, and after a
//! replacement all of both. It is freed when every reader that was pinned at that moment is done. crossbeam-epoch reports
//! that moment and only raises a flag, since it might run a destructor on a reader's thread. The writer frees the memory
//! during a later change or sweep.
#![expect(unsafe_code, reason = "readers follow pointers into memory that the writer still appends to")]

mod boxed;
mod chunk;
mod growth;
mod shared;
mod table;
mod writer;

pub use self::chunk::Heap;
pub use self::shared::{MapPin, Shared};
pub use self::writer::Writer;
use super::sync;
