//! A limit on the referring hosts, the sources and the targets that are counted separately for one link in a day.
//!
//! Clients choose the hosts, changes of a link choose its targets, and a target chooses the source. Each value is a row
//! that is stored as long as the clicks of the link.
//! The limit changes no other part of a click: its details contain the referrer as the client sent it.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use crate::statistics::OTHER_VALUE;
use crate::{Click, ClickSource, Id, Timestamp};

/// The limit of hosts, of sources and of targets, for one link in a day. Statistics show the 20 most frequent.
const VALUES: u8 = 100;

/// The limit of values for all links together: at most 30 MB of memory.
const VALUES_IN_ALL: usize = 500_000;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// The values that this process has counted for each link today. A start and a new day empty the budget.
#[derive(Debug, Default)]
pub(super) struct ReferrerBudget {
    hasher: RandomState,
    today: Mutex<Today>,
}

#[derive(Debug, Default)]
struct Today {
    /// Days since 1970, in UTC.
    day: i64,
    /// The hash of the link, the kind and the text of each counted value.
    seen: HashSet<u64>,
    values: HashMap<(Id, Kind), u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Referrer,
    Source,
    Target,
}

impl ReferrerBudget {
    /// Returns the source under which a click is counted. [`OTHER_VALUE`] replaces each value beyond the budget.
    pub(super) fn source_of(&self, click: &Click) -> ClickSource {
        let ClickSource { visitor, referrer, source, target } = ClickSource::of_click(click);
        let counted =
            |kind, value: String| if self.admits(click, kind, &value) { value } else { OTHER_VALUE.to_owned() };
        ClickSource {
            visitor,
            referrer: referrer.map(|host| counted(Kind::Referrer, host)),
            source: source.map(|source| counted(Kind::Source, source)),
            target: target.map(|target| counted(Kind::Target, target)),
        }
    }

    fn admits(&self, click: &Click, kind: Kind, value: &str) -> bool {
        let key = self.hasher.hash_one((click.url_id, kind, value));
        // A redirector whose clock is ahead must not use up the budget of future days.
        let at = Timestamp::from(click.at).min(Timestamp::now());
        let day = at.unix_seconds().div_euclid(DAY_SECONDS);
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        // A late click of an earlier day counts for today.
        if day > today.day {
            *today = Today { day, ..Today::default() };
        }
        if today.seen.contains(&key) {
            return true;
        }
        let counted = (click.url_id, kind);
        if today.seen.len() >= VALUES_IN_ALL || today.values.get(&counted).is_some_and(|values| *values >= VALUES) {
            return false;
        }
        today.seen.insert(key);
        *today.values.entry(counted).or_default() += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::visitor::Visitor;

    fn click(url: i64, day: u64, host: usize) -> Click {
        Click {
            url_id: Id::new(url).unwrap(),
            owner_id: Id::new(1).unwrap(),
            short_code: "CODE12".to_owned(),
            original_url: "https://as-served.example/".to_owned(),
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(day * DAY_SECONDS.unsigned_abs()),
            client: None,
            user_agent: None,
            referrer: Some(format!("https://site{host}.example/")),
            visitor: Visitor::UNKNOWN,
            source: None,
            choice: None,
            is_minimal: false,
            is_counted_only: false,
        }
    }

    #[test]
    fn referrer_budget_of_a_link_starts_anew_each_day() {
        let budget = ReferrerBudget::default();
        let counted_as = |click: &Click| budget.source_of(click).referrer.unwrap();
        let most = usize::from(VALUES);
        for host in 0..most {
            assert_eq!(counted_as(&click(1, 7, host)), format!("site{host}.example"));
        }
        assert_eq!(counted_as(&click(1, 7, most)), OTHER_VALUE);
        assert_eq!(counted_as(&click(1, 6, most)), OTHER_VALUE, "a late click");
        assert_eq!(counted_as(&click(1, 7, 3)), "site3.example", "a host that is already counted");
        assert_eq!(counted_as(&click(2, 7, most)), "site100.example", "another link");
        assert_eq!(counted_as(&click(1, 8, most)), "site100.example", "another day");
        let today = Timestamp::now().unix_seconds().unsigned_abs() / DAY_SECONDS.unsigned_abs();
        counted_as(&click(1, 1 << 20, most));
        assert!(budget.today.lock().unwrap().day.unsigned_abs() <= today + 1, "no click counts for a future day");
    }
}
