//! The request id of each answer, whatever its status.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::support::{Answer, App, PanickingCache, Setup, spawn_app, spawn_app_with};

async fn send(app: &App, method: &str, path: &str, headers: &[&str]) -> Answer {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    app.send_raw(request).await
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_request() {
    let app = spawn_app_with(Setup { cache: Arc::new(PanickingCache), ..Setup::default() }).await;
    let mut seen = BTreeSet::new();
    for (method, path, headers, status) in [
        ("GET", "/health", &[][..], 200),
        ("GET", "/docs", &[], 200),
        ("HEAD", "/users", &[], 200),
        ("GET", "/users?page=x", &[], 400),
        ("GET", "/users", &["X-Forwarded-For: 203.0.113.7"], 401),
        ("DELETE", "/urls/1", &["Origin: https://evil.example"], 403),
        ("GET", "/users/1", &[], 404),
        ("GET", "/nope", &[], 404),
        ("PATCH", "/users", &[], 405),
        ("POST", "/users", &["Content-Type: application/json", "Content-Length: 2000000"], 413),
        ("POST", "/users", &["Content-Type: text/plain"], 400),
        ("GET", "/products", &[], 500),
    ] {
        let made = send(&app, method, path, headers).await;
        assert_eq!(made.status, status, "{method} {path}");
        let id = made.header("x-request-id").unwrap_or_else(|| panic!("{method} {path}: {made:?}"));
        assert!(id.len() == 32 && seen.insert(id.to_owned()), "{method} {path}: {id}");
        let given = send(&app, method, path, &[headers, &["X-Request-Id: order-66/a"]].concat()).await;
        assert_eq!(given.header("x-request-id"), Some("order-66/a"), "{method} {path}");
    }
    let without = spawn_app_with(Setup { without_database: true, ..Setup::default() }).await;
    let failed = send(&without, "GET", "/users", &["X-Request-Id: order-67"]).await;
    assert_eq!((failed.status, failed.header("x-request-id")), (503, Some("order-67")));
}

#[tokio::test]
async fn invalid_request_id_is_replaced() {
    let app = spawn_app().await;
    let long = format!("X-Request-Id: {}", "a".repeat(129));
    let cases: [&[&str]; 5] = [
        &["X-Request-Id: a b"],
        &["X-Request-Id: \u{e9}"],
        &["X-Request-Id:"],
        &["X-Request-Id: one", "X-Request-Id: one"],
        &[&long],
    ];
    for headers in cases {
        let answer = send(&app, "GET", "/health", headers).await;
        assert_eq!(answer.header("x-request-id").map(str::len), Some(32), "{headers:?}");
    }
}
