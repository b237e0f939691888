//! Two redirectors, an admin, a PostgreSQL and a Redis.

mod processes;

pub use self::processes::Filesystem;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Method, redirect};
use serde_json::{Value, json};
use tern_testkit::postgres::{Options, Postgres};
use tern_testkit::redis::Redis;
use tern_testkit::relay::Relay;

use crate::plane::{Plane, command};
use crate::session::Session;

/// Everything that serves, and what it was told.
#[derive(Debug)]
pub struct Fleet {
    pub admin: Plane,
    pub redirectors: Vec<Plane>,
    pub postgres: Postgres,
    pub redis: Redis,
    /// Between the planes and the servers, if the scene has them.
    pub relays: Option<Relays>,
    settings: Vec<(String, String)>,
    database_url: String,
    client: Client,
    directory: tempfile::TempDir,
}

/// What a fleet begins with.
#[derive(Clone, Debug, Default)]
pub struct Scene<'a> {
    pub links: usize,
    /// Of every plane.
    pub settings: &'a [(&'a str, &'a str)],
    pub postgres: Options,
    /// Whether the planes reach the servers only through relays.
    pub is_relayed: bool,
}

/// Ways to the servers that can be cut, and lead elsewhere.
#[derive(Debug)]
pub struct Relays {
    pub postgres: Relay,
    pub redis: Relay,
}

/// How long a change took to be served by every redirector.
#[derive(Clone, Copy, Debug)]
pub struct Visible {
    /// From sending the request; the commit lies in between.
    pub since_sent: Duration,
    /// From the answer, which was given after the commit.
    pub since_answered: Duration,
}

impl Fleet {
    /// A fleet with one user and `links` links, up and quiet.
    pub async fn start(links: usize, settings: &[(&str, &str)]) -> Fleet {
        Fleet::set(Scene { links, settings, ..Scene::default() }).await
    }

    /// The same with relays between the planes and the servers.
    pub async fn start_behind_relays(links: usize, settings: &[(&str, &str)]) -> Fleet {
        Fleet::set(Scene { links, settings, is_relayed: true, ..Scene::default() }).await
    }

    /// A fleet as the scene has it, up and quiet.
    pub async fn set(scene: Scene<'_>) -> Fleet {
        let postgres = Postgres::start_new(&scene.postgres);
        let redis = Redis::start_new();
        let database_url = postgres.create_database();
        let relays =
            scene.is_relayed.then(|| Relays { postgres: Relay::to(postgres.port()), redis: Relay::to(redis.port()) });
        let (way_to_postgres, way_to_redis) = match &relays {
            Some(relays) => (relays.postgres.port(), relays.redis.port()),
            None => (postgres.port(), redis.port()),
        };
        let mut settings: Vec<(String, String)> = Vec::new();
        for (name, value) in [
            ("DATABASE_URL", database_url.replace(&format!(":{}/", postgres.port()), &format!(":{way_to_postgres}/"))),
            ("REDIS_URL", redis.url_through(way_to_redis)),
            ("APP_PORT", "0".to_owned()),
            ("REDIRECTOR_LISTEN", "127.0.0.1:0".to_owned()),
            ("REDIRECTOR_OPS_LISTEN", "127.0.0.1:0".to_owned()),
            ("REDIRECTOR_WORKERS", "1".to_owned()),
            ("LOG_LEVEL", "warn".to_owned()),
            // All clients are of one network, and each click is to be an event.
            ("CLICK_EVENTS_PER_NETWORK", "0".to_owned()),
        ] {
            settings.push((name.to_owned(), value));
        }
        // The last one counts.
        settings.extend(scene.settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let directory = tempfile::tempdir().unwrap();
        let migrated = command("tern-admin", &["migrate"], directory.path(), &settings).output().unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        let name = database_url.rsplit('/').next().unwrap();
        postgres.psql(name, include_str!("../deploy/postgres/redirector-role.sql"));
        let fleet_settings = settings.clone();
        let admin = Plane::start_admin(directory.path(), &settings);
        let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        let mut fleet = Fleet {
            admin,
            redirectors: Vec::new(),
            postgres,
            redis,
            relays,
            settings: fleet_settings,
            database_url,
            client,
            directory,
        };
        for n in 0..2 {
            let redirector = fleet.start_redirector(n);
            fleet.redirectors.push(redirector);
        }
        fleet.all_loaded().await;
        let user = json!({"username": "ada", "email": "ada@mail.example"});
        assert_eq!(fleet.call(Method::POST, "/users", &user).await.0, 201);
        let mut last = None;
        for n in 0..scene.links {
            let body = json!({"user_id": 1, "original_url": format!("https://example.com/{n}")});
            let (status, _, url) = fleet.call(Method::POST, "/urls", &body).await;
            assert_eq!(status, 201, "{url}");
            last = Some(url["short_code"].as_str().unwrap().to_owned());
        }
        // On a busy machine an answer may come before every redirector serves the link.
        for redirector in 0..fleet.redirectors.len() {
            crate::eventually("each link is served", async || match &last {
                Some(code) => fleet.served(redirector, code).await.0 == 302,
                None => true,
            })
            .await;
        }
        fleet
    }

    /// The database's address leads to `standby` from now on, which is then the fleet's database.
    ///
    /// # Panics
    /// Without relays.
    pub fn fail_over_to(&mut self, standby: Postgres) {
        self.relays.as_ref().unwrap().postgres.lead_to(standby.port());
        self.database_url = standby.url(self.database());
        self.postgres = standby;
    }

    /// Makes a token for the API, which asks everybody for one from then on.
    pub fn make_token(&self, role: &str) -> String {
        let arguments = ["token", "create", role, "--role", role];
        let made = command("tern-admin", &arguments, self.directory.path(), &self.settings).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// Closes the API to everybody without a token; the fleet's own calls have the one that this gives.
    pub fn close_api(&mut self) -> String {
        let token = self.make_token("admin");
        let headers =
            HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap())]);
        self.client = Client::builder().redirect(redirect::Policy::none()).default_headers(headers).build().unwrap();
        token
    }

    /// Follows no redirect, and may do everything.
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub async fn all_loaded(&self) {
        for redirector in &self.redirectors {
            let url = format!("http://{}/ready", redirector.addresses[1]);
            crate::eventually("the redirector is ready", async || {
                self.client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200)
            })
            .await;
        }
    }

    /// One call of the API: the status, `Tern-Visible`, and the body.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> (u16, Option<String>, Value) {
        let url = format!("http://{}{path}", self.admin.addresses[0]);
        let response = self.client.request(method, url).json(body).send().await.unwrap();
        let visible = response.headers().get("tern-visible").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), visible, response.json().await.unwrap_or(Value::Null))
    }

    /// The code of a link.
    pub async fn code(&self, id: usize) -> String {
        let (_, _, url) = self.call(Method::GET, &format!("/urls/{id}"), &Value::Null).await;
        url["short_code"].as_str().unwrap().to_owned()
    }

    /// What a redirector answers for a code. A HEAD, so that looking leaves no click.
    pub async fn served(&self, redirector: usize, code: &str) -> (u16, Option<String>) {
        let url = format!("http://{}/{code}", self.redirectors[redirector].addresses[0]);
        let response = self.client.head(url).send().await.unwrap();
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), location)
    }

    /// Gives a link a new target through the API and waits until every redirector serves it.
    pub async fn change(&self, id: usize, code: &str, target: &str) -> Visible {
        let sent = Instant::now();
        let (status, _, body) = self.call(Method::PUT, &format!("/urls/{id}"), &json!({"original_url": target})).await;
        assert_eq!(status, 200, "{body}");
        let answered = Instant::now();
        for redirector in 0..self.redirectors.len() {
            crate::eventually("the change is served", async || {
                self.served(redirector, code).await == (302, Some(target.to_owned()))
            })
            .await;
        }
        Visible { since_sent: sent.elapsed(), since_answered: answered.elapsed() }
    }

    /// After two quiet seconds, how many codes any redirector answers otherwise than the table says.
    pub async fn differing(&self) -> usize {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let table = self.psql("SELECT short_code, is_active, original_url FROM urls");
        let mut differing = 0;
        for row in table.lines() {
            let mut columns = row.splitn(3, '|');
            let (code, is_active) = (columns.next().unwrap(), columns.next().unwrap() == "t");
            let target = columns.next().unwrap().to_owned();
            let expected = if is_active { (302, Some(target)) } else { (410, None) };
            for redirector in 0..self.redirectors.len() {
                let answer = self.served(redirector, code).await;
                if answer != expected {
                    println!("redirector {redirector} answers {code} with {answer:?}, the table says {expected:?}");
                    differing += 1;
                }
            }
        }
        let rows = table.lines().count();
        for redirector in 0..self.redirectors.len() {
            let links = self.metric(redirector, "tern_replica_links").await;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            let links = links as usize;
            differing += links.abs_diff(rows);
        }
        differing
    }

    async fn metrics(&self, redirector: usize) -> String {
        let url = format!("http://{}/metrics", self.redirectors[redirector].addresses[1]);
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Of a histogram, how many were counted up to each bound.
    pub async fn buckets(&self, redirector: usize, series: &str) -> BTreeMap<String, f64> {
        let text = self.metrics(redirector).await;
        let of_series = text.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix("{le=\""));
        of_series
            .map(|line| {
                let (bound, count) = line.split_once("\"} ").unwrap();
                (bound.to_owned(), count.parse().unwrap())
            })
            .collect()
    }

    pub async fn metric(&self, redirector: usize, series: &str) -> f64 {
        let text = self.metrics(redirector).await;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no series {series}"))
    }

    /// Runs SQL in the fleet's database, past Tern.
    pub fn psql(&self, sql: &str) -> String {
        self.postgres.psql(self.database(), sql)
    }

    /// Runs statements each in a transaction of its own, past Tern, unless they say otherwise.
    pub fn run_sql(&self, statements: &str) {
        let mut psql = Command::new("psql")
            .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", &self.database_url])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        psql.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
        assert!(psql.wait().unwrap().success());
    }

    /// The database, past Tern.
    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
    }

    /// A file for a dump of the database.
    pub(crate) fn dump(&self) -> PathBuf {
        self.directory.path().join("dump")
    }

    fn database(&self) -> &str {
        self.database_url.rsplit('/').next().unwrap()
    }

    /// Runs SQL in a transaction that stays open.
    pub fn hold(&self, sql: &str) -> Held {
        let mut session = self.session();
        assert_eq!(session.ask(&format!("BEGIN; {sql}; SELECT 'held'")), "held");
        Held(session)
    }

    /// A connection to the fleet's database, past Tern.
    pub fn session(&self) -> Session {
        Session::open(&self.database_url)
    }
}

/// An open transaction.
#[derive(Debug)]
pub struct Held(Session);

impl Held {
    pub fn commit(self) {
        self.0.finish("COMMIT");
    }
}
