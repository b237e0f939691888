//! Audit entries: which token changed which link, and what the link was before.

use serde_json::{Value, json};
use tern_common::token::{NewToken, Role, Secret};

use crate::support::{App, eventually, spawn_app};

async fn token(app: &App, name: &str, user: Option<&Value>) -> String {
    let secret = Secret::generate();
    let user_id = user.and_then(|user| tern_common::Id::new(user["id"].as_i64()?));
    let token =
        NewToken { name: name.parse().unwrap(), role: Role::Editor, hash: secret.hash(), expires_at: None, user_id };
    app.store.insert_token(token).await.unwrap();
    secret.reveal().to_owned()
}

#[tokio::test]
async fn audit_names_the_token_of_each_change_and_holds_the_link_before_it() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    let made = app.shorten(&ann, "https://a.example/").await;
    let id = &made["id"];
    let ci = token(&app, "ci", None).await;
    eventually(async || (app.get("/audit").await.status == 401).then_some(())).await;
    let path = format!("/urls/{id}");
    let changed = app.send_as(&ci, "PUT", &path, r#"{"original_url": "https://wrong.example/"}"#).await.json();
    let audit = async |query: &str| app.send_as(&ci, "GET", &format!("/audit{query}"), "").await;
    let entries = audit("").await.json();
    let entry = &entries[1];
    let keys: Vec<&String> = entry.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 8, "{keys:?}");
    assert_eq!(
        [&entries[0]["action"], &entries[0]["token"], &entries[0]["before"]],
        [&json!("created"), &json!(null), &json!(null)]
    );
    assert_eq!(
        [&entry["id"], &entry["url_id"], &entry["user_id"], &entry["action"], &entry["token"]],
        [&json!(2), id, &ann["id"], &json!("updated"), &json!("ci")]
    );
    for (name, value) in entry["after"].as_object().unwrap() {
        assert_eq!((name, value), (name, &changed[name]));
    }

    // The target is put back with what was there before.
    let restored = app.send_as(&ci, "PUT", &path, &entry["before"].to_string()).await;
    assert_eq!((restored.status, &restored.json()["original_url"]), (200, &made["original_url"]), "{restored:?}");
    // A deleted link is made again from its last entry.
    assert_eq!(app.send_as(&ci, "DELETE", &path, "").await.status, 204);
    let last = audit(&format!("?url_id={id}&after=3")).await.json();
    assert_eq!((last.as_array().unwrap().len(), &last[0]["action"]), (1, &json!("deleted")));
    let again = app.send_as(&ci, "POST", "/urls", &last[0]["before"].to_string()).await;
    let (status, again) = (again.status, again.json());
    assert_eq!(
        (status, &again["short_code"], &again["original_url"]),
        (201, &made["short_code"], &made["original_url"])
    );

    for (query, total) in [
        ("", 5),
        ("?token=ci", 4),
        ("?token=nobody", 0),
        ("?user_id=1", 5),
        ("?user_id=2", 0),
        ("?url_id=1", 4),
        ("?url_id=1&token=ci", 3),
    ] {
        let answer = audit(query).await;
        assert_eq!(answer.header("x-total-count"), Some(total.to_string().as_str()), "{query}: {answer:?}");
        assert_eq!(answer.json().as_array().unwrap().len(), total, "{query}: {answer:?}");
    }
    for wrong in ["?url_id=abc", "?user_id=0", "?page=x"] {
        assert_eq!(audit(wrong).await.status, 400, "{wrong}");
    }
    let page = audit("?per_page=2&after=1").await;
    assert_eq!(page.json()[0]["id"], 2);
    assert!(page.header("link").unwrap().contains("after=3"), "{page:?}");
}

#[tokio::test]
async fn token_of_a_user_sees_the_audit_of_that_user() {
    let app = spawn_app().await;
    let (ann, bob) = (app.create_user("ann").await, app.create_user("bob").await);
    app.shorten(&bob, "https://bob.example/").await;
    app.shorten(&ann, "https://ann.example/").await;
    let own = token(&app, "ann", Some(&ann)).await;
    eventually(async || (app.get("/audit").await.status == 401).then_some(())).await;
    for (query, ids) in [("", vec![2]), ("?url_id=1", vec![]), ("?user_id=2", vec![]), ("?user_id=1", vec![2])] {
        let answer = app.send_as(&own, "GET", &format!("/audit{query}"), "").await;
        let seen: Vec<i64> =
            answer.json().as_array().unwrap().iter().filter_map(|entry| entry["id"].as_i64()).collect();
        assert_eq!(seen, ids, "{query}");
        assert_eq!(answer.header("x-total-count"), Some(ids.len().to_string().as_str()), "{query}");
    }
}

#[tokio::test]
async fn deletion_of_a_user_with_links_leaves_no_audit_entry_of_them() {
    let app = spawn_app().await;
    let (ann, bob) = (app.create_user("ann").await, app.create_user("bob").await);
    for n in 0..3 {
        app.shorten(&ann, &format!("https://a.example/{n}")).await;
    }
    app.shorten(&bob, "https://b.example/").await;
    let path = format!("/users/{}?cascade=true", ann["id"]);
    assert_eq!(app.delete(&path).await.status, 204);
    let entries = app.get("/audit").await.json();
    let seen: Vec<&Value> = entries.as_array().unwrap().iter().map(|entry| &entry["user_id"]).collect();
    assert_eq!(seen, [&bob["id"]]);
}

#[tokio::test]
async fn deactivated_link_that_is_made_again_from_its_entry_stays_deactivated() {
    let app = spawn_app().await;
    app.create_user("ann").await;
    let made = app.post("/urls", json!({"user_id": 1, "original_url": "https://a.example/", "is_active": false})).await;
    assert_eq!(
        (made.status, &made.json()["is_active"], &made.json()["state"]),
        (201, &json!(false), &json!("inactive"))
    );
    assert_eq!(app.delete("/urls/1").await.status, 204);
    let before = app.get("/audit?url_id=1").await.json()[1]["before"].clone();
    let again = app.post("/urls", before).await;
    assert_eq!((again.status, again.header("tern-ignored")), (201, None), "{again:?}");
    assert_eq!(again.json()["is_active"], json!(false));
    let wrong = json!({"user_id": 1, "original_url": "https://a.example/", "is_active": "no"});
    assert_eq!(app.post("/urls", wrong).await.status, 400);
}
