//! Why journals cannot grow, in words for an operator.

use std::fmt;
use std::io;
use std::path::PathBuf;

use bytesize::ByteSize;

use super::lane::Dropped;

/// The state of journals that cannot grow. Clicks are dropped, now or once what room there is has been used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The directory of the journals.
    pub root: PathBuf,
    pub cause: Cause,
}

/// A reason why a file of a journal is not made. Sizes are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The journals would take more than `CLICK_JOURNAL_LIMIT`.
    Limit { used: u64, limit: u64 },
    /// The disk would have less left than `CLICK_DISK_FLOOR`.
    Floor { free: u64, floor: u64 },
    /// The disk refused.
    Disk { error: String },
}

impl Cause {
    pub(super) fn disk(error: &io::Error) -> Cause {
        Cause::Disk { error: error.to_string() }
    }

    /// The reason by which dropped clicks are counted.
    pub(super) fn dropped(&self) -> Dropped {
        match self {
            Cause::Limit { .. } => Dropped::JournalFull,
            Cause::Floor { .. } | Cause::Disk { .. } => Dropped::Disk,
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = self.root.display();
        match &self.cause {
            Cause::Limit { used, limit } => write!(
                f,
                "the journals in {root} take {} of the {} that CLICK_JOURNAL_LIMIT allows, since clicks do not reach the \
                 database; see to the database, or raise CLICK_JOURNAL_LIMIT",
                ByteSize::b(*used),
                ByteSize::b(*limit)
            ),
            Cause::Floor { free, floor } => write!(
                f,
                "the disk of {root} has {} free, of which CLICK_DISK_FLOOR reserves {}; make room on the disk, or lower \
                 CLICK_DISK_FLOOR",
                ByteSize::b(*free),
                ByteSize::b(*floor)
            ),
            Cause::Disk { error } => write!(f, "{root} cannot be written: {error}; see to the disk"),
        }
    }
}
