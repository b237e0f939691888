//! Counters of the port, for the operations port to export. Whatever is dropped is counted, by reason.

use std::sync::atomic::{AtomicU64, Ordering};

use ::http::StatusCode;

use super::refusal::REFUSALS;

/// All but `open` only grow. Written with relaxed stores by the workers, the listener and the reaper; none of them is
/// touched by a request that is answered by the service, so that workers do not share a cache line for it.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections accepted, those over the limit not among them.
    pub accepted: AtomicU64,
    /// Connections that are open.
    pub open: AtomicU64,
    /// Connections over the limit that came faster than others could end for them: answered 503 and closed.
    pub over_limit: AtomicU64,
    /// The same, over the share of their client.
    pub over_share: AtomicU64,
    /// Idle connections that ended to make room.
    pub evicted_idle: AtomicU64,
    /// Connections with a slow client that ended to make room.
    pub evicted_slow: AtomicU64,
    /// Errors of accept(2) and of starting a connection.
    pub accept_errors: AtomicU64,
    /// Connections cut because a head did not come, or not to its end.
    pub header_timeouts: AtomicU64,
    /// Connections closed because no further request came.
    pub idle_timeouts: AtomicU64,
    /// Connections cut because the client did not read.
    pub write_timeouts: AtomicU64,
    /// Connections that broke: a reset, or an end within a head.
    pub aborted: AtomicU64,
    /// Connections that ended in a panic.
    pub panicked: AtomicU64,
    /// Connections cut at the deadline of a drain.
    pub cut: AtomicU64,
    /// Requests that the loop refused, in the order of [`REFUSALS`].
    refused: [AtomicU64; REFUSALS.len()],
}

impl Stats {
    /// Returns how many requests the loop refused with a status of [`REFUSALS`].
    pub fn refused(&self, status: StatusCode) -> u64 {
        self.counter(status).load(Ordering::Relaxed)
    }

    pub(super) fn count_refused(&self, status: StatusCode) {
        count(self.counter(status));
    }

    fn counter(&self, status: StatusCode) -> &AtomicU64 {
        let index = REFUSALS.iter().position(|known| *known == status);
        debug_assert!(index.is_some(), "{status} is missing from REFUSALS");
        &self.refused[index.unwrap_or_default()]
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
