//! Thousands of requests generated from the API's description: no answer is a 5xx, and each is described.

use tern_admin::access::AuthMode;

use crate::support::{Setup, check_by_description, spawn_app_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn generated_requests_get_only_described_answers() {
    // A generated token would close an API that is open until its first one.
    let mut setup = Setup::default();
    setup.config.access.mode = AuthMode::Off;
    let app = spawn_app_with(setup).await;
    let ann = app.create_user("ann").await;
    let url = app.shorten(&ann, "https://example.com/").await;
    app.record_event(&url, "shared").await;
    println!("{}", check_by_description(app.address).await);
    assert_eq!(app.get("/ready").await.status, 200, "the server no longer answers");
}
