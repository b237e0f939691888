//! A store with links, for suites over a real one.

use std::path::Path;
use std::time::{Duration, Instant};

use tern_common::store::{AdminStore, SqliteStore};
use tern_common::url::NewUrl;
use tern_common::user::{Email, NewUser, Username};
use tern_common::{Id, ShortCode, TargetUrl};

/// Creates a store and a user who owns links.
pub async fn new_store(path: &Path) -> (SqliteStore, Id) {
    let store = SqliteStore::open(path).await.unwrap();
    let user = NewUser { username: Username::parse("ada").unwrap(), email: Email::parse("a@b.example").unwrap() };
    let owner = store.insert_user(user).await.unwrap().id;
    (store, owner)
}

pub async fn insert_link(store: &dyn AdminStore, owner: Id, code: &str) -> Id {
    let url = NewUrl {
        user_id: owner,
        short_code: ShortCode::parse(code).unwrap(),
        original_url: TargetUrl::parse("https://example.com/").unwrap(),
        title: None,
        is_active: true,
        options: Default::default(),
        labels: Default::default(),
    };
    store.insert_url(url).await.unwrap().value.id
}

/// Waits until `holds` returns true, for 30 seconds at most.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(30), "condition not met in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
