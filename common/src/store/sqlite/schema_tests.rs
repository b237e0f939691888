//! Tests of interrupted migrations: at each step, at each page, and before the row in the history.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::{Connection, OptionalExtension};

use super::super::open::prepare;
use super::*;

fn latest() -> i32 {
    versions().into_iter().max().unwrap()
}

/// Returns the last version in the history, or 0 if it is empty. `None` without a history.
fn last_recorded(db: &Connection) -> Result<Option<i32>, rusqlite::Error> {
    let exists = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'refinery_schema_history'";
    if db.query_row(exists, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    db.query_row("SELECT coalesce(max(version), 0) FROM refinery_schema_history", [], |row| row.get(0)).map(Some)
}

/// Returns the schema after a version, from a database in memory.
fn schema_of(version: i32) -> Result<Vec<[Option<String>; 4]>, SchemaError> {
    let mut db = Connection::open_in_memory()?;
    embedded::migrations::runner().set_target(Target::Version(version)).run(&mut db)?;
    Ok(schema(&db)?)
}

/// Returns every table, index and trigger except the history's, with its statement.
fn schema(db: &Connection) -> Result<Vec<[Option<String>; 4]>, rusqlite::Error> {
    let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema
               WHERE tbl_name <> 'refinery_schema_history' ORDER BY type, name";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    rows.collect()
}

/// Creates a database with the schema of `version` and some rows.
fn database_of(path: &Path, version: i32) -> Connection {
    let mut db = open(path);
    if version > 0 {
        embedded::migrations::runner().set_target(Target::Version(version)).run(&mut db).unwrap();
        db.execute_batch(
            "INSERT INTO users VALUES (1, 'ada', 'ada@mail.example', 0);
             INSERT INTO urls (id, user_id, short_code, original_url, title, is_active, created_at, updated_at)
                     VALUES (1, 1, 'CODE12', 'https://example.com/', NULL, 1, 0, 0);
             INSERT INTO events (url_id, user_id, event_type, timestamp, details) VALUES (1, 1, 'clicked', 7200, '{}')",
        )
        .unwrap();
    }
    db
}

/// Opens a connection as `prepare` does.
fn open(path: &Path) -> Connection {
    let db = Connection::open(path).unwrap();
    db.pragma_update(None, "application_id", super::super::open::APPLICATION_ID).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db
}

/// Checks that the next start completes the migration, and that no row is lost.
fn check_heals(path: &Path, version: i32, what: &str) {
    prepare(path).unwrap_or_else(|error| panic!("from version {version}, {what}: {error}"));
    let db = Connection::open(path).unwrap();
    assert_eq!(last_recorded(&db).unwrap(), Some(latest()), "from version {version}, {what}");
    assert_eq!(schema(&db).unwrap(), schema_of(latest()).unwrap(), "from version {version}, {what}");
    if version > 0 {
        let rows =
            "SELECT (SELECT count(*) FROM urls), (SELECT count(*) FROM events), (SELECT sum(clicks) FROM click_counts)";
        let rows: (i64, i64, i64) = db.query_row(rows, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        assert_eq!(rows, (1, 1, 1), "from version {version}, {what}");
    }
}

/// Migrates, and calls `at_step` every `operations` steps; true interrupts the migration. Returns whether it succeeded.
fn migrate_in_steps(db: &mut Connection, operations: i32, at_step: impl FnMut() -> bool + Send + 'static) -> bool {
    db.progress_handler(operations, Some(at_step)).unwrap();
    let migrated = migrate(db);
    db.progress_handler(0, None::<fn() -> bool>).unwrap();
    migrated.is_ok()
}

#[test]
fn migration_killed_at_any_step_is_completed_by_the_next_start() {
    for version in 0..latest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tern.db");
        let mut db = database_of(&path, version);
        let copies = Arc::new(AtomicU32::new(0));
        let (from, count) = (directory.path().to_owned(), Arc::clone(&copies));
        // A killed process leaves its files as they are at that moment.
        let copy = move || {
            let to = from.join(format!("killed{}", count.fetch_add(1, Ordering::Relaxed)));
            fs::create_dir(&to).unwrap();
            for name in ["tern.db", "tern.db-wal"] {
                // The WAL file does not exist before the first write.
                if from.join(name).exists() {
                    fs::copy(from.join(name), to.join(name)).unwrap();
                }
            }
            false
        };
        assert!(migrate_in_steps(&mut db, 100, copy));
        drop(db);
        let copies = copies.load(Ordering::Relaxed);
        assert!(copies > 0, "{copies}");
        for n in 0..copies {
            let killed = directory.path().join(format!("killed{n}"));
            check_heals(&killed.join("tern.db"), version, &format!("killed at step {n}"));
            fs::remove_dir_all(killed).unwrap();
        }
    }
}

#[test]
fn migration_failing_at_any_step_leaves_the_previous_schema_and_is_repeated() {
    for version in 0..latest() {
        for n in 0.. {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("tern.db");
            let mut db = database_of(&path, version);
            let mut steps = 0;
            let is_done = migrate_in_steps(&mut db, 100, move || {
                steps += 1;
                steps > n
            });
            let recorded = last_recorded(&db).unwrap().unwrap_or(0);
            assert_eq!(schema(&db).unwrap(), schema_of(recorded).unwrap(), "from version {version}, step {n}");
            drop(db);
            check_heals(&path, version, &format!("failed at step {n}"));
            if is_done {
                assert!(n > 0, "{n}");
                break;
            }
        }
    }
}

#[test]
fn migration_on_a_full_disk_is_completed_once_there_is_room() {
    for version in 0..latest() {
        let mut failures = 0;
        for pages in 1.. {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("tern.db");
            let mut db = database_of(&path, version);
            // SQLite raises a limit below the current size to the current size.
            db.pragma_update(None, "max_page_count", pages).unwrap();
            let is_done = migrate(&mut db).is_ok();
            drop(db);
            check_heals(&path, version, &format!("with {pages} pages"));
            if is_done {
                break;
            }
            failures += 1;
        }
        assert!(failures > 3, "{failures}");
    }
}

#[test]
fn schema_of_no_migration_is_refused_and_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tern.db");
    let db = database_of(&path, 0);
    db.execute_batch("CREATE TABLE click_journals (id INTEGER)").unwrap();
    let before = schema(&db).unwrap();
    let refused = prepare(&path).unwrap_err().to_string();
    assert!(refused.contains("click_journals already exists") && refused.contains("backup"), "{refused}");
    assert_eq!(refused.lines().count(), 1, "{refused}");
    assert_eq!((schema(&db).unwrap(), last_recorded(&db).unwrap()), (before, Some(0)));
}

#[test]
fn schema_from_before_the_first_release_is_refused_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tern.db");
    let db = database_of(&path, latest());
    db.execute("UPDATE refinery_schema_history SET name = 'users_urls', checksum = '1' WHERE version = 1", []).unwrap();
    drop(db);
    let refused = prepare(&path).unwrap_err().to_string();
    assert!(refused.contains("before its first release") && refused.contains("TERN_DATA_DIR"), "{refused}");
}
