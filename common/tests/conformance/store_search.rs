//! Conformance test of searches beside many changes: an implementation may index changed links later, and in batches.

use std::collections::BTreeMap;

use tern_common::store::{AdminStore, Load, LoadOutcome, Page, PageStart, Total, UrlCursor};
use tern_common::url::{NewUrl, SearchTerm, SortKey, Title, UrlChange, UrlFilter, UrlRow, UrlSort};
use tern_common::{Id, LinkOptions, ShortCode, TargetUrl};

use crate::fixture::{new_url, page, user};
use crate::store_lists::check_walks;
use crate::store_loading::{load, numbered};
use crate::store_pages::Random;

const TITLES: [&str; 6] = ["Lighthouse", "light bulb", "Bulbul", "Ähre", "ähnlich", "x"];

const TERMS: [&str; 7] = ["LIGHT", "bul", "äh", "gh", "ul", "hre", "zz"];

/// Compares each search with the titles, in the order of ids and in another one, page by page.
async fn check(store: &dyn AdminStore, titles: &BTreeMap<Id, &str>) {
    for term in TERMS {
        let filter = UrlFilter { search: Some(SearchTerm::parse(term).unwrap()), ..UrlFilter::default() };
        let needle = term.to_lowercase();
        let expected: Vec<Id> =
            titles.iter().filter(|(_, title)| title.to_lowercase().contains(&needle)).map(|(id, _)| *id).collect();
        for key in [SortKey::Id, SortKey::CreatedAt] {
            let (mut found, mut start) = (Vec::new(), PageStart::<UrlCursor>::Number(1));
            loop {
                let sort = UrlSort { key, is_descending: false };
                let listing = store.list_urls(filter.clone(), sort, Page { start, size: 70 }).await.unwrap();
                assert_eq!(listing.total, Total::Exactly(expected.len() as u64), "{term}");
                found.extend(listing.rows.iter().map(|url| url.id));
                if !listing.has_next {
                    break;
                }
                start = PageStart::After(listing.last);
            }
            found.sort_unstable();
            assert_eq!(found, expected, "{term} {key:?}");
        }
    }
}

pub async fn search_agrees_with_the_links_after_many_changes(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let mut random = Random(25);
    let mut titles = BTreeMap::new();
    for n in 0..600 {
        let title = TITLES[random.below(6) as usize];
        let parsed = Some(Title::parse(title).unwrap());
        let some = titles.keys().nth(random.below(titles.len().max(1) as u64) as usize).copied();
        match (random.below(5), some) {
            (0, Some(id)) => {
                store.delete_url(id, None).await.unwrap();
                titles.remove(&id);
            }
            (1 | 2, Some(id)) => {
                store.update_url(id, UrlChange { title: Some(parsed), ..UrlChange::default() }).await.unwrap();
                titles.insert(id, title);
            }
            _ => {
                let url = NewUrl { title: parsed, ..new_url(owner, &format!("c{n}"), "https://a.example/") };
                titles.insert(store.insert_url(url).await.unwrap().value.id, title);
            }
        }
        if n % 90 == 0 {
            check(store, &titles).await;
        }
    }
    check(store, &titles).await;
    let filter = UrlFilter { search: Some(SearchTerm::parse("ul").unwrap()), ..UrlFilter::default() };
    check_walks(store, &filter, 9).await;
}

pub async fn loaded_link_with_the_id_of_a_deleted_one_is_found_by_its_own_text(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    let mut titles = BTreeMap::new();
    for n in 0..150 {
        let title = Some(Title::parse("Lighthouse").unwrap());
        let url = NewUrl { title, ..new_url(owner, &format!("c{n}"), "https://a.example/") };
        titles.insert(store.insert_url(url).await.unwrap().value.id, "Lighthouse");
    }
    let first = *titles.keys().next().unwrap();
    store.delete_url(first, None).await.unwrap();
    let row = UrlRow {
        id: Some(first),
        user_id: owner,
        short_code: ShortCode::parse("again").unwrap(),
        original_url: TargetUrl::parse("https://a.example/").unwrap(),
        title: Some(Title::parse("Bulbul").unwrap()),
        is_active: true,
        options: LinkOptions::default(),
        labels: Default::default(),
        revision: None,
        imported_clicks: 0,
        created_at: None,
        updated_at: None,
    };
    assert_eq!(load(store, Load::Urls, numbered(vec![row])).await.unwrap(), LoadOutcome::Inserted(1));
    titles.insert(first, "Bulbul");
    check(store, &titles).await;
    store.delete_url(first, None).await.unwrap();
    titles.remove(&first);
    check(store, &titles).await;
    let filter = UrlFilter::default();
    assert_eq!(store.list_urls(filter, UrlSort::default(), page(1, 5)).await.unwrap().total, Total::Exactly(149));
}
