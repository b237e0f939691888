//! The admin plane under load while PostgreSQL or Redis fails and recovers.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

mod costly_lists;
mod processes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tern_testkit::postgres::Postgres;
use tern_tests::{Fleet, eventually};

/// The contract promises 2 s; the rest is for a busy machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

const CLIENTS: u64 = 40;

/// Number of answers by status, and the slowest answer.
#[derive(Debug, Default)]
struct Answers {
    statuses: BTreeMap<u16, u64>,
    slowest: Duration,
    /// Time of the last 503.
    last_unavailable: Option<Instant>,
}

impl Answers {
    fn note(&mut self, status: u16, took: Duration) {
        *self.statuses.entry(status).or_default() += 1;
        self.slowest = self.slowest.max(took);
        if status == 503 {
            self.last_unavailable = Some(Instant::now());
        }
    }

    fn add(mut self, other: Answers) -> Answers {
        for (status, n) in other.statuses {
            *self.statuses.entry(status).or_default() += n;
        }
        self.slowest = self.slowest.max(other.slowest);
        self.last_unavailable = self.last_unavailable.max(other.last_unavailable);
        self
    }
}

/// Clients that read and write, one request after another, until they are stopped.
struct Load {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<Answers>>,
}

impl Load {
    /// Starts the clients; `name` makes the names that they create unique.
    fn start(api: &str, name: &str) -> Load {
        let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let run = |client| {
            run_client(api.to_owned(), format!("{name}-{client}"), Arc::clone(&is_over), Arc::clone(&answered))
        };
        let clients = (0..CLIENTS).map(|client| tokio::spawn(run(client))).collect();
        Load { is_over, answered, clients }
    }

    /// Waits for `more` further answers.
    async fn wait_for_answers(&self, more: u64) {
        let until = self.answered.load(Ordering::Relaxed) + more;
        eventually("requests are answered", async || self.answered.load(Ordering::Relaxed) >= until).await;
    }

    async fn stop(self) -> Answers {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Answers::default();
        for client in self.clients {
            all = all.add(client.await.unwrap());
        }
        all
    }
}

async fn run_client(api: String, client: String, is_over: Arc<AtomicBool>, answered: Arc<AtomicU64>) -> Answers {
    let http = Client::new();
    let mut answers = Answers::default();
    for n in 0u64.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("{client}-{n}");
        let (method, path, body) = match n % 5 {
            0 => (Method::POST, "/users", json!({ "username": name, "email": format!("{name}@mail.example") })),
            1 => {
                (Method::POST, "/urls", json!({ "user_id": 1, "original_url": format!("https://example.com/{name}") }))
            }
            2 => (Method::GET, "/users?per_page=20", Value::Null),
            3 => (Method::PUT, "/urls/1", json!({ "title": name })),
            _ => (Method::GET, "/products", Value::Null),
        };
        let request = http.request(method.clone(), format!("http://{api}{path}"));
        let request = if body.is_null() { request } else { request.json(&body) };
        let started = Instant::now();
        let status = request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error}")).status();
        answers.note(status.as_u16(), started.elapsed());
        answered.fetch_add(1, Ordering::Relaxed);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beside_postgres_faults_are_answered_in_time_and_recover() {
    let fleet = Fleet::start(10, &[]).await;
    type Act = fn(&Postgres);
    let faults: [(&str, Act, Act); 3] = [
        ("stopped", Postgres::stop, Postgres::start),
        ("killed", Postgres::kill9, Postgres::start),
        ("frozen", Postgres::freeze, Postgres::thaw),
    ];
    for (how, stop, start) in faults {
        let load = Load::start(&fleet.admin.addresses[0], how);
        load.wait_for_answers(500).await;
        stop(&fleet.postgres);
        load.wait_for_answers(3 * CLIENTS).await;
        start(&fleet.postgres);
        let back = Instant::now();
        eventually("requests are served again", async || {
            fleet.call(Method::GET, "/users/1", &Value::Null).await.0 == 200
        })
        .await;
        load.wait_for_answers(500).await;
        let answers = load.stop().await;
        let recovered = answers.last_unavailable.map(|last| last.saturating_duration_since(back));
        println!(
            "PostgreSQL {how}: {:?}, the slowest took {:?}; the last 503 came {recovered:?} after its return",
            answers.statuses, answers.slowest
        );
        assert!(answers.statuses.keys().all(|status| [200, 201, 503].contains(status)), "{answers:?}");
        assert!(answers.statuses.contains_key(&503), "{how}: no request failed, so nothing was tested");
        assert!(answers.slowest < ANSWERED_WITHIN, "{answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beside_redis_faults_succeed() {
    let mut fleet = Fleet::start(10, &[]).await;
    let load = Load::start(&fleet.admin.addresses[0], "user");
    load.wait_for_answers(500).await;
    fleet.redis.stop();
    load.wait_for_answers(500).await;
    fleet.redis.start();
    load.wait_for_answers(500).await;
    fleet.redis.freeze();
    load.wait_for_answers(100).await;
    fleet.redis.thaw();
    load.wait_for_answers(500).await;
    fleet.redis.kill9();
    load.wait_for_answers(500).await;
    let answers = load.stop().await;
    println!("Redis stopped, frozen and killed: {:?}, the slowest took {:?}", answers.statuses, answers.slowest);
    assert!(answers.statuses.keys().all(|status| [200, 201].contains(status)), "{answers:?}");
    assert!(answers.slowest < ANSWERED_WITHIN, "{answers:?}");
}
