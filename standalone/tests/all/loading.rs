//! `tern load` beside a running server, and with faulty files.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::support::{Tern, eventually, run, tern, text};

const USERS: &str = "id,username,email,created_at\n7,ada,ada@mail.example,2025-01-01 00:00:00\n";
const URLS: &str = "id,user_id,short_code,original_url,title,is_active,created_at,updated_at\n\
                    9,7,CODE12,https://example.com/,A title,True,2025-01-01 00:00:00,2025-01-02 00:00:00\n\
                    10,7,GONE12,https://example.com/,,False,2025-01-01 00:00:00,2025-01-02 00:00:00\n";

/// Runs `tern load` on files of the given names and contents; returns its exit code and its output.
fn load(directory: &Path, files: &[(&str, &str)]) -> (Option<i32>, String) {
    for (name, content) in files {
        fs::write(directory.join(name), content).unwrap();
    }
    let arguments: Vec<&str> = std::iter::once("load").chain(files.iter().map(|(name, _)| *name)).collect();
    let output = run(&mut tern(directory, &arguments));
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[tokio::test]
async fn load_beside_a_running_server_is_served() {
    let tern = Tern::start(&[]);
    assert_eq!(tern.follow(&tern.fast, "CODE12").await.0, 404);
    let loaded = load(tern.directory.path(), &[("users.csv", USERS), ("urls.csv", URLS)]);
    assert_eq!(
        loaded,
        (Some(0), "Loaded 1 rows into User from users.csv\nLoaded 2 rows into Url from urls.csv\n".to_owned())
    );
    eventually("the link is served", async || tern.follow(&tern.fast, "CODE12").await.0 == 302).await;
    assert_eq!(tern.follow(&tern.api, "GONE12").await.0, 410);
    let again = load(tern.directory.path(), &[("users.csv", USERS), ("urls.csv", URLS)]);
    assert_eq!(
        again,
        (
            Some(0),
            "Loaded 0 rows into User from users.csv: all 1 are there already\n\
             Loaded 0 rows into Url from urls.csv: all 2 are there already\n"
                .to_owned()
        )
    );
}

#[test]
fn faulty_file_is_reported_with_its_line_and_loads_nothing() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(load(directory.path(), &[("users.csv", USERS)]).0, Some(0));
    let check = |name: &str, content: &str, expected: &str| {
        let (code, error_output) = load(directory.path(), &[(name, content)]);
        assert_eq!(code, Some(1), "{name}: {error_output}");
        assert!(
            error_output.starts_with(&format!("tern: {name}: ")) && error_output.contains(expected),
            "{error_output}"
        );
        assert_eq!(error_output.lines().count(), 1, "{error_output}");
    };
    let urls = URLS.replace("https://example.com/,,", "javascript:alert(1),,");
    check("urls.csv", &urls, "line 3: ");
    check("urls.csv", &URLS.replace("GONE12", "health"), "line 3: ");
    check("urls.csv", &URLS.replace("GONE12", "CODE12"), "line 3: Short code is already taken");
    check("urls.csv", &URLS.replace("10,7,", "10,8,"), "line 3: User 8 not found");
    check("users.csv", "username,email\nbob,bob@mail.example\ncarol,nonsense\n", "line 3: ");
    check("users.csv", "username,email\nbob,bob@mail.example\ncarol\n", "line 3: ");
    check("what.csv", "colour,taste\nred,sweet\n", "has the columns colour, taste, which fit no kind of rows");
    check("empty.csv", "", "");
    check("absent-header.csv", "\n", "");
    let database = rusqlite::Connection::open(directory.path().join("data/tern.db")).unwrap();
    let counts: (i64, i64) = database
        .query_row("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM urls)", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(counts, (1, 0));
    let absent = run(&mut tern(directory.path(), &["load", "absent.csv"]));
    assert_eq!(absent.status.code(), Some(1));
    assert!(text(&absent.stderr).starts_with("tern: absent.csv: cannot be read: "), "{}", text(&absent.stderr));
}

#[test]
fn load_with_skipped_rows_exits_0_and_reports_them_on_standard_error() {
    let directory = tempfile::tempdir().unwrap();
    let users = USERS.to_owned() + "8,ada,other@mail.example,\n9,bob,nonsense,\n";
    let urls = URLS.replace("10,7,", "10,8,");
    for (name, content) in [("users.csv", &users), ("urls.csv", &urls)] {
        fs::write(directory.path().join(name), content).unwrap();
    }
    let output = run(&mut tern(directory.path(), &["load", "--on-error", "skip", "users.csv", "urls.csv"]));
    let (printed, reported) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{reported}");
    assert_eq!(
        printed,
        "Loaded 1 rows into User from users.csv: 2 skipped\nLoaded 1 rows into Url from urls.csv: 1 skipped\n"
    );
    for line in [
        "users.csv: line 3 skipped: Username is already taken by line 2 of this file",
        "users.csv: line 4 skipped: email must look like name@example.com",
        "urls.csv: line 3 skipped: User 8 was skipped",
    ] {
        assert!(reported.lines().any(|reported| reported == line), "{line:?} is not in {reported:?}");
    }
    let again = run(&mut tern(directory.path(), &["load", "users.csv"]));
    assert_eq!(again.status.code(), Some(1), "skipping has to be asked for");
    let misspelt = run(&mut tern(directory.path(), &["load", "--on-error", "ignore", "users.csv"]));
    assert_eq!(misspelt.status.code(), Some(2), "{}", text(&misspelt.stderr));
}

#[tokio::test]
async fn loaded_products_are_listed() {
    let tern = Tern::start(&[]);
    let products = "name,category,price,stock\nLamp,home,19.90,3\n";
    assert_eq!(load(tern.directory.path(), &[("products.csv", products)]).0, Some(0));
    let response = tern.get(&tern.api, "/products").await;
    assert_eq!(response.headers()["x-cache"], "MISS");
    assert_eq!(response.text().await.unwrap(), r#"[{"id":1,"name":"Lamp","category":"home","price":19.90,"stock":3}]"#);
    assert_eq!(tern.get(&tern.api, "/products").await.headers()["x-cache"], "HIT");
}

#[tokio::test(flavor = "multi_thread")]
async fn load_from_a_slow_pipe_blocks_no_writer_of_a_running_server() {
    let server = Tern::start(&[]);
    let pipe = server.directory.path().join("users.csv");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let mut loading = tern(server.directory.path(), &["load", "users.csv"]);
    let loading = loading.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut source = tokio::task::block_in_place(|| fs::File::create(&pipe)).unwrap();
    source.write_all(b"username,email\n").unwrap();
    for n in 0..10 {
        // More than the reader's buffer and two batches, so some of the rows are staged.
        let rows: String = (0..1000).map(|m| format!("loaded{n}-{m},loaded{n}-{m}@mail.example\n")).collect();
        source.write_all(rows.as_bytes()).unwrap();
        server.create_user(&format!("posted{n}")).await;
    }
    drop(source);
    let loaded = tokio::task::block_in_place(|| loading.wait_with_output()).unwrap();
    assert_eq!(text(&loaded.stdout), "Loaded 10000 rows into User from users.csv\n", "{}", text(&loaded.stderr));
    let response = server.get(&server.api, "/users").await;
    assert_eq!(response.headers()["x-total-count"], "10010");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_load_inserts_nothing_and_its_next_run_loads_all() {
    let server = Tern::start(&[]);
    let pipe = server.directory.path().join("users.csv");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let mut loading = tern(server.directory.path(), &["load", "users.csv"]);
    let mut loading = loading.spawn().unwrap();
    let mut source = tokio::task::block_in_place(|| fs::File::create(&pipe)).unwrap();
    let rows: String = (0..5000).map(|n| format!("loaded{n},loaded{n}@mail.example\n")).collect();
    source.write_all(format!("username,email\n{rows}").as_bytes()).unwrap();
    loading.kill().unwrap();
    loading.wait().unwrap();
    drop(source);
    fs::remove_file(&pipe).unwrap();
    assert_eq!(server.get(&server.api, "/users").await.headers()["x-total-count"], "0");
    let loaded = load(server.directory.path(), &[("users.csv", &format!("username,email\n{rows}"))]);
    assert_eq!(loaded, (Some(0), "Loaded 5000 rows into User from users.csv\n".to_owned()));
    assert_eq!(server.get(&server.api, "/users").await.headers()["x-total-count"], "5000");
}
