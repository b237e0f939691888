//! Thousands of requests generated from the API's description, sent to a `tern-admin` process over PostgreSQL and
//! Redis.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;
use tern_common::store::PostgresConfig;
use tern_common::store::postgres::migrate;
use tern_testkit::postgres::Postgres;
use tern_testkit::redis::Redis;

use crate::support::check_by_description;

/// Process of `tern-admin`, killed on drop.
struct TernAdmin {
    process: Child,
    address: SocketAddr,
}

impl TernAdmin {
    fn start(directory: &TempDir, database_url: &str, redis_url: &str) -> TernAdmin {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tern-admin"));
        command.arg("serve").current_dir(directory).env_clear();
        command.env("DATABASE_URL", database_url).env("REDIS_URL", redis_url).env("APP_PORT", "0");
        // A generated token would close an API that is open until its first one.
        command.env("ADMIN_AUTH", "none");
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("http://")).expect("tern-admin does not print its address");
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
        // The pipe is read to its end, so that the process can go on logging.
        std::thread::spawn(move || lines.for_each(drop));
        TernAdmin { process, address }
    }
}

impl Drop for TernAdmin {
    fn drop(&mut self) {
        // Either call fails only if the process has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn generated_requests_to_the_process_get_only_described_answers() {
    let database = PostgresConfig::new(Postgres::shared().create_database());
    migrate(&database).await.unwrap();
    let (redis, directory) = (Redis::start_new(), tempfile::tempdir().unwrap());
    let admin = TernAdmin::start(&directory, &database.url, &redis.url());
    let client = reqwest::Client::new();
    let ann = json!({ "username": "ann", "email": "ann@mail.example" });
    let link = json!({ "user_id": 1, "original_url": "https://example.com/" });
    for (path, body) in [("users", ann), ("urls", link)] {
        let created = client.post(format!("http://{}/{path}", admin.address)).json(&body).send().await.unwrap();
        assert_eq!(created.status(), 201, "{path}");
    }
    println!("{}", check_by_description(admin.address).await);
    let ready = client.get(format!("http://{}/ready", admin.address)).send().await.unwrap();
    assert_eq!(ready.status(), 200, "the server no longer answers");
}
