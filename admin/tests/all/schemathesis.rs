//! Thousands of requests that the description of the API allows, or just does not, sent by
//! [schemathesis](https://schemathesis.readthedocs.io): no answer is a 5xx, and each is one that is described.

use std::path::Path;
use std::process::Command;

use tokio::task::spawn_blocking;

use crate::support::spawn_app;

/// How long requests are made up, over each store.
const SECONDS: &str = "25";

/// It ends by itself long before.
const AT_MOST_SECONDS: &str = "180";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_answer_is_described_and_none_is_a_failure_of_ours() {
    let app = spawn_app().await;
    let ann = app.create_user("ann").await;
    let url = app.shorten(&ann, "https://example.com/").await;
    app.record_event(&url, "shared").await;
    let description = format!("http://{}/openapi.json", app.address);
    let output = spawn_blocking(move || run(&description)).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines().filter(|line| line.starts_with("Seed:") || line.contains("generated")) {
        println!("{}", line.trim());
    }
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Seed:"), "{text}");
    assert_eq!(app.get("/ready").await.status, 200, "it serves on");
}

fn run(description: &str) -> std::process::Output {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = crate_directory.join("../target/schemathesis/bin/st");
    assert!(program.exists(), "schemathesis is not there; install it with: make schemathesis");
    // Where it may leave files.
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("timeout");
    command.arg(AT_MOST_SECONDS).arg(program);
    command.arg("--config-file").arg(crate_directory.join("tests/schemathesis/schemathesis.toml"));
    command.args(["run", description, "--max-time", SECONDS, "--workers", "2", "--no-color"]);
    command.args(["--generation-database", "none", "--continue-on-failure"]);
    command.current_dir(&directory).output().unwrap()
}
