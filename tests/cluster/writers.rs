//! Clients of the API, which create links and change them all the time, and one client of PostgreSQL beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::sync::RwLock;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_postgres::NoTls;

use super::links::{Link, Links};
use super::timeline::Timeline;

/// Time that a client waits for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Interval between the changes of one client.
const PACE: Duration = Duration::from_millis(150);

/// Interval between the commits of the client of PostgreSQL, and its patience.
const PROBE_PACE: Duration = Duration::from_millis(100);
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// Clients of one API, with everything that they share.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) links: Links,
    pub(super) timeline: Timeline,
    /// Lock that the judge takes for itself to let no change happen.
    pub(super) gate: RwLock<()>,
    pub(super) counts: Counts,
    is_over: AtomicBool,
}

/// Numbers of changes by their answers.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) created: AtomicUsize,
    pub(super) changed: AtomicUsize,
    pub(super) unanswered: AtomicUsize,
    pub(super) refused: AtomicUsize,
    /// Changes of links that the API no longer has.
    pub(super) gone: AtomicUsize,
}

/// Client of one admin.
struct Writer {
    writing: Arc<Writing>,
    client: Client,
    /// Number and address of the admin.
    admin: usize,
    api: String,
    token: String,
    name: String,
    random: SmallRng,
    /// Links that this client alone changes, with their ids and the numbers of their targets.
    own: Vec<(Arc<Link>, i64, usize)>,
}

impl Writing {
    pub(super) fn new(admins: usize) -> Arc<Writing> {
        Arc::new(Writing {
            links: Links::default(),
            timeline: Timeline::new(admins),
            gate: RwLock::new(()),
            counts: Counts::default(),
            is_over: AtomicBool::new(false),
        })
    }

    /// Ends every client after its current request.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Starts the `n`th client of an admin.
    pub(super) fn start(
        self: &Arc<Writing>,
        admin: usize,
        api: &str,
        token: &str,
        n: usize,
        seed: u64,
    ) -> JoinHandle<()> {
        let writer = Writer {
            writing: Arc::clone(self),
            client: Client::builder().timeout(ANSWER_LIMIT).build().unwrap(),
            admin,
            api: api.to_owned(),
            token: token.to_owned(),
            name: format!("c{admin}x{n}"),
            random: SmallRng::seed_from_u64(seed ^ ((admin * 100 + n + 1) as u64) << 32),
            own: Vec::new(),
        };
        tokio::spawn(writer.run())
    }

    /// Starts a client that commits to the PostgreSQL at `address` whenever it can.
    pub(super) fn probe(self: &Arc<Writing>, address: String) -> JoinHandle<()> {
        let writing = Arc::clone(self);
        tokio::spawn(async move {
            while !writing.is_over() {
                // Each way to fail is the same to this client: no commit.
                let _ = writing.commit_repeatedly(&address).await;
                sleep(PROBE_PACE).await;
            }
        })
    }

    async fn commit_repeatedly(&self, address: &str) -> Option<()> {
        let mut config = tokio_postgres::Config::new();
        config.host(address).user("tern").dbname("postgres");
        let (client, connection) = timeout(PROBE_LIMIT, config.connect(NoTls)).await.ok()?.ok()?;
        tokio::spawn(connection);
        while !self.is_over() {
            let commit = client.batch_execute("INSERT INTO probe VALUES (now())");
            timeout(PROBE_LIMIT, commit).await.ok()?.ok()?;
            self.timeline.commit(Instant::now());
            sleep(PROBE_PACE).await;
        }
        Some(())
    }
}

impl Writer {
    async fn run(mut self) {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut number = 0;
        while !self.writing.is_over() {
            pace.tick().await;
            let writing = Arc::clone(&self.writing);
            let _open = writing.gate.read().await;
            if self.own.is_empty() || self.random.random_range(0..3) == 0 {
                number += 1;
                self.create(number).await;
            } else {
                self.change().await;
            }
        }
    }

    async fn create(&mut self, number: usize) {
        let link = self.writing.links.add(format!("{}x{number}", self.name));
        let body = json!({"user_id": 1, "short_code": link.code, "original_url": link.target(0)});
        let counts = &self.writing.counts;
        match self.call(Method::POST, "/urls", &body).await {
            Some((201, answer)) => {
                link.acknowledge(&link.target(0));
                self.writing.links.publish(&link);
                self.writing.timeline.accept(self.admin, Instant::now());
                counts.created.fetch_add(1, Ordering::Relaxed);
                self.own.push((link, answer["id"].as_i64().unwrap(), 0));
            }
            Some((status, answer)) => self.note("create", status, &answer),
            None => _ = counts.unanswered.fetch_add(1, Ordering::Relaxed),
        }
    }

    async fn change(&mut self) {
        let index = self.random.random_range(0..self.own.len());
        let (link, id, number) = &mut self.own[index];
        *number += 1;
        let (link, target, id) = (Arc::clone(link), link.target(*number), *id);
        link.begin(&target);
        // The code guards against an id that was given again: the API refuses to change the code of a link.
        let body = json!({"original_url": target, "short_code": link.code});
        let counts = &self.writing.counts;
        match self.call(Method::PUT, &format!("/urls/{id}"), &body).await {
            Some((200, _)) => {
                link.acknowledge(&target);
                self.writing.timeline.accept(self.admin, Instant::now());
                counts.changed.fetch_add(1, Ordering::Relaxed);
            }
            Some((400 | 404, _)) => {
                link.withdraw(&target);
                self.own.swap_remove(index);
                counts.gone.fetch_add(1, Ordering::Relaxed);
            }
            // A change without a clear answer may happen later, so the link is not changed again.
            Some((status, answer)) => {
                self.own.swap_remove(index);
                self.note("change", status, &answer);
            }
            None => {
                self.own.swap_remove(index);
                counts.unanswered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn note(&self, what: &str, status: u16, answer: &Value) {
        let refused = self.writing.counts.refused.fetch_add(1, Ordering::Relaxed);
        if status != 503 || refused < 5 {
            self.writing.timeline.print(&format!("admin {} answers {status} to a {what}: {answer}", self.admin));
        }
    }

    /// Calls the API; returns the status and the body.
    async fn call(&self, method: Method, path: &str, body: &Value) -> Option<(u16, Value)> {
        let request = self.client.request(method, format!("{}{path}", self.api)).bearer_auth(&self.token).json(body);
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.ok()?))
    }
}
