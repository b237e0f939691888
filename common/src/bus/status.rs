//! The report of a redirector about itself, for people who look after a fleet.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The longest name of a host or a version, in bytes.
const MAX_NAME: usize = 64;

/// The state of a redirector, as it announces it every second. It is a report for people: nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    pub version: String,
    /// The name of the machine.
    pub host: String,
    /// The address of the redirect port.
    pub address: SocketAddr,
    /// The links in memory.
    pub links: u64,
    /// Milliseconds since the links last equalled the store; `None` before the first load.
    pub stale_ms: Option<u64>,
    /// Clicks that the store does not have yet.
    pub clicks_waiting: u64,
    /// The age of the oldest of them in milliseconds.
    pub oldest_click_ms: u64,
    /// Clicks that were lost since the start.
    pub clicks_dropped: u64,
    /// The part of the room for clicks that is left, in percent.
    pub room_percent: u8,
    /// Whether clicks are dropped now, because there is no room.
    pub has_no_room: bool,
}

impl ReplicaStatus {
    /// Returns the name of this machine, with `-` in place of other characters than those of a host name.
    pub fn host_name() -> String {
        let name = nix::unistd::gethostname().unwrap_or_default();
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        name.to_string_lossy().chars().map(plain).take(MAX_NAME).collect()
    }

    /// Parses the form of [`ReplicaStatus::text`].
    pub(super) fn read(text: &str) -> Option<ReplicaStatus> {
        let status: ReplicaStatus = serde_json::from_str(text).ok()?;
        let is_name = |name: &str| name.len() <= MAX_NAME && name.bytes().all(|b| b.is_ascii_graphic());
        (is_name(&status.version) && is_name(&status.host) && status.room_percent <= 100).then_some(status)
    }

    /// Returns the text form, which has no blanks.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data serialises")
    }
}
