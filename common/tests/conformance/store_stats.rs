//! Conformance tests of click statistics and of event retention.

use std::time::Duration;

use tern_common::event::{Details, EventFilter, EventRow, EventType, NewEvent};
use tern_common::store::{AdminStore, Load, LoadOutcome, RetentionOutcome, Total};
use tern_common::url::UrlRow;
use tern_common::{
    Breakdown, Click, ClickBatch, HourClicks, Id, JournalId, JournalPosition, JournalState, PointClicks, SeriesQuery,
    ShipOutcome, ShortCode, Statistics, StatsQuery, StatsScope, TargetUrl, Timestamp, Visitor,
};

use crate::fixture::{id, page, url, user};
use crate::store_clicks::{click, click_on};
use crate::store_loading::{load, numbered};

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// Returns the statistics of a link of all time, with its bots.
/// Checks that its series has the same clicks in the same hours.
pub async fn stats(store: &dyn AdminStore, url: Id) -> Statistics {
    let stats = store.statistics(StatsQuery::of_all_time(StatsScope::Link(url))).await.unwrap().unwrap();
    let hours = stats.hours.iter().flat_map(|hour| [hour.at, hour.at.plus(Duration::from_secs(3600)).unwrap()]);
    let mut boundaries: Vec<Timestamp> = [Timestamp::FIRST].into_iter().chain(hours).chain([Timestamp::LAST]).collect();
    boundaries.dedup();
    let series = store.click_series(SeriesQuery { urls: vec![url], owner: None, boundaries }).await.unwrap();
    let points = series[0].points.iter().filter(|point| **point != PointClicks::default());
    let expected = stats.hours.iter().map(|&HourClicks { humans, bots, .. }| PointClicks { humans, bots });
    assert!(points.copied().eq(expected), "{series:?} {:?}", stats.hours);
    stats
}

fn values(stats: &Statistics, breakdown: Breakdown) -> Vec<(&str, u64)> {
    stats.breakdown(breakdown).iter().map(|(value, clicks)| (value.as_str(), *clicks)).collect()
}

/// Checks that a link without clicks has empty statistics.
async fn check_empty(store: &dyn AdminStore, url: Id) {
    let stats = stats(store, url).await;
    assert_eq!((stats.total(), stats.without_event, stats.hours.len()), (0, 0, 0));
    assert!(Breakdown::ALL.into_iter().all(|breakdown| stats.breakdown(breakdown).is_empty()), "{stats:?}");
}

async fn is_missing(store: &dyn AdminStore, url: Id) -> bool {
    store.statistics(StatsQuery::of_all_time(StatsScope::Link(url))).await.unwrap().is_none()
}

/// Returns the start and the clicks of each hour.
fn hours(stats: &Statistics) -> Vec<(Timestamp, u64)> {
    stats.hours.iter().map(|HourClicks { at, humans, bots }| (*at, humans + bots)).collect()
}

/// Ships clicks from a journal of their own.
pub async fn ship(store: &dyn AdminStore, journal: u128, clicks: &[Click]) {
    let to = JournalPosition { segment: 0, offset: 1, sequence: 1 };
    let batch = ClickBatch { journal: JournalId(journal), from: None, to, clicks, parked: 0 };
    assert!(matches!(store.ship_clicks(batch).await.unwrap(), ShipOutcome::Committed(_)));
}

fn event_row(url_id: Id, user_id: Id, event_type: &str, at: &str, details: &str) -> EventRow {
    EventRow {
        id: None,
        url_id,
        user_id,
        event_type: EventType::parse(event_type).unwrap(),
        timestamp: Some(time(at)),
        details: Details::parse(details).unwrap(),
    }
}

/// Checks that the clicks of the statistics add up to those of the list.
async fn check_total(store: &dyn AdminStore, url_id: Id, expected: u64) {
    let stats = stats(store, url_id).await;
    let filter = EventFilter { url_id: Some(url_id), event_type: Some("clicked".to_owned()), ..EventFilter::default() };
    assert_eq!(store.list_events(filter, page(1, 1)).await.unwrap().total, Total::Exactly(expected));
    assert_eq!(stats.total(), expected, "{stats:?}");
    assert_eq!(hours(&stats).iter().map(|(_, clicks)| clicks).sum::<u64>(), expected, "{stats:?}");
    for breakdown in Breakdown::ALL.into_iter().filter(|breakdown| *breakdown != Breakdown::Targets) {
        let sum = stats.breakdown(breakdown).iter().map(|(_, clicks)| clicks).sum::<u64>();
        assert_eq!(sum, expected, "{breakdown:?}: {stats:?}");
    }
    assert_eq!(link_clicks(store, url_id).await.0, stats.humans);
}

/// Returns the number of clicks of people that a link shows, and the time of the last one.
async fn link_clicks(store: &dyn AdminStore, url_id: Id) -> (u64, Option<Timestamp>) {
    let link = store.find_url(url_id).await.unwrap().unwrap();
    (link.clicks.unsigned_abs(), link.last_clicked_at)
}

pub async fn click_counts_whichever_way_it_was_inserted(store: &dyn AdminStore) {
    assert!(is_missing(store, id(1)).await);
    let owner = user(store, "ada").await.id;
    let (followed, other) = (url(store, owner, "CODE12").await.id, url(store, owner, "CODE13").await);
    check_empty(store, followed).await;

    let plain = click(followed, owner);
    let by_curl = Click {
        visitor: Visitor::of_user_agent(b"curl/8.5.0"),
        user_agent: Some("curl/8.5.0".to_owned()),
        referrer: Some("https://News.example/a".to_owned()),
        ..plain.clone()
    };
    ship(store, 1, &[plain.clone(), by_curl.clone(), click_on(&other), by_curl.clone()]).await;
    ship(store, 2, &[by_curl]).await;
    let details = r#"{"user_agent":"curl/7","referrer":"https://news.example/"}"#;
    let rows = vec![
        event_row(followed, owner, "clicked", "2023-11-14T22:59:59", details),
        event_row(followed, owner, "clicked", "1969-12-31T23:59:59", "{}"),
        event_row(followed, owner, "noted", "2023-11-14T22:00:00", details),
    ];
    assert_eq!(load(store, Load::Events, numbered(rows)).await.unwrap(), LoadOutcome::Inserted(3));
    check_total(store, followed, 6).await;
    let stats = stats(store, followed).await;
    assert_eq!(hours(&stats), [(time("1969-12-31T23:00:00"), 1), (time("2023-11-14T22:00:00"), 5)]);
    assert_eq!(values(&stats, Breakdown::Referrers), [("news.example", 4), ("Direct", 2)]);
    assert_eq!((stats.humans, stats.bots), (2, 4));
    assert_eq!(values(&stats, Breakdown::Browsers), [("Bot", 4), ("Unknown", 2)]);
    for kind in ["clicked", "noted"] {
        let event_type = EventType::parse(kind).unwrap();
        let event = NewEvent { url_id: followed, user_id: Some(owner), event_type, details: Details::empty() };
        store.insert_event(event).await.unwrap();
    }
    check_total(store, followed, 7).await;
    check_total(store, other.id, 1).await;
}

pub async fn deleted_clicks_are_subtracted_from_stats(store: &dyn AdminStore) {
    let (ada, bob) = (user(store, "ada").await.id, user(store, "bob").await.id);
    let (kept, gone) = (url(store, ada, "CODE12").await.id, url(store, ada, "CODE13").await);
    ship(store, 1, &[click(kept, ada), click_on(&gone), click_on(&gone)]).await;
    let gone = gone.id;
    let details = r#"{"user_agent":"curl/7","referrer":"https://news.example/"}"#;
    let of_bob = ["clicked", "noted"].map(|kind| event_row(kept, bob, kind, "2023-11-14T22:30:00", details));
    load(store, Load::Events, numbered(of_bob.to_vec())).await.unwrap();
    check_total(store, kept, 2).await;

    store.delete_user(bob, false).await.unwrap();
    check_total(store, kept, 1).await;
    let stats = stats(store, kept).await;
    assert_eq!(values(&stats, Breakdown::Referrers), [("Direct", 1)]);
    assert_eq!(values(&stats, Breakdown::Browsers), [("Unknown", 1)]);

    store.delete_url(gone, None).await.unwrap();
    assert!(is_missing(store, gone).await);
    check_total(store, kept, 1).await;
    let total = async |filter| store.list_events(filter, page(1, 1)).await.unwrap().total;
    assert_eq!(total(EventFilter::default()).await, Total::Exactly(2));
    for (user_id, n) in [(ada, 2), (bob, 0)] {
        let filter = EventFilter { user_id: Some(user_id), ..EventFilter::default() };
        assert_eq!(total(filter).await, Total::Exactly(n));
    }
    for (kind, n) in [("clicked", 1), ("created", 1), ("noted", 0)] {
        let filter = EventFilter { event_type: Some(kind.to_owned()), ..EventFilter::default() };
        assert_eq!(total(filter).await, Total::Exactly(n), "{kind}");
    }
}

/// The link has more events than one statement deletes.
pub async fn link_with_many_events_is_deleted_with_all_of_them(store: &dyn AdminStore) {
    let (ada, bob) = (user(store, "ada").await.id, user(store, "bob").await.id);
    let (of_ada, of_bob) = (url(store, ada, "CODE12").await, url(store, bob, "CODE13").await);
    for (journal, followed) in [(0, &of_ada), (100, &of_bob)] {
        let clicks = vec![click_on(followed); 10_000];
        for n in 0..6 {
            ship(store, journal + n, &clicks).await;
        }
    }
    let total = async || store.list_events(EventFilter::default(), page(1, 1)).await.unwrap().total;
    assert_eq!(total().await, Total::Exactly(120_002));
    store.delete_url(of_ada.id, None).await.unwrap().unwrap();
    assert_eq!(total().await, Total::Exactly(60_001));
    store.delete_user(bob, false).await.unwrap_err();
    assert_eq!(total().await, Total::Exactly(60_001));
    store.delete_user(bob, true).await.unwrap().unwrap();
    assert_eq!(total().await, Total::Exactly(0));
}

pub async fn stats_contain_the_hours_of_their_range(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let followed = url(store, owner, "CODE12").await.id;
    let times = ["2024-02-28T23:59:59", "2024-02-29T00:00:00", "2024-02-29T00:59:59", "2024-02-29T23:00:00"];
    let rows = times.map(|at| event_row(followed, owner, "clicked", at, "{}"));
    load(store, Load::Events, numbered(rows.to_vec())).await.unwrap();
    let check = async |from: &str, to: &str, expected: &[(&str, u64)]| {
        let always = StatsQuery::of_all_time(StatsScope::Link(followed));
        let stats = store.statistics(StatsQuery { from: time(from), to: time(to), ..always }).await.unwrap().unwrap();
        let expected: Vec<_> = expected.iter().map(|(at, clicks)| (time(at), *clicks)).collect();
        assert_eq!(hours(&stats), expected, "{from} to {to}");
        let total = expected.iter().map(|(_, clicks)| clicks).sum();
        let browsers = if total > 0 { vec![("Unknown", total)] } else { Vec::new() };
        assert_eq!((stats.total(), values(&stats, Breakdown::Browsers)), (total, browsers));
    };
    let hours = [("2024-02-28T23:00:00", 1), ("2024-02-29T00:00:00", 2), ("2024-02-29T23:00:00", 1)];
    check("2024-02-28T00:00:00", "2024-03-01T00:00:00", &hours).await;
    check("2024-02-29T00:00:00", "2024-02-29T23:00:00", &hours[1..2]).await;
    check("2024-02-29T00:00:00", "2024-03-01T00:00:00", &hours[1..]).await;
    check("2025-02-28T00:00:00", "2025-03-01T00:00:00", &[]).await;
}

pub async fn stats_list_most_frequent_referrers_first(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let followed = url(store, owner, "CODE12").await.id;
    let from = |n: usize| Click { referrer: Some(format!("https://site{n:02}.example/")), ..click(followed, owner) };
    let clicks: Vec<Click> = (0..30).flat_map(|n| vec![from(n); if n == 17 { 3 } else { 1 }]).collect();
    ship(store, 1, &clicks).await;
    let stats = stats(store, followed).await;
    let referrers = values(&stats, Breakdown::Referrers);
    assert_eq!(referrers.len(), Breakdown::MOST + 1);
    assert_eq!(referrers[..3], [("site17.example", 3), ("site00.example", 1), ("site01.example", 1)]);
    assert_eq!(referrers[Breakdown::MOST], ("Other", 10));
}

/// Clients choose the referrer, so the rows that they can cause are bounded.
pub async fn referrers_beyond_daily_limit_are_counted_as_other(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let followed = url(store, owner, "CODE12").await.id;
    let from = |n: usize| Click { referrer: Some(format!("https://site{n:03}.example/")), ..click(followed, owner) };
    for (journal, hosts) in [(1, 0..150), (2, 100..300)] {
        ship(store, journal, &hosts.map(from).collect::<Vec<_>>()).await;
    }
    let stats_after = stats(store, followed).await;
    let referrers = values(&stats_after, Breakdown::Referrers);
    assert_eq!((referrers[0], referrers[Breakdown::MOST]), (("site000.example", 1), ("Other", 330)));
    check_total(store, followed, 350).await;
    // RetentionOutcome clicks are subtracted from the row that counted them.
    assert_eq!(store.delete_old_events(Duration::from_secs(3600)).await.unwrap(), RetentionOutcome::Deleted(350));
    check_empty(store, followed).await;
}

pub async fn forget_events_deletes_only_old_events(store: &dyn AdminStore) {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let owner = user(store, "ada").await.id;
    let followed = url(store, owner, "CODE12").await.id;
    assert_eq!(store.delete_old_events(DAY).await.unwrap(), RetentionOutcome::Deleted(0));
    let mut rows = vec![event_row(followed, owner, "clicked", "2023-11-14T22:13:20", "{}"); 3];
    rows[1].timestamp = Some(Timestamp::ago(DAY / 2));
    rows[2].id = Some(id(1 << 31));
    load(store, Load::Events, numbered(rows)).await.unwrap();
    store.run_upkeep().await.unwrap();
    check_total(store, followed, 3).await;
    assert_eq!(store.delete_old_events(DAY).await.unwrap(), RetentionOutcome::Deleted(2));
    assert_eq!(store.delete_old_events(DAY).await.unwrap(), RetentionOutcome::Deleted(0));
    check_total(store, followed, 1).await;
    assert_eq!(store.delete_old_events(Duration::MAX).await.unwrap(), RetentionOutcome::Deleted(0));
    let total = store.list_events(EventFilter::default(), page(1, 1)).await.unwrap().total;
    assert_eq!(total, Total::Exactly(2), "more or fewer events than the click and `created` are left");
}

pub async fn forget_events_deletes_many_events_in_parts(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let followed = url(store, owner, "CODE12").await.id;
    let row = EventRow { timestamp: None, ..event_row(followed, owner, "clicked", "2023-11-14T22:13:20", "{}") };
    load(store, Load::Events, numbered(vec![row; 10])).await.unwrap();
    let old = vec![click(followed, owner); 10_000];
    for journal in 0..3 {
        ship(store, journal, &old).await;
    }
    assert_eq!(store.delete_old_events(Duration::from_secs(3600)).await.unwrap(), RetentionOutcome::Deleted(30_000));
    check_total(store, followed, 10).await;
}

/// A clock that is ahead by more than the retention makes all events look old.
pub async fn forget_events_that_would_delete_all_is_refused(store: &dyn AdminStore) {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let owner = user(store, "ada").await.id;
    let row = UrlRow {
        id: Some(id(7)),
        user_id: owner,
        short_code: ShortCode::parse("CODE12").unwrap(),
        original_url: TargetUrl::parse("https://example.com/").unwrap(),
        title: None,
        is_active: true,
        options: Default::default(),
        labels: Default::default(),
        revision: None,
        imported_clicks: 0,
        created_at: None,
        updated_at: None,
    };
    load(store, Load::Urls, numbered(vec![row])).await.unwrap();
    let followed = id(7);
    ship(store, 1, &vec![click(followed, owner); 10]).await;
    assert_eq!(store.delete_old_events(DAY).await.unwrap(), RetentionOutcome::Refused);
    check_total(store, followed, 10).await;
    // A newer event whose id is not the last.
    let newer = EventRow {
        timestamp: None,
        id: Some(id(5_000)),
        ..event_row(followed, owner, "noted", "2023-11-14T22:13:20", "{}")
    };
    load(store, Load::Events, numbered(vec![newer])).await.unwrap();
    ship(store, 2, &vec![click(followed, owner); 10]).await;
    assert_eq!(store.delete_old_events(DAY).await.unwrap(), RetentionOutcome::Deleted(20));
    check_total(store, followed, 0).await;
}

/// Clicks beyond the budget of their network have no event.
pub async fn clicks_without_event_are_counted_until_retention_ends(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let (followed, other) = (url(store, owner, "CODE12").await, url(store, owner, "CODE13").await);
    let plain = Click {
        visitor: Visitor::of_user_agent(b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        referrer: Some("https://news.example/a".to_owned()),
        ..click_on(&followed)
    };
    let counted = Click { is_counted_only: true, ..plain.clone() };
    let later = Click { at: counted.at + Duration::from_secs(3600), referrer: None, ..counted.clone() };
    let gone = Click { short_code: "GONE12".to_owned(), ..counted.clone() };
    let clicks = [plain.clone(), counted.clone(), counted.clone(), later, gone];
    let to = JournalPosition { segment: 0, offset: 1, sequence: 5 };
    let state = JournalState { position: to, recorded: 4, without_event: 3, orphaned: 1, parked: 0 };
    let batch = ClickBatch { journal: JournalId(1), from: None, to, clicks: &clicks, parked: 0 };
    assert_eq!(store.ship_clicks(batch).await.unwrap(), ShipOutcome::Committed(state));
    assert_eq!(store.find_journals(&[JournalId(1)]).await.unwrap(), [Some(state)]);
    // A batch of clicks without event only, twice.
    for journal in [2, 3] {
        ship(store, journal, std::slice::from_ref(&counted)).await;
    }
    let filter = EventFilter { event_type: Some("clicked".to_owned()), ..EventFilter::default() };
    assert_eq!(store.list_events(filter, page(1, 1)).await.unwrap().total, Total::Exactly(1));
    let stats_after = stats(store, followed.id).await;
    let expected = [("2023-11-14T22:00:00", 5), ("2023-11-14T23:00:00", 1)].map(|(at, clicks)| (time(at), clicks));
    assert_eq!((hours(&stats_after), stats_after.without_event), (expected.to_vec(), 5));
    let last = time("2023-11-14T23:13:20");
    assert_eq!(link_clicks(store, followed.id).await, (6, Some(last)));
    assert_eq!(link_clicks(store, other.id).await, (0, None));
    assert_eq!(values(&stats_after, Breakdown::Browsers), [("Firefox", 6)]);
    assert_eq!(values(&stats_after, Breakdown::Referrers), [("news.example", 5), ("Direct", 1)]);
    check_empty(store, other.id).await;

    let since =
        |at: &str| Duration::from_secs((Timestamp::now().unix_seconds() - time(at).unix_seconds()).unsigned_abs());
    // The counts of an hour that is not over stay.
    assert_eq!(store.delete_old_events(since("2023-11-14T23:30:00")).await.unwrap(), RetentionOutcome::Deleted(1));
    let stats_after = stats(store, followed.id).await;
    assert_eq!((hours(&stats_after), stats_after.without_event), (vec![expected[1]], 1));
    assert_eq!(link_clicks(store, followed.id).await, (1, Some(last)));
    store.delete_old_events(since("2023-11-15T01:00:00")).await.unwrap();
    assert_eq!(link_clicks(store, followed.id).await, (0, Some(last)));
    check_empty(store, followed.id).await;
    ship(store, 4, std::slice::from_ref(&counted)).await;
    store.delete_url(followed.id, None).await.unwrap();
    assert!(is_missing(store, followed.id).await);
}
