//! Shared state of the random checker: the links of each writer, and the history of each code.

use std::collections::HashMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, RwLock};
use std::time::Instant;

use reqwest::Method;
use serde_json::json;

use crate::Fleet;

pub(super) const WRITERS: usize = 5;
pub(super) const CODES_EACH: usize = 8;

/// Number of links of one load, and of all loads of a writer at one time.
pub(super) const LOADED: usize = 2_000;
pub(super) const LOADED_AT_MOST: usize = 12_000;

/// State of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No link has the code.
    Absent,
    /// A link has the code.
    Link(Answer),
}

/// Answer to a code: its status and location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: Option<String>,
}

impl State {
    /// Returns the state of a link that is answered without a location.
    pub(super) fn without_location(status: u16) -> State {
        State::Link(Answer { status, location: None })
    }

    /// Returns the state of a link that is answered with a redirect.
    pub(super) fn redirect(status: u16, location: String) -> State {
        State::Link(Answer { status, location: Some(location) })
    }

    /// Returns the answer to requests with the query [`QUERY`].
    pub(super) fn answer(&self) -> Answer {
        match self {
            State::Absent => Answer { status: 404, location: None },
            State::Link(answer) => answer.clone(),
        }
    }
}

/// Change of a code's state at some time between two moments.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) state: State,
    pub(super) is_restore: bool,
}

/// History of one code, oldest first.
pub(super) type History = Vec<Step>;

/// Links of one writer, as the database has them.
#[derive(Clone, Debug)]
pub(super) struct Links {
    pub(super) user: i64,
    pub(super) states: Vec<State>,
    pub(super) loaded: usize,
}

/// State that writers, samplers and backups share.
pub(super) struct World {
    pub(super) histories: Mutex<HashMap<String, History>>,
    pub(super) links: Vec<Mutex<Links>>,
    /// Lock that each change reads, and that a backup and its restore write.
    pub(super) gate: RwLock<()>,
    pub(super) is_over: AtomicBool,
    pub(super) changes: AtomicUsize,
}

/// Query of every sampled request. Some links forward it.
pub(super) const QUERY: &str = "?sampled=1";

pub(super) fn code(writer: usize, n: usize) -> String {
    format!("ck{writer}x{n}")
}

pub(super) async fn new_user(fleet: &Fleet, name: &str) -> i64 {
    let body = json!({"username": name, "email": format!("{name}@mail.example")});
    let (status, _, user) = fleet.call(Method::POST, "/users", &body).await;
    assert_eq!(status, 201, "{user}");
    user["id"].as_i64().unwrap()
}

impl World {
    /// Records that states may have changed since `began`.
    pub(super) fn note(&self, began: Instant, is_restore: bool, states: impl IntoIterator<Item = (String, State)>) {
        let ended = Instant::now();
        let mut histories = self.histories.lock().unwrap();
        for (code, state) in states {
            histories.get_mut(&code).unwrap().push(Step { began, ended, state, is_restore });
        }
    }

    /// Dumps the database and returns the links in the dump.
    pub(super) fn back_up(&self, fleet: &Fleet) -> Vec<Links> {
        let _alone = self.gate.write().unwrap();
        let dumped = Command::new("pg_dump").arg("-f").arg(fleet.dump()).arg(fleet.database_url()).status();
        assert!(dumped.unwrap().success());
        self.links.iter().map(|links| links.lock().unwrap().clone()).collect()
    }

    /// Restores the dump in place, in one transaction, while redirectors follow.
    pub(super) fn restore(&self, fleet: &Fleet, backup: Vec<Links>) {
        let _alone = self.gate.write().unwrap();
        let began = Instant::now();
        let anew = "SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public;
                    GRANT USAGE ON SCHEMA public TO PUBLIC";
        let mut restore = Command::new("psql");
        restore.args(["-qXAt1", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", fleet.database_url(), "-c", anew]);
        restore.arg("-f").arg(fleet.dump());
        // Dropping a schema locks its tables in another order than readers do, so PostgreSQL may abort it to break a
        // deadlock. Then nothing was changed, and the restore is repeated, as an operator would.
        assert!((0..5).any(|_| restore.status().unwrap().success()), "the dump was not restored");
        for (writer, links) in backup.into_iter().enumerate() {
            self.note(began, true, links.states.iter().cloned().enumerate().map(|(n, state)| (code(writer, n), state)));
            *self.links[writer].lock().unwrap() = links;
        }
    }
}
