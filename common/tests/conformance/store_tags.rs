//! Conformance tests of the list of tags with the numbers of their links.

use std::collections::BTreeMap;

use tern_common::link_labels::{LinkLabels, LinkLabelsChange, Tag, Tags};
use tern_common::store::{AdminStore, Page, PageStart, Total};
use tern_common::tag_count::{TagCount, TagCursor, TagFilter};
use tern_common::url::{NewUrl, UrlChange};
use tern_common::{Id, ShortCode};

use crate::fixture::{new_url, user};

async fn link(store: &dyn AdminStore, owner: Id, tags: &[String]) -> Id {
    let tags = Tags::new(tags.iter().map(|tag| Tag::parse(tag).unwrap())).unwrap();
    let labels = LinkLabels { tags, ..LinkLabels::default() };
    let code = ShortCode::generate(8);
    let new = NewUrl { labels, ..new_url(owner, code.as_str(), "https://a.example/") };
    store.insert_url(new).await.unwrap().value.id
}

async fn tags_of(store: &dyn AdminStore, user_id: Option<Id>) -> Vec<(String, u64)> {
    let listing = store.list_tags(TagFilter { user_id }, Page::first(100)).await.unwrap();
    assert_eq!(listing.total, Total::Exactly(listing.rows.len() as u64));
    listing.rows.into_iter().map(|TagCount { tag, links }| (tag, links)).collect()
}

fn named(tags: &[(&str, u64)]) -> Vec<(String, u64)> {
    tags.iter().map(|(tag, links)| ((*tag).to_owned(), *links)).collect()
}

pub async fn tags_are_counted_by_their_links_and_owners(store: &dyn AdminStore) {
    assert_eq!(tags_of(store, None).await, []);
    let (ada, ben) = (user(store, "ada").await.id, user(store, "ben").await.id);
    let of = |tags: &[&str]| tags.iter().map(ToString::to_string).collect::<Vec<_>>();
    let first = link(store, ada, &of(&["sale", "ärger", "zoo"])).await;
    link(store, ada, &of(&["sale"])).await;
    link(store, ben, &of(&["sale", "b c"])).await;
    link(store, ben, &[]).await;
    assert_eq!(tags_of(store, None).await, named(&[("b c", 1), ("sale", 3), ("zoo", 1), ("ärger", 1)]));
    assert_eq!(tags_of(store, Some(ada)).await, named(&[("sale", 2), ("zoo", 1), ("ärger", 1)]));
    assert_eq!(tags_of(store, Some(ben)).await, named(&[("b c", 1), ("sale", 1)]));
    assert_eq!(tags_of(store, Id::new(99)).await, []);

    let labels = LinkLabelsChange { remove_tags: vec![Tag::parse("zoo").unwrap()], ..LinkLabelsChange::default() };
    store.update_url(first, UrlChange { labels, ..UrlChange::default() }).await.unwrap().unwrap();
    assert_eq!(tags_of(store, Some(ada)).await, named(&[("sale", 2), ("ärger", 1)]));
    store.delete_url(first, None).await.unwrap().unwrap();
    assert_eq!(tags_of(store, None).await, named(&[("b c", 1), ("sale", 2)]));
    store.delete_user(ben, true).await.unwrap().unwrap();
    assert_eq!(tags_of(store, None).await, named(&[("sale", 1)]));
}

pub async fn pages_of_tags_are_walked_in_both_directions(store: &dyn AdminStore) {
    let (ada, ben) = (user(store, "ada").await.id, user(store, "ben").await.id);
    let mut expected = BTreeMap::new();
    for n in 0..40_u64 {
        let tags: Vec<String> = (0..n % 4).map(|part| format!("tag{}", (n * 7 + part * 3) % 23)).collect();
        for tag in &tags {
            *expected.entry(tag.clone()).or_default() += 1;
        }
        link(store, ada, &tags).await;
    }
    link(store, ben, &["other".to_owned()]).await;
    let expected: Vec<(String, u64)> = expected.into_iter().collect();
    let page =
        async |start, size| store.list_tags(TagFilter { user_id: Some(ada) }, Page { start, size }).await.unwrap();
    let rows = |rows: Vec<TagCount>| rows.into_iter().map(|TagCount { tag, links }| (tag, links)).collect::<Vec<_>>();
    for size in [1, 5, 100] {
        let (mut forwards, mut start) = (Vec::new(), PageStart::Number(1));
        loop {
            let listing = page(start, size).await;
            assert_eq!(listing.total, Total::Exactly(expected.len() as u64));
            forwards.extend(rows(listing.rows));
            if !listing.has_next {
                break;
            }
            start = PageStart::After(listing.last);
        }
        assert_eq!(forwards, expected);
        let (mut backwards, mut start) = (Vec::new(), PageStart::Before(TagCursor::End));
        loop {
            let listing = page(start, size).await;
            backwards.splice(0..0, rows(listing.rows));
            if !listing.has_previous {
                break;
            }
            start = PageStart::Before(listing.first);
        }
        assert_eq!(backwards, expected);
    }
    assert_eq!(rows(page(PageStart::Number(2), 5).await.rows), expected[5..10]);
    let beyond = page(PageStart::Number(u64::MAX), 5).await;
    assert!(beyond.rows.is_empty() && beyond.has_previous && !beyond.has_next);
}
