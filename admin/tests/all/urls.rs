//! Urls over HTTP.

use std::collections::HashSet;

use serde_json::{Value, json};
use tern_admin::AdminConfig;
use tern_common::OwnAddresses;
use tern_common::config::Setting;

use crate::support::{Setup, spawn_app, spawn_app_with};

fn url(user_id: Value, original_url: Value) -> Value {
    json!({ "user_id": user_id, "original_url": original_url })
}

#[tokio::test]
async fn link_is_created_found_updated_and_deleted() {
    let app = spawn_app().await;
    app.create_user("ann").await;
    let body = json!({ "user_id": 1, "original_url": "HTTPS://Example.com/ü?a=b#c", "title": "A title" });
    let created = app.post("/urls", body).await;
    assert_eq!(created.status, 201);
    let link = created.json();
    let code = link["short_code"].as_str().unwrap();
    assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_alphanumeric()), "{code}");
    let created_at = link["created_at"].as_str().unwrap();
    assert_eq!(
        link,
        json!({
            "id": 1, "user_id": 1, "short_code": code, "original_url": "HTTPS://Example.com/ü?a=b#c",
            "title": "A title", "is_active": true, "starts_at": null, "expires_at": null,
            "expired_url": null, "redirect_status": null, "forward_query": null, "max_clicks": null, "clicks_left": null, "rules": [], "split": [], "tags": [], "notes": null, "external_id": null,
            "short_url": format!("http://{}/{code}", app.address), "state": "active",
            "revision": 1, "clicks": 0, "last_clicked_at": null, "imported_clicks": 0, "created_at": created_at,
            "updated_at": created_at,
        }),
        "the target is returned as it was sent"
    );
    assert_eq!(app.get("/urls/1").await.json(), link);

    app.database.make_urls_old();
    let changed = app.put("/urls/1", json!({ "is_active": false })).await;
    assert_eq!(changed.status, 200);
    let changed = changed.json();
    assert_eq!((&changed["is_active"], &changed["title"]), (&json!(false), &json!("A title")));
    assert_eq!(changed["created_at"], "1970-01-01T00:00:00");
    assert_ne!(changed["updated_at"], "1970-01-01T00:00:00");
    let target = app.put("/urls/1", json!({ "original_url": "https://else.example/" })).await.json();
    assert_eq!((&target["original_url"], &target["short_code"]), (&json!("https://else.example/"), &json!(code)));
    assert_eq!(app.put("/urls/1", json!({ "title": "New" })).await.json()["title"], "New");
    assert_eq!(app.put("/urls/1", json!({ "title": null })).await.json()["title"], Value::Null);

    let deleted = app.delete("/urls/1").await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    app.get("/urls/1").await.check_error(404, "URL 1 not found");
    assert_eq!(app.get("/events").await.json(), json!([]), "events of the deleted link are left");
}

#[tokio::test]
async fn empty_change_of_link_changes_nothing() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    app.database.make_urls_old();
    for nothing in [json!({}), json!({ "id": 7, "user_id": 5 })] {
        let answer = app.put("/urls/1", nothing).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["updated_at"], "1970-01-01T00:00:00");
    }
    assert_eq!(app.get("/events").await.header("x-total-count"), Some("1"), "there are more events than `created`");
}

#[tokio::test]
async fn unknown_link_is_not_found() {
    let app = spawn_app().await;
    app.get("/urls/99").await.check_error(404, "URL 99 not found");
    app.put("/urls/99", json!({ "title": "x" })).await.check_error(404, "URL 99 not found");
    app.put("/urls/99", json!({})).await.check_error(404, "URL 99 not found");
    app.delete("/urls/99").await.check_error(404, "URL 99 not found");
}

#[tokio::test]
async fn target_that_is_no_absolute_http_url_is_refused() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    let too_long = format!("https://example.com/{}", "a".repeat(8192));
    let bad = [
        "",
        "example.com",
        "/relative",
        "//example.com/",
        "ftp://example.com/",
        "javascript:alert(1)",
        "http://",
        "http:///x",
        "http://exa mple.com/",
        " https://example.com/",
        "https://example.com/\n",
        "https://example.com/\r\nSet-Cookie: x",
        "https://example.com/\u{85}",
        "https://example.com:99999/",
        &too_long,
    ];
    for target in bad.map(|target| json!(target)).into_iter().chain([json!(null), json!(5), json!([])]) {
        app.post("/urls", url(json!(1), target.clone())).await.check_error(400, "original_url");
        app.put("/urls/1", json!({ "original_url": target })).await.check_error(400, "original_url");
    }
    let longest = format!("https://example.com/{}", "a".repeat(8192 - "https://example.com/".len()));
    assert_eq!(app.shorten(&ann, &longest).await["original_url"], json!(longest));
    app.post("/urls", json!({ "user_id": 1 })).await.check_error(400, "original_url is required");
}

#[tokio::test]
async fn owner_that_is_no_existing_user_is_refused() {
    let app = spawn_app().await;
    app.create_user("ann").await;
    for id in [json!(null), json!(true), json!(1.0), json!("1"), json!(0), json!(-1), json!([1]), json!({})] {
        app.post("/urls", url(id, json!("https://example.com/"))).await.check_error(400, "user_id");
    }
    app.post("/urls", json!({ "original_url": "https://e.example/" })).await.check_error(400, "user_id is required");
    app.post("/urls", url(json!(99), json!("https://e.example/"))).await.check_error(404, "User 99 not found");
    app.post("/urls", url(json!(u64::MAX), json!("https://e.example/"))).await.check_error(404, "not found");
    app.post("/urls", url(json!(99), json!("nonsense"))).await.check_error(400, "original_url");
}

#[tokio::test]
async fn title_or_state_of_wrong_type_is_refused() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    let with_title = |title: Value| json!({ "user_id": 1, "original_url": "https://example.com/", "title": title });
    for title in [json!(5), json!(true), json!([]), json!("a".repeat(256)), json!("a\0")] {
        app.post("/urls", with_title(title.clone())).await.check_error(400, "title");
        app.put("/urls/1", json!({ "title": title })).await.check_error(400, "title");
    }
    assert_eq!(app.post("/urls", with_title(json!(null))).await.json()["title"], Value::Null);
    assert_eq!(app.post("/urls", with_title(json!("é".repeat(255)))).await.status, 201);
    for state in [json!("true"), json!(1), json!(0), json!(null), json!([])] {
        app.put("/urls/1", json!({ "is_active": state })).await.check_error(400, "is_active");
    }
    app.put("/urls/99", json!({ "is_active": 1 })).await.check_error(400, "is_active");
}

#[tokio::test]
async fn repeated_target_creates_two_links() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    let first = app.shorten(&ann, "https://example.com/").await;
    let second = app.shorten(&ann, "https://example.com/").await;
    assert_ne!(first["id"], second["id"]);
    assert_ne!(first["short_code"], second["short_code"]);
}

#[tokio::test]
async fn link_filters_select_matching_links() {
    let app = spawn_app().await;
    let (ann, bob) = (app.create_user("ann").await, app.create_user("bob").await);
    let first = app.shorten(&ann, "https://example.com/1").await;
    app.shorten(&bob, "https://example.com/2").await;
    app.shorten(&ann, "https://example.com/3").await;
    app.put("/urls/3", json!({ "is_active": false })).await;
    let code = first["short_code"].as_str().unwrap();
    let check = async |query: &str, expected: &[i64]| {
        let answer = app.get(&format!("/urls?{query}")).await;
        assert_eq!(answer.ids(), expected, "{query}");
        assert_eq!(answer.header("x-total-count"), Some(expected.len().to_string().as_str()), "{query}");
    };
    check("", &[1, 2, 3]).await;
    check("user_id=1", &[1, 3]).await;
    check("user_id=99", &[]).await;
    check("user_id=99999999999999999999999", &[]).await;
    check("is_active=true", &[1, 2]).await;
    check("is_active=False", &[3]).await;
    check("user_id=1&is_active=true", &[1]).await;
    check(&format!("short_code={code}"), &[1]).await;
    check("short_code=nope", &[]).await;
    check("short_code=", &[]).await;
    check("short_code=%00%ff'--", &[]).await;
    check("unknown=filter", &[1, 2, 3]).await;
    for wrong in ["abc", "", "0", "-1", "1.0", "true", "%201"] {
        app.get(&format!("/urls?user_id={wrong}")).await.check_error(400, "user_id");
    }
    for wrong in ["maybe", "", "2", "TRUE", "yes"] {
        app.get(&format!("/urls?is_active={wrong}")).await.check_error(400, "is_active");
    }
}

#[tokio::test]
async fn generated_code_has_the_configured_length() {
    let config = AdminConfig { short_code_length: 32, ..AdminConfig::default() };
    let app = spawn_app_with(Setup { config, ..Setup::default() }).await;
    let ann = app.create_user("ann").await;
    assert_eq!(app.shorten(&ann, "https://example.com/").await["short_code"].as_str().unwrap().len(), 32);
}

#[tokio::test]
async fn taken_code_is_drawn_again_until_all_are_taken() {
    // There are 62 codes. With twenty of them taken, ten draws in a row all fail once in 80,000 runs.
    let config = AdminConfig { short_code_length: 1, ..AdminConfig::default() };
    let app = spawn_app_with(Setup { config, ..Setup::default() }).await;
    let ann = app.create_user("ann").await;
    let mut codes = HashSet::new();
    for _ in 0..20 {
        let link = app.shorten(&ann, "https://example.com/").await;
        assert!(codes.insert(link["short_code"].as_str().unwrap().to_owned()));
    }
    let alphabet = ('0'..='9').chain('A'..='Z').chain('a'..='z').map(String::from);
    let rest: String =
        alphabet.filter(|code| !codes.contains(code)).map(|code| format!("1,{code},https://e.example/\n")).collect();
    app.load(&[("urls.csv", &format!("user_id,short_code,original_url\n{rest}"))]).await.unwrap();
    app.post("/urls", url(json!(1), json!("https://e.example/"))).await.check_error(503, "short code");
}

#[tokio::test]
async fn target_at_own_address_is_refused_and_changes_nothing() {
    let own_addresses = OwnAddresses::parse("https://go.example").unwrap();
    let config = AdminConfig { own_addresses, ..AdminConfig::default() };
    let app = spawn_app_with(Setup { config, ..Setup::default() }).await;
    let ann = app.create_user("ann").await;
    let link = app.shorten(&ann, "https://example.com/").await;
    let own = format!("https://Go.Example/{}", link["short_code"].as_str().unwrap());
    let message = "original_url points at this Tern itself (go.example:443); a short link cannot lead to another";
    app.post("/urls", json!({ "user_id": 1, "original_url": own })).await.check_error(400, message);
    app.put("/urls/1", json!({ "original_url": own, "title": "x" })).await.check_error(400, message);
    assert_eq!(app.get("/urls/1").await.json(), link);
    assert_eq!(app.get("/urls").await.header("x-total-count"), Some("1"));
    app.shorten(&ann, "https://www.go.example/").await;
}
