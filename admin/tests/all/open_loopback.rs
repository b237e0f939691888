//! An API without tokens is open to programs on its machine, and closed to requests that may come from elsewhere.

use tern_admin::{Access, TokenCommand, token_command};
use tern_common::token::Role;

use crate::support::{App, Setup, eventually, spawn_app, spawn_app_with};

/// Requests the users with the given head and returns the status.
async fn status(app: &App, request_line: &str, fields: &[&str]) -> u16 {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let answer = app.send_raw(format!("{request_line}\r\nConnection: close\r\n{fields}\r\n")).await;
    if answer.status == 401 {
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("token create") && message.contains("Bearer"), "{message}");
    }
    answer.status
}

#[tokio::test]
async fn request_with_a_sign_of_a_proxy_needs_a_token() {
    let app = spawn_app().await;
    let check = async |request_line: &str, fields: &[&str], expected: u16| {
        assert_eq!(status(&app, request_line, fields).await, expected, "{request_line} {fields:?}");
    };
    const GET: &str = "GET /users HTTP/1.1";
    for host in ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "tern.localhost"] {
        check(GET, &[&format!("Host: {host}")], 200).await;
    }
    for host in ["evil.example", "203.0.113.7:8000", "10.0.0.1", "0.0.0.0:8000", "localhost.evil.example", "tern"] {
        check(GET, &[&format!("Host: {host}")], 401).await;
    }
    check("GET /users HTTP/1.0", &["Host: localhost"], 401).await;
    check("GET /users HTTP/1.0", &[], 401).await;
    check(GET, &[], 400).await;
    check(GET, &["Host: localhost", "Host: localhost"], 400).await;
    check(GET, &["Host: localhost", "Host: evil.example"], 400).await;
    check("GET http://evil.example/users HTTP/1.1", &["Host: localhost"], 401).await;
    check("GET http://localhost/users HTTP/1.1", &["Host: localhost"], 200).await;
    for field in [
        "Via: 1.1 proxy",
        "Forwarded: for=203.0.113.7",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: localhost",
        "X-Real-IP: 127.0.0.1",
        "X-Client-IP: 203.0.113.7",
        "CF-Connecting-IP: 203.0.113.7",
        "CF-Ray: 1",
        "True-Client-IP: 203.0.113.7",
        "X-Original-URL: /users",
        "CDN-Loop: cdn",
    ] {
        check(GET, &["Host: localhost", field], 401).await;
    }
    check("GET /health HTTP/1.0", &[], 200).await;
}

#[tokio::test]
async fn api_closed_once_stays_closed_over_an_older_backup() {
    let directory = tempfile::tempdir().unwrap();
    let setup = || {
        let mut setup = Setup::default();
        setup.config.access.requirement_file = Some(directory.path().join("data/tokens-required"));
        setup
    };
    let app = spawn_app_with(setup()).await;
    assert_eq!(app.get("/users").await.status, 200);
    let command = TokenCommand::Create { name: "ops".parse().unwrap(), role: Role::Admin, expires: None, user: None };
    token_command::run(&*app.store, command, &mut Vec::new()).await.unwrap();
    eventually(async || (app.get("/users").await.status == 401).then_some(())).await;
    drop(app);

    // A database from before the first token.
    let app = spawn_app_with(setup()).await;
    app.get("/users").await;
    assert_eq!(app.get("/users").await.status, 401);
    let access = Access::open(app.store.clone(), &setup().config, &prometheus::Registry::new()).await.unwrap();
    assert!(access.warning().unwrap().contains("token create"));
}
