//! Health, readiness and metrics.

use serde_json::json;
use tern_admin::AdminConfig;
use tern_admin::access::AuthMode;
use tern_common::config::Setting;
use tern_serving::Hosts;

use crate::support::{Setup, spawn_app, spawn_app_with};

#[tokio::test]
async fn health_without_database_is_ok_and_readiness_fails() {
    let app = spawn_app().await;
    let health = app.get("/health").await;
    assert_eq!((health.status, health.json()), (200, json!({ "status": "ok" })));
    let ready = app.get("/ready").await;
    assert_eq!((ready.status, ready.json()), (200, json!({ "status": "ready" })));

    let without = spawn_app_with(Setup { without_database: true, ..Setup::default() }).await;
    assert_eq!(without.get("/health").await.json(), json!({ "status": "ok" }));
    without.get("/ready").await.check_error(503, "Database is unavailable");
}

#[tokio::test]
async fn operators_port_without_token_answers_probes_and_monitors() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = AdminConfig::default();
    config.access.token_file = directory.path().join("admin.token");
    config.access.mode = AuthMode::Tokens;
    config.ops_hosts = Hosts::parse("tern-1").unwrap();
    let app = spawn_app_with(Setup { config, ..Setup::default() }).await;
    assert_eq!(app.get("/metrics").await.status, 401);
    for (path, says) in [("/live", "ok"), ("/health", "ok"), ("/ready", "ready"), ("/metrics", "tern_port_connections")]
    {
        let answer = app.get_ops(path, "tern-1:9000").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains(says), "{answer:?}");
    }
    assert_eq!(app.get_ops("/ready", "evil.example:9000").await.status, 421);
    app.get_ops("/users", "localhost").await.check_error(404, "There is nothing at this path");
}

#[tokio::test]
async fn metrics_count_requests_by_matched_route() {
    let app = spawn_app().await;
    app.create_user("ann").await;
    for path in ["/users/1", "/users/2/", "/users/3", "/secret-path"] {
        app.get(path).await;
    }
    app.send("BREW", "/users", None, "").await;
    let metrics = app.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4"));
    let lines: Vec<&str> = metrics.body.lines().collect();
    for line in [
        r#"tern_admin_http_requests_total{method="POST",route="/users",status="201"} 1"#,
        r#"tern_admin_http_requests_total{method="GET",route="/users/{id}",status="200"} 1"#,
        r#"tern_admin_http_requests_total{method="GET",route="/users/{id}",status="404"} 2"#,
        r#"tern_admin_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"tern_admin_http_requests_total{method="other",route="/users",status="405"} 1"#,
        r#"tern_admin_http_request_duration_seconds_count{route="/users/{id}"} 3"#,
    ] {
        assert!(lines.contains(&line), "{line} is not in\n{}", metrics.body);
    }
    assert!(!metrics.body.contains("secret-path"));
}
