//! The replica's decisions, as a pure state machine: events in, actions out, the clock an argument.
//!
//! It knows no store and no bus, so that lost, repeated, late and reordered messages are tested with a seed.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tern_common::backoff::Backoff;

/// Longest time between two deltas without a hint: the delay that any loss on the bus causes.
const POLL: Duration = Duration::from_millis(500);

/// Pause after a delta that a hint asked for and that brought nothing. A flood of forged hints costs 50 deltas a second.
const FRUITLESS_PAUSE: Duration = Duration::from_millis(20);

/// First and longest pause between tries against an unavailable store or bus.
const RETRY: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The bus said that something changed, or that it lost messages.
    Hint,
    Subscribed,
    /// The subscription broke, or could not be had.
    Unsubscribed,
    /// The snapshot is in the map.
    SnapshotApplied,
    /// A delta is in the map.
    DeltaApplied {
        changes: usize,
        more: bool,
    },
    /// The store's change log does not reach back to our cursor.
    CursorTooOld,
    /// The store did not answer a snapshot or a delta.
    StoreFailed,
}

/// What is to be done. Of `TakeSnapshot` and `TakeDelta` only one is in flight at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Subscribe,
    TakeSnapshot,
    TakeDelta,
}

/// Links that a replica has when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Empty,
    /// Links of a snapshot file, and the cursor from which deltas go on.
    Restored,
    /// Links of a snapshot file whose writer did not know all fields. No delta brings the fields of a link that did not
    /// change, so every link is loaded once the deltas have caught up.
    RestoredInPart,
}

/// Decides what a replica does next.
#[derive(Debug)]
pub struct StateMachine {
    jitter: SmallRng,
    subscription: Subscription,
    work: Work,
    needs_snapshot: bool,
    /// A snapshot is needed as soon as a delta leaves nothing.
    lacks_fields: bool,
    /// Something changed since the last delta began, as far as the bus tells.
    hinted: bool,
    /// The next delta that is taken without a hint.
    poll_at: Instant,
    /// No hint is followed before.
    hints_from: Instant,
    /// No store work is begun before.
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
    /// Creates the machine of a replica that begins now. `seed` decides the jitter.
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
                // Whatever was published before the subscription stood is not coming any more.
                self.hinted = true;
            }
            Event::Unsubscribed => {
                let wait = self.bus_backoff.pause();
                self.subscription = Subscription::Wanted { from: now + wait };
            }
            Event::SnapshotApplied => {
                (self.needs_snapshot, self.lacks_fields) = (false, false);
                self.store_answered();
                // Deltas until quiet: a snapshot takes time, and things changed meanwhile.
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
                // The failed work may have been about to answer a hint.
                self.hinted = true;
                self.work = Work::Idle;
                self.store_from = now + self.store_backoff.pause();
            }
        }
    }

    /// The next thing to do now, if there is one; it counts as begun.
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
            // A hint that comes from now on may be about something that this delta no longer sees.
            self.hinted = false;
            self.work = Work::Delta { by_hint };
            return Some(Action::TakeDelta);
        }
        None
    }

    /// When [`StateMachine::next_action`] may have something although nothing happened.
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

    /// Returns `time`, give or take a fifth, so that many replicas do not poll in step.
    fn jittered(&mut self, time: Duration) -> Duration {
        time.mul_f64(self.jitter.random_range(0.8..1.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A machine that has loaded and is quiet.
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
    fn a_hint_leads_to_a_delta_at_once_and_hints_meanwhile_to_one_more() {
        let now = Instant::now();
        let mut machine = quiet(now);
        machine.handle(Event::Hint, now);
        assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
        machine.handle(Event::Hint, now);
        machine.handle(Event::Hint, now);
        assert_eq!(machine.next_action(now), None, "one in flight");
        machine.handle(Event::DeltaApplied { changes: 1, more: false }, now);
        assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
        machine.handle(Event::DeltaApplied { changes: 1, more: false }, now);
        assert_eq!(machine.next_action(now), None);
    }

    #[test]
    fn forged_hints_cost_fifty_deltas_a_second_and_true_ones_are_not_held_back() {
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
    fn without_a_single_hint_there_is_a_delta_every_poll() {
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
    fn what_is_left_of_a_long_delta_is_taken_at_once() {
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
    fn a_new_subscription_is_followed_by_a_delta() {
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
    fn a_cursor_that_is_too_old_leads_to_a_snapshot_and_then_a_delta() {
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
    fn a_replica_that_holds_links_begins_with_a_delta() {
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
    fn a_store_that_is_away_is_asked_ever_more_rarely_and_the_hint_is_not_forgotten() {
        let mut now = Instant::now();
        let mut machine = quiet(now);
        machine.handle(Event::Hint, now);
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
            machine.handle(Event::StoreFailed, now);
            machine.handle(Event::Hint, now);
            assert_eq!(machine.next_action(now), None, "not before its time, hints or not");
            let due = machine.wake_at().unwrap();
            waits.push(due - now);
            now = due;
        }
        assert!(waits[0] <= 125 * MS && waits[7] >= 1000 * MS && waits[7] <= 1250 * MS, "{waits:?}");
        assert_eq!(machine.next_action(now), Some(Action::TakeDelta));
        machine.handle(Event::DeltaApplied { changes: 1, more: false }, now);
        assert_eq!(machine.next_action(now), None, "the delta that came through saw what every hint was about");
    }
}
