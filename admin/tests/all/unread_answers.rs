//! Long answers, and clients that do not read them.

use serde_json::{Value, json};
use tern_common::token::{NewToken, Role, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Answer, App, Setup, eventually, spawn_app, spawn_app_with};

/// Size of an answer beyond what the kernel buffers for a client that does not read.
const LONG_ROWS: usize = 90;
const LONG_ROW: usize = 120_000;

/// Inserts events with details longer than Tern accepts.
async fn write_long_events(app: &App) {
    let details = json!({ "x": "x".repeat(LONG_ROW) }).to_string();
    for _ in 0..LONG_ROWS {
        app.database.write_event(&details).await;
    }
}

async fn app_with_a_link(setup: Setup) -> App {
    let app = spawn_app_with(setup).await;
    let ann = app.create_user("ann").await;
    app.shorten(&ann, "https://example.com/").await;
    app
}

/// Requests all events and reads only the status.
async fn ask_without_reading(app: &App, token: Option<&str>) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(app.address).await.unwrap();
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head =
        format!("GET /events?per_page=100 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{authorization}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    stream
}

#[tokio::test]
async fn unread_list_occupies_its_token_until_the_client_disconnects() {
    let mut setup = Setup::default();
    setup.config.access.token_concurrency = 1;
    let app = app_with_a_link(setup).await;
    write_long_events(&app).await;
    let secret = Secret::generate();
    let name = "reader".parse().unwrap();
    app.store
        .insert_token(NewToken { name, role: Role::Viewer, hash: secret.hash(), expires_at: None, user_id: None })
        .await
        .unwrap();
    eventually(async || (app.get("/users").await.status == 401).then_some(())).await;
    let unread = ask_without_reading(&app, Some(secret.reveal())).await;
    let authorization = format!("Bearer {}", secret.reveal());
    let ask = async || app.send_with("GET", "/users", &[("authorization", &authorization)]).await.status;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(ask().await, 429);
    assert_eq!(app.get("/health").await.status, 200);
    drop(unread);
    eventually(async || (ask().await == 200).then_some(())).await;
}

#[tokio::test]
async fn long_page_has_every_row_once_and_its_headers() {
    let app = app_with_a_link(Setup::default()).await;
    for n in 0..30 {
        let details = json!({ "n": n, "x": "x".repeat(16_000) });
        let body = json!({ "url_id": 1, "user_id": 1, "event_type": "t", "details": details });
        assert_eq!(app.post("/events", body).await.status, 201);
    }
    let page = app.get("/events?per_page=25").await;
    assert_eq!(page.ids(), (1..=25).collect::<Vec<_>>());
    assert_eq!(page.header("x-total-count"), Some("31"));
    assert_eq!(page.header("link"), Some("</events?after=25&per_page=25>; rel=\"next\""));
    assert_eq!(page.json()[24]["details"]["n"], json!(23));
    assert_eq!(app.get("/events?per_page=25&page=2").await.ids(), (26..=31).collect::<Vec<_>>());
    let filtered = app.get("/events?per_page=25&event_type=t&url_id=1&page=2").await;
    assert_eq!(filtered.ids(), (27..=31).collect::<Vec<_>>());
    // A list of links is sent in parts as well.
    for n in 0..20 {
        let target = format!("https://example.com/{n}/{}", "x".repeat(8_000));
        assert_eq!(app.post("/urls", json!({ "user_id": 1, "original_url": target })).await.status, 201);
    }
    for path in ["/urls", "/users/1/urls"] {
        assert_eq!(app.get(&format!("{path}?per_page=100")).await.ids(), (1..=21).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn row_deleted_while_a_long_page_is_read_is_omitted() {
    let app = app_with_a_link(Setup::default()).await;
    write_long_events(&app).await;
    let mut stream = ask_without_reading(&app, None).await;
    assert_eq!(app.delete("/urls/1").await.status, 204);
    let mut rest = b"HTTP/1.1 200".to_vec();
    stream.read_to_end(&mut rest).await.unwrap();
    let rest = String::from_utf8(rest).unwrap();
    let (head, chunks) = rest.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("\r\ntransfer-encoding: chunked"), "{head}");
    let events: Value = serde_json::from_str(&unchunk(chunks)).unwrap();
    let count = events.as_array().unwrap().len();
    assert!((1..=LONG_ROWS).contains(&count), "{count} of {} events", LONG_ROWS + 1);
}

#[tokio::test]
async fn short_list_has_a_content_length() {
    let app = spawn_app().await;
    app.create_user("ann").await;
    let answer: Answer = app.get("/users").await;
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
}

/// Returns the content of a chunked body.
fn unchunk(mut chunks: &str) -> String {
    let mut content = String::new();
    loop {
        let (size, rest) = chunks.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return content;
        }
        content.push_str(&rest[..size]);
        chunks = rest[size..].strip_prefix("\r\n").unwrap();
    }
}
