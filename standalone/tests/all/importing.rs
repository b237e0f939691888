//! `tern import` and `tern export`, as processes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Tern, eventually, run, tern, text};

/// Writes a file of Tern's own form with so many links, and returns its name.
fn write_links(directory: &Path, links: u32) -> &'static str {
    let mut file = "user_id,short_code,original_url,title,tags,clicks\n".to_owned();
    for n in 0..links {
        writeln!(file, "1,code{n},https://example.com/a/target/of/usual/length/{n},Title {n},summer|poster,{n}")
            .unwrap();
    }
    fs::write(directory.join("links.csv"), file).unwrap();
    "links.csv"
}

/// Runs a command to its end; returns its exit code, its standard output and its standard error.
fn call(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(&mut tern(directory, arguments));
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A directory with a store that has one user.
async fn store_with_user() -> tempfile::TempDir {
    let server = Tern::start(&[]);
    server.create_user("ada").await;
    server.end(Signal::SIGTERM).1
}

/// Returns the number of links, and how many of them lack a row that each link has.
fn count_links(directory: &Path) -> (u32, u32) {
    let database = rusqlite::Connection::open(directory.join("data/tern.db")).unwrap();
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
    let links = count("SELECT count(*) FROM urls");
    assert_eq!(links, count("SELECT coalesce((SELECT n FROM row_counts WHERE list = 'urls' AND filter = ''), 0)"));
    assert_eq!(links, count("SELECT count(*) FROM link_clicks"));
    assert_eq!(links, count("SELECT count(*) FROM url_changes"));
    (links, 3 * links - count("SELECT count(*) FROM url_tags"))
}

#[tokio::test]
async fn import_beside_a_running_server_is_served_and_taken_back() {
    let server = Tern::start(&[]);
    server.create_user("ada").await;
    let directory = server.directory.path();
    let file = write_links(directory, 3);
    let (code, printed, reported) = call(directory, &["import", file, "--dry-run"]);
    assert_eq!((code, reported.as_str()), (Some(0), ""), "{printed}");
    assert!(printed.contains("links.csv: row 2 created code0\n"), "{printed}");
    assert!(printed.contains("links.csv: would be 3 created\n"), "{printed}");
    let (code, printed, reported) = call(directory, &["import", file, "--report", "rows.ndjson"]);
    assert_eq!((code, reported.as_str()), (Some(0), ""), "{printed}");
    assert!(printed.starts_with("links.csv: an export of Tern, by "), "{printed}");
    let tag = printed.split_whitespace().find(|word| word.starts_with("import:tern-")).unwrap().trim_end_matches(';');
    eventually("the link is served", async || server.follow(&server.fast, "code2").await.0 == 302).await;
    let report = fs::read_to_string(directory.join("rows.ndjson")).unwrap();
    let rows: Vec<Value> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows[1], json!({"row": 3, "outcome": "created", "short_code": "code1", "reason": null}));
    let exported = call(directory, &["export", "--format", "json", "--short-code", "code2"]).1;
    let exported: Value = serde_json::from_str(&exported).unwrap();
    assert_eq!((&exported[0]["imported_clicks"], exported.as_array().unwrap().len()), (&json!(2), 1));
    let (code, _, error) = call(directory, &["export", "--state", "sleeping"]);
    assert!(code == Some(1) && error.contains("state"), "{error}");
    let (code, printed, _) = call(directory, &["import", "--undo", tag, "--expect", "4"]);
    assert_eq!((code, printed.as_str()), (Some(1), ""));
    let (code, printed, reported) = call(directory, &["import", "--undo", tag, "--expect", "3"]);
    assert_eq!(code, Some(0), "{reported}");
    assert_eq!(printed, format!("Undid {tag}: 3 links deleted, 0 put back, 0 left as they are\n"));
    eventually("the link is gone", async || server.follow(&server.fast, "code2").await.0 == 404).await;
}

#[tokio::test]
async fn exit_code_tells_invalid_rows_and_conflicts_apart() {
    let directory = store_with_user().await;
    let directory = directory.path();
    let file = "user_id,short_code,original_url\n1,one,https://example.com/\n1,two,ftp://example.com/\n";
    fs::write(directory.join("links.csv"), file).unwrap();
    let (code, printed, reported) = call(directory, &["import", "links.csv"]);
    assert_eq!(code, Some(0), "{reported}");
    assert!(printed.contains("links.csv: 1 created, 1 invalid\n"), "{printed}");
    assert!(reported.contains("links.csv: row 3 invalid two: the target "), "{reported}");
    assert_eq!(call(directory, &["import", "links.csv", "--strict"]).0, Some(3));
    let (code, _, reported) = call(directory, &["import", "links.csv", "--on-conflict", "fail"]);
    assert!(code == Some(4) && reported.contains("nothing was imported"), "{reported}");
    assert_eq!(call(directory, &["import", "links.csv", "--from", "myspace"]).0, Some(2));
    assert_eq!(call(directory, &["import"]).0, Some(2));
    assert_eq!(call(directory, &["import", "absent.csv"]).0, Some(1));
    let (code, _, reported) = call(directory, &["import", "links.csv", "--user", "9"]);
    assert!(code == Some(1) && reported.contains("user 9 does not exist"), "{reported}");
    assert_eq!(call(tempfile::tempdir().unwrap().path(), &["import", "links.csv"]).0, Some(66));
}

#[tokio::test]
async fn killed_import_leaves_no_half_link_and_is_continued() {
    const LINKS: u32 = 40_000;
    let directory = store_with_user().await;
    let directory = directory.path();
    let file = write_links(directory, LINKS);
    let mut killed = 0;
    for pause in [300, 500, 700] {
        let mut importing = tern(directory, &["import", file]);
        let mut importing = importing.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        // Killed by SIGKILL, unless it has ended already.
        killed += u32::from(importing.try_wait().unwrap().is_none());
        importing.kill().unwrap();
        importing.wait().unwrap();
        let (links, half) = count_links(directory);
        assert!(links <= LINKS && half == 0, "{links} links, {half} tags are missing");
    }
    assert!(killed > 0, "every import ended before it was killed");
    let before = count_links(directory).0;
    let (code, printed, reported) = call(directory, &["import", file]);
    assert_eq!(code, Some(0), "{reported}");
    assert_eq!(count_links(directory), (LINKS, 0));
    let rest = match (LINKS - before, before) {
        (created, 0) => format!("links.csv: {created} created\n"),
        (0, skipped) => format!("links.csv: {skipped} skipped\n"),
        (created, skipped) => format!("links.csv: {created} created, {skipped} skipped\n"),
    };
    assert!(printed.contains(&rest), "{rest:?} is not in {printed:?}");
}

#[tokio::test]
async fn memory_of_an_import_does_not_grow_with_the_file() {
    let peak = async |links: u32| {
        let directory = store_with_user().await;
        let file = write_links(directory.path(), links);
        let mut importing = tern(directory.path(), &["import", file]);
        let mut importing = importing.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let status = format!("/proc/{}/status", importing.id());
        let mut most = 0;
        while importing.try_wait().unwrap().is_none() {
            let read = fs::read_to_string(&status).unwrap_or_default();
            let line = read.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or("0 kB");
            most = most.max(line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(count_links(directory.path()).0, links);
        most / 1024
    };
    // The first file fills the page caches of SQLite, which have 80 MiB.
    let (few, many) = (peak(100_000).await, peak(200_000).await);
    println!("peak of an import: {few} MiB for 100,000 links, {many} MiB for 200,000");
    assert!(many < few + 64, "the peak grew from {few} to {many} MiB");
}
