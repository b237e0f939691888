//! Conformance tests of rows, lists and totals.

use tern_common::event::{Details, EventFilter, EventRow, EventType, NewEvent};
use tern_common::json::write_array;
use tern_common::store::{AdminStore, ImportOutcome, Load, LoadOutcome, StoreError, Total};
use tern_common::url::{Title, UrlChange, UrlFilter, UrlSort};
use tern_common::user::{Email, UserChange, UserRow, Username};
use tern_common::{TargetUrl, Timestamp};

use crate::fixture::{id, new_url, new_user, page, url, user};
use crate::store_loading::{load, numbered, product_row};

pub async fn user_is_inserted_found_updated_and_deleted(store: &dyn AdminStore) {
    let before = Timestamp::now();
    let ada = user(store, "ada").await;
    assert_eq!(ada.id, id(1));
    assert!(ada.created_at >= before && ada.created_at <= Timestamp::now());
    assert_eq!(store.find_user(ada.id).await.unwrap(), Some(ada.clone()));
    assert_eq!(store.find_user(id(99)).await.unwrap(), None);

    let change = UserChange { email: Some(Email::parse("ada@new.example").unwrap()), ..UserChange::default() };
    let changed = store.update_user(ada.id, change).await.unwrap().unwrap();
    assert_eq!((changed.username.as_str(), changed.email.as_str()), ("ada", "ada@new.example"));
    assert_eq!(store.update_user(ada.id, UserChange::default()).await.unwrap(), Some(changed.clone()));
    assert_eq!(store.update_user(id(99), UserChange::default()).await.unwrap(), None);

    assert!(store.delete_user(ada.id, false).await.unwrap().is_some());
    assert!(store.delete_user(ada.id, false).await.unwrap().is_none());
    assert_eq!(store.find_user(ada.id).await.unwrap(), None);
    assert_eq!(user(store, "bob").await.id, id(2), "an id was given twice");
}

pub async fn taken_username_and_taken_email_are_distinct_errors(store: &dyn AdminStore) {
    user(store, "ada").await;
    let bob = user(store, "bob").await;
    let insert = |name: &str, email: &str| {
        let mut new = new_user(name);
        new.email = Email::parse(email).unwrap();
        store.insert_user(new)
    };
    assert!(matches!(insert("ada", "other@mail.example").await, Err(StoreError::UsernameTaken)));
    assert!(matches!(insert("other", "ada@mail.example").await, Err(StoreError::EmailTaken)));
    insert("Ada", "Ada@mail.example").await.unwrap();

    let name = UserChange { username: Some(Username::parse("ada").unwrap()), ..UserChange::default() };
    assert!(matches!(store.update_user(bob.id, name).await, Err(StoreError::UsernameTaken)));
    let email = UserChange { email: Some(Email::parse("ada@mail.example").unwrap()), ..UserChange::default() };
    assert!(matches!(store.update_user(bob.id, email).await, Err(StoreError::EmailTaken)));
    assert_eq!(store.find_user(bob.id).await.unwrap(), Some(bob));
}

pub async fn user_with_links_is_deleted_only_together_with_them(store: &dyn AdminStore) {
    let (ada, bob) = (user(store, "ada").await, user(store, "bob").await);
    let (first, second) = (url(store, ada.id, "AAAAAA").await, url(store, ada.id, "BBBBBB").await);
    let others = url(store, bob.id, "CCCCCC").await;
    let note = EventType::parse("noted").unwrap();
    let event = NewEvent { url_id: others.id, user_id: Some(ada.id), event_type: note, details: Details::empty() };
    let event = store.insert_event(event).await.unwrap();

    let refused = store.delete_user(ada.id, false).await.unwrap_err();
    assert!(matches!(refused, StoreError::UserOwnsUrls { urls: 2, .. }), "{refused}");
    assert!(store.find_url(first.id).await.unwrap().is_some());

    assert!(store.delete_user(ada.id, true).await.unwrap().is_some());
    assert_eq!(store.find_url(first.id).await.unwrap(), None);
    assert_eq!(store.find_url(second.id).await.unwrap(), None);
    assert_eq!(store.find_url(others.id).await.unwrap(), Some(others));
    assert!(store.find_event(event.id).await.unwrap().is_none(), "events of a deleted user are left");
}

pub async fn import_returns_a_result_for_each_row(store: &dyn AdminStore) {
    user(store, "ada").await;
    let row = |given: Option<i64>, name: &str, email: &str| UserRow {
        id: given.map(id),
        username: Username::parse(name).unwrap(),
        email: Email::parse(email).unwrap(),
        created_at: Some(Timestamp::parse("2024-03-10 12:15:09").unwrap()),
    };
    let imported = store
        .import_users(vec![
            row(Some(400), "bob", "bob@mail.example"),
            row(None, "ada", "fresh@mail.example"),
            row(None, "fresh", "ada@mail.example"),
            row(Some(1), "ada", "ada@mail.example"),
            row(Some(400), "carol", "carol@mail.example"),
            row(None, "dora", "dora@mail.example"),
            row(None, "dora", "dora@mail.example"),
        ])
        .await
        .unwrap();
    use ImportOutcome::{Duplicate, IdTaken, Inserted};
    assert_eq!(imported, [Inserted, Duplicate, Duplicate, Duplicate, IdTaken(id(400)), Inserted, Duplicate]);
    let bob = store.find_user(id(400)).await.unwrap().unwrap();
    assert_eq!((bob.username.as_str(), bob.created_at.to_string().as_str()), ("bob", "2024-03-10T12:15:09"));
    let users = store.list_users(page(1, 100)).await.unwrap();
    // A refused row may use up an id.
    let ids: Vec<i64> = users.rows.iter().map(|u| u.id.get()).collect();
    assert!(matches!(ids[..], [1, 400, last] if last > 400), "{ids:?}");
    assert_eq!(users.total, Total::Exactly(3));
}

pub async fn url_is_inserted_found_updated_and_deleted(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let mut new = new_url(owner, "CODE12", "https://example.com/a");
    new.title = Some(Title::parse("A title").unwrap());
    let inserted = store.insert_url(new).await.unwrap().value;
    assert_eq!(inserted.id, id(1));
    assert_eq!((inserted.short_code.as_str(), inserted.title.as_deref()), ("CODE12", Some("A title")));
    assert_eq!(inserted.original_url, "https://example.com/a");
    assert!(inserted.is_active);
    assert_eq!(inserted.created_at, inserted.updated_at);
    assert_eq!(store.find_url(inserted.id).await.unwrap(), Some(inserted.clone()));
    let taken = store.insert_url(new_url(owner, "CODE12", "https://example.com/b")).await;
    assert!(matches!(taken, Err(StoreError::ShortCodeTaken)));

    let update = |change| store.update_url(inserted.id, change);
    let unchanged = update(UrlChange::default()).await.unwrap().unwrap().value;
    assert_eq!(unchanged, inserted);
    let change = UrlChange { is_active: Some(false), ..UrlChange::default() };
    let off = update(change).await.unwrap().unwrap().value;
    assert!(!off.is_active && off.title == inserted.title && off.original_url == inserted.original_url);
    assert!(off.updated_at >= inserted.updated_at);
    let change = UrlChange {
        title: Some(None),
        original_url: Some(TargetUrl::parse("https://example.com/c").unwrap()),
        ..UrlChange::default()
    };
    let moved = update(change).await.unwrap().unwrap().value;
    assert_eq!((moved.title, moved.original_url.as_str()), (None, "https://example.com/c"));
    assert!(!moved.is_active);
    assert!(store.update_url(id(99), UrlChange::default()).await.unwrap().is_none());

    let events = store.list_events(EventFilter::default(), page(1, 100)).await.unwrap();
    let kinds: Vec<&str> = events.rows.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(kinds, ["created", "updated", "updated"]);
    assert_eq!(events.rows[2].details.as_str(), r#"{"short_code":"CODE12","original_url":"https://example.com/c"}"#);

    assert!(store.delete_url(inserted.id, None).await.unwrap().is_some());
    assert!(store.delete_url(inserted.id, None).await.unwrap().is_none());
    assert_eq!(store.find_url(inserted.id).await.unwrap(), None);
    let events = store.list_events(EventFilter::default(), page(1, 100)).await.unwrap();
    assert_eq!((events.rows.len(), events.total), (0, Total::Exactly(0)), "events of a deleted link are left");
}

pub async fn reference_to_missing_row_is_refused_with_its_id(store: &dyn AdminStore) {
    let orphan = store.insert_url(new_url(id(99), "CODE12", "https://example.com/")).await;
    assert!(matches!(orphan, Err(StoreError::UnknownUser(user)) if user == id(99)));
    let owner = user(store, "ada").await.id;
    let existing = url(store, owner, "CODE12").await.id;
    let event = |url_id, user_id| NewEvent {
        url_id,
        user_id: Some(user_id),
        event_type: EventType::parse("noted").unwrap(),
        details: Details::empty(),
    };
    let refused = store.insert_event(event(id(99), owner)).await;
    assert!(matches!(refused, Err(StoreError::UnknownUrl(url)) if url == id(99)));
    let refused = store.insert_event(event(existing, id(98))).await;
    assert!(matches!(refused, Err(StoreError::UnknownUser(user)) if user == id(98)));
}

pub async fn inserted_event_is_found_with_its_details(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let url_id = url(store, owner, "CODE12").await.id;
    let details = Details::parse(r#"{"nested":{"a":[1,2.5,null,"\u0000é"]}}"#).unwrap();
    let new = NewEvent {
        url_id,
        user_id: Some(owner),
        event_type: EventType::parse("noted").unwrap(),
        details: details.clone(),
    };
    let inserted = store.insert_event(new).await.unwrap();
    let found = store.find_event(inserted.id).await.unwrap().unwrap();
    assert_eq!(found.details.as_str(), details.as_str());
    assert_eq!((found.url_id, found.user_id, found.event_type.as_str()), (url_id, owner, "noted"));
    assert!(store.find_event(id(99)).await.unwrap().is_none());
}

pub async fn event_without_user_belongs_to_link_owner(store: &dyn AdminStore) {
    let (ada, bob) = (user(store, "ada").await.id, user(store, "bob").await.id);
    let links = [(url(store, ada, "CODE12").await.id, ada), (url(store, bob, "CODE13").await.id, bob)];
    let event = |url_id| NewEvent {
        url_id,
        user_id: None,
        event_type: EventType::parse("noted").unwrap(),
        details: Details::empty(),
    };
    for (url_id, owner) in links {
        let inserted = store.insert_event(event(url_id)).await.unwrap();
        assert_eq!((inserted.url_id, inserted.user_id), (url_id, owner));
        let filter = EventFilter { user_id: Some(owner), event_type: Some("noted".to_owned()), ..Default::default() };
        assert_eq!(store.list_events(filter, page(1, 10)).await.unwrap().total, Total::Exactly(1));
    }
    let refused = store.insert_event(event(id(99))).await;
    assert!(matches!(refused, Err(StoreError::UnknownUrl(url)) if url == id(99)), "{refused:?}");
}

pub async fn list_pages_are_ordered_by_id(store: &dyn AdminStore) {
    for n in 0..7 {
        user(store, &format!("user{n}")).await;
    }
    let check = async |number, size, expected: &[i64], more| {
        let listing = store.list_users(page(number, size)).await.unwrap();
        let ids: Vec<i64> = listing.rows.iter().map(|user| user.id.get()).collect();
        assert_eq!((ids.as_slice(), listing.has_next), (expected, more), "page {number} of {size}");
        assert_eq!(listing.total, Total::Exactly(7));
    };
    check(1, 3, &[1, 2, 3], true).await;
    check(2, 3, &[4, 5, 6], true).await;
    check(3, 3, &[7], false).await;
    check(4, 3, &[], false).await;
    check(1, 7, &[1, 2, 3, 4, 5, 6, 7], false).await;
    check(u64::MAX, 100, &[], false).await;
}

async fn urls_matching(store: &dyn AdminStore, filter: UrlFilter) -> (Vec<String>, Total) {
    let listing = store.list_urls(filter, UrlSort::default(), page(1, 100)).await.unwrap();
    (listing.rows.into_iter().map(|url| url.short_code).collect(), listing.total)
}

pub async fn totals_match_rows_after_every_change(store: &dyn AdminStore) {
    let (ada, bob) = (user(store, "ada").await.id, user(store, "bob").await.id);
    let first = url(store, ada, "AAAAAA").await.id;
    url(store, ada, "BBBBBB").await;
    url(store, bob, "CCCCCC").await;
    let off = UrlChange { is_active: Some(false), ..UrlChange::default() };
    store.update_url(first, off).await.unwrap();

    let check = async |user_id, is_active, code: Option<&str>, expected: &[&str]| {
        let filter = UrlFilter { user_id, is_active, short_code: code.map(str::to_owned), ..UrlFilter::default() };
        let (codes, total) = urls_matching(store, filter.clone()).await;
        assert_eq!(codes, expected, "{filter:?}");
        assert_eq!(total, Total::Exactly(expected.len() as u64), "{filter:?}");
    };
    check(None, None, None, &["AAAAAA", "BBBBBB", "CCCCCC"]).await;
    check(Some(ada), None, None, &["AAAAAA", "BBBBBB"]).await;
    check(None, Some(true), None, &["BBBBBB", "CCCCCC"]).await;
    check(None, Some(false), None, &["AAAAAA"]).await;
    check(None, None, Some("BBBBBB"), &["BBBBBB"]).await;
    check(None, None, Some("bbbbbb"), &[]).await;
    check(None, None, Some("no such code; --"), &[]).await;
    check(Some(ada), Some(true), None, &["BBBBBB"]).await;
    check(Some(id(99)), None, None, &[]).await;

    let count = async |filter: EventFilter| {
        let listing = store.list_events(filter, page(1, 1)).await.unwrap();
        listing.total
    };
    let of_type = |kind: &str| EventFilter { event_type: Some(kind.to_owned()), ..EventFilter::default() };
    assert_eq!(count(of_type("created")).await, Total::Exactly(3));
    assert_eq!(count(of_type("updated")).await, Total::Exactly(1));
    assert_eq!(count(EventFilter { url_id: Some(first), ..EventFilter::default() }).await, Total::Exactly(2));
    assert_eq!(count(EventFilter { user_id: Some(bob), ..EventFilter::default() }).await, Total::Exactly(1));

    store.delete_url(first, None).await.unwrap();
    store.delete_user(bob, true).await.unwrap();
    check(None, None, None, &["BBBBBB"]).await;
    check(None, Some(false), None, &[]).await;
    check(None, Some(true), None, &["BBBBBB"]).await;
    check(Some(ada), None, None, &["BBBBBB"]).await;
    assert_eq!(count(EventFilter::default()).await, Total::Exactly(1));
    assert_eq!(count(of_type("updated")).await, Total::Exactly(0));
    assert_eq!(store.list_users(page(1, 1)).await.unwrap().total, Total::Exactly(1));
}

pub async fn total_of_combined_filters_is_bounded(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let url_id = url(store, owner, "CODE12").await.id;
    let row = EventRow {
        id: None,
        url_id,
        user_id: owner,
        event_type: EventType::parse("noted").unwrap(),
        timestamp: None,
        details: Details::empty(),
    };
    let rows = numbered(vec![row.clone(); 10_000]);
    assert_eq!(load(store, Load::Events, rows).await.unwrap(), LoadOutcome::Inserted(10_000));
    let filter = EventFilter { url_id: Some(url_id), event_type: Some("noted".to_owned()), ..EventFilter::default() };
    let total = async || store.list_events(filter.clone(), page(1, 1)).await.unwrap().total;
    assert_eq!(total().await, Total::Exactly(10_000));
    let EventRow { url_id, user_id, event_type, details, .. } = row;
    store.insert_event(NewEvent { url_id, user_id: Some(user_id), event_type, details }).await.unwrap();
    assert_eq!(total().await, Total::MANY);
    assert_eq!(total().await.to_string(), "10000+");
    let only = EventFilter { event_type: filter.event_type.clone(), ..EventFilter::default() };
    assert_eq!(store.list_events(only, page(1, 1)).await.unwrap().total, Total::Exactly(10_001));
}

/// A PostgreSQL text cannot contain NUL, so no row matches.
pub async fn filter_with_nul_character_matches_nothing(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    url(store, owner, "CODE12").await;
    for user_id in [None, Some(owner)] {
        let filter = UrlFilter { user_id, short_code: Some("CODE12\0".to_owned()), ..UrlFilter::default() };
        let listing = store.list_urls(filter, UrlSort::default(), page(1, 10)).await.unwrap();
        assert_eq!((listing.rows.len(), listing.total, listing.has_next), (0, Total::Exactly(0), false));
        let filter = EventFilter { user_id, event_type: Some("\0".to_owned()), ..EventFilter::default() };
        let listing = store.list_events(filter, page(1, 10)).await.unwrap();
        assert_eq!((listing.rows.len(), listing.total, listing.has_next), (0, Total::Exactly(0), false));
    }
}

pub async fn products_are_listed_by_id(store: &dyn AdminStore) {
    assert_eq!(store.list_products().await.unwrap(), []);
    let rows = numbered(vec![product_row(Some(7), "Lamp", "19.90"), product_row(None, "Desk", "250")]);
    load(store, Load::Products, rows).await.unwrap();
    let products = store.list_products().await.unwrap();
    let mut json = Vec::new();
    write_array(&products, &mut json);
    let json = String::from_utf8(json).unwrap();
    assert_eq!(
        json,
        r#"[{"id":7,"name":"Lamp","category":"home","price":19.90,"stock":3},{"id":8,"name":"Desk","category":"home","price":250.00,"stock":3}]"#
    );
}
