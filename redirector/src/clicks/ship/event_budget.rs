//! A budget of events for each client network: beyond it a click is counted in its hour and gets no event.
//!
//! The shipper asks it, so the redirect path pays nothing. It never drops a click.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{SystemTime, UNIX_EPOCH};

use tern_common::Click;

const HOUR_SECONDS: u64 = 60 * 60;

/// One link may take this share of the budget of a network, so that a page that reloads without end leaves some of it to
/// the other links.
const LINK_SHARE: u32 = 2;

/// Counters in a row of the sketch. Sixteen bits of a hash name one.
const WIDTH: usize = 1 << 16;

/// Rows of the sketch: the four parts of a hash.
const DEPTH: usize = 4;

/// Events of this hour by network, and by network and link.
///
/// A count-min sketch of 1 MiB: it needs no table that grows with the clients. It never counts too few, and with ten
/// million clicks in an hour it counts some hundred too many.
#[derive(Debug)]
pub(super) struct EventBudget {
    /// Events of one network in an hour; 0 is no limit.
    limit: u32,
    hasher: RandomState,
    /// Hours since 1970.
    hour: u64,
    counters: Box<[[u32; WIDTH]]>,
}

/// Events of a batch by the hash of what they are counted for.
pub(super) type Planned = HashMap<u64, u32>;

impl EventBudget {
    pub(super) fn new(limit: u32) -> EventBudget {
        let depth = if limit == 0 { 0 } else { DEPTH };
        EventBudget { limit, hasher: RandomState::new(), hour: 0, counters: vec![[0; WIDTH]; depth].into() }
    }

    /// Marks the clicks of a batch that are beyond the budget. Nothing is spent before [`EventBudget::spend`]: a batch
    /// may be tried many times.
    pub(super) fn plan(&mut self, clicks: &mut [Click]) -> Planned {
        let mut planned = Planned::default();
        if self.limit == 0 {
            return planned;
        }
        for click in clicks {
            self.turn_to(click.at);
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

    /// Takes the events of a batch that was stored off the budget.
    pub(super) fn spend(&mut self, planned: Planned) {
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

    /// Begins a new hour. A click that comes late is of the current one, and a clock that is ahead does not end the hours
    /// to come.
    fn turn_to(&mut self, at: SystemTime) {
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

    use tern_common::Id;

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
    fn network_gets_its_budget_of_events_each_hour() {
        let mut budget = EventBudget::new(100);
        let clicks = |network, url, hour, n| vec![click(network, url, hour); n];
        assert_eq!(events(&mut budget, clicks(1, 1, 7, 30)), 30);
        assert_eq!(events(&mut budget, clicks(1, 1, 7, 30)), 20, "one link has half of it");
        assert_eq!(events(&mut budget, clicks(1, 2, 7, 40)), 40);
        assert_eq!(events(&mut budget, clicks(1, 3, 7, 40)), 10, "all links together have all of it");
        assert_eq!(events(&mut budget, clicks(2, 1, 7, 40)), 40, "another network");
        assert_eq!(events(&mut budget, clicks(1, 1, 6, 40)), 0, "a click that comes late");
        assert_eq!(events(&mut budget, clicks(1, 1, 8, 60)), 50, "another hour");
        assert_eq!(events(&mut budget, clicks(1, 1, 1 << 30, 60)), 0, "an hour that is to come");
    }

    #[test]
    fn batch_that_is_tried_again_spends_once() {
        let mut budget = EventBudget::new(100);
        let mut clicks = vec![click(1, 1, 7); 30];
        for _ in 0..10 {
            budget.plan(&mut clicks);
        }
        assert_eq!(events(&mut budget, clicks), 30);
    }

    #[test]
    fn popular_link_followed_from_many_networks_keeps_its_events() {
        let mut budget = EventBudget::new(100);
        let many = (0..100_000_u32).map(|n| {
            let [_, a, b, c] = n.to_be_bytes();
            Click { client: format!("10.{a}.{b}.{c}/32").parse().ok(), ..click(0, 1, 7) }
        });
        assert_eq!(events(&mut budget, many.collect()), 100_000);
    }

    #[test]
    fn limit_of_zero_limits_nothing() {
        let mut budget = EventBudget::new(0);
        assert_eq!(events(&mut budget, vec![click(1, 1, 7); 100_000]), 100_000);
    }
}
