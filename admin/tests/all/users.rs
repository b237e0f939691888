//! Users over HTTP.

use serde_json::{Value, json};

use crate::support::spawn_app;

fn user(username: Value, email: Value) -> Value {
    json!({ "username": username, "email": email })
}

#[tokio::test]
async fn user_is_created_found_updated_and_deleted() {
    let app = spawn_app().await;
    let created = app.post("/users", user(json!("ann"), json!("ann@mail.example"))).await;
    assert_eq!(created.status, 201);
    let ann = created.json();
    let created_at = ann["created_at"].as_str().unwrap();
    assert!(tern_common::Timestamp::parse(created_at).is_ok() && created_at.contains('T'), "{created_at}");
    assert_eq!(
        ann,
        json!({ "id": 1, "username": "ann", "email": "ann@mail.example", "created_at": created_at }),
        "the whole user, and nothing else"
    );
    assert_eq!(app.get("/users/1").await.json(), ann);
    assert_eq!(app.get("/users").await.json(), json!([ann]));

    let changed = app.put("/users/1", json!({ "email": "ann@else.example" })).await;
    assert_eq!(changed.status, 200);
    assert_eq!(
        changed.json(),
        json!({ "id": 1, "username": "ann", "email": "ann@else.example", "created_at": created_at })
    );
    assert_eq!(app.put("/users/1", json!({ "username": "anna" })).await.json()["username"], "anna");
    assert_eq!(app.put("/users/1", json!({})).await.json(), app.get("/users/1").await.json());

    let deleted = app.delete("/users/1").await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    app.delete("/users/1").await.check_error(404, "User 1 not found");
}

#[tokio::test]
async fn unknown_user_is_not_found() {
    let app = spawn_app().await;
    app.get("/users/99").await.check_error(404, "User 99 not found");
    app.put("/users/99", json!({ "username": "x" })).await.check_error(404, "User 99 not found");
    app.put("/users/99", json!({})).await.check_error(404, "User 99 not found");
    app.delete("/users/99").await.check_error(404, "User 99 not found");
    app.delete("/users/99?cascade=true").await.check_error(404, "User 99 not found");
    app.get("/users/99/urls").await.check_error(404, "User 99 not found");
}

#[tokio::test]
async fn invalid_user_is_refused() {
    let app = spawn_app().await;
    app.create_user("ann").await;
    let bad_usernames = [
        json!(""),
        json!(" \t"),
        json!(null),
        json!(5),
        json!(true),
        json!(["a"]),
        json!({}),
        json!("a".repeat(256)),
        json!("a\0b"),
    ];
    for username in bad_usernames {
        app.post("/users", user(username.clone(), json!("x@y.z"))).await.check_error(400, "username");
        app.put("/users/1", json!({ "username": username })).await.check_error(400, "username");
        // The body is validated before the user is looked up.
        app.put("/users/99", json!({ "username": username })).await.check_error(400, "username");
    }
    let bad_emails =
        ["", " ", "nobody", "a@b", "@b.c", "a@.c", "a@b.", "a@b@c.d", "a b@c.d"].map(|email| json!(email)).into_iter();
    let too_long = json!(format!("{}@b.c", "a".repeat(252)));
    for email in bad_emails.chain([json!(null), json!(5), json!(["x@y.z"]), too_long]) {
        app.post("/users", user(json!("bob"), email.clone())).await.check_error(400, "email");
        app.put("/users/1", json!({ "email": email })).await.check_error(400, "email");
    }
    app.post("/users", json!({ "email": "x@y.z" })).await.check_error(400, "username is required");
    app.post("/users", json!({ "username": "bob" })).await.check_error(400, "email is required");
    assert_eq!(app.get("/users").await.header("x-total-count"), Some("1"));
}

#[tokio::test]
async fn length_limits_count_characters() {
    let app = spawn_app().await;
    let longest = json!("é".repeat(255));
    assert_eq!(app.post("/users", user(longest, json!("é@bücher.example"))).await.status, 201);
}

#[tokio::test]
async fn taken_username_or_email_is_a_conflict() {
    let app = spawn_app().await;
    app.create_user("ann").await;
    app.create_user("bob").await;
    let create = |name: &str, email: &str| app.post("/users", user(json!(name), json!(email)));
    create("ann", "new@mail.example").await.check_error(409, "Username is already taken");
    create("new", "ann@mail.example").await.check_error(409, "Email is already taken");
    app.put("/users/2", json!({ "username": "ann" })).await.check_error(409, "Username is already taken");
    app.put("/users/2", json!({ "email": "ann@mail.example" })).await.check_error(409, "Email is already taken");
    assert_eq!(
        app.put("/users/1", json!({ "username": "ann" })).await.status,
        200,
        "a user's own name counts as taken"
    );
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let app = spawn_app().await;
    let body = json!({ "username": "ann", "email": "x@y.z", "id": 77, "created_at": "never", "admin": true });
    assert_eq!(app.post("/users", body).await.json()["id"], 1);
}

#[tokio::test]
async fn user_who_owns_links_is_deleted_only_with_cascade() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/1").await;
    app.shorten(&ann, "https://example.com/2").await;
    app.delete("/users/1").await.check_error(409, "2 links");
    app.delete("/users/1?cascade=false").await.check_error(409, "2 links");
    for wrong in ["yes", "", "1", "TRUE"] {
        app.delete(&format!("/users/1?cascade={wrong}")).await.check_error(400, "cascade");
    }
    let deleted = app.delete("/users/1?cascade=true").await;
    assert_eq!(deleted.status, 204);
    assert_eq!(deleted.header("tern-visible"), Some("0/0"), "links were deleted, and the redirectors received no hint");
    assert_eq!(app.get("/urls").await.json(), json!([]));
    assert_eq!(app.get("/events").await.json(), json!([]));
}

#[tokio::test]
async fn links_of_user_are_listed() {
    let app = spawn_app().await;
    let (ann, bob) = (app.create_user("ann").await, app.create_user("bob").await);
    assert_eq!(app.get("/users/1/urls").await.json(), json!([]));
    let mine = app.shorten(&ann, "https://example.com/1").await;
    app.shorten(&bob, "https://example.com/2").await;
    let listed = app.get("/users/1/urls").await;
    assert_eq!(listed.json(), json!([mine]));
    assert_eq!(listed.header("x-total-count"), Some("1"));
    app.shorten(&ann, "https://example.com/3").await;
    let page = app.get("/users/1/urls?per_page=1").await;
    assert_eq!(page.ids(), [1]);
    assert_eq!(page.header("link"), Some("</users/1/urls?after=1&per_page=1>; rel=\"next\""));
}
