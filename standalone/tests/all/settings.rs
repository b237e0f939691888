//! Settings in the environment, in `.env` and in files, with and without mistakes.

use std::fs;
use std::path::Path;

use crate::support::{Tern, run_whole, tern, text};

/// Runs a command to its end and returns its exit code and its standard error.
fn code_and_error(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = run_whole(tern(directory, arguments).envs(variables.iter().copied()));
    (output.status.code(), text(&output.stderr))
}

#[tokio::test]
async fn env_file_is_read_and_overridden_by_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let lines = "# mine\nTERN_DATA_DIR='my data'\nexport LOG_FILE=\"my.log\"\nAPP_PORT=1\nPATH=/nowhere\n";
    fs::write(directory.path().join(".env"), lines).unwrap();
    let server = Tern::start_in(directory, &[], &[]);
    assert_eq!(server.get(&server.api, "/health").await.status(), 200);
    let directory = server.directory.path();
    assert!(directory.join("my data/tern.db").exists() && directory.join("my.log").exists());
    assert!(!directory.join("data").exists() && !directory.join("logs").exists());
    // Other commands use the same store.
    let (code, error_output) = code_and_error(directory, &["token", "list"], &[]);
    assert!(code == Some(0) && error_output.contains("my data/tern.db"), "{error_output}");
}

#[test]
fn faulty_env_file_stops_every_command_with_its_line_and_exit_64() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(".env");
    fs::write(&file, "APP_PORT=0\nDATABASE_PASSWORD=correct horse\n").unwrap();
    for command in [&["serve"][..], &["token", "list"], &["load", "x.csv"], &["healthcheck"], &["sample", "files"]] {
        let (code, error_output) = code_and_error(directory.path(), command, &[]);
        assert_eq!((code, error_output.lines().count()), (Some(64), 1), "{error_output}");
        assert!(
            error_output.starts_with("tern: .env: line 2 is not") && !error_output.contains("horse"),
            "{error_output}"
        );
        assert!(error_output.contains(&file.canonicalize().unwrap().display().to_string()), "{error_output}");
    }
    fs::write(&file, "LOG_LEVEL=loud\n").unwrap();
    let (code, line) = code_and_error(directory.path(), &["serve"], &[]);
    assert!(code == Some(64) && line.starts_with("tern: LOG_LEVEL: ") && line.ends_with(" (in .env)\n"), "{line}");
    // A directory named `.env` is a Python environment.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(code_and_error(directory.path(), &["sample", "files"], &[]), (Some(0), String::new()));
}

#[test]
fn misspelt_setting_is_reported_and_foreign_variables_are_not() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(".env"), "LOG_LEVLE=debug\n").unwrap();
    let variables = [("APP_PROT", "9000"), ("APP_ENV", "x"), ("REDIS_PORT", "tcp://10.0.0.1:6379"), ("HOME", "/root")];
    let (code, error_output) = code_and_error(directory.path(), &["sample", "files"], &variables);
    assert_eq!(code, Some(0));
    assert_eq!(error_output.lines().count(), 3, "{error_output}");
    for line in [
        "tern: unknown setting LOG_LEVLE is ignored; did you mean LOG_LEVEL?",
        "tern: unknown setting APP_PROT is ignored; did you mean APP_PORT?",
        "tern: REDIS_PORT=tcp://10.0.0.1:6379 names a Service of Kubernetes, not a port",
    ] {
        assert!(error_output.lines().any(|error_output| error_output.starts_with(line)), "{line} in\n{error_output}");
    }
}

/// `.env.example` lists every setting with its default, so a start with it behaves like one without settings.
#[tokio::test]
async fn env_example_is_a_valid_env_file() {
    let directory = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.env.example");
    fs::copy(example, directory.path().join(".env")).unwrap();
    let (code, error_output) = code_and_error(directory.path(), &["sample", "files"], &[]);
    assert_eq!((code, error_output), (Some(0), String::new()));
    let server = Tern::start_in(directory, &[], &[]);
    assert_eq!(server.get(&server.api, "/ready").await.status(), 200);
}

#[test]
fn unknown_log_level_is_refused_with_the_known_ones() {
    let directory = tempfile::tempdir().unwrap();
    for level in ["verbose", "fatal", "9", "info,tern_redirectr=debug", "info,tern_redirector=debgu"] {
        let (code, error_output) = code_and_error(directory.path(), &["serve"], &[("LOG_LEVEL", level)]);
        assert_eq!((code, error_output.lines().count()), (Some(64), 1), "{error_output}");
        let allowed = "tern: LOG_LEVEL: expected error, warning, info, debug, trace or off";
        assert!(error_output.starts_with(allowed) && error_output.contains(level), "{error_output}");
    }
    let (code, error_output) = code_and_error(directory.path(), &["serve"], &[("LOG_FORMAT", "xml")]);
    assert!(
        code == Some(64) && error_output.contains("LOG_FORMAT: expected json or text, got \"xml\""),
        "{error_output}"
    );
}

/// `WARNING` was once read as a part of the program, and silenced the log.
#[tokio::test]
async fn log_level_in_printed_spelling_is_accepted() {
    let server = Tern::start_with(&[], &[("LOG_LEVEL", "WARNING")]);
    assert_eq!(server.get(&server.api, "/health").await.status(), 200);
    assert_eq!(server.get(&server.api, "/users/7").await.status(), 404);
    let logged = async || server.get_json("/logs").await.as_array().unwrap().clone();
    crate::support::eventually("the warning is in the log", async || {
        logged().await.iter().any(|entry| entry["path"] == "/users/7" && entry["level"] == "WARNING")
    })
    .await;
    assert!(logged().await.iter().all(|entry| entry["level"] != "INFO"));
}

#[tokio::test]
async fn log_file_set_to_none_is_not_written() {
    for off in ["none", "-"] {
        let server = Tern::start_with(&[], &[("LOG_FILE", off)]);
        assert_eq!(server.get_json("/logs").await, serde_json::json!([]));
        let found: Vec<_> = fs::read_dir(server.directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(found.len() == 1 && found[0].ends_with("data"), "{found:?}");
    }
}

#[test]
fn secret_file_is_used_and_never_printed() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    let path = secret.to_str().unwrap();
    fs::write(&secret, "redis://:hunter2@127.0.0.1:port\n").unwrap();
    for variables in [
        &[("REDIS_URL_FILE", path)][..],
        &[("DATABASE_URL_FILE", path)],
        &[("DATABASE_URL_FILE", path), ("DATABASE_URL", "postgres://u:hunter2@h/n")],
        &[("DATABASE_PASSWORD_FILE", path), ("DATABASE_PASSWORD", "hunter2")],
        &[("DATABASE_PASSWORD_FILE", "/nowhere")],
    ] {
        let (code, error_output) = code_and_error(directory.path(), &["serve"], variables);
        assert_eq!((code, error_output.lines().count()), (Some(64), 1), "{error_output}");
        assert!(
            error_output.contains(&format!("tern: {}: ", variables[0].0)) && !error_output.contains("hunter2"),
            "{error_output}"
        );
    }
    // The command connects to the database named in the file.
    fs::write(&secret, "postgres://u:hunter2@127.0.0.1:1/of_the_file\n").unwrap();
    let (code, error_output) = code_and_error(directory.path(), &["token", "list"], &[("DATABASE_URL_FILE", path)]);
    assert!(
        code == Some(1) && error_output.contains("of_the_file on 127.0.0.1:1") && !error_output.contains("hunter2"),
        "{error_output}"
    );
}
