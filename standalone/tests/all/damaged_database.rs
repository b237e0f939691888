//! A damaged page in the database: redirects continue, also after a restart.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use nix::sys::signal::Signal;
use rusqlite::Connection;

use crate::support::{Tern, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn links_on_damaged_database_page_are_served_after_a_restart() {
    let tern = Tern::start(&[]);
    let owner = tern.create_user("ada").await;
    let mut codes = Vec::new();
    for n in 0..3 {
        let link = tern.create_link(owner, &format!("https://example.com/{n}")).await;
        codes.push(link["short_code"].as_str().unwrap().to_owned());
    }
    let (status, directory) = tern.end(Signal::SIGTERM);
    assert!(status.success());

    let path = directory.path().join("data/tern.db");
    let number = |sql: &str| -> u32 { Connection::open(&path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap() };
    let page = number("SELECT rootpage FROM sqlite_schema WHERE name = 'urls'");
    let size = number("PRAGMA page_size");
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&vec![0xff; size as usize], u64::from(page - 1) * u64::from(size)).unwrap();

    let tern = Tern::start_in(directory, &[], &[]);
    assert_eq!(tern.get(&tern.api, "/urls").await.status(), 503, "the damaged page is not read, so nothing is tested");
    for (n, code) in codes.iter().enumerate() {
        let target = format!("https://example.com/{n}");
        assert_eq!(tern.follow(&tern.fast, code).await, (302, Some(target.clone())));
        assert_eq!(tern.follow(&tern.api, code).await, (302, Some(target)));
    }
    eventually("the log says that the map could not be compared", async || {
        let log = std::fs::read_to_string(tern.directory.path().join("logs/app.log")).unwrap_or_default();
        log.contains("audit failed")
    })
    .await;
}
