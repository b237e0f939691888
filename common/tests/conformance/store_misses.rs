//! Conformance tests of codes that were asked for although no link has them.

use tern_common::missed_code::{MOST_MISSES, NewMisses};
use tern_common::store::AdminStore;

use crate::fixture::{url, user};

fn missed(code: impl Into<String>, count: u64) -> NewMisses {
    NewMisses { short_code: code.into(), count }
}

async fn listed(store: &dyn AdminStore, limit: u32) -> Vec<(String, u64)> {
    store.list_misses(limit).await.unwrap().into_iter().map(|missed| (missed.short_code, missed.count)).collect()
}

pub async fn misses_add_up_and_those_with_a_link_are_omitted(store: &dyn AdminStore) {
    assert_eq!(listed(store, 9).await, []);
    store.count_misses(&[]).await.unwrap();
    store.count_misses(&[missed("b", 2), missed("often", 3), missed("B", 2)]).await.unwrap();
    store.count_misses(&[missed("often", 4), missed("a", 1)]).await.unwrap();
    let expected = [("often", 7), ("B", 2), ("b", 2), ("a", 1)].map(|(code, count)| (code.to_owned(), count));
    assert_eq!(listed(store, 9).await, expected);
    assert_eq!(listed(store, 2).await, expected[..2]);
    store.run_upkeep().await.unwrap();
    assert_eq!(listed(store, 9).await, expected);
    let ada = user(store, "ada").await.id;
    url(store, ada, "often").await;
    assert_eq!(listed(store, 9).await, expected[1..]);
}

pub async fn misses_beyond_their_bound_are_forgotten_least_asked_first(store: &dyn AdminStore) {
    let most = u64::from(MOST_MISSES);
    let rare: Vec<_> = (0..most).map(|n| missed(format!("rare{n:05}"), 1)).collect();
    store.count_misses(&rare).await.unwrap();
    let often: Vec<_> = (0..50).map(|n| missed(format!("often{n:02}"), 2)).collect();
    store.count_misses(&often).await.unwrap();
    store.run_upkeep().await.unwrap();
    let found = listed(store, MOST_MISSES + 100).await;
    assert_eq!(found.len() as u64, most);
    assert_eq!(found.iter().filter(|(_, count)| *count == 2).count(), 50);
    // A code that was forgotten counts again from the beginning.
    let forgotten = rare.iter().find(|missed| !found.iter().any(|(code, _)| *code == missed.short_code)).unwrap();
    store.count_misses(&[missed(forgotten.short_code.clone(), 3)]).await.unwrap();
    assert_eq!(listed(store, 1).await, [(forgotten.short_code.clone(), 3)]);
}

pub async fn concurrent_reports_of_misses_all_count(store: &dyn AdminStore) {
    let report = async |turn: u64| {
        let codes = (0..40).map(|n| if turn.is_multiple_of(2) { n } else { 39 - n });
        let misses: Vec<_> = codes.map(|n| missed(format!("code{n:02}"), 1)).collect();
        store.count_misses(&misses).await.unwrap();
    };
    futures_util::future::join_all((0..8).map(&report)).await;
    let found = listed(store, 100).await;
    assert_eq!(found.len(), 40);
    assert!(found.iter().all(|(_, count)| *count == 8), "{found:?}");
}
