//! Conformance tests of audit entries.

use std::time::Duration;

use serde_json::Value;
use tern_common::audit::{AuditEntry, AuditFilter};
use tern_common::link_labels::{ExternalId, LinkLabels, Notes, Tag, Tags};
use tern_common::routing::Rules;
use tern_common::store::{AdminStore, Load, NumberedRow, Total, signed};
use tern_common::url::{NewUrl, Title, Url, UrlChange, UrlRow};
use tern_common::{Id, LinkOptionsChange, RedirectStatus, TargetUrl, Timestamp};

use crate::fixture::{id, new_url, page, url, user};

async fn entries(store: &dyn AdminStore, filter: AuditFilter) -> Vec<AuditEntry> {
    store.list_audit(filter, page(1, 100)).await.unwrap().rows
}

/// Returns the link as the API answers it, without its clicks, which are no change of it.
fn in_json(url: &Url) -> Option<Value> {
    let mut url = serde_json::to_value(url).unwrap();
    for name in ["clicks", "last_clicked_at", "clicks_left"] {
        assert!(url.as_object_mut().unwrap().remove(name).is_some(), "{name}");
    }
    Some(url)
}

fn links(entry: &AuditEntry) -> [Option<Value>; 2] {
    [&entry.before, &entry.after].map(|link| link.as_ref().map(|link| serde_json::from_str(link.as_str()).unwrap()))
}

fn retitle(title: &str) -> UrlChange {
    UrlChange { title: Some(Some(Title::parse(title).unwrap())), ..UrlChange::default() }
}

pub async fn each_change_of_a_link_has_an_audit_entry(store: &dyn AdminStore) {
    let ann = user(store, "ann").await.id;
    let created = url(store, ann, "CODE01").await;
    let rules = Rules::parse(r#"[{"target":"https://a.example/\"ü","if":[{"type":"bot","value":"true"}]}]"#).unwrap();
    let options = LinkOptionsChange { rules: Some(rules), ..LinkOptionsChange::default() };
    let change = UrlChange { options, ..retitle("A \"title\" é") };
    let updated = store.update_url(created.id, change).await.unwrap().unwrap().value;
    // Neither an empty nor a refused change is recorded.
    store.update_url(created.id, UrlChange::default()).await.unwrap().unwrap();
    assert!(store.insert_url(new_url(ann, "CODE01", "https://b.example/")).await.is_err());
    store.delete_url(created.id, None).await.unwrap().unwrap();
    assert!(store.delete_url(created.id, None).await.unwrap().is_none());

    let entries = entries(store, AuditFilter::default()).await;
    let seen: Vec<_> = entries.iter().map(|entry| (entry.url_id, entry.user_id, entry.action.as_str())).collect();
    assert_eq!(seen, ["created", "updated", "deleted"].map(|action| (created.id, ann, action)));
    let [created, updated] = [created, updated].map(|url| in_json(&url));
    assert_eq!(links(&entries[0]), [None, created.clone()]);
    assert_eq!(links(&entries[1]), [created, updated.clone()]);
    assert_eq!(links(&entries[2]), [updated, None]);
    assert!(entries.iter().all(|entry| entry.token.is_none()), "{entries:?}");
    let found = store.find_audit_entry(entries[1].id).await.unwrap().unwrap();
    assert_eq!((found.id, found.at), (entries[1].id, entries[1].at));
    assert!(store.find_audit_entry(id(4711)).await.unwrap().is_none());
}

pub async fn audit_entry_has_the_token_of_its_task(store: &dyn AdminStore) {
    let ann = user(store, "ann").await.id;
    let in_name_of = |token: &str| Some(token.into());
    let one = signed(in_name_of("ci"), url(store, ann, "CODE01")).await.id;
    signed(in_name_of("it's"), store.update_url(one, retitle("b"))).await.unwrap();
    store.update_url(one, retitle("c")).await.unwrap();
    signed(in_name_of("ci"), store.delete_url(one, None)).await.unwrap();
    let two = url(store, ann, "CODE02").await.id;
    signed(in_name_of("ops"), store.delete_url(two, None)).await.unwrap();
    let entries = entries(store, AuditFilter::default()).await;
    let seen: Vec<_> = entries.iter().map(|entry| (entry.action.as_str(), entry.token.as_deref())).collect();
    let expected = [
        ("created", Some("ci")),
        ("updated", Some("it's")),
        ("updated", None),
        ("deleted", Some("ci")),
        ("created", None),
        ("deleted", Some("ops")),
    ];
    assert_eq!(seen, expected);
}

pub async fn deleted_user_leaves_no_audit_entry(store: &dyn AdminStore) {
    let (ann, bob) = (user(store, "ann").await.id, user(store, "bob").await.id);
    url(store, ann, "CODE01").await;
    let gone = url(store, ann, "CODE02").await.id;
    store.delete_url(gone, None).await.unwrap().unwrap();
    let other = url(store, bob, "CODE03").await.id;
    signed(Some("ops".into()), store.delete_user(ann, true)).await.unwrap().unwrap();
    assert!(store.delete_user(ann, true).await.unwrap().is_none());
    let entries = entries(store, AuditFilter::default()).await;
    let seen: Vec<_> = entries.iter().map(|entry| (entry.url_id, entry.user_id)).collect();
    assert_eq!(seen, [(other, bob)]);
}

pub async fn audit_is_filtered_by_link_user_and_token(store: &dyn AdminStore) {
    let (ann, bob) = (user(store, "ann").await.id, user(store, "bob").await.id);
    let one = signed(Some("ci".into()), url(store, ann, "CODE01")).await.id;
    url(store, ann, "CODE02").await;
    signed(Some("ci".into()), url(store, bob, "CODE03")).await;
    let all = AuditFilter::default;
    let check = async |filter: AuditFilter, expected: &[i64]| {
        let listing = store.list_audit(filter.clone(), page(1, 100)).await.unwrap();
        let ids: Vec<i64> = listing.rows.iter().map(|entry| entry.id.get()).collect();
        assert_eq!((ids.as_slice(), listing.total), (expected, Total::Exactly(expected.len() as u64)), "{filter:?}");
    };
    check(all(), &[1, 2, 3]).await;
    check(AuditFilter { url_id: Some(one), ..all() }, &[1]).await;
    check(AuditFilter { user_id: Some(ann), ..all() }, &[1, 2]).await;
    check(AuditFilter { token: Some("ci".to_owned()), ..all() }, &[1, 3]).await;
    check(AuditFilter { token: Some("ci".to_owned()), user_id: Some(ann), ..all() }, &[1]).await;
    check(AuditFilter { url_id: Some(one), user_id: Some(bob), ..all() }, &[]).await;
    check(AuditFilter { token: Some("nobody".to_owned()), ..all() }, &[]).await;
    check(AuditFilter { token: Some("\0".to_owned()), ..all() }, &[]).await;
    let second = store.list_audit(all(), page(2, 2)).await.unwrap();
    assert_eq!((second.rows.len(), second.has_previous, second.has_next), (1, true, false));
}

pub async fn loaded_link_has_no_audit_entry_until_it_changes(store: &dyn AdminStore) {
    let ann = user(store, "ann").await.id;
    let new = new_url(ann, "CODE01", "https://a.example/");
    let row = UrlRow {
        id: Some(id(7)),
        user_id: ann,
        short_code: new.short_code,
        original_url: new.original_url,
        title: None,
        is_active: true,
        options: new.options,
        labels: Default::default(),
        revision: None,
        imported_clicks: 0,
        created_at: None,
        updated_at: None,
    };
    let (batches, receiver) = tokio::sync::mpsc::channel(2);
    batches.send(Ok(vec![NumberedRow { line: 2, row }])).await.unwrap();
    batches.send(Ok(Vec::new())).await.unwrap();
    store.load(Load::Urls(receiver), None).await.unwrap();
    assert_eq!(entries(store, AuditFilter::default()).await.len(), 0);
    let loaded = store.find_url(id(7)).await.unwrap().unwrap();
    store.update_url(loaded.id, retitle("b")).await.unwrap();
    let changes = entries(store, AuditFilter::default()).await;
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(links(&changes[0])[0], in_json(&loaded));
}

pub async fn old_audit_entries_are_deleted_unless_all_are_old(store: &dyn AdminStore) {
    let ann = user(store, "ann").await.id;
    let one: Id = url(store, ann, "CODE01").await.id;
    store.update_url(one, retitle("b")).await.unwrap();
    assert_eq!(store.delete_old_audit(Duration::from_secs(3600)).await.unwrap(), 0);
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let keep = Duration::from_secs(1);
    assert_eq!(store.delete_old_audit(keep).await.unwrap(), 0, "all entries are old, so the clock may be wrong");
    store.update_url(one, retitle("c")).await.unwrap();
    assert_eq!(store.delete_old_audit(keep).await.unwrap(), 2);
    let left = entries(store, AuditFilter::default()).await;
    assert_eq!(left.iter().map(|entry| entry.id.get()).collect::<Vec<_>>(), [3]);
}

pub async fn link_with_every_field_is_audited_with_each_of_them(store: &dyn AdminStore) {
    let ann = user(store, "ann").await.id;
    let time = |text: &str| Some(Timestamp::parse(text).unwrap());
    let tags = ["b", "a \"quoted\" tag"].map(|tag| Tag::parse(tag).unwrap());
    let labels = LinkLabels {
        tags: Tags::new(tags).unwrap(),
        notes: Some(Notes::parse("two\nlines").unwrap()),
        external_id: Some(ExternalId::parse("order/1").unwrap()),
    };
    let mut new = NewUrl { labels, ..new_url(ann, "CODE01", "https://a.example/") };
    new.options.starts_at = time("2026-01-02T03:04:05");
    new.options.expires_at = time("2099-12-31T23:59:59");
    new.options.expired_url = Some(TargetUrl::parse("https://over.example/").unwrap());
    new.options.redirect_status = Some(RedirectStatus::ALL[2]);
    new.options.forward_query = Some(false);
    new.options.max_clicks = Some(9.try_into().unwrap());
    let url = store.insert_url(new).await.unwrap().value;
    let url = store.update_url(url.id, retitle("t")).await.unwrap().unwrap().value;
    let last = entries(store, AuditFilter { url_id: Some(url.id), ..AuditFilter::default() }).await.pop().unwrap();
    assert_eq!(links(&last)[1], in_json(&url));
}
