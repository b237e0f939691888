//! Counters of the redirect port, which the operations port exports.

use std::sync::atomic::{AtomicU64, Ordering};

use ::http::StatusCode;

use super::refusal::REFUSALS;

/// Counters of connections and of refused requests. All but `open` only grow.
///
/// Workers, listener and reaper write them. A request that the service answers writes none, so workers share no cache
/// line for it.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections accepted, without those over a limit.
    pub accepted: AtomicU64,
    /// Connections that are open.
    pub open: AtomicU64,
    /// Connections over the limit of the port, answered 503 because no other had ended for them in time.
    pub over_limit: AtomicU64,
    /// Connections over the share of their client, answered 503 because no other had ended for them in time.
    pub over_share: AtomicU64,
    /// Idle connections that ended to make room.
    pub evicted_idle: AtomicU64,
    /// Connections with a slow client that ended to make room.
    pub evicted_slow: AtomicU64,
    /// Errors of accept(2) and of starting a connection.
    pub accept_errors: AtomicU64,
    /// Connections cut because a head was not complete in time.
    pub header_timeouts: AtomicU64,
    /// Connections closed because no further request arrived.
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
