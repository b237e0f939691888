//! Failing starts of `tern-redirector`: the error is one clear sentence, with neither PostgreSQL nor Redis reachable.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

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

/// Returns the exit code and the error, which is one line.
fn code_and_error(output: &Output) -> (Option<i32>, String) {
    let error_output = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(error_output.lines().count(), 1, "{error_output}");
    (output.status.code(), error_output)
}

#[test]
fn unwritable_data_directory_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let check = || {
        let (code, error_output) = code_and_error(&redirector(directory.path()).output().unwrap());
        assert!(code == Some(1) && error_output.contains("TERN_DATA_DIR"), "{error_output}");
        assert!(
            error_output.starts_with(&format!("tern-redirector: cannot write to {}", data.display())),
            "{error_output}"
        );
    };
    fs::write(&data, "a file").unwrap();
    check();
    fs::remove_file(&data).unwrap();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("clicks"), "a file").unwrap();
    check();
}

#[test]
fn port_in_use_suggests_take_over_only_where_possible() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for variable in ["REDIRECTOR_LISTEN", "REDIRECTOR_OPS_LISTEN"] {
        let (code, error_output) =
            code_and_error(&redirector(directory.path()).env(variable, &address).output().unwrap());
        assert!(
            code == Some(1) && error_output.contains(variable) && error_output.contains("in use"),
            "{error_output}"
        );
        assert!(!error_output.contains("--take-over"), "{error_output}");
    }
    fs::write(directory.path().join("data/hand-over.socket"), "").unwrap();
    let (_, error_output) =
        code_and_error(&redirector(directory.path()).env("REDIRECTOR_LISTEN", &address).output().unwrap());
    assert!(
        error_output.contains("tern-redirector serve --take-over") && error_output.contains("in use"),
        "{error_output}"
    );
}
