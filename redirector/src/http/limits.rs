//! The limits of the port and the set-up of the runtime: plain data, each default beside its reason.

use std::os::fd::RawFd;
use std::time::Duration;

/// Connections the kernel completes ahead of us; `net.core.somaxconn` caps it.
pub(super) const BACKLOG: i32 = 1024;

/// Two memory mappings a stack: 10,000 connections stay well under `vm.max_map_count` (65,530 by default).
const CONNECTIONS: usize = 10_000;

/// Cookies of every site on the domain, with room to spare; what nginx passes on by default is smaller (4 x 8 KiB
/// buffers, of which no field may exceed one).
const HEAD_BYTES: usize = 16 * 1024;

/// A client that pipelines and never reads may hold this much of our memory, and one answer.
const PENDING_REPLY_BYTES: usize = 64 * 1024;

/// A head comes in one packet. 10 s lets a phone lose a few and takes the fun out of sending a byte a second.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than nginx keeps an upstream connection idle (60 s), so that it is nginx who closes and no request meets a
/// closing connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// Without a byte taken for this long, the reader is gone or hostile.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long and how much is read and thrown away after the last answer, so that the client reads it before a reset.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024;

/// At a drain, a connection between requests may have one on its way: wait this long for it, and answer it as the last.
const DRAIN_GRACE: Duration = Duration::from_millis(500);

/// Connections over the smallest limit.
const LEAST_SLACK: usize = 128;

/// Deadlines are met this late at most. 10,000 connections cost the reaper well under a millisecond a tick.
const TICK: Duration = Duration::from_millis(100);

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
            connections: CONNECTIONS,
            share: CONNECTIONS / 2,
            head_bytes: HEAD_BYTES,
            pending_reply_bytes: PENDING_REPLY_BYTES,
            header_timeout: HEADER_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            linger_timeout: LINGER_TIMEOUT,
            linger_bytes: LINGER_BYTES,
            drain_grace: DRAIN_GRACE,
            tick: TICK,
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
