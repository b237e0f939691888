//! The reaper: the thread that wakes overdue connections, and evicts connections from a full port.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Wake;
use std::time::Duration;

use may::coroutine::Builder;

use super::connections::{ConnectionState, Phase, PortState};
use super::limits::{worker_of, workers};

/// Pause before the reaper looks again for connections that were accepted but not yet registered.
const ROOM_RETRY: Duration = Duration::from_millis(2);

/// Time after which an idle connection is ended before any other one.
const LONG_IDLE: Duration = Duration::from_secs(1);

/// Fraction of a limit that ends in addition to the excess, so that not every newcomer wakes the reaper.
const MARGIN_DIVISOR: usize = 64;

/// A connection that may end for others, the highest rank first.
///
/// Long idle connections rank highest, then those that have waited longest for their client, then fresh ones.
struct Candidate {
    rank: (bool, u64, bool),
    connection: Arc<ConnectionState>,
}

/// Runs the reaper until the port is stopped. It scans every tick, and at once when its thread is unparked.
pub(super) fn reap(port: &PortState) {
    let mut overdue: Vec<Vec<Arc<ConnectionState>>> = vec![Vec::new(); workers()];
    let mut log = AcceptErrorLog::default();
    port.reaper.get_or_init(std::thread::current);
    while !port.stopped.load(Ordering::Acquire) {
        let is_crowded = port.crowded.load(Ordering::Acquire);
        std::thread::park_timeout(if is_crowded { ROOM_RETRY.min(port.limits.tick) } else { port.limits.tick });
        port.now_ms.store(port.started.elapsed().as_millis() as u64, Ordering::Relaxed);
        if port.crowded.swap(false, Ordering::AcqRel) && !make_room(port) {
            port.crowded.store(true, Ordering::Release);
        }
        collect_overdue(port, &mut overdue);
        for (worker, connections) in overdue.iter_mut().enumerate().filter(|(_, some)| !some.is_empty()) {
            wake_on(worker, std::mem::take(connections));
        }
        log.look(port);
    }
}

fn collect_overdue(port: &PortState, overdue: &mut [Vec<Arc<ConnectionState>>]) {
    let (now_ms, draining, cutting) = (port.now_ms(), port.draining(), port.cutting());
    let due = |connection: &ConnectionState| {
        cutting
            || connection.is_evicted()
            || connection.deadline_ms() <= now_ms
            || (draining && (connection.is(Phase::Idle) || connection.is(Phase::Fresh)))
    };
    port.for_each(|connection| {
        if due(connection) {
            overdue[worker_of(connection.fd)].push(connection.clone());
        }
    });
}

/// Evicts the longest idle connections, and then the slowest, until neither a client nor the port has too many.
///
/// Returns `false` if too many connections are not in the registry yet, so that it has to be called again.
fn make_room(port: &PortState) -> bool {
    let (now_ms, long_idle_ms) = (port.now_ms(), LONG_IDLE.as_millis() as u64);
    let mut candidates = Vec::with_capacity(port.limits.connections);
    // Connections that were evicted before and have not ended: all, and those of each client.
    let (mut ending, mut ending_of_clients) = (0, HashMap::<usize, usize>::new());
    port.for_each(|connection| {
        if connection.is_evicted() {
            ending += 1;
            connection.slot.inspect(|&slot| *ending_of_clients.entry(slot).or_default() += 1);
        } else {
            let waits_ms = now_ms.saturating_sub(connection.since_ms());
            let is_long_idle = connection.is(Phase::Idle) && waits_ms >= long_idle_ms;
            let rank = (is_long_idle, waits_ms, !connection.is(Phase::Fresh));
            candidates.push(Candidate { rank, connection: connection.clone() });
        }
    });
    candidates.sort_unstable_by_key(|candidate| Reverse(candidate.rank));
    let excess = |open: usize, ending: usize, limit: usize| match open.saturating_sub(ending + limit) {
        0 => 0,
        excess => excess + limit / MARGIN_DIVISOR,
    };
    let mut excess_of_clients: HashMap<usize, usize> = HashMap::new();
    for slot in candidates.iter().filter_map(|candidate| candidate.connection.slot) {
        excess_of_clients.entry(slot).or_insert_with(|| {
            let ending = ending_of_clients.get(&slot).copied().unwrap_or(0);
            excess(port.shares.open(slot), ending, port.limits.share)
        });
    }
    for Candidate { connection, .. } in &candidates {
        if let Some(left) = connection.slot.and_then(|slot| excess_of_clients.get_mut(&slot))
            && *left > 0
        {
            *left -= 1;
            ending += 1;
            connection.evict();
        }
    }
    let too_many = excess(port.open() as usize, ending, port.limits.connections);
    let lasting = candidates.iter().filter(|candidate| !candidate.connection.is_evicted());
    let ended = lasting.take(too_many).inspect(|candidate| candidate.connection.evict()).count();
    ended == too_many && excess_of_clients.values().all(|left| *left == 0)
}

/// Wakes connections from a coroutine on the worker whose epoll holds their sockets.
///
/// Woken from another thread, a connection would run on another worker. It could end there and be freed while the first
/// worker is still inside its `wait_io`. On its own worker, the two cannot overlap.
fn wake_on(worker: usize, connections: Vec<Arc<ConnectionState>>) {
    let wake = move || connections.iter().for_each(|connection| connection.waker.wakeup());
    // Without memory for a stack, the connections stay overdue, and the next tick tries again.
    drop(may::go!(Builder::new().id(worker), wake));
}

/// Wakes the connection for the signal of its postponed answer. Any thread may do so.
impl Wake for ConnectionState {
    fn wake(self: Arc<Self>) {
        wake_on(worker_of(self.fd), vec![self]);
    }
}

/// Logs errors of accept at most once a second, from the reaper's thread.
#[derive(Default)]
struct AcceptErrorLog {
    logged_errors: u64,
    quiet_until_ms: u64,
}

impl AcceptErrorLog {
    fn look(&mut self, port: &PortState) {
        let (errors, now_ms) = (port.stats.accept_errors.load(Ordering::Relaxed), port.now_ms());
        if errors == self.logged_errors || now_ms < self.quiet_until_ms {
            return;
        }
        let error = std::io::Error::from_raw_os_error(port.last_accept_error.load(Ordering::Relaxed));
        tracing::warn!(errors = errors - self.logged_errors, last = %error, "connections could not be accepted; accepting continues after a pause");
        self.logged_errors = errors;
        self.quiet_until_ms = now_ms + 1000;
    }
}
