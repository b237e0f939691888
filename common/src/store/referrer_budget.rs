//! How many hosts of referrers are counted apart for one link in a day.
//!
//! Whoever clicks chooses them, and each is a row that is kept as long as the link's clicks. Must not touch what else a
//! click holds: its details keep the referrer as it was sent.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use crate::{Click, ClickSource, Id, Timestamp};

/// Hosts of one link in a day; a list shows the 20 most frequent.
const HOSTS: u8 = 100;

/// Hosts of all links together: some 30 MB of memory at worst.
const HOSTS_IN_ALL: usize = 500_000;

/// Stands for the hosts above the budget. No host has a capital letter.
const OTHER: &str = "Other";

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// The budget of one process: each process, and each start of one, begins with a new one, as does each day.
#[derive(Debug, Default)]
pub(super) struct ReferrerBudget {
    hasher: RandomState,
    /// Written by whoever ships.
    today: Mutex<Today>,
}

#[derive(Debug, Default)]
struct Today {
    /// Of UTC, since 1970.
    day: i64,
    /// Hashes of a link with one of its hosts.
    seen: HashSet<u64>,
    hosts: HashMap<Id, u8>,
}

impl ReferrerBudget {
    /// What a click is counted by: its own host, if the link has not had too many.
    pub(super) fn source_of(&self, click: &Click) -> ClickSource {
        let ClickSource { browser, referrer } = ClickSource::of_click(click);
        let referrer = referrer.map(|host| if self.admits(click, &host) { host } else { OTHER.to_owned() });
        ClickSource { browser, referrer }
    }

    fn admits(&self, click: &Click, host: &str) -> bool {
        let pair = self.hasher.hash_one((click.url_id, host));
        // A redirector whose clock is ahead must not end all days that are to come.
        let at = Timestamp::from(click.at).min(Timestamp::now());
        let day = at.unix_seconds().div_euclid(DAY_SECONDS);
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        // What comes late from a day before is of today.
        if day > today.day {
            *today = Today { day, ..Today::default() };
        }
        if today.seen.contains(&pair) {
            return true;
        }
        if today.seen.len() >= HOSTS_IN_ALL || today.hosts.get(&click.url_id).is_some_and(|hosts| *hosts >= HOSTS) {
            return false;
        }
        today.seen.insert(pair);
        *today.hosts.entry(click.url_id).or_default() += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

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
            is_counted_only: false,
        }
    }

    #[test]
    fn a_link_has_its_hosts_anew_each_day() {
        let budget = ReferrerBudget::default();
        let told = |click: &Click| budget.source_of(click).referrer.unwrap();
        let most = usize::from(HOSTS);
        for host in 0..most {
            assert_eq!(told(&click(1, 7, host)), format!("site{host}.example"));
        }
        assert_eq!(told(&click(1, 7, most)), OTHER);
        assert_eq!(told(&click(1, 6, most)), OTHER, "a click that comes late");
        assert_eq!(told(&click(1, 7, 3)), "site3.example", "one that was there already");
        assert_eq!(told(&click(2, 7, most)), "site100.example", "of another link");
        assert_eq!(told(&click(1, 8, most)), "site100.example", "on another day");
        let today = Timestamp::now().unix_seconds().unsigned_abs() / DAY_SECONDS.unsigned_abs();
        told(&click(1, 1 << 20, most));
        assert!(budget.today.lock().unwrap().day.unsigned_abs() <= today + 1, "no click is of a day to come");
    }
}
