//! Metrics of the connection pools while all connections are in use.

use serde_json::json;

use crate::support::{App, eventually, spawn_app};

/// Number of writes that exceeds the number of connections.
const WRITES: usize = 40;

/// Returns the sum of a metric over all pools.
async fn sum_over_pools(app: &App, metric: &str) -> u64 {
    let text = app.get("/metrics").await.body;
    let start = format!("tern_store_pool_{metric}{{pool=");
    let values = text.lines().filter(|line| line.starts_with(&start)).map(|line| line.rsplit(' ').next().unwrap());
    values.map(|value| value.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn requests_waiting_for_a_connection_are_counted() {
    let app = spawn_app().await;
    app.create_user("ann").await;
    assert!(sum_over_pools(&app, "size").await >= 1);
    assert!(sum_over_pools(&app, "available").await <= sum_over_pools(&app, "size").await);
    assert!(sum_over_pools(&app, "size").await <= sum_over_pools(&app, "max").await);
    assert_eq!(sum_over_pools(&app, "waiting").await, 0);
    let lock = app.database.lock();
    let client = reqwest::Client::new();
    let write = |n| {
        let user = json!({ "username": format!("user{n}"), "email": format!("user{n}@mail.example") });
        tokio::spawn(client.post(format!("http://{}/users", app.address)).json(&user).send())
    };
    let writes: Vec<_> = (0..WRITES).map(write).collect();
    eventually(async || (sum_over_pools(&app, "waiting").await > 0).then_some(())).await;
    drop(lock);
    for write in writes {
        // A write that waited too long is answered with 503.
        assert!([201, 503].contains(&write.await.unwrap().unwrap().status().as_u16()));
    }
    assert_eq!(sum_over_pools(&app, "waiting").await, 0);
}
