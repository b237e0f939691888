//! Conformance tests of calls that create, change, replace or delete many links, or one of several concurrent ones.

use tern_common::audit::AuditFilter;
use tern_common::event::{EventFilter, EventType};
use tern_common::link_labels::{ExternalId, LinkLabels, LinkLabelsChange, Notes, Tag, Tags};
use tern_common::routing::{Rules, Split};
use tern_common::store::{AdminStore, Commit, Page, Placed, Result, Reused, StoreError, Total, UrlSelection, signed};
use tern_common::url::{NewUrl, Title, Url, UrlChange, UrlFilter, UrlReplacement, UrlSort};
use tern_common::{ClickLimit, Id, LinkOptions, LinkOptionsChange, RedirectStatus, ShortCode, TargetUrl, Timestamp};

use crate::fixture::{changes_since, id, new_url, page, snapshot, url, user};
use crate::store_clicks::click_on;

fn with_external_id(url: NewUrl, text: &str) -> NewUrl {
    let external_id = Some(ExternalId::parse(text).unwrap());
    NewUrl { labels: LinkLabels { external_id, ..url.labels }, ..url }
}

/// Returns outcomes as short texts: the code of a link, or the error.
fn in_short(outcomes: &[Result<Url>]) -> Vec<String> {
    let short = |outcome: &Result<Url>| match outcome {
        Ok(url) => url.short_code.clone(),
        Err(error) => error.to_string(),
    };
    outcomes.iter().map(short).collect()
}

async fn count(store: &dyn AdminStore) -> u64 {
    let listing = store.list_urls(UrlFilter::default(), UrlSort::default(), Page::first(1)).await.unwrap();
    let Total::Exactly(n) = listing.total else { panic!("{:?}", listing.total) };
    n
}

/// Makes a link taken, and returns new links, of which each second one is refused.
async fn mixed(store: &dyn AdminStore) -> Vec<NewUrl> {
    let ann = user(store, "ann").await.id;
    store.insert_url(with_external_id(new_url(ann, "TAKEN", "https://a.example/"), "one")).await.unwrap();
    let new = |code| new_url(ann, code, "https://b.example/");
    vec![
        new("FIRST"),
        new("TAKEN"),
        with_external_id(new("SECOND"), "two"),
        with_external_id(new("OTHER1"), "two"),
        new_url(ann, "THIRD", "https://c.example/"),
        new("FIRST"),
        with_external_id(new("FOURTH"), "four"),
        with_external_id(new("OTHER2"), "one"),
        // The refused item before it used up no code.
        new("OTHER2"),
        new_url(id(99), "OTHER3", "https://d.example/"),
    ]
}

const MIXED: [&str; 10] = [
    "FIRST",
    "Short code is already taken",
    "SECOND",
    "External id is already taken by another link of this user",
    "THIRD",
    "Short code is already taken",
    "FOURTH",
    "External id is already taken by another link of this user",
    "OTHER2",
    "User 99 not found",
];

pub async fn inserted_urls_have_an_outcome_each_and_a_refused_one_affects_no_other(store: &dyn AdminStore) {
    let new = mixed(store).await;
    let (_, cursor) = snapshot(store).await;
    let inserted = store.insert_urls(new, Commit::Accepted).await.unwrap();
    assert_eq!(in_short(&inserted.value), MIXED);
    assert_eq!(count(store).await, 6);
    let (changes, cursor) = changes_since(store, &cursor).await;
    assert_eq!(changes.len(), 5);
    assert!(cursor.covers(&inserted.mark));
    let none = store.insert_urls(Vec::new(), Commit::Accepted).await.unwrap();
    assert!(none.value.is_empty() && cursor.covers(&none.mark));
}

pub async fn refused_url_undoes_an_insertion_of_all_or_none(store: &dyn AdminStore) {
    let new = mixed(store).await;
    let inserted = store.insert_urls(new.clone(), Commit::AllOrNone).await.unwrap();
    assert_eq!(in_short(&inserted.value), MIXED);
    assert_eq!(count(store).await, 1);
    let events = store.list_events(EventFilter::default(), page(1, 9)).await.unwrap();
    assert_eq!(events.rows.len(), 1, "the refused insertion left events");
    let accepted: Vec<NewUrl> = new.into_iter().step_by(2).collect();
    let inserted = store.insert_urls(accepted, Commit::AllOrNone).await.unwrap();
    assert!(inserted.value.iter().all(Result::is_ok), "{inserted:?}");
    assert_eq!(count(store).await, 6);
}

pub async fn new_urls_without_commit_only_have_their_outcomes(store: &dyn AdminStore) {
    let new = mixed(store).await;
    let inserted = store.insert_urls(new, Commit::Nothing).await.unwrap();
    assert_eq!(in_short(&inserted.value), MIXED);
    assert_eq!(count(store).await, 1);
}

pub async fn many_urls_are_inserted_with_events_and_audit_entries(store: &dyn AdminStore) {
    let ann = user(store, "ann").await.id;
    let at = |seconds| Some(Timestamp::from_unix_seconds(seconds));
    let full = |n: i64| NewUrl {
        title: Some(Title::parse("A \"title\" \\ é").unwrap()),
        options: LinkOptions {
            starts_at: at(1_000_000_000 + n),
            expires_at: at(4_000_000_000),
            expired_url: TargetUrl::parse("https://over.example/é").ok(),
            redirect_status: RedirectStatus::try_from(307).ok(),
            forward_query: Some(n % 2 == 0),
            max_clicks: ClickLimit::try_from(n + 1).ok(),
            rules: Rules::parse(r#"[{"target":"https://a.example/ü?\"{y}","if":[{"type":"bot","value":true}]}]"#)
                .unwrap(),
            split: Split::default(),
        },
        labels: LinkLabels {
            tags: Tags::new(["b", "a", "ü"].map(|tag| Tag::parse(tag).unwrap())).unwrap(),
            notes: Some(Notes::parse("two\nlines").unwrap()),
            external_id: Some(ExternalId::parse(&format!("order/{n}")).unwrap()),
        },
        ..new_url(ann, &format!("C{n}"), "https://a.example/ü?x={y}")
    };
    let new: Vec<NewUrl> = (0..1_000).map(full).collect();
    let work = store.insert_urls(new.clone(), Commit::Accepted);
    let inserted = signed(Some("ci".into()), work).await.unwrap().value;
    assert_eq!(count(store).await, 1_000);
    for (n, (inserted, new)) in inserted.iter().zip(new).enumerate() {
        let inserted = inserted.as_ref().unwrap();
        assert_eq!(store.find_url(inserted.id).await.unwrap().as_ref(), Some(inserted));
        if n == 0 {
            // The same values as of a link that was inserted alone.
            store.delete_url(inserted.id, None).await.unwrap();
            let single = store.insert_url(new).await.unwrap().value;
            let Url { id, created_at, updated_at, .. } = inserted.clone();
            assert_eq!(&Url { id, created_at, updated_at, ..single }, inserted);
        }
    }
    let events = store.list_events(EventFilter::default(), page(1, 100)).await.unwrap();
    assert_eq!(events.total, Total::Exactly(1_000));
    assert!(events.rows.iter().all(|event| event.event_type.as_str() == EventType::CREATED));
    let entries = store.list_audit(AuditFilter { token: Some("ci".into()), ..AuditFilter::default() }, page(1, 1));
    assert_eq!(entries.await.unwrap().total, Total::Exactly(1_000));
}

fn retitle() -> UrlChange {
    UrlChange { title: Some(Some(Title::parse("new").unwrap())), ..UrlChange::default() }
}

fn ids_of(ids: impl IntoIterator<Item = Id>) -> UrlSelection {
    UrlSelection::Ids { ids: ids.into_iter().collect(), owner: None }
}

fn of_owner(user_id: Id, expect: u64) -> UrlSelection {
    UrlSelection::Filter { filter: UrlFilter { user_id: Some(user_id), ..UrlFilter::default() }, expect }
}

async fn titles(store: &dyn AdminStore) -> usize {
    let listing = store.list_urls(UrlFilter::default(), UrlSort::default(), Page::first(100)).await.unwrap();
    listing.rows.iter().filter(|url| url.title.is_some()).count()
}

pub async fn selected_urls_are_all_changed(store: &dyn AdminStore) {
    let (ann, bob) = (user(store, "ann").await.id, user(store, "bob").await.id);
    let [a, b, c] = [url(store, ann, "A1").await.id, url(store, ann, "A2").await.id, url(store, bob, "B1").await.id];
    let (_, cursor) = snapshot(store).await;
    let change = UrlChange {
        is_active: Some(false),
        labels: LinkLabelsChange { add_tags: vec![Tag::parse("old").unwrap()], ..LinkLabelsChange::default() },
        ..UrlChange::default()
    };
    let work = store.update_urls(ids_of([b, a, b]), change.clone());
    let changed = signed(Some("ci".into()), work).await.unwrap();
    assert_eq!(changed.value, 2, "an id counts once");
    let (changes, cursor) = changes_since(store, &cursor).await;
    assert!(cursor.covers(&changed.mark));
    assert_eq!(changes.len(), 2);
    for id in [a, b] {
        let url = store.find_url(id).await.unwrap().unwrap();
        assert_eq!((url.is_active, url.revision, url.tags.as_slice()), (false, 2, &["old".to_owned()][..]));
    }
    let filter = UrlFilter { is_active: Some(false), tag: vec![Tag::parse("old").unwrap()], ..UrlFilter::default() };
    let selection = UrlSelection::Filter { filter, expect: 2 };
    assert_eq!(store.update_urls(selection.clone(), retitle()).await.unwrap().value, 2);
    assert_eq!(store.update_urls(selection, UrlChange::default()).await.unwrap().value, 0, "an empty change is none");
    assert_eq!(store.find_url(c).await.unwrap().unwrap().revision, 1);
    let updated = EventFilter { event_type: Some(EventType::UPDATED.to_owned()), ..EventFilter::default() };
    assert_eq!(store.list_events(updated, page(1, 9)).await.unwrap().total, Total::Exactly(4));
    let entries = store.list_audit(AuditFilter { token: Some("ci".into()), ..AuditFilter::default() }, page(1, 9));
    assert_eq!(entries.await.unwrap().rows.len(), 2);
}

pub async fn change_that_one_url_refuses_changes_none(store: &dyn AdminStore) {
    let (ann, bob) = (user(store, "ann").await.id, user(store, "bob").await.id);
    let first = url(store, ann, "A1").await.id;
    let at = |seconds| Some(Timestamp::from_unix_seconds(seconds));
    let options = LinkOptions { starts_at: at(2_000), ..LinkOptions::default() };
    let tags = Tags::new((0..20).map(|n| Tag::parse(&format!("tag{n}")).unwrap())).unwrap();
    let labels = LinkLabels { tags, ..LinkLabels::default() };
    let second = NewUrl { options, labels, ..new_url(ann, "A2", "https://a.example/") };
    let second = store.insert_url(second).await.unwrap().value.id;
    let third = with_external_id(new_url(bob, "B1", "https://a.example/"), "seven");
    let third = store.insert_url(third).await.unwrap().value.id;
    let fourth = url(store, bob, "B2").await.id;
    let external_id = |text| LinkLabelsChange {
        external_id: Some(Some(ExternalId::parse(text).unwrap())),
        ..LinkLabelsChange::default()
    };
    let end = LinkOptionsChange { expires_at: Some(at(1_000)), ..LinkOptionsChange::default() };
    let more = LinkLabelsChange { add_tags: vec![Tag::parse("more").unwrap()], ..LinkLabelsChange::default() };
    let code = ShortCode::parse("A1").unwrap();
    for (ids, change, refusing) in [
        ([first, second], UrlChange { options: end, ..retitle() }, second),
        ([first, second], UrlChange { labels: more, ..retitle() }, second),
        ([first, second], UrlChange { labels: external_id("one"), ..retitle() }, second),
        ([first, fourth], UrlChange { labels: external_id("seven"), ..retitle() }, fourth),
        ([first, fourth], UrlChange { short_code: Some(code), ..retitle() }, fourth),
        ([first, fourth], UrlChange { if_revision: Some(vec![2]), ..retitle() }, first),
    ] {
        let refused = store.update_urls(ids_of(ids), change).await;
        assert!(matches!(&refused, Err(StoreError::RefusedBy { url, .. }) if *url == refusing), "{refused:?}");
        assert_eq!(titles(store).await, 0);
    }
    let change = UrlChange { labels: external_id("seven"), ..retitle() };
    assert_eq!(store.update_urls(ids_of([first, third]), change).await.unwrap().value, 2);
}

pub async fn selection_with_another_count_or_owner_is_refused(store: &dyn AdminStore) {
    let (ann, bob) = (user(store, "ann").await.id, user(store, "bob").await.id);
    let a = url(store, ann, "A1").await.id;
    let b = url(store, bob, "B1").await.id;
    url(store, bob, "B2").await;
    for expect in [0, 1, 3, 10_000] {
        let refused = store.update_urls(of_owner(bob, expect), retitle()).await;
        assert!(
            matches!(refused, Err(StoreError::OtherCount { expected, found: Total::Exactly(2) }) if expected == expect),
            "{refused:?}"
        );
        assert!(matches!(store.delete_urls(of_owner(bob, expect)).await, Err(StoreError::OtherCount { .. })));
    }
    for selection in [
        ids_of([a, id(99)]),
        UrlSelection::Ids { ids: vec![a, b], owner: Some(ann) },
        UrlSelection::Ids { ids: vec![b], owner: Some(ann) },
    ] {
        let refused = store.update_urls(selection.clone(), retitle()).await;
        assert!(matches!(refused, Err(StoreError::UnknownUrl(_))), "{refused:?}");
        assert!(matches!(store.delete_urls(selection).await, Err(StoreError::UnknownUrl(_))));
    }
    assert_eq!((titles(store).await, count(store).await), (0, 3));
    let own = UrlSelection::Ids { ids: vec![a], owner: Some(ann) };
    assert_eq!(store.update_urls(own.clone(), retitle()).await.unwrap().value, 1);
    assert_eq!(store.update_urls(of_owner(id(99), 0), retitle()).await.unwrap().value, 0);
    assert_eq!(store.delete_urls(own).await.unwrap().value, 1);
}

pub async fn selected_urls_are_deleted_with_their_events(store: &dyn AdminStore) {
    let ann = user(store, "ann").await.id;
    let [a, b, c] = [url(store, ann, "A1").await.id, url(store, ann, "A2").await.id, url(store, ann, "A3").await.id];
    let (_, cursor) = snapshot(store).await;
    let deleted = signed(Some("ci".into()), store.delete_urls(ids_of([a, b, a]))).await.unwrap();
    assert_eq!(deleted.value, 2);
    let (changes, cursor) = changes_since(store, &cursor).await;
    assert_eq!(changes.len(), 2);
    assert!(cursor.covers(&deleted.mark));
    let events = store.list_events(EventFilter::default(), page(1, 9)).await.unwrap();
    assert_eq!((events.total, events.rows[0].url_id), (Total::Exactly(1), c));
    let entries = store.list_audit(AuditFilter { token: Some("ci".into()), ..AuditFilter::default() }, page(1, 9));
    let entries = entries.await.unwrap().rows;
    assert_eq!(entries.iter().map(|entry| entry.url_id).collect::<Vec<_>>(), [a, b]);
    assert_eq!(store.delete_urls(of_owner(ann, 1)).await.unwrap().value, 1);
    assert_eq!(count(store).await, 0);
}

pub async fn urls_with_too_many_events_are_not_deleted_at_once(store: &dyn AdminStore) {
    let ann = user(store, "ann").await.id;
    let [a, b] = [url(store, ann, "A1").await, url(store, ann, "A2").await];
    for n in 0..UrlSelection::MAX_EVENTS / 10_000 {
        let clicks = vec![click_on(if n % 2 == 0 { &a } else { &b }); 10_000];
        crate::store_stats::ship(store, u128::from(n), &clicks).await;
    }
    let refused = store.delete_urls(ids_of([a.id, b.id])).await;
    assert!(matches!(refused, Err(StoreError::TooManyEvents)), "{refused:?}");
    let events = store.list_events(EventFilter::default(), page(1, 1)).await.unwrap().total;
    assert_eq!((count(store).await, events), (2, Total::Exactly(u64::from(UrlSelection::MAX_EVENTS) + 2)));
    assert_eq!(store.delete_urls(ids_of([a.id])).await.unwrap().value, 1);
}

pub async fn concurrent_reuse_of_a_target_creates_one_url(store: &dyn AdminStore) {
    let ann = user(store, "ann").await.id;
    let reuse = async |n: usize| {
        let url = new_url(ann, &format!("CODE{n}"), "https://a.example/");
        match store.reuse_url(url, UrlChange::default()).await.unwrap() {
            Reused::Found(url) => (url.id, false),
            Reused::Created(made) => (made.value.id, true),
        }
    };
    let all = futures_util::future::join_all((0..8).map(&reuse)).await;
    assert_eq!(all.iter().filter(|(_, is_new)| *is_new).count(), 1, "{all:?}");
    assert!(all.iter().all(|(id, _)| *id == all[0].0), "{all:?}");
    assert_eq!(count(store).await, 1);
}

fn replacement(url: NewUrl) -> UrlReplacement {
    UrlReplacement { url: with_external_id(url, "one/1"), short_code: None, if_revision: None }
}

pub async fn concurrent_puts_under_an_external_id_create_one_url(store: &dyn AdminStore) {
    let ann = user(store, "ann").await.id;
    let put = async |n: usize| {
        let url = new_url(ann, &format!("CODE{n}"), &format!("https://a.example/{n}"));
        match store.put_url(replacement(url)).await.unwrap() {
            Placed::Replaced(url) => (url.value.id, false),
            Placed::Created(url) => (url.value.id, true),
        }
    };
    let all = futures_util::future::join_all((0..8).map(&put)).await;
    assert_eq!(all.iter().filter(|(_, is_new)| *is_new).count(), 1, "{all:?}");
    assert!(all.iter().all(|(id, _)| *id == all[0].0), "{all:?}");
    assert_eq!(count(store).await, 1);
}

pub async fn put_url_replaces_all_but_code_creation_and_clicks(store: &dyn AdminStore) {
    let (ann, bob) = (user(store, "ann").await.id, user(store, "bob").await.id);
    let full = NewUrl {
        title: Some(Title::parse("a").unwrap()),
        options: LinkOptions { forward_query: Some(true), ..LinkOptions::default() },
        labels: LinkLabels { notes: Some(Notes::parse("n").unwrap()), ..LinkLabels::default() },
        ..new_url(ann, "CODE1", "https://a.example/")
    };
    let Placed::Created(made) = store.put_url(replacement(full)).await.unwrap() else { panic!("nothing to replace") };
    let made = made.value;
    let other = replacement(new_url(bob, "CODE2", "https://a.example/"));
    assert!(matches!(store.put_url(other).await.unwrap(), Placed::Created(_)), "another owner has another link");
    let bare = replacement(NewUrl { is_active: false, ..new_url(ann, "CODE3", "https://b.example/") });
    let Placed::Replaced(replaced) = store.put_url(bare.clone()).await.unwrap() else { panic!("a second link") };
    let replaced = replaced.value;
    assert_eq!((replaced.id, replaced.short_code.as_str(), replaced.created_at), (made.id, "CODE1", made.created_at));
    assert_eq!(
        (replaced.original_url.as_str(), replaced.is_active, replaced.revision),
        ("https://b.example/", false, 2)
    );
    assert_eq!((replaced.title, replaced.notes, replaced.forward_query), (None, None, None));
    assert_eq!(replaced.external_id.as_deref(), Some("one/1"));

    let past = LinkOptions { expires_at: Some(Timestamp::from_unix_seconds(1_000)), ..LinkOptions::default() };
    let ended = replacement(NewUrl { options: past, ..new_url(ann, "CODE4", "https://b.example/") });
    assert!(matches!(store.put_url(ended.clone()).await.unwrap(), Placed::Replaced(_)), "a past end ends the link");
    let other = UrlReplacement { short_code: Some(ShortCode::parse("CODE9").unwrap()), ..bare.clone() };
    assert!(matches!(store.put_url(other).await, Err(StoreError::OtherCode(code)) if code == "CODE1"));
    let conditional = UrlReplacement { if_revision: Some(vec![2]), ..bare };
    assert!(matches!(store.put_url(conditional.clone()).await, Err(StoreError::OtherRevision(3))));
    store.delete_url(made.id, None).await.unwrap();
    assert!(matches!(store.put_url(ended).await, Err(StoreError::EndsInThePast)));
    assert!(matches!(store.put_url(conditional).await, Err(StoreError::NoRevision)));
    assert_eq!(count(store).await, 1);
}

pub async fn deletion_for_another_revision_is_refused(store: &dyn AdminStore) {
    let ann = user(store, "ann").await.id;
    let made = url(store, ann, "CODE1").await.id;
    for accepted in [vec![], vec![2, 3]] {
        let refused = store.delete_url(made, Some(accepted)).await;
        assert!(matches!(refused, Err(StoreError::OtherRevision(1))), "{refused:?}");
    }
    assert!(store.delete_url(id(99), Some(vec![1])).await.unwrap().is_none());
    assert!(store.delete_url(made, Some(vec![2, 1])).await.unwrap().is_some());
}
