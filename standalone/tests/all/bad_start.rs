//! A start that cannot succeed says why in a sentence, and touches nothing.

use std::fs;
use std::net::TcpListener;

use crate::support::{run, tern, text};

#[test]
fn every_bad_setting_is_told_at_once_with_exit_code_64() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(tern(directory.path(), &["serve"]).envs([
        ("APP_PORT", "eighty"),
        ("REDIRECTOR_LISTEN", "localhost"),
        ("LOG_LEVEL", "lou=d=er"),
        ("VISIBLE_WAIT", "5"),
        ("BODY_LIMIT", "lots"),
        ("SHORT_CODE_LENGTH", "2"),
        ("TRUSTED_PROXIES", "everybody"),
        ("REDIRECTOR_WORKERS", "0"),
    ]));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    for variable in [
        "APP_PORT",
        "REDIRECTOR_LISTEN",
        "LOG_LEVEL",
        "VISIBLE_WAIT",
        "BODY_LIMIT",
        "SHORT_CODE_LENGTH",
        "TRUSTED_PROXIES",
        "REDIRECTOR_WORKERS",
    ] {
        assert_eq!(said.lines().filter(|line| line.contains(variable)).count(), 1, "{variable} in\n{said}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "something was written");
}

#[test]
fn a_port_in_use_is_one_sentence_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, port) = (taken.local_addr().unwrap().to_string(), taken.local_addr().unwrap().port().to_string());
    for (variable, value) in
        [("APP_PORT", port.as_str()), ("REDIRECTOR_LISTEN", &address), ("REDIRECTOR_OPS_LISTEN", &address)]
    {
        let directory = tempfile::tempdir().unwrap();
        let output = run(tern(directory.path(), &["serve"]).env(variable, value));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(&address) && said.contains(variable) && said.contains("in use"), "{said}");
    }
}

#[test]
fn a_foreign_database_is_one_sentence_exit_code_1_and_untouched() {
    let check = |content: &[u8], expected: &str| {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("data")).unwrap();
        let database = directory.path().join("data/tern.db");
        fs::write(&database, content).unwrap();
        for command in [&["serve"][..], &["serve", "--sample"], &["load", "users.csv"]] {
            fs::write(directory.path().join("users.csv"), "username,email\nada,ada@mail.example\n").unwrap();
            let output = run(&mut tern(directory.path(), command));
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert_eq!(said, format!("tern: data/tern.db {expected}\n"));
            assert!(fs::read(&database).unwrap() == content, "the file was touched");
        }
    };
    check(b"a shopping list", "is not a SQLite database");
    let other = tempfile::NamedTempFile::new().unwrap();
    rusqlite::Connection::open(other.path()).unwrap().execute_batch("CREATE TABLE urls (id)").unwrap();
    check(&fs::read(other.path()).unwrap(), "is a SQLite database of another program");
}

#[test]
fn an_unwritable_log_is_one_sentence_and_exit_code_1() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("logs"), "a file where a directory should be").unwrap();
    let output = run(&mut tern(directory.path(), &["serve"]));
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("logs/app.log (LOG_FILE)"), "{said}");
}

#[test]
fn wrong_usage_is_told_with_the_right_one() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["load"], &["sample"], &["fly"], &["serve", "--fast"]] {
        let output = run(&mut tern(directory.path(), arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("Usage"), "{arguments:?}");
    }
    assert!(run(&mut tern(directory.path(), &["--version"])).status.success());
}
