//! A start of `tern-redirector` that cannot succeed says why in a sentence, with neither PostgreSQL nor Redis in reach.

#![expect(clippy::unwrap_used, reason = "a scene that cannot be set is a failed test")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

fn redirector(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tern-redirector"));
    command.current_dir(directory).env_clear();
    command.env("DATABASE_URL", "postgres://127.0.0.1:1/n").env("REDIS_URL", "redis://127.0.0.1:1");
    command.env("REDIRECTOR_LISTEN", "127.0.0.1:0").env("REDIRECTOR_OPS_LISTEN", "127.0.0.1:0");
    command
}

/// Returns the exit code and what was said, which is one line.
fn told(output: &Output) -> (Option<i32>, String) {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    (output.status.code(), said)
}

#[test]
fn data_directory_that_cannot_be_written_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let check = || {
        let (code, said) = told(&redirector(directory.path()).output().unwrap());
        assert!(code == Some(1) && said.contains("TERN_DATA_DIR"), "{said}");
        assert!(said.starts_with(&format!("tern-redirector: cannot write to {}", data.display())), "{said}");
    };
    fs::write(&data, "a file").unwrap();
    check();
    fs::remove_file(&data).unwrap();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("clicks"), "a file").unwrap();
    check();
}

#[test]
fn port_in_use_mentions_the_take_over_only_where_it_can_help() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for variable in ["REDIRECTOR_LISTEN", "REDIRECTOR_OPS_LISTEN"] {
        let (code, said) = told(&redirector(directory.path()).env(variable, &address).output().unwrap());
        assert!(code == Some(1) && said.contains(variable) && said.contains("in use"), "{said}");
        assert!(!said.contains("--take-over"), "{said}");
    }
    fs::write(directory.path().join("data/hand-over.socket"), "").unwrap();
    let (_, said) = told(&redirector(directory.path()).env("REDIRECTOR_LISTEN", &address).output().unwrap());
    assert!(said.contains("tern-redirector serve --take-over") && said.contains("in use"), "{said}");
}
