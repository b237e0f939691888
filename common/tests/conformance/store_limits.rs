//! Limits of clicks: no link gives more clicks than its limit, whichever way they are taken and stored.

use std::time::{Duration, SystemTime};

use tern_common::link_options::OptionConflict;
use tern_common::link_state::LinkState;
use tern_common::store::{AdminStore, LinkChange, Load, Reused, StoreError};
use tern_common::url::{NewUrl, Url, UrlChange, UrlFilter, UrlRow};
use tern_common::{
    Click, ClickBatch, ClickLimit, ClickTake, Id, JournalId, JournalPosition, LinkOptions, LinkOptionsChange,
    TakenClicks, TargetUrl,
};

use crate::fixture::{changes_since, id, new_url, page, snapshot, url, user};
use crate::store_clicks::click_on;
use crate::store_loading::{load, numbered, url_row};

fn limit(clicks: i64) -> Option<ClickLimit> {
    Some(clicks.try_into().unwrap())
}

fn limited(owner: Id, code: &str, clicks: i64) -> NewUrl {
    let options = LinkOptions { max_clicks: limit(clicks), ..LinkOptions::default() };
    NewUrl { options, ..new_url(owner, code, "https://example.com/") }
}

async fn insert(store: &dyn AdminStore, owner: Id, code: &str, clicks: i64) -> Url {
    store.insert_url(limited(owner, code, clicks)).await.unwrap().value
}

async fn set_limit(store: &dyn AdminStore, url: Id, max_clicks: Option<ClickLimit>) -> Url {
    let options = LinkOptionsChange { max_clicks: Some(max_clicks), ..LinkOptionsChange::default() };
    store.update_url(url, UrlChange { options, ..UrlChange::default() }).await.unwrap().unwrap().value
}

async fn take(store: &dyn AdminStore, url_id: Id, needed: i64, ahead: i64) -> TakenClicks {
    store.take_clicks(&[ClickTake { url_id, needed, ahead }]).await.unwrap()[0]
}

async fn left(store: &dyn AdminStore, url: Id) -> Option<i64> {
    store.find_url(url).await.unwrap().unwrap().clicks_left
}

async fn in_state(store: &dyn AdminStore, state: LinkState) -> Vec<String> {
    let filter = UrlFilter { state: Some(state), ..UrlFilter::default() };
    let listed = store.list_urls(filter, Default::default(), page(1, 20)).await.unwrap().rows;
    listed.into_iter().map(|url| url.short_code).collect()
}

/// Ships clicks on a link as the n-th batch of a journal.
async fn ship(store: &dyn AdminStore, url: &Url, n: u64, clicks: usize) {
    let at = |n| JournalPosition { segment: 1, offset: n, sequence: n };
    let clicks =
        vec![Click { at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000), ..click_on(url) }; clicks];
    let from = (n > 0).then(|| at(n));
    let batch = ClickBatch { journal: JournalId(7), from, to: at(n + 1), clicks: &clicks, parked: 0 };
    store.ship_clicks(batch).await.unwrap();
}

pub async fn limit_is_never_exceeded_and_its_end_reaches_the_feed(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let link = insert(store, owner, "CODE12", 20).await;
    assert_eq!((link.max_clicks, link.clicks_left), (limit(20), Some(20)));
    let (links, cursor) = snapshot(store).await;
    assert_eq!((links["CODE12"].max_clicks, links["CODE12"].is_exhausted), (Some(20), false));

    assert_eq!(take(store, link.id, 1, 1_000).await, TakenClicks::Granted(1 + 19 / 16));
    assert_eq!(left(store, link.id).await, Some(18));
    assert_eq!(take(store, link.id, 17, 9).await, TakenClicks::Granted(17), "none is taken ahead near the end");
    let (changes, cursor) = changes_since(store, &cursor).await;
    assert_eq!(changes, [], "a take is no change of the link while clicks are left");
    let revision = store.find_url(link.id).await.unwrap().unwrap().revision;
    assert_eq!(take(store, link.id, 5, 0).await, TakenClicks::Granted(1));
    assert_eq!(take(store, link.id, 5, 5).await, TakenClicks::Granted(0));
    assert_eq!(left(store, link.id).await, Some(0));
    assert_eq!(store.find_url(link.id).await.unwrap().unwrap().revision, revision, "clicks are no change of the link");
    let (changes, _) = changes_since(store, &cursor).await;
    let [LinkChange::Put(row)] = &changes[..] else { panic!("{changes:?}") };
    assert!(row.is_exhausted);
    assert!(snapshot(store).await.0["CODE12"].is_exhausted);
}

pub async fn raised_limit_revives_the_link_and_a_lowered_one_ends_it(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let link = insert(store, owner, "CODE12", 2).await;
    assert_eq!(take(store, link.id, 2, 0).await, TakenClicks::Granted(2));
    let (_, cursor) = snapshot(store).await;
    assert_eq!(set_limit(store, link.id, limit(5)).await.clicks_left, Some(3));
    let (changes, cursor) = changes_since(store, &cursor).await;
    let [LinkChange::Put(row)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((row.max_clicks, row.is_exhausted), (Some(5), false));
    assert_eq!(take(store, link.id, 1, 0).await, TakenClicks::Granted(1));
    assert_eq!(set_limit(store, link.id, limit(1)).await.clicks_left, Some(0));
    let (changes, _) = changes_since(store, &cursor).await;
    let [LinkChange::Put(row)] = &changes[..] else { panic!("{changes:?}") };
    assert!(row.is_exhausted);
    assert_eq!(take(store, link.id, 1, 0).await, TakenClicks::Granted(0));

    assert_eq!(set_limit(store, link.id, None).await.clicks_left, None);
    assert_eq!(take(store, link.id, 1, 0).await, TakenClicks::Unlimited);
    assert!(!snapshot(store).await.0["CODE12"].is_exhausted);
    assert_eq!(set_limit(store, link.id, limit(4)).await.clicks_left, Some(1), "earlier clicks are remembered");
    store.delete_url(link.id, None).await.unwrap();
    assert_eq!(take(store, link.id, 1, 0).await, TakenClicks::Unknown);
}

pub async fn concurrent_takes_of_many_links_share_each_limit(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(insert(store, owner, &format!("CODE{n}"), 40).await.id);
    }
    let redirector = async |is_reverse: bool| {
        let mut granted = [0; 5];
        for round in 0..20 {
            let mut takes: Vec<_> =
                ids.iter().map(|id| ClickTake { url_id: *id, needed: 1 + round % 3, ahead: 2 }).collect();
            if is_reverse {
                takes.reverse();
            }
            let outcomes = store.take_clicks(&takes).await.unwrap();
            for (take, outcome) in takes.iter().zip(outcomes) {
                let TakenClicks::Granted(n) = outcome else { panic!("{outcome:?}") };
                granted[ids.iter().position(|id| *id == take.url_id).unwrap()] += n;
            }
        }
        granted
    };
    let (a, b, c) = tokio::join!(redirector(false), redirector(true), redirector(false));
    for n in 0..5 {
        assert_eq!(a[n] + b[n] + c[n], 40, "{a:?} {b:?} {c:?}");
    }
    assert_eq!(store.take_clicks(&[]).await.unwrap(), []);
}

pub async fn returned_clicks_are_taken_again_unless_they_are_stored(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let link = insert(store, owner, "CODE12", 100).await;
    assert_eq!(take(store, link.id, 100, 0).await, TakenClicks::Granted(100));
    let (_, cursor) = snapshot(store).await;
    store.return_clicks(&[(link.id, 30)]).await.unwrap();
    assert_eq!(left(store, link.id).await, Some(30));
    let (changes, _) = changes_since(store, &cursor).await;
    let [LinkChange::Put(row)] = &changes[..] else { panic!("{changes:?}") };
    assert!(!row.is_exhausted, "the link redirects again");
    ship(store, &link, 0, 65).await;
    assert_eq!(left(store, link.id).await, Some(30), "the stored clicks were taken");
    store.return_clicks(&[(link.id, 30), (id(999), 1)]).await.unwrap();
    assert_eq!(left(store, link.id).await, Some(35), "65 clicks are stored");
    store.return_clicks(&[]).await.unwrap();
}

pub async fn stored_clicks_count_against_a_limit_that_is_set_later(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let link = url(store, owner, "CODE12").await;
    assert_eq!((link.max_clicks, link.clicks_left), (None, None));
    assert_eq!(take(store, link.id, 1, 0).await, TakenClicks::Unknown);
    ship(store, &link, 0, 7).await;
    assert_eq!(set_limit(store, link.id, limit(10)).await.clicks_left, Some(3));
    // These clicks were in a journal when the limit was set.
    ship(store, &link, 1, 2).await;
    assert_eq!(left(store, link.id).await, Some(1));
    assert_eq!(take(store, link.id, 5, 0).await, TakenClicks::Granted(1));
    ship(store, &link, 2, 1).await;
    assert_eq!(left(store, link.id).await, Some(0), "the click was taken before");
    ship(store, &link, 3, 5).await;
    assert_eq!(set_limit(store, link.id, limit(20)).await.clicks_left, Some(5));
}

pub async fn state_exhausted_follows_the_order_of_decisions(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    for code in ["used11", "used22", "unused", "off111", "ended1"] {
        let link = insert(store, owner, code, 1).await;
        if code != "unused" {
            assert_eq!(take(store, link.id, 1, 0).await, TakenClicks::Granted(1));
        }
        let past = tern_common::Timestamp::from_unix_seconds(5);
        let options = LinkOptionsChange { expires_at: (code == "ended1").then_some(Some(past)), ..Default::default() };
        let change = UrlChange { is_active: Some(code != "off111"), options, ..UrlChange::default() };
        store.update_url(link.id, change).await.unwrap();
    }
    url(store, owner, "plain1").await;
    assert_eq!(in_state(store, LinkState::Exhausted).await, ["used11", "used22"]);
    assert_eq!(in_state(store, LinkState::Active).await, ["unused", "plain1"]);
    assert_eq!(in_state(store, LinkState::Expired).await, ["ended1"]);
    assert_eq!(in_state(store, LinkState::Inactive).await, ["off111"]);

    // A link that is used up is not used again for its target.
    let wanted = UrlChange::default;
    let target = TargetUrl::parse("https://example.com/").unwrap();
    let new = |code| NewUrl { original_url: target.clone(), ..new_url(owner, code, "https://example.com/") };
    let Reused::Found(found) = store.reuse_url(new("other1"), wanted()).await.unwrap() else { panic!() };
    assert_eq!(found.short_code, "unused");
}

pub async fn limit_and_a_permanent_status_exclude_each_other(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let mut new = limited(owner, "CODE12", 1);
    new.options.redirect_status = Some(308.try_into().unwrap());
    let refused = store.insert_url(new.clone()).await;
    assert!(matches!(refused, Err(StoreError::OptionConflict(OptionConflict::StatusOfLimit))), "{refused:?}");
    new.options.max_clicks = None;
    let link = store.insert_url(new).await.unwrap().value;
    let options = LinkOptionsChange { max_clicks: Some(limit(1)), ..LinkOptionsChange::default() };
    let refused = store.update_url(link.id, UrlChange { options, ..UrlChange::default() }).await;
    assert!(matches!(refused, Err(StoreError::OptionConflict(OptionConflict::StatusOfLimit))), "{refused:?}");
}

pub async fn loaded_link_has_its_limit_and_loaded_clicks_count(store: &dyn AdminStore) {
    user(store, "ada").await;
    let options = LinkOptions { max_clicks: limit(3), ..LinkOptions::default() };
    let rows = vec![UrlRow { options, ..url_row(Some(5), 1, "CODE12") }, url_row(Some(6), 1, "plain1")];
    load(store, Load::Urls, numbered(rows)).await.unwrap();
    assert_eq!(left(store, id(5)).await, Some(3));
    let event = |n: i64| tern_common::event::EventRow {
        id: None,
        url_id: id(5),
        user_id: id(1),
        event_type: tern_common::event::EventType::parse("clicked").unwrap(),
        timestamp: Some(tern_common::Timestamp::from_unix_seconds(1_700_000_000 + n)),
        details: tern_common::event::Details::parse("{}").unwrap(),
    };
    load(store, Load::Events, numbered(vec![event(0), event(1)])).await.unwrap();
    assert_eq!(left(store, id(5)).await, Some(1));
    assert_eq!(take(store, id(5), 2, 0).await, TakenClicks::Granted(1));
    assert_eq!(take(store, id(6), 2, 0).await, TakenClicks::Unknown);
}
