//! The limits of the redirect port and the set-up of the runtime, with the reason for each default.

use std::os::fd::RawFd;
use std::time::Duration;

/// Connections that the kernel queues before they are accepted. `net.core.somaxconn` bounds it.
pub(super) const BACKLOG: i32 = 1024;

/// Smallest number of connections that may be open beyond a limit.
const LEAST_SLACK: usize = 128;

/// Limits of one connection and of all together. A timeout is never early, and late by a tick at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once. Beyond it, the longest idle ones end; a faster newcomer is answered 503.
    pub connections: usize,
    /// Open connections of one client, which [`Service::share_of`](super::Service::share_of) identifies.
    pub share: usize,
    /// Bytes of a request head, including empty lines before it.
    pub head_bytes: usize,
    /// Bytes of answers that a pipelining client has to read before more are made.
    pub pending_reply_bytes: usize,
    /// Time from the first byte of a head, or from the start of the connection, to the end of the head.
    pub header_timeout: Duration,
    /// Time between requests.
    pub idle_timeout: Duration,
    /// Time without progress of a write.
    pub write_timeout: Duration,
    /// Time for the client to read the last answer and close.
    pub linger_timeout: Duration,
    /// Bytes that are discarded meanwhile.
    pub linger_bytes: usize,
    /// Time that an idle connection waits for a last request during a drain.
    pub drain_grace: Duration,
    /// Interval between two scans of the reaper.
    pub tick: Duration,
}

impl Limits {
    /// Returns how many connections may be open beyond a limit while others end for them.
    ///
    /// A burst of newcomers is faster than the reaper.
    pub(super) fn slack(limit: usize) -> usize {
        (limit / 32).max(LEAST_SLACK)
    }

    /// Bounds the connections by the descriptors that the process may use for them. A client's share is half of them.
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
            // Longer than nginx keeps an idle upstream connection (60 s), so that nginx closes first and no request
            // meets a closing connection.
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

/// Words of stack for each connection: 32 KiB, of which the kernel backs only the used pages.
///
/// Measured without optimisation: 6.5 KiB at most over all vectors, 1.3 KiB of it for header fields; 10.2 KiB when the
/// service panics, and 24.8 KiB when the panic prints a backtrace. An odd number would make may touch every page and
/// print the use of each stack.
pub const STACK_WORDS: usize = 0x1000;

/// Configures may for the whole process. Call it before the first server is bound: later calls have no effect.
pub fn configure_runtime(workers: usize) {
    may::config().set_workers(workers).set_stack_size(STACK_WORDS);
    // Pinned workers would share the first cores with other pinned threads.
    may::config().set_worker_pin(false);
}

/// Returns the number of workers.
pub(super) fn workers() -> usize {
    may::config().get_workers().max(1)
}

/// Returns the worker to which may assigns a socket, and with it the connection.
pub(super) fn worker_of(fd: RawFd) -> usize {
    fd.unsigned_abs() as usize % workers()
}
