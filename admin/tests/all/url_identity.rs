//! Short codes of one's own, whole short addresses, labels, partial updates, and revisions of links.

use serde_json::{Value, json};
use tern_admin::{AdminConfig, find_hidden_links};
use tern_common::OwnAddresses;
use tern_common::config::Setting;
use tern_common::short_code::RESERVED;

use crate::support::{Answer, App, Setup, spawn_app, spawn_app_with};

async fn app_with_user() -> App {
    let app = spawn_app().await;
    app.create_user("ann").await;
    app
}

async fn create(app: &App, fields: Value) -> Answer {
    let mut body = json!({ "user_id": 1, "original_url": "https://example.com/" });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    app.post("/urls", body).await
}

#[tokio::test]
async fn given_short_code_is_used_and_a_taken_one_is_a_conflict() {
    let app = app_with_user().await;
    let longest = "x".repeat(64);
    for code in ["a", "Summer-Sale_26", &longest] {
        let made = create(&app, json!({ "short_code": code })).await;
        assert_eq!((made.status, &made.json()["short_code"]), (201, &json!(code)));
    }
    create(&app, json!({ "short_code": "a" })).await.check_error(409, "Short code is already taken");
    let generated = create(&app, json!({ "short_code": null })).await.json();
    assert_eq!(generated["short_code"].as_str().unwrap().len(), 6);
}

#[tokio::test]
async fn short_code_with_a_fault_is_refused_with_the_reason() {
    let app = app_with_user().await;
    let too_long = "x".repeat(65);
    for (code, reason) in [
        (json!(""), "1 to 64 characters"),
        (json!(too_long), "1 to 64 characters"),
        (json!("a b"), "only letters, digits, '-' and '_'"),
        (json!("é"), "only letters, digits, '-' and '_'"),
        (json!("a/b"), "only letters, digits, '-' and '_'"),
        (json!(7), "a string"),
    ] {
        let refused = create(&app, json!({ "short_code": code })).await;
        refused.check_error(400, reason);
        refused.check_error(400, "short_code");
    }
    for word in RESERVED.into_iter().filter(|word| !word.contains('.')) {
        create(&app, json!({ "short_code": word })).await.check_error(400, "reserved");
    }
    assert_eq!(app.get("/urls").await.json(), json!([]));
}

/// A newer version may reserve a word that is a code already.
#[tokio::test]
async fn link_under_a_reserved_word_is_named_at_the_start() {
    let app = app_with_user().await;
    create(&app, json!({ "short_code": "mine" })).await;
    assert_eq!(find_hidden_links(&*app.store).await.unwrap(), None);
    app.database.lock().execute_batch("UPDATE urls SET short_code = 'stats'; COMMIT").unwrap();
    let warning = find_hidden_links(&*app.store).await.unwrap().unwrap();
    assert!(warning.contains("reserved words: stats (link 1)"), "{warning}");
}

#[tokio::test]
async fn short_code_of_an_existing_link_cannot_be_changed() {
    let app = app_with_user().await;
    create(&app, json!({ "short_code": "mine" })).await;
    for method in ["PUT", "PATCH"] {
        let answer = app.send_json(method, "/urls/1", &[], json!({ "short_code": "other", "title": "x" })).await;
        answer.check_error(400, "short_code cannot be changed");
        let null = app.send_json(method, "/urls/1", &[], json!({ "short_code": null })).await;
        null.check_error(400, "short_code");
        let same = app.send_json(method, "/urls/1", &[], json!({ "short_code": "mine" })).await;
        assert_eq!((same.status, &same.json()["revision"]), (200, &json!(1)), "the same code is a change");
    }
    assert_eq!(app.get("/urls/1").await.json()["title"], Value::Null);
    app.put("/urls/9", json!({ "short_code": "mine" })).await.check_error(404, "URL 9 not found");
}

#[tokio::test]
async fn short_url_has_the_public_origin_or_the_host_of_the_request() {
    let app = app_with_user().await;
    let own = create(&app, json!({ "short_code": "mine" })).await.json();
    assert_eq!(own["short_url"], format!("http://{}/mine", app.address));
    let named = app.send_with("GET", "/urls/1", &[("host", "localhost:81")]).await;
    assert_eq!(named.json()["short_url"], "http://localhost:81/mine");

    let own_addresses = OwnAddresses::parse("https://Go.Example,https://old.example").unwrap();
    let config = AdminConfig { own_addresses, ..AdminConfig::default() };
    let app = spawn_app_with(Setup { config, ..Setup::default() }).await;
    app.create_user("ann").await;
    create(&app, json!({ "short_code": "mine" })).await;
    for path in ["/urls", "/users/1/urls"] {
        assert_eq!(app.get(path).await.json()[0]["short_url"], "https://go.example/mine", "{path}");
    }
    assert_eq!(app.put("/urls/1", json!({})).await.json()["short_url"], "https://go.example/mine");
}

#[tokio::test]
async fn state_follows_the_order_of_decisions() {
    let app = app_with_user().await;
    assert_eq!(create(&app, json!({})).await.json()["state"], "active");
    let state = async |change: Value| app.put("/urls/1", change).await.json()["state"].clone();
    assert_eq!(state(json!({ "expires_at": "2020-01-01T00:00:00" })).await, "expired");
    assert_eq!(
        state(json!({ "expires_at": "2099-01-01T00:00:00", "starts_at": "2098-01-01T00:00:00" })).await,
        "scheduled"
    );
    assert_eq!(state(json!({ "is_active": false })).await, "inactive");
    assert_eq!(app.get("/urls").await.json()[0]["state"], "inactive");
    assert_eq!(state(json!({ "is_active": true, "starts_at": null, "expires_at": null })).await, "active");
}

#[tokio::test]
async fn tags_are_normalised_added_and_removed() {
    let app = app_with_user().await;
    let made = create(&app, json!({ "tags": [" Summer ", "POSTER", "summer", "ÄÖ b"] })).await;
    assert_eq!((made.status, &made.json()["tags"]), (201, &json!(["summer", "poster", "äö b"])));
    let change = async |change: Value| app.put("/urls/1", change).await.json()["tags"].clone();
    assert_eq!(change(json!({ "add_tags": ["New", "summer"] })).await, json!(["summer", "poster", "äö b", "new"]));
    assert_eq!(change(json!({ "remove_tags": ["POSTER", "none"] })).await, json!(["summer", "äö b", "new"]));
    assert_eq!(change(json!({ "tags": ["x"], "add_tags": ["y"], "remove_tags": ["x"] })).await, json!(["y"]));
    assert_eq!(change(json!({ "title": "x" })).await, json!(["y"]));
    assert_eq!(change(json!({ "tags": null })).await, json!([]));

    let many: Vec<String> = (0..21).map(|n| format!("tag{n}")).collect();
    let longest = "é".repeat(50);
    for wrong in [json!([""]), json!([" "]), json!(["a,b"]), json!(["a|b"]), json!(["a\u{7}b"]), json!([7]), json!("a")]
    {
        for field in ["tags", "add_tags", "remove_tags"] {
            app.put("/urls/1", json!({ field: wrong })).await.check_error(400, field);
        }
        create(&app, json!({ "tags": wrong })).await.check_error(400, "tags");
    }
    create(&app, json!({ "tags": ["x".repeat(51)] })).await.check_error(400, "1 to 50 characters");
    create(&app, json!({ "tags": many })).await.check_error(400, "at most 20");
    assert_eq!(create(&app, json!({ "tags": many[..20], "notes": longest })).await.status, 201);
    app.put("/urls/2", json!({ "add_tags": ["more"] })).await.check_error(400, "tags must be at most 20");
    assert_eq!(app.put("/urls/2", json!({ "add_tags": ["more"], "remove_tags": ["tag0"] })).await.status, 200);
}

#[tokio::test]
async fn notes_and_external_id_are_checked_and_cleared() {
    let app = app_with_user().await;
    let notes = "é".repeat(2048);
    let made = create(&app, json!({ "notes": notes, "external_id": "order/1" })).await;
    assert_eq!(
        (made.status, &made.json()["notes"], &made.json()["external_id"]),
        (201, &json!(notes), &json!("order/1"))
    );
    create(&app, json!({ "external_id": "order/1" })).await.check_error(409, "External id is already taken");
    create(&app, json!({ "notes": "é".repeat(2049) })).await.check_error(400, "notes must have at most 2048");
    for wrong in [json!(""), json!("x".repeat(256)), json!("a\u{0}b"), json!("a\nb"), json!(7)] {
        create(&app, json!({ "external_id": wrong })).await.check_error(400, "external_id");
    }
    let cleared = app.put("/urls/1", json!({ "notes": null, "external_id": null })).await.json();
    assert_eq!((&cleared["notes"], &cleared["external_id"]), (&json!(null), &json!(null)));
    assert_eq!(create(&app, json!({ "external_id": "order/1" })).await.status, 201);
    app.put("/urls/1", json!({ "external_id": "order/1" })).await.check_error(409, "External id is already taken");
}

#[tokio::test]
async fn patch_means_what_put_means() {
    let app = app_with_user().await;
    create(&app, json!({ "title": "a", "tags": ["x"] })).await;
    let patched = app.send_json("PATCH", "/urls/1", &[], json!({ "title": "b", "colour": 1 })).await;
    assert_eq!((patched.status, patched.header("tern-ignored")), (200, Some("colour")));
    assert!(patched.header("tern-visible").is_some());
    assert_eq!((&patched.json()["title"], &patched.json()["tags"]), (&json!("b"), &json!(["x"])));
    app.send_json("PATCH", "/urls/9", &[], json!({})).await.check_error(404, "URL 9 not found");
    app.send_json("PATCH", "/urls/1", &[], json!([])).await.check_error(400, "JSON object");
}

#[tokio::test]
async fn answer_can_be_put_back_without_ignored_names() {
    let app = app_with_user().await;
    let link = create(&app, json!({ "title": "a", "tags": ["x"], "external_id": "7" })).await.json();
    let mut changed = link.clone();
    changed["title"] = json!("b");
    changed["clicks"] = json!(900);
    changed["revision"] = json!("nonsense");
    for method in ["PUT", "PATCH"] {
        let answer = app.send_json(method, "/urls/1", &[], changed.clone()).await;
        assert_eq!((answer.status, answer.header("tern-ignored")), (200, None), "{answer:?}");
        assert_eq!((&answer.json()["title"], &answer.json()["clicks"]), (&json!("b"), &json!(0)));
    }
    app.delete("/urls/1").await;
    let again = app.post("/urls", link).await;
    assert_eq!((again.status, again.header("tern-ignored")), (201, None), "{again:?}");
    assert_eq!(again.json()["id"], 2);
}

#[tokio::test]
async fn revision_is_the_etag_and_grows_with_each_change() {
    let app = app_with_user().await;
    let made = create(&app, json!({})).await;
    assert_eq!((made.header("etag"), &made.json()["revision"]), (Some("\"1\""), &json!(1)));
    assert_eq!(app.get("/urls/1").await.header("etag"), Some("\"1\""));
    assert_eq!(app.put("/urls/1", json!({})).await.header("etag"), Some("\"1\""));
    assert_eq!(app.put("/urls/1", json!({ "title": "x" })).await.header("etag"), Some("\"2\""));
    let patched = app.send_json("PATCH", "/urls/1", &[], json!({ "add_tags": ["x"] })).await;
    assert_eq!((patched.header("etag"), &patched.json()["revision"]), (Some("\"3\""), &json!(3)));
}

#[tokio::test]
async fn known_revision_is_not_sent_again() {
    let app = app_with_user().await;
    create(&app, json!({})).await;
    for known in ["\"1\"", "W/\"1\"", "\"9\", \"1\"", "*"] {
        for method in ["GET", "HEAD"] {
            let answer = app.send_with(method, "/urls/1", &[("if-none-match", known)]).await;
            assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{known}");
            assert_eq!(answer.header("etag"), Some("\"1\""), "{known}");
        }
    }
    for other in ["\"2\"", "1", ""] {
        assert_eq!(app.send_with("GET", "/urls/1", &[("if-none-match", other)]).await.status, 200, "{other}");
    }
    app.send_with("GET", "/urls/9", &[("if-none-match", "*")]).await.check_error(404, "URL 9");
}

#[tokio::test]
async fn change_for_another_revision_is_refused() {
    let app = app_with_user().await;
    create(&app, json!({})).await;
    app.put("/urls/1", json!({ "title": "a" })).await;
    for method in ["PUT", "PATCH"] {
        for other in ["\"1\"", "W/\"2\"", "2", "\"1\", \"3\""] {
            for change in [json!({ "title": "b" }), json!({})] {
                let refused = app.send_json(method, "/urls/1", &[("if-match", other)], change).await;
                refused.check_error(412, "its revision is 2");
            }
        }
        app.send_json(method, "/urls/9", &[("if-match", "\"1\"")], json!({ "title": "b" }))
            .await
            .check_error(404, "URL 9");
    }
    assert_eq!(app.get("/urls/1").await.json()["title"], "a");
    app.send_with("DELETE", "/urls/1", &[("if-match", "\"1\"")]).await.check_error(412, "its revision is 2");
    for (n, same) in [(3, "\"2\""), (4, "*"), (5, "\"1\", \"4\"")] {
        let changed = app.send_json("PUT", "/urls/1", &[("if-match", same)], json!({ "title": same })).await;
        assert_eq!((changed.status, &changed.json()["revision"]), (200, &json!(n)), "{same}");
    }
    assert_eq!(app.send_with("DELETE", "/urls/1", &[("if-match", "\"5\"")]).await.status, 204);
    app.send_with("DELETE", "/urls/1", &[("if-match", "\"5\"")]).await.check_error(404, "URL 1");
}

#[tokio::test]
async fn existing_link_is_reused_on_request() {
    let app = app_with_user().await;
    app.create_user("bob").await;
    let reuse = async |user: i64, target: &str, fields: Value| {
        let mut body = json!({ "user_id": user, "original_url": target });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = app.post("/urls?reuse=true", body).await;
        (answer.status, answer.json()["id"].as_i64().unwrap())
    };
    let target = "https://example.com/";
    let first = json!({ "title": "a", "tags": ["x"], "external_id": "7", "expires_at": "2099-01-01T00:00:00" });
    assert_eq!(reuse(1, target, first.clone()).await, (201, 1), "a first link is new");
    assert_eq!(reuse(1, target, json!({})).await, (200, 1));
    assert_eq!(reuse(1, target, first).await, (200, 1));
    assert_eq!(reuse(2, target, json!({})).await, (201, 2), "another owner has another link");
    assert_eq!(reuse(1, "https://example.com/?", json!({})).await, (201, 3), "another target has another link");
    for (id, other) in [(4, json!({ "title": "b" })), (5, json!({ "tags": [] })), (6, json!({ "short_code": "mine" }))]
    {
        assert_eq!(reuse(1, target, other).await, (201, id), "a field that differs makes a new link");
    }
    let code = app.get("/urls/1").await.json()["short_code"].clone();
    assert_eq!(reuse(1, target, json!({ "short_code": code, "notes": null })).await, (200, 1));
    app.put("/urls/1", json!({ "is_active": false })).await;
    assert_eq!(reuse(1, target, json!({})).await, (200, 4), "the oldest active link is reused");
    assert_eq!(app.get("/events?event_type=created").await.ids().len(), 6);
    assert_eq!(create(&app, json!({})).await.json()["id"], 7, "without `reuse` each link is new");
    app.post("/urls?reuse=maybe", json!({ "user_id": 1, "original_url": target })).await.check_error(400, "reuse");
}
