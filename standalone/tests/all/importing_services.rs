//! `tern import` of whole files of other services, as processes.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Tern, run, tern, text};

/// A dump of YOURLS with two links, and three clicks of one of them.
const YOURLS: &str = r"-- MariaDB dump 10.19
CREATE TABLE `yourls_url` (
  `keyword` varchar(100) NOT NULL, `url` text NOT NULL, `title` text DEFAULT NULL,
  `timestamp` timestamp NOT NULL, `ip` varchar(41) NOT NULL, `clicks` int(10) unsigned NOT NULL
);
INSERT INTO `yourls_url` VALUES
('summer','https://example.com/summer','It\'s summer','2026-05-01 08:00:00','203.0.113.7',5),
('quiet','https://example.com/quiet',NULL,'2026-05-02 08:00:00','203.0.113.7',0);
CREATE TABLE `yourls_log` (
  `click_id` int(11) NOT NULL, `click_time` datetime NOT NULL, `shorturl` varchar(100) NOT NULL,
  `referrer` varchar(200) NOT NULL, `user_agent` varchar(255) NOT NULL, `ip_address` varchar(41) NOT NULL,
  `country_code` char(2) NOT NULL
);
INSERT INTO `yourls_log` VALUES
(1,'2026-05-03 09:00:00','summer','direct','Mozilla/5.0 (Windows NT 10.0) Firefox/128.0','203.0.113.77','DE'),
(2,'2026-05-03 09:10:00','summer','https://news.example/page','Mozilla/5.0 (Windows NT 10.0) Firefox/128.0','203.0.113.78','FR'),
(3,'2026-05-04 09:00:00','summer','direct','Googlebot/2.1','203.0.113.79','US'),
(4,'2026-05-04 09:00:00','absent','direct','Googlebot/2.1','203.0.113.79','US');
";

fn import(directory: &Path, arguments: &[&str]) -> String {
    let output = run(&mut tern(directory, &[&["import"], arguments].concat()));
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{}", text(&output.stdout));
    text(&output.stdout)
}

#[tokio::test]
async fn log_of_clicks_becomes_events_at_their_own_time() {
    let server = Tern::start(&[]);
    server.create_user("ada").await;
    let directory = server.directory.path();
    fs::write(directory.join("dump.sql"), YOURLS).unwrap();
    let printed = import(directory, &["dump.sql", "--with-clicks"]);
    assert!(printed.contains("dump.sql: 3 clicks events, 1 of no imported link left out\n"), "{printed}");
    let links = server.get_json("/urls?sort=id").await;
    let summer = &links[0];
    assert_eq!((&summer["short_code"], &summer["imported_clicks"]), (&json!("summer"), &json!(2)), "{links}");
    let events = server.get_json(&format!("/events?url_id={}&event_type=clicked", summer["id"])).await;
    let events = events.as_array().unwrap();
    assert_eq!(events.len(), 3, "{events:?}");
    let details: Vec<Value> = events
        .iter()
        .map(|event| match &event["details"] {
            Value::String(details) => serde_json::from_str(details).unwrap(),
            details => details.clone(),
        })
        .collect();
    assert!(details.iter().all(|details| details["imported"] == json!(true)), "{details:?}");
    // The whole address of a visitor is never stored.
    assert!(!format!("{events:?}").contains("203.0.113.7"), "{events:?}");
    let stats = server.get_json(&format!("/urls/{}/stats?from=2026-05-03&to=2026-05-05", summer["id"])).await;
    assert_eq!((&stats["total"], &stats["humans"], &stats["bots"]), (&json!(3), &json!(2), &json!(1)), "{stats}");
    // A second import adds no click.
    import(directory, &["dump.sql", "--with-clicks"]);
    let again = server.get_json(&format!("/urls/{}/stats?from=2026-05-03&to=2026-05-05", summer["id"])).await;
    assert_eq!(again["total"], json!(3), "{again}");
}

#[tokio::test]
async fn open_database_of_chhoto_is_read_with_its_log_of_changes() {
    let server = Tern::start(&[]);
    server.create_user("ada").await;
    let directory = server.directory.path();
    let database = rusqlite::Connection::open(directory.join("urls.sqlite")).unwrap();
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE urls (id INTEGER PRIMARY KEY, short_url TEXT NOT NULL, long_url TEXT NOT NULL,
                 hits INTEGER NOT NULL, expiry_time INTEGER NOT NULL DEFAULT 0, notes TEXT);
             INSERT INTO urls VALUES (1, 'old', 'https://example.com/old', 3, 0, NULL);
             PRAGMA wal_checkpoint(TRUNCATE);
             INSERT INTO urls VALUES (2, 'fresh', 'https://example.com/fresh', 4, 0, NULL);",
        )
        .unwrap();
    let printed = import(directory, &["urls.sqlite"]);
    assert!(printed.contains("urls.sqlite: 2 created\n"), "{printed}");
    drop(database);
    let codes: Vec<Value> = server.get_json("/urls?sort=id").await.as_array().unwrap().to_owned();
    assert_eq!(codes.iter().map(|link| link["short_code"].as_str().unwrap()).collect::<Vec<_>>(), ["old", "fresh"]);
    assert_eq!(server.end(Signal::SIGTERM).0.code(), Some(0));
}
