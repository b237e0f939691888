//! The feed through restarts and crashes, and beside direct SQL.

use std::time::{Duration, Instant};

use tern_common::store::{AdminStore, Cursor, Delta, LinkFeed, PostgresConfig, PostgresStore, StoreError};
use tern_testkit::postgres::{Options, Postgres};
use tokio_postgres::Client;

use crate::replica::Replica;
use crate::{config, connect, eventually, store, url, user};

/// Waits for the database and checks that `replica` catches up with the committed links.
pub async fn check_catches_up(replica: &mut Replica, store: &PostgresStore, other: &Client) {
    let followed = tokio::sync::Mutex::new(std::mem::take(replica));
    eventually(async || followed.lock().await.catch_up(store).await).await;
    *replica = followed.into_inner();
    let rows = other.query("SELECT short_code, original_url FROM urls ORDER BY short_code", &[]).await.unwrap();
    let table: Vec<(&str, &str)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let held = replica.links.values().map(|link| (link.short_code.as_str(), link.original_url.as_str()));
    assert_eq!(held.collect::<Vec<_>>(), table);
}

#[tokio::test]
async fn cursor_across_restarts_and_crashes_skips_nothing() {
    let server = Postgres::start_new(&Options::default());
    let (store, config) = store(&server).await;
    let owner = user(&store, "ada").await.id;
    let mut replica = Replica::default();
    for (n, end) in [Postgres::stop, Postgres::kill9, Postgres::kill9].into_iter().enumerate() {
        url(&store, owner, &format!("seen{n}")).await;
        replica.catch_up(&store).await.unwrap();
        url(&store, owner, &format!("unseen{n}")).await;
        end(&server);
        server.start();
        let other = connect(&config).await;
        let past = format!(
            "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
             VALUES (1, 'after{n}', 'https://example.com/', true, now(), now())"
        );
        other.batch_execute(&past).await.unwrap();
        check_catches_up(&mut replica, &store, &other).await;
    }
    assert_eq!(replica.snapshots, 1, "the follower needed a snapshot");
}

/// A crashed server reuses the ids of transactions that left no trace; an earlier cursor takes these ids for seen.
#[tokio::test]
async fn cursor_after_crash_with_reused_transaction_ids_skips_nothing() {
    // A slow WAL writer ensures that nothing of those transactions reaches the disk.
    let server = Postgres::start_new(&Options::default().set("wal_writer_delay", "10s"));
    let (store, config) = store(&server).await;
    let owner = user(&store, "ada").await.id;
    let mut replica = Replica::default();
    replica.catch_up(&store).await.unwrap();
    use_up_transaction_ids(&connect(&config).await, 200).await;
    replica.catch_up(&store).await.unwrap();
    server.kill9();
    server.start();
    eventually(async || store.ping().await).await;
    let again = url(&store, owner, "again").await;
    let other = connect(&config).await;
    let before = replica.cursor.clone().unwrap();
    let seen = before.to_string();
    let is_seen =
        "SELECT pg_visible_in_snapshot(xid, $1::text::pg_snapshot) FROM url_changes WHERE short_code = 'again'";
    let is_seen = other.query_one(is_seen, &[&seen.rsplit('/').next()]).await.unwrap();
    assert!(is_seen.get::<_, bool>(0), "no id was given again, so nothing is tested");
    assert!(!before.covers(&again), "a cursor from before the crash passes for one that has seen what came after it");
    // Enough ids that the cursor is no longer from the future.
    use_up_transaction_ids(&other, 300).await;
    check_catches_up(&mut replica, &store, &other).await;
    assert_eq!(replica.snapshots, 1, "the follower needed a snapshot");
    assert!(replica.cursor.as_ref().unwrap().covers(&again));
}

/// Uses up `count` transaction ids.
pub async fn use_up_transaction_ids(other: &Client, count: u32) {
    for _ in 0..count {
        other.batch_execute("BEGIN; SELECT pg_current_xact_id(); ROLLBACK").await.unwrap();
    }
}

#[tokio::test]
async fn repeated_changes_have_no_age() {
    let (store, config) = store(Postgres::shared()).await;
    let owner = user(&store, "ada").await.id;
    let cursor = store.snapshot().await.unwrap().cursor;
    let ages = async |cursor: &Cursor| {
        let Delta::Changes { mut changes, cursor, .. } = store.delta(cursor).await.unwrap() else { panic!("too old") };
        changes.sort_by(|one, other| one.change.short_code().cmp(other.change.short_code()));
        (changes.into_iter().map(|aged| aged.age).collect::<Vec<_>>(), cursor)
    };
    let before = Instant::now();
    url(&store, owner, "older").await;
    connect(&config).await.batch_execute("SELECT pg_sleep(0.1)").await.unwrap();
    url(&store, owner, "younger").await;
    let (read, cursor) = ages(&cursor).await;
    let [Some(older), Some(younger)] = read[..] else { panic!("{read:?}") };
    assert!(older >= Duration::from_millis(100) && younger < older, "{older:?}, {younger:?}");
    assert!(older <= before.elapsed(), "{older:?}");

    // After a checkpoint, another connection repeats every change since the checkpoint before. Only new changes have an
    // age.
    connect(&config).await.batch_execute("CHECKPOINT").await.unwrap();
    let other = PostgresStore::open(&config).await.unwrap();
    url(&store, owner, "zz").await;
    let Delta::Changes { changes, .. } = other.delta(&cursor).await.unwrap() else { panic!("too old") };
    let mut given: Vec<_> = changes.iter().map(|aged| (aged.change.short_code(), aged.age.is_some())).collect();
    given.sort_unstable();
    assert_eq!(given, [("older", false), ("younger", false), ("zz", true)]);
}

#[tokio::test]
async fn open_transaction_delays_no_other_change() {
    let (store, config) = store(Postgres::shared()).await;
    let owner = user(&store, "ada").await.id;
    let mut replica = Replica::default();
    replica.catch_up(&store).await.unwrap();
    let other = connect(&config).await;
    let open = "BEGIN; INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
                VALUES (1, 'late', 'https://example.com/', true, now(), now())";
    other.batch_execute(open).await.unwrap();
    for n in 0..3 {
        let mark = url(&store, owner, &format!("code{n}")).await;
        replica.catch_up(&store).await.unwrap();
        assert!(replica.links.contains_key(&format!("code{n}")));
        assert!(replica.cursor.as_ref().unwrap().covers(&mark));
    }
    // Pruning meanwhile does not make the cursor too old.
    store.prune_changes(Duration::ZERO).await.unwrap();
    replica.catch_up(&store).await.unwrap();
    other.batch_execute("COMMIT").await.unwrap();
    check_catches_up(&mut replica, &store, &other).await;
    assert_eq!((replica.links.len(), replica.snapshots), (4, 1));
}

#[tokio::test]
async fn changes_by_direct_sql_are_followed() {
    let (store, config) = store(Postgres::shared()).await;
    user(&store, "ada").await;
    let mut replica = Replica::default();
    replica.catch_up(&store).await.unwrap();
    let other = connect(&config).await;
    let insert = "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
                  SELECT 1, 'code' || n, 'https://example.com/', true, now(), now() FROM generate_series(1, 20) AS n";
    for sql in [
        insert,
        "UPDATE urls SET short_code = 'renamed' WHERE short_code = 'code1'",
        "DELETE FROM urls WHERE id % 3 = 0",
        "UPDATE urls SET title = 'nothing that is served'",
        "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
         VALUES (1, 'code2', 'https://upsert.example/', true, now(), now())
         ON CONFLICT (short_code) DO UPDATE SET original_url = excluded.original_url",
    ] {
        other.batch_execute(sql).await.unwrap();
        check_catches_up(&mut replica, &store, &other).await;
    }
    assert_eq!(replica.snapshots, 1);
    other.batch_execute("TRUNCATE urls CASCADE").await.unwrap();
    check_catches_up(&mut replica, &store, &other).await;
    assert_eq!((replica.links.len(), replica.snapshots), (0, 2));
}

#[tokio::test]
async fn cursor_on_a_cloned_database_is_too_old() {
    let server = Postgres::shared();
    let original = config(server).await;
    let before = PostgresStore::open(&original).await.unwrap();
    let cursor = before.snapshot().await.unwrap().cursor;
    let name = original.url.rsplit('/').next().unwrap();
    // A database can be cloned only while no client is connected to it.
    let others = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    server.psql("postgres", &others);
    let url = server.create_database_from(name);
    let clone = PostgresStore::open(&PostgresConfig::new(url)).await.unwrap();
    assert!(matches!(clone.delta(&cursor).await.unwrap(), Delta::TooOld));
}

/// A replica follows a transaction of many links without a snapshot, and changes beside it do not wait for its end.
#[tokio::test]
async fn large_transaction_is_followed_in_parts_beside_other_changes() {
    const LINKS: u32 = 100_000;
    let server = Postgres::start_new(&Options::default());
    let (store, config) = store(&server).await;
    let owner = user(&store, "ada").await.id;
    let mut replica = Replica::default();
    replica.catch_up(&store).await.unwrap();
    let other = connect(&config).await;
    let many = format!(
        "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
         SELECT 1, 'code' || n, 'https://example.com/', true, now(), now() FROM generate_series(1, {LINKS}) AS n"
    );
    other.batch_execute(&many).await.unwrap();
    let mut deltas = 0;
    while replica.read_next(&store).await.unwrap() {
        deltas += 1;
        // The next delta continues after the previous one, also over another connection.
        let over_another_connection = PostgresStore::open(&config).await.unwrap();
        let store = if deltas % 2 == 0 { &store } else { &over_another_connection };
        let code = format!("beside{deltas}");
        let mark = url(store, owner, &code).await;
        // The first delta may still end within the large transaction.
        replica.read_next(store).await.unwrap();
        replica.read_next(store).await.unwrap();
        assert!(replica.links.contains_key(&code), "the delta waited for the large transaction");
        assert!(replica.cursor.as_ref().unwrap().covers(&mark));
    }
    assert!(deltas >= 2, "only {deltas} deltas, so nothing is tested");
    assert_eq!(replica.links.len() as u32, LINKS + deltas);
    other.batch_execute("DELETE FROM urls").await.unwrap();
    let started = Instant::now();
    replica.catch_up(&store).await.unwrap();
    println!("a transaction that removed {} links was followed within {:?}", LINKS + deltas, started.elapsed());
    assert_eq!((replica.links.len(), replica.snapshots), (0, 1));
}

/// The log has changes of many transactions, more than one delta contains.
#[tokio::test]
async fn long_log_is_followed_in_parts_after_cuts_and_crashes() {
    let server = Postgres::start_new(&Options::default());
    let (store, config) = store(&server).await;
    user(&store, "ada").await;
    let mut replica = Replica::default();
    replica.catch_up(&store).await.unwrap();
    let many = "DO $$ BEGIN FOR n IN 1..60000 LOOP
                    INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
                    VALUES (1, 'code' || n, 'https://example.com/', true, now(), now());
                    IF n % 10 = 0 THEN COMMIT; END IF;
                END LOOP; END $$";
    connect(&config).await.batch_execute(many).await.unwrap();
    let half = replica.clone();
    for n in 0..4 {
        replica.read_next(&store).await.unwrap();
        match n {
            0 => server.psql(
                "postgres",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()",
            ),
            1 => server.psql("postgres", "CHECKPOINT"),
            _ => String::new(),
        };
        if n == 2 {
            server.kill9();
            server.start();
        }
        eventually(async || store.ping().await).await;
    }
    let other = connect(&config).await;
    check_catches_up(&mut replica, &store, &other).await;
    assert_eq!((replica.links.len(), replica.snapshots), (60_000, 1));
    // A replica that resumes from the middle, with a cursor that was serialised as text.
    let mut again = half;
    again.read_next(&store).await.unwrap();
    again.cursor = again.cursor.map(|cursor| cursor.to_string().parse().unwrap());
    check_catches_up(&mut again, &store, &other).await;
    assert_eq!((again.links.len(), again.snapshots), (60_000, 1));
}

/// A transaction that stays open with many changes must not make each delta scan them.
#[tokio::test]
async fn open_transaction_with_many_changes_delays_no_delta() {
    let (store, config) = store(Postgres::shared()).await;
    let owner = user(&store, "ada").await.id;
    let mut replica = Replica::default();
    replica.catch_up(&store).await.unwrap();
    let other = connect(&config).await;
    let open = "BEGIN; INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
                SELECT 1, 'late' || n, 'https://example.com/', true, now(), now() FROM generate_series(1, 30000) AS n";
    other.batch_execute(open).await.unwrap();
    for n in 0..3 {
        url(&store, owner, &format!("code{n}")).await;
        replica.catch_up(&store).await.unwrap();
        assert_eq!(replica.links.len(), n + 1);
    }
    other.batch_execute("COMMIT").await.unwrap();
    check_catches_up(&mut replica, &store, &other).await;
    assert_eq!((replica.links.len(), replica.snapshots), (30_003, 1));
}

/// After a crash only changes since the last checkpoint are repeated.
#[tokio::test]
async fn cursor_after_crash_returns_to_last_checkpoint() {
    let server = Postgres::start_new(&Options::default());
    let (store, config) = store(&server).await;
    let owner = user(&store, "ada").await.id;
    url(&store, owner, "before").await;
    connect(&config).await.batch_execute("CHECKPOINT").await.unwrap();
    url(&store, owner, "since").await;
    let cursor = store.snapshot().await.unwrap().cursor;
    let given = async |cursor: &Cursor| -> Result<(usize, Cursor), StoreError> {
        match store.delta(cursor).await? {
            Delta::Changes { changes, cursor, more: false } => Ok((changes.len(), cursor)),
            other => panic!("{other:?}"),
        }
    };
    server.psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()");
    assert_eq!(eventually(async || given(&cursor).await).await.0, 0, "the server did not crash");
    server.kill9();
    server.start();
    let (count, cursor) = eventually(async || given(&cursor).await).await;
    assert_eq!(count, 1, "an id from before the checkpoint was given again");
    assert_eq!(given(&cursor).await.unwrap().0, 0);
}

/// A replicating session fires only triggers that are enabled `ALWAYS`.
#[tokio::test]
async fn changes_by_replicating_session_are_logged_and_counted() {
    let (store, config) = store(Postgres::shared()).await;
    let owner = user(&store, "ada").await.id;
    url(&store, owner, "changed").await;
    url(&store, owner, "removed").await;
    let mut replica = Replica::default();
    replica.catch_up(&store).await.unwrap();
    let other = connect(&config).await;
    let sql = "SET session_replication_role = replica;
               INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
               VALUES (1, 'inserted', 'https://example.com/', true, now(), now());
               UPDATE urls SET original_url = 'https://elsewhere.example/' WHERE short_code = 'changed';
               DELETE FROM urls WHERE short_code = 'removed'";
    other.batch_execute(sql).await.unwrap();
    check_catches_up(&mut replica, &store, &other).await;
    let totals = "SELECT row_total('urls', ''), (SELECT count(*) FROM urls),
                         row_total('events', ''), (SELECT count(*) FROM events)";
    let totals = other.query_one(totals, &[]).await.unwrap();
    assert_eq!((totals.get::<_, i64>(0), totals.get::<_, i64>(2)), (totals.get::<_, i64>(1), totals.get::<_, i64>(3)));
    let not_always = "SELECT count(*) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
                      WHERE NOT tgisinternal AND tgenabled <> 'A' AND relname IN ('users', 'urls', 'events')";
    assert_eq!(other.query_one(not_always, &[]).await.unwrap().get::<_, i64>(0), 0);
}

/// `Cursor::covers` agrees with PostgreSQL's own visibility of transactions.
#[tokio::test]
async fn cursor_coverage_matches_postgresql_visibility() {
    let (store, config) = store(Postgres::shared()).await;
    let owner = user(&store, "ada").await.id;
    let other = connect(&config).await;
    let mark = url(&store, owner, "AAAAAA").await;
    let cursor = store.snapshot().await.unwrap().cursor.to_string();
    let (history, _) = cursor.rsplit_once('/').unwrap();
    let xid = "SELECT xid::text::bigint FROM url_changes";
    let xid: i64 = other.query_one(xid, &[]).await.unwrap().get(0);
    // Random snapshots around the transaction of `mark`.
    let random = "SELECT snapshot::text, pg_visible_in_snapshot($1::bigint::text::xid8, snapshot) FROM (
                      SELECT (xmin || ':' || xmax || ':' || coalesce((
                          SELECT string_agg(xid::text, ',' ORDER BY xid) FROM generate_series(xmin, xmax - 1) AS xid
                          WHERE random() < 0.5
                      ), ''))::pg_snapshot AS snapshot
                      FROM (
                          SELECT xmin, xmin + floor(random() * 8)::bigint AS xmax
                          FROM (SELECT $1::bigint - 6 + floor(random() * 9)::bigint AS xmin FROM generate_series(1, 2000)) AS a
                      ) AS b
                  ) AS c";
    let mut seen = 0;
    for row in other.query(random, &[&xid]).await.unwrap() {
        let (snapshot, is_visible): (&str, bool) = (row.get(0), row.get(1));
        let cursor: Cursor = format!("{history}/{snapshot}").parse().unwrap();
        assert_eq!(cursor.covers(&mark), is_visible, "{xid} in {snapshot}");
        seen += u32::from(is_visible);
    }
    assert!((100..1900).contains(&seen), "{seen}");
}
