//! An admin plane for each test, and requests to it.

mod answer;
mod doubles;
mod live;
mod schemathesis;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use answer::Answer;
pub use doubles::{BreakingBus, HangingBus, PanickingCache, UnavailableBus, UnavailableCache};
pub use schemathesis::check_by_description;
use serde_json::{Value, json};
use tern_admin::load::{LoadCommand, OnError, load_files};
use tern_admin::{Access, AdminConfig, AppState, Metrics, Readiness, Streams, Visibility};
use tern_common::OwnAddresses;
use tern_common::bus::{Bus, LocalBus};
use tern_common::cache::{Cache, LocalCache};
use tern_common::store::{AdminStore, WatchedStore, export_pools};
use tern_serving::{Limits, PortStats, Serving};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::database::Database;

/// Variations of an app.
#[derive(Debug)]
pub struct Setup {
    pub config: AdminConfig,
    pub bus: Arc<dyn Bus>,
    pub cache: Arc<dyn Cache>,
    /// Whether the database is deleted before the first request.
    pub without_database: bool,
    /// Answer to unknown paths in place of the router's own 404.
    pub fallback: Option<&'static str>,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            config: AdminConfig::default(),
            bus: Arc::new(LocalBus::new()),
            cache: Arc::new(LocalCache::new()),
            without_database: false,
            fallback: None,
        }
    }
}

#[derive(Debug)]
pub struct App {
    pub address: SocketAddr,
    pub store: Arc<dyn AdminStore>,
    pub database: Database,
    pub log_file: PathBuf,
    own_addresses: OwnAddresses,
    /// Address of the port for probes and monitors.
    pub ops_address: SocketAddr,
    _operators: Serving,
    client: reqwest::Client,
    directory: tempfile::TempDir,
    pub serving: Serving,
}

pub async fn spawn_app() -> App {
    spawn_app_with(Setup::default()).await
}

pub async fn spawn_app_with(setup: Setup) -> App {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::create(directory.path()).await;
    let store = Arc::clone(&database.store);
    let log_file = directory.path().join("app.log");
    let registry = prometheus::Registry::new();
    let access = Access::open(database.another_store().await, &setup.config, &registry).await.unwrap();
    if setup.without_database {
        database.destroy();
    }
    export_pools(store.clone(), &registry).unwrap();
    let own_addresses = setup.config.own_addresses.clone();
    let watched: Arc<dyn AdminStore> = Arc::new(WatchedStore::new(Arc::clone(&store), setup.config.slow_query));
    let concurrency = setup.config.access.token_concurrency;
    let state = Arc::new(AppState {
        streams: Streams::new(Arc::clone(&watched), Arc::clone(&access), concurrency, &registry).unwrap(),
        store: watched,
        readiness: Readiness::default(),
        visibility: Visibility::start(Arc::clone(&setup.bus)),
        bus: setup.bus,
        cache: setup.cache,
        access,
        config: setup.config,
        log_file: Some(log_file.clone()),
        metrics: Metrics::register(&registry).unwrap(),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits::api(&state.config.access.trusted_proxies, Limits::API_DESCRIPTORS);
    let ops_listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ops_address = ops_listener.local_addr().unwrap();
    let operators = Serving::start(
        ops_listener,
        tern_admin::operations_router(Arc::clone(&state)),
        Limits::operations(Limits::OPERATIONS_DESCRIPTORS),
        PortStats::register(&registry, "ops").unwrap(),
    );
    let router = match setup.fallback {
        Some(text) => tern_admin::router_over(axum::Router::new().fallback(async move || text), state),
        None => tern_admin::router(state),
    };
    let serving = Serving::start(listener, router, limits, PortStats::register(&registry, "api").unwrap());
    App {
        address,
        store,
        database,
        log_file,
        own_addresses,
        ops_address,
        _operators: operators,
        client: reqwest::Client::new(),
        directory,
        serving,
    }
}

impl App {
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None, "").await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None, "").await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some("application/json"), body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send_json("PUT", path, &[], body).await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: Option<&str>,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("http://{}{path}", self.address)).body(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        Answer::read(request.send().await.unwrap()).await
    }

    pub async fn send_json(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("http://{}{path}", self.address)).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.send().await.unwrap()).await
    }

    pub async fn send_with(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.send().await.unwrap()).await
    }

    /// Sends a request with a token, and with a body unless it is empty.
    pub async fn send_as(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("http://{}{path}", self.address)).bearer_auth(token);
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        Answer::read(request.send().await.unwrap()).await
    }

    /// Sends a request to the port for probes and monitors.
    pub async fn get_ops(&self, path: &str, host: &str) -> Answer {
        let request = self.client.get(format!("http://{}{path}", self.ops_address)).header("host", host);
        Answer::read(request.send().await.unwrap()).await
    }

    /// Sends bytes unchanged and reads until the server closes the connection.
    pub async fn send_raw(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(bytes.as_ref()).await.unwrap();
        let mut answer = Vec::new();
        // A stream of events has no end, and its first part is a comment.
        let is_stream = |answer: &[u8]| {
            let text = String::from_utf8_lossy(answer);
            text.contains("text/event-stream\r\n") && text.contains("\r\n\r\n")
        };
        let read = async { while !is_stream(&answer) && socket.read_buf(&mut answer).await.unwrap() > 0 {} };
        tokio::time::timeout(Duration::from_secs(5), read).await.expect("the server does not close the connection");
        Answer::parse(&answer)
    }

    pub async fn create_user(&self, name: &str) -> Value {
        let answer = self.post("/users", json!({ "username": name, "email": format!("{name}@mail.example") })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    pub async fn shorten(&self, user: &Value, target: &str) -> Value {
        let answer = self.post("/urls", json!({ "user_id": user["id"], "original_url": target })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    pub async fn record_event(&self, url: &Value, kind: &str) -> Value {
        let body = json!({ "url_id": url["id"], "user_id": url["user_id"], "event_type": kind });
        let answer = self.post("/events", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    pub async fn upload(&self, csv: impl Into<Vec<u8>>) -> Answer {
        let part = reqwest::multipart::Part::bytes(csv.into()).file_name("users.csv");
        self.upload_form(reqwest::multipart::Form::new().part("file", part)).await
    }

    pub async fn upload_form(&self, form: reqwest::multipart::Form) -> Answer {
        let request = self.client.post(format!("http://{}/users/bulk", self.address)).multipart(form);
        Answer::read(request.send().await.unwrap()).await
    }

    /// Returns the output of `load`, or its error.
    pub async fn load(&self, files: &[(&str, impl AsRef<[u8]>)]) -> Result<String, String> {
        let (printed, reported) = self.load_with(OnError::Fail, files).await?;
        assert_eq!(reported, "");
        Ok(printed)
    }

    /// Returns the output and the report of `load --on-error`, or its error.
    pub async fn load_with(
        &self,
        on_error: OnError,
        files: &[(&str, impl AsRef<[u8]>)],
    ) -> Result<(String, String), String> {
        self.run_load(&self.load_command(on_error, files)).await
    }

    /// Writes the files, and returns the command that loads them.
    pub fn load_command(&self, on_error: OnError, files: &[(&str, impl AsRef<[u8]>)]) -> LoadCommand {
        let write = |(name, content): &(&str, _)| {
            let path = self.directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        LoadCommand { files: files.iter().map(write).collect(), on_error }
    }

    pub async fn run_load(&self, command: &LoadCommand) -> Result<(String, String), String> {
        let (mut printed, mut reported) = (Vec::new(), Vec::new());
        self.run_load_into(command, &mut printed, &mut reported).await?;
        Ok((String::from_utf8(printed).unwrap(), String::from_utf8(reported).unwrap()))
    }

    /// Loads files with the given standard output and standard error.
    pub async fn run_load_into(
        &self,
        command: &LoadCommand,
        out: &mut (dyn Write + Send),
        report: &mut (dyn Write + Send),
    ) -> Result<(), String> {
        let loaded = load_files(&*self.store, command, &self.own_addresses, out, report).await;
        loaded.map_err(|error| error.to_string())
    }

    pub fn write_log(&self, text: &str) {
        std::fs::write(&self.log_file, text).unwrap();
    }
}

/// Waits until `look` returns a value, for five seconds at most.
pub async fn eventually<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> T {
    for _ in 0..1000 {
        if let Some(seen) = look().await {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the condition was not met within five seconds");
}
