//! Conformance tests of the orders and walks of lists of urls.

use std::cmp::Ordering;

use tern_common::link_state::LinkState;
use tern_common::store::{AdminStore, Load, LoadOutcome, Page, PageStart, Total, UrlCursor};
use tern_common::url::{SearchTerm, SortKey, Title, Url, UrlChange, UrlFilter, UrlRow, UrlSort};
use tern_common::{Id, LinkOptions, ShortCode, TargetUrl, Timestamp};

use crate::fixture::{url, user};
use crate::store_loading::{load, numbered};
use crate::store_pages::Random;

/// Compares two urls as the list does.
fn compare(sort: UrlSort, a: &Url, b: &Url) -> Ordering {
    let values = match sort.key {
        SortKey::Id => Ordering::Equal,
        SortKey::CreatedAt => a.created_at.cmp(&b.created_at),
        SortKey::UpdatedAt => a.updated_at.cmp(&b.updated_at),
        SortKey::ShortCode => a.short_code.cmp(&b.short_code),
        SortKey::Clicks => a.clicks.cmp(&b.clicks),
        // Rows without a value are last in both directions.
        SortKey::Title if a.title.is_some() != b.title.is_some() => return a.title.is_none().cmp(&b.title.is_none()),
        SortKey::Title => a.title.cmp(&b.title),
        SortKey::LastClickedAt if a.last_clicked_at.is_some() != b.last_clicked_at.is_some() => {
            return a.last_clicked_at.is_none().cmp(&b.last_clicked_at.is_none());
        }
        SortKey::LastClickedAt => a.last_clicked_at.cmp(&b.last_clicked_at),
        SortKey::ExpiresAt => match (a.expires_at, b.expires_at) {
            (Some(a), Some(b)) => a.cmp(&b),
            (a, b) if a.is_some() != b.is_some() => return a.is_none().cmp(&b.is_none()),
            _ => Ordering::Equal,
        },
    };
    let ascending = values.then(a.id.get().cmp(&b.id.get()));
    if sort.is_descending { ascending.reverse() } else { ascending }
}

fn orders() -> impl Iterator<Item = UrlSort> {
    SortKey::ALL.into_iter().flat_map(|key| [false, true].map(|is_descending| UrlSort { key, is_descending }))
}

/// Loads links with few different titles and times, so that many values are equal.
pub async fn fill(store: &dyn AdminStore, owner: Id, random: &mut Random, number: u64) {
    const TITLES: [Option<&str>; 7] =
        [None, Some(""), Some("Zebra"), Some("apple"), Some("Äpfel"), Some("\u{ffff}"), Some("\u{10000}")];
    let rows = (0..number).map(|n| UrlRow {
        id: None,
        user_id: owner,
        short_code: ShortCode::parse(&format!("c{:x}x{n}u{owner}", random.below(64))).unwrap(),
        original_url: TargetUrl::parse("https://example.com/").unwrap(),
        title: TITLES[random.below(7) as usize].map(|title| Title::parse(title).unwrap()),
        is_active: random.below(3) > 0,
        options: LinkOptions {
            // Some have ended, and most have no end.
            expires_at: [None, None, Some(1_800_000_000), Some(4_000_000_000), Some(4_000_000_007)]
                [random.below(5) as usize]
                .map(Timestamp::from_unix_seconds),
            ..LinkOptions::default()
        },
        labels: Default::default(),
        revision: None,
        imported_clicks: 0,
        created_at: Some(Timestamp::from_unix_seconds(1_700_000_000 + random.below(5).cast_signed())),
        updated_at: Some(Timestamp::from_unix_seconds(1_800_000_000 + random.below(9).cast_signed())),
    });
    let rows = numbered(rows.collect());
    assert_eq!(load(store, Load::Urls, rows).await.unwrap(), LoadOutcome::Inserted(number));
}

async fn all(store: &dyn AdminStore, filter: &UrlFilter) -> Vec<Url> {
    let mut rows = Vec::new();
    let mut start = PageStart::Number(1);
    loop {
        let listing = store.list_urls(filter.clone(), UrlSort::default(), Page { start, size: 100 }).await.unwrap();
        rows.extend(listing.rows);
        if !listing.has_next {
            return rows;
        }
        start = PageStart::After(listing.last);
    }
}

fn ids(urls: &[Url]) -> Vec<i64> {
    urls.iter().map(|url| url.id.get()).collect()
}

/// Checks the pages of a list in both directions, and by their numbers.
pub async fn check_walks(store: &dyn AdminStore, filter: &UrlFilter, size: u32) {
    let mut expected = all(store, filter).await;
    for sort in orders() {
        expected.sort_by(|a, b| compare(sort, a, b));
        let list = async |start| store.list_urls(filter.clone(), sort, Page { start, size }).await.unwrap();
        // The text of a cursor is what clients send.
        let sent = |cursor: &UrlCursor| cursor.to_string().parse::<UrlCursor>().unwrap();
        let (mut forwards, mut start) = (Vec::new(), PageStart::Number(1));
        loop {
            let listing = list(start).await;
            assert_eq!(listing.total, Total::Exactly(expected.len() as u64), "{filter:?} {sort:?}");
            forwards.extend(listing.rows);
            if !listing.has_next {
                break;
            }
            start = PageStart::After(sent(&listing.last));
        }
        assert_eq!(ids(&forwards), ids(&expected), "{filter:?} {sort:?}");
        let (mut backwards, mut start) = (Vec::new(), PageStart::Before(UrlCursor::End));
        loop {
            let listing = list(start).await;
            backwards = [listing.rows, backwards].concat();
            if !listing.has_previous {
                break;
            }
            start = PageStart::Before(sent(&listing.first));
        }
        assert_eq!(ids(&backwards), ids(&expected), "backwards {filter:?} {sort:?}");
        for (number, chunk) in (1..).zip(expected.chunks(size as usize)) {
            assert_eq!(ids(&list(PageStart::Number(number)).await.rows), ids(chunk), "page {number} {sort:?}");
        }
        assert!(list(PageStart::Number(u64::MAX)).await.rows.is_empty());
        assert!(list(PageStart::After(UrlCursor::End)).await.rows.is_empty());
        assert!(list(PageStart::Before(UrlCursor::Start)).await.rows.is_empty());
    }
}

pub async fn walk_under_every_order_and_filter_visits_each_link_once(store: &dyn AdminStore) {
    let mut random = Random(21);
    let owners = [user(store, "ada").await.id, user(store, "bob").await.id];
    fill(store, owners[0], &mut random, 130).await;
    fill(store, owners[1], &mut random, 45).await;
    let search = |text| Some(SearchTerm::parse(text).unwrap());
    for filter in [
        UrlFilter::default(),
        UrlFilter { user_id: Some(owners[1]), ..UrlFilter::default() },
        UrlFilter { is_active: Some(true), user_id: Some(owners[0]), ..UrlFilter::default() },
        UrlFilter { search: search("ÄPF"), ..UrlFilter::default() },
        UrlFilter { search: search("X1"), is_active: Some(true), ..UrlFilter::default() },
        UrlFilter { host: Some("example.com".to_owned()), state: Some(LinkState::Inactive), ..UrlFilter::default() },
        UrlFilter { state: Some(LinkState::Active), ..UrlFilter::default() },
        UrlFilter { state: Some(LinkState::Expired), ..UrlFilter::default() },
        UrlFilter { search: search("no such text"), ..UrlFilter::default() },
    ] {
        check_walks(store, &filter, 7).await;
    }
}

pub async fn walk_beside_changes_visits_each_unchanged_link_once(store: &dyn AdminStore) {
    let mut random = Random(22);
    let owner = user(store, "ada").await.id;
    fill(store, owner, &mut random, 90).await;
    for (round, sort) in orders().enumerate() {
        let before = all(store, &UrlFilter::default()).await;
        let mut changed = Vec::new();
        let mut walked = Vec::new();
        let mut start = PageStart::Number(1);
        loop {
            let listing = store.list_urls(UrlFilter::default(), sort, Page { start, size: 6 }).await.unwrap();
            walked.extend(listing.rows.iter().map(|url| url.id));
            if !listing.has_next {
                break;
            }
            // The row at the cursor is deleted, another is changed, and a new one is inserted.
            let at = listing.rows.last().unwrap().id;
            let other = before[random.below(before.len() as u64) as usize].id;
            if walked.len() < 40 {
                store.delete_url(at, None).await.unwrap();
                changed.push(at);
            }
            let title = Some(Some(Title::parse(&format!("t{}", random.below(9))).unwrap()));
            store.update_url(other, UrlChange { title, ..UrlChange::default() }).await.unwrap();
            changed.push(other);
            url(store, owner, &format!("n{round}n{}", walked.len())).await;
            start = PageStart::After(listing.last);
        }
        for url in before.iter().filter(|url| !changed.contains(&url.id)) {
            assert_eq!(walked.iter().filter(|id| **id == url.id).count(), 1, "{sort:?} {url:?}");
        }
    }
}

pub async fn search_with_many_matches_has_a_bounded_total_and_walks_in_order(store: &dyn AdminStore) {
    let owner = user(store, "ada").await.id;
    fill(store, owner, &mut Random(24), 10_001).await;
    // A store may count two characters, which are in more rows, to a lower limit.
    for (term, counted) in [("EXAMPLE", 10_000..=10_000), ("LE", 1_000..=10_000)] {
        let filter = UrlFilter { search: Some(SearchTerm::parse(term).unwrap()), ..UrlFilter::default() };
        for sort in orders() {
            let list = async |start| store.list_urls(filter.clone(), sort, Page { start, size: 50 }).await.unwrap();
            let first = list(PageStart::Number(1)).await;
            assert!(first.has_next && matches!(first.total, Total::Above(n) if counted.contains(&n)), "{sort:?}");
            let second = list(PageStart::After(first.last)).await;
            let walked = [first.rows, second.rows].concat();
            assert!(walked.is_sorted_by(|a, b| compare(sort, a, b).is_lt()), "{sort:?}");
            assert_eq!(walked.len(), 100);
            assert_eq!(ids(&list(PageStart::Number(2)).await.rows), ids(&walked[50..]), "{sort:?}");
        }
    }
}
