//! The limits of the port and the set-up of the runtime: plain data, each default beside its reason.

use std::os::fd::RawFd;
use std::time::Duration;

/// Connections the kernel completes ahead of us; `net.core.somaxconn` caps it.
pub(super) const BACKLOG: i32 = 1024;

/// Connections over the smallest limit.
const LEAST_SLACK: usize = 128;

/// What one connection, and all together, may take. Times are kept to the next tick, never short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once. Beyond it the longest idle ones end; a newcomer that is faster than that is answered 503.
    pub connections: usize,
    /// Open connections of one client, as [`Service::share_of`](super::Service::share_of) tells clients apart.
    pub share: usize,
    /// Bytes of a request head, empty lines before it included.
    pub head_bytes: usize,
    /// Bytes of answers that wait for a pipelining client before it is made to read.
    pub pending_reply_bytes: usize,
    /// From the first byte of a head (or the start of the connection) to its end.
    pub header_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// Without progress of a write.
    pub write_timeout: Duration,
    /// For the client to take the last answer and close.
    pub linger_timeout: Duration,
    /// Bytes thrown away meanwhile.
    pub linger_bytes: usize,
    /// At a drain, for the next request of a connection, if it has none under way.
    pub drain_grace: Duration,
    /// Between two looks of the reaper.
    pub tick: Duration,
}

impl Limits {
    /// Connections over a limit that are open for as long as it takes others to end: a burst of newcomers comes faster than
    /// the reaper wakes.
    pub(super) fn slack(limit: usize) -> usize {
        (limit / 32).max(LEAST_SLACK)
    }

    /// Bounds the connections by the descriptors that the process may spend on them. A client's share is half of them.
    #[must_use]
    pub fn within_descriptors(self, descriptors: usize) -> Self {
        let fitting = (descriptors.saturating_sub(LEAST_SLACK) / 33 * 32).max(1);
        let connections = self.connections.min(fitting);
        Self { connections, share: connections.div_ceil(2), ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Two memory mappings for each stack: far below `vm.max_map_count` (65,530 by default).
            connections: 10_000,
            share: 5_000,
            // The cookies of every site of the domain. nginx passes on less by default: 4 buffers of 8 KiB.
            head_bytes: 16 * 1024,
            // The memory that a client can occupy which pipelines requests and never reads.
            pending_reply_bytes: 64 * 1024,
            // A head comes in one packet. In 10 s a phone can lose a few, and a slow attack stays cheap to bear.
            header_timeout: Duration::from_secs(10),
            // Longer than nginx keeps an idle upstream connection (60 s), so that nginx closes first and no request meets a
            // closing connection.
            idle_timeout: Duration::from_secs(75),
            // A client that takes no byte for this long has gone or is hostile.
            write_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
            linger_bytes: 64 * 1024,
            drain_grace: Duration::from_millis(500),
            // With 10,000 connections, a tick costs the reaper well under a millisecond.
            tick: Duration::from_millis(100),
        }
    }
}

/// Words of stack for each connection: 32 KiB, of which the kernel backs the pages that are used.
///
/// Measured with an odd size, unoptimised: 6.5 KiB at most over all vectors, of which the header fields are 1.3 KiB;
/// 10.2 KiB when the service panics, 24.8 KiB when the panic also prints a backtrace. Four times the first, and the
/// last still fits. Even, or may would touch every page of every stack and print its use.
pub const STACK_WORDS: usize = 0x1000;

/// Sets up may for the whole process. Call it before the first server is bound: later calls change nothing.
pub fn configure_runtime(workers: usize) {
    may::config().set_workers(workers).set_stack_size(STACK_WORDS);
    // Pinned to the first cores, the workers would queue behind whatever else was told so.
    may::config().set_worker_pin(false);
}

/// How many workers there are.
pub(super) fn workers() -> usize {
    may::config().get_workers().max(1)
}

/// The worker on which may keeps a socket, and so its connection.
pub(super) fn worker_of(fd: RawFd) -> usize {
    fd.unsigned_abs() as usize % workers()
}
