//! Events over HTTP.

use serde_json::{Value, json};

use crate::support::{App, spawn_app};

async fn app_with_a_link() -> (App, Value) {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    let link = app.shorten(&ann, "https://example.com/").await;
    (app, link)
}

#[tokio::test]
async fn posted_event_is_recorded_and_found() {
    let (app, _) = app_with_a_link().await;
    let details = json!({ "a": { "b": [1, 1.5, "é", null] } });
    let body = json!({ "url_id": 1, "user_id": 1, "event_type": "viewed", "details": details });
    let created = app.post("/events", body).await;
    assert_eq!(created.status, 201);
    let event = created.json();
    let timestamp = event["timestamp"].as_str().unwrap();
    assert!(tern_common::Timestamp::parse(timestamp).is_ok(), "{timestamp}");
    assert_eq!(
        event,
        json!({
            "id": 2, "url_id": 1, "user_id": 1, "event_type": "viewed", "timestamp": timestamp, "details": details,
        })
    );
    assert_eq!(app.get("/events/2").await.json(), event);
    app.get("/events/99").await.check_error(404, "Event 99 not found");
}

#[tokio::test]
async fn event_details_that_are_no_object_are_refused() {
    let (app, _) = app_with_a_link().await;
    let with = |details: Value| json!({ "url_id": 1, "user_id": 1, "event_type": "x", "details": details });
    for details in [json!(null), json!([]), json!("{}"), json!(5), json!(true)] {
        app.post("/events", with(details)).await.check_error(400, "details");
    }
    assert_eq!(app.post("/events", with(json!({}))).await.json()["details"], json!({}));
    let without = json!({ "url_id": 1, "user_id": 1, "event_type": "x" });
    assert_eq!(app.post("/events", without).await.json()["details"], json!({}));
}

#[tokio::test]
async fn invalid_event_is_refused() {
    let (app, _) = app_with_a_link().await;
    let event = |url_id: Value, user_id: Value, event_type: Value| json!({ "url_id": url_id, "user_id": user_id, "event_type": event_type });
    for id in [json!(null), json!(true), json!(1.0), json!("1"), json!(0), json!(-1)] {
        app.post("/events", event(id.clone(), json!(1), json!("x"))).await.check_error(400, "url_id");
        app.post("/events", event(json!(1), id, json!("x"))).await.check_error(400, "user_id");
    }
    for kind in [json!(""), json!("  "), json!(null), json!(5), json!("a".repeat(256)), json!("\0")] {
        app.post("/events", event(json!(1), json!(1), kind)).await.check_error(400, "event_type");
    }
    app.post("/events", json!({ "user_id": 1, "event_type": "x" })).await.check_error(400, "url_id is required");
    app.post("/events", json!({ "url_id": 1, "user_id": 1 })).await.check_error(400, "event_type is required");
    app.post("/events", event(json!(99), json!(1), json!("x"))).await.check_error(404, "URL 99 not found");
    app.post("/events", event(json!(1), json!(99), json!("x"))).await.check_error(404, "User 99 not found");
}

#[tokio::test]
async fn event_without_user_id_belongs_to_link_owner() {
    let (app, _) = app_with_a_link().await;
    let bob = app.create_user("bob").await;
    let bobs = app.shorten(&bob, "https://example.com/bob").await;
    let created = app.post("/events", json!({ "url_id": bobs["id"], "event_type": "shared" })).await;
    assert_eq!((created.status, &created.json()["user_id"]), (201, &bob["id"]), "{created:?}");
    assert_eq!(app.get(&format!("/events?event_type=shared&user_id={}", bob["id"])).await.ids().len(), 1);
    app.post("/events", json!({ "url_id": 99, "event_type": "x" })).await.check_error(404, "URL 99 not found");
}

#[tokio::test]
async fn created_and_updated_link_has_events() {
    let (app, link) = app_with_a_link().await;
    app.put("/urls/1", json!({ "original_url": "https://else.example/" })).await;
    let events = app.get("/events").await.json();
    let check = |event: &Value, kind: &str, target: &str| {
        assert_eq!((&event["url_id"], &event["user_id"]), (&json!(1), &json!(1)));
        assert_eq!(event["event_type"], kind);
        assert_eq!(event["details"], json!({ "short_code": link["short_code"], "original_url": target }));
    };
    check(&events[0], "created", "https://example.com/");
    check(&events[1], "updated", "https://else.example/");
    assert_eq!(events.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn event_filters_select_matching_events() {
    let (app, first) = app_with_a_link().await;
    let bob = app.create_user("bob").await;
    let second = app.shorten(&bob, "https://example.com/2").await;
    app.record_event(&first, "viewed").await;
    app.record_event(&second, "é & more").await;
    let check = async |query: &str, expected: &[i64]| {
        let answer = app.get(&format!("/events?{query}")).await;
        assert_eq!(answer.ids(), expected, "{query}");
        assert_eq!(answer.header("x-total-count"), Some(expected.len().to_string().as_str()), "{query}");
    };
    check("", &[1, 2, 3, 4]).await;
    check("url_id=1", &[1, 3]).await;
    check("user_id=2", &[2, 4]).await;
    check("event_type=created", &[1, 2]).await;
    check("event_type=%C3%A9+%26%20more", &[4]).await;
    check("event_type=", &[]).await;
    check("url_id=1&event_type=viewed", &[3]).await;
    check("url_id=1&user_id=2", &[]).await;
    for name in ["url_id", "user_id"] {
        for wrong in ["abc", "", "0", "-1", "1.0", "1e3"] {
            app.get(&format!("/events?{name}={wrong}")).await.check_error(400, name);
        }
    }
}
