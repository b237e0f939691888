//! Clicks as they are stored, as server-sent events.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tern_common::Timestamp;
use tern_common::token::{NewToken, Role, Secret};
use tokio::time::{sleep, timeout};

use crate::support::{App, Setup, eventually, spawn_app, spawn_app_with};

/// An app with links of two users.
async fn app_with_links(setup: Setup) -> (App, Value, Value) {
    let app = spawn_app_with(setup).await;
    let (ann, ben) = (app.create_user("ann").await, app.create_user("ben").await);
    let (url, other) = (app.shorten(&ann, "https://a.example/").await, app.shorten(&ben, "https://b.example/").await);
    (app, url, other)
}

async fn click(app: &App, url: &Value) -> i64 {
    app.record_event(url, "clicked").await["id"].as_i64().unwrap()
}

/// Creates a token, and waits until the server requires it.
async fn token(app: &App, name: &str, user: Option<&Value>, expires_at: Option<Timestamp>) -> String {
    let secret = Secret::generate();
    let user_id = user.and_then(|user| user["user_id"].as_i64()).and_then(tern_common::Id::new);
    let name = name.parse().unwrap();
    let token = NewToken { name, role: Role::Viewer, hash: secret.hash(), expires_at, user_id };
    app.store.insert_token(token).await.unwrap();
    eventually(async || (app.get("/urls").await.status == 401).then_some(())).await;
    format!("Bearer {}", secret.reveal())
}

async fn click_in_store(app: &App, url: &Value) -> i64 {
    let event = tern_common::event::NewEvent {
        url_id: url["id"].as_i64().and_then(tern_common::Id::new).unwrap(),
        user_id: None,
        event_type: tern_common::event::EventType::parse("clicked").unwrap(),
        details: tern_common::event::Details::empty(),
    };
    app.store.insert_event(event).await.unwrap().id.get()
}

#[tokio::test]
async fn click_is_sent_to_listeners_of_all_links_and_of_its_link_as_lists_show_it() {
    let (app, url, other) = app_with_links(Setup::default()).await;
    let mut all = app.listen("/live", &[]).await;
    let mut of_link = app.listen(&format!("/urls/{}/live", url["id"]), &[]).await;
    app.record_event(&url, "shared").await;
    let began = Instant::now();
    let body = r#"{"url_id": 1, "event_type": "clicked", "details": {"a":
        "b"}}"#;
    let first = app.send("POST", "/events", Some("application/json"), body).await.json()["id"].as_i64().unwrap();
    let sent = all.next().await.unwrap();
    let took = began.elapsed();
    assert_eq!((sent.event.as_str(), sent.id), ("click", Some(first)));
    assert_eq!(sent.data, app.get(&format!("/events/{first}")).await.json());
    // The promise is 200 ms after the commit; a busy machine gets more.
    assert!(took < Duration::from_secs(2), "{took:?}");
    let (second, third) = (click(&app, &other).await, click(&app, &url).await);
    assert_eq!(all.ids(2).await, [second, third]);
    assert_eq!(of_link.ids(2).await, [first, third]);
}

#[tokio::test]
async fn stream_continues_after_the_last_event_that_its_client_has() {
    let (app, url, other) = app_with_links(Setup::default()).await;
    let mut clicks = Vec::new();
    for n in 0..5 {
        clicks.push(click(&app, if n == 2 { &other } else { &url }).await);
    }
    let mut live = app.listen("/live", &[("last-event-id", &clicks[1].to_string())]).await;
    clicks.push(click(&app, &url).await);
    assert_eq!(live.ids(4).await, clicks[2..]);
    // The header takes precedence over the query, which a browser repeats when it connects again.
    let path = format!("/urls/1/live?last_event_id={}", clicks[0]);
    let mut live = app.listen(&path, &[]).await;
    assert_eq!(live.ids(4).await, [clicks[1], clicks[3], clicks[4], clicks[5]]);
    let mut live = app.listen(&path, &[("last-event-id", &clicks[3].to_string())]).await;
    assert_eq!(live.ids(2).await, clicks[4..]);
    let mut live = app.listen("/live?last_event_id=0", &[("last-event-id", "")]).await;
    assert_eq!(live.ids(6).await, clicks);
    for wrong in ["x", "-1", "1.5", "99999999999999999999"] {
        app.get(&format!("/live?last_event_id={wrong}")).await.check_error(400, "last_event_id");
        app.send_with("GET", "/live", &[("last-event-id", wrong)]).await.check_error(400, "last_event_id");
    }
    app.get("/urls/99/live").await.check_error(404, "URL 99 not found");
}

#[tokio::test]
async fn stream_after_an_event_of_another_database_says_that_clicks_are_missing() {
    let (app, url, _) = app_with_links(Setup::default()).await;
    click(&app, &url).await;
    let mut live = app.listen("/live?last_event_id=1000", &[]).await;
    assert_eq!(live.next().await.unwrap().event, "missed");
    let next = click(&app, &url).await;
    assert_eq!(live.ids(1).await, [next]);
}

#[tokio::test]
async fn many_clicks_before_a_listener_are_sent_once_and_in_order_beside_new_ones() {
    let (app, url, _) = app_with_links(Setup::default()).await;
    let mut clicks = Vec::new();
    for _ in 0..450 {
        clicks.push(click_in_store(&app, &url).await);
    }
    let mut live = app.listen("/live?last_event_id=1", &[]).await;
    let mut seen = live.ids(100).await;
    for _ in 0..50 {
        clicks.push(click_in_store(&app, &url).await);
    }
    seen.extend(live.ids(400).await);
    assert_eq!(seen, clicks);
}

#[tokio::test]
async fn listener_that_reads_too_slowly_is_told_what_it_missed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (app, url, _) = app_with_links(Setup::default()).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(app.address).await.unwrap();
    slow.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    slow.read_exact(&mut head).await.unwrap();
    let mut quick = app.listen("/live", &[]).await;
    let details = json!({ "x": "x".repeat(16_000) });
    let mut last = 0;
    // More than the ring of clicks and the buffers of the socket have room for.
    for n in 1..=1_400 {
        let event = tern_common::event::NewEvent {
            url_id: url["id"].as_i64().and_then(tern_common::Id::new).unwrap(),
            user_id: None,
            event_type: tern_common::event::EventType::parse("clicked").unwrap(),
            details: tern_common::event::Details::parse(&details.to_string()).unwrap(),
        };
        last = app.store.insert_event(event).await.unwrap().id.get();
        if n % 20 == 0 {
            quick.ids(20).await;
        }
    }
    let mut text = Vec::new();
    let seen = async {
        let end = format!("id: {last}\n");
        while !String::from_utf8_lossy(&text[text.len().saturating_sub(40_000)..]).contains(&end) {
            assert!(slow.read_buf(&mut text).await.unwrap() > 0, "the stream ended");
        }
    };
    timeout(Duration::from_secs(60), seen).await.unwrap();
    let text = String::from_utf8_lossy(&text);
    let notice = text.split("event: missed\ndata: ").nth(1).unwrap().lines().next().unwrap();
    let notice: Value = serde_json::from_str(notice).unwrap();
    assert!(notice["after"].as_i64().unwrap() < notice["up_to"].as_i64().unwrap(), "{notice}");
    assert!(app.get("/metrics").await.body.contains("\ntern_admin_live_missed_total 1\n"));
}

#[tokio::test]
async fn token_of_a_user_hears_only_clicks_on_its_own_links() {
    let (app, url, other) = app_with_links(Setup::default()).await;
    let own = token(&app, "ann", Some(&url), None).await;
    let mut live = app.listen("/live?last_event_id=0", &[("authorization", &own)]).await;
    let clicks = [click_in_store(&app, &other).await, click_in_store(&app, &url).await];
    assert_eq!(live.ids(1).await, clicks[1..]);
    app.send_with("GET", "/urls/2/live", &[("authorization", &own)]).await.check_error(404, "URL 2 not found");
}

#[tokio::test]
async fn stream_ends_soon_after_its_token_is_revoked_or_expires() {
    let (app, _, _) = app_with_links(Setup::default()).await;
    let mut open = app.listen("/live", &[]).await;
    let revoked = token(&app, "revoked", None, None).await;
    // The API closed with its first token, and so does the stream of a client without one.
    assert_eq!(open.next().await, None);
    let soon = Timestamp::from_unix_seconds(Timestamp::now().unix_seconds() + 3);
    let expiring = token(&app, "expiring", None, Some(soon)).await;
    let mut first = app.listen("/live", &[("authorization", &revoked)]).await;
    let mut second = app.listen("/live", &[("authorization", &expiring)]).await;
    assert!(app.store.revoke_token(&"revoked".parse().unwrap()).await.unwrap());
    let began = Instant::now();
    assert_eq!(first.next().await, None);
    assert_eq!(second.next().await, None);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn streams_beyond_the_limit_of_their_token_are_refused_until_one_closes() {
    let mut setup = Setup::default();
    setup.config.access.token_concurrency = 4;
    let (app, _, _) = app_with_links(setup).await;
    let one = token(&app, "one", None, None).await;
    let (other, headers) = (token(&app, "other", None, None).await, [("authorization", one.as_str())]);
    let first = app.listen("/live", &headers).await;
    let _second = app.listen("/live", &headers).await;
    let refused = app.send_with("GET", "/live", &headers).await;
    refused.check_error(429, "This token has 2 live streams open");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let _other = app.listen("/live", &[("authorization", &other)]).await;
    assert_eq!(app.send_with("GET", "/urls", &headers).await.status, 200);
    drop(first);
    let again = async || (app.send_with("GET", "/live", &headers).await.status == 200).then_some(());
    eventually(again).await;
}

/// Returns the reads of new clicks since the start.
async fn reads(app: &App) -> u64 {
    let metrics = app.get("/metrics").await.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("tern_admin_live_reads_total ")).unwrap();
    line.parse().unwrap()
}

#[tokio::test]
async fn thousand_listeners_get_each_click_and_cost_as_many_reads_as_one() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    const LISTENERS: usize = 1_000;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let (app, url, other) = app_with_links(Setup::default()).await;
    // Reads from the first listener on. Each pause between two of them has 50 ms.
    let (before, began) = (reads(&app).await, Instant::now());
    let mut listeners = Vec::new();
    for n in 0..LISTENERS {
        let mut socket = tokio::net::TcpStream::connect(app.address).await.unwrap();
        let path = if n % 10 == 9 { "/urls/1/live" } else { "/live" };
        socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        listeners.push((path, socket, String::new()));
    }
    let until = async |listener: &mut (&str, tokio::net::TcpStream, String), end: &str| {
        let (_, socket, text) = listener;
        while !text.contains(end) {
            let mut bytes = Vec::with_capacity(1 << 12);
            assert!(socket.read_buf(&mut bytes).await.unwrap() > 0, "the stream ended: {text}");
            text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    };
    for listener in &mut listeners {
        timeout(Duration::from_secs(20), until(listener, ":\n\n")).await.unwrap();
        assert!(listener.2.starts_with("HTTP/1.1 200 OK\r\n"), "{}", listener.2);
    }
    assert!(app.get("/metrics").await.body.contains(&format!("\ntern_admin_streams{{kind=\"live\"}} {LISTENERS}\n")));
    let mut clicks = Vec::new();
    for n in 0..5 {
        clicks.push(click(&app, if n == 2 { &other } else { &url }).await);
    }
    let last = format!("id: {}\n", clicks[4]);
    for listener in &mut listeners {
        timeout(Duration::from_secs(20), until(listener, &last)).await.unwrap();
        let ids = listener.2.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok());
        let expected = clicks.iter().filter(|id| listener.0 == "/live" || **id != clicks[2]);
        assert_eq!(ids.collect::<Vec<i64>>(), expected.copied().collect::<Vec<_>>(), "{}", listener.0);
    }
    let (read, pauses) = (reads(&app).await - before, began.elapsed().as_millis() / 50);
    assert!(u128::from(read) <= pauses + 2, "{read} reads within {pauses} pauses");
}

#[tokio::test]
async fn silent_stream_sends_comments_and_reads_nothing_without_listeners() {
    let (app, _, _) = app_with_links(Setup::default()).await;
    assert_eq!(reads(&app).await, 0);
    let mut listeners = Vec::new();
    for _ in 0..40 {
        listeners.push(app.listen("/live", &[]).await);
    }
    let (before, began) = (reads(&app).await, Instant::now());
    let waits = async { listeners[0].next().await };
    assert!(timeout(Duration::from_secs(16), waits).await.is_err());
    assert_eq!(listeners[0].comments, 2);
    // One reader for all listeners: 20 reads a second.
    let read = reads(&app).await - before;
    assert!(read > 20 && read <= 21 * (began.elapsed().as_secs() + 1), "{read} reads");
    assert!(app.get("/metrics").await.body.contains("\ntern_admin_streams{kind=\"live\"} 40\n"));
    drop(listeners);
    eventually(async || app.get("/metrics").await.body.contains("{kind=\"live\"} 0\n").then_some(())).await;
    sleep(Duration::from_secs(6)).await;
    let idle = reads(&app).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(reads(&app).await, idle);
}

#[tokio::test]
async fn drain_ends_streams_at_once() {
    let (app, _, _) = app_with_links(Setup::default()).await;
    let mut live = app.listen("/live", &[]).await;
    let began = tokio::time::Instant::now();
    let drain = app.serving.drain(began + Duration::from_secs(8));
    let (is_drained, ended) = tokio::join!(drain, live.next());
    assert!(is_drained && ended.is_none());
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn log_and_metrics_have_the_time_until_a_stream_began() {
    let app = spawn_app().await;
    let live = app.listen("/live", &[]).await;
    sleep(Duration::from_millis(1_500)).await;
    drop(live);
    let metrics = app.get("/metrics").await.body;
    let sum = "tern_admin_http_request_duration_seconds_sum{route=\"/live\"} ";
    let seconds: f64 = metrics.lines().find_map(|line| line.strip_prefix(sum)).unwrap().parse().unwrap();
    assert!(seconds < 1.0, "{seconds}");
    assert!(metrics.contains("tern_admin_http_requests_total{method=\"GET\",route=\"/live\",status=\"200\"} 1\n"));
}
