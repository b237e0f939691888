//! The decisions of a replica as a pure state machine: events in, actions out, the time as an argument.
//!
//! It knows no store and no bus, so that tests can lose, repeat, delay and reorder messages by a seed.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tern_common::backoff::Backoff;

/// Longest time between two deltas without a hint: the delay that any loss on the bus causes.
const POLL: Duration = Duration::from_millis(500);

/// Pause after a delta that a hint asked for and that brought nothing. A flood of forged hints costs 50 deltas a
/// second.
const FRUITLESS_PAUSE: Duration = Duration::from_millis(20);

/// First and longest pause between tries against an unavailable store or bus.
const RETRY: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// An event that the replica reports to its state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The bus delivered a hint, or reported lost messages.
    Hint,
    Subscribed,
    /// The subscription broke, or could not be made.
    Unsubscribed,
    /// The snapshot is in the map.
    SnapshotApplied,
    /// A delta is in the map.
    DeltaApplied {
        changes: usize,
        more: bool,
    },
    /// The change log of the store does not reach back to the cursor of the replica.
    CursorTooOld,
    /// The store did not answer a snapshot or a delta.
    StoreFailed,
}

/// An action that the replica has to start. Snapshots and deltas are never taken at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Subscribe,
    TakeSnapshot,
    TakeDelta,
}

/// Links that a replica has when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Empty,
    /// Links of a snapshot file, and the cursor at which the deltas continue.
    Restored,
    /// Links of a snapshot file whose writer did not know all fields. A delta does not complete unchanged links, so a
    /// snapshot follows once the deltas have caught up.
    RestoredInPart,
}

/// Decides what a replica does next.
#[derive(Debug)]
pub struct StateMachine {
    jitter: SmallRng,
    subscription: Subscription,
    work: Work,
    needs_snapshot: bool,
    /// Whether a snapshot is needed as soon as the deltas have caught up.
    lacks_fields: bool,
    /// Whether a hint has arrived since the last delta began.
    hinted: bool,
    /// Time of the next delta without a hint.
    poll_at: Instant,
    /// Earliest time of the next delta after a hint.
    hints_from: Instant,
    /// Earliest time of the next request to the store.
    store_from: Instant,
    store_backoff: Backoff,
    bus_backoff: Backoff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subscription {
    Wanted { from: Instant },
    Pending,
    Active,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Idle,
    Snapshot,
    Delta { by_hint: bool },
}

impl StateMachine {
    /// Creates the machine of a replica that starts now. `seed` determines the jitter.
    pub fn new(start: Start, seed: u64, now: Instant) -> StateMachine {
        let backoff = |salt| Backoff::with_seed(RETRY[0], RETRY[1], seed ^ salt);
        StateMachine {
            jitter: SmallRng::seed_from_u64(seed),
            subscription: Subscription::Wanted { from: now },
            work: Work::Idle,
            needs_snapshot: start == Start::Empty,
            lacks_fields: start == Start::RestoredInPart,
            hinted: false,
            poll_at: now,
            hints_from: now,
            store_from: now,
            store_backoff: backoff(1),
            bus_backoff: backoff(2),
        }
    }

    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Hint => self.hinted = true,
            Event::Subscribed => {
                self.subscription = Subscription::Active;
                self.bus_backoff.reset();
                // Messages from before the subscription are lost.
                self.hinted = true;
            }
            Event::Unsubscribed => {
                let wait = self.bus_backoff.pause();
                self.subscription = Subscription::Wanted { from: now + wait };
            }
            Event::SnapshotApplied => {
                (self.needs_snapshot, self.lacks_fields) = (false, false);
                self.store_answered();
                // Links may have changed during the snapshot.
                self.hinted = true;
            }
            Event::DeltaApplied { changes, more } => {
                let by_hint = self.work == Work::Delta { by_hint: true };
                self.store_answered();
                self.hinted |= more;
                self.needs_snapshot |= self.lacks_fields && !more;
                self.hints_from = if by_hint && changes == 0 { now + FRUITLESS_PAUSE } else { now };
                self.poll_at = now + self.jittered(POLL);
            }
            Event::CursorTooOld => {
                self.needs_snapshot = true;
                self.store_answered();
            }
            Event::StoreFailed => {
                // The failed request may have been the response to a hint.
                self.hinted = true;
                self.work = Work::Idle;
                self.store_from = now + self.store_backoff.pause();
            }
        }
    }

    /// Returns the action that is due, if there is one. It counts as started.
    pub fn next_action(&mut self, now: Instant) -> Option<Action> {
        if let Subscription::Wanted { from } = self.subscription
            && from <= now
        {
            self.subscription = Subscription::Pending;
            return Some(Action::Subscribe);
        }
        if self.work != Work::Idle || self.store_from > now {
            return None;
        }
        if self.needs_snapshot {
            self.work = Work::Snapshot;
            return Some(Action::TakeSnapshot);
        }
        let by_hint = self.hinted && self.hints_from <= now;
        if by_hint || self.poll_at <= now {
            // The delta may miss a change whose hint comes from now on.
            self.hinted = false;
            self.work = Work::Delta { by_hint };
            return Some(Action::TakeDelta);
        }
        None
    }

    /// Returns the time at which [`StateMachine::next_action`] may have an action without any event.
    pub fn wake_at(&self) -> Option<Instant> {
        let bus = match self.subscription {
            Subscription::Wanted { from } => Some(from),
            Subscription::Pending | Subscription::Active => None,
        };
        let store = (self.work == Work::Idle).then(|| {
            let due = if self.needs_snapshot {
                self.store_from
            } else if self.hinted {
                self.poll_at.min(self.hints_from)
            } else {
                self.poll_at
            };
            due.max(self.store_from)
        });
        bus.into_iter().chain(store).min()
    }

    fn store_answered(&mut self) {
        self.work = Work::Idle;
        self.store_backoff.reset();
    }

    /// Returns `time` with up to a fifth of jitter, so that replicas do not poll at the same time.
    fn jittered(&mut self, time: Duration) -> Duration {
        time.mul_f64(self.jitter.random_range(0.8..1.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Returns a machine that has loaded all links and has no work.
    fn quiet(now: Instant) -> StateMachine {
        let mut machine = StateMachine::new(Start::Empty, 1, now);
        assert_eq!(machine.next_action(now), Some(Action::Subscribe));
        assert_eq!(machine.next_action(now), Some(Action::TakeSnapshot));
        machine.handle(Event::Subscribed, now);
        machine.handle(Event::SnapshotApplied, now);
        assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
        machine.handle(Event::DeltaApplied { changes: 1, more: false }, now);
        assert_eq!(machine.next_action(now), None);
        machine
    }

    #[test]
    fn hint_leads_to_a_delta_and_hints_meanwhile_to_one_more() {
        let now = Instant::now();
        let mut machine = quiet(now);
        machine.handle(Event::Hint, now);
        assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
        machine.handle(Event::Hint, now);
        machine.handle(Event::Hint, now);
        assert_eq!(machine.next_action(now), None, "one delta at a time");
        machine.handle(Event::DeltaApplied { changes: 1, more: false }, now);
        assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
        machine.handle(Event::DeltaApplied { changes: 1, more: false }, now);
        assert_eq!(machine.next_action(now), None);
    }

    #[test]
    fn forged_hints_cost_fifty_deltas_a_second_and_true_ones_are_not_delayed() {
        let mut now = Instant::now();
        let mut machine = quiet(now);
        let deltas_in_a_second = |machine: &mut StateMachine, now: &mut Instant, changes: usize| {
            let end = *now + Duration::from_secs(1);
            let mut deltas = 0;
            while *now < end {
                machine.handle(Event::Hint, *now);
                if machine.next_action(*now) == Some(Action::TakeDelta) {
                    deltas += 1;
                    machine.handle(Event::DeltaApplied { changes, more: false }, *now);
                }
                *now += MS / 10;
            }
            deltas
        };
        let forged = deltas_in_a_second(&mut machine, &mut now, 0);
        assert!((45..=53).contains(&forged), "{forged}");
        let fruitful = deltas_in_a_second(&mut machine, &mut now, 1);
        assert!(fruitful > 5_000, "{fruitful}");
    }

    #[test]
    fn replica_without_hints_takes_a_delta_at_every_poll() {
        let mut now = Instant::now();
        let mut machine = quiet(now);
        for _ in 0..100 {
            let due = machine.wake_at().unwrap();
            assert!(due - now <= 600 * MS && due - now >= 400 * MS);
            assert_eq!(machine.next_action(due - MS), None);
            now = due;
            assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
            machine.handle(Event::DeltaApplied { changes: 0, more: false }, now);
        }
    }

    #[test]
    fn partial_delta_is_followed_by_the_next_at_once() {
        let now = Instant::now();
        let mut machine = quiet(now);
        machine.handle(Event::Hint, now);
        for _ in 0..5 {
            assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
            machine.handle(Event::DeltaApplied { changes: 10_000, more: true }, now);
        }
        assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
    }

    #[test]
    fn new_subscription_is_followed_by_a_delta() {
        let now = Instant::now();
        let mut machine = quiet(now);
        machine.handle(Event::Unsubscribed, now);
        assert_eq!(machine.next_action(now), None);
        let now = machine.wake_at().unwrap();
        assert_eq!(machine.next_action(now), Some(Action::Subscribe));
        machine.handle(Event::Subscribed, now);
        assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
    }

    #[test]
    fn cursor_that_is_too_old_leads_to_a_snapshot_and_a_delta() {
        let now = Instant::now();
        let mut machine = quiet(now);
        machine.handle(Event::Hint, now);
        assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
        machine.handle(Event::CursorTooOld, now);
        assert_eq!(machine.next_action(now), Some(Action::TakeSnapshot));
        machine.handle(Event::SnapshotApplied, now);
        assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
    }

    #[test]
    fn replica_with_restored_links_begins_with_a_delta() {
        let now = Instant::now();
        let mut machine = StateMachine::new(Start::Restored, 1, now);
        assert_eq!(machine.next_action(now), Some(Action::Subscribe));
        assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
        machine.handle(Event::CursorTooOld, now);
        assert_eq!(machine.next_action(now), Some(Action::TakeSnapshot));
    }

    #[test]
    fn restored_links_without_all_fields_are_loaded_once_deltas_have_caught_up() {
        let now = Instant::now();
        let mut machine = StateMachine::new(Start::RestoredInPart, 1, now);
        assert_eq!(machine.next_action(now), Some(Action::Subscribe));
        for more in [true, false] {
            assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
            machine.handle(Event::DeltaApplied { changes: 1, more }, now);
        }
        assert_eq!(machine.next_action(now), Some(Action::TakeSnapshot));
        machine.handle(Event::SnapshotApplied, now);
        for _ in 0..2 {
            machine.handle(Event::Hint, now);
            assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
            machine.handle(Event::DeltaApplied { changes: 1, more: false }, now);
        }
    }

    #[test]
    fn unavailable_store_is_asked_ever_more_rarely_and_the_hint_is_not_forgotten() {
        let mut now = Instant::now();
        let mut machine = quiet(now);
        machine.handle(Event::Hint, now);
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
            machine.handle(Event::StoreFailed, now);
            machine.handle(Event::Hint, now);
            assert_eq!(machine.next_action(now), None, "hints do not shorten the pause");
            let due = machine.wake_at().unwrap();
            waits.push(due - now);
            now = due;
        }
        assert!(waits[0] <= 125 * MS && waits[7] >= 1000 * MS && waits[7] <= 1250 * MS, "{waits:?}");
        assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
        machine.handle(Event::DeltaApplied { changes: 1, more: false }, now);
        assert_eq!(machine.next_action(now), None, "one delta covers all hints before it");
    }
}
