//! Links that are created and replaced under their external ids.

use serde_json::{Value, json};

use crate::support::{Answer, App, spawn_app};

async fn app_with_users() -> App {
    let app = spawn_app().await;
    app.create_user("ann").await;
    app.create_user("bob").await;
    app
}

async fn put(app: &App, id: &str, fields: Value) -> Answer {
    let mut body = json!({ "user_id": 1, "original_url": "https://example.com/" });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    app.put(&format!("/urls/external/{id}"), body).await
}

#[tokio::test]
async fn link_is_created_and_then_replaced_under_its_external_id() {
    let app = app_with_users().await;
    let full = json!({
        "short_code": "mine", "title": "a", "tags": ["x"], "notes": "n", "expires_at": "2099-01-01T00:00:00",
        "expired_url": "https://over.example/", "redirect_status": 307, "forward_query": true, "max_clicks": 9, "is_active": false,
        "rules": [{ "target": "https://app.example/", "if": [{ "type": "device", "value": "ios" }] }],
        "split": [{ "target": "https://a.example/", "weight": 1 }, { "target": "https://b.example/", "weight": 99 }],
    });
    let made = put(&app, "order-1", full.clone()).await;
    assert_eq!((made.status, made.header("etag")), (201, Some("\"1\"")), "{made:?}");
    assert!(made.header("tern-visible").is_some());
    let made = made.json();
    assert_eq!(
        (&made["external_id"], &made["short_code"], &made["is_active"]),
        (&json!("order-1"), &json!("mine"), &json!(false))
    );
    app.record_event(&made, "clicked").await;

    let replaced = put(&app, "order-1", json!({ "original_url": "https://b.example/" })).await;
    assert_eq!((replaced.status, replaced.header("etag")), (200, Some("\"2\"")), "{replaced:?}");
    assert!(replaced.header("tern-visible").is_some());
    let replaced = replaced.json();
    for field in ["id", "short_code", "created_at", "external_id", "user_id"] {
        assert_eq!(replaced[field], made[field], "{field}");
    }
    assert_eq!((&replaced["clicks"], &replaced["is_active"]), (&json!(1), &json!(true)));
    assert_eq!((&replaced["original_url"], &replaced["tags"]), (&json!("https://b.example/"), &json!([])));
    assert_eq!((&replaced["rules"], &replaced["split"]), (&json!([]), &json!([])));
    for field in
        ["title", "notes", "starts_at", "expires_at", "expired_url", "redirect_status", "forward_query", "max_clicks"]
    {
        assert_eq!(replaced[field], Value::Null, "{field}");
    }
    assert_eq!(put(&app, "order-1", full).await.status, 200, "the same code is no change of it");
    let other = put(&app, "order-1", json!({ "user_id": 2 })).await;
    assert_eq!(other.status, 201, "another owner has another link");
    let back = app.put("/urls/external/order-1", other.json()).await;
    assert_eq!((back.status, back.header("tern-ignored")), (200, None), "an answer can be put back: {back:?}");
    assert_eq!(app.get("/urls").await.ids().len(), 2);
}

#[tokio::test]
async fn external_id_in_the_path_may_have_slashes_and_spaces() {
    let app = app_with_users().await;
    let longest = "x".repeat(255);
    let encoded = [
        ("a%2Fb%2f%2F", "a/b//"),
        ("a%20b%2B+", "a b++"),
        ("%C3%A9%3F%25", "é?%"),
        ("bulk", "bulk"),
        ("stats", "stats"),
        (&longest, &longest),
    ];
    for (path, id) in encoded {
        let made = put(&app, path, json!({ "external_id": id })).await;
        assert_eq!((made.status, &made.json()["external_id"]), (201, &json!(id)), "{made:?}");
        assert_eq!(
            put(&app, &format!("{path}/"), json!({})).await.status,
            200,
            "a slash at the end is no part of the id"
        );
    }
    for path in ["%0A", "%00", "%7F", "%FF", &"x".repeat(256)] {
        put(&app, path, json!({})).await.check_error(400, "external_id");
    }
    app.put("/urls/external/", json!({})).await.check_error(404, "");
    app.put("/urls/external/a/b", json!({})).await.check_error(404, "nothing at this path");
}

#[tokio::test]
async fn replacement_with_a_fault_is_refused_and_changes_nothing() {
    let app = app_with_users().await;
    put(&app, "new", json!({ "expires_at": "2020-01-01T00:00:00" })).await.check_error(400, "must be in the future");
    put(&app, "new", json!({ "user_id": 99 })).await.check_error(404, "User 99 not found");
    app.put("/urls/external/new", json!({ "original_url": "https://a.example/" }))
        .await
        .check_error(400, "user_id is required");
    app.put("/urls/external/new", json!({ "user_id": 1 })).await.check_error(400, "original_url is required");
    put(&app, "new", json!({ "external_id": "other" })).await.check_error(400, "external_id must be that of the path");
    put(&app, "new", json!({ "external_id": null })).await.check_error(400, "external_id must be that of the path");
    assert_eq!(app.get("/urls").await.json(), json!([]));

    assert_eq!(put(&app, "one", json!({ "short_code": "mine" })).await.status, 201);
    put(&app, "one", json!({ "short_code": "other" }))
        .await
        .check_error(400, "short_code cannot be changed: the link is mine");
    put(&app, "two", json!({ "short_code": "mine" })).await.check_error(409, "Short code is already taken");
    put(&app, "one", json!({ "is_active": null })).await.check_error(400, "is_active");
    assert_eq!(app.get("/urls/1").await.json()["revision"], 1);
    let ended = put(&app, "one", json!({ "expires_at": "2020-01-01T00:00:00" })).await;
    assert_eq!((ended.status, &ended.json()["state"]), (200, &json!("expired")), "a past end ends the link");
}

#[tokio::test]
async fn replacement_of_another_revision_is_refused() {
    let app = app_with_users().await;
    let body = json!({ "user_id": 1, "original_url": "https://example.com/" });
    let conditional = async |id: &str, tag: &str| {
        app.send_json("PUT", &format!("/urls/external/{id}"), &[("if-match", tag)], body.clone()).await
    };
    conditional("one", "\"1\"").await.check_error(412, "No link has this external id");
    assert_eq!(put(&app, "one", json!({})).await.status, 201);
    conditional("one", "\"2\"").await.check_error(412, "its revision is 1");
    assert_eq!(conditional("one", "\"1\"").await.status, 200);
    assert_eq!(conditional("one", "*").await.status, 200);
}

#[tokio::test]
async fn concurrent_requests_for_one_link_create_one() {
    let app = app_with_users().await;
    let body = json!({ "user_id": 1, "original_url": "https://example.com/" });
    let puts = (0..8).map(|_| app.put("/urls/external/one", body.clone()));
    let made = futures_util::future::join_all(puts).await;
    assert_eq!(made.iter().filter(|answer| answer.status == 201).count(), 1, "{made:?}");
    assert!(made.iter().all(|answer| answer.json()["id"] == 1), "{made:?}");
    let target = json!({ "user_id": 2, "original_url": "https://example.com/" });
    let reuses = (0..8).map(|_| app.post("/urls?reuse=true", target.clone()));
    let made = futures_util::future::join_all(reuses).await;
    assert_eq!(made.iter().filter(|answer| answer.status == 201).count(), 1, "{made:?}");
    assert_eq!(app.get("/urls").await.ids().len(), 2);
}
