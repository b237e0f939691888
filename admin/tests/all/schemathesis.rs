//! Thousands of requests generated from the API's description: no answer is a 5xx, and each is described.

use crate::support::{check_by_description, spawn_app};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn generated_requests_get_only_described_answers() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    let url = app.shorten(&ann, "https://example.com/").await;
    app.record_event(&url, "shared").await;
    println!("{}", check_by_description(app.address).await);
    assert_eq!(app.get("/ready").await.status, 200, "the server no longer answers");
}
