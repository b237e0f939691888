//! Requests to the API: no request causes a server error, and every answer is JSON of bounded depth.

#![no_main]

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use libfuzzer_sys::fuzz_target;
use tern_admin::{AdminConfig, AppState, Seams, router};
use tern_common::json::{JsonText, MAX_DEPTH};
use tern_common::store::SqliteStore;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

const ROUTES: [(&str, &str); 19] = [
    ("POST", "/users"),
    ("PUT", "/users/1"),
    ("POST", "/urls"),
    ("PUT", "/urls/1"),
    ("POST", "/events"),
    ("POST", "/users/bulk"),
    ("POST", "/users/bulk"),
    ("GET", "/users"),
    ("GET", "/users/1"),
    ("GET", "/users/1/urls"),
    ("GET", "/urls"),
    ("GET", "/urls/1"),
    ("GET", "/urls/1/stats"),
    ("GET", "/events"),
    ("GET", "/events/1"),
    ("GET", "/products"),
    ("GET", "/logs"),
    ("DELETE", "/users/1"),
    ("POST", "/users/bulk"),
];

/// The index in `ROUTES` of the import whose body the target wraps in a multipart form.
const FORM: usize = 5;

/// The index in `ROUTES` of the import whose body is sent as JSON, which can be an array of users.
const ARRAY: usize = 18;

/// The number of requests after which the target replaces the database by a new one.
const REQUESTS: u32 = 10_000;

/// An admin API over an SQLite database that begins with one user and one url.
struct World {
    runtime: Runtime,
    router: Router,
    requests_left: u32,
    _directory: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the runtime starts");
        let directory = tempfile::tempdir_in("/dev/shm").expect("/dev/shm accepts a directory");
        let mut config = AdminConfig::default();
        config.access.requests_per_second = u32::MAX;
        config.visible_wait = tern_admin::VisibleWait::exactly(std::time::Duration::ZERO);
        let router = runtime.block_on(async {
            let store =
                Arc::new(SqliteStore::open(&directory.path().join("tern.db")).await.expect("the database opens"));
            let registry = prometheus::Registry::new();
            let log = Some(directory.path().join("app.log"));
            let state = AppState::build(Seams::in_process(store), config, log, &registry).await;
            router(Arc::new(state.expect("the admin plane starts")))
        });
        let world = World { runtime, router, requests_left: REQUESTS, _directory: directory };
        world.ask("POST", "/users", "application/json", br#"{"username":"ann","email":"ann@mail.example"}"#.to_vec());
        let link = br#"{"user_id":1,"original_url":"https://example.com/"}"#;
        world.ask("POST", "/urls", "application/json", link.to_vec());
        world
    }

    fn ask(&self, method: &str, uri: &str, content_type: &str, body: Vec<u8>) -> Option<(u16, Vec<u8>)> {
        let request = Request::builder().method(method).uri(uri).header("content-type", content_type);
        let request = request.header("host", "localhost").body(Body::from(body)).ok()?;
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.expect("the router cannot fail");
            let status = response.status().as_u16();
            Some((
                status,
                response.into_body().collect().await.expect("an answer has a whole body").to_bytes().to_vec(),
            ))
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The database can close its connections only while a runtime is entered.
        let _guard = self.runtime.enter();
        self.router = Router::new();
    }
}

/// The API that consecutive inputs share. It is a static, since a thread-local value would be dropped after tokio's
/// thread-local state.
static WORLD: Mutex<Option<World>> = Mutex::new(None);

fuzz_target!(|bytes: &[u8]| {
    // The input is a byte for the route, the query up to a line feed, and the body.
    let Some((&route, rest)) = bytes.split_first() else { return };
    let route = usize::from(route) % ROUTES.len();
    let (method, path) = ROUTES[route];
    let query_len = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    let (query, body) = (&rest[..query_len], rest.get(query_len + 1..).unwrap_or_default());
    let Ok(query) = std::str::from_utf8(query) else { return };
    let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let (content_type, sent) = match path {
        "/users/bulk" if route == FORM => {
            let head: &[u8] = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
            ("multipart/form-data; boundary=x", [head, body, b"\r\n--x--\r\n"].concat())
        }
        "/users/bulk" if route != ARRAY => ("multipart/form-data; boundary=x", body.to_vec()),
        _ => ("application/json", body.to_vec()),
    };
    let mut world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    if world.as_ref().is_none_or(|world| world.requests_left == 0) {
        *world = Some(World::new());
    }
    let world = world.as_mut().expect("a missing world was created above");
    world.requests_left -= 1;
    let Some((status, answer)) = world.ask(method, &uri, content_type, sent) else { return };
    assert!(
        (200..500).contains(&status),
        "the API answered with status {status}: {}",
        String::from_utf8_lossy(&answer)
    );
    if !answer.is_empty() {
        // A list of events is an array, so details lie one level deeper than in the request that stored them.
        let text = JsonText::parse(&answer, MAX_DEPTH + 1).expect("an answer of the API is JSON");
        if status == 201 && path == "/events" {
            let given = JsonText::parse(body, MAX_DEPTH).expect("an accepted request is JSON").field("details");
            let details = text.field("details").map(JsonText::as_str);
            assert_eq!(details, Some(given.map_or("{}", JsonText::as_str)));
        }
    }
});
