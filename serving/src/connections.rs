//! The open connections of a port: admits newcomers, and chooses connections that end for them.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use crate::connection::{ConnectionState, Order, Overdue, View};
use crate::limits::Limits;
use crate::stats::PortStats;

/// Time after which an idle connection is ended before any other one.
const LONG_IDLE: Duration = Duration::from_secs(1);

/// The open connections of one port.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) limits: Limits,
    pub(crate) stats: PortStats,
    started: Instant,
    open: Mutex<Slab<Arc<ConnectionState>>>,
}

/// A reason why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too many connections with the order to end are still open.
    Ending,
    /// The port is full, and every connection is in use.
    Full,
    /// The share of the client is full, and every connection of it is in use.
    ShareFull,
}

/// The entry of an admitted connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    connections: Arc<Connections>,
    key: usize,
    pub(crate) state: Arc<ConnectionState>,
}

impl Connections {
    pub(crate) fn new(limits: Limits, stats: PortStats) -> Arc<Connections> {
        Arc::new(Connections { limits, stats, started: Instant::now(), open: Mutex::default() })
    }

    /// Admits a connection. On a full port, another one ends for it.
    pub(crate) fn admit(self: &Arc<Connections>, peer: IpAddr) -> Result<Entry, Refusal> {
        let share = self.limits.shares.key(peer);
        let mut open = self.lock();
        let views = open.iter().map(|(key, state)| (key, state.view()));
        match decide(share, views, &self.limits) {
            Admission::Admit => {}
            Admission::AdmitFor(key, how) => {
                let counter = if how == Order::Finish { &self.stats.evicted_idle } else { &self.stats.evicted_slow };
                counter.inc();
                open[key].order(how);
            }
            Admission::Refuse(refusal) => return Err(refusal),
        }
        let state = Arc::new(ConnectionState::new(share, self.started));
        let key = open.insert(Arc::clone(&state));
        self.stats.accepted.inc();
        self.stats.open.inc();
        Ok(Entry { connections: Arc::clone(self), key, state })
    }

    /// Ends the connections whose client exceeded a limit of time.
    pub(crate) fn end_overdue(&self) {
        for (_, state) in self.lock().iter() {
            let counter = match state.overdue(&self.limits) {
                None => continue,
                Some(Overdue::Idle) => &self.stats.idle_timeout,
                Some(Overdue::Head) => &self.stats.header_timeout,
                Some(Overdue::Write) => &self.stats.write_timeout,
            };
            counter.inc();
            state.order(Order::Cut);
        }
    }

    /// Orders every connection to end after the request under way, or at once if there is none.
    pub(crate) fn finish_all(&self) {
        self.lock().iter().for_each(|(_, state)| state.order(Order::Finish));
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Arc<ConnectionState>>> {
        // No code can panic in the middle of a change of the slab.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.lock().try_remove(self.key);
        self.connections.stats.open.dec();
    }
}

/// The decision about a newcomer.
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    Admit,
    /// Admit it, and give this order to the connection with this key.
    AdmitFor(usize, Order),
    Refuse(Refusal),
}

fn decide(share: Option<u64>, open: impl Iterator<Item = (usize, View)>, limits: &Limits) -> Admission {
    let (mut all, mut own) = (Group::default(), Group::default());
    for (key, view) in open {
        all.add(key, view);
        if share.is_some() && view.share == share {
            own.add(key, view);
        }
    }
    let end_one_of = |group: &Group, otherwise| match group.victim {
        Some((_, key, how)) => Admission::AdmitFor(key, how),
        None => Admission::Refuse(otherwise),
    };
    if all.with_ending >= limits.hard_limit() {
        Admission::Refuse(Refusal::Ending)
    } else if own.lasting >= limits.shares.connections {
        end_one_of(&own, Refusal::ShareFull)
    } else if all.lasting >= limits.connections {
        end_one_of(&all, Refusal::Full)
    } else {
        Admission::Admit
    }
}

/// Connections that share a limit, and the one of them that ends for a newcomer.
#[derive(Default)]
struct Group {
    with_ending: usize,
    lasting: usize,
    victim: Option<((bool, Duration), usize, Order)>,
}

impl Group {
    fn add(&mut self, key: usize, view: View) {
        self.with_ending += 1;
        if view.is_ending {
            return;
        }
        self.lasting += 1;
        if let Some(waits) = view.waits {
            // The end of a long idle connection costs its client nothing, so it ends before any other.
            let rank = (view.is_idle && waits >= LONG_IDLE, waits);
            if self.victim.is_none_or(|(highest, ..)| rank > highest) {
                self.victim = Some((rank, key, if view.is_idle { Order::Finish } else { Order::Cut }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tern_common::client::Proxies;

    use super::*;

    fn limits(connections: usize, share: usize) -> Limits {
        let mut limits = Limits::api(&Proxies::default(), usize::MAX);
        (limits.connections, limits.shares.connections) = (connections, share);
        limits
    }

    const WORKING: View = View { share: Some(1), is_ending: false, is_idle: false, waits: None };

    fn idle(share: u64, millis: u64) -> View {
        View { share: Some(share), is_idle: true, waits: Some(Duration::from_millis(millis)), ..WORKING }
    }

    fn slow(share: u64, millis: u64) -> View {
        View { is_idle: false, ..idle(share, millis) }
    }

    fn decide_for(share: u64, open: &[View], limits: &Limits) -> Admission {
        decide(Some(share), open.iter().copied().enumerate(), limits)
    }

    #[test]
    fn full_port_ends_the_longest_idle_connection_before_slower_ones() {
        let open = [WORKING, slow(2, 60_000), idle(3, 2_000), idle(4, 5_000)];
        assert_eq!(decide_for(9, &open, &limits(5, 5)), Admission::Admit);
        assert_eq!(decide_for(9, &open, &limits(4, 4)), Admission::AdmitFor(3, Order::Finish));
    }

    #[test]
    fn full_port_ends_the_slowest_connection_before_a_recently_used_one() {
        let open = [WORKING, slow(2, 5_000), slow(3, 60_000), idle(4, 10)];
        assert_eq!(decide_for(9, &open, &limits(4, 4)), Admission::AdmitFor(2, Order::Cut));
        assert_eq!(decide_for(9, &[idle(1, 10), idle(2, 20)], &limits(2, 2)), Admission::AdmitFor(1, Order::Finish));
    }

    #[test]
    fn full_port_of_working_connections_refuses_a_newcomer() {
        assert_eq!(decide_for(9, &[WORKING, WORKING], &limits(2, 2)), Admission::Refuse(Refusal::Full));
    }

    #[test]
    fn full_share_ends_a_connection_of_its_own_client_only() {
        let open = [idle(1, 9_000), idle(2, 2_000), idle(2, 3_000)];
        assert_eq!(decide_for(2, &open, &limits(10, 2)), Admission::AdmitFor(2, Order::Finish));
        assert_eq!(decide_for(1, &open, &limits(10, 2)), Admission::Admit);
        assert_eq!(
            decide_for(1, &[WORKING, WORKING, idle(2, 9_000)], &limits(10, 2)),
            Admission::Refuse(Refusal::ShareFull)
        );
    }

    #[test]
    fn peer_without_a_share_is_bounded_by_the_port_alone() {
        let open = [idle(1, 2_000), View { share: None, ..idle(1, 9_000) }, View { share: None, ..idle(1, 3_000) }];
        let decide_for = |limits| decide(None, open.iter().copied().enumerate(), &limits);
        assert_eq!(decide_for(limits(10, 1)), Admission::Admit);
        assert_eq!(decide_for(limits(3, 1)), Admission::AdmitFor(1, Order::Finish));
    }

    #[test]
    fn ending_connections_count_against_the_hard_limit_alone() {
        let ending = View { is_ending: true, ..idle(1, 9_000) };
        assert_eq!(decide_for(1, &[ending, idle(1, 2_000)], &limits(2, 2)), Admission::Admit);
        let connections = vec![ending; limits(2, 2).hard_limit()];
        assert_eq!(decide_for(1, &connections, &limits(2, 2)), Admission::Refuse(Refusal::Ending));
    }
}
