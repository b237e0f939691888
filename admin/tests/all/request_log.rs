//! The request log. All tests of the process share one log, so each looks for its own paths.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, Once};

use tokio::io::AsyncWriteExt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::access::{Tokens, spawn_behind_proxy};
use crate::support::{App, Setup, eventually, spawn_app_with};

static ENTRIES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

static START: Once = Once::new();

#[derive(Clone, Debug)]
struct Entry {
    level: Level,
    fields: BTreeMap<&'static str, String>,
}

struct Recorder;

impl<S: Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "app" {
            let mut entry = Entry { level: *event.metadata().level(), fields: BTreeMap::new() };
            event.record(&mut entry);
            ENTRIES.lock().unwrap().push(entry);
        }
    }
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

impl Entry {
    fn is(&self, level: Level, message: &str, others: &[(&str, &str)]) -> bool {
        self.level == level
            && self.fields["message"] == message
            && others.iter().all(|(name, value)| self.fields.get(name).is_some_and(|field| field == value))
    }
}

async fn spawn_recorded(setup: Setup) -> App {
    START.call_once(start_recorder);
    spawn_app_with(setup).await
}

fn start_recorder() {
    tracing_subscriber::registry().with(Recorder).init();
}

fn entries_of(path: &str) -> Vec<Entry> {
    let entries = ENTRIES.lock().unwrap();
    entries.iter().filter(|entry| entry.fields.get("path").is_some_and(|logged| logged == path)).cloned().collect()
}

#[tokio::test]
async fn request_is_logged_at_its_start_and_its_end() {
    let app = spawn_recorded(Setup::default()).await;
    let check = async |method: &str, path: &str, status: &str, level: Level| {
        app.send(method, &format!("{path}?token=secret"), None, "").await;
        let entries = entries_of(path);
        assert_eq!(entries.len(), 2, "{entries:?}");
        assert!(entries[0].is(Level::INFO, "request started", &[("method", method)]), "{entries:?}");
        assert_eq!(entries[0].fields.len(), 3, "{entries:?}");
        assert!(entries[1].is(level, "request finished", &[("method", method), ("status", status)]), "{entries:?}");
        let took = &entries[1].fields["duration_ms"];
        assert!(took.parse::<f64>().unwrap() > 0.0, "{took}");
        assert!(took.split_once('.').is_some_and(|(_, decimals)| decimals.len() <= 3), "{took}");
        assert!(!format!("{entries:?}").contains("secret"));
    };
    check("GET", "/users/771001/urls", "404", Level::WARN).await;
    check("GET", "/log-test-unknown", "404", Level::WARN).await;
    check("PUT", "/events/771002", "405", Level::WARN).await;
    app.get("/users/").await;
    assert!(entries_of("/users/").iter().any(|e| e.is(Level::INFO, "request finished", &[("status", "200")])));
}

#[tokio::test]
async fn ignored_names_are_logged_without_their_values() {
    let app = spawn_recorded(Setup::default()).await;
    app.send("PUT", "/users/775001?dry_run=secret", Some("application/json"), r#"{"short_code":"secret"}"#).await;
    let entries = entries_of("/users/775001");
    assert!(entries[1].is(Level::WARN, "request finished", &[("ignored", "dry_run, short_code")]), "{entries:?}");
    assert!(!format!("{entries:?}").contains("secret"));
    app.get("/users/775002?").await;
    assert!(entries_of("/users/775002").iter().all(|entry| !entry.fields.contains_key("ignored")));
}

#[tokio::test]
async fn internal_failure_is_logged_once_with_its_cause() {
    let app = spawn_recorded(Setup { without_database: true, ..Setup::default() }).await;
    app.get("/users/772001").await.check_error(503, "Database is unavailable");
    let entries = entries_of("/users/772001");
    assert_eq!(entries.len(), 3, "{entries:?}");
    assert!(entries[1].is(Level::ERROR, "request failed", &[("status", "503")]), "{entries:?}");
    assert!(entries[1].fields["cause"].contains("unable to open database file"), "{entries:?}");
    assert!(entries[2].is(Level::WARN, "request finished", &[("status", "503")]), "{entries:?}");
}

#[tokio::test]
async fn request_of_a_disconnected_client_is_logged_at_its_end() {
    let app = spawn_recorded(Setup::default()).await;
    let mut socket = tokio::net::TcpStream::connect(app.address).await.unwrap();
    let head = "PUT /users/773001 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    eventually(async || (!entries_of("/users/773001").is_empty()).then_some(())).await;
    drop(socket);
    let finished = eventually(async || entries_of("/users/773001").get(1).cloned()).await;
    assert!(finished.is(Level::WARN, "request finished", &[("method", "PUT")]), "{finished:?}");
}

#[tokio::test]
async fn flood_without_token_is_counted_and_bounded_in_the_log() {
    const FLOOD: usize = 600;
    START.call_once(start_recorder);
    let app = spawn_behind_proxy().await;
    let tokens = Tokens::make(&app).await;
    let unlogged = async || -> usize {
        let metrics = app.send_with_token("GET", "/metrics", Some(tokens.of("metrics"))).await.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix("tern_admin_requests_unlogged_total "));
        line.unwrap().parse().unwrap()
    };
    assert_eq!(unlogged().await, 0);
    for _ in 0..FLOOD / 2 {
        // One client with a path of its own, and clients that were not seen before.
        let headers = [("x-forwarded-for", "203.0.113.7"), ("authorization", "Bearer wrong")];
        let status = app.send_with("GET", "/users/774001", &headers).await.status;
        assert!([401, 429].contains(&status), "{status}");
        assert_eq!(app.send_with_token("GET", "/users/774002", None).await.status, 401);
    }
    let (of_one, of_many) = (entries_of("/users/774001").len() / 2, entries_of("/users/774002").len() / 2);
    assert!((1..=80).contains(&of_one), "{of_one}");
    assert!(of_one + of_many <= 300, "{of_one} {of_many}");
    assert_eq!(of_one + of_many + unlogged().await, FLOOD);
    let finished = &entries_of("/users/774001")[1];
    assert!(finished.is(Level::WARN, "request finished", &[("client", "203.0.113.0/24")]), "{finished:?}");

    // Requests with a token are logged as before, and the flood is summed up in one line.
    assert_eq!(app.send_with_token("GET", "/users/774003", Some(tokens.of("viewer"))).await.status, 404);
    assert_eq!(entries_of("/users/774003").len(), 2);
    let counted = || -> usize {
        let entries = ENTRIES.lock().unwrap();
        entries.iter().filter_map(|entry| entry.fields.get("requests")?.parse::<usize>().ok()).sum()
    };
    for _ in 0..300 {
        if counted() > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(counted(), unlogged().await);
}

/// A binary that serves both planes has the redirector behind the router.
#[tokio::test]
async fn request_to_another_fallback_is_logged_and_counted_as_unmatched() {
    let app = spawn_recorded(Setup { fallback: Some("a redirect"), ..Setup::default() }).await;
    for path in ["/log-test-code", "//"] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "a redirect"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-request-id").map(str::len), Some(32));
    }
    assert_eq!(entries_of("/log-test-code").len(), 2);
    let counted = r#"tern_admin_http_requests_total{method="GET",route="unmatched",status="200"} 2"#;
    assert!(app.get("/metrics").await.body.contains(counted));
    app.send("PATCH", "/users", None, "").await.check_error(405, "");
}
