//! The API over PostgreSQL while many clients request the most costly lists, or cancel them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tern_tests::Fleet;
use tokio::task::JoinHandle;

const CLIENTS: u64 = 32;

/// Page that requires a scan of most events: two filters, and far from the start.
const COSTLY_LIST: &str = "/events?user_id=1&event_type=viewed&page=2400&per_page=100";

/// Inserts a second user, and so many events that the list takes a tenth of a second or more.
async fn fill(fleet: &Fleet) {
    let user = json!({"username": "bob", "email": "bob@mail.example"});
    assert_eq!(fleet.call(Method::POST, "/users", &user).await.0, 201);
    fleet.psql(
        "INSERT INTO events (url_id, user_id, event_type, timestamp, details)
         SELECT 1, 1 + i % 2, CASE i / 2 % 2 WHEN 0 THEN 'viewed' ELSE 'shared' END, now(), '{}'
         FROM generate_series(1, 1000000) AS i",
    );
    fleet.psql("ANALYZE events");
}

/// Clients that request the costly list, one request after another, and cancel each after `cancel_after` if that is
/// given.
struct Crowd {
    is_over: Arc<AtomicBool>,
    found: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn start(fleet: &Fleet, clients: u64, token: Option<&str>, cancel_after: Option<fn(u64) -> Duration>) -> Crowd {
        let (is_over, found) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |client| {
            let (is_over, found) = (Arc::clone(&is_over), Arc::clone(&found));
            let (url, token) = (format!("http://{}{COSTLY_LIST}", fleet.admin.addresses[0]), token.map(str::to_owned));
            tokio::spawn(async move {
                let http = Client::new();
                for n in client.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let request = token.iter().fold(http.get(&url), |request, token| request.bearer_auth(token));
                    let Some(cancel_after) = cancel_after else {
                        let status = request.send().await.unwrap().status();
                        found.fetch_add(u64::from(status == StatusCode::OK), Ordering::Relaxed);
                        continue;
                    };
                    // An answer that arrives in time does not matter.
                    drop(tokio::time::timeout(cancel_after(n), request.send()).await);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        };
        let clients = (0..clients).map(client).collect();
        Crowd { is_over, found, clients }
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
    let fleet = Fleet::start(1, &[]).await;
    fill(&fleet).await;
    let code = fleet.code(1).await;
    let crowd = Crowd::start(&fleet, CLIENTS, None, None);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut slowest = Duration::ZERO;
    for n in 0..8 {
        let is_active = n % 2 == 1;
        let began = Instant::now();
        let (status, ..) = fleet.call(Method::PUT, "/urls/1", &json!({ "is_active": is_active })).await;
        assert_eq!(status, 200, "change {n} after {:?}", began.elapsed());
        let expected = if is_active { 302 } else { 410 };
        for redirector in 0..2 {
            while fleet.look_up(redirector, &code).await.0 != expected {
                assert!(began.elapsed() < Duration::from_secs(1), "change {n}: {:?}", began.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        slowest = slowest.max(began.elapsed());
        assert_eq!(fleet.call(Method::GET, "/ready", &Value::Null).await.0, 200);
    }
    println!("the slowest of 8 changes was served after {slowest:?}; {} lists were found", crowd.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_revoked_beside_costly_lists_is_refused_within_two_seconds() {
    let mut fleet = Fleet::start(1, &[]).await;
    fill(&fleet).await;
    let admin = fleet.close_api();
    let viewer = fleet.make_token("viewer");
    let crowd = Crowd::start(&fleet, CLIENTS, Some(&viewer), None);
    tokio::time::sleep(Duration::from_secs(2)).await;
    fleet.psql("UPDATE tokens SET revoked_at = now() WHERE name = 'viewer'");
    let began = Instant::now();
    let url = format!("http://{}/urls/1", fleet.admin.addresses[0]);
    let status = async |token: &str| Client::new().get(&url).bearer_auth(token).send().await.unwrap().status();
    while status(&viewer).await != StatusCode::UNAUTHORIZED {
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    let took = began.elapsed();
    assert_eq!(status(&admin).await, StatusCode::OK);
    println!("refused after {took:?}; {} lists were found", crowd.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_cancel_costly_lists_fail_no_other_request() {
    let fleet = Fleet::start(1, &[]).await;
    fill(&fleet).await;
    let crowd = Crowd::start(&fleet, 200, None, Some(|n| Duration::from_millis(n * 7919 % 100)));
    let until = Instant::now() + Duration::from_secs(8);
    let mut served = 0;
    while Instant::now() < until {
        for path in ["/users/1", "/urls/1", "/ready"] {
            let (status, _, answer) = fleet.call(Method::GET, path, &Value::Null).await;
            assert_eq!(status, 200, "{path} after {served}: {answer}");
            served += 1;
        }
        let (status, _, answer) = fleet.call(Method::PUT, "/urls/1", &json!({ "title": format!("{served}") })).await;
        assert_eq!(status, 200, "a change after {served}: {answer}");
    }
    crowd.stop().await;
    println!("{served} other requests were served meanwhile");
}
