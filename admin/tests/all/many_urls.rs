//! Changes and deletions of many links.

use serde_json::{Value, json};

use crate::support::{Answer, App, spawn_app};

/// Returns an app with two users: the first has links 1 to 3, the second has link 4.
async fn app_with_links() -> App {
    let app = spawn_app().await;
    let (ann, bob) = (app.create_user("ann").await, app.create_user("bob").await);
    for user in [&ann, &ann, &ann, &bob] {
        app.shorten(user, "https://example.com/").await;
    }
    app
}

async fn patch(app: &App, body: Value) -> Answer {
    app.send_json("PATCH", "/urls", &[], body).await
}

async fn delete(app: &App, body: Value) -> Answer {
    app.send_json("DELETE", "/urls", &[], body).await
}

/// Returns a field of every link.
async fn values(app: &App, field: &str) -> Vec<Value> {
    app.get("/urls").await.json().as_array().unwrap().iter().map(|url| url[field].clone()).collect()
}

#[tokio::test]
async fn links_of_ids_are_changed_with_every_field_of_patch() {
    let app = app_with_links().await;
    let set = json!({
        "title": "new", "is_active": false, "original_url": "https://b.example/", "tags": ["a", "b"], "add_tags": ["c"],
        "remove_tags": ["a"], "notes": "n", "starts_at": "2020-01-01", "expires_at": "2099-01-01T00:00:00",
        "redirect_status": 307, "forward_query": true, "max_clicks": 9, "expired_url": "https://over.example/", "external_id": null,
    });
    let mut wrong = set.clone();
    wrong["starts_at"] = json!("2020-01-01T00:00:00");
    let changed = patch(&app, json!({ "ids": [1, 2, 1], "set": wrong })).await;
    assert_eq!((changed.status, changed.json()), (200, json!({ "changed": 2 })));
    assert!(changed.header("tern-visible").is_some());
    for id in [1, 2] {
        let url = app.get(&format!("/urls/{id}")).await.json();
        assert_eq!((&url["title"], &url["tags"], &url["revision"]), (&json!("new"), &json!(["b", "c"]), &json!(2)));
        assert_eq!((&url["redirect_status"], &url["state"]), (&json!(307), &json!("inactive")));
        assert_eq!(url["max_clicks"], 9);
    }
    assert_eq!(values(&app, "revision").await, [2, 2, 1, 1]);
    assert_eq!(app.get("/events?event_type=updated").await.ids().len(), 2);
    patch(&app, json!({ "ids": [1], "set": set })).await.check_error(400, "starts_at");
    let none = patch(&app, json!({ "ids": [3], "set": {} })).await;
    assert_eq!((none.json(), none.header("tern-visible")), (json!({ "changed": 0 }), None));
    let none = patch(&app, json!({ "ids": [], "set": { "title": "x" } })).await;
    assert_eq!((none.status, none.json()), (200, json!({ "changed": 0 })));
}

#[tokio::test]
async fn links_of_a_filter_are_changed_if_they_are_as_many_as_expected() {
    let app = app_with_links().await;
    app.put("/urls/2", json!({ "tags": ["x", "y"] })).await;
    let of = async |filter: Value, expect: u64| {
        patch(&app, json!({ "filter": filter, "expect": expect, "set": { "add_tags": ["done"] } })).await
    };
    of(json!({ "user_id": 1 }), 2).await.check_error(409, "3 links match the filter and not 2");
    of(json!({ "user_id": 1 }), 0).await.check_error(409, "3 links match");
    assert_eq!(values(&app, "revision").await, [1, 2, 1, 1]);
    for (filter, expect) in [
        (json!({ "user_id": 1 }), 3),
        (json!({ "tag": "x" }), 1),
        (json!({ "tag": ["x", "y"], "tag_mode": "all", "is_active": true }), 1),
        (json!({ "state": "active", "never_clicked": true, "host": "example.com" }), 4),
        (json!({ "created_from": "2020-01-01", "search": "example" }), 4),
        (json!({ "user_id": 99 }), 0),
    ] {
        let changed = of(filter.clone(), expect).await;
        assert_eq!((changed.status, changed.json()), (200, json!({ "changed": expect })), "{filter}");
    }
}

#[tokio::test]
async fn selection_that_is_unclear_is_refused() {
    let app = app_with_links().await;
    let many: Vec<u64> = (1..=10_001).collect();
    for (selection, status, message) in [
        (json!({}), 400, "ids is required, or filter with expect"),
        (json!({ "ids": [1], "filter": { "user_id": 1 }, "expect": 3 }), 400, "exclude each other"),
        (json!({ "filter": { "user_id": 1 } }), 400, "expect is required"),
        (json!({ "filter": {}, "expect": 4 }), 400, "at least one"),
        (json!({ "filter": { "tag_mode": "all", "colour": 1 }, "expect": 4 }), 400, "at least one"),
        (json!({ "filter": { "user_id": 1 }, "expect": 10_001 }), 400, "at most 10000"),
        (json!({ "filter": { "user_id": "1" }, "expect": 3 }), 400, "filter.user_id"),
        (json!({ "filter": { "is_active": "true" }, "expect": 3 }), 400, "filter.is_active"),
        (json!({ "filter": { "search": "" }, "expect": 3 }), 400, "filter.search"),
        (json!({ "filter": { "user_id": 1 }, "expect": -1 }), 400, "expect"),
        (json!({ "filter": { "user_id": 1 }, "expect": 3.0 }), 400, "expect"),
        (json!({ "filter": null, "expect": 3 }), 400, "filter"),
        (json!({ "ids": null }), 400, "ids"),
        (json!({ "ids": many }), 400, "ids must be at most 10000"),
        (json!({ "ids": [1, 0] }), 400, "ids[1] must be a positive integer"),
        (json!({ "ids": [true] }), 400, "ids[0]"),
        (json!({ "ids": [1, 99] }), 404, "URL 99 not found"),
    ] {
        let mut change = selection.clone();
        change["set"] = json!({ "title": "x" });
        patch(&app, change).await.check_error(status, message);
        delete(&app, selection).await.check_error(status, message);
    }
    patch(&app, json!({ "ids": [1] })).await.check_error(400, "set is required");
    app.send("DELETE", "/urls", None, "").await.check_error(400, "body is missing");
    assert_eq!(values(&app, "revision").await, [1, 1, 1, 1]);
}

#[tokio::test]
async fn change_that_one_link_refuses_names_it_and_changes_none() {
    let app = app_with_links().await;
    let tags: Vec<String> = (0..20).map(|n| format!("tag{n}")).collect();
    app.put("/urls/2", json!({ "starts_at": "2098-01-01T00:00:00", "tags": tags })).await;
    let code = values(&app, "short_code").await[0].clone();
    for (set, message) in [
        (
            json!({ "expires_at": "2097-01-01T00:00:00" }),
            "Link 2 refuses the change, so nothing was changed: expires_at",
        ),
        (json!({ "add_tags": ["more"] }), "Link 2 refuses the change, so nothing was changed: tags must be at most 20"),
        (json!({ "external_id": "one" }), "Link 2 refuses"),
        (
            json!({ "short_code": code }),
            "Link 2 refuses the change, so nothing was changed: short_code cannot be changed",
        ),
        (json!({ "expires_at": "2099-01-01T00:00:00", "redirect_status": 301 }), "redirect_status"),
        (json!({ "title": 7 }), "set.title"),
    ] {
        patch(&app, json!({ "ids": [1, 2, 3], "set": set })).await.check_error(400, message);
    }
    assert_eq!(values(&app, "revision").await, [1, 2, 1, 1]);
    let unknown = json!({ "ids": [1], "set": { "title": "x", "colour": 1, "user_id": 2, "clicks": 7 }, "size": 2 });
    assert_eq!(patch(&app, unknown).await.header("tern-ignored"), Some("size, colour"));
}

#[tokio::test]
async fn selected_links_are_deleted_with_their_events() {
    let app = app_with_links().await;
    let deleted = delete(&app, json!({ "ids": [1, 3, 1] })).await;
    assert_eq!((deleted.status, deleted.json()), (200, json!({ "deleted": 2 })));
    assert!(deleted.header("tern-visible").is_some());
    assert_eq!(app.get("/events").await.ids().len(), 2);
    delete(&app, json!({ "filter": { "is_active": true }, "expect": 3 })).await.check_error(409, "2 links match");
    let deleted = delete(&app, json!({ "filter": { "is_active": true }, "expect": 2 })).await;
    assert_eq!((deleted.status, deleted.json()), (200, json!({ "deleted": 2 })));
    assert_eq!(values(&app, "id").await, [0; 0]);
    let none = delete(&app, json!({ "ids": [] })).await;
    assert_eq!((none.json(), none.header("tern-visible")), (json!({ "deleted": 0 }), None));
}
