//! The judgement: redirectors, links and clicks of the store beside what clients were answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::clicks::Clicks;
use super::hosts::{Hosts, REDIRECTORS};
use crate::follower::Follower;
use crate::followers::{History, Verdict};

/// Longest time for clicks to be shipped at the end.
const SHIP_LIMIT: Duration = Duration::from_secs(120);

/// Slightly longer than the interval at which a shipper checks its journals' positions in the store.
const LOOK_AROUND: Duration = Duration::from_secs(6);

/// Returns the links of the store: codes with targets.
pub(super) async fn stored_links(hosts: &Hosts) -> HashMap<String, String> {
    let rows = hosts.query("SELECT short_code, original_url FROM urls").await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Returns the number of codes that a redirector answers differently from the store, over all redirectors. No change
/// may happen meanwhile.
pub(super) async fn count_differing_codes(hosts: &Hosts) -> usize {
    let stored = Arc::new(stored_links(hosts).await);
    let mut comparisons = Vec::new();
    for redirector in 0..REDIRECTORS.len() {
        let (stored, address) = (Arc::clone(&stored), hosts.redirects(redirector));
        comparisons.push(tokio::spawn(async move {
            let mut follower = Follower::connect(&address).await.unwrap();
            let mut differing = 0;
            for (code, target) in stored.iter() {
                let served = follower.target(code).await.unwrap();
                if served.as_ref() != Some(target) {
                    println!("redirector {redirector} answers {code} with {served:?}, the store has {target}");
                    differing += 1;
                }
            }
            differing
        }));
    }
    let mut differing = 0;
    for (redirector, comparison) in comparisons.into_iter().enumerate() {
        differing += comparison.await.unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let links = hosts.metric(redirector, "tern_replica_links ").await as usize;
        if links != stored.len() {
            println!("redirector {redirector} has {links} links, the store {}", stored.len());
        }
        differing += links.abs_diff(stored.len());
    }
    differing
}

/// Clicks of the store beside those of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClickVerdict {
    pub(super) verdict: Verdict,
    /// Number of events that belong to another link than the one that was followed.
    pub(super) misplaced: usize,
    /// Number of clicks that redirectors dropped for another reason than a lost link.
    pub(super) dropped: usize,
    /// Number of clicks on links that a failover lost.
    pub(super) of_lost_links: usize,
    /// Number of clicks that redirectors dropped because their link is lost, again after each further failover.
    pub(super) link_gone: usize,
    /// Number of links whose count of clicks is not the number of their events.
    pub(super) miscounted: i64,
}

/// Waits until every click is shipped, and compares the events with the answers.
pub(super) async fn judge_clicks(hosts: &Hosts, clicks: Clicks) -> ClickVerdict {
    let began = Instant::now();
    while hosts.sum("tern_clicks_pending ").await > 0.0 {
        assert!(began.elapsed() < SHIP_LIMIT, "clicks are pending");
        sleep(Duration::from_millis(100)).await;
    }
    sleep(LOOK_AROUND).await;
    let stored = stored_links(hosts).await;
    let followed: HashMap<u64, String> = clicks.answered.into_iter().collect();
    let (kept, of_lost): (Vec<u64>, Vec<u64>) = followed.keys().partition(|name| stored.contains_key(&followed[*name]));
    // Clicks of lost links are no clicks any more; those that are stored after all are unknown to nobody.
    let unanswered = clicks.unanswered.into_iter().chain(of_lost.iter().copied()).collect();
    let history = History { answered: kept, unanswered, ..History::default() };
    let sql = "SELECT (details->>'referrer')::bigint, details->>'short_code', short_code
               FROM events LEFT JOIN urls ON urls.id = url_id WHERE event_type = 'clicked'";
    let rows = hosts.query(sql).await.unwrap();
    let mut events: HashMap<u64, usize> = HashMap::new();
    let mut misplaced = 0;
    for row in &rows {
        let name = u64::try_from(row.get::<_, i64>(0)).unwrap();
        let (code, link): (String, Option<String>) = (row.get(1), row.get(2));
        *events.entry(name).or_default() += 1;
        let is_right = link.as_ref() == Some(&code) && followed.get(&name).is_none_or(|followed| *followed == code);
        if !is_right {
            println!("click {name} on {:?} is an event of {code} at the link {link:?}", followed.get(&name));
            misplaced += 1;
        }
    }
    let sql = "SELECT count(*) FROM
                   (SELECT url_id, sum(humans + bots) AS clicks FROM click_hours GROUP BY url_id) AS counts
                   FULL JOIN (SELECT url_id, count(*) AS clicks FROM events WHERE event_type = 'clicked' GROUP BY url_id)
                   AS events USING (url_id)
               WHERE counts.clicks IS DISTINCT FROM events.clicks";
    let miscounted = hosts.query(sql).await.unwrap()[0].get(0);
    let link_gone = dropped(hosts, "{reason=\"link_gone\"}").await;
    ClickVerdict {
        verdict: history.judge(&events),
        misplaced,
        dropped: dropped(hosts, "").await - link_gone,
        of_lost_links: of_lost.len(),
        link_gone,
        miscounted,
    }
}

/// Returns the number of clicks that redirectors dropped, of the series with these labels or of all.
async fn dropped(hosts: &Hosts, labels: &str) -> usize {
    let clicks = hosts.sum(&format!("tern_clicks_dropped_total{labels}")).await;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let clicks = clicks as usize;
    clicks
}
