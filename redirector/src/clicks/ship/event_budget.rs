//! The budget of events of each client network. A click beyond it is counted in its hour and gets no event.
//!
//! The shipper applies the budget, so it costs the redirect path nothing. The budget never drops a click.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{SystemTime, UNIX_EPOCH};

use tern_common::Click;

const HOUR_SECONDS: u64 = 60 * 60;

/// The divisor for the share of a network's budget that one link may take. A page that reloads forever leaves the rest to
/// other links.
const LINK_SHARE: u32 = 2;

/// Counters in a row of the sketch. Sixteen bits of a hash select one.
const WIDTH: usize = 1 << 16;

/// Rows of the sketch, one for each sixteen bits of a hash.
const DEPTH: usize = 4;

/// The events of this hour by network, and by network and link.
///
/// A count-min sketch of 1 MiB does not grow with the number of clients. It never counts too few events. With ten million
/// clicks in an hour it counts some hundred too many.
#[derive(Debug)]
pub(super) struct EventBudget {
    /// The most events of one network in an hour. 0 disables the limit.
    limit: u32,
    hasher: RandomState,
    /// Hours since 1970.
    hour: u64,
    counters: Box<[[u32; WIDTH]]>,
}

/// Events of a batch, by the hash of their network, and by the hash of network and link.
pub(super) type PlannedEvents = HashMap<u64, u32>;

impl EventBudget {
    pub(super) fn new(limit: u32) -> EventBudget {
        let depth = if limit == 0 { 0 } else { DEPTH };
        EventBudget { limit, hasher: RandomState::new(), hour: 0, counters: vec![[0; WIDTH]; depth].into() }
    }

    /// Marks the clicks of a batch that are beyond the budget. The events are spent by [`EventBudget::spend`], since a batch
    /// may be tried many times.
    pub(super) fn plan(&mut self, clicks: &mut [Click]) -> PlannedEvents {
        let mut planned = PlannedEvents::default();
        if self.limit == 0 {
            return planned;
        }
        for click in clicks {
            self.advance_to(click.at);
            let keys = [self.hasher.hash_one(click.client), self.hasher.hash_one((click.client, click.url_id))];
            let used = keys.map(|key| self.used(key) + planned.get(&key).copied().unwrap_or_default());
            click.is_counted_only = used[0] >= self.limit || used[1] >= self.limit.div_ceil(LINK_SHARE);
            if !click.is_counted_only {
                for key in keys {
                    *planned.entry(key).or_default() += 1;
                }
            }
        }
        planned
    }

    /// Spends the events of a stored batch.
    pub(super) fn spend(&mut self, planned: PlannedEvents) {
        for (key, events) in planned {
            let used = self.used(key) + events;
            for (row, place) in self.counters.iter_mut().zip(places(key)) {
                row[place] = row[place].max(used);
            }
        }
    }

    fn used(&self, key: u64) -> u32 {
        self.counters.iter().zip(places(key)).map(|(row, place)| row[place]).min().unwrap_or_default()
    }

    /// Begins a new hour if the click is of one. A late click counts for the current hour, and a click from the future
    /// begins no hour.
    fn advance_to(&mut self, at: SystemTime) {
        let hour = |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(0, |at| at.as_secs() / HOUR_SECONDS);
        let hour_of_click = hour(at);
        if hour_of_click > self.hour && hour_of_click <= hour(SystemTime::now()) {
            self.hour = hour_of_click;
            self.counters.fill([0; WIDTH]);
        }
    }
}

fn places(key: u64) -> [usize; DEPTH] {
    let [a, b, c, d, e, f, g, h] = key.to_le_bytes();
    [[a, b], [c, d], [e, f], [g, h]].map(|part| usize::from(u16::from_le_bytes(part)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tern_common::{Id, Visitor};

    use super::*;

    fn click(network: u8, url: i64, hour: u64) -> Click {
        Click {
            url_id: Id::new(url).unwrap(),
            owner_id: Id::new(1).unwrap(),
            short_code: "CODE12".to_owned(),
            original_url: "https://example.com/".to_owned(),
            at: UNIX_EPOCH + Duration::from_secs(hour * HOUR_SECONDS),
            client: format!("203.0.{network}.0/24").parse().ok(),
            user_agent: None,
            referrer: None,
            visitor: Visitor::UNKNOWN,
            source: None,
            choice: None,
            is_minimal: false,
            is_counted_only: false,
        }
    }

    /// Plans and spends a batch; returns how many of its clicks get an event.
    fn events(budget: &mut EventBudget, mut clicks: Vec<Click>) -> usize {
        let planned = budget.plan(&mut clicks);
        budget.spend(planned);
        clicks.iter().filter(|click| !click.is_counted_only).count()
    }

    #[test]
    fn network_beyond_its_budget_gets_events_again_in_the_next_hour() {
        let mut budget = EventBudget::new(100);
        let clicks = |network, url, hour, n| vec![click(network, url, hour); n];
        assert_eq!(events(&mut budget, clicks(1, 1, 7, 30)), 30);
        assert_eq!(events(&mut budget, clicks(1, 1, 7, 30)), 20, "one link has half of it");
        assert_eq!(events(&mut budget, clicks(1, 2, 7, 40)), 40);
        assert_eq!(events(&mut budget, clicks(1, 3, 7, 40)), 10, "all links together have all of it");
        assert_eq!(events(&mut budget, clicks(2, 1, 7, 40)), 40, "another network");
        assert_eq!(events(&mut budget, clicks(1, 1, 6, 40)), 0, "a late click");
        assert_eq!(events(&mut budget, clicks(1, 1, 8, 60)), 50, "another hour");
        assert_eq!(events(&mut budget, clicks(1, 1, 1 << 30, 60)), 0, "an hour in the future");
    }

    #[test]
    fn repeated_batch_is_spent_once() {
        let mut budget = EventBudget::new(100);
        let mut clicks = vec![click(1, 1, 7); 30];
        for _ in 0..10 {
            budget.plan(&mut clicks);
        }
        assert_eq!(events(&mut budget, clicks), 30);
    }

    #[test]
    fn link_followed_from_many_networks_gets_all_its_events() {
        let mut budget = EventBudget::new(100);
        let many = (0..100_000_u32).map(|n| {
            let [_, a, b, c] = n.to_be_bytes();
            Click { client: format!("10.{a}.{b}.{c}/32").parse().ok(), ..click(0, 1, 7) }
        });
        assert_eq!(events(&mut budget, many.collect()), 100_000);
    }

    #[test]
    fn limit_of_zero_disables_the_budget() {
        let mut budget = EventBudget::new(0);
        assert_eq!(events(&mut budget, vec![click(1, 1, 7); 100_000]), 100_000);
    }
}
