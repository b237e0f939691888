//! Redirectors over a real store, and requests to them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus::Registry;
use reqwest::{Client, redirect};
use tern_common::Id;
use tern_common::bus::{Bus, LocalBus};
use tern_common::config::{Reader, Variables};
use tern_common::store::SqliteStore;
use tern_redirector::Redirector;
use tern_redirector::config::RedirectorConfig;

use crate::links::{insert_link, new_store};

pub struct Fixture {
    pub store: Arc<SqliteStore>,
    pub bus: Arc<LocalBus>,
    pub owner: Id,
    pub client: Client,
    pub directory: tempfile::TempDir,
}

impl Fixture {
    pub async fn create() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let (store, owner) = new_store(&directory.path().join("tern.db")).await;
        let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        Fixture { store: Arc::new(store), bus: Arc::new(LocalBus::new()), owner, client, directory }
    }

    pub fn database(&self) -> PathBuf {
        self.directory.path().join("tern.db")
    }

    pub async fn insert(&self, code: &str) -> Id {
        insert_link(&*self.store, self.owner, code).await
    }

    pub async fn start(&self) -> Redirector {
        self.start_with(&[]).await
    }

    /// Starts a redirector whose snapshot file is in the fixture's directory.
    pub async fn start_with(&self, settings: &[(&str, &str)]) -> Redirector {
        let addresses = [("REDIRECTOR_LISTEN", "127.0.0.1:0"), ("REDIRECTOR_OPS_LISTEN", "127.0.0.1:0")];
        let variables: Variables =
            addresses.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut reader = Reader::new(&variables);
        let config = RedirectorConfig::read(&mut reader);
        let mut config = reader.finish(config).unwrap();
        config.replica.file = Some(self.snapshot_file());
        config.journal.root = self.directory.path().join("clicks");
        let bus: Arc<dyn Bus> = self.bus.clone();
        Redirector::start(config, self.store.clone(), self.store.clone(), bus, &Registry::new()).await.unwrap()
    }

    pub fn snapshot_file(&self) -> PathBuf {
        self.directory.path().join("links.snapshot")
    }

    pub async fn metric(&self, redirector: &Redirector, series: &str) -> f64 {
        fetch_metric(&self.client, redirector, series).await
    }

    pub async fn json(&self, address: SocketAddr, path: &str) -> serde_json::Value {
        let response = self.client.get(format!("http://{address}{path}")).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    pub async fn status(&self, address: SocketAddr, path: &str) -> (u16, Option<String>) {
        let response = self.client.get(format!("http://{address}{path}")).send().await.unwrap();
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), retry_after)
    }

    /// Requests a path; returns the status and the location.
    pub async fn follow(&self, address: SocketAddr, path: &str) -> (u16, Option<String>) {
        let response = self.client.get(format!("http://{address}{path}")).send().await.unwrap();
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), location)
    }
}

pub async fn fetch_metric(client: &Client, redirector: &Redirector, series: &str) -> f64 {
    let url = format!("http://{}/metrics", redirector.ops_addr());
    let text = client.get(url).send().await.unwrap().text().await.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no series {series}"))
}

/// Drains and ends a redirector; returns how many clicks wait in its journals.
pub async fn drain(redirector: Redirector) -> u64 {
    let deadline = redirector.drain_deadline();
    redirector.drain_connections(deadline).await;
    redirector.finish(deadline).await
}

/// Makes every earlier cursor too old.
pub fn forget_changes(database: &Path) {
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.execute("UPDATE replica_meta SET floor = (SELECT max(sequence) FROM url_changes)", []).unwrap();
}

/// Locks the database against everything else until the connection is dropped.
pub fn lock_out(database: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    connection
}
