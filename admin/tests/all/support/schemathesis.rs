//! Runs [schemathesis](https://schemathesis.readthedocs.io) against an API.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use tokio::task::spawn_blocking;

/// Seconds for which requests are generated.
const SECONDS: &str = "25";

/// Seconds after which a run that hangs is killed.
const AT_MOST_SECONDS: &str = "180";

/// Generates requests that the description at `address` allows, or just does not, and checks every answer. Returns the
/// number of requests and the seed, with which `st run --seed` repeats them. Panics if an answer is wrong, with the
/// seed in the message.
pub async fn check_by_description(address: SocketAddr) -> String {
    let output = spawn_blocking(move || run(&format!("http://{address}/openapi.json"))).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let summary = text.lines().filter(|line| line.starts_with("Seed:") || line.contains(" generated, "));
    let summary: Vec<&str> = summary.map(str::trim).collect();
    assert_eq!(summary.len(), 2, "{text}");
    summary.join(", ")
}

fn run(description: &str) -> Output {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = crate_directory.join("../target/schemathesis/bin/st");
    assert!(program.exists(), "schemathesis is not installed; install it with: make schemathesis");
    // Schemathesis may write files to this directory.
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("timeout");
    command.arg(AT_MOST_SECONDS).arg(program);
    command.arg("--config-file").arg(crate_directory.join("tests/schemathesis/schemathesis.toml"));
    // Schemathesis shares state between workers that is not made for threads.
    command.args(["run", description, "--max-time", SECONDS, "--workers", "1", "--no-color"]);
    // A busy machine is no failure.
    command.args(["--suppress-health-check", "too_slow"]);
    command.args(["--generation-database", "none", "--continue-on-failure"]);
    command.current_dir(&directory).output().unwrap()
}
