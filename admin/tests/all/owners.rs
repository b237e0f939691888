//! Tokens of a user: they reach the links, events and statistics of that user, and nothing of other users.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tern_common::token::{NewToken, Role, Secret};

use crate::support::{Answer, App, eventually, spawn_app};

/// The text in everything that belongs to the other user. No answer to the token may contain it.
const SECRET: &str = "hush";

/// The operations that need no token.
const PUBLIC: &[&str] = &[
    "get /",
    "get /admin",
    "get /admin/{screen}",
    "get /admin/{screen}/{item}",
    "get /admin/assets/{version}/{file}",
    "post /admin/session",
    "delete /admin/session",
    "get /health",
    "get /ready",
    "get /openapi.json",
    "get /docs",
    "get /docs/docs.css",
    "get /docs/docs.js",
    "get /{short_code}",
    "get /{short_code}+",
];

/// Requests of the token of a user for something of another user, by operation: path, body, and the status of the answer.
/// `{user}`, `{url}` and `{event}` are ids of the other user; `{own_url}` is a link of the token's user.
const ATTACKS: &[(&str, &str, &str, u16)] = &[
    ("get /urls", "/urls", "", 200),
    ("get /urls", "/urls?user_id={user}", "", 200),
    ("get /urls", "/urls?short_code=hush01", "", 200),
    ("get /urls", "/urls?user_id={user}&is_active=true&page=1", "", 200),
    ("post /urls", "/urls", r#"{"user_id": {user}, "original_url": "https://evil.example/"}"#, 403),
    ("post /urls", "/urls", r#"{"user_id": 999999, "original_url": "https://evil.example/"}"#, 403),
    ("post /urls", "/urls?reuse=true", r#"{"user_id": {user}, "original_url": "https://hush.example/"}"#, 403),
    ("patch /urls", "/urls", r#"{"ids": [{url}], "set": {"title": "taken"}}"#, 404),
    ("patch /urls", "/urls", r#"{"ids": [{own_url}, {url}], "set": {"title": "taken"}}"#, 404),
    ("patch /urls", "/urls", r#"{"filter": {"user_id": {user}}, "expect": 1, "set": {"title": "taken"}}"#, 409),
    ("patch /urls", "/urls", r#"{"filter": {"is_active": true}, "expect": 2, "set": {"title": "taken"}}"#, 409),
    ("patch /urls", "/urls", r#"{"filter": {"user_id": {user}}, "expect": 0, "set": {"title": "taken"}}"#, 200),
    ("delete /urls", "/urls", r#"{"ids": [{url}]}"#, 404),
    ("delete /urls", "/urls", r#"{"ids": [{own_url}, {url}]}"#, 404),
    ("delete /urls", "/urls", r#"{"filter": {"user_id": {user}}, "expect": 1}"#, 409),
    ("delete /urls", "/urls", r#"{"filter": {"created_from": "2020-01-01"}, "expect": 2}"#, 409),
    ("post /urls/bulk", "/urls/bulk", r#"[{"user_id": {user}, "original_url": "https://evil.example/"}]"#, 200),
    (
        "post /urls/bulk",
        "/urls/bulk?atomic=true",
        r#"[{"user_id": {user}, "original_url": "https://evil.example/"}]"#,
        403,
    ),
    ("post /urls/try", "/urls/try", r#"{"original_url": "https://evil.example/", "short_code": "hush"}"#, 200),
    ("post /urls/import", "/urls/import?user_id={user}", "", 403),
    ("delete /urls/import", "/urls/import?tag=import:tern-2020-01-01", "", 404),
    (
        "put /urls/external/{external_id}",
        "/urls/external/theirs",
        r#"{"user_id": {user}, "original_url": "https://evil.example/"}"#,
        403,
    ),
    ("get /urls/{id}", "/urls/{url}", "", 404),
    ("put /urls/{id}", "/urls/{url}", r#"{"title": "taken"}"#, 404),
    ("put /urls/{id}", "/urls/{url}", "{}", 404),
    ("patch /urls/{id}", "/urls/{url}", r#"{"title": "taken"}"#, 404),
    ("delete /urls/{id}", "/urls/{url}", "", 404),
    ("get /urls/{id}/stats", "/urls/{url}/stats", "", 404),
    ("get /urls/{id}/qr", "/urls/{url}/qr", "", 404),
    ("get /admin/access", "/admin/access", "", 200),
    ("get /urls/{id}/live", "/urls/{url}/live", "", 404),
    ("get /urls/{id}/live", "/urls/{url}/live?last_event_id=0", "", 404),
    ("get /urls/export", "/urls/export", "", 200),
    ("get /urls/export", "/urls/export?format=json&user_id={user}", "", 200),
    ("get /urls/export", "/urls/export?search=hush&format=ndjson", "", 200),
    ("get /live", "/live", "", 200),
    ("get /users", "/users", "", 200),
    ("post /users", "/users", r#"{"username": "eve", "email": "eve@mail.example"}"#, 403),
    ("post /users/bulk", "/users/bulk", r#"[{"username": "eve", "email": "eve@mail.example"}]"#, 403),
    ("get /users/{id}", "/users/{user}", "", 404),
    ("put /users/{id}", "/users/{user}", r#"{"username": "eve"}"#, 403),
    ("delete /users/{id}", "/users/{user}?cascade=true", "", 403),
    ("get /users/{id}/urls", "/users/{user}/urls", "", 404),
    ("get /events", "/events", "", 200),
    ("get /events", "/events?url_id={url}", "", 200),
    ("get /events", "/events?user_id={user}", "", 200),
    ("get /events/{id}", "/events/{event}", "", 404),
    ("get /events/export", "/events/export", "", 200),
    ("get /events/export", "/events/export?format=json&url_id={url}", "", 200),
    ("get /events/export", "/events/export?user_id={user}&format=ndjson", "", 200),
    ("post /events", "/events", r#"{"url_id": {url}, "event_type": "forged"}"#, 404),
    ("post /events", "/events", r#"{"url_id": {own_url}, "user_id": {user}, "event_type": "forged"}"#, 403),
    ("get /audit", "/audit", "", 200),
    ("get /audit", "/audit?url_id={url}", "", 200),
    ("get /audit", "/audit?user_id={user}", "", 200),
    ("get /stats", "/stats", "", 200),
    ("get /stats", "/stats?user_id={user}", "", 200),
    ("get /stats", "/stats?tag=hush", "", 200),
    ("get /stats/series", "/stats/series?url_id={url}", "", 200),
    ("get /stats/series", "/stats/series?url_id={own_url}&url_id={url}", "", 200),
    ("get /stats/misses", "/stats/misses", "", 403),
    ("get /tags", "/tags", "", 200),
    ("get /tags", "/tags?user_id={user}", "", 200),
    ("get /products", "/products", "", 403),
    ("get /metrics", "/metrics", "", 403),
    ("get /logs", "/logs", "", 403),
    ("get /system", "/system", "", 403),
    ("get /tokens", "/tokens", "", 403),
    ("post /tokens", "/tokens", r#"{"name": "mine", "role": "admin"}"#, 403),
    ("delete /tokens/{token}", "/tokens/ann", "", 403),
];

/// An app with two users, each with a link and its `created` event, and an editor's token of the first one.
struct Owners {
    app: App,
    user: Value,
    url: Value,
    other: Value,
    other_url: Value,
    token: String,
}

impl Owners {
    async fn make() -> Owners {
        let app = spawn_app().await;
        let (user, other) = (app.create_user("ann").await, app.create_user(SECRET).await);
        let url = app.shorten(&user, "https://ann.example/").await;
        let other_url = app.shorten(&other, &format!("https://{SECRET}.example/")).await;
        let token = token_of(&app, "ann", Role::Editor, &user).await;
        // The API is open until the server has read the first token.
        eventually(async || (app.get("/urls").await.status == 401).then_some(())).await;
        Owners { app, user, url, other, other_url, token }
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        self.app.send_as(&self.token, method, path, body).await
    }
}

async fn token_of(app: &App, name: &str, role: Role, user: &Value) -> String {
    let secret = Secret::generate();
    let user_id = user["id"].as_i64().and_then(tern_common::Id::new);
    let token = NewToken { name: name.parse().unwrap(), role, hash: secret.hash(), expires_at: None, user_id };
    app.store.insert_token(token).await.unwrap();
    secret.reveal().to_owned()
}

#[tokio::test]
async fn operations_of_the_description_are_all_attacked_with_ids_of_another_user() {
    let owners = Owners::make().await;
    let description = owners.app.get("/openapi.json").await.json();
    let mut attacks: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (operation, path, body, status) in ATTACKS {
        attacks.entry(operation).or_default().push((*path, *body, *status));
    }
    let before = owners.rows_of_other().await;
    let event = before[2][0]["id"].to_string();
    let ids = [
        ("{user}", owners.other["id"].to_string()),
        ("{url}", owners.other_url["id"].to_string()),
        ("{own_url}", owners.url["id"].to_string()),
        ("{event}", event),
    ];
    let with_ids = |text: &str| ids.iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, id));
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let operation = format!("{method} {path}");
            if PUBLIC.contains(&operation.as_str()) {
                continue;
            }
            let attacks = attacks.remove(operation.as_str()).unwrap_or_else(|| {
                panic!("{operation}: consider what the token of a user may do, and add a request to ATTACKS")
            });
            for (path, body, status) in attacks {
                let (path, body) = (with_ids(path), with_ids(body));
                let answer = owners.send(&method.to_uppercase(), &path, &body).await;
                assert_eq!(answer.status, status, "{operation}: {answer:?}");
                assert!(!answer.body.contains(SECRET), "{operation}: {answer:?}");
                let slash = path.replacen('?', "/?", 1) + if path.contains('?') { "" } else { "/" };
                let answer = owners.send(&method.to_uppercase(), &slash, &body).await;
                assert_eq!(answer.status, status, "{operation} with a slash: {answer:?}");
            }
        }
    }
    assert!(attacks.is_empty(), "the description lacks {:?}", attacks.keys());
    assert_eq!(owners.rows_of_other().await, before);
    assert_eq!(owners.app.store.list_users(tern_common::store::Page::first(9)).await.unwrap().rows.len(), 2);
}

impl Owners {
    /// Returns the other user, its links and its events, as a token without a user sees them.
    async fn rows_of_other(&self) -> [Value; 3] {
        let all = plain_token(&self.app).await;
        let id = &self.other["id"];
        let mut rows = [format!("/users/{id}"), format!("/urls?user_id={id}"), format!("/events?user_id={id}")]
            .map(|path| (path, Value::Null));
        for (path, row) in &mut rows {
            *row = self.app.send_as(&all, "GET", path, "").await.json();
        }
        rows.map(|(_, row)| row)
    }
}

/// Creates a token without a user.
async fn plain_token(app: &App) -> String {
    let secret = Secret::generate();
    let name = format!("all-{}", &secret.reveal()[5..20]).parse().unwrap();
    let token = NewToken { name, role: Role::Editor, hash: secret.hash(), expires_at: None, user_id: None };
    app.store.insert_token(token).await.unwrap();
    secret.reveal().to_owned()
}

#[tokio::test]
async fn token_of_a_user_creates_links_for_that_user_without_naming_one() {
    let owners = Owners::make().await;
    for body in [
        json!({ "original_url": "https://a.example/" }),
        json!({ "original_url": "https://a.example/", "user_id": owners.user["id"] }),
    ] {
        let answer = owners.send("POST", "/urls", &body.to_string()).await;
        assert_eq!((answer.status, &answer.json()["user_id"]), (201, &owners.user["id"]), "{answer:?}");
    }
    let item = json!({ "original_url": "https://a.example/" });
    let bulk = owners.send("POST", "/urls/bulk", &json!([item]).to_string()).await;
    assert_eq!((bulk.status, &bulk.json()[0]["url"]["user_id"]), (200, &owners.user["id"]), "{bulk:?}");
    let put = owners.send("PUT", "/urls/external/mine", &item.to_string()).await;
    assert_eq!((put.status, &put.json()["user_id"]), (201, &owners.user["id"]), "{put:?}");
    let event = json!({ "url_id": owners.url["id"], "event_type": "shared" });
    let answer = owners.send("POST", "/events", &event.to_string()).await;
    assert_eq!((answer.status, &answer.json()["user_id"]), (201, &owners.user["id"]), "{answer:?}");
    // A token without a user has to name one.
    let all = plain_token(&owners.app).await;
    let body = r#"{"original_url": "https://a.example/"}"#;
    owners.app.send_as(&all, "POST", "/urls", body).await.check_error(400, "user_id is required");
}

#[tokio::test]
async fn token_of_a_user_sees_and_changes_the_rows_of_that_user() {
    let owners = Owners::make().await;
    let (user, url) = (&owners.user["id"], &owners.url["id"]);
    for (path, total) in [
        ("/urls".to_owned(), 1),
        (format!("/urls?user_id={user}"), 1),
        ("/urls?is_active=true".to_owned(), 1),
        (format!("/urls?user_id={}", owners.other["id"]), 0),
        (format!("/users/{user}/urls"), 1),
        ("/users".to_owned(), 1),
        ("/users?page=2".to_owned(), 1),
        (format!("/users?after={user}"), 1),
        ("/events".to_owned(), 1),
        ("/events?event_type=created".to_owned(), 1),
        (format!("/events?url_id={}", owners.other_url["id"]), 0),
    ] {
        let answer = owners.send("GET", &path, "").await;
        assert_eq!(answer.header("x-total-count"), Some(total.to_string().as_str()), "{path}: {answer:?}");
        let rows = if path.contains("page=2") || path.contains("after") { 0 } else { total };
        assert_eq!(answer.json().as_array().unwrap().len(), rows, "{path}: {answer:?}");
    }
    assert_eq!(owners.send("GET", &format!("/users/{user}"), "").await.json(), owners.user);
    assert_eq!(owners.send("GET", &format!("/urls/{url}"), "").await.json(), owners.url);
    assert_eq!(owners.send("GET", &format!("/urls/{url}/stats"), "").await.status, 200);
    assert_eq!(owners.send("PUT", &format!("/urls/{url}"), r#"{"title": "Mine"}"#).await.json()["title"], "Mine");
    // The user itself is managed with a token without a user.
    let answer = owners.send("PUT", &format!("/users/{user}"), r#"{"username": "anna"}"#).await;
    answer.check_error(403, "The token of a user may not do this");
    assert_eq!(owners.send("DELETE", &format!("/users/{user}"), "").await.status, 403);
    let viewer = token_of(&owners.app, "viewer", Role::Viewer, &owners.user).await;
    assert_eq!(owners.app.send_as(&viewer, "DELETE", &format!("/urls/{url}"), "").await.status, 403);
    assert_eq!(owners.app.send_as(&viewer, "HEAD", &format!("/urls/{url}"), "").await.status, 200);
    let change = json!({ "filter": { "is_active": true }, "expect": 1, "set": { "is_active": false } });
    assert_eq!(owners.send("PATCH", "/urls", &change.to_string()).await.json(), json!({ "changed": 1 }));
    let deletion = json!({ "ids": [url] });
    assert_eq!(owners.app.send_as(&viewer, "DELETE", "/urls", &deletion.to_string()).await.status, 403);
    assert_eq!(owners.send("DELETE", "/urls", &deletion.to_string()).await.json(), json!({ "deleted": 1 }));
    assert_eq!(owners.send("DELETE", &format!("/urls/{url}"), "").await.status, 404);
}

#[tokio::test]
async fn token_of_a_user_is_refused_once_the_user_is_deleted() {
    let owners = Owners::make().await;
    let all = plain_token(&owners.app).await;
    let path = format!("/users/{}?cascade=true", owners.user["id"]);
    assert_eq!(owners.app.send_as(&all, "DELETE", &path, "").await.status, 204);
    eventually(async || (owners.send("GET", "/urls", "").await.status == 401).then_some(())).await;
    assert_eq!(owners.app.send_as(&all, "GET", "/urls", "").await.status, 200);
}

#[tokio::test]
async fn token_command_with_user_limits_the_token_to_the_user() {
    let app = spawn_app().await;
    let user = app.create_user("ann").await;
    let id = &user["id"];
    app.token(&format!("create ann --user {id} --role editor")).await.unwrap();
    app.token("create ci --role editor").await.unwrap();
    let list = app.token("list").await.unwrap();
    let user_of = |name: &str| {
        let line = list.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.split_whitespace().nth(2).unwrap().to_owned()
    };
    assert_eq!([user_of("NAME"), user_of("ann"), user_of("ci")], ["USER", &id.to_string(), "-"], "{list}");
    for (arguments, message) in [
        ("create b --user 999 --role editor", "there is no user 999"),
        ("create b --user x --role editor", "the id of a user, such as 7"),
        ("create b --user 0 --role editor", "the id of a user, such as 7"),
        (&format!("create b --user {id} --role admin"), "use --role viewer or --role editor with --user"),
        (&format!("create b --user {id} --role metrics"), "use --role viewer or --role editor with --user"),
    ] {
        let error = app.token(arguments).await.unwrap_err();
        assert!(error.contains(message), "{arguments}: {error}");
    }
}
