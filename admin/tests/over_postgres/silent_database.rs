//! Access while the database does not answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::access::{Tokens, spawn_behind_proxy};
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn silent_database_admits_known_tokens_and_checks_unknown_ones_together() {
    let app = Arc::new(spawn_behind_proxy().await);
    let tokens = Tokens::make(&app).await;
    let lock = app.database.lock_tokens();
    let began = Instant::now();
    let strangers: Vec<_> = (0..20)
        .map(|n| {
            let app = Arc::clone(&app);
            tokio::spawn(async move { app.send_with_token("GET", "/users", Some(&format!("stranger{n}"))).await })
        })
        .collect();
    assert_eq!(app.send_with_token("GET", "/logs", Some(tokens.of("admin"))).await.status, 200);
    assert_eq!(app.send_with_token("GET", "/logs", Some(tokens.of("viewer"))).await.status, 403);
    assert_eq!(app.send_with_token("GET", "/logs", None).await.status, 401);
    for stranger in strangers {
        stranger.await.unwrap().check_error(503, "Database is unavailable");
    }
    // Two reads of the tokens at most, of which one may have been under way. Separate reads would take half a minute.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    drop(lock);
    assert_eq!(app.send_with_token("GET", "/users", Some("stranger")).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_token_list_beside_answered_calls_expires() {
    let app = spawn_behind_proxy().await;
    let tokens = Tokens::make(&app).await;
    let status = async || app.send_with_token("GET", "/products", Some(tokens.of("viewer"))).await.status;
    let lock = app.database.lock_tokens();
    let began = Instant::now();
    // The list is trusted for a while: a short outage locks out no client.
    assert_eq!(status().await, 200);
    while status().await == 200 {
        assert!(began.elapsed() < Duration::from_secs(15), "a count that is {:?} old is still used", began.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(began.elapsed() > Duration::from_secs(5), "{:?}", began.elapsed());
    let refused = app.send_with_token("GET", "/products", Some(tokens.of("viewer"))).await;
    refused.check_error(503, "Tokens cannot be checked");
    assert_eq!(app.get("/ready").await.status, 200);
    drop(lock);
    eventually(async || (status().await == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn token_list_is_retained_while_the_database_is_unavailable() {
    let app = spawn_behind_proxy().await;
    let tokens = Tokens::make(&app).await;
    app.database.destroy();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(12) {
        assert_eq!(
            app.send_with_token("GET", "/logs", Some(tokens.of("admin"))).await.status,
            200,
            "{:?}",
            began.elapsed()
        );
        app.send_with_token("GET", "/products", Some(tokens.of("viewer")))
            .await
            .check_error(503, "Database is unavailable");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
