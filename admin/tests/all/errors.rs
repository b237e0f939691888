//! Errors: every failure has the same envelope.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::database::Database;
use crate::support::{Answer, App, PanickingCache, Setup, spawn_app, spawn_app_with};

/// Routes and their methods, as in the contract's table.
const ALLOWED: [(&str, &str); 42] = [
    ("/", "GET,HEAD"),
    ("/admin", "GET,HEAD"),
    ("/admin/{screen}", "GET,HEAD"),
    ("/admin/{screen}/{item}", "GET,HEAD"),
    ("/admin/assets/{version}/{file}", "GET,HEAD"),
    ("/admin/session", "POST,DELETE"),
    ("/admin/access", "GET,HEAD"),
    ("/health", "GET,HEAD"),
    ("/ready", "GET,HEAD"),
    ("/metrics", "GET,HEAD"),
    ("/logs", "GET,HEAD"),
    ("/system", "GET,HEAD"),
    ("/tokens", "GET,HEAD,POST"),
    ("/tokens/{token}", "DELETE"),
    ("/openapi.json", "GET,HEAD"),
    ("/docs", "GET,HEAD"),
    ("/docs/docs.css", "GET,HEAD"),
    ("/docs/docs.js", "GET,HEAD"),
    ("/products", "GET,HEAD"),
    ("/users", "GET,HEAD,POST"),
    ("/users/bulk", "POST"),
    ("/users/{id}", "GET,HEAD,PUT,DELETE"),
    ("/users/{id}/urls", "GET,HEAD"),
    ("/urls", "GET,HEAD,POST,PATCH,DELETE"),
    ("/urls/bulk", "POST"),
    ("/urls/import", "POST,DELETE"),
    ("/urls/external/{external_id}", "PUT"),
    ("/urls/try", "POST"),
    ("/urls/{id}", "GET,HEAD,PUT,PATCH,DELETE"),
    ("/urls/{id}/stats", "GET,HEAD"),
    ("/urls/{id}/qr", "GET,HEAD"),
    ("/urls/{id}/live", "GET,HEAD"),
    ("/urls/export", "GET,HEAD"),
    ("/live", "GET,HEAD"),
    ("/audit", "GET,HEAD"),
    ("/stats", "GET,HEAD"),
    ("/stats/series", "GET,HEAD"),
    ("/stats/misses", "GET,HEAD"),
    ("/tags", "GET,HEAD"),
    ("/events", "GET,HEAD,POST"),
    ("/events/{id}", "GET,HEAD"),
    ("/events/export", "GET,HEAD"),
];

/// Returns every path, with and without a trailing slash. The root has none beside it.
fn paths() -> impl Iterator<Item = (String, &'static str)> {
    ALLOWED.into_iter().flat_map(|(path, allowed)| {
        let path = path.replace("{id}", "1").replace("{file}", "app.js");
        let slash = if path == "/" { path.clone() } else { format!("{path}/") };
        [(slash, allowed), (path, allowed)]
    })
}

async fn send_bare(app: &App, method: &str, path: &str) -> Answer {
    app.send_raw(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await
}

#[test]
fn router_has_exactly_the_routes_of_the_contract() {
    let routes: BTreeSet<String> = tern_admin::paths().collect();
    let contract: BTreeSet<String> = ALLOWED.into_iter().map(|(path, _)| path.to_owned()).collect();
    assert_eq!(routes, contract);
}

#[tokio::test]
async fn unsupported_method_is_refused_with_allowed_methods() {
    let app = spawn_app().await;
    for (path, allowed) in paths() {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            let answer = send_bare(&app, method, &path).await;
            if allowed.split(',').any(|one| one == method) {
                assert_ne!(answer.status, 405, "{method} {path}");
                continue;
            }
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
            if method == "HEAD" {
                assert_eq!((answer.status, answer.body.as_str()), (405, ""), "{path}");
            } else {
                answer.check_error(405, "not allowed");
            }
        }
    }
}

#[tokio::test]
async fn unknown_path_is_not_found() {
    let app = spawn_app().await;
    for path in ["/nope", "/nope/", "/users/1/nope", "/Users", "/users//1", "//users", "/users/1//", "/%00", "/%zz"] {
        for method in ["GET", "POST", "DELETE", "BREW"] {
            send_bare(&app, method, path).await.check_error(404, "");
        }
    }
}

#[tokio::test]
async fn path_with_trailing_slash_is_the_same_resource() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    // These two measure what they answer.
    let varies = |path: &str| ["/metrics", "/system"].iter().any(|prefix| path.starts_with(prefix));
    for (path, allowed) in paths().filter(|(path, _)| !varies(path)) {
        if allowed.contains("GET") {
            let bare = app.get(if path == "/" { "/" } else { path.trim_end_matches('/') }).await;
            let slash = app.get(&path).await;
            assert_eq!((bare.status, bare.body), (slash.status, slash.body), "{path}");
        }
    }
    assert_eq!(app.post("/users/", json!({ "username": "bob", "email": "b@mail.example" })).await.status, 201);
    assert_eq!(app.delete("/urls/1/").await.status, 204);
}

#[tokio::test]
async fn id_that_is_no_positive_integer_is_not_found() {
    let app = spawn_app().await;
    app.create_user("ann").await;
    let ids =
        ["abc", "0", "-1", "+1", "1.0", "1e0", "true", "%20", "1%20", "%ff", "%zz", "%00", "%D9%A1", "0x1", "1%2F"];
    for resource in ["/users", "/urls", "/events"] {
        for id in ids {
            send_bare(&app, "GET", &format!("{resource}/{id}")).await.check_error(404, "");
        }
        app.get(&format!("{resource}/99999999999999999999999999")).await.check_error(404, "not found");
    }
    for id in ids {
        app.put(&format!("/users/{id}"), json!({ "username": "" })).await.check_error(404, "");
        app.delete(&format!("/urls/{id}")).await.check_error(404, "");
        app.get(&format!("/users/{id}/urls")).await.check_error(404, "");
    }
    assert_eq!(app.get("/users/%31").await.status, 200, "an encoded digit is not read as a digit");
}

#[tokio::test]
async fn answers_have_the_cache_control_of_their_kind() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    app.post("/events", json!({ "url_id": 1, "event_type": "x" })).await;
    for (path, allowed) in paths() {
        let is_page = path.starts_with("/docs")
            || path.starts_with("/admin")
                && !["assets", "session", "access"].contains(&path.split('/').nth(2).unwrap_or_default());
        let expected = match &*path {
            "/urls/1/qr" | "/urls/1/qr/" => "private, no-cache",
            _ if is_page => "no-cache",
            _ => "no-store",
        };
        for method in ["GET", "POST", "BREW"] {
            let answer = send_bare(&app, method, &path).await;
            let expected = if method == "GET" && allowed.contains("GET") { expected } else { "no-store" };
            assert_eq!(answer.header("cache-control"), Some(expected), "{method} {path}: {answer:?}");
        }
    }
    for path in ["/nope", "/users/99", "/users?page=x"] {
        assert_eq!(app.get(path).await.header("cache-control"), Some("no-store"), "{path}");
    }
    for path in ["/live", "/ready", "/metrics", "/nope"] {
        assert_eq!(app.get_ops(path, "localhost").await.header("cache-control"), Some("no-store"), "{path}");
    }
}

#[tokio::test]
async fn response_header_names_are_in_title_case() {
    let app = spawn_app().await;
    app.create_user("ann").await;
    for (path, names) in [
        ("/products", &["X-Cache: MISS", "Content-Type: ", "Cache-Control: ", "X-Request-Id: "][..]),
        ("/users?per_page=1&a=b", &["X-Total-Count: 1", "Tern-Ignored: a", "X-Content-Type-Options: "]),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut socket = tokio::net::TcpStream::connect(app.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        for name in names {
            assert!(answer.contains(&format!("\r\n{name}")), "{name}: {answer}");
        }
    }
}

/// hyper refuses these requests before any route handles them.
#[tokio::test]
async fn unreadable_head_is_refused_with_the_error_envelope() {
    let app = spawn_app().await;
    app.send_raw("GET /users HTTP/1.1\r\nno field\r\n\r\n").await.check_error(400, "The request head is malformed");
    let large = format!("GET /users HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    app.send_raw(large).await.check_error(431, "The request head is too large");
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(70_000));
    let answer = app.send_raw(long).await;
    assert!([414, 431].contains(&answer.status), "{answer:?}");
    answer.check_error(answer.status, "too l");
}

#[tokio::test]
async fn head_request_returns_the_headers_of_get_without_body() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    let bad = ["/users/99", "/users/x", "/users?page=x", "/nope", "/"].map(String::from);
    // These two measure what they answer.
    let varies = |path: &str| ["/metrics", "/system"].iter().any(|prefix| path.starts_with(prefix));
    let good = paths().filter(|(path, allowed)| allowed.contains("GET") && !varies(path));
    // A stream of events has no length.
    let good = good.map(|(path, _)| path).filter(|path| !path.contains("/live"));
    for path in good.chain(bad) {
        let mut get = send_bare(&app, "GET", &path).await;
        let mut head = send_bare(&app, "HEAD", &path).await;
        assert_eq!(head.body, "", "{path}");
        assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()), "{path}");
        for answer in [&mut get, &mut head] {
            answer.headers.remove("date");
            answer.headers.remove("x-request-id");
            // The first of the two requests fills the cache.
            answer.headers.remove("x-cache");
        }
        assert_eq!((get.status, get.headers), (head.status, head.headers), "{path}");
    }
    for path in ["/metrics", "/system"] {
        assert_eq!(send_bare(&app, "HEAD", path).await.body, "");
    }
}

#[tokio::test]
async fn requests_without_database_fail_as_unavailable() {
    let app = spawn_app_with(Setup { without_database: true, ..Setup::default() }).await;
    for (path, allowed) in paths() {
        let stands_alone = ["/health", "/metrics", "/logs", "/system", "/openapi.json", "/docs", "/admin"];
        if allowed.contains("GET") && path != "/" && !stands_alone.iter().any(|prefix| path.starts_with(prefix)) {
            let needed = if path.starts_with("/stats/series") { "?url_id=1" } else { "" };
            let answer = app.get(&format!("{path}{needed}")).await;
            answer.check_error(503, "");
            assert_eq!(
                answer.json(),
                json!({ "error": "Service Unavailable", "message": "Database is unavailable" }),
                "{path}"
            );
        }
    }
    let user = json!({ "username": "ann", "email": "ann@mail.example" });
    app.post("/users", user.clone()).await.check_error(503, "Database is unavailable");
    app.put("/users/1", user).await.check_error(503, "Database is unavailable");
    app.delete("/urls/1").await.check_error(503, "Database is unavailable");
    app.upload("username,email\nann,ann@mail.example\n").await.check_error(503, "Database is unavailable");
    app.post("/users", json!({})).await.check_error(400, "username");
    assert_eq!(app.get("/health").await.status, 200);
}

#[tokio::test]
async fn write_blocked_by_foreign_lock_is_refused_within_two_seconds() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    let lock = app.database.lock();
    let began = Instant::now();
    let url = json!({ "user_id": ann["id"], "original_url": "https://example.com/" });
    let (first, second, read) =
        tokio::join!(app.post("/urls", url), app.put("/users/1", json!({ "username": "anna" })), app.get("/users/1"),);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    first.check_error(503, Database::LOCKED);
    second.check_error(503, Database::LOCKED);
    assert_eq!(first.header("retry-after"), Database::RETRY_AFTER);
    assert_eq!(read.status, 200, "reads fail too");
    drop(lock);
    app.shorten(&ann, "https://example.com/").await;
}

#[tokio::test]
async fn panicking_handler_answers_internal_error() {
    let app = spawn_app_with(Setup { cache: Arc::new(PanickingCache), ..Setup::default() }).await;
    let answer = app.get("/products").await;
    answer.check_error(500, "Something went wrong");
    assert!(!answer.body.contains("defect"), "{answer:?}");
    assert_eq!(app.get("/health").await.status, 200);
}

#[tokio::test]
async fn id_beyond_integer_range_is_reported_as_given() {
    let app = spawn_app().await;
    for id in ["9223372036854775808", "18446744073709551616", "99999999999999999999999999"] {
        let expected = format!("Id {id} not found: the largest possible id is 9223372036854775807");
        app.get(&format!("/urls/{id}")).await.check_error(404, &expected);
        let body = format!(r#"{{"user_id":{id},"original_url":"https://example.com/"}}"#);
        app.send("POST", "/urls", Some("application/json"), body).await.check_error(404, &expected);
    }
    app.get("/urls/9223372036854775807").await.check_error(404, "URL 9223372036854775807 not found");
}

/// RFC 9112, 3.2: a request that two servers could read differently is refused, logged, and ends its connection.
#[tokio::test]
async fn head_without_exactly_one_valid_host_is_refused() {
    let app = spawn_app().await;
    let another_fallback = spawn_app_with(Setup { fallback: Some("a redirect"), ..Setup::default() }).await;
    for app in [&app, &another_fallback] {
        for path in ["/health", "/users", "/no-such-path"] {
            for hosts in
                ["", "Host: localhost\r\nHost: localhost\r\n", "Host: a@b\r\n", "Host: a:80x\r\n", "Host: a, b\r\n"]
            {
                let answer = app.send_raw(format!("GET {path} HTTP/1.1\r\n{hosts}\r\n")).await;
                answer.check_error(400, "There must be exactly one valid Host field");
                assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
                assert_eq!(answer.header("x-request-id").map(str::len), Some(32), "{answer:?}");
            }
        }
    }
    assert_eq!(app.send_raw("GET /health HTTP/1.0\r\n\r\n").await.status, 200);
}

#[tokio::test]
async fn repeated_or_unknown_transfer_coding_is_refused() {
    let app = spawn_app().await;
    for codings in ["chunked, chunked", "chunked\r\nTransfer-Encoding: chunked", "gzip, chunked"] {
        let head = "POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        let answer = app.send_raw(format!("{head}Transfer-Encoding: {codings}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n")).await;
        answer.check_error(400, "Transfer-Encoding");
        assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
    }
}
