//! SQLite while many clients request the most costly lists.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::support::{Tern, run, tern, text};

const CLIENTS: usize = 64;

/// Page that requires a scan of most events: two filters, and far from the start.
const COSTLY_LIST: &str = "/events?user_id=1&event_type=viewed&page=900&per_page=100";

/// Inserts so many events of two users that the list takes a tenth of a second or more.
fn fill(database: &Path) {
    let db = rusqlite::Connection::open(database).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    // The totals of these events do not matter.
    db.execute_batch(
        "BEGIN IMMEDIATE;
         DROP TRIGGER events_counted_insert;
         WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 400000)
         INSERT INTO events (url_id, user_id, event_type, timestamp, details)
         SELECT 1, 1 + i % 2, CASE i / 2 % 2 WHEN 0 THEN 'viewed' ELSE 'shared' END, i, '{}' FROM n;
         COMMIT",
    )
    .unwrap();
}

/// Clients that request the costly list, one request after another.
struct Crowd {
    is_over: Arc<AtomicBool>,
    found: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Crowd {
    async fn start(server: &Tern, token: Option<&str>) -> Crowd {
        let (is_over, found) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..CLIENTS).map(|_| {
            let (is_over, found) = (Arc::clone(&is_over), Arc::clone(&found));
            let (url, token) = (format!("http://{}{COSTLY_LIST}", server.api), token.map(str::to_owned));
            tokio::spawn(async move {
                let client = Client::new();
                while !is_over.load(Ordering::Relaxed) {
                    let request = client.get(&url);
                    let request = token.iter().fold(request, |request, token| request.bearer_auth(token));
                    let status = request.send().await.unwrap().status();
                    let known = [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE, StatusCode::UNAUTHORIZED];
                    assert!(known.contains(&status), "{status}");
                    found.fetch_add(u64::from(status == StatusCode::OK), Ordering::Relaxed);
                }
            })
        });
        let clients = clients.collect();
        let crowd = Crowd { is_over, found, clients };
        tokio::time::sleep(Duration::from_secs(2)).await;
        crowd
    }

    async fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        self.found.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn link_deactivated_beside_costly_lists_is_gone_within_a_second() {
    let server = Tern::start(&[]);
    let owner = server.create_user("ada").await;
    server.create_user("bob").await;
    let link = server.create_link(owner, "https://example.com/").await;
    let code = link["short_code"].as_str().unwrap().to_owned();
    fill(&server.directory.path().join("data/tern.db"));
    let crowd = Crowd::start(&server, None).await;
    let mut slowest = Duration::ZERO;
    for n in 0..8 {
        let is_active = n % 2 == 1;
        let began = Instant::now();
        let changed = server.change_link(&link["id"], json!({ "is_active": is_active })).await;
        assert_eq!(changed.status(), StatusCode::OK, "change {n} after {:?}", began.elapsed());
        let expected = if is_active { 302 } else { 410 };
        while server.follow(&server.fast, &code).await.0 != expected {
            assert!(began.elapsed() < Duration::from_secs(1), "change {n}: {:?}", began.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        slowest = slowest.max(began.elapsed());
        assert!(server.get(&server.api, "/ready").await.status().is_success());
    }
    println!("the slowest of 8 changes was served after {slowest:?}; {} lists were found", crowd.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_revoked_beside_costly_lists_is_refused_within_two_seconds() {
    let server = Tern::start(&[]);
    let owner = server.create_user("ada").await;
    server.create_user("bob").await;
    server.create_link(owner, "https://example.com/").await;
    let directory = server.directory.path().to_owned();
    fill(&directory.join("data/tern.db"));
    let made = run(&mut tern(&directory, &["token", "create", "crowd", "--role", "viewer"]));
    let token = text(&made.stdout).trim().to_owned();
    let crowd = Crowd::start(&server, Some(&token)).await;
    let revoked = run(&mut tern(&directory, &["token", "revoke", "crowd"]));
    assert!(revoked.status.success(), "{}", text(&revoked.stderr));
    let began = Instant::now();
    let bearer = format!("Bearer {token}");
    while server.get_with(&[("authorization", &bearer)], &server.api, "/urls/1").await.status()
        != StatusCode::UNAUTHORIZED
    {
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    println!("refused after {:?}; {} lists were found", began.elapsed(), crowd.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_cancel_costly_lists_fail_no_other_request() {
    let server = Tern::start(&[]);
    let owner = server.create_user("ada").await;
    server.create_user("bob").await;
    server.create_link(owner, "https://example.com/").await;
    fill(&server.directory.path().join("data/tern.db"));
    let is_over = Arc::new(AtomicBool::new(false));
    let hanging_up: Vec<_> = (0..200u64)
        .map(|client| {
            let (is_over, url) = (Arc::clone(&is_over), format!("http://{}{COSTLY_LIST}", server.api));
            tokio::spawn(async move {
                let http = Client::new();
                for n in client.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let time = Duration::from_millis(n * 7919 % 100);
                    // An answer that arrives in time does not matter.
                    drop(tokio::time::timeout(time, http.get(&url).send()).await);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        })
        .collect();
    let until = Instant::now() + Duration::from_secs(5);
    let mut served = 0;
    while Instant::now() < until {
        for path in ["/users/1", "/urls/1", "/ready"] {
            let began = Instant::now();
            let status = server.send(Method::GET, &server.api, path).await.status();
            assert_eq!(status, StatusCode::OK, "{path} after {served}");
            assert!(began.elapsed() < Duration::from_secs(1), "{path} after {served}: {:?}", began.elapsed());
            served += 1;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for client in hanging_up {
        client.await.unwrap();
    }
    println!("{served} served beside them");
}
