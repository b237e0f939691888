//! Permissions of tokens and roles on every route.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use tern_admin::access::AuthMode;
use tern_admin::{Access, AdminConfig, TokenCommand, token_command};
use tern_common::Timestamp;
use tern_common::client::Proxies;
use tern_common::config::Setting;
use tern_common::store::AdminStore;
use tern_common::token::{NewToken, Role, Secret};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Answer, App, Setup, eventually, spawn_app, spawn_app_with};

const EVERYBODY: &str = "everybody";
const READERS: &str = "viewer editor admin";
const WRITERS: &str = "editor admin";
const OPERATORS: &str = "admin";
const SCRAPERS: &str = "metrics admin";
const HOLDERS: &str = "viewer editor admin metrics";

/// Each method of each route, and the roles that may use it.
const TABLE: &[(&str, &str, &str)] = &[
    ("GET", "/", EVERYBODY),
    ("GET", "/admin", EVERYBODY),
    ("GET", "/admin/{screen}", EVERYBODY),
    ("GET", "/admin/{screen}/{item}", EVERYBODY),
    ("GET", "/admin/assets/{version}/{file}", EVERYBODY),
    ("POST", "/admin/session", EVERYBODY),
    ("DELETE", "/admin/session", EVERYBODY),
    ("GET", "/admin/access", HOLDERS),
    ("GET", "/health", EVERYBODY),
    ("GET", "/ready", EVERYBODY),
    ("GET", "/metrics", SCRAPERS),
    ("GET", "/logs", OPERATORS),
    ("GET", "/system", OPERATORS),
    ("GET", "/tokens", OPERATORS),
    ("POST", "/tokens", OPERATORS),
    ("DELETE", "/tokens/{token}", OPERATORS),
    ("GET", "/openapi.json", EVERYBODY),
    ("GET", "/docs", EVERYBODY),
    ("GET", "/docs/docs.css", EVERYBODY),
    ("GET", "/docs/docs.js", EVERYBODY),
    ("GET", "/audit", READERS),
    ("GET", "/stats", READERS),
    ("GET", "/stats/series", READERS),
    ("GET", "/stats/misses", READERS),
    ("GET", "/tags", READERS),
    ("GET", "/products", READERS),
    ("GET", "/users", READERS),
    ("POST", "/users", WRITERS),
    ("POST", "/users/bulk", WRITERS),
    ("GET", "/users/{id}", READERS),
    ("PUT", "/users/{id}", WRITERS),
    ("DELETE", "/users/{id}", WRITERS),
    ("GET", "/users/{id}/urls", READERS),
    ("GET", "/urls", READERS),
    ("POST", "/urls", WRITERS),
    ("PATCH", "/urls", WRITERS),
    ("DELETE", "/urls", WRITERS),
    ("POST", "/urls/bulk", WRITERS),
    ("POST", "/urls/import", WRITERS),
    ("DELETE", "/urls/import", WRITERS),
    ("PUT", "/urls/external/{external_id}", WRITERS),
    ("POST", "/urls/try", WRITERS),
    ("GET", "/urls/{id}", READERS),
    ("PUT", "/urls/{id}", WRITERS),
    ("PATCH", "/urls/{id}", WRITERS),
    ("DELETE", "/urls/{id}", WRITERS),
    ("GET", "/urls/{id}/stats", READERS),
    ("GET", "/urls/{id}/qr", READERS),
    ("GET", "/urls/{id}/live", READERS),
    ("GET", "/urls/export", READERS),
    ("GET", "/live", READERS),
    ("GET", "/events", READERS),
    ("POST", "/events", WRITERS),
    ("GET", "/events/{id}", READERS),
    ("GET", "/events/export", READERS),
];

#[tokio::test]
async fn every_route_admits_only_tokens_of_its_roles() {
    let app = spawn_behind_proxy().await;
    let tokens = Tokens::make(&app).await;
    for (method, path, allowed) in TABLE {
        let path = path.replace("{id}", "4711");
        for method in [Some(*method), (*method == "GET").then_some("HEAD")].into_iter().flatten() {
            for (holder, token) in &tokens.0 {
                let answer = app.send_with_token(method, &path, token.as_deref()).await;
                let is_role = Role::ALL.iter().any(|role| role.as_str() == *holder);
                let expected = match (*allowed == EVERYBODY, is_role) {
                    (true, _) => None,
                    (false, true) if allowed.split(' ').any(|role| role == *holder) => None,
                    (false, true) => Some(403),
                    (false, false) => Some(401),
                };
                match expected {
                    Some(status) => assert_eq!(answer.status, status, "{method} {path} as {holder}: {answer:?}"),
                    None => {
                        assert!(![401, 403, 429].contains(&answer.status), "{method} {path} as {holder}: {answer:?}")
                    }
                }
                if expected == Some(401) {
                    assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{method} {path} as {holder}");
                }
            }
        }
    }
}

#[tokio::test]
async fn table_of_roles_contains_every_route_and_method() {
    let in_table: BTreeSet<&str> = TABLE.iter().map(|(_, path, _)| *path).collect();
    assert!(tern_admin::paths().collect::<BTreeSet<_>>().iter().eq(&in_table));
    // A request with another method lists the allowed ones.
    let app = spawn_app().await;
    for path in in_table {
        let answer = app.send("TRACE", &path.replace("{id}", "1"), None, "").await;
        let allowed_methods: BTreeSet<String> =
            answer.header("allow").unwrap().split(',').map(|m| m.trim().to_owned()).collect();
        let mut listed: BTreeSet<String> =
            TABLE.iter().filter(|row| row.1 == path).map(|(method, ..)| (*method).to_owned()).collect();
        if listed.contains("GET") {
            listed.insert("HEAD".to_owned());
        }
        assert_eq!(allowed_methods, listed, "{path}");
    }
}

#[tokio::test]
async fn loopback_without_tokens_is_open_until_the_first_token() {
    let app = spawn_app().await;
    assert_eq!(app.get("/users").await.status, 200);
    let token = app.token("create ci --role viewer").await.unwrap();
    eventually(async || (app.get("/users").await.status == 401).then_some(())).await;
    assert_eq!(app.send_with_token("GET", "/users", Some(token.trim())).await.status, 200);
    // A new token is valid at once, and an API whose last token was revoked stays closed.
    let second = app.token("create second --role viewer").await.unwrap();
    assert_eq!(app.send_with_token("GET", "/users", Some(second.trim())).await.status, 200);
    app.token("revoke ci").await.unwrap();
    app.token("revoke second").await.unwrap();
    eventually(async || (app.send_with_token("GET", "/users", Some(second.trim())).await.status == 401).then_some(()))
        .await;
    assert_eq!(app.get("/users").await.status, 401);
}

#[tokio::test]
async fn forwarded_request_has_no_loopback_privilege() {
    let app = spawn_app().await;
    for header in ["x-forwarded-for", "x-real-ip", "forwarded"] {
        let answer = app.send_with("GET", "/users", &[(header, "203.0.113.7")]).await;
        assert_eq!(answer.status, 401, "{header}: {answer:?}");
        assert_eq!(app.send_with("GET", "/health", &[(header, "203.0.113.7")]).await.status, 200);
    }
    // A host name that another party resolved to this machine.
    assert_eq!(app.send_with("GET", "/users", &[("host", "evil.example:8000")]).await.status, 401);
    let mut setup = Setup::default();
    setup.config.access.mode = AuthMode::Off;
    let app = spawn_app_with(setup).await;
    assert_eq!(app.send_with("GET", "/users", &[("x-forwarded-for", "203.0.113.7")]).await.status, 200);
    let metrics = app.get("/metrics").await.body;
    assert!(metrics.contains("\ntern_admin_authentication_off 1\n"), "{metrics}");
}

#[tokio::test]
async fn failed_attempts_of_client_are_limited_without_locking_out_its_token() {
    let app = spawn_behind_proxy().await;
    let tokens = Tokens::make(&app).await;
    let attempt = async |client: &str, token: &str| {
        let authorization = format!("Bearer {token}");
        app.send_with("GET", "/users", &[("x-forwarded-for", client), ("authorization", &authorization)]).await
    };
    for _ in 0..30 {
        assert_eq!(attempt("203.0.113.7", "wrong").await.status, 401);
    }
    let answer = eventually(async || Some(attempt("203.0.113.7", "wrong").await).filter(|it| it.status == 429)).await;
    assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    assert_eq!(attempt("203.0.113.7", tokens.of("viewer")).await.status, 200);
    assert_eq!(attempt("198.51.100.7", "wrong").await.status, 401);
}

#[tokio::test]
async fn token_over_its_rate_is_limited_alone() {
    let mut setup = behind_proxy();
    setup.config.access.requests_per_second = 5;
    let app = spawn_app_with(setup).await;
    let tokens = Tokens::make(&app).await;
    let mut limited = None;
    for _ in 0..50 {
        let answer = app.send_with_token("GET", "/users", Some(tokens.of("viewer"))).await;
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
        assert_eq!(answer.status, 200);
    }
    let limited = limited.expect("none of fifty requests exceeded five a second");
    assert_eq!(limited.header("retry-after"), Some("1"));
    assert_eq!(limited.json()["error"], "Too Many Requests");
    assert_eq!(app.send_with_token("GET", "/users", Some(tokens.of("editor"))).await.status, 200);
    assert_eq!(app.get("/health").await.status, 200);
}

#[tokio::test]
async fn token_over_its_concurrency_is_limited_alone() {
    let mut setup = behind_proxy();
    setup.config.access.token_concurrency = 1;
    let app = spawn_app_with(setup).await;
    let tokens = Tokens::make(&app).await;
    // A request whose body has not arrived is in progress.
    let mut slow = TcpStream::connect(app.address).await.unwrap();
    let head = format!(
        "POST /users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n",
        tokens.of("editor")
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let editor = async || app.send_with_token("GET", "/users", Some(tokens.of("editor"))).await;
    let busy = eventually(async || Some(editor().await).filter(|answer| answer.status == 429)).await;
    assert_eq!(busy.header("retry-after"), Some("2"));
    assert_eq!(app.send_with_token("GET", "/users", Some(tokens.of("viewer"))).await.status, 200);
    drop(slow);
    eventually(async || (editor().await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn public_port_without_tokens_is_refused() {
    let app = spawn_app().await;
    let mut config = AdminConfig { listen: "0.0.0.0:8000".parse().unwrap(), ..AdminConfig::default() };
    let open =
        async |config: &AdminConfig| Access::open(Arc::clone(&app.store), config, &prometheus::Registry::new()).await;
    let refusal = open(&config).await.unwrap_err().to_string();
    for part in ["0.0.0.0:8000", "token create", "ADMIN_AUTH=none"] {
        assert!(refusal.contains(part), "{refusal}");
    }
    config.access.mode = AuthMode::Off;
    open(&config).await.unwrap();
    config.access.mode = AuthMode::Auto;
    app.token("create ci --role viewer").await.unwrap();
    open(&config).await.unwrap();
}

#[tokio::test]
async fn first_start_writes_a_private_token_file() {
    let app = spawn_app().await;
    let directory = tempfile::tempdir().unwrap();
    let mut config = AdminConfig::default();
    config.access.mode = AuthMode::Tokens;
    config.access.token_file = directory.path().join("data/admin.token");
    let open = async || Access::open(Arc::clone(&app.store), &config, &prometheus::Registry::new()).await.unwrap();
    let (one, other) = tokio::join!(open(), open());
    drop((one, other));
    let token = std::fs::read_to_string(&config.access.token_file).unwrap();
    let mode = std::fs::metadata(&config.access.token_file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(app.send_with_token("GET", "/logs", Some(token.trim())).await.status, 200);
    drop(open().await);
    assert_eq!(std::fs::read_to_string(&config.access.token_file).unwrap(), token);
    assert_eq!(app.store.list_tokens().await.unwrap().len(), 1);
}

#[tokio::test]
async fn token_command_creates_lists_and_revokes_tokens() {
    let app = spawn_app().await;
    let token = app.token("create ci --role editor --expires 90d").await.unwrap();
    assert!(token.starts_with("tern_") && token.lines().count() == 1, "{token}");
    let taken = app.token("create ci --role viewer").await.unwrap_err();
    assert!(taken.contains("ci already"), "{taken}");
    assert_eq!(app.send_with_token("GET", "/users", Some(token.trim())).await.status, 200);
    let used = async || {
        let list = app.token("list").await.unwrap();
        let line = list.lines().find(|line| line.starts_with("ci ")).unwrap().to_owned();
        Some(line).filter(|line| !line.contains("never"))
    };
    let line = eventually(used).await;
    assert!(line.contains(" editor ") && line.ends_with(" valid"), "{line}");
    assert_eq!(app.token("revoke ci").await.unwrap(), "Revoked ci.\n");
    assert!(app.token("revoke ci").await.is_err());
    assert!(app.token("create ci --role viewer").await.is_ok(), "the name of a revoked token counts as taken");
    for wrong in ["create", "create a/b --role viewer", "create ci --role root", "create ci --role viewer --expires 0"]
    {
        assert!(app.token(wrong).await.is_err(), "{wrong}");
    }
}

/// One token of each role, and invalid tokens, by name.
pub struct Tokens(Vec<(&'static str, Option<String>)>);

impl Tokens {
    pub async fn make(app: &App) -> Tokens {
        let mut tokens = vec![("nobody", None), ("stranger", Some(Secret::generate().reveal().to_owned()))];
        for role in Role::ALL {
            tokens.push((role.as_str(), Some(insert(&*app.store, role.as_str(), role, None).await)));
        }
        let past = Timestamp::from_unix_seconds(Timestamp::now().unix_seconds() - 1);
        tokens.push(("expired", Some(insert(&*app.store, "expired", Role::Admin, Some(past)).await)));
        let revoked = insert(&*app.store, "revoked", Role::Admin, None).await;
        assert!(app.store.revoke_token(&"revoked".parse().unwrap()).await.unwrap());
        tokens.push(("revoked", Some(revoked)));
        let tokens = Tokens(tokens);
        // An unknown token makes the server reload its list.
        assert_eq!(app.send_with_token("GET", "/users", Some(tokens.of("viewer"))).await.status, 200);
        tokens
    }

    pub fn of(&self, holder: &str) -> &str {
        self.0.iter().find(|(name, _)| *name == holder).unwrap().1.as_deref().unwrap()
    }
}

async fn insert(store: &dyn AdminStore, name: &str, role: Role, expires_at: Option<Timestamp>) -> String {
    let secret = Secret::generate();
    let token = NewToken { name: name.parse().unwrap(), role, hash: secret.hash(), expires_at, user_id: None };
    store.insert_token(token).await.unwrap();
    secret.reveal().to_owned()
}

/// Returns a setup that trusts `X-Forwarded-For`, so that each request may come from a client of its own.
fn behind_proxy() -> Setup {
    let mut setup = Setup::default();
    setup.config.access.trusted_proxies = Proxies::parse("127.0.0.1").unwrap();
    setup
}

pub async fn spawn_behind_proxy() -> App {
    spawn_app_with(behind_proxy()).await
}

impl App {
    /// Sends a request with a token, from a client address that no request has used before.
    pub async fn send_with_token(&self, method: &str, path: &str, token: Option<&str>) -> Answer {
        static CLIENTS: AtomicU32 = AtomicU32::new(0);
        let client =
            std::net::Ipv4Addr::from_bits(0x1000_0000 + 256 * CLIENTS.fetch_add(1, Ordering::Relaxed)).to_string();
        let authorization = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("x-forwarded-for", client.as_str()), ("content-type", "application/json")];
        headers.extend(authorization.iter().map(|value| ("authorization", value.as_str())));
        self.send_with(method, path, &headers).await
    }

    /// Runs `token ...` of the command line and returns its output or its error.
    pub async fn token(&self, arguments: &str) -> Result<String, String> {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(subcommand)]
            command: TokenCommand,
        }
        let words = ["token"].into_iter().chain(arguments.split_whitespace());
        let cli = <Cli as clap::Parser>::try_parse_from(words).map_err(|error| error.to_string())?;
        let mut printed = Vec::new();
        let done = token_command::run(&*self.store, cli.command, &mut printed).await;
        done.map(|()| String::from_utf8(printed).unwrap()).map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn token_outside_bearer_authorization_is_ignored() {
    let app = spawn_behind_proxy().await;
    let tokens = Tokens::make(&app).await;
    let token = tokens.of("admin");
    let headers = [
        ("Authorization", format!("Basic {token}")),
        ("Authorization", token.to_owned()),
        ("Cookie", format!("token={token}")),
    ];
    for (name, value) in headers {
        assert_eq!(app.send_with("GET", "/users", &[(name, &value)]).await.status, 401, "{name}: {value}");
    }
    let twice = format!("Bearer {token}");
    assert_eq!(
        app.send_with("GET", "/users", &[("authorization", &twice), ("authorization", &twice)]).await.status,
        401
    );
    assert_eq!(app.get(&format!("/users?access_token={token}")).await.status, 401);
    let body = json!({ "username": "eve", "email": "eve@mail.example" });
    assert_eq!(app.post("/users", body).await.status, 401);
    assert_eq!(app.upload("username,email\neve,eve@mail.example\n").await.status, 401);
    assert_eq!(app.store.list_users(tern_common::store::Page::first(1)).await.unwrap().rows.len(), 0);
}
