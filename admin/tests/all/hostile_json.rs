//! Bodies, files and rows made to mislead a JSON reader: none means anything but its text.

use serde_json::json;

use crate::support::{App, spawn_app};

const WRITES: [(&str, &str); 5] =
    [("POST", "/users"), ("PUT", "/users/1"), ("POST", "/urls"), ("PUT", "/urls/1"), ("POST", "/events")];

/// Keys by which libraries pass values around their own interfaces.
const PRIVATE_KEYS: [&str; 4] = [
    "$serde_json::private::RawValue",
    "$serde_json::private::Number",
    "$__serde_private_RawValue",
    "$__toml_private_datetime",
];

/// Returns a text of 120 nested arrays that contains the next such text, as a string below the private key, `levels`
/// times.
fn texts_within_texts(key: &str, levels: usize) -> String {
    let (open, close) = ("[".repeat(120), "]".repeat(120));
    (0..levels).fold(format!("{open}{close}"), |inner, _| {
        let escaped = inner.replace('\\', "\\u005c").replace('"', "\\u0022");
        format!("{open}{{\"{key}\":\"{escaped}\"}}{close}")
    })
}

/// Returns an object's member with the private key and a text of that depth.
fn private_member(key: &str, levels: usize) -> String {
    let escaped = texts_within_texts(key, levels).replace('\\', "\\u005c").replace('"', "\\u0022");
    format!("\"{key}\":\"{escaped}\"")
}

async fn app_with_a_link() -> App {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    app
}

#[tokio::test]
async fn body_with_private_key_is_read_as_plain_json() {
    let app = app_with_a_link().await;
    for key in PRIVATE_KEYS {
        for levels in [0, 1, 60] {
            let body = format!("{{{}}}", private_member(key, levels));
            for (method, path) in WRITES {
                let answer = app.send(method, path, Some("application/json"), body.clone()).await;
                // The key is an unknown field: required fields are missing, and a change changes nothing.
                let expected = if method == "PUT" { 200 } else { 400 };
                assert_eq!(answer.status, expected, "{method} {path} {key} {levels}: {answer:?}");
            }
        }
    }
    assert_eq!(app.get("/health").await.status, 200);
}

#[tokio::test]
async fn details_with_private_key_are_returned_unchanged() {
    let app = app_with_a_link().await;
    for key in PRIVATE_KEYS {
        for details in [
            format!("{{{}}}", private_member(key, 0)),
            format!("{{\"x\":{{{}}}}}", private_member(key, 20)),
            format!("{{\"note\":{{\"{key}\":\"hello\"}}}}"),
            format!("{{\"note\":{{\"{key}\":\"12\"}}}}"),
            format!("{{\"{key}\":{{\"{key}\":[\"{key}\"]}}}}"),
        ] {
            let body = format!(r#"{{"url_id":1,"user_id":1,"event_type":"t","details":{details}}}"#);
            let created = app.send("POST", "/events", Some("application/json"), body).await;
            assert_eq!(created.status, 201, "{created:?}");
            assert!(created.body.ends_with(&format!(",\"details\":{details}}}")), "{created:?}");
            let id = created.json()["id"].as_i64().unwrap();
            assert_eq!(app.get(&format!("/events/{id}")).await.body, created.body);
        }
    }
    assert_eq!(app.get("/events?per_page=100").await.status, 200);
}

#[tokio::test]
async fn details_retain_number_texts_and_key_order() {
    let app = app_with_a_link().await;
    let details = r#"{"z":12345678901234567890123, "a":1.10,"m":1e400,"z":[-0.0, 0.1000]}"#;
    let body = format!(r#"{{"url_id":1,"user_id":1,"event_type":"t","details":{details}}}"#);
    let created = app.send("POST", "/events", Some("application/json"), body).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert!(created.body.contains(details), "{created:?}");
    assert!(app.get("/events/2").await.body.contains(details));
    assert!(app.get("/events").await.body.contains(details));
}

#[tokio::test]
async fn loaded_details_obey_the_limits_of_bodies() {
    let app = app_with_a_link().await;
    let load = async |details: &str| {
        let quoted = details.replace('"', "\"\"");
        let csv = format!("id,event_type,url_id,user_id,details\n90,t,1,1,\"{quoted}\"\n");
        app.load(&[("events.csv", &csv)]).await
    };
    let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    for (details, reason) in [
        (nested(32), "details must be nested at most 31 deep"),
        (nested(5_000), "details must be nested at most 31 deep"),
        (r#"{"a":"\ud800"}"#.to_owned(), "details must be a JSON object"),
        (r#"{"a":"\udc00\ud800"}"#.to_owned(), "details must be a JSON object"),
        (r#"{"a":"\ud800\u0041"}"#.to_owned(), "details must be a JSON object"),
        ("{\"a\":\"\u{1}\"}".to_owned(), "details must be a JSON object"),
        (r#"{"a":01}"#.to_owned(), "details must be a JSON object"),
        (r#"{a:1}"#.to_owned(), "details must be a JSON object"),
        (format!("{{\"a\":\"{}\"}}", "x".repeat(16 * 1024)), "details must have at most 16 KiB"),
    ] {
        let error = load(&details).await.unwrap_err();
        assert!(error.contains("events.csv") && error.contains("line 2") && error.contains(reason), "{error}");
    }
    let private = format!("{{\"x\":{{{}}}}}", private_member(PRIVATE_KEYS[0], 5));
    load(&private).await.unwrap();
    assert!(app.get("/events/90").await.body.contains(&private));
}

#[tokio::test]
async fn details_over_16_kib_are_refused() {
    let app = app_with_a_link().await;
    let send = async |len: usize| {
        let details = format!("{{\"a\":\"{}\"}}", "x".repeat(len - 8));
        let body = format!(r#"{{"url_id":1,"user_id":1,"event_type":"t","details":{details}}}"#);
        app.send("POST", "/events", Some("application/json"), body).await
    };
    assert_eq!(send(16 * 1024).await.status, 201);
    send(16 * 1024 + 1).await.check_error(400, "details must have at most 16 KiB");
    send(500_000).await.check_error(400, "details must have at most 16 KiB");
}

#[tokio::test]
async fn unreadable_details_by_direct_sql_do_not_break_lists() {
    let app = app_with_a_link().await;
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(900), "]".repeat(900));
    let lone = r#"{"a":"\ud800"}"#;
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
    let private = format!("{{\"x\":{{{}}}}}", private_member(PRIVATE_KEYS[0], 40));
    for details in [&*deep, lone, &large, &private] {
        app.database.write_event(details).await;
    }
    let page = app.get("/events").await;
    assert_eq!(page.status, 200, "{page:?}");
    let listed_details: Vec<_> = page.json().as_array().unwrap().iter().map(|event| event["details"].clone()).collect();
    assert_eq!(listed_details.len(), 5);
    assert_eq!(listed_details[1], json!({ "unreadable": "nested more than 31 deep" }));
    assert_eq!(listed_details[2], json!({ "unreadable": "not JSON" }));
    assert!(page.body.contains(&large) && page.body.contains(&private));
    for id in 2..=5 {
        assert_eq!(app.get(&format!("/events/{id}")).await.json()["details"], listed_details[id - 1]);
    }
}

#[tokio::test]
async fn log_line_with_private_key_is_returned_unchanged() {
    let app = spawn_app().await;
    let member = private_member(PRIVATE_KEYS[0], 60);
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let lone = r#"{"a":"\ud800"}"#;
    app.write_log(&format!("{{{member}}}\n{{\"x\":{{{member}}}}}\n{deep}\n{lone}\n"));
    let logs = app.get("/logs?lines=4").await;
    assert_eq!(logs.status, 200, "{logs:?}");
    let lines = logs.json();
    assert!(logs.body.starts_with(&format!("[{{{member}}},{{\"x\":{{{member}}}}},")));
    assert_eq!(lines[2], json!({ "message": deep }));
    assert_eq!(lines[3], json!({ "message": lone }));
}
