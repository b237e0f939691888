//! A database that is silent, and who may come in meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::access::{Tokens, spawn_behind_proxy};
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn known_tokens_count_and_strangers_wait_for_one_look_together() {
    let app = Arc::new(spawn_behind_proxy().await);
    let tokens = Tokens::make(&app).await;
    let lock = app.database.lock_tokens();
    let began = Instant::now();
    let strangers: Vec<_> = (0..20)
        .map(|n| {
            let app = Arc::clone(&app);
            tokio::spawn(async move { app.as_holder("GET", "/users", Some(&format!("stranger{n}"))).await })
        })
        .collect();
    assert_eq!(app.as_holder("GET", "/logs", Some(tokens.of("admin"))).await.status, 200);
    assert_eq!(app.as_holder("GET", "/logs", Some(tokens.of("viewer"))).await.status, 403);
    assert_eq!(app.as_holder("GET", "/logs", None).await.status, 401);
    for stranger in strangers {
        stranger.await.unwrap().check_error(503, "Database is unavailable");
    }
    // Two looks at most, of which one may have been under way; one after the other they would have taken half a minute.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    drop(lock);
    assert_eq!(app.as_holder("GET", "/users", Some("stranger")).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn list_of_tokens_that_cannot_be_read_while_others_are_answered_is_not_believed() {
    let app = spawn_behind_proxy().await;
    let tokens = Tokens::make(&app).await;
    let status = async || app.as_holder("GET", "/products", Some(tokens.of("viewer"))).await.status;
    let lock = app.database.lock_tokens();
    let began = Instant::now();
    // At first it is: a moment without an answer locks no client out.
    assert_eq!(status().await, 200);
    while status().await == 200 {
        assert!(began.elapsed() < Duration::from_secs(15), "a list of {:?} is believed", began.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(began.elapsed() > Duration::from_secs(5), "{:?}", began.elapsed());
    let refused = app.as_holder("GET", "/products", Some(tokens.of("viewer"))).await;
    refused.check_error(503, "Tokens cannot be checked");
    assert_eq!(app.get("/ready").await.status, 200);
    drop(lock);
    eventually(async || (status().await == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn list_of_tokens_is_believed_while_the_whole_database_is_away() {
    let app = spawn_behind_proxy().await;
    let tokens = Tokens::make(&app).await;
    app.database.take_away();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(12) {
        assert_eq!(app.as_holder("GET", "/logs", Some(tokens.of("admin"))).await.status, 200, "{:?}", began.elapsed());
        app.as_holder("GET", "/products", Some(tokens.of("viewer"))).await.check_error(503, "Database is unavailable");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
