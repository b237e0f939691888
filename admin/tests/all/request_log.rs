//! The log is one for all tests of the process: each looks for its own paths.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, Once};

use tokio::io::AsyncWriteExt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::support::{App, Setup, eventually, spawn_app_with};

static ENTRIES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

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
    static START: Once = Once::new();
    START.call_once(|| tracing_subscriber::registry().with(Recorder).init());
    spawn_app_with(setup).await
}

fn entries_of(path: &str) -> Vec<Entry> {
    let entries = ENTRIES.lock().unwrap();
    entries.iter().filter(|entry| entry.fields.get("path").is_some_and(|logged| logged == path)).cloned().collect()
}

#[tokio::test]
async fn each_request_is_logged_when_it_starts_and_when_it_finishes() {
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
async fn a_failure_of_ours_is_logged_once_with_its_cause() {
    let app = spawn_recorded(Setup { without_database: true, ..Setup::default() }).await;
    app.get("/users/772001").await.check_error(503, "Database is unavailable");
    let entries = entries_of("/users/772001");
    assert_eq!(entries.len(), 3, "{entries:?}");
    assert!(entries[1].is(Level::ERROR, "request failed", &[("status", "503")]), "{entries:?}");
    assert!(entries[1].fields["cause"].contains("unable to open database file"), "{entries:?}");
    assert!(entries[2].is(Level::WARN, "request finished", &[("status", "503")]), "{entries:?}");
}

#[tokio::test]
async fn a_request_whose_client_goes_away_is_logged_too() {
    let app = spawn_recorded(Setup::default()).await;
    let mut socket = tokio::net::TcpStream::connect(app.address).await.unwrap();
    let head = "PUT /users/773001 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    eventually(async || (!entries_of("/users/773001").is_empty()).then_some(())).await;
    drop(socket);
    let finished = eventually(async || entries_of("/users/773001").get(1).cloned()).await;
    assert!(finished.is(Level::WARN, "request finished", &[("method", "PUT")]), "{finished:?}");
}

/// A binary that serves both planes puts the redirector behind the router.
#[tokio::test]
async fn another_fallback_is_neither_logged_nor_counted() {
    let app = spawn_recorded(Setup { fallback: Some("a redirect"), ..Setup::default() }).await;
    for path in ["/log-test-code", "/"] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "a redirect"));
        assert_eq!(answer.header("x-content-type-options"), None);
    }
    assert!(entries_of("/log-test-code").is_empty());
    assert!(!app.get("/metrics").await.body.contains("unmatched"));
    app.send("PATCH", "/users", None, "").await.check_error(405, "");
}
