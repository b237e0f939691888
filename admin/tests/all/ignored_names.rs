//! Unknown names are ignored, and the answer lists them.

use serde_json::{Map, Value, json};

use crate::support::{Answer, App, spawn_app};

fn ignored(answer: &Answer) -> Option<&str> {
    answer.header("tern-ignored")
}

async fn app_with_a_link() -> App {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    app
}

#[tokio::test]
async fn unknown_fields_and_parameters_are_ignored_and_listed() {
    let app = app_with_a_link().await;
    let url = json!({ "user_id": 1, "original_url": "https://example.com/", "code": "mine", "colour": null });
    let created = app.post("/urls", url).await;
    assert_eq!((created.status, ignored(&created)), (201, Some("code, colour")), "{created:?}");
    let user = json!({ "username": "bob", "email": "b@mail.example", "sort": 1, "role": "x" });
    let both = app.post("/users?sort=name&sort=id&dry_run", user).await;
    assert_eq!((both.status, ignored(&both)), (201, Some("sort, dry_run, role")), "{both:?}");
    let event = json!({ "url_id": 1, "event_type": "x", "details": { "anything": 1 }, "Details": {} });
    assert_eq!(ignored(&app.post("/events", event).await), Some("Details"));
    assert_eq!(ignored(&app.put("/urls/1", json!({ "title": "x", "code": "y" })).await), Some("code"));
    let list = app.get("/urls?colour=a&page=1&is_active=true&order=title").await;
    assert_eq!((list.status, ignored(&list)), (200, Some("colour, order")));
    assert_eq!(ignored(&app.get("/urls/1/stats?per=day&from=2026-01-01T00:00:00&unit=x").await), Some("unit"));
    assert_eq!(ignored(&app.delete("/users/2?cascade=true&force=true").await), Some("force"));
}

#[tokio::test]
async fn request_without_unknown_names_has_no_ignored_header() {
    let app = app_with_a_link().await;
    for path in ["/urls?page=1&per_page=5&user_id=1&is_active=true&short_code=x", "/users", "/logs?lines=5", "/health?"]
    {
        assert_eq!(ignored(&app.get(path).await), None, "{path}");
    }
    let url = json!({ "user_id": 1, "original_url": "https://example.com/", "title": null });
    assert_eq!(ignored(&app.post("/urls", url).await), None);
    assert_eq!(ignored(&app.get("/nothing?x=y").await), None, "no operation, no names");
}

#[tokio::test]
async fn error_answer_lists_ignored_names() {
    let app = app_with_a_link().await;
    for (answer, status, names) in [
        (app.get("/urls?page=x&order=y").await, 400, "order"),
        (app.get("/users/99?expand=urls").await, 404, "expand"),
        (app.post("/urls", json!({ "url": "https://example.com/" })).await, 400, "url"),
        (app.put("/users/99", json!({ "name": "x" })).await, 404, "name"),
        (app.send("POST", "/users?x=y", Some("application/json"), "[]").await, 400, "x"),
    ] {
        assert_eq!((answer.status, ignored(&answer)), (status, Some(names)), "{answer:?}");
    }
}

#[tokio::test]
async fn every_route_lists_ignored_parameters() {
    let app = app_with_a_link().await;
    app.post("/events", json!({ "url_id": 1, "event_type": "x" })).await;
    let only_written = [
        "/users/bulk",
        "/urls/bulk",
        "/urls/import",
        "/urls/external/{external_id}",
        "/urls/try",
        "/admin/session",
        "/tokens/{token}",
    ];
    // The script of a page of the dashboard reads its query.
    let is_page = |path: &str| path == "/admin" || path.starts_with("/admin/{");
    for path in tern_admin::paths().filter(|path| !only_written.contains(&path.as_str()) && !is_page(path)) {
        let path = path.replace("{id}", "1").replace("{file}", "app.js");
        let needed = if path == "/stats/series" { "&url_id=1" } else { "" };
        for method in ["GET", "HEAD"] {
            for slash in ["", "/"].into_iter().filter(|slash| path != "/" || slash.is_empty()) {
                let answer = app.send(method, &format!("{path}{slash}?no-such=1{needed}"), None, "").await;
                assert_eq!((answer.status < 300, ignored(&answer)), (true, Some("no-such")), "{method} {path}{slash}");
            }
        }
    }
}

#[tokio::test]
async fn ignored_header_is_bounded_escaped_and_without_values() {
    let app = app_with_a_link().await;
    let answer = app.get("/urls?token=secret&a%0d%0aX-Evil:%20y=1&b,c=2&%C3%A9&=empty&tern_0123456789abcdef").await;
    let expected = "token, a%0D%0AX-Evil%3A+y, b%2Cc, %C3%A9, \"\", tern_...";
    assert_eq!((answer.status, ignored(&answer)), (200, Some(expected)), "{answer:?}");
    assert_eq!(answer.header("x-evil"), None);
    let mut body: Map<String, Value> =
        (0..5_000).map(|n| (format!("{n:04}{}", "é".repeat(50)), json!("secret"))).collect();
    body.insert("title".to_owned(), json!("new"));
    let answer = app.put("/urls/1", body.into()).await;
    let names = ignored(&answer).unwrap();
    assert_eq!((answer.status, &answer.json()["title"]), (200, &json!("new")));
    assert!(names.len() < 1_000 && names.starts_with("0000%C3%A9") && names.ends_with("..., ..."), "{names}");
    assert_eq!(names.split(", ").count(), 21, "{names}");
    assert!(!names.contains("secret"));
}
