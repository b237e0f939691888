//! The reasons why a click is dropped.

/// The reason why a click never becomes an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DropReason {
    /// The store was unavailable for longer than the journals last.
    JournalFull,
    /// The disk is full, or fails.
    Disk,
    /// Clicks came faster than the journals could grow, from more threads than there are lanes, or after the end.
    Busy,
    /// The link was deleted, or lost by the database, before its click was stored.
    LinkGone,
    /// The record was damaged on the disk, or already removed when the store lost it.
    Missing,
}

impl DropReason {
    pub const ALL: [DropReason; 5] =
        [DropReason::JournalFull, DropReason::Disk, DropReason::Busy, DropReason::LinkGone, DropReason::Missing];

    /// The reasons for which a lane cannot append a click.
    pub const OF_LANES: [DropReason; 3] = [DropReason::JournalFull, DropReason::Disk, DropReason::Busy];

    /// Returns the value of the metric label `reason`.
    pub fn label(self) -> &'static str {
        match self {
            DropReason::JournalFull => "journal_full",
            DropReason::Disk => "disk",
            DropReason::Busy => "busy",
            DropReason::LinkGone => "link_gone",
            DropReason::Missing => "missing",
        }
    }
}
