//! Tests of the cost of a load and of its counts.

use std::path::Path;

use rusqlite::{Statement, StatementStatus};
use tokio::sync::mpsc;

use super::*;
use crate::event::{Details, EventRow, EventType};
use crate::store::judgement::FORGET_TWINS;
use crate::store::sqlite::search;
use crate::store::{LinkFeed, SqliteStore};
use crate::url::UrlRow;
use crate::user::{Email, UserRow, Username};
use crate::{ClickLimit, Id, LinkOptions, ShortCode, TargetUrl};

/// Returns events of one link in one second, like the clicks of a popular link.
fn events(count: u64) -> Batches<EventRow> {
    let (sender, batches) = mpsc::channel(2);
    let id = Id::new(1).unwrap();
    let row = |n: u64| EventRow {
        id: None,
        url_id: id,
        user_id: id,
        event_type: EventType::parse("clicked").unwrap(),
        timestamp: Some(Timestamp::from_unix_seconds(1_700_000_000)),
        details: Details::parse(&format!("{{\"n\":{n}}}")).unwrap(),
    };
    let rows = (0..count).map(|n| NumberedRow { line: n + 2, row: row(n) }).collect();
    sender.try_send(Ok(rows)).unwrap();
    sender.try_send(Ok(Vec::new())).unwrap();
    batches
}

/// Loads events twice, and returns the number of steps of the second load's judgement.
fn steps_to_judge(connection: &mut Connection, count: u64) -> i64 {
    assert_eq!(load_rows(connection, events(count), None).unwrap(), LoadOutcome::Inserted(count));
    connection.execute_batch("DROP TABLE marked; DROP TABLE twins").unwrap();
    assert_eq!(load_rows(connection, events(count), None).unwrap(), LoadOutcome::AlreadyThere(count));
    connection.execute_batch(FORGET_TWINS).unwrap();
    let mut twins = connection.prepare(&judgement::find_twins::<EventRow>()).unwrap();
    assert_eq!(twins.execute([]).unwrap() as u64, count);
    let mut judge = connection.prepare(&judgement::judge::<EventRow>(0)).unwrap();
    judge.query_row([], |row| row.get::<_, i64>(0)).unwrap();
    let steps = |statement: &Statement<'_>| i64::from(statement.get_status(StatementStatus::VmStep));
    steps(&twins) + steps(&judge)
}

/// Returns the rows of every table that triggers write, without the times of the log.
/// A load writes no audit entries.
fn counts(connection: &Connection) -> Vec<String> {
    let tables = [
        ("row_counts", "list, filter, n"),
        ("click_counts", "url_id, hour, kind, value, clicks"),
        ("click_totals", "hour, kind, value, clicks"),
        ("late_click_counts", "url_id, hour"),
        ("click_hours", "url_id, hour, humans, bots"),
        ("link_clicks", "url_id, clicks, last_clicked_at"),
        ("url_tags", "tag, url_id"),
        ("link_limits", "url_id, max_clicks, taken"),
        ("url_changes", "sequence, short_code"),
        ("urls_search_pending", "url_id, indexed_text"),
        ("urls_search_terms", "term, doc, cnt"),
    ];
    let written = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT IN (
        'users', 'urls', 'events', 'products', 'row_counts', 'click_counts', 'click_totals', 'click_hours', 'late_click_counts',
        'link_clicks', 'url_tags', 'link_limits', 'url_changes', 'urls_search', 'urls_search_pending', 'audit_entries')
        AND EXISTS (SELECT 1 FROM sqlite_schema AS t WHERE t.type = 'trigger' AND t.sql LIKE '%AFTER INSERT ON%'
                    AND t.sql LIKE '%INTO ' || sqlite_schema.name || ' %')";
    let unknown: i64 = connection.query_row(written, [], |row| row.get(0)).unwrap();
    assert_eq!(unknown, 0, "triggers write tables that are not compared here");
    let mut rows = Vec::new();
    for (table, columns) in tables {
        let sql = format!("SELECT json_array('{table}', {columns}) FROM {table} ORDER BY 1");
        let mut statement = connection.prepare(&sql).unwrap();
        rows.extend(statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<Vec<String>, _>>().unwrap());
    }
    rows
}

/// Loads rows into two databases, counted as a whole and by triggers, and compares the counts.
fn check_counts<T: Stageable>([whole, by_rows]: [&Path; 2], rows: impl Fn() -> Vec<T>) {
    let batches = || {
        let (sender, batches) = mpsc::channel(2);
        sender.try_send(Ok((2..).zip(rows()).map(|(line, row)| NumberedRow { line, row }).collect())).unwrap();
        sender.try_send(Ok(Vec::new())).unwrap();
        batches
    };
    let mut summed_up = connect(&whole.to_string_lossy()).unwrap();
    load_rows(&mut summed_up, batches(), None).unwrap();
    let mut counted = connect(&by_rows.to_string_lossy()).unwrap();
    counted.execute_batch(&create::<T>()).unwrap();
    stage(&mut counted, batches()).unwrap();
    mark::<T>(&counted).unwrap();
    counted.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true).unwrap();
    counted.execute(T::INSERT, [Timestamp::now()]).unwrap();
    counted.execute_batch(search::FLUSH).unwrap();
    assert_eq!(counts(&summed_up), counts(&counted), "{}", T::TABLE);
}

/// Returns an id, in no order, or `None` for every third row.
fn given(round: i64, n: i64) -> Option<Id> {
    if n % 3 == 0 { None } else { Id::new(1 + round * 100_000 + n * 7919 % 1000 * 60) }
}

fn users(round: i64) -> Vec<UserRow> {
    let row = |n| UserRow {
        id: given(round, n),
        username: Username::parse(&format!("user{round}-{n}")).unwrap(),
        email: Email::parse(&format!("user{round}-{n}@mail.example")).unwrap(),
        created_at: None,
    };
    (0..1000).map(row).collect()
}

/// Returns the limit of a link: none, one that no file uses up, or for one link a single click.
fn limit_of(n: i64) -> Option<ClickLimit> {
    let limits = [1_000_000, 0, 0, if n == 3 { 1 } else { 0 }, 2_000_000];
    ClickLimit::try_from(limits[n.unsigned_abs() as usize % 5]).ok()
}

fn urls(round: i64) -> Vec<UrlRow> {
    let row = |n| UrlRow {
        id: given(round, n),
        user_id: given(round, n % 10 * 3 + 1).unwrap(),
        short_code: ShortCode::parse(&format!("code{round}-{n}")).unwrap(),
        original_url: TargetUrl::parse("https://example.com/").unwrap(),
        title: None,
        is_active: n % 4 > 0,
        options: LinkOptions { max_clicks: limit_of(n), ..LinkOptions::default() },
        labels: Default::default(),
        revision: None,
        imported_clicks: 0,
        created_at: None,
        updated_at: None,
    };
    (0..1000).map(row).collect()
}

fn clicks(round: i64) -> Vec<EventRow> {
    let details = [r#"{"user_agent":"curl/8"}"#, r#"{"referrer":"https://news.example/x"}"#, "{}"];
    let row = |n: i64| EventRow {
        id: given(round, n),
        url_id: given(round, n % 7 * 3 + 1).unwrap(),
        user_id: given(round, n % 5 * 3 + 1).unwrap(),
        event_type: EventType::parse(if n % 5 > 0 { "clicked" } else { "created" }).unwrap(),
        timestamp: Some(Timestamp::from_unix_seconds(n * 1_000 - 200_000)),
        details: Details::parse(details[n as usize % details.len()]).unwrap(),
    };
    (0..1000).map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn load_counts_rows_as_triggers_do() {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["whole.db", "rows.db"].map(|name| directory.path().join(name));
    for path in &paths {
        drop(SqliteStore::open(path).await.unwrap());
    }
    let paths = [&*paths[0], &*paths[1]];
    tokio::task::block_in_place(|| {
        for round in 0..2 {
            check_counts(paths, || users(round));
            check_counts(paths, || urls(round));
            check_counts(paths, || clicks(round));
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn judging_events_of_one_link_takes_a_linear_number_of_steps() {
    let mut steps = Vec::new();
    for count in [2_000, 8_000] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tern.db");
        let store = SqliteStore::open(&path).await.unwrap();
        let mut connection = connect(&path.to_string_lossy()).unwrap();
        let scene = "INSERT INTO users VALUES (1, 'ada', 'ada@mail.example', 0);
                     INSERT INTO urls (id, user_id, short_code, original_url, title, is_active, created_at, updated_at)
                     VALUES (1, 1, 'CODE12', 'https://example.com/', NULL, 1, 0, 0);";
        connection.execute_batch(scene).unwrap();
        steps.push(tokio::task::block_in_place(|| steps_to_judge(&mut connection, count)));
        store.ping().await.unwrap();
    }
    assert!(steps[1] < 6 * steps[0], "{steps:?}");
}
