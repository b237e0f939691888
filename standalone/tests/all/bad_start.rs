//! Starts that cannot succeed: each reports its cause in one sentence and changes nothing.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Tern, run, tern, text};

#[test]
fn start_with_bad_settings_reports_each_and_exits_64() {
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
    let error_output = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{error_output}");
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
        assert_eq!(
            error_output.lines().filter(|line| line.contains(variable)).count(),
            1,
            "{variable} in\n{error_output}"
        );
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "something was written");
}

#[test]
fn start_with_port_in_use_reports_it_and_exits_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, port) = (taken.local_addr().unwrap().to_string(), taken.local_addr().unwrap().port().to_string());
    for (variable, value) in
        [("APP_PORT", port.as_str()), ("REDIRECTOR_LISTEN", &address), ("REDIRECTOR_OPS_LISTEN", &address)]
    {
        let directory = tempfile::tempdir().unwrap();
        let output = run(tern(directory.path(), &["serve"]).env(variable, value));
        let error_output = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error_output}");
        assert_eq!(error_output.lines().count(), 1, "{error_output}");
        assert!(
            error_output.contains(&address) && error_output.contains(variable) && error_output.contains("in use"),
            "{error_output}"
        );
    }
}

#[test]
fn start_with_foreign_database_exits_1_and_leaves_it_unchanged() {
    let check = |content: &[u8], expected: &str| {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("data")).unwrap();
        let database = directory.path().join("data/tern.db");
        fs::write(&database, content).unwrap();
        for command in [&["serve"][..], &["serve", "--sample"], &["load", "users.csv"]] {
            fs::write(directory.path().join("users.csv"), "username,email\nada,ada@mail.example\n").unwrap();
            let output = run(&mut tern(directory.path(), command));
            let error_output = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{error_output}");
            assert_eq!(error_output, format!("tern: data/tern.db {expected}\n"));
            assert!(fs::read(&database).unwrap() == content, "the file was touched");
        }
    };
    check(b"a shopping list", "is not a SQLite database");
    let other = tempfile::NamedTempFile::new().unwrap();
    rusqlite::Connection::open(other.path()).unwrap().execute_batch("CREATE TABLE urls (id)").unwrap();
    check(&fs::read(other.path()).unwrap(), "is a SQLite database of another program");
}

#[test]
fn start_with_unwritable_log_reports_it_and_exits_1() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("logs"), "a file where a directory should be").unwrap();
    let output = run(&mut tern(directory.path(), &["serve"]));
    let error_output = text(&output.stderr);
    assert_eq!((output.status.code(), error_output.lines().count()), (Some(1), 1), "{error_output}");
    assert!(error_output.contains("logs/app.log (LOG_FILE; `none` writes no file)"), "{error_output}");
}

/// A file in place of a directory, since root may write to every other directory.
#[test]
fn start_with_unwritable_data_directory_reports_it_and_exits_1() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let check = || {
        let output = run(&mut tern(directory.path(), &["serve"]));
        let error_output = text(&output.stderr);
        assert_eq!((output.status.code(), error_output.lines().count()), (Some(1), 1), "{error_output}");
        assert!(
            error_output.contains(&format!("cannot write to {}", data.display()))
                && error_output.contains("TERN_DATA_DIR"),
            "{error_output}"
        );
    };
    fs::write(&data, "a file").unwrap();
    check();
    fs::remove_file(&data).unwrap();
    fs::create_dir(&data).unwrap();
    // A file that an earlier start as another user may have left.
    fs::write(data.join("clicks"), "a file").unwrap();
    check();
    assert!(!data.join("tern.db").exists());
}

/// A read-only mount stops root as well.
#[test]
fn start_with_read_only_data_directory_reports_it_and_exits_1() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("data")).unwrap();
    let ours = tern(directory.path(), &[]);
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o ro tern data && exec \"$0\" serve";
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(ours.get_program());
    command.current_dir(directory.path()).env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    let output = run(command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?)))));
    let error_output = text(&output.stderr);
    assert_eq!((output.status.code(), error_output.lines().count()), (Some(1), 1), "{error_output}");
    assert!(
        error_output.contains("cannot write to ") && error_output.contains("Read-only file system"),
        "{error_output}"
    );
}

#[test]
fn wrong_usage_prints_usage_and_exits_2() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["load"], &["sample"], &["fly"], &["serve", "--fast"]] {
        let output = run(&mut tern(directory.path(), arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("Usage"), "{arguments:?}");
    }
    assert!(run(&mut tern(directory.path(), &["--version"])).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn second_server_on_a_data_directory_is_refused() {
    let first = Tern::start(&[]);
    let output = run(&mut tern(first.directory.path(), &["serve"]));
    let error_output = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error_output}");
    assert_eq!(error_output.lines().count(), 1, "{error_output}");
    assert!(error_output.contains("another `tern serve` runs on data (TERN_DATA_DIR)"), "{error_output}");
    assert_eq!(first.get(&first.api, "/health").await.status(), 200);
}

/// Returns every file and directory below `directory`.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { [vec![path.clone()], files_below(&path)].concat() } else { vec![path] })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_server_are_private_including_earlier_ones() {
    let directory = tempfile::tempdir().unwrap();
    // The permissions that an earlier build left under the usual umask.
    let journals = directory.path().join("data/clicks");
    fs::create_dir_all(&journals).unwrap();
    fs::write(directory.path().join("data/tern.db"), "").unwrap();
    for (path, mode) in [(&journals, 0o755), (&directory.path().join("data/tern.db"), 0o644)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(directory.path().join("data"), fs::Permissions::from_mode(0o755)).unwrap();
    let server = Tern::start_in(directory, &["--sample"], &[]);
    let found = files_below(server.directory.path());
    assert!(found.len() > 8, "{found:?}");
    for path in found.iter().filter(|path| !path.ends_with("data")) {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has {mode:o}", path.display());
    }
}
