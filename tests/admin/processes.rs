//! Processes of a fleet: their metrics, and the admin's own addresses.

use reqwest::Method;
use serde_json::json;
use tern_tests::Fleet;

#[tokio::test(flavor = "multi_thread")]
async fn fleet_process_reports_its_resources_and_version_once() {
    let fleet = Fleet::start(0, &[]).await;
    for address in [&fleet.admin.addresses[0], &fleet.redirectors[0].addresses[1]] {
        let answer = fleet.client().get(format!("http://{address}/metrics")).send().await.unwrap();
        let text = answer.text().await.unwrap();
        for name in
            ["process_cpu_seconds_total ", "process_open_fds ", "process_start_time_seconds ", "tern_build_info{"]
        {
            assert_eq!(text.lines().filter(|line| line.starts_with(name)).count(), 1, "{name} at {address}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn target_at_public_url_of_a_fleet_is_refused() {
    let fleet = Fleet::start(1, &[("PUBLIC_URL", "https://go.example,http://10.9.8.7:8080")]).await;
    for own in ["http://go.example/abc123", "http://10.9.8.7:8080/"] {
        let body = json!({"user_id": 1, "original_url": own});
        for (method, path) in [(Method::POST, "/urls"), (Method::PUT, "/urls/1")] {
            let (status, _, answer) = fleet.call(method, path, &body).await;
            let message = answer["message"].as_str().unwrap_or_default();
            assert!(status == 400 && message.contains("points at this Tern itself"), "{status} {answer}");
        }
    }
    let other = json!({"original_url": "http://10.9.8.7:8081/"});
    assert_eq!(fleet.call(Method::PUT, "/urls/1", &other).await.0, 200);
}
