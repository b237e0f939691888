//! Conformance tests that every cache passes.

use std::time::{Duration, Instant};

use tern_common::cache::Cache;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(1000);

pub async fn cached_value_is_returned_until_it_expires(cache: &dyn Cache) {
    assert_eq!(cache.get("products").await.unwrap(), None);
    let put_at = Instant::now();
    cache.put("products", b"[]".to_vec(), SHORT).await.unwrap();
    assert_eq!(cache.get("products").await.unwrap(), Some(b"[]".to_vec()));
    while cache.get("products").await.unwrap().is_some() {
        assert!(put_at.elapsed() < 3 * SHORT, "an expired entry is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Redis counts whole milliseconds from the one in which the entry was put.
    let measured = put_at.elapsed() + Duration::from_millis(1);
    assert!(measured >= SHORT, "an entry expired after {measured:?} instead of {SHORT:?}");
}

pub async fn second_put_replaces_value_and_lifetime(cache: &dyn Cache) {
    cache.put("key", b"old".to_vec(), SHORT).await.unwrap();
    cache.put("key", b"new".to_vec(), LONG).await.unwrap();
    tokio::time::sleep(SHORT + Duration::from_millis(100)).await;
    assert_eq!(cache.get("key").await.unwrap(), Some(b"new".to_vec()));
}

pub async fn cache_keys_are_independent(cache: &dyn Cache) {
    cache.put("a", vec![0, 255], LONG).await.unwrap();
    cache.put("b", Vec::new(), LONG).await.unwrap();
    assert_eq!(cache.get("a").await.unwrap(), Some(vec![0, 255]));
    assert_eq!(cache.get("b").await.unwrap(), Some(Vec::new()));
    assert_eq!(cache.get("c").await.unwrap(), None);
}
