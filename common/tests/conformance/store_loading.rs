//! Conformance tests of loaded files.

use tern_common::event::{Details, EventRow, EventType};
use tern_common::link_labels::{ExternalId, LinkLabels, Notes, Tag, Tags};
use tern_common::product::{Price, ProductRow};
use tern_common::store::{AdminStore, Batches, Load, LoadError, LoadOutcome, NumberedRow};
use tern_common::url::{UrlFilter, UrlRow};
use tern_common::user::{Email, UserRow, Username};
use tern_common::{Id, ShortCode, TargetUrl, Timestamp};
use tokio::sync::mpsc;

use crate::fixture::{changes_since, id, page, snapshot, url, user};

/// Numbers rows by their lines below a header.
pub fn numbered<T>(rows: Vec<T>) -> Vec<NumberedRow<T>> {
    (2..).zip(rows).map(|(line, row)| NumberedRow { line, row }).collect()
}

pub async fn load<T>(
    store: &dyn AdminStore,
    kind: impl FnOnce(Batches<T>) -> Load,
    rows: Vec<NumberedRow<T>>,
) -> Result<LoadOutcome, LoadError> {
    let (sender, batches) = mpsc::channel(2);
    for batch in [rows, Vec::new()] {
        sender.send(Ok(batch)).await.unwrap();
    }
    store.load(kind(batches), None).await
}

pub fn user_row(given: Option<i64>, name: &str) -> UserRow {
    UserRow {
        id: given.map(id),
        username: Username::parse(name).unwrap(),
        email: Email::parse(&format!("{name}@mail.example")).unwrap(),
        created_at: None,
    }
}

pub fn url_row(given: Option<i64>, owner: i64, code: &str) -> UrlRow {
    let created_at = Timestamp::parse("2025-05-22 05:19:55").unwrap();
    UrlRow {
        id: given.map(id),
        user_id: id(owner),
        short_code: ShortCode::parse(code).unwrap(),
        original_url: TargetUrl::parse("https://example.com/").unwrap(),
        title: None,
        is_active: false,
        options: Default::default(),
        labels: Default::default(),
        revision: None,
        imported_clicks: 0,
        created_at: Some(created_at),
        updated_at: None,
    }
}

pub fn event_row(given: Option<i64>, url: i64, user: i64) -> EventRow {
    EventRow {
        id: given.map(id),
        url_id: id(url),
        user_id: id(user),
        event_type: EventType::parse("created").unwrap(),
        timestamp: Some(Timestamp::parse("2025-05-22 05:19:55").unwrap()),
        details: Details::empty(),
    }
}

pub fn product_row(given: Option<i64>, name: &str, price: &str) -> ProductRow {
    ProductRow {
        id: given.map(id),
        name: name.to_owned(),
        category: "home".to_owned(),
        price: Price::parse(price).unwrap(),
        stock: 3,
    }
}

pub async fn loaded_rows_keep_their_ids_and_advance_the_sequence(store: &dyn AdminStore) {
    let (_, cursor) = snapshot(store).await;
    let users = numbered(vec![user_row(Some(400), "ada"), user_row(Some(7), "bob")]);
    assert_eq!(load(store, Load::Users, users).await.unwrap(), LoadOutcome::Inserted(2));
    let urls = numbered(vec![url_row(Some(2000), 400, "AAAAAA"), url_row(Some(5), 7, "BBBBBB")]);
    assert_eq!(load(store, Load::Urls, urls).await.unwrap(), LoadOutcome::Inserted(2));
    let events = numbered(vec![event_row(Some(3422), 2000, 7)]);
    assert_eq!(load(store, Load::Events, events).await.unwrap(), LoadOutcome::Inserted(1));

    let loaded = store.find_url(id(2000)).await.unwrap().unwrap();
    assert_eq!((loaded.user_id, loaded.short_code.as_str(), loaded.is_active), (id(400), "AAAAAA", false));
    assert_eq!((loaded.created_at, loaded.updated_at), (loaded.created_at, loaded.created_at));
    assert_eq!(store.find_event(id(3422)).await.unwrap().unwrap().timestamp.to_string(), "2025-05-22T05:19:55");
    assert_eq!(user(store, "next").await.id, id(401));
    let next = url(store, id(401), "CCCCCC").await;
    assert_eq!(next.id, id(2001));
    let events = store.list_events(Default::default(), page(1, 10)).await.unwrap();
    assert_eq!(events.rows.last().unwrap().id, id(3423));

    let (changes, _) = changes_since(store, &cursor).await;
    assert_eq!(changes.len(), 3, "the feed lacks a change of the load");
}

pub async fn second_load_of_a_file_changes_nothing(store: &dyn AdminStore) {
    let users = || numbered(vec![user_row(Some(1), "ada"), user_row(None, "bob")]);
    let urls = || numbered(vec![url_row(Some(1), 1, "AAAAAA"), url_row(None, 1, "BBBBBB")]);
    let events = || numbered(vec![event_row(Some(1), 1, 1), event_row(None, 2, 1)]);
    let products = || numbered(vec![product_row(Some(1), "Lamp", "1"), product_row(None, "Desk", "2")]);
    for expected in [LoadOutcome::Inserted(2), LoadOutcome::AlreadyThere(2), LoadOutcome::AlreadyThere(2)] {
        assert_eq!(load(store, Load::Users, users()).await.unwrap(), expected);
        assert_eq!(load(store, Load::Urls, urls()).await.unwrap(), expected);
        assert_eq!(load(store, Load::Events, events()).await.unwrap(), expected);
        assert_eq!(load(store, Load::Products, products()).await.unwrap(), expected);
    }
    let (_, cursor) = snapshot(store).await;
    load(store, Load::Urls, urls()).await.unwrap();
    assert_eq!(changes_since(store, &cursor).await.0, []);
    assert_eq!(store.list_products().await.unwrap().len(), 2);
}

pub async fn check<T>(
    store: &dyn AdminStore,
    kind: impl FnOnce(Batches<T>) -> Load,
    rows: Vec<T>,
    line: u64,
    reason: &str,
) {
    match load(store, kind, numbered(rows)).await.unwrap_err() {
        LoadError::Row { line: at, reason: why } => assert_eq!((at, why.as_str()), (line, reason)),
        other => panic!("{other}"),
    }
}

pub async fn file_with_repeated_row_is_refused(store: &dyn AdminStore) {
    user(store, "ada").await;
    url(store, id(1), "TAKEN1").await;
    for (given, again) in
        [(Some(50), "id 50 is given by line 2 of this file, too"), (None, "this row repeats line 2 of this file")]
    {
        check(store, Load::Users, vec![user_row(given, "bob"), user_row(given, "bob")], 3, again).await;
        check(store, Load::Urls, vec![url_row(given, 1, "AAAAAA"), url_row(given, 1, "AAAAAA")], 3, again).await;
        check(store, Load::Events, vec![event_row(given, 1, 1), event_row(given, 1, 1)], 3, again).await;
        let product = || product_row(given, "Lamp", "1");
        check(store, Load::Products, vec![product(), product()], 3, again).await;
    }
    // Each file has one fault only: which of two is reported is unspecified.
    let mut namesake = user_row(Some(51), "bob");
    namesake.email = Email::parse("namesake@mail.example").unwrap();
    check(
        store,
        Load::Users,
        vec![user_row(Some(50), "bob"), namesake],
        3,
        "Username is already taken by line 2 of this file",
    )
    .await;
    let codes = vec![url_row(Some(50), 1, "AAAAAA"), url_row(Some(51), 1, "AAAAAA")];
    check(store, Load::Urls, codes, 3, "Short code is already taken by line 2 of this file").await;
    // The fault on the first line is reported.
    let codes = vec![url_row(Some(50), 9, "AAAAAA"), url_row(Some(51), 1, "TAKEN1")];
    check(store, Load::Urls, codes, 2, "User 9 not found").await;
    let codes = vec![url_row(Some(50), 1, "TAKEN1"), url_row(Some(1), 1, "TAKEN1")];
    check(store, Load::Urls, codes, 2, "Short code is already taken").await;
    assert_eq!(user(store, "next").await.id, id(2));
}

pub async fn file_with_faulty_row_is_loaded_not_at_all(store: &dyn AdminStore) {
    user(store, "ada").await;
    url(store, id(1), "TAKEN1").await;

    let mut namesake = user_row(Some(50), "ada");
    namesake.email = Email::parse("namesake@mail.example").unwrap();
    check(store, Load::Users, vec![user_row(None, "bob"), namesake], 3, "Username is already taken").await;
    let there = "this row is there already, while others of the file are not";
    check(store, Load::Users, vec![user_row(Some(50), "bob"), user_row(Some(1), "ada")], 3, there).await;
    check(store, Load::Users, vec![user_row(Some(1), "ada"), user_row(Some(50), "bob")], 2, there).await;
    check(store, Load::Urls, vec![url_row(None, 1, "AAAAAA"), url_row(None, 9, "BBBBBB")], 3, "User 9 not found").await;
    let taken = vec![url_row(Some(60), 1, "AAAAAA"), url_row(Some(61), 1, "TAKEN1")];
    check(store, Load::Urls, taken, 3, "Short code is already taken").await;
    check(store, Load::Events, vec![event_row(None, 1, 1), event_row(None, 9, 1)], 3, "URL 9 not found").await;
    check(store, Load::Events, vec![event_row(None, 1, 1), event_row(None, 1, 9)], 3, "User 9 not found").await;

    let (sender, batches) = mpsc::channel(2);
    sender.send(Ok(numbered(vec![user_row(None, "bob")]))).await.unwrap();
    sender.send(Err(LoadError::Row { line: 3, reason: "broken".to_owned() })).await.unwrap();
    assert!(matches!(store.load(Load::Users(batches), None).await, Err(LoadError::Row { line: 3, .. })));

    let (sender, batches) = mpsc::channel(2);
    sender.send(Ok(numbered(vec![user_row(None, "bob")]))).await.unwrap();
    drop(sender);
    assert!(
        matches!(store.load(Load::Users(batches), None).await, Err(LoadError::File(_))),
        "the failed reader did not end the load"
    );

    assert_eq!(store.list_users(page(1, 10)).await.unwrap().rows.len(), 1);
    assert_eq!(store.list_urls(Default::default(), Default::default(), page(1, 10)).await.unwrap().rows.len(), 1);
    assert_eq!(store.list_events(Default::default(), page(1, 10)).await.unwrap().rows.len(), 1);
    assert_eq!(user(store, "next").await.id, id(2), "the failed load moved a sequence");
}

pub async fn loaded_rows_without_ids_get_ids(store: &dyn AdminStore) {
    user(store, "ada").await;
    load(store, Load::Users, numbered(vec![user_row(None, "bob"), user_row(None, "carol")])).await.unwrap();
    let users = store.list_users(page(1, 10)).await.unwrap();
    assert_eq!(users.rows.iter().map(|user| user.id.get()).collect::<Vec<_>>(), [1, 2, 3]);
}

pub async fn loaded_links_have_the_labels_and_revision_of_their_rows(store: &dyn AdminStore) {
    let (ada, ben) = (user(store, "ada").await.id, user(store, "ben").await.id);
    let labelled = |id: i64, owner: Id, code: &str, external_id: Option<&str>| {
        let tags = ["summer", "a b"].map(|tag| Tag::parse(tag).unwrap());
        let labels = LinkLabels {
            tags: Tags::new(if id == 3 { vec![] } else { tags.to_vec() }).unwrap(),
            notes: Some(Notes::parse("one\ntwo|three").unwrap()),
            external_id: external_id.map(|text| ExternalId::parse(text).unwrap()),
        };
        UrlRow { labels, revision: (id != 3).then_some(7), ..url_row(Some(id), owner.get(), code) }
    };
    let rows = vec![
        labelled(1, ada, "CODE1", Some("order-1")),
        labelled(2, ben, "CODE2", Some("order-1")),
        labelled(3, ada, "CODE3", None),
    ];
    assert_eq!(load(store, Load::Urls, numbered(rows)).await.unwrap(), LoadOutcome::Inserted(3));
    let link = store.find_url(Id::new(1).unwrap()).await.unwrap().unwrap();
    assert_eq!((link.tags.join("|").as_str(), link.notes.as_deref()), ("summer|a b", Some("one\ntwo|three")));
    assert_eq!((link.external_id.as_deref(), link.revision), (Some("order-1"), 7));
    let plain = store.find_url(Id::new(3).unwrap()).await.unwrap().unwrap();
    assert_eq!((plain.tags.len(), plain.external_id, plain.revision), (0, None, 1));
    let filter = UrlFilter { tag: vec![Tag::parse("a b").unwrap()], ..UrlFilter::default() };
    assert_eq!(store.list_urls(filter, Default::default(), page(1, 9)).await.unwrap().rows.len(), 2);
    // An external id belongs to one link of an owner, in the store and in the file.
    let taken = vec![labelled(4, ada, "CODE4", Some("order-1"))];
    let error = load(store, Load::Urls, numbered(taken)).await.unwrap_err().to_string();
    assert_eq!(error, "line 2: External id is already taken by another link of this user");
    let twice = vec![labelled(4, ada, "CODE4", Some("x")), labelled(5, ada, "CODE5", Some("x"))];
    let error = load(store, Load::Urls, numbered(twice)).await.unwrap_err().to_string();
    assert_eq!(error, "line 3: External id is already taken by line 2 of this file");
}
