//! Opening database files: Tern's own, other programs', and files that are no databases.

#![expect(clippy::unwrap_used, reason = "a failed setup is a failed test")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{Connection, StatementStatus};
use tern_common::audit::AuditFilter;
use tern_common::event::EventFilter;
use tern_common::store::{AdminStore, ClickSink, LinkFeed, Page, PageStart, SqliteStore, StoreError, Total};
use tern_common::user::{Email, NewUser, Username};
use tern_common::{Click, ClickBatch, Id, JournalId, JournalPosition, ShipOutcome, Visitor};

#[path = "support/erasure.rs"]
mod erasure;

fn new_user(name: &str) -> NewUser {
    NewUser { username: Username::parse(name).unwrap(), email: Email::parse(&format!("{name}@mail.example")).unwrap() }
}

/// Checks that opening `path` fails with `reason` and changes nothing in its directory.
async fn check_refused(path: &Path, reason: &str) {
    let listing = |directory: &Path| -> Vec<_> {
        let mut files: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let directory = path.parent().unwrap();
    let before = listing(directory);
    let refused = SqliteStore::open(path).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("{} {reason}", path.display()));
    assert_eq!(listing(directory), before, "another program's file was changed");
}

#[tokio::test]
async fn file_that_is_no_database_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tern.db");
    fs::write(&path, "a shopping list").unwrap();
    check_refused(&path, "is not a SQLite database").await;
    fs::write(&path, vec![7; 8192]).unwrap();
    check_refused(&path, "is not a SQLite database").await;
}

#[tokio::test]
async fn database_of_another_program_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tern.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE users (id INTEGER)").unwrap();
    check_refused(&path, "is a SQLite database of another program").await;
}

#[tokio::test]
async fn database_of_newer_tern_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tern.db");
    drop(SqliteStore::open(&path).await.unwrap());
    let newer = "INSERT INTO refinery_schema_history
                 SELECT 9999, 'from_the_future', applied_on, checksum FROM refinery_schema_history LIMIT 1";
    assert_eq!(Connection::open(&path).unwrap().execute(newer, []).unwrap(), 1);
    let refused = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("{} was made by a newer version of Tern", path.display()));
}

#[tokio::test]
async fn unopenable_path_is_refused_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let refused = SqliteStore::open(directory.path()).await.unwrap_err();
    assert!(refused.to_string().contains("Is a directory"), "{refused}");
    fs::write(directory.path().join("file"), "").unwrap();
    let refused = SqliteStore::open(&directory.path().join("file/tern.db")).await.unwrap_err();
    assert!(!refused.to_string().contains('\n'), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrently_opened_database_retains_all_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/on/the/way/tern.db");
    let opening: Vec<_> = (0..8)
        .map(|n| {
            let path = path.clone();
            tokio::spawn(async move {
                let store = SqliteStore::open(&path).await.unwrap();
                store.insert_user(new_user(&format!("user{n}"))).await.unwrap();
            })
        })
        .collect();
    for task in opening {
        task.await.unwrap();
    }
    let reopened = SqliteStore::open(&path).await.unwrap();
    let page = Page::first(100);
    assert_eq!(reopened.list_users(page).await.unwrap().rows.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn write_beside_foreign_lock_waits_then_fails_as_busy_within_two_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tern.db");
    let store = Arc::new(SqliteStore::open(&path).await.unwrap());
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = std::time::Instant::now();
    let crowd: Vec<_> = (0..8)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.insert_user(new_user(&format!("crowd{n}"))).await })
        })
        .collect();
    for refused in crowd {
        let refused = refused.await.unwrap();
        assert!(matches!(refused, Err(StoreError::Busy(_))), "{refused:?}");
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
    store.ping().await.unwrap();
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.insert_user(new_user("ada")).await }
    });
    // Longer than other connections wait for locks.
    tokio::time::sleep(std::time::Duration::from_millis(1000)).await;
    other.execute_batch("COMMIT").unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_database_file_is_unavailable_and_not_recreated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("odd name? #100%.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.insert_user(new_user("ada")).await.unwrap();
    fs::remove_file(&path).unwrap();
    // The first reader connects only now.
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    assert!(!path.exists());
}

/// Opens a store with one link that has a click in each of `hours` hours, and a connection for direct SQL.
async fn store_with_hourly_clicks(directory: &Path, hours: u32) -> (SqliteStore, Connection) {
    let path = directory.join(format!("{hours}.db"));
    let store = SqliteStore::open(&path).await.unwrap();
    let db = Connection::open(&path).unwrap();
    db.execute_batch(&format!(
        "INSERT INTO users VALUES (1, 'ada', 'ada@mail.example', 0);
         INSERT INTO urls (id, user_id, short_code, original_url, title, is_active, created_at, updated_at)
                     VALUES (1, 1, 'CODE12', 'https://example.com/', NULL, 1, 0, 0);
         WITH RECURSIVE hours (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM hours WHERE n < {hours})
         INSERT INTO events (url_id, user_id, event_type, timestamp, details, visitor, referrer)
         SELECT 1, 1, 'clicked', n * 3600, '{{}}', 'Firefox', 'news.example' FROM hours"
    ))
    .unwrap();
    (store, db)
}

fn click() -> Click {
    let id = Id::new(1).unwrap();
    Click {
        url_id: id,
        owner_id: id,
        short_code: "CODE12".to_owned(),
        original_url: "https://example.com/".to_owned(),
        at: SystemTime::now(),
        client: None,
        user_agent: None,
        referrer: None,
        visitor: Visitor::UNKNOWN,
        source: None,
        choice: None,
        is_minimal: false,
        is_counted_only: false,
    }
}

/// Ships clicks from a journal of their own; returns how many became events and how many were orphans.
async fn ship(store: &SqliteStore, journal: u128, clicks: &[Click]) -> (u64, u64) {
    let to = JournalPosition { segment: 0, offset: 1, sequence: 1 };
    let batch = ClickBatch { journal: JournalId(journal), from: None, to, clicks, parked: 0 };
    match store.ship_clicks(batch).await.unwrap() {
        ShipOutcome::Committed(state) => (state.recorded, state.orphaned),
        elsewhere @ ShipOutcome::Mismatch(_) => panic!("{elsewhere:?}"),
    }
}

#[tokio::test]
async fn click_on_former_code_of_link_is_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let (store, db) = store_with_hourly_clicks(directory.path(), 1).await;
    let clicks = [click(), Click { short_code: "NEW123".to_owned(), ..click() }];
    db.execute_batch("UPDATE urls SET short_code = 'NEW123'").unwrap();
    assert_eq!(ship(&store, 1, &clicks).await, (2, 0));
    // A later link with the same id has never had either code.
    db.execute_batch(
        "DELETE FROM urls; INSERT INTO urls (id, user_id, short_code, original_url, title, is_active, created_at, updated_at)
                     VALUES (1, 1, 'OTHER1', 'https://example.com/', NULL, 1, 0, 0)",
    )
    .unwrap();
    assert_eq!(ship(&store, 2, &clicks).await, (0, 2));
}

#[tokio::test]
async fn network_of_client_is_stored_with_its_click() {
    let directory = tempfile::tempdir().unwrap();
    let (store, db) = store_with_hourly_clicks(directory.path(), 1).await;
    let click = |client: &str| Click { client: client.parse().ok(), ..click() };
    let clicks = [click("192.0.2.77/24"), click("2001:db8:7::/48"), click("")];
    assert_eq!(ship(&store, 1, &clicks).await, (3, 0));
    let sql = "SELECT group_concat(coalesce(client, ''), ' ') FROM events WHERE id > 1";
    let kept: String = db.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "192.0.2.0/24 2001:db8:7::/48 ");
}

/// Deleting an event must not scan the other hours of its link.
#[tokio::test]
async fn event_deletion_cost_does_not_grow_with_hours_of_its_link() {
    let directory = tempfile::tempdir().unwrap();
    let mut steps = Vec::new();
    for hours in [20, 4_000] {
        let (_store, db) = store_with_hourly_clicks(directory.path(), hours).await;
        let mut delete = db.prepare("DELETE FROM events WHERE id = 10").unwrap();
        assert_eq!(delete.execute([]).unwrap(), 1);
        steps.push(delete.get_status(StatementStatus::VmStep));
    }
    assert!(steps[1] < steps[0] * 2, "{steps:?}");
}

/// The sqlite3 shell does not check foreign keys by default.
#[tokio::test]
async fn events_without_foreign_key_checks_are_deleted_with_their_link_or_user() {
    let directory = tempfile::tempdir().unwrap();
    let (store, db) = store_with_hourly_clicks(directory.path(), 300).await;
    db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let left = async || {
        let page = Page { start: PageStart::Number(3), size: 100 };
        let listing = store.list_events(EventFilter::default(), page).await.unwrap();
        (listing.rows.len(), listing.total)
    };
    assert_eq!(left().await, (100, Total::Exactly(300)));
    db.execute_batch("INSERT INTO users VALUES (2, 'bob', 'bob@mail.example', 0)").unwrap();
    db.execute_batch("UPDATE events SET user_id = 2 WHERE id = 7; DELETE FROM users WHERE id = 2").unwrap();
    let rows =
        |table: &str| -> i64 { db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap() };
    assert_eq!((rows("events"), left().await), (299, (99, Total::Exactly(299))));
    db.execute_batch("DELETE FROM urls").unwrap();
    assert_eq!(left().await, (0, Total::Exactly(0)));
    assert_eq!((rows("events"), rows("click_counts"), rows("click_totals")), (0, 0, 0));
}

#[tokio::test]
async fn page_behind_every_list_leads_to_the_newest_of_many_rows() {
    let directory = tempfile::tempdir().unwrap();
    let (store, db) = store_with_hourly_clicks(directory.path(), 1).await;
    db.execute_batch(
        "WITH RECURSIVE entries (n) AS (VALUES (2) UNION ALL SELECT n + 1 FROM entries WHERE n < 20000)
         INSERT INTO audit_entries (url_id, user_id, action, after, at) SELECT 1, 1, 'created', '{}', 0 FROM entries",
    )
    .unwrap();
    let page = Page { start: PageStart::Number(u64::MAX), size: 50 };
    let behind = store.list_audit(AuditFilter::default(), page).await.unwrap();
    assert_eq!((behind.rows.len(), behind.total, behind.has_previous), (0, Total::MANY, true));
    let page = Page { start: PageStart::Before(behind.first), size: 50 };
    let newest = store.list_audit(AuditFilter::default(), page).await.unwrap();
    assert_eq!(newest.rows.last().unwrap().id.get(), 20_000);
}

#[tokio::test]
async fn update_of_an_id_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, db) = store_with_hourly_clicks(directory.path(), 1).await;
    for table in ["users", "urls", "events"] {
        let refused = db.execute_batch(&format!("UPDATE {table} SET id = 9")).unwrap_err();
        assert_eq!(refused.to_string(), "an id is never changed", "{table}");
        db.execute_batch(&format!("UPDATE {table} SET id = id")).unwrap();
    }
}

/// Returns each row of each table that contains a text or has the id of a user in a column for it.
fn traces(path: &Path, text: &str, user: Id) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut traces = Vec::new();
    // The index of the search is not a text. Its entries are the sequences of three characters.
    for table in tables.iter().filter(|table| !table.starts_with("urls_search") && *table != erasure::CHANGE_LOG) {
        let mut rows = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let names: Vec<String> = rows.column_names().into_iter().map(str::to_owned).collect();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for (n, name) in names.iter().enumerate() {
                let value = format!("{:?}", row.get_ref(n).unwrap());
                let is_id = name == "user_id" && value == format!("Integer({user})");
                let shown = match row.get_ref(n).unwrap() {
                    rusqlite::types::ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    _ => value,
                };
                if shown.contains(text) || is_id || shown == format!("user_id={user}") {
                    traces.push(format!("{table}.{name}: {shown}"));
                }
            }
        }
    }
    traces
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_user_leaves_no_trace_in_any_table() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tern.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let (user, other) = erasure::fill(&store).await;
    let before = traces(&path, erasure::SECRET, user);
    for table in ["users", "urls", "url_tags", "events", "click_counts", "tokens", "audit_entries", "row_counts"] {
        assert!(before.iter().any(|trace| trace.starts_with(table)), "{table}: {before:?}");
    }
    store.delete_user(user, true).await.unwrap().unwrap();
    erasure::check_answers(&store, user, other).await;
    assert_eq!(traces(&path, erasure::SECRET, user), [""; 0]);
    let search = "SELECT count(*) FROM urls_search WHERE urls_search MATCH 'hush'";
    let found: i64 = Connection::open(&path).unwrap().query_row(search, [], |row| row.get(0)).unwrap();
    assert_eq!(found, 0);
}
