//! Conformance tests of pages: each equals the same page of a sorted set of ids, after random changes.

use std::collections::BTreeSet;

use tern_common::event::{Details, EventFilter, EventRow, EventType};
use tern_common::store::{
    AdminStore, ListCursor, Listing, Load, LoadOutcome, Page, PageCursor as _, PageStart, Total, UrlCursor,
};
use tern_common::url::{UrlFilter, UrlRow, UrlSort};
use tern_common::user::{Email, UserRow, Username};
use tern_common::{Id, ShortCode, TargetUrl};

use crate::fixture::{id, page, user};
use crate::store_loading::{load, numbered};

pub struct Random(pub u64);

impl Random {
    /// SplitMix64 with a fixed seed, so that a failure can be repeated.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// Draws an id near one of a few distant places, or anywhere.
    fn id(&mut self) -> i64 {
        let id = match self.below(9) {
            0 => self.below(1 << 31),
            1 | 2 => (1 << 24) - 300 + self.below(600),
            3 | 4 => (9 << 24) + self.below(1 << 14),
            5 => (1 << 31) + self.below(300),
            _ => self.below(3_000),
        };
        1 + id.cast_signed()
    }

    /// Draws one of `ids`; returns `None` if there are none.
    fn one_of(&mut self, ids: &BTreeSet<i64>) -> Option<i64> {
        ids.range(self.id()..).next().or_else(|| ids.first()).copied()
    }
}

/// Ids of a page, the total, and whether there are rows after it and before it.
type ListedPage = (Vec<i64>, Total, bool, bool);

fn listed_page<T, C>(listing: Listing<T, C>, id_of: impl Fn(&T) -> Id) -> ListedPage {
    let ids = listing.rows.iter().map(|row| id_of(row).get()).collect();
    (ids, listing.total, listing.has_next, listing.has_previous)
}

/// Returns the same page of a list of urls, which is ordered by id too.
fn page_of_urls(page: Page) -> Page<UrlCursor> {
    let start = match page.start {
        PageStart::Number(number) => PageStart::Number(number),
        PageStart::After(cursor) => PageStart::After(cursor.to_string().parse().unwrap()),
        PageStart::Before(cursor) => PageStart::Before(cursor.to_string().parse().unwrap()),
    };
    Page { start, size: page.size }
}

/// Checks that pages anywhere, at the end and past it, by number and by cursor, equal those of `ids`.
async fn check(random: &mut Random, ids: &BTreeSet<i64>, list: impl AsyncFn(Page) -> ListedPage) {
    let all: Vec<i64> = ids.iter().copied().collect();
    for size in [1, 7, 100] {
        let pages = all.len().div_ceil(size);
        let somewhere = random.below(pages as u64 + 1);
        for number in [1, 1 + somewhere, 1 + pages as u64 / 2, pages.max(1) as u64, 1 + pages as u64] {
            let begin = (number as usize - 1) * size;
            let end = all.len().min(begin + size);
            let expected = all.get(begin..end).unwrap_or_default().to_vec();
            let shown = list(page(number, size as u32)).await;
            let total = Total::Exactly(all.len() as u64);
            let expected = (expected, total, end < all.len(), number > 1 && !all.is_empty());
            assert_eq!(shown, expected, "page {number} of {size}");
        }
        // Cursors at a row, at a place without a row, and at both ends.
        let row = random.one_of(ids).unwrap_or(1);
        let cursors = [row, random.id()].map(|each| ListCursor::at(id(each)));
        for cursor in cursors.into_iter().chain([ListCursor::START, ListCursor::END]) {
            let total = Total::Exactly(all.len() as u64);
            let place: i64 = cursor.to_string().parse().unwrap();
            let at = all.partition_point(|id| *id <= place);
            let end = all.len().min(at + size);
            let page = |start| Page { start, size: size as u32 };
            let expected = (all[at..end].to_vec(), total, end < all.len(), cursor != ListCursor::START);
            assert_eq!(list(page(PageStart::After(cursor))).await, expected, "{size} after {cursor}");
            let at = all.partition_point(|id| *id < place);
            let begin = at.saturating_sub(size);
            let expected = (all[begin..at].to_vec(), total, cursor != ListCursor::END, begin > 0);
            assert_eq!(list(page(PageStart::Before(cursor))).await, expected, "{size} before {cursor}");
        }
    }
}

pub async fn pages_of_users_match_a_sorted_set_after_random_changes(store: &dyn AdminStore) {
    let mut random = Random(7);
    let mut ids = BTreeSet::new();
    let users = async |page| listed_page(store.list_users(page).await.unwrap(), |user| user.id);
    for _ in 0..8 {
        let drawn: BTreeSet<i64> = (0..400).map(|_| random.id()).filter(|id| !ids.contains(id)).collect();
        let row = |drawn: &i64| UserRow {
            id: Some(id(*drawn)),
            username: Username::parse(&format!("u{drawn}")).unwrap(),
            email: Email::parse(&format!("u{drawn}@mail.example")).unwrap(),
            created_at: None,
        };
        store.import_users(drawn.iter().map(row).collect()).await.unwrap();
        ids.extend(drawn);
        check(&mut random, &ids, users).await;
        for _ in 0..40 {
            let gone = random.one_of(&ids).unwrap();
            store.delete_user(id(gone), false).await.unwrap().unwrap();
            ids.remove(&gone);
        }
        store.run_upkeep().await.unwrap();
        check(&mut random, &ids, users).await;
    }
}

pub async fn pages_of_links_and_events_match_after_user_deletion(store: &dyn AdminStore) {
    let mut random = Random(9);
    let owners = [user(store, "ada").await.id, user(store, "bob").await.id];
    let ids: BTreeSet<i64> = (0..1_500).map(|_| random.id()).collect();
    let owner = |id: i64| owners[usize::from(id % 2 == 0)];
    let url = |each: i64| UrlRow {
        id: Some(id(each)),
        user_id: owner(each),
        short_code: ShortCode::parse(&format!("c{each}")).unwrap(),
        original_url: TargetUrl::parse("https://example.com/").unwrap(),
        title: None,
        is_active: true,
        options: Default::default(),
        labels: Default::default(),
        revision: None,
        imported_clicks: 0,
        created_at: None,
        updated_at: None,
    };
    let event = |each: i64| EventRow {
        id: Some(id(each)),
        url_id: id(each),
        user_id: owner(each),
        event_type: EventType::parse("noted").unwrap(),
        timestamp: None,
        details: Details::empty(),
    };
    let inserted = LoadOutcome::Inserted(ids.len() as u64);
    let urls = numbered(ids.iter().map(|id| url(*id)).collect());
    assert_eq!(load(store, Load::Urls, urls).await.unwrap(), inserted);
    let events = numbered(ids.iter().map(|id| event(*id)).collect());
    assert_eq!(load(store, Load::Events, events).await.unwrap(), inserted);
    let urls = async |page| {
        listed_page(
            store.list_urls(UrlFilter::default(), UrlSort::default(), page_of_urls(page)).await.unwrap(),
            |url| url.id,
        )
    };
    let events =
        async |page| listed_page(store.list_events(EventFilter::default(), page).await.unwrap(), |event| event.id);
    check(&mut random, &ids, urls).await;
    check(&mut random, &ids, events).await;
    store.delete_user(owners[0], true).await.unwrap().unwrap();
    let left: BTreeSet<i64> = ids.iter().copied().filter(|id| id % 2 == 0).collect();
    check(&mut random, &left, urls).await;
    check(&mut random, &left, events).await;
    let gone: Id = id(random.one_of(&left).unwrap());
    store.delete_url(gone, None).await.unwrap().unwrap();
    let left: BTreeSet<i64> = left.into_iter().filter(|id| *id != gone.get()).collect();
    check(&mut random, &left, urls).await;
    check(&mut random, &left, events).await;
    // Lists with one filter, and with two, whose total is counted.
    let (owner, is_active) = (Some(owners[1]), Some(true));
    for filter in [
        UrlFilter { user_id: owner, ..UrlFilter::default() },
        UrlFilter { is_active, ..UrlFilter::default() },
        UrlFilter { user_id: owner, is_active, ..UrlFilter::default() },
    ] {
        let urls = async |page| {
            listed_page(store.list_urls(filter.clone(), UrlSort::default(), page_of_urls(page)).await.unwrap(), |url| {
                url.id
            })
        };
        check(&mut random, &left, urls).await;
    }
}
