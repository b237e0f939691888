//! Codes that were asked for although no link has them.

use serde_json::json;
use tern_common::missed_code::NewMisses;

use crate::support::{App, spawn_app};

async fn report(app: &App, codes: &[(&str, u64)]) {
    let misses: Vec<_> =
        codes.iter().map(|(code, count)| NewMisses { short_code: (*code).to_owned(), count: *count }).collect();
    app.store.count_misses(&misses).await.unwrap();
}

/// Returns the listed codes with their counts.
async fn listed(app: &App, query: &str) -> Vec<(String, u64)> {
    let rows = app.get(&format!("/stats/misses{query}")).await.json();
    let pair =
        |row: &serde_json::Value| (row["short_code"].as_str().unwrap().to_owned(), row["count"].as_u64().unwrap());
    rows.as_array().unwrap().iter().map(pair).collect()
}

#[tokio::test]
async fn missed_codes_are_listed_most_asked_first_until_a_link_has_them() {
    let app = spawn_app().await;
    assert_eq!(app.get("/stats/misses").await.json(), json!([]));
    report(&app, &[("once", 1), ("OldMenu", 5)]).await;
    report(&app, &[("OldMenu", 2), ("other", 1)]).await;
    let rows = app.get("/stats/misses/").await.json();
    let at = rows[0]["last_asked_at"].as_str().unwrap();
    assert!(tern_common::Timestamp::parse(at).is_ok(), "{at}");
    assert_eq!(rows[0], json!({ "short_code": "OldMenu", "count": 7, "last_asked_at": at }));
    let pairs = |pairs: &[(&str, u64)]| pairs.iter().map(|(code, n)| ((*code).to_owned(), *n)).collect::<Vec<_>>();
    assert_eq!(listed(&app, "").await, pairs(&[("OldMenu", 7), ("once", 1), ("other", 1)]));
    assert_eq!(listed(&app, "?limit=2").await, pairs(&[("OldMenu", 7), ("once", 1)]));

    let ann = app.create_user("ann").await;
    let url = json!({ "user_id": ann["id"], "original_url": "https://example.com/", "short_code": "OldMenu" });
    let link = app.post("/urls", url).await.json();
    assert_eq!(listed(&app, "").await, pairs(&[("once", 1), ("other", 1)]));
    assert_eq!(app.send("DELETE", &format!("/urls/{}", link["id"]), None, "").await.status, 204);
    assert_eq!(listed(&app, "").await[0], ("OldMenu".to_owned(), 7));
}

#[tokio::test]
async fn limit_of_missed_codes_is_clamped_and_text_is_refused() {
    let app = spawn_app().await;
    let codes: Vec<String> = (0..150).map(|n| format!("code{n:03}")).collect();
    report(&app, &codes.iter().map(|code| (code.as_str(), 3)).collect::<Vec<_>>()).await;
    for (limit, expected) in [("", 20), ("?limit=0", 1), ("?limit=-7", 1), ("?limit=100", 100), ("?limit=99999", 100)] {
        let found = listed(&app, limit).await;
        assert_eq!(found.len(), expected, "{limit}");
        assert_eq!(found[0], ("code000".to_owned(), 3), "{limit}");
    }
    for wrong in ["abc", "", "1.5", "%2B1"] {
        app.get(&format!("/stats/misses?limit={wrong}")).await.check_error(400, "limit");
    }
}
