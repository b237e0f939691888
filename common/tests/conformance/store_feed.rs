//! Conformance tests of the feed of changes: a replica that follows it equals the table.

use std::time::{Duration, Instant};

use tern_common::event::{Details, EventFilter, EventRow, EventType};
use tern_common::store::{AdminStore, Cursor, Delta, LinkChange, Load, StoreError, Total};
use tern_common::url::{Title, UrlChange, UrlFilter, UrlRow};
use tern_common::{Id, ShortCode, TargetUrl};

use crate::fixture::{self, Links, apply, changes_since, id, new_url, page, snapshot, url, user};
use crate::store_loading::{load, numbered};

fn codes(changes: &[LinkChange]) -> Vec<(&str, bool)> {
    let mut codes: Vec<(&str, bool)> = changes
        .iter()
        .map(|change| match change {
            LinkChange::Put(row) => (row.short_code.as_str(), true),
            LinkChange::Removed { short_code } => (short_code.as_str(), false),
        })
        .collect();
    codes.sort_unstable();
    codes
}

fn set_active(is_active: bool) -> UrlChange {
    UrlChange { is_active: Some(is_active), ..UrlChange::default() }
}

pub async fn snapshot_contains_every_link_and_its_cursor_starts_deltas(store: &dyn AdminStore) {
    let (links, cursor) = snapshot(store).await;
    assert!(links.is_empty());
    assert_eq!(changes_since(store, &cursor).await.0, []);

    let owner = user(store, "ada").await.id;
    for n in 0..2_500 {
        url(store, owner, &format!("code{n}")).await;
    }
    store.update_url(id(1), set_active(false)).await.unwrap();
    let (links, cursor) = snapshot(store).await;
    assert_eq!(links.len(), 2_500);
    let first = &links["code0"];
    assert_eq!((first.url_id, first.owner_id, first.is_active), (1, owner.get(), false));
    assert_eq!(first.original_url, "https://code0.example/");
    assert_eq!(changes_since(store, &cursor).await.0, []);
}

pub async fn each_kind_of_change_is_delivered_once(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    for code in ["kept", "moved", "off", "gone", "titled"] {
        url(store, owner, code).await;
    }
    let (_, cursor) = snapshot(store).await;
    let target = TargetUrl::parse("https://elsewhere.example/").unwrap();
    let change = UrlChange { original_url: Some(target), ..UrlChange::default() };
    store.update_url(id(2), change).await.unwrap();
    store.update_url(id(3), set_active(false)).await.unwrap();
    store.delete_url(id(4), None).await.unwrap();
    let title = UrlChange { title: Some(Title::parse("x").ok()), ..UrlChange::default() };
    store.update_url(id(5), title).await.unwrap();
    url(store, owner, "fresh").await;
    store.update_url(id(6), set_active(false)).await.unwrap();
    store.update_url(id(6), set_active(true)).await.unwrap();

    let (changes, cursor) = changes_since(store, &cursor).await;
    let seen: Vec<(&str, bool)> = codes(&changes).into_iter().filter(|(code, _)| *code != "titled").collect();
    assert_eq!(seen, [("fresh", true), ("gone", false), ("moved", true), ("off", true)]);
    let moved = changes.iter().find_map(|change| match change {
        LinkChange::Put(row) if row.short_code == "moved" => Some(row.original_url.as_str()),
        _ => None,
    });
    assert_eq!(moved, Some("https://elsewhere.example/"));
    assert_eq!(changes_since(store, &cursor).await.0, []);
}

pub async fn delivered_change_has_its_age(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let (_, cursor) = snapshot(store).await;
    let before = Instant::now();
    let made = url(store, owner, "older").await;
    store.update_url(made.id, set_active(false)).await.unwrap();
    let after = Instant::now();
    url(store, owner, "younger").await;
    let Delta::Changes { mut changes, .. } = store.delta(&cursor).await.unwrap() else { panic!("too old") };
    changes.sort_by(|one, other| one.change.short_code().cmp(other.change.short_code()));
    let ages: Vec<Option<Duration>> = changes.iter().map(|aged| aged.age).collect();
    let [Some(older), Some(younger)] = ages[..] else { panic!("{ages:?}") };
    assert!(older <= before.elapsed() && younger <= after.elapsed(), "{older:?}, {younger:?}");
    assert!(younger < older, "the age is not that of the oldest change to the code");
}

pub async fn code_inserted_and_deleted_is_delivered_as_removed(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let (_, cursor) = snapshot(store).await;
    let brief = url(store, owner, "brief").await;
    store.delete_url(brief.id, None).await.unwrap();
    let (changes, _) = changes_since(store, &cursor).await;
    assert_eq!(codes(&changes), [("brief", false)]);

    url(store, owner, "brief").await;
    let (changes, _) = changes_since(store, &cursor).await;
    assert_eq!(codes(&changes), [("brief", true)]);

    let (_, cursor) = snapshot(store).await;
    store.delete_user(owner, true).await.unwrap();
    assert_eq!(codes(&changes_since(store, &cursor).await.0), [("brief", false)]);
}

pub async fn rolled_back_change_is_not_delivered(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    url(store, owner, "taken").await;
    let (links, cursor) = snapshot(store).await;
    let refused = store.insert_url(new_url(owner, "taken", "https://other.example/")).await;
    assert!(matches!(refused, Err(StoreError::ShortCodeTaken)));
    assert!(store.insert_url(new_url(id(99), "orphan", "https://other.example/")).await.is_err());
    assert!(store.delete_user(owner, false).await.is_err());
    assert_eq!(changes_since(store, &cursor).await.0, []);
    assert_eq!(snapshot(store).await.0, links);
}

pub async fn mark_is_covered_once_its_change_was_delivered(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let (_, before) = snapshot(store).await;
    let first = store.insert_url(new_url(owner, "first", "https://a.example/")).await.unwrap();
    let (_, between) = changes_since(store, &before).await;
    let second = store.update_url(first.value.id, set_active(false)).await.unwrap().unwrap();
    let (_, after) = changes_since(store, &between).await;
    let third = store.delete_url(first.value.id, None).await.unwrap().unwrap();

    assert!(!before.covers(&first.mark) && between.covers(&first.mark) && after.covers(&first.mark));
    assert!(!between.covers(&second.mark) && after.covers(&second.mark));
    assert!(!after.covers(&third.mark));
    let reread: Cursor = after.to_string().parse().unwrap();
    assert!(reread.covers(&second.mark) && !reread.covers(&third.mark));
}

pub async fn long_delta_is_delivered_in_parts(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let (mut links, cursor) = snapshot(store).await;
    let row = |n: usize| link_row(owner, &format!("code{n}"));
    load(store, Load::Urls, numbered((0..25_000).map(row).collect())).await.unwrap();
    let (changes, cursor) = changes_since(store, &cursor).await;
    apply(&mut links, changes);
    assert_eq!(links.len(), 25_000);
    assert_eq!(links, snapshot(store).await.0);

    store.delete_user(owner, true).await.unwrap();
    // Between two parts the cursor is serialised as text, and another user changes links.
    let other = user(store, "eve").await.id;
    let (mut cursor, mut parts) = (cursor, 0);
    loop {
        cursor = cursor.to_string().parse().unwrap();
        let Delta::Changes { changes, cursor: next, more } = store.delta(&cursor).await.unwrap() else {
            panic!("{cursor} is too old");
        };
        apply(&mut links, changes.into_iter().map(|aged| aged.change).collect());
        (cursor, parts) = (next, parts + 1);
        if parts == 1 {
            url(store, other, "beside").await;
        } else if !more {
            break;
        }
    }
    assert!(parts > 1, "{parts}");
    assert_eq!(links.into_keys().collect::<Vec<_>>(), ["beside"]);
}

/// A deletion in parts lets other writers in; the rows not yet deleted stay in the lists.
pub async fn user_with_many_links_is_deleted_in_parts(store: &dyn AdminStore) {
    const LINKS: usize = 12_000;
    let (owner, other) = (user(store, "ada").await.id, user(store, "eve").await.id);
    let own = url(store, other, "own").await;
    let (mut links, cursor) = snapshot(store).await;
    let row = |n: usize| link_row(owner, &format!("code{n}"));
    load(store, Load::Urls, numbered((0..LINKS).map(row).collect())).await.unwrap();
    // More events by another user on one of the links than one part deletes.
    let followed = store.list_urls(of_user(owner), Default::default(), page(1, 1)).await.unwrap().rows[0].id;
    let event = EventRow {
        id: None,
        url_id: followed,
        user_id: other,
        event_type: EventType::parse("clicked").unwrap(),
        timestamp: None,
        details: Details::empty(),
    };
    load(store, Load::Events, numbered(vec![event; 30_000])).await.unwrap();

    let deletion = std::cell::Cell::new(true);
    let deleting = async {
        store.delete_user(owner, true).await.unwrap().unwrap();
        deletion.set(false);
    };
    let writing = async {
        let mut seen_between = 0;
        while deletion.get() {
            store.update_url(own.id, set_active(true)).await.unwrap();
            let Total::Exactly(left) =
                store.list_urls(of_user(owner), Default::default(), page(1, 1)).await.unwrap().total
            else {
                panic!("a list with one filter has no exact total");
            };
            seen_between += u32::from(left > 0 && left < LINKS as u64);
        }
        seen_between
    };
    let ((), seen_between) = tokio::join!(deleting, writing);
    assert!(seen_between > 0, "the links were deleted in one transaction");
    assert_eq!(
        store.list_urls(UrlFilter::default(), Default::default(), page(1, 1)).await.unwrap().total,
        Total::Exactly(1)
    );
    let events = EventFilter { url_id: Some(followed), ..EventFilter::default() };
    assert_eq!(store.list_events(events, page(1, 1)).await.unwrap().total, Total::Exactly(0));
    assert!(store.find_user(owner).await.unwrap().is_none());
    apply(&mut links, changes_since(store, &cursor).await.0);
    assert_eq!(links, snapshot(store).await.0);
}

fn of_user(id: Id) -> UrlFilter {
    UrlFilter { user_id: Some(id), ..UrlFilter::default() }
}

fn link_row(owner: Id, code: &str) -> UrlRow {
    UrlRow {
        id: None,
        user_id: owner,
        short_code: ShortCode::parse(code).unwrap(),
        original_url: TargetUrl::parse("https://example.com/").unwrap(),
        title: None,
        is_active: true,
        options: Default::default(),
        labels: Default::default(),
        revision: None,
        imported_clicks: 0,
        created_at: None,
        updated_at: None,
    }
}

pub async fn cursor_before_pruned_changes_is_too_old(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let (_, old) = snapshot(store).await;
    url(store, owner, "first").await;
    let (_, recent) = snapshot(store).await;

    assert_eq!(store.prune_changes(Duration::from_secs(3600)).await.unwrap(), 0);
    assert_eq!(changes_since(store, &old).await.0.len(), 1);

    // A change is prunable once it is older than `keep` in whole seconds.
    while store.prune_changes(Duration::ZERO).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(matches!(store.delta(&old).await.unwrap(), Delta::TooOld));
    url(store, owner, "second").await;
    assert_eq!(codes(&changes_since(store, &recent).await.0), [("second", true)]);
}

pub async fn cursor_of_another_database_is_too_old(store: &dyn AdminStore) {
    let (other, _directory) = fixture::sqlite().await;
    let (_, foreign) = snapshot(&other).await;
    assert!(matches!(store.delta(&foreign).await.unwrap(), Delta::TooOld));
    let (_, own) = snapshot(store).await;
    assert!(matches!(store.delta(&own).await.unwrap(), Delta::Changes { .. }));
}

/// Several writers change links at random while a replica follows by deltas only.
pub async fn replica_beside_concurrent_writers_matches_the_table(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let (mut links, mut cursor) = snapshot(store).await;
    let writers = async {
        tokio::join!(
            write_at_random(store, owner, 1),
            write_at_random(store, owner, 2),
            write_at_random(store, owner, 3)
        );
    };
    let mut writers = std::pin::pin!(writers);
    let mut writing = true;
    while writing {
        tokio::select! {
            () = &mut writers => writing = false,
            () = tokio::task::yield_now() => {}
        }
        let (changes, next) = changes_since(store, &cursor).await;
        apply(&mut links, changes);
        cursor = next;
    }
    let table: Links = snapshot(store).await.0;
    assert!(!table.is_empty());
    assert_eq!(links, table);
}

async fn write_at_random(store: &dyn AdminStore, owner: Id, seed: u64) {
    let mut state = seed;
    let mut draw = |below: u64| {
        // Knuth's MMIX generator, so that a failure can be repeated.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for n in 0..100 {
        let chosen = id(1 + draw(60).cast_signed());
        let done = match draw(4) {
            0 => store.delete_url(chosen, None).await.map(|_| ()),
            1 => store.update_url(chosen, set_active(draw(2) == 0)).await.map(|_| ()),
            _ => store.insert_url(new_url(owner, &format!("c{seed}-{n}"), "https://example.com/")).await.map(|_| ()),
        };
        done.unwrap();
    }
}
