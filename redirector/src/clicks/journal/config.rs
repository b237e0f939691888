//! The configuration of the journals.

use std::path::PathBuf;
use std::time::Duration;

/// The configuration of all journals of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// The directory in which each journal has a directory.
    pub root: PathBuf,
    /// Bytes of a segment, at most, and of a tail: each lane can have three segments and a tail.
    pub segment: usize,
    /// Bytes of all segments and tails of this process together, with the segments that it adopts.
    pub limit: u64,
    /// Bytes of the disk that journals leave free. `None` means 1 GiB, and 5 % of a disk smaller than 20 GiB.
    pub floor: Option<u64>,
    /// The time between two syncs: a power cut costs the clicks of that time. Zero syncs each click before its answer.
    pub sync_every: Duration,
    /// The time for which a shipped segment is retained, in case the store loses its last commits.
    pub keep_shipped: Duration,
    /// Clicks of one client network that become events in an hour; clicks beyond are only counted. 0 disables the limit.
    pub events_per_network: u32,
    /// `GEOIP_FILE`: a file with the countries of networks.
    pub geoip_file: Option<PathBuf>,
}
