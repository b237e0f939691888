//! Exports of all links and events, and the load of what was exported.

use serde_json::{Value, json};
use tern_common::OwnAddresses;
use tern_common::config::Setting;
use tern_common::token::{NewToken, Role, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{App, Setup, eventually, spawn_app, spawn_app_with};

/// An app whose links have the same addresses as those of another one.
async fn app_at_public_url() -> App {
    let mut setup = Setup::default();
    setup.config.own_addresses = OwnAddresses::parse("https://go.example").unwrap();
    spawn_app_with(setup).await
}

/// Creates links of two users with every field, hostile texts and clicks.
async fn fill(app: &App) {
    let (ann, ben) = (app.create_user("ann").await, app.create_user("ben").await);
    let links = [
        json!({ "user_id": ann["id"], "original_url": "https://plain.example/?a=b,c\"d\"" }),
        json!({
            "user_id": ann["id"], "short_code": "full", "original_url": "https://full.example/", "title": "=1+1, \"x\"",
            "starts_at": "2025-01-01T00:00:00", "expires_at": "2099-01-01T00:00:00",
            "expired_url": "https://over.example/", "redirect_status": 307, "forward_query": true, "max_clicks": 9,
            "rules": [{ "target": "https://app.example/,\"", "if": [{ "type": "query", "key": "a|b", "value": "c\"," }] }],
            "split": [{ "target": "https://a.example/", "weight": 1 }, { "target": "https://b.example/", "weight": 99 }],
            "tags": ["summer", "@poster", "ärger"], "notes": "one\r\ntwo\n\"three\"", "external_id": "+order-1",
        }),
        json!({ "user_id": ben["id"], "original_url": "https://ben.example/", "external_id": "+order-1", "notes": " " }),
        json!({ "user_id": ben["id"], "original_url": "https://off.example/", "title": "-off", "forward_query": false }),
    ];
    for link in links {
        let answer = app.post("/urls", link).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    assert_eq!(app.put("/urls/4", json!({ "is_active": false, "add_tags": ["off"] })).await.status, 200);
    assert_eq!(app.put("/urls/2", json!({ "title": "\t=again" })).await.status, 200);
    let details = r#"{"url_id": 2, "event_type": "clicked", "details": {"referrer": "https://news.example/",
        "user_agent": "Mozilla/5.0 Firefox/130.0", "n": 1.10}}"#;
    assert_eq!(app.send("POST", "/events", Some("application/json"), details).await.status, 201);
    let event = json!({ "url_id": 3, "event_type": "=shared", "details": { "a": "b|c" } });
    assert_eq!(app.post("/events", event).await.status, 201);
    assert_eq!(app.post("/events", json!({ "url_id": 3, "event_type": "clicked" })).await.status, 201);
}

async fn rows(app: &App, path: &str) -> Value {
    let answer = app.get(path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn exported_links_and_events_that_are_loaded_elsewhere_are_the_same_as_a_whole() {
    let (app, copy) = (app_at_public_url().await, app_at_public_url().await);
    fill(&app).await;
    let urls = app.get("/urls/export").await;
    let events = app.get("/events/export?format=csv").await;
    assert_eq!(urls.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(urls.header("x-accel-buffering"), Some("no"));
    let disposition = urls.header("content-disposition").unwrap();
    assert!(disposition.starts_with("attachment; filename=\"tern-urls-20") && disposition.ends_with(".csv\""));
    for user in ["ann", "ben"] {
        copy.create_user(user).await;
    }
    let files = [("urls.csv", urls.body.clone()), ("events.csv", events.body.clone())];
    let printed = copy.load(&files).await.unwrap();
    assert_eq!(printed, "Loaded 4 rows into Url from urls.csv\nLoaded 9 rows into Event from events.csv\n");
    for path in ["/urls?per_page=100", "/events?per_page=100", "/urls/2/stats?from=2025-01-01T00:00:00&per=day"] {
        if path.contains("stats") {
            assert_eq!(rows(&copy, "/urls/2/stats").await["series"], rows(&app, "/urls/2/stats").await["series"]);
        } else {
            assert_eq!(rows(&copy, path).await, rows(&app, path).await, "{path}");
        }
    }
    for filter in ["tag=summer", "search=three", "search=%C3%A4rger", "state=inactive", "never_clicked=true"] {
        let path = format!("/urls?{filter}");
        assert_eq!(rows(&copy, &path).await, rows(&app, &path).await, "{filter}");
        assert_ne!(rows(&app, &path).await, json!([]), "{filter}");
    }
    // What was loaded is exported as it was, and a second load changes nothing.
    assert_eq!(copy.get("/urls/export").await.body, urls.body);
    assert_eq!(copy.get("/events/export").await.body, events.body);
    let again = copy.load(&files[..1]).await.unwrap();
    assert_eq!(again, "Loaded 0 rows into Url from urls.csv: all 4 are there already\n");
}

#[tokio::test]
async fn export_in_each_format_has_the_rows_of_the_list_under_its_filters() {
    let app = app_at_public_url().await;
    fill(&app).await;
    let filters = ["", "user_id=1", "tag=summer", "search=example", "state=active", "not_tag=off&host=ben.example"];
    for filter in filters {
        let listed = rows(&app, &format!("/urls?per_page=100&{filter}")).await;
        let listed = listed.as_array().unwrap();
        assert!(!listed.is_empty(), "{filter}");
        let array = rows(&app, &format!("/urls/export?format=json&{filter}")).await;
        assert_eq!(array.as_array().unwrap(), listed, "{filter}");
        let lines = app.get(&format!("/urls/export?format=ndjson&{filter}")).await;
        assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
        let lines: Vec<Value> = lines.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(&lines, listed, "{filter}");
        let table = app.get(&format!("/urls/export?{filter}")).await.body;
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let ids: Vec<String> = reader.records().map(|record| record.unwrap()[0].to_owned()).collect();
        assert_eq!(ids, listed.iter().map(|url| url["id"].to_string()).collect::<Vec<_>>(), "{filter}");
        assert_eq!(reader.headers().unwrap().len(), listed[0].as_object().unwrap().len());
        assert!(
            listed[0].as_object().unwrap().keys().all(|key| reader.headers().unwrap().iter().any(|name| name == key))
        );
    }
    for filter in ["", "url_id=2", "event_type=clicked", "user_id=2&event_type=%3Dshared"] {
        let listed = rows(&app, &format!("/events?per_page=100&{filter}")).await;
        let array = rows(&app, &format!("/events/export?format=json&{filter}")).await;
        assert_eq!(array, listed, "{filter}");
        let lines = app.get(&format!("/events/export?format=ndjson&{filter}")).await.body;
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(&lines, listed.as_array().unwrap(), "{filter}");
    }
    assert_eq!(app.get("/urls/export?format=json&short_code=none").await.body, "[]");
    assert_eq!(app.get("/urls/export?format=ndjson&short_code=none").await.body, "");
    assert!(app.get("/urls/export?short_code=none").await.body.starts_with("id,user_id,short_code,"));
    app.get("/urls/export?format=xml").await.check_error(400, "format");
    app.get("/urls/export?state=maybe").await.check_error(400, "state");
    app.get("/events/export?url_id=abc").await.check_error(400, "url_id");
}

#[tokio::test]
async fn csv_for_spreadsheets_has_no_cell_that_begins_a_formula() {
    let app = app_at_public_url().await;
    fill(&app).await;
    for path in ["/urls/export?spreadsheet=true", "/events/export?spreadsheet=true"] {
        let body = app.get(path).await.body;
        let table = body.strip_prefix('\u{feff}').unwrap();
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let mut escaped = 0;
        for record in reader.records() {
            for cell in &record.unwrap() {
                assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{cell:?}");
                escaped += usize::from(cell.starts_with('\''));
            }
        }
        assert!(escaped > 0, "{path}");
    }
    let plain = app.get("/urls/export").await.body;
    assert!(!plain.contains('\'') && !plain.contains('\u{feff}'));
}

#[tokio::test]
async fn long_export_has_every_row_once_in_parts() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    let url = app.shorten(&ann, "https://example.com/").await;
    let mut events = "url_id,user_id,event_type,timestamp,details\n".to_owned();
    for n in 0..2_000 {
        let details = if n % 100 == 0 { "x".repeat(15_000) } else { String::new() };
        events += &format!("{},1,t,2026-01-01T00:00:00,\"{{\"\"n\"\":{n},\"\"x\"\":\"\"{details}\"\"}}\"\n", url["id"]);
    }
    app.load(&[("events.csv", events)]).await.unwrap();
    let expected: Vec<i64> = (1..=2_001).collect();
    let array = rows(&app, "/events/export?format=json").await;
    assert_eq!(array.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>(), expected);
    let lines = app.get("/events/export?format=ndjson").await;
    assert_eq!(lines.header("transfer-encoding"), Some("chunked"));
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_i64().unwrap();
    assert_eq!(lines.body.lines().map(id).collect::<Vec<_>>(), expected);
    let table = app.get("/events/export").await.body;
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let ids: Vec<i64> = reader.records().map(|record| record.unwrap()[0].parse().unwrap()).collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn export_whose_token_is_revoked_ends_without_its_last_chunk() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    let mut events = "url_id,user_id,event_type,timestamp,details\n".to_owned();
    for n in 0..4_000 {
        let x = "x".repeat(15_000);
        events += &format!("1,1,t,2026-01-01T00:00:00,\"{{\"\"n\"\":{n},\"\"x\"\":\"\"{x}\"\"}}\"\n");
    }
    app.load(&[("events.csv", events)]).await.unwrap();
    let secret = Secret::generate();
    let (name, hash) = ("reader".parse().unwrap(), secret.hash());
    let token = NewToken { name, role: Role::Viewer, hash, expires_at: None, user_id: None };
    app.store.insert_token(token).await.unwrap();
    eventually(async || (app.get("/users").await.status == 401).then_some(())).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = socket.connect(app.address).await.unwrap();
    let head = format!(
        "GET /events/export?format=json HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        secret.reveal()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    client.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    // While the client reads nothing, others do what they want, and nothing waits for it.
    assert!(app.store.revoke_token(&"reader".parse().unwrap()).await.unwrap());
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.len() < 30_000_000 && !rest.ends_with("0\r\n\r\n") && !rest.contains("}]"), "{}", rest.len());
    let fresh = Secret::generate();
    let (name, hash) = ("other".parse().unwrap(), fresh.hash());
    let token = NewToken { name, role: Role::Admin, hash, expires_at: None, user_id: None };
    app.store.insert_token(token).await.unwrap();
    let metrics = app.send_as(fresh.reveal(), "GET", "/metrics", "").await.body;
    assert!(metrics.contains("\ntern_admin_exports_failed_total 1\n"));
    assert!(metrics.contains("\ntern_admin_streams{kind=\"export\"} 0\n"));
}
