//! Conformance tests of tags, notes, external ids and revisions of links.

use tern_common::link_labels::{ExternalId, LinkLabels, LinkLabelsChange, Notes, Tag, Tags};
use tern_common::store::{AdminStore, Reused, StoreError};
use tern_common::url::{NewUrl, Title, Url, UrlChange};
use tern_common::{Id, LinkOptionsChange, Timestamp};

use crate::fixture::{changes_since, new_url, snapshot, url, user};
use crate::store_clicks::click_on;

fn tag_list(tags: &[&str]) -> Vec<Tag> {
    tags.iter().map(|tag| Tag::parse(tag).unwrap()).collect()
}

fn tags(given: &[&str]) -> Tags {
    Tags::new(tag_list(given)).unwrap()
}

fn external_id(text: &str) -> ExternalId {
    ExternalId::parse(text).unwrap()
}

async fn change(store: &dyn AdminStore, id: Id, labels: LinkLabelsChange) -> Url {
    store.update_url(id, UrlChange { labels, ..UrlChange::default() }).await.unwrap().unwrap().value
}

pub async fn labels_are_stored_changed_and_removed(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let labels = LinkLabels {
        tags: tags(&["zoo", "Ärger", "zoo", " b c "]),
        notes: Some(Notes::parse("").unwrap()),
        external_id: Some(external_id("order/1")),
    };
    let made =
        store.insert_url(NewUrl { labels, ..new_url(owner, "CODE12", "https://a.example/") }).await.unwrap().value;
    assert_eq!(
        (made.tags.as_slice(), made.notes.as_deref()),
        (&["zoo", "ärger", "b c"].map(String::from)[..], Some(""))
    );
    assert_eq!((made.external_id.as_deref(), made.revision), (Some("order/1"), 1));
    assert_eq!(store.find_url(made.id).await.unwrap().unwrap(), made);

    let change_tags = |set: Option<&[&str]>, add: &[&str], remove: &[&str]| LinkLabelsChange {
        tags: set.map(tags),
        add_tags: tag_list(add),
        remove_tags: tag_list(remove),
        ..LinkLabelsChange::default()
    };
    let added = change(store, made.id, change_tags(None, &["new", "zoo"], &["ärger", "none"])).await;
    assert_eq!(added.tags, ["zoo", "b c", "new"]);
    assert_eq!(change(store, made.id, change_tags(Some(&["x"]), &["y", "z"], &["z"])).await.tags, ["x", "y"]);
    let untagged = change(store, made.id, change_tags(Some(&[]), &[], &[])).await;
    assert_eq!((untagged.tags.len(), untagged.notes.as_deref()), (0, Some("")));

    let labels = LinkLabelsChange { notes: Some(None), external_id: Some(None), ..LinkLabelsChange::default() };
    let bare = change(store, made.id, labels).await;
    assert_eq!((bare.notes.as_deref(), bare.external_id.as_deref()), (None, None));
}

pub async fn twenty_first_tag_is_refused_and_changes_nothing(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let many: Vec<String> = (0..20).map(|n| format!("tag{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let labels = LinkLabels { tags: tags(&many), ..LinkLabels::default() };
    let made =
        store.insert_url(NewUrl { labels, ..new_url(owner, "CODE12", "https://a.example/") }).await.unwrap().value;
    let labels = LinkLabelsChange { add_tags: tag_list(&["more"]), ..LinkLabelsChange::default() };
    let one_more = UrlChange { title: Some(Some(Title::parse("x").unwrap())), labels, ..UrlChange::default() };
    let refused = store.update_url(made.id, one_more).await;
    assert!(matches!(refused, Err(StoreError::TooManyTags)), "{refused:?}");
    assert_eq!(store.find_url(made.id).await.unwrap().unwrap(), made);
}

pub async fn external_id_is_unique_for_each_owner(store: &dyn AdminStore) {
    let (ada, bob) = (user(store, "ada").await.id, user(store, "bob").await.id);
    let new = |owner, code| {
        let labels = LinkLabels { external_id: Some(external_id("7")), ..LinkLabels::default() };
        NewUrl { labels, ..new_url(owner, code, "https://a.example/") }
    };
    let first = store.insert_url(new(ada, "CODE12")).await.unwrap().value;
    store.insert_url(new(bob, "CODE13")).await.unwrap();
    let refused = store.insert_url(new(ada, "CODE14")).await;
    assert!(matches!(refused, Err(StoreError::ExternalIdTaken)), "{refused:?}");
    let plain = url(store, ada, "CODE15").await.id;
    let take = || LinkLabelsChange { external_id: Some(Some(external_id("7"))), ..LinkLabelsChange::default() };
    let refused = store.update_url(plain, UrlChange { labels: take(), ..UrlChange::default() }).await;
    assert!(matches!(refused, Err(StoreError::ExternalIdTaken)), "{refused:?}");
    store.delete_url(first.id, None).await.unwrap();
    assert_eq!(change(store, plain, take()).await.external_id.as_deref(), Some("7"));
}

pub async fn revision_grows_with_changes_and_not_with_clicks(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let made = url(store, owner, "CODE12").await;
    let revision = async || store.find_url(made.id).await.unwrap().unwrap().revision;
    store.update_url(made.id, UrlChange::default()).await.unwrap();
    let click = click_on(&made);
    crate::store_stats::ship(store, 1, &[click]).await;
    assert_eq!(revision().await, 1);
    for expected in [2, 3] {
        let same = UrlChange { is_active: Some(true), ..UrlChange::default() };
        assert_eq!(store.update_url(made.id, same).await.unwrap().unwrap().value.revision, expected);
        assert_eq!(revision().await, expected);
    }
}

pub async fn change_for_another_revision_is_refused(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let made = url(store, owner, "CODE12").await;
    let off = UrlChange { is_active: Some(false), ..UrlChange::default() };
    for change in [off.clone(), UrlChange::default()] {
        let change = UrlChange { if_revision: Some(vec![2, 3]), ..change };
        let refused = store.update_url(made.id, change.clone()).await;
        assert!(matches!(refused, Err(StoreError::OtherRevision(1))), "{refused:?}");
        assert!(store.update_url(Id::new(99).unwrap(), change).await.unwrap().is_none());
    }
    assert_eq!(store.find_url(made.id).await.unwrap().unwrap(), made);
    let change = UrlChange { if_revision: Some(vec![2, 1]), ..off };
    assert_eq!(store.update_url(made.id, change).await.unwrap().unwrap().value.revision, 2);
}

pub async fn active_link_is_found_by_owner_and_target(store: &dyn AdminStore) {
    let (ada, bob) = (user(store, "ada").await.id, user(store, "bob").await.id);
    let long = format!("https://a.example/é?{}", "x".repeat(5000));
    let codes = std::cell::Cell::new(0);
    // A link that was not found is created, and deleted again.
    let find = async |owner, text: &str| {
        codes.set(codes.get() + 1);
        let url = new_url(owner, &format!("NEW{}", codes.get()), text);
        match store.reuse_url(url, UrlChange::default()).await.unwrap() {
            Reused::Found(url) => Some(url.short_code),
            Reused::Created(made) => {
                store.delete_url(made.value.id, None).await.unwrap();
                None
            }
        }
    };
    assert_eq!(find(ada, &long).await, None);
    let insert = |code, target: &str| store.insert_url(new_url(ada, code, target));
    let first = insert("CODE12", &long).await.unwrap().value;
    insert("CODE13", &long).await.unwrap();
    insert("CODE14", &long.replace("a.ex", "b.ex")).await.unwrap();
    insert("CODE15", "https://a.b/").await.unwrap();
    assert_eq!(find(ada, &long).await.as_deref(), Some("CODE12"));
    assert_eq!(find(ada, "https://a.b/").await.as_deref(), Some("CODE15"));
    assert_eq!(find(bob, &long).await, None);
    assert_eq!(find(ada, "https://a.b/x").await, None);
    let second = Some("CODE13");
    let future = Timestamp::from_unix_seconds(4_000_000_000);
    let past = Timestamp::from_unix_seconds(1_000_000_000);
    let options = |starts_at, expires_at| LinkOptionsChange {
        starts_at: Some(starts_at),
        expires_at: Some(expires_at),
        ..LinkOptionsChange::default()
    };
    for (options, expected) in [
        (options(Some(future), None), second),
        (options(None, Some(past)), second),
        (options(Some(past), Some(future)), Some("CODE12")),
    ] {
        store.update_url(first.id, UrlChange { options, ..UrlChange::default() }).await.unwrap();
        assert_eq!(find(ada, &long).await.as_deref(), expected);
    }
    store.update_url(first.id, UrlChange { is_active: Some(false), ..UrlChange::default() }).await.unwrap();
    assert_eq!(find(ada, &long).await.as_deref(), second);
}

/// A click would otherwise make every redirector look the link up.
pub async fn click_is_no_change_of_the_served_link(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let made = url(store, owner, "CODE12").await;
    let (_, cursor) = snapshot(store).await;
    crate::store_stats::ship(store, 1, &[click_on(&made)]).await;
    assert_eq!(changes_since(store, &cursor).await.0, []);
}
