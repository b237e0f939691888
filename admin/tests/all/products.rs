//! Products and their cache.

use std::sync::Arc;

use serde_json::json;
use tern_common::cache::{Cache, LocalCache};

use crate::support::{Setup, UnavailableCache, spawn_app, spawn_app_with};

const PRODUCTS: &str = "name,category,price,stock\nTea,Drinks,3.5,12\n\"Pot, \"\"blue\"\"\",Kitchen,19.90,0\n";

#[tokio::test]
async fn products_are_listed_and_cached() {
    let app = spawn_app().await;
    let empty = app.get("/products").await;
    assert_eq!((empty.status, empty.body.as_str(), empty.header("x-cache")), (200, "[]", Some("MISS")));

    let app = spawn_app().await;
    app.load(&[("products.csv", PRODUCTS)]).await.unwrap();
    let miss = app.get("/products").await;
    assert_eq!(miss.header("x-cache"), Some("MISS"));
    assert_eq!(
        miss.json(),
        json!([
            { "id": 1, "name": "Tea", "category": "Drinks", "price": 3.5, "stock": 12 },
            { "id": 2, "name": "Pot, \"blue\"", "category": "Kitchen", "price": 19.9, "stock": 0 },
        ])
    );
    assert!(miss.body.contains(r#""price":3.50,"#) && miss.body.contains(r#""price":19.90,"#), "{}", miss.body);
    let hit = app.get("/products").await;
    assert_eq!((hit.header("x-cache"), hit.header("content-type")), (Some("HIT"), Some("application/json")));
    assert_eq!(hit.body, miss.body);
}

#[tokio::test]
async fn cached_products_without_database_are_served() {
    let cache: Arc<dyn Cache> = Arc::new(LocalCache::new());
    let app = spawn_app_with(Setup { cache: Arc::clone(&cache), ..Setup::default() }).await;
    let without = spawn_app_with(Setup { cache, without_database: true, ..Setup::default() }).await;
    without.get("/products").await.check_error(503, "Database is unavailable");
    app.load(&[("products.csv", PRODUCTS)]).await.unwrap();
    let served = app.get("/products").await;
    let hit = without.get("/products").await;
    assert_eq!((hit.status, hit.header("x-cache")), (200, Some("HIT")));
    assert_eq!(hit.body, served.body);
}

#[tokio::test]
async fn unavailable_cache_is_a_miss() {
    let app = spawn_app_with(Setup { cache: Arc::new(UnavailableCache), ..Setup::default() }).await;
    for _ in 0..2 {
        let answer = app.get("/products").await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, Some("MISS")));
    }
}
