//! Tokens over the API.

use serde_json::{Value, json};
use tern_admin::access::AuthMode;

use crate::support::{App, Setup, eventually, spawn_app, spawn_app_with};

/// Starts an app whose API an admin's token has closed; returns that token.
async fn closed_app() -> (App, String) {
    let app = spawn_app().await;
    let made = app.post("/tokens", json!({ "name": "ops", "role": "admin" })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = made.json()["token"].as_str().unwrap().to_owned();
    (app, token)
}

#[tokio::test]
async fn first_token_closes_an_open_api_and_must_be_of_an_admin() {
    let app = spawn_app().await;
    for body in [
        json!({ "name": "ops", "role": "viewer" }),
        json!({ "name": "ops", "role": "admin", "expires_at": "2099-01-01T00:00:00" }),
    ] {
        app.post("/tokens", body).await.check_error(400, "this token closes the API");
    }
    assert_eq!(app.get("/tokens").await.json(), json!([]));
    let made = app.post("/tokens", json!({ "name": "ops", "role": "admin" })).await;
    assert_eq!((made.status, &made.json()["closed_the_api"]), (201, &json!(true)), "{made:?}");
    // The process that made it refuses others at once.
    assert_eq!(app.get("/users").await.status, 401);
    let token = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(app.send_as(&token, "GET", "/users", "").await.status, 200);
    let second = app.send_as(&token, "POST", "/tokens", r#"{"name": "ci", "role": "viewer"}"#).await;
    assert_eq!((second.status, &second.json()["closed_the_api"]), (201, &json!(false)), "{second:?}");
}

#[tokio::test]
async fn token_does_not_close_an_api_that_needs_none() {
    let mut setup = Setup::default();
    setup.config.access.mode = AuthMode::Off;
    let app = spawn_app_with(setup).await;
    let made = app.post("/tokens", json!({ "name": "ci", "role": "viewer" })).await;
    assert_eq!((made.status, &made.json()["closed_the_api"]), (201, &json!(false)), "{made:?}");
    assert_eq!(app.get("/users").await.status, 200);
}

#[tokio::test]
async fn text_of_a_token_is_in_one_answer_and_its_hash_in_none() {
    let (app, admin) = closed_app().await;
    let made = app.send_as(&admin, "POST", "/tokens", r#"{"name": "ci", "role": "editor"}"#).await;
    let text = made.json()["token"].as_str().unwrap().to_owned();
    assert!(text.starts_with("tern_") && text.len() == 48, "{text}");
    assert_eq!(made.header("cache-control"), Some("no-store"));
    assert_eq!(app.send_as(&text, "POST", "/users", r#"{"username": "a", "email": "a@b.cd"}"#).await.status, 201);
    let used = async || {
        let list = app.send_as(&admin, "GET", "/tokens", "").await;
        Some(list).filter(|list| list.json()[1]["last_used_at"].is_string())
    };
    let list = eventually(used).await;
    let log = std::fs::read_to_string(&app.log_file).unwrap_or_default();
    for place in [&list.body, &log] {
        assert!(!place.contains(&text) && !place.contains(&admin) && !place.contains("hash"), "{place}");
    }
    let ci = &list.json()[1];
    let shown = (&ci["name"], &ci["role"], &ci["state"], &ci["created_by"], &ci["user_id"]);
    assert_eq!(shown, (&json!("ci"), &json!("editor"), &json!("valid"), &json!("ops"), &Value::Null));
    let fields: Vec<_> = ci.as_object().unwrap().keys().collect();
    assert_eq!(fields.len(), 11, "{fields:?}");
    // Nobody's token made the first one.
    assert_eq!(list.json()[0]["created_by"], Value::Null);
}

#[tokio::test]
async fn revoked_token_is_refused_at_once_and_names_who_revoked_it() {
    let (app, admin) = closed_app().await;
    let make = async |name: &str| {
        let body = json!({ "name": name, "role": "viewer" }).to_string();
        app.send_as(&admin, "POST", "/tokens", &body).await.json()
    };
    let (by_name, by_id) = (make("ci").await, make("7").await);
    for (made, path) in [(by_name, "/tokens/ci".to_owned()), (by_id.clone(), format!("/tokens/{}", by_id["id"]))] {
        let text = made["token"].as_str().unwrap();
        assert_eq!(app.send_as(text, "GET", "/users", "").await.status, 200);
        assert_eq!(app.send_as(&admin, "DELETE", &path, "").await.status, 204);
        assert_eq!(app.send_as(text, "GET", "/users", "").await.status, 401);
        app.send_as(&admin, "DELETE", &path, "").await.check_error(404, "not found, or already revoked");
    }
    // Digits are an id, also where a token has them as its name.
    app.send_as(&admin, "DELETE", "/tokens/7", "").await.check_error(404, "Token 7 not found");
    for path in ["/tokens/0x", "/tokens/a%20b", "/tokens/%FF", "/tokens/99999999999999999999"] {
        assert_eq!(app.send_as(&admin, "DELETE", path, "").await.status, 404, "{path}");
    }
    let revoked = app.send_as(&admin, "GET", "/tokens?state=revoked", "").await.json();
    let by: Vec<_> = revoked.as_array().unwrap().iter().map(|token| &token["revoked_by"]).collect();
    assert_eq!(by, [&json!("ops"), &json!("ops")]);
    let valid = app.send_as(&admin, "GET", "/tokens?state=valid", "").await.json();
    assert_eq!((valid.as_array().unwrap().len(), &valid[0]["name"]), (1, &json!("ops")));
    app.send_as(&admin, "GET", "/tokens?state=lost", "").await.check_error(400, "state");
    // The name is free again, and a revoked admin ends its own access.
    assert_eq!(make("ci").await["state"], "valid");
    assert_eq!(app.send_as(&admin, "DELETE", "/tokens/ops", "").await.status, 204);
    assert_eq!(app.send_as(&admin, "GET", "/tokens", "").await.status, 401);
}

#[tokio::test]
async fn token_of_a_user_is_made_and_limited_by_its_role() {
    let (app, admin) = closed_app().await;
    let user = app.send_as(&admin, "POST", "/users", r#"{"username": "ann", "email": "a@b.cd"}"#).await.json();
    let post = async |body: Value| app.send_as(&admin, "POST", "/tokens", &body.to_string()).await;
    let made = post(json!({ "name": "ann", "role": "viewer", "user_id": user["id"], "expires_at": null })).await;
    assert_eq!((made.status, &made.json()["user_id"]), (201, &user["id"]), "{made:?}");
    let text = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(app.send_as(&text, "GET", "/urls", "").await.status, 200);
    assert_eq!(app.send_as(&text, "GET", "/tokens", "").await.status, 403);
    post(json!({ "name": "x", "role": "admin", "user_id": user["id"] })).await.check_error(400, "viewer or editor");
    post(json!({ "name": "x", "role": "viewer", "user_id": 4711 })).await.check_error(404, "4711");
    post(json!({ "name": "ann", "role": "viewer" })).await.check_error(409, "");
    post(json!({ "name": "a b", "role": "viewer" })).await.check_error(400, "name");
    post(json!({ "name": "x", "role": "root" })).await.check_error(400, "role");
    post(json!({ "name": "x" })).await.check_error(400, "role");
    post(json!({ "name": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00" }))
        .await
        .check_error(400, "future");
    post(json!({ "name": "x", "role": "viewer", "expires_at": "soon" })).await.check_error(400, "expires_at");
    let made = post(json!({ "name": "x", "role": "viewer", "expires_at": "2099-01-01T02:00:00+02:00" })).await;
    assert_eq!(made.json()["expires_at"], "2099-01-01T00:00:00", "{made:?}");
}
