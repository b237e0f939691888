//! Room on a full port: the shares of clients, and the connections that end when there are too many.
//!
//! The listener counts in and a connection that has ended counts out; a request touches nothing of this.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use foldhash::quality::RandomState;

use super::connections::{Phase, Registered, Shared};

/// Clients that fall on one slot share a share. The hash is seeded, so no client can aim at the slot of another.
const SLOTS: usize = 1 << 16;

/// Time after which an idle connection is one that its client may have forgotten. Such connections end first.
const SETTLED: Duration = Duration::from_secs(1);

/// The part of the connections that end beyond those that are too many, so that not every newcomer asks for room.
const MARGIN_DIVISOR: usize = 64;

/// Open connections by client.
pub(super) struct Shares {
    hasher: RandomState,
    open: Box<[AtomicU32]>,
}

impl Shares {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::default(), open: (0..SLOTS).map(|_| AtomicU32::new(0)).collect() }
    }

    pub(super) fn slot(&self, client: u64) -> usize {
        self.hasher.hash_one(client) as usize % SLOTS
    }

    pub(super) fn open(&self, slot: usize) -> usize {
        self.open[slot].load(Ordering::Relaxed) as usize
    }

    pub(super) fn enter(&self, slot: usize) {
        self.open[slot].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self, slot: usize) {
        self.open[slot].fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that may end for others. The greater its rank, the sooner: settled idle ones, then those that wait for
/// their client the longest, and at last one that has only been accepted.
struct Candidate {
    rank: (bool, u64, bool),
    connection: Arc<Registered>,
}

impl Shared {
    /// Tells the longest idle connections to end, and then the slowest, until no client and not the port has too many.
    /// Runs on the reaper's thread. Returns false if too many have not come to the registry yet, so that it has to be called
    /// again.
    pub(super) fn make_room(&self) -> bool {
        let (now_ms, settled_ms) = (self.now_ms(), SETTLED.as_millis() as u64);
        let mut candidates = Vec::with_capacity(self.limits.connections);
        // Told to end before, and still counted as open: all, and those of each client.
        let (mut ending, mut ending_of_clients) = (0, HashMap::<usize, usize>::new());
        self.for_each(|connection| {
            if connection.is_evicted() {
                ending += 1;
                connection.slot.inspect(|&slot| *ending_of_clients.entry(slot).or_default() += 1);
            } else {
                let waits_ms = now_ms.saturating_sub(connection.since_ms());
                let is_settled = connection.is(Phase::Idle) && waits_ms >= settled_ms;
                let rank = (is_settled, waits_ms, !connection.is(Phase::Fresh));
                candidates.push(Candidate { rank, connection: connection.clone() });
            }
        });
        candidates.sort_unstable_by_key(|candidate| Reverse(candidate.rank));
        let excess = |open: usize, ending: usize, limit: usize| match open.saturating_sub(ending + limit) {
            0 => 0,
            excess => excess + limit / MARGIN_DIVISOR,
        };
        let mut of_clients: HashMap<usize, usize> = HashMap::new();
        for slot in candidates.iter().filter_map(|candidate| candidate.connection.slot) {
            of_clients.entry(slot).or_insert_with(|| {
                let ending = ending_of_clients.get(&slot).copied().unwrap_or(0);
                excess(self.shares.open(slot), ending, self.limits.share)
            });
        }
        for Candidate { connection, .. } in &candidates {
            if let Some(left) = connection.slot.and_then(|slot| of_clients.get_mut(&slot))
                && *left > 0
            {
                *left -= 1;
                ending += 1;
                connection.evict();
            }
        }
        let too_many = excess(self.open() as usize, ending, self.limits.connections);
        let lasting = candidates.iter().filter(|candidate| !candidate.connection.is_evicted());
        let ended = lasting.take(too_many).inspect(|candidate| candidate.connection.evict()).count();
        ended == too_many && of_clients.values().all(|left| *left == 0)
    }
}
