//! The store of a command: each command names it, and creates one only where that can be meant.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::support::{Tern, run_whole, tern, text};

fn store_of(directory: &Path) -> String {
    directory.canonicalize().unwrap().join("data/tern.db").display().to_string()
}

#[test]
fn token_command_without_store_fails_and_creates_none() {
    let directory = tempfile::tempdir().unwrap();
    for command in [&["create", "ops", "--role", "admin"][..], &["list"], &["revoke", "ops"]] {
        let output = run_whole(&mut tern(directory.path(), &[&["token"], command].concat()));
        let error_output = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(66), String::new()), "{error_output}");
        for words in [&store_of(directory.path()), "TERN_DATA_DIR", "DATABASE_URL", "tern serve", "nothing was changed"]
        {
            assert!(error_output.contains(words), "{words} in\n{error_output}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "something was written");
    }
}

#[tokio::test]
async fn token_command_names_its_store_and_prints_only_the_token() {
    let (status, directory) = Tern::start(&[]).end(Signal::SIGTERM);
    assert!(status.success());
    let made = run_whole(&mut tern(directory.path(), &["token", "create", "ops", "--role", "admin"]));
    assert_eq!(text(&made.stderr), format!("tern: store: {}\n", store_of(directory.path())));
    assert_eq!(text(&made.stdout).lines().count(), 1);
    let revoked = run_whole(&mut tern(directory.path(), &["token", "revoke", "ops"]));
    assert_eq!(text(&revoked.stdout), "Revoked ops.\n");
}

/// An operator creates the first token before a public API starts.
#[tokio::test]
async fn start_refused_for_lack_of_tokens_creates_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let refused = run_whole(tern(directory.path(), &["serve"]).env("ADMIN_LISTEN", "0.0.0.0:0"));
    let error_output = text(&refused.stderr);
    assert!(
        refused.status.code() == Some(1) && error_output.contains("(tern token create NAME --role admin"),
        "{error_output}"
    );
    let made = run_whole(&mut tern(directory.path(), &["token", "create", "ops", "--role", "admin"]));
    assert!(made.status.success(), "{}", text(&made.stderr));
    let server = Tern::start_in(directory, &[], &[("ADMIN_LISTEN", "0.0.0.0:0")]);
    let address = server.api.replace("0.0.0.0", "127.0.0.1");
    let bearer = format!("Bearer {}", text(&made.stdout).trim());
    assert_eq!(server.get_with(&[("authorization", &bearer)], &address, "/users").await.status(), 200);
}

#[test]
fn load_names_its_store_and_reports_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("users.csv"), "username,email\nada,ada@mail.example\n").unwrap();
    let absent = run_whole(&mut tern(directory.path(), &["load", "users.csv", "absent.csv"]));
    assert_eq!(absent.status.code(), Some(1));
    assert!(text(&absent.stderr).starts_with("tern: absent.csv: cannot be read: "), "{}", text(&absent.stderr));
    assert!(!directory.path().join("data").exists(), "a store was made");
    let load = || text(&run_whole(&mut tern(directory.path(), &["load", "users.csv"])).stderr);
    let store = store_of(directory.path());
    assert_eq!(load(), format!("tern: store: {store} (new; created in TERN_DATA_DIR)\n"));
    assert_eq!(load().lines().next(), Some(&*format!("tern: store: {store}")));
}
