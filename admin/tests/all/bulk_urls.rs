//! Many links that are created with one request.

use serde_json::{Value, json};

use crate::support::{Answer, App, spawn_app};

async fn app_with_user() -> App {
    let app = spawn_app().await;
    app.create_user("ann").await;
    app
}

fn item(fields: Value) -> Value {
    let mut item = json!({ "user_id": 1, "original_url": "https://example.com/" });
    item.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    item
}

async fn bulk(app: &App, items: Value) -> Answer {
    app.post("/urls/bulk", items).await
}

/// Returns the statuses of the outcomes, whose positions are checked.
fn statuses(answer: &Answer) -> Vec<u64> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let outcomes = answer.json();
    let outcomes = outcomes.as_array().unwrap();
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome["index"], n);
        assert_eq!(outcome["url"].is_object(), outcome["status"] == 201, "{outcome}");
        assert_eq!(outcome["error"]["message"].is_string(), outcome["status"] != 201, "{outcome}");
    }
    outcomes.iter().map(|outcome| outcome["status"].as_u64().unwrap()).collect()
}

async fn count(app: &App) -> String {
    app.get("/urls").await.header("x-total-count").unwrap().to_owned()
}

#[tokio::test]
async fn bulk_array_has_an_outcome_for_each_item_in_order() {
    let app = app_with_user().await;
    bulk(&app, json!([item(json!({ "short_code": "taken" }))])).await;
    let items = json!([
        item(json!({ "title": "first", "tags": ["A"], "expires_in": "8h", "external_id": "one" })),
        item(json!({ "short_code": "taken" })),
        { "user_id": 1 },
        item(json!({ "user_id": 99 })),
        item(json!({ "external_id": "one" })),
        7,
        item(json!({ "original_url": "ftp://example.com/" })),
        item(json!({ "expires_at": "2020-01-01T00:00:00" })),
        item(json!({ "user_id": "9".repeat(30).parse::<f64>().unwrap() })),
        item(json!({ "short_code": "given" })),
    ]);
    let answer = bulk(&app, items).await;
    assert_eq!(statuses(&answer), [201, 409, 400, 404, 409, 400, 400, 400, 400, 201]);
    assert!(answer.header("tern-visible").is_some());
    let outcomes = answer.json();
    assert_eq!(outcomes[1]["error"], json!({ "error": "Conflict", "message": "Short code is already taken" }));
    assert_eq!(outcomes[2]["error"]["message"], "original_url is required");
    assert_eq!(outcomes[3]["error"]["message"], "User 99 not found");
    let first = &outcomes[0]["url"];
    assert_eq!((&first["title"], &first["tags"], &first["state"]), (&json!("first"), &json!(["a"]), &json!("active")));
    assert_eq!(app.get(&format!("/urls/{}", first["id"])).await.json(), *first);
    assert_eq!(outcomes[9]["url"]["short_code"], "given");
    assert_eq!(count(&app).await, "3");
    assert_eq!(app.get("/events?event_type=created").await.ids().len(), 3);
}

#[tokio::test]
async fn ndjson_has_an_outcome_for_each_line() {
    let app = app_with_user().await;
    let good = item(json!({})).to_string();
    let deep = "[".repeat(33);
    let body = format!("{good}\r\n\n{{broken\n{good}\n[{good}]\n{deep}\n  \n{good}");
    for content_type in
        [Some("application/x-ndjson; charset=utf-8"), Some("application/jsonl"), Some("application/json"), None]
    {
        let answer = app.send("POST", "/urls/bulk", content_type, body.clone()).await;
        assert_eq!(statuses(&answer), [201, 400, 201, 400, 400, 201], "{content_type:?}");
        assert_eq!(answer.json()[1]["error"]["message"], "The line is not valid JSON");
    }
    let array = app.send("POST", "/urls/bulk", Some("application/x-ndjson"), format!("[{good}]")).await;
    assert_eq!(statuses(&array), [400], "a line is no array");
}

#[tokio::test]
async fn atomic_bulk_creates_all_links_or_none() {
    let app = app_with_user().await;
    let atomic = async |items: Value| app.post("/urls/bulk?atomic=true", items).await;
    let good = || item(json!({}));
    let mine = || item(json!({ "short_code": "mine" }));
    for (items, status, message) in [
        (json!([good(), mine(), mine(), good()]), 409, "Item 2: Short code is already taken"),
        (json!([good(), item(json!({ "user_id": 99 })), 7]), 404, "Item 1: User 99 not found"),
        (json!([good(), 7, item(json!({ "user_id": 99 }))]), 400, "Item 1: An item must be a JSON object"),
        (json!([{}, 7]), 400, "Item 0: original_url is required"),
    ] {
        let answer = atomic(items).await;
        answer.check_error(status, message);
        assert_eq!((answer.header("tern-visible"), count(&app).await.as_str()), (None, "0"));
    }
    let answer = atomic(json!([good(), mine(), good()])).await;
    assert_eq!(statuses(&answer), [201, 201, 201]);
    assert!(answer.header("tern-visible").is_some());
    assert_eq!(count(&app).await, "3");
    app.post("/urls/bulk?atomic=maybe", json!([])).await.check_error(400, "atomic");
}

#[tokio::test]
async fn bulk_of_thousands_is_created_in_the_order_of_its_items() {
    let app = app_with_user().await;
    let items: Vec<Value> = (0..1_200).map(|n| item(json!({ "title": n.to_string() }))).collect();
    for path in ["/urls/bulk", "/urls/bulk?atomic=true"] {
        let answer = app.post(path, json!(items)).await;
        assert!(statuses(&answer).iter().all(|status| *status == 201));
        for (n, outcome) in answer.json().as_array().unwrap().iter().enumerate() {
            assert_eq!(outcome["url"]["title"], n.to_string());
        }
    }
    assert_eq!(count(&app).await, "2400");
}

#[tokio::test]
async fn bulk_body_beyond_its_limits_is_refused() {
    let app = app_with_user().await;
    let empty = bulk(&app, json!([])).await;
    assert_eq!((empty.status, empty.body.as_str(), empty.header("tern-visible")), (200, "[]", None));
    let refused = bulk(&app, json!([7])).await;
    assert_eq!((statuses(&refused), refused.header("tern-visible")), (vec![400], None));
    bulk(&app, json!(vec![7; 10_001])).await.check_error(413, "There are 10001 items");
    let lines = app.send("POST", "/urls/bulk", Some("application/x-ndjson"), "7\n".repeat(10_001)).await;
    lines.check_error(413, "at most 10000");
    assert_eq!(statuses(&bulk(&app, json!(vec![7; 10_000])).await).len(), 10_000);
    // More than the limit of other bodies.
    let long = item(json!({ "notes": "x".repeat(2_000), "short_code": "a/b" }));
    assert_eq!(statuses(&bulk(&app, json!(vec![long; 1_000])).await).len(), 1_000);
    let blanks = " ".repeat(10 * 1024 * 1024);
    app.send("POST", "/urls/bulk", Some("application/json"), format!("[]{blanks}")).await.check_error(413, "10.0 MiB");
    for (body, message) in
        [("", "missing"), (" \n", "missing"), ("[{]", "not valid JSON"), ("null", "an array of links")]
    {
        app.send("POST", "/urls/bulk", None, body).await.check_error(400, message);
    }
    app.send("POST", "/urls/bulk", Some("text/csv"), "[]").await.check_error(400, "application/x-ndjson");
    assert_eq!(count(&app).await, "0");
}

#[tokio::test]
async fn bulk_item_may_be_an_answer_and_its_unknown_fields_are_named() {
    let app = app_with_user().await;
    let made = bulk(&app, json!([item(json!({ "short_code": "mine" }))])).await.json()[0]["url"].clone();
    app.delete("/urls/1").await;
    let mut again = made.clone();
    again["colour"] = json!(1);
    let answer = bulk(&app, json!([again])).await;
    assert_eq!((statuses(&answer), answer.header("tern-ignored")), (vec![201], Some("colour")));
    assert_eq!(answer.json()[0]["url"]["short_code"], "mine");
}
