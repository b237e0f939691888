//! A database that is silent, and who may come in meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::access::{Tokens, spawn_behind_proxy};

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
