//! Conformance tests of what an import needs from a store.

use tern_common::event::{Details, EventFilter, EventRow, EventType};
use tern_common::link_labels::{ExternalId, LinkLabelsChange};
use tern_common::store::{AdminStore, ImportedClick, Load, LoadOutcome, StoreError};
use tern_common::url::{Title, UrlChange, UrlRow};
use tern_common::{Id, ShortCode, Timestamp};

use crate::fixture::{changes_since, id, page, snapshot, url, user};
use crate::store_loading::{load, numbered, url_row};

fn imported(owner: Id, code: &str, imported_clicks: i64) -> UrlRow {
    UrlRow { imported_clicks, ..url_row(None, owner.get(), code) }
}

fn click(owner: Id, link: Id, second: i64) -> ImportedClick {
    ImportedClick(EventRow {
        id: None,
        url_id: link,
        user_id: owner,
        event_type: EventType::parse(EventType::CLICKED).unwrap(),
        timestamp: Some(Timestamp::from_unix_seconds(1_600_000_000 + second)),
        details: Details::parse(r#"{"imported":true}"#).unwrap(),
    })
}

fn external_id(text: &str) -> UrlChange {
    let external_id = Some(Some(ExternalId::parse(text).unwrap()));
    UrlChange { labels: LinkLabelsChange { external_id, ..LinkLabelsChange::default() }, ..UrlChange::default() }
}

pub async fn imported_clicks_are_a_field_beside_the_clicks(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let rows = numbered(vec![imported(owner, "CODE1", 120), imported(owner, "CODE2", 0)]);
    load(store, Load::Urls, rows).await.unwrap();
    let link = store.find_url(id(1)).await.unwrap().unwrap();
    assert_eq!((link.imported_clicks, link.clicks, link.revision), (120, 0, 1));
    assert_eq!(store.find_url(id(2)).await.unwrap().unwrap().imported_clicks, 0);
    let change = UrlChange { imported_clicks: Some(7), ..UrlChange::default() };
    let changed = store.update_url(id(2), change).await.unwrap().unwrap().value;
    assert_eq!((changed.imported_clicks, changed.revision), (7, 2));
    let renamed = UrlChange { title: Some(Some(Title::parse("x").unwrap())), ..UrlChange::default() };
    assert_eq!(store.update_url(id(1), renamed).await.unwrap().unwrap().value.imported_clicks, 120);
}

pub async fn imported_click_is_an_event_and_one_imported_click_less(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let rows = numbered(vec![imported(owner, "CODE1", 5), imported(owner, "CODE2", 1)]);
    load(store, Load::Urls, rows).await.unwrap();
    let (_, cursor) = snapshot(store).await;
    let clicks =
        || vec![click(owner, id(1), 1), click(owner, id(1), 2), click(owner, id(2), 1), click(owner, id(2), 2)];
    let loaded = load(store, Load::ImportedClicks, numbered(clicks())).await.unwrap();
    assert_eq!(loaded, LoadOutcome::Inserted(4));
    let again = load(store, Load::ImportedClicks, numbered(clicks())).await.unwrap();
    assert_eq!(again, LoadOutcome::AlreadyThere(4));
    for (link, left) in [(1, 3), (2, 0)] {
        let link = store.find_url(id(link)).await.unwrap().unwrap();
        assert_eq!((link.imported_clicks, link.clicks, link.revision), (left, 2, 1), "link {}", link.id);
        assert_eq!(link.last_clicked_at, Some(Timestamp::from_unix_seconds(1_600_000_002)));
    }
    let events = store.list_events(EventFilter::default(), page(1, 10)).await.unwrap();
    assert!(events.rows.iter().all(|event| event.details.as_str() == r#"{"imported":true}"#), "{events:?}");
    assert!(changes_since(store, &cursor).await.0.is_empty(), "redirectors serve no counts");
    let entries = store.list_audit(Default::default(), page(1, 10)).await.unwrap();
    assert!(entries.rows.is_empty(), "{entries:?}");
}

pub async fn urls_are_found_by_their_codes(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    for code in ["CODE1", "code1", "CODE2"] {
        url(store, owner, code).await;
    }
    let codes = ["code1", "none", "CODE2"].map(|code| ShortCode::parse(code).unwrap());
    let mut found: Vec<String> =
        store.find_urls_by_codes(codes.to_vec()).await.unwrap().into_iter().map(|url| url.short_code).collect();
    found.sort();
    assert_eq!(found, ["CODE2", "code1"]);
    assert!(store.find_urls_by_codes(Vec::new()).await.unwrap().is_empty());
}

pub async fn each_url_gets_its_own_change_or_refusal(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    for code in ["CODE1", "CODE2", "CODE3"] {
        url(store, owner, code).await;
    }
    let title = UrlChange { title: Some(Some(Title::parse("new").unwrap())), ..UrlChange::default() };
    let changes = vec![(id(1), external_id("x")), (id(2), external_id("x")), (id(9), title.clone()), (id(3), title)];
    let changed = store.change_urls(changes).await.unwrap();
    let outcomes: Vec<Result<i64, String>> = changed
        .value
        .into_iter()
        .map(|outcome| outcome.map(|url| url.id.get()).map_err(|error| error.to_string()))
        .collect();
    let refused = |error: StoreError| Err(error.to_string());
    let expected = [Ok(1), refused(StoreError::ExternalIdTaken), refused(StoreError::UnknownUrl(id(9))), Ok(3)];
    assert_eq!(outcomes, expected);
    assert_eq!(store.find_url(id(3)).await.unwrap().unwrap().title.as_deref(), Some("new"));
    assert_eq!(store.find_url(id(2)).await.unwrap().unwrap().revision, 1);
}
