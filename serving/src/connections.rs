//! The open connections of a port: which newcomer is admitted, and which connection ends for it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use crate::connection::{Order, Overdue, View, Watched};
use crate::limits::Limits;
use crate::stats::PortStats;

/// Time after which an idle connection is one that its client may have forgotten. Such connections end first.
const LONG_IDLE: Duration = Duration::from_secs(1);

/// The open connections of one port.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) limits: Limits,
    pub(crate) stats: PortStats,
    started: Instant,
    open: Mutex<Slab<Arc<Watched>>>,
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Connections that were told to end have not ended yet.
    Ending,
    /// The port is full, and this process works for every connection.
    Full,
    /// The same, for the share of the client.
    ShareFull,
}

/// The place of an admitted connection. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    key: usize,
    pub(crate) watched: Arc<Watched>,
}

impl Crowd {
    pub(crate) fn new(limits: Limits, stats: PortStats) -> Arc<Crowd> {
        Arc::new(Crowd { limits, stats, started: Instant::now(), open: Mutex::default() })
    }

    /// Admits a connection. If there is no room, another one ends for it.
    pub(crate) fn admit(self: &Arc<Crowd>, peer: IpAddr) -> Result<Place, Refusal> {
        let share = self.limits.shares.key(peer);
        let mut open = self.lock();
        let views = open.iter().map(|(key, watched)| (key, watched.view()));
        match room_for(share, views, &self.limits) {
            Room::Free => {}
            Room::AfterEnd(key, how) => {
                let counter = if how == Order::Finish { &self.stats.evicted_idle } else { &self.stats.evicted_slow };
                counter.inc();
                open[key].order(how);
            }
            Room::None(refusal) => return Err(refusal),
        }
        let watched = Arc::new(Watched::new(share, self.started));
        let key = open.insert(Arc::clone(&watched));
        self.stats.accepted.inc();
        self.stats.open.inc();
        Ok(Place { crowd: Arc::clone(self), key, watched })
    }

    /// Ends the connections whose client took too long.
    pub(crate) fn end_overdue(&self) {
        for (_, watched) in self.lock().iter() {
            let counter = match watched.overdue(&self.limits) {
                None => continue,
                Some(Overdue::Idle) => &self.stats.idle_timeout,
                Some(Overdue::Head) => &self.stats.header_timeout,
                Some(Overdue::Write) => &self.stats.write_timeout,
            };
            counter.inc();
            watched.order(Order::Cut);
        }
    }

    /// Has every connection end with the request that it is about to answer, or at once if there is none.
    pub(crate) fn finish_all(&self) {
        self.lock().iter().for_each(|(_, watched)| watched.order(Order::Finish));
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Arc<Watched>>> {
        // Nothing can panic half-way through a change of the slab.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.lock().try_remove(self.key);
        self.crowd.stats.open.dec();
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Room {
    Free,
    /// There is room once this connection has ended.
    AfterEnd(usize, Order),
    None(Refusal),
}

fn room_for(share: Option<u64>, open: impl Iterator<Item = (usize, View)>, limits: &Limits) -> Room {
    let (mut all, mut own) = (Group::default(), Group::default());
    for (key, view) in open {
        all.add(key, view);
        if share.is_some() && view.share == share {
            own.add(key, view);
        }
    }
    let after_end = |group: &Group, otherwise| match group.victim {
        Some((_, key, how)) => Room::AfterEnd(key, how),
        None => Room::None(otherwise),
    };
    if all.with_ending >= limits.hard_limit() {
        Room::None(Refusal::Ending)
    } else if own.lasting >= limits.shares.connections {
        after_end(&own, Refusal::ShareFull)
    } else if all.lasting >= limits.connections {
        after_end(&all, Refusal::Full)
    } else {
        Room::Free
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
            // To end an idle connection costs its client nothing, so a settled one goes before any other.
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

    fn room(share: u64, open: &[View], limits: &Limits) -> Room {
        room_for(Some(share), open.iter().copied().enumerate(), limits)
    }

    #[test]
    fn full_port_ends_the_longest_idle_connection_before_slower_ones() {
        let open = [WORKING, slow(2, 60_000), idle(3, 2_000), idle(4, 5_000)];
        assert_eq!(room(9, &open, &limits(5, 5)), Room::Free);
        assert_eq!(room(9, &open, &limits(4, 4)), Room::AfterEnd(3, Order::Finish));
    }

    #[test]
    fn full_port_ends_the_slowest_connection_before_one_that_has_just_been_used() {
        let open = [WORKING, slow(2, 5_000), slow(3, 60_000), idle(4, 10)];
        assert_eq!(room(9, &open, &limits(4, 4)), Room::AfterEnd(2, Order::Cut));
        assert_eq!(room(9, &[idle(1, 10), idle(2, 20)], &limits(2, 2)), Room::AfterEnd(1, Order::Finish));
    }

    #[test]
    fn full_port_of_working_connections_refuses_a_newcomer() {
        assert_eq!(room(9, &[WORKING, WORKING], &limits(2, 2)), Room::None(Refusal::Full));
    }

    #[test]
    fn full_share_ends_a_connection_of_its_own_client_only() {
        let open = [idle(1, 9_000), idle(2, 2_000), idle(2, 3_000)];
        assert_eq!(room(2, &open, &limits(10, 2)), Room::AfterEnd(2, Order::Finish));
        assert_eq!(room(1, &open, &limits(10, 2)), Room::Free);
        assert_eq!(room(1, &[WORKING, WORKING, idle(2, 9_000)], &limits(10, 2)), Room::None(Refusal::ShareFull));
    }

    #[test]
    fn peer_without_a_share_is_bounded_by_the_port_alone() {
        let open = [idle(1, 2_000), View { share: None, ..idle(1, 9_000) }, View { share: None, ..idle(1, 3_000) }];
        let room = |limits| room_for(None, open.iter().copied().enumerate(), &limits);
        assert_eq!(room(limits(10, 1)), Room::Free);
        assert_eq!(room(limits(3, 1)), Room::AfterEnd(1, Order::Finish));
    }

    #[test]
    fn ending_connections_count_against_the_hard_limit_alone() {
        let ending = View { is_ending: true, ..idle(1, 9_000) };
        assert_eq!(room(1, &[ending, idle(1, 2_000)], &limits(2, 2)), Room::Free);
        let crowd = vec![ending; limits(2, 2).hard_limit()];
        assert_eq!(room(1, &crowd, &limits(2, 2)), Room::None(Refusal::Ending));
    }
}
