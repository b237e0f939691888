//! Settings as a person gives them: in the environment, in `.env`, in files, and with slips.

use std::fs;
use std::path::Path;

use crate::support::{Tern, run_whole, tern, text};

/// Runs a command that ends by itself, and returns its exit code and what it says.
fn said(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = run_whole(tern(directory, arguments).envs(variables.iter().copied()));
    (output.status.code(), text(&output.stderr))
}

#[tokio::test]
async fn env_file_in_the_working_directory_is_read_and_the_environment_goes_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let lines = "# mine\nTERN_DATA_DIR='my data'\nexport LOG_FILE=\"my.log\"\nAPP_PORT=1\nPATH=/nowhere\n";
    fs::write(directory.path().join(".env"), lines).unwrap();
    let server = Tern::start_in(directory, &[], &[]);
    assert_eq!(server.get(&server.api, "/health").await.status(), 200);
    let directory = server.directory.path();
    assert!(directory.join("my data/tern.db").exists() && directory.join("my.log").exists());
    assert!(!directory.join("data").exists() && !directory.join("logs").exists());
    // Commands find the same store.
    let (code, said) = said(directory, &["token", "list"], &[]);
    assert!(code == Some(0) && said.contains("my data/tern.db"), "{said}");
}

#[test]
fn env_file_that_is_wrong_stops_every_command_with_its_line_and_exit_code_64() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(".env");
    fs::write(&file, "APP_PORT=0\nDATABASE_PASSWORD=correct horse\n").unwrap();
    for command in [&["serve"][..], &["token", "list"], &["load", "x.csv"], &["healthcheck"], &["sample", "files"]] {
        let (code, said) = said(directory.path(), command, &[]);
        assert_eq!((code, said.lines().count()), (Some(64), 1), "{said}");
        assert!(said.starts_with("tern: .env: line 2 is not") && !said.contains("horse"), "{said}");
        assert!(said.contains(&file.canonicalize().unwrap().display().to_string()), "{said}");
    }
    fs::write(&file, "LOG_LEVEL=loud\n").unwrap();
    let (code, line) = said(directory.path(), &["serve"], &[]);
    assert!(code == Some(64) && line.starts_with("tern: LOG_LEVEL: ") && line.ends_with(" (in .env)\n"), "{line}");
    // A folder of this name is a Python environment.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(said(directory.path(), &["sample", "files"], &[]), (Some(0), String::new()));
}

#[test]
fn misspelt_setting_is_reported_with_the_right_one_and_what_is_of_others_is_not() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(".env"), "LOG_LEVLE=debug\n").unwrap();
    let variables = [("APP_PROT", "9000"), ("APP_ENV", "x"), ("REDIS_PORT", "tcp://10.0.0.1:6379"), ("HOME", "/root")];
    let (code, said) = said(directory.path(), &["sample", "files"], &variables);
    assert_eq!(code, Some(0));
    assert_eq!(said.lines().count(), 3, "{said}");
    for line in [
        "tern: unknown setting LOG_LEVLE is ignored; did you mean LOG_LEVEL?",
        "tern: unknown setting APP_PROT is ignored; did you mean APP_PORT?",
        "tern: REDIS_PORT=tcp://10.0.0.1:6379 names a Service of Kubernetes and no port",
    ] {
        assert!(said.lines().any(|said| said.starts_with(line)), "{line} in\n{said}");
    }
}

/// Every setting and its default: a start with all of them at their defaults does what one without any does.
#[tokio::test]
async fn copy_of_the_example_is_a_file_of_settings() {
    let directory = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.env.example");
    fs::copy(example, directory.path().join(".env")).unwrap();
    let (code, said) = said(directory.path(), &["sample", "files"], &[]);
    assert_eq!((code, said), (Some(0), String::new()));
    let server = Tern::start_in(directory, &[], &[]);
    assert_eq!(server.get(&server.api, "/ready").await.status(), 200);
}

#[test]
fn log_level_that_is_none_is_refused_with_those_that_are() {
    let directory = tempfile::tempdir().unwrap();
    for level in ["verbose", "fatal", "9", "info,tern_redirectr=debug", "info,tern_redirector=debgu"] {
        let (code, said) = said(directory.path(), &["serve"], &[("LOG_LEVEL", level)]);
        assert_eq!((code, said.lines().count()), (Some(64), 1), "{said}");
        let allowed = "tern: LOG_LEVEL: expected error, warning, info, debug, trace or off";
        assert!(said.starts_with(allowed) && said.contains(level), "{said}");
    }
    let (code, said) = said(directory.path(), &["serve"], &[("LOG_FORMAT", "xml")]);
    assert!(code == Some(64) && said.contains("LOG_FORMAT: expected json or text, got \"xml\""), "{said}");
}

/// `WARNING` was once taken for a part of the program, and silenced the log.
#[tokio::test]
async fn log_level_as_the_log_prints_it_logs_warnings_and_nothing_less() {
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
async fn log_file_that_is_set_to_none_is_not_written() {
    for off in ["none", "-"] {
        let server = Tern::start_with(&[], &[("LOG_FILE", off)]);
        assert_eq!(server.get_json("/logs").await, serde_json::json!([]));
        let found: Vec<_> = fs::read_dir(server.directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(found.len() == 1 && found[0].ends_with("data"), "{found:?}");
    }
}

#[test]
fn secret_in_a_file_is_used_and_one_that_cannot_be_is_reported_without_it() {
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
        let (code, said) = said(directory.path(), &["serve"], variables);
        assert_eq!((code, said.lines().count()), (Some(64), 1), "{said}");
        assert!(said.contains(&format!("tern: {}: ", variables[0].0)) && !said.contains("hunter2"), "{said}");
    }
    // The database of the file is the one that is asked.
    fs::write(&secret, "postgres://u:hunter2@127.0.0.1:1/of_the_file\n").unwrap();
    let (code, said) = said(directory.path(), &["token", "list"], &[("DATABASE_URL_FILE", path)]);
    assert!(code == Some(1) && said.contains("of_the_file on 127.0.0.1:1") && !said.contains("hunter2"), "{said}");
}
