//! Placeholders of targets in every way to write a link.

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tern_admin::AdminConfig;
use tern_common::OwnAddresses;
use tern_common::config::Setting;

use crate::support::{App, Setup, spawn_app, spawn_app_with};

const TARGET: &str = "https://example.com/ü/{1}/{path}?q={query:q}&id={id}#{9}";

/// Targets whose placeholders are refused, each with the reason.
const WRONG: [(&str, &str); 7] = [
    ("https://{1}.example.com/", "must not have a placeholder in its scheme, host or port"),
    ("https://example.com:{1}/", "must not have a placeholder in its scheme, host or port"),
    ("{query:url}", "must not have a placeholder in its scheme, host or port"),
    ("https://example.com/{0}", "must not hold an unknown placeholder: {1} to {9}, {path} and {query:name} are known"),
    ("https://example.com/{query:}", "must not hold an unknown placeholder"),
    ("https://example.com/%{1}", "must not have a placeholder directly behind a %"),
    ("https://example.com/.{query:q}", "must not have a placeholder of the query beside dots"),
];

/// Returns an app with a user and its link 1.
async fn app_with_link() -> App {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    app
}

fn url(target: &str) -> Value {
    json!({ "user_id": 1, "original_url": target })
}

async fn import(app: &App, file: String) -> Value {
    let form = Form::new().part("file", Part::bytes(file.into_bytes()).file_name("links.csv"));
    let request = reqwest::Client::new().post(format!("http://{}/urls/import", app.address)).multipart(form);
    request.send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn target_with_placeholders_is_returned_as_it_was_sent() {
    let app = app_with_link().await;
    let made = app.post("/urls", url(TARGET)).await;
    assert_eq!((made.status, &made.json()["original_url"]), (201, &json!(TARGET)));
    let changed = app.put("/urls/1", json!({ "original_url": TARGET })).await;
    assert_eq!((changed.status, &changed.json()["original_url"]), (200, &json!(TARGET)));
    assert_eq!(app.put("/urls/1", changed.json()).await.status, 200, "an answer can be sent back");
    let many = json!({ "ids": [1, 2], "set": { "original_url": TARGET } });
    assert_eq!(app.send_json("PATCH", "/urls", &[], many).await.json(), json!({ "changed": 2 }));
    assert_eq!(app.put("/urls/external/a", url(TARGET)).await.status, 201);
    let bulk = app.post("/urls/bulk", json!([url(TARGET)])).await.json();
    assert_eq!(bulk[0]["url"]["original_url"], TARGET);
    let file = format!("user_id,short_code,original_url\n1,loaded,{TARGET}\n");
    app.load(&[("urls.csv", &file)]).await.unwrap();
    assert_eq!(import(&app, file.replace("loaded", "imported")).await["counts"]["created"], 1);
    let all = app.get("/urls").await.json();
    assert!(all.as_array().unwrap().iter().all(|link| link["original_url"] == TARGET), "{all}");
    assert_eq!(app.get("/urls?host=example.com").await.header("x-total-count"), Some("6"));
    assert_eq!(app.get("/urls?search=%7B1%7D").await.header("x-total-count"), Some("6"));
}

#[tokio::test]
async fn wrong_placeholder_is_refused_wherever_a_target_is_written() {
    let app = app_with_link().await;
    for (target, reason) in WRONG {
        let message = format!("original_url {reason}");
        app.post("/urls", url(target)).await.check_error(400, &message);
        app.put("/urls/1", json!({ "original_url": target })).await.check_error(400, &message);
        app.put("/urls/external/a", url(target)).await.check_error(400, &message);
        let many = json!({ "ids": [1], "set": { "original_url": target } });
        app.send_json("PATCH", "/urls", &[], many).await.check_error(400, &message);
        let bulk = app.post("/urls/bulk", json!([url(target)])).await.json();
        assert_eq!(bulk[0]["status"], 400);
        assert!(bulk[0]["error"]["message"].as_str().unwrap().contains(&message), "{bulk}");
        let file = format!("user_id,short_code,original_url\n1,loaded,{target}\n");
        let error = app.load(&[("urls.csv", &file)]).await.unwrap_err();
        assert!(error.starts_with(&format!("urls.csv: line 2: {message}")), "{error}");
        let imported = import(&app, file).await;
        assert_eq!(
            (&imported["counts"]["created"], &imported["counts"]["invalid"]),
            (&json!(0), &json!(1)),
            "{imported}"
        );
        assert!(imported.to_string().contains(reason), "{imported}");
    }
    assert_eq!(app.get("/urls").await.header("x-total-count"), Some("1"));
}

#[tokio::test]
async fn placeholder_in_expired_url_is_refused() {
    let app = app_with_link().await;
    let message = "expired_url must not have placeholders";
    for target in ["https://example.com/{1}", "https://example.com/?x={path}", "https://example.com/#{query:q}"] {
        let mut link = url("https://example.com/");
        link["expired_url"] = json!(target);
        app.post("/urls", link.clone()).await.check_error(400, message);
        app.put("/urls/1", json!({ "expired_url": target })).await.check_error(400, message);
        app.put("/urls/external/a", link.clone()).await.check_error(400, message);
        let many = json!({ "ids": [1], "set": { "expired_url": target } });
        app.send_json("PATCH", "/urls", &[], many).await.check_error(400, message);
        assert_eq!(app.post("/urls/bulk", json!([link])).await.json()[0]["status"], 400);
        let file = format!("user_id,short_code,original_url,expired_url\n1,loaded,https://example.com/,{target}\n");
        let error = app.load(&[("urls.csv", &file)]).await.unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    // Other braces are text, as in a target.
    let literal = json!({ "expired_url": "https://example.com/{id}" });
    assert_eq!(app.put("/urls/1", literal).await.status, 200);
}

#[tokio::test]
async fn template_at_an_own_address_is_refused() {
    let own_addresses = OwnAddresses::parse("https://go.example").unwrap();
    let config = AdminConfig { own_addresses, ..AdminConfig::default() };
    let app = spawn_app_with(Setup { config, ..Setup::default() }).await;
    app.create_user("ann").await;
    let refused = app.post("/urls", url("https://go.example/{1}")).await;
    refused.check_error(400, "original_url points at this Tern itself (go.example:443)");
}
