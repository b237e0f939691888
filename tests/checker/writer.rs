//! Writers of the random checker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::Value;
use tokio::runtime::Handle;

use super::world::{CODES_EACH, LOADED, LOADED_AT_MOST, Links, QUERY, State, World, code, new_user};
use crate::Fleet;
use crate::session::Session;

/// Options with which a link redirects to its target, the status, and whether it forwards queries.
const LIVE: [(&str, u16, bool); 6] = [
    (
        "starts_at = NULL, expires_at = NULL, expired_url = NULL, redirect_status = NULL, forward_query = NULL",
        302,
        false,
    ),
    (
        "starts_at = now() - interval '1 day', expires_at = now() + interval '1 day',
         expired_url = 'https://over.example/', redirect_status = NULL, forward_query = true",
        302,
        true,
    ),
    (
        "starts_at = now() - interval '1 day', expires_at = NULL, expired_url = NULL, redirect_status = 302,
         forward_query = false, tags = '{summer,poster}', notes = 'printed'",
        302,
        false,
    ),
    ("starts_at = NULL, expires_at = NULL, redirect_status = 301, forward_query = NULL", 301, false),
    (
        "starts_at = NULL, expires_at = NULL, redirect_status = 308, forward_query = true, tags = '{}', notes = NULL",
        308,
        true,
    ),
    (
        "starts_at = NULL, expires_at = now() + interval '1 day', redirect_status = 307, forward_query = false",
        307,
        false,
    ),
];

/// Changes after which a link is answered without a location, and the status.
const CLOSED: [(&str, u16); 4] = [
    ("is_active = false", 410),
    (
        "is_active = false, starts_at = NULL, expires_at = now() - interval '1 day', expired_url = 'https://off.example/',
         redirect_status = NULL",
        410,
    ),
    (
        "is_active = true, starts_at = NULL, expires_at = now() - interval '1 day', expired_url = NULL, redirect_status = NULL",
        410,
    ),
    ("is_active = true, starts_at = now() + interval '1 day', expires_at = NULL, redirect_status = 301", 404),
];

/// Change that redirectors do not serve.
const LABELS: &str = "tags = array_append(tags[:5], 'more'), notes = 'changed', title = 'Changed'";

/// Writer that changes links of its own, by direct SQL and through the API.
pub(super) struct Writer {
    fleet: Arc<Fleet>,
    world: Arc<World>,
    handle: Handle,
    writer: usize,
    random: SmallRng,
    session: Session,
    made: usize,
}

impl Writer {
    pub(super) fn new(fleet: Arc<Fleet>, world: Arc<World>, handle: Handle, writer: usize, seed: u64) -> Writer {
        let random = SmallRng::seed_from_u64(seed ^ ((writer as u64 + 1) << 48));
        let session = fleet.session();
        Writer { fleet, world, handle, writer, random, session, made: 0 }
    }

    #[expect(clippy::disallowed_methods, reason = "the sleep blocks only a thread that waits for psql")]
    pub(super) fn run(mut self) {
        while !self.world.is_over.load(Ordering::Relaxed) {
            {
                let world = Arc::clone(&self.world);
                let _open = world.gate.read().unwrap();
                let mut links = world.links[self.writer].lock().unwrap();
                let began = Instant::now();
                let changed = self.change(&mut links);
                for (n, state) in &changed {
                    links.states[*n] = state.clone();
                }
                let writer = self.writer;
                world.note(began, false, changed.into_iter().map(|(n, state)| (code(writer, n), state)));
                world.changes.fetch_add(1, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis([0, 5, 20][self.random.random_range(0..3)]));
        }
    }

    /// Makes a random change and returns the codes that it changed.
    fn change(&mut self, links: &mut Links) -> Vec<(usize, State)> {
        let n = self.random.random_range(0..CODES_EACH);
        let (own, user) = (code(self.writer, n), links.user);
        self.made += 1;
        let target = format!("https://{}.example/{}", own, self.made);
        let insert = format!(
            "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
             VALUES ({user}, '{own}', '{target}', true, now(), now())"
        );
        let (options, status, forwards) = LIVE[self.random.random_range(0..LIVE.len())];
        let update = format!(
            "UPDATE urls SET original_url = '{target}', is_active = true, {options} WHERE short_code = '{own}'"
        );
        let delete = format!("DELETE FROM urls WHERE short_code = '{own}'");
        let plain = State::redirect(302, target.clone());
        if links.states[n] == State::Absent {
            self.run_sql(&insert);
            return vec![(n, plain)];
        }
        let becomes = State::redirect(status, if forwards { format!("{target}{QUERY}") } else { target.clone() });
        match self.random.random_range(0..100) {
            0..25 => self.run_sql(&update),
            25..28 => {
                self.run_sql(&format!("UPDATE urls SET {LABELS} WHERE short_code = '{own}'"));
                return Vec::new();
            }
            28..38 => {
                let (closed, status) = CLOSED[self.random.random_range(0..CLOSED.len())];
                self.run_sql(&format!("UPDATE urls SET {closed} WHERE short_code = '{own}'"));
                return vec![(n, State::without_location(status))];
            }
            38..42 => {
                self.run_sql(&format!(
                    "UPDATE urls SET is_active = true, starts_at = NULL, expires_at = now() - interval '1 day',
                     expired_url = '{target}', redirect_status = 307, forward_query = true WHERE short_code = '{own}'"
                ));
                return vec![(n, plain)];
            }
            42..54 => {
                self.run_sql(&delete);
                return vec![(n, State::Absent)];
            }
            // The link gets another id, in a transaction that other changes overtake.
            54..66 => {
                let pause = [0.0, 0.05, 0.4][self.random.random_range(0..3)];
                self.run_sql(&format!("BEGIN; {delete}; {insert}; SELECT pg_sleep({pause}) \\g /dev/null\nCOMMIT"));
                return vec![(n, plain)];
            }
            66..74 => return self.swap(links, n),
            74..80 => {
                let never = "UPDATE urls SET original_url = 'https://never.example/'";
                let sql =
                    format!("BEGIN; SAVEPOINT s; {never} WHERE short_code = '{own}'; ROLLBACK TO s; {update}; COMMIT");
                self.run_sql(&sql);
            }
            80..84 => {
                self.run_sql(&format!("BEGIN; {delete}; ROLLBACK"));
                return Vec::new();
            }
            84..95 if links.loaded < LOADED_AT_MOST => {
                self.run_sql(&format!(
                    "BEGIN; INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
                     SELECT {user}, 'load{}x{}x' || n, 'https://load.example/', true, now(), now()
                     FROM generate_series(1, {LOADED}) AS n; {update}; COMMIT",
                    self.writer, self.made
                ));
                links.loaded += LOADED;
            }
            // Deletes all links, including loaded ones, by SQL or through the API.
            _ => {
                links.loaded = 0;
                if self.random.random_range(0..2) == 0 {
                    self.run_sql(&format!("DELETE FROM urls WHERE user_id = {user}"));
                } else {
                    links.user = self.delete_user(user);
                }
                return (0..CODES_EACH).map(|n| (n, State::Absent)).collect();
            }
        }
        vec![(n, becomes)]
    }

    /// Exchanges the codes of two rows.
    fn swap(&mut self, links: &Links, n: usize) -> Vec<(usize, State)> {
        let other = self.random.random_range(0..CODES_EACH);
        if other == n || links.states[other] == State::Absent {
            return Vec::new();
        }
        let rename = |from: &str, to: &str| format!("UPDATE urls SET short_code = '{to}' WHERE short_code = '{from}';");
        let (own, its, between) = (code(self.writer, n), code(self.writer, other), format!("swap{}", self.writer));
        let renames = [rename(&own, &between), rename(&its, &own), rename(&between, &its)].concat();
        self.run_sql(&format!("BEGIN; {renames} COMMIT"));
        vec![(n, links.states[other].clone()), (other, links.states[n].clone())]
    }

    /// Deletes a user with its links through the API and creates another.
    fn delete_user(&mut self, user: i64) -> i64 {
        let (fleet, name) = (Arc::clone(&self.fleet), format!("writer{}x{}", self.writer, self.made));
        self.handle.block_on(async {
            let path = format!("/users/{user}?cascade=true");
            crate::eventually("the user is deleted", async || {
                [204, 404].contains(&fleet.call(Method::DELETE, &path, &Value::Null).await.0)
            })
            .await;
            new_user(&fleet, &name).await
        })
    }

    fn run_sql(&mut self, sql: &str) {
        assert_eq!(self.session.ask(&format!("{sql}; SELECT 'done'")), "done");
    }
}
