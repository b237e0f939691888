//! Conformance tests of shipped clicks and their journals.

use std::time::{Duration, SystemTime};

use tern_common::event::{Details, EventFilter};
use tern_common::store::{AdminStore, Listing, Load, LoadOutcome, Total};
use tern_common::url::{Url, UrlRow};
use tern_common::{
    Click, ClickBatch, Id, JournalId, JournalPosition, JournalState, ShipOutcome, ShortCode, TargetUrl, Visitor,
};

use crate::fixture::{id, page, url, user};
use crate::store_loading::{load, numbered};

const JOURNAL: JournalId = JournalId(0xfeed);

pub fn click(url_id: Id, owner_id: Id) -> Click {
    Click {
        url_id,
        owner_id,
        short_code: "CODE12".to_owned(),
        original_url: "https://as-served.example/".to_owned(),
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        client: None,
        user_agent: None,
        referrer: None,
        visitor: Visitor::UNKNOWN,
        source: None,
        choice: None,
        is_minimal: false,
        is_counted_only: false,
    }
}

/// Returns a click on `url`, whose code may differ from that of [`click`].
pub fn click_on(url: &Url) -> Click {
    Click { short_code: url.short_code.clone(), ..click(url.id, url.user_id) }
}

/// Inserts a link with its owner and returns a click on it.
async fn click_on_new_link(store: &dyn AdminStore) -> Click {
    let owner = user(store, "ada").await.id;
    click(url(store, owner, "CODE12").await.id, owner)
}

/// Returns a position whose click count is derived from its other numbers.
fn at(segment: u64, offset: u64) -> JournalPosition {
    JournalPosition { segment, offset, sequence: segment / 2 + offset / 2 }
}

fn state(position: JournalPosition, recorded: u64, orphaned: u64) -> JournalState {
    JournalState { position, recorded, without_event: 0, orphaned, parked: 0 }
}

/// Ships clicks of the journal [`JOURNAL`].
async fn ship(
    store: &dyn AdminStore,
    from: Option<JournalPosition>,
    to: JournalPosition,
    clicks: &[Click],
) -> ShipOutcome {
    store.ship_clicks(ClickBatch { journal: JOURNAL, from, to, clicks, parked: 0 }).await.unwrap()
}

async fn clicked_events(store: &dyn AdminStore) -> Listing<tern_common::event::Event> {
    let filter = EventFilter { event_type: Some("clicked".to_owned()), ..EventFilter::default() };
    store.list_events(filter, page(1, 100)).await.unwrap()
}

pub async fn shipped_clicks_become_events_and_orphans_are_counted(store: &dyn AdminStore) {
    let plain = click_on_new_link(store).await;
    let with_headers = Click {
        user_agent: Some("Mozilla/5.0".to_owned()),
        referrer: Some("https://news.example/a?b".to_owned()),
        ..plain.clone()
    };
    let clicks = [plain.clone(), click(id(99), plain.owner_id), with_headers];
    assert_eq!(ship(store, None, at(1, 300), &clicks).await, ShipOutcome::Committed(state(at(1, 300), 2, 1)));
    let listing = clicked_events(store).await;
    assert_eq!(listing.total, Total::Exactly(2));
    let event = &listing.rows[0];
    assert_eq!((event.url_id, event.user_id), (plain.url_id, plain.owner_id));
    assert_eq!(event.timestamp.to_string(), "2023-11-14T22:13:20");
    assert_eq!(event.details.as_str(), r#"{"short_code":"CODE12","original_url":"https://as-served.example/"}"#);
    assert_eq!(
        listing.rows[1].details.as_str(),
        r#"{"short_code":"CODE12","original_url":"https://as-served.example/","referrer":"https://news.example/a?b","user_agent":"Mozilla/5.0"}"#
    );

    store.delete_url(plain.url_id, None).await.unwrap();
    let shipped = ship(store, Some(at(1, 300)), at(2, 0), &[plain.clone(), plain]).await;
    assert_eq!(shipped, ShipOutcome::Committed(state(at(2, 0), 2, 3)));
    assert_eq!(clicked_events(store).await.total, Total::Exactly(0));
}

/// A standby that lacks the last commits, or a restored backup, assigns an id a second time.
pub async fn click_on_reused_link_id_is_an_orphan(store: &dyn AdminStore) {
    let lost = click_on_new_link(store).await;
    store.delete_url(lost.url_id, None).await.unwrap();
    let row = |code: &str| UrlRow {
        id: Some(lost.url_id),
        user_id: lost.owner_id,
        short_code: ShortCode::parse(code).unwrap(),
        original_url: TargetUrl::parse("https://another.example/").unwrap(),
        title: None,
        is_active: true,
        options: Default::default(),
        labels: Default::default(),
        revision: None,
        imported_clicks: 0,
        created_at: None,
        updated_at: None,
    };
    assert_eq!(load(store, Load::Urls, numbered(vec![row("NEW123")])).await.unwrap(), LoadOutcome::Inserted(1));
    let other = Click { short_code: "NEW123".to_owned(), ..lost.clone() };
    let clicks = [lost.clone(), other.clone(), Click { short_code: "new123".to_owned(), ..lost.clone() }];
    assert_eq!(ship(store, None, at(0, 1), &clicks).await, ShipOutcome::Committed(state(at(0, 1), 1, 2)));
    let shipped = ship(store, Some(at(0, 1)), at(0, 2), std::slice::from_ref(&lost)).await;
    assert_eq!(shipped, ShipOutcome::Committed(state(at(0, 2), 1, 3)), "a batch of unknown links alone");
    let listing = clicked_events(store).await;
    assert_eq!(listing.total, Total::Exactly(1));
    assert_eq!(listing.rows[0].details.as_str(), Details::of_click(&other).as_str());
}

pub async fn batch_shipped_twice_is_committed_once(store: &dyn AdminStore) {
    let click = click_on_new_link(store).await;
    let first = state(at(0, 100), 1, 0);
    assert_eq!(ship(store, None, at(0, 100), std::slice::from_ref(&click)).await, ShipOutcome::Committed(first));
    assert_eq!(ship(store, None, at(0, 100), std::slice::from_ref(&click)).await, ShipOutcome::Mismatch(Some(first)));
    let (from, to) = (Some(at(0, 100)), at(0, 200));
    let second = state(to, 2, 0);
    assert_eq!(ship(store, from, to, std::slice::from_ref(&click)).await, ShipOutcome::Committed(second));
    assert_eq!(ship(store, from, to, std::slice::from_ref(&click)).await, ShipOutcome::Mismatch(Some(second)));
    assert_eq!(clicked_events(store).await.total, Total::Exactly(2));
}

pub async fn batch_from_another_position_is_rejected(store: &dyn AdminStore) {
    let clicks = [click_on_new_link(store).await];
    assert_eq!(ship(store, Some(at(0, 0)), at(0, 1), &clicks).await, ShipOutcome::Mismatch(None));
    ship(store, None, at(3, 100), &clicks).await;
    let there = ShipOutcome::Mismatch(Some(state(at(3, 100), 1, 0)));
    for from in [None, Some(at(3, 99)), Some(at(2, 100)), Some(at(100, 3))] {
        assert_eq!(ship(store, from, at(4, 0), &clicks).await, there, "{from:?}");
    }
    let another = ClickBatch { journal: JournalId(7), from: None, to: at(0, 9), clicks: &clicks, parked: 0 };
    assert_eq!(store.ship_clicks(another).await.unwrap(), ShipOutcome::Committed(state(at(0, 9), 1, 0)));
    assert_eq!(clicked_events(store).await.total, Total::Exactly(2));
}

pub async fn batch_without_clicks_advances_the_journal(store: &dyn AdminStore) {
    let far = at(i64::MAX.unsigned_abs(), i64::MAX.unsigned_abs());
    assert_eq!(ship(store, None, at(0, 0), &[]).await, ShipOutcome::Committed(state(at(0, 0), 0, 0)));
    assert_eq!(ship(store, Some(at(0, 0)), far, &[]).await, ShipOutcome::Committed(state(far, 0, 0)));
    assert_eq!(ship(store, Some(at(0, 0)), far, &[]).await, ShipOutcome::Mismatch(Some(state(far, 0, 0))));
}

pub async fn concurrent_batches_of_one_journal_commit_one(store: &dyn AdminStore) {
    let clicks = [click_on_new_link(store).await];
    let mut from = None;
    for round in 1..=10 {
        let to = at(0, round * 100);
        let one = || ship(store, from, to, &clicks);
        let shipped = tokio::join!(one(), one(), one(), one());
        let shipped = [shipped.0, shipped.1, shipped.2, shipped.3];
        let taken = shipped.iter().filter(|shipped| matches!(shipped, ShipOutcome::Committed(_))).count();
        assert_eq!(taken, 1, "{shipped:?}");
        assert_eq!(clicked_events(store).await.total, Total::Exactly(round));
        from = Some(to);
    }
}

/// The journal cleans texts before it writes them; the store must not rely on that.
pub async fn batch_with_hostile_texts_is_committed(store: &dyn AdminStore) {
    let plain = click_on_new_link(store).await;
    let texts = ["\0", "a\0b", "\"}{", "\\u0000\\", "\u{1}\u{7f}\u{85}\u{2028}\u{feff}", "\u{10ffff}\u{fffd}", "'; --"];
    let mut clicks: Vec<Click> = texts
        .iter()
        .map(|text| Click {
            original_url: (*text).to_owned(),
            user_agent: Some((*text).to_owned()),
            referrer: Some(format!("https://{text}.example/{text}")),
            ..plain.clone()
        })
        .collect();
    let long = Some("\u{fffd}".repeat(10_000));
    clicks.push(Click { user_agent: long.clone(), referrer: long, ..plain.clone() });
    for seconds in [1 << 40, 1 << 62] {
        clicks.push(Click { at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), ..plain.clone() });
    }
    clicks.push(Click { at: SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 40), ..plain.clone() });
    clicks.push(Click { url_id: id(i64::MAX), ..plain.clone() });
    clicks.extend(texts.map(|text| Click { short_code: text.to_owned(), ..plain.clone() }));
    clicks.push(Click { owner_id: id(i64::MAX), ..plain });
    let orphaned = 1 + texts.len() as u64;
    let recorded = clicks.len() as u64 - orphaned;
    assert_eq!(ship(store, None, at(0, 1), &clicks).await, ShipOutcome::Committed(state(at(0, 1), recorded, orphaned)));
    let listing = clicked_events(store).await;
    assert_eq!(listing.total, Total::Exactly(recorded));
    for (event, text) in listing.rows.iter().zip(texts) {
        let details: serde_json::Value = serde_json::from_str(event.details.as_str()).unwrap();
        assert_eq!(details["user_agent"], text);
    }
    assert_eq!(
        listing.rows.last().unwrap().user_id,
        listing.rows[0].user_id,
        "the event has another owner than the link"
    );
}

pub async fn large_batch_is_committed_whole(store: &dyn AdminStore) {
    let clicks = vec![click_on_new_link(store).await; 10_000];
    assert_eq!(ship(store, None, at(0, 1), &clicks).await, ShipOutcome::Committed(state(at(0, 1), 10_000, 0)));
    assert_eq!(clicked_events(store).await.total, Total::Exactly(10_000));
}

pub async fn journals_are_returned_in_requested_order(store: &dyn AdminStore) {
    assert_eq!(store.find_journals(&[]).await.unwrap(), []);
    let ids = [JournalId(9), JournalId(u128::MAX), JournalId(0)];
    for (journal, n) in ids.into_iter().zip(1..) {
        store.ship_clicks(ClickBatch { journal, from: None, to: at(n, n), clicks: &[], parked: n }).await.unwrap();
    }
    let asked = [ids[2], JournalId(4), ids[0], ids[1], ids[0]];
    let known = |n| Some(JournalState { parked: n, ..state(at(n, n), 0, 0) });
    assert_eq!(store.find_journals(&asked).await.unwrap(), [known(3), None, known(1), known(2), known(1)]);
    assert_eq!(store.delete_old_journals(Duration::from_secs(3600)).await.unwrap(), 0);
    assert_eq!(store.find_journals(&ids).await.unwrap(), [known(1), known(2), known(3)]);
}
