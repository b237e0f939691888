//! Writes that a page of another origin makes a browser send.

use crate::support::{App, spawn_app};

async fn post(app: &App, headers: &[(&str, &str)]) -> u16 {
    let mut sent = vec![("host", "127.0.0.1:8000")];
    sent.extend(headers);
    app.send_with("POST", "/users", &sent).await.status
}

#[tokio::test]
async fn write_from_foreign_origin_is_forbidden() {
    let app = spawn_app().await;
    let check = async |headers: &[(&str, &str)], is_foreign: bool| {
        // A write that is not foreign fails for its missing body.
        assert_eq!(post(&app, headers).await, if is_foreign { 403 } else { 400 }, "{headers:?}");
    };
    check(&[], false).await;
    check(&[("origin", "http://127.0.0.1:8000")], false).await;
    check(&[("origin", "https://evil.example")], true).await;
    check(&[("origin", "null")], true).await;
    check(&[("origin", "http://127.0.0.1:8001")], true).await;
    check(&[("origin", "127.0.0.1:8000")], true).await;
    check(&[("sec-fetch-site", "same-origin")], false).await;
    check(&[("sec-fetch-site", "none")], false).await;
    check(&[("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:8000")], true).await;
    check(&[("sec-fetch-site", "same-site")], true).await;
}

#[tokio::test]
async fn foreign_origin_may_read_and_its_write_is_refused_with_a_reason() {
    let app = spawn_app().await;
    let foreign = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
    assert_eq!(app.send_with("GET", "/users", &foreign).await.status, 200);
    assert_eq!(app.send_with("HEAD", "/users", &foreign).await.status, 200);
    for (method, path) in [("POST", "/users"), ("PUT", "/users/1"), ("DELETE", "/urls/1"), ("POST", "/users/bulk")] {
        let answer = app.send_with(method, path, &foreign).await;
        answer.check_error(403, "A page of another origin may not change anything here");
    }
}
