//! Conformance tests of clicks that are followed as they are stored, and of walks through all rows.

use std::collections::BTreeSet;
use std::time::Duration;

use tern_common::event::EventFilter;
use tern_common::store::{AdminStore, ClickTail, NewClicks, PageStart};
use tern_common::url::{TagMode, UrlFilter, UrlSort};
use tern_common::{ClickBatch, JournalId, JournalPosition, ShipOutcome};

use crate::fixture::{id, new_url, page, url, user};
use crate::store_clicks::{click, click_on};

async fn follow(store: &dyn AdminStore, tail: &mut ClickTail, limit: u32) -> NewClicks {
    store.follow_clicks(tail, limit).await.unwrap()
}

async fn ship(store: &dyn AdminStore, journal: u128, batch: u64, clicks: &[tern_common::Click]) {
    let at = |n: u64| JournalPosition { segment: 0, offset: n, sequence: n };
    let from = (batch > 1).then(|| at(batch - 1));
    let batch = ClickBatch { journal: JournalId(journal), from, to: at(batch), clicks, parked: 0 };
    assert!(matches!(store.ship_clicks(batch).await.unwrap(), ShipOutcome::Committed(_)));
}

pub async fn tail_returns_clicks_since_it_began_once_and_in_order(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let link = url(store, owner, "CODE12").await;
    let click = click_on(&link);
    ship(store, 1, 1, std::slice::from_ref(&click)).await;
    let mut tail = ClickTail::default();
    assert_eq!((tail.start(), tail.position()), (None, None));
    assert!(follow(store, &mut tail, 10).await.clicks.is_empty());
    let began = tail.start().unwrap();
    assert!(began >= 2 && tail.latest() == began);
    // Events of other types are passed over.
    url(store, owner, "CODE13").await;
    ship(store, 1, 2, &[click.clone(), click.clone(), click]).await;
    let mut seen = Vec::new();
    for _ in 0..200 {
        let new = follow(store, &mut tail, 2).await;
        assert!(!new.has_gap && new.clicks.len() <= 2);
        seen.extend(new.clicks.into_iter().map(|event| event.id.get()));
        if seen.len() >= 3 && !new.has_more {
            break;
        }
    }
    assert_eq!(seen, (began + 2..began + 5).collect::<Vec<_>>());
    assert!(follow(store, &mut tail, 2).await.clicks.is_empty());
    assert_eq!(tail.position(), Some(began + 4));
}

pub async fn tail_beside_concurrent_writers_loses_and_repeats_no_click(store: &dyn AdminStore) {
    const WRITERS: u128 = 4;
    const BATCHES: u64 = 25;
    let owner = user(store, "ada").await.id;
    let link = url(store, owner, "CODE12").await;
    let mut tail = ClickTail::default();
    follow(store, &mut tail, 100).await;
    let began = tail.start().unwrap();
    let write = async |journal: u128| {
        for batch in 1..=BATCHES {
            let clicks = vec![click_on(&link); 1 + (batch % 3) as usize];
            ship(store, journal, batch, &clicks).await;
            // Deletions of clicks and unknown links take part in the same locks.
            ship(store, journal + WRITERS, batch, &[click(id(99), owner)]).await;
        }
    };
    let mut seen = Vec::new();
    let writers = futures_util::future::join_all((1..=WRITERS).map(write));
    let read = async {
        let expected = WRITERS as usize * (1..=BATCHES).map(|batch| 1 + (batch % 3) as usize).sum::<usize>();
        for _ in 0..20_000 {
            let new = follow(store, &mut tail, 7).await;
            assert!(!new.has_gap);
            seen.extend(new.clicks.into_iter().map(|event| event.id.get()));
            if seen.len() >= expected && !new.has_more {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(seen.len(), expected);
    };
    tokio::join!(writers, read);
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    let stored = walk_events(store, EventFilter { event_type: Some("clicked".to_owned()), ..EventFilter::default() });
    assert_eq!(seen, stored.await.into_iter().filter(|id| *id > began).collect::<Vec<_>>());
}

async fn walk_events(store: &dyn AdminStore, filter: EventFilter) -> Vec<i64> {
    let mut ids: Vec<i64> = Vec::new();
    loop {
        let part = store.walk_events(filter.clone(), ids.last().copied().unwrap_or(0), 3).await.unwrap();
        if part.is_empty() {
            return ids;
        }
        assert!(part.len() <= 3);
        ids.extend(part.iter().map(|event| event.id.get()));
    }
}

async fn walk_urls(store: &dyn AdminStore, filter: UrlFilter) -> Vec<i64> {
    let mut ids: Vec<i64> = Vec::new();
    loop {
        let part = store.walk_urls(filter.clone(), ids.last().copied().unwrap_or(0), 3).await.unwrap();
        if part.is_empty() {
            return ids;
        }
        assert!(part.len() <= 3);
        ids.extend(part.iter().map(|url| url.id.get()));
    }
}

pub async fn walk_visits_the_rows_of_the_list_under_every_filter(store: &dyn AdminStore) {
    let (ada, ben) = (user(store, "ada").await.id, user(store, "ben").await.id);
    for n in 0..10_i64 {
        let mut new =
            new_url(if n % 3 == 0 { ben } else { ada }, &format!("CODE{n}"), &format!("https://h{}.example/", n % 2));
        let tags: Vec<&str> =
            ["even", "small"].into_iter().zip([n % 2 == 0, n < 5]).filter(|(_, is)| *is).map(|(tag, _)| tag).collect();
        new.labels.tags = tern_common::link_labels::Tags::new(
            tags.into_iter().map(|tag| tern_common::link_labels::Tag::parse(tag).unwrap()),
        )
        .unwrap();
        let link = store.insert_url(new).await.unwrap().value;
        ship(store, n.unsigned_abs().into(), 1, &vec![click_on(&link); n.unsigned_abs() as usize % 4]).await;
    }
    let tag = |text| tern_common::link_labels::Tag::parse(text).unwrap();
    let filters = [
        UrlFilter::default(),
        UrlFilter { user_id: Some(ben), ..UrlFilter::default() },
        UrlFilter { is_active: Some(true), ..UrlFilter::default() },
        UrlFilter { is_active: Some(false), ..UrlFilter::default() },
        UrlFilter { short_code: Some("CODE7".to_owned()), ..UrlFilter::default() },
        UrlFilter { short_code: Some("CODE\0".to_owned()), ..UrlFilter::default() },
        UrlFilter { search: Some(tern_common::url::SearchTerm::parse("h1.ex").unwrap()), ..UrlFilter::default() },
        UrlFilter { tag: vec![tag("even")], ..UrlFilter::default() },
        UrlFilter { tag: vec![tag("even"), tag("small")], ..UrlFilter::default() },
        UrlFilter { tag: vec![tag("even"), tag("small")], tag_mode: TagMode::All, ..UrlFilter::default() },
        UrlFilter { not_tag: vec![tag("even")], user_id: Some(ada), ..UrlFilter::default() },
        UrlFilter { state: Some(tern_common::link_state::LinkState::Active), ..UrlFilter::default() },
        UrlFilter { host: Some("h0.example".to_owned()), ..UrlFilter::default() },
        UrlFilter { never_clicked: Some(true), ..UrlFilter::default() },
        UrlFilter { never_clicked: Some(false), user_id: Some(ada), ..UrlFilter::default() },
    ];
    let mut sizes = BTreeSet::new();
    for filter in filters {
        let listed = store.list_urls(filter.clone(), UrlSort::default(), page(1, 100)).await.unwrap();
        let listed: Vec<i64> = listed.rows.iter().map(|url| url.id.get()).collect();
        assert_eq!(walk_urls(store, filter.clone()).await, listed, "{filter:?}");
        sizes.insert(listed.len());
    }
    assert!(sizes.len() >= 5, "{sizes:?}");
    let click = Some("clicked".to_owned());
    for filter in [
        EventFilter::default(),
        EventFilter { url_id: Some(id(3)), ..EventFilter::default() },
        EventFilter { user_id: Some(ben), ..EventFilter::default() },
        EventFilter { user_id: Some(ada), event_type: click.clone(), ..EventFilter::default() },
        EventFilter { event_type: click, ..EventFilter::default() },
        EventFilter { event_type: Some("\0".to_owned()), ..EventFilter::default() },
    ] {
        let mut listing = page(1, 100);
        listing.start = PageStart::Number(1);
        let listed = store.list_events(filter.clone(), listing).await.unwrap();
        let listed: Vec<i64> = listed.rows.iter().map(|event| event.id.get()).collect();
        assert_eq!(walk_events(store, filter.clone()).await, listed, "{filter:?}");
    }
}
