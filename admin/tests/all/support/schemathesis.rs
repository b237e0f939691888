//! Runs [schemathesis](https://schemathesis.readthedocs.io) against an API.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use tokio::task::spawn_blocking;

/// How long requests are made up.
const SECONDS: &str = "25";

/// It ends by itself long before.
const AT_MOST_SECONDS: &str = "180";

/// Makes up requests that the description at that address allows, or just does not, and checks every answer.
/// Gives back how many there were and their seed, with which `st run --seed` repeats them; if any answer is wrong it
/// fails, and tells the seed as well.
pub async fn check_by_description(address: SocketAddr) -> String {
    let output = spawn_blocking(move || run(&format!("http://{address}/openapi.json"))).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let told = text.lines().filter(|line| line.starts_with("Seed:") || line.contains(" generated, "));
    let told: Vec<&str> = told.map(str::trim).collect();
    assert_eq!(told.len(), 2, "{text}");
    told.join(", ")
}

fn run(description: &str) -> Output {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = crate_directory.join("../target/schemathesis/bin/st");
    assert!(program.exists(), "schemathesis is not there; install it with: make schemathesis");
    // Where it may leave files.
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("timeout");
    command.arg(AT_MOST_SECONDS).arg(program);
    command.arg("--config-file").arg(crate_directory.join("tests/schemathesis/schemathesis.toml"));
    // More workers run into each other: what they share within schemathesis is not made for threads.
    command.args(["run", description, "--max-time", SECONDS, "--workers", "1", "--no-color"]);
    // A busy machine is no failure.
    command.args(["--suppress-health-check", "too_slow"]);
    command.args(["--generation-database", "none", "--continue-on-failure"]);
    command.current_dir(&directory).output().unwrap()
}
