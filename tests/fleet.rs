//! A fleet: two redirectors, an admin, a PostgreSQL and a Redis.

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

/// Running fleet and its settings.
#[derive(Debug)]
pub struct Fleet {
    pub admin: Plane,
    pub redirectors: Vec<Plane>,
    pub postgres: Postgres,
    pub redis: Redis,
    /// Relays between the planes and the servers, if the options ask for them.
    pub relays: Option<Relays>,
    settings: Vec<(String, String)>,
    database_url: String,
    client: Client,
    directory: tempfile::TempDir,
}

/// Variations of a fleet.
#[derive(Clone, Debug, Default)]
pub struct FleetOptions<'a> {
    pub links: usize,
    /// Settings of every plane.
    pub settings: &'a [(&'a str, &'a str)],
    pub postgres: Options,
    /// Whether the planes reach the servers through relays only.
    pub is_relayed: bool,
    /// Time that bytes take between the planes and the servers, in each direction, through relays.
    pub delay: Duration,
}

/// Relays to the servers, which can be cut and forwarded elsewhere.
#[derive(Debug)]
pub struct Relays {
    pub postgres: Relay,
    pub redis: Relay,
}

/// Time until every redirector served a change.
#[derive(Clone, Copy, Debug)]
pub struct Visible {
    /// Time since the request was sent; the commit lies in between.
    pub since_sent: Duration,
    /// Time since the answer, which follows the commit.
    pub since_answered: Duration,
}

impl Fleet {
    /// Starts a fleet with one user and `links` links, and waits until it is ready.
    pub async fn start(links: usize, settings: &[(&str, &str)]) -> Fleet {
        Fleet::start_with(FleetOptions { links, settings, ..FleetOptions::default() }).await
    }

    /// Starts a fleet with relays between the planes and the servers.
    pub async fn start_behind_relays(links: usize, settings: &[(&str, &str)]) -> Fleet {
        Fleet::start_with(FleetOptions { links, settings, is_relayed: true, ..FleetOptions::default() }).await
    }

    /// Starts a fleet with `options` and waits until it is ready.
    pub async fn start_with(options: FleetOptions<'_>) -> Fleet {
        let postgres = Postgres::start_new(&options.postgres);
        let redis = Redis::start_new();
        let database_url = postgres.create_database();
        let demand = if options.postgres.tls { "?sslmode=require" } else { "" };
        let relay = |port| Relay::delayed(port, options.delay);
        let relays = (options.is_relayed || !options.delay.is_zero())
            .then(|| Relays { postgres: relay(postgres.port()), redis: relay(redis.port()) });
        let (way_to_postgres, way_to_redis) = match &relays {
            Some(relays) => (relays.postgres.port(), relays.redis.port()),
            None => (postgres.port(), redis.port()),
        };
        let mut settings: Vec<(String, String)> = Vec::new();
        for (name, value) in [
            (
                "DATABASE_URL",
                database_url.replace(&format!(":{}/", postgres.port()), &format!(":{way_to_postgres}/")) + demand,
            ),
            ("REDIS_URL", redis.url_through(way_to_redis)),
            ("APP_PORT", "0".to_owned()),
            ("REDIRECTOR_LISTEN", "127.0.0.1:0".to_owned()),
            ("REDIRECTOR_OPS_LISTEN", "127.0.0.1:0".to_owned()),
            ("REDIRECTOR_WORKERS", "1".to_owned()),
            ("LOG_LEVEL", "warn".to_owned()),
            // All clients are in one network, and each click must become an event.
            ("CLICK_EVENTS_PER_NETWORK", "0".to_owned()),
        ] {
            settings.push((name.to_owned(), value));
        }
        if options.postgres.tls {
            settings.push(("DATABASE_CA_FILE".to_owned(), postgres.certificate().display().to_string()));
        }
        // The last value of a setting counts.
        settings.extend(options.settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
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
        fleet.wait_until_ready().await;
        let user = json!({"username": "ada", "email": "ada@mail.example"});
        assert_eq!(fleet.call(Method::POST, "/users", &user).await.0, 201);
        let mut last = None;
        for n in 0..options.links {
            let body = json!({"user_id": 1, "original_url": format!("https://example.com/{n}")});
            let (status, _, url) = fleet.call(Method::POST, "/urls", &body).await;
            assert_eq!(status, 201, "{url}");
            last = Some(url["short_code"].as_str().unwrap().to_owned());
        }
        // On a busy machine the answer may come before every redirector serves the link.
        for redirector in 0..fleet.redirectors.len() {
            crate::eventually("each link is served", async || match &last {
                Some(code) => fleet.look_up(redirector, code).await.0 == 302,
                None => true,
            })
            .await;
        }
        fleet
    }

    /// Forwards the database's address to `standby`, which becomes the fleet's database.
    ///
    /// # Panics
    /// Without relays.
    pub fn fail_over_to(&mut self, standby: Postgres) {
        self.relays.as_ref().unwrap().postgres.forward_to(standby.port());
        self.database_url = standby.url(self.database());
        self.postgres = standby;
    }

    /// Creates a token for the API, which requires one from then on.
    pub fn make_token(&self, role: &str) -> String {
        let arguments = ["token", "create", role, "--role", role];
        let made = command("tern-admin", &arguments, self.directory.path(), &self.settings).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// Closes the API to requests without a token; the fleet's own calls use the returned one.
    pub fn close_api(&mut self) -> String {
        let token = self.make_token("admin");
        let headers =
            HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap())]);
        self.client = Client::builder().redirect(redirect::Policy::none()).default_headers(headers).build().unwrap();
        token
    }

    /// Returns a client with the fleet's token that follows no redirects.
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub async fn wait_until_ready(&self) {
        for redirector in &self.redirectors {
            let url = format!("http://{}/ready", redirector.addresses[1]);
            crate::eventually("the redirector is ready", async || {
                self.client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200)
            })
            .await;
        }
    }

    /// Calls the API; returns the status, `Tern-Visible` and the body.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> (u16, Option<String>, Value) {
        let url = format!("http://{}{path}", self.admin.addresses[0]);
        let response = self.client.request(method, url).json(body).send().await.unwrap();
        let visible = response.headers().get("tern-visible").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), visible, response.json().await.unwrap_or(Value::Null))
    }

    /// Returns the short code of a link.
    pub async fn code(&self, id: usize) -> String {
        let (_, _, url) = self.call(Method::GET, &format!("/urls/{id}"), &Value::Null).await;
        url["short_code"].as_str().unwrap().to_owned()
    }

    /// Returns a redirector's answer to a code. The request is a HEAD, which is no click.
    pub async fn look_up(&self, redirector: usize, code: &str) -> (u16, Option<String>) {
        let url = format!("http://{}/{code}", self.redirectors[redirector].addresses[0]);
        let response = self.client.head(url).send().await.unwrap();
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), location)
    }

    /// Changes a link's target through the API and waits until every redirector serves it.
    pub async fn change(&self, id: usize, code: &str, target: &str) -> Visible {
        let sent = Instant::now();
        let (status, _, body) = self.call(Method::PUT, &format!("/urls/{id}"), &json!({"original_url": target})).await;
        assert_eq!(status, 200, "{body}");
        let answered = Instant::now();
        for redirector in 0..self.redirectors.len() {
            crate::eventually("the change is served", async || {
                self.look_up(redirector, code).await == (302, Some(target.to_owned()))
            })
            .await;
        }
        Visible { since_sent: sent.elapsed(), since_answered: answered.elapsed() }
    }

    /// Returns the number of codes that a redirector answers differently from the table, after two quiet seconds.
    pub async fn count_differing_codes(&self) -> usize {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let table = self.psql(
            "SELECT short_code,
                 CASE WHEN NOT is_active THEN 410
                      WHEN starts_at > now() THEN 404
                      WHEN expires_at <= now() AND expired_url IS NULL THEN 410
                      WHEN expires_at <= now() THEN 302
                      ELSE coalesce(redirect_status, 302) END,
                 CASE WHEN expires_at <= now() THEN expired_url ELSE original_url END
             FROM urls",
        );
        let mut count_differing_codes = 0;
        for row in table.lines() {
            let mut columns = row.splitn(3, '|');
            let (code, status) = (columns.next().unwrap(), columns.next().unwrap().parse().unwrap());
            let location = columns.next().unwrap().to_owned();
            let expected = (status, (status < 400).then_some(location));
            for redirector in 0..self.redirectors.len() {
                let answer = self.look_up(redirector, code).await;
                if answer != expected {
                    println!("redirector {redirector} answers {code} with {answer:?}, the table says {expected:?}");
                    count_differing_codes += 1;
                }
            }
        }
        let rows = table.lines().count();
        for redirector in 0..self.redirectors.len() {
            let links = self.metric(redirector, "tern_replica_links").await;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            let links = links as usize;
            count_differing_codes += links.abs_diff(rows);
        }
        count_differing_codes
    }

    async fn metrics(&self, redirector: usize) -> String {
        let url = format!("http://{}/metrics", self.redirectors[redirector].addresses[1]);
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Returns the cumulative counts of a histogram by upper bound.
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

    /// Runs SQL directly in the fleet's database.
    pub fn psql(&self, sql: &str) -> String {
        self.postgres.psql(self.database(), sql)
    }

    /// Runs SQL directly, each statement in a transaction of its own unless it states otherwise.
    pub fn run_sql(&self, statements: &str) {
        let mut psql = Command::new("psql")
            .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", &self.database_url])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        psql.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
        assert!(psql.wait().unwrap().success());
    }

    /// Returns the URL of the database, for direct SQL.
    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Returns the path of a dump of the database.
    pub(crate) fn dump(&self) -> PathBuf {
        self.directory.path().join("dump")
    }

    pub fn database(&self) -> &str {
        self.database_url.rsplit('/').next().unwrap()
    }

    /// Runs SQL in a transaction that stays open.
    pub fn begin(&self, sql: &str) -> OpenTransaction {
        let mut session = self.session();
        assert_eq!(session.ask(&format!("BEGIN; {sql}; SELECT 'open'")), "open");
        OpenTransaction(session)
    }

    /// Opens a connection to the fleet's database for direct SQL.
    pub fn session(&self) -> Session {
        Session::open(&self.database_url)
    }
}

/// Open transaction.
#[derive(Debug)]
pub struct OpenTransaction(Session);

impl OpenTransaction {
    pub fn commit(self) {
        self.0.finish("COMMIT");
    }
}
