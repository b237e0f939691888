//! The list of tags over HTTP.

use serde_json::json;

use crate::support::{App, spawn_app};

async fn app_with_tags() -> App {
    let app = spawn_app().await;
    for (user, tags) in [("ann", json!(["summer", "poster"])), ("ann", json!(["summer"])), ("ben", json!(["Ärger"]))] {
        let users = app.get("/users").await.json();
        let known = users.as_array().unwrap().iter().find(|row| row["username"] == user).cloned();
        let user = match known {
            Some(user) => user,
            None => app.create_user(user).await,
        };
        let body = json!({ "user_id": user["id"], "original_url": "https://example.com/", "tags": tags });
        assert_eq!(app.post("/urls", body).await.status, 201);
    }
    app
}

#[tokio::test]
async fn tags_are_listed_with_the_number_of_their_links() {
    let app = app_with_tags().await;
    let answer = app.get("/tags").await;
    assert_eq!((answer.status, answer.header("x-total-count")), (200, Some("3")));
    let expected =
        json!([{ "tag": "poster", "links": 1 }, { "tag": "summer", "links": 2 }, { "tag": "ärger", "links": 1 }]);
    assert_eq!(answer.json(), expected);
    assert_eq!(app.get("/tags/?user_id=2").await.json(), json!([{ "tag": "ärger", "links": 1 }]));
    assert_eq!(app.get("/tags?user_id=99").await.json(), json!([]));
    app.get("/tags?user_id=abc").await.check_error(400, "user_id");
    app.get("/tags?after=7").await.check_error(400, "after must be a cursor");
    let answer = app.get("/tags?search=x").await;
    assert_eq!((answer.status, answer.header("tern-ignored")), (200, Some("search")));
}

#[tokio::test]
async fn tags_are_walked_by_their_links() {
    let app = app_with_tags().await;
    let mut path = Some("/tags?per_page=1".to_owned());
    let mut walked = Vec::new();
    while let Some(next) = path {
        let answer = app.get(&next).await;
        walked.extend(answer.json().as_array().unwrap().iter().map(|row| row["tag"].as_str().unwrap().to_owned()));
        let links = answer.header("link").unwrap_or_default().to_owned();
        let next = links.split(", ").find(|link| link.ends_with("rel=\"next\""));
        path = next.map(|link| link[1..link.find('>').unwrap()].to_owned());
    }
    assert_eq!(walked, ["poster", "summer", "ärger"]);
}
